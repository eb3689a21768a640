"""Statistics of replicated draws, combined, and the error that their differences show."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats

import sweep
from sweep.errors import SpecError

REPLICATES, NUMBER = 8, 256
KINDS = {
    "expected": {"statistic": "mean"},
    "spread": {"statistic": "variance"},
    "least": {"statistic": "min"},
    "most": {"statistic": "max"},
    "where_least": {"statistic": "argmin"},
    "counts": {"statistic": "histogram", "edges": sweep.Axis(start=0.0, stop=1.0, num=5)},
    "band": {"statistic": "quantiles", "probabilities": [0.1, 0.9]},
}


def spec_of(replicates=REPLICATES, seed=0, number=NUMBER, over=("draw",)):
    statistics = {
        name: sweep.Statistic(output="relative_loss", over=list(over), **kind) for name, kind in KINDS.items()
    }
    statistics["chance"] = sweep.Statistic(statistic="share", where="relative_loss < 0.7", over=list(over))
    return sweep.SweepSpec(
        loss="total",
        dtype="float64",
        axes={"time": sweep.Axis(values=[1.0, 10.0])},
        fixed={"fleet_size": 1.0, "scaling_exponent": 0.05, "reference_fleet": 1.0, "reference_years": 1.0},
        distributions={"doubling_rate": sweep.Distribution(distribution="lognormal", low=0.6, high=4.0)},
        draws=sweep.Draws(number=number, replicates=replicates, seed=seed),
        statistics=statistics,
    )


@pytest.fixture(scope="module")
def raw():
    return sweep.run(spec_of())


def test_pooled_averages_over_the_replicates(raw):
    found = sweep.pooled(raw)
    for name in ("expected", "spread", "band", "chance"):
        np.testing.assert_allclose(found[name], raw[name].mean("replicate"), rtol=1e-14)
        assert found[name].attrs == raw[name].attrs


def test_pooled_error_is_that_of_a_mean_of_replicates(raw):
    found = sweep.pooled(raw)
    for name in ("expected", "spread", "band", "chance"):
        axis = raw[name].get_axis_num("replicate")
        np.testing.assert_allclose(
            found[f"{name}_standard_error"], scipy.stats.sem(raw[name].values, axis=axis), rtol=1e-12
        )
        assert found[f"{name}_standard_error"].attrs["units"] == raw[name].attrs["units"]


def test_pooled_extremes_and_counts_are_those_of_all_draws(raw):
    found, whole = sweep.pooled(raw), sweep.run(spec_of(over=("replicate", "draw")))
    for name in ("least", "most", "counts"):
        np.testing.assert_array_equal(found[name], whole[name])
        assert f"{name}_standard_error" not in found


def test_pooled_leaves_where_an_extreme_is_to_each_replicate(raw):
    assert sweep.pooled(raw).where_least_draw.identical(raw.where_least_draw)


def test_pooled_does_not_average_draws_of_one_number():
    values = sweep.run(spec_of(number=4, over=("time",)))
    assert sweep.pooled(values).expected.identical(values.expected)


def test_pooled_error_is_the_error():
    # The mean of the loss in one year over the lognormal rate, by quadrature.
    def loss(u):
        z = scipy.stats.norm.ppf(u)
        rate = math.sqrt(2.4) * np.exp(math.log(4 / 0.6) / 2 / scipy.stats.norm.ppf(0.95) * z)
        return (1 + np.expm1(rate * 10 * math.log(2)) / (rate * math.log(2))) ** -0.05

    exact, _ = scipy.integrate.quad(loss, 0, 1, epsabs=1e-12)
    errors = []
    for seed in range(60):
        found = sweep.pooled(sweep.run(spec_of(seed=seed)).isel(time=1)[["expected"]])
        errors.append(float((found.expected - exact) / found.expected_standard_error))
    # Student's t with 7 degrees of freedom has a standard deviation of 1.18.
    assert 0.9 < np.std(errors) < 1.6


def test_pooled_refuses_what_has_no_replicates():
    with pytest.raises(SpecError, match=r'has no dimension "replicate"; give draws\.replicates'):
        sweep.pooled(sweep.run(spec_of(replicates=1)))


def test_pooled_refuses_values():
    spec = spec_of().model_copy(update={"statistics": {}, "outputs": ("relative_loss",)})
    with pytest.raises(SpecError, match="relative_loss is not a statistic over the draws"):
        sweep.pooled(sweep.run(spec))


INFINITE = {
    "all infinite": [np.inf] * REPLICATES,
    "one infinite": [*[1.0] * (REPLICATES - 1), -np.inf],
    "opposite infinities": [np.inf, -np.inf] * (REPLICATES // 2),
    "NaN": [np.nan, *[1.0] * (REPLICATES - 1)],
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", INFINITE)
def test_pooled_takes_what_is_not_finite_without_a_warning(raw, case, dtype):
    values = np.array(INFINITE[case], dtype)
    shape = [REPLICATES if dim == "replicate" else 1 for dim in raw.expected.dims]
    filled = raw[["expected"]].copy(data={"expected": np.broadcast_to(values.reshape(shape), raw.expected.shape)})
    found = sweep.pooled(filled)  # a warning is an error here
    mean = np.inf if case == "all infinite" else -np.inf if case == "one infinite" else np.nan
    np.testing.assert_array_equal(found.expected, np.full(2, mean))
    assert np.isnan(found.expected_standard_error).all()


@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e30])
def test_pooled_error_of_float32_neither_overflows_nor_vanishes(raw, scale):
    values = raw.expected.astype("float32") * np.float32(scale)
    found = sweep.pooled(raw[["expected"]].assign(expected=values.assign_attrs(raw.expected.attrs)))
    axis = values.get_axis_num("replicate")
    expected = scipy.stats.sem(values.values.astype("float64"), axis=axis)
    np.testing.assert_allclose(found.expected_standard_error, expected, rtol=1e-6)
