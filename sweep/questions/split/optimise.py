"""The optimal split of a budget for a whole map of scenarios, certified, with named strategies to compare it with."""

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from kernels.split import solver
from sweep.config.spec import Allocation, SweepSpec
from sweep.errors import SpecError
from sweep.models.front_loading import FRONT_LOADING, MOVED, STRATEGIES
from sweep.models.problem import Problem
from sweep.models.sampling import sampler_of
from sweep.questions.split.footprint import cut
from sweep.questions.split.labels import dataset_of
from sweep.questions.split.ranges import RATES, find_ends
from sweep.questions.split.strategies import objective_of, rounding, strategy_of, take_better
from sweep.surroundings import refuse_to_hang


def optimise(
    spec: SweepSpec | Problem,
    *,
    sensitivities: bool = False,
    ranges: bool = False,
    memory: int | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> xr.Dataset:
    """Find the split of a budget between accelerators now, later and research that makes the loss least.

    Parameters
    ----------
    spec : SweepSpec or Problem
        Of the model "front_loading"; every point of its axes is a scenario. ``allocation`` says how many dates there
        are, what is made least, and what better software lifts. It is solved in float64 whatever the dtype.
    sensitivities : bool
        Add derivatives of the optimum by every parameter (mean objective only).
    ranges : bool
        Add the ranges of the rates of hardware and software, each varied alone over all that the model allows, within
        which none of the three shares moves by more than 5 % of the budget; solved again at up to 400 rates a scenario.
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

    Raises
    ------
    SpecError
        Another model, statistics, a result of more than half of the memory, sensitivities of the terminal objective.

    Notes
    -----
    The optimiser and what its certificate bounds: :mod:`kernels.split.solver`. Strategies are this project's own.
    """
    refuse_to_hang()
    problem = Problem.of(spec, FRONT_LOADING).derived(dtype="float64")
    spec = problem.spec
    chosen = spec.allocation or Allocation()
    if spec.statistics:
        raise SpecError(
            f"statistics: are not taken of optimal splits, got {', '.join(spec.statistics)}; drop them, and take them "
            "of the dataset"
        )
    if sensitivities and chosen.objective != "mean":
        raise SpecError('sensitivities: are those of the mean objective; got objective = "terminal"')
    number = math.prod(spec.shape.values())
    shard, threads = cut(spec, chosen, sensitivities, ranges, memory)
    began = time.perf_counter()
    report = progress or (lambda done, total, seconds: None)
    report(0, number, 0.0)
    found: dict[str, np.ndarray] = {}

    def solve(start: int) -> int:
        index = np.minimum(np.arange(start, start + shard), number - 1)
        stop = min(start + shard, number)
        with jax.enable_x64(True):
            piece = _solve({k: jnp.asarray(v) for k, v in _scenarios(spec, index).items()}, chosen, sensitivities)
        for name, values in piece.items():
            if name not in found:
                found[name] = np.empty((number, *values.shape[1:]), values.dtype)
            found[name][start:stop] = values[: stop - start]
        return stop - start

    with ThreadPoolExecutor(threads) as pool:
        # The first compiles and allocates; the others would too if they did not wait.
        done = solve(0)
        report(done, number, time.perf_counter() - began)
        with contextlib.closing(pool.map(solve, range(shard, number, shard))) as rest:
            for more in rest:
                done += more
                report(done, number, time.perf_counter() - began)  # an interrupt ends the other threads too
    if ranges:
        found["holds"] = _ranges(spec, chosen, found, shard)
    return dataset_of(problem, chosen, found)


def _ranges(spec: SweepSpec, chosen: Allocation, found: Mapping[str, np.ndarray], shard: int) -> np.ndarray:
    """Ends (N, rates, 2) of the rates between which no share moves by much; nan where a split is not certified."""
    number = len(found["objective"])
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
            solved = _solve({k: jnp.asarray(v) for k, v in here.items()}, chosen, False)
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


def _solve(scenario: Mapping[str, jax.Array], chosen: Allocation, sensitivities: bool) -> dict[str, np.ndarray]:
    dates = chosen.dates
    split = solver.optimal_split(scenario, dates=dates, objective=chosen.objective, software=chosen.software)
    found = {name: np.moveaxis(np.asarray(values), 0, -1) if values.ndim > 1 else np.asarray(values)
             for name, values in split._asdict().items()}  # fmt: skip
    found["frank_wolfe_gap"] = np.maximum(found["frank_wolfe_gap"], 0.0)  # a bound of some rounding may be below
    found["purchase_date"] = np.asarray(scenario["horizon"])[:, None] * np.arange(dates) / dates
    strategies = [strategy_of(name, scenario, dates, chosen) for name in STRATEGIES]
    compared = [np.asarray(objective_of(scenario, *strategy, chosen)) for strategy in strategies]
    found["strategy_objective"] = np.stack(compared, axis=-1)
    take_better(found, strategies, scenario, chosen)
    found |= {"front_load_share": found["shares"][:, 0], "later_share": found["shares"][:, 1:].sum(axis=1)}
    regret = found["strategy_objective"] - found["objective"][:, None]
    # A strategy that is the optimum has a regret of some rounding.
    slack = rounding(found["objective"], chosen)[:, None]
    found["strategy_regret"] = np.where(np.abs(regret) <= slack, 0.0, regret)
    if sensitivities:
        by = solver.sensitivity(scenario, split, dates=dates, software=chosen.software)
        for name, field in (("front_load_share", "shares"), ("research_share",) * 2, ("objective",) * 2):
            values = [np.asarray(getattr(by[parameter], field)) for parameter in solver.PARAMETERS]
            values = [value[0] if value.ndim > 1 else value for value in values]
            found[f"{name}_sensitivity"] = np.stack(values, axis=-1)
    return found
