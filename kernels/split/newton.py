"""Newton's method on the simplex of shares, for a chunk of scenarios at once, and the gaps that certify where it ends.

Scenarios are along the last axis, of B; shares are (K+1, B), the research share last.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from kernels.split.mean import Problem, evaluate

DUST = 1e-10  # shares below it, that are worth less than it, are 0
TINY = 1e-300


def eliminate(matrix: Array, right: Array, least: Array) -> Array:
    """Solve (n, n, B) for (n, k, B) by elimination; a pivot that is too small or negative is made its size."""
    size = matrix.shape[0]
    system = jnp.concatenate([matrix, right], axis=1)

    def step(j: Array, system: Array) -> Array:
        row = lax.dynamic_index_in_dim(system, j, 0, keepdims=False)
        column = lax.dynamic_index_in_dim(system, j, 1, keepdims=False)
        pivot = lax.dynamic_index_in_dim(row, j, 0, keepdims=False)
        floor = lax.dynamic_index_in_dim(least, j, 0, keepdims=False)
        row = row / jnp.maximum(jnp.abs(pivot), floor)[None]
        here = (jnp.arange(size) == j)[:, None]
        factor = jnp.where(here, 0.0, column)
        return jnp.where(here[:, None], row[None], system - factor[:, None] * row[None])

    return lax.fori_loop(0, size, step, system)[:, size:]


def direction(
    x: Array, f: Array, gradient: Array, hessian: Array, kappa: Array, held: bool, rounds: int
) -> tuple[Array, Array]:
    """Feasible direction (K+1, B) to the minimum of a quadratic model over the simplex, and the slope along it.

    The model is that of f^(−1/κ), a mean power of c and so concave in the shares and nearly linear, which Newton's
    method follows in far fewer steps than f. Shares enter and leave together (block pivoting).
    """
    size = x.shape[0]
    eye = jnp.eye(size)[:, :, None]
    least = 1e-10 * jnp.sum(jnp.abs(hessian) * eye, axis=1) + TINY
    movable = jnp.ones_like(x[:, 0], bool).at[-1].set(not held)[:, None]
    mass = 1.0 - x[-1] if held else jnp.ones_like(f)
    mean = jnp.sum(jnp.where(movable, x * gradient, 0.0), axis=0) / jnp.maximum(mass, TINY)
    # Moves add up to 0, so that a constant may be taken from the gradient, and added to the matrix, which it makes
    # positive definite wherever it is so for such moves.
    tilt = gradient - mean[None]
    bend = ((1.0 + 1.0 / kappa) / f)[None, None]
    model = hessian + bend * ((mean * mean)[None, None] - tilt[:, None] * tilt[None]) + eye * least[None]

    def pivot(_: int, state: tuple[Array, Array]) -> tuple[Array, Array]:
        free = state[0]
        kept = jnp.where(movable & ~free, -x, 0.0)
        pull = gradient + jnp.sum(model * kept[None], axis=1)
        both = free[:, None] & free[None]
        matrix = jnp.where(both, model, jnp.where(eye > 0.0, 1.0, 0.0))
        right = jnp.stack([jnp.where(free, pull, 0.0), jnp.where(free, 1.0, 0.0)], axis=1)
        solved = eliminate(matrix, right, jnp.where(free, least, 1.0))
        a, b = solved[:, 0], solved[:, 1]
        price = (jnp.sum(a, axis=0) - jnp.sum(kept, axis=0)) / jnp.maximum(jnp.sum(b, axis=0), TINY)
        move = jnp.where(free, price[None] * b - a, kept)
        reduced = gradient + jnp.sum(model * move[None], axis=1) - price[None]
        return movable & jnp.where(free, x + move > 0.0, reduced < 0.0), move

    _, best = lax.fori_loop(0, rounds, pivot, (movable & ((x > 0.0) | (gradient < mean[None])), jnp.zeros_like(x)))
    goal = jnp.where(movable, jnp.maximum(x + best, 0.0), 0.0)
    goal = goal * (mass / jnp.maximum(jnp.sum(goal, axis=0), TINY))[None]
    move = jnp.where(movable, goal - x, 0.0)
    slope = jnp.sum(move * gradient, axis=0)
    # Where the model misleads, the vertex of steepest descent (Frank and Wolfe).
    lowest = jnp.argmin(jnp.where(movable, gradient, jnp.inf), axis=0)
    vertex = jnp.where(jnp.arange(size)[:, None] == lowest[None], mass[None], 0.0)
    straight = jnp.where(movable, vertex - x, 0.0)
    steep = jnp.sum(straight * gradient, axis=0)
    bad = ~(slope < 0.0)
    return jnp.where(bad[None], straight, move), jnp.where(bad, steep, slope)


def gaps(pace: Array, x: Array, gradient: Array) -> tuple[Array, Array]:
    """Frank–Wolfe gaps over the purchases with the research share held, and over both.

    The first bounds the regret over the purchases, in which the loss is convex. The second is the gap of the loss made
    linear in the purchases and in the software rate, which the research share lifts by less and less.
    """
    lowest = jnp.min(gradient[:-1], axis=0)
    purchases = jnp.sum(x[:-1] * gradient[:-1], axis=0) - (1.0 - x[-1]) * lowest
    worth, price = jnp.maximum(-gradient[-1], 0.0), jnp.maximum(-lowest, TINY)
    pace = jnp.maximum(pace, 1e-9)
    more = jnp.clip(jnp.log(jnp.maximum(worth / price, TINY)) / pace, -x[-1], 1.0 - x[-1])
    return purchases, purchases + jnp.maximum(-worth * jnp.expm1(-pace * more) / pace - price * more, 0.0)


class Walk(NamedTuple):
    """Where a descent stands: the best point so far, the way on from it, and how far of it to try next."""

    x: Array
    f: Array
    gradient: Array
    move: Array
    slope: Array
    length: Array
    taken: Array


def begin(p: Problem, x: Array) -> Walk:
    """A descent that has yet to look at its first point."""
    nothing = jnp.zeros_like(x)
    none = jnp.zeros_like(p.step)
    return Walk(x, none + jnp.inf, nothing, nothing, none, none + 1.0, jnp.zeros(none.shape, jnp.int32))


def advance(p: Problem, walk: Walk, live: bool, held: bool, rounds: int) -> Walk:
    """Try the next point; keep it where it descends enough, or else try a shorter step."""
    trial = jnp.maximum(walk.x + walk.length[None] * walk.move, 0.0)
    f, gradient, hessian = evaluate(p, trial, live)
    move, slope = direction(trial, f, gradient, hessian, p.exponent, held, rounds)
    good = (f <= walk.f + 1e-4 * walk.length * walk.slope + 1e-15 * f) & jnp.isfinite(f)
    pick = good[None]
    dip = walk.length * walk.slope
    shorter = jnp.clip(-0.5 * dip / (f - walk.f - dip), 0.1, 0.5)
    shorter = jnp.where(jnp.isnan(shorter), 0.1, shorter)
    return Walk(
        jnp.where(pick, trial, walk.x),
        jnp.where(good, f, walk.f),
        jnp.where(pick, gradient, walk.gradient),
        jnp.where(pick, move, walk.move),
        jnp.where(good, slope, walk.slope),
        jnp.where(good, 1.0, walk.length * shorter),
        walk.taken + 1,
    )


def descend(p: Problem, x: Array, live: bool, limit: Array, tolerance: float, rounds: int) -> tuple[Array, ...]:
    """Descend from x until the gap is within the tolerance, in at most so many steps.

    Returns the shares, without dust, the loss, the two gaps (2, B), the steps, and whether the gap is within it.
    """

    def unfinished(walk: Walk) -> Array:
        return ~(gaps(p.pace, walk.x, walk.gradient)[1] <= tolerance * walk.f) | (walk.taken == 0)

    def more(state: tuple[Walk, Array]) -> Array:
        return jnp.any(unfinished(state[0])) & (state[1] < limit)

    def body(state: tuple[Walk, Array]) -> tuple[Walk, Array]:
        walk, number = state
        after = advance(p, walk, live, False, rounds)
        stay = ~unfinished(walk)
        keep = jax.tree.map(lambda old, new: jnp.where(stay if old.ndim == 1 else stay[None], old, new), walk, after)
        return keep, number + 1

    walk, _ = lax.while_loop(more, body, (begin(p, x), jnp.asarray(0)))
    x = dusted(walk.x, walk.f, walk.gradient)
    return x, walk.f, jnp.stack(gaps(p.pace, x, walk.gradient)), walk.taken, ~unfinished(walk)


def dusted(x: Array, f: Array, gradient: Array) -> Array:
    """Shares of which those that are as good as 0, and would be better so, are 0 exactly."""
    excess = gradient - jnp.min(gradient, axis=0)[None]
    dust = (x < DUST) & (excess > 0.0) & (x * excess <= DUST * f[None])
    x = jnp.where(dust, 0.0, x)
    return x / jnp.sum(x, axis=0)[None]


def certify(p: Problem, x: Array, live: bool, tolerance: float) -> tuple[Array, ...]:
    """What :func:`descend` returns, for shares as they are."""
    f, gradient, _ = evaluate(p, x, live)
    x = dusted(x, f, gradient)
    bounds = jnp.stack(gaps(p.pace, x, gradient))
    return x, f, bounds, jnp.zeros(f.shape, jnp.int32), bounds[1] <= tolerance * f
