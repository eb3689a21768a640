"""What a sweep keeps of an output instead of its values, and the conditions that a share counts."""

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from sweep.config.axis import Axis
from sweep.config.kinds import KINDS, NEEDS, Kind
from sweep.config.record import FieldError, Frozen, listed
from sweep.errors import SpecError, short

MOST_EDGES = 10_001
MOST_CONDITIONS = 100  # each is compiled into every point
if TYPE_CHECKING:
    Name = str
else:
    Name = Literal[tuple(KINDS)]


class Condition(NamedTuple):
    """A comparison of an output with a number, such as ``relative_loss < 0.5``."""

    output: str
    sign: str
    bound: float


def conditions_of(where: str, key: str = "where") -> tuple[Condition, ...]:
    """Read comparisons of names with numbers, joined by ``and``, that are given under a key.

    Raises
    ------
    FieldError
        For anything else, and for more than `MOST_CONDITIONS`.
    """
    parts = re.split(r"\band\b", where)
    if len(parts) > MOST_CONDITIONS:
        raise FieldError(key, f"must be at most {MOST_CONDITIONS} comparisons, got {len(parts):,}")
    try:
        return tuple(map(_condition, parts))
    except ValueError:
        text = f"must be comparisons such as relative_loss < 0.5, joined by and, got {short(where)}"
        raise FieldError(key, text) from None


def _condition(part: str) -> Condition:
    match = re.fullmatch(r"\s*([A-Za-z_]\w*)\s*(<=|>=|<|>)\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*", part)
    if match is None:
        raise ValueError(f"{part} is no comparison")
    return Condition(match[1], match[2], float(match[3]))


def refuse_subnormal(where: str, conditions: Iterable[Condition], dtype: str) -> None:
    """Refuse a bound that a device takes for 0.

    Raises
    ------
    SpecError
        One line.
    """
    least = float(np.finfo(dtype).tiny)
    for condition in conditions:
        if 0.0 < abs(condition.bound) < least:
            raise SpecError(
                f"{where}: {condition.bound:g} is nearer to 0 than {dtype} numbers are ({least:.2g}); compare with 0"
            )


class Statistic(Frozen):
    """What a sweep keeps of an output instead of its values: one number for all points along some axes.

    Every grid point counts alike, so the mean along a logarithmic axis is one over logarithms. Squares are held in the
    type of the sweep: in float32 a deviation beyond 1e19 makes variance and std infinite or NaN, one below 1e-19 counts
    as none. Skewness and correlation have no such limits: of normal numbers up to a 64th of the largest, a correlation
    is within 4 units of rounding of the type (1.2e-7, or 2.2e-16), and a skewness within 4 times the mean cube of the
    deviations, signs dropped, in standard deviations; both are NaN of constants and of what is not finite. A sum is the
    mean times the number of points, infinite or NaN with it, within 4 such units of the sum of the magnitudes.

    Attributes
    ----------
    statistic : str
        "mean", "sum", "variance", "std" and "skewness" (of the points themselves: divided by their number),
        "correlation" (Pearson's, of two outputs), "min", "max", "argmin", "argmax" (the values of the axes where the
        output is least or largest, the first point of several), "quantiles", "share" (of the points where a condition
        holds) or "histogram" (counts).
    over : tuple of str
        Axes along which the statistic is taken.
    output : str
        The output it is taken of; for a share the condition names it.
    outputs : tuple of str
        The two outputs it is taken of, where it is of two.
    probabilities : tuple of float
        Of the quantiles, increasing, in [0, 1].
    where : str
        Condition of a share: comparisons such as ``relative_loss < 0.5``, joined by ``and``.
    regret : tuple of str
        Axes that are choices: the statistic is then of how much more the output is than its least along them, all else
        and the draw the same.
    edges : Axis
        Of the bins of a histogram, increasing; a bin holds its lower edge, the last one both. Values outside are not
        counted.
    """

    statistic: Name
    over: Annotated[tuple[str, ...], BeforeValidator(listed), Field(min_length=1)]
    output: str | None = None
    outputs: Annotated[tuple[str, ...] | None, BeforeValidator(listed), Field(min_length=2, max_length=2)] = None
    probabilities: Annotated[tuple[float, ...] | None, BeforeValidator(listed)] = None
    where: str | None = None
    regret: Annotated[tuple[str, ...] | None, BeforeValidator(listed), Field(min_length=1)] = None
    edges: Axis | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for key in NEEDS:
            if key in self.kind.needs and getattr(self, key) is None:
                raise FieldError(key, f'is required by statistic = "{self.statistic}"')
            if key not in self.kind.needs and getattr(self, key) is not None:
                raise FieldError(key, self._superfluous(key))
        for name in self.over:
            if self.over.count(name) > 1:
                raise FieldError("over", f'names "{name}" twice')
        outputs, regret = self.outputs or (), self.regret or ()
        for name in outputs:
            if outputs.count(name) > 1:
                raise FieldError("outputs", f'names "{name}" twice')
        for name in regret:
            if self.output is None:
                raise FieldError("regret", f"belongs to statistics of an output, not to a {self.statistic}; drop it")
            if name in self.over or regret.count(name) > 1:
                raise FieldError("regret", f'"{name}" must be given once, and not among over too')
        probabilities = self.probabilities or ()
        if self.probabilities == () or not all(0.0 <= p <= 1.0 for p in probabilities):
            raise FieldError("probabilities", f"must be one number or more in [0, 1], got {short(list(probabilities))}")
        if not all(a < b for a, b in pairwise(probabilities)):
            raise FieldError("probabilities", f"must be increasing, got {short(list(probabilities))}")
        if self.edges is not None:
            edges = self.edges.coordinates(0, MOST_EDGES + 1)
            if not 2 <= len(self.edges) <= MOST_EDGES or edges[0] > edges[1]:
                got = short(self.edges.canonical())
                raise FieldError("edges", f"must be 2 to {MOST_EDGES:,} increasing numbers, got {got}")
            middles = edges[:-1] / 2.0 + edges[1:] / 2.0
            if not np.all(middles[:-1] < middles[1:]):
                raise FieldError("edges", "are too close for float64 to hold the middles of the bins apart")
        _ = self.conditions
        return self

    def _superfluous(self, key: str) -> str:
        """Say why a field is not one of this kind."""
        if key == "output":
            return f'statistic = "{self.statistic}" takes {self.kind.needs[0]} in its place; drop it'
        others = " or ".join(f'"{kind.name}"' for kind in KINDS.values() if key in kind.needs)
        return f'belongs to statistic = {others}, got it with "{self.statistic}"; drop it'

    @property
    def kind(self) -> Kind:
        """What is known of all statistics of its kind."""
        return KINDS[self.statistic]

    def variables(self, name: str, over: Iterable[str]) -> list[str]:
        """Names of the variables that it makes, by the name it is given and the axes that are reduced."""
        return [f"{name}_{dim}" for dim in over] if self.kind.is_place else [name]

    def own_dims(self, name: str) -> tuple[str, ...]:
        """The dimension that its result has beside axes of the sweep, if it has one."""
        return (self.kind.dim.format(name),) if self.kind.dim else ()

    def own_axes(self, name: str) -> dict[str, Axis]:
        """The axis of that dimension."""
        return {} if self.kind.coordinate is None else {self.kind.dim.format(name): self.kind.coordinate(self)}

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The comparisons of a share."""
        return conditions_of(self.where) if self.where is not None else ()

    @property
    def uses(self) -> tuple[str, ...]:
        """The outputs it is taken of."""
        return self.outputs or tuple(dict.fromkeys(c.output for c in self.conditions)) or (str(self.output),)

    def canonical(self) -> dict[str, Any]:
        """Give what decides the numbers."""
        content: dict[str, Any] = {"statistic": self.statistic, "over": sorted(self.over), "output": self.output}
        content |= {"outputs": self.outputs and list(self.outputs)}
        content |= {"probabilities": self.probabilities and list(self.probabilities)}
        content |= {"where": self.where and " and ".join(f"{c.output} {c.sign} {c.bound!r}" for c in self.conditions)}
        content |= {"regret": self.regret and sorted(self.regret)}
        content |= {"edges": self.edges and self.edges.canonical()}
        return {key: value for key, value in content.items() if value is not None}
