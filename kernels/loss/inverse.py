"""Inverses of the relative-loss equation: the time, the fleet or the rate that reaches a target loss.

With the target's excess X* = (R* − e) / (1 − e), the compute that is still to be added is q = X*^(−1/κ) − 1. It can be
1e30000 where the answer is an everyday number, so it is kept as a number and a power of two.

Elementwise and typed like kernels.relative_loss. A target that needs no compute (X* >= 1) gives 0 for fleet and time
and −inf for the rate; a target that cannot be reached gives +inf; a value outside its domain gives NaN.
Source: the equation of C.-P. Lu, arXiv 2501.02156, solved for one argument; N/N0 is this project's extension.
"""

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from kernels.loss import inverse_derivatives
from kernels.loss.arguments import as_arrays, elementwise


@elementwise
def time_to_target(
    target: ArrayLike,
    fleet_size: ArrayLike,
    doubling_rate: ArrayLike,
    *,
    scaling_exponent: ArrayLike,
    reference_fleet: ArrayLike = 1.0,
    reference_years: ArrayLike = 1.0,
    irreducible_share: ArrayLike = 0.0,
) -> Array:
    """Time t* = log2(1 + q T0 γ ln 2 / n) / γ at which a fleet reaches a target, n = N/N0.

    Parameters
    ----------
    target : array_like
        Relative loss R* to be reached [1].
    fleet_size, doubling_rate : array_like
        Accelerators N [1], >= 0, and doublings a year γ [1/year], any real.
    scaling_exponent, reference_fleet, reference_years, irreducible_share : array_like
        As in :func:`kernels.relative_loss`.

    Returns
    -------
    jax.Array
        [years]; +inf where no finite time reaches the target.

    Notes
    -----
    Error at most 4 ulp beyond what half an ulp in each argument causes, for targets 1e-30 to 1 and the domain of
    :func:`kernels.relative_loss` (tests/kernels/loss/test_inverse.py).
    """
    target, fleet, rate, kappa, share, *reference = as_arrays(
        target, fleet_size, doubling_rate, scaling_exponent, irreducible_share, reference_fleet, reference_years
    )
    inside = inverse_derivatives.in_domain(target, kappa, share, *reference) & (fleet >= 0.0) & ~jnp.isnan(rate)
    return jnp.where(inside, inverse_derivatives.time_to_target(target, kappa, share, fleet, rate, *reference), jnp.nan)


@elementwise
def fleet_for_target(
    target: ArrayLike,
    time: ArrayLike,
    doubling_rate: ArrayLike,
    *,
    scaling_exponent: ArrayLike,
    reference_fleet: ArrayLike = 1.0,
    reference_years: ArrayLike = 1.0,
    irreducible_share: ArrayLike = 0.0,
) -> Array:
    """Fleet N* = N0 q T0 / G(t, γ) that reaches a target in time.

    Parameters
    ----------
    target : array_like
        Relative loss R* to be reached [1].
    time, doubling_rate : array_like
        Years t, >= 0, and doublings a year γ [1/year], any real.
    scaling_exponent, reference_fleet, reference_years, irreducible_share : array_like
        As in :func:`kernels.relative_loss`.

    Returns
    -------
    jax.Array
        [accelerators]; +inf where no fleet reaches the target.

    Notes
    -----
    Accuracy as for :func:`time_to_target`.
    """
    target, time, rate, kappa, share, *reference = as_arrays(
        target, time, doubling_rate, scaling_exponent, irreducible_share, reference_fleet, reference_years
    )
    inside = inverse_derivatives.in_domain(target, kappa, share, *reference) & (time >= 0.0) & ~jnp.isnan(rate)
    return jnp.where(
        inside,
        inverse_derivatives.fleet_for_target(
            jnp.ones_like(kappa), jnp.zeros_like(kappa), target, kappa, share, time, rate, *reference
        ),
        jnp.nan,
    )


@elementwise
def rate_for_target(
    target: ArrayLike,
    fleet_size: ArrayLike,
    time: ArrayLike,
    *,
    scaling_exponent: ArrayLike,
    reference_fleet: ArrayLike = 1.0,
    reference_years: ArrayLike = 1.0,
    irreducible_share: ArrayLike = 0.0,
) -> Array:
    """Doubling rate γ* at which a fleet reaches a target in time: G(t, γ*) = q T0 / n, n = N/N0.

    Parameters
    ----------
    target : array_like
        Relative loss R* to be reached [1].
    fleet_size, time : array_like
        Accelerators N [1] and years t, both >= 0.
    scaling_exponent, reference_fleet, reference_years, irreducible_share : array_like
        As in :func:`kernels.relative_loss`.

    Returns
    -------
    jax.Array
        [1/year]; negative where efficiency may even decline, −inf where the target is reached at time 0.

    Notes
    -----
    Accuracy as for :func:`time_to_target`. Solved by Newton's method on log G, convex in γ.
    """
    target, fleet, time, kappa, share, *reference = as_arrays(
        target, fleet_size, time, scaling_exponent, irreducible_share, reference_fleet, reference_years
    )
    inside = inverse_derivatives.in_domain(target, kappa, share, *reference) & (fleet >= 0.0) & (time >= 0.0)
    return jnp.where(
        inside, inverse_derivatives.rate_for_target(target, kappa, share, fleet, time, *reference), jnp.nan
    )
