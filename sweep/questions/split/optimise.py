"""The optimal split of a budget for a whole map of scenarios, certified, with named strategies to compare it with."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from kernels.split import solver
from sweep.config.allocation import Allocation
from sweep.config.distribution import DRAW
from sweep.config.spec import SweepSpec
from sweep.models.front_loading import FRONT_LOADING, MOVED, STRATEGIES
from sweep.models.problem import Problem
from sweep.models.sampling import sampler_of
from sweep.questions.split.checks import check, chosen_of
from sweep.questions.split.footprint import cut
from sweep.questions.split.labels import dataset_of
from sweep.questions.split.otherwise import other_question, otherwise
from sweep.questions.split.ranges import RATES, find_ends
from sweep.questions.split.robust import GOALS, draws_of, medians_of, plans_of
from sweep.questions.split.robust_labels import robust_dataset
from sweep.questions.split.strategies import objective_of, rounding, strategy_of, take_better
from sweep.surroundings import refuse_to_hang

if TYPE_CHECKING:
    import optax

Tables = TypeVar("Tables")
RANGE_SOLUTIONS = 400  # solutions that the ranges of one scenario take, at most
ROBUST_SOLUTIONS = (
    4,
    200,
)  # what one plan takes for a draw, in solutions of it, without and with what knowing is worth


def optimise(
    spec: SweepSpec | Problem,
    *,
    optimiser: "str | optax.GradientTransformation" = "newton",
    robust: str | None = None,
    level: float | None = None,
    worth: bool = False,
    sensitivities: bool = False,
    ranges: bool = False,
    both: bool = False,
    memory: int | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> xr.Dataset:
    """Find the split of a budget between accelerators now, later and research that makes the loss least.

    Parameters
    ----------
    spec : SweepSpec or Problem
        Of the model "front_loading"; every point of its axes is a scenario. ``allocation`` says how many dates there
        are, what is made least, and what better software lifts. It is solved in float64 whatever the dtype.
    optimiser : {"newton", "lbfgs", "adam", "sgd"} or optax.GradientTransformation
        What descends the mean loss, from the same starts; one of optax moves the logits of the shares by at most 1000
        of its updates. The certificate does not depend on it: a weak one leaves splits "stalled".
    robust : {"mean", "cvar", "worst"}, optional
        One plan for all draws of ``distributions`` instead of one for each, and what it makes least: the mean of the
        regrets, the mean of the worst, or the largest. That of ``allocation`` by default.
    level : float, optional
        Part of the draws that does not count among the worst, in (0, 1); that of ``allocation``, or 0.9, by default.
    worth : bool
        With `robust`, add what knowing each uncertain parameter alone would be worth, what budget buys as much, and the
        curve from the mean to the worst: some 60 more solutions a scenario and parameter.
    sensitivities : bool
        Add derivatives of the optimum by every parameter (mean objective only).
    ranges : bool
        Add the ranges of the rates of hardware and software, each varied alone over all that the model allows, within
        which none of the three shares moves by more than 5 % of the budget; solved again at up to 400 rates a scenario.
    both : bool
        Add the split of the other question (loss on the way, or on the day), what it costs here, how many months behind
        it and the named strategies are, and the shares in whole percent with what rounding costs.
    memory : int, optional
        Bytes for the result and what is compiled and solved at once; half of the machine's memory by default.
    progress : callable, optional
        Called with the scenarios that are done, all scenarios, and the seconds since the start.

    Returns
    -------
    xarray.Dataset
        Over the axes of the spec: ``shares`` (of each purchase, with ``purchase_date``), ``front_load_share``,
        ``later_share``, ``research_share``, ``objective``; what certifies it (``frank_wolfe_gap``, ``regret_bound``,
        ``research_bracket``, ``iterations``, ``status``); for each named strategy ``strategy_objective`` and
        ``strategy_regret``; and ``holds``, the ranges, nan where a split is not certified. Those splits are marked in
        ``status`` and never left out; where a named strategy is better than what was found, it is the answer.
        With `robust`, over the axes but ``draw``: one plan, every ``plan`` to compare it with and their regrets in each
        draw, each draw's own optimum, ``value_of_information`` and ``price_of_robustness``.

    Raises
    ------
    SpecError
        Another model, statistics, a result of more than half of the memory, sensitivities of the terminal objective or
        an optimiser for it, an unknown optimiser.

    Notes
    -----
    The optimiser and what its certificate bounds: :mod:`kernels.split.solver`. Strategies are this project's own.
    """
    refuse_to_hang()
    problem = Problem.of(spec, FRONT_LOADING).derived(dtype="float64")
    spec = problem.spec
    chosen = chosen_of(spec, robust, level)
    beside = {"sensitivities": sensitivities, "ranges": ranges, "both": both, "worth": worth}
    check(spec, chosen, optimiser, {name for name, wanted in beside.items() if wanted})
    shard, threads = cut(spec, chosen, sensitivities, ranges, memory)
    number = math.prod(spec.shape.values())
    task = Task(chosen, optimiser, sensitivities, shard, threads, quick=number <= solver.FEW)
    found = _solved(spec, task, progress or (lambda done, total, seconds: None))
    more = (RANGE_SOLUTIONS if ranges else 1) * (ROBUST_SOLUTIONS[worth] if chosen.robust else 1)
    task = task._replace(sensitivities=False, quick=number * more <= solver.FEW)
    if chosen.robust is not None:
        return robust_dataset(problem, chosen, _robust(spec, task, found, worth))
    if ranges:
        found["holds"] = _ranges(spec, task, found)
    if both:
        found |= _otherwise(spec, task, found)
    return dataset_of(problem, chosen, found, optimiser)


class Task(NamedTuple):
    """How scenarios are solved."""

    chosen: Allocation
    optimiser: "str | optax.GradientTransformation"
    sensitivities: bool
    shard: int  # scenarios that are solved at once
    threads: int
    quick: bool  # whether programs are compiled quickly, as few scenarios go through them


def _solved(spec: SweepSpec, task: Task, report: Callable[[int, int, float], None]) -> dict[str, np.ndarray]:
    """Every scenario's own optimal split, (N, ...) each, solved in shards by so many threads."""
    number, shard = math.prod(spec.shape.values()), task.shard
    began = time.perf_counter()
    report(0, number, 0.0)
    found: dict[str, np.ndarray] = {}

    def solve(start: int) -> int:
        index = np.minimum(np.arange(start, start + shard), number - 1)
        stop = min(start + shard, number)
        with jax.enable_x64(True):
            piece = _solve(_scenarios(spec, index), task)
        for name, values in piece.items():
            if name not in found:
                found[name] = np.empty((number, *values.shape[1:]), values.dtype)
            found[name][start:stop] = values[: stop - start]
        return stop - start

    with ThreadPoolExecutor(task.threads) as pool:
        # The first compiles and allocates; the others would too if they did not wait.
        done = solve(0)
        report(done, number, time.perf_counter() - began)
        try:
            for more in pool.map(solve, range(shard, number, shard)):
                done += more
                report(done, number, time.perf_counter() - began)
        finally:
            pool.shutdown(cancel_futures=True)  # an interrupt ends the other threads too
    return found


def _robust(spec: SweepSpec, task: Task, found: Mapping[str, np.ndarray], worth: bool) -> dict[str, np.ndarray]:
    """One plan for the draws of every scenario of the other axes, (N, ...) each."""
    size, chosen = spec.shape.get(DRAW, 1), task.chosen
    scenarios = _scenarios(spec, np.arange(len(found["objective"])))
    draws = draws_of(scenarios, found, size, chosen, task.quick)
    known = tuple(spec.distributions) if worth else ()
    with jax.enable_x64(True):
        medians = medians_of(draws, lambda usual: _again(usual, task))
        plans = [plans_of(one, plan, known) for one, plan in zip(draws, medians, strict=True)]
    values = {name: np.stack([plan[name] for plan in plans]) for name in plans[0]}
    for name in ("shares", "research_share", "objective", "status"):
        values[f"draw_{name}"] = found[name].reshape(len(draws), size, *found[name].shape[1:])
    values["objective"] = values["expected_objective"][:, GOALS.index(chosen.robust)]
    values["purchase_date"] = found["purchase_date"].reshape(len(draws), size, -1).mean(axis=1)
    return values


def _otherwise(spec: SweepSpec, task: Task, found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What else could be done, in every scenario."""
    number, chosen = len(found["objective"]), task.chosen
    scenarios = _scenarios(spec, np.arange(number))
    needed = {name: found[name] for name in ("shares", "research_share", "objective", "strategy_objective")}
    with jax.enable_x64(True):
        other = _again(scenarios, task._replace(chosen=other_question(chosen), optimiser="newton"))
        parts = [
            otherwise(*part, chosen, task.quick, min(task.shard, number - k * task.shard))
            for k, part in enumerate(_shards((scenarios, needed, other), number, task))
        ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _again(scenarios: Mapping[str, np.ndarray], task: Task) -> dict[str, np.ndarray]:
    """Splits (N, ...) of scenarios (N,), solved in the shape that is compiled already."""
    number = len(scenarios["budget"])
    parts = [_solve(part, task) for part in _shards(scenarios, number, task)]
    return {name: np.concatenate([part[name] for part in parts])[:number] for name in ("shares", "research_share")}


def _shards(tables: Tables, number: int, task: Task) -> Iterator[Tables]:
    """Tables (N, ...) cut into shards, of which the last is filled up with its last row."""
    for start in range(0, number, task.shard):
        index = np.minimum(np.arange(start, start + task.shard), number - 1)
        yield jax.tree.map(lambda values, index=index: values[index], tables)


def _ranges(spec: SweepSpec, task: Task, found: Mapping[str, np.ndarray]) -> np.ndarray:
    """Ends (N, rates, 2) of the rates between which no share moves by much; nan where a split is not certified."""
    number, shard = len(found["objective"]), task.shard
    scenarios = _scenarios(spec, np.arange(number))
    parts = ("front_load_share", "later_share", "research_share")
    limits = [FRONT_LOADING.parameter(name).domain for name in RATES]
    low, high = (np.tile([getattr(domain, end) for domain in limits], number) for end in ("low", "high"))

    def changed(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
        index, rate = np.divmod(np.resize(rows, shard), len(RATES))
        here = {name: value[index] for name, value in scenarios.items()}
        for k, name in enumerate(RATES):
            here[name] = np.where(rate == k, np.resize(values, shard), here[name])
        with jax.enable_x64(True):
            solved = _solve(here, task)
        moved = np.max([np.abs(solved[name] - found[name][index]) for name in parts], axis=0)
        # What is not certified may be another answer.
        return (~(moved <= MOVED) | (solved["status"] != solver.CONVERGED))[: len(rows)]

    values = np.stack([scenarios[name] for name in RATES], axis=1).ravel()
    ends = find_ends(changed, values, low, high, shard).reshape(number, len(RATES), 2)
    return np.where((found["status"] == solver.CONVERGED)[:, None, None], ends, np.nan)


def _scenarios(spec: SweepSpec, index: np.ndarray) -> dict[str, np.ndarray]:
    """Parameters of the scenarios at flat positions, the last axis fastest."""
    places = dict(zip(spec.axes, np.unravel_index(index, tuple(spec.shape.values())), strict=True))
    values = {name: axis.at(places[name]) for name, axis in spec.axes.items()}
    values |= {name: np.full(len(index), fixed.value) for name, fixed in spec.fixed.items()}
    if spec.distributions:
        values |= sampler_of(FRONT_LOADING, spec).at(values)
    return {name: values[name] for name in solver.PARAMETERS}


def _solve(known: Mapping[str, np.ndarray], task: Task) -> dict[str, np.ndarray]:
    chosen, dates, quick = task.chosen, task.chosen.dates, task.quick
    scenario = {name: jnp.asarray(value) for name, value in known.items()}
    split = solver.optimal_split(
        scenario,
        dates=dates,
        objective=chosen.objective,
        software=chosen.software,
        optimiser=task.optimiser,
        quick=quick,
    )
    found = {name: np.moveaxis(np.asarray(values), 0, -1) if values.ndim > 1 else np.asarray(values)
             for name, values in split._asdict().items()}  # fmt: skip
    found["frank_wolfe_gap"] = np.maximum(found["frank_wolfe_gap"], 0.0)  # a bound of some rounding may be below
    found["purchase_date"] = np.asarray(scenario["horizon"])[:, None] * np.arange(dates) / dates
    strategies = [strategy_of(name, scenario, dates, chosen) for name in STRATEGIES]
    compared = [objective_of(scenario, *strategy, chosen, quick) for strategy in strategies]
    found["strategy_objective"] = np.stack(compared, axis=-1)
    take_better(found, strategies, scenario, chosen, quick)
    found |= {"front_load_share": found["shares"][:, 0], "later_share": found["shares"][:, 1:].sum(axis=1)}
    regret = found["strategy_objective"] - found["objective"][:, None]
    # A strategy that is the optimum has a regret of some rounding.
    slack = rounding(found["objective"], chosen)[:, None]
    found["strategy_regret"] = np.where(np.abs(regret) <= slack, 0.0, regret)
    if task.sensitivities:
        by = solver.sensitivity(scenario, split, dates=dates, software=chosen.software, quick=quick)
        for name, field in (("front_load_share", "shares"), ("research_share",) * 2, ("objective",) * 2):
            values = [np.asarray(getattr(by[parameter], field)) for parameter in solver.PARAMETERS]
            values = [value[0] if value.ndim > 1 else value for value in values]
            found[f"{name}_sensitivity"] = np.stack(values, axis=-1)
    return found
