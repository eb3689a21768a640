"""Outputs of a sweep as a function of its uncertain parameters, over the axes that the outputs depend on."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from sweep.config.distribution import DRAWN, Distribution
from sweep.config.spec import SweepSpec
from sweep.engine.evaluate import take
from sweep.errors import SpecError
from sweep.models.problem import Problem
from sweep.models.sampling import quantiles


@dataclass(frozen=True)
class Response:
    """Some outputs with the same axes, as a pure function of the uncertain parameters at each cell of these axes.

    Two of the same sweep are equal, so that what is compiled for one is there for the other.

    Attributes
    ----------
    function : callable
        Of a model.
    model : str
        Its name.
    parameters : tuple of str
        All that the function takes.
    names : tuple of str
        Of the uncertain ones.
    distributions : tuple of Distribution
        One for each of them.
    outputs, dims : tuple of str
        What is evaluated, and over which axes.
    dtype : str
        In which the model is evaluated; results are float64.
    """

    function: Any
    model: str
    parameters: tuple[str, ...]
    names: tuple[str, ...]
    distributions: tuple[Distribution, ...]
    outputs: tuple[str, ...]
    dims: tuple[str, ...]
    dtype: str

    def at(self, values: Sequence[Array], cells: Mapping[str, Array], fixed: Mapping[str, Array]) -> Array:
        """Evaluate the outputs, for use under ``jax.jit``.

        Parameters
        ----------
        values : sequence of jax.Array
            Of each uncertain parameter, all of one shape.
        cells : mapping of str to jax.Array
            Of each axis, its value in each cell, (cells,).
        fixed : mapping of str to jax.Array
            Numbers that parameters are held at.

        Returns
        -------
        jax.Array
            float64 (outputs, cells, ...).
        """
        beside = values[0].ndim
        count = next(iter(cells.values())).shape[0] if cells else 1
        inputs = {name: jnp.full((1,) * (beside + 1), np.nan, self.dtype) for name in self.parameters}
        inputs |= {name: jnp.reshape(v, (1,) * (beside + 1)).astype(self.dtype) for name, v in fixed.items()}
        inputs |= {name: jnp.reshape(v, (-1,) + (1,) * beside).astype(self.dtype) for name, v in cells.items()}
        inputs |= {name: v[None].astype(self.dtype) for name, v in zip(self.names, values, strict=True)}
        outputs = take(self.function(**inputs), self.outputs, self.model)
        shape = (count, *values[0].shape)
        return jnp.stack([jnp.broadcast_to(jnp.asarray(one), shape).astype(np.float64) for one in outputs])

    def quantiles(self, u: Array) -> tuple[Array, ...]:
        """Values of the uncertain parameters at points (parameters, ...) of the unit cube, for use under jit."""
        flat = u.reshape(u.shape[0], -1)
        return tuple(one.reshape(u.shape[1:]) for one in quantiles(flat, self.distributions, None))


@dataclass(frozen=True)
class Cells:
    """The cells of a response: values of its axes, flat with the last axis fastest, and of what is held.

    Attributes
    ----------
    shape : tuple of int
        Lengths of the axes.
    cells : dict of str to numpy.ndarray
        float64, of each axis.
    fixed : dict of str to numpy.ndarray
        float64 numbers.
    """

    shape: tuple[int, ...]
    cells: dict[str, np.ndarray]
    fixed: dict[str, np.ndarray]

    @property
    def size(self) -> int:
        """How many cells there are."""
        return math.prod(self.shape)


def responses(problem: Problem) -> list[tuple[Response, Cells]]:
    """Group the outputs of a spec by the axes they depend on.

    Parameters
    ----------
    problem : Problem
        With distributions.

    Raises
    ------
    SpecError
        One line: an output that depends on no uncertain parameter.
    """
    model, spec = problem.source, problem.spec
    alike: dict[tuple[str, ...], list[str]] = {}
    for name in outputs_of(spec):
        needs = model.output(name).parameters
        if not set(needs) & set(spec.distributions):
            uncertain = ", ".join(spec.distributions)
            raise SpecError(f"outputs: {name} depends on none of the uncertain parameters ({uncertain}); drop it")
        alike.setdefault(tuple(axis for axis in axes_of(spec) if axis in needs), []).append(name)
    fixed = {name: np.asarray(value.value, np.float64) for name, value in spec.fixed.items()}
    groups = []
    for dims, outputs in alike.items():
        response = Response(
            function=model.graph(outputs),
            model=model.name,
            parameters=tuple(parameter.name for parameter in model.parameters),
            names=tuple(spec.distributions),
            distributions=tuple(spec.distributions.values()),
            outputs=tuple(outputs),
            dims=dims,
            dtype=spec.dtype,
        )
        points = np.meshgrid(*(spec.axes[dim].coordinates() for dim in dims), indexing="ij")
        cells = {dim: values.ravel() for dim, values in zip(dims, points, strict=True)}
        # An axis that none of these depends on may stand anywhere.
        still = {name: np.asarray(axis.bounds()[0]) for name, axis in spec.axes.items() if name not in (*dims, *DRAWN)}
        shape = tuple(len(spec.axes[dim]) for dim in dims)
        groups.append((response, Cells(shape, cells, fixed | still)))
    return groups


def outputs_of(spec: SweepSpec) -> tuple[str, ...]:
    """Outputs of a spec without the uncertain parameters themselves."""
    return tuple(name for name in spec.outputs if name not in spec.distributions)


def axes_of(spec: SweepSpec) -> tuple[str, ...]:
    """Axes of a spec without those of its draws."""
    return tuple(name for name in spec.axes if name not in DRAWN)


def evaluate(response: Response, grid: Cells, u: np.ndarray) -> np.ndarray:
    """Outputs at points of the unit cube.

    Parameters
    ----------
    response : Response
    grid : Cells
    u : numpy.ndarray
        (parameters, points).

    Returns
    -------
    numpy.ndarray
        float64 (outputs, cells, points).
    """
    with jax.enable_x64(True):
        return np.asarray(_at_points()(response, u, grid.cells, grid.fixed))


@cache
def _at_points() -> Any:
    def at(response: Response, u: Array, cells: Mapping[str, Array], fixed: Mapping[str, Array]) -> Array:
        return response.at(response.quantiles(jnp.asarray(u)), cells, fixed)

    return jax.jit(at, static_argnums=0)
