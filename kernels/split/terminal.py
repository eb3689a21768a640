"""The split of least loss at the horizon: everything is bought at one date, and only the research share is searched."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from kernels.loss.special import LN2
from kernels.split.records import CONVERGED, FAILED, STALLED, Split
from kernels.split.scan import research_grid

SEARCHED, NARROWINGS = 65, 60  # research shares of the scan, and golden sections after it
CERTIFIED = 1e-7  # the most that log X may differ across the last bracket


@partial(jax.jit, static_argnames=("dates", "live"))
def least_terminal(scenario: dict[str, Array], *, dates: int, live: bool) -> Split:
    """All purchases at one date, as log c is then greatest: each date's curve over the research share is searched."""
    v = scenario
    pace = v["budget"] / v["research_scale"]
    u = jnp.asarray(np.arange(dates) / dates)[:, None] * v["horizon"][None]
    elapsed = v["horizon"][None] - u

    def loss(share: Array) -> Array:  # (K, N) -> (K, N)
        beta = LN2 * (v["software_rate"][None] - v["research_gain"][None] * jnp.expm1(-share * pace[None]))
        s = beta - v["depreciation"][None] if live else jnp.broadcast_to(-v["depreciation"][None], beta.shape)
        whole = jnp.broadcast_to(v["horizon"][None], beta.shape)
        fleet = jnp.log(v["installed_fleet"] / v["reference_years"])[None] + _log_years(s, whole)
        spend = jnp.log(v["budget"] / v["reference_years"])[None] + jnp.log1p(-share)
        bought = spend + (LN2 * v["hardware_rate"][None] + beta) * u + _log_years(s, elapsed)
        log_c = _log_1p_exp(jnp.logaddexp(fleet, bought))
        return -v["scaling_exponent"][None] * log_c

    grid = research_grid(pace, SEARCHED)  # (R, N)
    wide = (dates, v["budget"].shape[0])
    value = lax.map(lambda share: loss(jnp.broadcast_to(share[None], wide)), grid)  # (R, K, N)
    best = jnp.argmin(value, axis=0)
    edge = jnp.concatenate([grid, jnp.ones_like(grid[:1])])
    low = jnp.take_along_axis(edge, jnp.maximum(best - 1, 0), axis=0)
    high = jnp.take_along_axis(edge, best + 1, axis=0)
    golden = (5.0**0.5 - 1.0) / 2.0

    def narrow(_: int, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        a, b = bracket
        c, d = b - golden * (b - a), a + golden * (b - a)
        left = loss(c) <= loss(d)
        return jnp.where(left, a, c), jnp.where(left, d, b)

    a, b = lax.fori_loop(0, NARROWINGS, narrow, (low, high))
    share = 0.5 * (a + b)
    found = loss(share)
    # An end of the range, where it is no worse, is the answer exactly.
    for end in (0.0, 1.0):
        at_end = loss(jnp.full_like(share, end))
        share = jnp.where(at_end <= found, end, share)
        found = jnp.minimum(found, at_end)
    date = jnp.argmin(found, axis=0)

    def pick(table: Array) -> Array:
        return jnp.take_along_axis(table, date[None], axis=0)[0]

    research = pick(share)
    shares = jnp.where(jnp.arange(dates)[:, None] == date[None], (1.0 - research)[None], 0.0)
    least = pick(found)
    ends = jnp.maximum(pick(loss(a)) - least, pick(loss(b)) - least)
    status = jnp.where(jnp.isfinite(least), jnp.where(ends <= CERTIFIED, CONVERGED, STALLED), FAILED).astype(jnp.int32)
    steps = jnp.full(least.shape, NARROWINGS, jnp.int32)
    return Split(shares, research, least, 0.0 * least, ends, jnp.stack([pick(low), pick(high)]), steps, status)


def _log_years(s: Array, years: Array) -> Array:
    """Logarithm of (e^(s t) − 1) / s at some years t."""
    half = jnp.abs(s * years) / 2.0
    near = half < 0.1
    wide, square = jnp.where(near, 1.0, half), jnp.where(near, half, 0.0) ** 2
    far = wide + jnp.log(-jnp.expm1(-2.0 * wide) / (2.0 * wide))
    close = square * (1 / 6 - square * (1 / 180 - square * (1 / 2835 - square / 37800)))
    return jnp.log(years) + s * years / 2.0 + jnp.where(near, close, far)


def _log_1p_exp(x: Array) -> Array:
    return jnp.maximum(x, 0.0) + jnp.log1p(jnp.exp(-jnp.abs(x)))


def evaluate_terminal(scenario: dict[str, Array], x: Array, live: bool) -> tuple[Array, Array, Array]:
    """Logarithm of the loss at the horizon (B,) at the shares x (K+1, B), the research share last; its derivatives.

    Gradient (K+1, B) and Hessian (K+1, K+1, B) are right where a share is 0, as c itself is a sum.
    """
    part = np.arange(x.shape[0] - 1) / (x.shape[0] - 1)

    def loss(x: Array, v: dict[str, Array]) -> Array:
        pace = v["budget"] / v["research_scale"]
        beta = LN2 * (v["software_rate"] - v["research_gain"] * jnp.expm1(-x[-1] * pace))
        s = beta - v["depreciation"] if live else -v["depreciation"]
        when = part * v["horizon"]
        years = jnp.exp(_log_years(s, v["horizon"] - when))
        bought = v["budget"] * x[:-1] @ (jnp.exp((LN2 * v["hardware_rate"] + beta) * when) * years)
        installed = v["installed_fleet"] * jnp.exp(_log_years(s, v["horizon"]))
        return -v["scaling_exponent"] * jnp.log1p((installed + bought) / v["reference_years"])

    def both(x: Array, v: dict[str, Array]) -> tuple[Array, Array, Array]:
        value, gradient = jax.value_and_grad(loss)(x, v)
        return value, gradient, jax.hessian(loss)(x, v)

    return jax.vmap(both, (-1, -1), (-1, -1, -1))(x, scenario)
