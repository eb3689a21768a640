"""The quantile function of the standard normal distribution, accurate in both tails."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from kernels.loss import special
from kernels.loss.special import LN2, LOG2_E

# M. J. Wichura, Algorithm AS 241, Applied Statistics 37 (1988) 477-484: the quantile is a rational function of
# 0.180625 - (p - 1/2)^2 in the middle, of sqrt(-ln p) - 1.6 beside it, and of sqrt(-ln p) - 5 beyond.
# Numerator and denominator, in ascending powers.
_MIDDLE = {
    "float32": (
        (3.3871327179, 50.434271938, 159.29113202, 59.109374720),
        (1.0, 17.895169469, 78.757757664, 67.187563600),
    ),
    "float64": (
        (
            3.3871328727963666080,
            133.14166789178437745,
            1971.5909503065514427,
            13731.693765509461125,
            45921.953931549871457,
            67265.770927008700853,
            33430.575583588128105,
            2509.0809287301226727,
        ),
        (
            1.0,
            42.313330701600911252,
            687.18700749205790830,
            5394.1960214247511077,
            21213.794301586595867,
            39307.895800092710610,
            28729.085735721942674,
            5226.4952788528545610,
        ),
    ),
}
_BESIDE = {
    "float32": ((1.4234372777, 2.7568153900, 1.3067284816, 0.17023821103), (1.0, 0.73700164250, 0.12021132975)),
    "float64": (
        (
            1.42343711074968357734,
            4.63033784615654529590,
            5.76949722146069140550,
            3.64784832476320460504,
            1.27045825245236838258,
            0.241780725177450611770,
            0.0227238449892691845833,
            7.74545014278341407640e-4,
        ),
        (
            1.0,
            2.05319162663775882187,
            1.67638483018380384940,
            0.689767334985100004550,
            0.148103976427480074590,
            0.0151986665636164571966,
            5.47593808499534494600e-4,
            1.05075007164441684324e-9,
        ),
    ),
}
_BEYOND = {
    "float32": ((6.6579051150, 3.0812263860, 0.42868294337, 0.017337203997), (1.0, 0.24197894225, 0.012258202635)),
    "float64": (
        (
            6.65790464350110377720,
            5.46378491116411436990,
            1.78482653991729133580,
            0.296560571828504891230,
            0.0265321895265761230930,
            0.00124266094738807843860,
            2.71155556874348757815e-5,
            2.01033439929228813265e-7,
        ),
        (
            1.0,
            0.599832206555887937690,
            0.136929880922735805310,
            0.0148753612908506148525,
            7.86869131145613259100e-4,
            1.84631831751005468180e-5,
            1.42151175831644588870e-7,
            2.04426310338993978564e-15,
        ),
    ),
}


def _rational(coefficients: dict[str, tuple[tuple[float, ...], tuple[float, ...]]], x: Array) -> Array:
    above, below = (np.asarray(row, x.dtype)[::-1] for row in coefficients[x.dtype.name])
    numerator, denominator = jnp.full_like(x, above[0]), jnp.full_like(x, below[0])
    for coefficient in above[1:]:
        numerator = numerator * x + coefficient
    for coefficient in below[1:]:
        denominator = denominator * x + coefficient
    return numerator / denominator


def _value(p: Array, q: Array, far: bool) -> Array:
    # Exact: the larger tail may be a rounded 1 - p.
    apart = jnp.where(p < q, p - 0.5, 0.5 - q)
    middle = apart * _rational(_MIDDLE, 0.180625 - apart * apart)
    root = jnp.sqrt(-LN2 * special.log2(jnp.minimum(p, q)))
    size = _rational(_BESIDE, root - 1.6)
    if far:
        size = jnp.where(root > 5.0, _rational(_BEYOND, root - 5.0), size)
    return jnp.where(jnp.abs(apart) <= 0.425, middle, jnp.where(p < q, -size, size))


@jax.custom_jvp
def quantile(p: Array, q: Array) -> Array:
    """Standard normal quantile of the lower tail p = 1 - q, for 1e-10 < p, q < 1, the range of a clamped u.

    Parameters
    ----------
    p, q : jax.Array
        Both tails; the smaller one must be accurate.

    Returns
    -------
    jax.Array
        z with P(Z < z) = p, to 4 ulp.
    """
    return _value(p, q, far=False)


@jax.custom_jvp
def far_quantile(p: Array, q: Array) -> Array:
    """As `quantile`, for tails as small as the smallest normal number of the type; NaN below that, or for NaN."""
    least = np.finfo(p.dtype).tiny
    return jnp.where(jnp.minimum(p, q) >= least, _value(p, q, far=True), np.nan)


def _tangent(z: Array, p: Array, q: Array, changes: tuple[Array, Array]) -> Array:
    # Of the smaller tail, of which nothing was rounded away.
    change = jnp.where(p < q, changes[0], -changes[1])
    return change * special.exp2(z * z * (0.5 * LOG2_E)) * np.sqrt(2.0 * np.pi).astype(z.dtype)


@quantile.defjvp
def _quantile_jvp(tails: tuple[Array, Array], changes: tuple[Array, Array]) -> tuple[Array, Array]:
    z = quantile(*tails)
    return z, _tangent(z, *tails, changes)


@far_quantile.defjvp
def _far_quantile_jvp(tails: tuple[Array, Array], changes: tuple[Array, Array]) -> tuple[Array, Array]:
    z = far_quantile(*tails)
    return z, _tangent(z, *tails, changes)
