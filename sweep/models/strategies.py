"""Strategies as points of a sweep: what is spent when, what it reaches and what it costs, in two models.

``strategies`` splits a budget between accelerators now, accelerators at one later date and efficiency research, for
given shares (:mod:`sweep.models.front_loading` finds the best ones); ``delayed_start`` runs one fleet from a later
start on. Both are ordinary models, so that they are run, reduced and compared on a frontier like any other.
"""

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from sweep.config.reference import HOURS_PER_YEAR
from sweep.models.conventions import law_caveats
from sweep.models.front_loading import FAST, FRONT_LOADING, SHORT
from sweep.models.model import Model
from sweep.models.parameters import (
    DATES,
    DOUBLING_RATE,
    DOUBLING_TIMES,
    FLEET_SIZE,
    LAW,
    PERCENTAGE,
    PRICES,
    TARGET,
    Domain,
    Parameter,
)
from sweep.models.quantity import Quantity
from sweep.surroundings import Lazy

if TYPE_CHECKING:
    import jax.numpy as jnp
    from jax import Array

    import kernels
    from kernels.split import strategies
else:
    jnp, kernels, strategies = Lazy("jax.numpy"), Lazy("kernels"), Lazy("kernels.split.strategies")

SHARE, DATE, RATE = Domain(0.0, 1.0), Domain(0.0, SHORT), Domain(-FAST, FAST)
SOURCE = (
    "this project's, after C.-P. Lu, The Race to Efficiency, arXiv 2501.02156, which has neither dates nor prices; "
    "excess-loss form: C.-P. Lu, arXiv 2603.28507"
)


def relative_loss(relative_excess_loss: "Array", irreducible_share: "Array") -> "Array":
    """Loss relative to time 0."""
    return irreducible_share + (1.0 - irreducible_share) * relative_excess_loss


def relative_excess_loss(log_compute_ratio: "Array", scaling_exponent: "Array") -> "Array":
    """Excess loss relative to time 0."""
    return jnp.exp(-scaling_exponent * log_compute_ratio)


def log_relative_excess_loss(log_compute_ratio: "Array", scaling_exponent: "Array") -> "Array":
    """Natural logarithm of the relative excess loss."""
    return -scaling_exponent * log_compute_ratio


def compute_ratio(log_compute_ratio: "Array") -> "Array":
    """Compute spent relative to the compute at time 0."""
    return jnp.exp(log_compute_ratio)


def energy(kilowatt_years: "Array") -> "Array":
    """Electrical energy of all that runs."""
    return kilowatt_years * (HOURS_PER_YEAR / 1000.0)


def energy_cost(kilowatt_years: "Array", electricity_price: "Array") -> "Array":
    """Price of the electrical energy."""
    return kilowatt_years * HOURS_PER_YEAR * electricity_price


def total_cost(capital_cost: "Array", energy_cost: "Array") -> "Array":
    """Price of accelerators and energy."""
    return capital_cost + energy_cost


# ---- of a budget that is split --------------------------------------------------------------------------------------


def _split_log_compute_ratio(
    front_load_share: "Array", research_share: "Array", later_date: "Array", horizon: "Array", **scenario: "Array"
) -> "Array":
    """Natural logarithm of the compute ratio at the horizon."""
    return strategies.log_compute_ratio(front_load_share, research_share, later_date, horizon, **scenario)


def mean_relative_excess_loss(
    front_load_share: "Array", research_share: "Array", later_date: "Array", **scenario: "Array"
) -> "Array":
    """Mean up to the horizon of the relative excess loss."""
    return strategies.mean_loss(front_load_share, research_share, later_date, **scenario)


def time_to_target(
    target: "Array", front_load_share: "Array", research_share: "Array", later_date: "Array", **scenario: "Array"
) -> "Array":
    """Years until the target loss is reached."""
    return strategies.time_to_target(target, front_load_share, research_share, later_date, **scenario)


def later_share(front_load_share: "Array", research_share: "Array") -> "Array":
    """Share of the budget spent on accelerators at the later date."""
    return strategies.later_share(front_load_share, research_share)


def affordable_fleet(later_share: "Array", budget: "Array", reference_fleet: "Array") -> "Array":
    """Accelerators that the whole budget buys."""
    return jnp.where(jnp.isnan(later_share), later_share, budget * reference_fleet)


def front_load_fleet(affordable_fleet: "Array", front_load_share: "Array") -> "Array":
    """Accelerators bought at time 0."""
    return affordable_fleet * front_load_share


def later_fleet(affordable_fleet: "Array", later_share: "Array") -> "Array":
    """Accelerators bought at the later date."""
    return affordable_fleet * later_share


def accelerator_years(
    front_load_fleet: "Array",
    later_fleet: "Array",
    later_date: "Array",
    horizon: "Array",
    installed_fleet: "Array",
    reference_fleet: "Array",
    depreciation: "Array",
) -> "Array":
    """Years that all accelerators together run up to the horizon."""
    lost = -depreciation / math.log(2.0)
    now = (installed_fleet * reference_fleet + front_load_fleet) * kernels.effective_years(horizon, lost)
    return now + later_fleet * kernels.effective_years(jnp.maximum(horizon - later_date, 0.0), lost)


def _split_capital_cost(affordable_fleet: "Array", unit_price: "Array") -> "Array":
    """Money of the budget."""
    return affordable_fleet * unit_price


def _split_kilowatt_years(accelerator_years: "Array", power: "Array", pue: "Array") -> "Array":
    """Power of all fleets over the years up to the horizon."""
    return accelerator_years * power * pue


# ---- of a fleet that starts later -----------------------------------------------------------------------------------


def _delayed_log_compute_ratio(
    fleet_size: "Array", start_date: "Array", duration: "Array", doubling_rate: "Array", **reference: "Array"
) -> "Array":
    """Natural logarithm of the compute ratio."""
    return strategies.log_delayed_compute_ratio(fleet_size, start_date, duration, doubling_rate, **reference)


def finish_date(start_date: "Array", duration: "Array") -> "Array":
    """Date at which the run ends."""
    return start_date + duration


def _delayed_capital_cost(
    fleet_size: "Array", unit_price: "Array", price_decline_rate: "Array", start_date: "Array"
) -> "Array":
    """Price of the fleet when it starts."""
    return fleet_size * (unit_price * jnp.exp2(-price_decline_rate * start_date))


def _delayed_kilowatt_years(fleet_size: "Array", power: "Array", pue: "Array", duration: "Array") -> "Array":
    """Power of the fleet over the years of its run."""
    return fleet_size * power * pue * duration


# n0 is what is installed here, not the fleet of the reference run.
_LAW = tuple(replace(p, aliases=("N0",)) if p.name == "reference_fleet" else p for p in LAW)
_SCENARIO = (
    *("budget", "hardware_rate", "software_rate", "research_gain", "research_scale", "depreciation"),
    *("installed_fleet", "reference_years"),
)

STRATEGIES_MODEL = Model(
    name="strategies",
    equation="c(t) = 1 + ((n0 + B w0) J(0, t) + B w1 2^(a D) J(D, t) [t > D]) / T0, w1 = 1 - w0 - wR, "
    "J(u, t) = int_u^t exp(-delta (s - u)) 2^(b s) ds, b = b0 + db (1 - exp(-wR B / S)); X = c^(-kappa); "
    "R = e + (1 - e) X",
    source=SOURCE,
    assumptions="one budget, spent at time 0, on research and at one later date at prices known beforehand; better "
    "software lifts all that is installed; research pays at once and for ever, with diminishing returns; capacity "
    "decays exponentially, and what has decayed draws no power; an accelerator bought later costs and draws as much "
    "and does more; the cost is the whole budget and the energy of all fleets up to the horizon, the one installed at "
    "time 0 included, without interest; outputs are NaN where the shares are more than the budget; no limits of data, "
    "power or networking; loss is not capability",
    parameters=(
        Parameter(
            "front_load_share",
            "share of the budget spent on accelerators at time 0",
            "1",
            SHARE,
            aliases=("w0", "w_0"),
            doubts=PERCENTAGE,
        ),
        Parameter(
            "research_share",
            "share of the budget spent on efficiency research",
            "1",
            SHARE,
            0.0,
            "chosen: no research",
            ("wR", "w_R"),
            PERCENTAGE,
        ),
        Parameter(
            "later_date", "date at which the rest is spent on accelerators", "years", DATE, aliases=("D",), doubts=DATES
        ),
        *(FRONT_LOADING.parameter(name) for name in ("horizon", *_SCENARIO) if name != "reference_years"),
        *_LAW,
        TARGET,
        *PRICES,
    ),
    quantities=(
        Quantity("relative_loss", "loss at the horizon relative to time 0", "1", relative_loss),
        Quantity("relative_excess_loss", "excess loss at the horizon relative to time 0", "1", relative_excess_loss),
        Quantity(
            "log_relative_excess_loss",
            "natural logarithm of the relative excess loss at the horizon",
            "1",
            log_relative_excess_loss,
        ),
        Quantity("compute_ratio", "compute spent by the horizon relative to the compute at time 0", "1", compute_ratio),
        Quantity.of(_split_log_compute_ratio, name="log_compute_ratio", needs=_SCENARIO),
        Quantity.of(mean_relative_excess_loss, needs=("scaling_exponent", "horizon", *_SCENARIO)),
        Quantity.of(time_to_target, "years", needs=("scaling_exponent", "irreducible_share", *_SCENARIO)),
        Quantity.of(later_share),
        Quantity.of(affordable_fleet, "accelerators"),
        Quantity.of(front_load_fleet, "accelerators"),
        Quantity.of(later_fleet, "accelerators"),
        Quantity.of(_split_capital_cost, "USD", name="capital_cost"),
        Quantity.of(accelerator_years, "years"),
        Quantity.of(_split_kilowatt_years, "kW year", name="kilowatt_years"),
        Quantity.of(energy, "MWh"),
        Quantity.of(energy_cost, "USD"),
        Quantity.of(total_cost, "USD"),
    ),
    caveats=law_caveats,
    needs_loss=True,
    shares=("front_load_share", "research_share"),
)

DELAYED_START = Model(
    name="delayed_start",
    equation="R = e + (1 - e) (1 + (N/N0) 2^(gamma s) (2^(gamma d) - 1) / (gamma ln 2 T0))^(-kappa), "
    "for a run of d years from the date s on",
    source=SOURCE,
    assumptions="one fleet, bought when it starts; efficiency grows as 2^(gamma t) from time 0 on, whether or not a "
    "fleet runs, and lifts whatever runs; the price of an accelerator falls as 2^(-price_decline_rate s), its power "
    "does not; without interest; no limits of data, power or networking; loss is not capability",
    parameters=(
        FLEET_SIZE,
        Parameter(
            "start_date",
            "date at which the fleet is bought and starts",
            "years",
            DATE,
            aliases=("s", "start"),
            doubts=DATES,
        ),
        Parameter("duration", "length of the run", "years", DATE, aliases=("d",), doubts=DATES),
        replace(DOUBLING_RATE, domain=RATE),
        Parameter(
            "price_decline_rate",
            "halvings a year of the price of an accelerator of the same performance",
            "1/year",
            RATE,
            0.0,
            "none: the price of time 0",
            doubts=DOUBLING_TIMES,
        ),
        *_LAW,
        *PRICES,
    ),
    quantities=(
        Quantity.of(relative_loss),
        Quantity.of(relative_excess_loss),
        Quantity.of(log_relative_excess_loss),
        Quantity.of(compute_ratio),
        Quantity.of(_delayed_log_compute_ratio, name="log_compute_ratio", needs=("reference_fleet", "reference_years")),
        Quantity.of(finish_date, "years"),
        Quantity.of(_delayed_capital_cost, "USD", name="capital_cost"),
        Quantity.of(_delayed_kilowatt_years, "kW year", name="kilowatt_years"),
        Quantity.of(energy, "MWh"),
        Quantity.of(energy_cost, "USD"),
        Quantity.of(total_cost, "USD"),
    ),
    caveats=law_caveats,
    needs_loss=True,
)
