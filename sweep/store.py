"""Results on disk: a Zarr v3 store whose shard files are its own manifest; the only module that writes one.

TensorStore writes a shard to a temporary file, syncs it and renames it, so that a shard which exists is whole: a run
killed anywhere goes on with the blocks whose shards are missing, and ends with the same bytes.
"""

import contextlib
import fcntl
import json
import math
import os
import secrets
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sweep.labels import dataset_attributes, variable_attributes
from sweep.model import Model
from sweep.plan import Block, Plan
from sweep.spec import SweepSpec, differences

if TYPE_CHECKING:
    import xarray as xr

COORDINATE_CHUNK = 2**20
LONGEST_INDEX = 10**7
NEEDED = ("title", "model", "equation", "fixed", "dtype", "device", "caveats", "complete", "blocks", "chunks")
IN_FLIGHT = 2  # blocks being written at once: enough to hide the disk behind the device, few enough for the budget


class StoreError(OSError):
    """A store that cannot be used; the message is one line naming the path, what is wrong and what to do."""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the right to write a store; a second run is refused, and leftovers of dead ones are swept.

    Raises
    ------
    StoreError
        When another run holds it, or the folder cannot be written.
    """
    lock = path.parent / f".{path.name}.lock"
    if not path.parent.is_dir():
        raise StoreError(f"{path}: the folder {path.parent} does not exist")
    while True:
        with _io(path):
            handle = os.open(lock, os.O_CREAT | os.O_RDWR, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise StoreError(f"{path}: another run is writing this store; wait for it or use another path") from None
        # The holder before us may have removed the file between our opening and locking it.
        with contextlib.suppress(FileNotFoundError):
            if os.stat(lock).st_ino == os.fstat(handle).st_ino:
                break
        os.close(handle)
    try:
        for leftover in path.parent.glob(f".{path.name}.new-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(lock)
        os.close(handle)


def attributes(path: Path) -> dict[str, Any]:
    """Attributes of a store.

    Raises
    ------
    StoreError
        When there is no store of ours at the path, or its attributes are damaged.
    """
    try:
        with open(path / "zarr.json") as file:
            found = json.load(file)["attributes"]
        ours = "fingerprint" in found and "spec" in found
    except (OSError, ValueError, KeyError, TypeError):
        ours = False
    if not ours:
        raise StoreError(f"{path}: is not the store of a sweep" if path.exists() else f"{path}: does not exist")
    with _intact(path):
        held = json.loads(found["spec"])
        for key in NEEDED:
            found[key]
        for key in ("model", "loss", "axes", "outputs"):
            held[key]
    return found


def refuse_other(path: Path, model: Model, spec: SweepSpec, device: str) -> None:
    """Refuse a store whose bits would not be those of this sweep on this machine.

    Raises
    ------
    StoreError
        Naming the first field that differs.
    """
    there = attributes(path)
    advice = "use another path or --overwrite"
    for difference in differences(spec.canonical(), json.loads(there["spec"])):
        raise StoreError(f"{path}: holds a different sweep: {difference}; {advice}")
    if there.get("complete"):
        return
    here = dataset_attributes(model, spec, device)
    for key in ("equation", "device", *(key for key in here if key.startswith("version_"))):
        if here[key] != there.get(key):
            raise StoreError(
                f"{path}: was begun with {key} {there.get(key)}, here it is {here[key]}: bits could differ; {advice}"
            )


def create(path: Path, model: Model, spec: SweepSpec, plan: Plan, device: str) -> None:
    """Write the metadata and coordinates of a store; it appears at `path` whole or not at all.

    A store of a sweep at `path` is replaced once the new one is ready; anything else there is refused.
    """
    import zarr

    if path.exists():
        attributes(path)
    fresh = path.parent / f".{path.name}.new-{secrets.token_hex(4)}"
    with _io(path), warnings.catch_warnings():
        # Consolidated metadata is not in the Zarr v3 specification yet; xarray wants it, other readers ignore it.
        warnings.filterwarnings("ignore", message=".*[Cc]onsolidated metadata.*")
        described = {
            **dataset_attributes(model, spec, device),
            "complete": False,
            "blocks": list(plan.block_shape),
            "chunks": list(plan.chunk_shape),
        }
        group = zarr.open_group(fresh, mode="w", zarr_format=3, attributes=described)
        for name, axis in spec.axes.items():
            chunk = min(len(axis), COORDINATE_CHUNK)
            coordinate = group.create_array(
                name,
                shape=(len(axis),),
                dtype="float64",
                chunks=(chunk,),
                fill_value=math.nan,
                dimension_names=(name,),
                attributes=variable_attributes(model, spec, name),
            )
            for start in range(0, len(axis), chunk):
                stop = min(start + chunk, len(axis))
                coordinate[start:stop] = axis.coordinates(start, stop)
        for name, dims in plan.variables.items():
            group.create_array(
                name,
                shape=plan.lengths(name),
                dtype=spec.dtype,
                shards=plan.along(name, plan.block_shape) if dims else None,
                chunks=plan.along(name, plan.chunk_shape),
                compressors=zarr.codecs.BloscCodec(cname="lz4", clevel=5, shuffle="shuffle"),
                fill_value=math.nan,
                dimension_names=dims,
                attributes=variable_attributes(model, spec, name),
            )
        zarr.consolidate_metadata(fresh)
        for folder, _, files in os.walk(fresh):
            for name in [*files, "."]:
                _sync(Path(folder, name))
        if path.exists():
            old = path.parent / f".{path.name}.new-{secrets.token_hex(4)}"
            path.rename(old)
            fresh.rename(path)
            shutil.rmtree(old)
        else:
            fresh.rename(path)
        _sync(path.parent)


class Writer:
    """Writes blocks into a store that exists, at most `IN_FLIGHT` at once.

    Parameters
    ----------
    path : Path
        A store made by :func:`create`, locked by this process.
    plan : Plan
        Its plan.
    """

    def __init__(self, path: Path, plan: Plan) -> None:
        import tensorstore

        self._path, self._plan = path, plan
        self._flying: list[tuple[Block, list[Any]]] = []
        self._arrays = {}
        with _io(path):
            for leftover in path.rglob("*.__lock"):  # TensorStore's temporary files of a killed run
                leftover.unlink(missing_ok=True)
            for name in plan.variables:
                kvstore = {"driver": "file", "path": str((path / name).absolute()) + "/"}
                description = {"driver": "zarr3", "kvstore": kvstore, "store_data_equal_to_fill_value": True}
                self._arrays[name] = tensorstore.open(description, open=True).result()

    def write(self, block: Block, values: dict[str, np.ndarray]) -> list[Block]:
        """Start writing a block, wait until `values` may be reused, and return blocks that have become durable."""
        with _io(self._path):
            futures = [
                self._arrays[name][self._plan.region(name, block)].write(values[name])
                for name in self._plan.owned(block)
            ]
            for future in futures:
                future.copy.result()
            self._flying.append((block, futures))
            return self._land(IN_FLIGHT)

    def finish(self) -> list[Block]:
        """Wait for all blocks, and return those that have become durable."""
        with _io(self._path):
            return self._land(0)

    def _land(self, keep: int) -> list[Block]:
        landed = []
        while len(self._flying) > keep:
            block, futures = self._flying.pop(0)
            for future in futures:
                future.result()
            landed.append(block)
        return landed


def dataset(path: Path) -> "xr.Dataset":
    """Open a store lazily; an axis of more than `LONGEST_INDEX` points has no index, which would hold it in memory."""
    import xarray as xr

    longest = max(plan_of(path).shape.values())
    return xr.open_zarr(path, chunks=None, create_default_indexes=longest <= LONGEST_INDEX)


def pending(path: Path, plan: Plan) -> list[int]:
    """Numbers of the blocks of which a shard is missing."""
    held = {name: _shards(path / name / "c") for name in plan.variables}

    def missing(block: Block) -> bool:
        return any(plan.along(name, block.index) not in held[name] for name in plan.owned(block))

    return [block.number for block in plan.blocks() if missing(block)]


def complete(path: Path) -> None:
    """Mark a store as complete, atomically."""
    with _io(path):
        with open(path / "zarr.json") as file:
            metadata = json.load(file)
        metadata["attributes"]["complete"] = True
        fresh = path / "zarr.json.__lock"
        with open(fresh, "w") as file:
            json.dump(metadata, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path / "zarr.json")
        _sync(path)


def plan_of(path: Path) -> Plan:
    """Read the plan of a store back from its metadata.

    Raises
    ------
    StoreError
        When there is no store of ours at the path, or its metadata are damaged.
    """
    found = attributes(path)
    with _intact(path):
        spec = json.loads(found["spec"])
        arrays = {}
        for name in (*spec["axes"], *spec["outputs"]):
            with open(path / name / "zarr.json") as file:
                arrays[name] = json.load(file)
        plan = Plan(
            shape={name: int(arrays[name]["shape"][0]) for name in spec["axes"]},
            block_shape=tuple(map(int, found["blocks"])),
            chunk_shape=tuple(map(int, found["chunks"])),
            variables={
                name: tuple(arrays[name]["dimension_names"] if arrays[name]["shape"] else ())
                for name in spec["outputs"]
            },
            itemsize=np.dtype(found["dtype"]).itemsize,
        )
        if any(list(plan.lengths(name)) != arrays[name]["shape"] for name in plan.variables):
            raise ValueError("the arrays differ in shape")
        if not all(len(sides) == len(plan.shape) and min(sides) > 0 for sides in (plan.block_shape, plan.chunk_shape)):
            raise ValueError(f"blocks of {plan.block_shape} in chunks of {plan.chunk_shape}")
    return plan


def bytes_on_disk(path: Path) -> int:
    """Bytes of all files of a store."""
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            with contextlib.suppress(FileNotFoundError):  # a temporary file of a run that is writing
                total += os.stat(os.path.join(folder, name)).st_size
    return total


def _shards(folder: Path) -> set[tuple[int, ...]]:
    """Grid positions of the shard files below a folder; a variable without dimensions has one file, `folder` itself."""
    if folder.is_file():
        return {()}
    found = set()
    for where, _, files in os.walk(folder):
        lead = Path(where).relative_to(folder).parts
        found |= {tuple(map(int, (*lead, name))) for name in files if name.isdigit()}
    return found


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _io(path: Path) -> Iterator[None]:
    """Turn what the system or TensorStore says of a failed write into one line."""
    try:
        yield
    except StoreError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise StoreError(
            f"{path}: cannot be written: {reason}; stored blocks are kept, the same command goes on"
        ) from None


@contextlib.contextmanager
def _intact(path: Path) -> Iterator[None]:
    """Turn what goes wrong in reading the metadata of a damaged store into one line."""
    try:
        yield
    except KeyError as error:
        reason = f"no {error.args[0]}"
    except OSError as error:
        reason = f"{Path(error.filename).relative_to(path)}: {error.strerror}"
    except (ValueError, TypeError, IndexError) as error:
        reason = str(error).splitlines()[0]
    else:
        return
    raise StoreError(f"{path}: the metadata of this store are damaged ({reason}); remove it or use another path")
