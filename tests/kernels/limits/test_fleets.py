"""Fleets and caps against numbers worked out by hand, and which cap binds against brute force."""

from math import inf

import cases
import jax
import mpmath
import numpy as np
import pytest
from exact_limits import within
from mpmath import mpf

from kernels.limits import binding, fleets

each_dtype = pytest.mark.parametrize("dtype", cases.DTYPES)
SIZE = 200


def _points(dtype, *ranges):
    rng = np.random.default_rng(6)
    return [rng.uniform(*ends, SIZE).astype(dtype) for ends in ranges]


@each_dtype
def test_fleets_and_caps_agree_with_40_digits(dtype):
    with cases.precision(dtype):
        points = _points(dtype, (1.0, 1e6), (-1.0, 2.0), (0.0, 30.0))
        within(np.asarray(fleets.wanted_fleet(*points)), lambda n, g, t: n * mpf(2) ** (g * t), points, 4.0)
        points = _points(dtype, (0.0, 30.0), (0.1, 50.0), (-0.5, 1.0), (500.0, 3000.0), (-0.2, 0.6), (0.1, 1.0))
        within(
            np.asarray(fleets.fleet_cap_power(*points)),
            lambda t, p, g, w, e, s: s * p * mpf(10) ** 9 / w * mpf(2) ** ((g + e) * t),
            points,
            8.0,
        )
        points = _points(dtype, (0.0, 30.0), (1e5, 1e7), (1e5, 1e7), (-0.5, 2.0), (0.1, 1.0))
        within(
            np.asarray(fleets.fleet_cap_chips(*points)),
            lambda t, stock, m, q, s: s * (stock + m * mpmath.expm1(q * t * mpmath.log(2)) / (q * mpmath.log(2))),
            points,
            8.0,
        )


def test_caps_without_end_are_infinite():
    assert float(fleets.fleet_cap_power(5.0, np.float32(inf), 0.5, 1704.0, 0.35, 0.26)) == inf
    assert float(fleets.fleet_cap_chips(5.0, np.float32(inf), 1e6, 1.0, 0.26)) == inf


def test_one_gigawatt_runs_as_many_accelerators_as_division_says():
    assert float(fleets.fleet_cap_power(0.0, 1.0, 0.0, 1704.0, 0.0, 1.0)) == pytest.approx(1e9 / 1704, rel=1e-6)


def test_binding_limit_slack_and_shares_are_those_of_the_least():
    wanted = np.asarray([10.0, 10.0, 10.0, 10.0, 10.0, np.nan], np.float32)
    power = np.asarray([5.0, 20.0, inf, inf, 4.0, 4.0], np.float32)
    chips = np.asarray([20.0, 8.0, inf, 8.0, 4.0, 4.0], np.float32)
    assert binding.binding_limit(wanted, power, chips).tolist()[:5] == [0.0, 1.0, -1.0, 1.0, 0.0]
    assert binding.limit_slack(wanted, power, chips).tolist()[:5] == pytest.approx([0.5, 0.8, inf, 0.8, 0.4])
    assert np.isnan(binding.binding_limit(wanted, power, chips)[5])
    first, second = map(np.asarray, binding.binding_shares(power, chips))
    weights = np.asarray([[5.0**-8, 20.0**-8], [20.0**-8, 8.0**-8], [4.0**-8, 4.0**-8]])
    expected = weights / weights.sum(axis=1, keepdims=True)
    assert first[[0, 1, 4]] == pytest.approx(expected[:, 0], rel=1e-5)
    assert second[[0, 1, 4]] == pytest.approx(expected[:, 1], rel=1e-5)
    assert (first[2], second[2]) == (0.0, 0.0)
    assert (first[3], second[3]) == (0.0, 1.0)


def test_binding_shares_have_slopes_where_caps_cross_and_where_one_is_endless():
    slopes = jax.grad(lambda a, b: binding.binding_shares(a, b)[0].sum(), argnums=(0, 1))(
        np.float32([3.0, inf, 1e30]), np.float32([3.0, 4.0, 1e-3])
    )
    assert np.isfinite(slopes).all()
    assert float(slopes[0][0]) == pytest.approx(-8 / 4 / 3.0, rel=1e-5)
