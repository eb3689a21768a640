"""Quantities of the equation with what stops growth: kernels/README.md, section 6."""

from typing import TYPE_CHECKING

from sweep.config.reference import HOURS_PER_YEAR
from sweep.models.quantity import Quantity
from sweep.surroundings import Lazy

if TYPE_CHECKING:
    import jax.numpy as jnp
    from jax import Array

    from kernels.limits import binding, compute, data, fleets, plateau, utilisation
else:
    jnp, binding, compute = Lazy("jax.numpy"), Lazy("kernels.limits.binding"), Lazy("kernels.limits.compute")
    data, fleets, plateau = Lazy("kernels.limits.data"), Lazy("kernels.limits.fleets"), Lazy("kernels.limits.plateau")
    utilisation = Lazy("kernels.limits.utilisation")

LN2 = 0.6931471805599453
POWER = ("power_capacity", "power_growth", "power_per_accelerator", "power_decline", "share_of_supply")
CHIPS = ("chip_stock", "chip_production", "chip_growth", "share_of_supply")
LOSSES = ("utilisation_exponent", "utilisation_fleet", "accelerator_mtbf", "checkpoint_time", "recovery_time")
DATA = ("data_limit_ratio", "unique_tokens_growth", "data_efficiency_share", "software_rate", "data_exponent_share")
REFERENCE = ("reference_fleet", "reference_years")


def effective_years(time: "Array", doubling_rate: "Array", efficiency_headroom: "Array") -> "Array":
    """Years at the efficiency of time 0."""
    return plateau.effective_years(time, doubling_rate, efficiency_headroom)


def wanted_fleet(fleet_size: "Array", fleet_growth: "Array", time: "Array") -> "Array":
    """Accelerators that are wanted."""
    return fleets.wanted_fleet(fleet_size, fleet_growth, time)


def fleet_cap_power(time: "Array", **power: "Array") -> "Array":
    """Accelerators that there is power for."""
    return fleets.fleet_cap_power(time, **power)


def fleet_cap_chips(time: "Array", **chips: "Array") -> "Array":
    """Accelerators that there are chips for."""
    return fleets.fleet_cap_chips(time, **chips)


def fleet(wanted_fleet: "Array", fleet_cap_power: "Array", fleet_cap_chips: "Array") -> "Array":
    """Accelerators: those that are wanted, or as many as the caps allow."""
    return jnp.minimum(jnp.minimum(wanted_fleet, fleet_cap_power), fleet_cap_chips)


def peak_fleet(**losses: "Array") -> "Array":
    """Accelerators beyond which more of them train less."""
    return utilisation.peak_fleet(**losses)


def effective_fleet(fleet: "Array", **losses: "Array") -> "Array":
    """Accelerators that would train as much without losses."""
    return utilisation.effective_fleet(fleet, **losses)


def idle_fleet(fleet: "Array", peak_fleet: "Array") -> "Array":
    """Accelerators that would only train less if they were used."""
    return jnp.maximum(fleet - peak_fleet, 0.0)


def binding_limit(wanted_fleet: "Array", fleet_cap_power: "Array", fleet_cap_chips: "Array") -> "Array":
    """Limit of the fleet that binds: 0 power, 1 chips, -1 none."""
    return binding.binding_limit(wanted_fleet, fleet_cap_power, fleet_cap_chips)


def limit_slack(wanted_fleet: "Array", fleet_cap_power: "Array", fleet_cap_chips: "Array") -> "Array":
    """Accelerators that the least limit allows, relative to those that are wanted."""
    return binding.limit_slack(wanted_fleet, fleet_cap_power, fleet_cap_chips)


def binding_share_power(fleet_cap_power: "Array", fleet_cap_chips: "Array") -> "Array":
    """Share of the limit of the fleet that is power."""
    return binding.binding_shares(fleet_cap_power, fleet_cap_chips)[0]


def binding_share_chips(fleet_cap_power: "Array", fleet_cap_chips: "Array") -> "Array":
    """Share of the limit of the fleet that is chips."""
    return binding.binding_shares(fleet_cap_power, fleet_cap_chips)[1]


def power_draw(fleet: "Array", power_per_accelerator: "Array", power_decline: "Array", time: "Array") -> "Array":
    """Power that the fleet takes, all in."""
    return fleet * power_per_accelerator * jnp.exp2(-power_decline * time) * 1e-6


def log_compute_ratio(fleet_size: "Array", time: "Array", doubling_rate: "Array", **terms: "Array") -> "Array":
    """Natural logarithm of the compute ratio."""
    return compute.log_compute_ratio(fleet_size, time, doubling_rate, **terms)


def compute_ratio(log_compute_ratio: "Array") -> "Array":
    """Compute spent relative to the compute at time 0."""
    return jnp.exp(log_compute_ratio)


def log_data_limit(
    time: "Array",
    data_limit_ratio: "Array",
    unique_tokens_growth: "Array",
    data_efficiency_share: "Array",
    software_rate: "Array",
    data_exponent_share: "Array",
) -> "Array":
    """Natural logarithm of the compute ratio at which the data are used up."""
    growth = (unique_tokens_growth + data_efficiency_share * software_rate) / data_exponent_share
    return jnp.log(data_limit_ratio) + growth * time * LN2


def data_limited(log_compute_ratio: "Array", log_data_limit: "Array") -> "Array":
    """Whether the data are used up: 1, or 0."""
    return jnp.where(log_compute_ratio > log_data_limit, 1.0, 0.0 * log_compute_ratio)


def log_relative_excess_loss(
    log_compute_ratio: "Array", scaling_exponent: "Array", log_data_limit: "Array", data_exponent_share: "Array"
) -> "Array":
    """Natural logarithm of the relative excess loss."""
    return data.log_data_limited_loss(log_compute_ratio, scaling_exponent, log_data_limit, data_exponent_share)


def relative_excess_loss(log_relative_excess_loss: "Array") -> "Array":
    """Excess loss relative to time 0."""
    return jnp.exp(log_relative_excess_loss)


def relative_loss(relative_excess_loss: "Array", irreducible_share: "Array") -> "Array":
    """Loss relative to time 0."""
    return irreducible_share + (1.0 - irreducible_share) * relative_excess_loss


def accelerator_years(fleet_size: "Array", time: "Array", **terms: "Array") -> "Array":
    """Years that all accelerators together run."""
    return compute.fleet_years(fleet_size, time, **terms)


def capital_cost(
    fleet: "Array",
    fleet_size: "Array",
    power_capacity: "Array",
    power_per_accelerator: "Array",
    chip_stock: "Array",
    share_of_supply: "Array",
    unit_price: "Array",
) -> "Array":
    """Price of the fleet, or of the one at time 0 where that is larger."""
    caps = jnp.minimum(share_of_supply * power_capacity * (1e9 / power_per_accelerator), share_of_supply * chip_stock)
    return jnp.maximum(fleet, jnp.minimum(fleet_size, caps)) * unit_price


def energy(accelerator_years: "Array", power: "Array", pue: "Array") -> "Array":
    """Electrical energy of the run."""
    return accelerator_years * power * pue * (HOURS_PER_YEAR / 1000.0)


QUANTITIES = (
    Quantity.of(relative_loss),
    Quantity.of(relative_excess_loss),
    Quantity.of(log_relative_excess_loss),
    Quantity.of(compute_ratio),
    Quantity.of(effective_years, "years"),
    Quantity.of(wanted_fleet, "accelerators"),
    Quantity.of(fleet, "accelerators"),
    Quantity.of(fleet_cap_power, "accelerators", needs=POWER),
    Quantity.of(fleet_cap_chips, "accelerators", needs=CHIPS),
    Quantity.of(binding_limit),
    Quantity.of(limit_slack),
    Quantity.of(binding_share_power),
    Quantity.of(binding_share_chips),
    Quantity.of(peak_fleet, "accelerators", needs=LOSSES),
    Quantity.of(effective_fleet, "accelerators", needs=LOSSES),
    Quantity.of(idle_fleet, "accelerators"),
    Quantity.of(log_data_limit),
    Quantity.of(data_limited),
    Quantity.of(power_draw, "MW"),
    Quantity.of(capital_cost, "USD"),
    Quantity.of(energy, "MWh"),
)
