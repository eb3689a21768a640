"""The one loop: evaluate the next blocks on the devices while those before are stored."""

import contextlib
import os
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from sweep.config.spec import SweepSpec
from sweep.engine.blocks import Grid
from sweep.engine.evaluate import device_count, device_kind
from sweep.engine.executors import Executor, Local
from sweep.engine.progress import Progress, Tally, unreported
from sweep.engine.reduce import Reduction
from sweep.engine.trial import try_model
from sweep.errors import Caution, SpecError
from sweep.models.model import Model
from sweep.models.problem import Problem
from sweep.models.regret import with_regrets
from sweep.plan.blocks import Plan, budget_of
from sweep.plan.jobs import Job, make_jobs
from sweep.plan.variables import result_axes, result_dtype, result_names
from sweep.results import manifest
from sweep.results import zarr_store as stores
from sweep.results.metadata import dataset_attributes, variable_attributes
from sweep.results.sinks import Disk, Memory


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
        Called with a :class:`~sweep.engine.progress.Progress` at the start and after every block.

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
    executor = Local()

    def evaluate(least: Problem) -> xr.Dataset:
        return _run_in_memory(least, executor, memory, unreported)

    problem = with_regrets(problem, evaluate)
    report = progress or unreported
    if store is None:
        return _run_in_memory(problem, executor, memory, report)
    # The store itself, not a link to it, is what is locked and replaced; other paths stay as they were given.
    path = Path(os.path.realpath(store) if os.path.islink(store) else store)
    return _run_into_store(problem, executor, path, memory, overwrite, report)


def _run_in_memory(
    problem: Problem, executor: Executor, memory: int | None, report: Callable[[Progress], None]
) -> xr.Dataset:
    budget = budget_of(memory)
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
    todo = [range(len(job.plan)) for job in jobs]
    for step in _steps(problem, executor, jobs, todo, lambda job: Memory(job.plan, arrays)):
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
    executor: Executor,
    path: Path,
    memory: int | None,
    overwrite: bool,
    report: Callable[[Progress], None],
) -> xr.Dataset:
    device = device_kind()
    # A finished store is not locked: it may be on a file system that cannot be written.
    if not overwrite and stores.finished(path, problem, device):
        jobs = make_jobs(problem, None, plans=manifest.plans_of(path))
        _drive(_steps(problem, executor, jobs, [[] for _ in jobs], lambda job: Disk(path, job)), report)
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
        _drive(_steps(problem, executor, jobs, todo, lambda job: Disk(written, job)), report)
        stores.complete(written)
        if written != path:
            stores.replace(path)
    return stores.dataset(path)


def _drive(steps: Generator[Progress], report: Callable[[Progress], None]) -> None:
    """Report every step; on an interrupt the steps end before this does."""
    with contextlib.closing(steps):
        for step in steps:
            report(step)


def _warn_of_memory(path: Path, needed: int, memory: int | None) -> None:
    budget = budget_of(memory)
    if needed > budget:
        message = (
            f"{path}: blocks of this store need about {needed / 1e6:,.0f} MB, more than the memory of "
            f"{budget / 1e6:,.0f} MB; they keep their size"
        )
        warnings.warn(message, Caution, stacklevel=4)


def _steps(
    problem: Problem,
    executor: Executor,
    jobs: Sequence[Job],
    todo: Sequence[Sequence[int]],
    sink_of: Callable[[Job], Memory | Disk],
) -> Generator[Progress]:
    """Do the blocks to do of all jobs, one job after the other; yield as results become safe."""
    total = sum(job.points for job in jobs)
    left = sum(job.points_of(job.plan.block(n)) for job, numbers in zip(jobs, todo, strict=True) for n in numbers)
    blocks = sum(len(job.plan) for job in jobs)
    tally = Tally(time.perf_counter(), blocks, problem.spec.points, total, blocks - sum(map(len, todo)), total - left)
    yield tally.now()
    for job, numbers in zip(jobs, todo, strict=True):
        if not numbers:
            continue
        sink = sink_of(job)
        if job.reduces is None:
            steps = _evaluate(problem, executor, job.plan, numbers, sink, tally)
        else:
            steps = Reduction(problem, executor, job.reduces, sink, tally).run(numbers)
        try:
            yield from steps
        except BaseException:
            # What is being written would be written on after the store is no longer locked.
            with contextlib.suppress(Exception):
                sink.finish()
            raise
        yield from tally.land(job.plan, sink.finish())


def _evaluate(
    problem: Problem, executor: Executor, plan: Plan, numbers: Sequence[int], sink: Memory | Disk, tally: Tally
) -> Iterator[Progress]:
    """Evaluate blocks of a grid; each is written while the next is evaluated."""
    for block, values in executor.run(Grid(problem, plan), [map(plan.block, numbers)]):
        landed = sink.write(block, values)
        values.clear()  # its buffers are used again
        tally.points += block.points
        yield from tally.land(plan, landed)
