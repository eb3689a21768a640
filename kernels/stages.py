"""The relative-loss equation on a grid, in two stages, so that its bits do not depend on how the grid is cut.

Stage 1 is NumPy float64 on the host: what depends on few axes becomes a table. Stage 2 is elementwise on the device and
takes the tables as inputs, so that XLA has nothing to fold or reorder; it is bit operations and polynomials, which
round alike in every shape, and products that meet sums are kept apart. Where every exponent of the growth is 0 it may
be left out (None), which is quicker and may round the last bit otherwise. Accuracy is that of kernels.relative_loss;
the equation is arXiv 2501.02156's.
"""

import jax.numpy as jnp
import numpy as np
from jax import Array

from kernels import special
from kernels.relative_loss import DIRECT, power
from kernels.special import LN2


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


def nats_table(scaling_exponent: np.ndarray) -> np.ndarray:
    """Stage 1: κ ln 2 [1], float64; on the device XLA would multiply by κ first or last as the shapes are."""
    return scaling_exponent * LN2


def effective_years(years: Array, exponent: Array | None) -> Array:
    """Stage 2: effective years G [years] from its table."""
    return years if exponent is None else special.scale(years, exponent)


def compute_ratio(fleet: Array, years: Array, exponent: Array | None) -> Array:
    """Stage 2: compute ratio c = 1 + (N/N0) G / T0 [1]."""
    return 1.0 + effective_years(special.unfused(fleet * years), exponent)


def log_relative_excess_loss(fleet: Array, years: Array, exponent: Array | None, nats: Array) -> Array:
    """Stage 2: log X = −κ log c [1], with nats = κ ln 2 from :func:`nats_table`."""
    added = special.unfused(fleet * years)
    log2_c = special.log2_1p(added) if exponent is None else special.log2_1p_scaled(added, exponent)
    return -(nats * log2_c)


def relative_excess_loss(
    fleet: Array, years: Array, exponent: Array | None, scaling_exponent: Array, *, bounded: bool = False
) -> Array:
    """Stage 2: relative excess loss X = c^(−κ) [1]; `bounded` where it cannot be below the smallest normal number."""
    added = special.unfused(fleet * years)
    if exponent is None:
        return power(*special.split(1.0 + added), scaling_exponent, bounded=bounded)
    unit = special.power_of_two(jnp.maximum(-exponent, special.lowest(added)))
    e, r = special.split(unit + added)
    return power(e + exponent, r, scaling_exponent)


def relative_loss(excess: Array, irreducible_share: Array) -> Array:
    """Stage 2: relative loss R = e + (1 − e) X [1] from the relative excess loss X."""
    return irreducible_share + special.unfused((1.0 - irreducible_share) * excess)


def total(once: Array, yearly: Array, years: Array) -> Array:
    """Stage 2: what is paid once and what is paid every year, both >= 0."""
    return once + special.unfused(yearly * years)
