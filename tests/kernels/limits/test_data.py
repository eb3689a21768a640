"""What compute gains beyond the data, against the least of Chinchilla's equation and 40 digits."""

from math import inf

import cases
import exact_limits
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from kernels.limits import data

each_dtype = pytest.mark.parametrize("dtype", cases.DTYPES)
SIZE = 500
KAPPA, PHI = 0.3478 * 0.3658 / 0.7136, 0.3478 / 0.7136


def _points(dtype):
    rng = np.random.default_rng(4)
    log_c = np.log(10.0) * rng.uniform(0, 30, SIZE)
    limit = np.log(10.0) * rng.uniform(-2, 30, SIZE)
    limit[::10] = inf
    near = rng.random(SIZE) < 0.3
    limit = np.where(near, log_c * (1 + rng.choice([-1e-3, 0.0, 1e-5], SIZE)), limit)
    return [a.astype(dtype) for a in (log_c, 10.0 ** rng.uniform(-3, 0, SIZE), limit, rng.uniform(0.01, 0.99, SIZE))]


@each_dtype
def test_log_data_limited_loss_agrees_with_40_digits(dtype):
    with cases.precision(dtype):
        points = _points(dtype)
        values = np.asarray(data.log_data_limited_loss(*points))
        exact_limits.within(values, exact_limits.log_data_limited_loss, points, ulps=8.0)


@each_dtype
def test_loss_of_parts_is_the_exponential_of_its_logarithm(dtype):
    with cases.precision(dtype):
        finite = np.isfinite(_points(dtype)[2])
        log_c, kappa, limit, share = points = [p[finite] for p in _points(dtype)]
        at_limit = data.loss_at_limit(jnp.asarray(kappa), jnp.asarray(limit))
        found = np.asarray(data.loss_of_parts(*map(jnp.asarray, points), at_limit))
        exact = [map(mpmath.mpf, map(float, p)) for p in zip(*points, strict=True)]
        log_x = np.asarray([float(exact_limits.log_data_limited_loss(*p)) for p in exact])
        known = (log_x > np.log(np.finfo(dtype).tiny)) & (limit >= 0)
        wrong = np.abs(found / np.exp(log_x) - 1.0)[known]
        largest = np.maximum(np.abs(log_x), (kappa / (1 - share)) * np.maximum(log_c, limit))[known]
        assert known.sum() > SIZE / 2
        assert (wrong <= 2 * (largest + 8) * np.finfo(dtype).eps).all()


def test_excess_loss_beyond_the_data_is_the_least_of_the_equation_by_search():
    a, b, alpha, beta, stock = 482.0, 2085.4, 0.3478, 0.3658, 3e14

    def loss(n, flop):
        return a / n**alpha + b / min(flop / (6.0 * n), stock) ** beta

    def least(flop):
        x = np.linspace(np.log(1e10), np.log(1e18), 400_001)
        n = np.exp(x)
        return (a / n**alpha + b / np.minimum(flop / (6.0 * n), stock) ** beta).min()

    g = (alpha * a / (beta * b)) ** (1.0 / (alpha + beta))
    flop = 6.0 * (g * stock) ** (1.0 / PHI)
    assert flop == pytest.approx(3.9e28, rel=0.01)
    for x in (0.1, 1.0, 10.0, 100.0, 1e4):
        mine = np.exp(data.log_data_limited_loss(np.log(x), KAPPA, 0.0, PHI))
        assert float(mine) == pytest.approx(least(x * flop) / least(flop), rel=2e-6)


def test_excess_loss_beyond_the_data_is_as_worked_out_beforehand():
    s = np.exp(data.log_data_limited_loss(np.log(np.float32([2.0, 10.0, 100.0, 1e4])), KAPPA, 0.0, PHI))
    assert np.asarray(s) == pytest.approx([0.890189, 0.717526, 0.590709, 0.508213], abs=3e-6)


@each_dtype
def test_log_compute_for_loss_inverts(dtype):
    with cases.precision(dtype):
        log_c, kappa, limit, share = _points(dtype)
        log_x = data.log_data_limited_loss(log_c, kappa, limit, share)
        again = data.log_data_limited_loss(data.log_compute_for_loss(log_x, kappa, limit, share), kappa, limit, share)
        scale = np.maximum(np.maximum(np.abs(log_x), kappa * np.where(np.isinf(limit), 0.0, np.abs(limit))), 1e-3)
        assert (np.abs(again - log_x) <= 40 * np.finfo(dtype).eps * scale / (1 - share)).all()


def test_log_compute_for_loss_is_infinite_at_the_floor_and_below():
    floor = np.log(0.4) - 0.2 * 3.0
    found = data.log_compute_for_loss(np.float32([floor - 1e-3, floor - 1.0, floor + 0.1, 0.0]), 0.2, 3.0, 0.4)
    assert np.isinf(found).tolist() == [True, True, False, False]
    assert float(found[3]) == 0.0


@each_dtype
def test_gradients_meet_at_the_limit_and_are_finite(dtype):
    with cases.precision(dtype):
        log_c = np.asarray([3.0, 3.0 + 1e-4, 0.0, 60.0, 5.0], dtype)
        limit = np.asarray([3.0, 3.0, 0.0, 0.0, inf], dtype)
        kappa, share = np.full_like(log_c, 0.178), np.full_like(log_c, 0.487)
        slopes = jax.grad(lambda *a: data.log_data_limited_loss(*a).sum(), argnums=(0, 1, 2, 3))(
            log_c, kappa, limit, share
        )
        assert all(np.isfinite(slope).all() for slope in slopes)
        assert np.asarray(slopes[0])[:3] == pytest.approx([-0.178] * 3, rel=1e-3)
        log_x = data.log_data_limited_loss(log_c, kappa, limit, share)
        back = jax.grad(lambda x: data.log_compute_for_loss(x, kappa, limit, share).sum())(log_x)
        assert np.isfinite(back).all()


def test_outside_the_domain_there_is_no_number():
    assert np.isnan(
        data.log_data_limited_loss(1.0, np.float32([0.0, 0.1, 0.1]), 0.0, np.float32([0.5, 0.0, 1.0]))
    ).all()
