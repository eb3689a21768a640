"""Reduce the tiles of a pass part by part; what a tile has been reduced to is kept now and then."""

import time
from collections.abc import Iterator, Sequence
from itertools import chain, islice

from sweep.engine.executors import Executor, Worker
from sweep.engine.partials import finished, merge, names_of, narrowed, round_of, sought_in
from sweep.engine.progress import Progress, Tally
from sweep.engine.rows import Rows
from sweep.engine.running import Stepper
from sweep.models.problem import Problem
from sweep.plan.blocks import Block
from sweep.plan.passes import ROWS, Pass, Unit
from sweep.results.sinks import Disk, Memory, Partial

BETWEEN = 2.0  # seconds between two times that a tile in progress is kept


class Reduction:
    """Reduces the tiles of one pass.

    Parameters
    ----------
    problem : Problem
        What to evaluate.
    executor : Executor
        Where the units of work are evaluated.
    pass_ : Pass
        Of its statistics.
    sink : Memory or Disk
        Where tiles go, and what they have been reduced to so far.
    tally : Tally
        What is counted.
    """

    def __init__(self, problem: Problem, executor: Executor, pass_: Pass, sink: Memory | Disk, tally: Tally) -> None:
        self._problem, self._executor, self._pass, self._sink, self._tally = problem, executor, pass_, sink, tally
        self._partials: dict[int, Partial] = {}  # of tiles in progress

    def run(self, numbers: Sequence[int]) -> Iterator[Progress]:
        """Reduce the tiles of those numbers; yield after every unit of work."""
        kept = time.perf_counter()
        groups = self._in_one(numbers) if self._pass.rounds == 1 else self._in_rounds(numbers)
        for unit, partial in self._executor.run(self._worker(), groups):
            merged, is_done = self._merged(unit, partial)
            self._tally.points += self._counted(unit)
            if is_done:
                yield from self._landed(unit, merged)
                continue
            self._partials[unit.tile.number] = merged
            if time.perf_counter() > kept + BETWEEN:
                self._sink.keep(unit.tile.number, unit.round * self._pass.parts + unit.number + 1, merged)
                kept = time.perf_counter()
            yield self._tally.now()

    def _worker(self) -> Worker[Unit, Partial]:
        plan = self._pass.plan
        sides = dict(zip(plan.shape, plan.block_shape, strict=True))
        cells = tuple(sides[dim] for dim in self._pass.kept)
        if self._pass.kind == ROWS:
            return Rows(self._problem, self._pass, cells)
        return Stepper(self._problem, self._pass, cells)

    def _in_one(self, numbers: Sequence[int]) -> Iterator[Iterator[Unit]]:
        """Yield all units of all tiles as one group."""
        yield (unit for tiles in self._side_by_side(numbers) for unit in self._left(tiles))

    def _in_rounds(self, numbers: Sequence[int]) -> Iterator[Iterator[Unit]]:
        """Yield the units of one look at all parts of a few tiles as a group, until these are done; then of others."""
        for tiles in self._side_by_side(numbers):
            yield self._left(tiles)
            while tiles := [tile for tile in tiles if tile.number in self._partials]:
                yield chain.from_iterable(map(self._units, tiles))

    def _side_by_side(self, numbers: Sequence[int]) -> Iterator[list[Block]]:
        """Yield as many tiles as are evaluated at once, or fewer."""
        tiles = map(self._pass.plan.block, numbers)
        while some := list(islice(tiles, self._executor.width)):
            yield some

    def _left(self, tiles: Sequence[Block]) -> Iterator[Unit]:
        """Yield the units of tiles that were not done when an earlier run was stopped."""
        parts = [self._taken_up(tile) for tile in tiles]
        for tile, done in zip(tiles, parts, strict=True):
            yield from islice(self._units(tile), done, None)

    def _units(self, tile: Block) -> Iterator[Unit]:
        """Units of the next look at all parts of a tile."""
        before = self._partials.get(tile.number, {})
        return self._pass.units(tile, round_of(before), sought_in(before))

    def _taken_up(self, tile: Block) -> int:
        """Take up what has been kept of a tile; the parts that it has."""
        pass_ = self._pass
        done, partial = self._sink.load(tile.number)
        looks, parts = divmod(done, pass_.parts)
        if not done or round_of(partial) != looks or set(partial) != names_of(self._problem.spec, pass_, looks):
            return 0
        self._partials[tile.number] = partial
        for look in range(looks + 1):
            units = islice(pass_.units(tile, look), pass_.parts if look < looks else parts)
            self._tally.before += sum(map(self._counted, units))
        return parts

    def _merged(self, unit: Unit, partial: Partial) -> tuple[Partial, bool]:
        """What a tile has been reduced to with that of one more unit; whether that is all."""
        spec, pass_ = self._problem.spec, self._pass
        before = self._partials.pop(unit.tile.number, None)
        merged = partial if before is None else merge(spec, pass_, before, partial)
        if unit.number + 1 < pass_.parts:
            return merged, False
        merged, again = narrowed(spec, pass_, merged)
        return merged, not again

    def _landed(self, unit: Unit, partial: Partial) -> Iterator[Progress]:
        """Write the tile of its last unit."""
        pass_, tile = self._pass, unit.tile
        if unit.round + 1 < pass_.rounds:
            self._tally.points += sum(map(self._counted, pass_.units(tile, unit.round + 1)))
        values = finished(self._problem.spec, pass_, partial, tile)
        yield from self._tally.land(pass_.plan, self._sink.write(tile, values))

    def _counted(self, unit: Unit) -> int:
        """Points that a unit adds to the progress: of all rounds together each point once."""
        points = unit.points * self._pass.cells(unit.tile)
        half = points // 2
        return points if self._pass.rounds == 1 else (half, points - half, 0)[min(unit.round, 2)]
