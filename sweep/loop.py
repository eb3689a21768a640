"""The one loop: evaluate the next block on the device while the one before is stored."""

import math
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import xarray as xr

from sweep import manifest
from sweep import store as stores
from sweep.equations import MODELS
from sweep.evaluate import Evaluator, device_kind
from sweep.labels import dataset_attributes, variable_attributes
from sweep.model import Model
from sweep.plan import Block, Plan, default_memory, make_plan
from sweep.spec import SpecError, SweepSpec, unknown


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes
    ----------
    blocks, total_blocks : int
        Blocks that are done, earlier runs included, and all blocks.
    points, total_points : int
        The same in grid points.
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
    spec: SweepSpec,
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
    spec : SweepSpec
        From :func:`sweep.load` or made in Python.
    store : path, optional
        A Zarr v3 store to write. If it holds part of the same sweep the run goes on where that one stopped; if it
        holds all of it nothing is computed. Without a store the result is held in memory.
    model : Model, optional
        A model of your own; by default the shipped one that the spec names.
    memory : int, optional
        Budget in bytes for the blocks in flight and, without a store, the result; half of the machine's by default.
    overwrite : bool
        Replace a store of another sweep or one begun on another machine, and compute a complete one again. A store
        that holds part of the same sweep is gone on with, so that the same call finishes what it began.
    progress : callable, optional
        Called with a :class:`Progress` at the start and after every block.

    Returns
    -------
    xarray.Dataset
        One variable per output, over the axes that it depends on, with ``units`` and ``long_name``; the spec, its
        fingerprint, versions, device and equation in the attributes. With a store it is read lazily, and an axis of
        more than 1e7 points has no index.

    Raises
    ------
    SpecError
        A sweep that cannot be run as written, or not within the memory.
    StoreError
        A store of another sweep, one in use, or one that cannot be written.

    Warns
    -----
    UserWarning
        For a pairing of numbers and loss convention that is usually a mistake, and for a store to go on with whose
        blocks need more than `memory`.
    """
    if model is None:
        if spec.model not in MODELS:
            raise SpecError(unknown("model", spec.model, MODELS))
        model = MODELS[spec.model]
    spec = model.resolve(spec)
    for caveat in model.caveats(spec):
        warnings.warn(caveat, UserWarning, stacklevel=2)
    report = progress or (lambda _: None)
    if store is None:
        return _run_in_memory(model, spec, memory, report)
    # The store itself, not a link to it, is what is locked and replaced; other paths stay as they were given.
    path = Path(os.path.realpath(store) if os.path.islink(store) else store)
    return _run_into_store(model, spec, path, memory, overwrite, report)


def _plan(model: Model, spec: SweepSpec, memory: int | None, reserved: int = 0) -> Plan:
    return make_plan(
        spec.shape,
        model.variables(spec),
        itemsize=np.dtype(spec.dtype).itemsize,
        tables=model.table_dims(spec),
        memory=memory,
        reserved=reserved,
    )


def _run_in_memory(model: Model, spec: SweepSpec, memory: int | None, report: Callable[[Progress], None]) -> xr.Dataset:
    budget = default_memory() if memory is None else memory
    result = _plan(model, spec, None).result_bytes
    if result > budget // 2:
        raise SpecError(
            f"memory: the result takes {result:,} bytes, more than half of the budget of {budget:,}; "
            "give a store, a larger budget or shorter axes"
        )
    plan = _plan(model, spec, budget, reserved=result)
    arrays = {name: np.empty(plan.lengths(name), spec.dtype) for name in plan.variables}

    def keep(block: Block, values: dict[str, np.ndarray]) -> list[Block]:
        for name, piece in values.items():
            arrays[name][plan.region(name, block)] = piece
        return [block]

    for step in _steps(model, spec, plan, range(len(plan)), keep, list):
        report(step)
    return xr.Dataset(
        {name: (plan.variables[name], arrays[name], variable_attributes(model, spec, name)) for name in plan.variables},
        {name: (name, axis.coordinates(), variable_attributes(model, spec, name)) for name, axis in spec.axes.items()},
        dataset_attributes(model, spec, device_kind()),
    )


def _run_into_store(
    model: Model,
    spec: SweepSpec,
    path: Path,
    memory: int | None,
    overwrite: bool,
    report: Callable[[Progress], None],
) -> xr.Dataset:
    device = device_kind()
    # A finished store is not locked: it may be on a file system that cannot be written.
    if not overwrite and stores.finished(path, model, spec, device):
        for step in _steps(model, spec, manifest.plan_of(path), [], lambda *_: [], list):
            report(step)
        return stores.dataset(path)
    with stores.locked(path):
        if stores.goes_on(path, model, spec, device, overwrite=overwrite):
            plan = manifest.plan_of(path)
            _warn_of_memory(path, plan.memory(model.table_dims(spec)), memory)
            stores.complete(path, False)
            stores.mend_coordinates(path, spec)
        else:
            plan = _plan(model, spec, memory)
            stores.create(path, model, spec, plan, device)
        writer = stores.Writer(path, plan)
        for step in _steps(model, spec, plan, manifest.pending(path, plan), writer.write, writer.finish):
            report(step)
        stores.complete(path)
    return stores.dataset(path)


def _warn_of_memory(path: Path, needed: int, memory: int | None) -> None:
    budget = default_memory() if memory is None else memory
    if needed > budget:
        message = (
            f"{path}: blocks of this store need about {needed / 1e6:,.0f} MB, more than the memory of "
            f"{budget / 1e6:,.0f} MB; they keep their size"
        )
        warnings.warn(message, UserWarning, stacklevel=4)


def _steps(
    model: Model,
    spec: SweepSpec,
    plan: Plan,
    todo: range | list[int],
    keep: Callable[[Block, dict[str, np.ndarray]], list[Block]],
    finish: Callable[[], list[Block]],
) -> Iterator[Progress]:
    """Evaluate the blocks to do; each is kept while the next is evaluated; yield as blocks become safe."""
    began = time.perf_counter()
    evaluator = Evaluator(model, spec, plan)
    left = sum(plan.block(n).points for n in todo) if len(todo) < len(plan) else plan.points
    blocks = len(plan) - len(todo)
    points = nbytes = 0

    def now() -> Progress:
        done = plan.points - left
        return Progress(blocks, len(plan), done + points, plan.points, points, nbytes, time.perf_counter() - began)

    def land(landed: list[Block]) -> Iterator[Progress]:
        nonlocal blocks, points, nbytes
        for block in landed:
            blocks, points = blocks + 1, points + block.points
            for name in plan.owned(block):
                nbytes += plan.itemsize * math.prod(s.stop - s.start for s in plan.region(name, block))
            yield now()

    def settle(block: Block, arrays: tuple[jax.Array, ...]) -> list[Block]:
        owned = plan.owned(block)
        values = {
            name: evaluator.values(name, array, block)
            for name, array in zip(plan.variables, arrays, strict=True)
            if name in owned
        }
        landed = keep(block, values)
        values.clear()
        evaluator.reuse(arrays)
        return landed

    yield now()
    ahead: tuple[Block, tuple[jax.Array, ...]] | None = None
    for number in todo:
        block = plan.block(number)
        arrays = evaluator(block)
        if ahead is not None:
            yield from land(settle(*ahead))
        ahead = block, arrays
    if ahead is not None:
        yield from land(settle(*ahead))
    yield from land(finish())
