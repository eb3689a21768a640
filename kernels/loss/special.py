"""Elementary functions, base 2, that are right for every argument, in value and gradient, in float32 and float64.

XLA's own log1p and expm1 lose up to 128 and 5 ulp on a CPU, its exp2 up to 47 at 2^80, and they round differently where
fusion differs. These are bit operations and polynomials: the same bits wherever and however they are compiled. The
polynomials are Chebyshev interpolants, computed with 60 digits.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

LN2 = math.log(2.0)
LOG2_E = 1.0 / LN2

# (2^x - 1) / (x ln 2) in powers of x, |x| <= 0.505; relative error 1.3e-8 and 4e-21
_EXPREL2 = {
    "float32": (
        1.0,
        0.346573591270218203,
        0.08007469531173189975,
        0.01387595727865473554,
        0.001932059709848934687,
        0.0002229564300533240346,
    ),
    "float64": (
        1.0,
        0.3465735902799726546,
        0.08007550231970023744,
        0.01387602716620540438,
        0.001923625821525695866,
        0.0002222259691068461609,
        0.00002200504341910297651,
        1.906591729467263702e-6,
        1.46838742295662901e-7,
        1.017806013490983529e-8,
        6.413544064333833399e-10,
        3.712729175252834829e-11,
        1.979013297175553897e-12,
    ),
}
# log2(1 + r) / r in powers of r, sqrt(1/2) <= 1 + r <= sqrt(2); relative error 3e-8
_LOG2_1P = (
    1.442695003368577286,
    -0.721347467122326673,
    0.4809108041818700619,
    -0.3606934343440077694,
    0.2879015146944146522,
    -0.2391642253472539058,
    0.2160908935003452941,
    -0.2059128454849315724,
    0.1231406407175187135,
)
# log2(1 + r) / s in powers of s^2 for s = r / (2 + r), the same range; relative error 1.2e-18
_LOG2_S = (
    2.885390081777926811,
    0.9617966939259902932,
    0.5770780163451755796,
    0.4121985859188185002,
    0.3205985266110100978,
    0.2623348028667733229,
    0.2209010564512495816,
    0.2137843951377625615,
)
# ln 2 as a number of half the digits, and the rest
_LN2_PARTS = {"float32": (0.69311523, 3.1946183e-05), "float64": (0.6931471675634384, 1.2996506893889889e-08)}
# (d log2 exprel2(x) / dx - 1/2) / x in powers of x^2, |x| <= 2; relative error 3e-12 and 1e-23
_SLOPE = {
    "float32": (
        0.05776226504646440967,
        -0.0004625342353125172753,
        5.29108407999494713e-6,
        -6.354185951178601915e-8,
        7.655929638995788426e-10,
        -8.124069308127921275e-12,
    ),
    "float64": (
        0.05776226504666210912,
        -0.0004625342388735131662,
        5.291094502550969135e-6,
        -6.355305751691376733e-8,
        7.710671219067001468e-10,
        -9.376883221424574506e-12,
        1.1409573346881297e-13,
        -1.388479109062100763e-15,
        1.689600305041836353e-17,
        -2.052011539253432319e-19,
        2.427187071326178565e-21,
        -2.28615051336950671e-23,
    ),
}


def _bits(dtype: np.dtype) -> tuple[type, int, int]:
    """Integer type of the same size, bits of the fraction, and exponent bias of a floating type."""
    return (np.int32, 23, 127) if dtype == np.float32 else (np.int64, 52, 1023)


def horner(coefficients: Sequence[float | Array], x: Array) -> Array:
    """Polynomial in x with coefficients from the lowest power on: numbers, or arrays of the type of x."""
    total = jnp.broadcast_to(jnp.asarray(coefficients[-1], x.dtype), x.shape)
    for coefficient in coefficients[-2::-1]:
        total = total * x + jnp.asarray(coefficient, x.dtype)
    return total


def _name(x: Array) -> str:
    return np.dtype(x.dtype).name


def digits(x: Array) -> float:
    """Bits of the fraction of the type of x."""
    return float(_bits(x.dtype)[1])


def lowest(x: Array) -> float:
    """Minus the exponent bias of the type of x: the power of two that stands for 0."""
    return float(-_bits(x.dtype)[2])


def power_of_two(k: Array) -> Array:
    """2^k for whole numbers k (held as floats) from minus the exponent bias, which gives 0, to the largest exponent."""
    return lax.bitcast_convert_type(_as_exponent(k, _bits(k.dtype)[2]), k.dtype)


def _as_exponent(k: Array, bias: int) -> Array:
    """Whole numbers k + bias >= 0 (k held as floats) where the bits of a float have its exponent.

    Beside a number so large the last bit is worth 1; a conversion costs more, as XLA guards it against overflow.
    """
    integer, fraction, _ = _bits(k.dtype)
    return lax.bitcast_convert_type(k + (1.5 * 2.0**fraction + bias), integer) << fraction


def lower(x: Array, k: Array, *, bounded: bool = False) -> Array:
    """x 2^-k for finite x >= 0 and whole numbers k >= 0 (held as floats); 0 below the smallest normal number.

    Where the result is known not to be so small (`bounded`), it is not looked for.
    """
    integer, fraction, bias = _bits(k.dtype)
    bits = lax.bitcast_convert_type(x, integer)
    if bounded:
        return lax.bitcast_convert_type(bits - _as_exponent(k, 0), x.dtype)
    down = bits - _as_exponent(jnp.minimum(k, 2.0 * bias), 0)
    return lax.bitcast_convert_type(jnp.where(down >= integer(1) << fraction, down, integer(0)), x.dtype)


def scale(x: Array, k: Array) -> Array:
    """x 2^k for whole numbers k (held as floats) of any size, with one rounding at most."""
    bias = _bits(k.dtype)[2]
    k = jnp.clip(k, -2 * bias + 2, 2 * bias)
    half = jnp.floor(k * 0.5)
    return x * power_of_two(half) * power_of_two(k - half)


def exponent_of(x: Array) -> Array:
    """Whole number k, as a float, with 2^k <= |x| < 2^(k+1); minus the exponent bias for 0."""
    integer, fraction, bias = _bits(x.dtype)
    bits = lax.bitcast_convert_type(jnp.abs(x), integer)
    return ((bits >> fraction) - integer(bias)).astype(x.dtype)


def within_reach(p: Array, k: Array) -> Array:
    """The power of two, at most k, that keeps p 2^k below 2^61, beside which 1 is nothing in either type."""
    return jnp.where(p == 0.0, k, jnp.minimum(k, 60.0 - exponent_of(p)))


def unfused(x: Array) -> Array:
    """x, in a form that a compiler cannot fuse, as a product, with a sum: whether it would depends on the shapes."""
    return jnp.maximum(x, -np.finfo(x.dtype).max)


def product(a: Array, b: Array) -> Array:
    """The product, 0 where one factor is 0 though the other be infinite."""
    undecided = ((a == 0.0) & jnp.isinf(b)) | (jnp.isinf(a) & (b == 0.0))
    return jnp.where(undecided, 0.0, a) * jnp.where(undecided, 0.0, b)


def normalised(x: Array) -> tuple[Array, Array]:
    """Number m and whole number k with x = m 2^k and 1 <= |m| < 2; m is x where that is 0 or infinite."""
    # 0 stays where it is, or a derivative taken backwards would underflow on its way through the powers.
    k = jnp.where(x == 0.0, 0.0, exponent_of(x))
    return scale(x, -k), k


def head(x: Array) -> Array:
    """The leading half of the bits of x, so that its product with another head, or a small whole number, is exact."""
    integer, fraction, _ = _bits(x.dtype)
    mask = integer(-1) << (fraction // 2 + 1)
    return lax.bitcast_convert_type(lax.bitcast_convert_type(x, integer) & mask, x.dtype)


def split(c: Array) -> tuple[Array, Array]:
    """Whole number e and remainder r with c = 2^e (1 + r) and sqrt(1/2) <= 1 + r < sqrt(2), for normal c > 0."""
    integer, fraction, _ = _bits(c.dtype)
    bits = lax.bitcast_convert_type(c, integer)
    above = bits - np.sqrt(0.5).astype(c.dtype).view(integer)
    e = (above >> fraction).astype(c.dtype)
    return e, lax.bitcast_convert_type(bits - (above & (integer(-1) << fraction)), c.dtype) - 1.0


def log2_remainder(r: Array) -> Array:
    """log2(1 + r) for sqrt(1/2) <= 1 + r <= sqrt(2), to 1 ulp of the result."""
    return r * log2_1p_ratio(r)


def exp2m1_fraction(f: Array) -> Array:
    """2^f - 1 for |f| <= 0.505, to 1 ulp of the result."""
    return f * LN2 * horner(_EXPREL2[_name(f)], f)


def exprel2_fraction(f: Array) -> Array:
    """(2^f - 1) / (f ln 2) for |f| <= 0.505, 1 at f = 0."""
    return horner(_EXPREL2[_name(f)], f)


def exprel2_remainder(f: Array) -> Array:
    """((2^f - 1) / (f ln 2) - 1) / f for |f| <= 0.505."""
    return horner(_EXPREL2[_name(f)][1:], f)


def log2_1p_ratio(r: Array) -> Array:
    """log2(1 + r) / r for sqrt(1/2) <= 1 + r <= sqrt(2), log2(e) at r = 0."""
    if r.dtype == np.float32:
        return horner(_LOG2_1P, r)
    s = r / (2.0 + r)
    return horner(_LOG2_S, s * s) / (2.0 + r)


def reduce(x: Array) -> tuple[Array, Array]:
    """Nearest whole number k and x - k; k is infinite and the rest 0 for infinite x."""
    k = jnp.rint(x)
    return k, jnp.where(jnp.isinf(x), 0.0, x - k)


@jax.custom_jvp
def exp2(x: Array) -> Array:
    """2^x, to 1 ulp."""
    k, f = reduce(x)
    return scale(1.0 + exp2m1_fraction(f), k)


@exp2.defjvp
def _exp2_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    y = exp2(primals[0])
    return y, y * LN2 * tangents[0]


@jax.custom_jvp
def exp2m1(x: Array) -> Array:
    """2^x - 1, to 2 ulp."""
    k, f = reduce(x)
    # No cancellation: |2^k (2^f - 1)| is at most 0.83 |2^k - 1| unless k = 0.
    return scale(exp2m1_fraction(f), k) + (scale(jnp.ones_like(x), k) - 1.0)


@exp2m1.defjvp
def _exp2m1_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return exp2m1(primals[0]), exp2(primals[0]) * LN2 * tangents[0]


@jax.custom_jvp
def log2(x: Array) -> Array:
    """log2(x) for normal x > 0, to 1 ulp."""
    e, r = split(x)
    return e + log2_remainder(r)


@log2.defjvp
def _log2_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return log2(primals[0]), LOG2_E / primals[0] * tangents[0]


def exp(x: Array) -> Array:
    """e^x, to 2 ulp; without a derivative of its own."""
    # Beyond these all is 0 or infinite.
    x = jnp.clip(x, (2.0 * lowest(x)) * LN2, (-2.0 * lowest(x)) * LN2)
    k = jnp.rint(x * LOG2_E)
    leading, trailing = _LN2_PARTS[_name(x)]  # the product with the first is exact
    rest = (x - k * leading) - k * trailing
    return scale(1.0 + exp2m1_fraction(rest * LOG2_E), k)


def log(x: Array) -> Array:
    """Natural logarithm of x, to 3 ulp, -inf below the smallest normal number; without a derivative of its own."""
    e, r = split(x)
    leading, trailing = _LN2_PARTS[_name(x)]
    value = e * leading + (e * trailing + log2_remainder(r) * LN2)
    value = jnp.where(jnp.abs(x) < np.finfo(x.dtype).tiny, -jnp.inf, jnp.where(x < 0.0, jnp.nan, value))
    return jnp.where(x < jnp.inf, value, x)


def log2_1p_inside(a: Array) -> Array:
    """log2(1 + a) for finite a > -1, to 2 ulp; anything for others, and without a derivative."""
    c = 1.0 + a
    e, r = split(c)
    lost = jnp.minimum(a, 1.0) - (c - jnp.maximum(a, 1.0))
    # With what the sum lost, the remainder is a itself where c is nearest to 1.
    return e + unfused(log2_remainder(r + lost * power_of_two(jnp.maximum(-e, lowest(e)))))


@jax.custom_jvp
def log2_1p(a: Array) -> Array:
    """log2(1 + a) for a > -1, to 2 ulp; -inf at -1."""
    value = log2_1p_inside(a)
    return jnp.where(a == jnp.inf, jnp.inf, jnp.where(a > -1.0, value, jnp.where(a == -1.0, -jnp.inf, jnp.nan)))


@log2_1p.defjvp
def _log2_1p_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return log2_1p(primals[0]), LOG2_E / (1.0 + primals[0]) * tangents[0]


@jax.custom_jvp
def log2_1p_scaled(p: Array, k: Array) -> Array:
    """log2(1 + p 2^k) for whole numbers k and p 2^k > -1, to 2 ulp, whatever the size of p 2^k."""
    near = within_reach(p, k)
    return log2_1p(scale(p, near)) + jnp.where(near < k, k - near, 0.0)


@log2_1p_scaled.defjvp
def _log2_1p_scaled_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    p, k = primals
    near = within_reach(p, k)
    return log2_1p_scaled(p, k), scale(jnp.ones_like(p), near) / (1.0 + scale(p, near)) * LOG2_E * tangents[0]


def exprel2_slope(x: Array) -> Array:
    """Derivative of log2 exprel2(x) for |x| <= 2, where exprel2(x) = (2^x - 1) / (x ln 2); 1/2 at 0."""
    return 0.5 + x * horner(_SLOPE[_name(x)], x * x)
