"""Shapley effects: the variance of an output shared out among inputs that may be correlated.

A. B. Owen, SIAM/ASA J. Uncertainty Quantification 2 (2014) 245-251; E. Song, B. L. Nelson and J. Staum, ibid. 4 (2016)
1060-1083. All subsets of the inputs are evaluated, not a sample of permutations. What is left of the variance when the
inputs of a subset J are known is E Var(f | X_J) = E (f(X) - f(X'))^2 / 2, where X' shares X_J with X and the rest is
drawn given that; inputs are joined by a Gaussian copula, in whose normal variables that is a linear map.
"""

import itertools
import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import ndtr

from kernels.draws import normal
from kernels.draws.distributions import tails
from kernels.sensitivity.indices import CONSTANT, NOT_FINITE, OK, Estimate, mean_of, share_of, sum_of_points

MOST = 10  # inputs: 2^10 evaluations a point


class ShapleyEffects(NamedTuple):
    """Shapley effects and moments; parameters come first, then the axes of the evaluations."""

    effect: Estimate
    mean: Estimate
    variance: Estimate
    status: np.ndarray


def subsets(dimensions: int) -> list[tuple[int, ...]]:
    """All subsets of the inputs but the whole, the empty one first."""
    return [one for size in range(dimensions) for one in itertools.combinations(range(dimensions), size)]


def terms(dimensions: int) -> int:
    """How many sums there are."""
    return 4 + len(subsets(dimensions)) - 1


def normals(u: Array) -> Array:
    """Independent normal variables of points in [0, 1)."""
    return normal.quantile(*tails(u))


def conditionals(correlations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maps that give X and, for each subset J, X' which shares X_J with it.

    Parameters
    ----------
    correlations : numpy.ndarray
        (d, d), positive definite, of the normal variables.

    Returns
    -------
    kept, drawn : numpy.ndarray
        (1 + subsets, d, d): X is ``kept[0] @ e``, and X' is ``kept[k] @ e + drawn[k] @ e'``, of independent e and e'.
    """
    d = len(correlations)
    factor = np.linalg.cholesky(correlations)
    kept, drawn = [factor], [np.zeros((d, d))]
    for subset in subsets(d):
        inside, outside = list(subset), [i for i in range(d) if i not in subset]
        known = np.linalg.solve(correlations[np.ix_(inside, inside)], correlations[np.ix_(inside, outside)]).T
        left = correlations[np.ix_(outside, outside)] - known @ correlations[np.ix_(inside, outside)]
        mapped, fresh = np.zeros((d, d)), np.zeros((d, d))
        mapped[inside] = factor[inside]
        mapped[outside] = known @ factor[inside]
        fresh[np.ix_(outside, outside)] = np.linalg.cholesky(left)
        kept.append(mapped)
        drawn.append(fresh)
    return np.stack(kept), np.stack(drawn)


def conditioned(normals: Array, kept: Array, drawn: Array) -> Array:
    """Points (d, ...) in [0, 1] of one of the maps of `conditionals`, from normal variables (2 d, ...)."""
    d = len(kept)
    rows = [
        sum(
            (kept[i, j] * normals[j] + drawn[i, j] * normals[d + j] for j in range(1, d)),
            kept[i, 0] * normals[0] + drawn[i, 0] * normals[d],
        )
        for i in range(d)
    ]
    return ndtr(jnp.stack(rows))


def subset_sums(values: Array) -> Array:
    """Sums over points, from which `shapley_effects` makes effects.

    Parameters
    ----------
    values : jax.Array
        (2^d, ..., points): at X and at X' for each of `subsets`, minus any constant near their mean.

    Returns
    -------
    jax.Array
        (terms, ...): of f(X) and f(X') of the empty subset, which share nothing, of the squares of both, and for each
        other subset of the squared difference.
    """
    first, other = values[0], values[1]
    moments = jnp.stack([sum_of_points(one) for one in (first, other, first * first, other * other)])
    difference = values[2:] - first[None]
    return jnp.concatenate([moments, sum_of_points(difference * difference)])


def shapley_effects(
    sums: np.ndarray, points: int, dimensions: int, *, centre: np.ndarray | float = 0.0, resolution: float = 2.0**-50
) -> ShapleyEffects:
    """Shapley effects, which add up to 1, from the sums of replicates.

    Parameters
    ----------
    sums : numpy.ndarray
        float64 (terms, replicates, ...), of `subset_sums`.
    points, dimensions, centre, resolution
        As for :func:`kernels.sensitivity.indices.sobol_indices`.

    Returns
    -------
    ShapleyEffects
        NaN, with a `status` that says why, where an output is constant or some of its values are infinite or NaN.
    """
    sums = np.asarray(sums, np.float64) / points
    with np.errstate(all="ignore"):
        values = (sums[0] + sums[1]) / 2.0
        middle = values.mean(axis=0)
        spread = (sums[2] + sums[3]) / 2.0 - 2.0 * middle * values + middle**2
        variance = spread.mean(axis=0)
        status = np.where(variance <= (resolution * np.abs(centre + middle)) ** 2, CONSTANT, OK)
        status = np.where(np.isfinite(sums).all(axis=(0, 1)), status, NOT_FINITE).astype(np.int8)
        left = np.concatenate([spread[None], sums[4:] / 2.0])
        shared = np.tensordot(weights(dimensions), left, axes=1)
        finite = np.where(status == NOT_FINITE, np.nan, 1.0)
        return ShapleyEffects(
            effect=share_of(shared, spread, np.where(status == OK, variance, np.nan)),
            mean=mean_of(finite * (centre + values)),
            variance=mean_of(finite * spread),
            status=status,
        )


def weights(dimensions: int) -> np.ndarray:
    """Weights (d, subsets) of what is left of the variance in each effect."""
    order = subsets(dimensions)
    table = np.zeros((dimensions, len(order)))
    for column, subset in enumerate(order):
        for i in range(dimensions):
            size = len(subset)
            if i in subset:
                table[i, column] = -1.0 / (dimensions * math.comb(dimensions - 1, size - 1))
            else:
                table[i, column] = 1.0 / (dimensions * math.comb(dimensions - 1, size))
    return table
