"""How text is laid out for a terminal: tables, facts under their names, counts, bytes and units."""

import math
import shutil
import textwrap
from collections.abc import Iterable, Iterator


def table(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Lay out columns, two spaces apart."""
    kept = list(rows)
    widths = [max(map(len, column)) for column in zip(*kept, strict=True)]
    for row in kept:
        yield "  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def facts(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Lay out names and texts, leaving out what is empty."""
    width = max(60, min(120, shutil.get_terminal_size((100, 24)).columns))
    for name, text in rows:
        if text:
            yield from textwrap.wrap(text, width, initial_indent=f"{name:<10}", subsequent_indent=" " * 10)


def count(number: int, noun: str) -> str:
    """A number of things: "1 block", "2,000 blocks"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def in_bytes(number: int) -> str:
    """A number of bytes in decimal units: "81.2 kB"."""
    if number < 1000:
        return f"{number} B"
    power = min(int(math.log10(number)) // 3, 6)
    return f"{number / 1000**power:.3g} {' kMGTPE'[power]}B"


def shape(dims: Iterable[str], lengths: Iterable[int]) -> str:
    """Say which dimensions a variable has and how long they are."""
    return " x ".join(f"{dim} {length:,}" for dim, length in zip(dims, lengths, strict=True)) or "one number"


def unit_text(unit: str) -> str:
    """Write a unit, "" for that of a plain number."""
    return "" if unit == "1" else unit
