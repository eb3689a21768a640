"""The answers of a page, in the words that the commands print: one for each place of the sliders, and their range."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr

from sweep.report.describe_questions import (
    certainty_of,
    decision_in_words,
    drivers_in_words,
    estimated_from,
    size_of_frontier,
)
from sweep.report.describe_results import digits_of, extremes
from sweep.report.discovery_figure import box_in_words, outcome_of
from sweep.report.frontier_figure import objectives_of
from sweep.report.page.outline import STANDARD_ERROR, Choice, is_robust
from sweep.report.slices import numbers, quantities, unit_in_words
from sweep.report.splits.plans import plan_in_words, plans_certified
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
    if kind in ("split", "decision") and "status" not in dataset:
        return None  # of a large dataset a page has what it draws alone
    places = itertools.product(*(range(dataset.sizes[dim]) for dim in choice.dims))
    return [_at(dataset.isel(dict(zip(choice.dims, place, strict=True))), kind, choice) for place in places]


def _at(cell: xr.Dataset, kind: str, choice: Choice) -> str:
    if kind == "discovery":
        return box_in_words(cell)
    if kind == "sensitivity":
        return drivers_in_words(cell, choice.name, choice.dims)
    single = cell.isel({dim: 0 for dim in cell["status"].dims})
    if kind == "decision":
        where = ", ".join(f"{dim} = {quantities([float(cell[dim])], cell[dim])[0]}" for dim in choice.dims)
        lines = [("", decision_in_words(single))]
    else:
        where, lines = (plan_in_words if is_robust(cell) else split_in_words)(single, choice.dims)
    (_, text), *rest = lines
    first = f"at {where}, {text}" if where else text
    return "\n".join([first[0].upper() + first[1:], *(f"{name[0].upper()}{name[1:]}: {text}" for name, text in rest)])


def _points(dataset: xr.Dataset, names: Sequence[str]) -> list[str]:
    """Each point of a frontier in a sentence: its objectives, where it is, and whether it is the knee."""
    goals = objectives_of(dataset)
    columns = {name: [f"{name} {text}" for text in quantities(dataset[name].values, dataset[name])] for name in names}
    where = "" if dataset.attrs["where"] == "none" else f" where {dataset.attrs['where']}"
    texts = []
    for i, knee in enumerate(dataset["is_knee"].values):
        goal = " with ".join(columns[name][i] for name in goals)
        places = ", ".join(columns[name][i] for name in names if name not in goals)
        tail = (f": {places}" if places else "") + (", the knee" if knee else "")
        texts.append(f"No choice{where} beats {goal}{tail}")
    return texts


def range_of(dataset: xr.Dataset, choice: Choice) -> str:
    """What the answer ranges over and how certain it is, a line each."""
    kind = kind_of(dataset)
    if kind == "frontier":
        return size_of_frontier(dataset)
    if kind == "discovery":
        return outcome_of(dataset)
    if kind == "sensitivity":
        return "\n".join([str(dataset.attrs["method"]), *estimated_from(dataset)])
    names = [name for name in choice.said if not name.endswith(STANDARD_ERROR)]
    if kind in ("split", "decision"):  # which say their numbers in the sentence
        names = [name for name in names[: 1 if kind == "decision" else None] if dataset[name].size > 1]
    return "\n".join([*(_extent(dataset, name) for name in names), *_confidence(dataset, kind, names)])


def certain(dataset: xr.Dataset) -> list[str]:
    """How many of all splits or decisions are certified or local optima, a line each; nothing of another kind.

    Parameters
    ----------
    dataset : xarray.Dataset
        Whole: a page may have a part of its nodes.
    """
    kind = kind_of(dataset)
    if kind == "split":
        return [plans_certified(dataset) if is_robust(dataset) else certified_of(dataset)]
    return list(certainty_of(dataset)) if kind == "decision" else []


def _confidence(dataset: xr.Dataset, kind: str, names: Sequence[str]) -> Iterator[str]:
    """How certain the numbers are, as far as that is known."""
    if kind in ("grid", "statistics") and "distributions" not in dataset.attrs:
        yield "Confidence: none is stated, since nothing is taken as uncertain here; what is assumed is below."
    for name in names:
        if (error := f"{name}{STANDARD_ERROR}") in dataset:
            most = f"{float(dataset[error].max()):.2g}"
            unit = unit_in_words(dataset[name].attrs.get("units"))
            yield f"{name} has a standard error of at most {most} {unit}".rstrip() + ", from the draws"


def _extent(dataset: xr.Dataset, name: str) -> str:
    """Ends of a variable with their places, in so many digits as its error leaves standing, four at most."""
    ends, places, note = extremes(dataset, name)
    unit = unit_in_words(dataset[name].attrs.get("units"))
    digits = min(4, digits_of(dataset, name))
    texts = [f"{numbers([end], digits)[0]} {unit}".rstrip() for end in ends]
    if len(set(texts)) == 1:
        return f"{name}: {texts[0]}{note}"
    if places:
        texts = [f"{text} (at {place})" for text, place in zip(texts, places, strict=True)]
    return f"{name} over all axes: {' to '.join(texts)}{note}"
