"""An augmented Lagrangian around L-BFGS of optax: variables without limits, under conditions, in JAX.

J. Nocedal and S. J. Wright, Numerical Optimization, 2nd ed. (2006), 17.3 and 17.4; steps are found by the bisection of
A. S. Lewis and M. L. Overton, Nonsmooth optimization via quasi-Newton methods, Mathematical Programming 141 (2013).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

STEPS, ROUNDS = 60, 20  # of L-BFGS for one Lagrangian, and Lagrangians, at most
FIRST_STILL, STILLER, STILL = 1e-3, 0.03, 1e-8  # slope at which a descent ends: the first, times less, the last
SETTLED, KEPT = 1e-6, 1e-7  # slope, and excess over a condition, at which its end is a local optimum
CLOSE = 1e-9  # excess over a condition at which its multiplier is known
STIFF, STIFFER, MOST_STIFF = 10.0, 10.0, 1e4  # penalty of an excess: at first, times more, and at most
SLOW = 0.1  # of an excess: what is left where its penalty is right
DESCENT, FLATTER = 1e-4, 0.9  # parts of the slope: how much lower a step is to lead, and how flat its end is to be
TRIALS = 16  # lengths of a step, after which one that leads lower is enough, and a descent ends if none does
ROUNDING = 1e-15  # by which what does not change may seem to


class Walk(NamedTuple):
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


def _lagrangian(walk: Walk, rows: Array, slopes: Array) -> tuple[Array, Array]:
    """The Lagrangian of a walk where the objective and excesses are those, and its slope."""
    pushed = jnp.maximum(walk.multipliers + walk.stiffness * rows[1:], 0.0)
    value = rows[0] + jnp.sum(pushed**2 - walk.multipliers**2) / (2.0 * walk.stiffness)
    return value, slopes[0] + pushed @ slopes[1:]


def walked(taken: Callable[[Array], Array], y: Array, conditions: int) -> tuple[Array, Array, Array]:
    """Minimise the first of some rows under the condition that the others are not above 0.

    It is one flat loop, in which the model is evaluated once: compilation is short, and no lane waits within a step of
    another.

    Parameters
    ----------
    taken : callable
        Rows (1 + conditions,) at variables (n,), of the size of 1.
    y : Array
        Where to begin.
    conditions : int
        How many there are.

    Returns
    -------
    y, slope, excess : Array
        Variables at the end, the slope of the Lagrangian there, and the greatest excess over a condition.
    """
    memory = optax.scale_by_lbfgs()

    def look(y: Array) -> tuple[Array, Array]:
        def twice(y: Array) -> tuple[Array, Array]:
            rows = taken(y)
            return rows, rows

        # Forward: also through loops whose length is not known, and there are few variables.
        slopes, rows = jax.jacfwd(twice, has_aux=True)(y)
        return rows, slopes

    def goes_on(walk: Walk) -> Array:
        is_done = (walk.excess <= CLOSE) & (walk.slope <= SETTLED)
        return ~is_done & (walk.rounds < ROUNDS)

    def advance(walk: Walk) -> Walk:
        return _judged(memory, walk, *look(walk.y + walk.length * walk.direction))

    end = lax.while_loop(goes_on, advance, _begun(memory, y, conditions))
    return end.y, end.slope, end.excess


def _begun(memory: optax.GradientTransformation, y: Array, conditions: int) -> Walk:
    """A walk that has yet to look at its first point, to which a step of length 0 leads."""
    far, zero, none = jnp.full((), jnp.inf, y.dtype), jnp.zeros((), y.dtype), jnp.asarray(0)
    return Walk(
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


def _judged(memory: optax.GradientTransformation, walk: Walk, rows: Array, slopes: Array) -> Walk:
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


def _renewed(walk: Walk) -> Walk:
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


def _directed(memory: optax.GradientTransformation, walk: Walk, is_new: Array, is_over: Array) -> Walk:
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
