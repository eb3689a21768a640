"""What is said of the points of frontiers: values, places, knees, hypervolumes, and what was asked."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from sweep.questions.frontier.pieces import Values
from sweep.questions.frontier.running_front import Front
from sweep.questions.frontier.thinning import hypervolumes, is_logarithmic, knee, normalised, thinned

if TYPE_CHECKING:
    from sweep.questions.frontier.frontier import Question

KNEE = (
    "the point with the least sum of normalised objectives, unless that is an end; of two objectives the one farthest "
    "below the chord between the ends"
)
NORMALISED = "each from 0, the best on the frontier, to 1, the worst; by its logarithm if it spans more than 1000-fold"


def dataset_of(
    values: Values,
    question: "Question",
    fronts: dict[tuple[int, ...], Front],
    dtypes: Mapping[str, np.dtype],
    most: int | None,
    hypervolume: Mapping[str, float] | None,
) -> xr.Dataset:
    """Describe the points of all fronts, which are taken out one by one: together they may be large."""
    names = [o.name for o in question.objectives]
    parts: list[tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]] = []
    flips = np.array([-1.0 if o.maximise else 1.0 for o in question.objectives])
    logs = tuple(
        is_logarithmic(np.concatenate([front.values[:, i] for front in fronts.values()]) * flip)
        for i, flip in enumerate(flips)
    )
    reference = None if hypervolume is None else flips * [hypervolume[name] for name in names]
    epsilon, count, feasible = 0.0, 0, 0
    for key in list(fronts):
        count, feasible = count + len(fronts[key].places), feasible + fronts[key].feasible
        rows, places, columns, excess = _told(fronts.pop(key), len(names), logs, reference, most)
        parts.append((rows, places, columns))
        epsilon = max(epsilon, excess)
    if len(parts) > 1:
        rows, places = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
        columns = {name: np.concatenate([part[2][name] for part in parts]) for name in parts[0][2]}
    else:
        rows, places, columns = parts.pop()
    dataset = _described(values, question, rows, places, dtypes, columns)
    totals = {
        "points_considered": values.plan.points,
        "points_feasible": feasible,
        "points_nondominated": count,
    }
    dataset.attrs = {**values.dataset_attributes, "kind": "frontier", **_words(question), **totals}
    dataset.attrs |= {"knee": KNEE, "normalised": NORMALISED}
    if most is not None:
        dataset.attrs |= {"most": most, "epsilon": epsilon}
        dataset.attrs["epsilon_means"] = (
            "for each point of the frontiers there is one that is kept whose normalised objectives are at most epsilon "
            "larger"
        )
    if hypervolume is not None:
        dataset.attrs["hypervolume_reference"] = ", ".join(f"{name} = {hypervolume[name]:.10g}" for name in names)
    return dataset


def _told(
    front: Front, objectives: int, logs: tuple[bool, ...], reference: np.ndarray | None, most: int | None
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray], float]:
    """Values and places of the points of a front to keep, in order, what else is said of each, and epsilon."""
    order = np.lexsort((front.places, *front.values[:, :objectives].T[::-1]))
    rows, places = front.values[order], front.places[order]
    points = rows[:, :objectives]
    columns: dict[str, np.ndarray] = {"is_knee": np.zeros(len(places), bool)}
    scaled = normalised(points, logs)
    turn = knee(scaled)
    if turn is not None:
        columns["is_knee"][turn] = True
    if reference is not None:
        volume, columns["hypervolume_contribution"] = hypervolumes(points, reference)
        columns["hypervolume"] = np.full(len(places), volume)
    if most is None or not len(places):
        return rows, places, columns, 0.0
    chosen, epsilon = thinned(scaled, most, () if turn is None else (turn,))
    return rows[chosen], places[chosen], {name: column[chosen] for name, column in columns.items()}, epsilon


def _words(question: "Question") -> dict[str, str]:
    """Say what was asked."""
    words = {
        "minimised": ", ".join(o.name for o in question.objectives if not o.maximise),
        "maximised": ", ".join(o.name for o in question.objectives if o.maximise),
        "where": question.where,
        "by": ", ".join(question.by),
    }
    return {key: text or "none" for key, text in words.items()}


def _described(
    values: Values,
    question: "Question",
    rows: np.ndarray,
    places: np.ndarray,
    dtypes: Mapping[str, np.dtype],
    columns: Mapping[str, np.ndarray],
) -> xr.Dataset:
    index = np.unravel_index(places, [values.plan.shape[dim] for dim in values.dims])
    data: dict[str, Any] = {}
    names = (*(o.name for o in question.objectives), *question.extras)
    for name, column in zip(names, rows.T, strict=True):
        flip = any(o.name == name and o.maximise for o in question.objectives)
        data[name] = ("point", (-column if flip else column).astype(dtypes[name]), _plain(values.attributes(name)))
    coords = {}
    for dim, at in zip(values.dims, index, strict=True):
        if dim not in data:
            coords[dim] = ("point", values.at(dim, at), _plain(values.attributes(dim)))
        words = {"long_name": f"position along {dim} in the sweep", "units": "1"}
        data[f"{dim}_index"] = ("point", at.astype(np.int64, copy=False), words)
    unit = " ".join(f"({values.attributes(o.name).get('units', '1')})" for o in question.objectives)
    told = {
        "is_knee": {"long_name": "whether this is the knee of its frontier", "units": "1"},
        "hypervolume": {"long_name": "hypervolume of the whole frontier that this point is on", "units": unit},
        "hypervolume_contribution": {"long_name": "what this point alone adds to the hypervolume", "units": unit},
    }
    data |= {name: ("point", column, told[name]) for name, column in columns.items()}
    return xr.Dataset(data, coords)


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Drop what describes a dimension of a grid, which a point is not."""
    return {key: value for key, value in attributes.items() if key != "spacing"}
