"""Statistics of values that come a few steps at a time, and of whole rows: moments, extremes, counts, quantiles.

A running statistic is a tuple of arrays with one element for each cell, on the device. Steps come in a fixed order, so
its bits depend neither on how the cells are spread over devices nor on how the steps are spread over calls. Rows, and
what is merged of several running statistics, are NumPy on the host: its sort and selection are many times as fast as
XLA's on a CPU.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from kernels.loss import special

State = tuple[Array, ...]

# Of a sketch at most: of float32, the sign, the exponent and 11 bits of the fraction at first. From 2^13 the last one
# is that of NaN alone.
SKETCH_BINS = 2**20
CHUNK = 2**15  # values that are looked at together: they stay in the cache


class Running(NamedTuple):
    """A statistic that is fed step by step, on the device, and merged of several pieces, in float64 on the host.

    Attributes
    ----------
    fields : tuple of str
        Names of the arrays that a piece is. What is called a place comes as a step, and where that is among all points
        is for the caller to say.
    start : callable
        ``start(shape, dtype) -> state`` before the first step.
    add : callable
        ``add(state, values, done) -> state``: one array of the shape of the cells for each new step, and how many steps
        came before, a whole number of any type. Where a statistic is of several outputs, each step is a tuple.
    piece : callable
        ``piece(steps, *state) -> arrays``: what a state of so many steps tells, by the fields.
    merge : callable
        ``merge(*arrays) -> arrays``: of pieces along the last axis, in their order, their union without that axis.
    includes : tuple of Running
        Those that it can stand for.
    """

    fields: tuple[str, ...]
    start: Callable[[tuple[int, ...], np.dtype], State]
    add: Callable[[State, Sequence[Any], Array], State]
    piece: Callable[..., tuple[np.ndarray, ...]]
    merge: Callable[..., tuple[np.ndarray, ...]]
    includes: "tuple[Running, ...]" = ()


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
    return *_mean_moved(mean, excess, moved, left, share), *_increased(squares, squares_excess, within + between)


def _mean_moved(mean: Array, excess: Array, moved: Array, left: Array, share: Array) -> tuple[Array, Array]:
    """Mean and excess once a share of what they are of is farther by ``moved + left``."""
    # The excess must be right beside the deviations, not only beside the mean.
    change, kept = _unfused(moved * share), special.unfused(excess * (1.0 - share)) - special.unfused(left * share)
    grown = mean + change
    kept = jnp.where(jnp.isfinite(grown), kept + ((grown - mean) - change), 0.0)
    mean = grown - kept
    return mean, jnp.where(jnp.isfinite(grown), kept + (mean - grown), 0.0)


def _deviations(mean: Array, excess: Array, values: Sequence[Array], before: Array) -> tuple[list[Array], State]:
    """How far new values are from their mean, and that from the mean before them; then the mean and its excess.

    What is not finite makes a deviation NaN, and equal values have none whatever their number.
    """
    first = _unfused(values[0])
    apart = [_unfused(value) - first for value in values]
    middle = _in_pairs(apart) / len(values)
    here = first + middle
    left = middle - (here - first)
    moved = here - mean
    far = jnp.where(before > 0.0, moved + (excess + left), 0.0)
    share = len(values) / (before + len(values))
    return [*(one - middle for one in apart), far], _mean_moved(mean, excess, moved, left, share)


def _scaled(exponent: Array, deviations: Sequence[Array]) -> tuple[Array, Array, list[Array]]:
    """The power of two that no deviation is beyond, the old one in units of it, and the deviations in units of it."""
    largest = functools.reduce(jnp.maximum, map(jnp.abs, deviations))
    grown = jnp.maximum(exponent, special.exponent_of(largest) + 1.0)
    # A square or cube that is less by 2^-80 counts for nothing; its power of two stays one that the type has.
    ratio = special.power_of_two(jnp.maximum(exponent - grown, -40.0))
    return grown, ratio, [special.unfused(special.scale(one, -grown)) for one in deviations]


def _add_cubes(state: State, values: Sequence[Array], done: Array) -> State:
    mean, excess, *sums, exponent = state
    before = done.astype(mean.dtype)
    deviations, moments = _deviations(mean, excess, values, before)
    exponent, ratio, (*apart, far) = _scaled(exponent, deviations)
    powers = (ratio * ratio, ratio * ratio, ratio * ratio * ratio, ratio * ratio * ratio)
    squares, squares_excess, cubes, cubes_excess = (
        special.unfused(total * power) for total, power in zip(sums, powers, strict=True)
    )
    share, rest = len(values) / (before + len(values)), before / (before + len(values))
    apart2, far2 = [special.unfused(one * one) for one in apart], special.unfused(far * far)
    within = _in_pairs(apart2)
    # Pebay (2008), equation 2.1 for the third moment.
    turned = special.unfused(rest * within) - special.unfused(share * (squares - squares_excess))
    between = special.unfused(far2 * far * (before * share) * (rest - share)) + special.unfused(3.0 * far * turned)
    added = _in_pairs([special.unfused(one2 * one) for one2, one in zip(apart2, apart, strict=True)])
    squares, squares_excess = _increased(squares, squares_excess, within + special.unfused(far2 * (before * share)))
    return *moments, squares, squares_excess, *_increased(cubes, cubes_excess, added + between), exponent


def _add_products(state: State, values: Sequence[tuple[Array, Array]], done: Array) -> State:
    means, sums, exponents = (state[0:2], state[2:4]), state[4:10], state[10:]
    before = done.astype(state[0].dtype)
    weight = before * (len(values) / (before + len(values)))
    moments: list[Array] = []
    scales = []
    for mean, exponent, own in zip(means, exponents, zip(*values, strict=True), strict=True):
        deviations, moved = _deviations(mean[0], mean[1], own, before)
        moments += moved
        scales.append(_scaled(exponent, deviations))
    grown: list[Array] = []
    for number, (a, b) in enumerate(((0, 0), (1, 1), (0, 1))):
        (_, ratio, (*apart, far)), (_, other_ratio, (*other, other_far)) = scales[a], scales[b]
        within = _in_pairs([special.unfused(one * another) for one, another in zip(apart, other, strict=True)])
        total, excess = (special.unfused(one * (ratio * other_ratio)) for one in sums[2 * number : 2 * number + 2])
        grown += _increased(total, excess, within + special.unfused(far * other_far * weight))
    return *moments, *grown, *(exponent for exponent, _, _ in scales)


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


def _piece_of_moments(steps: int, *state: np.ndarray) -> tuple[np.ndarray, ...]:
    mean, excess, *squares = (array.astype(np.float64) for array in state)
    spread = squares[0] - squares[1] if squares else np.zeros_like(mean)
    return np.full(mean.shape, float(steps)), mean, excess, spread


def _piece_of_least(steps: int, least: np.ndarray, step: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
    return least.astype(np.float64), np.zeros(least.shape, np.int64) if step is None else step


def _piece_of_sums(means: int, sums: int) -> Callable[..., tuple[np.ndarray, ...]]:
    """Piece of a state of means and sums, each followed by its excess, and of an exponent for each mean."""

    def piece(steps: int, *state: np.ndarray) -> tuple[np.ndarray, ...]:
        wide = [array.astype(np.float64) for array in state[: 2 * (means + sums)]]
        totals = [a - b for a, b in zip(wide[2 * means :: 2], wide[2 * means + 1 :: 2], strict=True)]
        exponents = (array.astype(np.int64) for array in state[2 * (means + sums) :])
        return np.full(wide[0].shape, float(steps)), *wide[: 2 * means], *totals, *exponents

    return piece


def _no_exponent(shape: tuple[int, ...], dtype: np.dtype) -> Array:
    exponent = jnp.zeros(shape, dtype)
    return exponent + special.lowest(exponent)


MEAN = Running(
    fields=("count", "mean", "excess", "squares"),
    start=lambda shape, dtype: (jnp.zeros(shape, dtype), jnp.zeros(shape, dtype)),
    add=_add_mean,
    piece=_piece_of_moments,
    merge=merge_moments,
)
"""Mean, compensated: (mean, what it is too large by)."""

MOMENTS = MEAN._replace(
    start=lambda shape, dtype: tuple(jnp.zeros(shape, dtype) for _ in range(4)), add=_add_moments, includes=(MEAN,)
)
"""Mean and sum of squared deviations from it, both compensated: (mean, excess, squares, excess)."""

LEAST = Running(
    fields=("least", "place"),
    start=lambda shape, dtype: (jnp.full(shape, jnp.inf, dtype),),
    add=_add_least,
    piece=_piece_of_least,
    merge=merge_least,
)
"""Smallest value, NaN if one is NaN: (least,)."""

FIRST_LEAST = LEAST._replace(
    start=lambda shape, dtype: (jnp.full(shape, jnp.inf, dtype), jnp.zeros(shape, jnp.int32)),
    add=_add_first_least,
    includes=(LEAST,),
)
"""Smallest value and the first step that has it: (least, step)."""

CUBES = Running(
    fields=("count", "mean", "excess", "squares", "cubes", "exponent"),
    start=lambda shape, dtype: (*(jnp.zeros(shape, dtype) for _ in range(6)), _no_exponent(shape, dtype)),
    add=_add_cubes,
    piece=_piece_of_sums(1, 2),
    merge=merge_cubes,
)
"""Mean, and sums of squared and of cubed deviations from it, in units of a power of two that none is beyond.

Of any scale, so that what they are divided into is right wherever the values are normal numbers, at most a 64th of the
largest: (mean, excess, squares, excess, cubes, excess, exponent).
"""

PRODUCTS = Running(
    fields=("count", "x", "x_excess", "y", "y_excess", "xx", "yy", "xy", "x_exponent", "y_exponent"),
    start=lambda shape, dtype: (
        *(jnp.zeros(shape, dtype) for _ in range(10)),
        *(_no_exponent(shape, dtype) for _ in range(2)),  # two buffers: each is given away
    ),
    add=_add_products,
    piece=_piece_of_sums(2, 3),
    merge=merge_products,
)
"""Of pairs, two means and the sums of squares and of products of deviations from them, scaled as those of CUBES.

(x, excess, y, excess, xx, excess, yy, excess, xy, excess, exponent of x, exponent of y).
"""

COUNT = Running(
    fields=("total",),
    start=lambda shape, dtype: (jnp.zeros(shape, jnp.int32),),
    add=_add_count,
    piece=lambda steps, count: (count.astype(np.int64),),
    merge=lambda total: (total.sum(axis=-1),),
)
"""Number of steps that are true: (count,)."""


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


def _interpolated(low: Iterable[np.ndarray], high: Iterable[np.ndarray], rest: Sequence[float]) -> np.ndarray:
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


class Sought(NamedTuple):
    """Where the values of some ranks of a row are known to lie: a bin of keys for each rank.

    Keys are whole numbers in the order of the values; a bin is all keys with the same leading bits.

    Attributes
    ----------
    bins : numpy.ndarray
        int64, shape (ranks,): the keys in the bin without their last `coarse` bits.
    before : numpy.ndarray
        int64, shape (ranks,): how many values of the row come before the bin.
    coarse, fine : int
        Bits that the bins leave out, and that those of the next counts are to; a bin of which none is left out is one
        value.
    """

    bins: np.ndarray
    before: np.ndarray
    coarse: int
    fine: int


def _keys(values: np.ndarray) -> np.ndarray:
    """Whole numbers in the order of the values, equal where these are: both zeros, and NaN, which comes last."""
    values = np.ascontiguousarray(values).reshape(-1)
    whole = np.dtype(f"i{values.dtype.itemsize}")
    with np.errstate(invalid="ignore"):  # a signalling NaN
        keys = (values + values.dtype.type(0)).view(whole)
    # Two's complement, so that negative numbers come first, the most negative first.
    keys ^= (keys >> (8 * whole.itemsize - 1)) & np.iinfo(whole).max
    if len(values) and np.isnan(values.min()):
        keys[np.isnan(values)] = np.iinfo(whole).max
    return keys


def _values(keys: np.ndarray, dtype: np.dtype) -> np.ndarray:
    keys = keys.astype(f"i{dtype.itemsize}")
    return (keys ^ ((keys >> (8 * dtype.itemsize - 1)) & np.iinfo(keys.dtype).max)).view(dtype)


def sketch(values: np.ndarray, sought: Sought | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Count values by the leading bits of their keys: counts that add up exactly, whatever is counted first.

    Parameters
    ----------
    values : numpy.ndarray
        Any shape, float32 or float64.
    sought : Sought, optional
        What earlier counts of the same values told: only its bins are counted, in finer ones. All values by default.

    Returns
    -------
    bins, counts : numpy.ndarray
        int64, the bins that hold a value, increasing with the value, and how many.
    """
    half, shift = SKETCH_BINS // 2, _first_shift(values.dtype)
    if sought is None:
        counts = np.bincount((_keys(values) >> shift) + half, minlength=SKETCH_BINS)
        bins = np.flatnonzero(counts)
        return bins - half, counts[bins]
    if not sought.coarse:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    bins = np.unique(sought.bins)
    # Most values are outside, which a table of the first bins tells quickly.
    near = np.zeros(SKETCH_BINS, bool)
    near[(bins >> (shift - sought.coarse)) + half] = True
    flat, left = np.ascontiguousarray(values).reshape(-1), []
    for first in range(0, len(flat), CHUNK):
        keys = _keys(flat[first : first + CHUNK])
        left.append(keys[near.take((keys >> shift) + half)])
    keys = np.concatenate(left or [np.zeros(0, np.int64)]).astype(np.int64)
    here = keys >> sought.coarse
    keys = keys[bins.take(np.searchsorted(bins, here), mode="clip") == here]
    return np.unique(keys >> sought.fine, return_counts=True)


def _first_shift(dtype: np.dtype) -> int:
    """Bits of a key that the first counts leave out."""
    return 8 * dtype.itemsize - (SKETCH_BINS.bit_length() - 1)


def merge_sketches(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Counts of the union of what two sketches of the same bins counted."""
    bins, place = np.unique(np.concatenate([first[0], second[0]]), return_inverse=True)
    counts = np.zeros(len(bins), np.int64)
    np.add.at(counts, place, np.concatenate([first[1], second[1]]))
    return bins, counts


def narrowed(
    counted: tuple[np.ndarray, np.ndarray],
    sought: Sought | None,
    points: int,
    probabilities: Sequence[float],
    dtype: np.dtype,
) -> Sought:
    """Bins of the order statistics that quantiles need, as fine as counts of all values of a row tell.

    Parameters
    ----------
    counted : tuple of numpy.ndarray
        The sketch of the row.
    sought : Sought or None
        What it was taken with.
    points : int
        Values of the row.
    probabilities : sequence of float
        As for :func:`row_quantiles`.
    dtype : numpy.dtype
        Of the values.

    Returns
    -------
    Sought
        Until nothing is left out of its bins they are to be counted again. For up to 128 probabilities that is so after
        2 counts of float32 and 2 to 5 of float64.

    Raises
    ------
    ValueError
        Where the values that were counted are not those that were counted before.
    """
    if sought is not None and not sought.coarse:
        return sought
    bins, counts = counted
    ranks = np.array(_order_statistics(points, probabilities), np.int64)
    whole = np.iinfo(f"i{dtype.itemsize}")
    shift = _first_shift(dtype) if sought is None else sought.fine
    if sought is None and len(bins) and bins[-1] == whole.max >> shift:
        return Sought(np.full(len(ranks), whole.max, np.int64), np.zeros(len(ranks), np.int64), 0, 0)
    total = np.concatenate([[0], np.cumsum(counts)])
    first, before, finer = np.zeros(len(ranks), np.int64), np.zeros(len(ranks), np.int64), 0
    if sought is not None:
        finer, before = sought.coarse - shift, sought.before
        first = np.searchsorted(bins, sought.bins << finer)
    at = np.searchsorted(total[1:], ranks - before + total[first], side="right")
    if at.max() >= len(bins) or (sought is not None and np.any(bins[at] >> finer != sought.bins)):
        raise ValueError("values: are not those that were counted before")
    before = before + total[at] - total[first]
    places = np.unique(at)
    # Few values are told apart at once; else there are as many bins as in the first counts.
    fine = max(0, shift - max(1, (SKETCH_BINS // len(places)).bit_length() - 1))
    return Sought(bins[at], before, shift, 0 if _few(counts[places].sum()) else fine)


def _few(count: int) -> bool:
    """Whether so many values have no more bins than a sketch may, however fine these are."""
    return count <= SKETCH_BINS


def sought_quantiles(sought: Sought, points: int, probabilities: Sequence[float], dtype: np.dtype) -> np.ndarray:
    """Quantiles of a row whose order statistics are narrowed down to one value each.

    Returns
    -------
    numpy.ndarray
        Shape (len(probabilities),), equal to what :func:`row_quantiles` gives of the whole row.
    """
    values = _values(sought.bins, dtype)
    below, rest = _ranks(points, probabilities)
    ranks = _order_statistics(points, probabilities)
    above = np.minimum(np.array(below) + 1, points - 1)
    low, high = (values[np.searchsorted(ranks, which), None] for which in (below, above))
    return _interpolated(low, high, rest)[0].astype(dtype)


def _order_statistics(n: int, probabilities: Sequence[float]) -> list[int]:
    """Ranks of the values between which quantiles are interpolated, increasing."""
    below, _ = _ranks(n, probabilities)
    return sorted({*below, *(min(rank + 1, n - 1) for rank in below)})
