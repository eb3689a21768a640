"""Quantiles and counts of whole rows, in NumPy: its sort and selection are many times as fast as XLA's on a CPU.

Order statistics of rows too long to be looked at whole are narrowed down by sketches: counts in bins that grow finer.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from kernels.statistics.bounds import least_at, most_at

# Of a sketch at most: of float32, the sign, the exponent and 11 bits of the fraction at first. From 2^13 the last one
# is that of NaN alone.
SKETCH_BINS = 2**20
CHUNK = 2**15  # values that are looked at together: they stay in the cache


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
    quantiles = _interpolated([rows[:, b] for b in below], above, rest)
    if undefined is not None:
        quantiles[undefined] = np.nan
    return quantiles.astype(rows.dtype)


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
