"""Inverses of the equation with derivatives of their own, which neither overflow nor cancel where the answer does not.

The compute that is still to be added, q, is kept as a number and a power of two. Arguments are arrays of one floating
type and shape, inside the domain; outside it the answers mean nothing.
"""

import math

import jax
import jax.numpy as jnp
from jax import Array, lax

from kernels.loss import special
from kernels.loss.derivatives import along, growth, growth_slope
from kernels.loss.equation import effective_years
from kernels.loss.special import LN2

_NEWTON_STEPS = 6  # enough for float64 from the starting values below, on the whole domain


def in_domain(target: Array, kappa: Array, share: Array, reference_fleet: Array, reference_years: Array) -> Array:
    """Whether a law has an answer to a target."""
    law = (kappa > 0.0) & (share >= 0.0) & (share < 1.0)
    return law & (reference_fleet > 0.0) & (reference_years > 0.0) & ~jnp.isnan(target)


def _log2_excess(target: Array, share: Array) -> tuple[Array, Array]:
    """log2 X* = log2((R* − e) / (1 − e)) for 0 < X* < 1, its whole part and the rest apart.

    What R* − e and 1 − e lose in rounding is carried along: 1/κ would magnify it. Where X* is near 1, so is R*, and
    1 − X* = (1 − R*) / (1 − e) is the better number.
    """
    room, rest = target - share, 1.0 - share
    back = room - target
    lost = (target - (room - back)) + (-share - back)
    rest_lost = (1.0 - rest) - share
    whole, r = special.split(room)
    whole_rest, r_rest = special.split(rest)
    carried = (lost / room - rest_lost / rest) * special.LOG2_E
    apart = (special.log2_remainder(r) - special.log2_remainder(r_rest)) + carried
    removed = (1.0 - target) / rest
    near = (removed < 0.25) & (target >= 0.5)
    close = special.log2_1p(-jnp.where(near, removed, 0.0))
    return jnp.where(near, 0.0, whole - whole_rest), jnp.where(near, close, apart)


def _needed(target: Array, kappa: Array, share: Array) -> tuple[Array, Array]:
    """q = X*^(−1/κ) − 1 as a number and a power of two; 0 for X* >= 1, infinite for X* <= 0."""
    met, never = target >= 1.0, target <= share
    e, rest = _log2_excess(jnp.where(met | never, 0.5, target), jnp.where(met | never, 0.0, share))
    # -e / κ with its remainder: the halves of the product below are exact.
    quotient = -e / kappa
    a, b = special.head(quotient), special.head(kappa)
    over = (((-e - a * b) - a * (kappa - b)) - (quotient - a) * b) - (quotient - a) * (kappa - b)
    fraction = (over - rest) / kappa
    k = jnp.rint(quotient + fraction)
    gain = special.exp2m1_fraction((quotient - k) + fraction)
    big = k > special.digits(k) + 6.0  # then the 1 in q = 2^k (1 + gain) - 1 is lost anyway
    unit = special.scale(jnp.ones_like(k), jnp.where(big, 0.0, k))
    q = jnp.where(big, 1.0 + gain, jnp.maximum(gain * unit + (unit - 1.0), 0.0))
    q = jnp.where(met, 0.0, jnp.where(never, jnp.inf, q))
    return q, jnp.where(big & ~met & ~never, k, 0.0)


def _years_needed(
    target: Array, kappa: Array, share: Array, fleet: Array, reference_fleet: Array, reference_years: Array
) -> tuple[Array, Array]:
    """Effective years q T0 N0 / N as a number near 1 and a power of two."""
    q, k = _needed(target, kappa, share)
    parts = [special.normalised(v) for v in (q, reference_fleet, reference_years, fleet)]
    (a, b, c, d), (ka, kb, kc, kd) = zip(*parts, strict=True)
    return a * b * c / d, ka + kb + kc - kd + k


@jax.custom_jvp
@jax.jit
def time_to_target(
    target: Array, kappa: Array, share: Array, fleet: Array, rate: Array, reference_fleet: Array, reference_years: Array
) -> Array:
    """t*, of arrays of one type and shape, as all that follow."""
    q, _ = _needed(target, kappa, share)
    years, k = _years_needed(target, kappa, share, fleet, reference_fleet, reference_years)
    speed, j = special.normalised(rate)
    w, j = years * speed * LN2, k + j
    size = special.scale(w, j)
    slow = jnp.abs(size) <= 0.25
    direct = special.scale(years * LN2 * special.log2_1p_ratio(jnp.where(slow, size, 0.0)), k)
    reached = size > -1.0
    safe = jnp.where(slow | ~reached | jnp.isinf(w), 1.0, w)
    j = jnp.where(slow | ~reached, 0.0, j)
    log2_c = special.log2_1p_scaled(special.scale(safe, jnp.minimum(j, 0.0)), jnp.maximum(j, 0.0))
    value = jnp.where(slow, direct, log2_c / jnp.where(slow, 1.0, rate))
    endless = ~reached | jnp.isinf(q) | (fleet == 0.0)
    return jnp.where(q == 0.0, 0.0, jnp.where(endless, jnp.inf, value))


@jax.custom_jvp
@jax.jit
def fleet_for_target(
    factor: Array,
    shift: Array,
    target: Array,
    kappa: Array,
    share: Array,
    time: Array,
    rate: Array,
    reference_fleet: Array,
    reference_years: Array,
) -> Array:
    """factor 2^shift N*: inside, so that a derivative is right where N* alone would be too large or too small."""
    q, k = _needed(target, kappa, share)
    grown = growth(time, rate)
    endless = jnp.isinf(q) | ((grown.years == 0.0) & (q > 0.0))
    years = jnp.where(endless | (q == 0.0), 1.0, grown.years)
    parts = [special.normalised(v) for v in (q, years, reference_fleet, reference_years, factor)]
    (a, b, c, d, e), (ka, kb, kc, kd, ke) = zip(*parts, strict=True)
    fleet = special.scale(a / b * (c * d) * e, ka - kb + kc + kd + ke + k - grown.exponent + shift)
    return jnp.where(q == 0.0, 0.0, jnp.where(endless, special.product(factor, jnp.full_like(factor, jnp.inf)), fleet))


@jax.custom_jvp
@jax.jit
def rate_for_target(
    target: Array, kappa: Array, share: Array, fleet: Array, time: Array, reference_fleet: Array, reference_years: Array
) -> Array:
    """γ*."""
    q, _ = _needed(target, kappa, share)
    endless = jnp.isinf(q) | (((fleet == 0.0) | (time == 0.0)) & (q > 0.0))
    free = ~endless & ((q == 0.0) | jnp.isinf(fleet))
    years, k = _years_needed(target, kappa, share, fleet, reference_fleet, reference_years)
    closed = endless | free
    years, k = jnp.where(closed, 1.0, years), jnp.where(closed, 0.0, k)
    span, j = special.normalised(jnp.where(closed | jnp.isinf(time), 1.0, time))
    # Where so little is needed, G is 1 / (|γ| ln 2): nothing more is added at the end.
    ceiling = jnp.isinf(time) | (k - j < -40.0)
    x = _inverse_exprel2(jnp.where(ceiling, 1.0, years / span), jnp.where(ceiling, 0.0, k - j))
    rate = jnp.where(ceiling, special.scale(-special.LOG2_E / years, -k), x / time)
    return jnp.where(endless, jnp.inf, jnp.where(free, -jnp.inf, rate))


def _inverse_exprel2(y: Array, k: Array) -> Array:
    """Solve (2^x − 1) / (x ln 2) = y 2^k for x, in the logarithm where y is large."""
    log2_y = special.log2(y) + k
    steep = log2_y > 20.0
    level = jnp.where(steep, log2_y + math.log2(LN2), 40.0)

    def climb(_: int, x: Array) -> Array:
        residual = (x - level) - special.log2(x) + special.log2_1p(-special.exp2(-x))
        return x - residual / (1.0 - special.LOG2_E / x)

    x = lax.fori_loop(0, _NEWTON_STEPS, climb, level + special.log2(level))
    y = jnp.where(steep, 1.0, special.scale(y, k))
    up = y > 1.0
    log_y = special.log2(jnp.where(up, y, 1.0)) * LN2
    one = jnp.ones_like(y)

    def approach(_: int, z: Array) -> Array:
        near = jnp.abs(z) <= 0.5
        inner = jnp.where(near, z, 0.0)
        # Near 1 the difference is taken of what exceeds 1: x itself is small there.
        over = jnp.where(near, inner * special.exprel2_remainder(inner) - (y - 1.0), growth(one, z).years - y) / y
        step = jnp.where(up, special.log2_1p(jnp.where(up, over, 0.0)) * LN2, over)
        return z - step / growth_slope(one, z)

    start = jnp.where(up, log_y + special.log2_1p(log_y) * LN2, y - 1.0 / y) * special.LOG2_E
    z = lax.fori_loop(0, _NEWTON_STEPS, approach, start)
    return jnp.where(steep, x, z)


def _needed_partials(varies: Array, target: Array, kappa: Array, share: Array) -> list[Array]:
    """Derivatives of log q by the target, κ and e where the answer varies, safe numbers elsewhere."""
    target, kappa, share = (jnp.where(varies, v, safe) for v, safe in ((target, 0.5), (kappa, 1.0), (share, 0.0)))
    room = target - share
    log2_excess = _sum_log2_excess(target, share)
    reach = kappa * -special.exp2m1(log2_excess / kappa)  # κ q / (1 + q)
    by_share = (1.0 - target) / ((1.0 - share) * room) / reach
    return [-1.0 / room / reach, log2_excess * LN2 / kappa / reach, by_share]


@jax.custom_jvp
@jax.jit
def _sum_log2_excess(target: Array, share: Array) -> Array:
    whole, rest = _log2_excess(target, share)
    return whole + rest


@_sum_log2_excess.defjvp
def _sum_log2_excess_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    target, share = primals
    by_share = (1.0 - target) / (1.0 - share) * tangents[1]
    return _sum_log2_excess(target, share), (tangents[0] - by_share) / (target - share) * special.LOG2_E


def _total(varies: Array, factor: Array, partials: list[Array], tangents: tuple[Array, ...]) -> Array:
    return along((jnp.where(varies, special.product(factor, d), 0.0) for d in partials), tangents)


@time_to_target.defjvp
def _time_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    target, kappa, share, fleet, rate, reference_fleet, reference_years = primals
    time = time_to_target(*primals)
    # An infinite time at a rate >= 0 is one too large for the type, not one that is never reached.
    varies = (target < 1.0) & (target > share) & (fleet > 0.0) & (jnp.isfinite(time) | (rate >= 0.0))
    known = jnp.where(varies, time, 1.0)
    # dG/dt = 2^(γt), and G / 2^(γt) is G at the opposite rate, which does not overflow.
    lead = effective_years(known, -rate)
    partials = [
        *_needed_partials(varies, target, kappa, share),
        -1.0 / fleet,
        -growth_slope(known, rate),
        1.0 / reference_fleet,
        1.0 / reference_years,
    ]
    return time, _total(varies, lead, partials, tangents)


@fleet_for_target.defjvp
def _fleet_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    factor, shift, target, kappa, share, time, rate, reference_fleet, reference_years = primals
    varies = (target < 1.0) & (target > share) & (time > 0.0)
    # dG/dt / G is 1 / G at the opposite rate.
    back = growth(jnp.where(varies, time, 1.0), -rate)
    partials = [
        *((d, shift) for d in _needed_partials(varies, target, kappa, share)),
        (-1.0 / back.years, shift - back.exponent),
        (-growth_slope(time, rate), shift),
        (1.0 / reference_fleet, shift),
        (1.0 / reference_years, shift),
    ]
    change = fleet_for_target(jnp.ones_like(factor), *primals[1:]) * tangents[0]
    for (partial, moved), tangent in zip(partials, tangents[2:], strict=True):
        weight = jnp.where(varies, special.product(factor, partial), 0.0)
        change = change + jnp.where(varies, fleet_for_target(weight, moved, *primals[2:]), 0.0) * tangent
    return fleet_for_target(*primals), change


@rate_for_target.defjvp
def _rate_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    target, kappa, share, fleet, time, reference_fleet, reference_years = primals
    rate = rate_for_target(*primals)
    varies = (target < 1.0) & (target > share) & jnp.isfinite(rate)
    known, years = jnp.where(varies, rate, 0.0), jnp.where(varies, time, 1.0)
    partials = [
        *_needed_partials(varies, target, kappa, share),
        -1.0 / fleet,
        -1.0 / effective_years(years, -known),
        1.0 / reference_fleet,
        1.0 / reference_years,
    ]
    return rate, _total(varies, 1.0 / growth_slope(years, known), partials, tangents)
