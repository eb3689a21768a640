"""The fronts of the points so far, what waits for the exact filter, and the memory that they share."""

import os
from dataclasses import dataclass, field

import numpy as np

from kernels.pareto import fronts
from kernels.pareto.cull import Cull
from sweep.errors import SpecError
from sweep.plan.blocks import in_words

TOGETHER, AHEAD = 256, 16  # tiles that are looked at together by a thread; how many times before any are taken in
THREADS = 8  # at most
BUFFER = 2**17  # points that wait for the exact filter, at least
MOST_POINTS = 2**25  # of a front
TILE_POINTS = 2**10  # of a tile, at most
WAITING_BYTES = 2**27  # of pieces that wait to be looked at together, at most
# Bytes that the exact filter takes for a point beside its values, by whether there are more than two objectives
# (measured: 134 and 264).
FILTER_BYTES = 150, 280


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
    _cull: Cull | None = None
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
        self._cull = Cull(self.values[:, : self.objectives])


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
    taken = max(beside + 2 * row, 3 * row + 16 * objectives + 24 * axes + 40)
    waiting = min(WAITING_BYTES, left // 8)
    return Room(budget, min(MOST_POINTS, (left - tiles * tile - waiting) // taken), tiles, waiting)


def threads() -> int:
    """How many threads look at tiles."""
    return min(THREADS, os.cpu_count() or 1)
