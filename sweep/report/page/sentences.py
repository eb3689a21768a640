"""The answers of a page, in the words that the commands print: one for each place of the sliders, and their range."""

import itertools
from collections.abc import Sequence

import numpy as np
import xarray as xr

from sweep.report.describe_questions import decision_in_words, drivers_in_words, estimated_from, size_of_frontier
from sweep.report.describe_results import extent
from sweep.report.discovery_figure import box_in_words, outcome_of
from sweep.report.layout import unit_text
from sweep.report.page.outline import Choice
from sweep.report.slices import quantities
from sweep.report.splits.splits import certified_of, split_in_words
from sweep.results.metadata import kind_of

MOST_TEXTS = 256  # sentences that are written beforehand; of more places the page's script writes them


def texts_of(dataset: xr.Dataset, choice: Choice) -> list[str] | None:
    """A sentence for each place of the sliders of a choice, in their order; None where the page's script words it.

    Parameters
    ----------
    dataset : xarray.Dataset
        Loaded.
    choice : Choice
        Of its outline.
    """
    kind = kind_of(dataset)
    if kind == "frontier":
        return _points(dataset, choice.said)
    if kind in ("grid", "statistics") or np.prod([dataset.sizes[dim] for dim in choice.dims]) > MOST_TEXTS:
        return None
    places = itertools.product(*(range(dataset.sizes[dim]) for dim in choice.dims))
    return [_at(dataset.isel(dict(zip(choice.dims, place, strict=True))), kind, choice) for place in places]


def _at(cell: xr.Dataset, kind: str, choice: Choice) -> str:
    if kind == "discovery":
        return box_in_words(cell)
    if kind == "decision":
        return decision_in_words(cell)
    if kind == "sensitivity":
        return drivers_in_words(cell, choice.name, choice.dims)
    fixed = [str(dim) for dim in cell["objective"].dims]
    where, lines = split_in_words(cell.isel(dict.fromkeys(fixed, 0)), choice.dims)
    (_, split), *rest = lines
    return "\n".join([f"{where}: {split}" if where else split, *(f"{name} {text}" for name, text in rest)])


def _points(dataset: xr.Dataset, names: Sequence[str]) -> list[str]:
    """Each point of a frontier: its values, and whether it is the knee."""
    columns = [[f"{name} {text}" for text in quantities(dataset[name].values, dataset[name])] for name in names]
    knees = [", the knee" if knee else "" for knee in dataset["is_knee"].values]
    return [", ".join(row) + knee for *row, knee in zip(*columns, knees, strict=True)]


def range_of(dataset: xr.Dataset, choice: Choice) -> str:
    """What the answer ranges over and what it is of, a line each."""
    kind = kind_of(dataset)
    if kind == "frontier":
        return size_of_frontier(dataset)
    if kind == "discovery":
        return outcome_of(dataset)
    if kind == "sensitivity":
        return "\n".join([str(dataset.attrs["method"]), *estimated_from(dataset)])
    lines = [_extent(dataset, name) for name in choice.said]
    return "\n".join([*lines, *([certified_of(dataset)] if kind == "split" else [])])


def _extent(dataset: xr.Dataset, name: str) -> str:
    text, places = extent(dataset, name)
    unit = unit_text(str(dataset[name].attrs.get("units", "1")))
    return f"{name}: {text} {unit}".rstrip() + (f", at {places}" if places else "")
