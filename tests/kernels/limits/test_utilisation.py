"""Utilisation and availability, against 40 digits, figures worked out beforehand, and a peak found by search."""

from math import inf

import cases
import exact_limits
import jax
import mpmath
import numpy as np
import pytest

from kernels.limits import utilisation

each_dtype = pytest.mark.parametrize("dtype", cases.DTYPES)
SIZE = 400
STORAGE, MEMORY = (50_677.0, 10.0, 300.0), (50_677.0, 1.0, 30.0)


def _points(dtype):
    rng = np.random.default_rng(5)
    n = 10.0 ** rng.uniform(0, 9, SIZE)
    exponent = np.where(rng.random(SIZE) < 0.2, 0.0, rng.uniform(0.0, 0.5, SIZE))
    mtbf = 10.0 ** rng.uniform(2, 6, SIZE)
    save, restart = 10.0 ** rng.uniform(-2, 4, SIZE), 10.0 ** rng.uniform(-2, 4, SIZE)
    mtbf[::15], save[1::15], restart[2::15] = inf, 0.0, 0.0
    return [a.astype(dtype) for a in (n, exponent, np.full(SIZE, 2048.0), mtbf, save, restart)]


@each_dtype
def test_utilisation_agrees_with_40_digits(dtype):
    with cases.precision(dtype):
        points = _points(dtype)[:3]
        values = np.asarray(utilisation.utilisation(*points))
        exact_limits.within(values, exact_limits.utilisation, points, ulps=8.0)


def test_utilisation_falls_from_128_to_2048_accelerators_as_was_measured():
    # -37.2 % for 16 x, as a power law; with n_u where the power law starts, so far beyond it.
    big = np.asarray(utilisation.utilisation(np.float32([2048e6, 128e6]), 0.168, 2048.0))
    assert big[0] / big[1] == pytest.approx(1 - 0.372, abs=1e-3)


@each_dtype
def test_log_availability_agrees_with_40_digits(dtype):
    with cases.precision(dtype):
        n, _, _, *rest = _points(dtype)
        values = np.asarray(utilisation.log_availability(n, *rest))
        exact = lambda *a: mpmath.log(exact_limits.availability(*a))  # noqa: E731
        exact_limits.within(values, exact, (n, *rest), ulps=16.0)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [(STORAGE, [0.987806, 0.933883, 0.737964, 0.308598]), (MEMORY, [0.996488, 0.984054, 0.942869, 0.779397])],
)
def test_availability_is_as_worked_out_beforehand(losses, expected):
    log_a = utilisation.log_availability(np.float32([1024, 16_384, 131_072, 1e6]), *losses)
    assert np.exp(log_a) == pytest.approx(expected, rel=2e-5)


@pytest.mark.parametrize(("losses", "peak", "most"), [(STORAGE, 2.6e6, 1.2e5), (MEMORY, 2.6e7, 8.0e5)])
def test_peak_fleet_is_where_brute_force_finds_it(losses, peak, most):
    n = np.exp(np.linspace(np.log(1e5), np.log(1e9), 200_001))
    fail = losses[0] * 3600.0 / n
    between = losses[1] + np.sqrt(losses[1] ** 2 + 2 * losses[1] * (fail + losses[2]))
    fleet = n * (1 + n / 2048.0) ** -0.168 * (1 - losses[1] / between) * fail / (fail + losses[2] + between / 2)
    with cases.precision(np.float64):
        found = float(utilisation.peak_fleet(0.168, 2048.0, *losses))
        assert found == pytest.approx(n[fleet.argmax()], rel=1e-3)
        assert found == pytest.approx(peak, rel=0.02)
        beyond = np.asarray(utilisation.effective_fleet(np.asarray([found, 1e9, 1e14]), 0.168, 2048.0, *losses))
        assert beyond == pytest.approx([fleet.max()] * 3, rel=1e-9)
        assert beyond[0] == pytest.approx(most, rel=0.02)
    narrow = float(utilisation.peak_fleet(np.float32(0.168), 2048.0, *losses))
    assert narrow == pytest.approx(found, rel=1e-3)


def test_checkpoints_in_storage_cap_the_fleet_without_a_peak():
    fleet = np.asarray(utilisation.effective_fleet(np.float32([1e9, 1e12]), 0.0, 2048.0, 50_677.0, 60.0, 300.0))
    assert fleet[1] == pytest.approx(3.26e5, rel=0.01)
    assert fleet[0] < fleet[1]


@pytest.mark.parametrize("losses", [(0.0, *STORAGE), (0.168, inf, 10.0, 300.0), (0.168, 50_677.0, 0.0, 0.0)])
def test_peak_fleet_is_infinite_where_more_always_trains_more(losses):
    assert float(utilisation.peak_fleet(losses[0], 2048.0, *np.float32(losses[1:]))) == inf


@each_dtype
def test_effective_fleet_below_the_peak_agrees_with_40_digits(dtype):
    with cases.precision(dtype):
        points = _points(dtype)
        below = points[0] < np.asarray(utilisation.peak_fleet(*points[1:]))
        points = [p[below] for p in points]
        assert below.sum() > SIZE / 4
        values = np.asarray(utilisation.effective_fleet(*points), np.float64)
        true = [float(exact_limits.effective_fleet(*map(mpmath.mpf, map(float, p)))) for p in zip(*points, strict=True)]
        assert values == pytest.approx(true, rel=1e-5 if dtype == np.float32 else 1e-14)


def test_effective_fleet_without_losses_is_the_fleet():
    n = np.float32([1.0, 16_384.0, 1e8])
    assert np.array_equal(utilisation.effective_fleet(n, 0.0, 2048.0, np.float32(inf), 60.0, 300.0), n)


@each_dtype
def test_gradients_are_finite_at_the_peak_and_where_nothing_is_lost(dtype):
    with cases.precision(dtype):
        peak = float(utilisation.peak_fleet(dtype(0.168), 2048.0, *STORAGE))
        n = np.asarray([1e4, peak, 1e8, 1e4, 1e4, 1e4, 1e4], dtype)
        exponent = np.asarray([0.168, 0.168, 0.168, 0.0, 0.168, 0.168, 0.0], dtype)
        mtbf = np.asarray([5e4, 50_677.0, 5e4, inf, inf, 5e4, 5e4], dtype)
        save = np.asarray([10.0, 10.0, 10.0, 10.0, 10.0, 0.0, 10.0], dtype)
        restart = np.asarray([300.0, 300.0, 300.0, 300.0, 300.0, 0.0, 0.0], dtype)
        losses = (exponent, np.full_like(n, 2048.0), mtbf, save, restart)
        slopes = jax.grad(lambda *a: utilisation.effective_fleet(*a).sum(), argnums=range(6))(n, *losses)
        assert all(np.isfinite(slope).all() for slope in slopes)
        assert np.asarray(slopes[0])[2] == 0.0  # all beyond the peak is idle


def test_peak_fleet_moves_as_a_difference_says():
    with cases.precision(np.float64):
        slope = jax.grad(lambda m: utilisation.peak_fleet(0.168, 2048.0, m, 10.0, 300.0))(50_677.0)
        ends = utilisation.peak_fleet(0.168, 2048.0, np.asarray([50_577.0, 50_777.0]), 10.0, 300.0)
        assert float(slope) == pytest.approx(float(ends[1] - ends[0]) / 200.0, rel=1e-4)
