"""The optimal split of a budget for a whole map of scenarios, certified, with named strategies to compare it with."""

import contextlib
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from kernels.split import allocation as kernel
from kernels.split import solver
from sweep.config.distribution import DRAWN
from sweep.config.spec import Allocation, SweepSpec
from sweep.engine.evaluate import device_kind
from sweep.errors import SpecError
from sweep.models.front_loading import FRONT_LOADING, MOVED, STRATEGIES
from sweep.models.registry import model_of
from sweep.models.uncertain import sampler_of
from sweep.plan.blocks import default_memory
from sweep.questions.split.ranges import find_ends
from sweep.results.metadata import dataset_attributes, variable_attributes
from sweep.surroundings import refuse_to_hang

SHARD, LEAST_SHARD = 4096, 64  # scenarios that one thread solves at once, at most, and where the memory allows no more
# What a solution takes beyond Python with its libraries (300 MB) whatever its size, measured: it is compiled.
FIXED_BYTES = 512 * 10**6
LANE_BYTES, SENSITIVE = 2048, 8  # that a solution takes for each scenario and date, and times more with sensitivities
RANGE_BYTES = 512  # that the search of ranges takes for each scenario
ROUNDING = 1e-12
RATES = ("hardware_rate", "software_rate")  # of which is said how far they may move
STATUS = ("converged", "stalled", "failed")


def optimise(
    spec: SweepSpec,
    *,
    sensitivities: bool = False,
    ranges: bool = False,
    memory: int | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> xr.Dataset:
    """Find the split of a budget between accelerators now, later and research that makes the loss least.

    Parameters
    ----------
    spec : SweepSpec
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
    spec = model_of(spec, FRONT_LOADING).resolve(spec).model_copy(update={"dtype": "float64"})
    chosen = spec.allocation or Allocation()
    if spec.statistics:
        raise SpecError(
            f"statistics: are not taken of optimal splits, got {', '.join(spec.statistics)}; drop them, and take them "
            "of the dataset"
        )
    if sensitivities and chosen.objective != "mean":
        raise SpecError('sensitivities: are those of the mean objective; got objective = "terminal"')
    number = math.prod(spec.shape.values())
    shard, threads = _cut(spec, chosen, sensitivities, ranges, memory)
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
    return _dataset(spec, chosen, found)


def result_bytes(spec: SweepSpec, *, sensitivities: bool = False, ranges: bool = False) -> int:
    """Bytes of the dataset that :func:`optimise` gives."""
    dates = (spec.allocation or Allocation()).dates
    numbers = 2 * dates + 2 * len(STRATEGIES) + len(("now", "later", "research", "loss", "gap", "bound")) + 2
    numbers += 3 * len(solver.PARAMETERS) * sensitivities + 2 * len(RATES) * ranges
    drawn = math.prod(len(axis) for name, axis in spec.axes.items() if name in DRAWN) if spec.distributions else 0
    coordinates = sum(spec.shape.values()) + len(spec.distributions) * drawn
    return (8 * numbers + 2 * 4) * math.prod(spec.shape.values()) + 8 * coordinates


def _cut(spec: SweepSpec, chosen: Allocation, sensitivities: bool, ranges: bool, memory: int | None) -> tuple[int, int]:
    """Scenarios that a thread solves at once, a power of two, and threads: as many as the memory allows."""
    budget = default_memory() if memory is None else memory
    result = result_bytes(spec, sensitivities=sensitivities, ranges=ranges)
    if result > budget // 2:
        raise SpecError(
            f"memory: the result takes {result:,} bytes, more than half of the budget of {budget:,}; give a larger "
            "budget or shorter axes"
        )
    shard = min(SHARD, 1 << (math.prod(spec.shape.values()) - 1).bit_length())
    # Ranges are solved in the shape that is compiled already, which is to have room for more than one scenario.
    shard = max(shard, LEAST_SHARD) if ranges else shard
    threads = (os.cpu_count() or 1) if jax.default_backend() == "cpu" else 1
    lane = LANE_BYTES * (chosen.dates + 1) * (SENSITIVE if sensitivities else 1)
    fixed = result + FIXED_BYTES + RANGE_BYTES * math.prod(spec.shape.values()) * ranges
    room = budget - fixed
    while shard * lane * threads > room and shard > LEAST_SHARD:
        shard //= 2
    threads = min(threads, room // (shard * lane))
    if threads < 1:
        least = -(-max(2 * result, fixed + shard * lane) // 10**6)
        raise SpecError(f"memory: {budget:,} bytes are too few to solve in; give at least {least:,} MB")
    return shard, threads


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
    strategies = [_strategy(name, scenario, dates, chosen) for name in STRATEGIES]
    compared = [np.asarray(_objective(scenario, *strategy, chosen)) for strategy in strategies]
    found["strategy_objective"] = np.stack(compared, axis=-1)
    _take_better(found, strategies, scenario, chosen)
    found |= {"front_load_share": found["shares"][:, 0], "later_share": found["shares"][:, 1:].sum(axis=1)}
    regret = found["strategy_objective"] - found["objective"][:, None]
    # A strategy that is the optimum has a regret of some rounding.
    rounding = _rounding(found["objective"], chosen)[:, None]
    found["strategy_regret"] = np.where(np.abs(regret) <= rounding, 0.0, regret)
    if sensitivities:
        by = solver.sensitivity(scenario, split, dates=dates, software=chosen.software)
        for name, field in (("front_load_share", "shares"), ("research_share",) * 2, ("objective",) * 2):
            values = [np.asarray(getattr(by[parameter], field)) for parameter in solver.PARAMETERS]
            values = [value[0] if value.ndim > 1 else value for value in values]
            found[f"{name}_sensitivity"] = np.stack(values, axis=-1)
    return found


def _rounding(objective: np.ndarray, chosen: Allocation) -> np.ndarray:
    """Differences of an objective that are rounding: parts of a mean loss, which may be small, or of 1 in its log."""
    return ROUNDING * (objective if chosen.objective == "mean" else np.maximum(1.0, np.abs(objective)))


def _take_better(
    found: dict[str, np.ndarray],
    strategies: Sequence[tuple[np.ndarray, np.ndarray]],
    scenario: Mapping[str, jax.Array],
    chosen: Allocation,
) -> None:
    """Give a named strategy where it is better than the split that was found, and say what bounds its regret.

    It may be better by less than the bound of that split, where the optimum is a corner that a descent only comes near
    to: then what is left of the bound is its own. Where it is better by more, the scan of the research share missed a
    valley, and what bounds the strategy is its own certificate.
    """
    compared = found["strategy_objective"]
    best = compared.argmin(axis=1)
    better = np.flatnonzero(compared.min(axis=1) < found["objective"] - _rounding(found["objective"], chosen))
    for name in ("shares", "research_share", "objective", "frank_wolfe_gap", "regret_bound", "status"):
        found[name] = np.array(found[name])  # what JAX gives cannot be written
    if not better.size:
        return
    best = best[better]
    shares, research = (np.stack([strategy[part] for strategy in strategies])[best, better] for part in (0, 1))
    objective = compared[better, best]
    before = {name: found[name][better] for name in ("objective", "regret_bound", "frank_wolfe_gap")}
    gained = before["objective"] - objective
    if chosen.objective == "mean":
        # By one quadrature, and the finest: what is compared are differences of 1e-9.
        here = {name: value[better] for name, value in scenario.items()}
        old, own = (
            solver.certified(here, w.T, r, software=chosen.software)
            for w, r in ((found["shares"][better], found["research_share"][better]), (shares, research))
        )
        before = {name: np.asarray(getattr(old, name)) for name in before}
        gained = before["objective"] - own.objective
    slack = _rounding(objective, chosen)
    same = research == found["research_share"][better]  # or the bound over the purchases is of others
    bound, gap = (before[name] - gained for name in ("regret_bound", "frank_wolfe_gap"))
    bound = np.where(bound >= -slack, np.maximum(bound, 0.0), np.inf)
    gap = np.where(same & (gap >= -slack), np.maximum(gap, 0.0), np.inf)
    if chosen.objective == "mean":
        bound, gap = np.minimum(bound, own.regret_bound), np.minimum(gap, own.frank_wolfe_gap)
    unit = objective if chosen.objective == "mean" else 1.0
    status = np.where(bound <= solver.CERTIFIED * unit, solver.CONVERGED, solver.STALLED)
    for name, values in (("shares", shares), ("research_share", research), ("objective", objective),
                         ("frank_wolfe_gap", gap), ("regret_bound", bound), ("status", status)):  # fmt: skip
        found[name][better] = values


def _objective(
    scenario: Mapping[str, jax.Array], shares: np.ndarray, research: np.ndarray, chosen: Allocation
) -> jax.Array:
    if chosen.objective == "mean":
        return solver.mean_losses(scenario, shares.T, research, software=chosen.software)
    given = {name: value for name, value in scenario.items() if name != "discount_rate"}
    return kernel.log_terminal_loss(jnp.asarray(shares), jnp.asarray(research), **given, software=chosen.software)


def _strategy(
    name: str, scenario: Mapping[str, jax.Array], dates: int, chosen: Allocation
) -> tuple[np.ndarray, np.ndarray]:
    """Shares (N, K) and research share (N,) of a named strategy."""
    horizon = np.asarray(scenario["horizon"])
    shares, research = np.zeros((len(horizon), dates)), np.zeros(len(horizon))
    if name == "hare":
        shares[:, 0] = 1.0
    elif name == "steady":
        shares[:] = 1.0 / dates
    elif name == "turtle":
        late = np.arange(dates) >= dates // 2
        shares[:, late], research[:] = 0.5 / late.sum(), 0.5
    else:
        date = np.rint(best_single_date(scenario, chosen.software) / horizon * dates).astype(int)
        shares[np.arange(len(horizon)), np.clip(date, 0, dates - 1)] = 1.0
    return shares, research


def best_single_date(scenario: Mapping[str, Any], software: str) -> np.ndarray:
    """Date at which to buy everything for the least loss at the horizon, without depreciation and research [years].

    It makes 2^(a u) J(u, T) greatest: bought T - u before the horizon, with T - u = log2(1 + b/a) / b if software is
    live, 1 / ((a + b) ln 2) if it is locked; at once where that is longer than the horizon or nothing is gained by
    waiting.
    """
    horizon, a, b = (np.asarray(scenario[k], np.float64) for k in ("horizon", "hardware_rate", "software_rate"))
    with np.errstate(all="ignore"):
        if software == "locked":
            lead = np.where(a + b > 0.0, 1.0 / ((a + b) * math.log(2.0)), np.inf)
        else:
            slow = np.abs(b) < 1e-12
            rate = np.where(slow, 1.0, b)
            gained = np.where(a > 0.0, a, np.nan)
            lead = np.where(slow, 1.0 / (gained * math.log(2.0)), np.log1p(rate / gained) / (rate * math.log(2.0)))
    return np.where(lead < horizon, horizon - np.where(lead < horizon, lead, 0.0), 0.0)


def _dataset(spec: SweepSpec, chosen: Allocation, found: Mapping[str, np.ndarray]) -> xr.Dataset:
    objective = "mean of the relative excess loss up to the horizon"
    objective = objective if chosen.objective == "mean" else "logarithm of the relative excess loss at the horizon"
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
    parameter = "parameter"
    for name in ("front_load_share", "research_share", "objective"):
        if f"{name}_sensitivity" in found:
            text = f"derivative of {words[name][0]} by a parameter"
            words[f"{name}_sensitivity"] = (text, "1 per unit of the parameter", (parameter,))
    if "holds" in found:
        text = f"rates between which, one varied alone, no share of now, later or research moves by more than {MOVED:g}"
        text += "; of those " + ", ".join(f"{name} {FRONT_LOADING.parameter(name).domain}" for name in RATES)
        words["holds"] = (text, "1/year", ("rate", "end"))
    dims, shape = tuple(spec.axes), tuple(spec.shape.values())
    variables = {}
    for name, (text, unit, extra) in words.items():
        attributes: dict[str, Any] = {"long_name": text, "units": unit}
        if name == "status":
            attributes |= {"flag_values": list(range(len(STATUS))), "flag_meanings": " ".join(STATUS)}
        values = found[name].reshape(*shape, *found[name].shape[1:])
        variables["research_bracket" if name == "bracket" else name] = ((*dims, *extra), values, attributes)
    model = model_of(spec, FRONT_LOADING)
    coordinates: dict[str, Any] = {
        name: (name, axis.coordinates(), variable_attributes(model, spec, name)) for name, axis in spec.axes.items()
    }
    if spec.distributions:
        numbers = {name: spec.axes[name].coordinates() for name in DRAWN if name in spec.axes}
        grid = dict(zip(numbers, np.meshgrid(*numbers.values(), indexing="ij"), strict=True))
        for name, values in sampler_of(FRONT_LOADING, spec).at(grid).items():
            coordinates[name] = (tuple(numbers), values, variable_attributes(model, spec, name))
    when = {"long_name": "part of the horizon after which a purchase is made", "units": "1", "spacing": "linear"}
    coordinates["purchase"] = ("purchase", np.arange(chosen.dates) / chosen.dates, when)
    coordinates["strategy"] = (
        "strategy",
        list(STRATEGIES),
        {"long_name": "; ".join(f"{k}: {v}" for k, v in STRATEGIES.items())},
    )
    if "holds" in found:
        coordinates["rate"] = ("rate", list(RATES), {"long_name": "rate that is varied alone"})
    if any(parameter in dims for dims, *_ in variables.values()):
        coordinates[parameter] = (parameter, list(solver.PARAMETERS), {"long_name": "parameter of the problem"})
    attributes = dataset_attributes(model, spec, device_kind())
    attributes |= {"kind": "split"} | {f"allocation_{key}": value for key, value in chosen.model_dump().items()}
    return xr.Dataset(variables, coordinates, attributes)
