"""Results on disk: a Zarr v3 store whose shard files are its own manifest, from its lock to its completion.

A shard that exists is whole (:mod:`sweep.results.shard_writer`): a run killed anywhere goes on with the blocks whose
shards are missing, and ends with the same bytes.
"""

import contextlib
import glob
import json
import os
import secrets
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.config.record import differences
from sweep.errors import Caution, StoreError
from sweep.models.problem import Problem
from sweep.plan.blocks import Plan
from sweep.plan.variables import result_axes
from sweep.results import durable, lock
from sweep.results.durable import UNFINISHED, writing
from sweep.results.faults import coordinates, faults, refuse_wrong_coordinates, wrong_coordinates
from sweep.results.lock import beside, remove
from sweep.results.manifest import (
    CHECKSUMS,
    PARTIAL,
    attributes,
    plans_of,
    refuse_damaged,
    shards_of,
)
from sweep.results.metadata import dataset_attributes
from sweep.results.shard_writer import Encoder
from sweep.results.template import write_template

if TYPE_CHECKING:
    import xarray as xr

LONGEST_INDEX = 10**7


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
        with writing(path):
            _end_replacing(path)
        yield


def finished(path: Path, problem: Problem, device: str) -> bool:
    """Whether a store holds the whole of this sweep, marked as complete and undamaged: nothing is to be written."""
    if not path.exists() or not attributes(path)["complete"]:
        return False
    damage = list(faults(path))
    refuse_other(path, problem, device, whole=not _of_values(path, damage))
    _warn_of_no_checksums(path)
    return not damage and not any(wrong_coordinates(path, result_axes(problem)))


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
            with writing(path):
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
    with writing(path):
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
            durable.sync(path.parent)
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


def create(path: Path, problem: Problem, plans: Sequence[Plan], device: str) -> None:
    """Write the metadata and coordinates of a store; it appears at `path`, where nothing is, whole or not at all."""
    fresh = beside(path, secrets.token_hex(4))
    with writing(path):
        try:
            write_template(fresh, problem, plans, device)
            for folder, _, files in os.walk(fresh):
                for name in [*files, "."]:
                    durable.sync(Path(folder, name))
            fresh.rename(path)
            durable.sync(path.parent)
        finally:
            remove(fresh)


def mend(path: Path, problem: Problem) -> None:
    """Write coordinates again that are missing or wrong, which follow from the spec; remove shards that are damaged."""
    shards = shards_of(path)
    with writing(path):
        for leftover in path.rglob("*" + UNFINISHED):  # temporary files of a killed run
            leftover.unlink(missing_ok=True)
        for file, fault in faults(path):
            if fault == "damaged":
                remove(file)
        axes = result_axes(problem)
        for name, position in wrong_coordinates(path, axes):
            Encoder(shards[name]).write(position, coordinates(axes[name], shards[name], position))


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
    with writing(path):
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
        durable.put(path / "zarr.json", json.dumps(metadata, indent=2).encode())
