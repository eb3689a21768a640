"""What an output does near the middle of its uncertain parameters: elasticities, and one parameter moved at a time."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from sweep.questions.sensitivity.response import Cells, Response, evaluate

TAIL = 0.05  # probability beyond either end of what one parameter is moved over


def elasticities(response: Response, grid: Cells) -> np.ndarray:
    """d ln y / d ln p of each output y by each parameter p at the medians, by automatic differentiation.

    Returns
    -------
    numpy.ndarray
        float64 (parameters, outputs, cells); NaN where the output is 0 or not finite.
    """
    with jax.enable_x64(True):
        return np.asarray(_derivatives()(response, grid.cells, grid.fixed))


def tornado(response: Response, grid: Cells) -> tuple[np.ndarray, np.ndarray]:
    """Outputs at the medians, and with one parameter at a time at its lower and at its upper quantile.

    Returns
    -------
    middle : numpy.ndarray
        float64 (outputs, cells).
    moved : numpy.ndarray
        float64 (2, parameters, outputs, cells).
    """
    d = len(response.names)
    u = np.full((d, 1 + 2 * d), 0.5)
    for i in range(d):
        u[i, 1 + i], u[i, 1 + d + i] = TAIL, 1.0 - TAIL
    found = np.moveaxis(evaluate(response, grid, u), -1, 0)
    return found[0], found[1:].reshape(2, d, *found.shape[1:])


@cache
def _derivatives() -> Any:
    def at(response: Response, cells: Mapping[str, Array], fixed: Mapping[str, Array]) -> Array:
        values = response.quantiles(jnp.full((len(response.names), 1), 0.5))

        def outputs(*given: Array) -> Array:
            return response.at(given, cells, fixed)[..., 0]

        def derivative(one: Array) -> tuple[Array, Array]:
            return jax.jvp(outputs, values, tuple(one[j] * v for j, v in enumerate(values)))

        value, change = jax.vmap(derivative)(jnp.eye(len(values)))
        usable = jnp.isfinite(value) & (value != 0.0)
        return jnp.where(usable, change / jnp.where(usable, value, 1.0), np.nan)

    return jax.jit(at, static_argnums=0)
