"""Decisions in words: a sentence or a table for a terminal, which the caller prints."""

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from sweep.report.layout import count, table, unit_text
from sweep.report.slices import numbers
from sweep.results.metadata import named_reference, refuse_other_kind

if TYPE_CHECKING:
    import xarray as xr

DIGITS = 6


def describe_decisions(dataset: "xr.Dataset", most_rows: int = 200) -> Iterator[str]:
    """What to decide: a sentence of one scenario, a table of several; how it was found and what is not proven.

    Parameters
    ----------
    dataset : xarray.Dataset
        Of the kind "decision", from :func:`sweep.optimise`.
    most_rows : int
        Scenarios that are told, the first ones.

    Raises
    ------
    SpecError
        Of another kind.
    """
    refuse_other_kind(dataset, "decision")
    attributes = dataset.attrs
    objective, sense = _objective(dataset)
    condition = attributes["subject_to"]
    yield f"{sense} {objective} over {attributes['over']}" + ("" if condition == "none" else f", where {condition}")
    yield from named_reference(dataset)
    if dataset.status.size == 1:
        yield decision_in_words(dataset.squeeze())
    else:
        yield from table(_rows(dataset, most_rows))
        if dataset.status.size > most_rows:
            yield f"  ... and {count(dataset.status.size - most_rows, 'scenario')} more; --netcdf keeps all"
    yield from _known(dataset)


def _objective(dataset: "xr.Dataset") -> tuple[str, str]:
    greatest, least = (dataset.attrs[key] for key in ("maximised", "minimised"))
    return (greatest, "greatest") if greatest != "none" else (least, "least")


def _told(dataset: "xr.Dataset") -> list[str]:
    """The objective, the decisions and what else is in conditions."""
    first = [_objective(dataset)[0], *dataset.attrs["decisions"].split(", ")]
    others = [str(name) for name in dataset.data_vars if name not in ("best_of_grid", "starts_alike", "status")]
    return list(dict.fromkeys((*first, *others)))


def decision_in_words(cell: "xr.Dataset") -> str:
    """What to decide in one scenario, and what the best point of the grid has."""
    names, (objective, _) = _told(cell), _objective(cell)
    if not np.isfinite(float(cell[objective])):
        return "nothing that was tried is allowed"
    texts = [f"{name} {float(cell[name]):.{DIGITS}g} {unit_text(cell[name].attrs['units'])}".rstrip() for name in names]
    grid = float(cell["best_of_grid"])
    beside = f"{objective} at the best point of the grid is {grid:.{DIGITS}g}" if np.isfinite(grid) else ""
    return f"{texts[0]}, with {', '.join(texts[1:])}" + (
        f"; {beside}" if beside else "; no point of the grid is allowed"
    )


def _rows(dataset: "xr.Dataset", most_rows: int) -> Iterator[tuple[str, ...]]:
    dims = [str(dim) for dim in dataset.status.dims]
    names = [*_told(dataset), "best_of_grid"]
    flags = dataset.status.attrs["flag_meanings"].split()
    places = list(itertools.islice(np.ndindex(*dataset.status.shape), most_rows))
    columns = []
    for k, dim in enumerate(dims):
        values = dataset[dim].values[[place[k] for place in places]]
        columns.append([dim, unit_text(dataset[dim].attrs["units"]), *numbers(values)])
    for name in names:
        values = dataset[name].values.ravel()[: len(places)]
        columns.append([name, unit_text(dataset[name].attrs["units"]), *(f"{v:.{DIGITS}g}" for v in values)])
    columns.append(["status", "", *(flags[int(code)] for code in dataset.status.values.ravel()[: len(places)])])
    yield from zip(*columns, strict=True)


def _known(dataset: "xr.Dataset") -> Iterator[str]:
    """How many scenarios have which status, and what that says."""
    flags = dataset.status.attrs["flag_meanings"].split()
    counts = dict(zip(flags, np.bincount(dataset.status.values.ravel(), minlength=len(flags)), strict=True))
    attributes = dataset.attrs
    words = {
        "local": f"local, best of {count(attributes['starts'], 'start')}; nothing proves that there is none better",
        "stalled": "stalled: better than the grid, and not a local optimum to the accuracy wanted",
        "grid": f"no better than the grid of {count(attributes['grid_points'], 'point')}",
        "infeasible": "infeasible: no decision that was tried is allowed",
    }
    for name, number in counts.items():
        if number:
            alike = dataset.starts_alike.values[dataset.status.values == flags.index(name)]
            ended = f" ({alike.min()} to {alike.max()} ended there)" if alike.min() < alike.max() else ""
            ended = f" ({alike.min()} ended there)" if alike.min() == alike.max() else ended
            where = f"{count(int(number), 'scenario')}: " if dataset.status.size > 1 else ""
            yield where + words[name].replace(";", f"{ended};" if name == "local" else ";", 1)
