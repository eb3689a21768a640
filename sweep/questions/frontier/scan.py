"""The running front of points that come block by block: what cannot be on it is dropped before anything is compared.

A block is looked at in tiles of neighbouring points. The best value of each objective in a tile makes a point that is
nowhere worse than the tile's: where a point of the front dominates that, it dominates the tile. Of the tiles that are
left the same is asked of each run along the last axis, and then, by :class:`kernels.pareto.fronts.Cull`, of each point;
now and then what is left goes through the exact filter. The front of the union of the fronts of some parts is that of
the whole, so how a sweep is cut, and what is looked at first, changes nothing.
"""

import functools
import math
import os
from collections.abc import Container, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from kernels.pareto import fronts
from kernels.statistics import compare
from sweep.config.statistic import Condition
from sweep.errors import SpecError
from sweep.plan.blocks import in_words

PROBES, ROUNDS, SAMPLE = 256, 6, 2**14  # tiles looked at before others; how often; points by which these are culled
TOGETHER, AHEAD = 256, 16  # tiles that are looked at together by a thread; how many times before any are taken in
THREADS = 8  # at most
BUFFER = 2**17  # points that wait for the exact filter, at least
MOST_POINTS = 2**25  # of a front
TILE_POINTS = 2**10  # of a tile, at most
WAITING_BYTES = 2**27  # of pieces that wait to be looked at together, at most
# Bytes that the exact filter takes for a point beside its values, by whether there are more than two objectives
# (measured: 134 and 264).
FILTER_BYTES = 150, 280


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
    room : Room
        What all fronts together may take.
    feasible : int
        Points so far at which all conditions hold.
    """

    objectives: int
    keep_weakly: bool
    values: np.ndarray
    room: "Room"
    places: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    feasible: int = 0
    _cull: fronts.Cull | None = None
    _waiting: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)

    @property
    def is_new(self) -> bool:
        """Whether nothing has been filtered yet, so that nothing is known to be dominated."""
        return self._cull is None

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
        self.room.points += len(places)
        waiting = sum(len(places) for _, places in self._waiting)
        if waiting > max(BUFFER, len(self.places)):
            self.settle()
        self.room.make()

    def settle(self) -> None:
        """Filter what has been taken in."""
        if not self._waiting:
            return
        before = len(self.places) + sum(len(places) for _, places in self._waiting)
        # One copy at a time: together they are what a large front takes.
        self.values = np.concatenate([self.values, *(values for values, _ in self._waiting)])
        self.places = np.concatenate([self.places, *(places for _, places in self._waiting)])
        self._waiting = []
        order = np.argsort(self.places)
        self.values, self.places = self.values[order], self.places[order]
        del order
        flips = (False,) * self.objectives
        kept = fronts.is_nondominated(self.values[:, : self.objectives], flips, self.keep_weakly)
        self.values, self.places = self.values[kept], self.places[kept]
        self.room.points -= before - len(self.places)
        self._cull = fronts.Cull(self.values[:, : self.objectives])


@dataclass
class Room:
    """How many points all fronts of a question may have together, those that wait for the exact filter included.

    Attributes
    ----------
    budget : int
        Bytes that the question may take, of which the fronts have what the blocks leave.
    most : int
        Points that these hold.
    tiles : int
        That a thread looks at together.
    waiting : int
        Bytes of pieces that may wait to be looked at.
    points : int
        How many there are.
    fronts : list of Front
        All of them.
    """

    budget: int
    most: int
    tiles: int
    waiting: int
    points: int = 0
    fronts: list[Front] = field(default_factory=list)

    def make(self) -> None:
        """Filter what waits where there is no room left.

        Raises
        ------
        SpecError
            Where that leaves less than an eighth of the room: a front that is too large to be held.
        """
        if self.points <= self.most:
            return
        for front in self.fronts:
            front.settle()
        if self.points <= self.most - self.most // 8:
            return
        few = self.most < MOST_POINTS
        raise SpecError(
            f"memory: the frontier has {self.points:,} points or more, and at most {self.most:,} fit"
            f"{f' into {in_words(self.budget)}' if few else ''}: hardly a point of this sweep dominates another; "
            f"{'give more memory, ' if few else ''}drop an objective, add a condition or take shorter axes"
        )


def room_of(budget: int, left: int, objectives: int, columns: int, axes: int, itemsize: int) -> Room:
    """Share out the bytes that blocks leave of a budget.

    Parameters
    ----------
    budget, left : int
        Bytes of all, and of what the blocks leave.
    objectives, columns, axes : int
        Of a point: its objectives, these and what else is kept of it, and its indices.
    itemsize : int
        Bytes of each column.
    """
    row, beside = columns * itemsize + 8, FILTER_BYTES[objectives > 2]
    tile = TILE_POINTS * (threads() * (beside + 4 * row) + AHEAD * row)
    tiles = max(1, min(TOGETHER, left // 4 // tile))
    # A point takes most where it is filtered, or where it is told: sorted, normalised, and with its values on the axes.
    each = max(beside + 2 * row, 3 * row + 16 * objectives + 24 * axes + 40)
    waiting = min(WAITING_BYTES, left // 8)
    return Room(budget, min(MOST_POINTS, (left - tiles * tile - waiting) // each), tiles, waiting)


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

    def fresh(self, keep_weakly: bool, room: Room) -> Front:
        """Give a front without points."""
        columns = len(self.objectives) + len(self.extras)
        front = Front(len(self.objectives), keep_weakly, np.zeros((0, columns), self.dtype), room)
        room.fronts.append(front)
        return front

    def __call__(self, front: Front, pieces: Sequence["Piece"]) -> None:
        """Take in some pieces: the more at once, the fewer points are looked at one by one.

        Some tiles are looked at first, ever nearer to the front, and what their points dominate is dropped.
        """
        left = []
        for piece in pieces:
            front.feasible += piece.feasible
            tiles = np.flatnonzero(piece.possible & ~np.isnan(piece.corners).any(axis=1))
            left.append(tiles[front.survivors(piece.corners[tiles])])
        good = np.zeros((0, len(self.objectives)), self.dtype)
        probe = fronts.Cull(good)
        with ThreadPoolExecutor(threads()) as pool:
            for _ in range(ROUNDS):
                before = sum(map(len, left))
                if before <= 2 * PROBES:
                    break
                some = [np.zeros(len(tiles), bool) for tiles in left]
                for chosen in some:
                    chosen[fronts.scattered(len(chosen), -(-PROBES * len(chosen) // before))] = True
                now = [tiles[chosen] for tiles, chosen in zip(left, some, strict=True)]
                good = self._front(np.concatenate([good, *self._look(pool, front, probe, pieces, now)]))
                probe = fronts.Cull(good)
                for number, (piece, chosen) in enumerate(zip(pieces, some, strict=True)):
                    rest = left[number][~chosen]
                    left[number] = rest[probe(piece.corners[rest])]
                if sum(map(len, left)) > 0.7 * before:
                    break
            for _ in self._look(pool, front, probe, pieces, left):
                pass
        if front.is_new:
            front.settle()

    def _look(
        self,
        pool: ThreadPoolExecutor,
        front: Front,
        probe: fronts.Cull,
        pieces: Sequence["Piece"],
        chosen: Sequence[np.ndarray],
    ) -> Iterator[np.ndarray]:
        """Take in the points of some tiles of each piece, and yield the objectives of those that were not dropped."""
        parts = []
        for piece, tiles in zip(pieces, chosen, strict=True):
            parts += [(piece, tiles[i : i + front.room.tiles]) for i in range(0, len(tiles), front.room.tiles)]
        for first in range(0, len(parts), AHEAD):
            batch = parts[first : first + AHEAD]
            for rows, places in pool.map(lambda part: self._undominated(*part, front, probe), batch):
                front.add(rows, places)
                yield rows[:, : len(self.objectives)]

    def _undominated(
        self, piece: "Piece", tiles: np.ndarray, front: Front, probe: fronts.Cull
    ) -> tuple[np.ndarray, np.ndarray]:
        """Columns and places of the points of some tiles at which the conditions hold and that may be on the front.

        The best values in a run of points along the last axis stand for the run first, as those in a tile for the tile.
        """
        values, side = piece.values(tiles), piece.sides[-1]
        holds = self.holds(values)
        runs = np.arange(len(tiles) * math.prod(piece.sides) // side)
        best = self._bests(values, holds, side)
        for cull in (front.survivors, probe):
            runs = runs[cull(best.take(runs, axis=1).T)]
        kept = (runs[:, None] * side + np.arange(side)).reshape(-1)
        if holds is not None:
            kept = kept[holds[kept]]
        points = np.empty((len(self.objectives), len(kept)), self.dtype)
        for row, (name, maximise) in zip(points, self.objectives, strict=True):
            np.copyto(row, values[name].take(kept))
            if maximise:
                np.negative(row, out=row)
        good = probe(points.T)
        good = good[fronts.is_nondominated(points.take(good, axis=1).T, (False,) * len(points), True)]
        places = piece.places(tiles, kept[good])
        good, places = good[places >= 0], places[places >= 0]
        columns = [*points[:, good], *(values[name][kept[good]] for name in self.extras)]
        return np.stack(columns, axis=1, dtype=self.dtype), places

    def _bests(self, values: Mapping[str, np.ndarray], holds: np.ndarray | None, side: int) -> np.ndarray:
        """Least of each objective in each run of so many points, a maximised one negated; shape (objectives, runs)."""
        best = np.empty((len(self.objectives), len(values[self.objectives[0].name]) // side), self.dtype)
        for row, (name, maximise) in zip(best, self.objectives, strict=True):
            column, worst = values[name], -np.inf if maximise else np.inf
            if holds is not None:
                column = np.where(holds, column, column.dtype.type(worst))
            found = functools.reduce(np.fmax if maximise else np.fmin, (column[i::side] for i in range(side)))
            np.copyto(row, -found if maximise else found)
        return best

    def _front(self, points: np.ndarray) -> np.ndarray:
        """Give the front of some points, or of some of them where there are many."""
        points = points[fronts.scattered(len(points), min(len(points), SAMPLE))]
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

    def places(self, index: Sequence[np.ndarray], start: Sequence[int], stop: Sequence[int]) -> np.ndarray:
        """Places in the grid of indices along the axes of a piece, -1 beyond its end."""
        inside = np.logical_and.reduce([i < b - a for i, a, b in zip(index, start, stop, strict=True)])
        places = sum((i + a) * stride for i, a, stride in zip(index, start, self.strides, strict=True))
        return np.where(inside, places, -1)


def threads() -> int:
    """How many threads look at tiles."""
    return min(THREADS, os.cpu_count() or 1)


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


def points_of(tiles: np.ndarray, points: np.ndarray, grid: Sequence[int], sides: Sequence[int]) -> list[np.ndarray]:
    """Indices along each axis of some points of some tiles, counted one tile after the other."""
    tile, within = np.divmod(points, math.prod(sides))
    corner, offset = np.unravel_index(tiles[tile], grid), np.unravel_index(within, sides)
    return [c * s + o for c, s, o in zip(corner, sides, offset, strict=True)]
