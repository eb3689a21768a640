"""What a store holds, read from its files: attributes, plan, and which shards are whole.

The shard files are the manifest of a store: what exists whole is done. Every shard, of coordinates too, ends with a
seal and its index. The seal says of which sweep, array and place the shard is and covers the index; the index and each
chunk have a checksum of their own, which any reader of Zarr verifies. The seal lies between the chunks and the index,
where the format lets bytes be. zarr, xarray and JAX have no part in this, so `sweep status` is quick.
"""

import contextlib
import hashlib
import itertools
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any

import numpy as np

from sweep.config.files import open_regular, read_bytes
from sweep.errors import StoreError
from sweep.plan.blocks import Block, Plan

TEXTS = ("title", "model", "equation", "fixed", "dtype", "device", "caveats", "fingerprint", "spec")
NEEDED: dict[str, type] = {**dict.fromkeys(TEXTS, str), "complete": bool}
MOST_METADATA = 10**8  # bytes; an axis of listed values is among the attributes
PARTIAL = ".partial"  # folder of what has been reduced so far, one file a tile
CHECKSUMS = "checksums"  # attribute of a store whose chunks have checksums and whose shards have seals: a digest
UNSIGNED = ("complete", CHECKSUMS)  # attributes of which it is no digest
SEAL = 16
NO_CHUNK = 2**64 - 1  # in the index of a shard, by the Zarr v3 specification


def attributes(path: Path) -> dict[str, Any]:
    """Attributes of a store.

    Raises
    ------
    StoreError
        When there is no store of ours at the path, or its attributes are damaged.
    """
    try:
        content = _json(path / "zarr.json")["attributes"]
        ours = isinstance(content, dict) and "fingerprint" in content and "spec" in content
    except (OSError, ValueError, KeyError, TypeError):
        ours = False
    if not ours:
        raise StoreError(f"{path}: is not the store of a sweep" if path.exists() else f"{path}: does not exist")
    with intact(path):
        for key, kind in NEEDED.items():
            if not isinstance(content[key], kind):
                raise TypeError(f"{key} is {content[key]!r:.60}")
        if content["dtype"] not in ("float32", "float64"):
            raise ValueError(f"dtype is {content['dtype']!r:.60}")
        spec = _parsed(content["spec"])
        wanted: dict[str, type | UnionType] = {"model": str, "loss": str | None, "axes": dict, "outputs": list}
        for key, allowed in wanted.items():
            if not isinstance(spec[key], allowed):
                raise TypeError(f"{key} of the spec is {spec[key]!r:.60}")
        if hashlib.sha256(content["spec"].encode()).hexdigest()[:16] != content["fingerprint"]:
            raise ValueError("the spec does not have the fingerprint")
    return content


def plans_of(path: Path) -> list[Plan]:
    """Read the plans of a store back from its metadata: one of a grid, one of each pass of a sweep of statistics.

    Raises
    ------
    StoreError
        When there is no store of ours at the path, or its metadata are damaged.
    """
    content = attributes(path)
    with intact(path):
        if "passes" in content:
            return [_plan(path, described) for described in content["passes"]]
        spec = json.loads(content["spec"])
        grid = {"axes": list(spec["axes"]), "variables": spec["outputs"]}
        return [_plan(path, grid | {key: content[key] for key in ("blocks", "chunks")})]


def _plan(path: Path, described: Mapping[str, Any]) -> Plan:
    names = (*described["axes"], *described["variables"])
    arrays = {name: _json(path / name / "zarr.json") for name in names}
    for key in ("blocks", "chunks"):
        if not isinstance(described[key], list) or any(type(side) is not int for side in described[key]):
            raise TypeError(f"{key} is {described[key]!r:.60}")
    plan = Plan(
        shape={name: int(arrays[name]["shape"][0]) for name in described["axes"]},
        block_shape=tuple(described["blocks"]),
        chunk_shape=tuple(described["chunks"]),
        variables={
            name: tuple(arrays[name]["dimension_names"] if arrays[name]["shape"] else ())
            for name in described["variables"]
        },
        itemsize=max((np.dtype(arrays[name]["data_type"]).itemsize for name in described["variables"]), default=8),
    )
    if any(list(plan.lengths(name)) != arrays[name]["shape"] for name in plan.variables):
        raise ValueError("the arrays differ in shape")
    sides = (plan.block_shape, plan.chunk_shape)
    if not all(len(lengths) == len(plan.shape) and min(lengths, default=1) > 0 for lengths in sides):
        raise ValueError(f"blocks of {plan.block_shape} in chunks of {plan.chunk_shape}")
    # One is what xarray reads, the other what is written by: where they differ, results would be lost.
    listed = _json(path / "zarr.json")["consolidated_metadata"]["metadata"]
    for name in names:
        if arrays[name] != listed[name]:
            raise ValueError(f"{name}/zarr.json is not what zarr.json lists")
    return plan


def _json(path: Path) -> Any:
    """Content of a file of metadata."""
    return _parsed(read_bytes(path, MOST_METADATA).decode())


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def partials(path: Path) -> dict[tuple[int, int], tuple[int, Path]]:
    """Parts that have been reduced of tiles in progress, by pass and tile, and the file that holds them."""
    latest: dict[tuple[int, int], tuple[int, Path]] = {}
    for file in sorted((path / PARTIAL).glob("*.npz")):
        with contextlib.suppress(ValueError):
            number, tile, parts = map(int, file.stem.split("-"))
            if parts > latest.get((number, tile), (0, file))[0]:
                latest[number, tile] = parts, file
    return latest


def bytes_on_disk(path: Path) -> int:
    """Bytes of all files of a store."""
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            with contextlib.suppress(FileNotFoundError):  # a temporary file of a run that is writing
                total += os.stat(os.path.join(folder, name)).st_size
    return total


@dataclass(frozen=True)
class Shards:
    """The files of one array of a store.

    Attributes
    ----------
    folder : Path
        Of the array.
    shape, sides, chunk : tuple of int
        Length of the array, of a shard and of a chunk within it along each dimension. A file of stores from before
        there were checksums may be one chunk and no shard; it has no `chunk`.
    sealed : str
        What is sealed of every shard besides its position and index; empty in stores from before there were checksums.
    """

    folder: Path
    shape: tuple[int, ...]
    sides: tuple[int, ...]
    chunk: tuple[int, ...] | None
    sealed: str

    def positions(self) -> Iterator[tuple[int, ...]]:
        """Yield the position of every shard."""
        return itertools.product(*(range(-(-n // side)) for n, side in zip(self.shape, self.sides, strict=True)))

    def file(self, position: Sequence[int]) -> Path:
        """Name the file of a shard."""
        return Path(self.folder, "c", *map(str, position))

    def region(self, position: Sequence[int]) -> tuple[slice, ...]:
        """Where a shard lies within the array."""
        ends = zip(position, self.sides, self.shape, strict=True)
        return tuple(slice(i * side, min((i + 1) * side, n)) for i, side, n in ends)

    @property
    def index_bytes(self) -> int:
        """Bytes of the index at the end of a shard."""
        if self.chunk is None:
            raise TypeError("an array that is not sharded has no index")
        return 16 * math.prod(b // c for b, c in zip(self.sides, self.chunk, strict=True)) + 4

    def seal(self, position: Sequence[int], index: bytes) -> bytes:
        """Give the bytes between the chunks of a shard and its index."""
        if not self.sealed:
            return b""
        text = "/".join((self.sealed, *map(str, position))) + "\n"
        return hashlib.blake2b(text.encode() + index, digest_size=SEAL).digest()

    def fault(self, position: Sequence[int]) -> str:
        """Say whether a shard is "missing" or "damaged", as far as its end shows; "" where it is whole.

        The end shows whether it is the shard of this place, and all of it. Whether the chunks are what was written is
        for their own checksums to say.
        """
        try:
            with open_regular(self.file(position)) as file:
                size = os.fstat(file.fileno()).st_size
                if self.chunk is None:
                    return "" if size else "damaged"
                tail = self.index_bytes + (SEAL if self.sealed else 0)
                if size <= tail:
                    return "damaged"
                file.seek(size - tail)
                end = file.read(tail)
        except FileNotFoundError:
            return "missing"
        except OSError:
            return "damaged"
        index = end[-self.index_bytes :]
        if end[: -self.index_bytes] != self.seal(position, index):
            return "damaged"
        offsets, lengths = np.frombuffer(index[:-4], "<u8").reshape(-1, 2).T
        present = offsets != NO_CHUNK
        # The index of a shard cut short does not end just after the chunks that it names.
        whole = present.any() and lengths[present].all() and (offsets + lengths)[present].max() == size - tail
        return "" if whole else "damaged"


def digest(described: Mapping[str, Any]) -> str:
    """Hash the attributes of a store, but for the one that says that it is complete."""
    signed = {key: value for key, value in described.items() if key not in UNSIGNED}
    return hashlib.blake2b(json.dumps(signed, sort_keys=True).encode(), digest_size=SEAL).hexdigest()


def shards_of(path: Path) -> dict[str, Shards]:
    """Describe the files of every array of a store, those of its coordinates first.

    Raises
    ------
    StoreError
        When there is no store of ours at the path, or its metadata are damaged.
    """
    plans, content = plans_of(path), attributes(path)
    arrays = {}
    with intact(path):
        if CHECKSUMS in content and content[CHECKSUMS] != digest(content):
            raise ValueError("the attributes differ from their digest")
        axes = dict.fromkeys(dim for plan in plans for dim in plan.shape)
        for name in (*axes, *(name for plan in plans for name in plan.variables)):
            described = _json(path / name / "zarr.json")
            sides, chunk = described["chunk_grid"]["configuration"]["chunk_shape"], None
            codec = described["codecs"][0]
            if codec["name"] == "sharding_indexed":
                chunk = tuple(codec["configuration"]["chunk_shape"])
            if min(sides, default=1) < 1 or min(chunk or (), default=1) < 1:
                raise ValueError(f"chunks of {sides} in {name}")
            sealed = f"{content['fingerprint']}/{name}/{sides}/{chunk}" if CHECKSUMS in content else ""
            arrays[name] = Shards(path / name, tuple(described["shape"]), tuple(sides), chunk, sealed)
    return arrays


def pending(path: Path, plan: Plan) -> list[int]:
    """Numbers of the blocks of which a shard is missing or not whole."""
    shards = shards_of(path)

    def missing(block: Block) -> bool:
        return any(shards[name].fault(plan.along(name, block.index)) for name in plan.owned(block))

    return [block.number for block in plan.blocks() if missing(block)]


def refuse_damaged(path: Path) -> None:
    """Refuse to read a store with a file in which, as its end shows, is not what was written there.

    A block that is not stored yet is no damage: it reads as NaN. Chunks are checked when they are read.

    Raises
    ------
    StoreError
        Naming the first one.
    """
    axes = {dim for plan in plans_of(path) for dim in plan.shape}
    for name, shards in shards_of(path).items():
        for position in shards.positions():
            fault = shards.fault(position)
            if fault == "damaged" or (fault and name in axes):
                file = shards.file(position).relative_to(path)
                raise StoreError(f"{path}: {file} is {fault}; the command that wrote this store repairs it")


@contextlib.contextmanager
def intact(path: Path) -> Iterator[None]:
    """Turn what goes wrong in reading the metadata of a damaged store into one line."""
    try:
        yield
    except KeyError as error:
        reason = f"no {error.args[0]}"
    except OSError as error:
        reason = f"{os.path.relpath(error.filename or path, path)}: {error.strerror or error}"
    except (ValueError, TypeError, IndexError, AttributeError, OverflowError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
    else:
        return
    raise StoreError(f"{path}: the metadata of this store are damaged ({reason}); remove it or use another path")
