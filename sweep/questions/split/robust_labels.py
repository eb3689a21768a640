"""What the variables of one split for many draws are called, and what they mean."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from sweep.config.allocation import ASKS, Allocation
from sweep.config.distribution import DRAW
from sweep.engine.evaluate import device_kind
from sweep.models.front_loading import STRATEGIES
from sweep.models.problem import Problem
from sweep.questions.split.labels import STATUS, coordinates_of, objective_words
from sweep.questions.split.robust import GOALS, LEVEL, PLANS, levels_of
from sweep.results.metadata import dataset_attributes

GUARDED = {
    "mean": "least mean regret (and least expected loss)",
    "cvar": "least mean of the worst regrets (conditional value at risk)",
    "worst": "least worst regret",
}
PLANNED = {
    **GUARDED,
    "medians": "the optimal split if every uncertain parameter were its median",
    **{name: f"{text}, for the medians" for name, text in STRATEGIES.items()},
}


def robust_dataset(problem: Problem, chosen: Allocation, values: Mapping[str, np.ndarray]) -> xr.Dataset:
    """Describe plans, (N, ...) each, over the axes of their spec but the draws."""
    axes = {name: size for name, size in problem.spec.shape.items() if name != DRAW}
    variables = {}
    for name, (text, unit, extra) in _words(chosen).items():
        if name not in values:
            continue
        attributes: dict[str, Any] = {"long_name": text, "units": unit}
        if name in ("status", "draw_status"):
            attributes |= {"flag_values": list(range(len(STATUS))), "flag_meanings": " ".join(STATUS)}
        reshaped = values[name].reshape((*axes.values(), *values[name].shape[1:]))
        variables[name] = ((*axes, *extra), reshaped, attributes)
    coordinates = coordinates_of(problem, chosen, variables)
    del coordinates["strategy"]
    plans = {"long_name": "; ".join(f"{name}: {text}" for name, text in PLANNED.items())}
    coordinates["plan"] = ("plan", list(PLANS), plans)
    if "value_of_knowing" in variables:
        known = list(problem.spec.distributions)
        coordinates["known"] = ("known", known, {"long_name": "uncertain parameter that is known, the others not"})
        levels = levels_of(problem.spec.shape.get(DRAW, 1))
        text = "part of the draws that does not count: 0 is the mean, the last the worst"
        coordinates["level"] = ("level", list(levels), {"long_name": text, "units": "1"})
    attributes = dataset_attributes(problem, device_kind()) | {"kind": "split"}
    told = chosen.model_dump(exclude_none=True)
    attributes |= {f"allocation_{key}": value for key, value in told.items()}
    attributes["asks"] = ASKS[chosen.objective]
    attributes["robust"] = GUARDED[chosen.robust or GOALS[0]]
    return xr.Dataset(variables, coordinates, attributes)


def _words(chosen: Allocation) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """Long name, unit and further dimensions of each variable."""
    objective = objective_words(chosen)
    level = LEVEL if chosen.level is None else chosen.level
    purchases, plans = ("purchase",), ("plan",)
    gain = f"how much the mean of the {objective} would fall"
    money = "budget more that buys as much with the same plan, which bounds it from above"
    return {
        "front_load_share": ("share of the budget spent on accelerators at time 0", "1", ()),
        "later_share": ("share of the budget spent on accelerators later", "1", ()),
        "research_share": ("share of the budget spent on efficiency research", "1", ()),
        "shares": ("share of the budget spent on accelerators at each date", "1", purchases),
        "purchase_date": ("date of purchase", "years", purchases),
        "objective": (f"mean over the draws: {objective}", "1", ()),
        "plan_shares": ("share of the budget spent on accelerators at each date, by plan", "1", (*plans, *purchases)),
        "plan_research_share": ("share of the budget spent on efficiency research, by plan", "1", plans),
        "regret": (f"how much more than the least of the draw: {objective}", "1", (*plans, DRAW)),
        "expected_objective": (f"mean over the draws, by plan: {objective}", "1", plans),
        "expected_regret": ("mean of the regrets", "1", plans),
        "conditional_regret": (f"mean of the worst {100 * (1 - level):.3g} % of the regrets", "1", plans),
        "worst_regret": ("largest of the regrets", "1", plans),
        "frank_wolfe_gap": ("bound on what other purchases could gain, the research share held", "1", ()),
        "regret_bound": ("the same, estimated with the research share free within its basin", "1", ()),
        "iterations": ("steps of the solver", "1", ()),
        "status": ("whether the plan is certified", "1", ()),
        "value_of_information": (f"{gain} if the draw were known before the first purchase", "1", ()),
        "price_of_robustness": ("mean regret of the plan of least worst regret, beyond the least", "1", ()),
        "value_of_knowing": (f"{gain} if one parameter were known before the first purchase", "1", ("known",)),
        "value_of_knowing_error": ("standard error of the value of knowing, from the draws", "1", ("known",)),
        "value_of_information_budget": (f"value of information: {money}", "reference fleets", ()),
        "value_of_knowing_budget": (f"value of knowing: {money}", "reference fleets", ("known",)),
        "curve_expected_regret": ("mean of the regrets of the best plan for a level", "1", ("level",)),
        "curve_worst_regret": ("largest of the regrets of the best plan for a level", "1", ("level",)),
        "draw_shares": ("share spent at each date by the draw's own optimum", "1", (DRAW, *purchases)),
        "draw_research_share": ("share spent on research by the draw's own optimum", "1", (DRAW,)),
        "draw_objective": (f"least there is in the draw: {objective}", "1", (DRAW,)),
        "draw_status": ("whether the draw's own optimum is certified", "1", (DRAW,)),
    }
