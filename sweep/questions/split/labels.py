"""What the variables of a map of optimal splits are called, and what they mean."""

from collections.abc import Container, Mapping
from typing import Any

import numpy as np
import xarray as xr

from kernels.split import solver
from sweep.config.allocation import ASKS, Allocation
from sweep.config.distribution import DRAWN
from sweep.engine.evaluate import device_kind
from sweep.models.front_loading import FRONT_LOADING, MOVED, STRATEGIES
from sweep.models.problem import Problem
from sweep.models.sampling import sampler_of
from sweep.questions.split.ranges import RATES
from sweep.results.metadata import dataset_attributes, variable_attributes

STATUS = ("converged", "stalled", "failed")


def dataset_of(
    problem: Problem, chosen: Allocation, values: Mapping[str, np.ndarray], optimiser: object = "newton"
) -> xr.Dataset:
    """Describe solutions, (N, ...) each, over the axes of their spec."""
    spec = problem.spec
    dims, shape = tuple(spec.axes), tuple(spec.shape.values())
    variables = {}
    for name, (text, unit, extra) in _words(chosen, values).items():
        attributes: dict[str, Any] = {"long_name": text, "units": unit}
        if name == "status":
            attributes |= {"flag_values": list(range(len(STATUS))), "flag_meanings": " ".join(STATUS)}
        reshaped = values[name].reshape(*shape, *values[name].shape[1:])
        variables["research_bracket" if name == "bracket" else name] = ((*dims, *extra), reshaped, attributes)
    attributes = dataset_attributes(problem, device_kind())
    attributes |= {"kind": "split"} | {
        f"allocation_{key}": value for key, value in chosen.model_dump(exclude_none=True).items()
    }
    attributes["asks"] = ASKS[chosen.objective]
    attributes["optimiser"] = optimiser if isinstance(optimiser, str) else "of optax"
    return xr.Dataset(variables, coordinates_of(problem, chosen, values), attributes)


def objective_words(chosen: Allocation) -> str:
    """What is made least, in words."""
    if chosen.objective == "mean":
        return "mean of the relative excess loss up to the horizon"
    return "logarithm of the relative excess loss at the horizon"


def _words(chosen: Allocation, names: Container[str]) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """Long name, unit and further dimensions of each variable, of those that not every map has where it is named."""
    objective = objective_words(chosen)
    words: dict[str, tuple[str, str, tuple[str, ...]]] = {
        "front_load_share": ("share of the budget spent on accelerators at time 0", "1", ()),
        "later_share": ("share of the budget spent on accelerators later", "1", ()),
        "research_share": ("share of the budget spent on efficiency research", "1", ()),
        "shares": ("share of the budget spent on accelerators at each date", "1", ("purchase",)),
        "purchase_date": ("date of purchase", "years", ("purchase",)),
        "objective": (objective, "1", ()),
        "strategy_objective": (f"{objective}, of a named strategy", "1", ("strategy",)),
        "strategy_regret": (f"how much more than the least a named strategy has: {objective}", "1", ("strategy",)),
        "frank_wolfe_gap": ("bound on the regret over the purchases, the research share held", "1", ()),
        "regret_bound": ("estimated bound on the regret, the research share free within its basin", "1", ()),
        "bracket": ("scanned research shares between which the optimum was looked for", "1", ("end",)),
        "iterations": ("steps of the solver", "1", ()),
        "status": ("whether the split is certified", "1", ()),
    }
    for name in ("front_load_share", "research_share", "objective"):
        if f"{name}_sensitivity" in names:
            text = f"derivative of {words[name][0]} by a parameter"
            words[f"{name}_sensitivity"] = (text, "1 per unit of the parameter", ("parameter",))
    if "other_shares" in names:
        words |= _other_words(objective)
    if "holds" in names:
        text = f"rates between which, one varied alone, no share of now, later or research moves by more than {MOVED:g}"
        text += "; of those " + ", ".join(f"{name} {FRONT_LOADING.parameter(name).domain}" for name in RATES)
        words["holds"] = (text, "1/year", ("rate", "end"))
    return words


def _other_words(objective: str) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """The same, of what else could be done."""
    other = "of the split for the other question"
    return {
        "other_shares": (f"share of the budget spent on accelerators at each date, {other}", "1", ("purchase",)),
        "other_research_share": (f"share of the budget spent on efficiency research, {other}", "1", ()),
        "other_regret": (f"how much more than the least it has: {objective}, {other}", "1", ()),
        "other_delay": (f"time after the horizon until it is as low, {other}", "months", ()),
        "rounded_shares": ("share of the budget at each date, in whole percent", "1", ("purchase",)),
        "rounded_research_share": ("share of the budget spent on research, in whole percent", "1", ()),
        "rounding_regret": (f"what whole percent cost: {objective}", "1", ()),
        "strategy_delay": (
            "time after the horizon until it is as low, of a named strategy",
            "months",
            ("strategy",),
        ),
    }


def coordinates_of(problem: Problem, chosen: Allocation, names: Container[str]) -> dict[str, Any]:
    """Axes, what is drawn, and the dimensions of a split."""
    spec = problem.spec
    coordinates: dict[str, Any] = {
        name: (name, axis.coordinates(), variable_attributes(problem, name)) for name, axis in spec.axes.items()
    }
    if spec.distributions:
        numbers = {name: spec.axes[name].coordinates() for name in DRAWN if name in spec.axes}
        grid = dict(zip(numbers, np.meshgrid(*numbers.values(), indexing="ij"), strict=True))
        for name, values in sampler_of(FRONT_LOADING, spec).at(grid).items():
            coordinates[name] = (tuple(numbers), values, variable_attributes(problem, name))
    when = {"long_name": "part of the horizon after which a purchase is made", "units": "1", "spacing": "linear"}
    coordinates["purchase"] = ("purchase", np.arange(chosen.dates) / chosen.dates, when)
    coordinates["strategy"] = (
        "strategy",
        list(STRATEGIES),
        {"long_name": "; ".join(f"{k}: {v}" for k, v in STRATEGIES.items())},
    )
    if "holds" in names:
        coordinates["rate"] = ("rate", list(RATES), {"long_name": "rate that is varied alone"})
    if "objective_sensitivity" in names:
        coordinates["parameter"] = ("parameter", list(solver.PARAMETERS), {"long_name": "parameter of the problem"})
    return coordinates
