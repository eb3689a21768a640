"""Files that people name: regular ones of a bounded size, so that none is waited for or fills the memory."""

import errno
import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any, BinaryIO

MOST_TOML, MOST_CSV, MOST_LINES = 8 * 10**6, 10**8, 10**8  # bytes: seconds to read
# Keys of as many parts as no table of ours is deep, of which tomllib takes memory with the square of their number.
_DEEP = re.compile(rb"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){32}""")


def check_regular(path: str | Path, most: int | None = None) -> None:
    """Refuse what is no file, or one that is too large.

    Raises
    ------
    OSError
        With `strerror` and `filename`: a pipe, a device, a folder, what is missing, more than `most` bytes.
    """
    status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "is a device or a pipe, not a file", str(path))
    if most is not None and status.st_size > most:
        reason = f"has {status.st_size / 1e6:,.0f} MB, at most {most / 1e6:,.0f} MB are read"
        raise OSError(errno.EFBIG, reason, str(path))


def open_regular(path: str | Path, most: int | None = None) -> BinaryIO:
    """Open a regular file to read it, as :func:`check_regular` allows."""
    check_regular(path, most)
    return open(path, "rb")


def read_bytes(path: str | Path, most: int) -> bytes:
    """Content of a regular file of at most `most` bytes.

    Raises
    ------
    OSError
        As :func:`check_regular`, or when it cannot be read.
    """
    with open_regular(path, most) as file:
        return file.read(most)


def read_toml(path: str | Path) -> dict[str, Any]:
    """Content of a TOML file.

    Raises
    ------
    OSError
        As :func:`read_bytes`.
    ValueError
        One line: what is not TOML, or is nested too deeply.
    """
    content = read_bytes(path, MOST_TOML)
    try:
        if _DEEP.search(content):
            raise RecursionError
        return tomllib.loads(content.decode())
    except RecursionError:
        raise ValueError("is not a config: tables or lists nested too deeply") from None
    except ValueError as error:  # of the syntax, the encoding, or an integer of thousands of digits
        reason = str(error).split("; use sys.")[0].replace("\n", " ")
        raise ValueError(f"is not valid TOML: {reason}") from None
