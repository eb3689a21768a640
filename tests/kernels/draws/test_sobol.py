"""Sobol' points against SciPy's and a definition in whole numbers; the other samples against what they promise."""

from collections import Counter
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.stats import qmc

from kernels.draws import sobol

SEQUENCES = [(1, 30), (4, 30), (64, 30), (4, 32), (3, 10), (64, 33), (2, 53)]


def definition(sequence, index):
    """One point, bit by bit of the Gray code, in whole numbers of any size."""
    gray, bits = index ^ (index >> 1), sequence.directions.shape[1]
    point = [int(number) for number in sequence.shift]
    for k in range(bits):
        if gray >> k & 1:
            point = [number ^ int(step) for number, step in zip(point, sequence.directions[:, k], strict=True)]
    return [number / 2**bits for number in point]


def block(sequence, start, size, dtype=np.float64):
    with jax.enable_x64(True):
        made = jax.jit(sobol.sobol_block, static_argnums=(3, 4))
        return np.asarray(made(sequence.directions, sequence.shift, start, size, dtype))


@pytest.mark.parametrize(("dimensions", "bits"), SEQUENCES)
@pytest.mark.parametrize("seed", [0, 7, 2**70])
def test_sobol_points_are_those_of_scipy(dimensions, bits, seed):
    theirs = qmc.Sobol(dimensions, bits=bits, rng=seed).random(1024)
    ours = sobol.sobol_points(sobol.scrambling(seed, dimensions, bits=bits), 0, 1024)
    assert ours.dtype == np.float64
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(("dimensions", "bits"), SEQUENCES)
def test_unscrambled_points_are_those_of_scipy(dimensions, bits):
    theirs = qmc.Sobol(dimensions, bits=bits, scramble=False).random(1024)
    assert np.array_equal(sobol.sobol_points(sobol.unscrambled(dimensions, bits), 0, 1024), theirs)


@pytest.mark.parametrize("bits", [30, 53])
@pytest.mark.parametrize("scramble", [True, False])
def test_directions_of_every_dimension_are_those_of_scipy_to_the_last_bit(bits, scramble):
    theirs = qmc.Sobol(sobol.MAX_DIMENSIONS, bits=bits, scramble=scramble, rng=3)._sv
    ours = (sobol.scrambling(3, 64, bits=bits) if scramble else sobol.unscrambled(64, bits)).directions
    assert np.array_equal(ours, theirs)


def test_sobol_points_go_on_where_scipy_goes_on():
    theirs = qmc.Sobol(5, rng=11).fast_forward(12_345).random(1000)
    assert np.array_equal(sobol.sobol_points(sobol.scrambling(11, 5), 12_345, 1000), theirs)


@pytest.mark.parametrize("start", [0, 2**20 - 3, 2**32 - 3, 2**32, 3 * 2**33 + 77, 2**40 - 6])
def test_sobol_points_are_the_definition_at_any_index(start):
    sequence = sobol.scrambling(5, 3, bits=40)
    found = sobol.sobol_points(sequence, start, 6)
    assert found.tolist() == [definition(sequence, start + k) for k in range(6)]


def test_sobol_points_past_32_bits_are_all_different():
    sequence = sobol.scrambling(5, 1, bits=40)
    parts = [sobol.sobol_points(sequence, start, 4096) for start in (0, 2**32 - 2048, 2**33, 2**39)]
    assert np.unique(np.concatenate(parts)).size == 4 * 4096


@pytest.mark.parametrize("bits", [1, 2, 5])
def test_sobol_points_of_few_bits_visit_each_multiple_once(bits):
    found = sobol.sobol_points(sobol.scrambling(2, 64, bits=bits), 0, 2**bits)
    assert np.array_equal(np.sort(found, axis=0), np.repeat(np.arange(2**bits)[:, None] / 2**bits, 64, axis=1))


@pytest.mark.parametrize("cuts", [[1], [511], [0, 300, 301, 999], list(range(1, 1000, 7))])
def test_sobol_points_have_the_same_bits_however_they_are_cut(cuts):
    sequence = sobol.scrambling(5, 4)
    edges = [0, *cuts, 1000]
    parts = [sobol.sobol_points(sequence, 37 + a, b - a) for a, b in pairwise(edges)]
    assert np.array_equal(np.concatenate(parts), sobol.sobol_points(sequence, 37, 1000))


def test_sobol_points_of_some_columns_are_those_columns():
    sequence = sobol.scrambling(5, 7)
    assert np.array_equal(
        sobol.sobol_points(sequence, 9, 100, columns=[4, 1]), sobol.sobol_points(sequence, 9, 100)[:, [4, 1]]
    )


@pytest.mark.parametrize(("start", "count"), [(-1, 2), (0, 1025), (1024, 1), (5, -1)])
def test_sobol_points_refuse_an_index_that_the_sequence_does_not_have(start, count):
    with pytest.raises(ValueError, match=rf"2\^10 points, got start={start} count={count}"):
        sobol.sobol_points(sobol.scrambling(0, 2, bits=10), start, count)


@pytest.mark.parametrize("dimensions", [0, 65])
def test_scrambling_refuses_other_dimensions(dimensions):
    with pytest.raises(ValueError, match=f"dimensions must be from 1 to 64, got {dimensions}"):
        sobol.scrambling(0, dimensions)


@pytest.mark.parametrize("bits", [0, 54])
def test_scrambling_refuses_bits_that_a_float_does_not_hold(bits):
    with pytest.raises(ValueError, match=f"bits must be from 1 to 53, got {bits}"):
        sobol.scrambling(0, 2, bits=bits)


@pytest.mark.parametrize("bits", [12, 30, 32])
@pytest.mark.parametrize("size", [1, 2, 64, 4096])
@pytest.mark.parametrize("place", ["first", "second", "last"])
def test_sobol_block_has_the_bits_of_sobol_points(bits, size, place):
    start = {"first": 0, "second": size if size < 2**bits else 0, "last": 2**bits - size}[place]
    sequence = sobol.scrambling(5, 3, bits=bits)
    assert np.array_equal(block(sequence, start, size).T, sobol.sobol_points(sequence, start, size))


@pytest.mark.parametrize("bits", [20, 30, 32])
def test_sobol_block_in_float32_rounds_down(bits):
    sequence = sobol.scrambling(5, 3, bits=bits)
    kept = 2.0 ** min(bits, 24)
    found = block(sequence, 4096, 4096, np.float32)
    assert found.dtype == np.float32
    assert np.array_equal(found, np.floor(block(sequence, 4096, 4096) * kept) / kept)


@pytest.mark.parametrize("bits", [24, 30, 32])
def test_sobol_block_in_float32_is_below_one(bits):
    last = sobol.unscrambled(1, bits)._replace(shift=np.array([2**bits - 1], np.uint32))
    assert block(last, 0, 1, np.float32)[0, 0] == 1.0 - 2.0**-24


@pytest.mark.parametrize("size", [0, 3, 1000])
def test_sobol_block_refuses_a_size_that_is_no_power_of_two(size):
    with pytest.raises(ValueError, match=f"power of two, got {size}"):
        sobol.sobol_block(*sobol.scrambling(0, 2), 0, size)


def test_sobol_block_needs_no_64_bit_types():
    sequence = sobol.scrambling(5, 3)
    found = jax.jit(sobol.sobol_block, static_argnums=(3, 4))(*sequence, jnp.int32(64), 64, np.float32)
    assert np.array_equal(found, block(sequence, 64, 64, np.float32))


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_sobol_points_put_one_point_in_each_box_of_the_first_two_dimensions(seed):
    sequence = sobol.unscrambled(2) if seed is None else sobol.scrambling(seed, 2)
    points = sobol.sobol_points(sequence, 3 * 1024, 1024)
    for k in range(11):
        boxes = np.floor(points * [2**k, 2 ** (10 - k)])
        assert len(np.unique(boxes, axis=0)) == 1024


@pytest.mark.parametrize("column", [0, 17, 63])
def test_sobol_points_put_one_point_in_each_interval(column):
    points = sobol.sobol_points(sobol.scrambling(4, 64), 5 * 4096, 4096, columns=[column])[:, 0]
    assert np.array_equal(np.sort(np.floor(points * 4096)), np.arange(4096))


def error(points):
    """Of the mean of a smooth function that is 1 on average."""
    return np.prod(1.0 + 0.8 * (np.exp(points) / (np.e - 1.0) - 1.0), axis=1).mean() - 1.0


def rate(draw):
    """Slope of the error's root mean square over 16 seeds with the number of points, in log-log."""
    sizes = 2 ** np.arange(5, 14)
    errors = [np.sqrt(np.mean([error(draw(seed, size)) ** 2 for seed in range(16)])) for size in sizes]
    return np.polyfit(np.log(sizes), np.log(errors), 1)[0]


def test_sobol_points_converge_faster_than_n_to_the_minus_eight_tenths():
    assert rate(lambda seed, n: sobol.sobol_points(sobol.scrambling(seed, 4), 0, n)) < -0.8


def test_random_points_converge_as_the_square_root():
    found = rate(lambda seed, n: np.stack([sobol.random_points(seed, 0, n, k) for k in range(4)], axis=1))
    assert -0.65 < found < -0.35


def test_scrambling_makes_the_first_point_uniform_over_seeds():
    first = [sobol.sobol_points(sobol.scrambling(seed, 2), 0, 1)[0] for seed in range(2000)]
    for column in np.transpose(first):
        assert stats.kstest(column, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("seed", [0, 9, (4, 2)])
def test_random_points_are_uniform(seed):
    found = sobol.random_points(seed, 0, 100_000, 3)
    assert found.min() >= 0.0
    assert found.max() < 1.0
    assert stats.kstest(found, "uniform").pvalue > 1e-3


def test_random_points_of_other_columns_and_seeds_are_independent():
    keys = [(seed, column) for seed in (0, 1, 2**40, (0, 1)) for column in (0, 1, 5)]
    found = np.corrcoef([sobol.random_points(seed, 0, 40_000, column) for seed, column in keys])
    assert np.abs(found - np.eye(len(keys))).max() < 4.5 / np.sqrt(40_000)


def test_random_points_do_not_depend_on_the_one_before():
    found = sobol.random_points(6, 0, 100_000, 0)
    assert all(abs(np.corrcoef(found[:-lag], found[lag:])[0, 1]) < 4.5 / np.sqrt(100_000) for lag in range(1, 9))


@pytest.mark.parametrize("start", [0, 1, 2, 3, 4, 777, 2**40 + 5])
def test_random_points_are_functions_of_the_index(start):
    whole = sobol.random_points(8, start, 50, 2)
    assert whole.tolist() == [sobol.random_points(8, start + k, 1, 2)[0] for k in range(50)]


@pytest.mark.parametrize("number", [1, 2, 3, 7, 64, 1000, 1023, 65_537])
def test_latin_hypercube_puts_one_point_in_each_stratum(number):
    for column in range(3):
        found = sobol.latin_hypercube(5, number, 0, number, column)
        assert np.array_equal(np.sort(np.floor(found * number)), np.arange(number))


@pytest.mark.parametrize("number", [10**9, 2**40])
def test_latin_hypercube_finds_points_of_a_sample_too_large_to_make(number):
    found = sobol.latin_hypercube(5, number, number - 10_000, 10_000, 0)
    assert np.unique(np.floor(found * number)).size == 10_000
    assert stats.kstest(found, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("cuts", [[1], [300, 301, 999], list(range(1, 1000, 13))])
def test_latin_hypercube_has_the_same_bits_however_it_is_cut(cuts):
    edges = [0, *cuts, 1000]
    parts = [sobol.latin_hypercube(5, 1000, a, b - a, 1) for a, b in pairwise(edges)]
    assert np.array_equal(np.concatenate(parts), sobol.latin_hypercube(5, 1000, 0, 1000, 1))


@pytest.mark.parametrize("number", [3, 4, 5])
def test_latin_hypercube_takes_every_order_alike(number):
    orders = Counter(tuple(np.floor(sobol.latin_hypercube(s, number, 0, number, 0) * number)) for s in range(3000))
    counts = [*orders.values()] + [0] * (int(np.prod(range(1, number + 1))) - len(orders))
    assert stats.chisquare(counts).pvalue > 1e-3


def test_latin_hypercube_is_uniform_within_its_strata():
    found = sobol.latin_hypercube(5, 20_000, 0, 20_000, 0) * 20_000
    assert stats.kstest(found - np.floor(found), "uniform").pvalue > 1e-3


def test_latin_hypercube_of_other_columns_and_seeds_is_independent():
    keys = [(seed, column) for seed in (0, 1, 2**40) for column in (0, 1, 5)]
    found = np.corrcoef([sobol.latin_hypercube(seed, 20_001, 0, 20_001, column) for seed, column in keys])
    assert np.abs(found - np.eye(len(keys))).max() < 4.5 / np.sqrt(20_001)


@pytest.mark.parametrize(
    ("number", "start", "count", "message"),
    [
        (0, 0, 0, "from 1 to 2\\^40 points, got 0"),
        (2**41, 0, 1, "from 1 to 2\\^40 points"),
        (10, 8, 3, "points 0 to 9, got start=8 count=3"),
        (10, -1, 3, "points 0 to 9, got start=-1"),
    ],
)
def test_latin_hypercube_refuses_points_that_it_does_not_have(number, start, count, message):
    with pytest.raises(ValueError, match=message):
        sobol.latin_hypercube(0, number, start, count, 0)
