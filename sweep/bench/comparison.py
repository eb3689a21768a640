"""Two files of results side by side: what has become faster or slower, beyond the noise of both."""

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.config.files import MOST_LINES, read_bytes
from sweep.errors import SpecError

BUSY = 0.1  # cores that others kept busy, above which a time is in doubt
SAME = ("device", "cpu")  # of the environment, that two files should share

Line = Mapping[str, Any]


@dataclass(frozen=True)
class Ratio:
    """How many times as long something took in the first file as in the second: above 1, the second is the faster.

    Attributes
    ----------
    name : str
        Benchmark, case and result.
    median : float
        Ratio of the medians.
    low, high : float
        Bounds from the 10th percentile of one to the 90th of the other.
    busy : bool
        Whether others kept more than a tenth of a core busy in one of them.
    errors : tuple of float or None
        Largest errors [ulp], where both have one and they differ.
    """

    name: str
    median: float
    low: float
    high: float
    busy: bool
    errors: tuple[float, float] | None

    @property
    def verdict(self) -> str:
        """Whether the difference exceeds the noise: whether the spans from p10 to p90 are apart."""
        if self.low <= 1.0 <= self.high:
            return "within the noise"
        return "faster" if self.low > 1.0 else "slower"

    def __str__(self) -> str:
        """One line of a table."""
        text = f"{self.name:<90} {self.median:>6.3g} x ({self.low:.3g} to {self.high:.3g}) {self.verdict}"
        if self.busy:
            text += "; others kept cores busy"
        if self.errors is not None:
            text += f"; error {self.errors[0]:g} ulp, then {self.errors[1]:g}"
        return text


def compare(first: str | os.PathLike[str], second: str | os.PathLike[str]) -> Iterator[str]:
    """Say, line by line, what differs between two files of results.

    Of lines that a file has twice the later counts. What is not timed is left out.

    Raises
    ------
    SpecError
        For a file that holds no results, or two that share none.
    """
    a, b = read(first), read(second)
    shared = [key for key in a if key in b]
    if not shared:
        raise SpecError(f"{first} and {second}: share no result that is timed")
    yield f"time in {first} / time in {second}: above 1, the second is the faster"
    for name in SAME:
        values = [{line["environment"][name] for line in lines.values()} for lines in (a, b)]
        if values[0] != values[1]:
            yield f"{name} differs: {' and '.join(sorted(values[0]))} there, {' and '.join(sorted(values[1]))} here"
    for key in shared:
        yield str(ratio(a[key], b[key]))
    for path, lines in ((first, a), (second, b)):
        if alone := len(lines) - len(shared):
            yield f"only in {path}: {alone} results"


def ratio(first: Line, second: Line) -> Ratio:
    """Compare two results that are timed."""
    a, b = first["seconds"], second["seconds"]
    error, other = first.get("max_error_ulp"), second.get("max_error_ulp")
    return Ratio(
        ", ".join(first[key] for key in ("benchmark", "case", "result")),
        a["median"] / b["median"],
        a["p10"] / b["p90"],
        a["p90"] / b["p10"],
        any((line.get("cores_busy_with_others") or 0.0) > BUSY for line in (first, second)),
        (error, other) if error is not None and other is not None and error != other else None,
    )


def read(path: str | os.PathLike[str]) -> dict[tuple[str, str, str], Line]:
    """Read the lines of a file that are timed, by benchmark, case and result.

    Raises
    ------
    SpecError
        For a file that is not of results, naming the line.
    """
    timed = {}
    try:
        texts = read_bytes(Path(path), MOST_LINES).decode().splitlines()
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise SpecError(f"{path}: is not a file of results: {error}") from None
    for number, text in enumerate(texts, 1):
        try:
            line = json.loads(text)
            key = line["benchmark"], line["case"], line["result"]
            if line.get("seconds"):
                _check(key, line)
                timed[key] = line
        except (ArithmeticError, AttributeError, KeyError, RecursionError, TypeError, ValueError):
            raise SpecError(f"{path}: line {number} is not a result of sweep bench or of a benchmark") from None
    if not timed:
        raise SpecError(f"{path}: holds no result that is timed")
    return timed


def _check(key: tuple[Any, ...], line: Line) -> None:
    """Refuse a line of which :func:`compare` could say nothing.

    Raises
    ------
    ValueError, KeyError, TypeError
    """
    numbers = [line["seconds"][name] for name in ("p10", "median", "p90")]
    numbers += [1.0 + line[name] for name in ("cores_busy_with_others", "max_error_ulp") if line.get(name) is not None]
    if not all(map(math.isfinite, numbers)) or min(numbers) <= 0.0:
        raise ValueError(numbers)
    if not all(isinstance(text, str) for text in (*key, *(line["environment"][name] for name in SAME))):
        raise TypeError(key)
