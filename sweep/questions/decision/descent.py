"""Least of an output within a box and under conditions: an augmented Lagrangian around L-BFGS of optax, in JAX.

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
import optax
from jax import Array, lax

from sweep.models.quantity import Graph

STEPS, ROUNDS = 60, 20  # of L-BFGS for one Lagrangian, and Lagrangians, at most
FIRST_STILL, STILLER, STILL = 1e-3, 0.03, 1e-8  # slope at which a descent ends: the first, times less, the last
SETTLED, KEPT = 1e-6, 1e-7  # slope, and excess over a condition, at which its end is a local optimum
CLOSE = 1e-9  # excess over a condition at which its multiplier is known
MARGIN = 1e-9  # part of its scale by which a bound is drawn in, so that what is close to it is allowed
STIFF, STIFFER, MOST_STIFF = 10.0, 10.0, 1e4  # penalty of an excess: at first, times more, and at most
SLOW = 0.1  # of an excess: what is left where its penalty is right
DESCENT, FLATTER = 1e-4, 0.9  # parts of the slope: how much lower a step is to lead, and how flat its end is to be
TRIALS = 16  # lengths of a step, after which one that leads lower is enough, and a descent ends if none does
ROUNDING = 1e-15  # by which what does not change may seem to
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
    """Ends of the descents of lanes along a first axis."""
    return jax.jit(jax.vmap(descend, (None, 0)), static_argnums=0)


def descend(goal: Goal, lane: Lane) -> End:
    """Descend from one start, and go back to what is allowed where the end is beyond it by a rounding."""
    y, slope, excess = _walked(goal, lane, _variables(goal, lane))
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


class _Walk(NamedTuple):
    """Where a descent stands, the step that it tries, and the Lagrangian that it descends."""

    y: Array
    rows: Array  # objective and excesses there, (1 + m,), and their slopes
    slopes: Array
    inner: Any
    direction: Array
    length: Array
    shortest: Array  # of the lengths that are known to be too short, and those too long
    longest: Array
    multipliers: Array
    stiffness: Array
    excess: Array
    slope: Array
    steps: Array
    rounds: Array
    trials: Array


def _lagrangian(walk: _Walk, rows: Array, slopes: Array) -> tuple[Array, Array]:
    """The Lagrangian of a walk where the objective and excesses are those, and its slope."""
    pushed = jnp.maximum(walk.multipliers + walk.stiffness * rows[1:], 0.0)
    value = rows[0] + jnp.sum(pushed**2 - walk.multipliers**2) / (2.0 * walk.stiffness)
    return value, slopes[0] + pushed @ slopes[1:]


def _walked(goal: Goal, lane: Lane, y: Array) -> tuple[Array, Array, Array]:
    """Variables at the end of all Lagrangians, the slope there, and the greatest excess.

    It is one flat loop, in which the model is evaluated once: compilation is short, and no lane waits within a step of
    another.
    """
    memory = optax.scale_by_lbfgs()

    def look(y: Array) -> tuple[Array, Array]:
        def twice(y: Array) -> tuple[Array, Array]:
            rows = _taken(goal, lane, y)
            return rows, rows

        # Forward: also through loops whose length is not known, and there are few variables.
        slopes, rows = jax.jacfwd(twice, has_aux=True)(y)
        return rows, slopes

    def goes_on(walk: _Walk) -> Array:
        is_done = (walk.excess <= CLOSE) & (walk.slope <= SETTLED)
        return ~is_done & (walk.rounds < ROUNDS)

    def advance(walk: _Walk) -> _Walk:
        return _judged(memory, walk, *look(walk.y + walk.length * walk.direction))

    end = lax.while_loop(goes_on, advance, _begun(memory, y, len(goal.conditions)))
    return end.y, end.slope, end.excess


def _begun(memory: optax.GradientTransformation, y: Array, conditions: int) -> _Walk:
    """A walk that has yet to look at its first point, to which a step of length 0 leads."""
    far, zero, none = jnp.full((), jnp.inf, y.dtype), jnp.zeros((), y.dtype), jnp.asarray(0)
    return _Walk(
        y=y,
        rows=jnp.full(1 + conditions, jnp.inf, y.dtype),
        slopes=jnp.zeros((1 + conditions, len(y)), y.dtype),
        inner=memory.init(y),
        direction=jnp.zeros_like(y),
        length=zero,
        shortest=zero,
        longest=far,
        multipliers=jnp.zeros(conditions, y.dtype),
        stiffness=zero + STIFF,
        excess=far,
        slope=far,
        steps=none,
        rounds=none,
        trials=none,
    )


def _judged(memory: optax.GradientTransformation, walk: _Walk, rows: Array, slopes: Array) -> _Walk:
    """Take the step that was tried, or try another length: the bisection of Lewis and Overton for weak Wolfe steps."""
    is_first = jnp.isinf(walk.rows[0])
    is_finite = jnp.isfinite(rows).all() & jnp.isfinite(slopes).all()
    before, slope_before = _lagrangian(walk, jnp.where(is_first, 0.0, walk.rows), walk.slopes)
    value, slope = _lagrangian(walk, rows, slopes)
    steep = slope_before @ walk.direction
    lower = before + DESCENT * walk.length * steep + ROUNDING * (1.0 + jnp.abs(before))
    is_lower = is_finite & (is_first | (value <= lower))
    is_flat = is_first | (slope @ walk.direction >= FLATTER * steep)
    longest = jnp.where(is_lower, walk.longest, walk.length)
    shortest = jnp.where(is_lower, walk.length, walk.shortest)
    is_taken = is_lower & (is_flat | (walk.trials >= TRIALS))
    is_stuck = ~is_taken & (walk.trials >= TRIALS)
    middle = jnp.where(jnp.isinf(longest), 2.0 * shortest, (shortest + longest) / 2.0)
    tried = walk._replace(length=middle, shortest=shortest, longest=longest, trials=walk.trials + 1)
    moved = walk._replace(y=walk.y + walk.length * walk.direction, rows=rows, slopes=slopes, steps=walk.steps + 1)
    after = _either(is_taken, moved, tried)
    still = jnp.maximum(FIRST_STILL * STILLER**walk.rounds, STILL)
    is_over = is_stuck | (is_taken & (jnp.max(jnp.abs(slope)) <= still)) | (after.steps >= STEPS)
    is_end = is_stuck & (walk.steps == 0) & (walk.rounds > 0)  # another Lagrangian would be as stuck
    renewed = _renewed(after)
    renewed = renewed._replace(rounds=jnp.where(is_end, ROUNDS, renewed.rounds))
    after = _either(is_over, renewed, after)
    return _directed(memory, after, is_taken | is_over, is_over)


def _renewed(walk: _Walk) -> _Walk:
    """The next Lagrangian, at the end of the descent of one."""
    over = walk.rows[1:]
    excess = jnp.max(jnp.abs(jnp.maximum(over, -walk.multipliers / walk.stiffness)), initial=0.0)
    stiffer = jnp.where(excess > SLOW * walk.excess, STIFFER, 1.0)
    return walk._replace(
        multipliers=jnp.maximum(walk.multipliers + walk.stiffness * over, 0.0),
        stiffness=jnp.minimum(walk.stiffness * stiffer, MOST_STIFF),
        excess=excess,
        slope=jnp.where(
            jnp.isinf(walk.rows[0]), jnp.inf, jnp.max(jnp.abs(_lagrangian(walk, walk.rows, walk.slopes)[1]))
        ),
        steps=jnp.zeros_like(walk.steps),
        rounds=walk.rounds + 1,
    )


def _directed(memory: optax.GradientTransformation, walk: _Walk, is_new: Array, is_over: Array) -> _Walk:
    """A walk with a new direction where it has moved, from nothing where the Lagrangian is another one."""
    fresh = _either(is_over, memory.init(walk.y), walk.inner)
    _, slope = _lagrangian(walk, walk.rows, walk.slopes)
    with jax.numpy_dtype_promotion("standard"):  # optax mixes types
        downhill, inner = memory.update(slope, fresh, walk.y)
    is_downhill = (downhill @ slope > 0.0) & jnp.isfinite(downhill).all()
    one, zero = jnp.ones_like(walk.length), jnp.zeros_like(walk.length)
    turned = walk._replace(
        inner=inner,
        direction=-jnp.where(is_downhill, downhill, slope),
        length=one,
        shortest=zero,
        longest=one * jnp.inf,
        trials=jnp.zeros_like(walk.trials),
    )
    return _either(is_new, turned, walk)


def _either(condition: Array, one: Any, other: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), one, other)


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
