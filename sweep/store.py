"""Results on disk: a Zarr v3 store whose shard files are its own manifest; the only module that writes one.

TensorStore writes a shard to a temporary file, syncs it and renames it, so that a shard which exists is whole: a run
killed anywhere goes on with the blocks whose shards are missing, and ends with the same bytes.
"""

import contextlib
import fcntl
import glob
import json
import math
import os
import secrets
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sweep.axis import Axis
from sweep.labels import dataset_attributes, variable_attributes
from sweep.manifest import PARTIAL, StoreError, attributes, intact, partials, pending, plans_of
from sweep.model import Model
from sweep.passes import QUANTILE, middles, result_axes, result_dtype
from sweep.plan import Block, Plan
from sweep.spec import SweepSpec, differences

if TYPE_CHECKING:
    import xarray as xr

COORDINATE_CHUNK = 2**20
LONGEST_INDEX = 10**7
KEPT = "; stored blocks are kept, the same command goes on"
IN_FLIGHT = 2  # blocks being written at once: enough to hide the disk behind the device, few enough for the budget


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
        for leftover in path.parent.glob(f".{glob.escape(path.name)}.new-*"):
            _remove(leftover)
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(lock)
        os.close(handle)


def finished(path: Path, model: Model, spec: SweepSpec, device: str) -> bool:
    """Whether a store holds the whole of this sweep, marked as complete, so that nothing is to be written."""
    if not path.exists() or not attributes(path)["complete"]:
        return False
    refuse_other(path, model, spec, device)
    return not _unfinished(path) and not any(_wrong_coordinates(path, result_axes(model, spec)))


def goes_on(path: Path, model: Model, spec: SweepSpec, device: str, *, overwrite: bool) -> bool:
    """Whether to go on with what is at a path rather than make a new store there.

    Raises
    ------
    StoreError
        When what is there can be neither gone on with nor replaced.
    """
    if not path.exists():
        return False
    if not overwrite:
        refuse_other(path, model, spec, device)
        return True
    if attributes(path)["complete"]:
        return False
    try:
        refuse_other(path, model, spec, device)
        plans_of(path)
    except StoreError:
        return False
    return True


def refuse_other(path: Path, model: Model, spec: SweepSpec, device: str) -> None:
    """Refuse a store of another sweep, or one with blocks to do whose bits this machine may not give.

    Raises
    ------
    StoreError
        Naming the first field that differs.
    """
    there = attributes(path)
    advice = "use another path or --overwrite"
    for difference in differences(spec.canonical(), json.loads(there["spec"])):
        raise StoreError(f"{path}: holds a different sweep: {difference}; {advice}")
    here = dataset_attributes(model, spec, device)
    keys = ["equation"]
    if not there["complete"] or _unfinished(path):
        keys += ["device", *(key for key in here if key.startswith("version_"))]
    for key in keys:
        if here[key] != there.get(key):
            raise StoreError(
                f"{path}: was begun with {key} {there.get(key)}, here it is {here[key]}: bits could differ; {advice}"
            )


def _unfinished(path: Path) -> bool:
    return any(pending(path, plan) for plan in plans_of(path))


def create(path: Path, model: Model, spec: SweepSpec, plans: Sequence[Plan], device: str) -> None:
    """Write the metadata and coordinates of a store; it appears at `path` whole or not at all.

    A store of a sweep at `path` is replaced once the new one is ready; anything else there is refused.
    """
    if path.exists():
        attributes(path)
    fresh, old = (path.parent / f".{path.name}.new-{secrets.token_hex(4)}" for _ in range(2))
    with _io(path):
        try:
            _write_template(fresh, model, spec, plans, device)
            for folder, _, files in os.walk(fresh):
                for name in [*files, "."]:
                    _sync(Path(folder, name))
            if path.exists():
                path.rename(old)
            fresh.rename(path)
            _sync(path.parent)
        finally:
            _remove(fresh)
            _remove(old)


def _write_template(path: Path, model: Model, spec: SweepSpec, plans: Sequence[Plan], device: str) -> None:
    import zarr

    described = {**dataset_attributes(model, spec, device), "complete": False}
    cuts = [{"blocks": list(plan.block_shape), "chunks": list(plan.chunk_shape)} for plan in plans]
    if spec.statistics:
        held = [{"axes": list(plan.shape), "variables": list(plan.variables)} for plan in plans]
        described["passes"] = [names | cut for names, cut in zip(held, cuts, strict=True)]
    else:
        described |= cuts[0]
    group = zarr.open_group(path, mode="w", zarr_format=3, attributes=described)
    for name, axis in result_axes(model, spec).items():
        group.create_array(
            name,
            shape=(len(axis),),
            dtype="float64",
            chunks=(min(len(axis), COORDINATE_CHUNK),),
            fill_value=math.nan,
            dimension_names=(name,),
            attributes=variable_attributes(model, spec, name),
        )
        for piece in _pieces(axis):
            group[name][piece] = axis.coordinates(piece.start, piece.stop)
    for plan, name, dims in ((each, *item) for each in plans for item in each.variables.items()):
        group.create_array(
            name,
            shape=plan.lengths(name),
            dtype=result_dtype(spec, name),
            shards=plan.along(name, plan.block_shape) if dims else None,
            chunks=plan.along(name, plan.chunk_shape),
            compressors=zarr.codecs.BloscCodec(cname="lz4", clevel=5, shuffle="shuffle"),
            fill_value=math.nan,
            dimension_names=dims,
            attributes=variable_attributes(model, spec, name),
        )
    with warnings.catch_warnings():
        # Consolidated metadata is not in the Zarr v3 specification yet; xarray wants it, other readers ignore it.
        warnings.filterwarnings("ignore", message=".*[Cc]onsolidated metadata.*")
        zarr.consolidate_metadata(path)


def mend_coordinates(path: Path, model: Model, spec: SweepSpec) -> None:
    """Write again the coordinates that are missing, unreadable or wrong; they follow from the spec."""
    import zarr

    axes = result_axes(model, spec)
    with _io(path):
        for name, piece in _wrong_coordinates(path, axes):
            # What cannot be read would be read again to be written.
            (path / name / "c" / str(piece.start // COORDINATE_CHUNK)).unlink(missing_ok=True)
            array = zarr.open_array(path / name, mode="r+")
            array[piece] = axes[name].coordinates(piece.start, piece.stop)


def refuse_wrong_coordinates(path: Path) -> None:
    """Refuse a store whose coordinates are not those of its sweep, from what it says of itself.

    Raises
    ------
    StoreError
        One line.
    """
    plans = plans_of(path)
    with intact(path):
        spec = json.loads(attributes(path)["spec"])
        axes = {name: Axis(**axis) for name, axis in spec["axes"].items()}
        for name, statistic in spec.get("statistics", {}).items():
            if "probabilities" in statistic:
                axes[QUANTILE] = Axis(values=statistic["probabilities"])
            if "edges" in statistic:
                axes[f"{name}_bin"] = middles(Axis(**statistic["edges"]))
        axes = {name: axes[name] for plan in plans for dims in plan.variables.values() for name in dims}
    for name, _ in _wrong_coordinates(path, axes):
        raise StoreError(f"{path}: the coordinate {name} is damaged; run the sweep into this store again to mend it")


def _wrong_coordinates(path: Path, axes: Mapping[str, Axis]) -> Iterator[tuple[str, slice]]:
    import zarr

    for name, axis in axes.items():
        with intact(path):
            array = zarr.open_array(path / name, mode="r")
        for piece in _pieces(axis):
            chunk = path / name / "c" / str(piece.start // COORDINATE_CHUNK)
            try:
                # Of a pipe there would be no end.
                right = chunk.is_file() and np.array_equal(array[piece], axis.coordinates(piece.start, piece.stop))
            except Exception:  # codecs raise whatever they like for bytes that are not theirs
                right = False
            if not right:
                yield name, piece


def _pieces(axis: Axis) -> Iterator[slice]:
    """Cut an axis into the chunks of its coordinate."""
    for start in range(0, len(axis), COORDINATE_CHUNK):
        yield slice(start, min(start + COORDINATE_CHUNK, len(axis)))


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
        # More threads than cores encode no faster, and the allocator keeps a store of memory for each.
        threads = {"limit": min(4, os.cpu_count() or 1)}
        context = tensorstore.Context({"file_io_concurrency": threads, "data_copy_concurrency": threads})
        with _io(path):
            for leftover in path.rglob("*.__lock"):  # TensorStore's temporary files of a killed run
                leftover.unlink(missing_ok=True)
            for name in plan.variables:
                kvstore = {"driver": "file", "path": str((path / name).absolute()) + "/"}
                description = {"driver": "zarr3", "kvstore": kvstore, "store_data_equal_to_fill_value": True}
                self._arrays[name] = tensorstore.open(description, open=True, context=context).result()

    def write(self, block: Block, values: dict[str, np.ndarray]) -> list[Block]:
        """Start writing a block, wait until `values` may be reused, and return blocks that have become durable."""
        owned = self._plan.owned(block)
        with _io(self._path, KEPT):
            for name in owned:  # TensorStore reads the index of a shard that is there, which may be cut short
                position = map(str, self._plan.along(name, block.index))
                Path(self._path, name, "c", *position).unlink(missing_ok=True)
            futures = [self._arrays[name][self._plan.region(name, block)].write(values[name]) for name in owned]
            for future in futures:
                future.copy.result()
            self._flying.append((block, futures))
            return self._land(IN_FLIGHT)

    def finish(self) -> list[Block]:
        """Wait for all blocks, and return those that have become durable."""
        with _io(self._path, KEPT):
            return self._land(0)

    def _land(self, keep: int) -> list[Block]:
        landed = []
        while len(self._flying) > keep:
            block, futures = self._flying.pop(0)
            for future in futures:
                future.result()
            landed.append(block)
        return landed


class Partials:
    """What has been reduced so far of the tiles of one pass, kept in a store so that a run which is killed goes on.

    Parameters
    ----------
    path : Path
        A store made by :func:`create`, locked by this process.
    number : int
        Position of the pass.
    """

    def __init__(self, path: Path, number: int) -> None:
        self._path, self._number = path, number
        self._found = {tile: kept for (pass_, tile), kept in partials(path).items() if pass_ == number}
        with _io(path):
            held = {file for _, file in self._found.values()}
            for file in (path / PARTIAL).glob(f"{number}-*"):
                if file not in held:
                    file.unlink(missing_ok=True)

    def load(self, tile: int) -> tuple[int, dict[str, np.ndarray]]:
        """How many parts of a tile have been reduced, and to what."""
        if tile in self._found:
            parts, file = self._found[tile]
            # zipfile and NumPy raise whatever they like for bytes that are not theirs.
            with contextlib.suppress(Exception), open(file, "rb") as opened, np.load(opened) as arrays:
                return parts, dict(arrays)
        return 0, {}

    def keep(self, tile: int, parts: int, arrays: dict[str, np.ndarray]) -> None:
        """Keep what the first parts of a tile have been reduced to, instead of what was kept before."""
        with _io(self._path, KEPT):
            folder = self._path / PARTIAL
            folder.mkdir(exist_ok=True)
            file = folder / f"{self._number}-{tile}-{parts}.npz"
            fresh = file.with_suffix(".new")
            with open(fresh, "wb") as opened:
                np.savez(opened, **arrays)
                opened.flush()
                os.fsync(opened.fileno())
            fresh.replace(file)
            _sync(folder)
            old = self._found.get(tile)
            self._found[tile] = parts, file
            if old is not None and old[1] != file:
                old[1].unlink(missing_ok=True)

    def drop(self, tile: int) -> None:
        """Forget a tile whose results are stored."""
        with _io(self._path, KEPT):
            if tile in self._found:
                self._found.pop(tile)[1].unlink(missing_ok=True)


def dataset(path: Path) -> "xr.Dataset":
    """Open a store lazily; an axis of more than `LONGEST_INDEX` points has no index, which would hold it in memory."""
    import xarray as xr

    longest = max((n for plan in plans_of(path) for n in plan.shape.values()), default=1)
    return xr.open_zarr(path, chunks=None, create_default_indexes=longest <= LONGEST_INDEX)


def complete(path: Path, whole: bool = True) -> None:
    """Mark a store as complete, or as one with blocks to do, atomically."""
    with _io(path):
        with open(path / "zarr.json") as file:
            metadata = json.load(file)
        if metadata["attributes"]["complete"] == whole:
            return
        metadata["attributes"]["complete"] = whole
        if whole:
            _remove(path / PARTIAL)
        # zarr lists the arrays in the order in which it happened to find them.
        listed = metadata["consolidated_metadata"]["metadata"]
        metadata["consolidated_metadata"]["metadata"] = {name: listed[name] for name in sorted(listed)}
        fresh = path / "zarr.json.__lock"
        with open(fresh, "w") as file:
            json.dump(metadata, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path / "zarr.json")
        _sync(path)


def _remove(path: Path) -> None:
    """Remove a folder, or a link but not what it points to, as far as that is possible."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _io(path: Path, advice: str = "") -> Iterator[None]:
    """Turn what the system or TensorStore says of a failed write into one line."""
    try:
        yield
    except StoreError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise StoreError(f"{path}: cannot be written: {reason}{advice}") from None
