"""What is taken of a sweep block by block into its fronts: what cannot be on one is dropped before it is compared.

A block is looked at in tiles of neighbouring points. The best value of each objective in a tile makes a point that is
nowhere worse than the tile's: where a point of the front dominates that, it dominates the tile. Of the tiles that are
left the same is asked of each run along the last axis, and then, by :class:`kernels.pareto.cull.Cull`, of each point;
now and then what is left goes through the exact filter. The front of the union of the fronts of some parts is that of
the whole, so how a sweep is cut, and what is looked at first, changes nothing.
"""

import functools
import math
from collections.abc import Container, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kernels.pareto import fronts
from kernels.pareto.cull import Cull, scattered
from kernels.statistics import compare
from sweep.config.statistic import Condition
from sweep.questions.frontier.running_front import AHEAD, Front, Room, threads

PROBES, ROUNDS, SAMPLE = 256, 6, 2**14  # tiles looked at before others; how often; points by which these are culled

if TYPE_CHECKING:
    from sweep.questions.frontier.pieces import Piece


class Objective(NamedTuple):
    """An output or axis, and whether the largest value of it is the best."""

    name: str
    maximise: bool = False


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

    def take(self, front: Front, pieces: Sequence["Piece"]) -> None:
        """Take in some pieces: the more at once, the fewer points are looked at one by one."""
        left = []
        for piece in pieces:
            front.feasible += piece.feasible
            tiles = np.flatnonzero(piece.possible & ~np.isnan(piece.corners).any(axis=1))
            left.append(tiles[front.survivors(piece.corners[tiles])])
        with ThreadPoolExecutor(threads()) as pool:
            probe, left = self._probed(pool, front, pieces, left)
            for _ in self._look(pool, front, probe, pieces, left):
                pass
        if front.is_new:
            front.settle()

    def _probed(
        self, pool: ThreadPoolExecutor, front: Front, pieces: Sequence["Piece"], left: list[np.ndarray]
    ) -> tuple[Cull, list[np.ndarray]]:
        """Take in some tiles, ever nearer to the front; what culls by their points, and the tiles that it leaves."""
        good = np.zeros((0, len(self.objectives)), self.dtype)
        probe = Cull(good)
        for _ in range(ROUNDS):
            before = sum(map(len, left))
            if before <= 2 * PROBES:
                break
            some = [np.zeros(len(tiles), bool) for tiles in left]
            for chosen in some:
                chosen[scattered(len(chosen), -(-PROBES * len(chosen) // before))] = True
            now = [tiles[chosen] for tiles, chosen in zip(left, some, strict=True)]
            good = self._front(np.concatenate([good, *self._look(pool, front, probe, pieces, now)]))
            probe = Cull(good)
            rest = [tiles[~chosen] for tiles, chosen in zip(left, some, strict=True)]
            left = [tiles[probe(piece.corners[tiles])] for piece, tiles in zip(pieces, rest, strict=True)]
            if sum(map(len, left)) > 0.7 * before:
                break
        return probe, left

    def _look(
        self,
        pool: ThreadPoolExecutor,
        front: Front,
        probe: Cull,
        pieces: Sequence["Piece"],
        chosen: Sequence[np.ndarray],
    ) -> Iterator[np.ndarray]:
        """Take in the points of some tiles of each piece, and yield the objectives of those that were not dropped."""
        parts = []
        for piece, tiles in zip(pieces, chosen, strict=True):
            parts += [(piece, tiles[i : i + front.room.tiles]) for i in range(0, len(tiles), front.room.tiles)]
        for first in range(0, len(parts), AHEAD):
            batch = parts[first : first + AHEAD]
            for rows, places in pool.map(lambda part: self._undominated(part[0], part[1], front, probe), batch):
                front.add(rows, places)
                yield rows[:, : len(self.objectives)]

    def _undominated(
        self, piece: "Piece", tiles: np.ndarray, front: Front, probe: Cull
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
            column = functools.reduce(np.fmax if maximise else np.fmin, (column[i::side] for i in range(side)))
            np.copyto(row, -column if maximise else column)
        return best

    def _front(self, points: np.ndarray) -> np.ndarray:
        """Give the front of some points, or of some of them where there are many."""
        points = points[scattered(len(points), min(len(points), SAMPLE))]
        return points[fronts.is_nondominated(points, (False,) * len(self.objectives), False)]

    def holds(self, values: Mapping[str, np.ndarray], names: Container[str] | None = None) -> np.ndarray | None:
        """Where all conditions, or those on some names, hold, compared as float64 would compare them; None if none."""
        mask = None
        for condition in self.conditions:
            if names is not None and condition.output not in names:
                continue
            holds = compare(values[condition.output], condition.sign, condition.bound)
            mask = holds if mask is None else mask & holds
        return mask

    def places(self, index: Sequence[np.ndarray], start: Sequence[int], stop: Sequence[int]) -> np.ndarray:
        """Places in the grid of indices along the axes of a piece, -1 beyond its end."""
        inside = np.logical_and.reduce([i < b - a for i, a, b in zip(index, start, stop, strict=True)])
        places = sum((i + a) * stride for i, a, stride in zip(index, start, self.strides, strict=True))
        return np.where(inside, places, -1)
