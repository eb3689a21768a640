"""What running statistics are merged of, in float64 on the host: the piece that a state is, and the union of pieces."""

from collections.abc import Callable

import numpy as np


def merge_moments(
    count: np.ndarray, mean: np.ndarray, excess: np.ndarray, squares: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Count, mean, excess and sum of squared deviations of the union of pieces (Chan, Golub and LeVeque 1979).

    Parameters
    ----------
    count, mean, excess, squares : numpy.ndarray
        float64, of each piece, along the last axis; the counts may have fewer axes. Each mean is too large by its
        excess.

    Returns
    -------
    tuple of numpy.ndarray
        float64, without the last axis.
    """
    count = np.broadcast_to(count, mean.shape).astype(np.float64)
    total = count.sum(axis=-1)
    with np.errstate(invalid="ignore", over="ignore"):
        level = np.where(np.isfinite(mean[..., :1]), mean[..., :1], 0.0)
        apart = (mean - level) - excess
        moved = (count * apart).sum(axis=-1) / total
        left = (count * (apart - moved[..., None])).sum(axis=-1) / total
        moved = moved + np.where(np.isfinite(left), left, 0.0)
        merged = level[..., 0] + moved
        # Knuth's sum of two: what the rounding of the mean added.
        added = merged - level[..., 0]
        excess = (added - moved) - (level[..., 0] - (merged - added))
        spread = (squares + count * np.square(apart - moved[..., None])).sum(axis=-1)
    return total, merged, np.where(np.isfinite(excess), excess, 0.0), spread


def merge_least(least: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smallest value of pieces along the last axis, NaN if one is, and the lowest place that has it."""
    merged = least.min(axis=-1)
    return merged, np.where(least == merged[..., None], place, np.iinfo(place.dtype).max).min(axis=-1)


def _merge_deviations(
    count: np.ndarray, mean: np.ndarray, excess: np.ndarray, exponent: np.ndarray
) -> tuple[tuple[np.ndarray, ...], np.ndarray, np.ndarray, np.ndarray]:
    """Count, mean and excess of a union; its power of two, each old one and how far each mean is in units of it."""
    *moments, _ = merge_moments(count, mean, excess, np.zeros_like(mean))
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        far = (mean - moments[1][..., None]) - (excess - moments[2][..., None])
        # Pieces of equal means need no power of two for these.
        largest = np.maximum(exponent, np.where(far == 0.0, exponent, np.frexp(far)[1])).max(axis=-1)
        below = exponent - largest[..., None]
        return tuple(moments), largest, np.ldexp(1.0, below), np.ldexp(far, -largest[..., None])


def merge_cubes(
    count: np.ndarray,
    mean: np.ndarray,
    excess: np.ndarray,
    squares: np.ndarray,
    cubes: np.ndarray,
    exponent: np.ndarray,
) -> tuple[np.ndarray, ...]:
    """Count, mean, excess, sums of squared and of cubed deviations and their power of two, of the union of pieces.

    Parameters
    ----------
    count, mean, excess, squares, cubes, exponent : numpy.ndarray
        float64, but the exponents whole numbers, along the last axis: deviations are in units of 2^exponent.

    Returns
    -------
    tuple of numpy.ndarray
        Without the last axis.
    """
    moments, largest, ratio, far = _merge_deviations(count, mean, excess, exponent)
    with np.errstate(invalid="ignore", under="ignore"):
        squares = squares * ratio**2
        cubes = (cubes * ratio**3 + 3.0 * far * squares + count * far**3).sum(axis=-1)
        return *moments, (squares + count * far**2).sum(axis=-1), cubes, largest


def merge_products(
    count: np.ndarray,
    x: np.ndarray,
    x_excess: np.ndarray,
    y: np.ndarray,
    y_excess: np.ndarray,
    xx: np.ndarray,
    yy: np.ndarray,
    xy: np.ndarray,
    x_exponent: np.ndarray,
    y_exponent: np.ndarray,
) -> tuple[np.ndarray, ...]:
    """Count, two means, their excesses, sums of products of deviations and powers of two, of the union of pieces.

    Parameters
    ----------
    count, x, x_excess, y, y_excess, xx, yy, xy, x_exponent, y_exponent : numpy.ndarray
        As for :func:`merge_cubes`.

    Returns
    -------
    tuple of numpy.ndarray
        Without the last axis.
    """
    moments, x_largest, x_ratio, x_far = _merge_deviations(count, x, x_excess, x_exponent)
    others, y_largest, y_ratio, y_far = _merge_deviations(count, y, y_excess, y_exponent)
    with np.errstate(invalid="ignore", under="ignore"):
        sums = (
            (xx * x_ratio**2 + count * x_far**2).sum(axis=-1),
            (yy * y_ratio**2 + count * y_far**2).sum(axis=-1),
            (xy * (x_ratio * y_ratio) + count * (x_far * y_far)).sum(axis=-1),
        )
    return *moments, *others[1:], *sums, x_largest, y_largest


def piece_of_moments(steps: int, *state: np.ndarray) -> tuple[np.ndarray, ...]:
    """Piece of a state of a mean and its excess, and of the sum of squares and its excess where there are these."""
    mean, excess, *squares = (array.astype(np.float64) for array in state)
    spread = squares[0] - squares[1] if squares else np.zeros_like(mean)
    return np.full(mean.shape, float(steps)), mean, excess, spread


def piece_of_least(steps: int, least: np.ndarray, step: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
    """Piece of a state of the smallest value, and of the first step that has it where that is asked for."""
    return least.astype(np.float64), np.zeros(least.shape, np.int64) if step is None else step


def piece_of_sums(means: int, sums: int) -> Callable[..., tuple[np.ndarray, ...]]:
    """Piece of a state of means and sums, each followed by its excess, and of an exponent for each mean."""

    def piece(steps: int, *state: np.ndarray) -> tuple[np.ndarray, ...]:
        wide = [array.astype(np.float64) for array in state[: 2 * (means + sums)]]
        totals = [a - b for a, b in zip(wide[2 * means :: 2], wide[2 * means + 1 :: 2], strict=True)]
        exponents = (array.astype(np.int64) for array in state[2 * (means + sums) :])
        return np.full(wide[0].shape, float(steps)), *wide[: 2 * means], *totals, *exponents

    return piece
