"""Answers to questions in words: frontiers, sensitivity, decisions; lines for a terminal, which the caller prints."""

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from kernels.sensitivity.indices import STATUS
from sweep.questions.sensitivity.estimates import PARAMETER
from sweep.report.layout import count, table, unit_text
from sweep.report.slices import numbers, quantities
from sweep.results.metadata import named_reference, refuse_other_kind

if TYPE_CHECKING:
    import xarray as xr

SHOWN = 3  # cells of the axes, from the first to the last
# The quantities of a table, by method; the first decides the order of the rows.
COLUMNS = {
    "sobol": ("total", "first_order"),
    "shapley": ("shapley",),
    "morris": ("mu_star", "mu", "sigma"),
    "elasticity": ("elasticity",),
    "tornado": ("at_high", "at_low"),
}

# What the number beside a driver is, by method.
DRIVEN = {
    "sobol": "shares of its variance, interactions with others included",
    "shapley": "shares of its variance",
    "morris": "mean absolute effects",
    "elasticity": "relative changes by a relative change of the parameter",
    "tornado": "its values from the low end of the parameter to the high one",
}


def describe_frontier(dataset: "xr.Dataset", most_rows: int = 200) -> Iterator[str]:
    """Points of a frontier, one a line: objectives and what else was asked for, then the axes, then the knee."""
    by = [name for name in dataset.attrs["by"].split(", ") if name in dataset.coords]
    shown = [name for name in dataset.data_vars if f"{name}_index" not in dataset or name not in by]
    shown = [name for name in shown if not (str(name).endswith("_index") or name in ("is_knee", "hypervolume"))]
    names = list(dict.fromkeys((*by, *map(str, shown), *map(str, dataset.coords))))
    rows = dataset.isel(point=slice(most_rows))
    if rows.sizes["point"]:
        columns = [[name, unit_text(rows[name].attrs.get("units", "1")), *numbers(rows[name].values)] for name in names]
        marks = ["", "", *("knee" if knee else "" for knee in rows.is_knee.values)]
        yield from table(zip(*columns, marks, strict=True))
    if dataset.sizes["point"] > most_rows:
        yield f"  ... and {count(dataset.sizes['point'] - most_rows, 'point')} more"
    yield size_of_frontier(dataset)
    yield from named_reference(dataset)


def size_of_frontier(dataset: "xr.Dataset") -> str:
    """How many points are on a frontier, of how many, and how many were kept."""
    attributes = dataset.attrs
    text = f"{attributes['points_nondominated']:,} of {count(attributes['points_considered'], 'point')} on the frontier"
    text += f", {attributes['points_feasible']:,} where {attributes['where']}" if attributes["where"] != "none" else ""
    if "epsilon" in attributes and dataset.sizes["point"] < attributes["points_nondominated"]:
        text += (
            f"; {dataset.sizes['point']:,} kept, none left out is better by more than "
            f"{attributes['epsilon']:.2g} of an objective's range"
        )
    return text


def describe_sensitivity(dataset: "xr.Dataset") -> Iterator[str]:
    """What drives each output, the strongest parameter first, at a few points of the axes.

    Parameters
    ----------
    dataset : xarray.Dataset
        From :func:`sweep.sensitivity`.
    """
    method = dataset.attrs["sensitivity"]
    yield dataset.attrs["method"]
    yield from named_reference(dataset)
    for output in dataset.attrs["outputs"].split(", "):
        lead = dataset[f"{output}_{COLUMNS[method][0]}"]
        dims = [str(dim) for dim in lead.dims if dim != PARAMETER]
        points = list(itertools.product(*(range(dataset.sizes[dim]) for dim in dims)))
        chosen = np.unique(np.linspace(0, len(points) - 1, min(SHOWN, len(points))).round().astype(int))
        for point in (points[k] for k in chosen):
            cell = dataset.isel(dict(zip(dims, point, strict=True)))
            yield from ("", _heading(cell, output, dims), *_rows(cell, output, method))
        if len(points) > len(chosen):
            yield f"  ({len(chosen)} of {len(points):,} points of {', '.join(dims)}; --netcdf keeps all)"
    if "replicates" in dataset.attrs:
        yield from ("", *estimated_from(dataset))


def estimated_from(dataset: "xr.Dataset") -> Iterator[str]:
    """From how many points indices were estimated, and what the brackets mean; nothing where none were drawn."""
    if "replicates" in dataset.attrs:
        attributes = dataset.attrs
        yield f"{attributes['evaluations']:,} evaluations of the model at each point of the axes: {attributes['draws']}"
        yield f"in brackets: {100 * attributes['confidence']:g} % intervals, by Student's t over the replicates"


def drivers_in_words(cell: "xr.Dataset", output: str, dims: Sequence[str]) -> str:
    """What drives an output at one point of the axes, the strongest parameters first, in one line."""
    method = cell.attrs["sensitivity"]
    status = f"{output}_status"
    if status in cell and int(cell[status]):
        return f"{_heading(cell, output, dims)}: no numbers, the output is {_status(cell[status])}"
    columns = COLUMNS[method][:1] if method != "tornado" else COLUMNS[method][::-1]
    order, _ = _ranked(cell, output, method)
    if not order:
        return f"{_heading(cell, output, dims)}: nothing has an effect"
    values = (" to ".join(_value(cell, f"{output}_{column}", i) for column in columns) for i in order)
    texts = [f"{cell[PARAMETER].values[i]} {text}" for i, text in zip(order, values, strict=True)]
    return f"{_heading(cell, output, dims)} is driven most by {', then by '.join(texts)}: {DRIVEN[method]}"


def _heading(cell: "xr.Dataset", output: str, dims: Sequence[str]) -> str:
    at = ", ".join(f"{dim} = {quantities([float(cell[dim])], cell[dim])[0]}" for dim in dims)
    return f"{output}{' at ' if at else ''}{at}"


def _rows(cell: "xr.Dataset", output: str, method: str) -> Iterator[str]:
    """Lines of one table, and what is known of the whole output."""
    status = f"{output}_status"
    if status in cell and int(cell[status]):
        yield f"  no numbers: the output is {_status(cell[status])}"
        return
    columns = [name for name in COLUMNS[method] if f"{output}_{name}" in cell]
    names = [str(name) for name in cell[PARAMETER].values]
    order, idle = _ranked(cell, output, method)
    rows = [("parameter", *(name.replace("_", " ") for name in columns))]
    rows += [(names[i], *(_value(cell, f"{output}_{name}", i) for name in columns)) for i in order]
    yield from table(rows)
    if idle:
        yield f"  without effect: {', '.join(names[i] for i in idle)}"
    pairs = f"{output}_second_order"
    if pairs in cell:
        chosen = list(itertools.combinations(sorted(order), 2))
        chosen.sort(key=lambda pair: -abs(float(cell[pairs].values[pair])))
        yield from table(
            [
                ("pair", "second order"),
                *((f"{names[i]} and {names[j]}", _value(cell, pairs, (i, j))) for i, j in chosen),
            ]
        )
    for name in ("mean", "variance", "at_median"):
        if f"{output}_{name}" in cell:
            unit = cell[f"{output}_{name}"].attrs["units"]
            text = f"{name.replace('_', ' ')} {_value(cell, f'{output}_{name}', ())}"
            yield f"  {text}{'' if unit == '1' else f' {unit}'}"


def _ranked(cell: "xr.Dataset", output: str, method: str) -> tuple[list[int], list[int]]:
    """Places of the parameters with an effect, the strongest first, and of those without."""
    strength = np.abs(cell[f"{output}_{COLUMNS[method][0]}"].values)
    if method == "tornado":
        strength = np.abs(cell[f"{output}_at_high"].values - cell[f"{output}_at_low"].values)
    order = np.argsort(-np.nan_to_num(strength), kind="stable").tolist()
    return [i for i in order if strength[i] != 0.0], np.flatnonzero(strength == 0.0).tolist()


def _status(code: "xr.DataArray") -> str:
    return STATUS[int(code)].replace("_", " ")


def _value(cell: "xr.Dataset", name: str, place: int | tuple[int, ...]) -> str:
    """Write a number with as many digits as its interval leaves standing, and the interval."""
    value = float(cell[name].values[place])
    if f"{name}_low" not in cell:
        return f"{value:.6g}"
    low, high = (float(cell[f"{name}_{end}"].values[place]) for end in ("low", "high"))
    digits = 6
    if np.isfinite(high - low) and high > low:
        digits = int(np.clip(np.ceil(np.log10(max(abs(low), abs(high)) / (high - low))) + 2, 2, 10))
    return f"{_short(value, digits)} ({_short(low, digits)} to {_short(high, digits)})"


def _short(value: float, digits: int) -> str:
    text = f"{value:.{digits}g}"
    return "0" if float(text) == 0.0 else text


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
    objective, sense = objective_of(dataset)
    condition = attributes["subject_to"]
    yield f"{sense} {objective} over {attributes['over']}" + ("" if condition == "none" else f", where {condition}")
    yield from named_reference(dataset)
    if dataset.status.size == 1:
        yield decision_in_words(dataset.squeeze())
    else:
        yield from table(_scenarios(dataset, most_rows))
        if dataset.status.size > most_rows:
            yield f"  ... and {count(dataset.status.size - most_rows, 'scenario')} more; --netcdf keeps all"
    yield from certainty_of(dataset)


def objective_of(dataset: "xr.Dataset") -> tuple[str, str]:
    """Name of what is optimised, and which of its values is looked for."""
    greatest, least = (dataset.attrs[key] for key in ("maximised", "minimised"))
    return (greatest, "greatest") if greatest != "none" else (least, "least")


def told_of(dataset: "xr.Dataset") -> list[str]:
    """The objective, the decisions and what else is in conditions."""
    first = [objective_of(dataset)[0], *dataset.attrs["decisions"].split(", ")]
    others = [str(name) for name in dataset.data_vars if name not in ("best_of_grid", "starts_alike", "status")]
    return list(dict.fromkeys((*first, *others)))


def decision_in_words(cell: "xr.Dataset") -> str:
    """What to decide in one scenario, and what the best point of the grid has."""
    names, (objective, sense) = told_of(cell), objective_of(cell)
    if not np.isfinite(float(cell[objective])):
        return "nothing that was tried is allowed"
    value, *texts = (quantities([float(cell[name])], cell[name])[0] for name in names)
    chosen = ", ".join(f"{name} {text}" for name, text in zip(names[1:], texts, strict=True))
    grid = float(cell["best_of_grid"])
    beside = f"the best point of the grid has {quantities([grid], cell[objective])[0]}"
    beside = beside if np.isfinite(grid) else "no point of the grid is allowed"
    return f"the {sense} {objective} is {value}, with {chosen}; {beside}"


def _scenarios(dataset: "xr.Dataset", most_rows: int) -> Iterator[tuple[str, ...]]:
    dims = [str(dim) for dim in dataset.status.dims]
    names = [*told_of(dataset), "best_of_grid"]
    flags = dataset.status.attrs["flag_meanings"].split()
    places = list(itertools.islice(np.ndindex(*dataset.status.shape), most_rows))
    columns = []
    for k, dim in enumerate(dims):
        values = dataset[dim].values[[place[k] for place in places]]
        columns.append([dim, unit_text(dataset[dim].attrs["units"]), *numbers(values)])
    for name in names:
        values = dataset[name].values.ravel()[: len(places)]
        columns.append([name, unit_text(dataset[name].attrs["units"]), *(f"{v:.6g}" for v in values)])
    columns.append(["status", "", *(flags[int(code)] for code in dataset.status.values.ravel()[: len(places)])])
    yield from zip(*columns, strict=True)


def certainty_of(dataset: "xr.Dataset") -> Iterator[str]:
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
