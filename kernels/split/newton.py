"""Newton's method on the simplex of shares as optax transformations, and the gaps that certify where a descent ends.

Scenarios are along the last axis, of B; shares are (K+1, B), the research share last.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

from kernels.split.records import AnyArray

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
    x: Array, f: Array, gradient: Array, hessian: Array, kappa: Array, held: bool | AnyArray, rounds: int | AnyArray
) -> tuple[Array, Array]:
    """Feasible direction (K+1, B) to the minimum of a quadratic model over the simplex, and the slope along it.

    The model is that of f^(−1/κ), a mean power of c and so concave in the shares and nearly linear, which Newton's
    method follows in far fewer steps than f. Shares enter and leave together (block pivoting).
    """
    size = x.shape[0]
    eye = jnp.eye(size)[:, :, None]
    least = 1e-10 * jnp.sum(jnp.abs(hessian) * eye, axis=1) + TINY
    movable = jnp.ones_like(x[:, 0], bool).at[-1].set(jnp.logical_not(held))[:, None]
    mass = jnp.where(held, 1.0 - x[-1], 1.0)
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


def simplex_newton(
    exponent: Array, *, rounds: int | AnyArray, held: bool | AnyArray = False
) -> optax.GradientTransformationExtraArgs:
    """Turn gradients by shares (K+1, B) into moves along which the shares stay on the simplex, by :func:`direction`.

    Parameters
    ----------
    exponent : jax.Array, shape (B,)
        Exponent κ of the mean power f^(−1/κ) of which the model is; −1 for f itself.
    rounds : int or jax.Array
        Of block pivoting.
    held : bool or jax.Array
        Whether the research share stays what it is.

    Returns
    -------
    optax.GradientTransformationExtraArgs
        Its update takes `value` (B,) and `hessian` (K+1, K+1, B) besides.
    """

    def update(
        gradient: Array, state: optax.OptState, x: Array, *, value: Array, hessian: Array, **_: Any
    ) -> tuple[Array, optax.OptState]:
        return direction(x, value, gradient, hessian, exponent, held, rounds)[0], state

    return optax.GradientTransformationExtraArgs(optax.init_empty_state, update)


def by_lane(lanes: Array, one: Any, other: Any) -> Any:
    """Choose between two trees of arrays (..., B), lane by lane."""

    def choose(a: Array, b: Array) -> Array:
        return jnp.where(lanes.reshape((1,) * (a.ndim - 1) + lanes.shape), a, b)

    return jax.tree.map(choose, one, other)


class Point(NamedTuple):
    """Shares, and what was seen there."""

    x: Array  # (K+1, B)
    f: Array  # (B,)
    gradient: Array  # (K+1, B)

    @classmethod
    def unseen(cls, x: Array) -> "Point":
        """Shares that have yet to be looked at."""
        return cls(x, jnp.zeros_like(x[0]) + jnp.inf, jnp.zeros_like(x))


class Acceptance(NamedTuple):
    """The point that was accepted last, the way on from it, its slope, and how far of it to try next."""

    inner: optax.OptState
    accepted: Point
    move: Array
    slope: Array
    length: Array

    @property
    def updates(self) -> Array:
        """What leads from the point that was accepted to the next to try."""
        return self.length[None] * self.move


def accept_descent(inner: optax.GradientTransformationExtraArgs) -> optax.GradientTransformationExtraArgs:
    """Take the moves of a transformation from where the loss fell enough; else a shorter part of the move before.

    One point is looked at an update, so that a step that is refused costs one evaluation, and the scenarios beside it
    none. Updates lead on from ``accepted``, in the state, which is not where a step was refused.
    """

    def init(x: Array) -> Acceptance:
        none = jnp.zeros_like(x[0])
        return Acceptance(inner.init(x), Point.unseen(x), jnp.zeros_like(x), none, none + 1.0)

    def update(gradient: Array, state: Acceptance, x: Array, *, value: Array, **more: Any) -> tuple[Array, Acceptance]:
        before = state.accepted
        move, moved = inner.update(gradient, state.inner, x, value=value, **more)
        good = (value <= before.f + 1e-4 * state.length * state.slope + 1e-15 * value) & jnp.isfinite(value)
        dip = state.length * state.slope
        shorter = jnp.clip(-0.5 * dip / (value - before.f - dip), 0.1, 0.5)
        shorter = jnp.where(jnp.isnan(shorter), 0.1, shorter)
        after = Acceptance(
            moved,
            by_lane(good, Point(x, value, gradient), before),
            by_lane(good, move, state.move),
            jnp.where(good, jnp.sum(move * gradient, axis=0), state.slope),
            jnp.where(good, 1.0, state.length * shorter),
        )
        return after.updates, after

    return optax.GradientTransformationExtraArgs(init, update)
