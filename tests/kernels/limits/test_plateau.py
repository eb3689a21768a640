"""Efficiency with a ceiling, against 40 digits, its integral, published growth, and the bits of today's years."""

from math import inf

import cases
import exact_limits
import jax
import mpmath
import numpy as np
import pytest

import kernels
from kernels.limits import plateau

each_dtype = pytest.mark.parametrize("dtype", cases.DTYPES)
SIZE = 600


def _points(dtype, seed=1):
    rng = np.random.default_rng(seed)
    t = 10.0 ** rng.uniform(-6, 4, SIZE)
    rate = np.where(rng.random(SIZE) < 0.5, rng.uniform(-5, 50, SIZE), rng.choice([0.0, 1e-9, -1e-6, 0.49], SIZE))
    headroom = 1.0 + 10.0 ** rng.uniform(-6, 12, SIZE)
    headroom[::20], headroom[1::20], headroom[2::20] = 1.0, inf, 200.0
    # Where efficiency is at its ceiling is where most is computed: half of the points are near it.
    near = np.isfinite(headroom) & (rng.random(SIZE) < 0.5) & (rate > 1e-3) & (headroom > 1.0)
    t = np.where(near, np.log2(headroom) / np.where(near, rate, 1.0) * rng.uniform(0.5, 2.0, SIZE), t)
    t = np.where(np.isinf(headroom), np.minimum(t, 100.0 / np.maximum(np.abs(rate), 1e-2)), np.minimum(t, 1e4))
    return [a.astype(dtype) for a in (t, rate, headroom)]


def test_closed_form_is_the_integral_of_the_efficiency():
    for t, rate, headroom in ((5.0, 0.49, 200.0), (20.0, 2.3, 1.5), (3.0, -1.7, 40.0)):
        whole = mpmath.quad(lambda s, r=rate, h=headroom: exact_limits.efficiency(s, r, h), [0, t / 2, t])
        assert mpmath.almosteq(whole, exact_limits.effective_years(mpmath.mpf(t), rate, headroom), 1e-25)


@each_dtype
def test_effective_years_agree_with_40_digits(dtype):
    with cases.precision(dtype):
        points = _points(dtype)
        exact_limits.within(
            np.asarray(plateau.effective_years(*points)), exact_limits.effective_years, points, ulps=8.0
        )


def test_effective_years_are_those_of_limits_worked_out_beforehand():
    years = np.asarray(plateau.effective_years(np.float32([5.0, 10.0, 20.0, 40.0]), 0.49, 200.0))
    assert years == pytest.approx([12.99918, 79.36603, 998.7116, 4880.206], rel=1e-6)


@each_dtype
def test_effective_years_without_a_ceiling_have_the_bits_of_today(dtype):
    with cases.precision(dtype):
        t, rate, _ = _points(dtype, seed=2)
        now = kernels.effective_years(t, rate)
        assert np.array_equal(plateau.effective_years(t, rate, np.full_like(t, inf)), now)


@each_dtype
def test_time_for_years_agrees_with_40_digits(dtype):
    with cases.precision(dtype):
        t, rate, headroom = _points(dtype, seed=3)
        years = np.asarray(plateau.effective_years(t, rate, headroom))
        # A decline nears a limit that it never passes: close to it an ulp of the years is many of the time.
        with np.errstate(divide="ignore", invalid="ignore"):
            far = np.where(rate < 0, -np.log1p(-1 / headroom) * headroom / np.maximum(-rate * np.log(2), 1e-12), inf)
        known = np.isfinite(years) & (years < 0.98 * far)
        points = [a[known] for a in (years, rate, headroom)]
        times = np.asarray(plateau.time_for_years(years, rate, headroom))[known]
        exact_limits.within(times, exact_limits.time_for_years, points, ulps=8.0)


def test_time_for_years_that_a_decline_never_reaches_is_infinite():
    assert np.asarray(plateau.time_for_years(10.0, -0.5, np.float32([inf, 1e6]))).tolist() == [inf, inf]
    assert float(plateau.time_for_years(10.0, -0.5, 1.0)) == pytest.approx(10.0, rel=1e-6)


@each_dtype
def test_gradients_are_efficiency_and_finite_at_every_limit(dtype):
    with cases.precision(dtype):
        t = np.asarray([0.0, 5.0, 5.0, 5.0, 5.0, 5.0, 15.6, 40.0, 0.0], dtype)
        rate = np.asarray([0.5, 0.0, 0.5, 0.5, -0.5, -3.0, 0.49, 5.0, 0.0], dtype)
        headroom = np.asarray([200.0, 200.0, 1.0, inf, 1.0, 1.5, 200.0, 50.0, inf], dtype)
        slopes = jax.grad(lambda *a: plateau.effective_years(*a).sum(), argnums=(0, 1, 2))(t, rate, headroom)
        assert all(np.isfinite(slope).all() for slope in slopes)
        points = [map(mpmath.mpf, map(float, p)) for p in zip(t, rate, headroom, strict=True)]
        of_time = [float(exact_limits.efficiency(*point)) for point in points]
        assert np.asarray(slopes[0]) == pytest.approx(of_time, rel=60 * float(np.finfo(dtype).eps))
        back = jax.grad(lambda *a: plateau.time_for_years(*a).sum(), argnums=(0, 1, 2))(t, rate, headroom)
        assert all(np.isfinite(slope).all() for slope in back)


def test_outside_the_domain_there_is_no_number():
    assert np.isnan(plateau.effective_years(np.float32([-1.0, 1.0, 1.0]), 0.5, np.float32([2.0, 0.5, np.nan]))).all()
