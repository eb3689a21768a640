"""Which of several caps on a fleet binds, by how much, and which share of the limit each is.

Values are of the least cap; shares are the elasticities of a soft minimum, which change smoothly where caps cross
(kernels/README.md, section 6).
"""

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from kernels.loss import special
from kernels.loss.arguments import as_arrays

SHARPNESS = 8.0  # p of the soft minimum, which is at most m^(1/p) below the least of m caps
NONE = -1.0


def binding_limit(wanted: ArrayLike, *caps: ArrayLike) -> Array:
    """Position of the least of the caps where it is below what is wanted, −1 where none is; the first of equal ones."""
    fleet, *limits = as_arrays(wanted, *caps)
    least, place = limits[0], jnp.zeros_like(fleet)
    for i, cap in enumerate(limits[1:], start=1):
        least, place = jnp.minimum(least, cap), jnp.where(cap < least, float(i), place)
    place = jnp.where(fleet > least, place, NONE)
    return jnp.where(jnp.isnan(fleet + least), jnp.nan, place)


def limit_slack(wanted: ArrayLike, *caps: ArrayLike) -> Array:
    """The least cap over what is wanted: below 1 where it binds, infinite where there is none."""
    fleet, *limits = as_arrays(wanted, *caps)
    least = limits[0]
    for cap in limits[1:]:
        least = jnp.minimum(least, cap)
    return least / fleet


def binding_shares(*caps: ArrayLike) -> tuple[Array, ...]:
    """Share of the limit that each cap is, cap^(−p) over the sum of them all, p = 8: they sum to 1, or are all 0.

    Parameters
    ----------
    *caps : array_like
        Caps on a fleet [1], > 0; infinity is none, and has no share.

    Returns
    -------
    tuple of jax.Array
        [1], in [0, 1]; 0 for all where no cap is finite, NaN for all where one is NaN.
    """
    limits = as_arrays(*caps)
    logs = [special.log2(jnp.where(jnp.isinf(cap), 1.0, cap)) for cap in limits]
    least = jnp.full_like(limits[0], jnp.inf)
    for cap, log in zip(limits, logs, strict=True):
        least = jnp.minimum(least, jnp.where(jnp.isinf(cap), jnp.inf, log))
    base = jnp.where(jnp.isinf(least), 0.0, least)
    weights = [
        jnp.where(jnp.isinf(cap), 0.0, special.exp2(-SHARPNESS * (log - base)))
        for cap, log in zip(limits, logs, strict=True)
    ]
    total = sum(weights[1:], start=weights[0])
    unknown = jnp.isnan(sum(limits[1:], start=limits[0]))
    some = jnp.where(total > 0.0, total, 1.0)
    return tuple(jnp.where(unknown, jnp.nan, weight / some) for weight in weights)
