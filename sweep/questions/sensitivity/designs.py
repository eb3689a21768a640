"""Where a model is evaluated beside each point of a sequence, and which sums are kept: Sobol', Morris, Shapley."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from kernels.sensitivity import indices, screening, shapley
from sweep.questions.sensitivity.response import Response


@dataclass(frozen=True)
class PickFreeze:
    """Sobol' indices: A, B, A with one coordinate of B and, for the second order, B with one of A."""

    second_order: bool = False

    def columns(self, dimensions: int) -> int:
        """Coordinates of the sequence."""
        return 2 * dimensions

    def evaluations(self, dimensions: int) -> int:
        """How often the model is evaluated."""
        return len(indices.masks(dimensions, second_order=self.second_order))

    def terms(self, dimensions: int) -> int:
        """How many sums there are."""
        return indices.terms(dimensions, second_order=self.second_order)

    def prepared(self, response: Response, u: Array) -> tuple[Array, ...]:
        """Values (2, points) of each parameter at A and B."""
        # A loop, here and below, makes XLA keep values that it would else compute anew for each use.
        return lax.map(response.quantiles, u.reshape(2, -1, u.shape[1]))

    def sums(
        self,
        response: Response,
        prepared: tuple[Array, ...],
        cells: Mapping[str, Array],
        fixed: Mapping[str, Array],
        centre: Array,
    ) -> Array:
        """Evaluate and add up."""

        def evaluated(row: Array) -> Array:
            mixed = [jnp.where(row[j], both[1], both[0]) for j, both in enumerate(prepared)]
            return response.at(mixed, cells, fixed) - centre[:, :, None]

        d = len(prepared)
        rows = indices.masks(d, second_order=self.second_order)
        return indices.pick_freeze_sums(lax.map(evaluated, jnp.asarray(rows)), d)


@dataclass(frozen=True)
class Effects:
    """Morris' elementary effects: a point, and one with each coordinate half a unit away."""

    def columns(self, dimensions: int) -> int:
        """Coordinates of the sequence."""
        return dimensions

    def evaluations(self, dimensions: int) -> int:
        """How often the model is evaluated."""
        return 1 + dimensions

    def terms(self, dimensions: int) -> int:
        """How many sums there are."""
        return screening.terms(dimensions)

    def prepared(self, response: Response, u: Array) -> tuple[Array, tuple[Array, ...]]:
        """Steps (parameters, points), and values (2, points) before and after them."""
        steps = screening.steps(u)
        return steps, lax.map(response.quantiles, jnp.stack([u, u + steps]))

    def sums(
        self,
        response: Response,
        prepared: tuple[Array, tuple[Array, ...]],
        cells: Mapping[str, Array],
        fixed: Mapping[str, Array],
        centre: Array,
    ) -> Array:
        """Evaluate and add up."""
        steps, values = prepared

        def evaluated(row: Array) -> Array:
            mixed = [jnp.where(row[j], both[1], both[0]) for j, both in enumerate(values)]
            return response.at(mixed, cells, fixed) - centre[:, :, None]

        rows = np.concatenate([np.zeros((1, len(values)), bool), np.eye(len(values), dtype=bool)])
        return screening.effect_sums(lax.map(evaluated, jnp.asarray(rows)), steps)


@dataclass(frozen=True)
class Subsets:
    """Shapley effects: a point, and one that shares each subset of its coordinates, the others drawn given these.

    Attributes
    ----------
    correlations : tuple of tuple of float
        Of the normal variables of the copula.
    """

    correlations: tuple[tuple[float, ...], ...]

    def columns(self, dimensions: int) -> int:
        """Coordinates of the sequence."""
        return 2 * dimensions

    def evaluations(self, dimensions: int) -> int:
        """How often the model is evaluated."""
        return 2**dimensions

    def terms(self, dimensions: int) -> int:
        """How many sums there are."""
        return shapley.terms(dimensions)

    def prepared(self, response: Response, u: Array) -> Any:
        """Normal variables (2 parameters, points), independent of one another."""
        return shapley.normals(u)

    def sums(
        self,
        response: Response,
        prepared: Array,
        cells: Mapping[str, Array],
        fixed: Mapping[str, Array],
        centre: Array,
    ) -> Array:
        """Evaluate and add up."""
        kept, drawn = shapley.conditionals(np.asarray(self.correlations))

        def evaluated(pair: tuple[Array, Array]) -> Array:
            values = response.quantiles(shapley.conditioned(prepared, *pair))
            return response.at(values, cells, fixed) - centre[:, :, None]

        return shapley.subset_sums(lax.map(evaluated, (jnp.asarray(kept), jnp.asarray(drawn))))
