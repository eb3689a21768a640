"""What a frontier may be of: a sweep to evaluate, or a dataset, of which values are read block by block."""

import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from sweep.config.distribution import REPLICATE
from sweep.config.spec import SweepSpec
from sweep.errors import SpecError
from sweep.models.model import Model
from sweep.models.problem import Problem
from sweep.plan.blocks import Block, Plan, boxes, budget_of
from sweep.questions.frontier.pieces import Content, Pieces, blocks_of, loaded
from sweep.questions.frontier.problem_content import ProblemContent
from sweep.questions.frontier.scan import Scan
from sweep.results import manifest
from sweep.results import zarr_store as stores
from sweep.results.metadata import kind_of
from sweep.results.netcdf import OF_A_STORE
from sweep.results.replicates import pooled

READ_POINTS = 2**21  # of a block that is read from a dataset

Source = SweepSpec | Problem | xr.Dataset | str | os.PathLike[str]


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


def content_of(source: Problem | xr.Dataset) -> Content:
    """Say what a source, as :func:`opened` gives it, contains.

    Raises
    ------
    SpecError
        When a dataset is not the result of a sweep, or has dimensions without numbers; when a model is solved instead
        of evaluated.
    """
    return ProblemContent(source) if isinstance(source, Problem) else DatasetContent(source)


class DatasetContent:
    """What the dataset of a sweep contains, a :class:`~sweep.questions.frontier.pieces.Content`.

    Parameters
    ----------
    dataset : xarray.Dataset
        In memory, lazy or of a store.
    """

    def __init__(self, dataset: xr.Dataset) -> None:
        if "spec" not in dataset.attrs:
            raise SpecError('source: the dataset has no attribute "spec", so it is not the result of a sweep')
        if REPLICATE in dataset.dims and kind_of(dataset) == "statistics":
            dataset = pooled(dataset)  # or the replicate with the luckiest draws would be a decision
        self._dataset = dataset
        numeric = {str(name): v for name, v in dataset.data_vars.items() if v.dtype.kind in "fiu"}
        self.depends: Mapping[str, tuple[str, ...]] = {name: tuple(map(str, v.dims)) for name, v in numeric.items()}
        self.lengths: Mapping[str, int] = {
            str(dim): n for dim, n in dataset.sizes.items() if dim in dataset.coords and n
        }
        self.fixed: Mapping[str, float] = json.loads(dataset.attrs["spec"]).get("fixed", {})
        for name, dims in self.depends.items():
            for dim in dims:
                if dim not in self.lengths or dataset[dim].dtype.kind not in "fiu":
                    raise SpecError(f"source: dimension {dim} of {name} has no values that are numbers")
        self.dtype = "float64"  # read as they are, and compared on the host

    def values(
        self, outputs: tuple[str, ...], axes: tuple[str, ...], by: tuple[str, ...], memory: int | None
    ) -> "DatasetValues":
        """Give some outputs over those axes, of which `by` are kept apart and come first in the blocks."""
        dataset, budget = self._dataset, budget_of(memory)
        dims = tuple(dim for dim in _order(dataset, self.lengths) if dim in axes)
        shape = {dim: self.lengths[dim] for dim in (*by, *(dim for dim in dims if dim not in by))}
        variables = {name: tuple(dim for dim in shape if dim in dataset[name].dims) for name in outputs}
        points = max(16, min(READ_POINTS, budget // (64 * max(1, len(outputs)))))
        block, chunk = boxes(tuple(shape.values()), points)
        block = tuple(_aligned(dataset, outputs, dim, side) for dim, side in zip(shape, block, strict=True))
        return DatasetValues(dataset, dims, Plan(shape, block, chunk, variables, 8), len(by))


@dataclass(frozen=True)
class DatasetValues:
    """Values of a dataset, read: :class:`~sweep.questions.frontier.pieces.Values`.

    Attributes
    ----------
    dataset : xarray.Dataset
        What is read.
    dims : tuple of str
        The axes, in the order of the sweep.
    plan : Plan
        Of the blocks.
    apart : int
        How many axes, which come first, are kept apart.
    """

    dataset: xr.Dataset
    dims: tuple[str, ...]
    plan: Plan
    apart: int

    @property
    def dtypes(self) -> Mapping[str, np.dtype]:
        """Types of the outputs."""
        return {name: _float(self.dataset[name].dtype) for name in self.plan.variables}

    @property
    def dataset_attributes(self) -> Mapping[str, Any]:
        """Attributes of the dataset."""
        return {str(key): value for key, value in self.dataset.attrs.items() if key not in OF_A_STORE}

    def at(self, name: str, index: np.ndarray) -> np.ndarray:
        """Give the values of an axis at some places, float64."""
        return np.asarray(self.dataset[name].isel({name: index}).values, np.float64)

    def attributes(self, name: str) -> dict[str, Any]:
        """Give ``long_name``, ``units`` and more of an output or axis."""
        return {str(key): value for key, value in self.dataset[name].attrs.items()}

    def pieces(self, scan: Scan) -> Pieces:
        """Yield every block and what a scan takes of it, some that are far apart first; the next one is read ahead."""
        with ThreadPoolExecutor(1) as pool:
            ahead = None
            for block in blocks_of(self.plan):
                now = block, pool.submit(self._read, block)
                if ahead is not None:
                    yield ahead[0], loaded(scan, self, self.apart, ahead[0], ahead[1].result())
                ahead = now
            if ahead is not None:
                yield ahead[0], loaded(scan, self, self.apart, ahead[0], ahead[1].result())

    def _read(self, block: Block) -> dict[str, np.ndarray]:
        spans = {dim: slice(*ends) for dim, *ends in zip(self.plan.shape, block.start, block.stop, strict=True)}
        arrays = {}
        for name, dims in self.plan.variables.items():
            part = self.dataset[name].isel({dim: spans[dim] for dim in dims}).transpose(*dims)
            arrays[name] = part.values.astype(_float(part.dtype), copy=False)
        return arrays


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
