"""The kinds of statistics: one record each, in one table; whatever depends on a kind is looked up here.

To add a kind, add its record to :data:`KINDS`. Where no accumulator of :mod:`kernels.statistics` keeps what it is made
of, add one there; nothing else has to know of it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from sweep.config.axis import Axis

if TYPE_CHECKING:
    from sweep.config.statistic import Statistic

QUANTILE = "quantile"
Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Kind:
    """What a statistic of this kind is of, how it is reduced, and what its result is.

    Attributes
    ----------
    name : str
        What a config calls it.
    keeps : str
        What its points are reduced by, a name in :mod:`kernels.statistics`: an accumulator, or with `rows` a function
        of whole rows.
    finish : callable
        ``finish(arrays, points)``: the result, a row for each cell, of what `keeps` gives by the names of its fields,
        or of the rows ("rows"), in float64, and of how many points there were. With `is_place` the place of a point,
        -1 for none.
    words : str
        What it is in words: "<words> of <output>".
    method : str
        CF's word for it (cell_methods).
    needs : tuple of str
        The fields of a :class:`~sweep.config.statistic.Statistic` that it requires, of those not all kinds have.
    shares : str
        Name of what it keeps, where other kinds of the same output may keep it once for all; "" to keep it alone.
    is_negated : bool
        Whether it is fed the negative of the output.
    rows : callable, optional
        What else the function of rows takes, from the statistic: values are then looked at side by side on the host.
    is_narrowed : bool
        Whether it is order statistics, which in rows too long to be looked at whole are narrowed down by counting.
    is_place : bool
        Whether it is a place: a variable for each axis that is reduced, ``<name>_<axis>``.
    dim : str
        Its own dimension, a template of its name; "" without one.
    coordinate : callable, optional
        The axis of that dimension, from the statistic.
    dtype : str
        Type of the result, "" for that of the sweep.
    unit : callable
        Unit of the result, from that of the output.
    pooling : {"mean", "sum", "min", "max", ""}
        How replicates are combined; a mean has a standard error, and "" leaves them as they are.
    note : str
        What else to say of how it is computed.
    """

    name: str
    keeps: str
    finish: Callable[[Arrays, int], np.ndarray]
    words: str
    method: str
    needs: tuple[str, ...] = ("output",)
    shares: str = ""
    is_negated: bool = False
    rows: "Callable[[Statistic], Sequence[float] | np.ndarray] | None" = None
    is_narrowed: bool = False
    is_place: bool = False
    dim: str = ""
    coordinate: "Callable[[Statistic], Axis] | None" = None
    dtype: str = ""
    unit: Callable[[str], str] = lambda unit: unit
    pooling: Literal["mean", "sum", "min", "max", ""] = "mean"
    note: str = ""


def _edges(statistic: "Statistic") -> np.ndarray:
    assert statistic.edges is not None, "the record has what its kind needs"
    return statistic.edges.coordinates()


def _probabilities(statistic: "Statistic") -> tuple[float, ...]:
    assert statistic.probabilities is not None, "the record has what its kind needs"
    return statistic.probabilities


def middles(statistic: "Statistic") -> Axis:
    """Middles of the bins of a histogram."""
    ends = _edges(statistic)
    return Axis(values=tuple(ends[:-1] / 2.0 + ends[1:] / 2.0))


def _variance(arrays: Arrays, points: int) -> np.ndarray:
    return arrays["squares"] / arrays["count"]


def _deviation(arrays: Arrays, points: int) -> np.ndarray:
    return np.sqrt(_variance(arrays, points))


def _sum(arrays: Arrays, points: int) -> np.ndarray:
    return arrays["count"] * arrays["mean"] - arrays["count"] * arrays["excess"]


def _skewness(arrays: Arrays, points: int) -> np.ndarray:
    return np.sqrt(arrays["count"]) * arrays["cubes"] / arrays["squares"] ** 1.5


def _correlation(arrays: Arrays, points: int) -> np.ndarray:
    return np.clip(arrays["xy"] / (np.sqrt(arrays["xx"]) * np.sqrt(arrays["yy"])), -1.0, 1.0)


def _place(arrays: Arrays, points: int) -> np.ndarray:
    return np.where(np.isnan(arrays["least"]), -1, arrays["place"])


def _squared(unit: str) -> str:
    return "1" if unit == "1" else f"({unit})2"


def _none(unit: str) -> str:
    return "1"


_TABLE = (
    Kind("mean", "MEAN", lambda arrays, _: arrays["mean"], "mean", "mean", shares="mean"),
    Kind("sum", "MEAN", _sum, "sum", "sum", shares="mean", pooling="sum"),
    Kind("variance", "MOMENTS", _variance, "variance", "variance", shares="mean", unit=_squared),
    Kind(
        "std", "MOMENTS", _deviation, "standard deviation", "standard_deviation",
        shares="mean",
    ),
    Kind(
        "skewness", "CUBES", _skewness, "skewness", "skewness", unit=_none,
        note="third central moment over the 3/2th power of the second, of the points themselves",
    ),
    Kind(
        "correlation", "PRODUCTS", _correlation, "correlation", "correlation",
        needs=("outputs",), unit=_none, note="Pearson's",
    ),
    Kind("min", "LEAST", lambda arrays, _: arrays["least"], "smallest value", "minimum", shares="least", pooling="min"),
    Kind(
        "max", "LEAST", lambda arrays, _: arrays["least"] * -1.0, "largest value", "maximum",
        shares="most", is_negated=True, pooling="max",
    ),
    Kind("argmin", "FIRST_LEAST", _place, "smallest value", "argmin", shares="least", is_place=True, pooling=""),
    Kind(
        "argmax", "FIRST_LEAST", _place, "largest value", "argmax",
        shares="most", is_negated=True, is_place=True, pooling="",
    ),
    Kind(
        "quantiles", "row_quantiles", lambda arrays, _: arrays["rows"], "quantile", "quantile",
        needs=("output", "probabilities"), rows=_probabilities, is_narrowed=True,
        dim=QUANTILE, coordinate=lambda statistic: Axis(values=_probabilities(statistic)),
        note="exact order statistics, interpolated linearly (Hyndman and Fan 1996, type 7)",
    ),
    Kind(
        "share", "COUNT", lambda arrays, points: arrays["total"] / points, "share", "mean",
        needs=("where",), unit=_none,
    ),
    Kind(
        "histogram", "row_counts", lambda arrays, _: arrays["rows"], "number of points in each bin", "histogram",
        needs=("output", "edges"), rows=_edges,
        dim="{}_bin", coordinate=middles, dtype="float64", unit=_none, pooling="sum",
    ),
)  # fmt: skip
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _TABLE}
NEEDS = ("output", "outputs", "probabilities", "where", "edges")  # the fields that not all kinds have
