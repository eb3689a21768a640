"""What else could be done with a budget, and how far behind it is: the split of the other question, named strategies.

A budget can be split for the least loss on the way, which is its mean up to the horizon, or for the least loss on the
day of the horizon. The answers differ, and neither is wrong.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from kernels.loss.quadrature import gauss_legendre
from kernels.split import allocation
from sweep.config.allocation import Allocation
from sweep.models.front_loading import STRATEGIES
from sweep.questions.split.strategies import objective_of, strategy_of

OTHER = {"mean": "terminal", "terminal": "mean"}
LATEST = 50.0  # years after the horizon, up to which is looked
NODES, BISECTIONS = 32, 50
MONTHS = 12.0


def otherwise(
    scenario: Mapping[str, Any],
    found: Mapping[str, np.ndarray],
    chosen: Allocation,
    solve: Callable[[Allocation], Mapping[str, np.ndarray]],
) -> dict[str, np.ndarray]:
    """The splits (N, ...) of the other question, what they cost here, and how many months behind all of them are.

    Parameters
    ----------
    scenario : mapping of str to array, shape (N,)
        Parameters of the problem.
    found : mapping of str to numpy.ndarray, shape (N, ...)
        Their optimal splits.
    chosen : Allocation
        What is made least.
    solve : callable
        Gives the optimal splits of the same scenarios for another allocation.
    """
    other = solve(chosen.model_copy(update={"objective": OTHER[chosen.objective]}))
    shares, research = other["shares"], other["research_share"]
    value = np.asarray(objective_of(scenario, shares, research, chosen))
    best = found["objective"]
    result = {
        "other_shares": shares,
        "other_research_share": research,
        "other_regret": np.maximum(value - best, 0.0),
        "other_delay": months_behind(scenario, shares, research, value, best, chosen),
    }
    behind = []
    for k, name in enumerate(STRATEGIES):
        split = strategy_of(name, scenario, chosen.dates, chosen)
        behind.append(months_behind(scenario, *split, found["strategy_objective"][:, k], best, chosen))
    whole = rounded(np.concatenate([found["shares"], found["research_share"][:, None]], axis=1))
    value = np.asarray(objective_of(scenario, whole[:, :-1], whole[:, -1], chosen))
    return result | {
        "strategy_delay": np.stack(behind, axis=1),
        "rounded_shares": whole[:, :-1],
        "rounded_research_share": whole[:, -1],
        "rounding_regret": np.maximum(value - best, 0.0),
    }


def rounded(shares: np.ndarray) -> np.ndarray:
    """Shares (N, K+1) in whole percent that add up to 1, those that lose most by it being rounded up first."""
    percent = 100.0 * shares
    whole = np.floor(percent + 1e-9)
    left = np.rint(100.0 - whole.sum(axis=1)).astype(int)
    rank = np.argsort(np.argsort(whole - percent, axis=1, kind="stable"), axis=1, kind="stable")
    return (whole + (rank < left[:, None])) / 100.0


def months_behind(
    scenario: Mapping[str, Any],
    shares: np.ndarray,
    research: np.ndarray,
    objective: np.ndarray,
    target: np.ndarray,
    chosen: Allocation,
) -> np.ndarray:
    """Months after the horizon at which a split has what another has at it; infinite where not in 50 years.

    What was bought goes on running, and nothing is bought any more. For the loss on the way it is the mean from the
    start that falls to the target, for the loss on the day the loss itself.

    Parameters
    ----------
    scenario : mapping of str to array, shape (N,)
        Parameters of the problem.
    shares, research : numpy.ndarray, shape (N, K) and (N,)
        The split.
    objective, target : numpy.ndarray, shape (N,)
        What it has at the horizon, and what the other has there.
    chosen : Allocation
        What is made least.

    Returns
    -------
    numpy.ndarray, shape (N,)
        [months], 0 where it is no worse.
    """
    v = {name: np.asarray(values) for name, values in scenario.items()}
    horizon, discount = v["horizon"], v["discount_rate"]
    x, w = (np.asarray(part) for part in gauss_legendre(NODES))

    def log_loss(time: np.ndarray) -> np.ndarray:
        given = {k: values[:, None] for k, values in v.items() if k not in ("scaling_exponent", "discount_rate")}
        log_c = allocation.log_compute_ratio(
            jnp.asarray(shares)[:, None], jnp.asarray(research)[:, None], time, software=chosen.software, **given
        )
        return -v["scaling_exponent"][:, None] * np.asarray(log_c)

    def weight(time: np.ndarray) -> np.ndarray:
        slow = np.abs(discount) < 1e-12
        rate = np.where(slow, 1.0, discount)
        return np.where(slow, time, -np.expm1(-rate * time) / rate)

    def excess(later: np.ndarray) -> np.ndarray:
        if chosen.objective == "terminal":
            return log_loss((horizon + later)[:, None])[:, 0] - target
        time = horizon[:, None] + later[:, None] * (1.0 + x) / 2.0
        more = np.sum(np.exp(log_loss(time) - discount[:, None] * time) * w, axis=1) * later / 2.0
        return (weight(horizon) * objective + more) / weight(horizon + later) - target

    low, high = np.zeros_like(horizon), np.full_like(horizon, LATEST)
    never = ~(excess(high) <= 0.0)
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        reached = excess(middle) <= 0.0
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    later = np.where(objective <= target, 0.0, np.where(never, math.inf, high))
    return MONTHS * later
