"""Sums, skewness and correlation of sweeps: against the full grid, and the same bits however it is cut."""

import numpy as np
import pytest
import scipy.stats

import sweep
from sweep.config.statistic import Statistic
from sweep.models.model import Model
from sweep.models.parameters import Parameter
from sweep.models.quantity import Quantity
from tests.engine.test_reduce import ODD, assert_same_bits, lay, make_spec, odd_spec, rows_of, whole_grid

OVER = ("doubling_rate", "time")


def statistics(first, second, over):
    made = {kind: Statistic(statistic=kind, over=over, output=first) for kind in ("sum", "skewness")}
    return made | {"correlation": Statistic(statistic="correlation", over=over, outputs=(first, second))}


def spec_of(**settings):
    return make_spec(statistics("relative_loss", "effective_years", OVER), **settings)


@pytest.mark.parametrize(("layout", "dtype"), [("usual", "float32"), ("parts", "float64"), ("lanes", "float32")])
def test_run_of_shape_agrees_with_the_full_grid(layout, dtype, monkeypatch):
    lay(monkeypatch, layout)
    spec = spec_of(dtype=dtype)
    found, full, eps = sweep.run(spec), whole_grid(spec), np.finfo(dtype).eps
    loss, years = (rows_of(full[name].broadcast_like(full.relative_loss), OVER)[0] for name in spec.outputs)
    loss, years = loss.astype(np.float64), years.astype(np.float64)
    assert [found[name].dtype for name in spec.statistics] == [np.dtype(dtype)] * 3
    assert found.skewness.dims == found.correlation.dims == ("scaling_exponent", "fleet_size")
    np.testing.assert_allclose(found["sum"], loss.sum(axis=-1), rtol=4 * eps)
    np.testing.assert_allclose(found.skewness, scipy.stats.skew(loss, axis=-1), rtol=0.0, atol=40 * eps)
    for cell in np.ndindex(loss.shape[:-1]):
        expected = np.corrcoef(loss[cell], years[cell])[0, 1]
        np.testing.assert_allclose(found.correlation[cell], expected, rtol=0.0, atol=5 * eps)


def test_run_of_shape_has_the_same_bits_in_tiles_of_any_size(monkeypatch):
    lay(monkeypatch, "parts")
    spec = spec_of()
    whole = sweep.run(spec)
    monkeypatch.setattr("sweep.plan.passes.TILE", 2)
    assert_same_bits(sweep.run(spec), whole)


def test_run_of_shape_of_what_is_not_finite_or_constant_is_undefined():
    spec = odd_spec(statistics("odd", "narrow", ("y", "z")))
    found, full = sweep.run(spec, model=ODD), whole_grid(spec, ODD)
    values, _ = rows_of(full.odd, ("y", "z"))
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(found["sum"], values.sum(axis=-1))
    broken = ~np.isfinite(values).all(axis=-1)
    assert broken.any() and np.isnan(found.skewness.values[broken]).all()
    assert np.isnan(found.correlation.values[broken]).all()
    constant = sweep.run(odd_spec(statistics("odd", "narrow", ("y",))), model=ODD)  # narrow does not depend on y
    assert np.isnan(constant.correlation).all()


def test_run_of_shape_says_what_it_is():
    found = sweep.run(spec_of())
    assert found["sum"].attrs["cell_methods"] == "doubling_rate: time: sum"
    assert found.correlation.attrs["outputs"] == "relative_loss, effective_years"
    assert " and " in found.correlation.attrs["long_name"]
    assert found.skewness.attrs["units"] == found.correlation.attrs["units"] == "1"


def test_sum_beyond_the_largest_number_is_infinite():
    huge = Model(
        name="huge",
        equation="none",
        source="none",
        assumptions="none",
        parameters=(Parameter("x", "x", "m"),),
        quantities=(Quantity("huge", "huge", "m", lambda x: 1e37 * x),),
    )
    values = {"sum": Statistic(statistic="sum", over=("x",), output="huge")}
    spec = sweep.SweepSpec(model="huge", axes={"x": sweep.Axis(start=1.0, stop=10.0, num=9)}, statistics=values)
    assert np.isinf(sweep.run(spec, model=huge)["sum"])
