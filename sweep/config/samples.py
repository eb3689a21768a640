"""Numbers of other files: a column of CSV, a variable of NetCDF; whether a NetCDF file is what was written.

The only module that imports h5netcdf (extra ``netcdf``), which xarray reads and writes with.
"""

import csv
import hashlib
import math
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO, TypeVar

import numpy as np

from sweep.config.files import MOST_CSV, check_regular
from sweep.errors import short, unknown
from sweep.surroundings import of_an_extra

MOST_VALUES = 1_000_000
LONGEST_LINE = 2**20  # characters
SEAL = b"\nsweep sha256 "  # stands with the hash of a NetCDF file of ours behind its end
T = TypeVar("T")


def column(path: Path, name: str) -> list[float]:
    """Values of one column of a CSV file, or of one variable of a NetCDF file, those that are missing left out.

    Raises
    ------
    OSError
        When it cannot be read.
    ValueError
        One line: no such column, something that is no finite number, or more than `MOST_VALUES` of them.
    ImportError
        Without h5netcdf or h5py, for a NetCDF file.
    """
    return _netcdf(path, name) if path.suffix in (".nc", ".nc4", ".h5") else _csv(path, name)


def _csv(path: Path, column: str) -> list[float]:
    check_regular(path, MOST_CSV)
    values: list[float] = []
    with open(path, newline="", encoding="utf-8") as opened:
        rows = csv.DictReader(_lines(opened))
        try:
            if column not in (rows.fieldnames or ()):
                raise ValueError(unknown("column", column, rows.fieldnames or ()))
            for row in rows:
                text = (row[column] or "").strip()
                if text:
                    values.append(_number(text, f"line {rows.line_num}: {column}"))
                if len(values) > MOST_VALUES:
                    raise ValueError(f"has more than {MOST_VALUES:,} values of {column}, as many are taken")
        except csv.Error as error:
            raise ValueError(f"line {rows.line_num + 1}: is not CSV: {error}") from None
    return values


def _lines(opened: TextIO) -> Iterator[str]:
    """Lines of a file, none of which fills the memory."""
    while line := opened.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise ValueError(f"is not CSV: it has a line of more than {LONGEST_LINE:,} characters")
        yield line


def _number(text: str, where: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{where} must be a number, got {short(text)}") from None
    if not math.isfinite(number):
        raise ValueError(f"{where} must be finite, got {short(text)}")
    return number


def _netcdf(path: Path, name: str) -> list[float]:
    check_libraries()
    check_regular(path)
    if not is_sound(path):
        raise OSError("it is damaged: its bytes are not those that were written")
    values = [value for value in attempt(lambda: _variable(path, name)).tolist() if not math.isnan(value)]
    if any(map(math.isinf, values)):
        raise ValueError(f"{name} must be finite")
    return values


def _variable(path: Path, name: str) -> np.ndarray:
    import xarray as xr

    with xr.open_dataset(path, engine="h5netcdf", decode_times=False) as dataset:
        numbers = [str(key) for key, variable in dataset.variables.items() if variable.dtype.kind in "fiu"]
        if name not in numbers:
            raise ValueError(unknown("variable", name, numbers))
        if dataset[name].size > MOST_VALUES:
            raise ValueError(f"{name} has {dataset[name].size:,} values, at most {MOST_VALUES:,} are taken")
        return np.asarray(dataset[name].values, np.float64).ravel()


def attempt(work: Callable[[], T]) -> T:
    """Call what reads a file; HDF5 and h5netcdf raise whatever they like for bytes that are not theirs.

    Raises
    ------
    OSError, ValueError
        One line.
    """
    # What h5netcdf could not open it tidies up with a traceback of its own.
    before, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        try:
            return work()
        except Exception as error:
            reason = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
            kind = ValueError if isinstance(error, ValueError) else OSError
        raise kind(reason)
    finally:
        sys.unraisablehook = before


def is_sound(path: Path) -> bool:
    """Whether a file has the hash that stands behind its end; one that others wrote has none, and is as it is."""
    length = len(SEAL) + 64
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size - length
        if size < 0:
            return True
        file.seek(size)
        end = file.read(length)
        if not end.startswith(SEAL):
            return True
        file.seek(0)
        digest = hashlib.sha256()
        while size and (part := file.read(min(size, 2**20))):
            digest.update(part)
            size -= len(part)
    return end[len(SEAL) :] == digest.hexdigest().encode()


def check_libraries() -> None:
    """Say in one line what is missing to read and write NetCDF."""
    with of_an_extra("NetCDF needs"):
        import h5netcdf  # noqa: F401 (xarray imports it by name)
        import h5py  # noqa: F401 (h5netcdf imports it when it writes)
