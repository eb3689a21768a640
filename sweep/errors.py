"""What is wrong, in one line: the key, the value, what is allowed and what to do."""

import json
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

LONGEST = 1000  # characters of a message


class SpecError(ValueError):
    """A sweep that cannot be run as written; the message is one line naming the key, the value and what is allowed."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class Caution(UserWarning):
    """What may go on, and is told: values that were probably meant otherwise, blocks larger than the memory."""


def one_line(text: str) -> str:
    """Write line breaks and other characters that do not print as escapes; cut out the middle of what is too long."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in _cut(text))
    return _cut(text)


def _cut(text: str) -> str:
    """Keep the ends: what is wrong stands first, and what is allowed last."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[5 - LONGEST // 2 :]}"


class StoreError(OSError):
    """A store that cannot be used; the message is one line naming the path, what is wrong and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


def unknown(kind: str, name: str, allowed: Iterable[str]) -> str:
    """One line for a name that does not exist: the nearest that does, then all that do."""
    names = list(allowed)
    # The search takes time with the product of the lengths; what is longer than any name of ours is near to none.
    near = get_close_matches(name, names[:1000], n=1) if len(name) <= 100 else []
    hint = f"did you mean {near[0]}? " if near else ""
    return f"unknown {kind} {json.dumps(name, ensure_ascii=False)}; {hint}allowed: {', '.join(names)}"


def short(value: Any) -> str:
    """Show a value in an error message, cut after 60 characters."""
    if value is None:
        return "absent"
    try:
        text = json.dumps(value, default=repr)
    except (ValueError, RecursionError):
        return f"{type(value).__name__} too large to show"
    return text if len(text) <= 60 else f"{text[:57]}..."
