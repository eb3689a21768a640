"""Which points are on the Pareto front, in NumPy: :mod:`kernels.pareto.nondominated` for points on the host.

A cull drops what a sample of the points dominates, in one pass of a few nanoseconds a point; an exact pass works on
the ranks of what is left. That a sample of s points leaves about F(s)/s of the others undominated, F(s) of s points
being on the front, is why a cull by a sample works. Arguments are those of the public functions, checked; `flips` says
which objectives are maximised.
"""

import bisect
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

_SAMPLE, _FEW, _SHARE = 4096, 64, 32  # of a small sample; of its front; a larger sample is this part of the points
_CHUNK = 1 << 15  # rows that are culled at once: they stay in the cache
_CELLS = 1 << 16  # of a table over all objectives but the last
_SERIAL = 64  # chunks that are not worth threads
_FINE_BITS = 14  # of the bins by which a table's cells are found
_WINDOW = 32  # neighbours in sorted order, compared one by one
_BLOCK = 1024  # rows that are compared with as many others at once


def is_nondominated(points: np.ndarray, flips: tuple[bool, ...], keep_weakly: bool) -> np.ndarray:
    """Whether no other point dominates a point, shape (n,)."""
    n, m = points.shape
    kept = np.arange(n)
    if m > 1 and n > _SAMPLE:
        kept = _cull(points, flips, _good_points(points, flips))
    mask = np.zeros(n, bool)
    mask[kept[_front(_oriented(points.take(kept, axis=0), flips), keep_weakly)]] = True
    return mask


def _oriented(points: np.ndarray, flips: tuple[bool, ...]) -> np.ndarray:
    """Points of which less is better in every objective, with one zero."""
    zero = points.dtype.type(0)
    oriented = points + zero
    for j in np.flatnonzero(flips):
        np.subtract(zero, points[:, j], out=oriented[:, j])
    return oriented


def _complete(points: np.ndarray) -> np.ndarray:
    """Indices of the points without a NaN."""
    return np.flatnonzero(~np.logical_or.reduce([np.isnan(column) for column in points.T]))


def scattered(n: int, size: int) -> np.ndarray:
    """Indices spread evenly over 0 to n − 1, in step with no grid: multiples of the golden ratio."""
    return (((np.arange(1, size + 1, dtype=np.uint64) * 2654435769) & 0xFFFFFFFF) * np.uint64(n) >> 32).astype(np.intp)


def _good_points(points: np.ndarray, flips: tuple[bool, ...]) -> np.ndarray:
    """The front of a sample; if that is large, what it leaves of a larger sample."""
    sample = _oriented(points.take(scattered(len(points), _SAMPLE), axis=0), flips)
    good = sample[_front(sample, False)]
    if len(good) > _FEW and len(points) > _SAMPLE * _SHARE:
        sample = _oriented(points.take(scattered(len(points), len(points) // _SHARE), axis=0), flips)
        good = sample[_cull(sample, (False,) * len(flips), good)]
    return good


def _cull(points: np.ndarray, flips: tuple[bool, ...], good: np.ndarray) -> np.ndarray:
    """Indices of a superset of all points that are nowhere dominated, the equal ones too, given some `good` points."""
    return Cull(good)(points, flips)


class Cull:
    """Drops, in a few nanoseconds a point, most of the points that some good points dominate.

    Parameters
    ----------
    good : numpy.ndarray
        Points of shape (n, m), less being better in every objective. Those with a NaN are left out; with no others
        nothing but points with a NaN is dropped.
    """

    def __init__(self, good: np.ndarray) -> None:
        self._good = good = good[_complete(good)] + good.dtype.type(0)
        if not len(good) or good.shape[1] == 1:
            return
        edges, table = _table(good)
        self._bins = [_Bins(edge) for edge in edges]
        steps = zip(self._bins, table.strides, strict=True)
        self._steps = [bin_.cell * step // table.itemsize for bin_, step in steps]
        self._limit = table[self._bins[0].cell] if len(edges) == 1 else table.ravel()

    def __call__(self, points: np.ndarray, flips: tuple[bool, ...] | None = None) -> np.ndarray:
        """Indices, increasing, of a superset of the points that no good one dominates, those that equal one included.

        Parameters
        ----------
        points : numpy.ndarray
            Shape (n, m), of the dtype of the good points.
        flips : tuple of bool, optional
            Which objectives of `points` are maximised; none by default.
        """
        flips = (False,) * points.shape[1] if flips is None else flips
        if not len(self._good):
            return _complete(points)
        if points.shape[1] == 1:
            return np.flatnonzero(_oriented(points, flips)[:, 0] <= self._good.min())
        best = _best(points, flips, self._good) if len(points) else None
        starts = range(0, len(points), _CHUNK)
        if len(starts) < _SERIAL:
            found = [self._undominated(points, flips, best, start) for start in starts]
            return np.concatenate(found) if found else np.zeros(0, np.intp)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return np.concatenate(list(pool.map(lambda start: self._undominated(points, flips, best, start), starts)))

    def _undominated(
        self, points: np.ndarray, flips: tuple[bool, ...], best: np.ndarray | None, start: int
    ) -> np.ndarray:
        columns = [-c if flip else c for c, flip in zip(points[start : start + _CHUNK].T, flips, strict=True)]
        among = None
        if best is not None:
            worse = columns[0] > best[0]
            for column, b in zip(columns[1:], best[1:], strict=True):
                worse &= column > b
            among = np.flatnonzero(~worse)
            columns = [column.take(among) for column in columns]
        place = self._bins[0](columns[0])
        if len(self._bins) > 1:
            place = self._steps[0].take(place, mode="clip")
            for bin_, column, step in zip(self._bins[1:], columns[1:], self._steps[1:], strict=False):
                place += step.take(bin_(column), mode="clip")
        kept = np.flatnonzero(~(columns[-1] > self._limit.take(place, mode="clip")))
        return (kept if among is None else among[kept]) + start


def _best(points: np.ndarray, flips: tuple[bool, ...], good: np.ndarray) -> np.ndarray | None:
    """The good point that alone dominates most of the points, if these are so many that asking it first pays."""
    few = good[np.linspace(0, len(good) - 1, min(len(good), 64)).astype(np.intp)]
    sample = _oriented(points[scattered(len(points), 512)], flips)
    beaten = np.logical_and.reduce([b[:, None] < s[None, :] for b, s in zip(few.T, sample.T, strict=True)]).sum(axis=1)
    return few[beaten.argmax()] if beaten.max() > 0.75 * len(sample) else None


def _table(good: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Edges of the cells of all objectives but the last, and the limit in each cell that only dominated points exceed.

    Cell c of an objective is for what is at or above edge c − 1. Of good points at or below the cell's lower edges the
    least last objective is the limit; if one of them is below an edge, what is equal to the limit is dominated too.
    """
    *binned, last = good.T
    levels = [np.unique(column) for column in binned]
    edges, cells, left = list(levels), _CELLS, len(levels)
    for j in sorted(range(left), key=lambda j: len(levels[j])):
        number = max(3, int(cells ** (1 / left))) - 1
        if number < len(levels[j]):
            edges[j] = levels[j][np.linspace(0, len(levels[j]) - 1, number).round().astype(np.intp)]
        cells, left = cells // (len(edges[j]) + 1), left - 1
    table = np.full([len(edge) + 1 for edge in edges], np.inf, good.dtype)
    cell = np.ravel_multi_index([np.searchsorted(e, c) + 1 for e, c in zip(edges, binned, strict=True)], table.shape)
    np.minimum.at(table.reshape(-1), cell, last)
    for axis in range(table.ndim):
        np.minimum.accumulate(table, axis=axis, out=table)
    below = np.full_like(table, np.inf)
    for axis in range(table.ndim):
        inner = np.moveaxis(below, axis, 0)[1:]
        np.minimum(inner, np.moveaxis(table, axis, 0)[:-1], out=inner)
    return edges, np.where((below <= table) & (below < np.inf), _next_below(table), table)


def _next_below(x: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.nextafter(x, -np.inf)


class _Bins:
    """A monotone map from numbers to small integers, and from these to the cells of one objective.

    The map is of the bits of the distance from the lowest edge, so that it is fine near it however wide the range is.
    ``cell[b]`` counts the edges that are surely at or below every number in bin b.
    """

    def __init__(self, edges: np.ndarray):
        self.whole = np.dtype(f"i{edges.dtype.itemsize}")
        finite = edges[np.isfinite(edges)]
        self.low = finite[0] if len(finite) else edges.dtype.type(0)
        with np.errstate(over="ignore"):
            far = finite - self.low
        far = far[(far > 0) & np.isfinite(far)]
        first, last = far[[0, -1]].view(self.whole).tolist() if len(far) else (0, 0)
        self.shift = max(1, (last - first).bit_length() - _FINE_BITS)  # one at least, or what follows may wrap around
        self.base = (first >> self.shift) - 1
        size = (last >> self.shift) - self.base + 2
        at, before = (np.clip(self(x), 0, size - 1) for x in (edges, _next_below(edges)))
        self.cell = np.searchsorted(at + (at == before), np.arange(size), side="right")

    def __call__(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            bits = np.subtract(x, self.low).view(self.whole)
        bits >>= self.shift
        bits -= self.base
        return bits


def _front(points: np.ndarray, keep_weakly: bool) -> np.ndarray:
    """Indices of the points on the front, of few points: by sorting."""
    valid = _complete(points)
    if not len(valid):
        return valid
    columns = [column.take(valid) for column in points.T]
    if len(columns) == 2:
        return valid[_front_of_two(columns[0], columns[1], keep_weakly)]
    with_fewest_first = sorted((_ranks(column) for column in columns), key=np.max)
    order, starts = _lexicographic(with_fewest_first)
    first = np.minimum.reduceat(order, starts)
    good = ~_dominated_by_earlier([rank[first] for rank in with_fewest_first])
    return valid[order[np.repeat(good, np.diff(starts, append=len(order)))] if keep_weakly else first[good]]


def _starts(values: np.ndarray) -> np.ndarray:
    """Where runs of equal values start."""
    return np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1])))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks 0, 1, 2, …; equal values share one."""
    order = np.argsort(values)
    ordered = values[order]
    ranks = np.empty(len(values), np.int64)
    ranks[order] = np.cumsum(np.concatenate(([False], ordered[1:] != ordered[:-1])))
    return ranks


def _lexicographic(ranks: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Indices in lexicographic order, and where in it runs of equal points start."""
    joint, size = ranks[0], int(ranks[0].max()) + 1
    for rank in ranks[1:]:
        count = int(rank.max()) + 1
        if size * count >= 2**63:
            joint, size = _ranks(joint), len(joint)
        joint, size = joint * count + rank, size * count
    order = np.argsort(joint)
    return order, _starts(joint[order])


def _front_of_two(x: np.ndarray, y: np.ndarray, keep_weakly: bool) -> np.ndarray:
    order = np.argsort(x)
    x, y = x[order], y[order]
    starts = _starts(x)
    least = np.minimum.reduceat(y, starts)
    good = np.ones(len(least), bool)
    good[1:] = least[1:] < np.minimum.accumulate(least)[:-1]
    kept = np.flatnonzero(np.repeat(np.where(good, least, np.nan), np.diff(starts, append=len(x))) == y)
    return order[kept] if keep_weakly else np.minimum.reduceat(order[kept], _starts(x[kept]))


def _dominated_by_earlier(ranks: list[np.ndarray]) -> np.ndarray:
    """Which of distinct points in lexicographic order an earlier one dominates; the first objective is then settled."""
    if len(ranks) == 1:
        return np.arange(len(ranks[0])) > 0
    if len(ranks) > 3:
        return _dominated_in_blocks(np.stack(ranks[1:]))
    x, y, z = ranks
    dominated = np.ones(len(x), bool)
    # Among equal x the front is where z falls; a later run is made to start below all that came before.
    least = z - x * (int(z.max()) + 1)
    rest = np.flatnonzero(np.concatenate(([True], least[1:] < np.minimum.accumulate(least)[:-1])))
    dominated[rest] = _dominated_by_halves(y[rest].astype(np.int32), z[rest].astype(np.int32))
    return dominated


def _dominated_by_halves(y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Whether an earlier point has y and z no greater: neighbours in a window, then blocks of twice the size, halved.

    Within a block, in order of y, the least z of its left half so far is compared with z in the right half. All blocks
    of a size are rows of one array, and stay in order of y when they are split.
    """
    n = len(y)
    dominated = np.zeros(n, bool)
    for d in range(1, min(_WINDOW, n)):
        dominated[d:] |= (y[:-d] <= y[d:]) & (z[:-d] <= z[d:])
    width, largest = max(1 << (n - 1).bit_length(), _WINDOW), np.iinfo(np.int32).max
    index = np.arange(width, dtype=np.int32)
    index[:n] = np.argsort(y.astype(np.int64) * n + np.arange(n))
    level = np.append(z[index[:n]], np.full(width - n, largest, np.int32))
    dominated, count = np.append(dominated, np.zeros(width - n, bool)), np.arange(width // 2)
    while width > _WINDOW:
        half = width // 2
        in_right = (index & half) != 0
        left, right = np.flatnonzero(~in_right), np.flatnonzero(in_right)
        least = np.full((len(index) // width, half + 1), largest, np.int32)
        np.minimum.accumulate(level[left].reshape(-1, half), axis=1, out=least[:, 1:])
        before = right - count + count // half  # how many of the left are before it, in this row of `least`
        dominated[index[right[least.ravel()[before] <= level[right]]]] = True
        split = np.concatenate((left.reshape(-1, half), right.reshape(-1, half)), axis=1).ravel()
        index, level, width = index[split], level[split], half
    return dominated[:n]


def _dominated_in_blocks(ranks: np.ndarray) -> np.ndarray:
    """Whether an earlier point is nowhere greater: block by block, against the front so far."""
    n = ranks.shape[1]
    ranks = ranks.astype(np.uint16 if n <= 1 << 16 else np.int32)
    front, size, dominated = np.empty_like(ranks), 0, np.ones(n, bool)

    def beaten(by: np.ndarray, block: np.ndarray) -> np.ndarray:
        no_greater = by[0][None, :] <= block[0][:, None]
        for a, b in zip(by[1:], block[1:], strict=True):
            no_greater &= a[None, :] <= b[:, None]
        return no_greater

    for start in range(0, n, _BLOCK):
        rest = np.arange(start, min(start + _BLOCK, n))
        for other in range(0, size, _BLOCK):
            rest = rest[~beaten(front[:, other : min(other + _BLOCK, size)], ranks[:, rest]).any(axis=1)]
        rest = rest[~np.tril(beaten(ranks[:, rest], ranks[:, rest]), -1).any(axis=1)]
        front[:, size : size + len(rest)] = ranks[:, rest]
        size += len(rest)
        dominated[rest] = False
    return dominated


def pareto_rank(points: np.ndarray, flips: tuple[bool, ...]) -> np.ndarray:
    """Number of the front that a point is on, shape (n,), -1 where it holds a NaN."""
    points = _oriented(points, flips)
    valid = _complete(points)
    ranks = np.full(len(points), -1, np.int32)
    points = points[valid]
    if not len(valid):
        return ranks
    if points.shape[1] == 1:
        ranks[valid] = _ranks(points[:, 0])
    elif points.shape[1] == 2:
        order, starts = _lexicographic([_ranks(points[:, 0]), _ranks(points[:, 1])])
        lowest: list[float] = []  # the second objective of each front's latest point
        found = np.empty(len(starts), np.int32)
        for i, y in enumerate(points[order[starts], 1].tolist()):
            found[i] = rank = bisect.bisect_right(lowest, y)
            lowest[rank : rank + 1] = [y]
        ranks[valid[order]] = np.repeat(found, np.diff(starts, append=len(order)))
    else:
        number = 0
        while len(valid):
            front = is_nondominated(points, (False,) * points.shape[1], True)
            ranks[valid[front]] = number
            points, valid, number = points[~front], valid[~front], number + 1
    return ranks


# In JAX.
