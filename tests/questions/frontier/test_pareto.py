"""Frontiers of sweeps: against brute force over all points, from every kind of source, however they are cut."""

import dataclasses
import itertools
import json
import tracemalloc

import jax.numpy as jnp
import moocore
import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

import sweep
from sweep.cli.main import main
from sweep.models.model import Model
from sweep.models.parameters import Domain, Parameter
from sweep.plan.blocks import FIXED_BYTES
from sweep.questions.frontier import frontier, pieces, running_front, sources, thinning, tiles
from sweep.report.frontier_figure import plot_frontier

LITTLE = FIXED_BYTES + 10**6  # a budget that cuts a sweep into many blocks


def make_spec(**changes):
    given = {
        "loss": "total",
        "outputs": ["relative_loss", "total_cost"],
        "axes": {
            "doubling_rate": sweep.Axis(values=[0.0, 0.5, 2.35]),
            "fleet_size": sweep.Axis(start=1e3, stop=1e8, num=37, spacing="log"),
            "time": sweep.Axis(start=0.0, stop=20.0, num=41),
        },
        "fixed": {"scaling_exponent": 0.05, "reference_fleet": 16384.0, "reference_years": 0.244353},
    }
    return sweep.SweepSpec(**{**given, **changes})


def _objectives(where):
    """Objectives with ties, NaN and infinities, on whole numbers."""
    functions = {
        "a": lambda u, v, w: jnp.floor(3.0 * u * (2.0 - w) + v),
        "b": lambda u, v, w: jnp.where(u + v > 3.9, jnp.inf, jnp.floor(8.0 - 2.0 * v + w)),
        "c": lambda u, v, w: jnp.where((u > 0.4) & (u < 0.6), jnp.nan, jnp.floor(4.0 * jnp.cos(u * v) + w)),
    }
    return tuple(sweep.Quantity(name, f"objective {name}", "s", f, where) for name, f in functions.items())


TOY = Model(
    name="toy",
    equation="floor",
    source="this test",
    assumptions="none",
    parameters=tuple(Parameter(name, f"the {name}", "m", Domain()) for name in "uvw"),
    quantities=_objectives("apart"),
)
STAGED = dataclasses.replace(TOY, quantities=_objectives("device"))  # reduced in tiles where it is evaluated
TOY_SPEC = sweep.SweepSpec(
    model="toy",
    outputs=["a", "b", "c"],
    axes={
        "u": sweep.Axis(start=0.0, stop=2.0, num=21),
        "v": sweep.Axis(start=0.0, stop=2.0, num=19),
        "w": sweep.Axis(values=[0.0, 1.0, 2.0]),
    },
)


def brute(dataset, minimise=(), maximise=(), holds=None, by=(), keep_weakly=False, where=""):
    """Places in the grid of the points on each frontier, by comparing all with all."""
    names = (*minimise, *maximise)
    touched = {*names, *by, *(n for n in dataset.variables if n in where.split())}
    used = [dim for dim in dataset.dims if any(dim == n or dim in dataset[n].dims for n in touched)]
    full = xr.broadcast(*(dataset[dim] for dim in used))[0]
    columns = {n: dataset[n].broadcast_like(full).transpose(*used).values.ravel() for n in touched}
    allowed = np.ones(full.size, bool) if holds is None else holds(columns)
    points = np.stack([columns[n] * (-1.0 if n in maximise else 1.0) for n in names], axis=1).astype(float)
    groups = np.stack([columns[n] for n in by], axis=1) if by else np.zeros((len(points), 1))
    candidates = np.flatnonzero(allowed & ~np.isnan(points).any(axis=1))
    found = []
    for group in np.unique(groups, axis=0):
        among = candidates[(groups[candidates] == group).all(axis=1)]
        p = points[among]
        for i, place in enumerate(among):
            dominates = (p <= p[i]).all(axis=1) & (p < p[i]).any(axis=1)
            earlier = (p[:i] == p[i]).all(axis=1).any() and not keep_weakly
            if not dominates.any() and not earlier:
                found.append(place)
    return sorted(found)


def places(found, dataset):
    dims = [dim for dim in dataset.dims if f"{dim}_index" in found]
    index = [found[f"{dim}_index"].values for dim in dims]
    return sorted(np.ravel_multi_index(index, [dataset.sizes[dim] for dim in dims]).tolist())


@pytest.fixture(scope="module")
def computed():
    return sweep.run(make_spec())


@pytest.fixture(scope="module")
def toy():
    return sweep.run(TOY_SPEC, model=TOY)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("pareto") / "out.zarr"
    sweep.run(make_spec(), store=path)
    return path


QUESTIONS = {
    "loss and cost": {"minimise": ("relative_loss", "total_cost")},
    "by rate": {"minimise": ("relative_loss", "total_cost"), "by": ("doubling_rate",)},
    "an axis": {"minimise": ("relative_loss", "fleet_size")},
    "maximise": {"minimise": ("total_cost",), "maximise": ("relative_loss", "time")},
    "three by rate": {"minimise": ("relative_loss", "total_cost", "time"), "by": ("doubling_rate",)},
    "haste": {
        "minimise": ("time", "total_cost"),
        "by": ("doubling_rate",),
        "holds": lambda c: (c["relative_loss"] <= 0.7) & (c["total_cost"] > 2e8),
        "where": "relative_loss <= 0.7 and total_cost > 2e8",
    },
    "one objective": {"minimise": ("total_cost",), "holds": lambda c: c["time"] >= 3, "where": "time >= 3"},
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_frontier_is_that_of_brute_force(name, computed):
    asked = dict(QUESTIONS[name])
    holds = asked.pop("holds", None)
    found = sweep.frontier(make_spec(), **asked)
    assert places(found, computed) == brute(computed, holds=holds, **asked)
    # Values are those of the grid, and the axes those of the index.
    dims = [dim for dim in computed.dims if f"{dim}_index" in found]
    at = {dim: found[f"{dim}_index"] for dim in dims}
    for variable in ("relative_loss", "total_cost", *dims):
        if variable in found:
            there = computed[variable].isel({d: at[d] for d in computed[variable].dims})
            np.testing.assert_array_equal(found[variable].values, there.values)


TOY_QUESTIONS = [
    {"minimise": ("a", "b")},
    {"minimise": ("a", "b", "c")},
    {"minimise": ("b",), "maximise": ("a", "c")},
    {"maximise": ("a", "b"), "by": ("w",)},
    {"minimise": ("c",)},
    {"minimise": ("a", "b", "c", "u", "v", "w")},
]


@pytest.mark.parametrize("model", [TOY, STAGED], ids=["whole", "staged"])
@pytest.mark.parametrize("keep_weakly", [False, True])
@pytest.mark.parametrize("asked", TOY_QUESTIONS, ids=str)
def test_frontier_of_ties_and_values_that_are_not_finite_is_that_of_brute_force(asked, keep_weakly, model, toy):
    found = sweep.frontier(TOY_SPEC, model=model, keep_weakly=keep_weakly, **asked)
    assert places(found, toy) == brute(toy, keep_weakly=keep_weakly, **asked)


@pytest.mark.parametrize("model", [TOY, STAGED], ids=["whole", "staged"])
@pytest.mark.parametrize("where", ["a < 3", "a <= 2 and u > 0.5", "b >= 6 and c < 3 and v <= 1.25"])
def test_frontier_under_conditions_is_that_of_brute_force(where, model, toy):
    found = sweep.frontier(TOY_SPEC, model=model, minimise=["a", "b"], where=where)

    def holds(columns):
        return eval(where.replace(" and ", ") & (").join("()"), {}, columns)

    assert places(found, toy) == brute(toy, ("a", "b"), holds=holds, where=where)
    allowed = holds({n: toy[n].broadcast_like(toy.a).transpose(*toy.a.dims).values for n in toy.variables})
    assert found.attrs["points_feasible"] == int(allowed.sum())


GRIDS = {
    "one axis": {"time": 131},
    "two": {"fleet_size": 45, "time": 37},
    "two, short": {"fleet_size": 3, "time": 1},
    "three, one short": {"time": 70, "doubling_rate": 1, "fleet_size": 19},
    "four": {"scaling_exponent": 3, "time": 10, "doubling_rate": 5, "fleet_size": 21},
    "five": {"pue": 2, "fleet_size": 5, "scaling_exponent": 3, "time": 11, "doubling_rate": 5},
}
ENDS = {"fleet_size": (1e3, 1e8), "time": (0.1, 20.0), "doubling_rate": (0.1, 2.35), "scaling_exponent": (0.04, 0.06)}
ENDS |= {"pue": (1.1, 1.5)}
GRID_QUESTIONS = {
    "plain": {"minimise": ("relative_loss", "total_cost")},
    "condition": {"minimise": ("total_cost",), "maximise": ("time",), "where": "relative_loss < 0.8 and time > 0.2"},
    "all that changes": {"minimise": ("relative_loss", "time"), "where": "relative_loss > 0.4"},
}


@pytest.mark.parametrize("asked", GRID_QUESTIONS)
@pytest.mark.parametrize("grid", GRIDS)
def test_frontier_of_any_number_of_axes_is_that_of_brute_force(grid, asked):
    axes = {
        name: sweep.Axis(start=ENDS[name][0], stop=ENDS[name][1], num=n, spacing="log")
        if n > 1
        else sweep.Axis(values=[ENDS[name][1]])
        for name, n in GRIDS[grid].items()
    }
    usual = {"fleet_size": 1e6, "time": 4.0, "doubling_rate": 0.9, "scaling_exponent": 0.05}
    fixed = {name: value for name, value in {**make_spec().fixed, **usual}.items() if name not in axes}
    dtype, question = "float32" if len(axes) % 2 else "float64", GRID_QUESTIONS[asked]
    spec = make_spec(axes=axes, fixed=fixed, dtype=dtype)
    dataset = sweep.run(spec)
    where = question.get("where", "")
    holds = (lambda columns: eval(where.replace(" and ", ") & (").join("()"), {}, columns)) if where else None
    found = sweep.frontier(spec, **question)
    assert places(found, dataset) == brute(dataset, **{"holds": holds, **question})
    if where:
        share = holds({name: dataset[name] for name in ("relative_loss", "time")}).mean().item()
        assert found.attrs["points_feasible"] == round(share * found.attrs["points_considered"])


def test_where_compares_as_float64_would(computed):
    least = float(computed.relative_loss.min())
    between = float(np.nextafter(least, 0))  # below it, but not in float32
    assert sweep.frontier(computed, minimise="time", where=f"relative_loss <= {between!r}").sizes["point"] == 0
    assert sweep.frontier(computed, minimise="time", where=f"relative_loss <= {least!r}").sizes["point"] == 1


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("kind", ["memory", "path", "store", "lazy", "config"])
def test_frontier_is_the_same_from_every_source(kind, name, computed, store, tmp_path):
    asked = {key: value for key, value in QUESTIONS[name].items() if key != "holds"}
    config = tmp_path / "c.toml"
    config.write_text(_toml(make_spec()))
    sources = {
        "memory": computed,
        "path": store,
        "store": xr.open_zarr(store),
        "lazy": xr.open_dataset(make_spec(), engine="sweep"),
        "config": config,
    }
    found, expected = sweep.frontier(sources[kind], **asked), sweep.frontier(make_spec(), **asked)
    xr.testing.assert_equal(found, expected)
    assert found.attrs["fingerprint"] == expected.attrs["fingerprint"]
    assert {n: v.attrs for n, v in found.variables.items()} == {n: v.attrs for n, v in expected.variables.items()}


def _toml(spec):
    axes = {name: axis.canonical() for name, axis in spec.axes.items()}
    lines = ['loss = "total"', f"outputs = {json.dumps(spec.outputs)}"]
    for name, axis in axes.items():
        lines += [f"[axes.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in axis.items())]
    lines += ["[fixed]", *(f"{name} = {fixed.value}" for name, fixed in spec.fixed.items())]
    return "\n".join(lines)


@pytest.mark.parametrize("name", ["by rate", "haste", "maximise"])
def test_frontier_does_not_depend_on_how_it_is_cut(name, computed, monkeypatch):
    asked = {key: value for key, value in QUESTIONS[name].items() if key != "holds"}
    axes = make_spec().axes | {"time": sweep.Axis(start=0.0, stop=20.0, num=1001)}
    spec = make_spec(axes=axes)
    expected = sweep.frontier(spec, **asked)
    steps = []
    monkeypatch.setattr(tiles, "POINTS", 2**12)
    small = sweep.frontier(spec, memory=LITTLE, progress=steps.append, **asked)
    assert len(steps) > 3
    assert steps[-1].points == steps[-1].total_points
    xr.testing.assert_identical(small, expected)
    whole = sweep.run(spec)
    for sides, points in (({1: (7,), 2: (2, 5), 3: (3, 2, 5)}, 5000), ({1: (1,), 2: (1, 1), 3: (1, 1, 1)}, 3333)):
        monkeypatch.setattr(pieces, "TILE", sides)
        monkeypatch.setattr(tiles, "SIDES", (2, 3, 5))
        monkeypatch.setattr(running_front, "BUFFER", 50)
        monkeypatch.setattr(running_front, "TOGETHER", 60)
        monkeypatch.setattr(sources, "READ_POINTS", points)
        xr.testing.assert_equal(sweep.frontier(whole, **asked), expected)
        xr.testing.assert_equal(sweep.frontier(spec, **asked), expected)


def test_frontier_evaluates_what_a_spec_does_not_name():
    narrow = make_spec(outputs=["relative_loss"])
    asked = {"minimise": ["capital_cost", "relative_loss"]}
    found = sweep.frontier(narrow, **asked)
    wide = sweep.run(make_spec(outputs=["relative_loss", "capital_cost"]))
    xr.testing.assert_equal(found, sweep.frontier(wide, **asked))


def test_frontier_leaves_out_axes_that_nothing_depends_on(computed):
    found = sweep.frontier(computed, minimise=["total_cost"], maximise=["time"])
    assert "doubling_rate" not in found.coords
    assert found.attrs["points_considered"] == computed.sizes["fleet_size"] * computed.sizes["time"]


@pytest.mark.filterwarnings("ignore:target down to 0.2 with a doubling_rate of -1")
def test_frontier_of_times_that_are_infinite_keeps_the_cheapest():
    axes = {"fleet_size": sweep.Axis(values=[1.0, 1e3, 1e6]), "target": sweep.Axis(values=[0.2, 0.5])}
    fixed = {"scaling_exponent": 0.05, "doubling_rate": -1.0, "reference_fleet": 1.0, "reference_years": 1.0}
    spec = make_spec(outputs=["time_to_target", "capital_cost"], axes=axes, fixed=fixed)
    found = sweep.frontier(spec, minimise=["time_to_target", "capital_cost"], by="target")
    assert np.isinf(found.time_to_target.values).any()
    assert places(found, sweep.run(spec)) == brute(sweep.run(spec), ("time_to_target", "capital_cost"), by=("target",))


def test_frontier_is_sorted_by_frontier_and_then_the_objectives():
    found = sweep.frontier(make_spec(), minimise=["total_cost"], maximise=["relative_loss"], by="doubling_rate")
    order = np.lexsort((-found.relative_loss, found.total_cost, found.doubling_rate))
    assert order.tolist() == list(range(found.sizes["point"]))


def test_frontier_says_what_it_is():
    found = sweep.frontier(make_spec(), minimise="time", maximise="relative_loss", where="time <=  5", by="fleet_size")
    assert all({"units", "long_name"} <= set(v.attrs) for v in found.variables.values())
    told = {"minimised": "time", "maximised": "relative_loss", "where": "time <= 5", "by": "fleet_size"}
    assert told.items() <= found.attrs.items()
    assert {"spec", "fingerprint", "device", "caveats", "points_considered", "points_feasible"} <= set(found.attrs)
    assert found.attrs["points_nondominated"] == found.sizes["point"]


@pytest.mark.parametrize("m", [1, 2, 3, 5])
def test_thinned_keeps_what_it_guarantees(m):
    rng = np.random.default_rng(m)
    directions = np.abs(rng.standard_normal((500, m)))
    points = thinning.normalised(1 - directions / np.linalg.norm(directions, axis=1, keepdims=True), (False,) * m)
    chosen, epsilon = thinning.thinned(points, 20, (17,))
    achieved = max(min(max(c - p) for c in points[chosen]) for p in points)
    assert epsilon == pytest.approx(max(0.0, achieved), abs=0)
    assert len(chosen) <= 20
    assert 17 in chosen
    assert all(points[chosen, j].min() == points[:, j].min() for j in range(m))
    assert epsilon <= {1: 0.0, 2: 0.06, 3: 0.25, 5: 0.6}[m]


def test_most_keeps_so_many_of_each_frontier_and_says_how_well():
    asked = {"minimise": ["relative_loss", "total_cost"], "by": "doubling_rate"}
    whole, few = sweep.frontier(make_spec(), **asked), sweep.frontier(make_spec(), most=6, **asked)
    assert np.unique(few.doubling_rate, return_counts=True)[1].tolist() == [6, 6, 6]
    assert few.attrs["points_nondominated"] == whole.sizes["point"]
    worst = 0.0
    logs = tuple(thinning.is_logarithmic(whole[name].values) for name in asked["minimise"])
    for rate in np.unique(whole.doubling_rate):
        mine = np.flatnonzero(whole.doubling_rate == rate)
        points = thinning.normalised(np.stack([whole[n].values[mine] for n in asked["minimise"]], axis=1), logs)
        kept = few.isel(point=np.flatnonzero(few.doubling_rate == rate))
        is_kept = np.isin(whole.total_cost.values[mine], kept.total_cost)
        worst = max(worst, *(min(max(c - p) for c in points[is_kept]) for p in points))
        assert kept.is_knee.sum() == 1
    assert few.attrs["epsilon"] == pytest.approx(worst, abs=0)


def test_knee_is_farthest_below_the_chord():
    x = np.linspace(0, 1, 101)
    points = np.stack([x, (1 - np.sqrt(x)) ** 2], axis=1)
    assert thinning.knee(points) == 25
    assert thinning.knee(np.stack([x, 1 - x**2], axis=1)) is None
    assert thinning.knee(points[:2]) is None


def test_normalised_takes_logarithms_of_decades_and_puts_infinity_beyond():
    points = np.array([[1.0, -1e4], [100.0, -1e2], [np.inf, -1.0]])
    logs = tuple(thinning.is_logarithmic(column) for column in (points[:, 0], -points[:, 1]))
    assert logs == (False, True)
    np.testing.assert_allclose(thinning.normalised(points, logs), [[0, 0], [1, 0.5], [2, 1]])


def test_hypervolume_is_that_of_moocore():
    reference = {"relative_loss": 1.0, "total_cost": 1e13}
    asked = {"minimise": list(reference), "by": "doubling_rate"}
    found = sweep.frontier(make_spec(), hypervolume=reference, **asked)
    for rate in np.unique(found.doubling_rate):
        one = found.isel(point=np.flatnonzero(found.doubling_rate == rate))
        points = np.stack([one[name].values for name in reference], axis=1).astype(float)
        whole = moocore.hypervolume(points, ref=list(reference.values()))
        assert set(one.hypervolume.values) == {whole}
        i = len(points) // 2
        lost = whole - moocore.hypervolume(np.delete(points, i, axis=0), ref=list(reference.values()))
        assert one.hypervolume_contribution.values[i] == pytest.approx(lost, rel=1e-9, abs=8 * np.spacing(whole))


def test_hypervolume_without_moocore_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "moocore", None)
    with pytest.raises(ImportError, match=r"relative-loss-sweep\[pareto\]"):
        sweep.frontier(make_spec(), minimise=["time", "relative_loss"], hypervolume={"time": 1, "relative_loss": 1})


BAD = {
    "no objective": ({}, "give 1 to 6 names"),
    "seven": ({"minimise": list("abcdefg")}, "got 7"),
    "unknown": (
        {"minimise": ["relative_los"]},
        'objective: unknown output or axis "relative_los"; did you mean relati',
    ),
    "twice": ({"minimise": ["time", "relative_loss"], "maximise": ["time"]}, "time is given twice"),
    "fixed": ({"minimise": ["scaling_exponent"]}, "scaling_exponent is fixed at 0.05"),
    "axes only": ({"minimise": ["time", "fleet_size"]}, "time, fleet_size are axes"),
    "where": ({"minimise": ["relative_loss"], "where": "time < x"}, "where: must be comparisons"),
    "subnormal": (
        {"minimise": ["relative_loss"], "where": "relative_loss > 1e-40"},
        "1e-40 is nearer to 0 than float32",
    ),
    "where name": ({"minimise": ["relative_loss"], "where": "tim < 3"}, "did you mean time"),
    "by unknown": ({"minimise": ["relative_loss"], "by": "rate"}, "by: unknown axis"),
    "by idle": ({"minimise": ["total_cost"], "by": "doubling_rate"}, "conditions depend on doubling_rate"),
    "by twice": ({"minimise": ["relative_loss"], "by": ["time", "time"]}, "by: time is given twice"),
    "by objective": ({"minimise": ["relative_loss", "time"], "by": ["time"]}, "by: time is an objective"),
    "most": ({"minimise": ["relative_loss", "time"], "most": 2}, "most: must be at least 3"),
    "reference": ({"minimise": ["relative_loss", "time"], "hypervolume": {"time": 1}}, "needs a reference for each"),
    "memory": ({"minimise": ["relative_loss"], "memory": 10}, "memory: 10 bytes"),
}


@pytest.mark.parametrize("name", BAD)
def test_frontier_refuses_in_one_line(name):
    asked, line = BAD[name]
    with pytest.raises(sweep.SpecError, match=line) as caught:
        sweep.frontier(make_spec(), **asked)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "more", "line"),
    [
        (xr.Dataset({"a": ("x", [1.0])}, {"x": [1]}), {}, 'no attribute "spec"'),
        (7, {}, "must be a SweepSpec, a Dataset or a path, got int"),
        (xr.Dataset({"a": ("x", [1.0])}, {"x": [1]}, {"spec": "{}"}), {"model": TOY}, "model: belongs to a spec"),
        (xr.Dataset({"a": ("x", [1.0])}, attrs={"spec": "{}"}), {}, "dimension x of a has no values"),
        ("nowhere.zarr", {}, "does not exist"),
        ("nowhere.toml", {}, "cannot be read"),
        (make_spec(model="other"), {}, 'unknown model "other"'),
    ],
)
def test_frontier_refuses_a_source_that_it_cannot_read(source, more, line):
    with pytest.raises((sweep.SpecError, sweep.StoreError), match=line):
        sweep.frontier(source, minimise="a", **more)


def test_frontier_refuses_a_store_that_is_not_complete(tmp_path):
    def stop(now):
        if now.blocks:
            raise KeyboardInterrupt

    axes = make_spec().axes | {"time": sweep.Axis(start=0.0, stop=20.0, num=4001)}
    with pytest.raises(KeyboardInterrupt):
        sweep.run(make_spec(axes=axes), store=tmp_path / "s.zarr", memory=LITTLE, progress=stop)
    with pytest.raises(sweep.SpecError, match="blocks are not computed yet"):
        sweep.frontier(tmp_path / "s.zarr", minimise="relative_loss")


def test_frontier_that_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(running_front, "MOST_POINTS", 100)
    with pytest.raises(sweep.SpecError, match=r"at most 100 fit: .*drop an objective, add a condition or take shorter"):
        sweep.frontier(make_spec(), minimise=["relative_loss", "total_cost", "time"])


def _on_a_front(objectives, count, dtype, seed):
    """Points of which none dominates another: on a plane, where one is less in something as it is more in another."""
    points = np.random.default_rng(seed).integers(1, 2**18, (count, objectives)).astype(dtype)
    points[:, -1] = objectives * 2**18 - points[:, :-1].sum(axis=1)
    return points


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("objectives", "left"), [(2, 2**26), (3, 2**26), (4, 2**23)])
def test_fronts_that_do_not_fit_are_refused_before_they_take_more_memory(objectives, left, dtype):
    room = running_front.room_of(2 * left, left, objectives, objectives, 1, np.dtype(dtype).itemsize)
    front = running_front.Front(objectives, True, np.zeros((0, objectives), dtype), room)
    room.fronts.append(front)
    tracemalloc.start()
    try:
        with pytest.raises(sweep.SpecError, match=f"memory: .* at most {room.most:,} fit into .*give more memory"):
            for number in range(room.most):
                batch = _on_a_front(objectives, 1 + room.most // 50, dtype, number)
                front.add(batch, np.arange(len(batch)) + number * len(batch))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert room.points > room.most // 2
    assert peak < left


def test_fronts_share_their_room_and_what_waits_counts(monkeypatch):
    monkeypatch.setattr(running_front, "BUFFER", 10**6)  # nothing is filtered but for want of room
    room, rng = running_front.Room(10**6, 400, 1, 0), np.random.default_rng(0)
    found = [running_front.Front(2, True, np.zeros((0, 2)), room) for _ in range(5)]
    room.fronts += found
    points = rng.random((5, 40, 20, 2))
    for batch in range(40):
        for front, own in zip(found, points[:, batch], strict=True):
            front.add(own, np.arange(20) + 20 * batch)
            assert room.points <= room.most
    for front, own in zip(found, points.reshape(5, -1, 2), strict=True):
        front.settle()
        beaten = (own[:, None] > own).all(axis=2).any(axis=1)  # no two of these are equal anywhere
        np.testing.assert_array_equal(front.places, np.flatnonzero(~beaten))
    assert room.points == sum(len(front.places) for front in found)


@pytest.mark.parametrize("source", ["spec", "dataset"])
@pytest.mark.parametrize("more", [{}, {"by": "doubling_rate"}])
def test_frontier_larger_than_its_budget_is_refused_in_one_line(monkeypatch, source, more):
    monkeypatch.setattr(frontier, "LEAST_LEFT", 2**21)
    monkeypatch.setattr(running_front, "BUFFER", 2**10)
    times = sweep.Axis(start=0.1, stop=20.0, num=8000)
    fixed = {"scaling_exponent": 0.05, "fleet_size": 1.0, "reference_fleet": 1.0, "reference_years": 1.0}
    axes = {"doubling_rate": sweep.Axis(values=[0.5, 2.35]), "time": times}
    spec = make_spec(outputs=["relative_loss"], dtype="float64", axes=axes, fixed=fixed)
    asked = {"minimise": ["time", "relative_loss"], "where": "doubling_rate > 0"} | more
    given = spec if source == "spec" else sweep.run(spec)
    with pytest.raises(sweep.SpecError, match=r"memory: the frontier has .* drop an objective") as refused:
        sweep.frontier(given, memory=LITTLE, **asked)
    assert "\n" not in str(refused.value)
    enough = sweep.frontier(given, **asked)
    assert enough.attrs["points_nondominated"] == len(enough.point) == (16000 if more else 8000)


def _run(*arguments):
    return CliRunner().invoke(main, ["frontier", *map(str, arguments)])


HASTE = ("--minimise", "time", "--minimise", "total_cost", "--where", "relative_loss <= 0.6")


def test_command_prints_a_table_with_units(store):
    result = _run(store, *HASTE, "--by", "doubling_rate", "--most", 4)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0].split() == ["doubling_rate", "time", "total_cost", "relative_loss", "fleet_size"]
    assert lines[1].split() == ["1/year", "years", "USD", "accelerators"]
    assert len(lines) == 3 + 3 * 4 + 1
    assert "knee" in result.output
    assert "none left out is better by more than" in lines[-2]
    assert lines[-1].startswith("reference: own: 16,384 accelerators")


def test_command_writes_figure_and_file(store, tmp_path):
    result = _run(store, *HASTE, "--most", 0, "-o", tmp_path / "f.png", "--netcdf", tmp_path / "f.nc")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "f.png").stat().st_size > 10_000
    asked = {"minimise": ["time", "total_cost"], "where": "relative_loss <= 0.6"}
    with xr.open_dataset(tmp_path / "f.nc", engine="h5netcdf") as found:
        xr.testing.assert_equal(found.load(), sweep.frontier(store, **asked))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("nowhere.zarr", *HASTE), "does not exist"),
        (("nowhere.toml", *HASTE), "cannot be read"),
        ((__file__, *HASTE), "neither a store"),
        (("x.zarr", "--most", -1), "--most"),
        (("x.zarr", *HASTE, "-o", "f.gif"), ".png, .svg or .pdf"),
    ],
)
def test_command_refuses_in_one_line(arguments, line):
    result = _run(*arguments)
    assert result.exit_code == 2
    assert line in result.output
    assert result.output.count("\n") == 1


@pytest.mark.parametrize(
    ("names", "panels"), [(("relative_loss", "time"), 1), (("relative_loss", "time", "total_cost"), 3)]
)
def test_plot_frontier_draws_each_two_objectives(names, panels):
    figure = plot_frontier(sweep.frontier(make_spec(), minimise=names, by="doubling_rate", most=20))
    assert len(figure.axes) == panels
    pairs = [(axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes]
    words = {"relative_loss": "loss relative", "time": "time since", "total_cost": "price of"}
    for found, expected in zip(pairs, itertools.combinations(names, 2), strict=True):
        assert [text.startswith(words[name]) for text, name in zip(found, expected, strict=True)] == [True, True]
    texts = [text.get_text() for text in figure.axes[-1].get_legend().get_texts()]
    assert texts[:3] == ["0 per year", "0.5 per year", "2.35 per year"]


def test_plot_frontier_refuses_one_objective_and_other_datasets(computed):
    with pytest.raises(sweep.SpecError, match="2 or 3 objectives, this one has 1"):
        plot_frontier(sweep.frontier(computed, minimise="relative_loss"))
    with pytest.raises(sweep.SpecError, match='give one of the kind "frontier"'):
        plot_frontier(computed)
