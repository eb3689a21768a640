"""Sweeps of statistics: right against the full grid, the same bits however they are cut, stopped or short of memory."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from decimal import Context
from fractions import Fraction
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

import sweep
from sweep.cli.main import main
from sweep.config.statistic import Statistic
from sweep.engine import evaluate, inputs, reduce, running
from sweep.models.model import Model
from sweep.models.parameters import Parameter
from sweep.models.problem import Problem
from sweep.models.quantity import Quantity
from sweep.plan import passes
from sweep.plan.blocks import FIXED_BYTES
from sweep.plan.jobs import make_jobs
from sweep.results import manifest
from sweep.results.shard_writer import Partials
from tests.kernels.test_statistics import assert_within_ulp, moments

AXES = {
    "scaling_exponent": {"values": (0.05,)},
    "doubling_rate": {"values": (3.0, 1.0, 0.5, 0.0)},
    "fleet_size": {"start": 1e3, "stop": 1e8, "num": 6, "spacing": "log"},
    "time": {"start": 0.0, "stop": 20.0, "num": 37},
}
P = (0.0, 0.05, 0.5, 0.9, 1.0)
EDGES = {"values": (0.3, 0.4, 0.5, 0.55, 0.7, 1.0)}
KINDS = {
    **{kind: {} for kind in ("mean", "variance", "std", "min", "max", "argmin", "argmax")},
    "quantiles": {"probabilities": P},
    "share": {"where": "relative_loss < 0.6 and relative_loss >= 0.4"},
    "histogram": {"edges": EDGES},
}
OVERS = (
    ("time",),
    ("doubling_rate",),
    ("time", "scaling_exponent", "doubling_rate"),
    ("fleet_size", "scaling_exponent"),
    tuple(AXES),
)
# Constants of sweep.plan.passes that lead a small grid through what large ones go through.
LAYOUTS = {
    "usual": {},
    "steps": {"LANES": 1, "FEW_STEPS": 1},
    "parts": {"LANES": 1, "FEW_STEPS": 1, "STEPS": 31, "TABLE_POINTS": 1},
    "lanes": {"LANES": 50, "FEW_STEPS": 1, "STEPS": 7},
    "long_lanes": {"LANES": 20, "LONG_LANES": 90, "FEW_STEPS": 10**6, "STEPS": 3},
}
GROUP = 4  # sixteen steps in a group, as they are, take much longer to compile


def every_kind(over, output="relative_loss"):
    made = {}
    for kind, more in KINDS.items():
        of = {} if kind == "share" else {"output": output}
        made[f"{kind}_of"] = Statistic(statistic=kind, over=over, **of, **more)
    return made


def make_spec(statistics, axes=AXES, fixed=None, **settings):
    fixed = {"scaling_exponent": 0.05, "reference_fleet": 1.0, "reference_years": 1.0, **(fixed or {})}
    return sweep.SweepSpec(
        loss="total",
        statistics=statistics,
        axes={name: sweep.Axis(**axis) for name, axis in axes.items()},
        fixed={name: value for name, value in fixed.items() if name not in axes},
        **settings,
    )


def lay(monkeypatch, layout):
    if layout != "steps":
        monkeypatch.setattr(running, "GROUP", GROUP)
    for name, value in (LAYOUTS[layout] if isinstance(layout, str) else layout).items():
        monkeypatch.setattr(passes, name, value)


def whole_grid(spec, model=None):
    return sweep.run(spec.model_copy(update={"statistics": {}}), model=model)


def rows_of(full, over):
    """Values with the axes that are kept first and all others in one, the last axis of the sweep fastest."""
    kept = [dim for dim in full.dims if dim not in over]
    values = full.transpose(*kept, *[dim for dim in full.dims if dim in over]).values
    return values.reshape(*[full.sizes[dim] for dim in kept], -1), kept


def root(number):
    """Square root of a fraction, to 50 digits."""
    context = Context(prec=50)
    return Fraction(context.sqrt(context.divide(number.numerator, number.denominator)))


def assert_moments(found, values, kind, dtype):
    for cell in np.ndindex(values.shape[:-1]):
        row = values[cell]
        if not np.isfinite(row).all():
            with np.errstate(invalid="ignore"):
                np.testing.assert_array_equal(found[cell], np.mean(row) if kind == "mean" else np.nan)
            continue
        mean, variance = moments(row)
        exact = {"mean": mean, "variance": variance, "std": root(variance)}[kind]
        assert_within_ulp(found[cell], exact, dtype)


COMPARE = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}


def assert_statistic(dataset, full, spec, name):
    """Compare one statistic with what NumPy makes of the full grid in float64."""
    statistic, dtype = spec.statistics[name], np.dtype(spec.dtype)
    kind, over = statistic.statistic, [dim for dim in spec.axes if dim in statistic.over]
    if kind == "share":
        holds = True
        for condition in statistic.conditions:
            output = full[condition.output].astype(np.float64)
            holds = holds & xr.DataArray(COMPARE[condition.sign](output, condition.bound))
        values, kept = rows_of(holds.transpose(*[dim for dim in spec.axes if dim in holds.dims]), over)
    else:
        values, kept = rows_of(full[statistic.output], over)
    wide = values.astype(np.float64)
    if kind in ("argmin", "argmax"):
        undefined = np.isnan(wide).any(axis=-1)
        places = np.where(undefined, 0, getattr(np, kind)(wide, axis=-1))
        lengths = [len(spec.axes[dim]) for dim in over]
        for dim, place in zip(over, np.unravel_index(places, lengths), strict=True):
            found = dataset[f"{name}_{dim}"]
            assert found.dims == tuple(kept) and found.dtype == np.float64
            expected = np.where(undefined, np.nan, spec.axes[dim].coordinates()[place])
            np.testing.assert_array_equal(found, expected, err_msg=f"{name} {dim}")
        return
    found = dataset[name]
    extra = {"quantiles": ("quantile",), "histogram": (f"{name}_bin",)}.get(kind, ())
    assert found.dims == (*kept, *extra)
    assert found.dtype == (np.float64 if kind == "histogram" else dtype)
    if kind in ("mean", "variance", "std"):
        assert_moments(found.values, values, kind, dtype)
        return
    if kind in ("min", "max"):
        expected = getattr(wide, kind)(axis=-1)
    elif kind == "share":
        expected = values.sum(axis=-1) / values.shape[-1]
    elif kind == "histogram":
        edges = statistic.edges.coordinates()
        flat = wide.reshape(-1, wide.shape[-1])
        flat = [np.histogram(row[np.isfinite(row)], edges)[0] for row in flat]
        expected = np.reshape(flat, (*wide.shape[:-1], -1))
    else:
        with np.errstate(invalid="ignore"):
            expected = np.quantile(wide, statistic.probabilities, axis=-1)
        expected = np.moveaxis(expected, 0, -1)
        clear = ~np.isnan(expected)  # NumPy gives NaN between infinities
        np.testing.assert_allclose(found.values[clear], expected[clear], rtol=2 * np.finfo(dtype).eps, err_msg=name)
        return
    np.testing.assert_array_equal(found.values, expected.astype(found.dtype), err_msg=name)


def assert_right(spec, model=None, **settings):
    dataset, full = sweep.run(spec, model=model, **settings), whole_grid(spec, model)
    for name in spec.statistics:
        assert_statistic(dataset, full, spec, name)
    return dataset


def assert_same_bits(first, second):
    assert list(first.variables) == list(second.variables)
    for name in first.variables:
        a, b = (np.ascontiguousarray(found[name].values) for found in (first, second))
        assert a.dtype == b.dtype and a.shape == b.shape
        assert a.tobytes() == b.tobytes(), name


# Right


@pytest.mark.parametrize("over", OVERS, ids="-".join)
def test_run_of_every_statistic_agrees_with_the_full_grid(over):
    assert_right(make_spec(every_kind(over)))


@pytest.mark.parametrize("over", [OVERS[0], OVERS[2], OVERS[4]], ids="-".join)
def test_run_of_every_statistic_agrees_with_the_full_grid_in_float64(over):
    assert_right(make_spec(every_kind(over), dtype="float64"))


@pytest.mark.parametrize(
    ("layout", "dtype"),
    [("steps", "float32"), ("parts", "float32"), ("parts", "float64"), ("lanes", "float64"), ("long_lanes", "float32")],
)
def test_run_of_every_statistic_is_right_however_the_points_are_laid(layout, dtype, monkeypatch):
    lay(monkeypatch, layout)
    running = {name: s for name, s in every_kind(OVERS[2]).items() if s.kind.rows is None}
    spec = make_spec(running, dtype=dtype)
    (found,) = passes.make_passes(Problem.of(spec), 2**40)
    assert (layout in ("lanes", "long_lanes")) == bool(found.lanes)
    assert found.parts == {"steps": 1, "parts": 8, "lanes": 5, "long_lanes": 6}[layout]
    assert_right(spec)


# Values with ties, infinities of both signs, NaN and zeros of both signs, all exact; and values that differ little.
def _odd(x, y, z):
    whole = jnp.mod(7 * x + 13 * y + 29 * z, 11.0) - 5.0
    odd = jnp.where(whole == 5.0, jnp.where(y > 1.0, jnp.inf, 4.0), whole)
    odd = jnp.where((whole == -5.0) & (z > 20.0), jnp.where(y > 3.0, jnp.nan, -jnp.inf), odd)
    return jnp.where((whole == 0.0) & (z > 10.0), -0.0, odd)


XYZ = ("x", "y", "z")
ODD = Model(
    name="odd",
    equation="none",
    source="none",
    assumptions="none",
    parameters=tuple(Parameter(name, name, "m") for name in XYZ),
    quantities=(
        Quantity("odd", "odd values", "m", _odd),
        Quantity("narrow", "narrow", "m", lambda x, z: 1.0 + (x * 64.0 + z) / 2.0**20),
    ),
)
ODD_AXES = {
    "x": {"start": 0.0, "stop": 6.0, "num": 7},
    "y": {"values": (4.0, 3.0, 2.0, 1.0, 0.0)},
    "z": {"start": 0.0, "stop": 33.0, "num": 34},
}


def odd_spec(statistics, **settings):
    axes = {name: sweep.Axis(**axis) for name, axis in ODD_AXES.items()}
    return sweep.SweepSpec(model="odd", statistics=statistics, axes=axes, **settings)


def odd_statistics(over):
    made = {f"{kind}_of": Statistic(statistic=kind, over=over, output="odd") for kind in list(KINDS)[:7]}
    made["quantiles_of"] = Statistic(statistic="quantiles", over=over, output="odd", probabilities=P)
    made["share_of"] = Statistic(statistic="share", over=over, where="odd<=-1 and odd > -4.5 and narrow >= 1.00001")
    made["histogram_of"] = Statistic(
        statistic="histogram", over=over, output="odd", edges=sweep.Axis(values=(-4.0, -1.0, 0.0, 3.0))
    )
    return made


@pytest.mark.parametrize(
    ("over", "layout"), [(("z",), "usual"), (("x", "z"), "parts"), (("x", "z"), "lanes"), (("y", "x", "z"), "usual")]
)
def test_run_of_values_that_are_not_finite_agrees_with_numpy(over, layout, monkeypatch):
    lay(monkeypatch, layout)
    assert_right(odd_spec(odd_statistics(over)), ODD)


@pytest.mark.parametrize(
    ("layout", "dtype"), [("usual", "float64"), ("parts", "float32"), ("parts", "float64"), ("lanes", "float32")]
)
def test_run_of_values_that_differ_little_has_their_variance(layout, dtype, monkeypatch):
    lay(monkeypatch, layout)
    found = {kind: Statistic(statistic=kind, over=("x", "z"), output="narrow") for kind in ("mean", "variance", "std")}
    axes = {name: sweep.Axis(**ODD_AXES[name]) for name in "xz"}
    assert_right(sweep.SweepSpec(model="odd", statistics=found, axes=axes, fixed={"y": 0.0}, dtype=dtype), ODD)


def test_run_of_statistics_over_other_axes_in_one_spec_gives_each():
    made = {
        "mean_loss": Statistic(statistic="mean", output="relative_loss", over=("time",)),
        "best": Statistic(statistic="argmin", output="relative_loss", over=("fleet_size", "doubling_rate")),
        "cost": Statistic(statistic="max", output="total_cost", over=("time",)),
        "median_cost": Statistic(statistic="quantiles", output="total_cost", over=("fleet_size",), probabilities=P),
        "ratio": Statistic(statistic="min", output="effective_years", over=("doubling_rate", "time")),
        "affordable": Statistic(statistic="share", where="relative_loss < 0.5 and total_cost<=1e9", over=("time",)),
    }
    dataset = assert_right(make_spec(made))
    kept = ("scaling_exponent", "doubling_rate", "fleet_size")
    assert list(dataset) == ["mean_loss", "best_doubling_rate", "best_fleet_size", *list(made)[2:]]
    assert dataset.mean_loss.dims == dataset.affordable.dims == kept
    assert dataset.best_fleet_size.dims == ("scaling_exponent", "time")
    assert dataset.cost.dims == ("fleet_size",)
    assert dataset.median_cost.dims == ("time", "quantile")
    assert dataset.ratio.dims == ()


def inverse_spec(dtype="float32"):
    axes = {"target": {"start": 0.3, "stop": 0.99, "num": 24}, "doubling_rate": {"values": (-1.0, 0.0, 1.0)}}
    axes |= {"fleet_size": AXES["fleet_size"]}
    over = ("doubling_rate", "target")
    made = {f"{kind}_of": Statistic(statistic=kind, output="time_to_target", over=over) for kind in list(KINDS)[:7]}
    made["median"] = Statistic(statistic="quantiles", output="time_to_target", over=over, probabilities=P)
    made["reached"] = Statistic(statistic="share", where="time_to_target <= 20", over=over)
    made["never"] = Statistic(statistic="share", where="time_to_target > 1e300", over=("fleet_size",))
    made["counts"] = Statistic(
        statistic="histogram", output="time_to_target", over=over, edges=sweep.Axis(start=0.0, stop=100.0, num=11)
    )
    return make_spec(made, axes)


@pytest.mark.filterwarnings("ignore:target down to 0.3 with a doubling_rate down to -1")
def test_run_of_statistics_of_inverses_counts_infinities():
    dataset = assert_right(inverse_spec())
    assert np.isinf(dataset.max_of).all() and np.isinf(dataset.mean_of).all()
    share = {rate: dataset.never.sel(doubling_rate=rate) for rate in (-1.0, 0.0, 1.0)}
    assert (share[0.0] == 0).all() and (share[1.0] == 0).all()
    added = share[-1.0].target.values ** (-1 / 0.05) - 1  # a rate of -1 adds at most one fleet for 1 / ln 2 years
    fleets = np.geomspace(1e3, 1e8, 6)
    np.testing.assert_allclose(share[-1.0], np.mean(fleets[:, None] / math.log(2) < added, axis=0), rtol=1e-6)
    assert 0 < share[-1.0].mean() < 1


def shares(*bounds):
    conditions = [f"odd {sign} {bound}" for sign in COMPARE for bound in bounds]
    return {
        f"share_{number}": Statistic(statistic="share", over=("x", "z"), where=where)
        for number, where in enumerate(conditions)
    }


def test_run_of_shares_of_bounds_that_are_no_float32_compares_exactly():
    assert_right(odd_spec(shares("1e39", "-1e39", "1e999", "-0.99999999999", "1.00000000001")), ODD)


# XLA on a CPU takes subnormal numbers for 0: 0 < 1e-40 would not hold there.
@pytest.mark.parametrize("bound", ["1e-40", "-1e-40", "1e-46"])
def test_resolve_refuses_a_subnormal_bound(bound):
    with pytest.raises(
        sweep.SpecError, match=r"^statistics\.\w+\.where: -?1e-4\d is nearer to 0 than float32 numbers are"
    ):
        ODD.resolve(odd_spec(shares(bound)))


def test_run_of_a_histogram_of_the_largest_numbers_has_bins_of_finite_middles():
    edges = sweep.Axis(values=(-1.7e308, 0.0, 1.1e308, 1.7e308))
    made = {"counts": Statistic(statistic="histogram", over=("x", "z"), output="odd", edges=edges)}
    dataset = assert_right(odd_spec(made), ODD)
    np.testing.assert_allclose(dataset.counts_bin, [-0.85e308, 0.55e308, 1.4e308])


def test_run_of_std_of_deviations_whose_squares_overflow_is_not_finite():
    made = {"std_of": Statistic(statistic="std", over=("doubling_rate", "time"), output="compute_ratio")}
    axes = {name: AXES[name] for name in ("doubling_rate", "fleet_size", "time")}
    assert not np.isfinite(sweep.run(make_spec(made, axes)).std_of).any()
    assert np.isfinite(sweep.run(make_spec(made, axes, dtype="float64")).std_of).all()


# Quantiles that are narrowed down


def assert_quantiles(found, rows, probabilities):
    """Compare quantiles of rows with what lies beside their ranks in sorted order."""
    n = rows.shape[-1]
    for cell in np.ndindex(rows.shape[:-1]):
        ordered = np.sort(rows[cell])
        for value, p in zip(found[cell], probabilities, strict=True):
            if np.isnan(ordered[-1]):
                assert np.isnan(value)
                continue
            rank = (n - 1) * p
            low, high = ordered[int(rank)], ordered[min(int(rank) + 1, n - 1)]
            if rank == int(rank) or low == high:
                assert value == low
            elif np.isfinite(low) and np.isfinite(high):
                share = Fraction(rank) - int(rank)
                exact = Fraction(float(low)) * (1 - share) + Fraction(float(high)) * share
                room = 2 * Fraction(float(np.spacing(max(abs(low), abs(high)))))
                assert low <= value <= high and abs(Fraction(float(value)) - exact) <= room
            else:
                assert np.isinf(value)


NARROWED = {"ROW_POINTS": 100, "PART_POINTS": 90, "PIECE_POINTS": 40}
TABLES = {
    "huge": lambda rng: 10.0 ** rng.uniform(-300, 300, 720),
    "opposite": lambda rng: np.where(rng.random(720) < 0.5, -1e-4, 1.5e-4),
    "subnormal": lambda rng: rng.integers(-99, 99, 720) * 2.0**-1070,
    "small": lambda rng: 10.0 ** rng.uniform(-46, -38, 720),
    "loss": lambda rng: 1.0 - rng.random(720) ** 9,
    "infinite": lambda rng: rng.choice([-np.inf, 0.0, -0.0, 1.0, np.inf], 720),
    "constant": lambda rng: np.full(720, 0.1),
    "undefined": lambda rng: np.where(np.arange(720) == 500, np.nan, rng.random(720)),
}


def table_model(table):
    """A model whose values are those of a table, over 3 x 12 x 20 points."""
    return Model(
        name="table",
        equation="none",
        source="none",
        assumptions="none",
        parameters=tuple(Parameter(name, name, "m") for name in XYZ),
        quantities=(
            Quantity("value", "", "m", lambda x, y, z: jnp.asarray(table)[((x * 12 + y) * 20 + z).astype(int)]),
        ),
    )


def table_spec(dtype, over=("y", "z")):
    axes = {name: sweep.Axis(start=0.0, stop=n - 1.0, num=n) for name, n in zip(XYZ, (3, 12, 20), strict=True)}
    of = {"output": "value", "over": over}
    made = {
        "middle": Statistic(statistic="quantiles", probabilities=P, **of),
        "counts": Statistic(statistic="histogram", edges=sweep.Axis(values=(-1.0, 0.0, 0.5, 2.0)), **of),
    }
    return sweep.SweepSpec(model="table", dtype=dtype, axes=axes, statistics=made)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", TABLES)
def test_run_of_quantiles_of_any_values_is_exact_however_many_there_are(kind, dtype, monkeypatch):
    with np.errstate(all="ignore"):
        table = TABLES[kind](np.random.default_rng(4)).astype(dtype)
    monkeypatch.setattr("kernels.statistics.rows.SKETCH_BINS", 2**13)
    whole = sweep.run(table_spec(dtype), model=table_model(table))
    lay(monkeypatch, NARROWED)
    (found,) = passes.make_passes(Problem.of(table_spec(dtype), table_model(table)), 2**40)
    assert found.parts > 1 and found.rounds > 1
    seen = []
    dataset = sweep.run(table_spec(dtype), model=table_model(table), progress=seen.append)
    assert_quantiles(dataset.middle.values, table.reshape(3, -1), P)
    for name in ("middle", "counts"):
        np.testing.assert_array_equal(dataset[name], whole[name])
        assert dataset[name].attrs == whole[name].attrs
    assert seen[-1].points == seen[-1].total_points == seen[-1].new_points == 720


def test_run_of_quantiles_of_zero_and_one_alone_is_the_least_and_the_largest(monkeypatch):
    lay(monkeypatch, NARROWED)
    ends = {
        "ends": Statistic(
            statistic="quantiles", output="compute_ratio", over=("doubling_rate", "time"), probabilities=(0.0, 1.0)
        ),
        **{
            kind: Statistic(statistic=kind, output="compute_ratio", over=("doubling_rate", "time"))
            for kind in ("min", "max")
        },
    }
    axes = {**{name: AXES[name] for name in ("doubling_rate", "fleet_size")}, "time": {**AXES["time"], "stop": 60.0}}
    dataset = sweep.run(make_spec(ends, axes, fixed={"reference_fleet": 1.0, "reference_years": 1.0}, dtype="float64"))
    assert dataset["max"].max() > 1e45
    np.testing.assert_array_equal(dataset.ends, np.stack([dataset["min"], dataset["max"]], axis=-1))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_run_of_quantiles_of_more_points_than_are_held_together_is_numpys(dtype, monkeypatch):
    lay(monkeypatch, NARROWED)
    kinds = {name: s for name, s in every_kind(OVERS[2]).items() if s.kind.rows is not None}
    spec = make_spec(kinds, dtype=dtype)
    (found,) = passes.make_passes(Problem.of(spec), 2**40)
    assert found.parts > 1 and not found.is_whole
    dataset, full = sweep.run(spec), whole_grid(spec)
    assert_statistic(dataset, full, spec, "histogram_of")
    expected = np.quantile(rows_of(full.relative_loss, OVERS[2])[0].astype(np.float64), P, axis=-1).T
    np.testing.assert_allclose(dataset.quantiles_of, expected, rtol=2 * np.finfo(dtype).eps)


# The same bits


def cut(spec, layout, monkeypatch, tile):
    """Run with tiles of so many cells, or eight times as many where there are few steps."""
    with monkeypatch.context() as patch:
        lay(patch, layout)
        patch.setattr(passes, "TILE", tile)
        return sweep.run(spec)


@pytest.mark.parametrize(("layout", "dtype"), [("usual", "float32"), ("parts", "float32"), ("lanes", "float64")])
def test_run_of_statistics_has_the_same_bits_whatever_the_tiles(layout, dtype, monkeypatch):
    running = every_kind(("time",))
    spec = make_spec({f"{kind}_of": running[f"{kind}_of"] for kind in ("mean", "std", "argmin", "share")}, dtype=dtype)
    whole = cut(spec, layout, monkeypatch, 2**17)
    assert_same_bits(whole, cut(spec, layout, monkeypatch, 5))


@pytest.mark.parametrize("kept", [41, 3])
def test_run_of_statistics_has_the_same_bits_whichever_side_of_a_tile_is_the_longest(kept, monkeypatch):
    axes = {"fleet_size": AXES["fleet_size"] | {"num": kept}, "time": AXES["time"] | {"num": 200}}
    made = {k: Statistic(statistic=k, output="relative_loss", over=("time",)) for k in ("mean", "variance")}
    spec = make_spec(made, axes, {"doubling_rate": 0.5}, dtype="float64")
    layout = {"LANES": 30 * kept, "FEW_STEPS": 1}
    whole = cut(spec, layout, monkeypatch, 2**17)
    assert_same_bits(whole, cut(spec, layout, monkeypatch, 2))


def test_run_of_statistics_has_the_same_bits_whatever_the_memory(monkeypatch):
    spec = make_spec(every_kind(("doubling_rate", "time")))
    whole = sweep.run(spec)
    monkeypatch.setattr(passes, "TABLE_BYTES", 0)
    monkeypatch.setattr(passes, "PIECE_POINTS", 2 * 4 * 37)
    memory = FIXED_BYTES + 300_000
    assert all(len(job.plan) > 1 for job in make_jobs(Problem.of(spec), memory - 10_000))
    assert_same_bits(whole, sweep.run(spec, memory=memory))


def test_run_of_statistics_does_not_depend_on_the_order_of_over():
    first = sweep.run(make_spec(every_kind(("doubling_rate", "time"))))
    second = sweep.run(make_spec(every_kind(("time", "doubling_rate"))))
    assert_same_bits(first, second)


def test_run_of_statistics_refuses_a_memory_that_holds_no_unit():
    spec = make_spec({"mean_of": Statistic(statistic="mean", output="relative_loss", over=("time",))})
    with pytest.raises(
        sweep.SpecError, match=r"^memory: 2 MB do not hold a unit of work of mean_of; give at least \d+ MB$"
    ):
        sweep.run(spec, memory=2_000_000)


# Out of memory


def starve(monkeypatch, most):
    """Make a device that has no memory for arrays of more than so many elements."""
    refused, compiled = [], evaluate.compiled

    def limited(function, static, platform, devices):
        inner = compiled(function, static, platform, devices)

        def call(buffers, inputs, **kept):
            if max((math.prod(array.shape) for array in jax.tree.leaves((buffers, inputs))), default=0) > most:
                refused.append(1)
                raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")
            return inner(buffers, inputs, **kept)

        return call

    for module in (evaluate, running):
        monkeypatch.setattr(module, "compiled", limited)
    return refused


def test_run_of_statistics_on_a_device_short_of_memory_has_the_same_bits(monkeypatch):
    lay(monkeypatch, {"LANES": 1, "FEW_STEPS": 1, "TILE": 10, "PIECE_POINTS": 10 * 37})
    made = every_kind(("time",))
    spec = make_spec({f"{kind}_of": made[f"{kind}_of"] for kind in ("variance", "argmax", "quantiles", "histogram")})
    whole = sweep.run(spec)
    refused = starve(monkeypatch, 4 * 37)
    assert_same_bits(whole, sweep.run(spec))
    assert refused


def test_run_of_a_grid_on_a_device_short_of_memory_has_the_same_bits(monkeypatch):
    spec = make_spec({}, outputs=("relative_loss", "total_cost"))
    whole = sweep.run(spec)
    refused = starve(monkeypatch, 100)
    memory = FIXED_BYTES + 30_000
    assert len(make_jobs(Problem.of(spec), memory)[0].plan) > 1
    assert_same_bits(whole, sweep.run(spec, memory=memory))
    assert refused


@pytest.mark.parametrize("statistics", [{}, {"m": Statistic(statistic="mean", output="relative_loss", over=("time",))}])
def test_run_on_a_device_without_memory_ends_in_one_line(statistics, monkeypatch):
    starve(monkeypatch, 0)
    spec = make_spec(statistics, outputs=("relative_loss",))
    with pytest.raises(
        sweep.SpecError,
        match=r"^the device has no memory for the smallest piece of this sweep; end what else runs on it$",
    ):
        sweep.run(spec)


def test_run_passes_on_other_errors_of_the_device(monkeypatch):
    def fail(*_):
        raise jax.errors.JaxRuntimeError("INTERNAL: no")

    monkeypatch.setattr(inputs.Inputs, "__call__", fail)
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        sweep.run(make_spec({"m": Statistic(statistic="mean", output="relative_loss", over=("time",))}))


# Labels


def test_run_of_statistics_labels_every_variable():
    dataset = sweep.run(make_spec({**every_kind(("time", "doubling_rate")), **inverse_free()}))
    assert all(v.attrs["units"] and v.attrs["long_name"] for v in dataset.variables.values())
    units = {name: dataset[name].attrs["units"] for name in ("cost", "spread", "argmin_of_time", "share_of")}
    assert units == {"cost": "USD", "spread": "(USD)2", "argmin_of_time": "years", "share_of": "1"}
    assert dataset.mean_of.attrs["cell_methods"] == "doubling_rate: time: mean"
    assert dataset.std_of.attrs["cell_methods"] == "doubling_rate: time: standard_deviation"
    assert dataset.share_of.attrs["cell_methods"] == f"doubling_rate: time: mean where {KINDS['share']['where']}"
    assert dataset.mean_of.attrs["reduced_points"] == 148
    assert dataset.mean_of.attrs["reduced"].startswith("doubling_rate = 0 to 3 1/year, 4 listed, each counting alike; ")
    assert dataset.quantiles_of.attrs["method"].startswith("exact order statistics")
    np.testing.assert_array_equal(dataset["quantile"], P)
    np.testing.assert_array_equal(dataset.histogram_of_bin.attrs["edges"], EDGES["values"])
    np.testing.assert_allclose(dataset.histogram_of_bin, [0.35, 0.45, 0.525, 0.625, 0.85])
    assert dataset.argmin_of_time.attrs["long_name"] == "time at the smallest value of loss relative to time 0"
    assert json.loads(dataset.attrs["spec"])["statistics"]["mean_of"]["over"] == ["doubling_rate", "time"]
    assert "time" not in dataset.variables


def inverse_free():
    """Statistics of an output that does not depend on the doubling rate."""
    return {
        "cost": Statistic(statistic="mean", output="total_cost", over=("time",)),
        "spread": Statistic(statistic="variance", output="total_cost", over=("time",)),
    }


# Refused

MEAN = {"statistic": "mean", "output": "relative_loss", "over": ("time",)}
BAD_WHERE = "statistics.best.where: must be comparisons such as relative_loss < 0.5, joined by and, got "
BAD = {
    "kind": (
        MEAN | {"statistic": "median"},
        'statistics.best.statistic: must be "mean", "sum", "variance", "std", "skewness", "correlation", "min", "max", '
        '"argmin", "argmax", "quantiles", "share" or "histogram", got "median"',
    ),
    "over_nothing": (MEAN | {"over": ()}, "statistics.best.over: must not be empty"),
    "over_string": (MEAN | {"over": "time"}, 'statistics.best.over: must be a list, got "time"'),
    "over_unknown": (
        MEAN | {"over": ("tme",)},
        'statistics.best.over: unknown axis "tme"; did you mean time? '
        "allowed: scaling_exponent, doubling_rate, fleet_size, time",
    ),
    "over_twice": (MEAN | {"over": ("time", "time")}, 'statistics.best.over: names "time" twice'),
    "no_output": (
        {"statistic": "mean", "over": ("time",)},
        'statistics.best.output: is required by statistic = "mean"',
    ),
    "probabilities_of_mean": (
        MEAN | {"probabilities": (0.5,)},
        'statistics.best.probabilities: belongs to statistic = "quantiles", got it with "mean"; drop it',
    ),
    "no_probabilities": (
        MEAN | {"statistic": "quantiles"},
        'statistics.best.probabilities: is required by statistic = "quantiles"',
    ),
    "probabilities_outside": (
        MEAN | {"statistic": "quantiles", "probabilities": (0.5, 1.5)},
        "statistics.best.probabilities: must be one number or more in [0, 1], got [0.5, 1.5]",
    ),
    "probabilities_decreasing": (
        MEAN | {"statistic": "quantiles", "probabilities": (0.5, 0.1)},
        "statistics.best.probabilities: must be increasing, got [0.5, 0.1]",
    ),
    "no_where": (
        {"statistic": "share", "over": ("time",)},
        'statistics.best.where: is required by statistic = "share"',
    ),
    "where_or": (
        {"statistic": "share", "over": ("time",), "where": "relative_loss < 1 or time > 2"},
        BAD_WHERE + '"relative_loss < 1 or time > 2"',
    ),
    "where_number": (
        {"statistic": "share", "over": ("time",), "where": "relative_loss < 1.2.3"},
        BAD_WHERE + '"relative_loss < 1.2.3"',
    ),
    "one_output_of_correlation": (
        {"statistic": "correlation", "over": ("time",), "outputs": ("relative_loss",)},
        'statistics.best.outputs: must have 2 entries, got ["relative_loss"]',
    ),
    "same_outputs_of_correlation": (
        {"statistic": "correlation", "over": ("time",), "outputs": ("relative_loss", "relative_loss")},
        'statistics.best.outputs: names "relative_loss" twice',
    ),
    "output_of_correlation": (
        MEAN | {"statistic": "correlation", "outputs": ("relative_loss", "total_cost")},
        'statistics.best.output: statistic = "correlation" takes outputs in its place; drop it',
    ),
    "output_of_share": (
        {"statistic": "share", "over": ("time",), "where": "relative_loss < 1", "output": "relative_loss"},
        'statistics.best.output: statistic = "share" takes where in its place; drop it',
    ),
    "edges_decreasing": (
        MEAN | {"statistic": "histogram", "edges": {"values": (1.0, 0.0)}},
        'statistics.best.edges: must be 2 to 10,001 increasing numbers, got {"values": [1.0, 0.0]}',
    ),
    "unknown_key": (
        MEAN | {"colour": 1},
        'statistics.best: unknown key "colour"; allowed: statistic, over, output, outputs, probabilities, where, '
        "regret, edges",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_spec_refuses_a_bad_statistic_in_one_line(case):
    given, line = BAD[case]
    with pytest.raises(sweep.SpecError) as refused:
        make_spec({"best": given})
    assert str(refused.value) == line


BAD_NAMES = {
    "time": (MEAN, {}, 'statistics: "time" cannot be the name of a variable beside the axes; use another'),
    "quantile": (MEAN, {}, 'statistics: "quantile" cannot be the name of a variable beside the axes; use another'),
    "a/b": (MEAN, {}, 'statistics: "a/b" cannot be the name of a variable beside the axes; use another'),
    "low": (
        MEAN | {"statistic": "argmin"},
        {"low_time": MEAN},
        'statistics: "low" makes a variable "low_time", which is given too; rename one',
    ),
    "h": (
        MEAN | {"statistic": "quantiles", "probabilities": (0.5,)},
        {"other": MEAN | {"statistic": "quantiles", "probabilities": (0.1,)}},
        "statistics: quantiles share one axis of probabilities; give all the same",
    ),
}


@pytest.mark.parametrize("name", BAD_NAMES)
def test_spec_refuses_statistics_that_do_not_go_together_in_one_line(name):
    given, more, line = BAD_NAMES[name]
    with pytest.raises(sweep.SpecError) as refused:
        make_spec({name: given, **more})
    assert str(refused.value) == line


def test_resolve_refuses_a_statistic_over_an_axis_that_its_output_does_not_depend_on():
    made = {"cost": MEAN | {"output": "total_cost", "over": ("doubling_rate",)}, "loss": MEAN}
    with pytest.raises(
        sweep.SpecError, match=r"^statistics\.cost\.over: total_cost does not depend on doubling_rate; drop it$"
    ):
        sweep.run(make_spec(made))


def test_spec_refuses_an_output_of_which_nothing_is_kept():
    with pytest.raises(sweep.SpecError) as refused:
        make_spec({"best": MEAN}, outputs=("relative_loss", "total_cost"))
    assert str(refused.value) == 'outputs: no statistic is of "total_cost", and only statistics are kept; drop it'


# Stores

CUT = {"LANES": 1, "FEW_STEPS": 1, "STEPS": 40, "TILE": 4}
CUT |= {"ROW_POINTS": 100, "PART_POINTS": 60, "PIECE_POINTS": 40}


def stored_spec():
    made = every_kind(("doubling_rate", "time"))
    kinds = ("mean", "std", "argmin", "max", "share", "quantiles", "histogram")
    made = {f"{kind}_of": made[f"{kind}_of"] for kind in kinds}
    made["all_of"] = Statistic(statistic="std", output="relative_loss", over=tuple(AXES))
    return make_spec(made)


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A store made without interruption, of many parts to each tile."""
    path = tmp_path_factory.mktemp("whole") / "whole.zarr"
    with pytest.MonkeyPatch.context() as patch:
        lay(patch, CUT)
        sweep.run(stored_spec(), store=path)
    return path


@pytest.fixture
def many_parts(monkeypatch):
    """Cut tiles into many parts and keep each."""
    lay(monkeypatch, CUT)
    monkeypatch.setattr(reduce, "BETWEEN", 0.0)


def interrupted(path, steps):
    """Stop a run as Ctrl-C does after so many steps."""
    seen = []

    def stop(step):
        seen.append(step)
        if len(seen) == steps:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep.run(stored_spec(), store=path, progress=stop)
    partials = sorted((path / manifest.PARTIAL).glob("*"))
    assert partials
    return partials


def test_run_of_statistics_into_a_store_gives_the_same_as_in_memory(whole, monkeypatch):
    lay(monkeypatch, CUT)
    held = sweep.run(stored_spec())
    assert_same_bits(held, xr.open_zarr(whole, chunks=None)[list(held.variables)])
    assert not (whole / manifest.PARTIAL).exists()
    assert manifest.attributes(whole)["complete"]


@pytest.mark.parametrize("steps", [2, 5, 12, 20])
def test_run_of_statistics_goes_on_after_an_interruption_with_the_same_bytes(steps, tmp_path, whole, many_parts):
    path = tmp_path / "out.zarr"
    interrupted(path, steps)
    seen = []
    sweep.run(stored_spec(), store=path, memory=FIXED_BYTES * 2, progress=seen.append)
    assert contents(path) == contents(whole)
    assert seen[-1].points == seen[-1].total_points == stored_spec().points
    assert 0 < seen[-1].new_points < seen[-1].total_points


def test_run_of_statistics_goes_on_with_the_parts_that_were_kept(tmp_path, whole, many_parts):
    path = tmp_path / "out.zarr"
    assert interrupted(path, 6)
    first, seen = manifest.partials(path), []
    sweep.run(stored_spec(), store=path, progress=seen.append)
    assert max(parts for parts, _ in first.values()) >= 2
    assert seen[-1].new_points <= seen[-1].total_points - sum(seen[0].new_points for _ in first)
    assert contents(path) == contents(whole)


def test_run_of_quantiles_that_are_narrowed_down_goes_on_wherever_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("kernels.statistics.rows.SKETCH_BINS", 2**13)
    monkeypatch.setattr(reduce, "BETWEEN", 0.0)
    lay(monkeypatch, {"ROW_POINTS": 50, "PART_POINTS": 30, "PIECE_POINTS": 20})
    spec = table_spec("float64", ("x", "z"))
    model = table_model(TABLES["opposite"](np.random.default_rng(4)))
    running = []
    sweep.run(spec, model=model, store=tmp_path / "whole.zarr", progress=running.append)
    assert len(running) > 3 * 2 * 2  # tiles, rounds and parts
    rounds = set()
    for last in range(1, len(running)):
        path, seen = tmp_path / f"{last}.zarr", []

        def stop(step, seen=seen, last=last):
            seen.append(step)
            if len(seen) == last:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            sweep.run(spec, model=model, store=path, progress=stop)
        rounds |= {"middle.sought" in np.load(file) for _, file in manifest.partials(path).values()}
        again = []
        sweep.run(spec, model=model, store=path, memory=FIXED_BYTES * 2, progress=again.append)
        assert contents(path) == contents(tmp_path / "whole.zarr")
        assert again[-1].points == again[-1].total_points
        # What was kept is not done again: the last step of the first run may have been, but none before it.
        assert again[-1].new_points <= again[-1].total_points - (seen[-2].new_points if last > 1 else 0)
    assert rounds == {False, True}


def flip(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)


DAMAGE = {
    "empty": lambda file: os.truncate(file, 0),
    "cut_short": lambda file: os.truncate(file, file.stat().st_size // 2),
    "garbage": lambda file: file.write_bytes(b"none of ours" * 99),
    "flipped": flip,
}


# NumPy leaves a file open that it cannot read.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("damage", DAMAGE)
def test_run_of_statistics_begins_a_tile_again_whose_partial_is_damaged(damage, tmp_path, whole, many_parts):
    path = tmp_path / "out.zarr"
    files = interrupted(path, 6)
    assert files
    for file in files:
        DAMAGE[damage](file)
    sweep.run(stored_spec(), store=path)
    assert contents(path) == contents(whole)


def test_load_of_a_partial_with_any_byte_changed_gives_what_was_kept_or_nothing(tmp_path, many_parts):
    path = tmp_path / "out.zarr"
    file = interrupted(path, 4)[0]
    number, tile, parts = map(int, file.stem.split("-"))
    right, data = Partials(path, number).load(tile), file.read_bytes()
    assert right[0] == parts
    rng = np.random.default_rng(9)
    for place in {*rng.integers(0, len(data), 60).tolist(), *range(len(data) - 22, len(data))}:
        file.write_bytes(data[:place] + bytes([data[place] ^ (1 << int(rng.integers(8)))]) + data[place + 1 :])
        found = Partials(path, number).load(tile)
        if found[0]:
            assert sorted(found[1]) == sorted(right[1])
            for key, array in right[1].items():
                np.testing.assert_array_equal(found[1][key], array)


def test_run_of_statistics_begins_a_tile_again_whose_partial_has_too_many_parts(tmp_path, whole, many_parts):
    path = tmp_path / "out.zarr"
    for file in interrupted(path, 6):
        number, tile, _ = file.stem.split("-")
        file.rename(file.with_name(f"{number}-{tile}-99999.npz"))
    sweep.run(stored_spec(), store=path)
    assert contents(path) == contents(whole)


def test_run_of_statistics_begins_a_tile_again_whose_partial_holds_other_arrays(tmp_path, whole, many_parts):
    path = tmp_path / "out.zarr"
    for file in interrupted(path, 6):
        np.savez(file, other=np.zeros(3))
    sweep.run(stored_spec(), store=path)
    assert contents(path) == contents(whole)


def test_store_of_other_statistics_is_refused_naming_what_differs(whole, tmp_path, monkeypatch):
    lay(monkeypatch, CUT)
    before = contents(whole)
    made = dict(stored_spec().statistics)
    for change, line in (
        ({"mean_of": made["mean_of"].model_copy(update={"over": ("time",)})}, r"statistics\.mean_of\.over is "),
        ({"more": made["mean_of"]}, r"statistics\.more is absent there"),
        (
            {"share_of": made["share_of"].model_copy(update={"where": "relative_loss<0.61"})},
            r"statistics\.share_of\.where",
        ),
        ({"mean_of": made["std_of"]}, r"statistics\.mean_of\.statistic is \"mean\" there, \"std\" here"),
    ):
        with pytest.raises(sweep.StoreError, match=rf"holds a different sweep: {line}.*--overwrite$"):
            sweep.run(make_spec(made | change), store=whole)
    with pytest.raises(sweep.StoreError, match=r"holds a different sweep: statistics is \{.* there, absent here"):
        sweep.run(make_spec({}, outputs=("relative_loss",)), store=whole)
    assert contents(whole) == before


def test_store_of_statistics_that_lost_a_tile_is_completed(whole, tmp_path, many_parts):
    path = tmp_path / "out.zarr"
    shutil.copytree(whole, path)
    lost = [
        file for name in ("mean_of", "all_of", "quantiles_of") for file in (path / name).rglob("c*") if file.is_file()
    ]
    lost += [file for file in (path / "quantiles_of" / "c").rglob("*") if file.is_file()][:1]
    assert lost
    for file in lost:
        file.unlink()
    sweep.run(stored_spec(), store=path)
    assert contents(path) == contents(whole)


KILLED = """
import sys, time
sys.path.insert(0, sys.argv[3])
import json, sweep
from sweep.engine import reduce, running
from sweep.plan import passes
for name, value in json.loads(sys.argv[1]).items():
    setattr(passes, name, value)
running.GROUP = int(sys.argv[4])
reduce.BETWEEN = 0.0
from tests.engine import test_reduce
sweep.run(test_reduce.stored_spec(), store=sys.argv[2], progress=lambda step: time.sleep(0.05))
"""


def test_run_of_statistics_killed_in_the_middle_of_a_tile_loses_nothing(tmp_path, whole, many_parts):
    path, root_folder = tmp_path / "out.zarr", str(Path(__file__).parents[2])
    command = [sys.executable, "-c", KILLED, json.dumps(CUT), str(path), root_folder, str(GROUP)]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": root_folder})
    while process.poll() is None and len(manifest.partials(path)) == 0:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert manifest.partials(path) and not manifest.attributes(path)["complete"]
    sweep.run(stored_spec(), store=path)
    assert contents(path) == contents(whole)


# The command line

CONFIG = """
loss = "total"
[axes]
scaling_exponent = { values = [0.05] }
doubling_rate = { values = [3.0, 1.0, 0.5, 0.0] }
fleet_size = { start = 1e3, stop = 1e8, num = 6, spacing = "log" }
time = { start = 0, stop = 20, num = 37 }
[fixed]
reference_fleet = 1.0
reference_years = 1.0
[statistics.mean_loss]
statistic = "mean"
output = "relative_loss"
over = ["time"]
[statistics.half]
statistic = "share"
where = "relative_loss < 0.5"
over = ["doubling_rate", "fleet_size", "time", "scaling_exponent"]
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Write a config of statistics; the test runs in its folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text(CONFIG)


def told(*args):
    result = CliRunner().invoke(main, list(args), prog_name="sweep", catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return " ".join(result.stdout.split())


def test_describe_says_what_statistics_are_taken_over_what(config):
    text = told("describe", "config.toml")
    assert "mean_loss mean of loss relative to time 0, over time" in text
    assert "scaling_exponent 1 x doubling_rate 4 x fleet_size 6" in text
    assert "half share of points where relative_loss < 0.5" in text and "one number" in text
    assert "fleet_size x time reduced to 1 tile of one number, for half" in text


def test_run_prints_the_range_of_each_statistic(config):
    text = told("run", "config.toml")
    half = float(sweep.run(sweep.load("config.toml")).half)
    assert f"half one number {half:.6g}" in text
    assert "mean_loss scaling_exponent 1 x doubling_rate 4 x fleet_size 6" in text


def test_status_and_plot_read_a_store_of_statistics(config):
    assert "written to out.zarr" in told("run", "config.toml", "--store", "out.zarr")
    assert "nothing was computed" in told("run", "config.toml", "--store", "out.zarr")
    text = told("status", "out.zarr")
    assert "state complete" in text and "results 25 of 25" in text and "half one number" in text
    assert told("plot", "out.zarr", "--output", "mean_loss", "-o", "loss.png") == "loss.png"
    assert Path("loss.png").read_bytes().startswith(b"\x89PNG")
    refused = CliRunner().invoke(
        main, ["plot", "out.zarr", "--output", "half", "-o", "half.png"], catch_exceptions=False
    )
    assert refused.exit_code == 2
    assert refused.stderr.startswith("error: half is one number in this sweep") and refused.stderr.count("\n") == 1


def test_status_of_a_store_in_the_middle_of_a_tile_says_what_has_begun(tmp_path, many_parts):
    interrupted(tmp_path / "out.zarr", 3)
    text = told("status", str(tmp_path / "out.zarr"))
    assert "begun 1 tile, " in text and "not complete" in text
