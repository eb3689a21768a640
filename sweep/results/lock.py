"""The right to write a path, of one process at a time: a lock file beside it."""

import contextlib
import errno
import fcntl
import glob
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

TAKEN = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


class LockError(OSError):
    """A path that cannot be locked; the message is one line naming the path, what is wrong and what to do."""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the right to write a path; a second process is refused, and leftovers of dead ones are swept.

    Leftovers are what :func:`beside` names. The lock itself ends with its process, however that ends.

    Raises
    ------
    LockError
        When another process holds it, the folder cannot be written, or its file system has no locks.
    """
    lock = path.parent / f".{path.name}.lock"
    if not path.parent.is_dir():
        raise LockError(f"{path}: the folder {path.parent} does not exist")
    while True:
        try:
            handle = os.open(lock, os.O_CREAT | os.O_RDWR, 0o644)
        except OSError as error:
            raise LockError(f"{path}: cannot be written: {error.strerror}") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            if error.errno in TAKEN:
                raise LockError(f"{path}: another run is writing it; wait for that one or use another path") from None
            with contextlib.suppress(OSError):
                os.unlink(lock)
            raise LockError(
                f"{path}: cannot be locked against a second run: {error.strerror}; "
                "its file system has no flock, use a path on another one"
            ) from None
        # The holder before us may have removed the file between our opening and locking it.
        with contextlib.suppress(FileNotFoundError):
            if os.stat(lock).st_ino == os.fstat(handle).st_ino:
                break
        os.close(handle)
    try:
        for leftover in path.parent.glob(f".{glob.escape(path.name)}.new-*"):
            remove(leftover)
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(lock)
        os.close(handle)


def beside(path: Path, what: str) -> Path:
    """Name something temporary in the folder of a path, which the next holder of its lock removes."""
    return path.with_name(f".{path.name}.new-{what}")


def remove(path: Path) -> None:
    """Remove a folder, or a link but not what it points to, as far as that is possible."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
