"""Dataset to one NetCDF file, from memory, and back."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import xarray as xr

from sweep.config.files import check_regular
from sweep.config.samples import SEAL, attempt, check_libraries, is_sound
from sweep.errors import SpecError
from sweep.plan.blocks import budget_of
from sweep.results.lock import LockError, beside, locked, remove

OF_A_STORE = ("complete", "blocks", "chunks", "passes", "checksums")  # attributes that say how a store is laid out


def check(path: Path, result: int, *, memory: int | None = None, overwrite: bool = False) -> None:
    """Refuse, before anything is computed, a file that could not be written afterwards.

    What a run that was killed while it wrote this file has left behind is removed.

    Parameters
    ----------
    path : Path
        The file that :func:`write` is to write.
    result : int
        Bytes of the result that it is to hold, which must fit into half of the budget.
    memory : int, optional
        Budget in bytes; by default half of the memory that this process may take.
    overwrite : bool
        Whether a file that is at `path` may be replaced.

    Raises
    ------
    SpecError
        One line: a name that does not end in .nc, a missing folder or one that cannot be written, a file that exists,
        what is not a file, a result that is too large.
    ImportError
        Without h5netcdf or h5py.
    """
    check_libraries()
    if path.suffix != ".nc" and not os.path.isdir(path):
        raise SpecError(f"{path}: is not the name of a NetCDF file; let it end in .nc")
    if not os.path.isdir(path.parent):
        raise SpecError(f"{path}: the folder {path.parent} does not exist")
    if os.path.isdir(path):
        raise SpecError(f"{path}: is a folder, give the path of a file")
    if os.path.lexists(path) and not os.path.isfile(path):
        raise SpecError(f"{path}: is a device, a pipe or a link to nothing; give the path of a file")
    if os.path.exists(path) and not overwrite:
        raise SpecError(f"{path}: exists already; use another path or --overwrite")
    with _temporary(path) as fresh:
        fresh.touch()
    budget = budget_of(memory)
    if result > budget // 2:
        raise SpecError(
            f"{path}: NetCDF is written from memory, and the result takes {result:,} bytes, more than half "
            f"of the budget of {budget:,}; give a store instead, a larger budget or shorter axes"
        )


def write(dataset: xr.Dataset, path: Path) -> None:
    """Write a dataset as a file that appears at `path` whole or not at all, replacing one that is there.

    Raises
    ------
    SpecError
        When it cannot be written; what was at `path` is then still there.
    ImportError
        Without h5netcdf or h5py.
    """
    check_libraries()
    plain = dataset.load().drop_encoding()
    plain.attrs = {key: _attribute(value) for key, value in plain.attrs.items() if key not in OF_A_STORE}
    # CF allows no missing values in a coordinate, and xarray would declare one.
    encoding = {name: {"_FillValue": None} for name in plain.coords}
    with _temporary(path) as fresh:
        plain.to_netcdf(fresh, engine="h5netcdf", encoding=encoding)
        _seal(fresh)
        fresh.replace(os.path.realpath(path))


def read(path: Path) -> xr.Dataset:
    """Load a whole file, which :func:`write` wrote and nothing has damaged since.

    Raises
    ------
    SpecError
        One line, for anything else.
    ImportError
        Without h5netcdf or h5py.
    """
    check_libraries()
    try:
        check_regular(path)
        if not is_sound(path):
            raise SpecError(f"{path}: is damaged: its bytes are not those that were written; write it again")
        return attempt(lambda: xr.load_dataset(path, engine="h5netcdf", decode_times=False))
    except FileNotFoundError:
        raise SpecError(f"{path}: does not exist") from None
    except SpecError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
        raise SpecError(f"{path}: cannot be read as NetCDF: {reason}") from None


def _seal(path: Path) -> None:
    """Put the hash of a file behind its end, where HDF5 does not look, and wait until all of it is on disk."""
    with open(path, "r+b") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.write(SEAL + digest.encode())
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """Name a temporary file in the folder of the file itself, which a link may put elsewhere, and lock that.

    The file is removed in the end; after a kill, by the next process that locks the path.
    """
    real = Path(os.path.realpath(path))
    fresh = beside(real, "file")
    try:
        with locked(real):
            try:
                yield fresh
            finally:
                remove(fresh)
    except LockError as error:
        raise SpecError(str(error)) from None
    except OSError as error:
        raise SpecError(f"{path}: cannot be written: {error.strerror or error}") from None


def _attribute(value: Any) -> Any:
    """Give an attribute in a type that NetCDF has: no truth values, no lists of texts."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, list | tuple) and not all(isinstance(v, int | float) for v in value):
        return ", ".join(map(str, value))
    return value if isinstance(value, str | int | float | list | tuple) else str(value)
