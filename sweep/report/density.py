"""The points behind a frontier: a part of its sweep, evaluated anew from what the frontier says it is of."""

import json
import math
import operator

import numpy as np
import xarray as xr

from sweep.config.spec import SweepSpec
from sweep.config.statistic import conditions_of
from sweep.engine import points
from sweep.models.problem import Problem
from sweep.models.registry import MODELS

MOST = 2**17  # points, enough for a smooth density
SIGNS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def behind(dataset: xr.Dataset, objectives: list[str]) -> xr.Dataset | None:
    """Points among which a frontier was found, the same ones every time.

    Parameters
    ----------
    dataset : xarray.Dataset
        From :func:`sweep.frontier`, or a file of it.
    objectives : list of str
        Its objectives.

    Returns
    -------
    xarray.Dataset or None
        The objectives along ``point``: of all points of the sweep, or of 131,072 that are spread evenly over it, those
        that meet the conditions and are finite. None where they cannot be evaluated from the attributes: the model is
        not a shipped one or is solved, there are random draws, or the frontier is of a part of the sweep.
    """
    spec = _spec(dataset)
    if spec is None:
        return None
    shape = {dim: len(axis) for dim, axis in spec.axes.items() if f"{dim}_index" in dataset}
    if math.prod(shape.values()) != dataset.attrs["points_considered"]:
        return None
    at = {dim: spec.axes[dim].at(index) for dim, index in zip(shape, _spread(tuple(shape.values())), strict=True)}
    conditions = conditions_of(dataset.attrs["where"]) if dataset.attrs["where"] != "none" else ()
    names = dict.fromkeys((*objectives, *(condition.output for condition in conditions)))
    names_of_outputs = (name for name in names if name not in at)
    problem = Problem.of(spec.model_copy(update={"outputs": tuple(dict.fromkeys((*spec.outputs, *names_of_outputs)))}))
    values = {name: at[name] if name in at else _evaluated(problem, name, at) for name in names}
    kept = np.logical_and.reduce([np.isfinite(values[name]) for name in objectives])
    for name, sign, bound in conditions:
        kept &= SIGNS[sign](values[name].astype(np.float64), bound)
    return xr.Dataset({name: ("point", values[name][kept], dataset[name].attrs) for name in objectives})


def _spec(dataset: xr.Dataset) -> SweepSpec | None:
    """Read the sweep that a frontier is of, if it can be evaluated."""
    model = MODELS.get(str(dataset.attrs.get("model")))
    if model is None or model.is_solved or model.equation != dataset.attrs.get("equation"):
        return None
    written = json.loads(dataset.attrs["spec"])
    return None if written.get("distributions") else SweepSpec(**{**written, "statistics": {}})


def _spread(shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Places in a grid, one array for each axis: all of them, or an additive recurrence that fills it evenly."""
    total, number = math.prod(shape), np.arange(MOST)
    if total <= MOST:
        return np.unravel_index(np.arange(total), shape)
    # Powers of the root of x^(d+1) = x + 1, as the golden ratio is for one axis (Roberts 2018, "R sequence").
    root = 2.0
    for _ in range(60):
        root = (1.0 + root) ** (1.0 / (len(shape) + 1))
    return tuple(np.floor((0.5 + number * root**-k) % 1.0 * n).astype(np.int64) for k, n in enumerate(shape, 1))


def _evaluated(problem: Problem, name: str, at: dict[str, np.ndarray]) -> np.ndarray:
    needs = problem.axes_of(name)
    here = {dim: values for dim, values in at.items() if dim in needs}
    length = len(next(iter(at.values())))
    return points.values_at(problem, name, (length,), lambda box: {dim: values[box] for dim, values in here.items()})
