"""Compute of fleets that grow, are capped and lose: against quadrature of the definition in mpmath and in SciPy."""

from itertools import pairwise
from math import inf

import cases
import exact_limits
import jax
import mpmath
import numpy as np
import pytest
from mpmath import mpf
from scipy.integrate import quad

import kernels
from kernels.limits import compute, plateau, utilisation

each_dtype = pytest.mark.parametrize("dtype", cases.DTYPES)
SIZE = 12
TOLERANCE = {np.float32: 3e-5, np.float64: 2e-12}
LOSSES = {
    "utilisation_exponent": 0.168,
    "utilisation_fleet": 2048.0,
    "accelerator_mtbf": 50_677.0,
    "checkpoint_time": 10.0,
    "recovery_time": 300.0,
}
ONE = {"power_capacity": 1.0, "power_growth": 0.0, "power_per_accelerator": 1704.0, "power_decline": 0.0}


def _points(dtype, seed=7):
    rng = np.random.default_rng(seed)
    drawn = {
        "fleet_size": 10.0 ** rng.uniform(3, 8, SIZE),
        "time": 10.0 ** rng.uniform(-2, 1.6, SIZE),
        "doubling_rate": rng.choice([0.0, -0.7, 0.49, 0.85, 1.2], SIZE),
        "fleet_growth": rng.uniform(-0.3, 1.0, SIZE),
        "power_capacity": 10.0 ** rng.uniform(-1.5, 2, SIZE),
        "power_growth": rng.uniform(-0.2, 0.5, SIZE),
        "power_per_accelerator": rng.uniform(500, 3000, SIZE),
        "power_decline": rng.uniform(0.0, 0.4, SIZE),
        "share_of_supply": rng.uniform(0.1, 1.0, SIZE),
        "chip_stock": 10.0 ** rng.uniform(4, 7.5, SIZE),
        "chip_production": 10.0 ** rng.uniform(4, 7, SIZE),
        "chip_growth": rng.uniform(0.0, 1.3, SIZE),
    }
    return {name: values.astype(dtype) for name, values in drawn.items()}


def _speed(s, k):
    """Effective fleet times efficiency at s, written down by definition; losses and a ceiling where there are any."""
    fleet = k["fleet_size"] * 2.0 ** (k.get("fleet_growth", 0.0) * s)
    if "power_capacity" in k:
        each = k["power_per_accelerator"] * 2.0 ** (-k["power_decline"] * s)
        fleet = min(fleet, k["share_of_supply"] * k["power_capacity"] * 1e9 * 2.0 ** (k["power_growth"] * s) / each)
    if "chip_stock" in k:
        x = k["chip_growth"] * np.log(2.0)
        added = k["chip_production"] * (np.expm1(x * s) / x if x else s)
        fleet = min(fleet, k["share_of_supply"] * (k["chip_stock"] + added))
    if "utilisation_exponent" in k:
        fleet = min(fleet, k["peak"])
        fail = k["accelerator_mtbf"] * 3600.0 / fleet
        save, restart = k["checkpoint_time"], k["recovery_time"]
        between = save + np.sqrt(save**2 + 2.0 * save * (fail + restart))
        fleet *= (1.0 + fleet / k["utilisation_fleet"]) ** -k["utilisation_exponent"]
        fleet *= (1.0 - save / between) * fail / (fail + restart + between / 2.0)
    h = k.get("efficiency_headroom", inf)
    grown = 2.0 ** (k["doubling_rate"] * s)
    return fleet * (grown if h == inf else h / (1.0 + (h - 1.0) / grown))


def _by_scipy(k):
    """The integral over many short pieces, so that what bends between them matters nowhere."""
    edges = np.linspace(0.0, k["time"], 600)
    return sum(quad(_speed, a, b, args=(k,), epsabs=0.0, epsrel=1e-9, limit=50)[0] for a, b in pairwise(edges))


def _exact_capped(n, t, rate, growth, most):
    """The closed form for one constant cap, in 40 digits."""

    def years(t, rate):
        return exact_limits.effective_years(t, rate, mpmath.inf)

    if n >= most:
        return most * years(t, rate)
    bend = min(t, mpmath.log(most / n, 2) / growth)
    return n * years(bend, rate + growth) + most * mpf(2) ** (rate * bend) * years(t - bend, rate)


@each_dtype
def test_fleet_under_a_constant_cap_agrees_with_40_digits(dtype):
    with cases.precision(dtype):
        n, rate, growth = np.meshgrid(
            np.asarray([1e3, 1e5, 5.8e5, 1e7], dtype),
            np.asarray([-1.0, 0.0, 0.85, 2.35], dtype),
            np.asarray([0.3, 1.0], dtype),
            indexing="ij",
        )
        t = np.full_like(n, 15.0)
        power = {name: np.full_like(n, value) for name, value in {**ONE, "share_of_supply": 1.0}.items()}
        found = np.asarray(compute.fleet_years(n, t, rate, fleet_growth=growth, **power))
        most = mpf(10) ** 9 / 1704
        for i in np.ndindex(n.shape):
            true = _exact_capped(mpf(float(n[i])), mpf(15), mpf(float(rate[i])), mpf(float(growth[i])), most)
            assert float(found[i]) == pytest.approx(float(true), rel=TOLERANCE[dtype])


@each_dtype
def test_growing_caps_that_cross_agree_with_scipy(dtype):
    with cases.precision(dtype):
        points = _points(dtype)
        found = np.asarray(compute.fleet_years(**points), np.float64)
        whole = [_by_scipy({name: float(values[i]) for name, values in points.items()}) for i in range(SIZE)]
        assert found == pytest.approx(whole, rel=max(TOLERANCE[dtype], 1e-7))


def test_quadrature_is_exact_where_exponentials_have_a_closed_form():
    with cases.precision(np.float64):
        points = _points(np.float64, seed=8)
        exponentials = {name: values for name, values in points.items() if not name.startswith("chip")}
        closed = np.asarray(compute.fleet_years(**exponentials))
        endless = np.full(SIZE, inf)
        same = compute.fleet_years(**exponentials, efficiency_headroom=endless)
        assert np.asarray(same) == pytest.approx(closed, rel=2e-12)


@each_dtype
def test_all_terms_together_agree_with_scipy(dtype):
    with cases.precision(dtype):
        points = {name: values[:8] for name, values in _points(dtype, seed=9).items()}
        terms = {name: np.full(8, value, dtype) for name, value in LOSSES.items()}
        terms["efficiency_headroom"] = np.asarray([1.0, 2.0, 5.0, 50.0, 200.0, 1e3, 1e6, inf], dtype)
        found = np.asarray(compute.fleet_years(**points, **terms), np.float64)
        peak = float(utilisation.peak_fleet(*(terms[name][:1] for name in compute.LOSSES))[0])
        known = {**points, **terms}
        whole = [
            _by_scipy({"peak": peak, **{name: float(values[i]) for name, values in known.items()}}) for i in range(8)
        ]
        assert found == pytest.approx(whole, rel=max(TOLERANCE[dtype], 1e-7))


@each_dtype
def test_constant_fleet_is_that_of_the_equation_with_losses_and_a_ceiling(dtype):
    with cases.precision(dtype):
        n, t, rate = (np.asarray([1e4, 1e6, 1e9], dtype), np.full(3, 8.0, dtype), np.full(3, 0.85, dtype))
        reference = {"reference_fleet": np.full(3, 16_384.0, dtype), "reference_years": np.full(3, 0.244, dtype)}
        found = compute.log_compute_ratio(n, t, rate, **reference)
        plain = -kernels.log_relative_excess_loss(n, t, rate, scaling_exponent=np.ones(3, dtype), **reference)
        assert np.asarray(found) == pytest.approx(np.asarray(plain), rel=8 * float(np.finfo(dtype).eps))
        losses = {name: np.full(3, value, dtype) for name, value in LOSSES.items()}
        used = utilisation.effective_fleet(n, *losses.values())
        whole = compute.fleet_years(n, t, rate, efficiency_headroom=np.full(3, 50.0, dtype), **losses)
        expected = used * plateau.effective_years(t, rate, np.full(3, 50.0, dtype))
        assert np.asarray(whole) == pytest.approx(np.asarray(expected), rel=8 * float(np.finfo(dtype).eps))


def test_log_compute_ratio_is_finite_where_the_ratio_overflows():
    late = compute.log_compute_ratio(
        np.float32(1e6), 100.0, 2.35, reference_fleet=16_384.0, reference_years=0.244, fleet_growth=0.5
    )
    true = mpmath.log(1e6 / 16_384 / 0.244 / (2.85 * mpmath.log(2))) + 285 * mpmath.log(2)
    assert float(late) == pytest.approx(float(true), rel=1e-6)


@each_dtype
def test_gradients_are_finite_at_time_zero_at_crossings_and_under_caps(dtype):
    with cases.precision(dtype):
        most = 1e9 / 1704.0
        points = {
            "fleet_size": np.asarray([1e5, most, 1e7, most / 2, 1e5], dtype),
            "time": np.asarray([0.0, 3.0, 3.0, 1.0, 0.0], dtype),
            "doubling_rate": np.asarray([0.85, 0.0, 0.85, 0.85, 0.0], dtype),
            "fleet_growth": np.asarray([0.5, 0.0, 0.5, 1.0, 0.0], dtype),
            **{name: np.full(5, value, dtype) for name, value in ONE.items()},
            "share_of_supply": np.full(5, 1.0, dtype),
        }
        reference = {"reference_fleet": np.full(5, 16_384.0, dtype), "reference_years": np.full(5, 0.244, dtype)}
        terms = {name: np.full(5, value, dtype) for name, value in LOSSES.items()}
        if dtype == np.float32:  # by quadrature; in closed form in the other type
            points |= {**terms, "efficiency_headroom": np.full(5, 50.0, dtype)}
        slopes = jax.grad(lambda k: compute.log_compute_ratio(**k).sum())({**points, **reference})
        assert all(np.isfinite(slope).all() for slope in slopes.values())
        assert (slopes["time"] > 0).all()


def test_gradients_are_those_of_differences():
    with cases.precision(np.float64):
        point = {name: values[3] for name, values in _points(np.float64, seed=11).items()}
        point |= {**LOSSES, "efficiency_headroom": 50.0}
        point |= {"fleet_size": 2e5, "time": 9.0, "power_capacity": 2.0, "chip_stock": 1e6, "doubling_rate": 0.7}
        point = {name: np.float64(value) for name, value in point.items()}
        # One derivative along a direction of its own for all of them at once.
        along = {name: value * (0.3 + 0.1 * i) for i, (name, value) in enumerate(point.items())}
        _, slope = jax.jvp(lambda k: compute.fleet_years(**k), (point,), (along,))
        ends = compute.fleet_years(
            **{name: value + along[name] * np.asarray([-1e-5, 1e-5]) for name, value in point.items()}
        )
        assert float(slope) == pytest.approx(float(ends[1] - ends[0]) / 2e-5, rel=1e-6)


def test_outside_the_domain_there_is_no_number():
    assert np.isnan(compute.fleet_years(1e5, 3.0, 0.5, efficiency_headroom=np.float32(0.5)))
    assert np.isnan(compute.fleet_years(np.float32([1e5, 0.0]), np.float32([-1.0, 1.0]), 0.5, fleet_growth=0.1)).all()


@each_dtype
@pytest.mark.parametrize("terms", [{}, {"fleet_growth": 0.0}])
def test_log_compute_ratio_and_its_slope_are_right_past_overflow(dtype, terms):
    with cases.precision(dtype):
        t = dtype(1.5 * np.finfo(dtype).maxexp)

        def of(t):
            return compute.log_compute_ratio(
                dtype(1e5), t, dtype(1.0), reference_fleet=dtype(16384.0), reference_years=dtype(0.25), **terms
            )

        value, slope = jax.value_and_grad(of)(t)
    years = (mpf(2) ** mpf(float(t)) - 1) / mpmath.log(2)
    assert float(value) == pytest.approx(
        float(mpmath.log(1 + mpf(100000) / 16384 / 0.25 * years)), rel=TOLERANCE[dtype]
    )
    assert float(slope) == pytest.approx(np.log(2.0), rel=TOLERANCE[dtype])
