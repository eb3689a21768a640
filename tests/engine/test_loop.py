"""Runs: right values whatever the blocks, labelled datasets, and stores that survive every kind of death."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
import xarray as xr
import zarr

import sweep
from sweep.engine import evaluate
from sweep.models.problem import Problem
from sweep.models.registry import RELATIVE_LOSS
from sweep.plan.jobs import make_jobs
from sweep.results import durable, manifest
from sweep.results import zarr_store as stores
from tests import cases, reference

AXES = {
    "scaling_exponent": {"values": (0.048, 0.057)},
    "doubling_rate": {"start": 0.0, "stop": 3.0, "num": 23},
    "fleet_size": {"start": 1e3, "stop": 1e8, "num": 41, "spacing": "log"},
    "time": {"start": 0.0, "stop": 20.0, "num": 75},
}
FORWARD = ("relative_loss", "relative_excess_loss", "log_relative_excess_loss", "compute_ratio", "effective_years")
COSTS = ("capital_cost", "energy", "energy_cost", "total_cost")
SMALL = 68_000_000  # a budget for several blocks
REFERENCE = {"reference_fleet": 16384.0, "reference_years": 0.2443}


def make_spec(outputs=("relative_loss",), axes=AXES, fixed=REFERENCE, **settings):
    needs = {p for output in outputs for p in RELATIVE_LOSS.output(output).parameters}
    axes = {name: axis for name, axis in axes.items() if name in needs}
    return sweep.SweepSpec(
        loss="total", outputs=outputs, axes={k: sweep.Axis(**v) for k, v in axes.items()}, fixed=fixed, **settings
    )


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("output", FORWARD)
def test_run_agrees_with_the_oracle(output, dtype):
    dataset = sweep.run(make_spec((output,), dtype=dtype))
    rng = np.random.default_rng(1)
    index = {name: rng.integers(0, n, 2000) for name, n in dataset.sizes.items()}
    points = dataset.isel({name: ("point", i) for name, i in index.items()})
    given = {name: np.full(2000, value) for name, value in (REFERENCE | {"irreducible_share": 0.0}).items()}
    # Stored float64 coordinates are the inputs; what float32 makes of them is inside the allowance of the contract.
    given |= {name: points[name].values for name in dataset.sizes}
    given.setdefault("scaling_exponent", np.full(2000, 0.05))
    arguments = [given[name] for name in cases.PARAMETERS[output]]
    ref = reference.values(output, arguments, np.dtype(dtype))
    cases.assert_within(output, cases.PARAMETERS[output], arguments, points[output].values, ref)


def test_run_follows_the_cost_equations():
    spec = make_spec(
        COSTS,
        fixed=REFERENCE | {"unit_price": 3e4, "power": 0.7, "pue": 1.2, "electricity_price": 0.08},
        axes={k: AXES[k] for k in ("fleet_size", "time")},
        dtype="float64",
    )
    dataset = sweep.run(spec)
    energy = dataset.fleet_size * 0.7 * 1.2 * 8766 * dataset.time / 1000
    expected = {
        "capital_cost": dataset.fleet_size * 3e4,
        "energy": energy,
        "energy_cost": energy * 1000 * 0.08,
        "total_cost": dataset.fleet_size * 3e4 + energy * 1000 * 0.08,
    }
    for name, values in expected.items():
        np.testing.assert_allclose(dataset[name], values, rtol=1e-15 * 8, err_msg=name)


def test_run_gives_each_output_only_the_axes_it_depends_on():
    dataset = sweep.run(make_spec(("relative_loss", "effective_years", "capital_cost")))
    assert dataset.relative_loss.dims == tuple(AXES)
    assert dataset.effective_years.dims == ("doubling_rate", "time")
    assert dataset.capital_cost.dims == ("fleet_size",)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_run_has_the_same_bits_whatever_the_blocks(dtype):
    spec = make_spec((*FORWARD, *COSTS), dtype=dtype)
    whole = sweep.run(spec)
    for memory in (80_000_000, 100_000_000):
        assert len(make_jobs(Problem.of(spec), memory - 10_000_000)[0].plan) > 1
        xr.testing.assert_identical(whole, sweep.run(spec, memory=memory))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_run_of_inverses_has_the_same_bits_whatever_the_blocks(dtype):
    axes = AXES | {"target": {"start": 0.3, "stop": 0.99, "num": 37}, "time": {"start": 0.5, "stop": 20.0, "num": 75}}
    spec = make_spec(("time_to_target", "fleet_for_target", "rate_for_target"), axes=axes, dtype=dtype)
    memory = 75_000_000
    assert len(make_jobs(Problem.of(spec), memory)[0].plan) > 1
    xr.testing.assert_identical(sweep.run(spec), sweep.run(spec, memory=memory))


def test_run_compiles_once_for_all_blocks():
    # The odd length makes a block shape that no other test has compiled.
    spec = make_spec(axes=AXES | {"time": {"start": 0.0, "stop": 20.0, "num": 1013}})
    compiled = evaluate.compiled(evaluate.stage, ("finish", "names", "model"), jax.default_backend(), 1)
    before = compiled._cache_size()
    sweep.run(spec, memory=120_000_000)
    assert compiled._cache_size() == before + 1


def test_run_labels_every_variable_with_units_and_a_long_name():
    dataset = sweep.run(make_spec((*FORWARD, *COSTS)))
    assert all(v.attrs["units"] and v.attrs["long_name"] for v in dataset.variables.values())


def test_run_keeps_the_spec_and_its_circumstances_in_the_attributes():
    spec = make_spec(title="How far?")
    attributes = sweep.run(spec).attrs
    assert json.loads(attributes["spec"])["axes"]["time"]["num"] == 75
    assert attributes["loss"] == "total"
    assert attributes["title"] == "How far?"
    assert attributes["device"] == evaluate.device_kind()
    assert attributes["version_jax"] == jax.__version__
    assert "2501.02156" in attributes["references"]


def test_run_warns_of_a_suspicious_pairing():
    spec = make_spec(axes=AXES | {"scaling_exponent": {"values": (0.05, 0.154)}})
    with pytest.warns(UserWarning, match=r"0\.154.*total"):
        sweep.run(spec)


def test_run_refuses_a_result_larger_than_the_memory():
    with pytest.raises(sweep.SpecError, match="give a store"):
        sweep.run(make_spec(axes=AXES | {"time": {"start": 0.0, "stop": 20.0, "num": 10**9}}))


def test_run_into_a_store_gives_the_same_as_in_memory(tmp_path):
    spec = make_spec((*FORWARD, *COSTS))
    stored = sweep.run(spec, store=tmp_path / "out.zarr", memory=SMALL)
    xr.testing.assert_equal(sweep.run(spec), stored.load())


def test_store_needs_nothing_from_us_to_be_read(tmp_path):
    dataset = sweep.run(make_spec(), store=tmp_path / "out.zarr")
    code = (
        "import sys, warnings; warnings.simplefilter('error'); import xarray as xr;"
        f"d = xr.open_zarr({str(tmp_path / 'out.zarr')!r}, chunks=None);"
        "assert not {'jax', 'pydantic', 'tensorstore'} & set(sys.modules);"
        "print(float(d.relative_loss.sel(time=20, method='nearest').mean()), d.time.units)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    mean, units = done.stdout.split()
    assert float(mean) == pytest.approx(float(dataset.relative_loss.sel(time=20, method="nearest").mean()))
    assert units == "years"


def test_store_of_a_finished_run_is_not_written_again(tmp_path):
    path = tmp_path / "out.zarr"
    sweep.run(make_spec(), store=path)
    before = {p: p.stat().st_mtime_ns for p in path.rglob("c/*") if p.is_file()}
    steps = []
    sweep.run(make_spec(), store=path, progress=steps.append)
    assert steps[-1].new_points == 0
    assert {p: p.stat().st_mtime_ns for p in path.rglob("c/*") if p.is_file()} == before


def test_store_of_another_sweep_is_refused_naming_what_differs(tmp_path):
    path = tmp_path / "out.zarr"
    sweep.run(make_spec(), store=path)
    before = contents(path)
    other = make_spec(axes=AXES | {"time": {"start": 0.0, "stop": 20.0, "num": 76}})
    with pytest.raises(sweep.StoreError, match=r"axes\.time\.num is 75 there, 76 here.*--overwrite"):
        sweep.run(other, store=path)
    assert contents(path) == before


def test_store_begun_on_another_device_is_refused(tmp_path):
    path = tmp_path / "out.zarr"
    interrupted_after(1, path)
    mark(path, device="abacus")
    with pytest.raises(sweep.StoreError, match="begun with device abacus"):
        sweep.run(make_spec(), store=path)


def test_store_of_another_sweep_is_replaced_when_asked(tmp_path):
    path = tmp_path / "out.zarr"
    sweep.run(make_spec(("compute_ratio",)), store=path)
    sweep.run(make_spec(), store=path, overwrite=True)
    assert list(xr.open_zarr(path, chunks=None)) == ["relative_loss"]
    assert [p.name for p in tmp_path.iterdir()] == ["out.zarr"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_store_never_replaces_what_is_not_a_sweep(tmp_path, overwrite):
    path = tmp_path / "precious"
    path.mkdir()
    (path / "thesis.txt").write_text("irreplaceable")
    with pytest.raises(sweep.StoreError, match="is not the store of a sweep"):
        sweep.run(make_spec(), store=path, overwrite=overwrite)
    assert contents(path) == {"thesis.txt": b"irreplaceable"}


def test_store_in_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(sweep.StoreError, match="does not exist"):
        sweep.run(make_spec(), store=tmp_path / "nowhere" / "out.zarr")


def test_store_that_cannot_be_written_is_refused():
    with pytest.raises(sweep.StoreError, match="cannot be written"):
        sweep.run(make_spec(), store="/proc/out.zarr")


def test_store_in_use_is_refused(tmp_path):
    path = tmp_path / "out.zarr"
    with stores.locked(path), pytest.raises(sweep.StoreError, match="another run is writing"):
        sweep.run(make_spec(), store=path)


def test_store_deleted_under_the_run_is_an_error_of_one_line(tmp_path):
    path = tmp_path / "out.zarr"

    def delete(step):
        if step.blocks == 2:
            shutil.rmtree(path)

    with pytest.raises(sweep.StoreError, match="cannot be written"):
        sweep.run(make_spec(), store=path, memory=SMALL, progress=delete)


def interrupted_after(blocks, path):
    """Stop a run as Ctrl-C does once some blocks are safe."""

    def stop(step):
        if step.blocks == blocks:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep.run(make_spec(), store=path, memory=SMALL, progress=stop)


def test_run_goes_on_after_an_interruption_with_the_same_bytes(tmp_path):
    sweep.run(make_spec(), store=tmp_path / "whole.zarr", memory=SMALL)
    interrupted_after(2, tmp_path / "out.zarr")
    steps = []
    sweep.run(make_spec(), store=tmp_path / "out.zarr", progress=steps.append)
    assert 2 <= steps[0].blocks < steps[0].total_blocks
    assert contents(tmp_path / "out.zarr") == contents(tmp_path / "whole.zarr")


def test_open_zarr_of_an_unfinished_store_shows_what_is_missing_as_nan(tmp_path):
    interrupted_after(2, tmp_path / "out.zarr")
    values = xr.open_zarr(tmp_path / "out.zarr", chunks=None).relative_loss.values
    assert 0 < np.isnan(values).sum() < values.size


def mark(path, **changes):
    """Change attributes of a store."""
    metadata = json.loads((path / "zarr.json").read_text())
    metadata["attributes"].update(changes)
    metadata["attributes"]["checksums"] = manifest.digest(metadata["attributes"])
    (path / "zarr.json").write_text(json.dumps(metadata))


def shards(path):
    return sorted(p for p in (path / "relative_loss" / "c").rglob("*") if p.is_file())


@pytest.fixture
def whole(tmp_path):
    sweep.run(make_spec(), store=tmp_path / "whole.zarr", memory=SMALL)
    return tmp_path / "whole.zarr"


def test_store_behind_a_link_is_replaced_and_the_link_is_kept(tmp_path):
    (tmp_path / "disk").mkdir()
    link, real = tmp_path / "out.zarr", tmp_path / "disk" / "real.zarr"
    sweep.run(make_spec(("compute_ratio",)), store=real)
    link.symlink_to(real)
    with stores.locked(real), pytest.raises(sweep.StoreError, match="another run is writing"):
        sweep.run(make_spec(), store=link, overwrite=True)
    sweep.run(make_spec(), store=link, overwrite=True)
    assert link.is_symlink() and not real.is_symlink()
    assert list(xr.open_zarr(real, chunks=None)) == ["relative_loss"]


def test_locked_removes_leftovers_but_not_what_they_point_to(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / ".out[1].zarr.new-link").symlink_to(tmp_path / "precious")
    (tmp_path / ".out[1].zarr.new-0").mkdir()
    (tmp_path / ".out1.zarr.new-0").mkdir()
    with stores.locked(tmp_path / "out[1].zarr"):
        pass
    assert sorted(p.name for p in tmp_path.iterdir()) == [".out1.zarr.new-0", "precious"]


@pytest.mark.parametrize("keep", [0, 0.5, -1])
def test_run_computes_shards_that_were_cut_short_again(keep, whole):
    before, changed = contents(whole), shards(whole)
    for shard in changed:
        size = shard.stat().st_size
        os.truncate(shard, size - 1 if keep < 0 else int(keep * size))
    assert len(manifest.pending(whole, *manifest.plans_of(whole))) == len(changed) > 1
    sweep.run(make_spec(), store=whole)
    assert contents(whole) == before


@pytest.mark.parametrize("damage", [os.unlink, lambda p: os.truncate(p, 9), lambda p: p.write_bytes(b"none of ours")])
def test_run_writes_damaged_coordinates_again(damage, whole):
    before = contents(whole)
    damage(whole / "time" / "c" / "0")
    sweep.run(make_spec(), store=whole)
    assert contents(whole) == before


def test_run_writes_wrong_coordinates_again(whole):
    before = contents(whole)
    zarr.open_array(whole / "time", mode="r+")[3] = 7.0
    sweep.run(make_spec(), store=whole)
    assert contents(whole) == before


def test_complete_store_that_lost_a_block_is_refused_on_another_device(whole):
    mark(whole, device="abacus")
    sweep.run(make_spec(), store=whole)
    shards(whole)[0].unlink()
    with pytest.raises(sweep.StoreError, match="begun with device abacus"):
        sweep.run(make_spec(), store=whole)


def test_complete_store_of_another_equation_is_refused(whole):
    mark(whole, equation="L = 1")
    with pytest.raises(sweep.StoreError, match="begun with equation L = 1"):
        sweep.run(make_spec(), store=whole)


def test_complete_store_that_lost_a_block_is_incomplete_until_that_is_written(whole):
    shards(whole)[0].unlink()
    seen = []
    sweep.run(make_spec(), store=whole, progress=lambda _: seen.append(manifest.attributes(whole)["complete"]))
    assert not any(seen)
    assert manifest.attributes(whole)["complete"]


def test_overwrite_goes_on_with_part_of_the_same_sweep(tmp_path, whole):
    interrupted_after(2, tmp_path / "out.zarr")
    steps = []
    sweep.run(make_spec(), store=tmp_path / "out.zarr", overwrite=True, progress=steps.append)
    assert steps[0].blocks >= 2
    assert contents(tmp_path / "out.zarr") == contents(whole)


def test_overwrite_replaces_what_was_begun_on_another_device(tmp_path):
    interrupted_after(2, tmp_path / "out.zarr")
    mark(tmp_path / "out.zarr", device="abacus")
    steps = []
    sweep.run(make_spec(), store=tmp_path / "out.zarr", overwrite=True, progress=steps.append)
    assert steps[0].blocks == 0


def test_overwrite_computes_a_complete_store_again(whole):
    steps = []
    sweep.run(make_spec(), store=whole, overwrite=True, progress=steps.append)
    assert steps[-1].new_points == steps[-1].total_points


def test_store_that_cannot_be_made_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "sync", fail)
    with pytest.raises(sweep.StoreError, match=r"cannot be written: No space left on device$"):
        sweep.run(make_spec(), store=tmp_path / "out.zarr")
    assert not list(tmp_path.iterdir())


def test_finished_store_is_neither_locked_nor_written(whole, monkeypatch):
    before = {p: p.stat().st_mtime_ns for p in whole.parent.rglob("*")}
    monkeypatch.setattr(stores, "locked", None)
    sweep.run(make_spec(), store=whole)
    assert {p: p.stat().st_mtime_ns for p in whole.parent.rglob("*")} == before


def test_run_warns_of_a_store_whose_blocks_need_more_memory(tmp_path):
    interrupted_after(2, tmp_path / "out.zarr")
    with pytest.warns(UserWarning, match=r"blocks of this store need about 6\d MB, more than the memory of 50 MB"):
        sweep.run(make_spec(), store=tmp_path / "out.zarr", memory=50_000_000)


RUN = """
import resource, sys
import sweep
spec = sweep.load(sys.argv[1])
limit = int(sys.argv[3])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    sweep.run(spec, store=sys.argv[2], memory=76_000_000)
except sweep.StoreError as error:
    sys.exit(str(error))
"""

CONFIG = """
model = "relative_loss"
loss = "total"
outputs = ["relative_loss", "capital_cost"]
[axes]
fleet_size = { start = 1e3, stop = 1e8, num = 128, spacing = "log" }
time = { start = 0, stop = 20, num = 256 }
doubling_rate = { start = 0, stop = 3, num = 512 }
[fixed]
scaling_exponent = 0.05
reference_fleet = 1.0
reference_years = 1.0
"""


ENVIRONMENT = os.environ | {"PYTHONPATH": os.path.dirname(os.path.dirname(sweep.__file__))}


def finish(config, path, limit=0, code=RUN):
    command = [sys.executable, "-c", code, str(config), str(path), str(limit)]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    return path


def test_run_killed_at_ten_random_moments_loses_nothing(tmp_path, config):
    whole, path = tmp_path / "whole.zarr", tmp_path / "out.zarr"
    assert finish(config, whole).returncode == 0
    rng = random.Random(5)
    kills = 0
    for attempt in range(60):
        if kills == 10:
            break
        shards = set(path.rglob("c/*/*/*"))
        process = subprocess.Popen([sys.executable, "-c", RUN, config, path, "0"], env=ENVIRONMENT)
        # Every second time in the middle of writing, otherwise a random moment of the start as well.
        while attempt % 2 and process.poll() is None and set(path.rglob("c/*/*/*")) == shards:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.05) if attempt % 2 else rng.uniform(0.2, 2.0))
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        if path.exists() and json.loads((path / "zarr.json").read_text())["attributes"]["complete"]:
            shutil.rmtree(path)
    assert kills == 10
    assert finish(config, path).returncode == 0
    assert contents(path) == contents(whole)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.toml", "out.zarr", "whole.zarr"]


def test_run_on_a_full_disk_says_so_and_goes_on_later(tmp_path, config):
    path = tmp_path / "out.zarr"
    stopped = finish(config, path, limit=100_000)
    assert stopped.returncode == 1
    assert stopped.stderr.count("\n") == 1
    assert "cannot be written" in stopped.stderr
    assert "the same command goes on" in stopped.stderr
    assert finish(config, path).returncode == 0
    assert not np.isnan(xr.open_zarr(path, chunks=None).relative_loss.values).any()


def test_run_stays_within_its_memory(tmp_path, config):
    config.write_text(CONFIG.replace("num = 128", "num = 1024"))
    code = RUN.replace("76_000_000", "200_000_000") + "print(open('/proc/self/status').read())"
    peak = finish(config, tmp_path / "out.zarr", code=code).stdout.split("VmHWM:")[1].split()[0]
    assert int(peak) * 1024 < 200_000_000 + 300 * 2**20
