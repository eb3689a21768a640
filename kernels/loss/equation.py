"""The relative-loss equation, in value and gradient.

C.-P. Lu, "The Race to Efficiency", arXiv 2501.02156, in its mean-field form (a constant fleet whose efficiency doubles
at a constant rate); the excess-loss form is C.-P. Lu, arXiv 2603.28507. The factor N/N0 is this project's extension: it
scales the compute that is added, not the compute at time 0, so R(0) = 1 for every fleet.

Every function is elementwise over arguments that broadcast, of any shape, and returns float32, or float64 where an
argument is and 64-bit is enabled. A value outside its domain gives NaN. Where a limit exists the value is the limit.
"""

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from kernels.loss import derivatives, special
from kernels.loss.arguments import as_arrays as as_arrays  # those that are imported as themselves kernels.split wants
from kernels.loss.arguments import elementwise
from kernels.loss.derivatives import along as along
from kernels.loss.derivatives import growth as growth
from kernels.loss.derivatives import growth_slope as growth_slope


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
    return jnp.where((t >= 0.0) & ~jnp.isnan(rate), derivatives.effective_years(t, rate), jnp.nan)


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
    return jnp.where(derivatives.in_domain(*run), derivatives.compute_ratio(*run), jnp.nan)


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
    return jnp.where(derivatives.in_domain(*run) & (kappa > 0.0), -kappa * derivatives.log_compute_ratio(*run), jnp.nan)


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
    excess = derivatives.power_of_ratio(jnp.ones_like(kappa), *run, kappa)
    return jnp.where(derivatives.in_domain(*run) & (kappa > 0.0), excess, jnp.nan)


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
    excess = derivatives.power_of_ratio(jnp.ones_like(kappa), *run, kappa)
    gained = -special.exp2m1(-kappa * derivatives.log_compute_ratio(*run) * special.LOG2_E)
    inside = derivatives.in_domain(*run) & (kappa > 0.0) & (share >= 0.0) & (share < 1.0)
    return jnp.where(inside, derivatives.mix(share, excess, gained), jnp.nan)
