"""The running front of points that come block by block: what cannot be on it is dropped before anything is compared.

A block is looked at in tiles of neighbouring points. The best value of each objective in a tile makes a point that is
nowhere worse than the tile's: where a point of the front dominates that, it dominates the tile. What is left goes point
by point through :class:`kernels.fronts.Cull`, and now and then through the exact filter. The front of the union of the
fronts of some parts is that of the whole, so how a sweep is cut changes nothing.
"""

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from kernels import fronts
from kernels.statistics import compare
from sweep.schema import SpecError
from sweep.statistic import Condition

TILE = {1: (256,), 2: (8, 32), 3: (4, 8, 16)}  # sides of a tile along the last axes, by how many there are
FEW, PROBES, ROUNDS = 16, 4096, 6  # tiles that are looked at at once; points by which others are culled; how often
GATHERED = 2**18  # points that are looked at one by one at once
BUFFER = 2**17  # points that wait for the exact filter, at least
MOST_POINTS = 2**25  # of a front


class Objective(NamedTuple):
    """An output or axis, and whether the largest value of it is the best."""

    name: str
    maximise: bool = False


@dataclass
class Front:
    """The front of the points so far.

    Attributes
    ----------
    objectives : int
        How many columns of the values are objectives, less being better.
    keep_weakly : bool
        Whether all of several equal points are kept, or the first in the grid.
    values : numpy.ndarray
        Shape (n, columns): objectives, then what else is kept of each point.
    places : numpy.ndarray
        Shape (n,), int64: place in the grid of each point, increasing.
    feasible : int
        Points so far at which all conditions hold.
    """

    objectives: int
    keep_weakly: bool
    values: np.ndarray
    places: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    feasible: int = 0
    _cull: fronts.Cull | None = None
    _waiting: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)

    def survivors(self, points: np.ndarray) -> np.ndarray:
        """Indices of points, or of the best corners of tiles, that nothing on the front is known to dominate."""
        if self._cull is None:
            return np.arange(len(points))
        return self._cull(points)

    def add(self, values: np.ndarray, places: np.ndarray) -> None:
        """Take in points without NaN among their objectives."""
        if not len(values):
            return
        self._waiting.append((values, places))
        waiting = sum(len(places) for _, places in self._waiting)
        if self._cull is None or waiting > max(BUFFER, len(self.places)):
            self.settle()

    def settle(self) -> None:
        """Filter what has been taken in.

        Raises
        ------
        SpecError
            Where the front is too large to be held.
        """
        if not self._waiting:
            return
        values = np.concatenate([self.values, *(values for values, _ in self._waiting)])
        places = np.concatenate([self.places, *(places for _, places in self._waiting)])
        self._waiting = []
        order = np.argsort(places)
        values, places = values[order], places[order]
        flips = (False,) * self.objectives
        kept = fronts.is_nondominated(values[:, : self.objectives], flips, self.keep_weakly)
        self.values, self.places = values[kept], places[kept]
        if len(self.places) > MOST_POINTS:
            raise SpecError(
                f"the frontier has more than {MOST_POINTS:,} points: hardly a point of this sweep dominates another; "
                "drop an objective, add a condition or take shorter axes"
            )
        self._cull = fronts.Cull(self.values[:, : self.objectives])


@dataclass(frozen=True)
class Scan:
    """Takes what matters of a piece of the grid into a front.

    Attributes
    ----------
    strides : tuple of int
        By how much the place in the grid grows along each axis of the pieces.
    objectives : tuple of Objective
        What is minimised or maximised.
    conditions : tuple of Condition
        What must hold.
    extras : tuple of str
        What else is kept of each point.
    dtype : numpy.dtype
        That holds all of these exactly.
    """

    strides: tuple[int, ...]
    objectives: tuple[Objective, ...]
    conditions: tuple[Condition, ...]
    extras: tuple[str, ...]
    dtype: np.dtype

    @property
    def names(self) -> set[str]:
        """Outputs and axes that are asked for."""
        return {*(o.name for o in self.objectives), *(c.output for c in self.conditions)}

    def fresh(self, keep_weakly: bool) -> Front:
        """Give a front without points."""
        columns = len(self.objectives) + len(self.extras)
        return Front(len(self.objectives), keep_weakly, np.zeros((0, columns), self.dtype))

    def __call__(self, front: Front, pieces: Sequence["Piece"]) -> None:
        """Take in some pieces: the more at once, the fewer points are looked at one by one."""
        left = []
        for piece in pieces:
            front.feasible += piece.feasible
            tiles = np.flatnonzero(piece.possible & ~np.isnan(piece.corners).any(axis=1))
            left.append(tiles[front.survivors(piece.corners[tiles])])
        probe = self._probed(pieces, left)
        for piece, tiles in zip(pieces, left, strict=True):
            volume = math.prod(piece.sides)
            for first in range(0, len(tiles), max(1, GATHERED // volume)):
                rows, places = piece.gather(tiles[first : first + max(1, GATHERED // volume)], np.arange(volume))
                for cull in (front.survivors, probe):
                    if cull is not None and len(rows):
                        kept = cull(rows[:, : len(self.objectives)])
                        rows, places = rows[kept], places[kept]
                front.add(rows, places)

    def _probed(self, pieces: Sequence["Piece"], left: list[np.ndarray]) -> fronts.Cull | None:
        """Look at some points of the tiles that are left, ever nearer to the front, and drop what these dominate."""
        good, probe = np.zeros((0, len(self.objectives)), self.dtype), None
        for _ in range(ROUNDS):
            before = sum(map(len, left))
            if before <= FEW:
                break
            found = [self._some(piece, tiles, before) for piece, tiles in zip(pieces, left, strict=True) if len(tiles)]
            good = self._front(np.concatenate([good, *found]))
            probe = fronts.Cull(good)
            for number, piece in enumerate(pieces):
                left[number] = left[number][probe(piece.corners[left[number]])]
            if sum(map(len, left)) > 0.9 * before:
                break
        return probe

    def _some(self, piece: "Piece", tiles: np.ndarray, total: int) -> np.ndarray:
        """Objectives of some points of some tiles of a piece, of which all have that many."""
        most = max(1, PROBES * len(tiles) // total)
        some = tiles[fronts.scattered(len(tiles), min(len(tiles), most))]
        within = fronts.scattered(math.prod(piece.sides), max(1, min(16, most // len(some))))
        return piece.gather(np.unique(some), np.unique(within))[0][:, : len(self.objectives)]

    def _front(self, points: np.ndarray) -> np.ndarray:
        return points[fronts.is_nondominated(points, (False,) * len(self.objectives), False)]

    def holds(self, values: Mapping[str, np.ndarray], names: Container[str] | None = None) -> np.ndarray | None:
        """Where all conditions, or those on some names, hold, compared as float64 would compare them; None if none."""
        mask = None
        for condition in self.conditions:
            if names is not None and condition.output not in names:
                continue
            found = compare(values[condition.output], condition.sign, condition.bound)
            mask = found if mask is None else mask & found
        return mask

    def rows(
        self, values: Mapping[str, np.ndarray], start: Sequence[int], index: Sequence[np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Columns and places of points at which the conditions hold, but for those with NaN among their objectives."""
        rows = np.empty((len(index[0]), len(self.objectives) + len(self.extras)), self.dtype)
        complete = np.ones(len(rows), bool)
        for column, (name, maximise) in zip(rows.T, self.objectives, strict=False):
            column[...] = values[name]
            complete &= ~np.isnan(column)
            if maximise:
                np.negative(column, out=column)
        for column, name in zip(rows.T[len(self.objectives) :], self.extras, strict=True):
            column[...] = values[name]
        places = sum((i + a) * stride for i, a, stride in zip(index, start, self.strides, strict=True))
        return rows[complete], places[complete]


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
    """

    lasting: bool
    sides: tuple[int, ...]
    corners: np.ndarray
    possible: np.ndarray
    feasible: int

    def gather(self, tiles: np.ndarray, within: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give columns and places of points of some tiles, those at these places within each."""
        ...


class Held:
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
            best = _tiled(values[objective.name], self.sides, np.fmax if objective.maximise else np.fmin)
            column.reshape(grid)[...] = -best if objective.maximise else best
        self._mask = mask = scan.holds(values)
        self.possible, self.feasible = np.ones(len(self.corners), bool), math.prod(shape)
        if mask is not None:
            self.feasible = int(np.count_nonzero(mask)) * (math.prod(shape) // mask.size)
            self.possible = np.broadcast_to(_tiled(mask.view(np.uint8), self.sides, np.maximum), grid).ravel() > 0

    def gather(self, tiles: np.ndarray, within: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give columns and places of points of some tiles, those at these places within each."""
        index = places_in(tiles, within, self._grid, self.sides, self._shape)
        if self._mask is not None:
            holds = self._at(self._mask, index)
            index = [i[holds] for i in index]
        values = {name: self._at(array, index) for name, array in self._values.items()}
        return self._scan.rows(values, self._start, index)

    def _at(self, values: np.ndarray, index: Sequence[np.ndarray]) -> np.ndarray:
        kept = tuple(i if n > 1 else 0 for i, n in zip(index, values.shape, strict=True))
        return np.broadcast_to(values[kept], index[0].shape)


def places_in(
    tiles: np.ndarray, within: np.ndarray, grid: Sequence[int], sides: Sequence[int], shape: Sequence[int]
) -> list[np.ndarray]:
    """Indices along each axis of some points of some tiles, without those beyond the end of a piece."""
    corner, offset = np.unravel_index(tiles, grid), np.unravel_index(within, sides)
    index = [c[:, None] * s + o for c, s, o in zip(corner, sides, offset, strict=True)]
    inside = np.logical_and.reduce([i < n for i, n in zip(index, shape, strict=True)])
    return [i[inside] for i in index]


def _sides(shape: Sequence[int]) -> tuple[int, ...]:
    """Sides of the tiles of a piece: flat ones, so that most is compared along axes which are not the last."""
    long = [i for i, n in enumerate(shape) if n > 1][-3:]
    sides = [1] * len(shape)
    for i, side in zip(long, TILE.get(len(long), ()), strict=True):
        sides[i] = min(side, shape[i])
    return tuple(sides)


def _tiled(values: np.ndarray, sides: Sequence[int], best: np.ufunc) -> np.ndarray:
    """Best value in each tile; NaN counts only where there is nothing else."""
    for axis, side in enumerate(sides):
        n = values.shape[axis]
        if side == 1 or n == 1:
            continue
        whole, found = n // side, []
        before, after = values.shape[:axis], values.shape[axis + 1 :]
        lead = (slice(None),) * axis
        if whole:
            split = values[(*lead, slice(whole * side))].reshape(*before, whole, side, *after)
            found.append(best.reduce(split, axis=axis + 1))
        if n % side:
            found.append(best.reduce(values[(*lead, slice(whole * side, None))], axis=axis, keepdims=True))
        values = np.concatenate(found, axis=axis) if len(found) > 1 else found[0]
    return values
