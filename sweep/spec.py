"""What to sweep: a TOML file or keyword arguments become a frozen, validated :class:`SweepSpec`.

This module knows the shape of a config, not the models: whether a parameter exists and which values it may take is
checked by :meth:`sweep.model.Model.resolve`.
"""

import hashlib
import json
import math
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, get_args

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
MOST_EDGES = 10_001
DType = Literal["float32", "float64"]
Kind = Literal["mean", "variance", "std", "min", "max", "argmin", "argmax", "quantiles", "share", "histogram"]


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
        return self.at(np.arange(start, stop))

    def at(self, index: np.ndarray) -> np.ndarray:
        """Values at any indices, the same bits as :meth:`coordinates`.

        Parameters
        ----------
        index : numpy.ndarray
            Whole numbers from 0 to the number of points - 1, any shape, unchecked.

        Returns
        -------
        numpy.ndarray
            float64, the shape of `index`.
        """
        if self.values is not None:
            return np.asarray(self.values, dtype=np.float64)[index]
        row = np.ravel(index)  # NumPy rounds the power of a number by itself in another way than that of a row
        fraction = row / (self.num - 1)
        if self.is_log:
            # numpy's power is within an ulp; a sum of logs would lose several.
            points = self.start * (self.stop / self.start) ** fraction
        else:
            points = self.start + (self.stop - self.start) * fraction
        return np.where(row == self.num - 1, self.stop, points).reshape(np.shape(index))

    def canonical(self) -> dict[str, Any]:
        """Give what decides the values, the default spacing spelled out."""
        if self.values is not None:
            return {"values": list(self.values)}
        return {"start": self.start, "stop": self.stop, "num": self.num, "spacing": self.spacing or "linear"}

    def bounds(self) -> tuple[float, float]:
        """Lowest and highest value."""
        ends = (self.values[0], self.values[-1]) if self.values is not None else (self.start, self.stop)
        return min(ends), max(ends)


class Allocation(_Frozen):
    """How a budget may be split, for the model "front_loading".

    Attributes
    ----------
    dates : int
        Dates of purchase K, 1 to 64, at k/K of the horizon.
    objective : {"mean", "terminal"}
        What is made least: the discounted mean of the relative excess loss up to the horizon, or its logarithm there.
    software : {"live", "locked"}
        Whether better software lifts everything installed, or only what is bought with it.
    """

    dates: Annotated[int, BeforeValidator(_plain)] = Field(default=8, ge=1, le=64)
    objective: Literal["mean", "terminal"] = "mean"
    software: Literal["live", "locked"] = "live"


class Fixed(_Frozen):
    """One value for the whole sweep, and where it comes from (ignored by the fingerprint)."""

    value: _Float
    source: str = ""


class Condition(NamedTuple):
    """A comparison of an output with a number, such as ``relative_loss < 0.5``."""

    output: str
    sign: str
    bound: float


def conditions_of(where: str) -> tuple[Condition, ...]:
    """Read comparisons of names with numbers, joined by ``and``.

    Raises
    ------
    ValueError
        For anything else.
    """
    found = []
    for part in re.split(r"\band\b", where):
        match = re.fullmatch(r"\s*([A-Za-z_]\w*)\s*(<=|>=|<|>)\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*", part)
        try:
            found.append(Condition(match[1], match[2], float(match[3])))
        except (TypeError, ValueError):
            raise ValueError(
                f"where: must be comparisons such as relative_loss < 0.5, joined by and, got {_short(where)}"
            ) from None
    return tuple(found)


class Statistic(_Frozen):
    """What a sweep keeps of an output instead of its values: one number for all points along some axes.

    Every grid point counts alike, so the mean along a logarithmic axis is one over logarithms. Squares are held in the
    type of the sweep: in float32 a deviation beyond 1e19 makes variance and std infinite or NaN, one below 1e-19 counts
    as none.

    Attributes
    ----------
    statistic : str
        "mean", "variance" and "std" (of the points themselves: divided by their number), "min", "max", "argmin",
        "argmax" (the values of the axes where the output is least or largest, the first point of several),
        "quantiles", "share" (of the points where a condition holds) or "histogram" (counts).
    over : tuple of str
        Axes along which the statistic is taken.
    output : str
        The output it is taken of; for a share the condition names it.
    probabilities : tuple of float
        Of the quantiles, increasing, in [0, 1].
    where : str
        Condition of a share: comparisons such as ``relative_loss < 0.5``, joined by ``and``.
    edges : Axis
        Of the bins of a histogram, increasing; a bin holds its lower edge, the last one both. Values outside are not
        counted.
    """

    statistic: Kind
    over: Annotated[tuple[str, ...], BeforeValidator(_list), Field(min_length=1)]
    output: str | None = None
    probabilities: Annotated[tuple[float, ...] | None, BeforeValidator(_list)] = None
    where: str | None = None
    edges: Axis | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needs = {"quantiles": "probabilities", "share": "where", "histogram": "edges"}
        for kind, key in needs.items():
            given = getattr(self, key) is not None
            if given and kind != self.statistic:
                raise ValueError(f'{key}: belongs to statistic = "{kind}", got it with "{self.statistic}"; drop it')
            if not given and kind == self.statistic:
                raise ValueError(f'{key}: is required by statistic = "{kind}"')
        if (self.output is None) != (self.statistic == "share"):
            if self.output is None:
                raise ValueError(f'output: is required by statistic = "{self.statistic}"')
            raise ValueError("output: the condition of a share names its outputs; drop it")
        for name in self.over:
            if self.over.count(name) > 1:
                raise ValueError(f'over: names "{name}" twice')
        found = self.probabilities or ()
        if self.probabilities == () or not all(0.0 <= p <= 1.0 for p in found):
            raise ValueError(f"probabilities: must be one number or more in [0, 1], got {_short(list(found))}")
        if not all(a < b for a, b in pairwise(found)):
            raise ValueError(f"probabilities: must be increasing, got {_short(list(found))}")
        if self.edges is not None:
            edges = self.edges.coordinates(0, MOST_EDGES + 1)
            if not 2 <= len(self.edges) <= MOST_EDGES or edges[0] > edges[1]:
                got = _short(self.edges.canonical())
                raise ValueError(f"edges: must be 2 to {MOST_EDGES:,} increasing numbers, got {got}")
            middles = edges[:-1] / 2.0 + edges[1:] / 2.0
            if not np.all(middles[:-1] < middles[1:]):
                raise ValueError("edges: are too close for float64 to hold the middles of the bins apart")
        _ = self.conditions
        return self

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The comparisons of a share."""
        return conditions_of(self.where) if self.where is not None else ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """The outputs it is taken of."""
        return (self.output,) if self.output is not None else tuple(dict.fromkeys(c.output for c in self.conditions))

    def canonical(self) -> dict[str, Any]:
        """Give what decides the numbers."""
        found = {"statistic": self.statistic, "over": sorted(self.over), "output": self.output}
        found |= {"probabilities": self.probabilities and list(self.probabilities)}
        found |= {"where": self.where and " and ".join(f"{c.output} {c.sign} {c.bound!r}" for c in self.conditions)}
        found |= {"edges": self.edges and self.edges.canonical()}
        return {key: value for key, value in found.items() if value is not None}


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
        Names of the outputs to evaluate; those of the statistics if not given.
    axes : dict of str to Axis
        Swept parameters; their order is the order of the dimensions.
    fixed : dict of str to Fixed
        Parameters held at one value. The model's defaults fill in the rest.
    statistics : dict of str to Statistic
        What to keep of the outputs, by the names of the variables of the result; if empty, all values.
    allocation : Allocation
        How a budget may be split, for :func:`sweep.optimise`.
    dtype : {"float32", "float64"}
        Precision of evaluation and storage.
    title : str
        The question in words; kept in the dataset, ignored by the fingerprint.
    """

    model: str = "relative_loss"
    loss: Loss | None = None
    outputs: Annotated[tuple[str, ...], BeforeValidator(_list), Field(min_length=1)] = ()
    axes: Annotated[dict[str, Axis], Field(min_length=1), AfterValidator(_ReadOnly)]
    fixed: Annotated[dict[str, Annotated[Fixed, BeforeValidator(_fixed)]], AfterValidator(_ReadOnly)] = _ReadOnly()
    statistics: Annotated[dict[str, Statistic], AfterValidator(_ReadOnly)] = _ReadOnly()
    allocation: Allocation | None = None
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
        used = tuple(dict.fromkeys(name for statistic in self.statistics.values() for name in statistic.outputs))
        if not self.outputs:
            if not used and self.allocation is None:
                raise ValueError("outputs: is required, or [statistics] of them")
            object.__setattr__(self, "outputs", used)
        for key, statistic in self.statistics.items():
            self._check_statistic(key, statistic)
        for name in self.outputs if used else ():
            if name not in used:
                raise ValueError(f'outputs: no statistic is of "{name}", and only statistics are kept; drop it')
        return self

    def _check_statistic(self, key: str, statistic: Statistic) -> None:
        if not key.isidentifier() or key in ("quantile", *self.axes):
            raise ValueError(f'statistics: "{key}" cannot be the name of a variable beside the axes; use another')
        made = {f"{key}_{dim}" for dim in self.axes} if "arg" in statistic.statistic else {f"{key}_bin"}
        for name in sorted(made & {*self.statistics, *self.axes}):
            raise ValueError(f'statistics: "{key}" makes a variable "{name}", which is given too; rename one')
        for name in statistic.outputs:
            if name not in self.outputs:
                raise ValueError(f'statistics.{key}: "{name}" is not among the outputs ({", ".join(self.outputs)})')
        for name in statistic.over:
            if name not in self.axes:
                raise ValueError(f"statistics.{key}.over: {unknown('axis', name, self.axes)}")
        quantiles = [s.probabilities for s in self.statistics.values() if s.probabilities is not None]
        if any(found != quantiles[0] for found in quantiles):
            raise ValueError("statistics: quantiles share one axis of probabilities; give all the same")

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy with some fields replaced, unchecked; the copy cannot be changed either."""
        update = {
            key: _ReadOnly(v) if key in ("axes", "fixed", "statistics") else v for key, v in (update or {}).items()
        }
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
        if self.allocation is not None:
            content["allocation"] = self.allocation.model_dump()
        if self.statistics:
            content["statistics"] = {k: v.canonical() for k, v in self.statistics.items()}
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
_ALLOWED |= {"objective": '"mean" or "terminal"', "software": '"live" or "locked"'}
_ALLOWED["statistic"] = ", ".join(f'"{kind}"' for kind in get_args(Kind))


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
        if message.split(":")[0].split(".")[0] in (*Axis.model_fields, *Fixed.model_fields, *Statistic.model_fields):
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
