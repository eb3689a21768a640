"""Skewness and correlation of steps and pieces against exact arithmetic: near-constant data, long axes, any scale."""

import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats

from kernels import statistics
from sweep.config.kinds import KINDS
from tests.kernels.test_statistics import DTYPES, INF, NAN, SAMPLES, feed

EPS = np.finfo(np.float32).eps


def column(function):
    """Sample whose values follow from their place alone."""
    return lambda rng, shape: np.broadcast_to(function(np.linspace(0.0, 1.0, shape[0]))[:, None], shape)


SHAPES = {
    **{kind: sample for kind, sample in SAMPLES.items() if kind != "constant"},
    "line": column(lambda x: 0.1 + 0.8 * x),
    "decay": column(lambda x: np.exp(-30.0 * x)),
    "ulps": lambda rng, shape: 1.0 + EPS * rng.integers(0, 3, shape),
    "last apart": column(lambda x: np.where(x == 1.0, 1e6, 1.0)),
    "first apart": lambda rng, shape: rng.random(shape) * 1e-3 + 1.0 + 1e3 * (np.arange(shape[0]) == 0)[:, None],
    "tiny": lambda rng, shape: 1e-30 * (1.0 + rng.random(shape) ** 3),
    "huge": lambda rng, shape: 5e36 * rng.random(shape) ** 3,
    "growing": column(lambda x: 10.0 ** (70.0 * x - 35.0)),
}


def samples(shape, dtype, seed=0):
    """A column of each kind."""
    rng = np.random.default_rng(seed)
    columns = [np.asarray(sample(rng, (shape, 1))).astype(dtype) for sample in SHAPES.values()]
    return np.concatenate(columns, axis=1)


def deviations(row):
    """Deviations of numbers from their mean times their number, as whole multiples of the same number."""
    ratios = [float(value).as_integer_ratio() for value in row]
    common = max(below for _, below in ratios)
    wholes = [above * (common // below) for above, below in ratios]
    total = sum(wholes)
    return [len(wholes) * whole - total for whole in wholes]


def root(whole):
    """Square root of a whole number, to 100 bits after the point."""
    return Fraction(math.isqrt(whole << 200), 1 << 100)


def skewness_of(row):
    """Skewness, and the mean of the cubes of the absolute deviations over the cube of the standard deviation."""
    apart = deviations(row)
    below = root(sum(one**2 for one in apart)) ** 3 / root(len(apart))
    return tuple(Fraction(sum(cubes)) / below for cubes in ([d**3 for d in apart], [abs(d) ** 3 for d in apart]))


def correlation_of(x, y):
    a, b = deviations(x), deviations(y)
    product = sum(one * other for one, other in zip(a, b, strict=True))
    return Fraction(product) / (root(sum(one**2 for one in a)) * root(sum(one**2 for one in b)))


PAIRS = statistics.PRODUCTS._replace(  # fed arrays of both outputs
    start=lambda shape, dtype: statistics.PRODUCTS.start(shape[1:], dtype),
    add=lambda state, steps, done: statistics.PRODUCTS.add(state, [(step[0], step[1]) for step in steps], done),
)


def finished(kind, pieces):
    """What a kind makes of pieces, one after the other along the last axis."""
    kind = KINDS[kind]
    accumulator = getattr(statistics, kind.keeps)
    merged = accumulator.merge(*(np.stack(arrays, axis=-1) for arrays in zip(*pieces, strict=True)))
    with np.errstate(all="ignore"):
        return kind.finish(dict(zip(accumulator.fields, merged, strict=True)), 0)


def piece(running, values, group=16):
    steps = [group] * (len(values) // group) + [1] * (len(values) % group)
    return running.piece(len(values), *feed(running, values, steps, jit=True))


def pairs(x, y):
    return np.stack([x, y], axis=1)


def assert_skewness(found, values):
    for one, row in zip(found, values.T, strict=True):
        exact, apart = skewness_of(row)
        assert abs(Fraction(float(one)) - exact) <= 4 * Fraction(float(np.finfo(values.dtype).eps)) * apart, exact


def assert_correlation(found, x, y):
    for one, a, b in zip(found, x.T, y.T, strict=True):
        exact = correlation_of(a, b)
        assert abs(Fraction(float(one)) - exact) <= 4 * Fraction(float(np.finfo(x.dtype).eps)), (one, float(exact))


@pytest.mark.parametrize("ends", [(), (16, 17, 50, 213)], ids=["one piece", "pieces"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_skewness_is_within_4_eps_of_the_cubes_it_is_made_of(dtype, ends):
    values = samples(16 * 16 + 5, dtype)
    assert_skewness(finished("skewness", [piece(statistics.CUBES, part) for part in np.split(values, ends)]), values)


@pytest.mark.parametrize("group", (2, 3, 7))
def test_skewness_of_other_groups_is_within_4_eps_of_the_cubes_it_is_made_of(group):
    values = samples(9 * group + 1, np.float32, group)
    assert_skewness(finished("skewness", [piece(statistics.CUBES, values, group)]), values)


@pytest.mark.parametrize("dtype", DTYPES)
def test_skewness_of_a_long_axis_is_that_of_scipy(dtype):
    values = np.random.default_rng(5).lognormal(3.0, 0.2, (2**13, 8)).astype(dtype)
    lanes = statistics.CUBES.merge(*piece(statistics.CUBES, values))
    found = KINDS["skewness"].finish(dict(zip(statistics.CUBES.fields, lanes, strict=True)), 0)
    assert_skewness([found], values.reshape(-1, 1))
    np.testing.assert_allclose(found, scipy.stats.skew(values.ravel().astype(np.float64)), rtol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("group", (1, 3, 16))
def test_shape_of_a_constant_is_nan_whatever_the_groups(group, dtype):
    values = np.full((3 * group, 3), 0.1, dtype)
    varied = np.random.default_rng(0).random(values.shape).astype(dtype)
    assert np.isnan(finished("skewness", [piece(statistics.CUBES, values, group)] * 3)).all()
    for both in (pairs(values, varied), pairs(varied, values), pairs(values, values)):
        assert np.isnan(finished("correlation", [piece(PAIRS, both, group)] * 3)).all()


@pytest.mark.parametrize("group", (1, 16))
def test_shape_of_what_is_not_finite_is_nan(group):
    places = [(step, value) for step in range(32) for value in (INF, -INF, NAN)]
    values, other = np.random.default_rng(0).random((2, 32, len(places))).astype(np.float32)
    for number, (step, value) in enumerate(places):
        values[step, number] = value
    assert np.isnan(finished("skewness", [piece(statistics.CUBES, values, group)])).all()
    for both in (pairs(values, other), pairs(other, values)):
        assert np.isnan(finished("correlation", [piece(PAIRS, both, group)])).all()


RELATED = {
    "independent": lambda x, other: other,
    "mostly": lambda x, other: x + 0.3 * (other - other.mean(axis=0)) * x.std(axis=0),
    "a line of it": lambda x, other: 3.0 * x,
    "against it": lambda x, other: -x,
    "its square root": lambda x, other: np.sqrt(np.abs(x)),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("relation", RELATED)
def test_correlation_is_within_4_eps(relation, dtype):
    x = samples(16 * 16 + 5, np.float64)
    y = RELATED[relation](x, np.random.default_rng(1).random(x.shape)).astype(dtype)
    x = x.astype(dtype)
    whole = finished("correlation", [piece(PAIRS, pairs(x, y))])
    in_pieces = finished("correlation", [piece(PAIRS, part) for part in np.split(pairs(x, y), (16, 17, 50, 213))])
    assert_correlation(whole, x, y)
    assert_correlation(in_pieces, x, y)
    assert np.abs([whole, in_pieces]).max() <= 1.0


@pytest.mark.parametrize("dtype", DTYPES)
def test_correlation_of_a_long_axis_is_that_of_scipy(dtype):
    rng = np.random.default_rng(6)
    x = rng.lognormal(3.0, 0.2, (2**13, 8))
    y = (10.0 + x**2 * rng.lognormal(0.0, 0.3, x.shape)).astype(dtype)
    x = x.astype(dtype)
    lanes = statistics.PRODUCTS.merge(*piece(PAIRS, pairs(x, y)))
    found = KINDS["correlation"].finish(dict(zip(statistics.PRODUCTS.fields, lanes, strict=True)), 0)
    assert_correlation([found], x.reshape(-1, 1), y.reshape(-1, 1))
    expected = scipy.stats.pearsonr(x.ravel().astype(np.float64), y.ravel().astype(np.float64)).statistic
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=4 * np.finfo(dtype).eps)
