"""Frozen, validated records of a config, whose errors are one line: the key, the value and what is allowed."""

import html
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NoReturn

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from sweep.errors import SpecError, short, unknown


class ReadOnly(dict[str, Any]):
    """A dict that cannot be changed; it pickles and copies, which MappingProxyType does not."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("a sweep cannot be changed; make another with model_copy(update=...)")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a plain dict."""
        return type(self), (dict(self),)


def plain(value: Any) -> Any:
    """Turn a number or bool of NumPy into Python's; leave the rest to be judged as it is."""
    if isinstance(value, np.integer | np.bool_):
        return value.item()
    return float(value) if isinstance(value, np.floating) else value


def listed(value: Any) -> Any:
    """Turn a list, range or array into a tuple of plain numbers; leave the rest to be judged as it is."""
    if hasattr(value, "__array__") and np.ndim(value):
        value = list(np.asarray(value))
    return tuple(map(plain, value)) if isinstance(value, list | tuple | range) else value


Float = Annotated[float, BeforeValidator(plain)]


class FieldError(SpecError):
    """What is wrong in a record, and where in it.

    Parameters
    ----------
    place : tuple of str or int, or str
        The keys that lead there, as pydantic's ``loc`` has them; () for the record as a whole.
    text : str
        What is wrong, without the place.
    is_rule : bool
        Whether a rule of ours is broken, rather than the form of a config.
    """

    def __init__(self, place: tuple[str | int, ...] | str, text: str, *, is_rule: bool = True) -> None:
        self.place = (place,) if isinstance(place, str) else place
        self.text, self.is_rule = text, is_rule
        super().__init__(self._line())

    def _line(self) -> str:
        """Give the place and what is wrong there: an axis that breaks a rule by its name, anything else by its keys."""
        if not self.place:
            return self.text
        if self.is_rule and len(self.place) == 2 and self.place[0] == "axes":
            return f'axis "{self.place[1]}": {self.text}'
        return f"{'.'.join(map(str, self.place))}: {self.text}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the error that it is to others."""
        return SpecError, (str(self),)


class Frozen(BaseModel):
    """A record that cannot be changed, of which unknown keys and values of other types are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def __init__(self, /, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise _first_of(error, type(self)) from None


_EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "a table",
    "float_type": "a number",
    "int_type": "a whole number",
    "model_type": "a table",
    "string_type": "a string",
    "tuple_type": "a list",
}


def _first_of(error: ValidationError, owner: type[BaseModel]) -> FieldError:
    """Turn the first complaint of pydantic into this project's one line."""
    first = error.errors(include_url=False)[0]
    place, kind = first["loc"], first["type"]
    if kind == "extra_forbidden":
        return FieldError(place[:-1], unknown("key", str(place[-1]), owner.model_fields), is_rule=False)
    if kind == "value_error":
        raised = first["ctx"]["error"]
        if isinstance(raised, FieldError):  # of a record within this one, or of a rule that names a field
            return FieldError((*place, *raised.place), raised.text, is_rule=raised.is_rule)
        return FieldError(place, str(raised))
    return FieldError(place, _form(kind, first["msg"], first["input"], first.get("ctx", {})), is_rule=False)


def _form(kind: str, message: str, got: Any, context: dict[str, Any]) -> str:
    """Say which form a value must have."""
    if kind == "missing":
        return "is required"
    if kind == "literal_error":
        return f"must be {context['expected'].replace(chr(39), chr(34))}, got {short(got)}"
    if kind in ("too_short", "too_long"):
        length = context.get("min_length", context.get("max_length"))
        return "must not be empty" if length == 1 else f"must have {length} entries, got {short(got)}"
    expected = _EXPECTED.get(kind, message.removeprefix("Input should be "))
    if kind == "model_type" and context["class_name"] == "Axis":
        expected += " such as {start = 0, stop = 20, num = 201} or {values = [1, 2]}"
    return f"must be {expected}, got {short(got)}"


def as_table(rows: Mapping[str, object]) -> str:
    """Write names and texts as a table for a notebook, which shows them as they are; what is empty is left out."""
    lines = (f"<tr><th>{html.escape(k)}</th><td>{html.escape(str(v))}</td></tr>" for k, v in rows.items() if v)
    return f"<table>{''.join(lines)}</table>"


def differences(here: Mapping[str, Any], there: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Name the leaves in which two nested mappings differ: ``axes.time.num is 200 there, 400 here``."""
    for key in [*there, *(key for key in here if key not in there)]:
        name = f"{prefix}{key}"
        a, b = here.get(key), there.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from differences(a, b, f"{name}.")
            if sorted(a) == sorted(b) and list(a) != list(b):
                yield f"the order of {name} is {', '.join(b)} there, {', '.join(a)} here"
        elif a != b:
            yield f"{name} is {short(b)} there, {short(a)} here"
