"""Estimates of sensitivity into a labelled dataset: which quantities of an output there are, their names and units."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from kernels.sensitivity import indices, screening, shapley
from kernels.sensitivity.indices import Estimate
from sweep.engine.evaluate import device_kind
from sweep.models.model import Model
from sweep.models.problem import Problem
from sweep.models.sampling import sampling_of
from sweep.questions.sensitivity import medians
from sweep.questions.sensitivity.response import Cells, Response, axes_of, outputs_of
from sweep.questions.sensitivity.sums import Sums
from sweep.results.metadata import dataset_attributes, variable_attributes

PARAMETER, OTHER = "parameter", "parameter_2"
LOW, HIGH = f"{100 * medians.TAIL:g} %", f"{100 - 100 * medians.TAIL:g} %"
METHODS = {
    "sobol": "Sobol' indices: shares of the variance",
    "shapley": "Shapley effects: shares of the variance, of correlated parameters too",
    "morris": "elementary effects (Morris): change by half of the distribution of a parameter, per unit of probability",
    "elasticity": "elasticities: relative change by relative change of a parameter, at the medians",
    "tornado": f"one parameter at a time from its {LOW} to its {HIGH} quantile, the others at their medians",
}


# Name, text, values, leading dimensions and unit, as of a variable.
Estimated = tuple[str, str, Estimate, tuple[str, ...], str]


@dataclass(frozen=True)
class Variable:
    """What is told of every output of a group.

    Attributes
    ----------
    name, text : str
        What follows the name of the output in that of the variable, and what stands before its words.
    values : numpy.ndarray
        (leading, outputs, cells).
    leading : tuple of str
        Dimensions before those of the outputs.
    unit : str
        "1", or "output" or "variance" for those that follow from the output's.
    """

    name: str
    text: str
    values: np.ndarray
    leading: tuple[str, ...] = ()
    unit: str = "1"


def sampled_quantities(method: str, sums: Sums, response: Response, width: float) -> list[Variable]:
    """Quantities of a method that evaluates points, with intervals of `width` standard errors, and its sums."""
    estimates, status = _estimates(method, sums, response)
    estimated = []
    for name, text, estimate, leading, unit in estimates:
        low, high = (estimate.value + sign * width * estimate.error for sign in (-1.0, 1.0))
        estimated += [
            Variable(name, f"{text} of", estimate.value, leading, unit),
            Variable(f"{name}_low", f"lower end of the interval of the {text} of", low, leading, unit),
            Variable(f"{name}_high", f"upper end of the interval of the {text} of", high, leading, unit),
        ]
    kept = "sums over points that were evaluated of"
    return [
        *estimated,
        Variable("status", "why there are no numbers of", status),
        Variable("sums", kept, sums.values, ("term", "replicate")),
        Variable("centre", "what was taken off before summing of", sums.centre, (), "output"),
    ]


def _estimates(method: str, sums: Sums, response: Response) -> tuple[list[Estimated], np.ndarray]:
    per, count = (PARAMETER,), len(response.names)
    if method == "morris":
        effects = screening.elementary_effects(sums.values, sums.points)
        return [
            ("mu", "mean elementary effect of a parameter", effects.mean, per, "output"),
            ("mu_star", "mean absolute elementary effect of a parameter", effects.mean_absolute, per, "output"),
            ("sigma", "standard deviation of the elementary effects of a parameter", effects.deviation, per, "output"),
        ], effects.status  # fmt: skip
    resolution = 8.0 * float(np.finfo(response.dtype).eps)
    if method == "shapley":
        owed = shapley.shapley_effects(sums.values, sums.points, count, centre=sums.centre, resolution=resolution)
        text = "Shapley effect, share of the variance due to a parameter,"
        return [("shapley", text, owed.effect, per, "1"), *_moments(owed.mean, owed.variance)], owed.status
    sobol = indices.sobol_indices(sums.values, sums.points, count, centre=sums.centre, resolution=resolution)
    shares: list[Estimated] = [
        ("first_order", "share of the variance due to a parameter alone,", sobol.first_order, per, "1"),
        ("total", "share of the variance that a parameter takes part in,", sobol.total, per, "1"),
    ]
    if sobol.second_order is not None:
        text = "share of the variance due to two parameters together, beyond those due to each,"
        shares.append(("second_order", text, sobol.second_order, (PARAMETER, OTHER), "1"))
    return [*shares, *_moments(sobol.mean, sobol.variance)], sobol.status


def _moments(mean: Estimate, variance: Estimate) -> list[Estimated]:
    return [("mean", "mean", mean, (), "output"), ("variance", "variance", variance, (), "variance")]


def local_quantities(method: str, response: Response, grid: Cells) -> list[Variable]:
    """Quantities of a method that looks at the medians."""
    if method == "elasticity":
        values = medians.elasticities(response, grid)
        return [Variable(method, "relative change, by relative change of a parameter, of", values, (PARAMETER,))]
    middle, (low, high) = medians.tornado(response, grid)
    text = "with a parameter at its {} quantile, the others at their medians,"
    return [
        Variable("at_low", text.format(LOW), low, (PARAMETER,), "output"),
        Variable("at_high", text.format(HIGH), high, (PARAMETER,), "output"),
        Variable("at_median", "with all parameters at their medians,", middle, (), "output"),
    ]


def dataset_of(
    estimated: Iterable[tuple[Response, Cells, list[Variable]]], problem: Problem, facts: Mapping[str, Any]
) -> xr.Dataset:
    """Put quantities into a dataset.

    Parameters
    ----------
    estimated : iterable of (Response, Cells, list of Variable)
        Of each group of outputs.
    problem : Problem
        The sweep.
    facts : mapping
        Attributes: ``sensitivity``, the method, and those of the design where there is one.
    """
    spec = problem.spec
    variables = {}
    for response, grid, quantities in estimated:
        for quantity in quantities:
            for k, name in enumerate(response.outputs):
                shape = (*quantity.values.shape[: len(quantity.leading)], *grid.shape)
                dims, values = (*quantity.leading, *response.dims), quantity.values[..., k, :].reshape(shape)
                variables[f"{name}_{quantity.name}"] = (dims, values, _attributes(problem.model, name, quantity))
    used = {dim for dims, *_ in variables.values() for dim in dims}
    names = list(spec.distributions)
    meaning = "; ".join(f"{name}: {problem.model.output(name).long_name}" for name in names)
    coordinates: dict[str, Any] = {
        dim: (dim, names, {"long_name": "uncertain parameter", "meaning": meaning})
        for dim in (PARAMETER, OTHER)
        if dim in used
    }
    for dim in axes_of(spec):
        if dim in used:
            coordinates[dim] = (dim, spec.axes[dim].coordinates(), variable_attributes(problem, dim))
    attributes = dataset_attributes(problem, device_kind())
    attributes["kind"] = "sensitivity"
    attributes["title"] = spec.title or f"What drives {' and '.join(outputs_of(spec))}?"
    attributes |= {**facts, "method": METHODS[facts["sensitivity"]], "outputs": ", ".join(outputs_of(spec))}
    del attributes["draws"]
    if "replicates" in facts:
        points = facts["number"] // facts["replicates"]
        text = f"{facts['replicates']} replicates of {points:,} scrambled Sobol' points, seed {sampling_of(spec).seed}"
        attributes["draws"] = text
    return xr.Dataset(variables, coordinates, attributes)


def _attributes(model: Model, name: str, quantity: Variable) -> dict[str, Any]:
    output = model.output(name)
    squared = output.unit if output.unit == "1" else f"({output.unit})2"
    units = {"output": output.unit, "variance": squared}.get(quantity.unit, quantity.unit)
    attributes: dict[str, Any] = {"long_name": f"{quantity.text} {output.long_name}", "units": units}
    if quantity.name == "status":
        attributes |= {"flag_values": [0, 1, 2], "flag_meanings": " ".join(indices.STATUS)}
    return attributes
