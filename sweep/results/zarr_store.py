"""Results on disk: a Zarr v3 store whose shard files are its own manifest; the only module that writes one.

TensorStore encodes a shard in memory. It is sealed (:mod:`sweep.results.manifest`), written to a temporary file, synced
and renamed, so that a shard which exists is whole: a run killed anywhere goes on with the blocks whose shards are
missing, and ends with the same bytes.
"""

import contextlib
import glob
import io
import json
import math
import os
import secrets
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sweep.config.axis import Axis
from sweep.config.spec import differences
from sweep.errors import Caution, StoreError
from sweep.models.problem import Problem
from sweep.plan.blocks import Block, Plan
from sweep.plan.passes import QUANTILE, middles, result_axes, result_dtype
from sweep.results import lock
from sweep.results.lock import beside, remove
from sweep.results.manifest import (
    CHECKSUMS,
    PARTIAL,
    Shards,
    attributes,
    digest,
    intact,
    partials,
    plans_of,
    refuse_damaged,
    shards_of,
)
from sweep.results.metadata import dataset_attributes, variable_attributes

if TYPE_CHECKING:
    import xarray as xr

COORDINATE_CHUNK = 2**20
LONGEST_INDEX = 10**7
KEPT = "; stored blocks are kept, the same command goes on"
PLACE = "place"  # in the file of a tile in progress, which pass, tile and part it is of
UNFINISHED = ".__lock"  # ends the name of a file that is being written
IN_FLIGHT = 2  # blocks being written at once: enough to hide the disk behind the device, few enough for the budget


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the right to write a store; a second run is refused, and leftovers of dead ones are swept.

    Raises
    ------
    StoreError
        When another run holds it, the folder cannot be written, or its file system has no locks.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock.locked(path))
        except lock.LockError as error:
            raise StoreError(str(error)) from None
        with _io(path):
            _end_replacing(path)
        yield


def finished(path: Path, problem: Problem, device: str) -> bool:
    """Whether a store holds the whole of this sweep, marked as complete and undamaged: nothing is to be written."""
    if not path.exists() or not attributes(path)["complete"]:
        return False
    damage = list(faults(path))
    refuse_other(path, problem, device, whole=not _of_values(path, damage))
    _warn_of_no_checksums(path)
    return not damage and not any(_wrong_coordinates(path, result_axes(problem)))


def place(path: Path, problem: Problem, device: str, *, overwrite: bool) -> tuple[Path, bool]:
    """Where to write a store that is to be at `path` in the end, and whether to go on with what is there.

    A store that cannot be gone on with is to be kept until the one that replaces it is complete, which is written
    beside it; :func:`replace` ends that. Call it under the lock.

    Raises
    ------
    StoreError
        When what is at the path can be neither gone on with nor replaced.
    """
    fresh = _replacement(path)
    if not path.exists():
        # Of a replacement whose original is gone, what is of this sweep is as good as a store.
        if _goes_on(fresh, problem, device):
            with _io(path):
                fresh.rename(path)
            return path, True
        remove(fresh)
        return path, False
    if not overwrite:
        whole = attributes(path)["complete"] and not _of_values(path, faults(path))
        refuse_other(path, problem, device, whole=whole)
        _warn_of_no_checksums(path)
        return path, True
    if not attributes(path)["complete"] and _goes_on(path, problem, device):
        return path, True
    if _goes_on(fresh, problem, device):
        return fresh, True
    remove(fresh)
    return fresh, False


def _of_values(path: Path, damage: Iterable[tuple[Path, str]]) -> bool:
    """Whether values are among what is damaged; coordinates have the same bits on every device."""
    axes = {dim for plan in plans_of(path) for dim in plan.shape}
    return any(file.relative_to(path).parts[0] not in axes for file, _ in damage)


def _warn_of_no_checksums(path: Path) -> None:
    if CHECKSUMS not in attributes(path):
        message = "was begun before stores had checksums: damage in it may go unseen; --overwrite computes it again"
        warnings.warn(f"{path}: {message}", Caution, stacklevel=5)


def _goes_on(path: Path, problem: Problem, device: str) -> bool:
    try:
        refuse_other(path, problem, device, whole=False)
        plans_of(path)
    except StoreError:
        return False
    return True


def _replacement(path: Path) -> Path:
    return path.with_name(f".{path.name}.replacement")


def _replaced(path: Path) -> Path:
    return path.with_name(f".{path.name}.replaced")


def replace(path: Path) -> None:
    """Put a complete replacement where the store is that it replaces, and remove that one."""
    with _io(path):
        path.rename(_replaced(path))
        _end_replacing(path)


def _end_replacing(path: Path) -> None:
    """Go on where a replacement was stopped: the old store is moved away only when the new one is complete."""
    fresh, old = _replacement(path), _replaced(path)
    for leftover in path.parent.glob(glob.escape(beside(fresh, "").name) + "*"):
        remove(leftover)
    if os.path.lexists(old):
        if not os.path.lexists(path):
            (fresh if fresh.exists() else old).rename(path)
            _sync(path.parent)
        remove(old)


def refuse_other(path: Path, problem: Problem, device: str, *, whole: bool) -> None:
    """Refuse a store of another sweep, or one that is not whole and whose bits this machine may not give.

    Raises
    ------
    StoreError
        Naming the first field that differs.
    """
    there = attributes(path)
    advice = "use another path or --overwrite"
    for difference in differences(problem.spec.canonical(), json.loads(there["spec"])):
        raise StoreError(f"{path}: holds a different sweep: {difference}; {advice}")
    here = dataset_attributes(problem, device)
    keys = ["equation"]
    if not whole:
        keys += ["device", *(key for key in here if key.startswith("version_"))]
    for key in keys:
        if here[key] != there.get(key):
            raise StoreError(
                f"{path}: was begun with {key} {there.get(key)}, here it is {here[key]}: bits could differ; {advice}"
            )


def faults(path: Path, look: Callable[[], None] = lambda: None) -> Iterator[tuple[Path, str]]:
    """Every file of values or coordinates that is "missing" or "damaged"; all that is stored is read for it.

    Parameters
    ----------
    path : Path
        The store.
    look : callable
        Called before every file.
    """
    import tensorstore

    context = _context()
    for name, shards in shards_of(path).items():
        description = {"driver": "zarr3", "kvstore": _kvstore(shards.folder)}
        try:
            array = tensorstore.open(description, open=True, read=True, context=context).result()
        except ValueError as error:
            raise StoreError(f"{path}: {name} cannot be read: {str(error).splitlines()[0]}") from None
        for position in shards.positions():
            look()
            fault = shards.fault(position)
            if not fault:
                try:
                    array[shards.region(position)].read().result()
                except ValueError:
                    fault = "damaged"
            if fault:
                yield shards.file(position), fault


def create(path: Path, problem: Problem, plans: Sequence[Plan], device: str) -> None:
    """Write the metadata and coordinates of a store; it appears at `path`, where nothing is, whole or not at all."""
    fresh = beside(path, secrets.token_hex(4))
    with _io(path):
        try:
            _write_template(fresh, problem, plans, device)
            for folder, _, files in os.walk(fresh):
                for name in [*files, "."]:
                    _sync(Path(folder, name))
            fresh.rename(path)
            _sync(path.parent)
        finally:
            remove(fresh)


def _write_template(path: Path, problem: Problem, plans: Sequence[Plan], device: str) -> None:
    import zarr

    described = {**dataset_attributes(problem, device), "complete": False}
    cuts = [{"blocks": list(plan.block_shape), "chunks": list(plan.chunk_shape)} for plan in plans]
    if problem.spec.statistics:
        held = [{"axes": list(plan.shape), "variables": list(plan.variables)} for plan in plans]
        described["passes"] = [names | cut for names, cut in zip(held, cuts, strict=True)]
    else:
        described |= cuts[0]
    described[CHECKSUMS] = digest(described)
    group = zarr.open_group(path, mode="w", zarr_format=3, attributes=described)
    encoded = {
        "compressors": [zarr.codecs.BloscCodec(cname="lz4", clevel=5, shuffle="shuffle"), zarr.codecs.Crc32cCodec()],
        "fill_value": math.nan,
    }
    axes = result_axes(problem)
    for name, axis in axes.items():
        side = (min(len(axis), COORDINATE_CHUNK),)
        group.create_array(
            name,
            shape=(len(axis),),
            dtype="float64",
            shards=side,
            chunks=side,
            dimension_names=(name,),
            attributes=variable_attributes(problem, name),
            **encoded,
        )
    for plan, name, dims in ((each, *item) for each in plans for item in each.variables.items()):
        group.create_array(
            name,
            shape=plan.lengths(name),
            dtype=result_dtype(problem.spec, name),
            shards=plan.along(name, plan.block_shape),
            chunks=plan.along(name, plan.chunk_shape),
            dimension_names=dims,
            attributes=variable_attributes(problem, name),
            **encoded,
        )
    with warnings.catch_warnings():
        # Consolidated metadata is not in the Zarr v3 specification yet; xarray wants it, other readers ignore it.
        warnings.filterwarnings("ignore", message=".*[Cc]onsolidated metadata.*")
        zarr.consolidate_metadata(path)
    shards = shards_of(path)
    for name, axis in axes.items():
        encoder = _Encoder(shards[name])
        for position in shards[name].positions():
            encoder.write(position, _coordinates(axis, shards[name], position))


def mend(path: Path, problem: Problem) -> None:
    """Write coordinates again that are missing or wrong, which follow from the spec; remove shards that are damaged."""
    shards = shards_of(path)
    with _io(path):
        for leftover in path.rglob("*" + UNFINISHED):  # temporary files of a killed run
            leftover.unlink(missing_ok=True)
        for file, fault in faults(path):
            if fault == "damaged":
                remove(file)
        axes = result_axes(problem)
        for name, position in _wrong_coordinates(path, axes):
            _Encoder(shards[name]).write(position, _coordinates(axes[name], shards[name], position))


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


def _wrong_coordinates(path: Path, axes: Mapping[str, Axis]) -> Iterator[tuple[str, tuple[int, ...]]]:
    import zarr

    shards = shards_of(path)
    for name, axis in axes.items():
        with intact(path):
            array = zarr.open_array(path / name, mode="r")
        for position in shards[name].positions():
            try:
                # Of a pipe there would be no end.
                right = shards[name].file(position).is_file() and np.array_equal(
                    array[shards[name].region(position)], _coordinates(axis, shards[name], position)
                )
            except Exception:  # codecs raise whatever they like for bytes that are not theirs
                right = False
            if not right or shards[name].fault(position):
                yield name, position


def _coordinates(axis: Axis, shards: Shards, position: Sequence[int]) -> np.ndarray:
    (piece,) = shards.region(position)
    return axis.coordinates(piece.start, piece.stop)


def _context() -> Any:
    """Give TensorStore its threads: more than cores encode no faster, and the allocator keeps a store for each."""
    import tensorstore

    threads = {"limit": min(4, os.cpu_count() or 1)}
    return tensorstore.Context({"file_io_concurrency": threads, "data_copy_concurrency": threads})


def _kvstore(folder: Path) -> dict[str, str]:
    return {"driver": "file", "path": str(folder.absolute()) + "/"}


class _Encoder:
    """Encodes the shards of one array in memory, and writes them whole.

    Parameters
    ----------
    shards : Shards
        Of the array.
    context : tensorstore.Context, optional
        Its threads.
    """

    def __init__(self, shards: Shards, context: Any = None) -> None:
        import tensorstore

        self._shards = shards
        with open(shards.folder / "zarr.json") as file:
            metadata = json.load(file)
        kvstore = {"driver": "memory", "path": shards.folder.name + "/"}
        description = {"driver": "zarr3", "kvstore": kvstore, "metadata": metadata}
        description["store_data_equal_to_fill_value"] = True
        context = _context() if context is None else context
        self._array = tensorstore.open(description, create=True, context=context).result()

    def start(self, position: Sequence[int], values: np.ndarray) -> Any:
        """Start to encode a shard; `values` may be reused once `.copy` of what is returned has a result."""
        return self._array[self._shards.region(position)].write(values)

    def finish(self, position: Sequence[int], started: Any) -> None:
        """Wait for a shard and write it: it appears whole, and durable, or not at all."""
        started.result()
        kvstore, file = self._array.kvstore, self._shards.file(position)
        key = file.relative_to(self._shards.folder).as_posix()
        data = memoryview(kvstore.read(key).result().value)
        kvstore.write(key, None).result()
        end = self._shards.index_bytes if self._shards.sealed else 0
        split = len(data) - end
        seal = self._shards.seal(position, bytes(data[split:]))
        _make_folder(file.parent, self._shards.folder)
        _put(file, data[:split], seal, data[split:])

    def write(self, position: Sequence[int], values: np.ndarray) -> None:
        """Encode a shard and write it."""
        self.finish(position, self.start(position, values))


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
        self._path, self._plan = path, plan
        self._flying: list[tuple[Block, Future]] = []
        self._pool = ThreadPoolExecutor(IN_FLIGHT + 1)
        shards, context = shards_of(path), _context()
        with _io(path):
            self._encoders = {name: _Encoder(shards[name], context) for name in plan.variables}

    def write(self, block: Block, values: dict[str, np.ndarray]) -> list[Block]:
        """Start writing a block, wait until `values` may be reused, and return blocks that have become durable."""
        at = {name: self._plan.along(name, block.index) for name in self._plan.owned(block)}
        with _io(self._path, KEPT):
            started = {name: self._encoders[name].start(at[name], values[name]) for name in at}
            for each in started.values():
                each.copy.result()

            def finish() -> None:
                for name, each in started.items():
                    self._encoders[name].finish(at[name], each)

            self._flying.append((block, self._pool.submit(finish)))
            return self._land(IN_FLIGHT)

    def finish(self) -> list[Block]:
        """Wait for all blocks, and return those that have become durable."""
        with _io(self._path, KEPT), self._pool:
            return self._land(0)

    def _land(self, keep: int) -> list[Block]:
        landed = []
        while len(self._flying) > keep:
            block, written = self._flying.pop(0)
            written.result()
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
                kept = dict(arrays)
                if kept.pop(PLACE).tolist() == [self._number, tile, parts]:
                    return parts, kept
        return 0, {}

    def keep(self, tile: int, parts: int, arrays: dict[str, np.ndarray]) -> None:
        """Keep what the first parts of a tile have been reduced to, instead of what was kept before."""
        with _io(self._path, KEPT):
            folder = self._path / PARTIAL
            folder.mkdir(exist_ok=True)
            file = folder / f"{self._number}-{tile}-{parts}.npz"
            content = io.BytesIO()
            np.savez(content, **arrays, **{PLACE: np.array([self._number, tile, parts])})
            _put(file, content.getbuffer())
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
    """Open a store lazily; an axis of more than `LONGEST_INDEX` points has no index, which would hold it in memory.

    Raises
    ------
    StoreError
        When a file holds what was not written there.
    """
    import xarray as xr

    refuse_damaged(path)
    if CHECKSUMS not in attributes(path):
        refuse_wrong_coordinates(path)  # nothing else would tell
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
            remove(path / PARTIAL)
        # zarr lists the arrays in the order in which it happened to find them.
        listed = metadata["consolidated_metadata"]["metadata"]
        metadata["consolidated_metadata"]["metadata"] = {name: listed[name] for name in sorted(listed)}
        _put(path / "zarr.json", json.dumps(metadata, indent=2).encode())


def _make_folder(path: Path, there: Path) -> None:
    """Make a folder below one that is there; that one is not made, or a store deleted under a run would come back."""
    if path.is_dir() or path == there:
        return
    _make_folder(path.parent, there)
    path.mkdir(exist_ok=True)
    _sync(path.parent)


def _put(file: Path, *pieces: Any) -> None:
    """Write a file so that it appears whole, and durable, or not at all."""
    fresh = file.with_name(file.name + UNFINISHED)
    try:
        with open(fresh, "wb") as opened:
            for piece in pieces:
                opened.write(piece)
            opened.flush()
            os.fsync(opened.fileno())
        fresh.replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise
    _sync(file.parent)


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
        if advice and not (path / "zarr.json").exists():
            reason, advice = "it was deleted or moved while this run wrote it", ""
        raise StoreError(f"{path}: cannot be written: {reason}{advice}") from None
