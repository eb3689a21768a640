"""What stays the same along an axis is evaluated once, and the bits do not tell."""

from concurrent.futures import ThreadPoolExecutor

import jax.numpy as jnp
import numpy as np
import pytest

import sweep
from sweep.config.statistic import Statistic
from sweep.engine import inputs
from sweep.engine.running import Stepper
from sweep.models.problem import Problem
from sweep.plan.blocks import FIXED_BYTES
from sweep.plan.jobs import make_jobs

OVER = ("z", "y")
N = 2**12 + 3  # enough to be stepped over, not laid side by side
AXES = {
    "x": sweep.Axis(start=0.0, stop=3.0, num=N),
    "z": sweep.Axis(start=0.1, stop=2.0, num=19),
    "y": sweep.Axis(start=-1.0, stop=1.0, num=9),
}


def wave(x, y):
    """Wave."""
    return jnp.sin(3.0 * x * y) + jnp.cos(x)


def height(wave, z):
    """Height."""
    return wave * wave * z - wave


MODEL = sweep.Model("waves", (wave, height))
LITTLE = FIXED_BYTES + 1_000_000
KINDS = ("mean", "std", "min", "argmin")


def spec_of(kinds, dtype="float32"):
    statistics = {kind: Statistic(statistic=kind, output="height", over=OVER) for kind in kinds}
    return sweep.SweepSpec(model="waves", axes=AXES, statistics=statistics, dtype=dtype)


def steppers(kinds):
    problem = Problem.of(spec_of(kinds), MODEL)
    for job in make_jobs(problem, 2**30):
        yield Stepper(problem, job.reduces, job.plan.block_shape)


def test_running_statistics_step_last_along_the_axis_along_which_a_quantity_stays_the_same():
    for stepper in steppers(("mean", "std")):
        assert stepper._stepped[-1] == "z" and stepper._early.outputs == ("wave",)
        assert [q.name for q in stepper._late.quantities] == ["height"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kinds", [("mean", "std", "min"), KINDS], ids=" ".join)
def test_running_statistics_are_those_of_the_values(kinds, dtype):
    found = sweep.run(spec_of(kinds, dtype), model=MODEL)
    plain = sweep.SweepSpec(model="waves", outputs=("height",), axes=AXES, dtype=dtype)
    values = sweep.run(plain, model=MODEL).height.transpose("x", *OVER)
    exact = values.values.astype(np.longdouble).reshape(N, -1)
    tight = {"rtol": 4.0 * np.finfo(dtype).eps}
    scale = np.abs(exact).max()
    np.testing.assert_allclose(found["mean"], exact.mean(1), atol=np.finfo(dtype).eps * scale, **tight)
    np.testing.assert_allclose(found["std"], exact.std(1), **tight)
    np.testing.assert_array_equal(found["min"], exact.min(1))
    if "argmin" in kinds:
        place = np.unravel_index(exact.argmin(1), (19, 9))
        for dim, at in zip(OVER, place, strict=True):
            np.testing.assert_array_equal(found[f"argmin_{dim}"], AXES[dim].at(at))


def test_running_statistics_have_the_same_bits_with_little_memory():
    whole = sweep.run(spec_of(("mean", "std")), model=MODEL)
    (job,) = make_jobs(Problem.of(spec_of(("mean", "std")), MODEL), LITTLE)
    assert len(job.plan) > 1
    cut = sweep.run(spec_of(("mean", "std")), model=MODEL, memory=LITTLE)
    for name in ("mean", "std"):
        np.testing.assert_array_equal(whole[name], cut[name])


def test_large_tables_have_the_bits_of_the_whole(monkeypatch):
    axes = {
        "time": sweep.Axis(start=0.0, stop=30.0, num=611),
        "doubling_rate": sweep.Axis(start=-1.0, stop=4.0, num=53),
    }
    fixed = {"fleet_size": 1.0, "scaling_exponent": 0.1, "reference_fleet": 1.0, "reference_years": 1.0}
    spec = sweep.SweepSpec(loss="excess", outputs=("relative_loss", "effective_years"), axes=axes, fixed=fixed)
    (table,) = (table for table in Problem.of(spec).stages.tables if "growth" in table.outputs)
    points = {"time": axes["time"].coordinates()[:, None], "doubling_rate": axes["doubling_rate"].coordinates()[None]}
    whole = table(**points)["growth"]
    monkeypatch.setattr(inputs, "MANY_VALUES", 1)
    monkeypatch.setattr(inputs, "ROW_VALUES", 7 * 53)
    with ThreadPoolExecutor(2) as pool:
        parts = inputs._in_rows(table, points, pool)["growth"]
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_least_of_many_exponents_is_that_of_the_values(dtype):
    """One logarithm serves all of them in the one, and each point has its own in the other."""
    axes = {
        "fleet_size": sweep.Axis(start=1e3, stop=1e8, num=N, spacing="log"),
        "scaling_exponent": sweep.Axis(start=0.06, stop=0.18, num=9),
        "doubling_rate": sweep.Axis(start=-0.5, stop=4.0, num=3),
    }
    fixed = {"time": 6.5, "reference_fleet": 16384.0, "reference_years": 0.25, "irreducible_share": 0.2}
    statistics = {
        kind: Statistic(statistic=kind, output="relative_loss", over=("scaling_exponent", "doubling_rate"))
        for kind in ("min", "max", "mean")
    }
    given = {"loss": "excess", "axes": axes, "fixed": fixed, "dtype": dtype}
    found = sweep.run(sweep.SweepSpec(statistics=statistics, **given))
    values = sweep.run(sweep.SweepSpec(outputs=("relative_loss",), **given)).relative_loss.values.reshape(N, -1)
    np.testing.assert_array_equal(found["min"], values.min(1))
    np.testing.assert_array_equal(found["max"], values.max(1))
    np.testing.assert_allclose(found["mean"], values.mean(1, dtype=np.longdouble), rtol=2.0 * np.finfo(dtype).eps)
