"""The one loop: evaluate the next blocks on the devices while those before are stored."""

import contextlib
import math
import os
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from sweep.config.spec import SweepSpec
from sweep.engine.blocks import Grid
from sweep.engine.evaluate import device_count, device_kind, is_out_of_memory
from sweep.engine.partials import Partial, finished, merge, names_of, narrowed, round_of, sought_in
from sweep.engine.rows import Rows
from sweep.engine.running import Stepper
from sweep.engine.trial import try_model
from sweep.errors import Caution, SpecError
from sweep.models.model import Model
from sweep.models.problem import Problem
from sweep.models.regret import with_regrets
from sweep.plan.blocks import Block, Plan, default_memory
from sweep.plan.jobs import Job, make_jobs
from sweep.plan.passes import ROWS, Pass, Unit, result_axes, result_dtype, result_names
from sweep.results import manifest
from sweep.results import zarr_store as stores
from sweep.results.metadata import dataset_attributes, variable_attributes
from sweep.results.sinks import Disk, Memory

BETWEEN = 2.0  # seconds between two times that a tile in progress is kept


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes
    ----------
    blocks, total_blocks : int
        Blocks that are done, earlier runs included, and all blocks; of statistics, tiles of the result.
    points, total_points : int
        The same in points of the grid, combinations of the values of all axes. A sweep of statistics may pass over
        them more than once; then they count as done in the share in which all passes are.
    new_points, new_bytes : int
        Points and bytes of values made by this run.
    seconds : float
        Time since this run began.
    """

    blocks: int
    total_blocks: int
    points: int
    total_points: int
    new_points: int
    new_bytes: int
    seconds: float


def run(
    spec: SweepSpec | Problem,
    *,
    store: str | os.PathLike[str] | None = None,
    model: Model | None = None,
    memory: int | None = None,
    overwrite: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> xr.Dataset:
    """Evaluate a sweep into a labelled dataset, in memory or in a Zarr store.

    Parameters
    ----------
    spec : SweepSpec or Problem
        Made in Python, or from :func:`sweep.load`.
    store : path, optional
        A Zarr v3 store to write. If it holds part of the same sweep the run goes on where that one stopped; if it
        holds all of it nothing is computed. Without a store the result is held in memory.
    model : Model, optional
        A model of your own; by default the shipped one that the spec names.
    memory : int, optional
        Budget in bytes for the blocks in flight and, without a store, the result; by default half of the memory that
        this process may take: of the machine's, or of the least limit of its control groups (a container's).
    overwrite : bool
        Replace a store of another sweep or one begun on another machine, and compute a complete one again. What is
        there is kept until the new one, which is written beside it, is complete. A store or a replacement that holds
        part of the same sweep is gone on with, so that the same call finishes what it began.
    progress : callable, optional
        Called with a :class:`Progress` at the start and after every block.

    Returns
    -------
    xarray.Dataset
        One variable per output, over the axes that it depends on, or per statistic, over those that it keeps, with
        ``units`` and ``long_name``; the spec, its fingerprint, versions, device and equation in the attributes. With a
        store it is read lazily, and an axis of
        more than 1e7 points has no index.

    Raises
    ------
    SpecError
        A sweep that cannot be run as written, or not within the memory; a model of your own whose function does not
        return real arrays by name, or is not elementwise: it is tried on a few points before a store is made.
    StoreError
        A store of another sweep, one in use, or one that cannot be written.

    Warns
    -----
    UserWarning
        For values that were probably meant in another unit or convention, for targets that are out of reach, and for a
        store to go on with whose blocks need more than `memory`.
    """
    problem = Problem.of(spec, model)
    problem.model.refuse_to_evaluate()
    if problem.is_own:
        try_model(problem)
    if problem is not spec:  # of what was checked before the caveats were told
        problem.warn(2)
    problem = with_regrets(problem, lambda least: _run_in_memory(least, memory, lambda _: None))
    report = progress or (lambda _: None)
    if store is None:
        return _run_in_memory(problem, memory, report)
    # The store itself, not a link to it, is what is locked and replaced; other paths stay as they were given.
    path = Path(os.path.realpath(store) if os.path.islink(store) else store)
    return _run_into_store(problem, path, memory, overwrite, report)


def _run_in_memory(problem: Problem, memory: int | None, report: Callable[[Progress], None]) -> xr.Dataset:
    budget = default_memory() if memory is None else memory
    result = sum(job.plan.result_bytes for job in make_jobs(problem, None))
    if result > budget // 2:
        raise SpecError(
            f"memory: the result takes {result:,} bytes, more than half of the budget of {budget:,}; "
            "give a store, a larger budget or shorter axes"
        )
    jobs = make_jobs(problem, budget, reserved=result, devices=device_count())
    arrays = {
        name: np.empty(job.plan.lengths(name), result_dtype(problem.spec, name))
        for job in jobs
        for name in job.plan.variables
    }
    for step in _steps(problem, jobs, [range(len(job.plan)) for job in jobs], lambda job: Memory(job.plan, arrays)):
        report(step)
    dims = {name: dims for job in jobs for name, dims in job.plan.variables.items()}
    return xr.Dataset(
        {name: (dims[name], arrays[name], variable_attributes(problem, name)) for name in result_names(problem.spec)},
        {
            name: (name, axis.coordinates(), variable_attributes(problem, name))
            for name, axis in result_axes(problem).items()
        },
        dataset_attributes(problem, device_kind()),
    )


def _run_into_store(
    problem: Problem,
    path: Path,
    memory: int | None,
    overwrite: bool,
    report: Callable[[Progress], None],
) -> xr.Dataset:
    device = device_kind()
    # A finished store is not locked: it may be on a file system that cannot be written.
    if not overwrite and stores.finished(path, problem, device):
        jobs = make_jobs(problem, None, plans=manifest.plans_of(path))
        _drive(_steps(problem, jobs, [[] for _ in jobs], lambda job: Disk(path, job)), report)
        return stores.dataset(path)
    with stores.locked(path):
        written, goes_on = stores.place(path, problem, device, overwrite=overwrite)
        if goes_on:
            jobs = make_jobs(problem, None, plans=manifest.plans_of(written))
            needed = [job.plan.memory(problem.table_dims) for job in jobs if job.reduces is None]
            _warn_of_memory(path, device_count() * max(needed, default=0), memory)
            stores.complete(written, False)
            stores.mend(written, problem)
        else:
            jobs = make_jobs(problem, memory, devices=device_count())
            stores.create(written, problem, [job.plan for job in jobs], device)
        todo = [manifest.pending(written, job.plan) for job in jobs]
        _drive(_steps(problem, jobs, todo, lambda job: Disk(written, job)), report)
        stores.complete(written)
        if written != path:
            stores.replace(path)
    return stores.dataset(path)


def _drive(steps: Iterator[Progress], report: Callable[[Progress], None]) -> None:
    """Report every step; on an interrupt the steps end before this does."""
    with contextlib.closing(steps):
        for step in steps:
            report(step)


def _warn_of_memory(path: Path, needed: int, memory: int | None) -> None:
    budget = default_memory() if memory is None else memory
    if needed > budget:
        message = (
            f"{path}: blocks of this store need about {needed / 1e6:,.0f} MB, more than the memory of "
            f"{budget / 1e6:,.0f} MB; they keep their size"
        )
        warnings.warn(message, Caution, stacklevel=4)


@dataclass
class _Tally:
    """Counts what is done; the fields are those of :class:`Progress`, with what earlier runs did apart.

    `total`, `before` and `points` are points evaluated, once for each pass.
    """

    began: float
    total_blocks: int
    grid: int
    total: int
    blocks: int
    before: int
    points: int = 0
    nbytes: int = 0

    def now(self) -> Progress:
        """Give the state of the run."""
        done, seconds = self.before + self.points, time.perf_counter() - self.began
        # Rounded so that all is done only when it is, and something is new whenever it is.
        points, new = self.grid * done // self.total, -(-self.grid * self.points // self.total)
        return Progress(self.blocks, self.total_blocks, points, self.grid, new, self.nbytes, seconds)

    def land(self, plan: Plan, blocks: Sequence[Block]) -> Iterator[Progress]:
        """Count blocks that are safe."""
        for block in blocks:
            self.blocks += 1
            for name in plan.owned(block):
                self.nbytes += plan.itemsize * math.prod(s.stop - s.start for s in plan.region(name, block))
            yield self.now()


def _steps(
    problem: Problem,
    jobs: Sequence[Job],
    todo: Sequence[Sequence[int]],
    sink_of: Callable[[Job], Memory | Disk],
) -> Iterator[Progress]:
    """Do the blocks to do of all jobs, one job after the other; yield as results become safe."""
    total = sum(job.points for job in jobs)
    left = sum(job.points_of(job.plan.block(n)) for job, numbers in zip(jobs, todo, strict=True) for n in numbers)
    blocks = sum(len(job.plan) for job in jobs)
    tally = _Tally(time.perf_counter(), blocks, problem.spec.points, total, blocks - sum(map(len, todo)), total - left)
    yield tally.now()
    for job, numbers in zip(jobs, todo, strict=True):
        if not numbers:
            continue
        sink = sink_of(job)
        if job.reduces is None:
            steps = _evaluate(problem, job.plan, numbers, sink, tally)
        else:
            steps = _reduce(problem, job.reduces, numbers, sink, tally)
        try:
            yield from steps
        except BaseException:
            # What is being written would be written on after the store is no longer locked.
            with contextlib.suppress(Exception):
                sink.finish()
            raise
        yield from tally.land(job.plan, sink.finish())


def _evaluate(
    problem: Problem, plan: Plan, numbers: Sequence[int], sink: Memory | Disk, tally: _Tally
) -> Iterator[Progress]:
    """Evaluate blocks of a grid; each is written while the next is evaluated."""
    for block, values in made(Grid(problem, plan), map(plan.block, numbers)):
        landed = sink.write(block, values)
        values.clear()  # its buffers are used again
        tally.points += block.points
        yield from tally.land(plan, landed)


def _reduce(
    problem: Problem, found: Pass, numbers: Sequence[int], sink: Memory | Disk, tally: _Tally
) -> Iterator[Progress]:
    """Reduce tiles part by part; what a tile has been reduced to is kept now and then."""
    kept = time.perf_counter()
    held: dict[int, Partial] = {}

    def begun(tile: Block) -> int:
        """Take up what has been kept of a tile; the parts that it has."""
        done, partial = sink.load(tile.number)
        round, parts = divmod(done, found.parts)
        if not done or round_of(partial) != round or set(partial) != names_of(problem.spec, found, round):
            return 0
        held[tile.number] = partial
        for number in range(round + 1):
            units = islice(found.units(tile, number), found.parts if number < round else parts)
            tally.before += sum(_counted(found, unit) for unit in units)
        return parts

    def units() -> Iterator[Unit | None]:
        tiles = map(found.plan.block, numbers)
        while group := list(islice(tiles, device_count())):
            done = {tile.number: begun(tile) for tile in group}
            while group:
                for tile in group:
                    before = held.get(tile.number, {})
                    every = found.units(tile, round_of(before), sought_in(before))
                    yield from islice(every, done.pop(tile.number, 0), None)
                if found.rounds == 1:
                    break
                yield None
                group = [tile for tile in group if tile.number in held]

    sides = dict(zip(found.plan.shape, found.plan.block_shape, strict=True))
    reducer = (Rows if found.kind == ROWS else Stepper)(problem, found, tuple(sides[dim] for dim in found.kept))
    for unit, partial in made(reducer, units()):
        tile = unit.tile
        merged = merge(problem.spec, found, held.pop(tile.number), partial) if tile.number in held else partial
        tally.points += _counted(found, unit)
        if unit.number + 1 == found.parts:
            merged, again = narrowed(problem.spec, found, merged)
            if not again:
                if unit.round + 1 < found.rounds:
                    tally.points += sum(_counted(found, left) for left in found.units(tile, unit.round + 1))
                yield from tally.land(found.plan, sink.write(tile, finished(problem.spec, found, merged, tile)))
                continue
        held[tile.number] = merged
        if time.perf_counter() > kept + BETWEEN:
            sink.keep(tile.number, unit.round * found.parts + unit.number + 1, merged)
            kept = time.perf_counter()
        yield tally.now()


def _counted(found: Pass, unit: Unit) -> int:
    """Points that a unit adds to the progress: of all rounds together each point once."""
    points = unit.points * found.cells(unit.tile)
    half = points // 2
    return points if found.rounds == 1 else (half, points - half, 0)[min(unit.round, 2)]


def made(worker: Any, items: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
    """Yield what a worker makes of each item; the next items are started before those before are waited for.

    What follows a None among the items is not asked for before all that precedes it is made. A worker that finds a
    device without memory for its items is halved, until it does: the results are the same.
    """
    ahead: tuple[Any, list[Any], Any] | None = None
    for batch in _batches(items, device_count()):
        now = (worker, batch, _attempt(worker.start, batch)) if batch else None
        if ahead is not None:
            smaller = yield from _finished(*ahead)
            worker = smaller if smaller is not ahead[0] else worker
        ahead = now
    if ahead is not None:
        yield from _finished(*ahead)


def _batches(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    """Yield as many items as there are devices, or fewer, and an empty list in the place of None."""
    batch: list[Any] = []
    for item in items:
        if item is not None:
            batch.append(item)
        if len(batch) == size or (item is None and batch):
            yield batch
            batch = []
        if item is None:
            yield []
    if batch:
        yield batch


def _finished(worker: Any, batch: list[Any], started: Any) -> Generator[tuple[Any, Any], None, Any]:
    made = None if started is None else _attempt(worker.finish, started)
    while made is None:
        smaller = worker.halved()
        if smaller is None:
            raise SpecError("the device has no memory for the smallest piece of this sweep; end what else runs on it")
        worker = smaller
        started = _attempt(worker.start, batch)
        made = None if started is None else _attempt(worker.finish, started)
    yield from zip(batch, made, strict=True)
    worker.release(started)
    return worker


def _attempt(function: Callable[[Any], Any], argument: Any) -> Any:
    """Call a function; None where a device has no memory for it."""
    try:
        return function(argument)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None
