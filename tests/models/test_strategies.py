"""Strategies against mpmath: quadrature and roots of the definitions; as models against brute force and each other."""

from functools import cache

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
import xarray as xr

import sweep
from kernels.split import allocation, strategies
from sweep.models.registry import MODELS

SHARES = ("front_load_share", "research_share", "later_date")
SCENARIO = (
    "budget",
    "hardware_rate",
    "software_rate",
    "research_gain",
    "research_scale",
    "depreciation",
    "installed_fleet",
    "reference_years",
)
LAW = ("target", "scaling_exponent", "irreducible_share")
DELAYED = ("fleet_size", "start_date", "duration", "doubling_rate", "reference_fleet", "reference_years")
EXAMPLE = dict(zip((*SHARES, *SCENARIO), (0.3, 0.2, 1.5, 2.0, 0.48, 1.5, 0.75, 1.0, 0.2, 1.0, 0.25), strict=True))
DTYPES = [pytest.param(np.float32, id="float32"), pytest.param(np.float64, id="float64")]
COUNT = 80
STEP = mp.mpf(10) ** -25
FAR = mp.mpf(10) ** 60  # years within which the oracle looks for a time


@pytest.fixture
def double_precision():
    with jax.enable_x64(True):
        yield


def years(span, rate):
    """∫ e^(rate s) ds from 0 to span."""
    return span if rate == 0 else mp.expm1(rate * span) / rate


def rest_of(v, dtype):
    """The share that is left, 0 where it is rounding."""
    rest = 1 - v["front_load_share"] - v["research_share"]
    return rest if abs(rest) > 4 * float(np.finfo(dtype).eps) else v["rest_step"]


def rates_of(v):
    """Doublings a year of software after research, and the rate e^(rate s) at which what is installed gains."""
    spent = v["research_share"] * v["budget"] / v["research_scale"]
    software = v["software_rate"] - v["research_gain"] * mp.expm1(-spent)
    return software, software * mp.log(2) - v["depreciation"]


def added(v, time, dtype):
    """c(t) − 1."""
    software, rate = rates_of(v)
    first = v["installed_fleet"] + v["budget"] * v["front_load_share"]
    total = first * years(time, rate)
    date = v["later_date"]
    if date < time:
        bought = v["budget"] * rest_of(v, dtype) * mp.mpf(2) ** ((v["hardware_rate"] + software) * date)
        total += bought * years(time - date, rate)
    return total / v["reference_years"]


def exact(row):
    return {name: mp.mpf(float(value)) for name, value in row.items()} | {"rest_step": mp.mpf(0)}


def spread(function, v):
    """Σ |x ∂f/∂x| over the arguments: what one unit of rounding in each may change."""
    total = mp.mpf(0)
    for name in v:
        size = abs(v[name]) if name != "rest_step" else mp.mpf(1)
        up, down = ({**v, name: v[name] + sign * STEP} for sign in (1, -1))
        total += size * abs(function(up) - function(down)) / (2 * STEP)
    return total


def sample(count, seed, dtype):
    """Scenarios over the whole domain; rates and shares that are 0 or all among them."""
    random = np.random.default_rng(seed)

    def often_zero(values):
        return np.where(random.random(count) < 0.15, 0.0, values)

    front, research = random.dirichlet(np.full(3, 0.6), count)[:, :2].T
    whole = random.random(count)
    research = np.where(whole < 0.15, 0.0, np.where(whole < 0.3, 1.0 - front, research))
    columns = {
        "front_load_share": often_zero(front),
        "research_share": research,
        "later_date": often_zero(random.uniform(0, 50, count) ** 1.0),
        "budget": 10.0 ** random.uniform(-9, 12, count),
        "hardware_rate": often_zero(random.uniform(-10, 10, count)),
        "software_rate": often_zero(random.uniform(-10, 10, count)),
        "research_gain": often_zero(random.uniform(0, 10, count)),
        "research_scale": 10.0 ** random.uniform(-2, 12, count),
        "depreciation": often_zero(random.uniform(0, 2, count)),
        "installed_fleet": often_zero(random.uniform(0, 5, count)),
        "reference_years": 10.0 ** random.uniform(-1, 1, count),
        "time": random.uniform(0, 50, count),
        "target": random.uniform(0.2, 1.0, count),
        "scaling_exponent": 10.0 ** random.uniform(-3, 0, count),
        "irreducible_share": often_zero(random.uniform(0, 0.19, count)),
    }
    return {name: column.astype(dtype) for name, column in columns.items()}


def rows(columns, *names):
    return [{name: columns[name][i] for name in names} for i in range(len(columns[names[0]]))]


def given(columns):
    return {name: jnp.asarray(columns[name]) for name in SCENARIO}


def first_three(columns):
    return [jnp.asarray(columns[name]) for name in SHARES]


@cache
def compiled(function):
    return jax.jit(getattr(strategies, function))


@pytest.mark.parametrize("dtype", DTYPES)
def test_log_compute_ratio_agrees_with_mpmath_over_the_domain(dtype, double_precision):
    columns = sample(COUNT, 1, dtype)
    found = compiled("log_compute_ratio")(*first_three(columns), jnp.asarray(columns["time"]), **given(columns))
    unit, tiny = float(np.finfo(dtype).eps), float(np.finfo(dtype).tiny)
    assert found.dtype == dtype
    with mp.workdps(60):
        for got, row in zip(found, rows(columns, *SHARES, *SCENARIO, "time"), strict=True):
            v = exact(row)
            right = mp.log1p(added(v, v["time"], dtype))
            slack = spread(lambda v: added(v, v["time"], dtype), v) / (1 + added(v, v["time"], dtype))
            assert abs(float(got) - right) <= unit * (8 * abs(right) + 4 * slack) + 2 * tiny, row


def test_compute_ratio_is_the_integral_of_its_definition(double_precision):
    columns = sample(8, 2, np.float64)
    with mp.workdps(30):
        for row in rows(columns, *SHARES, *SCENARIO):
            row |= {"later_date": 1.0, "hardware_rate": row["hardware_rate"] / 5}
            v = exact(row)
            software, _ = rates_of(v)

            def worth(s, v=v, software=software):
                lost = mp.exp(-v["depreciation"] * s)
                fleet = (v["installed_fleet"] + v["budget"] * v["front_load_share"]) * lost
                if s > 1:
                    better = mp.mpf(2) ** v["hardware_rate"] * mp.exp(v["depreciation"])
                    fleet += v["budget"] * rest_of(v, np.float64) * better * lost
                return fleet * mp.mpf(2) ** (software * s) / v["reference_years"]

            whole = mp.quad(worth, [0, 0.5, 1]) + mp.quad(worth, [1 + mp.mpf(10) ** -30, 1.5, 2])
            np.testing.assert_allclose(float(whole), float(added(v, mp.mpf(2), np.float64)), rtol=1e-12)


def test_log_compute_ratio_is_that_of_a_schedule_with_two_dates(double_precision):
    columns = sample(COUNT, 3, np.float64)
    front, research, date = first_three(columns)
    date, time = date + 0.5, jnp.asarray(columns["time"])
    shares = jnp.stack([front, strategies.later_share(front, research)], axis=-1)
    schedule = jax.jit(allocation.log_compute_ratio)(shares, research, time, horizon=2.0 * date, **given(columns))
    ours = compiled("log_compute_ratio")(front, research, date, time, **given(columns))
    np.testing.assert_allclose(ours, schedule, rtol=1e-12, atol=1e-300)


def test_log_compute_ratio_has_the_gradient_of_a_schedule(double_precision):
    columns = sample(COUNT, 4, np.float64)
    front, research, date = first_three(columns)
    time, values = jnp.asarray(columns["time"]), given(columns)

    def schedule(front, research, date, time, values):
        shares = jnp.stack([front, strategies.later_share(front, research)], axis=-1)
        return jnp.sum(allocation.log_compute_ratio(shares, research, time, horizon=2.0 * date, **values))

    def ours(front, research, date, time, values):
        return jnp.sum(strategies.log_compute_ratio(front, research, date, time, **values))

    point = (front, research, date + 0.5, time, values)
    found, right = (jax.jit(jax.grad(f, range(5)))(*point) for f in (ours, schedule))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(right), strict=True):
        usual = np.isfinite(b)
        np.testing.assert_allclose(a[usual], b[usual], rtol=1e-9, atol=1e-12 * np.abs(b[usual]).max())


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_date_that_has_not_come_has_bought_nothing(dtype, double_precision):
    point = {name: dtype(value) for name, value in EXAMPLE.items()}
    shares, values = [point[name] for name in SHARES], {name: point[name] for name in SCENARIO}
    at_date = compiled("log_compute_ratio")(*shares, dtype(1.5), **values)
    nothing_later = compiled("log_compute_ratio")(dtype(0.3), dtype(0.2), dtype(9.0), dtype(1.5), **values)
    assert at_date == nothing_later


@pytest.mark.parametrize("dtype", DTYPES)
def test_later_share_of_all_but_rounding_is_zero(dtype, double_precision):
    front = np.linspace(0.0, 1.0, 1001).astype(dtype)
    research = np.linspace(0.0, 1.0, 1001).astype(dtype)[::-1]
    assert not np.any(strategies.later_share(front, research))


def test_later_share_of_more_than_the_budget_is_nan():
    assert np.isnan(strategies.later_share(0.75, 0.5))


def test_later_share_has_the_same_derivative_where_it_is_zero():
    assert jax.grad(strategies.later_share)(0.75, 0.25) == -1.0


@pytest.mark.parametrize("name", ["log_compute_ratio", "mean_loss", "time_to_target"])
def test_more_than_the_budget_gives_nan(name):
    point = {**EXAMPLE, "front_load_share": 0.75, "research_share": 0.5, "installed_fleet": 10.0}
    more = {
        "log_compute_ratio": {"time": 1.0},  # before the later date too
        "mean_loss": {"scaling_exponent": 0.1, "horizon": 1.0},
        "time_to_target": {"target": 0.99, "scaling_exponent": 0.1},
    }
    assert np.isnan(compiled(name)(**point, **more[name]))


def years_to(v, dtype):
    """Time at which log c is −log X* / κ, by bisection; infinite where it is not near."""
    wanted = -mp.log((v["target"] - v["irreducible_share"]) / (1 - v["irreducible_share"])) / v["scaling_exponent"]

    def missing(time):
        return mp.log1p(added(v, time, dtype)) - wanted

    if missing(FAR) < 0:
        return mp.inf
    date = v["later_date"]
    low, high = (mp.mpf(10) ** -60, date) if date > 0 and missing(date) >= 0 else (date, FAR)
    start = low if low == date else mp.mpf(0)
    low, high = mp.log(mp.mpf(10) ** -60), mp.log(high - start)
    for _ in range(220):
        middle = (low + high) / 2
        low, high = (low, middle) if missing(start + mp.exp(middle)) >= 0 else (middle, high)
    return start + mp.exp(high)


@pytest.mark.parametrize("dtype", DTYPES)
def test_time_to_target_agrees_with_a_root_found_by_mpmath(dtype, double_precision):
    columns = sample(COUNT, 5, dtype)
    law = {name: jnp.asarray(columns[name]) for name in LAW[1:]}
    found = compiled("time_to_target")(columns["target"], *first_three(columns), **law, **given(columns))
    unit, compared, endless = float(np.finfo(dtype).eps), 0, 0
    with mp.workdps(60):
        for got, row in zip(np.asarray(found), rows(columns, *SHARES, *SCENARIO, *LAW), strict=True):
            v = exact(row)
            right = years_to(v, dtype)

            def missing(v, time=right):
                room = (v["target"] - v["irreducible_share"]) / (1 - v["irreducible_share"])
                return mp.log1p(added(v, time, dtype)) + mp.log(room) / v["scaling_exponent"]

            if right > float(np.finfo(dtype).max):
                endless += 1
                assert got > FAR / 10, row
                continue
            slope = (added(v, right * (1 + STEP), dtype) - added(v, right, dtype)) / (right * STEP)
            slack = spread(missing, v) * (1 + added(v, right, dtype)) / slope
            if 4 * unit * slack < right / 8:  # farther off, a rounding decides whether the target is reached at all
                compared += 1
                assert abs(float(got) - right) <= unit * (8 * right + 4 * slack), row
    assert compared > 0.5 * COUNT and endless > 0.05 * COUNT


def test_time_to_target_is_where_the_loss_is_the_target(double_precision):
    target = np.linspace(0.2, 0.99, 80)
    time = compiled("time_to_target")(target, **EXAMPLE, scaling_exponent=0.178)
    loss = np.exp(-0.178 * compiled("log_compute_ratio")(**EXAMPLE, time=time))
    assert np.any(time < 1.5) and np.any(time > 1.5)
    np.testing.assert_allclose(loss, target, rtol=1e-13)


@pytest.mark.parametrize(
    ("change", "right"),
    [
        pytest.param({"target": 1.0}, 0.0, id="reached at once"),
        pytest.param({"target": 0.1, "irreducible_share": 0.1}, np.inf, id="below the floor"),
        pytest.param({"front_load_share": 0.0, "research_share": 1.0, "installed_fleet": 0.0}, np.inf, id="no fleet"),
        pytest.param({"software_rate": -2.0, "research_gain": 0.0, "target": 1e-2}, np.inf, id="decline"),
    ],
)
def test_time_to_target_at_its_limits(change, right):
    point = {**EXAMPLE, "target": 0.5, "scaling_exponent": 0.1, "irreducible_share": 0.0, **change}
    assert compiled("time_to_target")(**point) == right


def test_time_to_target_has_the_derivative_of_its_value(double_precision):
    point = {**EXAMPLE, "target": 0.4, "scaling_exponent": 0.178, "irreducible_share": 0.05}
    point = {name: jnp.asarray(value) for name, value in point.items()}
    value = compiled("time_to_target")
    found = jax.jit(jax.grad(lambda p: strategies.time_to_target(**p)))(point)
    for name, base in point.items():
        up, down = (value(**{**point, name: base + h}) for h in (1e-6, -1e-6))
        np.testing.assert_allclose(found[name], (up - down) / 2e-6, rtol=1e-7, atol=1e-8, err_msg=name)


def mean_by_panels(v, count):
    """Mean of c^(−κ) over each horizon, by Gauss–Legendre on 80 panels a purchase, by NumPy alone."""
    x, w = np.polynomial.legendre.leggauss(12)
    edges = np.concatenate([[0.0], np.geomspace(1e-12, 1.0, 80)])
    x = (edges[:-1, None] + np.diff(edges)[:, None] * (1 + x) / 2).ravel()
    w = (np.diff(edges)[:, None] * w / 2).ravel()
    v = {name: column[:, None] for name, column in v.items()}
    software = v["software_rate"] - v["research_gain"] * np.expm1(
        -v["research_share"] * v["budget"] / v["research_scale"]
    )
    rate = software * np.log(2) - v["depreciation"]
    first = v["installed_fleet"] + v["budget"] * v["front_load_share"]
    rest = np.maximum(1 - v["front_load_share"] - v["research_share"], 0)
    later = v["budget"] * rest * 2 ** ((v["hardware_rate"] + software) * v["later_date"])
    before = np.minimum(v["later_date"], v["horizon"])
    total = np.zeros(count)
    for start, span, fleet in ((0 * before, before, 0 * later), (before, v["horizon"] - before, later)):
        c = (
            1
            + (first * np.expm1(rate * (start + span * x)) + fleet * np.expm1(rate * span * x))
            / rate
            / v["reference_years"]
        )
        total += (span * w * c ** -v["scaling_exponent"]).sum(axis=1)
    return total / v["horizon"][:, 0]


def test_mean_loss_has_nodes_enough(double_precision):
    count, random = 2000, np.random.default_rng(6)
    front, research, _ = random.dirichlet(np.full(3, 0.4), count).T
    values = {
        "front_load_share": front,
        "research_share": research,
        "later_date": random.uniform(0, 20, count),
        "budget": 10.0 ** random.uniform(-2, 3, count),
        "hardware_rate": random.uniform(-0.5, 2, count),
        "software_rate": random.uniform(-0.5, 2, count),
        "research_gain": random.uniform(0, 2, count),
        "research_scale": 10.0 ** random.uniform(-2, 4, count),
        "depreciation": random.uniform(0, 1, count),
        "installed_fleet": random.uniform(0, 5, count),
        "reference_years": 10.0 ** random.uniform(-1, 1, count),
        "scaling_exponent": 10.0 ** random.uniform(-1.5, -0.3, count),
        "horizon": 10.0 ** random.uniform(-0.6, 1.3, count),
    }
    error = np.abs(compiled("mean_loss")(**values) / mean_by_panels(values, count) - 1.0)
    assert error.max() <= 1e-6
    assert np.quantile(error, 0.99) <= 1e-9


@pytest.mark.parametrize("dtype", DTYPES)
def test_log_delayed_compute_ratio_agrees_with_mpmath_over_the_domain(dtype, double_precision):
    random = np.random.default_rng(7)
    columns = {
        "fleet_size": 10.0 ** random.uniform(-9, 12, COUNT),
        "start_date": np.where(random.random(COUNT) < 0.2, 0.0, random.uniform(0, 50, COUNT)),
        "duration": np.where(random.random(COUNT) < 0.1, 0.0, random.uniform(0, 50, COUNT)),
        "doubling_rate": np.where(random.random(COUNT) < 0.2, 0.0, random.uniform(-10, 10, COUNT)),
        "reference_fleet": 10.0 ** random.uniform(-3, 6, COUNT),
        "reference_years": 10.0 ** random.uniform(-2, 2, COUNT),
    }
    columns = {name: column.astype(dtype) for name, column in columns.items()}
    found = compiled("log_delayed_compute_ratio")(**columns)
    unit, tiny = float(np.finfo(dtype).eps), float(np.finfo(dtype).tiny)

    def delayed(v):
        grown = mp.mpf(2) ** (v["doubling_rate"] * v["start_date"])
        grown *= years(v["duration"], v["doubling_rate"] * mp.log(2))
        return v["fleet_size"] / v["reference_fleet"] * grown / v["reference_years"]

    with mp.workdps(60):
        for got, row in zip(found, rows(columns, *DELAYED), strict=True):
            v = {name: mp.mpf(float(value)) for name, value in row.items()}
            right, slack = mp.log1p(delayed(v)), spread(delayed, v) / (1 + delayed(v))
            assert abs(float(got) - right) <= unit * (8 * right + 4 * slack) + 2 * tiny, row


FIXED = {"horizon": 5.0, "scaling_exponent": 0.178, "target": 0.4, "reference_fleet": 16384.0}
FIXED |= {name: EXAMPLE[name] for name in SCENARIO if name != "budget"}
PRICES = {"unit_price": 1e4, "power": 0.9, "pue": 1.2, "electricity_price": 0.1}


def make_spec(model="strategies", **changes):
    given = {
        "model": model,
        "loss": "excess",
        "outputs": ["log_relative_excess_loss", "time_to_target", "total_cost"],
        "axes": {
            "budget": sweep.Axis(start=0.25, stop=2.0, num=4, spacing="log"),
            "front_load_share": sweep.Axis(start=0.0, stop=1.0, num=11),
            "research_share": sweep.Axis(start=0.0, stop=1.0, num=11),
            "later_date": sweep.Axis(start=0.0, stop=5.0, num=11),
        },
        "fixed": FIXED,
        "dtype": "float64",
    }
    return sweep.SweepSpec(**{**given, **changes})


def one(model, outputs, **values):
    """Outputs of a model at one point."""
    first = next(iter(values))
    axes = {first: sweep.Axis(values=[values.pop(first)])}
    spec = sweep.SweepSpec(model=model, loss="excess", outputs=outputs, axes=axes, fixed=values, dtype="float64")
    found = sweep.run(spec)
    return {name: float(found[name].squeeze()) for name in outputs}


@pytest.fixture(scope="module")
def computed():
    return sweep.run(make_spec())


@pytest.mark.parametrize("name", ["strategies", "delayed_start"])
def test_outputs_depend_on_the_parameters_that_are_said(name):
    model = MODELS[name]
    base = {p.name: 0.5 if p.default is None else p.default for p in model.parameters}
    base |= {"target": 0.7, "later_date": 0.3, "front_load_share": 0.3, "research_share": 0.2, "research_gain": 0.5}
    base |= {"price_decline_rate": 0.5}
    base = {p.name: np.float32(base[p.name]) for p in model.parameters}
    evaluate = jax.jit(model.graph())
    usual = evaluate(**base)
    for parameter in base:
        changed = evaluate(**{**base, parameter: np.float32(base[parameter] * 1.25 + 0.01)})
        moved = {output for output in usual if usual[output] != changed[output]}
        said = {o.name for o in model.outputs if parameter in o.parameters}
        # Shares that are more than the budget are all that makes these depend on a share.
        only_nan = {"affordable_fleet", "capital_cost", "front_load_fleet"} if parameter in SHARES else set()
        assert said - only_nan <= moved <= said, parameter


@pytest.mark.parametrize("name", ["strategies", "delayed_start"])
def test_parameters_have_the_defaults_of_the_other_models(name):
    for parameter in MODELS[name].parameters:
        for other in ("relative_loss", "front_loading"):
            for twin in (p for p in MODELS[other].parameters if p.name == parameter.name):
                same = (twin.unit, twin.default, twin.source)
                assert (parameter.unit, parameter.default, parameter.source) == same or parameter.name == "budget"


def test_strategy_of_one_purchase_is_the_relative_loss_of_that_fleet():
    outputs = ["relative_loss", "compute_ratio", "total_cost", "time_to_target"]
    plain = {"software_rate": 0.8, "depreciation": 0.0, "hardware_rate": 0.0, "reference_years": 0.25}
    law = {"scaling_exponent": 0.1, "irreducible_share": 0.05, "target": 0.6, "reference_fleet": 100.0}
    ours = {"budget": 2.0, "front_load_share": 1.0, "later_date": 1.0, "installed_fleet": 0.0, "horizon": 4.0}
    found = one("strategies", outputs, **ours, **plain, **law, **PRICES)
    run = {"fleet_size": 200.0, "time": 4.0, "doubling_rate": 0.8, "reference_years": 0.25}
    right = one("relative_loss", outputs, **run, **law, **PRICES)
    for name in outputs:
        np.testing.assert_allclose(found[name], right[name], rtol=1e-14, err_msg=name)


def test_energy_is_that_of_the_fleets_that_are_left():
    fleets = {"budget": 2.0, "front_load_share": 0.3, "research_share": 0.2, "later_date": 1.5}
    found = one("strategies", ["energy", "energy_cost"], **fleets, **FIXED, **PRICES)

    def running(t):
        fleet = (1.0 + 2.0 * 0.3) * mp.exp(-0.2 * t)
        return 16384 * (fleet + (2.0 * 0.5 * mp.exp(-0.2 * (t - 1.5)) if t > 1.5 else 0))

    hours = 8766 * (mp.quad(running, [0, 1.5]) + mp.quad(running, [1.5 + 1e-15, 5.0]))
    np.testing.assert_allclose(found["energy"], float(hours * 0.9 * 1.2 / 1000), rtol=1e-13)
    np.testing.assert_allclose(found["energy_cost"], float(hours * 0.9 * 1.2 * 0.1), rtol=1e-13)


def test_fleets_and_capital_are_those_of_the_shares():
    names = ["front_load_fleet", "later_fleet", "capital_cost"]
    shares = {"budget": 2.0, "front_load_share": 0.25, "research_share": 0.25, "later_date": 9.0}
    found = one("strategies", names, **shares, **FIXED, **PRICES)
    assert found == {"front_load_fleet": 8192.0, "later_fleet": 16384.0, "capital_cost": 327680000.0}


def test_delayed_start_now_is_the_relative_loss():
    outputs = ["relative_loss", "relative_excess_loss", "log_relative_excess_loss", "compute_ratio", "total_cost"]
    law = {"scaling_exponent": 0.1, "irreducible_share": 0.05, "reference_fleet": 100.0, "reference_years": 0.25}
    now = {"fleet_size": 3e4, "start_date": 0.0, "duration": 3.0, "doubling_rate": 1.2, "price_decline_rate": 0.5}
    found = one("delayed_start", outputs, **now, **law, **PRICES)
    right = one("relative_loss", outputs, fleet_size=3e4, time=3.0, doubling_rate=1.2, **law, **PRICES)
    for name in outputs:
        np.testing.assert_allclose(found[name], right[name], rtol=1e-14, err_msg=name)


def test_delayed_start_costs_the_price_of_its_date():
    later = {"fleet_size": 1000.0, "start_date": 4.0, "duration": 3.0, "doubling_rate": 1.0, "price_decline_rate": 0.5}
    found = one("delayed_start", ["capital_cost", "energy_cost", "finish_date"], **later, **PRICES)
    assert found["capital_cost"] == 2.5e6
    assert found["finish_date"] == 7.0
    np.testing.assert_allclose(found["energy_cost"], 1000 * 0.9 * 1.2 * 8766 * 3 * 0.1, rtol=1e-14)


def test_more_than_the_budget_is_nan_in_every_output():
    outputs = [o.name for o in MODELS["strategies"].outputs]
    spec = make_spec(outputs=outputs, fixed={**FIXED, "irreducible_share": 0.1})
    found = sweep.run(spec)
    whole = found.front_load_share + found.research_share <= 1 + 1e-9
    for name in spec.outputs:
        assert bool((found[name].isnull() != whole).all()), name


def test_statistics_of_strategies_are_those_of_their_values(computed):
    kept = {"best": sweep.Statistic(statistic="min", output="total_cost", over=["front_load_share", "later_date"])}
    spec = make_spec(outputs=["total_cost"], statistics=kept).model_copy(
        update={"axes": {**make_spec().axes, "research_share": sweep.Axis(values=[0.0])}}
    )
    right = computed.total_cost.isel(research_share=0).min(["front_load_share", "later_date"])
    np.testing.assert_array_equal(sweep.run(spec).best.squeeze(), right)


def test_lazy_strategies_are_those_of_a_run(computed, tmp_path):
    path = tmp_path / "s.toml"
    axes = "".join(
        f"{k} = {{start={a.start}, stop={a.stop}, num={a.num}, spacing='{a.spacing or 'linear'}'}}\n"
        for k, a in make_spec().axes.items()
    )
    fixed = "".join(f"{k} = {v}\n" for k, v in FIXED.items())
    path.write_text(
        f"model='strategies'\nloss='excess'\noutputs=['time_to_target']\ndtype='float64'\n"
        f"[axes]\n{axes}[fixed]\n{fixed}"
    )
    lazy = xr.open_dataset(path, engine="sweep")
    some = {"budget": 3, "front_load_share": slice(1, 5), "later_date": [0, 7, 10]}
    right = computed.time_to_target.isel(some)
    np.testing.assert_allclose(lazy.time_to_target.isel(some), right, rtol=1e-14)


def test_frontier_of_strategies_is_that_of_brute_force(computed):
    names = ["total_cost", "log_relative_excess_loss", "time_to_target"]
    points = np.stack([computed[n].broadcast_like(computed.time_to_target).values.ravel() for n in names], axis=1)
    allowed = np.flatnonzero(np.isfinite(points).all(axis=1))
    points = points[allowed]
    beaten = [np.any((points <= p).all(axis=1) & (points < p).any(axis=1)) for p in points]
    front = np.unique(points[~np.array(beaten)], axis=0)
    found = sweep.frontier(make_spec(), minimise=names)
    ours = np.stack([found[n].values for n in names], axis=1)
    np.testing.assert_array_equal(np.unique(ours, axis=0), front)
    assert len(front) > 30


def test_the_best_strategy_is_near_the_split_that_the_solver_finds(computed):
    allocation_of = sweep.Allocation(dates=2, objective="terminal")
    axes = {"budget": sweep.Axis(values=[float(computed.budget[3])])}
    shared = {n: v for n, v in FIXED.items() if n not in ("target", "reference_fleet", "horizon")} | {"horizon": 5.0}
    spec = sweep.SweepSpec(model="front_loading", loss="excess", axes=axes, fixed=shared, allocation=allocation_of)
    solved = float(sweep.optimise(spec).objective.squeeze())
    best = float(computed.log_relative_excess_loss.isel(budget=3).sel(later_date=2.5).min())
    assert solved <= best <= solved + 0.01


def test_config_of_a_strategy_warns_of_the_wrong_exponent(tmp_path):
    text = "model='delayed_start'\nloss='excess'\noutputs=['relative_excess_loss']\n[axes]\nstart_date={values=[1]}\n"
    text += "[fixed]\nfleet_size=1\nduration=1\ndoubling_rate=1\nscaling_exponent=0.05\n"
    text += "reference_fleet=1\nreference_years=1\n"
    (tmp_path / "c.toml").write_text(text)
    with pytest.warns(UserWarning, match="0.05 belongs to the total loss"):
        sweep.load(tmp_path / "c.toml")


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("front_load_share", 1.5, r"fixed.front_load_share: must be in \[0, 1\], got 1.5"),
        ("research_share", -0.5, r"fixed.research_share: must be in \[0, 1\], got -0.5"),
        ("later_date", 51.0, r"fixed.later_date: must be in \[0, 50\] years, got 51"),
        ("hardware_rate", 11.0, r"fixed.hardware_rate: must be in \[-10, 10\] 1/year, got 11"),
    ],
)
def test_strategy_refuses_a_value_outside_its_domain(name, value, line):
    axes = {key: axis for key, axis in make_spec().axes.items() if key != name}
    with pytest.raises(sweep.SpecError, match=line):
        sweep.run(make_spec(axes=axes, fixed={**FIXED, name: value}))
