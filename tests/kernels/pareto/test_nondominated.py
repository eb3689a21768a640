"""is_nondominated and pareto_rank, on the host and in JAX, against brute force, moocore and paretoset."""

import itertools

import jax
import jax.numpy as jnp
import moocore
import numpy as np
import paretoset
import pytest

from kernels.pareto import cull, fronts
from kernels.pareto.nondominated import is_nondominated, pareto_rank

OBJECTIVES = range(1, 7)
DTYPES = ["float32", "float64"]
jitted = jax.jit(is_nondominated, static_argnames=("maximise", "keep_weakly"))
jitted_rank = jax.jit(pareto_rank, static_argnames="maximise")
PATHS = {"host": (is_nondominated, pareto_rank), "jit": (jitted, jitted_rank)}


@pytest.fixture(autouse=True)
def wide():
    """So that JAX too takes float64."""
    with jax.enable_x64():
        yield


def brute_force(points: np.ndarray, *, keep_weakly: bool = False) -> np.ndarray:
    """Whether no other row dominates a row, by comparing each with each; of equal rows the first."""
    no_greater = (points[:, None] <= points[None]).all(axis=2)  # [j, i]: j is nowhere worse than i
    less = (points[:, None] < points[None]).any(axis=2)
    front = ~(no_greater & less).any(axis=0) & ~np.isnan(points).any(axis=1)
    if not keep_weakly:
        equal = (points[:, None] == points[None]).all(axis=2)
        front &= ~np.triu(equal, 1).any(axis=0)
    return front


def peel(points: np.ndarray) -> np.ndarray:
    ranks = np.full(len(points), -1)
    left = np.flatnonzero(~np.isnan(points).any(axis=1))
    number = 0
    while len(left):
        front = brute_force(points[left], keep_weakly=True)
        ranks[left[front]] = number
        left, number = left[~front], number + 1
    return ranks


def _sphere(g: np.random.Generator, n: int, m: int) -> np.ndarray:
    direction = np.abs(g.standard_normal((n, m)))
    return 1 - g.random((n, 1)) ** (1 / m) * direction / np.linalg.norm(direction, axis=1, keepdims=True)


def _odd(g: np.random.Generator, n: int, m: int) -> np.ndarray:
    """Infinities, both zeros, subnormals, the extremes."""
    tiny, huge = np.finfo(np.float32).smallest_subnormal, np.finfo(np.float32).max
    values = [-np.inf, -huge, -1, -2 * tiny, -tiny, -0.0, 0.0, tiny, 2 * tiny, 1, huge, np.inf]
    return g.choice(values, (n, m))


SETS = {
    "uniform": lambda g, n, m: g.random((n, m)),
    "correlated": lambda g, n, m: g.standard_normal((n, 1)) + 0.3 * g.standard_normal((n, m)),
    "anti-correlated": lambda g, n, m: (lambda z: z - 0.9 * z.mean(axis=1, keepdims=True))(g.standard_normal((n, m))),
    "spherical": _sphere,
    "log-scaled": lambda g, n, m: 10 ** g.uniform(-30, 30, (n, m)),
    "tied": lambda g, n, m: g.integers(-3, 8, (n, m)).astype(float),
    "partly tied": lambda g, n, m: np.where(g.random(m) < 0.5, g.integers(0, 50, (n, m)), g.random((n, m))),
    "duplicated": lambda g, n, m: _sphere(g, n // 10 + 1, m)[g.integers(0, n // 10 + 1, n)],
    "sorted": lambda g, n, m: np.sort(_sphere(g, n, m), axis=0),
    "reversed": lambda g, n, m: (lambda p: p[np.argsort(-p[:, 0])])(_sphere(g, n, m)),
    "on a front": lambda g, n, m: (lambda p: np.concatenate((p[:, :-1], -p[:, :-1].sum(axis=1)[:, None]), axis=1))(
        np.round(g.standard_normal((n, m)), 3)
    ),
    "near one": lambda g, n, m: 1 + g.integers(-40, 40, (n, m)) * 2.0**-23,
    "constant": lambda g, n, m: np.full((n, m), 2.5),
}
ODD = {
    "odd": _odd,
    "odd, with NaN": lambda g, n, m: np.where(g.random((n, m)) < 0.1, np.nan, _odd(g, n, m)),
    "with NaN": lambda g, n, m: np.where(g.random((n, m)) < 0.2, g.choice([np.nan, -np.nan], (n, m)), _sphere(g, n, m)),
    "all NaN": lambda g, n, m: np.full((n, m), np.nan),
}


def make(name: str, n: int, m: int, dtype: str = "float64", seed: int = 0) -> np.ndarray:
    return (SETS | ODD)[name](np.random.default_rng(seed), n, m).astype(dtype)


@pytest.fixture(params=[False, True], ids=["as it is", "culls at once"])
def small(request, monkeypatch):
    """Let the host's path take all its turns at few points too."""
    if request.param:
        for name, value in {"SAMPLE": 16, "FEW": 2, "SHARE": 4}.items():
            monkeypatch.setattr(fronts, f"_{name}", value)
        for name, value in {"CHUNK": 64, "SERIAL": 2, "CELLS": 64, "FINE_BITS": 5}.items():
            monkeypatch.setattr(cull, f"_{name}", value)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("m", OBJECTIVES)
@pytest.mark.parametrize("name", [*SETS, *ODD])
def test_is_nondominated_on_the_host_is_brute_force(name, m, dtype, small):
    for seed, n in enumerate((1, 2, 3, 10, 100, 300)):
        points = make(name, n, m, dtype, seed)
        for keep_weakly in (False, True):
            expected = brute_force(points, keep_weakly=keep_weakly)
            np.testing.assert_array_equal(is_nondominated(points, keep_weakly=keep_weakly), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("m", OBJECTIVES)
def test_is_nondominated_under_jit_is_brute_force(m, dtype):
    for seed, name in enumerate([*SETS, *ODD]):
        points = make(name, 200, m, dtype, seed)
        for keep_weakly in (False, True):
            expected = brute_force(points, keep_weakly=keep_weakly)
            np.testing.assert_array_equal(jitted(points, keep_weakly=keep_weakly), expected, err_msg=name)


@pytest.mark.parametrize("m", [2, 3, 4])
@pytest.mark.parametrize("name", ["uniform", "spherical", "partly tied", "duplicated", "reversed", "with NaN", "odd"])
def test_is_nondominated_is_the_same_under_jit(name, m):
    points = make(name, 6000, m, "float32")
    np.testing.assert_array_equal(jitted(points, keep_weakly=True), is_nondominated(points, keep_weakly=True))


@pytest.mark.parametrize("m", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("name", SETS)
def test_is_nondominated_is_moocore_and_paretoset(name, m):
    largest = 5 if m < 4 else 4
    for n in 10 ** np.arange(2, largest + 1):
        points = make(name, int(n), m)
        for keep_weakly in (False, True):
            ours = np.asarray(is_nondominated(points, keep_weakly=keep_weakly))
            np.testing.assert_array_equal(ours, moocore.is_nondominated(points, keep_weakly=keep_weakly))
            if n <= 1000 or (name == "correlated" and m < 4):  # paretoset is quick where fronts are small
                peer = paretoset.paretoset(points, distinct=not keep_weakly, use_numba=False)
                np.testing.assert_array_equal(ours, peer)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("m", OBJECTIVES)
def test_pareto_rank_is_peeling(m, dtype, path):
    for seed, name in enumerate([*SETS, *ODD]):
        points = make(name, 120, m, dtype, seed)
        np.testing.assert_array_equal(PATHS[path][1](points), peel(points), err_msg=name)


@pytest.mark.parametrize("m", [2, 3, 4])
@pytest.mark.parametrize("name", ["uniform", "spherical", "tied", "duplicated"])
def test_pareto_rank_is_moocore(name, m):
    points = make(name, 2500, m)
    expected = moocore.pareto_rank(points)
    np.testing.assert_array_equal(pareto_rank(points), expected)
    np.testing.assert_array_equal(jitted_rank(points), expected)


@pytest.mark.parametrize("m", [1, 2, 3, 5])
def test_maximise_is_minimising_the_negative(m):
    for name in ("uniform", "tied", "odd, with NaN"):
        points = make(name, 200, m)
        for maximise in itertools.product([False, True], repeat=m):
            negated = np.where(maximise, -points, points)
            np.testing.assert_array_equal(is_nondominated(points, maximise=maximise), brute_force(negated))
            np.testing.assert_array_equal(pareto_rank(points, maximise=maximise), peel(negated))
        np.testing.assert_array_equal(is_nondominated(points, maximise=True), brute_force(-points))


@pytest.mark.parametrize("maximise", [True, (True, False, True), (False, True, True)])
def test_maximise_is_minimising_the_negative_under_jit(maximise):
    for name in ("uniform", "tied", "odd, with NaN"):
        points = make(name, 200, 3)
        negated = np.where(maximise, -points, points)
        np.testing.assert_array_equal(jitted(points, maximise=maximise), brute_force(negated))
        np.testing.assert_array_equal(jitted_rank(points, maximise=maximise), peel(negated))


@pytest.mark.parametrize("path", PATHS)
def test_maximise_is_heeded_where_points_are_culled(path):
    points = make("uniform", 50_000, 3)
    expected = moocore.is_nondominated(points, maximise=[True, False, True])
    np.testing.assert_array_equal(PATHS[path][0](points, maximise=(True, False, True)), expected)


@pytest.mark.parametrize("path", PATHS)
def test_no_points_and_one(path):
    filtered, ranked = PATHS[path]
    for m in OBJECTIVES if path == "host" else (1, 2, 3):
        assert filtered(np.zeros((0, m))).shape == ranked(np.zeros((0, m))).shape == (0,)
        assert filtered(np.zeros((1, m))).tolist() == [True]
        assert ranked(np.zeros((1, m))).tolist() == [0]
        assert filtered(np.full((1, m), np.nan)).tolist() == [False]
        assert ranked(np.full((1, m), np.nan)).tolist() == [-1]


@pytest.mark.parametrize("path", PATHS)
def test_nan_hides_no_other_point(path):
    points = make("spherical", 20_000, 3)
    spoilt = points.copy()
    spoilt[:3] = [[np.nan, -9.0, -9.0], [-9.0, np.nan, -9.0], [-9.0, -9.0, np.nan]]
    expected = np.append([False] * 3, is_nondominated(points[3:]))
    np.testing.assert_array_equal(PATHS[path][0](spoilt), expected)


@pytest.mark.parametrize("path", PATHS)
def test_equal_points_are_one_or_all(path):
    points = np.array([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0], [1.0, -0.0]])
    assert PATHS[path][0](points).tolist() == [False, True, True, False]
    assert PATHS[path][0](points, keep_weakly=True).tolist() == [False, True, True, True]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_subnormal_numbers_count(path, dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    points = np.array([[0.0, 2 * tiny], [tiny, tiny], [-tiny, 3 * tiny], [tiny, 2 * tiny]], dtype)
    assert PATHS[path][0](points).tolist() == [True, True, True, False]


def test_front_of_the_fronts_of_blocks_is_the_front():
    points = make("partly tied", 40_000, 3)
    parts = [start + np.flatnonzero(is_nondominated(points[start : start + 7000])) for start in range(0, 40_000, 7000)]
    union = np.concatenate(parts)
    np.testing.assert_array_equal(
        union[np.asarray(is_nondominated(points[union]))], np.flatnonzero(is_nondominated(points))
    )


def test_points_need_not_be_contiguous_or_writeable():
    points = make("spherical", 20_000, 3)
    expected = np.asarray(is_nondominated(points))
    turned = np.asfortranarray(points)
    turned.flags.writeable = False
    np.testing.assert_array_equal(is_nondominated(turned), expected)
    np.testing.assert_array_equal(is_nondominated(np.repeat(points, 2, axis=0)[::2]), expected)
    np.testing.assert_array_equal(is_nondominated(jnp.asarray(points)), expected)


def test_is_nondominated_under_vmap():
    points = np.stack([make("spherical", 300, 3, "float32", seed) for seed in range(4)])
    expected = [brute_force(p) for p in points]
    np.testing.assert_array_equal(jax.vmap(is_nondominated)(points), expected)
    np.testing.assert_array_equal(jax.vmap(pareto_rank)(points), [peel(p) for p in points])


def test_lists_are_taken():
    assert is_nondominated([[1, 2], [2, 1], [2, 2]]).tolist() == [True, True, False]
    assert pareto_rank([[1, 2], [2, 1], [2, 2]]).tolist() == [0, 0, 1]


def test_results_are_jax_arrays():
    points = make("uniform", 10, 2)
    for filtered, ranked in PATHS.values():
        assert isinstance(filtered(points), jax.Array) and filtered(points).dtype == bool
        assert isinstance(ranked(points), jax.Array) and ranked(points).dtype == np.int32


def test_points_are_left_as_they_were():
    points = make("odd, with NaN", 20_000, 3)
    before = points.copy()
    is_nondominated(points, maximise=True)
    pareto_rank(points[:100], maximise=True)
    np.testing.assert_array_equal(points, before)


@pytest.mark.parametrize("shape", [(3,), (2, 7), (2, 0), (2, 2, 2), ()])
def test_shape_is_refused(shape):
    message = f"points: must be (n, m) with 1 <= m <= 6, got shape {shape}"
    for function in (is_nondominated, pareto_rank, jitted, jitted_rank):
        with pytest.raises(ValueError) as error:
            function(np.zeros(shape))
        assert str(error.value) == message


@pytest.mark.parametrize("dtype", ["float16", "complex128", "<U3"])
def test_type_is_refused(dtype):
    for function in (is_nondominated, pareto_rank):
        with pytest.raises(TypeError, match=f"points: must be real numbers of 32 or 64 bits, got {dtype}"):
            function(np.zeros((3, 2), dtype))


@pytest.mark.parametrize("maximise", [(True,), (True, False, True), 1, "yes"])
def test_maximise_is_refused(maximise):
    with pytest.raises(ValueError, match="maximise: must be one bool, or one for each of 2 objectives, got "):
        is_nondominated(np.zeros((3, 2)), maximise=maximise)


@pytest.mark.gpu
def test_device_agrees_with_the_host():
    for m in (2, 3, 4):
        points = make("spherical", 50_000, m, "float32")
        np.testing.assert_array_equal(
            is_nondominated(jax.device_put(points, jax.devices("gpu")[0])), is_nondominated(points)
        )


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_is_nondominated_takes_whole_numbers(dtype):
    points = np.random.default_rng(5).integers(0, 2 if dtype == "bool" else 9, (200, 3)).astype(dtype)
    np.testing.assert_array_equal(is_nondominated(points), brute_force(points.astype(float)))
    np.testing.assert_array_equal(is_nondominated(points.tolist()), brute_force(points.astype(float)))


def test_is_nondominated_refuses_whole_numbers_that_a_float_does_not_hold():
    with pytest.raises(ValueError, match=r"points: whole numbers must be below 2\^53"):
        is_nondominated(np.array([[2**53 + 1, 0], [2**53, 0]]))
