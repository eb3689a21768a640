"""Running statistics against exact arithmetic, rows and counts against NumPy and the definition."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels import statistics

DTYPES = (np.float32, np.float64)
INF, NAN = np.inf, np.nan
SAMPLES = {
    "loss": lambda rng, shape: rng.random(shape),
    "decades": lambda rng, shape: 10.0 ** rng.uniform(-8, 8, shape),
    "negative": lambda rng, shape: -1e3 * rng.random(shape),
    "narrow": lambda rng, shape: 1.0 + 1e-4 * rng.random(shape),
    "constant": lambda rng, shape: np.full(shape, 0.1),
}


def moments(values):
    """Mean and variance of numbers, exact."""
    ratios = [float(value).as_integer_ratio() for value in np.ravel(values)]
    n, common = len(ratios), max(below for _, below in ratios)
    wholes = [above * (common // below) for above, below in ratios]
    total = sum(wholes)
    squares = n * sum(whole * whole for whole in wholes) - total * total
    return Fraction(total, n * common), Fraction(squares, (n * common) ** 2)


def assert_within_ulp(found, exact, dtype, most=4):
    """Compare a number with an exact one in units of the last place of what the type makes of that."""
    ulp = Fraction(float(np.spacing(np.abs(np.dtype(dtype).type(float(exact))))))
    assert abs(Fraction(float(found)) - exact) <= Fraction(most) * ulp, (found, float(exact))


def sample(kind, shape, dtype, seed=0):
    return SAMPLES[kind](np.random.default_rng(seed), shape).astype(dtype)


def feed(running, values, groups, jit=False):
    """Give what a running statistic makes of rows of values, in groups of so many steps."""
    dtype = np.dtype(np.float32) if values.dtype == bool else values.dtype
    with jax.enable_x64(dtype == np.float64):
        add = jax.jit(running.add) if jit else running.add
        state, done = running.start(values.shape[1:], dtype), 0
        for group in groups:
            steps = [jnp.asarray(row) for row in values[done : done + group]]
            state = add(state, steps, jnp.asarray(done, jnp.int32))
            done += group
        assert done == len(values)
        return [np.asarray(array) for array in state]


def mean_of(state):
    return state[0].astype(np.float64) - state[1]


def variance_of(state, n):
    return (state[2].astype(np.float64) - state[3]) / n


def assert_moments(values, mean, variance=None):
    for cell in range(values.shape[1]):
        exact_mean, exact_variance = moments(values[:, cell])
        assert_within_ulp(mean[cell], exact_mean, values.dtype)
        if variance is not None:
            assert_within_ulp(variance[cell], exact_variance, values.dtype)


# Running statistics


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("group", range(1, 17))
def test_moments_of_groups_of_any_length_are_within_4_ulp(group, dtype):
    values = np.concatenate([sample(kind, (3 * group, 1), dtype, group) for kind in SAMPLES], axis=1)
    state = feed(statistics.MOMENTS, values, [group] * 3)
    assert_moments(values, mean_of(state), variance_of(state, len(values)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("group", (1, 2, 7, 16))
def test_mean_of_groups_of_any_length_is_within_4_ulp(group, dtype):
    values = np.concatenate([sample(kind, (5 * group, 1), dtype, group) for kind in SAMPLES], axis=1)
    assert_moments(values, mean_of(feed(statistics.MEAN, values, [group] * 5)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", SAMPLES)
def test_moments_of_mixed_groups_are_within_4_ulp(kind, dtype):
    groups = [int(n) for n in np.random.default_rng(2).integers(1, 17, 40)]
    values = sample(kind, (sum(groups), 3), dtype)
    state = feed(statistics.MOMENTS, values, groups)
    assert_moments(values, mean_of(state), variance_of(state, len(values)))
    assert_moments(values, mean_of(feed(statistics.MEAN, values, groups)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", SAMPLES)
def test_moments_of_many_steps_are_within_4_ulp(kind, dtype):
    values = sample(kind, (16 * 512 + 3, 2), dtype)
    groups = [16] * 512 + [1] * 3
    state = feed(statistics.MOMENTS, values, groups, jit=True)
    assert_moments(values, mean_of(state), variance_of(state, len(values)))
    assert_moments(values, mean_of(feed(statistics.MEAN, values, groups, jit=True)))


@pytest.mark.parametrize("running", ["MEAN", "MOMENTS"])
def test_mean_of_more_steps_than_float32_has_whole_numbers_stays_where_it_is(running):
    running = getattr(statistics, running)

    @jax.jit
    def fed():
        steps = [jnp.full((4,), 0.1, jnp.float32), jnp.full((4,), 0.3, jnp.float32)] * 8
        add = lambda i, state: running.add(state, steps, i * 16)  # noqa: E731
        return jax.lax.fori_loop(0, 2**21, add, running.start((4,), np.dtype(np.float32)))

    state = [np.asarray(array) for array in fed()]
    low, high = float(np.float32(0.1)), float(np.float32(0.3))
    assert_within_ulp(mean_of(state)[0], Fraction(low) / 2 + Fraction(high) / 2, np.float32)
    if len(state) > 2:
        assert_within_ulp(variance_of(state, 2.0**25)[0], (Fraction(high) - Fraction(low)) ** 2 / 4, np.float32)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("group", (1, 2, 3, 16))
@pytest.mark.parametrize("running", ["MEAN", "MOMENTS"])
def test_mean_of_values_that_are_not_finite_is_that_of_numpy(running, group, dtype):
    columns = []
    for step in range(48):  # wherever it comes, and another one after it
        for first, then in ((INF, 1.0), (-INF, 1.0), (NAN, 1.0), (INF, -INF), (INF, INF), (-INF, -INF), (INF, NAN)):
            column = np.linspace(0.5, 2.0, 48)
            column[-1 - step], column[step] = then, first
            columns.append(column)
    values = np.stack(columns, axis=1).astype(dtype)
    state = feed(getattr(statistics, running), values, [group] * (48 // group))
    with np.errstate(invalid="ignore"):
        expected = np.mean(values, axis=0, dtype=np.float64)
    np.testing.assert_array_equal(mean_of(state), expected)
    if running == "MOMENTS":
        assert np.isnan(variance_of(state, 48)).all()


@pytest.mark.parametrize("group", (1, 2, 3, 16))
def test_moments_of_infinities_alone_have_no_variance(group):
    state = feed(statistics.MOMENTS, np.full((48, 1), INF, np.float32), [group] * (48 // group))
    assert mean_of(state)[0] == INF and np.isnan(variance_of(state, 48)[0])


def ties(dtype, seed=3):
    """Columns with many ties, infinities and, in some, a NaN."""
    values = np.random.default_rng(seed).integers(-3, 3, (48, 60)).astype(dtype)
    values[values == 2] = INF
    values[:, 20:30][values[:, 20:30] == -3] = -INF
    values[:, 30] = INF
    values[:, 31] = -INF
    values[np.arange(40, 48), np.arange(52, 60)] = NAN
    return values


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("group", (1, 2, 3, 16))
def test_first_least_is_numpys_argmin(group, dtype):
    values = ties(dtype)
    least, step = feed(statistics.FIRST_LEAST, values, [group] * (48 // group))
    np.testing.assert_array_equal(least, values.min(axis=0))
    defined = ~np.isnan(values).any(axis=0)
    np.testing.assert_array_equal(step[defined], values.argmin(axis=0)[defined])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("group", (1, 3, 16))
def test_least_is_numpys_min(group, dtype):
    values = ties(dtype)
    (least,) = feed(statistics.LEAST, values, [group] * (48 // group))
    np.testing.assert_array_equal(least, values.min(axis=0))


@pytest.mark.parametrize("group", (1, 3, 16))
def test_count_is_the_number_of_true_steps(group):
    values = np.random.default_rng(4).random((48, 5)) < 0.3
    np.testing.assert_array_equal(
        feed(statistics.COUNT, values, [group] * (48 // group))[0], np.count_nonzero(values, axis=0)
    )


# Merging


def pieces_of(values, ends):
    """Count, mean, excess and squares of consecutive pieces, each rounded once from the exact ones."""
    parts = np.split(values, ends)
    found = [moments(part) for part in parts]
    count = np.array([float(len(part)) for part in parts])
    mean = [float(m) for m, _ in found]
    excess = [float(Fraction(rounded) - m) for rounded, (m, _) in zip(mean, found, strict=True)]
    return count, np.array(mean), np.array(excess), np.array([float(v) for _, v in found]) * count


@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.parametrize("number", (1, 2, 40, 400))
def test_merge_moments_is_within_4_ulp(number, kind):
    values = sample(kind, 3 * number + 5, np.float64)
    total, mean, _, squares = statistics.merge_moments(*pieces_of(values, np.arange(3, 3 * number, 3)))
    assert total == len(values)
    assert_within_ulp(mean, moments(values)[0], np.float64)
    assert_within_ulp(squares / total, moments(values)[1], np.float64)


def test_merge_moments_of_pieces_of_very_different_sizes_is_within_4_ulp():
    values = sample("decades", 1000, np.float64)
    total, mean, _, squares = statistics.merge_moments(*pieces_of(values, [1, 2, 990]))
    assert_within_ulp(mean, moments(values)[0], np.float64)
    assert_within_ulp(squares / total, moments(values)[1], np.float64)


@pytest.mark.parametrize("kind", SAMPLES)
def test_merge_moments_one_after_the_other_is_within_4_ulp(kind):
    values = sample(kind, 200, np.float64)
    count, mean, excess, squares = merged = pieces_of(values, np.arange(5, 200, 5))
    merged = [array[0] for array in merged]
    for others in zip(count[1:], mean[1:], excess[1:], squares[1:], strict=True):
        merged = statistics.merge_moments(*(np.stack(pair, axis=-1) for pair in zip(merged, others, strict=True)))
    assert_within_ulp(merged[1], moments(values)[0], np.float64)
    assert_within_ulp(merged[3] / merged[0], moments(values)[1], np.float64)


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ((INF, 1.0), INF),
        ((1.0, INF), INF),
        ((1.0, -INF), -INF),
        ((INF, -INF), NAN),
        ((INF, INF), INF),
        ((1.0, NAN), NAN),
    ],
)
def test_merge_moments_of_what_is_not_finite_has_the_mean_of_numpy_and_no_variance(means, expected):
    _, mean, excess, squares = statistics.merge_moments(np.array([3.0, 2.0]), np.array(means), np.zeros(2), np.zeros(2))
    np.testing.assert_array_equal(mean, expected)
    assert excess == 0.0 and np.isnan(squares)


def test_merge_least_is_the_first_of_the_least():
    least = np.array([[2.0, 1.0, 1.0], [INF, INF, INF], [-INF, 0.0, -INF], [0.0, NAN, 1.0]])
    place = np.array([[0, 9, 4], [7, 8, 6], [30, 20, 10], [1, 2, 3]])
    value, at = statistics.merge_least(least, place)
    np.testing.assert_array_equal(value, [1.0, INF, -INF, NAN])
    np.testing.assert_array_equal(at[:3], [4, 6, 10])


# Rows

PROBABILITIES = (0.0, 1e-9, 0.05, 0.25, 1 / 3, 0.5, 0.7, 0.95, 1 - 1e-9, 1.0)


def quantile(row, p):
    """Hyndman and Fan's 7th definition in exact arithmetic."""
    ordered = sorted(float(value) for value in row)
    rank = Fraction((len(ordered) - 1) * float(p))
    low = int(rank)
    if rank == low:
        return Fraction(ordered[low])
    return Fraction(ordered[low]) * (1 - rank + low) + Fraction(ordered[low + 1]) * (rank - low)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", (1, 2, 3, 10, 257))
@pytest.mark.parametrize("kind", ["loss", "decades", "negative", "narrow", "constant"])
def test_row_quantiles_are_the_definition_rounded_once(kind, n, dtype):
    rows = sample(kind, (3, n), dtype, n)
    found = statistics.row_quantiles(rows.copy(), PROBABILITIES)
    assert found.dtype == dtype
    for row, values in zip(rows, found, strict=True):
        for p, value in zip(PROBABILITIES, values, strict=True):
            # One rounding to float32; in float64 the two products and their sum are rounded.
            assert_within_ulp(value, quantile(row, p), dtype, most=0.5001 if dtype == np.float32 else 1.5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_row_quantiles_agree_with_numpy_on_ties_and_infinities(dtype):
    rows = ties(dtype).T.copy()
    found = statistics.row_quantiles(rows.copy(), PROBABILITIES)
    with np.errstate(invalid="ignore"):
        expected = np.quantile(rows.astype(np.float64), PROBABILITIES, axis=1).T
    # Between infinities NumPy gives NaN; here they are infinite where both are the same one, or the farther is.
    clear = ~np.isnan(expected)
    np.testing.assert_allclose(found[clear], expected[clear], rtol=4 * np.finfo(dtype).eps)
    assert np.isnan(found[np.isnan(rows).any(axis=1)]).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_row_quantiles_of_infinities_are_infinite_where_both_values_or_the_farther_are(dtype):
    rows = np.array([[1.0, 2.0, INF, INF], [-INF, -INF, 1.0, 2.0], [INF] * 4, [-INF] * 4], dtype)
    found = statistics.row_quantiles(rows, (0.0, 0.25, 0.5, 0.9, 1.0))
    expected = [[1.0, 1.75, INF, INF, INF], [-INF, -INF, -INF, 1.7, 2.0], [INF] * 5, [-INF] * 5]
    np.testing.assert_allclose(found, expected, rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_row_quantiles_of_the_largest_numbers_do_not_overflow(dtype):
    most = np.finfo(dtype).max
    rows = np.array([[-most, most], [most, most], [most, most]], dtype)
    np.testing.assert_array_equal(statistics.row_quantiles(rows, (0.5,))[:, 0], np.array([0.0, most, most], dtype))


def test_row_quantiles_lie_between_the_values_beside_them():
    low = np.random.default_rng(5).random(2000)
    rows = np.stack([low, np.nextafter(low, 2.0)], axis=1)
    found = statistics.row_quantiles(rows.copy(), np.linspace(0, 1, 101).tolist())
    assert (found >= rows[:, :1]).all() and (found <= rows[:, 1:]).all()


def test_row_quantiles_of_many_probabilities_select_every_rank():
    rows = np.random.default_rng(6).permuted(np.tile(np.arange(101.0), (20, 1)), axis=1)
    found = statistics.row_quantiles(rows, [k / 100 for k in range(101)])
    np.testing.assert_allclose(found, np.tile(np.arange(101.0), (20, 1)), rtol=1e-15)


@pytest.mark.parametrize("dtype", DTYPES)
def test_row_counts_are_numpys_histogram(dtype):
    rows = np.random.default_rng(7).integers(-5, 6, (8, 500)).astype(dtype) / 5
    edges = np.array([-0.8, -0.4, 0.0, 0.1, 0.6, 0.8])
    expected = [np.histogram(row.astype(np.float64), edges)[0] for row in rows]
    np.testing.assert_array_equal(statistics.row_counts(rows.copy(), edges), expected)


def test_row_counts_compare_float32_with_edges_between_two_of_them():
    value = np.float32(0.1)
    below, above = float(np.nextafter(value, np.float32(0))), float(np.nextafter(value, np.float32(1)))
    exact = float(value)
    row = np.array([[below, exact, exact, above]], np.float32)
    for first, last in (
        (np.nextafter(exact, 0), np.nextafter(exact, 1)),
        (np.nextafter(exact, 1), 1.0),
        (0.0, np.nextafter(exact, 0)),
        (0.1, 0.2),
        (exact, above),
    ):
        expected = np.histogram(row[0].astype(np.float64), [first, last])[0]
        np.testing.assert_array_equal(statistics.row_counts(row.copy(), np.array([first, last]))[0], expected)


def test_row_counts_leave_out_what_is_outside_and_nan():
    row = np.array([[NAN, INF, -INF, 0.0, 1.0, 1.5, 2.0, 2.1]], np.float32)
    np.testing.assert_array_equal(statistics.row_counts(row, np.array([0.0, 1.0, 2.0])), [[1, 3]])


def test_row_counts_of_edges_beyond_float32_hold_every_finite_value():
    row = np.array([[-INF, -3e38, 0.0, 1e-45, 3e38, INF, NAN]], np.float32)
    found = statistics.row_counts(row.copy(), np.array([-1e39, 0.0, 1e-46, 1e38, 1e39]))
    np.testing.assert_array_equal(found, [[1, 1, 1, 1]])


BOUNDS = np.array([0.0, 0.1, -0.1, 1 / 3, 1.0, 1 + 1e-12, -1 - 1e-12, 1e-46, -1e-46, 1e-40, 3.5e38, -3.5e38, 1e300])
BOUNDS = np.append(BOUNDS, float(np.finfo(np.float32).max) * (1 + 1e-10))


def neighbours(values, towards):
    with np.errstate(over="ignore"):
        return np.nextafter(values, np.float32(towards)).astype(np.float64)


def test_least_at_is_the_least_float32_that_is_not_below():
    found = statistics.least_at(BOUNDS, np.float32)
    assert found.dtype == np.float32
    assert (found.astype(np.float64) >= BOUNDS).all()
    assert (neighbours(found, -INF) < BOUNDS).all()


def test_most_at_is_the_largest_float32_that_is_not_above():
    found = statistics.most_at(BOUNDS, np.float32)
    assert (found.astype(np.float64) <= BOUNDS).all()
    assert (neighbours(found, INF) > BOUNDS).all()


def test_least_at_and_most_at_of_float64_are_the_bounds():
    np.testing.assert_array_equal(statistics.least_at(BOUNDS, np.float64), BOUNDS)
    np.testing.assert_array_equal(statistics.most_at(BOUNDS, np.float64), BOUNDS)


# Quantiles that are narrowed down by counting


def counted(values, probabilities, parts=3, most=9):
    """Quantiles by counting parts of some values again and again; how often."""
    sought, pieces = None, np.array_split(values, parts)
    for count in range(1, most):
        sketch = statistics.sketch(pieces[0], sought)
        for piece in pieces[1:]:
            sketch = statistics.merge_sketches(sketch, statistics.sketch(piece, sought))
        sought = statistics.narrowed(sketch, sought, len(values), probabilities, values.dtype)
        if not sought.coarse:
            return statistics.sought_quantiles(sought, len(values), probabilities, values.dtype), count
    raise AssertionError("quantiles are not narrowed down")


def anything(dtype):
    """Numbers of all sizes, signs and kinds but NaN, by name."""
    rng, info = np.random.default_rng(8), np.finfo(dtype)
    whole = np.dtype(f"i{np.dtype(dtype).itemsize}")
    bits = rng.integers(np.iinfo(whole).min, np.iinfo(whole).max, 4000, whole).view(dtype)
    near = np.full(3000, info.smallest_subnormal, dtype) * rng.integers(-40, 40, 3000)
    one = np.nextafter(np.ones(2000, dtype), rng.choice([0.0, 2.0], 2000).astype(dtype), dtype=dtype)
    return {
        "all_bits": bits[~np.isnan(bits)],
        "subnormal": near.astype(dtype),
        "least_normal": info.tiny * rng.uniform(-2, 2, 3000).astype(dtype),
        "largest": info.max * rng.uniform(-1, 1, 3000).astype(dtype),
        "beside_one": one,
        "opposite": rng.choice(np.array([-1e-4, 1.5e-4], dtype), 2000),
        "losses": np.append(1.0 - rng.random(3000) ** 9, 1.0).astype(dtype),
        "zeros": rng.choice(np.array([-0.0, 0.0, info.tiny], dtype), 2000),
        "infinite": rng.choice(np.array([-INF, -1.0, 2.0, INF], dtype), 2000),
        "ties": rng.choice(np.array([0.1, 0.1, 0.1, 0.3], dtype), 3000),
        "two": np.array([3.0, -1.0], dtype),
        "single": np.array([7.0], dtype),
    }


@pytest.mark.parametrize("bins", [2**13, 2**20])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", anything(np.float64))
def test_counted_quantiles_are_the_order_statistics_of_any_numbers(kind, dtype, bins, monkeypatch):
    monkeypatch.setattr("kernels.statistics.rows.SKETCH_BINS", bins)
    values = anything(dtype)[kind]
    ordered, n = np.sort(values), len(values)
    ranks = [*range(0, n, max(1, n // 60)), n - 1]
    at = sorted({rank / max(1, n - 1) for rank in ranks})
    found, _ = counted(values, at)
    beside = [((n - 1) * p, int((n - 1) * p)) for p in at]
    assert found.dtype == dtype
    for value, (rank, below) in zip(found, beside, strict=True):
        low, high = ordered[below], ordered[min(below + 1, n - 1)]
        assert low <= value <= high and (rank != below or value == low)
    assert found[0] == ordered[0] and found[-1] == ordered[-1]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", anything(np.float64))
def test_counted_quantiles_are_interpolated_as_those_of_rows(kind, dtype):
    values = anything(dtype)[kind]
    for probabilities in (PROBABILITIES, (0.0,), (1.0,), (0.5,), (0.3, 0.30001)):
        expected = statistics.row_quantiles(values[None].copy(), probabilities)[0]
        np.testing.assert_array_equal(counted(values, probabilities)[0], expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_counted_quantiles_of_numpy(dtype):
    values = np.random.default_rng(9).normal(size=5000).astype(dtype)
    expected = np.quantile(values.astype(np.float64), PROBABILITIES)
    np.testing.assert_allclose(counted(values, PROBABILITIES)[0], expected, rtol=4 * np.finfo(dtype).eps)


def test_counted_quantiles_of_any_nan_are_nan():
    signalling = np.array([0x7F800001], np.uint32).view(np.float32)[0]
    for nan in (np.float32(NAN), -np.float32(NAN), np.array([0xFFC00000], np.uint32).view(np.float32)[0], signalling):
        for others in ([], [1.0], [INF, -INF, -1.0]):
            assert np.isnan(counted(np.array([*others, nan, nan], np.float32), (0.0, 0.3, 1.0), 1)[0]).all()
    assert np.isnan(counted(np.array([1.0, -NAN, 2.0]), (0.0, 0.3, 1.0))[0]).all()


@pytest.mark.parametrize(("dtype", "most"), [(np.float32, 2), (np.float64, 5)])
@pytest.mark.parametrize("kind", ["all_bits", "ties", "infinite", "subnormal"])
def test_counted_quantiles_take_few_counts(kind, dtype, most, monkeypatch):
    # As if there were more values than can be kept.
    monkeypatch.setattr("kernels.statistics.rows._few", lambda count: False)
    values = anything(dtype)[kind]
    for probabilities in (PROBABILITIES, np.linspace(0, 1, 128).tolist()):
        assert counted(values, probabilities)[1] <= most


@pytest.mark.parametrize("dtype", DTYPES)
def test_sketch_has_no_more_bins_than_a_first_one(dtype, monkeypatch):
    monkeypatch.setattr("kernels.statistics.rows.SKETCH_BINS", 2**13)
    values = 1.0 + np.random.default_rng(3).random(200_000).astype(dtype)
    sought = None
    for _ in range(9):
        sketch = statistics.sketch(values, sought)
        assert len(sketch[0]) <= 2**13
        sought = statistics.narrowed(sketch, sought, len(values), (0.2, 0.5, 0.9), values.dtype)
    assert not sought.coarse


def test_narrowed_refuses_other_values_than_were_counted():
    values = np.random.default_rng(3).random(100)
    sought = statistics.narrowed(statistics.sketch(values), None, 100, (0.5,), values.dtype)
    with pytest.raises(ValueError, match="values: are not those that were counted before"):
        statistics.narrowed(statistics.sketch(values + 1.0, sought), sought, 100, (0.5,), values.dtype)


@pytest.mark.parametrize("probabilities", [None, (0.3, 0.5)])
def test_merge_sketches_is_the_sketch_of_the_union_whatever_comes_first(probabilities):
    values = sample("decades", 3000, np.float32) * np.where(np.arange(3000) % 3, 1, -1).astype(np.float32)
    whole, sought = statistics.sketch(values), None
    if probabilities is not None:
        sought = statistics.narrowed(whole, None, 3000, probabilities, values.dtype)
        whole = statistics.sketch(values, sought)
    first, second, third = (statistics.sketch(part, sought) for part in np.split(values, [100, 1700]))
    for merged in (
        statistics.merge_sketches(statistics.merge_sketches(first, second), third),
        statistics.merge_sketches(third, statistics.merge_sketches(second, first)),
    ):
        for a, b in zip(merged, whole, strict=True):
            np.testing.assert_array_equal(a, b)
