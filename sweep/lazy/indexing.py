"""What xarray's indexers ask for, and axes too long to be held in memory: their coordinate and index, by arithmetic."""

import math
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core.indexing import (
    ExplicitIndexer,
    IndexSelResult,
    LazilyIndexedArray,
    LazilyVectorizedIndexedArray,
    VectorizedIndexer,
)
from xarray.indexes import Index, PandasIndex

if TYPE_CHECKING:
    from sweep.config.axis import Axis

LONG = 10**6  # points of a range above which its coordinate is computed when asked for
AT_ONCE = 2**18  # coordinates that are computed together
NEAR = 5  # points among which a label is sought

Box = tuple[slice, ...]


def requested(key: ExplicitIndexer, lengths: tuple[int, ...]) -> tuple[tuple[int, ...], Callable[[Box], list[Any]]]:
    """Shape of what an indexer asks for, and a function that gives the indices of a box of it along each axis.

    The indices broadcast to the box. Slices are cut as ranges, so that none is ever spelled out whole.
    """
    keys = [_within(k, n) for k, n in zip(key.tuple, lengths, strict=True)]
    if isinstance(key, VectorizedIndexer):
        arrays = [np.asarray(k) for k in keys]
        shape = np.broadcast_shapes(*(k.shape for k in arrays))
        full = [k.reshape((1,) * (len(shape) - k.ndim) + k.shape) for k in arrays]
        return shape, lambda box: [
            k[tuple(s if n > 1 else slice(None) for s, n in zip(box, k.shape, strict=True))] for k in full
        ]
    shape = tuple(len(k) for k in keys if not isinstance(k, int))

    def cut(box: Box) -> list[np.ndarray]:
        parts, sides = [], iter(enumerate(box))
        for k in keys:
            if isinstance(k, int):
                parts.append(np.full((1,) * len(box), k))
                continue
            position, side = next(sides)
            part = k[side]
            part = np.arange(part.start, part.stop, part.step) if isinstance(part, range) else part
            parts.append(part.reshape([-1 if i == position else 1 for i in range(len(box))]))
        return parts

    return shape, cut


def _within(key: Any, length: int) -> int | range | np.ndarray:
    """Give an index of one axis as an int, a range or an array, counted from the start."""
    if isinstance(key, slice):
        return range(*key.indices(length))
    if np.ndim(key) == 0 and not isinstance(key, np.ndarray):
        return range(length)[key]
    return _counted(key, length)


def _counted(key: np.ndarray, length: int) -> np.ndarray:
    """Give an array of indices of one axis, counted from the start."""
    low, high = (key.min(), key.max()) if key.size else (0, 0)
    if key.size and not -length <= low <= high < length:
        raise IndexError(f"index out of range for an axis of {length} points")
    return np.where(key < 0, key + length, key) if low < 0 else key


def refuse_more_than_memory(name: Hashable, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Refuse a request that would exhaust the memory, before anything is evaluated.

    Raises
    ------
    SpecError
        One line with the size and what to do instead.
    """
    from sweep.errors import SpecError
    from sweep.plan.blocks import default_memory

    nbytes, most = math.prod(shape) * dtype.itemsize, default_memory()
    if nbytes > most:
        raise SpecError(
            f"{name}: asks for {nbytes:,} bytes at once, more than half of the memory there is here ({most:,}); "
            "select less with .sel or .isel, open it with chunks={} and reduce it, or run it into a store"
        )


class Lazy(LazilyIndexedArray):
    """Takes an index of a whole array as it is.

    xarray looks it up in the indices of the array: a long time for many points, and too much memory for a long axis.
    """

    __slots__ = ()

    def _updated_key(self, new_key: ExplicitIndexer) -> Any:
        return new_key if self._is_whole else super()._updated_key(new_key)

    def _vindex_get(self, indexer: VectorizedIndexer) -> Any:
        return LazilyVectorizedIndexedArray(self.array, indexer) if self._is_whole else super()._vindex_get(indexer)

    @property
    def _is_whole(self) -> bool:
        return all(isinstance(k, slice) and k == slice(None) for k in self.key.tuple)


class _Coordinates(BackendArray):
    """The coordinate of a long axis, of which only what is indexed is computed."""

    def __init__(self, axis: "Axis", name: Hashable, positions: range) -> None:
        self._axis, self._name, self._positions = axis, name, positions
        self.shape, self.dtype = (len(positions),), np.dtype("float64")

    def __getitem__(self, key: ExplicitIndexer) -> np.ndarray:
        shape, cut = requested(key, self.shape)
        refuse_more_than_memory(self._name, shape, self.dtype)
        result = np.empty(shape, self.dtype)
        rows = max(1, AT_ONCE // max(1, math.prod(shape[1:])))
        for start in range(0, shape[0] if shape else 1, rows):
            box = (slice(start, start + rows), *map(slice, shape[1:]))[: len(shape)]
            result[box] = self._axis.at(self._positions.start + self._positions.step * cut(box)[0])
        return result


class RangeIndex(Index):
    """The index of a range too long to be held in memory: labels are found by arithmetic.

    Parts of it of up to 1e6 points have xarray's ordinary index.

    Parameters
    ----------
    axis : Axis
        A range.
    name, dim : str
        Of the coordinate and its dimension, by default the same.
    positions : range, optional
        The part of the axis that is left of it; all of it by default.
    """

    def __init__(self, axis: "Axis", name: Hashable, dim: Hashable | None = None, positions: range | None = None):
        self._axis, self._name, self._dim = axis, name, name if dim is None else dim
        self._positions = range(len(axis)) if positions is None else positions

    def create_variables(self, variables: Mapping[Any, xr.Variable] | None = None) -> dict[Any, xr.Variable]:
        """Make the coordinate, with the attributes of the one that is given."""
        old = (variables or {}).get(self._name)
        data = Lazy(_Coordinates(self._axis, self._name, self._positions))
        return {self._name: xr.Variable(self._dim, data, old.attrs if old is not None else None)}

    def isel(self, indexers: Mapping[Any, Any]) -> Index | None:
        """Index of a part, ordinary where it is short."""
        index = indexers[self._dim]
        if isinstance(index, xr.Variable):
            if index.dims != (self._dim,):
                return None
            index = index.data
        if isinstance(index, slice):
            positions = self._positions[index]
            if len(positions) > LONG:
                return type(self)(self._axis, self._name, self._dim, positions)
            where = np.arange(positions.start, positions.stop, positions.step)
        elif np.ndim(index) == 0:
            return None
        else:
            where = np.asarray(index)
            where = np.flatnonzero(where) if where.dtype.kind == "b" else where
            where = self._positions.start + self._positions.step * _counted(where, len(self._positions))
            if where.size > LONG:
                return None
        return PandasIndex.from_variables({self._name: xr.Variable(self._dim, self._axis.at(where))}, options={})

    def sel(self, labels: dict[Any, Any], method: str | None = None, tolerance: float | None = None) -> IndexSelResult:
        """Positions of labels: one, many in any shape, or a slice that includes both its ends."""
        (label,) = labels.values()
        if isinstance(label, slice):
            if method is not None:
                raise NotImplementedError("cannot use ``method`` argument if any indexers are slice objects")
            ends = [None if end is None else np.asarray(end, np.float64) for end in (label.start, label.stop)]
            start = None if ends[0] is None else int(self._search(ends[0])[0])
            stop = None if ends[1] is None else int(self._search(ends[1])[1])
            return IndexSelResult({self._dim: slice(start, stop, label.step)})
        wanted = np.asarray(label.values if isinstance(label, xr.DataArray | xr.Variable) else label)
        if wanted.dtype.kind == "b":
            return IndexSelResult({self._dim: label})
        place: Any = self._find(wanted.astype(np.float64), method, tolerance)
        if isinstance(label, xr.Variable):
            place = xr.Variable(label.dims, place)
        elif isinstance(label, xr.DataArray):
            place = xr.DataArray(place, label.coords, label.dims)
        elif not wanted.ndim:
            place = int(place)
        return IndexSelResult({self._dim: place})

    def equals(self, other: Index, *, exclude: frozenset[Hashable] | None = None) -> bool:
        """Whether another index has the same points along the same dimension."""
        return isinstance(other, RangeIndex) and (self._axis, self._dim, self._positions) == (
            other._axis,
            other._dim,
            other._positions,
        )

    def rename(self, name_dict: Mapping[Any, Hashable], dims_dict: Mapping[Any, Hashable]) -> Self:
        """Index under other names."""
        name, dim = name_dict.get(self._name, self._name), dims_dict.get(self._dim, self._dim)
        return type(self)(self._axis, name, dim, self._positions)

    def _at(self, index: np.ndarray) -> np.ndarray:
        return self._axis.at(self._positions.start + self._positions.step * index)

    def _find(self, labels: np.ndarray, method: str | None, tolerance: float | None) -> np.ndarray:
        left, right = self._search(labels)
        last = len(self._positions) - 1
        if method is None:
            place = np.where(right > left, left, -1)
        elif method in ("pad", "ffill"):
            place = np.where(right > left, left, right - 1)
        elif method in ("backfill", "bfill"):
            place = np.where(left > last, -1, left)
        elif method == "nearest":
            before, after = np.clip(left - 1, 0, last), np.clip(left, 0, last)
            low, high = self._at(before), self._at(after)
            nearer = np.abs(high - labels) - np.abs(low - labels)
            place = np.where((nearer < 0) | ((nearer == 0) & (high > low)), after, before)
        else:
            raise ValueError(f'method: must be None, "nearest", "pad" or "backfill", got {method!r}')
        missing = (place < 0) | np.isnan(labels)
        if tolerance is not None:
            missing |= np.abs(self._at(np.maximum(place, 0)) - labels) > tolerance
        if missing.any():
            hint = "" if method else "; method='nearest' finds the nearest"
            raise KeyError(f"not all values found in index {self._name!r}{hint}")
        return place

    def _search(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Count the points that come before each label, and those that come before or are equal to it."""
        (start, stop, num), positions = self._axis.span(), self._positions
        inside = np.clip(np.nan_to_num(labels, nan=start), start, stop)
        if self._axis.is_log:
            fraction = np.log(inside / start) / np.log(stop / start)
        else:
            fraction = (inside - start) / (stop - start)
        guess = np.rint((fraction * (num - 1) - positions.start) / positions.step)
        # An axis is coarse enough for float64 that the guess is off by one point at most.
        first = np.clip(guess - NEAR // 2, 0, len(positions) - NEAR).astype(np.int64)
        near = self._at(first[..., np.newaxis] + np.arange(NEAR))
        sign = math.copysign(1.0, positions.step)
        sought = sign * labels[..., np.newaxis]
        return first + np.sum(sign * near < sought, axis=-1), first + np.sum(sign * near <= sought, axis=-1)
