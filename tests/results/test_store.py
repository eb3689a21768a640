"""Stores: what describes one, what is damaged and how large it gets."""

import json
import os
import shutil
from pathlib import Path

import jax.numpy as jnp
import pytest

import sweep
from sweep.config.axis import Axis
from sweep.config.spec import SweepSpec
from sweep.errors import SpecError, StoreError
from sweep.models.model import Model
from sweep.models.parameters import Parameter
from sweep.models.problem import Problem
from sweep.models.quantity import Quantity
from sweep.plan.blocks import FIXED_BYTES, make_plan
from sweep.results import manifest, netcdf
from sweep.results.faults import refuse_wrong_coordinates

# Values that no compressor makes smaller, and one output that does not depend on x.
NOISE = Model(
    name="noise",
    equation="y = frac(1e4 sin(1e3 x + z))",
    source="a test",
    assumptions="none",
    parameters=(Parameter("x", "place", "m"), Parameter("z", "phase", "1")),
    quantities=(
        Quantity("y", "noise", "1", lambda x, z: jnp.sin(1e3 * x + z) * 1e4 % 1),
        Quantity("w", "some noise", "1", lambda z: jnp.sin(1e3 * z) * 1e4 % 1),
    ),
)
SPEC = SweepSpec(
    model="noise",
    outputs=("y", "w"),
    axes={"x": Axis(start=0.0, stop=1.0, num=37), "z": Axis(start=0.0, stop=1.0, num=1601)},
)
MEMORY = FIXED_BYTES + 600_000


@pytest.fixture
def store(tmp_path: Path) -> Path:
    sweep.run(SPEC, model=NOISE, store=tmp_path / "out.zarr", memory=MEMORY)
    return tmp_path / "out.zarr"


def plan():
    return make_plan(SPEC.shape, Problem.of(SPEC, NOISE).variables, itemsize=4, memory=MEMORY)


def edit(path: Path, change) -> None:
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))


DAMAGES = {
    "array_missing": ("x/zarr.json", Path.unlink, "x/zarr.json: No such file or directory"),
    "array_empty": ("w/zarr.json", lambda path: path.write_text(""), "Expecting value"),
    "array_not_text": ("w/zarr.json", lambda path: path.write_bytes(b"\xff\xfe\x00"), "decode"),
    "array_a_list": ("w/zarr.json", lambda path: path.write_text("[]"), "list"),
    "shape_missing": ("x/zarr.json", lambda path: edit(path, lambda found: found.pop("shape")), "no shape"),
    "shape_empty": ("x/zarr.json", lambda path: edit(path, lambda found: found.update(shape=[])), "index"),
    "shape_other": (
        "y/zarr.json",
        lambda path: edit(path, lambda found: found.update(shape=[1, 2])),
        "differ in shape",
    ),
    "dims_missing": (
        "y/zarr.json",
        lambda path: edit(path, lambda found: found.pop("dimension_names")),
        "no dimension_names",
    ),
    "dims_unknown": (
        "y/zarr.json",
        lambda path: edit(path, lambda found: found.update(dimension_names=["x", "q"])),
        "no q",
    ),
}
DAMAGES |= {
    f"{key}_missing": (
        "zarr.json",
        lambda path, key=key: edit(path, lambda found: found["attributes"].pop(key)),
        f"no {key}",
    )
    for key in ("blocks", "chunks", "dtype", "complete", "title", "device")
}
DAMAGES |= {
    f"{key}_{value}": (
        "zarr.json",
        lambda path, key=key, value=value: edit(path, lambda found: found["attributes"].update({key: value})),
        part,
    )
    for key, value, part in (
        ("blocks", [4], "blocks of (4,)"),
        ("chunks", [0, 4], "chunks of (0, 4)"),
        ("blocks", ["many", 1], "many"),
        ("dtype", "float7", "float7"),
        ("dtype", "float16", "float16"),
        ("blocks", [4.0, 4], "blocks is [4.0, 4]"),
        ("chunks", "44", "chunks is '44'"),
        ("title", 7, "title is 7"),
        ("fixed", None, "fixed is None"),
        ("complete", "no", "complete is 'no'"),
        ("spec", "[]", "list"),
        ("spec", '{"model": "noise", "loss": null, "axes": ["x"], "outputs": []}', "axes of the spec is ['x']"),
        ("spec", "{", "Expecting"),
        ("spec", "{}", "no model"),
    )
}


@pytest.mark.parametrize("case", DAMAGES)
def test_plan_of_refuses_a_damaged_store_in_one_line(case, store):
    name, damage, part = DAMAGES[case]
    damage(store / name)
    with pytest.raises(StoreError) as error:
        manifest.plans_of(store)
    message = str(error.value)
    assert message.startswith(f"{store}: the metadata of this store are damaged (") and "\n" not in message
    assert part in message and message.endswith("; remove it or use another path")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"attributes": null}', '{"attributes": {"title": "a"}}'])
def test_attributes_refuses_what_is_not_ours(content, tmp_path):
    (tmp_path / "zarr.json").write_text(content)
    with pytest.raises(StoreError, match=r": is not the store of a sweep$"):
        manifest.attributes(tmp_path)


def test_attributes_refuses_a_path_without_anything(tmp_path):
    with pytest.raises(StoreError, match=r"absent: does not exist$"):
        manifest.attributes(tmp_path / "absent")


@pytest.mark.parametrize("case", ["array_missing", "blocks_missing", "shape_other"])
def test_run_refuses_to_go_on_with_a_damaged_store(case, store):
    name, damage, _ = DAMAGES[case]
    damage(store / name)
    with pytest.raises(StoreError, match="damaged"):
        sweep.run(SPEC, model=NOISE, store=store, memory=MEMORY)


def test_run_computes_a_variable_without_axes_again_when_it_was_cut_short(tmp_path):
    spec = SweepSpec(model="noise", outputs=("y", "w"), axes={"x": SPEC.axes["x"]}, fixed={"z": 0.5})
    sweep.run(spec, model=NOISE, store=tmp_path / "out.zarr")
    file = tmp_path / "out.zarr/w/c"
    before = file.read_bytes()
    file.write_bytes(b"")
    sweep.run(spec, model=NOISE, store=tmp_path / "out.zarr")
    assert file.read_bytes() == before


def test_run_replaces_a_store_of_damaged_arrays_when_told_to(store):
    (store / "x/zarr.json").unlink()
    sweep.run(SPEC, model=NOISE, store=store, memory=MEMORY, overwrite=True)
    assert manifest.plans_of(store) == [plan()]


def test_plan_of_reads_back_the_plan(store):
    assert manifest.plans_of(store) == [plan()] and len(plan()) > 1


def test_bytes_on_disk_counts_every_file(store):
    (store / "more").write_bytes(bytes(1000))
    before = manifest.bytes_on_disk(store)
    (store / "more").unlink()
    assert before - manifest.bytes_on_disk(store) == 1000


def test_bytes_on_disk_are_at_most_the_bytes_planned(store):
    assert plan().nbytes / 2 < manifest.bytes_on_disk(store) <= plan().stored_bytes


REFUSALS = {
    "folder": (os.mkdir, "is a folder"),
    "pipe": (os.mkfifo, "is a device, a pipe or a link to nothing"),
    "dangling_link": (lambda path: os.symlink("nowhere", path), "is a device, a pipe or a link to nothing"),
    "file_there": (Path.touch, "exists already"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_netcdf_check_refuses_what_is_not_a_new_file(case, tmp_path):
    make, part = REFUSALS[case]
    make(tmp_path / "out.nc")
    with pytest.raises(SpecError, match=part):
        netcdf.check(tmp_path / "out.nc", plan().result_bytes, overwrite=case != "file_there")


def test_netcdf_check_refuses_a_name_too_long_for_its_temporary_file(tmp_path):
    with pytest.raises(SpecError, match="cannot be written: File name too long"):
        netcdf.check(tmp_path / f"{'x' * 247}.nc", plan().result_bytes)


def test_netcdf_write_replaces_the_file_behind_a_link(tmp_path):
    (tmp_path / "real.nc").touch()
    (tmp_path / "out.nc").symlink_to("real.nc")
    netcdf.check(tmp_path / "out.nc", plan().result_bytes, overwrite=True)
    netcdf.write(sweep.run(SPEC, model=NOISE), tmp_path / "out.nc")
    assert (tmp_path / "out.nc").is_symlink() and (tmp_path / "real.nc").stat().st_size > 0
    assert len(list(tmp_path.iterdir())) == 2


@pytest.fixture(scope="module")
def statistics(tmp_path_factory):
    """Store of quantiles and of a histogram over what is kept of a sweep, with all kinds of coordinates."""
    path = tmp_path_factory.mktemp("statistics") / "out.zarr"
    asked = SweepSpec(
        loss="total",
        axes={
            "fleet_size": {"values": [1e3, 1e5]},
            "time": {"start": 1, "stop": 8, "num": 8},
        },
        fixed={"doubling_rate": 0.5, "scaling_exponent": 0.05, "reference_fleet": 1.0, "reference_years": 1.0},
        statistics={
            "q": {"statistic": "quantiles", "output": "relative_loss", "over": ["time"], "probabilities": [0.1, 0.9]},
            "h": {
                "statistic": "histogram",
                "output": "relative_loss",
                "over": ["time"],
                "edges": {"start": 0, "stop": 1, "num": 5},
            },
        },
    )
    sweep.run(asked, store=path)
    return path


COORDINATE_DAMAGES = {
    "deleted": lambda chunk: chunk.unlink(),
    "empty": lambda chunk: chunk.write_bytes(b""),
    "cut": lambda chunk: chunk.write_bytes(chunk.read_bytes()[:-1]),
    "random": lambda chunk: chunk.write_bytes(bytes(range(200))),
    "of_another": lambda chunk: shutil.copy(chunk.parents[2] / "other", chunk),
    "a_folder": lambda chunk: (chunk.unlink(), chunk.mkdir()),
    "a_pipe": lambda chunk: (chunk.unlink(), os.mkfifo(chunk)),
}


@pytest.mark.parametrize("damage", COORDINATE_DAMAGES)
@pytest.mark.parametrize("name", ["fleet_size", "quantile", "h_bin"])
def test_refuse_wrong_coordinates_names_the_coordinate(name, damage, statistics, tmp_path):
    path = shutil.copytree(statistics, tmp_path / "out.zarr")
    refuse_wrong_coordinates(path)
    other = {"fleet_size": "quantile", "quantile": "fleet_size", "h_bin": "fleet_size"}[name]
    shutil.copy(path / other / "c" / "0", path / "other")
    COORDINATE_DAMAGES[damage](path / name / "c" / "0")
    with pytest.raises(StoreError, match=f"out.zarr: the coordinate {name} is damaged; run the sweep"):
        refuse_wrong_coordinates(path)


@pytest.mark.parametrize("key", ["data_type", "codecs", "fill_value", "chunk_grid", "chunk_key_encoding", "attributes"])
@pytest.mark.parametrize("name", ["y", "x"])
def test_plans_of_refuses_an_array_that_is_described_in_two_ways(name, key, store):
    other = json.loads((store / {"y": "z", "x": "y"}[name] / "zarr.json").read_text())
    edit(store / name / "zarr.json", lambda found: found.update({key: other[key] if key in "codecs" else "other"}))
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    for work in (lambda: manifest.plans_of(store), lambda: sweep.run(SPEC, model=NOISE, store=store)):
        with pytest.raises(StoreError, match="the metadata of this store are damaged"):
            work()
    assert {path: path.read_bytes() for path in store.rglob("*") if path.is_file()} == before
