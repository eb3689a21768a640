"""What else could be done with a budget, and how far behind it is: the split of the other question, named strategies.

A budget can be split for the least loss on the way, which is its mean up to the horizon, or for the least loss on the
day of the horizon. The answers differ, and neither is wrong.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from kernels.loss.quadrature import gauss_legendre
from sweep.config.allocation import Allocation
from sweep.models.front_loading import STRATEGIES
from sweep.questions.split.strategies import log_losses_at, objective_of, strategy_of

OTHER = {"mean": "terminal", "terminal": "mean"}
LATEST = 50.0  # years after the horizon, up to which is looked
NODES, BISECTIONS = 32, 50
MONTHS = 12.0


def other_question(chosen: Allocation) -> Allocation:
    """The same allocation, asked for what the other objective says."""
    return chosen.model_copy(update={"objective": OTHER[chosen.objective]})


def otherwise(
    scenario: Mapping[str, Any],
    found: Mapping[str, np.ndarray],
    other: Mapping[str, np.ndarray],
    chosen: Allocation,
    quick: bool,
    lanes: int,
) -> dict[str, np.ndarray]:
    """The splits (N, ...) of the other question, what they cost here, and how many months behind all of them are.

    Parameters
    ----------
    scenario : mapping of str to array, shape (N,)
        Parameters of the problem.
    found : mapping of str to numpy.ndarray, shape (N, ...)
        Their optimal splits.
    other : mapping of str to numpy.ndarray, shape (N, ...)
        Optimal splits of the same scenarios for the other question.
    chosen : Allocation
        What is made least.
    quick : bool
        Whether programs are compiled quickly.
    lanes : int
        How many scenarios are wanted, the first; the others fill the shape that is compiled already.
    """
    shares, research = other["shares"], other["research_share"]
    value = objective_of(scenario, shares, research, chosen, quick)
    best = found["objective"]
    plans = [(shares, research, value)]
    for k, name in enumerate(STRATEGIES):
        plans.append((*strategy_of(name, scenario, chosen.dates, chosen), found["strategy_objective"][:, k]))
    bought, spent, values = (np.concatenate([part[:lanes] for part in parts]) for parts in zip(*plans, strict=True))
    tiled = {name: np.tile(np.asarray(v)[:lanes], len(plans)) for name, v in scenario.items()}
    behind = months_behind(tiled, bought, spent, values, np.tile(best[:lanes], len(plans)), chosen, quick).reshape(
        len(plans), lanes
    )
    whole = rounded(np.concatenate([found["shares"], found["research_share"][:, None]], axis=1))
    lost = objective_of(scenario, whole[:, :-1], whole[:, -1], chosen, quick) - best
    result = {
        "other_shares": shares,
        "other_research_share": research,
        "other_regret": np.maximum(value - best, 0.0),
        "rounded_shares": whole[:, :-1],
        "rounded_research_share": whole[:, -1],
        "rounding_regret": np.maximum(lost, 0.0),
    }
    wanted = {name: values[:lanes] for name, values in result.items()}
    return wanted | {"other_delay": behind[0], "strategy_delay": behind[1:].T}


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
    quick: bool = True,
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
    quick : bool
        Whether programs are compiled quickly.

    Returns
    -------
    numpy.ndarray, shape (N,)
        [months], 0 where it is no worse.
    """
    horizon, discount = (np.asarray(scenario[name]) for name in ("horizon", "discount_rate"))
    x, w = (np.asarray(part) for part in gauss_legendre(NODES))

    def log_loss(time: np.ndarray) -> np.ndarray:
        return log_losses_at(scenario, shares, research, time, chosen, quick)

    def weight(time: np.ndarray) -> np.ndarray:
        slow = np.abs(discount) < 1e-12
        rate = np.where(slow, 1.0, discount)
        return np.where(slow, time, -np.expm1(-rate * time) / rate)

    def excess(later: np.ndarray) -> np.ndarray:
        if chosen.objective == "terminal":
            return log_loss((horizon + later)[None])[0] - target
        time = horizon + later * (1.0 + x[:, None]) / 2.0
        more = np.sum(np.exp(log_loss(time) - discount * time) * w[:, None], axis=0) * later / 2.0
        return (weight(horizon) * objective + more) / weight(horizon + later) - target

    low, high = np.zeros_like(horizon), np.full_like(horizon, LATEST)
    never = ~(excess(high) <= 0.0)
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        reached = excess(middle) <= 0.0
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    later = np.where(objective <= target, 0.0, np.where(never, math.inf, high))
    return MONTHS * later
