"""Elementary effects: how much an output changes when one input is moved half of its distribution.

M. D. Morris, Technometrics 33 (1991) 161-174; mean of absolute values: F. Campolongo, J. Cariboni and A. Saltelli,
Environmental Modelling & Software 22 (2007) 1509-1518. Inputs are taken as their probabilities u in [0, 1), each is
moved from the same point, and every step is one half, up from the lower half and down from the upper one.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from kernels.sensitivity.indices import NOT_FINITE, OK, Estimate, mean_of, sum_of_points

STEP = 0.5


class ElementaryEffects(NamedTuple):
    """Mean, mean absolute value and standard deviation of effects; parameters come first, then the axes of outputs."""

    mean: Estimate
    mean_absolute: Estimate
    deviation: Estimate
    status: np.ndarray


def terms(dimensions: int) -> int:
    """How many sums there are."""
    return 3 * dimensions


def steps(u: Array) -> Array:
    """Step that stays in [0, 1) from each coordinate of points in it."""
    return jnp.where(u < STEP, STEP, -STEP)


def effect_sums(values: Array, steps: Array) -> Array:
    """Sums over points, from which `elementary_effects` makes its statistics.

    Parameters
    ----------
    values : jax.Array
        (1 + d, outputs, cells, points): at a point, and at that with each coordinate moved.
    steps : jax.Array
        (d, points).

    Returns
    -------
    jax.Array
        (3 d, outputs, cells): of the effects, their absolute values and their squares.
    """
    effects = (values[1:] - values[:1]) / steps[:, None, None]
    return jnp.concatenate([sum_of_points(one) for one in (effects, jnp.abs(effects), effects * effects)])


def elementary_effects(sums: np.ndarray, points: int) -> ElementaryEffects:
    """Statistics of elementary effects from the sums of replicates.

    Parameters
    ----------
    sums : numpy.ndarray
        float64 (3 d, replicates, ...), of `effect_sums`.
    points : int
        Of each replicate.

    Returns
    -------
    ElementaryEffects
        NaN where some values are infinite or NaN.
    """
    with np.errstate(all="ignore"):
        sums = np.asarray(sums, np.float64) / points
        status = np.where(np.isfinite(sums).all(axis=(0, 1)), OK, NOT_FINITE).astype(np.int8)
        # Replicates first.
        effects, absolute, squares = np.split(np.moveaxis(np.where(status == OK, sums, np.nan), 1, 0), 3, axis=1)
        mean = mean_of(effects)
        variance = mean_of(squares - 2.0 * mean.value * effects + mean.value**2)
        deviation = np.sqrt(np.maximum(variance.value, 0.0))
        error = np.where(variance.error > 0.0, variance.error / (2.0 * deviation), variance.error)
        return ElementaryEffects(mean, mean_of(absolute), Estimate(deviation, error), status)
