"""The relative-loss equation, in value and gradient.

C.-P. Lu, "The Race to Efficiency", arXiv 2501.02156, in its mean-field form (a constant fleet whose efficiency doubles
at a constant rate); the excess-loss form is C.-P. Lu, arXiv 2603.28507. The factor N/N0 is this project's extension: it
scales the compute that is added, not the compute at time 0, so R(0) = 1 for every fleet.

Every function is elementwise over arguments that broadcast, of any shape, and returns float32, or float64 where an
argument is and 64-bit is enabled. A value outside its domain gives NaN. Where a limit exists the value is the limit.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import NamedTuple, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from kernels.loss import special
from kernels.loss.special import LN2

# Growth is kept as a number and a power of two where 2^(γt) is beyond 2^32, so that it cannot overflow; the number is
# then so large that beside it the 1 in 1 + (N/N0) G/T0 matters only while the power of two is small.
DIRECT = 32.0
ENDLESS = 2.0**100  # stands for an infinite power of two, which times 0 would be NaN
NOTHING = 4096.0  # 2^-4096 is 0 in every type


Function = TypeVar("Function", bound=Callable[..., Array])


class Growth(NamedTuple):
    """Effective years, as ``years * 2**exponent``, and the efficiency at the end, as ``efficiency * 2**exponent``."""

    years: Array
    exponent: Array
    efficiency: Array


def _typed(*values: ArrayLike) -> list[Array]:
    """Arguments as arrays of one floating type; whole numbers count as the default type.

    Raises TypeError where an argument is not a real number.
    """
    types = [np.dtype(v.dtype) if hasattr(v, "dtype") else np.asarray(v).dtype for v in values]
    for kind in types:
        if not (jnp.issubdtype(kind, jnp.floating) or jnp.issubdtype(kind, jnp.integer) or kind == np.bool_):
            raise TypeError(f"arguments must be real numbers, got {kind}")
    floats = [t for v, t in zip(values, types, strict=True) if hasattr(v, "dtype") and jnp.issubdtype(t, jnp.floating)]
    floats = [t for t in floats if t.itemsize >= 4]
    wanted = jnp.zeros(()).dtype if not floats else jax.dtypes.canonicalize_dtype(np.result_type(*floats))
    return [jnp.asarray(v, wanted) for v in values]


def as_arrays(*values: ArrayLike) -> list[Array]:
    """Arguments as arrays of one shape and floating type; whole numbers count as the default type.

    Raises TypeError where an argument is not a real number.
    """
    return jnp.broadcast_arrays(*_typed(*values))


def elementwise(function: Function) -> Function:
    """Compile a function of real numbers as one program: operation by operation, each shape would take seconds."""
    compiled = jax.jit(function)

    @wraps(function)
    def call(*positional: ArrayLike, **named: ArrayLike) -> Array:
        values = _typed(*positional, *named.values())
        return compiled(*values[: len(positional)], **dict(zip(named, values[len(positional) :], strict=True)))

    return cast(Function, call)


@elementwise
def effective_years(time: ArrayLike, doubling_rate: ArrayLike) -> Array:
    """Effective years G(t, γ) = (2^(γt) − 1) / (γ ln 2): years at the efficiency of time 0.

    Parameters
    ----------
    time : array_like
        Time t since the reference point [years], >= 0.
    doubling_rate : array_like
        Efficiency doublings a year γ [1/year], any real; G(t, 0) = t.

    Returns
    -------
    jax.Array
        [years]; infinite where it exceeds the largest number, NaN outside the domain.

    Notes
    -----
    Error at most 4 ulp beyond what half an ulp in each argument causes, for times 0 to 1e4 and rates −5 to 100
    (tests/kernels/loss/test_relative_loss.py); so are its first derivatives. Source: arXiv 2501.02156.
    """
    t, rate = as_arrays(time, doubling_rate)
    return jnp.where((t >= 0.0) & ~jnp.isnan(rate), _effective_years(t, rate), jnp.nan)


@elementwise
def compute_ratio(
    fleet_size: ArrayLike,
    time: ArrayLike,
    doubling_rate: ArrayLike,
    *,
    reference_fleet: ArrayLike = 1.0,
    reference_years: ArrayLike = 1.0,
) -> Array:
    """Compute ratio c = C(t)/C(0) = 1 + (N/N0) G(t, γ) / T0: compute spent relative to that at time 0.

    Parameters
    ----------
    fleet_size : array_like
        Accelerators N that train [1], >= 0.
    time, doubling_rate : array_like
        As in :func:`effective_years`.
    reference_fleet : array_like
        Accelerators N0 of the reference run [1], > 0; by default 1: `fleet_size` is in units of that fleet.
    reference_years : array_like
        Years T0 that the reference fleet had run at time 0 [years], > 0; by default 1: `time` is in units of them, and
        `doubling_rate` per unit.

    Returns
    -------
    jax.Array
        [1], >= 1; infinite where it exceeds the largest number, NaN outside the domain.

    Notes
    -----
    Accuracy as for :func:`effective_years`, for fleets 1e-9 to 1e12. Source: arXiv 2501.02156; N/N0 is ours.
    """
    run = as_arrays(fleet_size, time, doubling_rate, reference_fleet, reference_years)
    return jnp.where(_in_domain(*run), _compute_ratio(*run), jnp.nan)


@elementwise
def log_relative_excess_loss(
    fleet_size: ArrayLike,
    time: ArrayLike,
    doubling_rate: ArrayLike,
    *,
    scaling_exponent: ArrayLike,
    reference_fleet: ArrayLike = 1.0,
    reference_years: ArrayLike = 1.0,
) -> Array:
    """Natural logarithm of the relative excess loss, log X = −κ log c.

    Parameters
    ----------
    fleet_size, time, doubling_rate, reference_fleet, reference_years : array_like
        As in :func:`compute_ratio`.
    scaling_exponent : array_like
        Exponent κ of the compute scaling law [1], > 0.

    Returns
    -------
    jax.Array
        [1], <= 0; NaN outside the domain. It is finite and exact where c and X themselves overflow.

    Notes
    -----
    Accuracy as for :func:`compute_ratio`, for exponents 1e-3 to 1. Source: arXiv 2501.02156, 2603.28507.
    """
    *run, kappa = as_arrays(fleet_size, time, doubling_rate, reference_fleet, reference_years, scaling_exponent)
    return jnp.where(_in_domain(*run) & (kappa > 0.0), -kappa * _log_compute_ratio(*run), jnp.nan)


@elementwise
def relative_excess_loss(
    fleet_size: ArrayLike,
    time: ArrayLike,
    doubling_rate: ArrayLike,
    *,
    scaling_exponent: ArrayLike,
    reference_fleet: ArrayLike = 1.0,
    reference_years: ArrayLike = 1.0,
) -> Array:
    """Relative excess loss X = c^(−κ), the part of the loss that compute removes, relative to time 0.

    Parameters
    ----------
    fleet_size, time, doubling_rate, reference_fleet, reference_years, scaling_exponent : array_like
        As in :func:`log_relative_excess_loss`.

    Returns
    -------
    jax.Array
        [1], in [0, 1]; NaN outside the domain.

    Notes
    -----
    Accuracy as for :func:`log_relative_excess_loss`. Source: arXiv 2501.02156, 2603.28507.
    """
    *run, kappa = as_arrays(fleet_size, time, doubling_rate, reference_fleet, reference_years, scaling_exponent)
    return jnp.where(_in_domain(*run) & (kappa > 0.0), _power(jnp.ones_like(kappa), *run, kappa), jnp.nan)


@elementwise
def relative_loss(
    fleet_size: ArrayLike,
    time: ArrayLike,
    doubling_rate: ArrayLike,
    *,
    scaling_exponent: ArrayLike,
    reference_fleet: ArrayLike = 1.0,
    reference_years: ArrayLike = 1.0,
    irreducible_share: ArrayLike = 0.0,
) -> Array:
    """Relative loss R = e + (1 − e) X, the loss relative to time 0.

    Parameters
    ----------
    fleet_size, time, doubling_rate, reference_fleet, reference_years, scaling_exponent : array_like
        As in :func:`log_relative_excess_loss`. The exponent is that of the total loss (about 0.05) where
        ``irreducible_share`` is 0, and that of the excess loss (about 0.06 to 0.18) where it is not.
    irreducible_share : array_like
        Share e of the loss at time 0 that no compute removes [1], in [0, 1).

    Returns
    -------
    jax.Array
        [1], in [e, 1]; NaN outside the domain.

    Notes
    -----
    Accuracy as for :func:`log_relative_excess_loss`. Source: arXiv 2501.02156 (e = 0), 2603.28507 (e > 0).
    """
    *run, kappa, share = as_arrays(
        fleet_size, time, doubling_rate, reference_fleet, reference_years, scaling_exponent, irreducible_share
    )
    excess = _power(jnp.ones_like(kappa), *run, kappa)
    gained = -special.exp2m1(-kappa * _log_compute_ratio(*run) * special.LOG2_E)
    inside = _in_domain(*run) & (kappa > 0.0) & (share >= 0.0) & (share < 1.0)
    return jnp.where(inside, _mix(share, excess, gained), jnp.nan)


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


def along(partials: Iterable[Array], tangents: Sequence[Array]) -> Array:
    """Σ d v, the derivative along the tangents."""
    return sum((d * v for d, v in zip(partials, tangents, strict=True)), start=jnp.zeros_like(tangents[0]))


def _in_domain(fleet: Array, time: Array, rate: Array, reference_fleet: Array, reference_years: Array) -> Array:
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
def _effective_years(time: Array, rate: Array) -> Array:
    grown = growth(time, rate)
    return special.scale(grown.years, grown.exponent)


@_effective_years.defjvp
def _effective_years_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    time, rate = primals
    years = _effective_years(time, rate)
    grown = growth(time, rate)
    by_time = special.exp2(special.product(time, rate))
    by_rate = special.scale(special.product(grown.years, growth_slope(time, rate)), grown.exponent)
    return years, by_time * tangents[0] + by_rate * tangents[1]


@jax.custom_jvp
@jax.jit
def _compute_ratio(fleet: Array, time: Array, rate: Array, reference_fleet: Array, reference_years: Array) -> Array:
    return 1.0 + special.scale(*_added(fleet, growth(time, rate), reference_fleet, reference_years))


@_compute_ratio.defjvp
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
    return _compute_ratio(*primals), along(partials, tangents)


@jax.custom_jvp
@jax.jit
def _log_compute_ratio(fleet: Array, time: Array, rate: Array, reference_fleet: Array, reference_years: Array) -> Array:
    return special.log2_1p_scaled(*_added(fleet, growth(time, rate), reference_fleet, reference_years)) * LN2


@_log_compute_ratio.defjvp
def _log_compute_ratio_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    return _log_compute_ratio(*primals), along(log_partials(*primals), tangents)


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
def _power(
    factor: Array, fleet: Array, time: Array, rate: Array, reference_fleet: Array, reference_years: Array, kappa: Array
) -> Array:
    """factor c^(−κ): with the factor inside, a derivative of X is right where X alone would be too small a number."""
    added, exponent = _added(fleet, growth(time, rate), reference_fleet, reference_years)
    exponent = jnp.where(added == 0.0, 0.0, exponent)
    e, r = special.split(special.power_of_two(jnp.maximum(-exponent, special.lowest(added))) + added)
    e = jnp.where(jnp.isinf(added), ENDLESS, jnp.minimum(e + exponent, ENDLESS))
    return power(e, r, kappa, factor)


@_power.defjvp
def _power_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    factor, *run, kappa = primals
    by_run = [_power(special.product(-factor * kappa, d), *run, kappa) for d in log_partials(*run)]
    by_factor = _power(jnp.ones_like(factor), *run, kappa)
    by_kappa = _power(-factor * _log_compute_ratio(*run), *run, kappa)
    return _power(*primals), along((by_factor, *by_run, by_kappa), tangents)


@jax.custom_jvp
def _mix(share: Array, excess: Array, gained: Array) -> Array:
    """e + (1 − e) X, given X and 1 − X apart so that the derivative by e does not cancel."""
    return share + (1.0 - share) * excess


@_mix.defjvp
def _mix_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    share, _, gained = primals
    return _mix(*primals), gained * tangents[0] + (1.0 - share) * tangents[1]
