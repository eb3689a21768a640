"""What a store holds, read from its files: attributes, plan, and which shards are whole.

The shard files are the manifest of a store: what exists whole is done. zarr, xarray and JAX have no part in this, so
`sweep status` is quick.
"""

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sweep.files import open_regular, read_bytes
from sweep.plan import Block, Plan
from sweep.schema import one_line

NEEDED = dict.fromkeys(
    ("title", "model", "equation", "fixed", "dtype", "device", "caveats", "fingerprint", "spec"), str
)
NEEDED |= {"complete": bool}
MOST_METADATA = 10**8  # bytes; an axis of listed values is among the attributes
PARTIAL = ".partial"  # folder of what has been reduced so far, one file a tile
BLOSC_HEADER = 16
NO_CHUNK = 2**64 - 1  # in the index of a shard, by the Zarr v3 specification


class StoreError(OSError):
    """A store that cannot be used; the message is one line naming the path, what is wrong and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


def attributes(path: Path) -> dict[str, Any]:
    """Attributes of a store.

    Raises
    ------
    StoreError
        When there is no store of ours at the path, or its attributes are damaged.
    """
    try:
        found = _json(path / "zarr.json")["attributes"]
        ours = isinstance(found, dict) and "fingerprint" in found and "spec" in found
    except (OSError, ValueError, KeyError, TypeError):
        ours = False
    if not ours:
        raise StoreError(f"{path}: is not the store of a sweep" if path.exists() else f"{path}: does not exist")
    with intact(path):
        for key, kind in NEEDED.items():
            if not isinstance(found[key], kind):
                raise TypeError(f"{key} is {found[key]!r:.60}")
        if found["dtype"] not in ("float32", "float64"):
            raise ValueError(f"dtype is {found['dtype']!r:.60}")
        held = _parsed(found["spec"])
        for key, kind in (("model", str), ("loss", str | None), ("axes", dict), ("outputs", list)):
            if not isinstance(held[key], kind):
                raise TypeError(f"{key} of the spec is {held[key]!r:.60}")
        if hashlib.sha256(found["spec"].encode()).hexdigest()[:16] != found["fingerprint"]:
            raise ValueError("the spec does not have the fingerprint")
    return found


def plans_of(path: Path) -> list[Plan]:
    """Read the plans of a store back from its metadata: one of a grid, one of each pass of a sweep of statistics.

    Raises
    ------
    StoreError
        When there is no store of ours at the path, or its metadata are damaged.
    """
    found = attributes(path)
    with intact(path):
        if "passes" in found:
            return [_plan(path, described) for described in found["passes"]]
        spec = json.loads(found["spec"])
        grid = {"axes": list(spec["axes"]), "variables": spec["outputs"]}
        return [_plan(path, grid | {key: found[key] for key in ("blocks", "chunks")})]


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
    if not all(len(each) == len(plan.shape) and min(each, default=1) > 0 for each in sides):
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
    found: dict[tuple[int, int], tuple[int, Path]] = {}
    for file in sorted((path / PARTIAL).glob("*.npz")):
        with contextlib.suppress(ValueError):
            number, tile, parts = map(int, file.stem.split("-"))
            if parts > found.get((number, tile), (0, file))[0]:
                found[number, tile] = parts, file
    return found


def bytes_on_disk(path: Path) -> int:
    """Bytes of all files of a store."""
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            with contextlib.suppress(FileNotFoundError):  # a temporary file of a run that is writing
                total += os.stat(os.path.join(folder, name)).st_size
    return total


def _shards(folder: Path, chunks: int) -> set[tuple[int, ...]]:
    """Grid positions of the whole shards, of `chunks` chunks each, below a folder.

    A variable without dimensions has one file, `folder` itself, which is one chunk and no shard.
    """
    if not chunks:
        return {()} if folder.is_file() and folder.stat().st_size > BLOSC_HEADER else set()
    found = set()
    for where, _, files in os.walk(folder):
        lead = Path(where).relative_to(folder).parts
        names = (name for name in files if name.isdigit() and _whole(os.path.join(where, name), chunks))
        found |= {tuple(map(int, (*lead, name))) for name in names}
    return found


def _whole(shard: str, chunks: int) -> bool:
    """Whether the index at the end of a shard ends just after the chunks that it names: not so in one cut short."""
    with contextlib.suppress(OSError), open_regular(shard) as file:
        data = os.fstat(file.fileno()).st_size - 16 * chunks - 4
        if data > 0:
            file.seek(data)
            offsets, lengths = np.frombuffer(file.read(16 * chunks), "<u8").reshape(chunks, 2).T
            held = offsets != NO_CHUNK
            return bool(held.any() and lengths[held].all() and (offsets + lengths)[held].max() == data)
    return False


def pending(path: Path, plan: Plan) -> list[int]:
    """Numbers of the blocks of which a shard is missing or not whole."""
    held = {}
    for name, dims in plan.variables.items():
        sides = zip(plan.along(name, plan.block_shape), plan.along(name, plan.chunk_shape), strict=True)
        held[name] = _shards(path / name / "c", math.prod(b // c for b, c in sides) if dims else 0)

    def missing(block: Block) -> bool:
        return any(plan.along(name, block.index) not in held[name] for name in plan.owned(block))

    return [block.number for block in plan.blocks() if missing(block)]


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
