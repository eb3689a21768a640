"""The relative-loss equation on a grid, in two stages, so that its bits do not depend on how the grid is cut.

Stage 1 is NumPy float64 on the host: what depends on few axes becomes a table. Stage 2 is elementwise on the device and
takes the tables as inputs, so that XLA has nothing to fold or reorder; it is bit operations and polynomials, which
round alike in every shape, and products that meet sums are kept apart. Where every exponent of the growth is 0 it may
be left out (None), which is quicker and may round the last bit otherwise. Accuracy is that of kernels.relative_loss;
the equation is arXiv 2501.02156's.
"""

import math
from collections.abc import Sequence
from decimal import Context, Decimal, localcontext

import jax.numpy as jnp
import numpy as np
from jax import Array

from kernels.loss import derivatives, special
from kernels.loss.derivatives import DIRECT
from kernels.loss.special import LN2

TERMS = {"float32": 8, "float64": 19}  # of a power with one exponent
SMALL_EXPONENT = 0.25  # for exponents up to which they suffice
POWER_DIGITS = 50  # in which a power's coefficients are computed; some twenty cancel
MODERATE_NEED = 48.0  # up to this power of two the compute that a target takes is kept as one number


def growth_table(time: np.ndarray, doubling_rate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Stage 1: effective years G(t, γ) as ``years * 2**exponent``, which float32 can hold where G overflows.

    Parameters
    ----------
    time, doubling_rate : numpy.ndarray
        float64 [years], [1/year]; shapes that broadcast.

    Returns
    -------
    years, exponent : numpy.ndarray
        float64 of the broadcast shape; the exponent is 0 wherever γt <= 32, and a whole number >= 0.
    """
    x = time * doubling_rate
    z = x * LN2
    years = time * np.divide(np.expm1(np.minimum(z, DIRECT)), z, out=np.ones_like(z), where=z != 0.0)
    exponent = np.zeros_like(x)
    beyond = x > DIRECT
    if beyond.any():
        far, rate = x[beyond], np.broadcast_to(doubling_rate, x.shape)[beyond]
        exponent[beyond] = whole = np.rint(far) - DIRECT
        years[beyond] = (np.exp2(far - whole) - np.exp2(-whole)) / (rate * LN2)
    return years, exponent


def fleet_table(fleet_size: np.ndarray, reference_fleet: np.ndarray, reference_years: np.ndarray) -> np.ndarray:
    """Stage 1: the fleet per reference fleet and year, N / (N0 T0) [1/years], float64; N > 0."""
    return fleet_size / (reference_fleet * reference_years)


def need_table(
    target: np.ndarray, scaling_exponent: np.ndarray, irreducible_share: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Stage 1: the compute ratio to be added, q = X*^(−1/κ) − 1, as ``need * 2**exponent``.

    Parameters
    ----------
    target, scaling_exponent, irreducible_share : numpy.ndarray
        float64 [1]; shapes that broadcast. κ of 1e-6 and more.

    Returns
    -------
    need, exponent : numpy.ndarray
        float64 of the broadcast shape; 0 for a target that is met, infinite for one that is never reached. The
        exponent is 0 wherever q < 2^48, and a whole number >= 0.
    """
    met, never = target >= 1.0, target <= irreducible_share
    usual = ~(met | never)
    whole, rest = _log2_excess(np.where(usual, target, 0.5), np.where(usual, irreducible_share, 0.0))
    # -log2(X*) / κ as a whole number and a fraction: the products with the halves of κ are exact, or 1/κ would
    # magnify their rounding.
    k = np.rint(-(whole + rest) / scaling_exponent)
    head = scaling_exponent.astype(np.float32).astype(np.float64)
    fraction = ((-whole - k * head) - k * (scaling_exponent - head) - rest) / scaling_exponent
    exponent = np.maximum(k - MODERATE_NEED, 0.0)
    unit = np.exp2(k - exponent)
    need = np.expm1(fraction * LN2) * unit + (unit - np.exp2(-exponent))
    need = np.where(met, 0.0, np.where(never, np.inf, np.maximum(need, 0.0)))
    return need, np.where(usual, exponent, 0.0)


def _log2_excess(target: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """log2 X* = log2((R* − e) / (1 − e)), whole part and rest apart, as in :mod:`kernels.loss.inverse_derivatives`."""
    room, rest = target - share, 1.0 - share
    back = room - target
    lost = (target - (room - back)) + (-share - back)
    carried = (lost / room - ((1.0 - rest) - share) / rest) / LN2
    k, j = np.rint(np.log2(room)), np.rint(np.log2(rest))
    apart = (np.log2(room * np.exp2(-k)) - np.log2(rest * np.exp2(-j))) + carried
    removed = (1.0 - target) / rest
    near = removed < 0.25
    close = np.log1p(-np.where(near, removed, 0.0)) / LN2
    return np.where(near, 0.0, k - j), np.where(near, close, apart)


def fleet_years_table(fleet_size: np.ndarray, reference_fleet: np.ndarray, reference_years: np.ndarray) -> np.ndarray:
    """Stage 1: the years N0 T0 / N in which the fleet, without progress, repeats the reference run, float64; N > 0."""
    return reference_fleet * reference_years / fleet_size


def pace_table(doubling_rate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Stage 1: γ ln 2 [1/years] and the years 1/γ of a doubling, float64; 0 stands for the latter where γ = 0."""
    years = np.divide(1.0, doubling_rate, out=np.zeros_like(doubling_rate), where=doubling_rate != 0.0)
    return doubling_rate * LN2, years


def nats_table(scaling_exponent: np.ndarray) -> np.ndarray:
    """Stage 1: κ ln 2 [1], float64; on the device XLA would multiply by κ first or last as the shapes are."""
    return scaling_exponent * LN2


def power_table(scaling_exponent: float, terms: int) -> np.ndarray:
    """Stage 1: coefficients of ((1 + r)^(−κ) − 1) / r in powers of r, for sqrt(1/2) <= 1 + r <= sqrt(2).

    Interpolation near the Chebyshev points, float64 of shape (terms,), the same bits on every processor. For κ <= 0.25
    the error of the power is below 3e-8 with `TERMS` of float32, and below 7e-17 with those of float64.
    """
    # In decimals, whose every operation, exp and ln too, is rounded correctly: what LAPACK solves and what libm says of
    # a logarithm differ in the last bits from processor to processor.
    with localcontext(Context(prec=POWER_DIGITS)):
        low, high = Decimal("0.5").sqrt() - 1, Decimal(2).sqrt() - 1
        middle, half, kappa = (low + high) / 2, (high - low) / 2, Decimal(scaling_exponent)
        # Near is near enough, and of a rounded cosine no last bit matters.
        cosines = (math.cos((i + 0.5) * math.pi / terms) for i in range(terms))
        nodes = [middle + half * Decimal(round(cosine * 2**20)) / 2**20 for cosine in cosines]
        rise = [((-kappa * (1 + r).ln()).exp() - 1) / r for r in nodes]
        for order in range(1, terms):  # Newton's divided differences, the first of each order left in its place ...
            for i in reversed(range(order, terms)):
                rise[i] = (rise[i] - rise[i - 1]) / (nodes[i] - nodes[i - order])
        powers = [Decimal(0)] * terms
        for difference, node in zip(reversed(rise), reversed(nodes), strict=True):  # ... multiplied out by Horner
            powers = [before - node * power for before, power in zip([Decimal(0), *powers], powers, strict=False)]
            powers[0] += difference
    return np.array([float(power) for power in powers])


def effective_years(years: Array, exponent: Array | None) -> Array:
    """Stage 2: effective years G [years] from its table."""
    return years if exponent is None else special.scale(years, exponent)


def compute_ratio(fleet: Array, years: Array, exponent: Array | None) -> Array:
    """Stage 2: compute ratio c = 1 + (N/N0) G / T0 [1]."""
    return 1.0 + effective_years(special.unfused(fleet * years), exponent)


def log_relative_excess_loss(fleet: Array, years: Array, exponent: Array | None, nats: Array) -> Array:
    """Stage 2: log X = −κ log c [1], with nats = κ ln 2 from :func:`nats_table`."""
    return -(nats * log2_compute_ratio(fleet, years, exponent))


def log2_compute_ratio(fleet: Array, years: Array, exponent: Array | None) -> Array:
    """Stage 2: log2 c [1]."""
    added = special.unfused(fleet * years)
    return special.log2_1p(added) if exponent is None else special.log2_1p_scaled(added, exponent)


def relative_excess_loss(
    fleet: Array,
    years: Array,
    exponent: Array | None,
    scaling_exponent: Array,
    terms: Sequence[Array] = (),
    *,
    bounded: bool = False,
) -> Array:
    """Stage 2: relative excess loss X = c^(−κ) [1]; `bounded` where it cannot be below the smallest normal number.

    With the terms of :func:`power_table`, for a κ that all points share, no logarithm is taken.
    """
    e, r = compute_parts(fleet, years, exponent)
    if not terms:
        return power(*log2_parts(e, r), scaling_exponent, bounded=bounded)
    return power_of_terms(e, r, scaling_exponent, terms, bounded=bounded)


def compute_parts(fleet: Array, years: Array, exponent: Array | None) -> tuple[Array, Array]:
    """Stage 2: whole number e and remainder r with c = 2^e (1 + r), as :func:`kernels.loss.special.split` has them."""
    added = special.unfused(fleet * years)
    if exponent is None:
        return special.split(1.0 + added)
    unit = special.power_of_two(jnp.maximum(-exponent, special.lowest(added)))
    e, r = special.split(unit + added)
    return e + exponent, r


def log2_parts(e: Array, r: Array) -> tuple[Array, Array]:
    """Stage 2: log2 c as a whole number and the rest, which all exponents share."""
    return e, special.log2_remainder(r)


def power(e: Array, log2_r: Array, scaling_exponent: Array, *, bounded: bool = False) -> Array:
    """Stage 2: X = c^(−κ) from the parts of log2 c."""
    return derivatives.power_of_log(e, log2_r, scaling_exponent, bounded=bounded)


def power_of_terms(
    e: Array, r: Array, scaling_exponent: Array, terms: Sequence[Array], *, bounded: bool = False
) -> Array:
    """Stage 2: X = c^(−κ) from the parts of c and the terms of :func:`power_table`."""
    head = special.head(scaling_exponent)
    whole, rest = special.unfused(head * e), special.unfused((scaling_exponent - head) * e)
    k = jnp.rint(whole + rest)
    gain = special.exp2m1_fraction(k - whole - rest)
    inner = r * special.horner(terms, r)
    return special.lower(1.0 + (gain + (inner + gain * inner)), k, bounded=bounded)


def relative_loss(excess: Array, irreducible_share: Array) -> Array:
    """Stage 2: relative loss R = e + (1 − e) X [1] from the relative excess loss X."""
    return irreducible_share + special.unfused((1.0 - irreducible_share) * excess)


def time_to_target(
    need: Array, exponent: Array | None, fleet_years: Array, pace: Array, years_per_doubling: Array
) -> Array:
    """Stage 2: time t* = log2(1 + q γ ln 2 T0 N0 / N) / γ [years] from the tables of need, fleet and pace; N > 0."""
    years = special.unfused(need * fleet_years)
    grown = special.unfused(years * pace)
    if exponent is None:
        log2_c = special.log2_1p_inside(grown)
    else:
        near = special.within_reach(grown, exponent)
        years, grown = special.scale(years, exponent), special.scale(grown, near)
        log2_c = special.log2_1p_inside(grown) + (exponent - near)
    # Below this the time is that without progress; there γ may be 0.
    slow = 2.0 ** -(special.digits(grown) + 3.0)
    time = jnp.where(jnp.abs(grown) > slow, log2_c * years_per_doubling, years)
    return jnp.where((grown > -1.0) & (need < jnp.inf), time, jnp.inf)


def fleet_for_target(
    need: Array, exponent: Array | None, years: Array, growth_exponent: Array | None, reference: Array
) -> Array:
    """Stage 2: fleet N* = q N0 T0 / G [accelerators] from the tables of need and growth; `reference` is N0 T0."""
    # A quotient would round as the shapes are: XLA divides by what it broadcasts or multiplies by its inverse.
    fleet = jnp.where(need == 0.0, 0.0, special.unfused(need * reference) * special.unfused(1.0 / years))
    if exponent is not None:
        return special.scale(fleet, exponent if growth_exponent is None else exponent - growth_exponent)
    if growth_exponent is None:
        return fleet
    return jnp.where(need < jnp.inf, special.lower(fleet, growth_exponent), jnp.inf)


def total(once: Array, yearly: Array, years: Array) -> Array:
    """Stage 2: what is paid once and what is paid every year, both >= 0."""
    return once + special.unfused(yearly * years)
