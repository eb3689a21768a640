"""The lazy dataset: ``xr.open_dataset("configs/billion.toml", engine="sweep")`` evaluates what is indexed.

What is heavy is imported in the functions that need it: xarray loads this module whenever it looks for an engine.
"""

import math
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray, BackendEntrypoint
from xarray.core.indexing import ExplicitIndexer

from sweep.lazy.indexing import LONG, Box, Lazy, RangeIndex, refuse_more_than_memory, requested

if TYPE_CHECKING:
    from sweep.config.spec import SweepSpec
    from sweep.models.model import Model
    from sweep.models.problem import Problem


class SweepBackend(BackendEntrypoint):
    """The engine "sweep" of xarray: a config opens as the dataset of its run, of which nothing is computed yet."""

    description = "Sweeps of the relative-loss equation (TOML), evaluated where they are indexed"

    def open_dataset(  # type: ignore[override]  # xarray's takes open files and stores too, of which none is a config
        self,
        filename_or_obj: "str | os.PathLike[Any] | SweepSpec | Problem",
        *,
        drop_variables: str | Iterable[str] | None = None,
        dtype: str | None = None,
        model: "Model | None" = None,
    ) -> xr.Dataset:
        """Open a config, a problem, or a spec made in Python.

        Parameters
        ----------
        filename_or_obj : path, SweepSpec or Problem
            What :func:`sweep.load` reads, or what :func:`sweep.run` takes.
        drop_variables : str or iterable of str, optional
            Outputs and axes to leave out.
        dtype : {"float32", "float64"}, optional
            Precision of evaluation, instead of the config's.
        model : Model, optional
            A model of your own; by default the shipped one that the spec names.

        Returns
        -------
        xarray.Dataset
            The variables, coordinates and attributes of a run of all values, though the config have statistics, but
            for `device`: what evaluates is not known yet.
            Values have the bits of :func:`sweep.run` on the same machine, for every shipped model and for any other
            whose function is elementwise. Ranges of more than 1e6 points have a :class:`RangeIndex`.
            With ``chunks={}`` a chunk has the size of a block of a run; points are found faster without chunks.

        Raises
        ------
        SpecError
            One line: a config that cannot be read or run as written; later, a request of more than half of the
            memory that this process may take.

        Warns
        -----
        UserWarning
            For values that were probably meant otherwise, and targets that are out of reach.
        """
        from sweep.results.metadata import dataset_attributes, variable_attributes

        problem = _problem(filename_or_obj, dtype, model)
        spec = problem.spec
        dropped = {drop_variables} if isinstance(drop_variables, str) else set(drop_variables or ())
        dims = {name: over for name, over in problem.variables.items() if name not in dropped}
        dataset = xr.Dataset({name: _variable(problem, name) for name in dims})
        used = [name for name in spec.axes if name not in dropped]
        for name in used:
            axis, attributes = spec.axes[name], variable_attributes(problem, name)
            if axis.values is not None or len(axis) <= LONG:
                dataset = dataset.assign_coords({name: (name, axis.coordinates(), attributes)})
            else:
                dataset = dataset.assign_coords(xr.Coordinates.from_xindex(RangeIndex(axis, name)))
                dataset[name].attrs.update(attributes)
        attributes = dataset_attributes(problem, "")
        del attributes["device"]
        dataset.attrs = attributes
        dataset.encoding["source"] = spec.path
        return dataset

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether this is the path of a TOML file."""
        return isinstance(filename_or_obj, str | os.PathLike) and str(filename_or_obj).endswith(".toml")


def _problem(
    source: "str | os.PathLike[Any] | SweepSpec | Problem", dtype: str | None, model: "Model | None"
) -> "Problem":
    """Check what is to be opened, which is named in every message about it if it is a file."""
    from sweep.config.spec import SweepSpec, read
    from sweep.errors import SpecError
    from sweep.models.problem import Problem

    if not isinstance(source, SweepSpec | Problem | str | os.PathLike):
        kind = type(source).__name__
        raise SpecError(f'engine "sweep" opens the path of a config, a SweepSpec or a Problem, got {kind}')
    where, spec = "", source
    if isinstance(spec, str | os.PathLike):
        path: str = os.fspath(spec)
        where, spec = f"{path}: ", read(path)
    try:
        problem = Problem.of(spec, model, dtype)
        problem.model.refuse_to_evaluate()
        if problem.is_own:
            from sweep.engine.trial import try_model

            try_model(problem)
    except SpecError as error:
        raise SpecError(f"{where}{error}") from None
    if problem is not source:
        problem.warn(4)
    return problem.derived(statistics={})  # they are those of a run; here are the values that they are taken of


def _variable(problem: "Problem", name: str) -> xr.Variable:
    from sweep.plan.blocks import make_plan
    from sweep.results.metadata import variable_attributes

    values = _Values(problem, name)
    lengths = dict(zip(values.dims, values.shape, strict=True))
    encoding = {}
    if lengths:
        # The chunks of `chunks={}`; xarray warns of others only along the axes that are named here.
        sides = make_plan(lengths, {name: values.dims}, itemsize=values.dtype.itemsize).block_shape
        cut = {dim: side for (dim, n), side in zip(lengths.items(), sides, strict=True) if side < n}
        encoding = {"preferred_chunks": cut} if cut else {}
    return xr.Variable(values.dims, Lazy(values), variable_attributes(problem, name), encoding)


class _Values(BackendArray):
    """One output over the axes it depends on, of which only what is indexed is evaluated.

    It holds nothing of JAX, so that it can be pickled.
    """

    def __init__(self, problem: "Problem", name: str) -> None:
        self._problem, self._name = problem.derived(outputs=(name,)), name
        self.dims = problem.variables[name]
        self.shape = tuple(len(problem.spec.axes[dim]) for dim in self.dims)
        self.dtype = np.dtype(problem.spec.dtype)

    def __getitem__(self, key: ExplicitIndexer) -> np.ndarray:
        shape, cut = requested(key, self.shape)
        refuse_more_than_memory(self._name, shape, self.dtype)
        from sweep.engine.points import values_at

        axes = [self._problem.spec.axes[dim] for dim in self.dims]
        # Where there are more points than an axis has, its coordinate is computed once.
        most = min(math.prod(shape), LONG)
        computed = [axis.coordinates() if len(axis) <= most else None for axis in axes]

        def coordinates(box: Box) -> dict[str, np.ndarray]:
            parts = zip(self.dims, axes, computed, cut(box), strict=True)
            return {dim: axis.at(i) if whole is None else whole[i] for dim, axis, whole, i in parts}

        return values_at(self._problem, self._name, shape, coordinates)
