"""Fleets that grow, and the caps on them: power and chips.

Caps are of one run: `share_of_supply` of what there is (kernels/README.md, section 6; Sevilla et al., Epoch AI, Can AI
scaling continue through 2030?, 2024). Of curves the logarithm to base 2 is kept, so that none overflows.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from kernels.limits.utilisation import ENDLESS
from kernels.loss import equation, special
from kernels.loss.arguments import as_arrays, elementwise

WATTS = 1e9  # a gigawatt
MOST = 2.0**60  # a stock or a capacity beyond which there is no limit, as where it is infinite


class Exponential(NamedTuple):
    """A curve level + rate s in years s: log2 of what grows by `rate` doublings a year."""

    level: Array
    rate: Array

    def at(self, time: Array) -> Array:
        """log2 of its value."""
        return self.level + special.product(time, self.rate)


class Stock(NamedTuple):
    """A stock, what is added to it in the first year, and by how many doublings a year that grows."""

    stock: Array
    production: Array
    growth: Array
    share: Array

    def at(self, time: Array) -> Array:
        """log2 of the share of what there is."""
        endless = ~(self.stock < MOST)
        there = jnp.where(endless, 1.0, self.stock)
        there = there + self.production * equation.effective_years(time, self.growth)
        return jnp.where(endless, ENDLESS, special.log2(self.share) + special.log2(there))

    def tangent_to(self, curve: Exponential) -> Array:
        """Years at which it is as steep as a curve, NaN or infinite where it never is."""
        fall = curve.rate * special.LN2
        positive = (fall > 0.0) & (self.production > 0.0)
        steepness = special.log2(self.share * jnp.where(positive, self.production, 1.0))
        apart = curve.rate - self.growth
        differs = positive & (apart != 0.0)
        steepness = steepness - special.log2(jnp.where(positive, fall, 1.0)) - curve.level
        return jnp.where(differs, steepness / jnp.where(differs, apart, 1.0), jnp.inf)


def power_cap(capacity: Array, growth: Array, per_chip: Array, decline: Array, share: Array) -> Exponential:
    """s P 2^(pt) / (w 2^(−εt))."""
    endless = ~(capacity < MOST)
    level = special.log2(share) + special.log2(jnp.where(endless, 1.0, capacity)) + special.log2(WATTS / per_chip)
    return Exponential(jnp.where(endless, ENDLESS, level), growth + decline)


@elementwise
def wanted_fleet(fleet_size: ArrayLike, fleet_growth: ArrayLike, time: ArrayLike) -> Array:
    """Fleet that is wanted, n 2^(g t).

    Parameters
    ----------
    fleet_size : array_like
        Accelerators n at time 0 [1], > 0.
    fleet_growth : array_like
        Doublings a year g [1/year], any real.
    time : array_like
        Time t since the reference point [years], >= 0.

    Returns
    -------
    jax.Array
        [1]; NaN outside the domain.

    Notes
    -----
    Error at most 4 ulp beyond what half an ulp in each argument causes (tests/kernels/limits/test_fleets.py).
    """
    n, growth, t = as_arrays(fleet_size, fleet_growth, time)
    return jnp.where((n > 0.0) & (t >= 0.0), n * special.exp2(special.product(t, growth)), jnp.nan)


@elementwise
def fleet_cap_power(
    time: ArrayLike,
    power_capacity: ArrayLike,
    power_growth: ArrayLike,
    power_per_accelerator: ArrayLike,
    power_decline: ArrayLike,
    share_of_supply: ArrayLike,
) -> Array:
    """Fleet that power allows, s P 2^(p t) / (w 2^(−ε t)).

    Parameters
    ----------
    time : array_like
        Time t since the reference point [years], >= 0.
    power_capacity : array_like
        Power P that there is at time 0 [GW], > 0; infinity is no limit.
    power_growth : array_like
        Doublings a year p of that [1/year].
    power_per_accelerator : array_like
        What one accelerator takes of it at time 0, all in, w [W], > 0.
    power_decline : array_like
        Halvings a year ε of that [1/year].
    share_of_supply : array_like
        Share s that one run may have [1], > 0.

    Returns
    -------
    jax.Array
        Accelerators [1]; NaN outside the domain.

    Notes
    -----
    Error at most 8 ulp beyond what half an ulp in each argument causes (tests/kernels/limits/test_fleets.py).
    """
    t, capacity, growth, per_chip, decline, share = as_arrays(
        time, power_capacity, power_growth, power_per_accelerator, power_decline, share_of_supply
    )
    inside = (t >= 0.0) & (capacity > 0.0) & (per_chip > 0.0) & (share > 0.0)
    most = share * capacity * (WATTS / jnp.where(inside, per_chip, 1.0))
    return jnp.where(inside, most * special.exp2(special.product(t, growth + decline)), jnp.nan)


@elementwise
def fleet_cap_chips(
    time: ArrayLike,
    chip_stock: ArrayLike,
    chip_production: ArrayLike,
    chip_growth: ArrayLike,
    share_of_supply: ArrayLike,
) -> Array:
    """Fleet that chips allow, s (S + m (2^(q t) − 1)/(q ln 2)).

    Parameters
    ----------
    time : array_like
        Time t since the reference point [years], >= 0.
    chip_stock : array_like
        Chips S that there are at time 0 [1], > 0; infinity is no limit.
    chip_production : array_like
        Chips m a year that are added at time 0 [1/year], >= 0.
    chip_growth : array_like
        Doublings a year q of that [1/year].
    share_of_supply : array_like
        Share s that one run may have [1], > 0.

    Returns
    -------
    jax.Array
        Accelerators [1]; NaN outside the domain.

    Notes
    -----
    Error at most 8 ulp beyond what half an ulp in each argument causes (tests/kernels/limits/test_fleets.py).
    """
    t, stock, production, growth, share = as_arrays(time, chip_stock, chip_production, chip_growth, share_of_supply)
    inside = (t >= 0.0) & (stock > 0.0) & (production >= 0.0) & (share > 0.0)
    added = special.product(production, equation.effective_years(t, growth))
    return jnp.where(inside, share * (stock + added), jnp.nan)
