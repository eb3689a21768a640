"""Files that appear whole, and durable, or not at all; what the system says of a failed write as one line."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from sweep.errors import StoreError

KEPT = "; stored blocks are kept, the same command goes on"
UNFINISHED = ".__lock"  # ends the name of a file that is being written


@contextlib.contextmanager
def writing(path: Path, advice: str = "") -> Iterator[None]:
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


def put(file: Path, *pieces: bytes | memoryview) -> None:
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
    sync(file.parent)


def make_folder(path: Path, there: Path) -> None:
    """Make a folder below one that is there; that one is not made, or a store deleted under a run would come back."""
    if path.is_dir() or path == there:
        return
    make_folder(path.parent, there)
    path.mkdir(exist_ok=True)
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file, or what a folder lists, is on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
