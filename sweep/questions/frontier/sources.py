"""Where values come from, block by block: evaluated from a spec, or read from a dataset. Nothing is kept of them."""

import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from sweep.config.distribution import REPLICATE
from sweep.config.spec import Fixed, SweepSpec
from sweep.engine.blocks import Grid
from sweep.engine.evaluate import device_count, device_kind
from sweep.engine.executors import Local
from sweep.engine.trial import try_model
from sweep.errors import SpecError
from sweep.models.model import Model
from sweep.models.problem import Problem
from sweep.plan.blocks import Block, Plan, boxes, default_memory, make_plan
from sweep.questions.frontier.pieces import Loaded, Piece
from sweep.questions.frontier.scan import Scan
from sweep.questions.frontier.tiles import Tiler, make_tile_plan
from sweep.results import manifest
from sweep.results import zarr_store as stores
from sweep.results.metadata import dataset_attributes, kind_of, variable_attributes
from sweep.results.netcdf import OF_A_STORE
from sweep.results.replicates import pooled

READ_POINTS = 2**21  # of a block that is read from a dataset
FIRST = 8  # blocks, far apart, that are taken before the others

Source = SweepSpec | Problem | xr.Dataset | str | os.PathLike[str]


@dataclass(frozen=True)
class Field:
    """Some outputs of a sweep on the grid of the axes that they, or what else is asked for, depend on.

    Attributes
    ----------
    dims : tuple of str
        The axes in the order of the sweep, by which places in the grid are counted.
    plan : Plan
        Of the blocks; its axes may be in another order.
    at : callable
        ``at(name, index)``: float64 values of an axis.
    attributes : callable
        ``attributes(name)``: ``long_name``, ``units`` and more of an output or axis.
    dataset_attributes : mapping
        Of the dataset of the whole sweep.
    dtypes : mapping of str to numpy.dtype
        Of the outputs.
    pieces : callable
        ``pieces(scan, blocks)``: yields each block and what a scan takes of it, one piece for each combination of
        values of the axes that are kept apart; a piece is to be done with before the next block is asked for.
    """

    dims: tuple[str, ...]
    plan: Plan
    at: Callable[[str, np.ndarray], np.ndarray]
    attributes: Callable[[str], dict[str, Any]]
    dataset_attributes: Mapping[str, Any]
    dtypes: Mapping[str, np.dtype]
    pieces: Callable[[Scan, Iterator[Block]], Iterator[tuple[Block, Iterator[tuple[tuple[int, ...], Piece]]]]]

    def scanned(self, scan: Scan) -> Iterator[tuple[Block, Iterator[tuple[tuple[int, ...], Piece]]]]:
        """Yield every block in pieces, some that are far apart first."""
        far = dict.fromkeys(round(i) for i in np.linspace(0, len(self.plan) - 1, min(FIRST, len(self.plan))))
        order = (*far, *(number for number in range(len(self.plan)) if number not in far))
        return self.pieces(scan, map(self.plan.block, order))


class Offer:
    """What a source has to offer: names of outputs and axes, and a field of some of them.

    Parameters
    ----------
    source : Problem or xarray.Dataset
        As :func:`opened` gives it.

    Raises
    ------
    SpecError
        When the dataset is not the result of a sweep.
    """

    def __init__(self, source: Problem | xr.Dataset) -> None:
        if isinstance(source, Problem):
            self._offer_problem(source)
        elif "spec" not in source.attrs:
            raise SpecError('source: the dataset has no attribute "spec", so it is not the result of a sweep')
        else:
            self._offer_dataset(source)

    def field(self, outputs: Sequence[str], axes: Sequence[str], by: Sequence[str], memory: int | None) -> Field:
        """Give some outputs over those axes, of which `by` come first in the blocks."""
        return self._field(tuple(outputs), tuple(axes), tuple(by), default_memory() if memory is None else memory)

    def _offer_problem(self, problem: Problem) -> None:
        problem.model.refuse_to_evaluate()
        problem = problem.derived(statistics={})
        self.depends = {output.name: problem.axes_of(output.name) for output in problem.model.outputs}
        self.lengths = problem.spec.shape
        self.fixed = {name: fixed.value for name, fixed in problem.spec.fixed.items()}
        self.dtype = problem.spec.dtype
        self._field = lambda *given: _computed(problem, *given)

    def _offer_dataset(self, dataset: xr.Dataset) -> None:
        if REPLICATE in dataset.dims and kind_of(dataset) == "statistics":
            dataset = pooled(dataset)  # or the replicate with the luckiest draws would be a decision
        held = {str(name): v for name, v in dataset.data_vars.items() if v.dtype.kind in "fiu"}
        self.depends = {name: tuple(map(str, v.dims)) for name, v in held.items()}
        self.lengths = {str(dim): n for dim, n in dataset.sizes.items() if dim in dataset.coords and n}
        self.fixed = json.loads(dataset.attrs["spec"]).get("fixed", {})
        for name, dims in self.depends.items():
            for dim in dims:
                if dim not in self.lengths or dataset[dim].dtype.kind not in "fiu":
                    raise SpecError(f"source: dimension {dim} of {name} has no values that are numbers")
        self.dtype = "float64"  # read as they are, and compared on the host
        self._field = lambda *given: _held(dataset, self.lengths, *given)


def opened(source: Source, model: Model | None) -> Problem | xr.Dataset:
    """Open a sweep to evaluate, or the dataset of one.

    Parameters
    ----------
    source : SweepSpec, Problem, xarray.Dataset or path
        A sweep to evaluate, a dataset of one, or the path of a store or config.
    model : Model, optional
        Of a spec; by default the shipped one that it names.

    Raises
    ------
    SpecError
        When it is none of these.
    """
    if isinstance(source, str | os.PathLike):
        source = Problem.read(source) if Path(source).suffix == ".toml" else _stored(Path(source))
    if isinstance(source, SweepSpec | Problem):
        return Problem.of(source, model)
    if not isinstance(source, xr.Dataset):
        raise SpecError(f"source: must be a SweepSpec, a Dataset or a path, got {type(source).__name__}")
    if model is not None:
        raise SpecError("model: belongs to a spec; a dataset has its values already, drop it")
    return source


def _stored(path: Path) -> xr.Dataset:
    dataset = stores.dataset(path)
    missing = sum(len(manifest.pending(path, plan)) for plan in manifest.plans_of(path))
    if missing:
        raise SpecError(f"{path}: {missing:,} blocks are not computed yet; run the sweep to its end first")
    return dataset


def _computed(
    problem: Problem,
    outputs: tuple[str, ...],
    axes: tuple[str, ...],
    by: tuple[str, ...],
    memory: int,
) -> Field:
    spec = problem.spec
    if not set(outputs) <= set(spec.outputs):  # another sweep, that may need more parameters
        spec = spec.model_copy(update={"outputs": tuple(dict.fromkeys((*spec.outputs, *outputs)))})
        problem = Problem.of(spec, problem.source)
    if problem.is_own:
        try_model(problem)
    ordered = (*by, *(dim for dim in axes if dim not in by))
    # An axis that is left out holds still; nothing asked for depends on it.
    still = {dim: Fixed(value=axis.bounds()[0]) for dim, axis in spec.axes.items() if dim not in axes}
    part = problem.derived(
        outputs=outputs, axes={dim: spec.axes[dim] for dim in ordered}, fixed={**problem.spec.fixed, **still}
    )
    field = {
        "dims": tuple(dim for dim in spec.axes if dim in axes),
        "at": lambda name, index: spec.axes[name].at(index),
        "attributes": lambda name: variable_attributes(problem, name),
        "dataset_attributes": dataset_attributes(problem, device_kind()),
        "dtypes": dict.fromkeys(outputs, np.dtype(spec.dtype)),
    }
    if problem.model.stages and device_count() == 1 and len(ordered) > len(by):
        plan, sides = make_tile_plan(part, len(by), memory)

        def made(scan: Scan, blocks: Iterator[Block]) -> Iterator[Any]:
            for block, piece in Local().run(Tiler(part, plan, sides, scan), [blocks]):
                yield block, iter([(block.start[: len(by)], piece)])

        return Field(plan=plan, pieces=made, **field)
    plan = make_plan(
        part.spec.shape,
        part.variables,
        itemsize=np.dtype(spec.dtype).itemsize,
        tables=part.table_dims,
        memory=memory // device_count(),
    )

    def held(scan: Scan, blocks: Iterator[Block]) -> Iterator[Any]:
        for block, values in Local().run(Grid(part, plan, repeated=True), [blocks]):
            spread = {name: _spread(plan, name, array) for name, array in values.items()}
            yield block, _apart(scan, plan, field["at"], len(by), block, spread)

    return Field(plan=plan, pieces=held, **field)


def _apart(
    scan: Scan,
    plan: Plan,
    at: Callable[[str, np.ndarray], np.ndarray],
    apart: int,
    block: Block,
    values: dict[str, np.ndarray],
) -> Iterator[tuple[tuple[int, ...], Piece]]:
    """Cut a block whose values are in memory at each value of its first axes, and give it those of its axes."""
    for i, dim in enumerate(plan.shape):
        if dim in scan.names:
            part = at(dim, np.arange(block.start[i], block.stop[i]))
            values[dim] = part.reshape([-1 if other == dim else 1 for other in plan.shape])
    for key in itertools.product(*map(range, block.start[:apart], block.stop[:apart])):
        start, stop = (*key, *block.start[apart:]), (*(i + 1 for i in key), *block.stop[apart:])
        shape = tuple(b - a for a, b in zip(start, stop, strict=True))
        inner = [slice(i - a, i - a + 1) for i, a in zip(key, block.start, strict=False)]
        inside = {name: array[_part(inner, array.shape)] for name, array in values.items()}
        yield key, Loaded(scan, start, shape, inside)


def _part(inner: Sequence[slice], shape: Sequence[int]) -> tuple[slice, ...]:
    return tuple(side if n > 1 else slice(None) for side, n in zip(inner, shape, strict=False))


def _spread(plan: Plan, name: str, array: np.ndarray) -> np.ndarray:
    """Give a variable an axis for each of the plan's."""
    sides = iter(array.shape)
    return array.reshape([next(sides) if dim in plan.variables[name] else 1 for dim in plan.shape])


def _held(
    dataset: xr.Dataset,
    lengths: Mapping[str, int],
    outputs: tuple[str, ...],
    axes: tuple[str, ...],
    by: tuple[str, ...],
    memory: int,
) -> Field:
    dims = tuple(dim for dim in _order(dataset, lengths) if dim in axes)
    shape = {dim: lengths[dim] for dim in (*by, *(dim for dim in dims if dim not in by))}
    variables = {name: tuple(dim for dim in shape if dim in dataset[name].dims) for name in outputs}
    points = max(16, min(READ_POINTS, memory // (64 * max(1, len(outputs)))))
    block, chunk = boxes(tuple(shape.values()), points)
    block = tuple(_aligned(dataset, outputs, dim, side) for dim, side in zip(shape, block, strict=True))
    plan = Plan(shape, block, chunk, variables, 8)

    def values(block: Block) -> dict[str, np.ndarray]:
        spans = {dim: slice(*ends) for dim, *ends in zip(shape, block.start, block.stop, strict=True)}
        found = {}
        for name in outputs:
            part = dataset[name].isel({dim: spans[dim] for dim in variables[name]}).transpose(*variables[name])
            found[name] = _spread(plan, name, part.values.astype(_float(part.dtype), copy=False))
        return found

    def at(name: str, index: np.ndarray) -> np.ndarray:
        return np.asarray(dataset[name].isel({name: index}).values, np.float64)

    def held(scan: Scan, blocks: Iterator[Block]) -> Iterator[Any]:
        with ThreadPoolExecutor(1) as pool:
            ahead = None
            for block in blocks:
                now = pool.submit(values, block)
                if ahead is not None:
                    yield ahead[0], _apart(scan, plan, at, len(by), ahead[0], ahead[1].result())
                ahead = block, now
            if ahead is not None:
                yield ahead[0], _apart(scan, plan, at, len(by), ahead[0], ahead[1].result())

    return Field(
        dims=dims,
        plan=plan,
        at=at,
        attributes=lambda name: dict(dataset[name].attrs),
        dataset_attributes={key: value for key, value in dataset.attrs.items() if key not in OF_A_STORE},
        dtypes={name: _float(dataset[name].dtype) for name in outputs},
        pieces=held,
    )


def _order(dataset: xr.Dataset, lengths: Mapping[str, int]) -> list[str]:
    """Axes in the order of the sweep, then what other dimensions there are."""
    swept = json.loads(dataset.attrs["spec"]).get("axes", {})
    return [*(dim for dim in swept if dim in lengths), *(dim for dim in lengths if dim not in swept)]


def _aligned(dataset: xr.Dataset, outputs: tuple[str, ...], dim: str, side: int) -> int:
    """Cut a side at the chunks in which the outputs are stored, so that none is read twice."""
    for name in outputs:
        chunks = dataset[name].encoding.get("preferred_chunks") or {}
        stored = chunks.get(dim)
        if isinstance(stored, int) and stored < dataset.sizes[dim]:
            return max(stored, side // stored * stored)
    return side


def _float(dtype: np.dtype) -> np.dtype:
    return dtype if dtype in (np.float32, np.float64) else np.dtype(np.float64)
