"""Named strategies to compare a split of a budget with, and what to say where one is better than what was found."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kernels.split import allocation, solver
from sweep.config.allocation import Allocation

ROUNDING = 1e-12  # of a mean loss, in parts of it, or of a logarithm


def strategy_of(
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


def objective_of(
    scenario: Mapping[str, jax.Array], shares: np.ndarray, research: np.ndarray, chosen: Allocation
) -> jax.Array:
    """What is made least, (N,), of shares (N, K) and a research share (N,)."""
    if chosen.objective == "mean":
        return solver.mean_losses(scenario, jnp.asarray(shares.T), jnp.asarray(research), software=chosen.software)
    given = {name: value for name, value in scenario.items() if name != "discount_rate"}
    return allocation.log_terminal_loss(jnp.asarray(shares), jnp.asarray(research), **given, software=chosen.software)


def rounding(objective: np.ndarray, chosen: Allocation) -> np.ndarray:
    """Differences of an objective that are rounding: parts of a mean loss, which may be small, or of 1 in its log."""
    return ROUNDING * (objective if chosen.objective == "mean" else np.maximum(1.0, np.abs(objective)))


def take_better(
    solution: dict[str, np.ndarray],
    strategies: Sequence[tuple[np.ndarray, np.ndarray]],
    scenario: Mapping[str, jax.Array],
    chosen: Allocation,
) -> None:
    """Give a named strategy where it is better than the split that was found, and say what bounds its regret.

    It may be better by less than the bound of that split, where the optimum is a corner that a descent only comes near
    to: then what is left of the bound is its own. Where it is better by more, the scan of the research share missed a
    valley, and what bounds the strategy is its own certificate.
    """
    compared = solution["strategy_objective"]
    best = compared.argmin(axis=1)
    better = np.flatnonzero(compared.min(axis=1) < solution["objective"] - rounding(solution["objective"], chosen))
    for name in ("shares", "research_share", "objective", "frank_wolfe_gap", "regret_bound", "status"):
        solution[name] = np.array(solution[name])  # what JAX gives cannot be written
    if not better.size:
        return
    best = best[better]
    shares, research = (np.stack([strategy[part] for strategy in strategies])[best, better] for part in (0, 1))
    objective = compared[better, best]
    before = {name: solution[name][better] for name in ("objective", "regret_bound", "frank_wolfe_gap")}
    gained = before["objective"] - objective
    if chosen.objective == "mean":
        # By one quadrature, and the finest: what is compared are differences of 1e-9.
        here = {name: value[better] for name, value in scenario.items()}
        old, own = (
            solver.certified(here, jnp.asarray(w.T), jnp.asarray(r), software=chosen.software)
            for w, r in ((solution["shares"][better], solution["research_share"][better]), (shares, research))
        )
        before = {name: np.asarray(getattr(old, name)) for name in before}
        gained = before["objective"] - own.objective
    slack = rounding(objective, chosen)
    same = research == solution["research_share"][better]  # or the bound over the purchases is of others
    bound, gap = (before[name] - gained for name in ("regret_bound", "frank_wolfe_gap"))
    bound = np.where(bound >= -slack, np.maximum(bound, 0.0), np.inf)
    gap = np.where(same & (gap >= -slack), np.maximum(gap, 0.0), np.inf)
    if chosen.objective == "mean":
        bound, gap = np.minimum(bound, own.regret_bound), np.minimum(gap, own.frank_wolfe_gap)
    unit = objective if chosen.objective == "mean" else 1.0
    status = np.where(bound <= solver.CERTIFIED * unit, solver.CONVERGED, solver.STALLED)
    for name, values in (("shares", shares), ("research_share", research), ("objective", objective),
                         ("frank_wolfe_gap", gap), ("regret_bound", bound), ("status", status)):  # fmt: skip
        solution[name][better] = values
