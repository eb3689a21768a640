"""Scan of the research share, over which the mean loss is not convex, for the basins to descend in."""

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from kernels.split.descent import advance, begin, newton
from kernels.split.mean import Problem, evaluate
from kernels.split.newton import direction

ROUNDS, WARM_ROUNDS = 1, 2  # of block pivoting at each of the research shares, and at the first
WARM_UP = 3  # steps at the first of the research shares
GRID = 7  # research shares that are scanned
PLACES = 8  # between two of them at which the cubic through values and slopes is looked at


def research_grid(pace: Array, places: int) -> Array:
    """Research shares (R, B) from 0 to 1: half of them even in the gain, while that rises faster than the spend."""
    half = places // 2
    pace = jnp.maximum(pace, 1e-6)
    most = -jnp.expm1(-pace)
    turn = jnp.clip(jnp.log(pace / most) / pace, 0.0, 1.0)
    even = jnp.asarray(np.arange(half) / half)[:, None] * -jnp.expm1(-pace * turn)[None]
    first = -jnp.log1p(-even) / pace[None]
    last = turn[None] + (1.0 - turn)[None] * jnp.asarray(np.arange(places - half) / (places - half))[:, None]
    return jnp.concatenate([first, last])


def scan(p: Problem, dates: int, live: bool) -> tuple[Array, Array, Array]:
    """Starts (2, K+1, B) in the two most promising basins of the research share, their losses and their brackets."""
    grid = research_grid(p.pace, GRID)
    lanes = p.step.shape[0]
    even = jnp.full((dates, lanes), 1.0 / dates)

    def visit(purchases: Array, share: Array) -> tuple[Array, tuple[Array, ...]]:
        # One step of Newton's method a place, from where the last one led, and the loss that its model promises.
        left = 1.0 - share
        x = jnp.concatenate([purchases * left[None], share[None]])
        f, gradient, hessian = evaluate(p, x, live)
        move, slope = direction(x, f, gradient, hessian, p.exponent, True, ROUNDS)
        by_share = gradient[-1] - jnp.sum(x[:-1] * gradient[:-1], axis=0) / left
        bought = (x + move)[:-1] / left[None]
        return bought, (f + 0.5 * slope, by_share, bought)

    warm = newton(p.exponent, rounds=WARM_ROUNDS, held=True)
    first = lax.fori_loop(
        0,
        WARM_UP,
        lambda _, walk: advance(lambda x: evaluate(p, x, live), warm, walk),
        begin(warm, jnp.concatenate([even, grid[:1]])),
    )
    _, (value, slope, bought) = lax.scan(visit, first.state.accepted.x[:-1], grid)
    # The cubic through values and slopes of two neighbours, at a few places between them; the last ends at 1.
    width = grid[1:] - grid[:-1]
    place = (np.arange(PLACES) / PLACES)[:, None, None]
    a, b = value[:-1][None], value[1:][None]
    da, db = (slope[:-1] * width)[None], (slope[1:] * width)[None]
    s, t = place, 1.0 - place
    cubic = a * (1 + 2 * s) * t * t + da * s * t * t + b * s * s * (3 - 2 * s) - db * s * s * t
    low = jnp.min(cubic, axis=0)
    at = grid[:-1] + width * jnp.argmin(cubic, axis=0).astype(width.dtype) / PLACES
    low, at = jnp.concatenate([low, value[-1:]]), jnp.concatenate([at, grid[-1:]])
    index = jnp.arange(GRID)[:, None]
    one = jnp.argmin(low, axis=0)
    beside = (
        jnp.concatenate([low[1:], jnp.full((1, lanes), jnp.inf)]),
        jnp.concatenate([jnp.full((1, lanes), jnp.inf), low[:-1]]),
    )
    valley = (low <= beside[0]) & (low <= beside[1]) & (jnp.abs(index - one[None]) > 1)
    two = jnp.argmin(jnp.where(valley, low, jnp.inf), axis=0)

    def pick(table: Array, which: Array) -> Array:
        return jnp.take_along_axis(table, which[None], axis=0)[0]

    def start(which: Array) -> Array:
        share = pick(at, which)
        purchases = jnp.take_along_axis(bought, which[None, None], axis=0)[0]
        return jnp.concatenate([purchases * (1.0 - share)[None], share[None]])

    starts = jnp.stack([start(one), start(two)])
    lows = jnp.stack([pick(low, one), jnp.min(jnp.where(valley, low, jnp.inf), axis=0)])
    edge = jnp.concatenate([grid, jnp.ones((1, lanes))])
    brackets = jnp.stack([pick(edge, jnp.maximum(one - 1, 0)), pick(edge, jnp.minimum(one + 2, GRID))])
    return starts, lows, brackets
