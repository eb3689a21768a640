"""What to sweep: a TOML file or keyword arguments become a frozen, validated :class:`SweepSpec`.

This module knows the shape of a config, not the models: whether a parameter exists and which values it may take is
checked by :meth:`sweep.model.Model.resolve`.
"""

import hashlib
import json
import math
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)

Loss = Literal["total", "excess"]
DType = Literal["float32", "float64"]


class SpecError(ValueError):
    """A sweep that cannot be run as written; the message is one line naming the key, the value and what is allowed."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


def one_line(text: str) -> str:
    """Write line breaks and other characters that do not print as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class _ReadOnly(dict[str, Any]):
    """A dict that cannot be changed; it pickles and copies, which MappingProxyType does not."""

    def _refuse(self, *_: Any, **__: Any) -> None:
        raise TypeError("a sweep cannot be changed; make another with model_copy(update=...)")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)


def _plain(value: Any) -> Any:
    """Turn a number or bool of NumPy into Python's; leave the rest to be judged as it is."""
    if isinstance(value, np.integer | np.bool_):
        return value.item()
    return float(value) if isinstance(value, np.floating) else value


def _list(value: Any) -> Any:
    if hasattr(value, "__array__") and np.ndim(value):
        value = list(np.asarray(value))
    return tuple(map(_plain, value)) if isinstance(value, list | tuple | range) else value


_Float = Annotated[float, BeforeValidator(_plain)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def __init__(self, /, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise SpecError(_one_line(error, type(self))) from None


class Axis(_Frozen):
    """The values of one swept parameter: a range, linear or logarithmic, or a list of values.

    Attributes
    ----------
    start, stop : float
        First and last value of a range, both included, in the unit of the parameter.
    num : int
        Number of points of the range, at least 2.
    spacing : {"linear", "log"}
        Even steps in the value or in its logarithm (then ``start > 0``).
    values : tuple of float
        The values themselves, strictly monotone, instead of a range.
    source : str
        Where the range comes from; kept in the dataset, ignored by the fingerprint.
    """

    start: _Float | None = None
    stop: _Float | None = None
    num: Annotated[int | None, BeforeValidator(_plain)] = Field(default=None, ge=2, le=10**15)
    spacing: Literal["linear", "log"] | None = None
    values: Annotated[tuple[float, ...], BeforeValidator(_list)] | None = None
    source: str = ""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.values is not None:
            given = [key for key in ("start", "stop", "num", "spacing") if getattr(self, key) is not None]
            if given:
                raise ValueError(f'give either "values" or start, stop and num, got values and {", ".join(given)}')
            if not self.values:
                raise ValueError("values must hold at least one number, got []")
            before, after = np.asarray(self.values[:-1]), np.asarray(self.values[1:])  # differences could overflow
            if not (np.all(before < after) or np.all(before > after)):
                got = _short(list(self.values))
                raise ValueError(f"values must be strictly increasing or strictly decreasing, got {got}")
            return self
        missing = [key for key in ("start", "stop", "num") if getattr(self, key) is None]
        if missing:
            raise ValueError(f'needs start, stop and num, or "values"; {", ".join(missing)} missing')
        if not self.start < self.stop:
            raise ValueError(f"start must be below stop, got start={self.start}, stop={self.stop}")
        if self.spacing == "log" and not self.start > 0:
            raise ValueError(f"a log axis must start above 0, got start={self.start}")
        self._check_resolution()
        return self

    def _check_resolution(self) -> None:
        extent = self.stop / self.start if self.is_log else self.stop - self.start
        if math.isinf(extent):
            raise ValueError(f"start and stop are too far apart for float64, got start={self.start}, stop={self.stop}")
        step = math.log(extent) / (self.num - 1) if self.is_log else extent / (self.num - 1)
        finest = 1.0 if self.is_log else max(abs(self.start), abs(self.stop))
        if step < 8 * np.finfo(np.float64).eps * finest:
            raise ValueError(f"num={self.num} points between {self.start} and {self.stop} are too close for float64")

    @property
    def is_log(self) -> bool:
        """Whether the values are evenly spaced in their logarithm."""
        return self.spacing == "log"

    def __len__(self) -> int:
        """Count the points."""
        return len(self.values) if self.values is not None else self.num

    def coordinates(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Values at the indices ``start`` to ``stop`` (exclusive), the same bits however the axis is cut.

        Returns
        -------
        numpy.ndarray
            Shape (stop - start,), float64.
        """
        stop = len(self) if stop is None else stop
        if self.values is not None:
            return np.asarray(self.values[start:stop], dtype=np.float64)
        index = np.arange(start, stop)
        fraction = index / (self.num - 1)
        if self.is_log:
            # numpy's power is within an ulp; a sum of logs would lose several.
            points = self.start * (self.stop / self.start) ** fraction
        else:
            points = self.start + (self.stop - self.start) * fraction
        return np.where(index == self.num - 1, self.stop, points)

    def canonical(self) -> dict[str, Any]:
        """Give what decides the values, the default spacing spelled out."""
        if self.values is not None:
            return {"values": list(self.values)}
        return {"start": self.start, "stop": self.stop, "num": self.num, "spacing": self.spacing or "linear"}

    def bounds(self) -> tuple[float, float]:
        """Lowest and highest value."""
        ends = (self.values[0], self.values[-1]) if self.values is not None else (self.start, self.stop)
        return min(ends), max(ends)


class Fixed(_Frozen):
    """One value for the whole sweep, and where it comes from (ignored by the fingerprint)."""

    value: _Float
    source: str = ""


def _fixed(value: Any) -> Any:
    return {"value": value} if not isinstance(value, dict | Fixed) else value


class SweepSpec(_Frozen):
    """One sweep: a model, the outputs wanted of it, and for each parameter an axis or one value.

    Attributes
    ----------
    model : str
        Name of the model, "relative_loss" for the shipped one.
    loss : {"total", "excess"}
        Which loss the power law is on, so which kind of exponent belongs in it (model.md section 1).
    outputs : tuple of str
        Names of the outputs to evaluate.
    axes : dict of str to Axis
        Swept parameters; their order is the order of the dimensions.
    fixed : dict of str to Fixed
        Parameters held at one value. The model's defaults fill in the rest.
    dtype : {"float32", "float64"}
        Precision of evaluation and storage.
    title : str
        The question in words; kept in the dataset, ignored by the fingerprint.
    """

    model: str = "relative_loss"
    loss: Loss | None = None
    outputs: Annotated[
        tuple[str, ...],
        BeforeValidator(_list),
        Field(min_length=1),
    ]
    axes: Annotated[dict[str, Axis], Field(min_length=1), AfterValidator(_ReadOnly)]
    fixed: Annotated[dict[str, Annotated[Fixed, BeforeValidator(_fixed)]], AfterValidator(_ReadOnly)] = _ReadOnly()
    dtype: DType = "float32"
    title: str = ""
    _path: str = PrivateAttr(default="")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in self.fixed:
            if name in self.axes:
                raise ValueError(f"{name} is given twice, under axes and under fixed; keep one")
        for name in self.outputs:
            if self.outputs.count(name) > 1:
                raise ValueError(f'outputs names "{name}" twice; name each output once')
        return self

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy with some fields replaced, unchecked; the copy cannot be changed either."""
        update = {key: _ReadOnly(v) if key in ("axes", "fixed") else v for key, v in (update or {}).items()}
        return super().model_copy(update=update, deep=deep)

    @property
    def path(self) -> str:
        """The file this was read from, "" when made in Python."""
        return self._path

    @property
    def shape(self) -> dict[str, int]:
        """Length of each axis, in order."""
        return {name: len(axis) for name, axis in self.axes.items()}

    def canonical(self) -> dict[str, Any]:
        """Give what decides the numbers, as plain JSON values: no titles, no sources."""
        content = {
            "model": self.model,
            "loss": self.loss,
            "dtype": self.dtype,
            "outputs": list(self.outputs),
            "axes": {k: v.canonical() for k, v in self.axes.items()},
            "fixed": {k: self.fixed[k].value for k in sorted(self.fixed)},
        }
        return json.loads(json.dumps(content))

    def fingerprint(self) -> str:
        """First 16 hex digits of the SHA-256 of :meth:`canonical`."""
        return hashlib.sha256(json.dumps(self.canonical()).encode()).hexdigest()[:16]


def read(path: str | Path) -> SweepSpec:
    """Read and validate a config file, without checking it against its model.

    Raises
    ------
    SpecError
        One line that names the file, the key, the value and what is allowed.
    """
    try:
        with open(path, "rb") as file:
            content = tomllib.load(file)
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from None
    except RecursionError:
        raise SpecError(f"{path}: is not a config: tables or lists nested too deeply") from None
    except ValueError as error:  # of the syntax, the encoding, or an integer of thousands of digits
        reason = str(error).split("; use sys.")[0].replace("\n", " ")
        raise SpecError(f"{path}: is not valid TOML: {reason}") from None
    try:
        spec = SweepSpec(**content)
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None
    spec._path = str(path)
    return spec


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
            yield f"{name} is {_short(b)} there, {_short(a)} here"


def unknown(kind: str, name: str, allowed: Iterable[str]) -> str:
    """One line for a name that does not exist: the nearest that does, then all that do."""
    names = list(allowed)
    near = get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"unknown {kind} {json.dumps(name, ensure_ascii=False)}; {hint}allowed: {', '.join(names)}"


def _short(value: Any) -> str:
    if value is None:
        return "absent"
    try:
        text = json.dumps(value, default=repr)
    except (ValueError, RecursionError):
        return f"{type(value).__name__} too large to show"
    return text if len(text) <= 60 else f"{text[:57]}..."


_EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "a table",
    "float_type": "a number",
    "int_type": "a whole number",
    "model_type": "a table such as {start = 0, stop = 20, num = 201} or {values = [1, 2]}",
    "string_type": "a string",
    "tuple_type": "a list",
}
_ALLOWED = {"loss": '"total" or "excess"', "dtype": '"float32" or "float64"', "spacing": '"linear" or "log"'}


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
        if message.split(":")[0].split(".")[0] in (*Axis.model_fields, *Fixed.model_fields):
            return f"{key}.{message}" if key else message
        if len(where) == 2 and where[0] == "axes" and not message.startswith("unknown key"):
            return f'axis "{where[1]}": {message}'
        return f"{key}: {message}" if key else message
    if kind == "missing":
        return f"{key}: is required"
    if kind == "literal_error":
        return f"{key}: must be {_ALLOWED[where[-1]]}, got {_short(got)}"
    if kind == "too_short":
        return f"{key}: must not be empty"
    return f"{key}: must be {_EXPECTED.get(kind, message.removeprefix('Input should be '))}, got {_short(got)}"
