"""The split of least loss at the horizon: everything is bought at one date, and only the research share is searched."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from kernels.compilation import compiled_two_ways
from kernels.loss.special import LN2
from kernels.split.records import CONVERGED, FAILED, STALLED, Split
from kernels.split.scan import research_grid

SEARCHED = 65  # research shares that are looked at first
CLOSER, ZOOMS = 9, 13  # and those between the two beside the best that are looked at next, so often
ROUNDING = 4 * np.finfo(np.float64).eps
CERTIFIED = 1e-7  # the most that log X may differ across the last bracket


@compiled_two_ways(static_argnames=("dates", "live"))
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

    ends = jnp.broadcast_to(jnp.asarray([0.0, 1.0])[:, None, None], (2, dates, pace.shape[0]))
    grid = jnp.concatenate([research_grid(pace, SEARCHED - 1), jnp.ones_like(pace)[None]])

    def look(number: Array, seen: Seen) -> Seen:
        places = jnp.concatenate([ends, seen.places])
        first = number == 0
        last = jnp.where(first, SEARCHED, CLOSER) + 1
        value = lax.fori_loop(
            0, last + 1, lambda i, value: value.at[i].set(loss(places[i])), jnp.full_like(places, jnp.inf)
        )  # (2 + R, K, N)
        inside = jnp.argmin(value[2:], axis=0) + 2
        sides = jnp.maximum(inside - 1, 2), jnp.minimum(inside + 1, last)
        low, high = (_at(places, side) for side in sides)
        # An end of the range, where it is no worse, is the answer exactly.
        best = jnp.argmin(value.at[:2].add(-ROUNDING * jnp.maximum(1.0, jnp.abs(value[:2]))), axis=0)
        least = _at(value, best)
        rise = jnp.maximum(_at(value, sides[0]), _at(value, sides[1])) - least
        part = jnp.asarray(np.minimum(np.arange(SEARCHED) / (CLOSER - 1), 1.0))[:, None, None]
        bracket = jnp.where(first, low, seen.bracket[0]), jnp.where(first, high, seen.bracket[1])
        return Seen(low[None] + part * (high - low)[None], _at(places, best), least, rise, jnp.stack(bracket))

    none = jnp.zeros((dates, pace.shape[0]))
    start = Seen(jnp.broadcast_to(grid[:, None], (SEARCHED, *none.shape)), none, none, none, jnp.stack([none] * 2))
    seen = lax.fori_loop(0, ZOOMS, look, start)
    date = jnp.argmin(seen.least, axis=0)
    research, least, rise = (_at(table, date) for table in (seen.share, seen.least, seen.rise))
    shares = jnp.where(jnp.arange(dates)[:, None] == date[None], (1.0 - research)[None], 0.0)
    status = jnp.where(jnp.isfinite(least), jnp.where(rise <= CERTIFIED, CONVERGED, STALLED), FAILED).astype(jnp.int32)
    steps = jnp.full(least.shape, ZOOMS, jnp.int32)
    bracket = jnp.stack([_at(side, date) for side in seen.bracket])
    return Split(shares, research, least, 0.0 * least, rise, bracket, steps, status)


class Seen(NamedTuple):
    """What was seen of each date's curve over the research share, (K, N) each."""

    places: Array  # (R, K, N), to look at next
    share: Array  # the best
    least: Array  # its loss
    rise: Array  # by which the higher of its neighbours is worse
    bracket: Array  # (2, K, N), around the best when all was looked at


def _at(table: Array, index: Array) -> Array:
    return jnp.take_along_axis(table, index[None], axis=0)[0]


@compiled_two_ways(static_argnames="live")
def log_losses(scenario: dict[str, Array], shares: Array, research_share: Array, time: Array, *, live: bool) -> Array:
    """Logarithm of the relative excess loss (T, N) of splits (K, N) and (N,) at some times (T, N) [years].

    Of double precision, as :func:`kernels.split.allocation.log_terminal_loss` is of any, and with an error of some
    1e-14 where that has one of some ulp; in exchange it compiles in a tenth of the time. Its argument `quick` is that
    of :func:`kernels.compilation.compiled_two_ways`.
    """
    v = {name: jnp.broadcast_to(values[None], time.shape) for name, values in scenario.items()}
    spent = jnp.broadcast_to(research_share[None], time.shape) * v["budget"] / v["research_scale"]
    beta = LN2 * (v["software_rate"] - v["research_gain"] * jnp.expm1(-spent))
    s = beta - v["depreciation"] if live else -v["depreciation"]
    dates = shares.shape[0]

    def add(k: Array, total: Array) -> Array:
        date = v["horizon"] * (k.astype(time.dtype) / dates)
        running = time > date
        bought = (
            jnp.log(v["budget"] * jnp.broadcast_to(shares[k][None], time.shape))
            + (LN2 * v["hardware_rate"] + beta) * date
        )
        grown = bought + _log_years(s, jnp.where(running, time - date, 1.0))
        return jnp.logaddexp(total, jnp.where(running, grown, -jnp.inf))

    installed = jnp.log(v["installed_fleet"]) + _log_years(s, time)
    total = lax.fori_loop(0, dates, add, installed) - jnp.log(v["reference_years"])
    return -v["scaling_exponent"] * _log_1p_exp(total)


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
