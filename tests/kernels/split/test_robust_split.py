"""One split for many draws, against brute force on grids, the split of one draw, and what must hold of any."""

import jax
import numpy as np
import pytest

from kernels.split import solver
from kernels.split.robust import robust_split, tail_mean

DATES, DRAWS = 2, 16
USUAL = {
    "budget": 3.0,
    "horizon": 4.0,
    "hardware_rate": 1.0,
    "software_rate": 0.5,
    "research_gain": 0.8,
    "research_scale": 2.0,
    "depreciation": 0.3,
    "installed_fleet": 1.0,
    "discount_rate": 0.05,
    "scaling_exponent": 0.15,
    "reference_years": 1.0,
}
SPREAD = {"hardware_rate": (0.2, 2.0), "software_rate": (0.0, 1.5), "scaling_exponent": (0.08, 0.25)}
LEVELS = (0.0, 0.75, 1.0 - 1.0 / DRAWS)


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def drawn(seed=0, draws=DRAWS, **changed):
    random = np.random.default_rng(seed)
    values = {name: np.full(draws, value) for name, value in (USUAL | changed).items()}
    return values | {name: random.uniform(*ends, draws) for name, ends in SPREAD.items() if name not in changed}


def losses(scenario, plans, terminal=False):
    """Mean losses, or logarithms of the last one, (M, S) of plans (M, K+1), in NumPy from the definitions; live."""
    v = {name: values[None, :, None] for name, values in scenario.items()}
    w = plans[:, None, None]
    dates = plans.shape[1] - 1
    x, weight = np.polynomial.legendre.leggauss(24)
    step = v["horizon"] / dates
    when = np.arange(dates) * step
    time = (when[..., None] + step[..., None] * ((1.0 + x) / 2.0) ** 2).reshape(1, -1, dates * x.size)
    weight = np.tile(weight * (1.0 + x), dates) * np.exp(-v["discount_rate"] * time)
    if terminal:
        time, weight = v["horizon"], np.ones(1)
    rate = v["software_rate"] - v["research_gain"] * np.expm1(-w[..., -1] * v["budget"] / v["research_scale"])

    def years(since):
        s = rate * np.log(2.0) - v["depreciation"]
        return np.expm1(s * np.maximum(time - since, 0.0)) / s

    c = 1.0 + v["installed_fleet"] * years(0.0) / v["reference_years"]
    for k in range(dates):
        since = when[..., k : k + 1]
        bought = v["budget"] * w[..., k] * 2.0 ** ((v["hardware_rate"] + rate) * since)
        c = c + bought * years(since) / v["reference_years"]
    loss = c ** -v["scaling_exponent"]
    return np.log(loss[..., 0]) if terminal else (loss * weight).sum(-1) / np.broadcast_to(weight, loss.shape).sum(-1)


def tails(regrets, level):
    """Mean of the worst 1 − α of regrets (M, S), by the minimum over the threshold, which is one of them."""
    excess = np.maximum(regrets[:, None] - regrets[:, :, None], 0.0).mean(axis=2)
    return (regrets + excess / (1.0 - level)).min(axis=1)


def plan_of(scenario, level, objective="mean", starts=None):
    split = solver.optimal_split(scenario, dates=DATES, objective=objective)
    own = np.vstack([split.shares, split.research_share]).T
    starts = [own.mean(axis=0), np.full(DATES + 1, 1.0 / (DATES + 1))] if starts is None else starts
    least = np.asarray(split.objective)
    return robust_split(scenario, least, starts, level=level, objective=objective), least


def grid(number, low=(0.0, 0.0), high=(1.0, 1.0)):
    """Plans of two dates and research between two corners of the triangle of the first share and research."""
    first, research = (
        a.ravel()
        for a in np.meshgrid(*(np.linspace(a, b, number) for a, b in zip(low, high, strict=True)), indexing="ij")
    )
    later = 1.0 - first - research
    return np.stack([first, later, research], axis=1)[later >= -1e-15].clip(0.0)


@pytest.mark.parametrize("objective", ["mean", "terminal"])
@pytest.mark.parametrize("level", LEVELS)
def test_robust_split_is_that_of_a_fine_grid(level, objective):
    scenario = drawn()
    plan, least = plan_of(scenario, level, objective)
    best, here = np.inf, ((0.0, 0.0), (1.0, 1.0))
    for _ in range(12):  # ever finer around the best
        plans = grid(41, *here)
        value = tails(losses(scenario, plans, objective == "terminal") - least, level)
        at = plans[value.argmin()]
        best = min(best, value.min())
        width = (np.array(here[1]) - here[0]) / 4.0
        here = tuple(np.clip(at[[0, 2]] + s * width, 0.0, 1.0) for s in (-1.0, 1.0))
    ours = np.append(plan.shares, plan.research_share)[None]
    value = tails(losses(scenario, ours, objective == "terminal") - least, level)[0]
    assert plan.tail_regret == pytest.approx(value, rel=1e-6)
    assert 0.999 * best <= value <= best + 1e-9
    assert plan.status == 0 and 0.0 <= plan.dual_gap <= plan.regret_bound <= 1e-7
    assert plan.shares.sum() + plan.research_share == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("level", LEVELS)
def test_dual_gap_bounds_what_other_purchases_could_gain_from_any_start(level):
    scenario = drawn(1, research_gain=0.0)
    plan, least = plan_of(scenario, level, starts=[np.array([0.5, 0.3, 0.2])])
    part = np.linspace(0.0, 1.0, 2001)[:, None]
    left = 1.0 - plan.research_share
    others = np.hstack([left * part, left * (1.0 - part), np.full_like(part, plan.research_share)])
    least_tail = tails(losses(scenario, others) - least, level).min()
    assert plan.tail_regret - plan.dual_gap <= least_tail + 1e-9


def test_robust_split_of_equal_draws_is_that_of_one():
    scenario = {name: np.full(DRAWS, value) for name, value in USUAL.items()}
    split = solver.optimal_split(scenario, dates=DATES)
    for level in LEVELS:
        plan, _ = plan_of(scenario, level, starts=[np.full(DATES + 1, 1.0 / (DATES + 1))])
        assert plan.tail_regret <= 1e-9
        np.testing.assert_allclose(plan.shares, split.shares[:, 0], atol=1e-4)


def test_worst_regret_is_never_lower_with_more_draws():
    """The first half of the draws repeated is as many draws, and half as many different ones."""
    scenario = drawn(2)
    fewer = {name: np.tile(values[: DRAWS // 2], 2) for name, values in scenario.items()}
    worst = [plan_of(one, LEVELS[-1])[0].tail_regret for one in (fewer, scenario)]
    assert worst[0] <= worst[1] + 1e-9


def test_tail_mean_is_the_least_over_thresholds():
    values = np.random.default_rng(3).exponential(size=(7, 33))
    for level in (0.0, 0.5, 0.9, 0.97, 1.0 - 1.0 / 33):
        ours = [tail_mean(row, np.full(33, 1.0 / 33), level) for row in values]
        np.testing.assert_allclose(ours, tails(values, level), rtol=1e-12)
