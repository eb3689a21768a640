"""A stock of training data that is used up: what compute still gains beyond it.

Compute-optimal training takes a stock U of tokens at the compute C_d; from there on only the model grows. Both pieces
are exact for L = E + A/N^α + B/D^β, of which κ = αβ/(α+β) and φ = α/(α+β) are all that is needed (kernels/README.md,
section 6; the form of the loss is Hoffmann et al., arXiv 2203.15556). They are of the excess loss: the total loss has
no such split.
"""

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from kernels.loss import special
from kernels.loss.arguments import as_arrays, elementwise
from kernels.loss.special import LN2, LOG2_E


@elementwise
def log_data_limited_loss(
    log_compute_ratio: ArrayLike,
    scaling_exponent: ArrayLike,
    log_data_limit: ArrayLike,
    data_exponent_share: ArrayLike,
) -> Array:
    """Natural logarithm of the relative excess loss X = c_d^(−κ) s(c/c_d), where data for c_d is all there is.

    s(x) = x^(−κ) up to x = 1, and φ + (1 − φ) x^(−κ/(1−φ)) beyond, which meets it with the same slope.

    Parameters
    ----------
    log_compute_ratio : array_like
        Natural logarithm of the compute ratio c [1].
    scaling_exponent : array_like
        Exponent κ of the excess loss in compute [1], > 0.
    log_data_limit : array_like
        Natural logarithm of the compute ratio c_d at which the data are used up [1]; infinity is no limit.
    data_exponent_share : array_like
        φ = α/(α + β), the share of the excess loss at the optimum that is due to data [1], in (0, 1).

    Returns
    -------
    jax.Array
        [1]; at least ln φ − κ ln c_d. NaN outside the domain.

    Notes
    -----
    Error at most 8 ulp of the largest of κ ln c, κ ln c_d and |ln s| beyond what half an ulp in each argument causes,
    for κ 1e-3 to 1, φ 0.01 to 0.99 and compute ratios to 1e30 (tests/kernels/limits/test_data.py). Derivatives of first
    order are continuous; the second by c jumps at c_d.
    """
    log_c, kappa, limit, share = as_arrays(log_compute_ratio, scaling_exponent, log_data_limit, data_exponent_share)
    inside = (kappa > 0.0) & (share > 0.0) & (share < 1.0)
    short = log_c > limit
    most = jnp.where(short, limit, 0.0)
    x = jnp.where(short, log_c - most, 0.0)
    steep = kappa / jnp.where(inside, 1.0 - share, 1.0)  # α
    beyond = -kappa * most + _log_mix(-(steep * x), share)
    return jnp.where(inside, jnp.where(short, beyond, -kappa * jnp.where(short, 0.0, log_c)), jnp.nan)


@elementwise
def log_compute_for_loss(
    log_relative_excess_loss: ArrayLike,
    scaling_exponent: ArrayLike,
    log_data_limit: ArrayLike,
    data_exponent_share: ArrayLike,
) -> Array:
    """Natural logarithm of the compute ratio at which the excess loss is reached: inverts the function above.

    Parameters
    ----------
    log_relative_excess_loss : array_like
        Natural logarithm of the relative excess loss X* [1].
    scaling_exponent, log_data_limit, data_exponent_share : array_like
        As in :func:`log_data_limited_loss`.

    Returns
    -------
    jax.Array
        [1]; infinite at and below the floor φ c_d^(−κ), which no compute passes. NaN outside the domain.

    Notes
    -----
    c = c_d ((X* c_d^κ − φ)/(1 − φ))^(−(1−φ)/κ) beyond the limit; accuracy as above.
    """
    log_x, kappa, limit, share = as_arrays(
        log_relative_excess_loss, scaling_exponent, log_data_limit, data_exponent_share
    )
    inside = (kappa > 0.0) & (share > 0.0) & (share < 1.0)
    k = jnp.where(inside, kappa, 1.0)
    short = -log_x / k > limit
    most = jnp.where(short, limit, 0.0)
    lost = special.exp2m1(jnp.where(short, log_x + k * most, 0.0) * LOG2_E)  # s − 1, in (−1, 0]
    rest = lost / jnp.where(inside, 1.0 - share, 1.0)
    never = short & (rest <= -1.0)
    grown = -special.log2_1p(jnp.where(never, 0.0, rest)) * LN2 * ((1.0 - share) / k)
    reached = jnp.where(short, jnp.where(never, jnp.inf, most + grown), -jnp.where(short, 0.0, log_x) / k)
    return jnp.where(inside, reached, jnp.nan)


def loss_at_limit(scaling_exponent: Array, log_data_limit: Array) -> Array:
    """c_d^(−κ), which spans fewer axes of a grid than the loss."""
    return special.exp2(-scaling_exponent * (log_data_limit * LOG2_E))


def loss_of_parts(log_c: Array, kappa: Array, limit: Array, share: Array, at_limit: Array) -> Array:
    """X with one power a point, from c_d^(−κ), as a grid evaluates it."""
    short = log_c > limit
    rest = 1.0 - share
    fall = jnp.where(short, (kappa / rest) * (log_c - limit), kappa * log_c)
    power = special.exp2(-LOG2_E * fall)
    return jnp.where(short, at_limit * (share + rest * power), power)


def _log_mix(a: Array, share: Array) -> Array:
    """ln(φ + (1 − φ) e^a) for a <= 0: near a = 0 by what is lost, and else by what is left."""
    near = a > -LN2
    lost = (1.0 - share) * special.exp2m1(jnp.where(near, a, 0.0) * LOG2_E)
    left = (1.0 - share) / jnp.where(share > 0.0, share, 1.0) * special.exp2(jnp.where(near, -1.0, a) * LOG2_E)
    safe = jnp.where((share > 0.0) & (share < 1.0), share, 0.5)
    return jnp.where(near, special.log2_1p(lost), special.log2(safe) + special.log2_1p(left)) * LN2
