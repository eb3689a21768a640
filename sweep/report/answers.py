"""What a target takes under each convention: the answers of a sweep beside those of the other published law."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import jax
import numpy as np

from sweep.config.distribution import DRAWN
from sweep.config.reference import RUNS
from sweep.config.spec import SweepSpec
from sweep.models.conventions import EXCESS, LLAMA, TOTAL, floor_share, reference_flop
from sweep.models.model import Model
from sweep.models.parameters import INVERSES
from sweep.models.problem import Problem

SHOWN, ALL = 5, 7  # values of an axis, from the first to the last; all of one that has no more than so many
ENDLESS = 1e6  # years after which compute that is bounded adds nothing in float64 any more


@dataclass(frozen=True)
class Law:
    """One convention, "total" or "excess", with its numbers and where they come from."""

    loss: str
    scaling_exponent: float
    irreducible_share: float
    source: str


@dataclass(frozen=True)
class Answers:
    """Answers to a target along one axis, the other parameters in the middle of what is swept.

    Attributes
    ----------
    output, axis : str
        What is answered, and what varies.
    at : dict of str to float
        Values of the other swept parameters that the output depends on.
    values : numpy.ndarray
        Along the axis.
    columns : list of numpy.ndarray
        The answers, one for each law.
    reasons : list of list of str
        Why there is no finite answer, "" where there is one.
    """

    output: str
    axis: str
    at: Mapping[str, float]
    values: np.ndarray
    columns: list[np.ndarray]
    reasons: list[list[str]]


def laws_of(spec: SweepSpec, middle: Mapping[str, float]) -> list[Law]:
    """The law of a sweep, then the published ones of another convention: of the other loss, or with a floor.

    Parameters
    ----------
    spec : SweepSpec
        Resolved.
    middle : mapping
        Its parameters, NaN where it has none: the floor is that of the reference run.
    """
    flop = reference_flop(middle["reference_fleet"], middle["reference_years"])
    basis = ", at as many FLOP per accelerator and year as Llama 3.1 405B"
    if spec.reference in RUNS or math.isnan(flop):
        flop, basis = RUNS[spec.reference].flop if spec.reference in RUNS else LLAMA.flop, ""
    excess = Law(
        "excess",
        EXCESS.scaling_exponent,
        round(floor_share(flop), 5),
        f"{EXCESS.source}; the floor is E / L({flop:.3g} FLOP) of that fit at the reference run{basis}",
    )
    others = [excess] if spec.loss == "total" else [Law("total", TOTAL.scaling_exponent, 0.0, TOTAL.source)]
    exponent, share = middle["scaling_exponent"], middle["irreducible_share"]
    if spec.loss == "excess" and share == 0.0:
        others.append(excess)
    tables = (spec.fixed, spec.axes, spec.distributions)
    source = next(table["scaling_exponent"].source for table in tables if "scaling_exponent" in table)
    return [Law(spec.loss or "", exponent, share, source), *others]


def answers(problem: Problem) -> tuple[list[Law], list[Answers]]:
    """Answer the targets of a sweep at a few places, under its own law and under the published ones beside it.

    Parameters
    ----------
    problem : Problem
        From :func:`sweep.load`.

    Returns
    -------
    laws : list of Law
        That of the sweep first; empty, as the answers are, where no target is asked for.
    answers : list of Answers
        One for each output that answers a target and each axis it depends on.
    """
    model, spec = problem.source, problem.spec
    asked = [name for name in INVERSES if name in spec.outputs]
    if not asked or spec.loss is None:
        return [], []
    middle = _middle(problem)
    laws = laws_of(spec, middle)
    places = [(name, axis) for name in asked for axis in _axes(problem, name)]
    rows = [
        {**middle, axis: float(value), **({} if law is laws[0] else _numbers(law))}
        for _, axis in places
        for law in laws
        for value in _picked(spec, axis)
    ]
    values = _evaluate(model, asked, rows)
    values["least"] = _least(model, rows, values)
    chunks = iter(_chunks(rows, values, [len(_picked(spec, axis)) for _, axis in places for _ in laws]))
    result = []
    for name, axis in places:
        mine = [next(chunks) for _ in laws]
        at = {n: middle[n] for n in _swept(problem, name) if n != axis}
        reasons = [[_reason(name, *cell) for cell in zip(r, c[name], c["least"], strict=True)] for r, c in mine]
        result.append(Answers(name, axis, at, _picked(spec, axis), [c[name] for _, c in mine], reasons))
    return laws, result


def _middle(problem: Problem) -> dict[str, float]:
    """Every parameter at its value or in the middle of what is swept; NaN where there is none."""
    spec = problem.spec
    values = {p.name: math.nan if p.default is None else p.default for p in problem.source.parameters}
    values |= {name: fixed.value for name, fixed in spec.fixed.items() if name in values}
    values |= {name: distribution.middle() for name, distribution in spec.distributions.items()}
    picked = {name: axis.at(np.array([len(axis) // 2]))[0] for name, axis in spec.axes.items() if name in values}
    return values | {name: float(value) for name, value in picked.items()}


def _swept(problem: Problem, name: str) -> list[str]:
    """Axes and uncertain parameters that an output depends on."""
    needs = problem.source.output(name).parameters
    return [n for n in (*problem.spec.axes, *problem.spec.distributions) if n in needs]


def _axes(problem: Problem, name: str) -> list[str]:
    """Axes along which an output is answered; the target alone where it depends on none."""
    needs = problem.source.output(name).parameters
    return [n for n in problem.spec.axes if n in needs and n not in DRAWN] or ["target"]


def _picked(spec: SweepSpec, axis: str) -> np.ndarray:
    if axis not in spec.axes:
        return np.array([spec.fixed[axis].value if axis in spec.fixed else spec.distributions[axis].middle()])
    n = len(spec.axes[axis])
    return spec.axes[axis].at(np.unique(np.linspace(0, n - 1, n if n <= ALL else SHOWN).round().astype(int)))


def _numbers(law: Law) -> dict[str, float]:
    return {"scaling_exponent": law.scaling_exponent, "irreducible_share": law.irreducible_share}


def _evaluate(model: Model, names: Sequence[str], rows: Sequence[Mapping[str, float]]) -> dict[str, np.ndarray]:
    """Evaluate outputs in float64 at rows of parameters."""
    columns = {p.name: np.array([row[p.name] for row in rows]) for p in model.parameters}
    outputs = model.graph(names)

    with jax.enable_x64(True):
        return {name: np.asarray(values) for name, values in jax.jit(outputs)(**columns).items()}


def _least(model: Model, rows: Sequence[Mapping[str, float]], values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Loss after endless time where a time is infinite above the floor; NaN elsewhere."""
    least = np.full(len(rows), math.nan)
    floors = np.array([row["irreducible_share"] for row in rows])
    targets = np.array([row["target"] for row in rows])
    bounded = np.isposinf(values.get("time_to_target", least)) & (targets > floors)
    if bounded.any():
        until = "time" if "time" in rows[0] else "horizon"
        endless = [{**row, until: ENDLESS} for row in rows]
        least[bounded] = _evaluate(model, ["relative_loss"], endless)["relative_loss"][bounded]
    return least


def _chunks(
    rows: Sequence[Mapping[str, float]], columns: Mapping[str, np.ndarray], lengths: Sequence[int]
) -> Iterator[tuple[Sequence[Mapping[str, float]], dict[str, np.ndarray]]]:
    start = 0
    for length in lengths:
        part = slice(start, start + length)
        yield rows[part], {name: values[part] for name, values in columns.items()}
        start += length


def _reason(name: str, row: Mapping[str, float], value: float, least: float) -> str:
    """Why a target has no finite answer: what forbids it, and the least loss that is reachable."""
    if not math.isinf(value) or value < 0.0:
        return ""
    floor = row["irreducible_share"]
    if row["target"] <= floor:
        return f"the least reachable loss is the floor, {floor:.5g}"
    if name == "time_to_target":
        return f"efficiency declines, the least reachable loss is {least:.5g}"
    return "the loss at time 0 is 1" if row["time"] == 0.0 else "more than float64 holds"
