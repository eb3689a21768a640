"""The metadata of a result: names, units and everything needed to know what was computed and how."""

import json
import math
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from sweep.config import reference
from sweep.config.distribution import DRAWN
from sweep.config.kinds import QUANTILE
from sweep.config.spec import Fixed, SweepSpec
from sweep.errors import SpecError
from sweep.models.problem import Problem

if TYPE_CHECKING:
    import xarray as xr

# What a dataset may be, and the attribute by which each is told in files that were written before there was `kind`.
MARKS = {
    "grid": "",
    "statistics": "",
    "frontier": "minimised",
    "sensitivity": "sensitivity",
    "discovery": "least_coverage",
    "split": "allocation_dates",
    "decision": "decisions",
}
LIBRARIES = ("relative-loss-sweep", "jax", "jaxlib", "numpy")


def _fixed(name: str, fixed: Fixed, unit: str) -> str:
    """A fixed value in words, with its unit unless it is a plain number."""
    text = f"{name} = {fixed.value:.10g}" + ("" if unit == "1" else f" {unit}")
    return text + (f" ({fixed.source})" if fixed.source else "")


def dataset_attributes(problem: Problem, device: str) -> dict[str, Any]:
    """Attributes of the dataset: plain strings and numbers, the same for every run of one sweep on one machine."""
    model, spec = problem.model, problem.spec
    attributes = {
        "Conventions": "CF-1.11",
        "kind": "statistics" if spec.statistics else "grid",
        "title": spec.title or f"{model.name} sweep over {', '.join(spec.axes)}",
        "model": model.name,
        "equation": model.equation,
        "references": model.source,
        "assumptions": model.assumptions,
        **({"reference": text} if (text := reference_of(problem)) else {}),
        "caveats": "; ".join(problem.caveats) or "none",
        "fixed": "; ".join(_fixed(name, fixed, model.parameter(name).unit) for name, fixed in spec.fixed.items()),
        "fixed_sources": json.dumps({name: fixed.source for name, fixed in spec.fixed.items() if fixed.source}),
        "fixed_units": json.dumps({name: model.parameter(name).unit for name in spec.fixed}),
        **({} if not spec.distributions else {"distributions": _uncertain(problem), "draws": str(spec.draws)}),
        "spec": json.dumps(spec.canonical()),
        "fingerprint": problem.fingerprint,
        "dtype": spec.dtype,
        "device": device,
        **{f"version_{name.replace('-', '_')}": number for name, number in versions().items()},
    }
    if spec.loss is not None:
        attributes["loss"] = spec.loss
    return attributes


def reference_of(problem: Problem) -> str:
    """Say from which run a sweep counts, "own: 50,000 accelerators for 1 year"; "" where no output depends on one.

    Parameters
    ----------
    problem : Problem
        The sweep.
    """
    spec = problem.spec
    if not (problem.needed | set(spec.distributions)) & set(reference.PARAMETERS):
        return ""
    run = None if spec.reference is None else reference.run_of(spec.reference)
    if run is not None:
        return str(run)
    fleet, years = (_amount(spec, name) for name in reference.PARAMETERS)
    text = f"{fleet} accelerator{'' if fleet == '1' else 's'}" if fleet else "the reference fleet"
    return f"{reference.OWN}: {text}" + (f" for {years} year{'' if years == '1' else 's'}" if years else "")


def kind_of(dataset: "xr.Dataset") -> str:
    """Say which of `MARKS` a dataset is: what it says itself or, of an old file, what its other attributes tell."""
    if "kind" in dataset.attrs:
        return str(dataset.attrs["kind"])
    plain = "statistics" if "statistics" in json.loads(dataset.attrs.get("spec", "{}")) else "grid"
    return next((kind for kind, mark in MARKS.items() if mark in dataset.attrs), plain)


def refuse_other_kind(dataset: "xr.Dataset", kind: str) -> None:
    """Refuse a dataset that is not of a kind.

    Raises
    ------
    SpecError
        Naming both.
    """
    if kind_of(dataset) != kind:
        raise SpecError(f'the dataset is of the kind "{kind_of(dataset)}"; give one of the kind "{kind}"')


def named_reference(dataset: "xr.Dataset") -> Iterator[str]:
    """One line that says from which run an answer counts, where it depends on one."""
    if "reference" in dataset.attrs:
        yield f"reference: {dataset.attrs['reference']}"


def _amount(spec: SweepSpec, name: str) -> str:
    """Write the value, the range or the distribution of a parameter, "" where it has none."""
    if name in spec.fixed:
        return f"{spec.fixed[name].value:,.10g}"
    if name in spec.axes:
        return " to ".join(f"{end:,.10g}" for end in spec.axes[name].bounds())
    return f"({spec.distributions[name]})" if name in spec.distributions else ""


def _uncertain(problem: Problem) -> str:
    """Say how each uncertain parameter is distributed, its unit and its source."""
    texts = []
    for name, distribution in problem.spec.distributions.items():
        unit = problem.model.output(name).unit
        text = f"{name}: {distribution}" + (f" {unit}" if unit != "1" else "")
        texts.append(text + (f" ({distribution.source})" if distribution.source else ""))
    return "; ".join(texts)


def variable_attributes(problem: Problem, name: str) -> dict[str, Any]:
    """CF attributes of one variable of the result: an output, a coordinate or a statistic."""
    spec = problem.spec
    if name in spec.axes:
        parameter, axis = problem.model.parameter(name), spec.axes[name]
        attributes = {"long_name": parameter.long_name, "units": parameter.unit}
        attributes["spacing"] = (axis.spacing or "linear") if axis.values is None else "listed"
        return attributes | ({"source": axis.source} if axis.source else {})
    if not spec.statistics:
        output = problem.model.output(name)
        return {"long_name": output.long_name, "units": output.unit}
    if name == QUANTILE:
        return {"long_name": "probability of not exceeding the quantile", "units": "1", "spacing": "listed"}
    for key, statistic in spec.statistics.items():
        if name in statistic.own_dims(key):
            output = problem.model.output(statistic.uses[0])
            edges = [] if statistic.edges is None else statistic.edges.coordinates().tolist()
            text = f"middle of a bin of {output.long_name}; attribute edges has the ends"
            return {"long_name": text, "units": output.unit, "spacing": "listed", "edges": edges}
    key = statistic_of(spec, name)
    return _of_statistic(problem, key, name.removeprefix(key).removeprefix("_"))


def statistic_of(spec: SweepSpec, variable: str) -> str:
    """Name the statistic that a variable is, or belongs to."""
    if variable in spec.statistics:
        return variable
    return next(key for key in spec.statistics if variable in {f"{key}_{dim}" for dim in spec.axes})


def _of_statistic(problem: Problem, key: str, dim: str) -> dict[str, Any]:
    """Attributes of a statistic, or of where along an axis its extreme is."""
    statistic = problem.spec.statistics[key]
    kind = statistic.kind
    over = [axis for axis in problem.spec.axes if axis in statistic.over]
    reduced = math.prod(len(problem.spec.axes[axis]) for axis in over)
    outputs = [problem.model.output(name) for name in statistic.uses]
    what, where = " and ".join(output.long_name for output in outputs), ""
    if statistic.where is not None:
        where = f" where {statistic.where.strip()}"
        what = f"points{where}"
    unit = problem.model.parameter(dim).unit if dim else kind.unit(outputs[0].unit)
    attributes = {
        "long_name": f"{dim} at the {kind.words} of {what}" if dim else f"{kind.words} of {what}",
        "units": unit,
        "cell_methods": f"{' '.join(f'{axis}:' for axis in over)} {kind.method}{where}",
        "outputs": ", ".join(statistic.uses),
        "reduced_points": reduced,
        "reduced": "; ".join(_span(problem, axis) for axis in over),
    }
    return attributes | ({"method": kind.note} if kind.note else {})


def _span(problem: Problem, name: str) -> str:
    """Describe an axis that is reduced: its range, spacing, unit and source."""
    axis, unit = problem.spec.axes[name], problem.model.parameter(name).unit
    if name in DRAWN and problem.spec.distributions:
        return f"{name}: {len(axis)} of {', '.join(problem.spec.distributions)}"
    spacing = "listed" if axis.values is not None else "log-spaced" if axis.is_log else "evenly spaced"
    low, high = axis.bounds()
    text = f"{name} = {low:.10g} to {high:.10g} {unit}, {len(axis)} {spacing}, each counting alike"
    return text + (f" ({axis.source})" if axis.source else "")


@cache
def versions() -> Mapping[str, str]:
    """Versions of the libraries that decide the bits of a result."""
    numbers = {}
    for name in LIBRARIES:
        try:
            numbers[name] = version(name)
        except PackageNotFoundError:
            numbers[name] = "not installed"
    return numbers
