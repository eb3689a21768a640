"""Strategies as points of a sweep: what is spent when, what it reaches and what it costs, in two models.

``strategies`` splits a budget between accelerators now, accelerators at one later date and efficiency research, for
given shares (:mod:`sweep.models.front_loading` finds the best ones); ``delayed_start`` runs one fleet from a later
start on. Both are ordinary models, so that they are run, reduced and compared on a frontier like any other.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from sweep.config.reference import HOURS_PER_YEAR
from sweep.models.front_loading import FAST, FRONT_LOADING, SHORT
from sweep.models.model import Domain, Model, Output, Parameter
from sweep.models.parameters import DATES, DOUBLING_TIMES, FLEETS, LAW, PERCENTAGE, POSITIVE, PRICES, TARGET

if TYPE_CHECKING:
    from jax import Array

SHARE = Domain(0.0, 1.0)
DATE, RATE = Domain(0.0, SHORT), Domain(-FAST, FAST)
SOURCE = (
    "this project's, after C.-P. Lu, The Race to Efficiency, arXiv 2501.02156, which has neither dates nor prices; "
    "excess-loss form: C.-P. Lu, arXiv 2603.28507"
)


def _strategy(**given: "Array") -> dict[str, "Array"]:
    """Evaluate the outputs of the model ``strategies``."""
    from kernels.split import strategies

    front, research, date = (given[name] for name in ("front_load_share", "research_share", "later_date"))
    scenario = {name: given[name] for name in _SCENARIO}
    kappa, horizon = given["scaling_exponent"], given["horizon"]
    law = {"scaling_exponent": kappa, "irreducible_share": given["irreducible_share"]}
    return {
        **_losses(strategies.log_compute_ratio(front, research, date, horizon, **scenario), **law),
        "mean_relative_excess_loss": strategies.mean_loss(
            front, research, date, scaling_exponent=kappa, horizon=horizon, **scenario
        ),
        "time_to_target": strategies.time_to_target(given["target"], front, research, date, **law, **scenario),
        **_fleets(front, research, date, **{name: given[name] for name in _COSTED}),
    }


def _losses(log_c: "Array", *, scaling_exponent: "Array", irreducible_share: "Array") -> dict[str, "Array"]:
    import jax.numpy as jnp

    excess = jnp.exp(-scaling_exponent * log_c)
    return {
        "relative_loss": irreducible_share + (1.0 - irreducible_share) * excess,
        "relative_excess_loss": excess,
        "log_relative_excess_loss": -scaling_exponent * log_c,
        "compute_ratio": jnp.exp(log_c),
    }


def _fleets(
    front_load_share: "Array",
    research_share: "Array",
    later_date: "Array",
    *,
    budget: "Array",
    horizon: "Array",
    depreciation: "Array",
    installed_fleet: "Array",
    reference_fleet: "Array",
    unit_price: "Array",
    power: "Array",
    pue: "Array",
    electricity_price: "Array",
) -> dict[str, "Array"]:
    """Count what is bought, and price it with the energy of all that is installed up to the horizon."""
    import jax.numpy as jnp

    from kernels import effective_years
    from kernels.loss.special import LN2
    from kernels.split.strategies import later_share

    rest = later_share(front_load_share, research_share)
    money = jnp.where(jnp.isnan(rest), rest, budget * reference_fleet)  # in accelerators
    front, later = money * front_load_share, money * rest
    lost = -depreciation / LN2
    running = (installed_fleet * reference_fleet + front) * effective_years(horizon, lost)
    running += later * effective_years(jnp.maximum(horizon - later_date, 0.0), lost)
    return {
        "front_load_fleet": front,
        "later_fleet": later,
        **_costs(money * unit_price, running * power * pue, electricity_price),
    }


def _costs(capital_cost: "Array", years: "Array", electricity_price: "Array") -> dict[str, "Array"]:
    """Price a run that draws one kW for so many years."""
    energy_cost = years * HOURS_PER_YEAR * electricity_price
    return {
        "capital_cost": capital_cost,
        "energy": years * (HOURS_PER_YEAR / 1000.0),
        "energy_cost": energy_cost,
        "total_cost": capital_cost + energy_cost,
    }


def _delayed(
    fleet_size: "Array",
    start_date: "Array",
    duration: "Array",
    doubling_rate: "Array",
    scaling_exponent: "Array",
    irreducible_share: "Array",
    reference_fleet: "Array",
    reference_years: "Array",
    unit_price: "Array",
    price_decline_rate: "Array",
    power: "Array",
    pue: "Array",
    electricity_price: "Array",
) -> dict[str, "Array"]:
    """Evaluate the outputs of the model ``delayed_start``."""
    import jax.numpy as jnp

    from kernels.split.strategies import log_delayed_compute_ratio

    reference = {"reference_fleet": reference_fleet, "reference_years": reference_years}
    log_c = log_delayed_compute_ratio(fleet_size, start_date, duration, doubling_rate, **reference)
    price = unit_price * jnp.exp2(-price_decline_rate * start_date)
    return {
        **_losses(log_c, scaling_exponent=scaling_exponent, irreducible_share=irreducible_share),
        "finish_date": start_date + duration,
        **_costs(fleet_size * price, fleet_size * power * pue * duration, electricity_price),
    }


# n0 is what is installed here, not the fleet of the reference run.
_LAW = tuple(replace(p, aliases=("N0",)) if p.name == "reference_fleet" else p for p in LAW)

_SHARES = ("front_load_share", "research_share")
_SCENARIO = (
    *("budget", "hardware_rate", "software_rate", "research_gain", "research_scale", "depreciation"),
    *("installed_fleet", "reference_years"),
)
_BOUGHT = ("budget", "reference_fleet")
_RUNNING = (*_BOUGHT, "horizon", "depreciation", "installed_fleet")
_COSTED = (*_RUNNING, "unit_price", "power", "pue", "electricity_price")
_REACHED = (*_SHARES, "later_date", *_SCENARIO, "horizon")
_ENERGY = (*_SHARES, "later_date", *_RUNNING, "power", "pue")

STRATEGIES = Model(
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
    outputs=(
        Output(
            "relative_loss",
            "loss at the horizon relative to time 0",
            "1",
            (*_REACHED, "scaling_exponent", "irreducible_share"),
        ),
        Output(
            "relative_excess_loss",
            "excess loss at the horizon relative to time 0",
            "1",
            (*_REACHED, "scaling_exponent"),
        ),
        Output(
            "log_relative_excess_loss",
            "natural logarithm of the relative excess loss at the horizon",
            "1",
            (*_REACHED, "scaling_exponent"),
        ),
        Output("compute_ratio", "compute spent by the horizon relative to the compute at time 0", "1", _REACHED),
        Output(
            "mean_relative_excess_loss",
            "mean up to the horizon of the relative excess loss",
            "1",
            (*_REACHED, "scaling_exponent"),
        ),
        Output(
            "time_to_target",
            "years until the target loss is reached",
            "years",
            (*_SHARES, "later_date", *_SCENARIO, "scaling_exponent", "irreducible_share", "target"),
        ),
        Output("front_load_fleet", "accelerators bought at time 0", "accelerators", (*_SHARES, *_BOUGHT)),
        Output("later_fleet", "accelerators bought at the later date", "accelerators", (*_SHARES, *_BOUGHT)),
        Output("capital_cost", "money of the budget", "USD", (*_SHARES, *_BOUGHT, "unit_price")),
        Output("energy", "electrical energy of all fleets up to the horizon", "MWh", _ENERGY),
        Output("energy_cost", "price of the electrical energy", "USD", (*_ENERGY, "electricity_price")),
        Output("total_cost", "price of budget and energy", "USD", (*_ENERGY, "electricity_price", "unit_price")),
    ),
    function=_strategy,
    needs_loss=True,
)

_RUN = ("fleet_size", "start_date", "duration", "doubling_rate", "reference_fleet", "reference_years")
_PRICED = ("fleet_size", "start_date", "unit_price", "price_decline_rate")
_DRAWN = ("fleet_size", "duration", "power", "pue")

DELAYED_START = Model(
    name="delayed_start",
    equation="R = e + (1 - e) (1 + (N/N0) 2^(gamma s) (2^(gamma d) - 1) / (gamma ln 2 T0))^(-kappa), "
    "for a run of d years from the date s on",
    source=SOURCE,
    assumptions="one fleet, bought when it starts; efficiency grows as 2^(gamma t) from time 0 on, whether or not a "
    "fleet runs, and lifts whatever runs; the price of an accelerator falls as 2^(-price_decline_rate s), its power "
    "does not; without interest; no limits of data, power or networking; loss is not capability",
    parameters=(
        Parameter(
            "fleet_size",
            "accelerators that train, constant over the run",
            "accelerators",
            POSITIVE,
            aliases=("N", "n", "fleet", "gpus"),
            doubts=FLEETS,
        ),
        Parameter(
            "start_date",
            "date at which the fleet is bought and starts",
            "years",
            DATE,
            aliases=("s", "start"),
            doubts=DATES,
        ),
        Parameter("duration", "length of the run", "years", DATE, aliases=("d",), doubts=DATES),
        Parameter(
            "doubling_rate",
            "efficiency doublings a year",
            "1/year",
            RATE,
            aliases=("γ", "gamma", "rate"),
            doubts=DOUBLING_TIMES,
        ),
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
    outputs=(
        Output("relative_loss", "loss relative to time 0", "1", (*_RUN, "scaling_exponent", "irreducible_share")),
        Output("relative_excess_loss", "excess loss relative to time 0", "1", (*_RUN, "scaling_exponent")),
        Output(
            "log_relative_excess_loss",
            "natural logarithm of the relative excess loss",
            "1",
            (*_RUN, "scaling_exponent"),
        ),
        Output("compute_ratio", "compute spent relative to the compute at time 0", "1", _RUN),
        Output("finish_date", "date at which the run ends", "years", ("start_date", "duration")),
        Output("capital_cost", "price of the fleet", "USD", _PRICED),
        Output("energy", "electrical energy of the run", "MWh", _DRAWN),
        Output("energy_cost", "price of the electrical energy", "USD", (*_DRAWN, "electricity_price")),
        Output(
            "total_cost",
            "price of fleet and energy",
            "USD",
            tuple(dict.fromkeys((*_PRICED, *_DRAWN, "electricity_price"))),
        ),
    ),
    function=_delayed,
    needs_loss=True,
)
