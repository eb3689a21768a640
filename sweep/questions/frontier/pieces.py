"""Pieces of a frontier's grid, in tiles: what they and where they come from must say, and those in memory."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from sweep.plan.blocks import Block, Plan
from sweep.questions.frontier.scan import Scan

FIRST = 8  # blocks, far apart, that are taken before the others
TILE = {1: (256,), 2: (8, 32), 3: (4, 8, 16)}  # sides of a tile along the last axes, by how many there are


class Piece(Protocol):
    """Part of the grid, in tiles.

    Attributes
    ----------
    sides : tuple of int
        Of a tile.
    corners : numpy.ndarray
        Shape (tiles, objectives): nowhere worse than any point of the tile at which the conditions hold.
    possible : numpy.ndarray
        Whether they hold anywhere in a tile.
    feasible : int
        At how many points they hold.
    lasting : bool
        Whether it can be looked at after the next one has been made.
    nbytes : int
        What it takes until then.
    """

    lasting: bool
    nbytes: int
    sides: tuple[int, ...]
    corners: np.ndarray
    possible: np.ndarray
    feasible: int

    def values(self, tiles: np.ndarray) -> Mapping[str, np.ndarray]:
        """Give what is asked for at all points of some tiles, one tile after the other."""
        ...

    def places(self, tiles: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Give the places in the grid of some of those points, -1 where there are none: beyond the end."""
        ...


Key = tuple[int, ...]  # where along each axis that is kept apart
Pieces = Iterator[tuple[Block, Iterator[tuple[Key, Piece]]]]


class Values(Protocol):
    """Some outputs of a sweep on the grid of the axes that they, or what else is asked for, depend on.

    Attributes
    ----------
    dims : tuple of str
        The axes in the order of the sweep, by which places in the grid are counted.
    plan : Plan
        Of the blocks; its axes may be in another order.
    dtypes : mapping of str to numpy.dtype
        Of the outputs.
    dataset_attributes : mapping
        Of the dataset of the whole sweep.
    """

    @property
    def dims(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def plan(self) -> Plan: ...  # noqa: D102

    @property
    def dtypes(self) -> Mapping[str, np.dtype]: ...  # noqa: D102

    @property
    def dataset_attributes(self) -> Mapping[str, Any]: ...  # noqa: D102

    def at(self, name: str, index: np.ndarray) -> np.ndarray:
        """Give the values of an axis at some places, float64."""
        ...

    def attributes(self, name: str) -> dict[str, Any]:
        """Give ``long_name``, ``units`` and more of an output or axis."""
        ...

    def pieces(self, scan: Scan) -> Pieces:
        """Yield every block and what a scan takes of it: a piece for each combination of values of the axes kept apart.

        A piece is to be done with before the next block is asked for, unless it says that it lasts.
        """
        ...


class Content(Protocol):
    """What a source contains: names of outputs and axes, and the values of some of them.

    Attributes
    ----------
    depends : mapping of str to tuple of str
        The axes that each output depends on.
    lengths : mapping of str to int
        Of the axes.
    fixed : mapping of str to float
        The numbers at which other parameters are fixed.
    dtype : str
        In which conditions are compared.
    """

    depends: Mapping[str, tuple[str, ...]]
    lengths: Mapping[str, int]
    fixed: Mapping[str, float]
    dtype: str

    def values(
        self, outputs: tuple[str, ...], axes: tuple[str, ...], by: tuple[str, ...], memory: int | None
    ) -> Values:
        """Give some outputs over those axes, of which `by` are kept apart and come first in the blocks."""
        ...


class Loaded:
    """A piece whose values are in memory.

    Parameters
    ----------
    scan : Scan
        What is asked.
    start, shape : tuple of int
        Where the piece starts, and how long it is.
    values : mapping of str to numpy.ndarray
        Of length 1 along axes along which they do not change.
    """

    lasting = False

    def __init__(
        self, scan: Scan, start: Sequence[int], shape: Sequence[int], values: Mapping[str, np.ndarray]
    ) -> None:
        self._scan, self._start, self._shape, self._values = scan, start, shape, values
        self.sides = _sides(shape)
        self._grid = grid = tuple(-(-n // side) for n, side in zip(shape, self.sides, strict=True))
        self.corners = np.empty((math.prod(grid), len(scan.objectives)), scan.dtype)
        for column, objective in zip(self.corners.T, scan.objectives, strict=True):
            best = tiled(values[objective.name], self.sides, np.fmax if objective.maximise else np.fmin)
            column.reshape(grid)[...] = -best if objective.maximise else best
        self._mask = mask = scan.holds(values)
        self.possible, self.feasible = np.ones(len(self.corners), bool), math.prod(shape)
        if mask is not None:
            self.feasible = int(np.count_nonzero(mask)) * (math.prod(shape) // mask.size)
            self.possible = np.broadcast_to(tiled(mask.view(np.uint8), self.sides, np.maximum), grid).ravel() > 0
        self.nbytes = self.corners.nbytes + sum(array.nbytes for array in values.values())

    def values(self, tiles: np.ndarray) -> dict[str, np.ndarray]:
        """Give what is asked for at all points of some tiles, one tile after the other."""
        index = []
        corners = np.unravel_index(tiles, self._grid)
        for i, (corner, side, n) in enumerate(zip(corners, self.sides, self._shape, strict=True)):
            along = np.minimum(corner[:, None] * side + np.arange(side), n - 1)
            index.append(along.reshape(len(tiles), *(side if j == i else 1 for j in range(len(self.sides)))))
        columns = {}
        for name, array in self._values.items():
            part = array[tuple(i if n > 1 else 0 for i, n in zip(index, array.shape, strict=True))]
            columns[name] = np.broadcast_to(part, (len(tiles), *self.sides)).reshape(-1)
        return columns

    def places(self, tiles: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Give the places in the grid of some of those points, -1 where there are none: beyond the end."""
        stop = [a + n for a, n in zip(self._start, self._shape, strict=True)]
        return self._scan.places(points_of(tiles, points, self._grid, self.sides), self._start, stop)


def blocks_of(plan: Plan) -> Iterator[Block]:
    """Yield the blocks of a plan, some that are far apart first."""
    far = dict.fromkeys(round(i) for i in np.linspace(0, len(plan) - 1, min(FIRST, len(plan))))
    return map(plan.block, (*far, *(number for number in range(len(plan)) if number not in far)))


def loaded(
    scan: Scan, values: Values, apart: int, block: Block, arrays: Mapping[str, np.ndarray]
) -> Iterator[tuple[Key, Loaded]]:
    """Cut a block in memory at each value of its first axes.

    Parameters
    ----------
    scan : Scan
        What is asked.
    values : Values
        What the block is of.
    apart : int
        How many axes come first.
    block : Block
        Of the plan.
    arrays : mapping of str to numpy.ndarray
        Values of the outputs, over the axes that each depends on.
    """
    plan = values.plan
    spread = {name: _spread(array, plan.variables[name], plan) for name, array in arrays.items()}
    for dim, *ends in zip(plan.shape, block.start, block.stop, strict=True):
        if dim in scan.names:
            spread[dim] = _spread(values.at(dim, np.arange(*ends)), (dim,), plan)
    for key in itertools.product(*map(range, block.start[:apart], block.stop[:apart])):
        start, stop = (*key, *block.start[apart:]), (*(i + 1 for i in key), *block.stop[apart:])
        shape = tuple(b - a for a, b in zip(start, stop, strict=True))
        inner = [slice(i - a, i - a + 1) for i, a in zip(key, block.start, strict=False)]
        yield (
            key,
            Loaded(scan, start, shape, {name: array[_part(inner, array.shape)] for name, array in spread.items()}),
        )


def _spread(array: np.ndarray, dims: Sequence[str], plan: Plan) -> np.ndarray:
    """Give a variable an axis for each of the plan's."""
    sides = iter(array.shape)
    return array.reshape([next(sides) if dim in dims else 1 for dim in plan.shape])


def _part(inner: Sequence[slice], shape: Sequence[int]) -> tuple[slice, ...]:
    return tuple(side if n > 1 else slice(None) for side, n in zip(inner, shape, strict=False))


def _sides(shape: Sequence[int]) -> tuple[int, ...]:
    """Sides of the tiles of a piece: flat ones, so that most is compared along axes which are not the last."""
    long = [i for i, n in enumerate(shape) if n > 1][-3:]
    sides = [1] * len(shape)
    for i, side in zip(long, TILE.get(len(long), ()), strict=True):
        sides[i] = min(side, shape[i])
    return tuple(sides)


def tiled(values: np.ndarray, sides: Sequence[int], best: np.ufunc) -> np.ndarray:
    """Best value in each tile; NaN counts only where there is nothing else."""
    for axis, side in enumerate(sides):
        n = values.shape[axis]
        if side == 1 or n == 1:
            continue
        whole, parts = n // side, []
        before, after = values.shape[:axis], values.shape[axis + 1 :]
        lead = (slice(None),) * axis
        if whole:
            split = values[(*lead, slice(whole * side))].reshape(*before, whole, side, *after)
            parts.append(best.reduce(split, axis=axis + 1))
        if n % side:
            parts.append(best.reduce(values[(*lead, slice(whole * side, None))], axis=axis, keepdims=True))
        values = np.concatenate(parts, axis=axis) if len(parts) > 1 else parts[0]
    return values


def points_of(tiles: np.ndarray, points: np.ndarray, grid: Sequence[int], sides: Sequence[int]) -> list[np.ndarray]:
    """Indices along each axis of some points of some tiles, counted one tile after the other."""
    tile, within = np.divmod(points, math.prod(sides))
    corner, offset = np.unravel_index(tiles[tile], grid), np.unravel_index(within, sides)
    return [c * s + o for c, s, o in zip(corner, sides, offset, strict=True)]
