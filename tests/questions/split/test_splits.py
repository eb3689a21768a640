"""Optimal splits of maps of scenarios: labelled, certified, better than every named strategy, and told in words."""

import json
import math
from itertools import pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray as xr
from click.testing import CliRunner
from scipy.integrate import quad
from scipy.optimize import minimize

import sweep
from kernels.split import descent, solver
from sweep.cli.main import main
from sweep.cli.optimise import OPTIMISERS
from sweep.models.front_loading import MOVED, STRATEGIES
from sweep.questions.split import footprint, optimise
from sweep.questions.split.otherwise import months_behind, rounded
from sweep.questions.split.strategies import best_single_date, objective_of, strategy_of, take_better
from sweep.report.splits.schedule import schedule
from sweep.report.splits.splits import _inward

DATES = 3
FIXED = {
    "budget": 5.0,
    "horizon": 4.0,
    "hardware_rate": 0.7,
    "software_rate": 0.5,
    "research_gain": 0.8,
    "research_scale": 2.0,
    "depreciation": 0.15,
    "discount_rate": 0.05,
    "scaling_exponent": 0.15,
    "reference_years": 0.25,
}
NAMES = solver.PARAMETERS
AXES = {"software_rate": {"values": (0.1, 0.5, 1.2)}, "hardware_rate": {"start": 0.0, "stop": 1.5, "num": 4}}


def make_spec(axes=AXES, objective="mean", software="live", **fixed):
    held = {name: value for name, value in (FIXED | fixed).items() if name not in axes}
    return sweep.SweepSpec(
        model="front_loading",
        loss="excess",
        allocation=sweep.Allocation(dates=DATES, objective=objective, software=software),
        axes={name: sweep.Axis(**axis) for name, axis in axes.items()},
        fixed=held,
    )


@pytest.fixture(scope="module")
def found() -> xr.Dataset:
    return sweep.optimise(make_spec(), sensitivities=True)


def loss_of(w: np.ndarray, p: dict[str, float], software: str = "live") -> float:
    """Mean loss by adaptive quadrature, straight from the equations; w ends with the research share."""
    b = p["software_rate"] + p["research_gain"] * -math.expm1(-w[-1] * p["budget"] / p["research_scale"])
    dates = np.arange(DATES) * p["horizon"] / DATES

    def span(u: float, t: float) -> float:
        rate = (b * math.log(2.0) if software == "live" else 0.0) - p["depreciation"]
        years = math.expm1(rate * (t - u)) / rate if rate else t - u
        return 2.0 ** (b * u) * years

    def excess(t: float) -> float:
        bought = (
            p["budget"] * s * 2.0 ** (p["hardware_rate"] * u) * span(u, t)
            for s, u in zip(w, dates, strict=False)
            if u < t
        )
        return (1.0 + (span(0.0, t) + sum(bought)) / p["reference_years"]) ** -p["scaling_exponent"]

    ends = [*dates, p["horizon"]]

    def weigh(t: float) -> float:
        return math.exp(-p["discount_rate"] * (t - (0.0 if p["discount_rate"] > 0.0 else p["horizon"])))

    total = sum(quad(lambda t: weigh(t) * excess(t), a, b, epsabs=1e-12)[0] for a, b in pairwise(ends))
    return total / quad(weigh, 0.0, p["horizon"])[0]


def test_optimise_gives_a_split_of_every_scenario(found):
    assert dict(found.sizes) == {
        "software_rate": 3, "hardware_rate": 4, "purchase": DATES, "strategy": 4, "end": 2, "parameter": 11,
    }  # fmt: skip
    total = found.shares.sum("purchase") + found.research_share
    np.testing.assert_allclose(total, 1.0, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.front_load_share + found.later_share + found.research_share, 1.0, atol=1e-12)
    assert (found.status == 0).all()
    assert (found.frank_wolfe_gap >= 0).all() and (found.frank_wolfe_gap <= 1e-7 * found.objective).all()


def test_optimise_agrees_with_scipy_from_many_starts(found):
    rng = np.random.default_rng(3)
    for point in (
        dict(software_rate=0, hardware_rate=1),
        dict(software_rate=1, hardware_rate=3),
        dict(software_rate=2, hardware_rate=2),
    ):
        here = found.isel(point)
        p = FIXED | {name: float(here[name]) for name in AXES}
        ours = loss_of(np.append(here.shares.values, float(here.research_share)), p)
        assert ours == pytest.approx(float(here.objective), rel=1e-8)
        for start in rng.dirichlet(np.ones(DATES + 1), 4):
            rival = minimize(
                loss_of, start, (p,), "SLSQP", bounds=[(0, 1)] * (DATES + 1),
                constraints={"type": "eq", "fun": lambda w: w.sum() - 1}, options={"ftol": 1e-13, "maxiter": 300},
            )  # fmt: skip
            assert ours <= rival.fun * (1 + 1e-6)


def test_optimise_beats_every_strategy(found):
    assert (found.strategy_regret >= 0).all()
    assert (found.strategy_regret.max(("software_rate", "hardware_rate")) > 1e-4).all()
    steady = float(found.strategy_objective.sel(strategy="steady").isel(software_rate=1, hardware_rate=2))
    p = FIXED | {"hardware_rate": float(found.hardware_rate[2])}
    assert steady == pytest.approx(loss_of(np.append(np.full(DATES, 1 / DATES), 0.0), p), rel=1e-7)


def test_optimise_sensitivities_agree_with_finite_differences(found):
    h = 1e-4
    near = {
        "software_rate": {"values": (0.5 - h, 0.5, 0.5 + h)},
        "hardware_rate": {"start": 0.0, "stop": 1.5, "num": 4},
    }
    moved = sweep.optimise(make_spec(near))
    for name in ("front_load_share", "research_share", "objective"):
        slope = (moved[name].isel(software_rate=2) - moved[name].isel(software_rate=0)) / (2 * h)
        exact = found[f"{name}_sensitivity"].sel(parameter="software_rate").isel(software_rate=1)
        np.testing.assert_allclose(exact, slope, rtol=2e-2, atol=2e-3, err_msg=name)


@pytest.mark.parametrize("software", ["live", "locked"])
def test_best_single_date_is_that_of_a_dense_search(software):
    rng = np.random.default_rng(4)
    n = 200
    given = {"horizon": rng.uniform(0.2, 10, n), "hardware_rate": rng.uniform(-0.5, 2, n)}
    given["software_rate"] = np.where(rng.random(n) < 0.1, 0.0, rng.uniform(-1, 2, n))
    date = best_single_date(given, software)
    for horizon, a, b, u in zip(*given.values(), date, strict=True):
        t = np.append(np.linspace(0, horizon, 4001)[:-1], u)
        years = (horizon - t) if b == 0 or software == "locked" else (2.0 ** (b * (horizon - t)) - 1) / b
        worth = 2.0 ** ((a + b) * t) * years
        assert worth[-1] >= worth.max() * (1 - 1e-9)


def test_optimise_certifies_where_rates_of_ten_meet_fifty_years():
    axes = {"software_rate": {"values": (2.0, 6.0, 10.0)}, "hardware_rate": {"start": 1.0, "stop": 10.0, "num": 4}}
    steep = sweep.optimise(make_spec(axes, horizon=50.0))
    assert (steep.status == 0).all()
    assert (steep.regret_bound <= 1e-7 * steep.objective).all()
    assert (steep.strategy_regret >= -steep.regret_bound).all()
    np.testing.assert_allclose(steep.shares.sum("purchase") + steep.research_share, 1.0, rtol=0, atol=1e-12)


RATES = {"hardware_rate": {"values": (-1.0, 0.48, 10.0)}, "software_rate": {"values": (-1.0, 1.5, 10.0)}}


@pytest.mark.parametrize("objective", ["mean", "terminal"])
def test_optimise_certifies_any_discount_rate_and_horizon(objective):
    axes = {"discount_rate": {"start": -10.0, "stop": 10.0, "num": 11}, "horizon": {"values": (0.5, 5.0, 20.0, 50.0)}}
    solved = sweep.optimise(make_spec(axes | RATES, objective))
    unit = solved.objective if objective == "mean" else 1.0
    assert (solved.status == 0).all()
    assert (solved.regret_bound <= 1e-7 * unit).all()
    assert (solved.strategy_regret >= 0.0).all()
    if objective == "mean":
        for place in np.random.default_rng(5).integers(solved.objective.size, size=12):
            point = solved.stack(point=solved.objective.dims).isel(point=int(place))
            p = FIXED | {name: float(point[name]) for name in solved.objective.dims}
            right = loss_of(np.append(point.shares.values, float(point.research_share)), p)
            assert float(point.objective) == pytest.approx(right, rel=1e-6)


def taken(shares, scenario):
    """What _take_better makes of a split without research that claims to be certified, beside hare and steady."""
    scenario = FIXED | {"installed_fleet": 1.0, "research_gain": 0.0} | scenario
    chosen = sweep.Allocation(dates=DATES, objective="mean")
    with jax.enable_x64(True):
        given = {name: jnp.asarray([value]) for name, value in scenario.items()}
        strategies = [strategy_of(name, given, DATES, chosen) for name in ("hare", "steady")]
        compared = [float(objective_of(given, *one, chosen)[0]) for one in strategies]
        loss = objective_of(given, np.asarray(shares)[None], np.zeros(1), chosen)
        found = {
            "shares": np.asarray(shares)[None],
            "research_share": np.zeros(1),
            "objective": np.asarray(loss),
            "frank_wolfe_gap": np.zeros(1),
            "regret_bound": np.zeros(1),
            "status": np.zeros(1, np.int32),
            "strategy_objective": np.array([compared]),
        }
        take_better(found, strategies, given, chosen)
    assert found["objective"].item() == min(float(loss[0]), *compared)
    best = min(loss_of(np.append(w, 0.0), scenario) for w in np.random.default_rng(1).dirichlet(np.ones(DATES), 40))
    assert found["objective"].item() - best <= min(found["regret_bound"].item(), found["frank_wolfe_gap"].item())
    return found


# Prices that fall tenfold a year make the first millionth that is spent later worth 10^30, and all the rest nothing.
CORNER = {"hardware_rate": 10.0, "horizon": 50.0, "discount_rate": 6.0, "software_rate": 0.0}


@pytest.mark.parametrize("scenario", [{"hardware_rate": 0.0}, CORNER], ids=["usual", "steep"])
def test_take_better_certifies_a_corner_that_a_descent_comes_near_to(scenario):
    found = taken([1.0 - 2e-9, 1e-9, 1e-9], scenario)
    np.testing.assert_array_equal(found["shares"], [[1.0, 0.0, 0.0]])
    assert found["status"] == 0 and 0.0 <= found["regret_bound"] <= 1e-8


def test_take_better_marks_what_is_better_but_not_the_optimum():
    found = taken([0.0, 0.1, 0.9], {"hardware_rate": 1.5})
    assert found["status"] == 1 and 1e-4 < found["regret_bound"] < np.inf


@pytest.mark.parametrize("objective", ["mean", "terminal"])
def test_months_behind_are_when_a_split_is_where_the_best_one_was(objective):
    """By adaptive quadrature of the loss on the way to that month, or by the loss on that day."""
    p = FIXED | {"installed_fleet": 1.0}
    scenario = {name: np.array([p[name]]) for name in NAMES}
    chosen = sweep.Allocation(dates=DATES, objective=objective)
    shares, research, target = np.array([[0.1, 0.2, 0.6]]), np.array([0.1]), np.array([0.35])
    with jax.enable_x64(True):
        if objective == "terminal":
            target = np.log(target)
        given = {name: jnp.asarray(values) for name, values in scenario.items()}
        value = np.asarray(objective_of(given, shares, research, chosen))
        months = months_behind(scenario, shares, research, value, target, chosen)
        assert (months_behind(scenario, shares, research, value, value + 0.01, chosen) == 0.0).all()
        assert np.isinf(months_behind(scenario, shares, research, value, value - 50.0, chosen)).all()
    late = p["horizon"] + float(months[0]) / 12.0
    b = p["software_rate"] + p["research_gain"] * -math.expm1(-0.1 * p["budget"] / p["research_scale"])
    rate = b * math.log(2.0) - p["depreciation"]

    def excess(t):
        c = 1.0 + math.expm1(rate * t) / rate / p["reference_years"]
        for k, share in enumerate(shares[0]):
            u = k * p["horizon"] / DATES
            if u < t:
                bought = p["budget"] * share * 2.0 ** ((p["hardware_rate"] + b) * u)
                c += bought * math.expm1(rate * (t - u)) / rate / p["reference_years"]
        return c ** -p["scaling_exponent"]

    if objective == "terminal":
        assert math.log(excess(late)) == pytest.approx(float(target[0]), rel=1e-9)
    else:
        ends = [*(k * p["horizon"] / DATES for k in range(DATES)), p["horizon"], late]

        def weighed(f):
            return sum(quad(lambda t: math.exp(-p["discount_rate"] * t) * f(t), *pair)[0] for pair in pairwise(ends))

        assert weighed(excess) / weighed(lambda t: 1.0) == pytest.approx(float(target[0]), rel=1e-7)


def test_optimise_gives_the_answer_to_the_other_question(found):
    axes = {"software_rate": {"values": (0.1, 0.5)}}
    both = sweep.optimise(make_spec(axes), both=True)
    other = sweep.optimise(make_spec(axes, objective="terminal"))
    np.testing.assert_allclose(both.other_shares, other.shares, atol=1e-6)
    assert (both.other_regret > 0.0).all() and (both.other_delay > 0.0).all() and (both.strategy_delay >= 0.0).all()
    late = both.strategy_delay.argmax("strategy")
    assert (late == both.strategy_regret.argmax("strategy")).all()


def test_rounded_shares_are_whole_percents_that_add_up_and_no_others_are_nearer():
    shares = np.vstack([np.random.default_rng(8).dirichlet(np.full(4, 0.3), 200), [[1.0, 0.0, 0.0, 0.0]]])
    whole = rounded(shares)
    np.testing.assert_allclose(whole.sum(axis=1), 1.0, rtol=0, atol=1e-12)
    np.testing.assert_allclose(100 * whole, np.rint(100 * whole), atol=1e-9)
    assert (np.abs(whole - shares) < 0.01).all() and (whole[-1] == shares[-1]).all()
    lost = np.abs(whole - shares).sum(axis=1)
    for one, other in ((0, 1), (2, 3), (3, 0)):  # moving a percent from one to another brings it no nearer
        moved = whole + 0.01 * (np.eye(4)[one] - np.eye(4)[other])
        assert (np.abs(moved - shares).sum(axis=1) >= lost - 1e-12).all()


def test_schedule_says_what_is_bought_and_what_runs_then():
    split = xr.Dataset(
        {
            "rounded_shares": ("purchase", [0.5, 0.0, 0.25]),
            "rounded_research_share": 0.25,
            "purchase_date": ("purchase", [0.0, 1.0, 2.0]),
        },
        coords={"hardware_rate": 0.5},
        attrs={
            "spec": json.dumps({"fixed": {"budget": 4.0, "depreciation": math.log(2.0), "installed_fleet": 1.0}}),
            "allocation_fleet_price": 1e9,
        },
    )
    rows = [" ".join(line.split()) for line in schedule(split)]
    # 2 fleets beside the one there is; after two years a quarter of the 3, and a fleet at half the price.
    assert rows[1:] == [
        "now 50 % 2e+09 USD 2 3",
        "in 2 years 25 % 1e+09 USD 2 2.75",
        "research 25 % 1e+09 USD",
    ]
    del split.attrs["allocation_fleet_price"]
    assert "1 fleets' worth" in list(schedule(split))[2]


def test_allocation_says_what_each_objective_asks():
    with pytest.raises(sweep.SpecError) as error:
        sweep.Allocation(dates=2)
    assert str(error.value) == (
        'objective: is required, "mean" for the least loss on the way, "terminal" for the least loss on the day of the '
        "horizon: the same money is split differently"
    )
    with pytest.raises(sweep.SpecError, match=r"^allocation\.objective: is required"):
        sweep.SweepSpec(
            model="front_loading", loss="excess", allocation={"dates": 2}, axes={"horizon": {"values": [1.0]}}
        )


LANES = 64  # the shape that the ranges of few scenarios are solved in


def parts_of(scenario, objective, software):
    """Shares of now, later and research (N, 3), by the solver itself, so many at once as it has been compiled for."""
    number, found = scenario["budget"].size, []
    with jax.enable_x64(True):
        for start in range(0, number, LANES):
            index = np.minimum(np.arange(start, start + LANES), number - 1)
            here = {name: jnp.asarray(values[index]) for name, values in scenario.items()}
            split = solver.optimal_split(here, dates=DATES, objective=objective, software=software)
            shares = np.asarray(split.shares)
            found.append(np.stack([shares[0], shares[1:].sum(axis=0), np.asarray(split.research_share)], axis=1))
    return np.concatenate(found)[:number]


@pytest.mark.parametrize(
    ("objective", "software"), [("mean", "live"), ("mean", "locked"), ("terminal", "live"), ("terminal", "locked")]
)
def test_optimise_says_how_far_each_rate_may_move(objective, software):
    axes = {
        "hardware_rate": {"values": (0.2, 0.9)},
        "research_gain": {"values": (0.0, 0.8, 3.0)},
        "depreciation": {"values": (0.0, 0.4)},
    }
    solved = sweep.optimise(make_spec(axes, objective, software, installed_fleet=1.0), ranges=True)
    assert (solved.status == 0).all()
    assert footprint.result_bytes(make_spec(axes, objective, software), ranges=True) == numbers_of(solved)
    grid = np.meshgrid(*(solved[name] for name in axes), indexing="ij")
    scenario = {name: np.full(solved.objective.size, (FIXED | {"installed_fleet": 1.0}).get(name)) for name in NAMES}
    scenario |= {name: values.ravel() for name, values in zip(axes, grid, strict=True)}
    own = np.stack([solved[f"{part}_share"].values.ravel() for part in ("front_load", "later", "research")], axis=1)
    random = np.random.default_rng(6)
    asked, outside = [], []
    for k, rate in enumerate(solved.rate.values):
        for side, limit in enumerate((-10.0, 10.0)):
            ends = solved.holds.values.reshape(-1, 2, 2)[:, k, side]
            value, outward = scenario[rate], np.sign(limit)
            assert np.all(outward * (ends - value) >= 0.0) and np.all(np.abs(ends) <= 10.0)
            for at in (*(value + (ends - value) * random.random(ends.size) for _ in range(2)), ends):
                asked.append(scenario | {rate: at})
                outside.append(np.zeros(ends.size, bool))
            asked.append(scenario | {rate: np.clip(ends + 2e-6 * outward, -10.0, 10.0)})
            outside.append(ends != limit)
    every = parts_of({name: np.concatenate([a[name] for a in asked]) for name in NAMES}, objective, software)
    moved = np.abs(every - np.tile(own, (len(asked), 1))).max(axis=1)
    outside = np.concatenate(outside)
    assert outside.sum() >= 12 and np.all(moved[outside] > MOVED)
    # The split at the horizon jumps from date to date; the mean one moves on, too.
    assert objective == "terminal" or np.any(moved[outside] <= 0.2)
    # Answers of flat losses are some 1e-5 apart.
    assert np.all(moved[~outside] <= MOVED + 1e-4)


def test_optimise_says_no_range_of_what_is_not_certified(monkeypatch):
    solve = optimise._solve

    def uncertain(scenario, *rest):
        found = solve(scenario, *rest)
        doubtful = np.asarray(scenario["hardware_rate"]) > 0.8
        return found | {"status": np.where(doubtful, solver.STALLED, found["status"])}

    monkeypatch.setattr(optimise, "_solve", uncertain)
    axes = {"hardware_rate": {"values": (0.3, 0.9)}}
    solved = sweep.optimise(make_spec(axes, "terminal", depreciation=0.4), ranges=True)
    assert np.isnan(solved.holds.sel(hardware_rate=0.9)).all()
    assert solved.holds.sel(hardware_rate=0.3, rate="hardware_rate").max() <= 0.8


def test_optimise_terminal_buys_all_at_one_date():
    found = sweep.optimise(make_spec(objective="terminal", research_gain=0.0, depreciation=0.0))
    assert ((found.shares > 0).sum("purchase") == 1).all()
    assert (found.status == 0).all() and (found.research_share == 0).all()


def test_optimise_labels_every_variable(found):
    assert all(v.attrs["units"] and v.attrs["long_name"] for v in found.data_vars.values())
    assert found.attrs["allocation_dates"] == DATES and found.attrs["loss"] == "excess"
    assert json.loads(found.attrs["spec"])["allocation"] == {"dates": 3, "objective": "mean", "software": "live"}
    assert found.status.attrs["flag_meanings"] == "converged stalled failed"
    assert list(found.strategy.values) == list(STRATEGIES)


def test_optimise_does_not_depend_on_how_scenarios_are_sharded(found, monkeypatch):
    monkeypatch.setattr(footprint, "SHARD", 4)
    cut = sweep.optimise(make_spec(), sensitivities=True)
    for name in found.data_vars:
        if name != "iterations":
            np.testing.assert_allclose(cut[name], found[name], rtol=1e-6, atol=1e-6, err_msg=name)


def test_optimise_solves_with_any_optimiser_and_says_which(found):
    stalled = sweep.optimise(make_spec(), optimiser=optax.set_to_zero())
    assert stalled.attrs["optimiser"] == "of optax" and found.attrs["optimiser"] == "newton"
    assert (stalled.objective >= found.objective - found.regret_bound).all() and (stalled.status != 0).any()
    assert (stalled.objective - found.objective <= stalled.regret_bound + 1e-12).all()


@pytest.mark.parametrize(
    ("objective", "optimiser", "line"),
    [
        (
            "mean",
            "bfgs",
            r'^optimiser: must be one of "newton", "lbfgs", "adam", "sgd", or an optax transformation, got "b',
        ),
        ("mean", 0.1, r"^optimiser: must be one of .*, got 0\.1$"),
        (
            "terminal",
            "adam",
            r'^optimiser: is for the mean objective, as "terminal" is searched date by date; drop it$',
        ),
    ],
)
def test_optimise_refuses_an_optimiser_before_it_starts(objective, optimiser, line, monkeypatch):
    monkeypatch.setattr(optimise, "_solve", None)
    with pytest.raises(sweep.SpecError, match=line):
        sweep.optimise(make_spec(objective=objective), optimiser=optimiser)


def test_sweep_optimise_offers_the_optimisers_that_there_are():
    assert tuple(descent.OPTIMISERS) == OPTIMISERS


def test_optimise_tells_how_far_it_is():
    seen = []
    sweep.optimise(make_spec(), progress=lambda done, total, seconds: seen.append((done, total)))
    assert seen[0] == (0, 12) and seen[-1] == (12, 12)


def other_model() -> sweep.SweepSpec:
    return sweep.SweepSpec(loss="total", outputs=["effective_years"], axes={"time": sweep.Axis(values=[1.0])})


BAD = {
    "other_model": (other_model, "objective: give one name to minimise or to maximise, got none"),
    "no_budget": (lambda: make_spec(budget=0.0), "fixed.budget: must be > 0 reference fleets, got 0"),
    "long_horizon": (
        lambda: make_spec(horizon=51.0),
        "fixed.horizon: must be in (0, 50] years, got 51; was a number of months meant? then write 4.25",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_optimise_refuses_in_one_line(case):
    make, line = BAD[case]
    with pytest.raises(sweep.SpecError) as error:
        sweep.optimise(make())
    assert str(error.value) == line


def test_optimise_refuses_sensitivities_of_the_terminal_objective():
    with pytest.raises(sweep.SpecError, match="sensitivities: are those of the mean objective"):
        sweep.optimise(make_spec(objective="terminal"), sensitivities=True)


def numbers_of(dataset):
    """Bytes of a dataset without the words along its dimensions."""
    words = {"purchase", "strategy", "rate", "parameter"} & set(dataset.coords)
    return dataset.nbytes - dataset[list(words)].nbytes


def test_result_bytes_are_those_of_the_dataset(found):
    assert footprint.result_bytes(make_spec(), sensitivities=True) == numbers_of(found)


@pytest.mark.parametrize(
    ("memory", "line"),
    [
        (4000, r"^memory: the result takes 2,264 bytes, more than half of the budget of 4,000; give a larger budget"),
        (10**5, r"^memory: 100,000 bytes are too few to solve in; give at least 51[3-9] MB$"),
    ],
)
def test_optimise_refuses_what_does_not_fit_before_it_starts(memory, line, monkeypatch):
    monkeypatch.setattr(optimise, "_solve", None)
    with pytest.raises(sweep.SpecError, match=line):
        sweep.optimise(make_spec(), memory=memory)


@pytest.mark.parametrize("number", [1, 100, 10**5, 10**6])
@pytest.mark.parametrize("memory", [2 * 10**7, 520 * 10**6, 10**9, 10**10])
@pytest.mark.parametrize("dates", [1, 8, 64])
def test_optimise_solves_no_more_at_once_than_the_memory_holds(number, memory, dates):
    axes = {"hardware_rate": {"start": 0.0, "stop": 1.0, "num": number}} if number > 1 else {}
    spec = make_spec(axes or {"hardware_rate": {"values": (0.5,)}})
    chosen = sweep.Allocation(dates=dates, objective="mean")
    spec = spec.model_copy(update={"allocation": chosen})
    result = footprint.result_bytes(spec)
    try:
        shard, threads = footprint.cut(spec, chosen, False, False, memory)
    except sweep.SpecError:
        least = footprint.FIXED_BYTES + footprint.LANE_BYTES * (dates + 1) * min(footprint.LEAST_SHARD, number)
        assert result > memory // 2 or result + least > memory
        return
    assert threads >= 1 and shard & (shard - 1) == 0
    assert footprint.FIXED_BYTES + result + threads * shard * footprint.LANE_BYTES * (dates + 1) <= memory


@pytest.mark.parametrize("seed", range(3))
def test_inward_stays_within_the_range_it_writes(seed):
    random = np.random.default_rng(seed)
    for value in random.uniform(-10, 10, 100):
        for end in value + random.choice([-1.0, 1.0], 20) * 10.0 ** random.uniform(-7, 1, 20):
            written = float(_inward(end, value))
            # A range of no width has only its value, which is written with seven digits.
            assert min(value, end) - 5e-7 * abs(value) <= written <= max(value, end) + 5e-7 * abs(value)


def test_optimise_refuses_statistics():
    mean = {"statistic": "mean", "output": "research_share", "over": ["software_rate"]}
    spec = make_spec().model_copy(update={"statistics": {"usual": sweep.Statistic(**mean)}})
    with pytest.raises(sweep.SpecError, match=r"^statistics: are not taken of optimal splits, got usual; drop them"):
        sweep.optimise(spec)


@pytest.mark.parametrize("dates", [0, 65, 2.5])
def test_allocation_refuses_another_number_of_dates(dates):
    with pytest.raises(sweep.SpecError, match=r"^dates: must be"):
        sweep.Allocation(dates=dates, objective="mean")


def test_run_and_open_dataset_refuse_a_model_that_is_solved():
    for use in (sweep.run, lambda spec: xr.open_dataset(spec, engine="sweep")):
        with pytest.raises(
            sweep.SpecError, match='"front_loading": has no values to evaluate; it is solved by sweep optim'
        ):
            use(make_spec())


def test_run_refuses_an_allocation_of_another_model():
    spec = sweep.SweepSpec(
        loss="total", outputs=["effective_years"], axes={"time": sweep.Axis(values=[1.0])},
        fixed={"doubling_rate": 1.0}, allocation=sweep.Allocation(objective="mean"),
    )  # fmt: skip
    with pytest.raises(
        sweep.SpecError, match=r'^allocation: belongs to the model "front_loading", not to "relative_loss"'
    ):
        sweep.run(spec)


CONFIG = """
model = "front_loading"
loss = "excess"
[allocation]
dates = 3
objective = "mean"
[axes]
software_rate = {{ {axis} }}
hardware_rate = {{ start = 0.1, stop = 1.5, num = 4 }}
[fixed]
budget = 5
horizon = 4
research_gain = 0.8
scaling_exponent = 0.15
reference_years = 1.0
"""


def test_sweep_optimise_tells_few_splits_one_by_one(tmp_path: Path):
    (tmp_path / "few.toml").write_text(CONFIG.format(axis="values = [0.5]"))
    done = CliRunner().invoke(main, ["optimise", str(tmp_path / "few.toml")])
    assert done.exit_code == 0, done.output
    words = " ".join(done.output.split())
    assert (
        words.count("for the least loss on the way, spend") == 4
        and "beats hare by" in words
        and words.count("for the least loss on the day") == 4
        and "4 of 4 certified" in words
    )
    assert words.count("holds for") == words.count("none of the three shares moves by more than 5 % of the budget") == 4
    # Nothing is said of rates that were not searched.
    assert words.count("any ") == words.count("of those searched, -10 to 10")


def test_sweep_optimise_gives_ranges_of_many_and_writes_a_file(tmp_path: Path):
    (tmp_path / "many.toml").write_text(CONFIG.format(axis="values = [0.1, 0.5, 1.2]"))
    args = ["optimise", str(tmp_path / "many.toml"), "--netcdf", str(tmp_path / "out.nc")]
    done = CliRunner().invoke(main, args)
    assert done.exit_code == 0, done.output
    assert "12 of 12 certified" in done.output and "regret of steady" in done.output
    with xr.open_dataset(tmp_path / "out.nc", engine="h5netcdf") as written:
        assert dict(written.front_load_share.sizes) == {"software_rate": 3, "hardware_rate": 4}
    assert CliRunner().invoke(main, args).exit_code == 2


def test_sweep_plot_draws_a_map_of_splits(tmp_path: Path):
    (tmp_path / "many.toml").write_text(CONFIG.format(axis="values = [0.1, 0.5, 1.2]"))
    args = [
        "plot",
        str(tmp_path / "many.toml"),
        "--x",
        "hardware_rate",
        "--y",
        "software_rate",
        "-o",
        str(tmp_path / "m.png"),
    ]
    done = CliRunner().invoke(main, args)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "m.png").stat().st_size > 10_000


def test_page_of_solved_splits_says_the_split_at_each_place(found):
    text = sweep.page(found).text
    for place in ((0, 0), (2, 3)):
        split = found.isel(software_rate=place[0], hardware_rate=place[1])
        assert f"spend {100 * float(split['front_load_share']):.3g} % on accelerators now" in text
