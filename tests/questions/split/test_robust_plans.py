"""One plan for many draws: better than every other at what it is for, told in words, and what knowing is worth."""

import numpy as np
import pytest
from click.testing import CliRunner

import sweep
from kernels.split.robust import tail_mean
from sweep.cli.main import main
from sweep.questions.split import optimise
from sweep.questions.split.robust import GOALS, PLANS

DRAWS, DATES, LEVEL = 64, 2, 0.8
FIXED = {
    "horizon": 4.0,
    "software_rate": 0.8,
    "hardware_rate": 0.6,
    "research_gain": 1.0,
    "depreciation": 0.2,
    "scaling_exponent": 0.15,
    "reference_years": 0.25,
}
UNCERTAIN = {
    "research_scale": {"distribution": "loguniform", "low": 0.1, "high": 10.0},
    "hardware_rate": {"distribution": "uniform", "low": 0.2, "high": 1.0},
}


def make_spec(uncertain=UNCERTAIN, objective="mean", budgets=(0.5, 4.0), **changed):
    fixed = {name: value for name, value in (FIXED | changed).items() if name not in uncertain}
    return sweep.SweepSpec(
        model="front_loading",
        loss="excess",
        allocation=sweep.Allocation(dates=DATES, objective=objective),
        axes={"budget": sweep.Axis(values=budgets)},
        distributions={name: sweep.Distribution(**one) for name, one in uncertain.items()},
        draws=sweep.Draws(number=DRAWS, seed=3) if uncertain else None,
        fixed=fixed,
    )


@pytest.fixture(scope="module")
def found():
    return sweep.optimise(make_spec(), robust="cvar", level=LEVEL, worth=True)


def test_each_goal_is_met_best_by_its_own_plan(found):
    kinds = ("expected_regret", "conditional_regret", "worst_regret")
    for goal, kind in zip(GOALS, kinds, strict=True):
        own = found[kind].sel(plan=goal)
        assert (own <= found[kind] + 1e-8).all(), kind
    assert (found.status == 0).all() and (found.regret_bound <= 1e-8).all()
    assert (found.worst_regret.sel(plan="mean") > found.worst_regret.sel(plan="worst") + 1e-4).any()


def test_regrets_are_those_of_each_draw(found):
    assert found.regret.dims == ("budget", "plan", "draw") and (found.regret >= -1e-9).all()
    np.testing.assert_allclose(found.regret.mean("draw"), found.expected_regret, rtol=1e-12)
    one = found.isel(budget=1).sel(plan="cvar")
    tail = tail_mean(one.regret.values, np.full(DRAWS, 1 / DRAWS), LEVEL)
    assert float(one.conditional_regret) == pytest.approx(tail, rel=1e-12)
    expected = one.regret.mean() + found.isel(budget=1).draw_objective.mean()
    assert float(found.objective[1]) == pytest.approx(float(expected), rel=1e-12)


def test_draws_are_those_that_are_split_one_by_one(found):
    alone = sweep.optimise(make_spec())
    np.testing.assert_array_equal(alone.objective, found.draw_objective)
    np.testing.assert_array_equal(alone.shares, found.draw_shares)
    # One plan for what one draw alone would do has the regret of a split of its own.
    assert (found.value_of_information == found.expected_regret.sel(plan="mean")).all()


def test_curve_leads_from_the_mean_to_the_worst(found):
    ends = found.isel(level=[0, -1])
    for k, goal in ((0, "mean"), (1, "worst")):
        kind = "curve_expected_regret" if goal == "mean" else "curve_worst_regret"
        at = found["expected_regret" if goal == "mean" else "worst_regret"].sel(plan=goal)
        np.testing.assert_allclose(ends[kind].isel(level=k), at, rtol=1e-4, atol=1e-8)
    expected, worst = found.curve_expected_regret.values, found.curve_worst_regret.values
    assert (worst >= worst[:, -1:] - 1e-8).all() and (expected >= expected[:, :1] - 1e-8).all()
    np.testing.assert_allclose(
        found.price_of_robustness, found.curve_expected_regret[:, -1] - found.curve_expected_regret[:, 0], atol=1e-6
    )


def test_knowing_one_parameter_is_worth_at_most_knowing_all(found):
    slack = 3 * found.value_of_knowing_error
    assert (found.value_of_knowing >= 0.0).all()
    assert (found.value_of_knowing <= found.value_of_information + slack).all()


def test_knowing_the_only_parameter_is_worth_nearly_all_and_an_idle_one_nothing():
    """Where research gains nothing, its scale changes nothing."""
    only = {"research_scale": UNCERTAIN["research_scale"]}
    known = sweep.optimise(make_spec(only), robust="mean", worth=True)
    value, whole = known.value_of_knowing.sel(known="research_scale"), known.value_of_information
    assert (whole > 1e-4).all() and (value >= 0.7 * whole).all() and (value <= whole + 1e-9).all()
    idle = sweep.optimise(make_spec(UNCERTAIN, research_gain=0.0), robust="mean", worth=True)
    assert (idle.value_of_knowing.sel(known="research_scale") <= 3 * idle.value_of_knowing_error[:, 0] + 1e-12).all()


def test_money_for_knowing_buys_as_much(found):
    """The budget more, spent as the plan spends it, makes the mean loss what it would be if all were known."""
    more = 0.5 + float(found.value_of_information_budget[0])
    richer = sweep.optimise(make_spec(budgets=(more, 4.0)), robust="mean")
    known = float(found.draw_objective[0].mean())
    assert float(richer.expected_objective.sel(plan="mean")[0]) <= known + 1e-9


def test_robust_dataset_says_what_everything_is(found):
    assert all(v.attrs["units"] and v.attrs["long_name"] for v in found.data_vars.values())
    assert list(found.plan.values) == list(PLANS) and found.attrs["allocation_robust"] == "cvar"
    assert found.conditional_regret.attrs["long_name"] == "mean of the worst 20 % of the regrets"
    np.testing.assert_allclose(found.plan_shares.sum("purchase") + found.plan_research_share, 1.0, atol=1e-12)


@pytest.mark.parametrize(
    ("spec", "more", "line"),
    [
        (
            {"uncertain": {}},
            {"robust": "mean"},
            r"^robust: is one plan for the draws of \[distributions\], and there are",
        ),
        ({}, {"robust": "median"}, r'^robust: must be "mean", "cvar" or "worst", got "median"$'),
        ({}, {"robust": "cvar", "level": 1.0}, r"^level: must be less than 1, got 1\.0$"),
        ({}, {"robust": "cvar", "level": 0.0}, r"^level: must be greater than 0, got 0\.0$"),
        ({}, {"level": 0.5}, r"^level: is of one plan for many draws; give robust too, or drop it$"),
        ({}, {"worth": True}, r"^worth: is of one plan for many draws; give robust too, or drop it$"),
        ({}, {"robust": "mean", "ranges": True}, r"^ranges: are of the split of one scenario, not of one plan"),
        (
            {},
            {"robust": "mean", "optimiser": "adam"},
            r'^optimiser: one plan for many draws is solved by "newton" alone',
        ),
    ],
)
def test_optimise_refuses_in_one_line_before_it_starts(spec, more, line, monkeypatch):
    monkeypatch.setattr(optimise, "_solve", None)
    with pytest.raises(sweep.SpecError, match=line):
        sweep.optimise(make_spec(**spec), **more)


def test_optimise_refuses_draws_that_do_not_fit(monkeypatch):
    monkeypatch.setattr(optimise, "_solve", None)
    spec = make_spec()
    assert spec.shape["draw"] == DRAWS
    with pytest.raises(
        sweep.SpecError, match=r"^memory: the result takes [\d,]+ bytes, more than half of the budget of"
    ):
        sweep.optimise(spec, robust="mean", memory=40_000)


CONFIG = """
model = "front_loading"
loss = "excess"
[allocation]
dates = 2
objective = "mean"
robust = "worst"
[distributions]
hardware_rate = { distribution = "uniform", low = 0.2, high = 1.0 }
research_scale = { distribution = "loguniform", low = 0.1, high = 10 }
[draws]
number = 64
[fixed]
budget = 4
horizon = 4
software_rate = 0.8
research_gain = 1
scaling_exponent = 0.15
reference_years = 0.25
"""


def test_sweep_optimise_tells_one_plan_and_what_knowing_is_worth(tmp_path):
    (tmp_path / "robust.toml").write_text(CONFIG)
    done = CliRunner().invoke(main, ["optimise", str(tmp_path / "robust.toml"), "--netcdf", str(tmp_path / "out.nc")])
    assert done.exit_code == 0, done.output
    words = " ".join(done.output.split())
    assert "least worst regret over 64 draws" in words and "1 of 1 plan certified" in words
    assert all(f" {name} " in words for name in (*PLANS, "research_scale", "everything"))
    assert (tmp_path / "out.nc").stat().st_size > 0
