"""The equations shipped with the project, as models.

JAX comes in when a model is evaluated, not when it is described, so that `sweep describe` stays quick.
"""

from typing import TYPE_CHECKING

from sweep.config.reference import HOURS_PER_YEAR
from sweep.models.conventions import law_caveats
from sweep.models.front_loading import FRONT_LOADING
from sweep.models.limits.limited_loss import limited_loss
from sweep.models.model import Model
from sweep.models.parameters import CALENDAR, DOUBLING_RATE, FLEET_SIZE, LAW, NON_NEGATIVE, PRICES, TARGET, Parameter
from sweep.models.quantity import Quantity
from sweep.models.strategies import DELAYED_START, STRATEGIES_MODEL
from sweep.models.tables import on_grid
from sweep.surroundings import Lazy

if TYPE_CHECKING:
    from jax import Array

    import kernels
else:
    kernels = Lazy("kernels")


def effective_years(time: "Array", doubling_rate: "Array") -> "Array":
    """Years at the efficiency of time 0."""
    return kernels.effective_years(time, doubling_rate)


def compute_ratio(fleet_size: "Array", time: "Array", doubling_rate: "Array", **law: "Array") -> "Array":
    """Compute spent relative to the compute at time 0."""
    return kernels.compute_ratio(fleet_size, time, doubling_rate, **law)


def log_relative_excess_loss(fleet_size: "Array", time: "Array", doubling_rate: "Array", **law: "Array") -> "Array":
    """Natural logarithm of the relative excess loss."""
    return kernels.log_relative_excess_loss(fleet_size, time, doubling_rate, **law)


def relative_excess_loss(fleet_size: "Array", time: "Array", doubling_rate: "Array", **law: "Array") -> "Array":
    """Excess loss relative to time 0."""
    return kernels.relative_excess_loss(fleet_size, time, doubling_rate, **law)


def relative_loss(fleet_size: "Array", time: "Array", doubling_rate: "Array", **law: "Array") -> "Array":
    """Loss relative to time 0."""
    return kernels.relative_loss(fleet_size, time, doubling_rate, **law)


def time_to_target(target: "Array", fleet_size: "Array", doubling_rate: "Array", **law: "Array") -> "Array":
    """Years until the target loss is reached."""
    return kernels.time_to_target(target, fleet_size, doubling_rate, **law)


def fleet_for_target(target: "Array", time: "Array", doubling_rate: "Array", **law: "Array") -> "Array":
    """Fleet that reaches the target loss in time."""
    return kernels.fleet_for_target(target, time, doubling_rate, **law)


def rate_for_target(target: "Array", fleet_size: "Array", time: "Array", **law: "Array") -> "Array":
    """Efficiency doublings a year that reach the target loss in time."""
    return kernels.rate_for_target(target, fleet_size, time, **law)


def capital_cost(fleet_size: "Array", unit_price: "Array") -> "Array":
    """Price of the fleet."""
    return fleet_size * unit_price


def energy(fleet_size: "Array", power: "Array", pue: "Array", time: "Array") -> "Array":
    """Electrical energy of the run."""
    return fleet_size * power * pue * (HOURS_PER_YEAR / 1000.0) * time


def energy_cost(energy: "Array", electricity_price: "Array") -> "Array":
    """Price of the electrical energy."""
    return energy * 1000.0 * electricity_price


def total_cost(capital_cost: "Array", energy_cost: "Array") -> "Array":
    """Price of fleet and energy."""
    return capital_cost + energy_cost


_REFERENCE = ("reference_fleet", "reference_years")
_EXCESS = ("scaling_exponent", *_REFERENCE)
_TOTAL = (*_EXCESS, "irreducible_share")

RELATIVE_LOSS = Model(
    name="relative_loss",
    equation="R(t) = e + (1 - e) (1 + (N/N0) (2^(gamma t) - 1) / (gamma ln 2 T0))^(-kappa)",
    source="C.-P. Lu, The Race to Efficiency, arXiv 2501.02156 (e = 0, constant power); excess-loss form: C.-P. Lu, "
    "arXiv 2603.28507; the factor N/N0 is an extension of this project",
    assumptions="constant fleet; efficiency of the whole fleet grows as 2^(gamma t); N/N0 scales the compute that is "
    "added, not the compute of the reference run; no limits of data, power or networking; loss is not capability",
    parameters=(
        FLEET_SIZE,
        Parameter(
            "time",
            "time since the reference point",
            "years",
            NON_NEGATIVE,
            aliases=("t", "years"),
            # Hours cannot be told from millennia, which is how long a static fleet takes to a low target.
            doubts=(CALENDAR,),
        ),
        DOUBLING_RATE,
        *LAW,
        TARGET,
        *PRICES,
    ),
    quantities=(
        Quantity.of(relative_loss, needs=_TOTAL),
        Quantity.of(relative_excess_loss, needs=_EXCESS),
        Quantity.of(log_relative_excess_loss, needs=_EXCESS),
        Quantity.of(compute_ratio, needs=_REFERENCE),
        Quantity.of(effective_years, "years"),
        Quantity.of(capital_cost, "USD"),
        Quantity.of(energy, "MWh"),
        Quantity.of(energy_cost, "USD"),
        Quantity.of(total_cost, "USD"),
        Quantity.of(time_to_target, "years", needs=_TOTAL),
        Quantity.of(fleet_for_target, "accelerators", needs=_TOTAL),
        Quantity.of(rate_for_target, "1/year", needs=_TOTAL),
    ),
    on_grid=on_grid,
    caveats=law_caveats,
    needs_loss=True,
)

LIMITED_LOSS = limited_loss(RELATIVE_LOSS)
MODELS = {model.name: model for model in (RELATIVE_LOSS, LIMITED_LOSS, FRONT_LOADING, STRATEGIES_MODEL, DELAYED_START)}
