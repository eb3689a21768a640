"""Parts of the equation that have derivatives of their own: growth, the compute ratio and its powers, a floor.

Neither they nor their derivatives overflow or cancel where the number itself does not. Their arguments are arrays of
one floating type and shape, inside the domain; outside it they mean nothing.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from kernels.loss import special
from kernels.loss.special import LN2

# Growth is kept as a number and a power of two where 2^(γt) is beyond 2^32, so that it cannot overflow; the number is
# then so large that beside it the 1 in 1 + (N/N0) G/T0 matters only while the power of two is small.
DIRECT = 32.0
ENDLESS = 2.0**100  # stands for an infinite power of two, which times 0 would be NaN
NOTHING = 4096.0  # 2^-4096 is 0 in every type


class Growth(NamedTuple):
    """Effective years, as ``years * 2**exponent``, and the efficiency at the end, as ``efficiency * 2**exponent``."""

    years: Array
    exponent: Array
    efficiency: Array


def growth(time: Array, doubling_rate: Array) -> Growth:
    """Effective years and efficiency 2^(γt), neither of which overflows."""
    x = special.product(time, doubling_rate)
    big = x > DIRECT
    k, f = special.reduce(x)
    small = jnp.abs(x) <= 0.5
    unit = jnp.where(big, DIRECT, k)
    gain = special.exp2m1_fraction(f)
    # 2^x - 1, or that over 2^(k-32): no cancellation, as |2^k (2^f - 1)| is at most 0.83 |2^k - 1| unless k = 0.
    one = special.scale(jnp.ones_like(x), unit)
    lost = jnp.where(big, special.scale(jnp.ones_like(x), DIRECT - k), 1.0)
    grown = special.scale(gain, unit) + (one - lost)
    rate = jnp.where(small, 1.0, doubling_rate)
    direct = time * special.exprel2_fraction(jnp.where(small, x, 0.0))
    years = jnp.where(small, direct, jnp.where(jnp.isinf(rate) & big, 1.0, grown / (rate * LN2)))
    return Growth(years, jnp.where(big, k - DIRECT, 0.0), special.scale(1.0 + gain, unit))


def growth_slope(time: Array, doubling_rate: Array) -> Array:
    """d log G / dγ [years]: t ln 2 / 2 where γ = 0, 1/|γ| for steep decline, t ln 2 for steep growth."""
    x = special.product(time, doubling_rate)
    near = jnp.abs(x) <= 2.0
    inner = jnp.where(near, x, 0.0)
    rate = jnp.where(near, 1.0, doubling_rate)
    outer = jnp.where(near, 3.0, x)
    left = special.exp2(-jnp.abs(outer))
    swing = jnp.where(near | (left == 0.0), 0.0, time) * LN2 / (1.0 - left)
    up = jnp.where(left == 0.0, time * LN2, swing) - 1.0 / rate
    down = -swing * left - 1.0 / rate
    return jnp.where(near, time * LN2 * special.exprel2_slope(inner), jnp.where(outer > 0.0, up, down))


def power(e: Array, r: Array, kappa: Array, factor: Array | None = None, *, bounded: bool = False) -> Array:
    """factor c^(−kappa) for c = 2^e (1 + r), split as by :func:`kernels.loss.special.split`, and c >= 1.

    A factor of None stands for 1. `bounded` says that the result is no smaller than the smallest normal number.
    """
    return power_of_log(e, special.log2_remainder(r), kappa, factor, bounded=bounded)


def power_of_log(e: Array, log2_r: Array, kappa: Array, factor: Array | None = None, *, bounded: bool = False) -> Array:
    """The same from log2(1 + r), which many an exponent may share.

    The whole exponent is multiplied by kappa without rounding, in two halves; only the rest is rounded.
    """
    kappa_head = special.head(kappa)
    whole = special.unfused(kappa_head * e)
    rest = special.unfused((kappa - kappa_head) * e) + special.unfused(kappa * log2_r)
    k = jnp.rint(whole + rest)
    fraction = (whole - k) + rest
    if factor is None:
        return special.lower(1.0 + special.exp2m1_fraction(-fraction), k, bounded=bounded)
    # Far below the smallest number the fraction is all rounding, and the factor may be infinite.
    gone = k >= NOTHING
    value = 1.0 + special.exp2m1_fraction(jnp.where(gone, 0.0, -fraction))
    return special.scale(value * jnp.where(gone, 0.0, factor), -k)


def along(partials: Iterable[Array], tangents: Sequence[Array]) -> Array:
    """Σ d v, the derivative along the tangents."""
    return sum((d * v for d, v in zip(partials, tangents, strict=True)), start=jnp.zeros_like(tangents[0]))


def in_domain(fleet: Array, time: Array, rate: Array, reference_fleet: Array, reference_years: Array) -> Array:
    """Whether a run has a compute ratio."""
    positive = (reference_fleet > 0.0) & (reference_years > 0.0)
    return (fleet >= 0.0) & (time >= 0.0) & ~jnp.isnan(rate) & positive


def _per_reference(x: Array, reference_fleet: Array, reference_years: Array) -> tuple[Array, Array]:
    """x / (N0 T0) as a number near 1 and a power of two, which no choice of units can make overflow."""
    (a, i), (b, j), (c, k) = map(special.normalised, (x, reference_fleet, reference_years))
    return a / (b * c), i - j - k


def _added(fleet: Array, grown: Growth, reference_fleet: Array, reference_years: Array) -> tuple[Array, Array]:
    """(N/N0) G/T0 as a number and a power of two >= 1; 0 where N or G is, though the other be infinite."""
    ratio, i = _per_reference(fleet, reference_fleet, reference_years)
    years, j = special.normalised(grown.years)
    exponent = i + j + grown.exponent
    return special.scale(special.product(ratio, years), jnp.minimum(exponent, 0.0)), jnp.maximum(exponent, 0.0)


@jax.custom_jvp
@jax.jit
def effective_years(time: Array, rate: Array) -> Array:
    """G, of arrays of one type and shape, as all that follow."""
    grown = growth(time, rate)
    return special.scale(grown.years, grown.exponent)


@effective_years.defjvp
def _effective_years_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    time, rate = primals
    years = effective_years(time, rate)
    grown = growth(time, rate)
    by_time = special.exp2(special.product(time, rate))
    by_rate = special.scale(special.product(grown.years, growth_slope(time, rate)), grown.exponent)
    return years, by_time * tangents[0] + by_rate * tangents[1]


@jax.custom_jvp
@jax.jit
def compute_ratio(fleet: Array, time: Array, rate: Array, reference_fleet: Array, reference_years: Array) -> Array:
    """c = 1 + (N/N0) G/T0."""
    return 1.0 + special.scale(*_added(fleet, growth(time, rate), reference_fleet, reference_years))


@compute_ratio.defjvp
def _compute_ratio_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    fleet, time, rate, reference_fleet, reference_years = primals
    grown = growth(time, rate)
    added, exponent = _added(fleet, grown, reference_fleet, reference_years)
    by_fleet, i = _per_reference(grown.years, reference_fleet, reference_years)
    by_time, j = _per_reference(fleet, reference_fleet, reference_years)
    partials = (
        special.scale(by_fleet, i + grown.exponent),
        special.scale(special.product(by_time, grown.efficiency), j + grown.exponent),
        special.scale(special.product(added, growth_slope(time, rate)), exponent),
        special.scale(-added / reference_fleet, exponent),
        special.scale(-added / reference_years, exponent),
    )
    return compute_ratio(*primals), along(partials, tangents)


@jax.custom_jvp
@jax.jit
def log_compute_ratio(fleet: Array, time: Array, rate: Array, reference_fleet: Array, reference_years: Array) -> Array:
    """ln c, which is finite where c overflows."""
    return special.log2_1p_scaled(*_added(fleet, growth(time, rate), reference_fleet, reference_years)) * LN2


@log_compute_ratio.defjvp
def _log_compute_ratio_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    return log_compute_ratio(*primals), along(log_partials(*primals), tangents)


def log_partials(
    fleet: Array, time: Array, rate: Array, reference_fleet: Array, reference_years: Array
) -> tuple[Array, Array, Array, Array, Array]:
    """Derivatives of log c by each of its arguments, none of which overflows where log c does not.

    They are those of log G times the share of c that was added where that is most of it, and else those of c over c;
    the form that is not used is given harmless arguments, whose derivatives are no obstacle to a second one.
    """
    grown = growth(time, rate)
    added, exponent = _added(fleet, grown, reference_fleet, reference_years)
    ratio = special.scale(added, special.within_reach(added, exponent))
    most = ratio > 1.0
    endless = jnp.isinf(ratio)
    ratio = jnp.where(endless, 1.0, ratio)
    share = jnp.where(endless, 1.0, ratio / (1.0 + ratio))
    by_fleet, i = _per_reference(grown.years, reference_fleet, reference_years)
    by_time, j = _per_reference(fleet, reference_fleet, reference_years)
    by_time = special.product(by_time, grown.efficiency)
    k = jnp.where(most, 0.0, grown.exponent)
    rest = 1.0 + jnp.where(most, 0.0, ratio)
    few_fleet = special.scale(jnp.where(most, 0.0, by_fleet), jnp.where(most, 0.0, i) + k) / rest
    few_time = special.scale(jnp.where(most, 0.0, by_time), jnp.where(most, 0.0, j) + k) / rest
    return (
        jnp.where(most, share / jnp.where(most, fleet, 1.0), few_fleet),
        jnp.where(most, share * grown.efficiency / jnp.where(most, grown.years, 1.0), few_time),
        special.product(share, growth_slope(time, rate)),
        -share / reference_fleet,
        -share / reference_years,
    )


@jax.custom_jvp
@jax.jit
def power_of_ratio(
    factor: Array, fleet: Array, time: Array, rate: Array, reference_fleet: Array, reference_years: Array, kappa: Array
) -> Array:
    """factor c^(−κ): with the factor inside, a derivative of X is right where X alone would be too small a number."""
    added, exponent = _added(fleet, growth(time, rate), reference_fleet, reference_years)
    exponent = jnp.where(added == 0.0, 0.0, exponent)
    e, r = special.split(special.power_of_two(jnp.maximum(-exponent, special.lowest(added))) + added)
    e = jnp.where(jnp.isinf(added), ENDLESS, jnp.minimum(e + exponent, ENDLESS))
    return power(e, r, kappa, factor)


@power_of_ratio.defjvp
def _power_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    factor, *run, kappa = primals
    by_run = [power_of_ratio(special.product(-factor * kappa, d), *run, kappa) for d in log_partials(*run)]
    by_factor = power_of_ratio(jnp.ones_like(factor), *run, kappa)
    by_kappa = power_of_ratio(-factor * log_compute_ratio(*run), *run, kappa)
    return power_of_ratio(*primals), along((by_factor, *by_run, by_kappa), tangents)


@jax.custom_jvp
def mix(share: Array, excess: Array, gained: Array) -> Array:
    """e + (1 − e) X, given X and 1 − X apart so that the derivative by e does not cancel."""
    return share + (1.0 - share) * excess


@mix.defjvp
def _mix_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    share, _, gained = primals
    return mix(*primals), gained * tangents[0] + (1.0 - share) * tangents[1]
