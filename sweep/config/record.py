"""Frozen, validated records of a config, whose errors are one line: the key, the value and what is allowed."""

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


class Frozen(BaseModel):
    """A record that cannot be changed, of which unknown keys and values of other types are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def __init__(self, /, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise SpecError(_one_line(error, type(self))) from None


_EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "a table",
    "float_type": "a number",
    "int_type": "a whole number",
    "model_type": "a table",
    "string_type": "a string",
    "tuple_type": "a list",
}


def _one_line(error: ValidationError, owner: type[BaseModel]) -> str:
    """Turn the first complaint of pydantic into this project's one line."""
    first = error.errors(include_url=False)[0]
    where = [str(part) for part in first["loc"]]
    key, got = ".".join(where), first["input"]
    kind, message = first["type"], first["msg"]
    if kind == "extra_forbidden":
        return unknown("key", key, owner.model_fields)
    if kind == "value_error":
        message = message.removeprefix("Value error, ")
        # An axis or a value within a sweep has made its own line, which lacks where it stands.
        nested = {name for record in Frozen.__subclasses__() for name in record.model_fields}
        if message.split(":")[0].split(".")[0] in nested:
            return f"{key}.{message}" if key else message
        if len(where) == 2 and where[0] == "axes" and not message.startswith("unknown key"):
            return f'axis "{where[1]}": {message}'
        return f"{key}: {message}" if key else message
    if kind == "missing":
        return f"{key}: is required"
    if kind == "literal_error":
        return f"{key}: must be {first['ctx']['expected'].replace(chr(39), chr(34))}, got {short(got)}"
    if kind in ("too_short", "too_long"):
        length = first["ctx"].get("min_length", first["ctx"].get("max_length"))
        return f"{key}: must not be empty" if length == 1 else f"{key}: must have {length} entries, got {short(got)}"
    expected = _EXPECTED.get(kind, message.removeprefix("Input should be "))
    if kind == "model_type" and first["ctx"]["class_name"] == "Axis":
        expected += " such as {start = 0, stop = 20, num = 201} or {values = [1, 2]}"
    return f"{key}: must be {expected}, got {short(got)}"
