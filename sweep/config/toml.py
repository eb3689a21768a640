"""A spec as the text of a config: TOML, which the standard library reads and does not write."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from sweep.config.distribution import DRAWN
from sweep.config.spec import SweepSpec


def as_toml(spec: SweepSpec) -> str:
    """Write a spec as a config that reads as the same spec.

    Parameters
    ----------
    spec : SweepSpec
        As :func:`sweep.config.spec.read` gives it, or made in Python.
    """
    content = spec.model_dump(mode="json", exclude_none=True, exclude_unset=True)
    if spec.distributions:  # draws make axes of their own
        content["axes"] = {name: axis for name, axis in content.get("axes", {}).items() if name not in DRAWN}
    return "\n".join(_table(content, ())) + "\n"


def _table(content: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """Lines of a table: its values, then the tables in it that are not empty."""
    inside = {key: value for key, value in content.items() if isinstance(value, Mapping)}
    yield from (f"{_key(key)} = {_value(value)}" for key, value in content.items() if key not in inside)
    for key, value in inside.items():
        if any(not isinstance(one, Mapping) for one in value.values()):
            yield from ("", f"[{'.'.join(map(_key, (*path, key)))}]")
        yield from _table(value, (*path, key))


def _key(key: str) -> str:
    return key if key.isascii() and key.isidentifier() else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_key(key)} = {_value(one)}' for key, one in value.items())} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    # JSON's numbers, truth values and strings are TOML's too, but for one character that TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
