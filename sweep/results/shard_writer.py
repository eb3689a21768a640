"""What writes into a store that exists: shards, sealed and whole, and what has been reduced so far of a tile.

TensorStore encodes a shard in memory. It is sealed (:mod:`sweep.results.manifest`), written to a temporary file, synced
and renamed, so that a shard which exists is whole.
"""

import contextlib
import io
import json
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from sweep.plan.blocks import Block, Plan
from sweep.results.durable import KEPT, make_folder, put, writing
from sweep.results.manifest import PARTIAL, Shards, partials, shards_of

PLACE = "place"  # in the file of a tile in progress, which pass, tile and part it is of
IN_FLIGHT = 2  # blocks being written at once: enough to hide the disk behind the device, few enough for the budget


def threads() -> Any:
    """Give TensorStore its threads: more than cores encode no faster, and the allocator keeps a store for each."""
    import tensorstore

    limit = {"limit": min(4, os.cpu_count() or 1)}
    return tensorstore.Context({"file_io_concurrency": limit, "data_copy_concurrency": limit})


class Encoder:
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
        context = threads() if context is None else context
        self._array = tensorstore.open(description, create=True, context=context).result()

    def start(self, position: Sequence[int], values: np.ndarray) -> Any:
        """Start to encode a shard; `values` may be reused once `.copy` of what is returned has a result."""
        return self._array[self._shards.region(position)].write(values)

    def finish(self, position: Sequence[int], started: Any) -> None:
        """Wait for a shard and write it: it appears whole, and durable, or not at all."""
        started.result()
        kvstore, file = self._array.kvstore, self._shards.file(position)
        assert kvstore is not None, "its driver has one"
        key = file.relative_to(self._shards.folder).as_posix()
        data = memoryview(kvstore.read(key).result().value)
        kvstore.write(key, None).result()
        end = self._shards.index_bytes if self._shards.sealed else 0
        split = len(data) - end
        seal = self._shards.seal(position, bytes(data[split:]))
        make_folder(file.parent, self._shards.folder)
        put(file, data[:split], seal, data[split:])

    def write(self, position: Sequence[int], values: np.ndarray) -> None:
        """Encode a shard and write it."""
        self.finish(position, self.start(position, values))


class Writer:
    """Writes blocks into a store that exists, at most `IN_FLIGHT` at once.

    Parameters
    ----------
    path : Path
        A store made by :func:`sweep.results.zarr_store.create`, locked by this process.
    plan : Plan
        Its plan.
    """

    def __init__(self, path: Path, plan: Plan) -> None:
        self._path, self._plan = path, plan
        self._flying: list[tuple[Block, Future[None]]] = []
        self._pool = ThreadPoolExecutor(IN_FLIGHT + 1)
        shards, context = shards_of(path), threads()
        with writing(path):
            self._encoders = {name: Encoder(shards[name], context) for name in plan.variables}

    def write(self, block: Block, values: dict[str, np.ndarray]) -> list[Block]:
        """Start writing a block, wait until `values` may be reused, and return blocks that have become durable."""
        at = {name: self._plan.along(name, block.index) for name in self._plan.owned(block)}
        with writing(self._path, KEPT):
            started = {name: self._encoders[name].start(at[name], values[name]) for name in at}
            for encoding in started.values():
                encoding.copy.result()

            def finish() -> None:
                for name, encoding in started.items():
                    self._encoders[name].finish(at[name], encoding)

            self._flying.append((block, self._pool.submit(finish)))
            return self._land(IN_FLIGHT)

    def finish(self) -> list[Block]:
        """Wait for all blocks, and return those that have become durable."""
        with writing(self._path, KEPT), self._pool:
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
        A store made by :func:`sweep.results.zarr_store.create`, locked by this process.
    number : int
        Position of the pass.
    """

    def __init__(self, path: Path, number: int) -> None:
        self._path, self._number = path, number
        self._kept = {tile: kept for (pass_, tile), kept in partials(path).items() if pass_ == number}
        with writing(path):
            current = {file for _, file in self._kept.values()}
            for file in (path / PARTIAL).glob(f"{number}-*"):
                if file not in current:
                    file.unlink(missing_ok=True)

    def load(self, tile: int) -> tuple[int, dict[str, np.ndarray]]:
        """How many parts of a tile have been reduced, and to what."""
        if tile in self._kept:
            parts, file = self._kept[tile]
            # zipfile and NumPy raise whatever they like for bytes that are not theirs.
            with contextlib.suppress(Exception), open(file, "rb") as opened, np.load(opened) as arrays:
                kept = dict(arrays)
                if kept.pop(PLACE).tolist() == [self._number, tile, parts]:
                    return parts, kept
        return 0, {}

    def keep(self, tile: int, parts: int, arrays: dict[str, np.ndarray]) -> None:
        """Keep what the first parts of a tile have been reduced to, instead of what was kept before."""
        with writing(self._path, KEPT):
            folder = self._path / PARTIAL
            folder.mkdir(exist_ok=True)
            file = folder / f"{self._number}-{tile}-{parts}.npz"
            content = io.BytesIO()
            named: dict[str, Any] = {**arrays, PLACE: np.array([self._number, tile, parts])}
            np.savez(content, **named)
            put(file, content.getbuffer())
            old = self._kept.get(tile)
            self._kept[tile] = parts, file
            if old is not None and old[1] != file:
                old[1].unlink(missing_ok=True)

    def drop(self, tile: int) -> None:
        """Forget a tile whose results are stored."""
        with writing(self._path, KEPT):
            if tile in self._kept:
                self._kept.pop(tile)[1].unlink(missing_ok=True)
