"""One split of a budget for all draws of what is uncertain, and what it would be worth to know more."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from kernels.split import robust
from sweep.config.allocation import Allocation
from sweep.models.front_loading import STRATEGIES
from sweep.questions.split.strategies import objective_of, strategy_of

LEVEL = 0.9  # part of the draws that does not count in a conditional regret, if not said
GOALS = ("mean", "cvar", "worst")
PLANS = (*GOALS, "medians", *STRATEGIES)
LEVELS = (0.0, 0.5, 0.75, 0.9, 0.95, 0.99)  # of the curve from the mean to the worst
STARTS = 2  # plans that are descended from
BINS, BIN_DRAWS = (2, 4, 8, 16), 4  # into which the values of a parameter that is known are cut, and draws in each
DEAREST, BISECTIONS = 1e3, 40  # budgets up to which one is looked for that buys a gain, in budgets


class Draws(NamedTuple):
    """A scenario of which S draws are known, each with the least that it could have."""

    scenario: dict[str, np.ndarray]  # (S,) each
    least: np.ndarray  # (S,)
    shares: np.ndarray  # (S, K+1) of each draw's own optimum, the research share last
    chosen: Allocation

    @property
    def chances(self) -> np.ndarray:
        """Weight of each draw."""
        return np.full(len(self.least), 1.0 / len(self.least))

    @property
    def level(self) -> float:
        """Part of the draws that does not count in the conditional regret."""
        return LEVEL if self.chosen.level is None else self.chosen.level

    def level_of(self, goal: str) -> float:
        """The level at which a conditional regret is what a goal makes least."""
        return {"mean": 0.0, "cvar": self.level, "worst": 1.0 - 1.0 / len(self.least)}[goal]

    def regrets(self, plan: np.ndarray, scale: float = 1.0) -> np.ndarray:
        """How much more than its least each draw has (S,) with a plan (K+1,), of a budget that many times as large."""
        scenario = self.scenario | {"budget": scale * self.scenario["budget"]}
        wide = np.broadcast_to(plan, (len(self.least), len(plan)))
        given = {name: jnp.asarray(values) for name, values in scenario.items()}
        return np.asarray(objective_of(given, wide[:, :-1], wide[:, -1], self.chosen)) - self.least

    def solved(self, starts: list[np.ndarray], level: float, chances: np.ndarray | None = None) -> robust.Plan:
        """The plan of which the mean of the worst regrets is least."""
        return robust.robust_split(
            {name: jnp.asarray(values) for name, values in self.scenario.items()},
            jnp.asarray(self.least),
            starts,
            level=level,
            chances=None if chances is None else jnp.asarray(chances),
            objective=self.chosen.objective,
            software=self.chosen.software,
        )


def plans_of(draws: Draws, medians: np.ndarray, worth: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Every plan of `PLANS`, what each costs in each draw, the certificate of the one that was chosen, and more.

    Parameters
    ----------
    draws : Draws
        Of one scenario.
    medians : numpy.ndarray, shape (K+1,)
        The plan for the medians of the parameters.
    worth : tuple of str
        Uncertain parameters of which to say what knowing them would be worth; none, to leave that out.
    """
    fixed = {"medians": medians} | strategies_of(draws)
    known = {name: draws.regrets(plan) for name, plan in fixed.items()}
    mean = draws.shares.mean(axis=0)
    starts = {**fixed, "optima": mean / mean.sum()}
    costs = known | {"optima": draws.regrets(starts["optima"])}
    solved = {}
    for name in GOALS:
        level = draws.level_of(name)
        order = sorted(costs, key=lambda plan: robust.tail_mean(costs[plan], draws.chances, level))
        solved[name] = draws.solved([starts[plan] for plan in order[:STARTS]], level)
        # A plan for one goal is a start for the next, and so never better at it.
        starts[name] = np.append(solved[name].shares, solved[name].research_share)
        costs[name] = draws.regrets(starts[name])
    regrets = np.stack([costs[name] for name in PLANS])
    plan = np.stack([starts[name] for name in PLANS])
    goal = GOALS.index(draws.chosen.robust or GOALS[0])
    own = solved[GOALS[goal]]
    found: dict[str, Any] = {
        "plan_shares": plan[:, :-1],
        "plan_research_share": plan[:, -1],
        "regret": regrets,
        "expected_objective": regrets.mean(axis=1) + draws.least.mean(),
        "expected_regret": regrets.mean(axis=1),
        "conditional_regret": np.array([robust.tail_mean(r, draws.chances, draws.level) for r in regrets]),
        "worst_regret": regrets.max(axis=1),
        "shares": own.shares,
        "research_share": own.research_share,
        "front_load_share": own.shares[0],
        "later_share": own.shares[1:].sum(),
        "frank_wolfe_gap": own.dual_gap,
        "regret_bound": own.regret_bound,
        "iterations": own.iterations,
        # The nodes of a descent may be too few for a steep draw; then nothing is certified.
        "status": max(own.status, int(np.abs(own.regrets - regrets[goal]).max() > 1e-6 * np.abs(draws.least).max())),
        "value_of_information": regrets[0].mean(),
        "price_of_robustness": regrets[2].mean() - regrets[0].mean(),
    }
    if worth:
        found |= curve(draws, plan[0]) | values(draws, plan[0], solved["mean"].regrets, worth)
    return {name: np.asarray(value) for name, value in found.items()}


def strategies_of(draws: Draws) -> dict[str, np.ndarray]:
    """Each named strategy as one plan (K+1,): that for the medians, where it depends on the rates."""
    dates = draws.shares.shape[1] - 1
    usual = {name: np.median(values)[None] for name, values in draws.scenario.items()}
    both = {name: strategy_of(name, usual, dates, draws.chosen) for name in STRATEGIES}
    return {name: np.append(shares[0], research[0]) for name, (shares, research) in both.items()}


def levels_of(number: int) -> tuple[float, ...]:
    """Levels of the curve over so many draws, the last of which leaves only the worst."""
    last = 1.0 - 1.0 / number
    return (*(level for level in LEVELS if level < last), last)


def curve(draws: Draws, start: np.ndarray) -> dict[str, np.ndarray]:
    """From the least mean regret to the least worst one: both of the plan at each level."""
    both = []
    for level in levels_of(len(draws.least)):
        plan = draws.solved([start], level)
        start = np.append(plan.shares, plan.research_share)
        both.append((plan.regrets.mean(), plan.regrets.max()))
    expected, worst = np.array(both).T
    return {"curve_expected_regret": expected, "curve_worst_regret": worst}


def values(draws: Draws, plan: np.ndarray, regret: np.ndarray, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """What knowing each parameter alone would gain in the mean, its sampling error, and money that buys as much."""
    gains = np.stack([gain_of_knowing(draws, plan, regret, name) for name in names])
    worth = np.maximum(gains.mean(axis=1), 0.0)  # knowing more is never worth less than nothing
    error = gains.std(axis=1, ddof=1) / math.sqrt(gains.shape[1])
    extra = [money(draws, plan, regret.mean() - gain) for gain in (regret.mean(), *worth)]
    return {
        "value_of_knowing": worth,
        "value_of_knowing_error": error,
        "value_of_information_budget": np.asarray(extra[0]),
        "value_of_knowing_budget": np.array(extra[1:]),
    }


def gain_of_knowing(draws: Draws, plan: np.ndarray, regret: np.ndarray, name: str) -> np.ndarray:
    """How much less regret each draw has (S,) with the best plan for draws that have nearly its value of a parameter.

    Draws are put into bins by that value, and each is judged with the plan for the other half of its bin: with a plan
    that knew the draw itself, what is worth nothing would seem to be worth something. So no number of bins gives too
    much on average, and of a few numbers the one that gives most is taken.
    """
    size = len(draws.least)
    order = np.argsort(draws.scenario[name], kind="stable")
    best = np.zeros(size)
    for bins in (number for number in BINS if number * BIN_DRAWS <= size):
        gain = np.zeros(size)
        for members in np.array_split(order, bins):
            halves = members[::2], members[1::2]
            for here, there in (halves, halves[::-1]):
                chances = np.zeros(size)
                chances[here] = 1.0 / here.size
                gain[there] = (regret - draws.solved([plan], 0.0, chances).regrets)[there]
        best = max(best, gain, key=np.mean)
    return best


def money(draws: Draws, plan: np.ndarray, target: float) -> float:
    """Budget more, in reference fleets, with which the same plan has no more than a mean regret; infinite if none has.

    A plan for the larger budget would need no more, so that this bounds what such a gain is worth from above.
    """
    low, high = 1.0, DEAREST
    if draws.regrets(plan).mean() <= target:
        return 0.0
    if draws.regrets(plan, high).mean() > target:
        return math.inf
    for _ in range(BISECTIONS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if draws.regrets(plan, middle).mean() <= target else (middle, high)
    return float((high - 1.0) * draws.scenario["budget"].mean())


def draws_of(
    scenarios: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray], number: int, chosen: Allocation
) -> list[Draws]:
    """Cut what was solved for each draw by itself into scenarios of that many draws, which are the last axis."""
    shares = np.concatenate([found["shares"], found["research_share"][:, None]], axis=1)
    parts = [slice(start, start + number) for start in range(0, len(shares), number)]
    return [
        Draws({k: v[part] for k, v in scenarios.items()}, found["objective"][part], shares[part], chosen)
        for part in parts
    ]


def medians_of(draws: list[Draws], solve: Any) -> np.ndarray:
    """Optimal plans (N, K+1) for the medians of the parameters, by what solves many scenarios (M,)."""
    usual = {name: np.array([np.median(d.scenario[name]) for d in draws]) for name in draws[0].scenario}
    found = solve(usual)
    return np.concatenate([found["shares"], found["research_share"][:, None]], axis=1)
