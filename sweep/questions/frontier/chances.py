"""How often a point of a frontier of statistics over draws is on the frontier of a draw by itself."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from sweep.lazy.backend import SweepBackend
from sweep.questions.frontier.over_draws import ALLOWED, Draw

CHANCE = "chance_of_nondominance"
ULPS = 64  # by which two values may differ that count as equal: more than the outputs of the models here are wrong
TOGETHER = 2**22  # values, or comparisons, of which arrays are made at once


def draws_of(draw: Draw) -> xr.Dataset:
    """Open the values of the draws, of which only what is indexed is evaluated; with what conditions allow, if any."""
    values = SweepBackend().open_dataset(draw.problem)
    return values if draw.allowed is None else values.assign({ALLOWED: draw.allowed})


def with_chances(
    front: xr.Dataset, fronts: xr.Dataset, draw: Draw, values: xr.Dataset, maximise: Sequence[str], by: Sequence[str]
) -> xr.Dataset:
    """Say of each point of a frontier in how many of the draws no other point beats it.

    Parameters
    ----------
    front : xarray.Dataset
        The frontier of the statistics.
    fronts : xarray.Dataset
        The frontiers of the draws.
    draw : Draw
        What they are of.
    values : xarray.Dataset
        Of :func:`draws_of`.
    maximise : sequence of str
        The objectives of the draws that are maximised.
    by : sequence of str
        Axes with frontiers of their own.

    Notes
    -----
    Values that differ by rounding count as equal. What beats a point by more than that either is on the exact frontier
    of the draw, or something there is nowhere worse and so beats it too; only those are compared.
    """
    names = list(dict.fromkeys(draw.names.values()))
    signs = np.array([-1.0 if name in maximise else 1.0 for name in names])
    rows = np.stack([fronts[name].values.astype(np.float64) for name in names], axis=-1) * signs
    numbers = {dim: len(draw.spec.axes[dim]) for dim in draw.numbers}
    kept = {dim: len(draw.spec.axes[dim]) for dim in by}
    order, starts = _grouped(fronts, {**kept, **numbers})
    rows, count = rows[order], int(np.prod(list(numbers.values())))
    group, hits = _places(front, kept), np.zeros(front.sizes["point"])
    for number in np.unique(group):
        points = np.flatnonzero(group == number)
        for turns, here in _drawn(values, draw, names, front.isel(point=points), numbers):
            here = here * signs
            for turn, point in zip(turns, here, strict=True):
                first = int(number) * count + turn
                rivals = rows[starts[first] : starts[first + 1]]
                hits[points] += ~np.isnan(point).any(axis=1) & ~_is_beaten(point, rivals, np.dtype(draw.spec.dtype))
    tolerance = ULPS * float(np.finfo(draw.spec.dtype).eps)
    words = {
        "long_name": "share of the draws in which no other point beats this one",
        "units": "1",
        "draws": count,
        "equal": f"values that differ by no more than a part of {tolerance:.2g} count as equal",
    }
    return front.assign({CHANCE: ("point", hits / count, words)})


def _places(dataset: xr.Dataset, lengths: Mapping[str, int]) -> np.ndarray:
    """Places of points in the grid of some axes."""
    index = [dataset[f"{dim}_index"].values for dim in lengths]
    return np.ravel_multi_index(index, list(lengths.values())) if index else np.zeros(dataset.sizes["point"], int)


def _grouped(dataset: xr.Dataset, lengths: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """Points in the order of their places in the grid of some axes, and where those of each place start and end."""
    places = _places(dataset, lengths)
    order = np.argsort(places, kind="stable")
    return order, np.searchsorted(places[order], np.arange(int(np.prod(list(lengths.values()))) + 1))


def _drawn(
    values: xr.Dataset, draw: Draw, names: Sequence[str], front: xr.Dataset, numbers: Mapping[str, int]
) -> Iterator[tuple[range, np.ndarray]]:
    """Yield places of draws and the values of some points there, shape (draws, points, names)."""
    count, points = int(np.prod(list(numbers.values()))), front.sizes["point"]
    step = max(1, TOGETHER // (points * len(names)))
    for first in range(0, count, step):
        turns = range(first, min(first + step, count))
        index = zip(numbers, np.unravel_index(np.array(turns), list(numbers.values())), strict=True)
        at: dict[str, Any] = {dim: xr.DataArray(i, dims="turn") for dim, i in index}
        drawn = np.empty((len(turns), points, len(names)))
        for column, name in zip(np.moveaxis(drawn, -1, 0), names, strict=True):
            if name in draw.spec.axes:
                column[...] = front[name].values
                continue
            here = at | {dim: front[f"{dim}_index"].variable for dim in draw.spec.axes if f"{dim}_index" in front}
            array = values[name].variable.isel({dim: i for dim, i in here.items() if dim in values[name].dims})
            column[...] = array.set_dims({"turn": 1, "point": 1, **array.sizes}).transpose("turn", "point").values
        yield turns, drawn


def _is_beaten(points: np.ndarray, rivals: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Whether a rival is better in some objective and nowhere worse, each by more than rounding; less is better."""
    with np.errstate(invalid="ignore"):
        room = np.where(np.isinf(points), 0.0, ULPS * float(np.finfo(dtype).eps) * np.abs(points))
        above = points + room
        edge = points - room
        # Not the subnormal below 0, which is 0 where a library has told the processor so.
        below = np.where(edge == 0.0, -np.finfo(edge.dtype).tiny, np.nextafter(edge, -np.inf))
    corners = (np.where(np.arange(points.shape[1]) == j, below, above) for j in range(points.shape[1]))
    return functools.reduce(np.logical_or, (_is_reached(corner, rivals) for corner in corners))


def _is_reached(corners: np.ndarray, rivals: np.ndarray) -> np.ndarray:
    """Whether a rival is nowhere above a corner."""
    if not len(rivals):
        return np.zeros(len(corners), bool)
    if corners.shape[1] == 2:
        order = np.argsort(rivals[:, 0])
        least = np.minimum.accumulate(rivals[order, 1])
        before = np.searchsorted(rivals[order, 0], corners[:, 0], side="right")
        return (before > 0) & (least[np.maximum(before, 1) - 1] <= corners[:, 1])
    reached = np.zeros(len(corners), bool)
    step = max(1, TOGETHER // len(rivals))
    for first in range(0, len(corners), step):
        some = corners[first : first + step]
        pairs = zip(rivals.T, some.T, strict=True)
        reached[first : first + step] = np.logical_and.reduce([r[None] <= c[:, None] for r, c in pairs]).any(axis=1)
    return reached
