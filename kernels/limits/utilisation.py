"""What a large fleet loses to communication and to failures: the fleet that trains as if nothing was lost.

Throughput by a power of the fleet; availability of the best interval between checkpoints, which is Young's with the
time to fail as it is in a synchronous run of the whole fleet (kernels/README.md, section 6; arXiv 2410.18124).
"""

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from kernels.loss import special
from kernels.loss.arguments import as_arrays, elementwise
from kernels.loss.special import LN2

SECONDS = 3600.0  # an hour
LARGEST = 50.0  # log2 of the largest fleet, 1e15 accelerators, that is looked at for a peak
ENDLESS = 4096.0  # log2 of what stands for infinity
_STEPS = 60  # of bisection: all bits of either type


@elementwise
def utilisation(fleet_size: ArrayLike, utilisation_exponent: ArrayLike, utilisation_fleet: ArrayLike) -> Array:
    """Throughput of an accelerator in a fleet relative to one of a small fleet, u(n) = (1 + n/n_u)^(−η).

    Parameters
    ----------
    fleet_size : array_like
        Accelerators n [1], >= 0.
    utilisation_exponent : array_like
        η [1], >= 0; 0 is no loss.
    utilisation_fleet : array_like
        Fleet n_u from which on throughput falls [1], > 0.

    Returns
    -------
    jax.Array
        [1], in (0, 1]; NaN outside the domain.

    Notes
    -----
    Error at most 8 ulp beyond what half an ulp in each argument causes, for fleets 1 to 1e9
    (tests/kernels/limits/test_utilisation.py).
    """
    n, exponent, start = as_arrays(fleet_size, utilisation_exponent, utilisation_fleet)
    inside = (n >= 0.0) & (exponent >= 0.0) & (start > 0.0)
    value = special.exp2(-exponent * special.log2_1p(jnp.where(inside, n, 0.0) / jnp.where(inside, start, 1.0)))
    return jnp.where(inside, value, jnp.nan)


@elementwise
def log_availability(
    fleet_size: ArrayLike, accelerator_mtbf: ArrayLike, checkpoint_time: ArrayLike, recovery_time: ArrayLike
) -> Array:
    """Natural logarithm of the share of time that a fleet trains, at the best interval between checkpoints.

    With T_f = m/n and T_c = T_s + √(T_s² + 2 T_s (T_f + T_r)), a = (1 − T_s/T_c) T_f/(T_f + T_r + T_c/2).

    Parameters
    ----------
    fleet_size : array_like
        Accelerators n [1], >= 0.
    accelerator_mtbf : array_like
        Mean time m between failures of one of them [hours], > 0; infinity is none.
    checkpoint_time, recovery_time : array_like
        Times T_s to write a checkpoint and T_r to start again from one [s], >= 0.

    Returns
    -------
    jax.Array
        [1], <= 0; NaN outside the domain.

    Notes
    -----
    Error at most 16 ulp of the larger of |ln a| and what half an ulp in each argument causes, for fleets 1 to 1e9
    (tests/kernels/limits/test_utilisation.py). By the checkpoint time its slope at 0 is infinite, and is said to be 0.
    """
    n, mtbf, save, restart = as_arrays(fleet_size, accelerator_mtbf, checkpoint_time, recovery_time)
    inside = (n >= 0.0) & (mtbf > 0.0) & (save >= 0.0) & (restart >= 0.0)
    value = _log2_availability(*_failures(jnp.where(inside, n, 0.0), mtbf, save, restart)) * LN2
    return jnp.where(inside, value, jnp.nan)


@elementwise
def peak_fleet(
    utilisation_exponent: ArrayLike,
    utilisation_fleet: ArrayLike,
    accelerator_mtbf: ArrayLike,
    checkpoint_time: ArrayLike,
    recovery_time: ArrayLike,
) -> Array:
    """Fleet n_peak beyond which more accelerators train less: n u(n) a(n) is largest there.

    Parameters
    ----------
    utilisation_exponent, utilisation_fleet : array_like
        As in :func:`utilisation`.
    accelerator_mtbf, checkpoint_time, recovery_time : array_like
        As in :func:`log_availability`.

    Returns
    -------
    jax.Array
        [1]; infinite where there is none up to 1e15 accelerators, NaN outside the domain.

    Notes
    -----
    Root of 1 + dln u/dln n + dln a/dln n by bisection and a step of Newton's method, which has the derivatives. The
    peak is flat: relative error at most 1e-3 in float32 and 1e-11 in float64, of the fleet there an ulp or two
    (tests/kernels/limits/test_utilisation.py).
    """
    arguments = as_arrays(utilisation_exponent, utilisation_fleet, accelerator_mtbf, checkpoint_time, recovery_time)
    return jnp.where(_in_domain(*arguments), special.exp2(log2_peak(*arguments)), jnp.nan)


@elementwise
def effective_fleet(
    fleet_size: ArrayLike,
    utilisation_exponent: ArrayLike,
    utilisation_fleet: ArrayLike,
    accelerator_mtbf: ArrayLike,
    checkpoint_time: ArrayLike,
    recovery_time: ArrayLike,
) -> Array:
    """Fleet that would train as much without losses: n u(n) a(n), of at most n_peak accelerators; the rest is idle.

    Parameters
    ----------
    fleet_size : array_like
        Accelerators n [1], > 0.
    utilisation_exponent, utilisation_fleet, accelerator_mtbf, checkpoint_time, recovery_time : array_like
        As in :func:`peak_fleet`; an exponent of 0 and an infinite time between failures lose nothing.

    Returns
    -------
    jax.Array
        [1]; NaN outside the domain.

    Notes
    -----
    It grows with the fleet, ever more slowly. Relative error at most 1e-5 in float32 and 1e-14 in float64, for fleets 1
    to 1e9 (tests/kernels/limits/test_utilisation.py).
    """
    n, *losses = as_arrays(
        fleet_size, utilisation_exponent, utilisation_fleet, accelerator_mtbf, checkpoint_time, recovery_time
    )
    inside = (n > 0.0) & _in_domain(*losses)
    used = jnp.minimum(jnp.where(inside, n, 1.0), special.exp2(jax.lax.stop_gradient(log2_peak(*losses))))
    return jnp.where(inside, used * special.exp2(log2_yield(used, *losses)), jnp.nan)


def log2_yield(n: Array, exponent: Array, start: Array, mtbf: Array, save: Array, restart: Array) -> Array:
    """log2 of u(n) a(n)."""
    return _log2_availability(*_failures(n, mtbf, save, restart)) - exponent * special.log2_1p(n / start)


def log2_peak(exponent: Array, start: Array, mtbf: Array, save: Array, restart: Array) -> Array:
    """log2 of n_peak; `ENDLESS` where there is none."""
    losses = (exponent, start, mtbf, save, restart)
    frozen = tuple(map(jax.lax.stop_gradient, losses))

    def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = 0.5 * (low + high)
        rises = _elasticity(middle, *frozen) > 0.0
        return jnp.where(rises, middle, low), jnp.where(rises, high, middle)

    whole = jnp.full_like(exponent, LARGEST)
    peaks = (exponent > 0.0) & (_elasticity(whole, *frozen) < 0.0)
    low, high = jax.lax.fori_loop(0, _STEPS, halve, (jnp.zeros_like(exponent), whole))
    root = jax.lax.stop_gradient(0.5 * (low + high))
    _, slope = jax.jvp(lambda x: _elasticity(x, *frozen), (root,), (jnp.ones_like(root),))
    bent = peaks & (slope < 0.0)
    step = _elasticity(root, *losses) / jax.lax.stop_gradient(jnp.where(bent, slope, -1.0))
    return jnp.where(peaks, jnp.where(bent, root - step, root), ENDLESS)


def _in_domain(exponent: Array, start: Array, mtbf: Array, save: Array, restart: Array) -> Array:
    return (exponent >= 0.0) & (start > 0.0) & (mtbf > 0.0) & (save >= 0.0) & (restart >= 0.0)


def _failures(n: Array, mtbf: Array, save: Array, restart: Array) -> tuple[Array, Array]:
    """Checkpoint and recovery time in mean times to fail, T_s/T_f and T_r/T_f."""
    rate = n / (mtbf * SECONDS)
    return save * rate, restart * rate


def _interval(saving: Array, restarting: Array) -> tuple[Array, Array]:
    """√(T_s/T_c) parts: T_c/T_f, and T_s/T_c; 0 where nothing fails or a checkpoint takes no time."""
    free = saving <= 0.0
    s = jnp.where(free, 1.0, saving)
    root, wide = jnp.sqrt(s), jnp.sqrt(s + 2.0 * (1.0 + restarting))
    return jnp.where(free, 0.0, root * (root + wide)), jnp.where(free, 0.0, root / (root + wide))


def _log2_availability(saving: Array, restarting: Array) -> Array:
    interval, share = _interval(saving, restarting)
    return special.log2_1p(-share) - special.log2_1p(restarting + 0.5 * interval)


def _elasticity(log2_n: Array, exponent: Array, start: Array, mtbf: Array, save: Array, restart: Array) -> Array:
    """dln(n u a)/dln n at n = 2^log2_n."""
    n = special.exp2(log2_n)
    s, r = _failures(n, mtbf, save, restart)
    interval, share = _interval(s, r)
    free = s <= 0.0
    wide = jnp.where(free, 1.0, interval - s)  # √(T_s² + 2 T_s (T_f + T_r)) / T_f
    longer = jnp.where(free, 0.0, s + (s * s + s * (1.0 + r) + s * r) / wide)
    shorter = share * (1.0 - longer / jnp.where(free, 1.0, interval))
    failing = -shorter / (1.0 - share) - (r + 0.5 * longer) / (1.0 + r + 0.5 * interval)
    return (1.0 - exponent * (n / (start + n))) + failing
