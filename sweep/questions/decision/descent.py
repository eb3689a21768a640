"""Least of an output within a box and under conditions, from many starts at once.

Variables are without limits: a decision in [low, high] is low + (high - low) (1 - cos y) / 2, by its logarithm where
its axis is logarithmic, so that it reaches its ends and never leaves them; of two or more shares of one whole each is
its least plus u_i^2 / (u_0^2 + u_1^2 + ...) of what is left, u_0 being the rest. Outputs are taken as signed logarithms
of their distance from a value in units of a scale, which changes neither where the least is nor what a condition
allows.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from kernels.compilation import compiled_two_ways
from sweep.models.quantity import Graph
from sweep.questions.decision.lagrangian import KEPT, SETTLED, walked

MARGIN = 1e-9  # part of its scale by which a bound is drawn in, so that what is close to it is allowed
LEAST = 0.02  # distance of a start from the ends, where a slope vanishes
TINY = 1e-300  # what is left of a whole is no less
DUST = 1e-10  # part of an extent within which a decision is at its end
HALVINGS = 50  # between what is allowed and what is not


@dataclass(frozen=True)
class Goal:
    """What is minimised, for one compilation.

    Attributes
    ----------
    graph : Graph
        Of the outputs among the names.
    names : tuple of str
        Outputs or decisions whose values are wanted; the first is minimised, or maximised if `is_greatest`.
    conditions : tuple of (int, str)
        Places among the names, and signs, of what is compared with bounds.
    decisions : tuple of str
        What varies, d of them.
    logs : tuple of bool
        Which of them by their logarithm.
    shares : tuple of int
        Which of them are parts of one whole; none, or two or more.
    """

    graph: Graph
    names: tuple[str, ...]
    is_greatest: bool
    conditions: tuple[tuple[int, str], ...]
    decisions: tuple[str, ...]
    logs: tuple[bool, ...]
    shares: tuple[int, ...]


class Lane(NamedTuple):
    """One scenario and one start, or many of them along a first axis.

    Attributes
    ----------
    scenario : dict of str to Array
        What does not vary.
    low, high : Array
        Ends of the decisions, (d,).
    whole : Array
        What the shares may be together.
    bounds : Array
        Of the conditions, (m,).
    origin, scales : Array
        Value of the first name from which it is counted, and the scales of it and of the conditions, (1 + m,).
    start, anchor : Array
        Decisions, (d,): where to begin, and a point that is allowed, NaN where none is known.
    """

    scenario: dict[str, Array]
    low: Array
    high: Array
    whole: Array
    bounds: Array
    origin: Array
    scales: Array
    start: Array
    anchor: Array


class End(NamedTuple):
    """Where a descent ended: decisions, values of the names, whether all is allowed, and whether it is an optimum."""

    decisions: Array
    values: Array
    is_allowed: Array
    is_settled: Array


def values_of(goal: Goal, scenario: dict[str, Array], x: Array) -> Array:
    """Values of the names at decisions (d,)."""
    known = {**scenario, **{name: x[i] for i, name in enumerate(goal.decisions)}}
    known |= goal.graph(**known)
    return jnp.stack([jnp.asarray(known[name], x.dtype).reshape(()) for name in goal.names])


@cache
def compiled_values() -> Any:
    """Values (scenarios, points, names) of scenarios (scenarios,) at decisions (scenarios, points, d)."""
    at = jax.vmap(jax.vmap(values_of, (None, None, 0)), (None, 0, 0))
    return jax.jit(at, static_argnums=0)


@cache
def compiled_descents() -> Any:
    """Ends of the descents of lanes along a first axis; it takes `quick` too (:mod:`kernels.compilation`)."""
    return compiled_two_ways(static_argnums=0)(jax.vmap(descend, (None, 0)))


def descend(goal: Goal, lane: Lane) -> End:
    """Descend from one start, and go back to what is allowed where the end is beyond it by a rounding."""
    y, slope, excess = walked(lambda y: _taken(goal, lane, y), _variables(goal, lane), len(goal.conditions))
    x = _dusted(lane, _decisions(goal, lane, y))
    settled = (slope <= SETTLED) & (excess <= KEPT)
    x, values, allowed = _within(goal, lane, x)
    return End(x, values, allowed, settled & allowed)


def _decisions(goal: Goal, lane: Lane, y: Array) -> Array:
    """Decisions of variables without limits."""
    part = (1.0 - jnp.cos(y[: len(goal.decisions)])) / 2.0
    is_log = jnp.asarray(goal.logs)
    low = jnp.where(is_log, lane.low, 1.0)
    power = low * (jnp.where(is_log, lane.high, 1.0) / low) ** part
    x = jnp.where(is_log, power, lane.low + (lane.high - lane.low) * part)
    if goal.shares:
        places = jnp.asarray(goal.shares)
        u = jnp.append(y[places], y[-1]) ** 2
        least = lane.low[places]
        x = x.at[places].set(least + (lane.whole - jnp.sum(least)) * u[:-1] / jnp.sum(u))
    return jnp.where(is_log, jnp.clip(x, lane.low, lane.high), x)


def _dusted(lane: Lane, x: Array) -> Array:
    """Decisions of which those that are as good as at an end are there."""
    dust = DUST * (lane.high - lane.low)
    return jnp.where(x - lane.low < dust, lane.low, jnp.where(lane.high - x < dust, lane.high, x))


def _variables(goal: Goal, lane: Lane) -> Array:
    """Variables of a start, a little away from the ends."""
    is_log = jnp.asarray(goal.logs)
    x, low, high = (jnp.where(is_log, jnp.log(jnp.where(is_log, v, 1.0)), v) for v in (lane.start, lane.low, lane.high))
    width = jnp.where(high > low, high - low, 1.0)
    y = jnp.arccos(1.0 - 2.0 * jnp.clip((x - low) / width, LEAST, 1.0 - LEAST))
    if goal.shares:
        places = jnp.asarray(goal.shares)
        free = jnp.maximum(lane.whole - jnp.sum(lane.low[places]), TINY)
        u = (lane.start[places] - lane.low[places]) / free
        u = jnp.sqrt(jnp.maximum(jnp.append(u, 1.0 - jnp.sum(u)), LEAST))
        y = jnp.append(y.at[places].set(u[:-1]), u[-1])
    return y


def _signed_log(x: Array) -> Array:
    return jnp.sign(x) * jnp.log1p(jnp.abs(x))


def _taken(goal: Goal, lane: Lane, y: Array) -> Array:
    """What is minimised, and the excess over each condition, as numbers of the size of 1: (1 + m,)."""
    values = values_of(goal, lane.scenario, _decisions(goal, lane, y))
    objective = _signed_log((values[0] - lane.origin) / lane.scales[0])
    over = [
        _signed_log((values[i] - bound) / scale * (1.0 if "<" in sign else -1.0)) + MARGIN
        for (i, sign), bound, scale in zip(goal.conditions, lane.bounds, lane.scales[1:], strict=True)
    ]
    return jnp.stack([-objective if goal.is_greatest else objective, *over])


def _within(goal: Goal, lane: Lane, x: Array) -> tuple[Array, Array, Array]:
    """The point nearest to x, on the way from the anchor, that is allowed; its values, and whether there is one."""
    comparisons = {"<": jnp.less, "<=": jnp.less_equal, ">": jnp.greater, ">=": jnp.greater_equal}

    def halve(number: int, state: tuple[Array, ...]) -> tuple[Array, ...]:
        inside, outside, *best = state
        part = jnp.where(number == 0, 1.0, (inside + outside) / 2.0)
        point = jnp.where(part == 1.0, x, lane.anchor + part * (x - lane.anchor))
        values = values_of(goal, lane.scenario, point)
        fits = jnp.isfinite(values).all()
        for (i, sign), bound in zip(goal.conditions, lane.bounds, strict=True):
            fits &= comparisons[sign](values[i], bound)
        best = [jnp.where(fits, a, b) for a, b in zip((point, values), best, strict=True)]
        return jnp.where(fits, part, inside), jnp.where(fits, outside, part), *best

    nothing = jnp.full(len(goal.names), jnp.nan, x.dtype)
    start = (jnp.zeros((), x.dtype), jnp.ones((), x.dtype), jnp.full_like(x, jnp.nan), nothing)
    _, _, point, values = lax.fori_loop(0, HALVINGS, halve, start)
    return point, values, jnp.isfinite(values).all()
