"""Efficiency that grows to a ceiling: a logistic curve in time, with elementary integral and inverse.

This project's term (kernels/README.md, section 6); without a ceiling it is the exponential of arXiv 2501.02156.
"""

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from kernels.loss import equation, special
from kernels.loss.arguments import as_arrays, elementwise
from kernels.loss.special import LN2

DEEP = -0.5  # of a decline that leaves less than half, the logarithm is taken of what is left


@elementwise
def effective_years(time: ArrayLike, doubling_rate: ArrayLike, efficiency_headroom: ArrayLike) -> Array:
    """Effective years G_H(t, γ) = (H/r) ln(1 + (2^(γt) − 1)/H), r = γ ln 2: years at the efficiency of time 0.

    Parameters
    ----------
    time : array_like
        Time t since the reference point [years], >= 0.
    doubling_rate : array_like
        Efficiency doublings a year γ at first [1/year], any real; G_H(t, 0) = t.
    efficiency_headroom : array_like
        The most that efficiency can still grow, H [1], >= 1. Infinity is no ceiling, and has the bits of
        :func:`kernels.effective_years`; 1 is no growth: t.

    Returns
    -------
    jax.Array
        [years]; NaN outside the domain.

    Notes
    -----
    Error at most 8 ulp beyond what half an ulp in each argument causes, for times 0 to 1e4, rates −5 to 50 and
    headrooms 1 to 1e12 (tests/kernels/limits/test_plateau.py). Its derivative by time is at most H.
    """
    t, rate, headroom = as_arrays(time, doubling_rate, efficiency_headroom)
    inside = (t >= 0.0) & ~jnp.isnan(rate) & (headroom >= 1.0)
    return jnp.where(inside, _effective_years(t, rate, headroom), jnp.nan)


@elementwise
def time_for_years(years: ArrayLike, doubling_rate: ArrayLike, efficiency_headroom: ArrayLike) -> Array:
    """Time t with G_H(t, γ) = y, the inverse of :func:`effective_years`: t = (1/r) ln(1 + H (e^(r y/H) − 1)).

    Parameters
    ----------
    years : array_like
        Effective years y [years], >= 0.
    doubling_rate, efficiency_headroom : array_like
        As in :func:`effective_years`.

    Returns
    -------
    jax.Array
        [years]; infinite where a decline never gets there, NaN outside the domain.

    Notes
    -----
    Error as for :func:`effective_years`, where the time is at most 1e4 years; tested as a round trip and in 256 bits.
    """
    y, rate, headroom = as_arrays(years, doubling_rate, efficiency_headroom)
    inside = (y >= 0.0) & ~jnp.isnan(rate) & (headroom >= 1.0)
    endless = jnp.isinf(headroom)
    h = jnp.where(endless, 1.0, headroom)
    v = jnp.where(endless, 0.0, rate * y / h)  # doublings at the efficiency of the end
    part = jnp.where(endless, y * (rate * LN2), h * special.exp2m1(jnp.minimum(v, 1.0)))  # 2^(γt) − 1
    late = v > 1.0
    w = jnp.where(late, 1.0, v)
    above = v + special.log2(h) + special.log2_1p(-(1.0 - 1.0 / h) * special.exp2(-jnp.where(late, v, 1.0)))
    # What is left of the efficiency of a decline, without cancellation for H near 1.
    rest = jnp.where(endless | (v > -1.0), 1.0 + part, h * special.exp2(jnp.minimum(v, 1.0)) - (h - 1.0))
    deep = ~late & (part < DEEP)
    never = deep & (rest <= 0.0)
    near = jnp.abs(w) <= 0.5
    # exp2m1(w)/w and log2(1 + z)/z by series where they are 0/0.
    grown = jnp.where(near, special.exprel2_fraction(jnp.where(near, w, 0.0)), 1.0)
    outer = jnp.where(near, 1.0, w)
    grown = jnp.where(near, grown, special.exp2m1(outer) / (outer * LN2))
    grown = jnp.where(endless, 1.0, grown)
    inner = y * grown * _log1p_ratio(jnp.where(deep | late, 0.0, part))
    inner = jnp.where(deep, special.log2(jnp.where(deep & ~never, rest, 1.0)) / jnp.where(deep, rate, -1.0), inner)
    after = above / jnp.where(late, rate, 1.0)
    return jnp.where(inside, jnp.where(never, jnp.inf, jnp.where(late, after, inner)), jnp.nan)


def log2_efficiency(time: Array, rate: Array, headroom: Array | None) -> Array:
    """log2 of the efficiency relative to time 0: γt without a ceiling, at most log2 H with one."""
    x = special.product(time, rate)
    if headroom is None:
        return x
    rise, h, most = _regions(x, headroom)
    before = jnp.where(rise, 0.0, x)
    z = special.exp2m1(before) / h
    deep = z < DEEP
    left = special.log2(jnp.where(deep, _left(before, h), 1.0)) - special.log2(h)
    early = before - jnp.where(deep, left, special.log2_1p(jnp.where(deep, 0.0, z)))
    late = most - special.log2_1p((h - 1.0) * special.exp2(-jnp.where(rise, x, 0.0)))
    return jnp.where(jnp.isinf(headroom), x, jnp.where(rise, late, early))


def _effective_years(time: Array, rate: Array, headroom: Array) -> Array:
    rise, h, most = _regions(special.product(time, rate), headroom)
    endless = jnp.isinf(headroom)
    years = equation.effective_years(jnp.where(rise, 0.0, time), rate)
    x = jnp.where(rise | endless, 0.0, special.product(time, rate))
    y = jnp.where(endless, 0.0, years)
    z = (rate * LN2) * y / h
    deep = z < DEEP
    below = jnp.where(deep, rate, -1.0)
    left = (special.log2(jnp.where(deep, _left(x, h), 1.0)) - special.log2(h)) * h / below
    early = jnp.where(deep, left, y * _log1p_ratio(jnp.where(deep, 0.0, z)))
    over = jnp.where(rise, special.product(time, rate), 0.0)
    grown = (over - most) + special.log2_1p((h - 1.0) * special.exp2(-over))
    late = h * (grown / jnp.where(rise, rate, 1.0))
    return jnp.where(endless, years, jnp.where(rise, late, early))


def _regions(x: Array, headroom: Array) -> tuple[Array, Array, Array]:
    """Whether exponential growth would be past the ceiling, the headroom where it is finite, and its log2."""
    h = jnp.where(jnp.isinf(headroom) | ~(headroom >= 1.0), 1.0, headroom)
    most = special.log2(h)
    return ~jnp.isinf(headroom) & (x > most), h, most


def _left(x: Array, h: Array) -> Array:
    """H − 1 + 2^x, without cancellation for H below 2."""
    return (h - 1.0) + special.exp2(x)


def _log1p_ratio(z: Array) -> Array:
    """ln(1 + z)/z for z > −1; 1 at 0."""
    near = jnp.abs(z) <= 0.25
    inner = special.log2_1p_ratio(jnp.where(near, z, 0.0))
    outer = jnp.where(near, 1.0, z)
    return jnp.where(near, inner, special.log2_1p(outer) / outer) * LN2
