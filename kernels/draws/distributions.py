"""Quantile functions of u in (0, 1): elementwise on the device, differentiable in the parameters, float32 and float64.

They work on the two tails p = u and q = 1 - u, so that an upper tail is as accurate as a lower one and truncation is an
average: the tails of a truncated distribution at u are those of its bounds in the proportions q and p, sums without
cancellation. u = 0, which is one of the points of a Sobol' sequence, stands for half a step of a sequence of 30 bits,
2^-31, where a quantile may be infinite, and so does what lies between; likewise next to 1. In float32 that is 2^-25,
and 1 - 2^-24 next to 1.

`lower` and `upper` truncate: the distribution is the one on condition that the value lies between. Parameters are
scalars, or arrays that broadcast with u, and take its type. Bad ones give NaN: a scale or a width below 0, bounds that
enclose nothing, or whose tails the type cannot hold.
"""

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import ndtr
from jax.typing import ArrayLike

from kernels.draws import normal as standard_normal
from kernels.draws.beta import EDGE, beta_table
from kernels.loss import special
from kernels.loss.special import LN2, LOG2_E


def _float(u: ArrayLike) -> Array:
    return jnp.asarray(u, jnp.result_type(float)) if not hasattr(u, "dtype") else jnp.asarray(u)


def tails(u: ArrayLike) -> tuple[Array, Array]:
    """Both tails of u, p = u and q = 1 - u, with u no nearer to 0 and 1 than half a step."""
    u = _float(u)
    below, above = (2.0**-31, 2.0**-31) if u.dtype == np.float64 else (2.0**-25, 2.0**-24)
    p = jnp.clip(u, below, 1.0 - above)
    return p, 1.0 - p


def _between(p: Array, q: Array, first: tuple[Array, Array], last: tuple[Array, Array]) -> tuple[Array, Array]:
    """Tails at u of a distribution that is truncated where its own are `first` and `last`."""
    return first[0] * q + last[0] * p, first[1] * q + last[1] * p


def _mix(u: Array, low: Array, high: Array) -> Array:
    """Number a share u of the way, exact at both ends."""
    return jnp.where(u < 0.5, low + u * (high - low), high - (1.0 - u) * (high - low))


def _overlap(
    u: Array, low: ArrayLike, high: ArrayLike, lower: ArrayLike | None, upper: ArrayLike | None
) -> tuple[Array, Array]:
    low, high = jnp.asarray(low, u.dtype), jnp.asarray(high, u.dtype)
    if lower is not None:
        low = jnp.maximum(low, jnp.asarray(lower, u.dtype))
    if upper is not None:
        high = jnp.minimum(high, jnp.asarray(upper, u.dtype))
    return low, high


def uniform(
    u: ArrayLike, low: ArrayLike, high: ArrayLike, *, lower: ArrayLike | None = None, upper: ArrayLike | None = None
) -> Array:
    """Quantile of the uniform distribution on [low, high]; low and high themselves at u = 0 and 1."""
    u = _float(u)
    low, high = _overlap(u, low, high, lower, upper)
    return jnp.where(low <= high, _mix(u, low, high), np.nan)


def loguniform(
    u: ArrayLike, low: ArrayLike, high: ArrayLike, *, lower: ArrayLike | None = None, upper: ArrayLike | None = None
) -> Array:
    """Quantile of the distribution on [low, high], 0 < low, whose logarithm is uniform; to 4 + log2(high / low) ulp."""
    u = _float(u)
    low, high = _overlap(u, low, high, lower, upper)
    octaves = special.log2(high) - special.log2(low)
    near_low = u < 0.5
    quantile = jnp.where(near_low, low, high) * special.exp2(jnp.where(near_low, u, u - 1.0) * octaves)
    return jnp.where((low > 0.0) & (low <= high), quantile, np.nan)


def _truncated_normal(u: ArrayLike, first: Array | None, last: Array | None) -> Array:
    """Standard normal quantile, truncated to [first, last]."""
    p, q = tails(u)
    if first is None and last is None:
        return standard_normal.quantile(p, q)
    first = jnp.full_like(p, -np.inf) if first is None else first
    last = jnp.full_like(p, np.inf) if last is None else last
    p, q = _between(p, q, (ndtr(first), ndtr(-first)), (ndtr(last), ndtr(-last)))
    return jnp.where(first <= last, jnp.clip(standard_normal.far_quantile(p, q), first, last), np.nan)


def normal(
    u: ArrayLike, mean: ArrayLike, sigma: ArrayLike, *, lower: ArrayLike | None = None, upper: ArrayLike | None = None
) -> Array:
    """Quantile of the normal distribution with the given mean and standard deviation, sigma > 0.

    That of mean 0 and sigma 1 is right to 4 ulp; truncated to a tail, as far out as 36 sigma in float64 and 11 in
    float32, to 6 ulp; truncated around its mean, to 6 ulp of sigma.
    """
    u = _float(u)
    mean, sigma = jnp.asarray(mean, u.dtype), jnp.asarray(sigma, u.dtype)
    bounds = [None if bound is None else (jnp.asarray(bound, u.dtype) - mean) / sigma for bound in (lower, upper)]
    return jnp.where(sigma > 0.0, mean + sigma * _truncated_normal(u, *bounds), np.nan)


def lognormal(
    u: ArrayLike, mu: ArrayLike, sigma: ArrayLike, *, lower: ArrayLike | None = None, upper: ArrayLike | None = None
) -> Array:
    """Quantile of the distribution whose natural logarithm is normal with mean mu and standard deviation sigma > 0.

    Bounds are those of the quantity, not of its logarithm, and > 0. Right to 5 ulp of 1 + |mu| + sigma |z|, the terms
    of its logarithm.
    """
    u = _float(u)
    bounds = [None if bound is None else jnp.log(jnp.asarray(bound, u.dtype)) for bound in (lower, upper)]
    return special.exp2(normal(u, mu, sigma, lower=bounds[0], upper=bounds[1]) * LOG2_E)


def normal_from_interval(low: ArrayLike, high: ArrayLike, mass: ArrayLike = 0.9) -> tuple[Array, Array]:
    """Mean and standard deviation of the normal distribution with a central interval [low, high] of a given mass."""
    low, high = _float(low), _float(high)
    tail = 0.5 * (1.0 - jnp.asarray(mass, low.dtype))
    sigma = (high - low) / (-2.0 * standard_normal.far_quantile(tail, 1.0 - tail))
    return 0.5 * (low + high), jnp.where((low < high) & (tail > 0.0) & (tail < 0.5), sigma, np.nan)


def lognormal_from_interval(low: ArrayLike, high: ArrayLike, mass: ArrayLike = 0.9) -> tuple[Array, Array]:
    """mu and sigma of the lognormal distribution with a central interval [low, high], 0 < low, of a given mass."""
    return normal_from_interval(jnp.log(_float(low)), jnp.log(_float(high)), mass)


def _sqrt(x: Array) -> Array:
    """Square root with the gradient 0 at 0."""
    return jnp.where(x == 0.0, 0.0, jnp.sqrt(jnp.where(x == 0.0, 1.0, x)))


def _triangular_tails(x: Array, low: Array, mode: Array, high: Array) -> tuple[Array, Array]:
    """Tails of the triangular distribution at low <= x <= high."""
    width = high - low
    left = (x - low) / width * (x - low) / jnp.where(mode > low, mode - low, 1.0)
    right = (high - x) / width * (high - x) / jnp.where(mode < high, high - mode, 1.0)
    rising = x < mode
    return jnp.where(rising, left, 1.0 - right), jnp.where(rising, 1.0 - left, right)


def triangular(
    u: ArrayLike,
    low: ArrayLike,
    mode: ArrayLike,
    high: ArrayLike,
    *,
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
) -> Array:
    """Quantile of the triangular distribution on [low, high] with the given mode, low <= mode <= high."""
    p, q = tails(u)
    low, mode, high = (jnp.asarray(x, p.dtype) for x in (low, mode, high))
    first, last = _overlap(p, low, high, lower, upper)
    if lower is not None or upper is not None:
        ends = (_triangular_tails(x, low, mode, high) for x in (first, last))
        p, q = _between(p, q, *ends)
    width = high - low
    rising = low + _sqrt(p * width * (mode - low))
    falling = high - _sqrt(q * width * (high - mode))
    quantile = jnp.clip(jnp.where(p * width < mode - low, rising, falling), first, last)
    return jnp.where((low <= mode) & (mode <= high) & (low < high) & (first <= last), quantile, np.nan)


def empirical(
    u: ArrayLike, values: ArrayLike, *, lower: ArrayLike | None = None, upper: ArrayLike | None = None
) -> Array:
    """Quantile of a sample, linear between its values as that of ``numpy.quantile``.

    Parameters
    ----------
    u : array_like
        In [0, 1].
    values : array_like
        (n,), sorted, finite, of the type of u; n >= 1.
    lower, upper : array_like, optional
        Scalars.
    """
    u, values = _float(u), jnp.asarray(values)
    ends = jnp.zeros((), u.dtype), jnp.asarray(values.size - 1, u.dtype)
    first, last = values[0], values[-1]
    if lower is not None:
        first = jnp.asarray(lower, u.dtype)
        ends = _position(values, first, "left"), ends[1]
    if upper is not None:
        last = jnp.asarray(upper, u.dtype)
        ends = ends[0], _position(values, last, "right")
    whole = jnp.clip(jnp.floor(_mix(u, *ends)), 0.0, max(values.size - 2, 0))
    index = whole.astype(np.int32)
    below, above = values[index], values[jnp.minimum(index + 1, values.size - 1)]
    quantile = jnp.clip(_mix(_mix(u, *ends) - whole, below, above), first, last)
    return jnp.where((ends[0] <= ends[1]) & (first <= last), quantile, np.nan)


def _position(values: Array, bound: Array, side: str) -> Array:
    """Where a bound lies among sorted values, as a fractional index; the first of several, or the last; NaN outside."""
    above = jnp.clip(jnp.searchsorted(values, bound, side=side), 1, max(values.size - 1, 1)).astype(np.int32)
    low, high = values[above - 1], values[jnp.minimum(above, values.size - 1)]
    step = jnp.clip((bound - low) / jnp.where(high > low, high - low, 1.0), 0.0, 1.0)
    outside = (bound > values[-1]) if side == "left" else (bound < values[0])
    return jnp.where(outside, np.nan, (above - 1).astype(values.dtype) + step)


def beta(
    u: ArrayLike,
    alpha: float,
    beta: float,
    low: float = 0.0,
    high: float = 1.0,
    *,
    lower: float | None = None,
    upper: float | None = None,
) -> Array:
    """Quantile of the beta distribution on [low, high].

    A fifth-degree Hermite interpolant in ln(u / (1 - u)) of a table that is made on the host: the parameters are
    numbers that are known when this is traced, and it is not differentiable in them.

    Parameters
    ----------
    u : array_like
        In [0, 1].
    alpha, beta : float
        From 0.05 to 1e6.
    low, high : float
        Ends, low < high.
    lower, upper : float, optional
        Bounds.

    Returns
    -------
    jax.Array
        Its share of the way from low to high is accurate to a relative 1e-12 for alpha and beta of at least 0.1, 1e-10
        below, in float64; 3e-6 / min(alpha, 1) in float32.
    """
    p, q = tails(u)
    if not low < high:
        return jnp.full_like(p, np.nan)
    first = 0.0 if lower is None else max((lower - low) / (high - low), 0.0)
    last = 1.0 if upper is None else min((upper - low) / (high - low), 1.0)
    table = jnp.asarray(beta_table(alpha, beta, lower=first, upper=last), p.dtype)
    steps = table.shape[1] - 1
    place = (special.log2(p) - special.log2(q)) * (LN2 * steps / (2.0 * EDGE)) + 0.5 * steps
    index = jnp.clip(jnp.floor(place), 0.0, steps - 1.0)
    t = place - index
    (y0, slope0, bend0), (y1, slope1, bend1) = table[:, index.astype(np.int32)], table[:, index.astype(np.int32) + 1]
    rise = y1 - y0 - slope0 - 0.5 * bend0
    turn = slope1 - slope0 - bend0
    change = bend1 - bend0
    third = 10.0 * rise - 4.0 * turn + 0.5 * change
    fourth = -15.0 * rise + 7.0 * turn - change
    fifth = 6.0 * rise - 3.0 * turn + 0.5 * change
    y = y0 + t * (slope0 + t * (0.5 * bend0 + t * (third + t * (fourth + t * fifth))))
    quantile = low + (high - low) / (1.0 + special.exp2(-y * LOG2_E))
    return jnp.where(jnp.isnan(p), np.nan, jnp.clip(quantile, lower, upper))


def correlated(u: ArrayLike, cholesky: ArrayLike) -> Array:
    """Numbers in (0, 1) with the rank correlations of a Gaussian copula, from independent ones.

    Parameters
    ----------
    u : array_like
        (d, ...) in [0, 1], independent along the first axis.
    cholesky : array_like
        (d, d), lower triangular: a Cholesky factor of `kernels.draws.copula.copula_cholesky`.

    Returns
    -------
    jax.Array
        (d, ...) in [0, 1]; row k depends on rows 0 … k of u.
    """
    z = standard_normal.quantile(*tails(u))
    factor = jnp.asarray(cholesky, z.dtype)
    rows = [sum((factor[k, j] * z[j] for j in range(1, k + 1)), factor[k, 0] * z[0]) for k in range(len(z))]
    return ndtr(jnp.stack(rows))
