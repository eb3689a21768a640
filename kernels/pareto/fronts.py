"""Which points are on the Pareto front, in NumPy: :mod:`kernels.pareto.nondominated` for points on the host.

A cull drops what a sample of the points dominates, in one pass of a few nanoseconds a point; an exact pass works on
the ranks of what is left. That a sample of s points leaves about F(s)/s of the others undominated, F(s) of s points
being on the front, is why a cull by a sample works. Arguments are those of the public functions, checked; `flips` says
which objectives are maximised.
"""

import bisect

import numpy as np

from kernels.pareto.cull import Cull, complete, oriented, scattered

_SAMPLE, _FEW, _SHARE = 4096, 64, 32  # of a small sample; of its front; a larger sample is this part of the points
_WINDOW = 32  # neighbours in sorted order, compared one by one
_BLOCK = 1024  # rows that are compared with as many others at once


def is_nondominated(points: np.ndarray, flips: tuple[bool, ...], keep_weakly: bool) -> np.ndarray:
    """Whether no other point dominates a point, shape (n,)."""
    n, m = points.shape
    kept = np.arange(n)
    if m > 1 and n > _SAMPLE:
        kept = _cull(points, flips, _good_points(points, flips))
    mask = np.zeros(n, bool)
    mask[kept[_front(oriented(points.take(kept, axis=0), flips), keep_weakly)]] = True
    return mask


def _good_points(points: np.ndarray, flips: tuple[bool, ...]) -> np.ndarray:
    """The front of a sample; if that is large, what it leaves of a larger sample."""
    sample = oriented(points.take(scattered(len(points), _SAMPLE), axis=0), flips)
    good = sample[_front(sample, False)]
    if len(good) > _FEW and len(points) > _SAMPLE * _SHARE:
        sample = oriented(points.take(scattered(len(points), len(points) // _SHARE), axis=0), flips)
        good = sample[_cull(sample, (False,) * len(flips), good)]
    return good


def _cull(points: np.ndarray, flips: tuple[bool, ...], good: np.ndarray) -> np.ndarray:
    """Indices of a superset of all points that are nowhere dominated, the equal ones too, given some `good` points."""
    return Cull(good)(points, flips)


def _front(points: np.ndarray, keep_weakly: bool) -> np.ndarray:
    """Indices of the points on the front, of few points: by sorting."""
    valid = complete(points)
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
    points = oriented(points, flips)
    valid = complete(points)
    ranks = np.full(len(points), -1, np.int32)
    points = points[valid]
    if not len(valid):
        return ranks
    if points.shape[1] == 1:
        ranks[valid] = _ranks(points[:, 0])
    elif points.shape[1] == 2:
        order, starts = _lexicographic([_ranks(points[:, 0]), _ranks(points[:, 1])])
        lowest: list[float] = []  # the second objective of each front's latest point
        placed = np.empty(len(starts), np.int32)
        for i, y in enumerate(points[order[starts], 1].tolist()):
            placed[i] = rank = bisect.bisect_right(lowest, y)
            lowest[rank : rank + 1] = [y]
        ranks[valid[order]] = np.repeat(placed, np.diff(starts, append=len(order)))
    else:
        number = 0
        while len(valid):
            front = is_nondominated(points, (False,) * points.shape[1], True)
            ranks[valid[front]] = number
            points, valid, number = points[~front], valid[~front], number + 1
    return ranks


# In JAX.
