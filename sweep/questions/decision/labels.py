"""What the variables of decisions are called, and what they mean."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from sweep.engine.evaluate import device_kind
from sweep.results.metadata import dataset_attributes, variable_attributes

if TYPE_CHECKING:
    from sweep.questions.decision.checks import Question

STATUS = ("local", "stalled", "grid", "infeasible")
LOCAL, STALLED, GRID, INFEASIBLE = range(len(STATUS))
STATUS_WORDS = (
    "local: best of the starts, a local optimum; stalled: better than the grid, not a local optimum to the accuracy "
    "wanted; grid: no start ended better than the best point of the grid; infeasible: nothing was allowed"
)
METHOD = (
    "augmented Lagrangian around L-BFGS (optax), in float64, from the best points of a grid of the axes' values that "
    "are no neighbours; a local optimum, with no proof that there is no better one"
)


def dataset_of(question: "Question", values: Mapping[str, np.ndarray], points: int) -> xr.Dataset:
    """Describe decisions, (N,) each, over the axes of their scenarios."""
    problem, axes = question.problem, question.scenarios
    shape = tuple(len(axis) for axis in axes.values())
    words = {name: _plain(variable_attributes(problem, name)) for name in values if name not in _OWN}
    unit, text = (words[question.objective][key] for key in ("units", "long_name"))
    words["best_of_grid"] = {"long_name": f"{text}, at the best point of the grid that is allowed", "units": unit}
    words["starts_alike"] = {"long_name": "starts that ended as good as the best", "units": "1"}
    words["status"] = {"long_name": "what is known of the decision", "units": "1", "comment": STATUS_WORDS}
    words["status"] |= {"flag_values": list(range(len(STATUS))), "flag_meanings": " ".join(STATUS)}
    attributes = dataset_attributes(problem, device_kind()) | {
        "kind": "decision",
        "minimised": "none" if question.is_greatest else question.objective,
        "maximised": question.objective if question.is_greatest else "none",
        "over": "; ".join(_extent(question, name) for name in question.decisions),
        "decisions": ", ".join(question.decisions),
        "subject_to": " and ".join(f"{c.output} {c.sign} {c.bound!r}" for c in question.conditions) or "none",
        "starts": question.starts,
        "grid_points": points,
        "method": METHOD,
    }
    if not problem.spec.title:
        sense = "greatest" if question.is_greatest else "least"
        attributes["title"] = f"{sense} {question.objective} over {', '.join(question.decisions)}"
    return xr.Dataset(
        {name: (tuple(axes), array.reshape(shape), words[name]) for name, array in values.items()},
        {name: (name, axis.coordinates(), variable_attributes(problem, name)) for name, axis in axes.items()},
        attributes,
    )


_OWN = ("best_of_grid", "starts_alike", "status")


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Drop what describes a dimension of a grid, which a decision is not."""
    return {key: value for key, value in attributes.items() if key not in ("spacing", "source")}


def _extent(question: "Question", name: str) -> str:
    low, high = question.decisions[name].bounds()
    unit = question.problem.model.parameter(name).unit
    return f"{name} {low:.10g} to {high:.10g}" + ("" if unit == "1" else f" {unit}")
