"""Decisions of any model, against closed forms, brute force and SciPy; and what is refused, in one line."""

import doctest
import math
import re
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from scipy.optimize import minimize

import sweep
from sweep import Model, Quantity, SpecError, SweepSpec
from sweep.questions import optimise as verb
from sweep.questions.decision import decide as deciding
from sweep.questions.decision.labels import GRID, INFEASIBLE, LOCAL, STALLED
from sweep.questions.decision.starts import MOST_POINTS, points_of

CONFIG = Path(__file__).parents[3] / "configs" / "cheapest_run.toml"
T0, N0, KAPPA = 2142 / 8766, 16_384, 0.05


def ripple(x, y, tilt):
    return (x * x + y - 11.0) ** 2 + (x + y * y - 7.0) ** 2 + tilt * x


def effort(x, y):
    return x * x + y * y


def rounded(x):
    return jnp.floor(x).astype(int)


def outside(x):
    return jnp.asarray(np.sin(x))


def below_whole(x, y):
    return jnp.where(x + y <= 1.0, -(x + 2.0 * y), jnp.nan)


def looped(x):
    """Square root, by as many steps as it takes."""
    return jax.lax.while_loop(lambda r: jnp.abs(r * r - x) > 1e-12, lambda r: (r + x / r) / 2.0, x) + (x - 3.0) ** 2


MODEL = Model("landscape", (ripple, effort, rounded, outside, below_whole, looped))
AXES = {
    "x": {"start": -5.0, "stop": 5.0, "num": 11},
    "y": {"start": -5.0, "stop": 5.0, "num": 11},
    "tilt": {"values": [-20.0, 0.0, 10.0, 20.0, 40.0]},
}
SPEC = SweepSpec(model="landscape", outputs=["ripple"], axes=AXES)


def best(subject_to=(), spec=SPEC, **question) -> xr.Dataset:
    question = {"minimise": "ripple", "over": ["x", "y"], "model": MODEL, **question}
    return sweep.optimise(spec, subject_to=subject_to, **question)


@pytest.fixture(scope="module")
def bounded() -> xr.Dataset:
    """In shards of two scenarios, the last of which has one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deciding, "LANES", 16)
        return best("effort <= 9 and x >= -2.5")


def test_decision_is_the_least_of_a_fine_grid(bounded):
    x = np.linspace(-2.5, 3.0, 2201)[:, None]
    y = np.linspace(-3.0, 3.0, 2401)
    for tilt in AXES["tilt"]["values"]:
        values = np.where(effort(x, y) <= 9.0, ripple(x, y, tilt), np.inf)
        cell = bounded.sel(tilt=tilt)
        assert float(cell.ripple) <= values.min() + 1e-7
        assert float(cell.ripple) >= values.min() - 0.4  # of the steepest slope, 150, over a cell's diagonal of 0.0035
        assert float(cell.status) == LOCAL


def test_decision_has_the_values_that_it_says(bounded):
    x, y = bounded.x.values, bounded.y.values
    assert np.allclose(bounded.ripple, ripple(x, y, bounded.tilt.values), rtol=1e-12)
    assert np.allclose(bounded.effort, effort(x, y), rtol=1e-12)


def test_conditions_are_met_to_the_bit(bounded):
    assert (bounded.effort <= 9.0).all() and (bounded.x >= -2.5).all()
    assert (np.abs(bounded.effort - 9.0) < 1e-6).any()  # and one binds


def test_decision_is_never_worse_than_the_best_allowed_point_of_the_grid(bounded):
    x, y = np.meshgrid(np.arange(-5.0, 6.0), np.arange(-5.0, 6.0), indexing="ij")
    for tilt in AXES["tilt"]["values"]:
        allowed = ripple(x, y, tilt)[(effort(x, y) <= 9.0) & (x >= -2.5)]
        cell = bounded.sel(tilt=tilt)
        assert float(cell.best_of_grid) == pytest.approx(allowed.min(), rel=1e-12)
        assert float(cell.ripple) <= float(cell.best_of_grid)


def test_attributes_say_what_was_asked(bounded):
    attributes = bounded.attrs
    assert attributes["kind"] == "decision"
    assert attributes["subject_to"] == "effort <= 9.0 and x >= -2.5"
    assert (attributes["minimised"], attributes["maximised"], attributes["decisions"]) == ("ripple", "none", "x, y")
    assert (attributes["starts"], attributes["grid_points"]) == (8, 121)
    assert bounded.status.attrs["flag_meanings"].split()[LOCAL] == "local"
    assert bounded.ripple.dims == ("tilt",) and "units" in bounded.ripple.attrs


def test_least_under_a_condition_that_does_not_bind_is_that_of_himmelblau():
    cell = best("ripple <= 1e9").sel(tilt=0.0)  # compiled once with those below
    assert float(cell.ripple) == pytest.approx(0.0, abs=1e-12)
    known = [(3.0, 2.0), (-2.805118, 3.131312), (-3.779310, -3.283186), (3.584428, -1.848126)]
    assert min(math.dist((float(cell.x), float(cell.y)), at) for at in known) < 1e-5
    assert int(cell.starts_alike) >= 2


def test_greatest_at_a_corner_is_the_corner_exactly_whatever_axes_do_not_matter():
    found = best(minimise=None, maximise="effort", spec=SPEC)
    assert np.abs(found.x) == 5.0 and np.abs(found.y) == 5.0
    assert found.effort == 50.0 and found.status == LOCAL and found.status.shape == ()


def test_scenarios_in_which_nothing_is_allowed_are_nan_and_told():
    """What the last scenario allows lies between the points of the grid."""
    grid, fine = (np.linspace(-5.0, 5.0, n) for n in (11, 1001))
    on_grid, least = (ripple(x[:, None], x, 40.0).min() for x in (grid, fine))
    bound = round((on_grid + least) / 2.0, 1)
    assert least < bound < on_grid
    line = rf"^in 4 of 5 scenarios no decision between the ends has ripple <= {bound:g}; they are NaN"
    with pytest.warns(UserWarning, match=line):
        found = best(f"ripple <= {bound}")
    assert found.status.values.tolist() == [INFEASIBLE] * 4 + [LOCAL]
    assert float(found.ripple[-1]) == pytest.approx(least, abs=1e-2)
    assert np.isnan(found.best_of_grid).all()
    assert all(np.isnan(found[name][:4]).all() for name in ("x", "y", "ripple"))


def test_nothing_allowed_anywhere_is_refused():
    with pytest.raises(
        SpecError, match=r"^subject_to: no decision between the ends has ripple <= -900 in any of 5 scen"
    ):
        best("ripple <= -900")


def test_where_an_output_is_nan_is_no_decision():
    """Nothing follows the edge of what is not a number, so all that is promised is the grid's best or better."""
    axis = {"start": 0.0, "stop": 1.0, "num": 6}
    found = best(spec=SPEC.model_copy(update={"axes": {"x": sweep.Axis(**axis), "y": sweep.Axis(**axis)}}),
                 minimise="below_whole")  # fmt: skip
    assert -2.0 <= float(found.below_whole) <= float(found.best_of_grid) <= -1.8
    assert int(found.status) in (GRID, LOCAL, STALLED)


def test_loops_of_unknown_length_have_derivatives():
    spec = SPEC.model_copy(update={"axes": {"x": sweep.Axis(start=1.0, stop=5.0, num=5)}})
    found = best(spec=spec, minimise="looped", over="x")
    slope = 0.5 / math.sqrt(float(found.x)) + 2.0 * (float(found.x) - 3.0)
    assert abs(slope) < 1e-5


def test_points_of_a_long_grid_are_cut_and_keep_the_ends():
    axes = [sweep.Axis(start=0.0, stop=1.0, num=1001), sweep.Axis(start=1.0, stop=1e4, num=3, spacing="log")] * 2
    points = points_of(axes)
    assert len(points) <= MOST_POINTS
    assert points.min(axis=0).tolist() == [0.0, 1.0, 0.0, 1.0] and points.max(axis=0).tolist() == [1.0, 1e4, 1.0, 1e4]


def test_example_of_the_verb_runs():
    assert doctest.testmod(verb).attempted >= 5
    assert doctest.testmod(verb).failed == 0


# ---- shipped models -------------------------------------------------------------------------------------------------


def test_cheapest_fleet_for_a_target_is_the_closed_form():
    axes = {
        "fleet_size": {"start": 1e2, "stop": 1e12, "num": 11, "spacing": "log"},
        "time": {"values": [1.0, 5.0]},
        "doubling_rate": {"values": [0.5, 1.5]},
    }
    fixed = {"scaling_exponent": KAPPA}
    spec = SweepSpec(
        model="relative_loss", loss="total", reference="llama-3.1-405b", outputs=["total_cost"], axes=axes, fixed=fixed
    )
    found = sweep.optimise(spec, minimise="fleet_size", over="fleet_size", subject_to="relative_loss <= 0.6")
    for time in (1.0, 5.0):
        for rate in (0.5, 1.5):
            grown = (2.0 ** (rate * time) - 1.0) / (rate * math.log(2.0))
            fleet = (0.6 ** (-1.0 / KAPPA) - 1.0) * N0 * T0 / grown
            assert float(found.fleet_size.sel(time=time, doubling_rate=rate)) == pytest.approx(fleet, rel=1e-5)
    assert (found.status == LOCAL).all()


def run_cost(x):
    """Loss and cost of a run that starts late, in NumPy; x is log10 of the fleet, the start and the duration."""
    fleet, start, duration = 10.0 ** x[0], x[1], x[2]

    def loss(rate):
        years = duration if rate == 0.0 else np.expm1(rate * math.log(2.0) * duration) / (rate * math.log(2.0))
        return (1.0 + fleet / N0 * 2.0 ** (rate * start) * years / T0) ** -KAPPA

    price = 33_800 * 1.64 / (1 - 0.19) * 2.0 ** (-0.48 * start)
    return loss, fleet * (price + 0.70 * 1.82 * 0.75 * 1.1 * 8766 * duration * 0.0826)


def test_config_has_the_cheapest_run_that_slsqp_finds_and_its_comment_says():
    question = {"minimise": "total_cost", "over": ["fleet_size", "start_date", "duration"]}
    found = sweep.optimise(sweep.load(CONFIG), subject_to="relative_loss <= 0.7 and finish_date <= 5", **question)
    assert (found.status == LOCAL).all() and (found.starts_alike >= 6).all()
    rng = np.random.default_rng(1)
    for rate in found.doubling_rate.values:
        conditions = (
            {"type": "ineq", "fun": lambda x, rate=rate: 1e2 * (0.7 - run_cost(x)[0](rate))},
            {"type": "ineq", "fun": lambda x: 5.0 - x[1] - x[2]},
        )
        ends = [minimize(lambda x: np.log(run_cost(x)[1]), rng.uniform((4, 0, 1), (7, 4, 4)), method="SLSQP",
                         bounds=((3, 8), (0, 10), (0, 10)), constraints=conditions, options={"ftol": 1e-14})
                for _ in range(12)]  # fmt: skip
        allowed = [end for end in ends if all(c["fun"](end.x) > -1e-7 for c in conditions)]
        least = min(np.exp(end.fun) for end in allowed)
        assert float(found.total_cost.sel(doubling_rate=rate)) == pytest.approx(least, rel=1e-5)
    told = re.findall(r"^# +([\d.]+) a year: +([\d.e]+) USD, ([\d,]+) GPUs", CONFIG.read_text(), re.M)
    assert [float(rate) for rate, _, _ in told] == found.doubling_rate.values.tolist()
    assert [f"{float(cost):.2e}" for _, cost, _ in told] == [f"{v:.2e}" for v in found.total_cost.values]
    fleets = [float(fleet.replace(",", "")) for _, _, fleet in told]
    assert [f"{fleet:.2e}" for fleet in fleets] == [f"{v:.2e}" for v in found.fleet_size.values]


def split_loss(x, budget):
    """Logarithm of the excess loss in five years of shares now and of research, and a date for the rest; NumPy."""
    front, research, date = x
    rate = 1.5 + 0.75 * (1.0 - math.exp(-research * budget)) - 0.2 / math.log(2.0)
    years = [np.expm1(rate * math.log(2.0) * t) / (rate * math.log(2.0)) for t in (5.0, 5.0 - date)]
    lead = 2.0 ** (date * (0.48 + rate + 0.2 / math.log(2.0)))
    bought = (1.0 + budget * front) * years[0] + budget * max(1.0 - front - research, 0.0) * lead * years[1]
    return -0.178 * math.log1p(bought / T0)


def test_strategies_split_the_budget_as_slsqp_does_and_spend_no_more_than_it():
    axes = {name: {"start": 0.0, "stop": 1.0, "num": 6} for name in ("front_load_share", "research_share")}
    axes |= {"later_date": {"start": 0.0, "stop": 5.0, "num": 6}, "budget": {"values": [0.25, 2.0, 8.0]}}
    fixed = {"horizon": 5.0, "hardware_rate": 0.48, "software_rate": 1.5, "research_gain": 0.75, "research_scale": 1.0,
             "depreciation": 0.2, "installed_fleet": 1.0, "scaling_exponent": 0.178}  # fmt: skip
    spec = SweepSpec(model="strategies", loss="excess", reference="llama-3.1-405b", outputs=["relative_excess_loss"],
                     axes=axes, fixed=fixed)  # fmt: skip
    over = ["front_load_share", "research_share", "later_date"]
    found = sweep.optimise(spec, minimise="relative_excess_loss", over=over, subject_to="front_load_share >= 0.3")
    assert (found.front_load_share + found.research_share <= 1.0 + 1e-15).all()
    rng = np.random.default_rng(2)
    for budget in axes["budget"]["values"]:
        whole = {"type": "ineq", "fun": lambda x: 1.0 - x[0] - x[1]}
        ends = [minimize(split_loss, rng.uniform((0.3, 0, 0), (0.6, 0.4, 5)), (budget,), method="SLSQP",
                         bounds=((0.3, 1), (0, 1), (0, 5)), constraints=(whole,), options={"ftol": 1e-15})
                for _ in range(12)]  # fmt: skip
        least = math.exp(min(end.fun for end in ends if whole["fun"](end.x) > -1e-9))
        assert float(found.relative_excess_loss.sel(budget=budget)) == pytest.approx(least, rel=1e-7)


# ---- what is refused ------------------------------------------------------------------------------------------------

FEW = {"values": [1.0, 2.0]}


@pytest.mark.parametrize(
    ("question", "line"),
    [
        ({"minimise": None}, r"objective: give one name to minimise or to maximise, got none"),
        ({"maximise": "effort"}, r"objective: give one name .*, got ripple and effort; sweep frontier takes several"),
        ({"minimise": ["ripple"]}, r'objective: must be one name, got \["ripple"\]; sweep frontier takes several'),
        ({"minimise": "riple"}, r'objective: unknown output or decision "riple"; did you mean ripple\?'),
        ({"minimise": "x"}, r"objective: x is a decision, so nothing trades against it; add a condition on an output"),
        ({"over": []}, r"over: give 1 to 8 axes to decide on \(x, y, tilt\), got 0"),
        ({"over": ["x", "x"]}, r"over: x is given twice; give it once"),
        ({"over": ["z"]}, r'over: unknown axis "z"; allowed: x, y, tilt'),
        ({"over": ["tilt"]}, r"over: tilt is a list of 5 values, and a decision is any value between two ends; give"),
        ({"minimise": "looped", "over": ["x", "y"]}, r"over: neither the objective nor a condition depends on y; drop"),
        ({"subject_to": "cost <= 5"}, r'subject_to: unknown output or decision "cost"'),
        ({"subject_to": "tilt <= 5"}, r'subject_to: unknown output or decision "tilt"'),
        ({"subject_to": "effort about 5"}, r"subject_to: must be comparisons such as .*, got \"effort about 5\""),
        ({"subject_to": "effort <= 1e-310"}, r"subject_to: 1e-310 is nearer to 0 than float64 numbers are"),
        ({"starts": 0}, r"starts: must be 1 to 64, got 0"),
        ({"minimise": "rounded", "over": "x"}, r"objective: rounded is of whole numbers or truth values, and has no"),
        (
            {"minimise": "outside", "over": "x"},
            r"objective: outside have no derivatives in JAX \(TracerArrayConversion",
        ),
        ({"memory": 10**6}, r"memory: 5 scenarios take about 513 MB, more than the budget of 1 MB"),
        ({"robust": "mean"}, r'robust: is of the split of a budget, the model "front_loading"; drop it'),
        ({"both": True}, r'both: is of the split of a budget, the model "front_loading"; drop it'),
    ],
)
def test_question_that_cannot_be_answered_is_refused_before_any_work(question, line, monkeypatch):
    monkeypatch.setattr(deciding, "compiled_values", None)
    with pytest.raises(SpecError, match=f"^{line}"):
        best(**question)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        (
            {"statistics": {"m": {"statistic": "mean", "over": ["tilt"], "output": "ripple"}}},
            r"statistics: a decision is of values that are known, got m; drop them",
        ),
        (
            {"axes": {"x": AXES["x"], "y": AXES["y"]}, "distributions": {"tilt": {"distribution": "uniform", "low": 0.0,
             "high": 1.0}}},
            r"distributions: a decision is of values that are known, got tilt",
        ),
        ({"axes": {"x": AXES["x"], "tilt": FEW}, "fixed": {"y": 3.0}}, r"over: y is fixed at 3; make it an axis"),
        ({"axes": {"x": AXES["x"], "tilt": FEW}}, r"over: y is not an axis; give it start, stop and num"),
        ({"axes": {**AXES, "tilt": {"start": 0.0, "stop": 1.0, "num": 10**7}}}, r"axes: make 10,000,000 scenarios"),
    ],
)  # fmt: skip
def test_sweep_that_cannot_be_decided_is_refused(fields, line):
    spec = SweepSpec(**{"model": "landscape", "outputs": ["ripple"], "axes": AXES, **fields})
    with pytest.raises(SpecError, match=f"^{line}"):
        best(spec=spec)


@pytest.mark.parametrize("name", ["minimise", "maximise", "over", "subject_to", "starts"])
def test_solved_model_refuses_a_question_of_its_own(name):
    spec = sweep.load(CONFIG.parent / "front_loading.toml")
    value = 3 if name == "starts" else "budget"
    with pytest.raises(SpecError, match=rf'^{name}: the model "front_loading" is a split with an objective of its own'):
        sweep.optimise(spec, **{name: value})


def test_shares_of_a_model_are_its_parameters():
    with pytest.raises(SpecError, match=r'^model "m": shares: unknown parameter "a"'):
        Model("m", (Quantity.of(effort),), shares=("a",))


def test_caveats_of_a_spec_are_told_once():
    spec = SweepSpec(
        model="relative_loss",
        loss="total",
        reference="llama-3.1-405b",
        outputs=["total_cost"],
        axes={"fleet_size": {"start": 1e3, "stop": 1e5, "num": 3}, "time": {"values": [2028.0, 2029.0]}},
        fixed={"scaling_exponent": 0.05, "doubling_rate": 0.0},
    )
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(SpecError, match=r"^memory: "):  # which is refused thereafter
            sweep.optimise(spec, minimise="total_cost", over="fleet_size", memory=1)
    assert len([w for w in told if "calendar year" in str(w.message)]) == 1
