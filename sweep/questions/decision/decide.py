"""The best decision for every scenario of a sweep: any output of a model, minimised under conditions on others."""

import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from sweep.config.spec import SweepSpec
from sweep.engine.progress import unreported
from sweep.errors import Caution, SpecError
from sweep.models.model import Model
from sweep.models.problem import Problem
from sweep.plan.blocks import budget_of, in_words
from sweep.questions.decision.checks import Question, question_of
from sweep.questions.decision.descent import Goal, Lane, compiled_descents, compiled_values
from sweep.questions.decision.labels import GRID, INFEASIBLE, LOCAL, STALLED, dataset_of
from sweep.questions.decision.starts import Coarse, coarse, places_of, points_of

TOGETHER, LANES = 2**19, 2**10  # points of grids, and descents, that are looked at together, at most
# What a question takes whatever its size, measured: it is compiled; and bytes of each scenario and number kept of it.
FIXED_BYTES, NUMBER_BYTES = 512 * 10**6, 24
FEW = 512  # descents up to which compiling thoroughly takes longer than it saves
SAME = 1e-6  # of the objective's scale: descents that end as near to the best ended there


def decide(
    spec: SweepSpec | Problem,
    *,
    minimise: str | None = None,
    maximise: str | None = None,
    over: str | Sequence[str] = (),
    subject_to: str | Sequence[str] = (),
    starts: int = 8,
    model: Model | None = None,
    memory: int | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> xr.Dataset:
    """Find the best decision for every scenario; :func:`sweep.questions.optimise.optimise` says what is what."""
    question = question_of(spec, model, minimise, maximise, over, subject_to, starts)
    told = spec.caveats if isinstance(spec, Problem) else ()
    for caveat in (caveat for caveat in question.problem.caveats if caveat not in told):
        warnings.warn(caveat, Caution, stacklevel=3)
    _refuse_more_than_memory(question, memory)
    points = points_of(tuple(question.decisions.values()))
    number = math.prod(len(axis) for axis in question.scenarios.values())
    report, began = progress or unreported, time.perf_counter()
    report(0, number, 0.0)
    parts = []
    for index in _shards(number, max(1, min(TOGETHER // len(points), LANES // starts))):
        parts.append(_solved(question, points, index, quick=number * starts <= FEW))
        report(min(int(index[-1]) + 1, number), number, time.perf_counter() - began)
    values = {name: np.concatenate([part[name] for part in parts])[:number] for name in parts[0]}
    _tell_infeasible(question, values)
    return dataset_of(question, values, len(points))


def _shards(number: int, most: int) -> Iterator[np.ndarray]:
    """Flat places of scenarios, in shards of one length; the last one's beyond the end repeat the last scenario."""
    length = min(1 << (most.bit_length() - 1), 1 << (number - 1).bit_length())
    for start in range(0, number, length):
        yield np.minimum(np.arange(start, start + length), number - 1)


def _refuse_more_than_memory(question: Question, memory: int | None) -> None:
    number = math.prod(len(axis) for axis in question.scenarios.values())
    kept = len(question.problem.spec.fixed) + 2 * len(question.names) + 2 * len(question.decisions)
    needed, budget = FIXED_BYTES + number * NUMBER_BYTES * kept, budget_of(memory)
    if needed > budget:
        raise SpecError(
            f"memory: {number:,} scenarios take about {-(-needed // 10**6):,} MB, more than the budget of "
            f"{in_words(budget)}; give shorter axes or more memory"
        )


def _solved(question: Question, points: np.ndarray, index: np.ndarray, quick: bool) -> dict[str, np.ndarray]:
    """What is known of the scenarios at flat places (N,), in the arrays of the dataset."""
    goal = question.goal
    scenario = _scenarios(question, index)
    low, high, whole = _ends(question, scenario)
    axes = tuple(question.decisions.values())
    conditions = [(i, condition) for (i, _), condition in zip(goal.conditions, question.bounded, strict=True)]
    with jax.enable_x64(True):
        grid = np.asarray(compiled_values()(goal, scenario, np.tile(points, (len(index), 1, 1))))
        sign = -1.0 if question.is_greatest else 1.0
        first = coarse(points, places_of(points, axes), grid, conditions, sign, question.starts)
        bounds = np.tile([condition.bound for condition in question.bounded], (len(index), 1))
        rows = (scenario, low, high, whole, bounds, first.origin, first.scales)
        ends = _descended(goal, rows, first.starts, first.best, quick)
    return _chosen(question, goal, first, ends)


def _scenarios(question: Question, index: np.ndarray) -> dict[str, np.ndarray]:
    """Parameters of the scenarios at flat places, those that what is asked depends on."""
    axes, spec = question.scenarios, question.problem.spec
    places = np.unravel_index(index, tuple(len(axis) for axis in axes.values())) if axes else ()
    values = {name: axis.at(place) for (name, axis), place in zip(axes.items(), places, strict=True)}
    needed = question.problem.needed
    return values | {name: np.full(len(index), v.value) for name, v in spec.fixed.items() if name in needed}


def _ends(question: Question, scenario: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lowest and highest decisions, (N, d), and what shares among them may be together, (N,)."""
    number = len(next(iter(scenario.values()))) if scenario else 1
    low, high = (
        np.tile(ends, (number, 1)) for ends in zip(*(a.bounds() for a in question.decisions.values()), strict=True)
    )
    shares = question.problem.model.shares
    whole = 1.0 - sum((scenario[name] for name in shares if name in scenario), start=np.zeros(number))
    decided = [i for i, name in enumerate(question.decisions) if name in shares]
    if len(decided) == 1:  # no more than the others leave
        high[:, decided[0]] = np.maximum(np.minimum(high[:, decided[0]], whole), low[:, decided[0]])
    return low, high, whole


@dataclass(frozen=True)
class Ends:
    """Where the descents of scenarios ended, of each start: decisions (N, starts, d), values, and what is known."""

    decisions: np.ndarray
    values: np.ndarray
    is_allowed: np.ndarray
    is_settled: np.ndarray


def _descended(goal: Goal, rows: tuple[Any, ...], starts: np.ndarray, anchor: np.ndarray, quick: bool) -> Ends:
    """Descend from all starts (N, starts, d) of scenarios, the fields of whose lanes, but the last two, are those."""
    number, most = starts.shape[:2]
    fields = jax.tree.map(lambda x: jnp.asarray(np.repeat(x, most, axis=0)), (*rows, anchor))
    *before, last = fields
    lanes = Lane._make((*before, jnp.asarray(starts.reshape(number * most, -1)), last))
    ends = [np.asarray(x) for x in compiled_descents()(goal, lanes, quick=quick)]
    return Ends(*(x.reshape(number, most, *x.shape[1:]) for x in ends))


def _chosen(question: Question, goal: Goal, first: Coarse, ends: Ends) -> dict[str, np.ndarray]:
    """The best end of each scenario, or the best point of its grid."""
    sign, row = -1.0 if question.is_greatest else 1.0, np.arange(len(first.best))
    objective = np.where(ends.is_allowed, sign * ends.values[..., 0], np.inf)
    chosen = np.argmin(objective, axis=1)
    least, on_grid = objective[row, chosen], np.where(np.isnan(first.values[:, 0]), np.inf, sign * first.values[:, 0])
    slack = SAME * first.scales[:, 0]
    x, values = ends.decisions[row, chosen], ends.values[row, chosen]
    settled = (ends.is_settled & (objective <= (least + slack)[:, None])).any(axis=1)
    status = np.where(settled, LOCAL, STALLED)
    # An optimum at a point of the grid is missed by a rounding.
    is_kept = on_grid <= least
    status = np.where(is_kept & ~(settled & (least <= on_grid + slack)), GRID, status)
    x = np.where(is_kept[:, None], first.best, x)
    values = np.where(is_kept[:, None], first.values, values)
    is_none = ~np.isfinite(np.minimum(least, on_grid))
    status = np.where(is_none, INFEASIBLE, status)
    x, values = (np.where(is_none[:, None], np.nan, v) for v in (x, values))
    with np.errstate(invalid="ignore"):
        alike = (objective <= np.minimum(least, on_grid)[:, None] + slack[:, None]) & np.isfinite(objective)
    columns = dict(zip(goal.names, values.T, strict=True)) | dict(zip(question.decisions, x.T, strict=True))
    columns = {name: columns[name] for name in dict.fromkeys((*question.decisions, *question.names))}
    return columns | {
        "best_of_grid": first.values[:, 0],
        "starts_alike": alike.sum(axis=1).astype(np.int32),
        "status": status.astype(np.int32),
    }


def _tell_infeasible(question: Question, values: dict[str, np.ndarray]) -> None:
    """Warn of scenarios that nothing is allowed in; refuse a question in which that is all of them."""
    none = int((values["status"] == INFEASIBLE).sum())
    number = len(values["status"])
    if not none:
        return
    where = " and ".join(f"{c.output} {c.sign} {c.bound:g}" for c in question.conditions)
    missed = f"no decision between the ends has {where}" if where else f"{question.objective} is finite nowhere"
    if none == number:
        scenarios = f" in any of {number:,} scenarios" if number > 1 else ""
        key, what = ("subject_to", "them or the axes") if where else ("objective", "the axes")
        raise SpecError(f"{key}: {missed}{scenarios}, as far as {question.starts} starts of each show; widen {what}")
    warnings.warn(f"in {none:,} of {number:,} scenarios {missed}; they are NaN", Caution, stacklevel=4)
