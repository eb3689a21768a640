"""Sobol' indices from evaluations at points A and B that differ in every coordinate, and at points in between.

AB_i is A with coordinate i of B, BA_i is B with coordinate i of A. All estimates are made from sums over the points, so
that nothing else needs to be kept, and sums of several independently randomised sets of points (replicates) give their
errors. First order: A. Saltelli et al., Computer Physics Communications 181 (2010) 259-270, table 2 (b); total:
M. J. W. Jansen, Computer Physics Communications 117 (1999) 35-43; second order: A. Saltelli, Computer Physics
Communications 145 (2002) 280-297. These are the forms of SciPy and SALib.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

LANES = 64  # partial sums side by side, so that a CPU adds in vectors
OK, CONSTANT, NOT_FINITE = range(3)  # status
STATUS = ("ok", "constant", "not_finite")


class Estimate(NamedTuple):
    """A quantity, and the standard error of it that the replicates show."""

    value: np.ndarray
    error: np.ndarray


class Indices(NamedTuple):
    """Sobol' indices and moments; parameters come first, then the axes of the evaluations."""

    first_order: Estimate
    total: Estimate
    second_order: Estimate | None
    mean: Estimate
    variance: Estimate
    status: np.ndarray


def masks(dimensions: int, *, second_order: bool = False) -> np.ndarray:
    """Which coordinates are those of B in A, B, AB_1 … AB_d and, for the second order, BA_1 … BA_d.

    Returns
    -------
    numpy.ndarray
        bool (points, dimensions).
    """
    ends = np.array([[False], [True]]).repeat(dimensions, axis=1)
    between = np.eye(dimensions, dtype=bool)
    return np.concatenate([ends, between, *([~between] if second_order else [])])


def terms(dimensions: int, *, second_order: bool = False) -> int:
    """How many sums there are."""
    return 4 + 3 * dimensions + (dimensions + dimensions**2 if second_order else 0)


def pick_freeze_sums(values: Array, dimensions: int) -> Array:
    """Sums over points, from which `sobol_indices` makes indices.

    Parameters
    ----------
    values : jax.Array
        (evaluations, ..., points): at A, B, AB_i and, for the second order, BA_i, in the order of `masks`, minus any
        constant near their mean.
    dimensions : int

    Returns
    -------
    jax.Array
        (terms, ...): sums of f(A), f(B) and their squares; for each coordinate of f(AB_i) - f(A), of that times f(B),
        and of its square; for the second order of f(BA_i) - f(B), and for each i and j of f(BA_i) f(AB_j) - f(A) f(B).
    """
    a, b, between = values[0], values[1], values[2 : 2 + dimensions]
    change = between - a[None]
    products = [a, b, a * a, b * b, change, change * b[None], change * change]
    if len(values) > 2 + dimensions:
        back = values[2 + dimensions :]
        products += [back - b[None], *(row[None] * between - (a * b)[None] for row in back)]
    sums = [sum_of_points(one) for one in products]
    return jnp.concatenate([one if one.ndim == a.ndim else one[None] for one in sums])


def sum_of_points(values: Array) -> Array:
    """Sum over the last axis, in a fixed order."""
    points = values.shape[-1]
    if points % LANES == 0:
        rows = values.reshape(*values.shape[:-1], points // LANES, LANES)
        values = sum((rows[..., k, :] for k in range(points // LANES)), start=jnp.zeros_like(rows[..., 0, :]))
    return values.sum(axis=-1)


def sobol_indices(
    sums: np.ndarray, points: int, dimensions: int, *, centre: np.ndarray | float = 0.0, resolution: float = 2.0**-50
) -> Indices:
    """Indices from the sums of replicates.

    The evaluations are centred by their mean before they are multiplied, or the noise of the first order would grow
    with the mean. Errors are those of ratios of means over the replicates, to first order.

    Parameters
    ----------
    sums : numpy.ndarray
        float64 (terms, replicates, ...), of `pick_freeze_sums`; one replicate at least.
    points : int
        Points A of each replicate.
    dimensions : int
    centre : numpy.ndarray
        The constant that was taken off the values.
    resolution : float
        Relative rounding of the values: an output that varies by no more is constant.

    Returns
    -------
    Indices
        NaN, with a `status` that says why, where an output is constant or some of its values are infinite or NaN;
        errors are NaN for one replicate.
    """
    sums = np.asarray(sums, np.float64) / points
    with np.errstate(all="ignore"):
        middle = (sums[0] + sums[1]).mean(axis=0) / 2.0
        spread = (sums[2] + sums[3]) / 2.0 - middle * (sums[0] + sums[1]) + middle**2
        change, cross, square = np.split(sums[4 : 4 + 3 * dimensions], 3)
        variance = spread.mean(axis=0)
        status = np.where(variance <= (resolution * np.abs(centre + middle)) ** 2, CONSTANT, OK)
        status = np.where(np.isfinite(sums).all(axis=(0, 1)), status, NOT_FINITE)
        usable = np.where(status == OK, variance, np.nan)
        first = cross - middle * change
        second = None
        if len(sums) > 4 + 3 * dimensions:
            back, pairs = np.split(sums[4 + 3 * dimensions :], [dimensions])
            pairs = pairs.reshape(dimensions, dimensions, *back.shape[1:])
            closed = pairs - middle * (back[:, None] + change[None])
            second = share_of(_symmetric(closed - first[:, None] - first[None]), spread, usable)
        finite = np.where(status == NOT_FINITE, np.nan, 1.0)
        return Indices(
            first_order=share_of(first, spread, usable),
            total=share_of(square / 2.0, spread, usable),
            second_order=second,
            mean=mean_of(finite * (centre + (sums[0] + sums[1]) / 2.0)),
            variance=mean_of(finite * spread),
            status=status.astype(np.int8),
        )


def _symmetric(pairs: np.ndarray) -> np.ndarray:
    """What the pairs i < j give, in both places; NaN on the diagonal."""
    matrix = np.full_like(pairs, np.nan)
    for i in range(len(pairs)):
        for j in range(i + 1, len(pairs)):
            matrix[i, j] = matrix[j, i] = pairs[i, j]
    return matrix


def share_of(part: np.ndarray, spread: np.ndarray, variance: np.ndarray) -> Estimate:
    """Part of the variance; replicates are on the first axis of `spread` and on the last but its others of `part`."""
    axis = part.ndim - spread.ndim
    value = part.mean(axis=axis) / variance
    left = part - np.expand_dims(value, axis) * spread
    return Estimate(value, _standard_error(left, axis) / variance)


def mean_of(values: np.ndarray) -> Estimate:
    """Mean over the replicates, on the first axis."""
    return Estimate(values.mean(axis=0), _standard_error(values, 0))


def _standard_error(values: np.ndarray, axis: int) -> np.ndarray:
    """Of the mean of independent values along an axis; NaN for one value."""
    count = values.shape[axis]
    if count == 1:
        return np.full(np.delete(values.shape, axis), np.nan)
    return values.std(axis=axis, ddof=1) / math.sqrt(count)


def student_t(confidence: float, freedom: int) -> float:
    """Half width of the central interval of a confidence, of Student's t with some degrees of freedom.

    Parameters
    ----------
    confidence : float
        In (0, 1).
    freedom : int
        >= 1.

    Notes ----- Relative error at most 1e-9 for confidences 0.01 to 0.9999 and up to 1000 degrees of freedom
    (tests/kernels/sensitivity/test_indices.py). The probability inside, a finite sum: M. Abramowitz and I. A. Stegun,
    Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    low, high = 0.0, math.pi / 2.0
    while high - low > 1e-15:
        middle = (low + high) / 2.0
        low, high = (middle, high) if _inside(middle, freedom) < confidence else (low, middle)
    return math.sqrt(freedom) * math.tan((low + high) / 2.0)


def _inside(angle: float, freedom: int) -> float:
    """Probability that |t| < sqrt(freedom) tan(angle)."""
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for k in range(1 + odd, freedom, 2):
        total += term
        term *= cosine * cosine * k / (k + 1.0)
    return 2.0 / math.pi * (angle + sine * total) if odd else sine * total
