"""Estimators of sensitivity from evaluations: the forms of SciPy and SALib, analytic cases, degenerate outputs."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import SALib.analyze.sobol as peer
import scipy.stats

from kernels.sensitivity import indices, screening, shapley
from kernels.sensitivity.indices import CONSTANT, NOT_FINITE, OK

D, POINTS, REPLICATES = 3, 256, 4


def function(x):
    """A product of inputs in (0, 1), with interactions of every pair; parameters first."""
    return (1.0 + x[0]) * (0.5 + x[1]) * (0.2 + x[2]) + x[0] * x[2]


@pytest.fixture(scope="module")
def evaluations():
    """Values (evaluations, replicates, points) at random points, with those BA_i."""
    a, b = np.random.default_rng(3).random((2, D, REPLICATES, POINTS))
    rows = indices.masks(D, second_order=True)
    return np.stack([function([np.where(row[j], b[j], a[j]) for j in range(D)]) for row in rows])


def sums_of(values, dimensions=D):
    with jax.enable_x64(True):
        return np.asarray(indices.pick_freeze_sums(jnp.asarray(values), dimensions))


def close(found, expected, tolerance=1e-12):
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def test_masks_has_every_point_once():
    rows = indices.masks(2, second_order=True)
    expected = [[0, 0], [1, 1], [1, 0], [0, 1], [0, 1], [1, 0]]
    assert rows.astype(int).tolist() == expected
    assert len(indices.masks(5)) == 7


def test_sobol_indices_agrees_with_scipy_on_the_same_evaluations(evaluations):
    found = indices.sobol_indices(sums_of(evaluations[: 2 + D]), POINTS, D)
    flat = evaluations.reshape(len(evaluations), 1, -1)
    given = {"f_A": flat[0], "f_B": flat[1], "f_AB": flat[2 : 2 + D]}
    expected = scipy.stats.sobol_indices(func=given, n=flat.shape[-1])
    close(found.first_order.value, expected.first_order)
    close(found.total.value, expected.total_order)


def test_sobol_indices_agrees_with_salib_on_the_same_evaluations(evaluations):
    found = indices.sobol_indices(sums_of(evaluations), POINTS, D)
    flat = evaluations.reshape(len(evaluations), -1)
    a, b, *rest = flat - flat[:2].mean()
    between, back = rest[:D], rest[D:]
    for i in range(D):
        close(found.first_order.value[i], peer.first_order(a, between[i], b))
        close(found.total.value[i], peer.total_order(a, between[i], b))
        for j in range(i + 1, D):
            expected = peer.second_order(a, between[i], between[j], back[i], b)
            close(found.second_order.value[[i, j], [j, i]], [expected, expected])


def test_sobol_indices_gives_moments(evaluations):
    found = indices.sobol_indices(sums_of(evaluations[: 2 + D]), POINTS, D)
    close(found.mean.value, evaluations[:2].mean())
    close(found.variance.value, evaluations[:2].var())
    each = evaluations[:2].mean(axis=(0, 2))
    close(found.mean.error, each.std(ddof=1) / math.sqrt(REPLICATES))


def test_sobol_indices_gives_the_error_of_a_ratio(evaluations):
    """Against the spread of the estimates of many more replicates."""
    a, b = np.random.default_rng(4).random((2, D, 2000, POINTS))
    values = np.stack([function([np.where(row[j], b[j], a[j]) for j in range(D)]) for row in indices.masks(D)])
    sums = sums_of(values)
    found = indices.sobol_indices(sums, POINTS, D)
    single = np.stack([indices.sobol_indices(sums[:, [r]], POINTS, D).first_order.value for r in range(2000)])
    np.testing.assert_allclose(found.first_order.error * math.sqrt(2000), single.std(axis=0), rtol=0.05)


@pytest.mark.parametrize("centre", [1e3, -1e6])
def test_sobol_indices_does_not_depend_on_what_was_taken_off(evaluations, centre):
    plain = indices.sobol_indices(sums_of(evaluations), POINTS, D)
    found = indices.sobol_indices(sums_of(evaluations + centre), POINTS, D, centre=-centre)
    tolerance = 1e-14 * max(1.0, centre**2)
    for one, other in ((found.first_order, plain.first_order), (found.second_order, plain.second_order)):
        np.testing.assert_allclose(one.value, other.value, atol=tolerance)
    close(found.mean.value, plain.mean.value, 1e-9)


def test_pick_freeze_sums_adds_up(evaluations):
    values = evaluations[..., :128], evaluations[..., 128:]
    close(sum(map(sums_of, values)), sums_of(evaluations))
    assert len(sums_of(evaluations)) == indices.terms(D, second_order=True)


def test_pick_freeze_sums_sums_any_number_of_points(evaluations):
    close(sums_of(evaluations[..., :37])[0], evaluations[0, :, :37].sum(axis=-1))


def test_sobol_indices_of_one_replicate_has_no_error(evaluations):
    found = indices.sobol_indices(sums_of(evaluations[: 2 + D, :1]), POINTS, D)
    assert np.isnan(found.first_order.error).all() and np.isfinite(found.first_order.value).all()


def bad(kind):
    values = np.random.default_rng(5).random((2 + D, 2, 64))
    if kind == "constant":
        values[:] = 0.0
    elif kind == "rounding":
        values *= 1e-16
    else:
        values[3, 1, 7] = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[kind]
    return values


@pytest.mark.parametrize(
    ("kind", "status"),
    [("constant", CONSTANT), ("rounding", CONSTANT), ("nan", NOT_FINITE), ("inf", NOT_FINITE), ("-inf", NOT_FINITE)],
)
def test_sobol_indices_says_why_there_are_none(kind, status):
    values = np.stack([bad(kind), np.random.default_rng(6).random((2 + D, 2, 64))], axis=1)
    found = indices.sobol_indices(np.moveaxis(sums_of(values), 1, 2), 64, D, centre=np.array([1.0, 0.0]))
    assert found.status.tolist() == [status, OK]
    assert np.isnan(found.first_order.value[:, 0]).all() and np.isnan(found.total.error[:, 0]).all()
    assert np.isfinite(found.first_order.value[:, 1]).all()
    assert np.isnan(found.mean.value[0]) == (status == NOT_FINITE)


@pytest.mark.parametrize("freedom", [*range(1, 12), 31, 100, 999, 1000])
def test_student_t_agrees_with_scipy(freedom):
    for confidence in (0.01, 0.5, 0.9, 0.95, 0.999, 0.9999):
        expected = scipy.stats.t.ppf(0.5 + confidence / 2.0, freedom)
        np.testing.assert_allclose(indices.student_t(confidence, freedom), expected, rtol=1e-9)


def test_steps_stay_inside():
    u = jnp.asarray([0.0, 0.25, 0.5, 0.999])
    assert np.array_equal(u + screening.steps(u), np.float32([0.5, 0.75, 0.0, 0.499]))


def test_elementary_effects_are_those_of_their_definition():
    """Mean, mean absolute value and population deviation of effects computed one by one."""
    rng = np.random.default_rng(7)
    u = rng.random((D, 1, POINTS))
    moved = np.where(u < 0.5, 0.5, -0.5)
    rows = [function(u)] + [function(u + moved * (np.arange(D) == i)[:, None, None]) for i in range(D)]
    values = np.stack(rows)[:, None]
    with jax.enable_x64(True):
        sums = np.asarray(screening.effect_sums(jnp.asarray(values[:, :, 0][:, :, None]), jnp.asarray(moved[:, 0])))
    found = screening.elementary_effects(sums[:, None], POINTS)
    effects = (values[1:, 0, 0] - values[0, 0, 0]) / moved[:, 0]
    close(found.mean.value[:, 0, 0], effects.mean(axis=-1))
    close(found.mean_absolute.value[:, 0, 0], np.abs(effects).mean(axis=-1))
    close(found.deviation.value[:, 0, 0], effects.std(axis=-1), 1e-10)


def test_elementary_effects_says_where_there_are_none():
    sums = np.ones((3, 4, 2))
    sums[0, 1, 1] = math.inf
    found = screening.elementary_effects(sums, 8)
    assert found.status.tolist() == [OK, NOT_FINITE]
    assert np.isnan(found.mean.value[0, 1]) and np.isfinite(found.mean.value[0, 0])


CORRELATIONS = np.array([[1.0, 0.3, -0.5], [0.3, 1.0, 0.2], [-0.5, 0.2, 1.0]])


def test_conditionals_keep_the_distribution_and_share_the_subset():
    kept, drawn = shapley.conditionals(CORRELATIONS)
    for k, subset in enumerate(shapley.subsets(3), 1):
        close(kept[k] @ kept[k].T + drawn[k] @ drawn[k].T, CORRELATIONS)
        inside = list(subset)
        close(kept[k][inside], kept[0][inside])
        assert not drawn[k][inside].any()


def permutation_effects(left: dict[tuple[int, ...], float], d: int) -> np.ndarray:
    """Shapley effects by their definition, over all orders in which inputs become known."""
    found = np.zeros(d)
    for order in itertools.permutations(range(d)):
        for k, i in enumerate(order):
            found[i] += left[tuple(sorted(order[:k]))] - left[tuple(sorted(order[: k + 1]))]
    return found / math.factorial(d)


@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_weights_are_the_mean_over_all_orders(d):
    rng = np.random.default_rng(d)
    left = {subset: rng.random() for subset in shapley.subsets(d)}
    expected = permutation_effects({**left, tuple(range(d)): 0.0}, d)
    close(shapley.weights(d) @ np.array(list(left.values())), expected)


def test_shapley_effects_add_up_to_one():
    rng = np.random.default_rng(8)
    values = rng.standard_normal((2**D, REPLICATES, POINTS))
    with jax.enable_x64(True):
        sums = np.asarray(shapley.subset_sums(jnp.asarray(values)))
    found = shapley.shapley_effects(sums, POINTS, D)
    close(found.effect.value.sum(), 1.0)
    close(found.mean.value, values[:2].mean())


@pytest.mark.parametrize(("value", "status"), [(0.0, CONSTANT), (math.nan, NOT_FINITE)])
def test_shapley_effects_says_why_there_are_none(value, status):
    sums = np.full((shapley.terms(D), 2), value)
    found = shapley.shapley_effects(sums, POINTS, D, centre=2.0)
    assert found.status == status and np.isnan(found.effect.value).all()
