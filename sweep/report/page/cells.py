"""How many points of a sweep lie in each cell of a plane, behind its frontier."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from sweep.report.density import behind
from sweep.report.frontier_figure import objectives_of
from sweep.report.page.cube import packed
from sweep.report.page.outline import Choice
from sweep.report.slices import is_log
from sweep.results.metadata import kind_of

CELLS = 48  # along each axis, as many as a telephone resolves; a plane of them takes a few kB
MOST_PLANES = 6  # of four objectives


def with_others(choices: Sequence[Choice], dataset: xr.Dataset) -> list[Choice]:
    """Add to the panels of a frontier how many other points there are in each cell, for each pair of objectives.

    Parameters
    ----------
    choices : sequence of Choice
        The outline of a dataset.
    dataset : xarray.Dataset
        Of any kind; where it is no frontier, or its points cannot be evaluated again, the choices stay as they are.
    """
    if kind_of(dataset) != "frontier" or not dataset.sizes["point"]:
        return list(choices)
    others = behind(dataset, objectives_of(dataset))
    if others is None or not others.sizes["point"]:
        return list(choices)
    planes = list(itertools.islice(_planes(dataset, others), MOST_PLANES))
    return [replace(choice, panels=[{**panel, "others": planes} for panel in choice.panels]) for choice in choices]


def _planes(dataset: xr.Dataset, others: xr.Dataset) -> Iterator[dict[str, Any]]:
    """Ends and counts of each pair of objectives; cells are even on the scales of the axes."""
    for names in itertools.combinations(objectives_of(dataset), 2):
        values, ends = [], []
        for name in names:
            scaled, mine = others[name].values.astype(np.float64), dataset[name].values.astype(np.float64)
            if is_log(dataset[name]):
                with np.errstate(divide="ignore", invalid="ignore"):
                    scaled, mine = np.log10(scaled), np.log10(mine)
            both = np.concatenate([scaled, mine])
            both = both[np.isfinite(both)]
            values.append(scaled)
            ends.append([float(both.min()), float(both.max())])
        if all(low < high for low, high in ends):
            kept = np.isfinite(values).all(axis=0)
            counts, *_ = np.histogram2d(values[1][kept], values[0][kept], bins=CELLS, range=ends[::-1])
            about = {"x": names[0], "y": names[1], "ends": ends, "number": int(kept.sum())}
            yield {**about, **packed(counts), "dims": ["up", "across"]}
