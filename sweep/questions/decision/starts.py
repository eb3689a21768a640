"""The grid of decisions that a descent begins from: its points, which of them are best, and scales of the outputs."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from kernels.statistics import compare
from sweep.config.axis import Axis
from sweep.config.statistic import Condition

MOST_POINTS = 2**14  # of the grid of one scenario
APART = 0.2  # of the extent of an axis, at least, in one of the decisions: starts are no neighbours


class Coarse(NamedTuple):
    """What the grid of each of N scenarios tells.

    Attributes
    ----------
    starts : numpy.ndarray
        Points to begin from, (N, starts, d).
    best, values : numpy.ndarray
        The best point that is allowed, (N, d), and the values there, (N, names); NaN where none is.
    origin, scales : numpy.ndarray
        From which value the objective is counted, (N,), and in which units it and the conditions, (N, 1 + m).
    """

    starts: np.ndarray
    best: np.ndarray
    values: np.ndarray
    origin: np.ndarray
    scales: np.ndarray


def points_of(axes: Sequence[Axis]) -> np.ndarray:
    """Grid (points, d) of the values of axes, of long ones as many as `MOST_POINTS` allow, the ends among them."""
    lengths = [len(axis) for axis in axes]
    while np.prod(lengths, dtype=object) > MOST_POINTS:
        longest = int(np.argmax(lengths))
        lengths[longest] = max(2, int(lengths[longest] * 0.9))
        if max(lengths) == 2:
            break
    values = [
        axis.at(np.linspace(0, len(axis) - 1, n).round().astype(np.int64))
        for axis, n in zip(axes, lengths, strict=True)
    ]
    return np.stack([v.ravel() for v in np.meshgrid(*values, indexing="ij")], axis=-1)


def places_of(points: np.ndarray, axes: Sequence[Axis]) -> np.ndarray:
    """Points as parts of the extents of axes, by their logarithm where these are logarithmic."""
    columns = []
    for column, axis in zip(points.T, axes, strict=True):
        low, high = axis.bounds()
        if axis.is_log:
            column, low, high = np.log(column), np.log(low), np.log(high)
        columns.append((column - low) / (high - low))
    return np.stack(columns, axis=-1)


def coarse(
    points: np.ndarray,
    places: np.ndarray,
    values: np.ndarray,
    conditions: Sequence[tuple[int, Condition]],
    sign: float,
    number: int,
) -> Coarse:
    """Look for the best points of the grids of scenarios.

    Parameters
    ----------
    points, places : numpy.ndarray
        As :func:`points_of` and :func:`places_of` give them, (P, d).
    values : numpy.ndarray
        Of the objective and of what conditions are on, (N, P, names).
    conditions : sequence of (int, Condition)
        Each with its place among the names.
    sign : float
        -1 where the objective is maximised.
    number : int
        Starts of each scenario.
    """
    objective = sign * values[..., 0]
    fits, excess = np.isfinite(values).all(axis=-1), np.zeros(objective.shape)
    scales = []
    for i, condition in conditions:
        over = (values[..., i] - condition.bound) * (1.0 if "<" in condition.sign else -1.0)
        scale = _scale(np.abs(condition.bound), over)
        scales.append(scale)
        excess += np.log1p(np.maximum(over, 0.0) / scale[:, None])
        fits &= compare(values[..., i], condition.sign, condition.bound)
    allowed = np.where(fits, objective, np.inf)
    best = np.argmin(allowed, axis=1)
    row = np.arange(len(best))
    value = np.where(np.isfinite(allowed[row, best]), allowed[row, best], np.nan)
    finite = np.where(np.isfinite(objective), objective, np.nan)
    origin = np.where(np.isnan(value), _or_nothing(np.nanmin, finite), value)
    unit = _scale(np.abs(origin), finite - origin[:, None])
    # Points that are not allowed come after those that are, the least excess first.
    merit = np.where(fits, np.arctan((objective - origin[:, None]) / unit[:, None]), 10.0 + excess)
    merit = np.where(np.isfinite(merit), merit, np.inf)
    none = np.isnan(value)[:, None]
    anchor, there = np.where(none, np.nan, points[best]), np.where(none, np.nan, values[row, best])
    starts = points[_apart(merit, places, number)]
    return Coarse(starts, anchor, there, sign * origin, np.stack([unit, *scales], axis=-1))


def _apart(merit: np.ndarray, places: np.ndarray, number: int) -> np.ndarray:
    """Places of the points of least merit, none near to one before it; (N, number)."""
    left = merit.copy()
    chosen = []
    for _ in range(number):
        spent = ~np.isfinite(left).any(axis=1)
        left[spent] = merit[spent]  # nothing is apart from the others any more: the next best are taken
        nearest = np.argmin(left, axis=1)
        chosen.append(nearest)
        is_near = np.max(np.abs(places[None] - places[nearest][:, None]), axis=-1) < APART
        left[is_near] = np.inf
        merit = merit.copy()
        merit[np.arange(len(merit)), nearest] = np.inf
    return np.stack(chosen, axis=1)


def _scale(size: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Unit (N,) of a value of some size that has those distances (N, P) from it: not 0, and no larger than they are."""
    spread = _or_nothing(np.nanmedian, np.where(np.isfinite(distance), np.abs(distance), np.nan))
    scale = np.minimum(np.maximum(size, 1e-3 * spread), spread)
    return np.where(scale > 0.0, scale, np.maximum(size, np.finfo(float).tiny * 2.0**60))


def _or_nothing(function: Callable[..., np.ndarray], values: np.ndarray) -> np.ndarray:
    """A statistic of rows, 0 of those that have no numbers."""
    empty = np.isnan(values).all(axis=1)
    return np.where(empty, 0.0, function(np.where(empty[:, None], 0.0, values), axis=1))
