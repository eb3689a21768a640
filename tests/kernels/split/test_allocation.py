"""Compute and losses of a purchase schedule against mpmath: quadrature of the definitions, and closed forms."""

from functools import cache
from itertools import pairwise

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from kernels.split import allocation

NAMES = (
    "research_share",
    "time",
    "budget",
    "horizon",
    "hardware_rate",
    "software_rate",
    "research_gain",
    "research_scale",
    "depreciation",
    "installed_fleet",
    "reference_years",
)
EXAMPLE = dict(zip(NAMES, (0.2, 3.0, 5.0, 4.0, 0.4, 0.5, 0.6, 2.0, 0.1, 1.0, 1.0), strict=True))
SHARES = (0.3, 0.1, 0.4, 0.0)
DTYPES = [pytest.param(np.float32, id="float32"), pytest.param(np.float64, id="float64")]
KINDS = ("live", "locked")


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def years(span, rate):
    """∫ e^(rate s) ds from 0 to span."""
    return span if rate == 0 else mp.expm1(rate * span) / rate


def added(shares, values, software, numeric=False):
    """c(t) − 1 with the digits that mpmath works with; by quadrature where asked for."""
    v = {name: mp.mpf(float(value)) if not isinstance(value, mp.mpf) else value for name, value in values.items()}
    b = v["software_rate"] - v["research_gain"] * mp.expm1(-v["research_share"] * v["budget"] / v["research_scale"])
    rate = (b if software == "live" else 0) * mp.log(2) - v["depreciation"]

    def integral(u):
        if not numeric:
            return mp.mpf(2) ** (b * u) * years(v["time"] - u, rate)
        bend = (lambda s: mp.mpf(2) ** (b * s)) if software == "live" else (lambda s: mp.mpf(2) ** (b * u))
        return mp.quad(lambda s: mp.exp(-v["depreciation"] * (s - u)) * bend(s), mp.linspace(u, v["time"], 5))

    total = v["installed_fleet"] * integral(mp.mpf(0))
    for k, share in enumerate(shares):
        date = v["horizon"] * k / len(shares)
        if date < v["time"]:
            w = share if isinstance(share, mp.mpf) else mp.mpf(float(share))
            total += v["budget"] * w * mp.mpf(2) ** (v["hardware_rate"] * date) * integral(date)
    return total / v["reference_years"]


def log_c(shares, values, software, numeric=False):
    return mp.log1p(added(shares, values, software, numeric))


def partials(shares, values, software):
    """Value, and derivatives by every number that is not 0 or is a share, by central differences of c with 60 digits.

    Of c, not of its logarithm: a share of 0 less a step may make c negative, as a dollar may buy 2^1000.
    """
    with mp.workdps(60):
        total = added(shares, values, software)
        step = mp.mpf(10) ** -20

        def by(change):
            return (change(step) - change(-step)) / (2 * step) / (1 + total)

        found = {}
        for name in NAMES:
            base = mp.mpf(float(values[name]))
            found[name] = by(lambda h, n=name, b=base: added(shares, {**values, n: b + h}, software))
        exact = [mp.mpf(float(s)) for s in shares]
        for k in range(len(shares)):
            found[k] = by(lambda h, k=k: added([*exact[:k], exact[k] + h, *exact[k + 1 :]], values, software))
        return mp.log1p(total), found


@cache
def compiled(software):
    def value(shares, given):
        rest = dict(given)
        return allocation.log_compute_ratio(
            shares, rest.pop("research_share"), rest.pop("time"), software=software, **rest
        )

    return jax.jit(jax.value_and_grad(value, (0, 1)))


def ours(shares, values, software, dtype):
    return compiled(software)(jnp.asarray(shares, dtype), {n: jnp.asarray(v, dtype) for n, v in values.items()})


def sample(count, seed, dtype):
    """Schedules and scenarios over horizons to 50 years and rates to 10; rates and shares that are 0 among them."""
    random = np.random.default_rng(seed)

    def often_zero(value):
        return 0.0 if random.random() < 0.15 else value

    for _ in range(count):
        dates = int(random.choice([1, 4, 12]))
        w = random.dirichlet(np.full(dates + 1, 0.5))
        w = np.where(random.random(dates + 1) < 0.2, 0.0, w)
        horizon = 50.0 ** random.uniform(-0.5, 1.0)
        values = {
            "research_share": w[-1],
            "time": horizon * random.choice([random.random(), 1.0]),
            "budget": 10.0 ** random.uniform(-3, 4),
            "horizon": horizon,
            "hardware_rate": often_zero(random.uniform(-1, 10)),
            "software_rate": often_zero(random.uniform(-1, 10)),
            "research_gain": often_zero(random.uniform(0, 2)),
            "research_scale": 10.0 ** random.uniform(-2, 4),
            "depreciation": often_zero(random.uniform(0, 2)),
            "installed_fleet": often_zero(random.uniform(0, 5)),
            "reference_years": 10.0 ** random.uniform(-1, 1),
        }
        yield w[:-1].astype(dtype), {name: dtype(value) for name, value in values.items()}


def check(shares, values, software, dtype):
    value, exact = partials(shares, values, software)
    got, (by_share, by_value) = ours(shares, values, software, dtype)
    unit = float(np.finfo(dtype).eps)
    spread = sum(abs(float(exact[n]) * float(values[n])) for n in NAMES)
    spread += sum(abs(float(exact[k]) * float(s)) for k, s in enumerate(shares))
    assert got.dtype == dtype
    assert abs(float(got) - float(value)) <= unit * (8 * abs(float(value)) + 4 * spread)
    # A derivative moves with what it is a derivative of: by its own size times the doublings in the exponent.
    doublings = 1.0 + float(values["horizon"]) * sum(
        abs(float(values[n])) for n in ("hardware_rate", "software_rate", "research_gain", "depreciation")
    )
    doublings *= 1.0 + float(values["budget"] / values["research_scale"]) * float(values["research_share"])
    largest = np.finfo(dtype).max
    pairs = [(by_share[k], exact[k]) for k in range(len(shares))] + [(by_value[n], exact[n]) for n in NAMES]
    for found, right in pairs:
        if abs(right) < largest:
            assert abs(float(found) - float(right)) <= 16 * unit * doublings * (abs(float(right)) + unit * spread)


@pytest.mark.parametrize("software", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_log_compute_ratio_agrees_with_mpmath_over_the_domain(dtype, software):
    for shares, values in sample(24, 1, dtype):
        dates = np.arange(len(shares)) * (values["horizon"] / len(shares))
        if np.min(np.abs(dates - values["time"])) < 1e-3 * values["horizon"]:
            continue
        check(shares, values, software, dtype)


@pytest.mark.parametrize("software", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"software_rate": 0.0, "research_gain": 0.0}, id="b = 0"),
        pytest.param({"software_rate": 0.0, "research_gain": 0.0, "depreciation": 0.0}, id="b = 0, no depreciation"),
        pytest.param({"software_rate": 1.0, "research_gain": 0.0, "depreciation": np.log(2.0)}, id="b ln 2 = δ"),
        pytest.param({"research_share": 0.0}, id="no research"),
        pytest.param({"budget": 1e-6, "installed_fleet": 1e-6}, id="c near 1"),
        pytest.param({"installed_fleet": 0.0}, id="nothing installed"),
        pytest.param({"horizon": 50.0, "time": 49.0, "hardware_rate": 10.0, "software_rate": 10.0}, id="2^1000"),
    ],
)
def test_log_compute_ratio_is_right_at_the_limits(change, dtype, software):
    values = {name: dtype(value) for name, value in {**EXAMPLE, **change}.items()}
    check(np.asarray(SHARES, dtype), values, software, dtype)


@pytest.mark.parametrize("software", KINDS)
def test_closed_integrals_are_those_of_the_definition(software):
    for shares, values in sample(4, 2, np.float64):
        values |= {"horizon": min(values["horizon"], 5.0), "time": min(values["time"], 5.0)}
        with mp.workdps(30):
            np.testing.assert_allclose(
                float(log_c(shares, values, software)), float(log_c(shares, values, software, numeric=True)), rtol=1e-12
            )


def test_a_date_buys_nothing_until_it_has_come():
    values = {**EXAMPLE, "time": 2.0}
    value, (by_share, _) = ours(SHARES, values, "live", np.float64)
    assert by_share[2] == by_share[3] == 0.0
    np.testing.assert_allclose(value, ours((0.3, 0.1, 0.0, 0.0), values, "live", np.float64)[0], rtol=1e-15)


@pytest.mark.parametrize("software", KINDS)
def test_mean_loss_agrees_with_adaptive_quadrature(software):
    with mp.workdps(16):
        for shares, values in sample(3, 4, np.float64):
            values |= {"horizon": 3.0, "hardware_rate": values["hardware_rate"] / 5}
            values |= {"software_rate": values["software_rate"] / 5}
            edges = [3.0 * k / len(shares) for k in range(len(shares) + 1)]

            def loss(t, shares=shares, values=values):
                return mp.exp(-0.3 * t - 0.1 * log_c(shares, {**values, "time": t}, software))

            parts = [a + (b - a) * mp.mpf(10) ** -j for a, b in pairwise(edges) for j in (4, 2)]
            points = sorted({*map(mp.mpf, edges), *parts})
            right = mp.quad(loss, points, maxdegree=4) / mp.quad(lambda t: mp.exp(-0.3 * t), [0, 3])
            rest = {n: v for n, v in values.items() if n not in ("time", "research_share")}
            found = quickly(software)(shares, values["research_share"], {**rest, **CLOCK})
            np.testing.assert_allclose(found, float(right), rtol=1e-10)


CLOCK = {"scaling_exponent": 0.1, "discount_rate": 0.3}


@pytest.mark.parametrize("discount_rate", [-10.0, -4.0, -2.0, -0.5, 2.0, 10.0])
def test_mean_loss_agrees_with_adaptive_quadrature_at_any_discount_rate(discount_rate):
    values = {n: EXAMPLE[n] for n in NAMES if n not in ("time", "research_share")} | {"horizon": 6.0}
    values |= {"scaling_exponent": 0.1, "discount_rate": discount_rate}

    def weight(t):
        return mp.exp(-discount_rate * (t - (0 if discount_rate > 0 else 6)))

    def loss(t):
        return weight(t) * mp.exp(-0.1 * log_c(SHARES, {**values, "research_share": 0.2, "time": t}, "live"))

    with mp.workdps(16):
        points = [1.5 * k + 1.5 * mp.mpf(10) ** -j for k in range(4) for j in (4, 2, 1)]
        points = sorted([*points, *(mp.mpf(1.5) * k for k in range(5))])
        right = mp.quad(loss, points, maxdegree=5) / mp.quad(weight, points, maxdegree=5)
    shares = np.asarray(SHARES)
    np.testing.assert_allclose(quickly("live")(shares, 0.2, values), float(right), rtol=1e-9)


@cache
def quickly(software, nodes=None):
    return jax.jit(lambda w, r, values: allocation.mean_loss(w, r, nodes=nodes, software=software, **values))


def wide(count, dates):
    random = np.random.default_rng(dates)
    w = random.dirichlet(np.full(dates + 1, 0.3), count)
    values = {
        "budget": 10.0 ** random.uniform(-2, 3, count),
        "horizon": 10.0 ** random.uniform(-0.6, 1.3, count),
        "hardware_rate": random.uniform(0, 2, count),
        "software_rate": random.uniform(-0.5, 2, count),
        "research_gain": random.uniform(0, 2, count),
        "research_scale": 10.0 ** random.uniform(-2, 4, count),
        "depreciation": random.uniform(0, 1, count),
        "installed_fleet": random.uniform(0, 5, count),
        "discount_rate": random.uniform(0, 0.5, count),
        "scaling_exponent": 10.0 ** random.uniform(-1.5, -0.3, count),
        "reference_years": 10.0 ** random.uniform(-1, 1, count),
    }
    return w[:, :-1], w[:, -1], values


@pytest.mark.parametrize(("dates", "count"), [(1, 800), (2, 400), (4, 400), (8, 200), (32, 30)])
def test_mean_loss_has_nodes_enough(dates, count):
    shares, research, values = wide(count, dates)
    error = np.abs(quickly("live")(shares, research, values) / quickly("live", 80)(shares, research, values) - 1.0)
    assert np.quantile(error, 0.99) <= 1e-10
    assert error.max() <= 1e-8


@pytest.mark.parametrize("software", KINDS)
def test_mean_loss_has_the_gradient_of_its_value(software):
    shares, research, values = wide(50, 4)
    args = (shares, research, values)
    tangent = (np.ones_like(shares), np.ones_like(research), {n: np.abs(v) for n, v in values.items()})
    # The nodes are held, as they should not matter; with many they do not.
    value = quickly(software, 40)
    change = jax.jit(lambda args: jax.jvp(value, args, tangent)[1])(args)
    step = 3e-5  # differences of the fourth order, as a hundred doublings leave those of the second only six digits
    far, near, back, behind = (
        value(*jax.tree.map(lambda x, t, s=s: x + s * step * t, args, tangent)) for s in (2, 1, -1, -2)
    )
    np.testing.assert_allclose(change, (8 * (near - back) - (far - behind)) / (12 * step), rtol=1e-7, atol=1e-9)


def test_log_compute_ratio_refuses_other_software():
    with pytest.raises(ValueError, match='software: must be "live" or "locked", got "dead"'):
        allocation.log_compute_ratio(
            [1.0], 0.0, 1.0, budget=1, horizon=1, hardware_rate=0, software_rate=0, software="dead"
        )
