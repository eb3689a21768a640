"""What is missing, damaged or wrong in a store: all that is stored is read and held against what it should be."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from sweep.config.axis import Axis
from sweep.config.statistic import Statistic
from sweep.errors import StoreError
from sweep.results.manifest import NO_CHUNK, Shards, attributes, intact, plans_of, shards_of


def faults(path: Path, look: Callable[[], None] = lambda: None) -> Iterator[tuple[Path, str]]:
    """Every file of values or coordinates that is "missing" or "damaged"; all that is stored is read for it.

    Parameters
    ----------
    path : Path
        The store.
    look : callable
        Called before every file.
    """
    for shards in shards_of(path).values():
        for position in shards.positions():
            look()
            fault = shards.fault(position)
            if not fault and shards.sealed and not _is_sound(shards, position):
                fault = "damaged"
            if fault:
                yield shards.file(position), fault


def _is_sound(shards: Shards, position: Sequence[int]) -> bool:
    """Whether every chunk of a shard, and its index, has its checksum: CRC32C in the last four bytes, low one first."""
    import google_crc32c

    def holds(start: int, stop: int) -> bool:
        return google_crc32c.value(data[start : stop - 4]) == int.from_bytes(data[stop - 4 : stop], "little")

    data = shards.file(position).read_bytes()
    index = len(data) - shards.index_bytes
    places = np.frombuffer(data[index:-4], "<u8").reshape(-1, 2)
    chunks = [(int(start), int(start + length)) for start, length in places if start != NO_CHUNK]
    return holds(index, len(data)) and all(stop - start >= 4 and holds(start, stop) for start, stop in chunks)


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
            axes |= Statistic(**statistic).own_axes(name)
        axes = {name: axes[name] for plan in plans for dims in plan.variables.values() for name in dims}
    for name, _ in wrong_coordinates(path, axes):
        raise StoreError(f"{path}: the coordinate {name} is damaged; run the sweep into this store again to mend it")


def wrong_coordinates(path: Path, axes: Mapping[str, Axis]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield each coordinate and place of a shard in which is not what the axis says."""
    import zarr

    shards = shards_of(path)
    for name, axis in axes.items():
        with intact(path):
            array = zarr.open_array(path / name, mode="r")
        for position in shards[name].positions():
            try:
                # Of a pipe there would be no end.
                right = shards[name].file(position).is_file() and np.array_equal(
                    array[shards[name].region(position)], coordinates(axis, shards[name], position)
                )
            except Exception:  # codecs raise whatever they like for bytes that are not theirs
                right = False
            if not right or shards[name].fault(position):
                yield name, position


def coordinates(axis: Axis, shards: Shards, position: Sequence[int]) -> np.ndarray:
    """Values of an axis in one shard."""
    (piece,) = shards.region(position)
    return axis.coordinates(piece.start, piece.stop)
