"""Which points may be on the front beside some good points: most of the others are dropped in nanoseconds, in NumPy.

`flips` says which objectives are maximised.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

_CHUNK = 1 << 15  # rows that are culled at once: they stay in the cache
_CELLS = 1 << 16  # of a table over all objectives but the last
_SERIAL = 64  # chunks that are not worth threads
_FINE_BITS = 14  # of the bins by which the cell of a number is looked up


class Cull:
    """Drops, in a few nanoseconds a point, most of the points that some good points dominate.

    Parameters
    ----------
    good : numpy.ndarray
        Points of shape (n, m), less being better in every objective. Those with a NaN are left out; with no others
        nothing but points with a NaN is dropped.
    """

    def __init__(self, good: np.ndarray) -> None:
        self._good = good = good[complete(good)] + good.dtype.type(0)
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
            return complete(points)
        if points.shape[1] == 1:
            return np.flatnonzero(oriented(points, flips)[:, 0] <= self._good.min())
        best = _best(points, flips, self._good) if len(points) else None
        starts = range(0, len(points), _CHUNK)
        if len(starts) < _SERIAL:
            parts = [self._undominated(points, flips, best, start) for start in starts]
            return np.concatenate(parts) if parts else np.zeros(0, np.intp)
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
    sample = oriented(points[scattered(len(points), 512)], flips)
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


def oriented(points: np.ndarray, flips: tuple[bool, ...]) -> np.ndarray:
    """Points of which less is better in every objective, with one zero."""
    zero = points.dtype.type(0)
    flipped = points + zero
    for j in np.flatnonzero(flips):
        np.subtract(zero, points[:, j], out=flipped[:, j])
    return flipped


def complete(points: np.ndarray) -> np.ndarray:
    """Indices of the points without a NaN."""
    return np.flatnonzero(~np.logical_or.reduce([np.isnan(column) for column in points.T]))


def scattered(n: int, size: int) -> np.ndarray:
    """Indices spread evenly over 0 to n − 1, in step with no grid: multiples of the golden ratio."""
    return (((np.arange(1, size + 1, dtype=np.uint64) * 2654435769) & 0xFFFFFFFF) * np.uint64(n) >> 32).astype(np.intp)
