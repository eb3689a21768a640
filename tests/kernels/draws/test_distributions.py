"""Quantile functions against mpmath and SciPy over the whole of u, their gradients, marginals and correlations."""

import functools

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from mpmath import mpf
from scipy import special as peer
from scipy import stats

from kernels.draws import distributions, sobol
from kernels.draws.beta import beta_table
from kernels.draws.copula import copula_cholesky

INF, NAN = np.inf, np.nan
DTYPES = (np.float32, np.float64)
STEP = {np.float32: 2.0**-24, np.float64: 2.0**-31}


def shares(dtype, count=80):
    """u from one step above 0 to one below 1, dense at both ends and around 1/2."""
    ends = 2.0 ** np.linspace(np.log2(STEP[dtype]), -1.0, count)
    near = 2.0 ** -np.arange(3.0, 23.0)
    u = np.concatenate([ends, 1.0 - ends, np.linspace(0.001, 0.999, count), 0.5 - near, 0.5 + near]).astype(dtype)
    return np.unique(u[(u >= STEP[dtype]) & (u <= 1.0 - STEP[dtype])])


def evaluate(name, u, *parameters, **bounds):
    """A quantile function in the type of u."""
    function = functools.partial(getattr(distributions, name), **bounds)
    with jax.enable_x64(u.dtype == np.float64):
        found = jax.jit(lambda u: function(u, *parameters))(u)
        assert found.dtype == u.dtype
        assert found.shape == u.shape
        return np.asarray(found)


def below(z):
    """Lower tail of the standard normal distribution."""
    return mpmath.erfc(-z / mpmath.sqrt(2)) / 2


def normal_quantile(p):
    """Its inverse, by Newton's method on the logarithm of the smaller tail."""
    if p > 0.5:
        return -normal_quantile(1 - p)
    with mpmath.workdps(30):
        z = -mpmath.sqrt(-2 * mpmath.log(p)) if p < 0.3 else (p - mpf(1) / 2) * mpmath.sqrt(2 * mpmath.pi)
        for _ in range(60):
            tail = below(z)
            change = mpmath.log(tail / p) * tail / mpmath.npdf(z)
            z -= change
            if abs(change) <= abs(z) * mpf(10) ** -20:
                return z
    raise AssertionError(p)


def truncated_quantile(u, low, high):
    """Quantile of the standard normal distribution between two bounds, by the tails that do not cancel."""
    with mpmath.workdps(40):
        p, q = mpf(float(u)), 1 - mpf(float(u))
        if high <= 0:
            return normal_quantile(below(mpf(low)) * q + below(mpf(high)) * p)
        return -normal_quantile(below(-mpf(low)) * q + below(-mpf(high)) * p)


def ulps(found, exact):
    """Largest error in units of the type's relative precision; exact zeros must be met."""
    pairs = zip(found.astype(float), exact, strict=True)
    return max(float(abs(a / b - 1)) if b else float(a != b) for a, b in pairs) / np.finfo(found.dtype).eps


@pytest.mark.parametrize("dtype", DTYPES)
def test_normal_is_right_to_4_ulp_in_both_tails(dtype):
    u = shares(dtype)
    assert ulps(evaluate("normal", u, 0.0, 1.0), [normal_quantile(mpf(float(x))) for x in u]) < 4.0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("mean", "sigma"), [(0.0, 3.0), (-2.0, 0.5), (1e6, 1.0), (0.05, 1e-4)])
def test_normal_is_right_to_rounding_of_its_terms(dtype, mean, sigma):
    u = shares(dtype)
    found = evaluate("normal", u, mean, sigma).astype(float)
    terms = abs(mean) + sigma * np.abs(stats.norm.ppf(u.astype(float)))
    assert (np.abs(found - stats.norm.ppf(u.astype(float), mean, sigma)) <= 5 * np.finfo(dtype).eps * terms).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ends", [(8, 9), (-9, -8), (3, 3.001), (2, INF), (-INF, -4), (-6, -5), (10, 10.5)])
def test_normal_is_right_to_6_ulp_where_it_is_truncated_to_a_tail(dtype, ends):
    u = shares(dtype, 30)
    bounds = {key: dtype(end) for key, end in zip(("lower", "upper"), ends, strict=True) if np.isfinite(end)}
    exact = [truncated_quantile(x, *(float(dtype(end)) for end in ends)) for x in u]
    assert ulps(evaluate("normal", u, 0.0, 1.0, **bounds), exact) < 6.0


@pytest.mark.parametrize("ends", [(20, 21), (-30, -29), (35, 36), (30, INF)])
def test_normal_is_right_to_6_ulp_where_it_is_truncated_far_out(ends):
    u = shares(np.float64, 12)
    bounds = {key: float(end) for key, end in zip(("lower", "upper"), ends, strict=True) if np.isfinite(end)}
    exact = [truncated_quantile(x, *ends) for x in u]
    assert ulps(evaluate("normal", u, 0.0, 1.0, **bounds), exact) < 6.0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ends", [(-1, 9), (-1, 1), (-0.5, 3), (-INF, 0.25), (0, INF)])
def test_normal_is_right_to_6_ulp_of_sigma_where_it_is_truncated_around_the_mean(ends, dtype):
    u = shares(dtype, 30)
    bounds = {key: dtype(end) for key, end in zip(("lower", "upper"), ends, strict=True) if np.isfinite(end)}
    exact = np.array([float(truncated_quantile(x, *ends)) for x in u])
    found = evaluate("normal", u, 0.0, 1.0, **bounds)
    assert (np.abs(found - exact) <= 6 * np.finfo(dtype).eps * np.maximum(1.0, np.abs(exact))).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["normal", "lognormal"])
def test_an_infinite_quantile_at_0_and_1_is_that_of_half_a_step(dtype, name):
    half, last = (2.0**-31, 2.0**-31) if dtype is np.float64 else (2.0**-25, 2.0**-24)
    ends = np.array([0.0, half, 1.0 - last, 1.0], dtype)
    found = evaluate(name, ends, 1.0, 2.0)
    assert found[0] == found[1] < found[2] == found[3]
    assert np.isfinite(found).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("mu", "sigma"), [(0.0, 1.0), (-3.0, 0.2), (8.0, 2.0), (0.85, 0.58)])
def test_lognormal_is_right_to_rounding_of_its_logarithm(dtype, mu, sigma):
    u = shares(dtype)
    exact = stats.lognorm.ppf(u.astype(float), sigma, scale=np.exp(mu))
    terms = 1.0 + abs(mu) + sigma * np.abs(stats.norm.ppf(u.astype(float)))
    found = evaluate("lognormal", u, mu, sigma)
    assert (np.abs(found / exact - 1.0) <= 5 * np.finfo(dtype).eps * terms).all()


def test_lognormal_is_truncated_by_its_values():
    u = shares(np.float64)
    mu, sigma, low, high = 0.85, 0.58, 0.6, 4.0
    ends = [(np.log(end) - mu) / sigma for end in (low, high)]
    exact = np.exp(stats.truncnorm.ppf(u, *ends, loc=mu, scale=sigma))
    np.testing.assert_allclose(evaluate("lognormal", u, mu, sigma, lower=low, upper=high), exact, rtol=1e-14)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("low", "high"), [(1e-3, 1e4), (2.0, 2.5), (1e-30, 1e30), (7.0, 7.0)])
def test_loguniform_is_right_to_rounding_of_its_logarithm(dtype, low, high):
    u = shares(dtype)
    low, high = dtype(low), dtype(high)
    exact = [mpf(float(low)) * (mpf(float(high)) / mpf(float(low))) ** mpf(float(x)) for x in u]
    assert ulps(evaluate("loguniform", u, low, high), exact) < 4.0 + np.log2(float(high) / float(low))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("low", "high"), [(-1.0, 3.0), (0.1, 0.3), (5.0, 5.0), (-1e30, 1e30)])
def test_uniform_is_right_to_rounding_of_its_terms(dtype, low, high):
    u = shares(dtype)
    low, high = dtype(low), dtype(high)
    exact = float(low) + u.astype(float) * (float(high) - float(low))
    found = evaluate("uniform", u, low, high).astype(float)
    assert (np.abs(found - exact) <= 2 * np.finfo(dtype).eps * max(abs(float(low)), abs(float(high)))).all()


@pytest.mark.parametrize("name", ["uniform", "loguniform"])
def test_ends_are_reached_exactly(name):
    assert evaluate(name, np.array([0.0, 1.0]), 0.3, 1.7).tolist() == [0.3, 1.7]


@pytest.mark.parametrize("name", ["uniform", "loguniform"])
def test_truncation_of_a_flat_distribution_is_one_on_what_is_left(name):
    u = shares(np.float64)
    assert np.array_equal(evaluate(name, u, 1.0, 5.0, lower=2.0, upper=9.0), evaluate(name, u, 2.0, 5.0))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("low", "mode", "high"), [(0.0, 0.0, 1.0), (0.0, 0.3, 1.0), (0.0, 1.0, 1.0), (-2.0, 5.0, 6.0)])
def test_triangular_is_right_to_rounding_of_its_terms(dtype, low, mode, high):
    u = shares(dtype)
    width = high - low
    exact = stats.triang.ppf(u.astype(float), (mode - low) / width, low, width)
    found = evaluate("triangular", u, low, mode, high).astype(float)
    # (SciPy's own upper side loses the digits of 1 - u: within those of u.)
    assert (np.abs(found - exact) <= 4 * np.finfo(dtype).eps * max(abs(low), abs(high))).all()


@pytest.mark.parametrize("ends", [(0.1, 0.2), (0.1, 0.9), (0.6, 0.99), (0.999, 1.0), (-1.0, 0.5)])
def test_triangular_is_truncated_in_proportion(ends):
    u = shares(np.float64)
    of = stats.triang(0.3)
    exact = of.ppf(of.cdf(ends[0]) + u * (of.cdf(ends[1]) - of.cdf(ends[0])))
    found = evaluate("triangular", u, 0.0, 0.3, 1.0, lower=ends[0], upper=ends[1])
    np.testing.assert_allclose(found, exact, atol=2e-13)


SHAPES = [(1.0, 1.0), (2.0, 5.0), (0.5, 0.5), (0.1, 0.1), (30.0, 1.0), (0.1, 1e4), (1e4, 1e4), (1e6, 3.0), (1e6, 1e6)]


def beta_quantile(u, alpha, beta):
    return np.where(u < 0.5, peer.betaincinv(alpha, beta, u), peer.betainccinv(alpha, beta, 1.0 - u))


@pytest.mark.parametrize(("alpha", "beta"), SHAPES)
def test_beta_is_right_to_a_relative_1e_12(alpha, beta):
    u = shares(np.float64, 400)
    np.testing.assert_allclose(evaluate("beta", u, alpha, beta), beta_quantile(u, alpha, beta), rtol=1e-12)


@pytest.mark.parametrize(("alpha", "beta"), [(0.05, 0.05), (0.05, 1e6), (3.0, 0.05)])
def test_beta_is_right_to_a_relative_1e_10_for_small_parameters(alpha, beta):
    u = shares(np.float64, 400)
    np.testing.assert_allclose(evaluate("beta", u, alpha, beta), beta_quantile(u, alpha, beta), rtol=1e-10, atol=1e-300)


@pytest.mark.parametrize(("alpha", "beta"), SHAPES)
def test_beta_in_float32_is_right_to_a_relative_3e_6_over_alpha(alpha, beta):
    u = shares(np.float32)
    exact = beta_quantile(u.astype(float), alpha, beta)
    found = evaluate("beta", u, alpha, beta).astype(float)
    np.testing.assert_allclose(found, exact, rtol=3e-6 / min(alpha, 1.0), atol=1e-37)


@pytest.mark.parametrize("ends", [(0.1, 0.2), (0.0, 0.5), (0.9, 1.0), (0.3, 0.30001), (0.99, 0.999)])
def test_beta_is_truncated_in_proportion_of_its_tails(ends):
    u = shares(np.float64)
    alpha, beta, low, high = 2.0, 5.0, -1.0, 3.0
    tails = peer.betaincc(alpha, beta, ends)
    exact = low + (high - low) * peer.betainccinv(alpha, beta, tails[0] + u * (tails[1] - tails[0]))
    bounds = {"lower": low + (high - low) * ends[0], "upper": low + (high - low) * ends[1]}
    np.testing.assert_allclose(evaluate("beta", u, alpha, beta, low, high, **bounds), exact, atol=1e-12)


def test_beta_rises():
    u = np.sort(np.random.default_rng(0).random(100_000))
    assert (np.diff(evaluate("beta", u, 0.7, 3.0)) >= 0.0).all()


@pytest.mark.parametrize("parameters", [(0.0, 1.0), (1.0, -2.0), (NAN, 1.0), (INF, 1.0), (1.0, INF)])
def test_beta_table_is_nan_for_bad_parameters(parameters):
    assert np.isnan(beta_table(*parameters)).all()


@pytest.mark.parametrize("size", [1, 2, 3, 38, 1000])
@pytest.mark.parametrize("dtype", DTYPES)
def test_empirical_is_the_quantile_of_numpy(size, dtype):
    values = np.sort(np.random.default_rng(size).normal(size=size)).astype(dtype)
    u = np.concatenate([[0.0], shares(dtype), [1.0]]).astype(dtype)
    exact = np.quantile(values.astype(float), u.astype(float))
    spread = size * np.diff(values).max(initial=0.0) + np.abs(values).max()
    assert (np.abs(evaluate("empirical", u, values) - exact) <= 2 * np.finfo(dtype).eps * spread).all()


@pytest.mark.parametrize(
    ("values", "lower", "upper", "first", "last"),
    [
        ([0.0, 1.0, 2.0, 4.0], 0.5, 3.0, 0.5 / 3, 2.5 / 3),
        ([0.0, 1.0, 2.0, 4.0], -5.0, 9.0, 0.0, 1.0),
        ([0.0, 1.0, 2.0, 4.0], 1.0, 2.0, 1 / 3, 2 / 3),
        ([0.0, 1.0, 1.0, 1.0, 3.0], 1.0, None, 1 / 4, 1.0),
        ([0.0, 1.0, 1.0, 1.0, 3.0], None, 1.0, 0.0, 3 / 4),
        ([0.0, 1.0, 1.0, 1.0, 3.0], 1.0, 1.0, 1 / 4, 3 / 4),
        ([0.0, 1.0], 1.0, None, 1.0, 1.0),
        ([0.0, 1.0], None, 0.0, 0.0, 0.0),
        ([2.0], 1.0, 3.0, 0.0, 1.0),
    ],
)
def test_empirical_is_truncated_to_the_shares_of_its_bounds(values, lower, upper, first, last):
    u = np.concatenate([[0.0], shares(np.float64), [1.0]])
    found = evaluate("empirical", u, np.array(values), lower=lower, upper=upper)
    np.testing.assert_allclose(found, np.quantile(values, first + u * (last - first)), rtol=0, atol=1e-14)


@pytest.mark.parametrize("bounds", [{"lower": 4.5}, {"upper": -0.5}, {"lower": 3.0, "upper": 1.0}])
def test_empirical_is_nan_where_the_bounds_enclose_nothing(bounds):
    assert np.isnan(evaluate("empirical", np.array([0.0, 0.5, 1.0]), np.array([0.0, 1.0, 4.0]), **bounds)).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "parameters", "bounds"),
    [
        ("uniform", (2.0, 1.0), {}),
        ("uniform", (1.0, NAN), {}),
        ("uniform", (1.0, 2.0), {"lower": 3.0}),
        ("loguniform", (2.0, 1.0), {}),
        ("loguniform", (0.0, 1.0), {}),
        ("loguniform", (-2.0, -1.0), {}),
        ("loguniform", (1.0, 2.0), {"upper": 0.5}),
        ("normal", (0.0, -1.0), {}),
        ("normal", (0.0, 0.0), {}),
        ("normal", (NAN, 1.0), {}),
        ("normal", (0.0, 1.0), {"lower": 2.0, "upper": 1.0}),
        ("normal", (0.0, 1.0), {"lower": 40.0, "upper": 41.0}),
        ("lognormal", (0.0, -1.0), {}),
        ("triangular", (0.0, 2.0, 1.0), {}),
        ("triangular", (0.0, -1.0, 1.0), {}),
        ("triangular", (1.0, 1.0, 1.0), {}),
        ("triangular", (0.0, 0.5, 1.0), {"lower": 2.0}),
        ("beta", (0.0, 1.0), {}),
        ("beta", (1.0, -1.0), {}),
        ("beta", (1.0, 1.0, 2.0, 2.0), {"lower": 1.0}),
        ("beta", (1.0, 1.0), {"lower": 0.7, "upper": 0.6}),
        ("beta", (1.0, 1.0), {"lower": 1.5}),
    ],
)
def test_bad_parameters_give_nan(name, parameters, bounds, dtype):
    assert np.isnan(evaluate(name, np.array([0.0, 0.3, 0.9], dtype), *parameters, **bounds)).all()


@pytest.mark.parametrize("name", ["uniform", "loguniform", "normal", "lognormal", "triangular", "beta", "empirical"])
def test_a_share_that_is_nan_gives_nan(name):
    parameters = {"triangular": (1.0, 2.0, 3.0), "empirical": (np.arange(3.0),)}.get(name, (1.0, 2.0))
    assert np.isnan(evaluate(name, np.array([NAN]), *parameters)).all()


GRADIENTS = {
    "uniform": ("uniform", (1.0, 3.0), {}),
    "loguniform": ("loguniform", (0.5, 3.0), {}),
    "normal": ("normal", (0.5, 3.0), {}),
    "normal in a tail": ("normal", (0.5, 0.25), {"lower": 2.5, "upper": 2.75}),
    "normal above": ("normal", (0.5, 0.25), {"lower": 0.25}),
    "lognormal": ("lognormal", (0.5, 0.75), {"upper": 4.0}),
    "triangular": ("triangular", (0.5, 0.75, 2.0), {"lower": 0.6}),
    "empirical": ("empirical", (np.array([0.5, 0.75, 2.0, 5.0]),), {}),
}


@pytest.mark.parametrize("case", GRADIENTS)
def test_gradient_in_u_and_the_parameters_is_that_of_small_differences(case):
    name, parameters, bounds = GRADIENTS[case]
    u = np.array([1e-9, 1e-4, 0.02, 0.3, 0.5, 0.84, 1.0 - 2.0**-12])

    def value(change, *rest):
        named = dict(zip(bounds, rest[len(parameters) :], strict=True))
        # In ln(u / (1 - u)), in which no quantile is steep.
        moved = jax.nn.sigmoid(np.log(u) - np.log1p(-u) + change)
        return getattr(distributions, name)(moved, *rest[: len(parameters)], **named)

    with jax.enable_x64(True):
        values = [jnp.asarray(x) for x in (0.0, *parameters, *bounds.values())]
        found = jax.jit(jax.jacfwd(value, argnums=tuple(range(len(values)))))(*values)
        value = jax.jit(value)
        for k, at in enumerate(values):
            for place in np.ndindex(at.shape):
                moved = [[*values[:k], at.at[place].add(h), *values[k + 1 :]] for h in (-1e-5, 1e-5)]
                slope = (value(*moved[1]) - value(*moved[0])) / 2e-5
                np.testing.assert_allclose(found[k][(..., *place)], slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("mode", [0.0, 1.0])
def test_gradient_of_triangular_is_finite_where_one_side_is_missing(mode):
    with jax.enable_x64(True):
        gradient = jax.jit(jax.grad(distributions.triangular, argnums=(1, 2, 3)))(0.3, 0.0, mode, 1.0)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("mass", [0.5, 0.9, 0.999])
def test_normal_from_interval_has_that_mass_between(mass):
    with jax.enable_x64(True):
        mean, sigma = distributions.normal_from_interval(-1.0, 4.0, mass)
    np.testing.assert_allclose(stats.norm.cdf([-1.0, 4.0], mean, sigma), [0.5 - mass / 2, 0.5 + mass / 2], rtol=1e-12)


def test_lognormal_from_interval_has_nine_tenths_between():
    with jax.enable_x64(True):
        mu, sigma = distributions.lognormal_from_interval(0.6, 4.0)
    np.testing.assert_allclose(stats.lognorm.cdf([0.6, 4.0], sigma, scale=np.exp(mu)), [0.05, 0.95], rtol=1e-12)


@pytest.mark.parametrize(
    "interval", [(2.0, 1.0, 0.9), (1.0, 1.0, 0.9), (1.0, 2.0, 0.0), (1.0, 2.0, 1.0), (1.0, 2.0, 1.5)]
)
def test_normal_from_interval_is_nan_for_no_interval(interval):
    assert np.isnan(distributions.normal_from_interval(*interval)[1])


@pytest.mark.parametrize(
    ("name", "parameters", "bounds", "peer"),
    [
        ("uniform", (1.0, 3.0), {}, stats.uniform(1.0, 2.0)),
        ("loguniform", (0.1, 30.0), {}, stats.loguniform(0.1, 30.0)),
        ("normal", (1.0, 2.0), {}, stats.norm(1.0, 2.0)),
        ("normal", (1.0, 2.0), {"lower": 0.0, "upper": 7.0}, stats.truncnorm(-0.5, 3.0, 1.0, 2.0)),
        ("lognormal", (0.5, 0.6), {}, stats.lognorm(0.6, scale=np.exp(0.5))),
        ("triangular", (1.0, 2.0, 5.0), {}, stats.triang(0.25, 1.0, 4.0)),
        ("beta", (2.0, 3.0, 1.0, 5.0), {}, stats.beta(2.0, 3.0, 1.0, 4.0)),
    ],
)
def test_marginal_is_that_of_scipy(name, parameters, bounds, peer):
    drawn = evaluate(name, sobol.random_points(12, 0, 50_000, 0), *parameters, **bounds)
    assert stats.kstest(drawn, peer.cdf).pvalue > 1e-3


RANKS = np.array([[1.0, 0.7, -0.3], [0.7, 1.0, 0.2], [-0.3, 0.2, 1.0]])


@pytest.mark.parametrize("dtype", DTYPES)
def test_correlated_reaches_the_rank_correlations(dtype):
    u = sobol.sobol_points(sobol.scrambling(3, 3), 0, 2**14).T.astype(dtype)
    with jax.enable_x64(dtype is np.float64):
        found = np.asarray(jax.jit(distributions.correlated)(u, copula_cholesky(RANKS).astype(dtype)))
    assert found.dtype == dtype
    np.testing.assert_allclose(stats.spearmanr(found.T).statistic, RANKS, atol=3e-3)
    for row in found.astype(float):
        assert stats.kstest(row, "uniform").pvalue > 1e-3


def test_correlated_without_correlations_changes_nothing_but_rounding():
    u = np.stack([shares(np.float64), shares(np.float64)[::-1]])
    with jax.enable_x64(True):
        np.testing.assert_allclose(jax.jit(distributions.correlated)(u, np.eye(2)), u, rtol=3e-14)


def test_copula_cholesky_is_a_factor_of_the_normal_correlations():
    factor = copula_cholesky(RANKS)
    np.testing.assert_allclose(factor @ factor.T, 2.0 * np.sin(np.pi / 6.0 * RANKS), rtol=1e-14)
    assert np.array_equal(factor, np.tril(factor))


def test_copula_cholesky_refuses_what_cannot_be_and_says_what_can():
    ranks = np.array([[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]])
    with pytest.raises(ValueError, match="not positive definite") as refused:
        copula_cholesky(ranks, ["a", "b", "c"])
    assert '"a" and "c" = -0.9 (between 0.631 and 1 would do)' in str(refused.value)
    assert '"b" and "c" = 0.9 (between -1 and -0.631 would do)' in str(refused.value)


@pytest.mark.parametrize(("value", "allowed"), [(0.632, True), (0.630, False), (0.999, True)])
def test_copula_cholesky_allows_what_it_says(value, allowed):
    ranks = np.array([[1.0, 0.9, value], [0.9, 1.0, 0.9], [value, 0.9, 1.0]])
    if allowed:
        copula_cholesky(ranks)
    else:
        with pytest.raises(ValueError, match=r'"0" and "2" = 0\.63'):
            copula_cholesky(ranks)


def test_copula_cholesky_refuses_the_first_row_that_does_not_fit():
    ranks = np.eye(4)
    for i, j, rank in [(0, 1, 0.5), (0, 2, 0.95), (1, 2, -0.95), (2, 3, 0.2)]:
        ranks[i, j] = ranks[j, i] = rank
    with pytest.raises(ValueError, match=r'"a" and "c" = 0\.95') as refused:
        copula_cholesky(ranks, list("abcd"))
    assert '"d"' not in str(refused.value)


@pytest.mark.parametrize(
    ("ranks", "message"),
    [
        ([[1.0, 0.5], [0.4, 1.0]], "symmetric"),
        ([[2.0, 0.5], [0.5, 1.0]], "diagonal of 1"),
        ([[1.0, NAN], [NAN, 1.0]], "symmetric"),
        ([1.0, 0.5], "symmetric"),
        ([[1.0, 1.0], [1.0, 1.0]], 'rank correlation of "0" and "1" must be between -1 and 1, got 1'),
        ([[1.0, -1.5], [-1.5, 1.0]], 'rank correlation of "0" and "1" must be between -1 and 1, got -1.5'),
    ],
)
def test_copula_cholesky_refuses_what_is_no_correlation_matrix(ranks, message):
    with pytest.raises(ValueError, match=message):
        copula_cholesky(ranks)
