"""What a sweep keeps of an output instead of its values, and the conditions that a share counts."""

import re
from itertools import pairwise
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from sweep.config.axis import Axis
from sweep.config.record import Frozen, listed
from sweep.errors import short

MOST_EDGES = 10_001
MOST_CONDITIONS = 100  # each is compiled into every point
Kind = Literal["mean", "variance", "std", "min", "max", "argmin", "argmax", "quantiles", "share", "histogram"]


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
        For anything else, and for more than `MOST_CONDITIONS`.
    """
    found = []
    parts = re.split(r"\band\b", where)
    if len(parts) > MOST_CONDITIONS:
        raise ValueError(f"where: must be at most {MOST_CONDITIONS} comparisons, got {len(parts):,}")
    for part in parts:
        match = re.fullmatch(r"\s*([A-Za-z_]\w*)\s*(<=|>=|<|>)\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*", part)
        try:
            found.append(Condition(match[1], match[2], float(match[3])))
        except (TypeError, ValueError):
            raise ValueError(
                f"where: must be comparisons such as relative_loss < 0.5, joined by and, got {short(where)}"
            ) from None
    return tuple(found)


class Statistic(Frozen):
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
    regret : tuple of str
        Axes that are choices: the statistic is then of how much more the output is than its least along them, all else
        and the draw the same.
    edges : Axis
        Of the bins of a histogram, increasing; a bin holds its lower edge, the last one both. Values outside are not
        counted.
    """

    statistic: Kind
    over: Annotated[tuple[str, ...], BeforeValidator(listed), Field(min_length=1)]
    output: str | None = None
    probabilities: Annotated[tuple[float, ...] | None, BeforeValidator(listed)] = None
    where: str | None = None
    regret: Annotated[tuple[str, ...] | None, BeforeValidator(listed), Field(min_length=1)] = None
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
        for name in self.regret or ():
            if self.statistic == "share":
                raise ValueError("regret: belongs to statistics of an output, not to a share; drop it")
            if name in self.over or self.regret.count(name) > 1:
                raise ValueError(f'regret: "{name}" must be given once, and not among over too')
        found = self.probabilities or ()
        if self.probabilities == () or not all(0.0 <= p <= 1.0 for p in found):
            raise ValueError(f"probabilities: must be one number or more in [0, 1], got {short(list(found))}")
        if not all(a < b for a, b in pairwise(found)):
            raise ValueError(f"probabilities: must be increasing, got {short(list(found))}")
        if self.edges is not None:
            edges = self.edges.coordinates(0, MOST_EDGES + 1)
            if not 2 <= len(self.edges) <= MOST_EDGES or edges[0] > edges[1]:
                got = short(self.edges.canonical())
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
        found |= {"regret": self.regret and sorted(self.regret)}
        found |= {"edges": self.edges and self.edges.canonical()}
        return {key: value for key, value in found.items() if value is not None}
