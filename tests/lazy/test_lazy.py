"""The lazy dataset: the bits of a run whatever is indexed, nothing evaluated before, and clear refusals."""

import copy
import multiprocessing
import pickle
import subprocess
import sys
import time
import tracemalloc
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import sweep
from sweep.lazy import backend, indexing
from sweep.models.registry import RELATIVE_LOSS
from tests import cases, reference

ROOT = Path(__file__).parents[2]
OUTPUTS = tuple(output.name for output in RELATIVE_LOSS.outputs)
FORWARD = ("relative_loss", "relative_excess_loss", "log_relative_excess_loss", "compute_ratio", "effective_years")
REFERENCE = {"reference_fleet": 16384.0, "reference_years": 0.2443}
AXES = {
    "scaling_exponent": {"values": (0.048, 0.057)},
    "doubling_rate": {"start": 0.0, "stop": 1.5, "num": 13},
    "fleet_size": {"start": 1e3, "stop": 1e8, "num": 41, "spacing": "log"},
    "time": {"start": 0.5, "stop": 20.0, "num": 75},
    "target": {"start": 0.3, "stop": 0.99, "num": 6},
}
CUBE = {
    "fleet_size": {"start": 1e3, "stop": 1e8, "num": 10**4, "spacing": "log"},
    "doubling_rate": {"start": -0.5, "stop": 4.0, "num": 10**4},
    "time": {"start": 0.0, "stop": 20.0, "num": 10**4},
}


def make_spec(outputs=("relative_loss",), axes=AXES, fixed=REFERENCE, **settings):
    needs = {p for output in outputs for p in RELATIVE_LOSS.output(output).parameters}
    axes = {name: axis for name, axis in axes.items() if name in needs}
    fixed = fixed | ({} if "scaling_exponent" in axes else {"scaling_exponent": 0.05})
    return sweep.SweepSpec(
        loss="total", outputs=outputs, axes={k: sweep.Axis(**v) for k, v in axes.items()}, fixed=fixed, **settings
    )


def open_lazily(spec, **settings):
    return xr.open_dataset(spec, engine="sweep", **settings)


@cache
def run(dtype, rate=1.5):
    """All outputs, in memory; up to 1.5 doublings a year the growth has no powers of two."""
    axes = AXES | {"doubling_rate": {"start": 0.0, "stop": rate, "num": 13}}
    return sweep.run(make_spec(OUTPUTS if rate == 1.5 else FORWARD, axes, dtype=dtype))


def opened(dtype, rate=1.5, **settings):
    axes = AXES | {"doubling_rate": {"start": 0.0, "stop": rate, "num": 13}}
    return open_lazily(make_spec(OUTPUTS if rate == 1.5 else FORWARD, axes, dtype=dtype), **settings)


def same(got, expected):
    """Whether two arrays have the same dimensions, coordinates, type and bits."""
    xr.testing.assert_identical(got, expected)
    assert got.dtype == expected.dtype


def pointwise(sizes, count, seed=0):
    rng = np.random.default_rng(seed)
    return {name: ("point", rng.integers(-n, n, count)) for name, n in sizes.items()}


@pytest.mark.parametrize(
    ("output", "rate"), [*((output, 1.5) for output in OUTPUTS), *((output, 15.0) for output in FORWARD)]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.filterwarnings("ignore:doubling_rate up to 15")
def test_values_have_the_bits_of_a_run(output, dtype, rate):
    expected, got = run(dtype, rate)[output], opened(dtype, rate)[output]
    same(got, expected)
    got = opened(dtype, rate)[output]
    few = pointwise(expected.sizes, 400)
    same(got.isel(few), expected.isel(few))


def test_dataset_is_that_of_a_run_but_for_the_device():
    expected = run("float64").copy()
    del expected.attrs["device"]
    xr.testing.assert_identical(opened("float64"), expected)


def test_dataset_of_a_config_is_that_of_a_run(tmp_path):
    path = tmp_path / "c.toml"
    text = (ROOT / "configs" / "smoke.toml").read_text()
    path.write_text(text.replace('"time_to_target", "fleet_for_target"', '"energy"').replace("target =", "# target ="))
    got, expected = open_lazily(path), sweep.run(sweep.load(path))
    xr.testing.assert_identical(got.assign_attrs(device=expected.device), expected)
    assert got.encoding["source"] == str(path)
    assert {v.dtype for v in open_lazily(path, dtype="float32").data_vars.values()} == {np.dtype("float32")}


def random_indexer(rng, length, new):
    """One of the ways to index an axis; `new` begins the names of new dimensions."""
    low, high = sorted(rng.integers(-length - 3, length + 3, 2).tolist())
    return [
        lambda: int(rng.integers(-length, length)),
        lambda: slice(low, high),
        lambda: slice(None, None, int(rng.choice([-3, -2, -1, 2, 5]))),
        lambda: slice(high, low, -2),
        lambda: slice(None),
        lambda: slice(0, 0),
        lambda: rng.integers(-length, length, int(rng.integers(0, 9))),
        lambda: rng.random(length) < 0.4,
        lambda: np.array([], dtype=int),
        lambda: xr.DataArray(rng.integers(0, length, (3, 1, 4)), dims=(f"{new}a", f"{new}b", f"{new}c")),
        lambda: xr.DataArray(rng.integers(-length, length, 4), dims=f"{new}c"),
    ][rng.integers(11)]()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(60))
def test_isel_of_anything_has_the_bits_of_a_run(seed, dtype):
    expected, got = run(dtype).relative_loss, opened(dtype).relative_loss
    rng = np.random.default_rng(seed)
    for new in "pq":  # an index of an index
        names = [name for name in expected.dims if rng.random() < 0.8]
        key = {name: random_indexer(rng, n, new) for name, n in expected.sizes.items() if name in names and n}
        got, expected = got.isel(key), expected.isel(key)
        if rng.random() < 0.3:
            got, expected = got.transpose(), expected.transpose()
    same(got, expected)


def test_sel_has_the_bits_of_a_run():
    expected, got = run("float32").relative_loss, opened("float32").relative_loss
    for key in (
        {"time": 20.0},
        {"time": slice(3.0, 7.0), "scaling_exponent": 0.057},
        {"fleet_size": [1e3, 1e8]},
    ):
        same(got.sel(key), expected.sel(key))
    near = {"time": [3.33, 0.0], "fleet_size": 12345.0}
    same(got.sel(near, method="nearest"), expected.sel(near, method="nearest"))


def test_interp_is_that_of_a_run():
    key = {"time": [1.234, 19.0, 25.0], "fleet_size": 5e6, "doubling_rate": 0.77}
    xr.testing.assert_equal(opened("float64").relative_loss.interp(key), run("float64").relative_loss.interp(key))


@pytest.mark.parametrize("chunks", [{}, "auto", 20, {"time": 31, "fleet_size": 7}])
def test_chunks_do_not_change_the_bits(chunks):
    chunked, expected = opened("float32", chunks=chunks), run("float32")
    assert chunked.relative_loss.chunks is not None
    same(chunked.relative_loss.compute(), expected.relative_loss)
    cut = {"time": slice(70, 2, -3), "fleet_size": [0, 40, 3]}
    same(chunked.relative_loss.isel(cut).compute(), expected.relative_loss.isel(cut))


def test_sum_of_a_chunked_dataset_is_that_of_a_run():
    chunked, expected = opened("float64", chunks={"time": 20}), run("float64")
    names = [*FORWARD, "total_cost"]
    xr.testing.assert_allclose(chunked[names].sum().compute(), expected[names].sum(), rtol=1e-12)


def test_preferred_chunks_are_of_the_size_of_a_block():
    chunked = open_lazily(ROOT / "configs" / "billion.toml", chunks={}).relative_loss
    assert 4e6 < np.prod([sides[0] for sides in chunked.chunks]) < 1.2e7


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("output", FORWARD)
def test_values_agree_with_the_oracle(output, dtype):
    dataset = open_lazily(make_spec((output,), CUBE, dtype=dtype))
    points = dataset.isel(pointwise(dataset.sizes, 400, 1))
    given = {name: np.full(400, value) for name, value in (REFERENCE | {"irreducible_share": 0.0}).items()}
    given |= {name: points[name].values for name in dataset.sizes} | {"scaling_exponent": np.full(400, 0.05)}
    arguments = [given[name] for name in cases.PARAMETERS[output]]
    ref = reference.values(output, arguments, np.dtype(dtype))
    cases.assert_within(output, cases.PARAMETERS[output], arguments, points[output].values, ref)


def test_large_requests_have_the_bits_of_points_and_flat_temporaries():
    variable = open_lazily(make_spec(axes=CUBE)).relative_loss
    cut = {"fleet_size": slice(17, 320), "doubling_rate": slice(9000, 5000, -13), "time": slice(1, 9001, 30)}
    tracemalloc.start()
    try:
        values = variable.isel(cut).values
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert values.shape == (303, 308, 300)
    assert peak < 1.5 * values.nbytes
    index = pointwise(dict(zip(variable.dims, values.shape, strict=True)), 50_000)
    expected = variable.isel(cut).isel(index).values
    np.testing.assert_array_equal(values[tuple(i for _, i in index.values())], expected)


def test_large_requests_of_a_long_axis_have_flat_temporaries():
    axes = {"time": {"start": 0.0, "stop": 20.0, "num": 10**9}}
    fixed = REFERENCE | {"fleet_size": 1e5, "doubling_rate": 0.5}
    variable = open_lazily(make_spec(axes=axes, fixed=fixed)).relative_loss
    tracemalloc.start()
    try:
        values = variable[slice(10**9, 0, -300)].variable.values
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * values.nbytes
    np.testing.assert_array_equal(values[[0, 1000, -1]], variable[[-1, -300_001, 99]].values)


def test_many_axes_have_the_bits_of_a_run():
    axes = {name: axis for name, axis in AXES.items() if name != "target"}
    axes |= {"reference_years": {"values": (0.2, 0.3, 1.0)}, "reference_fleet": {"values": (1e4, 2e4)}}
    spec = make_spec(axes=axes, fixed={})
    expected = sweep.run(spec).relative_loss
    same(open_lazily(spec).relative_loss, expected)
    cut = {name: slice(None, None, -1) for name in expected.dims}
    same(open_lazily(spec).relative_loss.isel(cut), expected.isel(cut))


def test_dataset_can_be_pickled_into_a_fresh_process():
    part = opened("float32").relative_loss.isel(time=slice(3, 30, 4))
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        there = pool.submit(np.asarray, part).result()
    np.testing.assert_array_equal(there, run("float32").relative_loss.isel(time=slice(3, 30, 4)))


@pytest.mark.parametrize(
    "duplicate",
    [lambda d: d.copy(), lambda d: d.copy(deep=True), copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))],
)
def test_copy_stays_lazy_and_has_the_same_bits(duplicate):
    dataset = open_lazily(make_spec(axes=CUBE))
    copied = duplicate(dataset)
    corner = pointwise(dataset.sizes, 20)
    same(copied.relative_loss.isel(corner), dataset.relative_loss.isel(corner))
    assert copied.sizes == dataset.sizes


def test_slice_can_be_plotted():
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    part = opened("float32").relative_loss.isel(scaling_exponent=0, doubling_rate=3).sel(fleet_size=1e8)
    (line,) = part.plot.line(x="time")
    np.testing.assert_array_equal(line.get_ydata(), run("float32").relative_loss[0, 3, -1])
    pyplot.close("all")


@pytest.mark.parametrize("ask", [lambda v: v.values, lambda v: v.load(), lambda v: v.compute(), lambda v: v.mean()])
def test_whole_of_a_huge_variable_is_refused_at_once(ask):
    variable = open_lazily(make_spec(axes=CUBE)).relative_loss
    began = time.perf_counter()
    with pytest.raises(sweep.SpecError, match=r"^relative_loss: asks for 4,000,000,000,000 bytes .*chunks=") as refusal:
        ask(variable)
    assert time.perf_counter() - began < 1.0
    assert "\n" not in str(refusal.value)


def test_half_of_the_memory_is_the_limit(monkeypatch):
    nbytes = run("float32").relative_loss.nbytes
    variable = opened("float32").relative_loss
    monkeypatch.setattr("sweep.plan.blocks.default_memory", lambda: nbytes - 1)
    with pytest.raises(sweep.SpecError, match=f"{nbytes:,} bytes"):
        variable.load()
    monkeypatch.setattr("sweep.plan.blocks.default_memory", lambda: nbytes)
    same(variable.load(), run("float32").relative_loss)


FIXED = REFERENCE | {"scaling_exponent": 0.05}


def test_opening_imports_no_jax_and_takes_neither_time_nor_memory():
    code = f"""
import sys, time, tracemalloc
import xarray as xr
import sweep
axes = {{name: sweep.Axis(**axis) for name, axis in {CUBE!r}.items()}}
spec = sweep.SweepSpec(loss="total", outputs=["relative_loss"], axes=axes, fixed={FIXED!r})
xr.open_dataset(spec, engine="sweep")
took = []
for _ in range(5):
    began = time.perf_counter()
    dataset = xr.open_dataset(spec, engine="sweep")
    took.append(time.perf_counter() - began)
assert dataset.relative_loss.size == 10**12
repr(dataset), dataset._repr_html_(), dataset.isel(time=3), dataset.sel(time=20.0)
tracemalloc.start()
xr.open_dataset(spec, engine="sweep")
print(min(took), tracemalloc.get_traced_memory()[1], "jax" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    seconds, nbytes, imported = done.stdout.split()
    assert float(seconds) < 0.05
    assert int(nbytes) < 4e6
    assert imported == "False"


# ---- long axes ------------------------------------------------------------------------------------------------------

LONG_AXES = {
    "fleet_size": {"start": 1e3, "stop": 1e8, "num": 10**9, "spacing": "log"},
    "doubling_rate": {"start": -1.0, "stop": 3.0, "num": 10**12},
    "time": {"values": (0.0, 10.0, 20.0)},
}


@pytest.mark.parametrize("name", ["fleet_size", "doubling_rate"])
def test_long_axis_finds_labels_without_being_in_memory(name):
    dataset, axis = open_lazily(make_spec(axes=LONG_AXES)), sweep.Axis(**LONG_AXES[name])
    index = np.random.default_rng(0).integers(1, len(axis) - 1, 1000)
    labels = axis.at(index)
    np.testing.assert_array_equal(dataset[name].sel({name: labels}), labels)
    np.testing.assert_array_equal(dataset[name].isel({name: index}), labels)
    between = (labels + axis.at(index + 1)) / 2 + (axis.at(index + 1) - labels) * 0.1
    nearest = dataset[name].sel({name: xr.DataArray(between, dims="p")}, method="nearest")
    np.testing.assert_array_equal(nearest, axis.at(index + 1))
    part = dataset[name].sel({name: slice(between[0], axis.at(index[:1] + 5000)[0])})
    np.testing.assert_array_equal(part, axis.at(index[0] + np.arange(1, 5001)))
    assert dataset.sel({name: slice(*sorted(labels[:2]))}).sizes[name] == abs(index[1] - index[0]) + 1
    with pytest.raises(KeyError, match="nearest"):
        dataset.sel({name: between[0]})


def test_values_on_long_axes_are_those_of_a_run_at_the_point():
    dataset = open_lazily(make_spec(axes=LONG_AXES, dtype="float64"))
    point = dataset.sel(fleet_size=54321.0, doubling_rate=0.7654321, method="nearest")
    fixed = {name: float(point[name]) for name in ("fleet_size", "doubling_rate")}
    np.testing.assert_allclose(float(point.fleet_size), 54321.0, rtol=1e-8)
    alone = sweep.run(make_spec(axes={"time": LONG_AXES["time"]}, fixed=REFERENCE | fixed, dtype="float64"))
    np.testing.assert_array_equal(point.relative_loss, alone.relative_loss)


@pytest.mark.parametrize("axis", [AXES["fleet_size"], AXES["time"]])
@pytest.mark.parametrize("step", [1, -1, 3, -4])
def test_long_axis_finds_what_pandas_finds(axis, step, monkeypatch):
    axis = sweep.Axis(**axis)
    monkeypatch.setattr(indexing, "LONG", 3)
    index = indexing.RangeIndex(axis, "x").isel({"x": slice(None, None, step)})
    assert isinstance(index, indexing.RangeIndex)
    ours = xr.Dataset(coords=xr.Coordinates.from_xindex(index)).x
    points = axis.coordinates()[::step]
    theirs = xr.DataArray(points, coords={"x": points})
    np.testing.assert_array_equal(ours, theirs)
    middle = (points[1:] + points[:-1]) / 2
    labels = np.concatenate([points, middle, points * 1.001, [axis.start / 2, axis.stop * 2]])
    for label in labels:
        for method in (None, "nearest", "pad", "backfill"):
            try:
                expected = float(theirs.sel(x=label, method=method))
            except KeyError:
                with pytest.raises(KeyError):
                    ours.sel(x=label, method=method)
            else:
                assert float(ours.sel(x=label, method=method)) == expected, (label, method)
    for low, high in np.random.default_rng(0).choice(labels, (60, 2)):
        ends = sorted((low, high), reverse=step < 0)
        np.testing.assert_array_equal(ours.sel(x=slice(*ends)), theirs.sel(x=slice(*ends)))
    for key in (slice(None), slice(2, None, -1), [1, -1], 0, xr.DataArray([[1, 2]], dims=("a", "b"))):
        np.testing.assert_array_equal(ours.isel(x=key), theirs.isel(x=key))
    for wrong in (np.nan, [points[0], np.nan], middle[0]):
        with pytest.raises(KeyError):
            ours.sel(x=wrong)
    with pytest.raises(KeyError):
        ours.sel(x=middle[0], method="nearest", tolerance=0.0)


def test_long_axes_align_rename_and_pickle():
    dataset = open_lazily(make_spec(axes=LONG_AXES))
    index = {"fleet_size": slice(0, 10**8, 3)}
    xr.align(dataset.isel(index), open_lazily(make_spec(axes=LONG_AXES)).isel(index), join="exact")
    renamed = pickle.loads(pickle.dumps(dataset.rename(fleet_size="n").isel(n=slice(None, None, -1)))).copy(deep=True)
    assert float(renamed.n[0]) == 1e8
    assert float(renamed.sel(n=1e3).n) == 1e3
    assert dataset.fleet_size.isel(index).attrs["units"] == "accelerators"
    assert "fleet_size" in repr(dataset.isel(index))
    with pytest.raises(sweep.SpecError, match="doubling_rate: asks for 8,000,000,000,000 bytes"):
        dataset.doubling_rate.load()


@pytest.mark.parametrize("spacing", ["linear", "log"])
@pytest.mark.parametrize("num", [75, 10**9 + 1, 10**12])
def test_axis_at_gives_the_bits_of_coordinates(spacing, num):
    axis = sweep.Axis(start=1e3, stop=1e8, num=num, spacing=spacing)
    start = (num - 1) // 2 - 30
    row = axis.coordinates(start, start + 61)
    index = np.arange(start, start + 61)
    np.testing.assert_array_equal(axis.at(index[::-2]), row[::-2])
    np.testing.assert_array_equal(axis.at(index.reshape(1, 61).T)[:, 0], row)
    np.testing.assert_array_equal([axis.at(np.array(i)) for i in index], row)
    np.testing.assert_array_equal([axis.coordinates(i, i + 1)[0] for i in index], row)
    assert (axis.at(np.array(0)), axis.at(np.array(num - 1))) == (1e3, 1e8)


# ---- models of one's own, and bad inputs ----------------------------------------------------------------------------


def slope(a, x):
    """Evaluate a line."""
    return a * x


LINE = sweep.Model(
    name="line",
    equation="y = a x",
    source="school",
    assumptions="none",
    parameters=(sweep.Parameter("a", "slope", "m/s"), sweep.Parameter("x", "duration", "s")),
    quantities=(sweep.Quantity("y", "distance", "m", slope),),
)


def test_model_of_ones_own_opens_and_pickles():
    axes = {"a": sweep.Axis(values=[1.0, 2.0, 5.0]), "x": sweep.Axis(start=0.0, stop=3.0, num=40)}
    spec = sweep.SweepSpec(model="line", outputs=["y"], axes=axes)
    for dataset in (open_lazily(spec, model=LINE), pickle.loads(pickle.dumps(open_lazily(spec, model=LINE)))):
        xr.testing.assert_equal(dataset, sweep.run(spec, model=LINE))
    with pytest.raises(sweep.SpecError, match='unknown model "line"'):
        open_lazily(spec)


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        (None, {}, r"c\.toml: cannot be read: No such file"),
        ("model = ", {}, r"c\.toml: is not valid TOML"),
        (
            "outputs = ['relative_loss']\nloss = 'total'\n[axes]\ntime = {values = [1]}",
            {},
            r"c\.toml: fleet_size: is m",
        ),
        ("outputs = ['y']\nmodel = 'cat'\n[axes]\ntime = {values = [1]}", {}, r'c\.toml: unknown model "cat"'),
        ("outputs = ['y']\n[axes]\ntime = {values = [1]}", {"dtype": "int8"}, r'dtype: must be .*, got "int8"'),
    ],
)
def test_bad_configs_are_refused_in_one_line(content, settings, message, tmp_path):
    path = tmp_path / "c.toml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(sweep.SpecError, match=message):
        open_lazily(path, **settings)


def test_what_is_no_config_is_refused():
    with pytest.raises(sweep.SpecError, match="opens the path of a config, a SweepSpec or a Problem, got bytes"):
        open_lazily(b"CDF")


def test_index_out_of_range_is_refused():
    with pytest.raises(IndexError):
        opened("float32").relative_loss.isel(time=75).load()
    with pytest.raises(IndexError):
        opened("float32").relative_loss.variable[0, 0, [41], 0].load()


def test_caveats_warn_at_the_call():
    spec = make_spec(axes=AXES | {"scaling_exponent": {"values": (0.05, 0.154)}})
    with pytest.warns(UserWarning, match=r"0\.154.*total") as found:
        xr.open_dataset(spec, engine="sweep")
    assert [w.filename for w in found] == [__file__]


def test_dropped_variables_are_left_out():
    assert "energy" not in opened("float32", drop_variables="energy")
    left = opened("float32", drop_variables=["energy", "time", "nothing"])
    assert "energy" not in left and "time" not in left.coords and left.sizes["time"] == 75


def test_engine_is_guessed_for_configs_alone():
    assert xr.open_dataset(ROOT / "configs" / "billion.toml").relative_loss.size == 10**9
    guess = backend.SweepBackend().guess_can_open
    assert [guess(x) for x in ("a.toml", Path("a.toml"), "a.nc", b"a.toml", None)] == [True, True, False, False, False]


def test_open_dataset_of_statistics_shows_the_values_they_are_taken_of():
    mean = sweep.Statistic(statistic="mean", output="relative_loss", over=["time"])
    spec = make_spec(("relative_loss",))
    xr.testing.assert_identical(
        xr.open_dataset(spec.model_copy(update={"statistics": {"mean": mean}}), engine="sweep"),
        xr.open_dataset(spec, engine="sweep"),
    )
