"""Statistics of values that come a few steps at a time, and of whole rows: moments, extremes, counts, quantiles.

A running statistic is a tuple of arrays with one element for each cell, on the device. Steps come in a fixed order, so
its bits depend neither on how the cells are spread over devices nor on how the steps are spread over calls. Rows, and
what is merged of several running statistics, are NumPy on the host: its sort and selection are many times as fast as
XLA's on a CPU.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from kernels import special

State = tuple[Array, ...]

SKETCH_BITS = 20  # leading bits of a float32 that tell the bins of a sketch apart: sign, exponent, 11 of the fraction
SKETCH_ERROR = 2.5e-4  # relative; half a bin, and the rounding to float32


class Running(NamedTuple):
    """A statistic that is fed step by step.

    Attributes
    ----------
    start : callable
        ``start(shape, dtype) -> state`` before the first step.
    add : callable
        ``add(state, values, done) -> state``: one array of the shape of the cells for each new step, and how many steps
        came before, a whole number of any type.
    """

    start: Callable[[tuple[int, ...], np.dtype], State]
    add: Callable[[State, Sequence[Array], Array], State]


def _in_pairs(values: Sequence[Array]) -> Array:
    """Sum whose error grows with the logarithm of the number of terms."""
    values = list(values)
    while len(values) > 1:
        pairs = [a + b for a, b in zip(values[::2], values[1::2], strict=False)]
        values = pairs + values[2 * len(pairs) :]
    return values[0]


def _unfused(value: Array) -> Array:
    """The value, and not a product that a compiler fuses with the sum it enters; whether it would depends on shapes."""
    return jnp.where(value < -np.finfo(value.dtype).max, value, special.unfused(value))


def _increased(total: Array, excess: Array, change: Array) -> tuple[Array, Array]:
    """Kahan's sum: what is summed is `total` less `excess`."""
    change = change - excess
    grown = total + change
    return grown, jnp.where(jnp.isfinite(grown), (grown - total) - change, 0.0)


def _moved(mean: Array, excess: Array, here: Array) -> Array:
    """How far new values are from the mean before them; an infinite mean stays unless they are infinite otherwise."""
    endless = jnp.where(here == mean, 0.0, here * 0.0)
    return jnp.where(jnp.isinf(mean), endless, (here - mean) + excess)


def _add_mean(state: State, values: Sequence[Array], done: Array) -> State:
    mean, excess = state
    here = _in_pairs([_unfused(value) for value in values]) / len(values)
    share = len(values) / (done.astype(mean.dtype) + len(values))
    return _increased(mean, excess, _unfused(_moved(mean, excess, here) * share))


def _add_moments(state: State, values: Sequence[Array], done: Array) -> State:
    mean, excess, squares, squares_excess = state
    values = [_unfused(value) for value in values]
    here = _in_pairs(values) / len(values)
    apart = [value - here for value in values]
    # What the rounding of their mean left out: where values differ little, their variance is not much more than that.
    left = _in_pairs(apart) / len(values)
    left = jnp.where(jnp.isfinite(left), left, 0.0)
    before = done.astype(mean.dtype)
    share = len(values) / (before + len(values))
    moved = _moved(mean, jnp.zeros_like(mean), here)
    within = _in_pairs([special.unfused(a * a) for a in apart]) - special.unfused(left * left * len(values))
    far = moved + (excess + left)
    between = special.unfused(far * far * (before * share))
    # The excess must be right beside the deviations, not only beside the mean.
    change, kept = _unfused(moved * share), special.unfused(excess * (1.0 - share)) - special.unfused(left * share)
    grown = mean + change
    kept = jnp.where(jnp.isfinite(grown), kept + ((grown - mean) - change), 0.0)
    mean = grown - kept
    excess = jnp.where(jnp.isfinite(grown), kept + (mean - grown), 0.0)
    return mean, excess, *_increased(squares, squares_excess, within + between)


def _add_least(state: State, values: Sequence[Array], _: Array) -> State:
    (least,) = state
    for value in values:
        least = jnp.minimum(least, value)
    return (least,)


def _add_first_least(state: State, values: Sequence[Array], done: Array) -> State:
    least, at = state
    here, step = values[0], jnp.zeros(at.shape, at.dtype)
    for number, value in enumerate(values[1:], 1):
        step = jnp.where(value < here, jnp.asarray(number, at.dtype), step)
        here = jnp.minimum(here, value)
    return jnp.minimum(least, here), jnp.where(here < least, done.astype(at.dtype) + step, at)


def _add_count(state: State, values: Sequence[Array], _: Array) -> State:
    (count,) = state
    return (count + _in_pairs([value.astype(count.dtype) for value in values]),)


MEAN = Running(lambda shape, dtype: (jnp.zeros(shape, dtype), jnp.zeros(shape, dtype)), _add_mean)
"""Mean, compensated: (mean, what it is too large by)."""

MOMENTS = Running(lambda shape, dtype: tuple(jnp.zeros(shape, dtype) for _ in range(4)), _add_moments)
"""Mean and sum of squared deviations from it, both compensated: (mean, excess, squares, excess)."""

LEAST = Running(lambda shape, dtype: (jnp.full(shape, jnp.inf, dtype),), _add_least)
"""Smallest value, NaN if one is NaN: (least,)."""

FIRST_LEAST = Running(
    lambda shape, dtype: (jnp.full(shape, jnp.inf, dtype), jnp.zeros(shape, jnp.int32)), _add_first_least
)
"""Smallest value and the first step that has it: (least, step)."""

COUNT = Running(lambda shape, dtype: (jnp.zeros(shape, jnp.int32),), _add_count)
"""Number of steps that are true: (count,)."""


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


def row_quantiles(rows: np.ndarray, probabilities: Sequence[float]) -> np.ndarray:
    """Quantiles of each row, interpolated linearly between the two values next to rank (n - 1) p.

    Parameters
    ----------
    rows : numpy.ndarray
        Values, shape (m, n); they are put in another order.
    probabilities : sequence of float
        In [0, 1], increasing.

    Returns
    -------
    numpy.ndarray
        Shape (m, len(probabilities)), the dtype of the rows; NaN where the row holds one, infinite where both values
        or the farther are.

    Notes
    -----
    Exact order statistics by selection; the interpolation is rounded once from float64. The definition is the 7th of
    Hyndman and Fan (1996), NumPy's default.
    """
    n = rows.shape[1]
    below, rest = _ranks(n, probabilities)
    with np.errstate(invalid="ignore", over="ignore"):
        undefined = np.isnan(rows).any(axis=1) if np.isnan(rows.sum()) else None
    wanted = sorted(set(below))
    _select(rows, 0, n, wanted)
    # What follows a selected value is the least of those up to the next one that is selected.
    ends = dict(zip(wanted, [*(rank + 1 for rank in wanted[1:]), n], strict=True))
    above = [rows[:, b + 1 : ends[b]].min(axis=1) if r > 0.0 else rows[:, b] for b, r in zip(below, rest, strict=True)]
    found = _interpolated([rows[:, b] for b in below], above, rest)
    if undefined is not None:
        found[undefined] = np.nan
    return found.astype(rows.dtype)


def _ranks(n: int, probabilities: Sequence[float]) -> tuple[list[int], list[float]]:
    """Whole part and rest of (n - 1) p for each probability."""
    ranks = [min(max((n - 1) * float(p), 0.0), n - 1) for p in probabilities]
    return [int(rank) for rank in ranks], [rank - int(rank) for rank in ranks]


def _interpolated(low: Sequence[np.ndarray], high: Sequence[np.ndarray], rest: Sequence[float]) -> np.ndarray:
    columns = []
    for a, b, r in zip(low, high, rest, strict=True):
        a, b = a.astype(np.float64), b.astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            columns.append(np.where((a == b) | (r == 0.0), a, np.clip(a * (1.0 - r) + b * r, a, b)))
    return np.stack(columns, axis=-1)


def _select(rows: np.ndarray, start: int, stop: int, ranks: Sequence[int]) -> None:
    """Put the values of the given ranks where they belong; NumPy is quick with one rank at a time, not with several."""
    if not ranks:
        return
    middle = len(ranks) // 2
    rank = ranks[middle]
    if start + 1 < stop:
        rows[:, start:stop].partition(rank - start, axis=1)
    _select(rows, start, rank, ranks[:middle])
    _select(rows, rank + 1, stop, ranks[middle + 1 :])


def row_counts(rows: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """How many values of each row lie between edges: [a, b), the last [a, b]; NaN and what is outside is not counted.

    Parameters
    ----------
    rows : numpy.ndarray
        Values, shape (m, n); they are sorted in place.
    edges : numpy.ndarray
        float64, increasing; compared exactly, though the rows be float32.

    Returns
    -------
    numpy.ndarray
        int64, shape (m, len(edges) - 1).
    """
    rows.sort(axis=1)
    low, last = least_at(edges, rows.dtype), most_at(edges[-1:], rows.dtype)
    counts = np.empty((len(rows), len(edges) - 1), np.int64)
    for row, count in zip(rows, counts, strict=True):
        places = np.searchsorted(row, low, side="left")
        places[-1] = np.searchsorted(row, last, side="right")[0]
        count[:] = np.diff(places)
    return counts


def least_at(bounds: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Smallest numbers of a type that are >= the bounds, which are float64."""
    with np.errstate(over="ignore"):
        rounded = bounds.astype(dtype)
        return np.where(rounded < bounds, np.nextafter(rounded, np.inf, dtype=dtype), rounded).astype(dtype)


def most_at(bounds: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Largest numbers of a type that are <= the bounds, which are float64."""
    return -least_at(-bounds, dtype)


def compare(value: Array | np.ndarray, sign: str, bound: float) -> Array | np.ndarray:
    """Where ``value sign bound`` holds, for a sign of <, <=, >, >=, compared as float64 would compare them.

    The bound may lie between two numbers of the type of the values.
    """
    above, below = (round_(np.asarray([bound]), value.dtype)[0] for round_ in (least_at, most_at))
    if sign in ("<", ">="):
        return value < above if sign == "<" else value >= above
    return value <= below if sign == "<=" else value > below


def sketch(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count values by the leading bits of their float32: counts that add up exactly, whatever is counted first.

    Parameters
    ----------
    values : numpy.ndarray
        Any shape, float32 or float64.

    Returns
    -------
    bins, counts : numpy.ndarray
        int64, the bins that hold a value, increasing with the value, and how many.
    """
    with np.errstate(over="ignore", under="ignore"):
        bits = np.ascontiguousarray(values, np.float32).reshape(-1).view(np.int32)
    # Two's complement, so that bins of negative numbers come first, the most negative first.
    keys = np.where(bits >= 0, bits, bits ^ np.int32(0x7FFFFFFF)) >> (32 - SKETCH_BITS)
    counts = np.bincount(keys + (1 << (SKETCH_BITS - 1)), minlength=1 << SKETCH_BITS)
    bins = np.flatnonzero(counts)
    return bins, counts[bins]


def merge_sketches(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Counts of the union of what two sketches counted."""
    bins, place = np.unique(np.concatenate([first[0], second[0]]), return_inverse=True)
    counts = np.zeros(len(bins), np.int64)
    np.add.at(counts, place, np.concatenate([first[1], second[1]]))
    return bins, counts


def sketch_quantiles(bins: np.ndarray, counts: np.ndarray, probabilities: Sequence[float]) -> np.ndarray:
    """Quantiles of what a sketch counted, defined as those of :func:`row_quantiles`.

    Returns
    -------
    numpy.ndarray
        float64, shape (len(probabilities),).

    Notes
    -----
    Each of the two values that are interpolated is within a relative `SKETCH_ERROR` of the true one, for normal
    numbers of float32; smaller ones are within 1e-38, larger ones are infinite.
    """
    keys = (bins - (1 << (SKETCH_BITS - 1))) << (32 - SKETCH_BITS)
    ends = np.stack([keys, keys + (1 << (32 - SKETCH_BITS)) - 1]).astype(np.int32)
    with np.errstate(invalid="ignore"):
        low, high = np.where(ends >= 0, ends, ends ^ np.int32(0x7FFFFFFF)).view(np.float32).astype(np.float64)
        # The bin of an infinity begins, or for the negative one ends, with it; the rest of that bin is NaN.
        middle = np.where(np.isnan(low), high, np.where(np.isnan(high), low, (low + high) / 2.0))
    if np.isnan(middle).any():
        return np.full(len(probabilities), np.nan)
    total = np.cumsum(counts)
    below, rest = _ranks(int(total[-1]), probabilities)
    at = np.searchsorted(total, below, side="right")
    above = np.searchsorted(total, np.minimum(np.asarray(below) + 1, total[-1] - 1), side="right")
    return _interpolated(middle[at, None], middle[above, None], rest)[0]
