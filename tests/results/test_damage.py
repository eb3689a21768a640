"""Stores that were damaged, full, deleted or replaced: nothing reads wrong without a word, and a run repairs it."""

import errno
import fcntl
import itertools
import os
import random
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
import zarr

import sweep
from sweep.config.axis import Axis
from sweep.config.spec import SweepSpec
from sweep.errors import SpecError, StoreError
from sweep.models.model import Model
from sweep.models.parameters import Parameter
from sweep.models.quantity import Quantity
from sweep.plan.blocks import FIXED_BYTES
from sweep.report.slices import readable
from sweep.results import durable, lock, manifest, netcdf, template
from sweep.results import zarr_store as stores
from sweep.results.faults import faults
from sweep.results.shard_writer import Partials

# Axes of one length and values that do not compress, so that each file is as good as another to whoever only looks at
# sizes; `k` has no axes and is one number.
MODEL = Model(
    name="noise",
    equation="y = frac(1e4 sin(1e3 x + z))",
    source="a test",
    assumptions="none",
    parameters=(Parameter("x", "place", "m"), Parameter("z", "phase", "1"), Parameter("c", "constant", "1")),
    quantities=(
        Quantity("y", "noise", "1", lambda x, z: jnp.sin(1e3 * x + z) * 1e4 % 1),
        Quantity("w", "some noise", "1", lambda z: jnp.sin(1e3 * z) * 1e4 % 1),
        Quantity("k", "a number", "1", lambda c: c * 2),
        Quantity("j", "another", "1", lambda c: c * 3),
    ),
)
NUM = 257
MEMORY = FIXED_BYTES + 600_000


def make_spec(**fixed):
    axes = {"x": Axis(start=0.0, stop=1.0, num=NUM), "z": Axis(start=1.0, stop=2.0, num=NUM)}
    return SweepSpec(model="noise", outputs=("y", "w", "k", "j"), axes=axes, fixed={"c": 0.3} | fixed)


SPEC = make_spec()


def run(path, spec=SPEC, **options):
    return sweep.run(spec, model=MODEL, store=path, memory=MEMORY, **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "out.zarr"
    run(path)
    assert len(*manifest.plans_of(path)) > 3
    return path


@pytest.fixture
def store(whole, tmp_path):
    return Path(shutil.copytree(whole, tmp_path / "out.zarr"))


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def data_files(store):
    return [p for p in sorted(store.rglob("*")) if p.is_file() and p.name != "zarr.json"]


def flip(file, bit):
    content = bytearray(file.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    file.write_bytes(content)


def read(store):
    """Read all of a store as the commands do: an error is one of ours, of one line."""
    with readable(str(store)):
        return stores.dataset(store).load()


def faults_of(store):
    return {str(file.relative_to(store)): fault for file, fault in faults(store)}


# Bits, and files in each other's place


def test_no_flipped_bit_reads_as_another_dataset_without_a_word(store):
    before, rng, silent, told = read(store), random.Random(1), [], 0
    for file in sorted(p for p in store.rglob("*") if p.is_file()):
        content, bits = file.read_bytes(), file.stat().st_size * 8
        ends = [0, 8, bits - 1, *(bits - 8 * n for n in (4, 5, 21, 24, 36, 40) if 8 * n <= bits)]
        for bit in [*ends, *(rng.randrange(bits) for _ in range(3))]:
            flip(file, bit)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    if not read(store).identical(before):
                        silent.append((file, bit))
                except (SpecError, StoreError) as error:
                    told += 1
                    assert "\n" not in str(error)
            file.write_bytes(content)
    assert silent == []
    assert told > 100
    xr.testing.assert_identical(read(store), before)


def test_faults_names_every_file_with_a_flipped_bit(whole, store):
    rng = random.Random(2)
    names = [str(file.relative_to(store)) for file in data_files(store)]
    assert {name.split("/")[0] for name in names} == {"x", "z", "y", "w", "k", "j"}
    assert faults_of(store) == {}
    for bit_of in (lambda bits: 0, lambda bits: bits - 1, rng.randrange, rng.randrange, rng.randrange):
        for name in names:
            flip(store / name, bit_of((store / name).stat().st_size * 8))
        assert faults_of(store) == dict.fromkeys(names, "damaged")
        for name in names:
            shutil.copy(whole / name, store / name)


def test_plain_zarr_refuses_a_flipped_bit_of_a_chunk(store):
    for name in ("x", "y", "w", "k"):
        file = next(p for p in data_files(store / name))
        flip(file, 8 * 9)
        with pytest.raises(ValueError, match="checksum"):
            zarr.open_array(store / name, mode="r")[...]


def test_no_two_files_can_change_places_unseen(store):
    for one, other in itertools.combinations(data_files(store), 2):
        contents = one.read_bytes(), other.read_bytes()
        one.write_bytes(contents[1])
        other.write_bytes(contents[0])
        with pytest.raises(StoreError, match=r"is damaged; the command that wrote this store repairs it$"):
            stores.dataset(store)
        assert len(faults_of(store)) == 2
        one.write_bytes(contents[0])
        other.write_bytes(contents[1])
    assert faults_of(store) == {}


def test_no_file_of_another_sweep_passes_for_one_of_this(store, tmp_path):
    other = tmp_path / "other.zarr"
    run(other, make_spec(c=0.7))
    for file in data_files(store):
        content, name = file.read_bytes(), file.relative_to(store)
        shutil.copy(other / name, file)
        with pytest.raises(StoreError, match=f"{name} is damaged"):
            stores.dataset(store)
        file.write_bytes(content)


def test_run_computes_again_what_is_damaged_and_no_more(whole, store):
    shards = data_files(store / "y")
    flip(shards[0], 8 * 40)
    shutil.copy(shards[1], shards[2])
    shards[-1].unlink()
    flip(store / "x/c/0", 8 * 30)
    (store / "z/c/0").unlink()
    flip(store / "k/c", 0)
    steps = []
    run(store, progress=steps.append)
    plan = manifest.plans_of(store)[0]
    blocks = {0, *(plan_number(plan, store, shard) for shard in (shards[0], shards[2], shards[-1]))}
    assert steps[-1].new_points == sum(plan.block(number).points for number in blocks)
    assert contents(store) == contents(whole)


def plan_number(plan, store, shard):
    index = tuple(map(int, shard.relative_to(store / "y/c").parts))
    return next(block.number for block in plan.blocks() if block.index == index)


@pytest.mark.parametrize("file", ["y/c/0/0", "k/c"])
def test_run_refuses_to_repair_values_on_another_device(file, store, monkeypatch):
    flip(store / file, 70)
    monkeypatch.setattr(sweep.engine.loop, "device_kind", lambda: "abacus")
    before = contents(store)
    with pytest.raises(StoreError, match="begun with device"):
        run(store)
    assert contents(store) == before


def test_run_repairs_coordinates_on_any_device(whole, store, monkeypatch):
    flip(store / "x/c/0", 70)
    monkeypatch.setattr(sweep.engine.loop, "device_kind", lambda: "abacus")
    run(store)
    assert contents(store) == contents(whole)


def test_run_warns_of_a_store_without_checksums_and_goes_on(tmp_path, monkeypatch):
    path = tmp_path / "old.zarr"

    def stop(step):
        if step.blocks == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(template, "CHECKSUMS", "of_old")
        run(path, progress=stop)
    for _ in range(2):  # to go on with it, and when it is complete
        with pytest.warns(UserWarning, match="was begun before stores had checksums"):
            run(path)
    xr.testing.assert_equal(stores.dataset(path).load(), sweep.run(SPEC, model=MODEL))


def test_partials_are_of_their_tile_and_part(store):
    Partials(store, 0).keep(3, 7, {"a": np.arange(4.0)})
    (file,) = (store / manifest.PARTIAL).iterdir()
    assert Partials(store, 0).load(3)[0] == 7
    for tile, other in ((4, "0-4-7.npz"), (3, "0-3-8.npz")):
        shutil.copy(file, file.with_name(other))
        assert Partials(store, 0).load(tile) == (0, {})
        file.with_name(other).unlink()


# Full disks, folders that go, file systems without locks


def test_run_on_a_disk_that_fills_at_any_moment_goes_on_later(whole, tmp_path, monkeypatch):
    path, fsync, left = tmp_path / "out.zarr", os.fsync, 0

    def full(handle):
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    for budget in itertools.count(0, 3):
        left = budget
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            try:
                run(path)
                break
            except StoreError as error:
                assert str(error).startswith(f"{path}: cannot be written: No space left on device")
        assert not list(tmp_path.rglob("*" + durable.UNFINISHED))
        if path.exists() and budget % 2:
            continue
        shutil.rmtree(path, ignore_errors=True)
    assert budget > 30
    run(path)
    assert contents(path) == contents(whole)
    assert os.listdir(tmp_path) == ["out.zarr"]


def test_store_deleted_under_its_run_does_not_come_back(whole, tmp_path):
    path = tmp_path / "out.zarr"

    def delete(step):
        if step.blocks == 2:
            shutil.rmtree(path)

    with pytest.raises(StoreError, match=r"it was deleted or moved while this run wrote it$"):
        run(path, progress=delete)
    assert os.listdir(tmp_path) == []
    run(path)
    assert contents(path) == contents(whole)


@pytest.mark.parametrize("number", [errno.ENOTSUP, errno.ENOLCK, errno.EINVAL, errno.ENOSYS])
def test_locked_says_that_a_file_system_has_no_locks(number, tmp_path, monkeypatch):
    def flock(handle, how):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(StoreError, match=r"cannot be locked .* has no flock, use a path on another one$"):
        run(tmp_path / "out.zarr")
    with pytest.raises(SpecError, match="has no flock"):
        netcdf.check(tmp_path / "out.nc", 0)
    assert os.listdir(tmp_path) == []


def test_netcdf_removes_what_a_killed_run_has_left(tmp_path):
    (tmp_path / ".out.nc.new-1234abcd").write_bytes(b"half of it")
    lock.beside(tmp_path / "out.nc", "file").write_bytes(b"half of it")
    netcdf.check(tmp_path / "out.nc", 0)
    assert os.listdir(tmp_path) == []


def test_netcdf_refuses_a_file_that_another_run_writes(tmp_path):
    path = tmp_path / "out.nc"
    with lock.locked(path), pytest.raises(SpecError, match="another run is writing it"):
        netcdf.write(xr.Dataset(), path)


# Replacing a store


def test_overwrite_keeps_the_old_store_until_the_new_one_is_complete(whole, store, tmp_path):
    other, seen = make_spec(c=0.7), []
    for number in range(1, 40):

        def stop(step, number=number):
            assert contents(store) == contents(whole)
            if step.new_points and step.blocks < step.total_blocks:
                seen.append(step.blocks)
                raise KeyboardInterrupt

        try:
            run(store, other, overwrite=True, progress=stop)
            break
        except KeyboardInterrupt:
            assert contents(store) == contents(whole)
    assert seen == sorted(set(seen)) and len(seen) > 2
    run(tmp_path / "other.zarr", other)
    assert contents(store) == contents(tmp_path / "other.zarr")
    assert sorted(os.listdir(tmp_path)) == ["other.zarr", "out.zarr"]


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_overwrite_that_ends_between_its_renames_is_ended_by_the_next_run(renames, store, tmp_path, monkeypatch):
    other, rename, left = make_spec(c=0.7), Path.rename, renames

    def counted(path, target):
        nonlocal left
        if "new-" in path.name:
            return rename(path, target)
        if not left:
            raise KeyboardInterrupt
        left -= 1
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", counted)
        patch.setattr(stores, "remove", lambda path: None)
        with pytest.raises(KeyboardInterrupt) if renames < 2 else warnings.catch_warnings():
            run(store, other, overwrite=True)
    steps = []
    run(store, other, overwrite=renames == 0, progress=steps.append)
    assert steps[-1].new_points == 0
    assert float(stores.dataset(store)["k"]) == pytest.approx(1.4)
    run(store, other)
    with stores.locked(store):
        pass
    assert os.listdir(tmp_path) == ["out.zarr"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_run_that_dies_before_its_new_store_is_there_leaves_nothing_to_the_next(
    overwrite, store, tmp_path, monkeypatch
):
    other = make_spec(c=0.7)
    if not overwrite:
        shutil.rmtree(store)

    def die(path, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "rename", die)
        patch.setattr(stores, "remove", lambda path: None)
        run(store, other, overwrite=overwrite)
    assert len(os.listdir(tmp_path)) == 1 + overwrite
    run(store, other, overwrite=overwrite)
    assert os.listdir(tmp_path) == ["out.zarr"]


def test_replacement_of_a_store_that_is_gone_takes_its_place(store, tmp_path):
    other = make_spec(c=0.7)

    def stop(step):
        if step.blocks == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(store, other, overwrite=True, progress=stop)
    shutil.rmtree(store)
    steps = []
    run(store, other, progress=steps.append)
    assert steps[0].blocks >= 2
    assert os.listdir(tmp_path) == ["out.zarr"]


def test_commands_killed_at_random_moments_lose_nothing_and_leave_nothing():
    root = Path(sweep.__file__).parents[1]
    cases = ["statistics", "overwrite", "netcdf"]  # what extends a file writes it as netcdf does, and compiles longer
    options = ["--kills", "6", *(word for case in cases for word in ("--case", case))]
    command = [sys.executable, "benchmarks/kills.py", *options]
    environment = os.environ | {"PYTHONPATH": str(root), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    last = {line.partition(":")[0]: line for line in done.stdout.splitlines()}
    assert list(last) == cases
    assert all(": 2 kills," in line and line.endswith("nothing lost, nothing left") for line in last.values())
