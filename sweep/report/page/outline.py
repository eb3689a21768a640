"""What a page shows of a dataset: which answers there are to choose from, and the figures of each.

A choice names its variables, the dimensions that get a slider, and its panels. A panel is what the page's script draws:

- ``lines`` : a variable along `x`, one line for each value of `lines`; with `fan`, bands between quantiles; or several
  variables, `series`; with `low` and `high`, an interval around each
- ``map`` : a variable over `x` and `y`
- ``bars`` : variables, `series`, over the texts of a dimension `over`, with intervals, sorted; from `base` where that
  is given
- ``columns`` : a variable over a short dimension, at the dates of another variable, and what stands beside them
- ``scatter`` : pairs of variables, `series`, along a dimension `over`, of which one point is chosen
- ``ranges`` : limits between 0 and 1 for each text of a dimension
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import xarray as xr

from sweep.config.kinds import QUANTILE
from sweep.questions.sensitivity.estimates import PARAMETER
from sweep.report.describe_questions import objective_of, told_of
from sweep.report.frontier_figure import objectives_of
from sweep.report.sensitivity_figure import DRAWN
from sweep.results.metadata import kind_of

STANDARD_ERROR = "_standard_error"


@dataclass(frozen=True)
class Choice:
    """One answer that may be chosen.

    Attributes
    ----------
    name : str
        As the menu and the address of the page write it.
    said : list of str
        Variables that the sentence names.
    dims : list of str
        Dimensions with a slider.
    panels : list of dict
        The figures.
    """

    name: str
    said: list[str]
    dims: list[str]
    panels: list[dict[str, Any]] = field(default_factory=list)


def outlined(dataset: xr.Dataset) -> list[Choice]:
    """Say what there is to show of a dataset, by its kind; one of another kind is shown as a grid."""
    kinds: dict[str, Callable[[xr.Dataset], Iterator[Choice]]] = {
        "split": _split,
        "frontier": _frontier,
        "sensitivity": _sensitivity,
        "discovery": _discovery,
        "decision": _decision,
    }
    return list(kinds.get(kind_of(dataset), _grid)(dataset))


def variables_of(choices: list[Choice], dataset: xr.Dataset) -> list[str]:
    """Every variable that the choices name."""
    names: dict[str, None] = {}
    for choice in choices:
        texts = json.dumps([choice.said, choice.panels])
        names |= dict.fromkeys(str(name) for name in (*dataset.data_vars, *_columns(dataset)) if f'"{name}"' in texts)
    return list(names)


def _columns(dataset: xr.Dataset) -> list[str]:
    """Coordinates of numbers that are none of a dimension: what is drawn, the place of a point."""
    return [str(n) for n, c in dataset.coords.items() if n not in dataset.dims and c.dtype.kind in "fiub"]


def _grid(dataset: xr.Dataset) -> Iterator[Choice]:
    """An output, or a statistic, over its axes: curves or a fan, and a map."""
    numeric = [str(name) for name, variable in dataset.data_vars.items() if variable.dtype.kind in "fiub"]
    numeric.sort(key=lambda name: QUANTILE not in dataset[name].dims)  # what says how sure it is comes first
    for name in numeric:
        if name.endswith(STANDARD_ERROR) and name.removesuffix(STANDARD_ERROR) in numeric:
            continue
        variable = dataset[name]
        dims = _sliding(variable)
        axes = [dim for dim in _by_length(variable, dims) if dim != QUANTILE]
        panels = []
        if axes:
            fan = QUANTILE if QUANTILE in variable.dims and variable.sizes[QUANTILE] > 2 else None
            lines = axes[1] if len(axes) > 1 and fan is None else None
            panels.append({"type": "lines", "variable": name, "x": axes[0], "lines": lines, "fan": fan})
        if len(axes) > 1:
            panels.append({"type": "map", "variable": name, "x": axes[0], "y": axes[1]})
        error = f"{name}{STANDARD_ERROR}"
        yield Choice(name, [name, *([error] if error in dataset else [])], dims, panels)


def _sliding(variable: xr.DataArray) -> list[str]:
    return [str(dim) for dim in variable.dims if variable.sizes[dim] > 1]


def _by_length(variable: xr.DataArray, dims: list[str]) -> list[str]:
    """Dimensions in the order in which they are drawn: time, then the longest."""
    return sorted(dims, key=lambda dim: (dim != "time", -variable.sizes[dim]))


def is_robust(dataset: xr.Dataset) -> bool:
    """Whether a split is one plan for all draws of what is uncertain."""
    return "plan" in dataset.dims


def _split(dataset: xr.Dataset) -> Iterator[Choice]:
    """The schedule of purchases, how it changes along the axes, and what other strategies, or plans, lose."""
    shares = ["front_load_share", "later_share", "research_share"]
    dims = _sliding(dataset["objective"])
    axes = _by_length(dataset["objective"], dims)
    schedule = {"type": "columns", "over": "purchase", "variable": "shares", "at": "purchase_date"}
    panels: list[dict[str, Any]] = [schedule | {"beside": ["research_share"]}]
    if axes:
        panels.append({"type": "lines", "series": shares, "x": axes[0], "label": "share of the budget"})
    if is_robust(dataset):
        panels += _plans(dataset)
    else:
        regret = {"series": [{"variable": "strategy_regret"}], "title": "What named strategies lose by"}
        panels.append({"type": "bars", "over": "strategy", **regret})
    panels += [{"type": "map", "variable": n, "x": axes[0], "y": axes[1]} for n in shares[::2] if len(axes) > 1]
    yield Choice("split", [*shares, "objective"], dims, panels)


def _plans(dataset: xr.Dataset) -> Iterator[dict[str, Any]]:
    """What plans lose by, what guarding against the worst costs, and what knowing would gain."""
    names = ("expected_regret", "conditional_regret", "worst_regret")
    series = [{"variable": name, "label": str(dataset[name].attrs["long_name"])} for name in names]
    yield {"type": "bars", "over": "plan", "series": series, "label": "regret", "title": "What plans lose by"}
    if "level" in dataset.dims:
        curves = ["curve_expected_regret", "curve_worst_regret"]
        yield {"type": "lines", "series": curves, "x": "level", "label": "regret of the best plan for a level"}
    if "value_of_knowing" in dataset:
        gain = {"variable": "value_of_knowing", "error": "value_of_knowing_error"}
        title = "What knowing one parameter beforehand gains"
        yield {"type": "bars", "over": "known", "series": [gain], "label": "loss less in the mean", "title": title}


def _decision(dataset: xr.Dataset) -> Iterator[Choice]:
    """What is decided in each scenario, beside the best point of the grid, and how that changes along the axes."""
    objective, _ = objective_of(dataset)
    dims = _sliding(dataset["status"])
    axes = _by_length(dataset["status"], dims)
    panels: list[dict[str, Any]] = []
    if axes:
        label = str(dataset[objective].attrs["long_name"])
        panels.append({"type": "lines", "series": [objective, "best_of_grid"], "x": axes[0], "label": label})
        for name in dataset.attrs["decisions"].split(", "):
            panels.append({"type": "lines", "variable": name, "x": axes[0], "lines": [*axes[1:], None][0]})
    if len(axes) > 1:
        panels.append({"type": "map", "variable": objective, "x": axes[0], "y": axes[1]})
    yield Choice("decision", told_of(dataset), dims, panels)


def _frontier(dataset: xr.Dataset) -> Iterator[Choice]:
    """The points in pairs of objectives, and what each point is."""
    goals = objectives_of(dataset)
    by = [name for name in dataset.attrs["by"].split(", ") if name in dataset.coords]
    places = [name for name in _columns(dataset) if name not in goals]
    chosen = [name for name in places if name not in by]
    scatter = {"type": "scatter", "over": "point", "group": by, "mark": "is_knee", "joined": len(goals) == 2}
    pair = [{"x": goals[0], "y": goals[-1]}]
    panels = [scatter | {"series": pair, "xs": goals, "ys": goals}]
    others = [str(n) for n in dataset.data_vars if not str(n).endswith("_index") and n not in (*goals, "is_knee")]
    if chosen:
        varying = sorted(chosen, key=lambda name: len(set(dataset[name].values.tolist())) == 1)
        ys = [*varying, *(name for name in others if dataset[name].dims == ("point",))]
        panels.append(scatter | {"series": [{"x": goals[-1], "y": ys[0]}], "xs": goals, "ys": ys, "joined": False})
    yield Choice("frontier", [*goals, *by, *chosen], ["point"] if dataset.sizes["point"] > 1 else [], panels)


def _sensitivity(dataset: xr.Dataset) -> Iterator[Choice]:
    """What drives an output: bars at one place, and along an axis."""
    method = dataset.attrs["sensitivity"]
    columns, text = DRAWN[method]
    for output in dataset.attrs["outputs"].split(", "):
        lead = f"{output}_{columns[-1][0]}"
        dims = [dim for dim in _sliding(dataset[lead]) if dim != PARAMETER]
        named = [{"variable": f"{output}_{name}", "label": words} for name, words in columns]
        series = [one | _ends(dataset, one["variable"]) for one in named]
        bars = {"type": "bars", "over": PARAMETER, "series": series, "label": text.removesuffix(" (1)")}
        bars["title"] = f"What drives {output}"
        if method == "tornado":
            bars |= {"base": f"{output}_at_median", "label": output}
        panels = [bars]
        if dims and method != "tornado":
            ends = _ends(dataset, lead)
            axis = _by_length(dataset[lead], dims)[0]
            lines = {"type": "lines", "variable": lead, "x": axis, "lines": PARAMETER, **ends}
            panels.append(lines | ({"label": bars["label"]} if text else {}))
        about = [f"{output}_{name}" for name in ("mean", "variance", "at_median") if f"{output}_{name}" in dataset]
        yield Choice(output, about, dims, panels)


def _ends(dataset: xr.Dataset, name: str) -> dict[str, str]:
    """The ends of the interval of an index, where it has one."""
    return {end: f"{name}_{end}" for end in ("low", "high") if f"{name}_{end}" in dataset}


def _discovery(dataset: xr.Dataset) -> Iterator[Choice]:
    """The limits of a box, and what boxes trade."""
    curves = [
        {"x": "coverage", "y": "density", "label": "fitted draws"},
        {"x": "fresh_coverage", "y": "fresh_density", "label": "fresh draws"},
    ]
    panels: list[dict[str, Any]] = [
        {"type": "ranges", "over": "parameter", "variable": "quantile", "limits": "limit"},
        {"type": "scatter", "over": "box", "series": curves, "group": [], "mark": "is_chosen", "joined": True},
    ]
    yield Choice("box", ["coverage", "density", "support"], ["box"], panels)
