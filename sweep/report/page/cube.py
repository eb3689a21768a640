"""Arrays as text that a browser unpacks by itself: codes of 16 bits, differenced, deflated, in base64.

The page has no mathematics: it looks a node up, which was computed here. Values that are few are kept as they are.
"""

import base64
import math
import zlib
from typing import Any

import numpy as np

FEW = 4096  # values that are kept exactly
NAN, LEAST, ZERO, MOST, FIRST = range(5)  # codes of NaN, -inf, 0 and inf, and the first one of a number
LAST = 2**16 - 1


def packed(values: np.ndarray) -> dict[str, Any]:
    """Pack an array for the page.

    Parameters
    ----------
    values : numpy.ndarray
        Numbers or truth values of any shape, NaN and infinities among them.

    Returns
    -------
    dict
        What JSON holds: `shape`; `code`, "float64", or "log" or "linear" for 16 bits a value; `data`, base64 of
        deflated bytes; `low` and `step`, of which code k, from 4 on, means low + (k - 4) step, or its exponential;
        `error`, the most by which a value differs from what was packed, relative with "log", else absolute.
    """
    plain = np.asarray(values, dtype=np.float64)
    shape = list(plain.shape)
    if plain.size <= FEW:
        return {"code": "float64", "shape": shape, "error": 0.0, "data": deflated(plain.astype("<f8").tobytes())}
    finite = plain[np.isfinite(plain)]
    is_log = bool(finite.size and finite.min() >= 0.0 and finite.max() > 0.0)
    numbers = np.isfinite(plain) & (plain > 0.0) if is_log else np.isfinite(plain)
    scaled = np.log(plain, where=numbers, out=np.zeros_like(plain)) if is_log else np.where(numbers, plain, 0.0)
    some = scaled[numbers]
    low, high = (float(some.min()), float(some.max())) if some.size else (0.0, 0.0)
    step = (high - low) / (LAST - FIRST)
    codes = np.where(numbers, FIRST + np.rint((scaled - low) / (step or 1.0)), NAN)
    codes[np.isneginf(plain)], codes[np.isposinf(plain)] = LEAST, MOST
    if is_log:
        codes[plain == 0.0] = ZERO
    # Half a step, and what rounding adds to it: the page's double precision is that of this machine.
    error = math.expm1(step / 2) + 4e-16 * (1.0 + max(abs(low), abs(high))) if is_log else step / 2 * (1.0 + 1e-9)
    return {
        "code": "log" if is_log else "linear",
        "shape": shape,
        "low": low,
        "step": step,
        "error": error,
        "data": deflated(_differenced(codes.astype(np.uint16))),
    }


def deflated(plain: bytes, level: int = 6) -> str:
    """Base64 of deflated bytes; the highest level takes ten times as long for codes, and saves little."""
    return base64.b64encode(zlib.compress(plain, level)).decode("ascii")


def _differenced(codes: np.ndarray) -> bytes:
    """Differences along the last two axes, modulo 2^16: all their low bytes, then all their high ones."""
    rest = np.atleast_2d(codes)
    for axis in (-1, -2):
        rest = np.diff(rest, axis=axis, prepend=np.zeros_like(rest.take([0], axis)))
    low, high = rest & 0xFF, rest >> 8
    return low.astype(np.uint8).tobytes() + high.astype(np.uint8).tobytes()
