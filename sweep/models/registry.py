"""The equations shipped with the project, as models.

JAX comes in when a model is evaluated, not when it is described, so that `sweep describe` stays quick.
"""

from dataclasses import replace

from sweep.models.conventions import law_caveats
from sweep.models.front_loading import FRONT_LOADING
from sweep.models.model import Model, Output, Parameter
from sweep.models.parameters import CALENDAR, DOUBLING_TIMES, FLEETS, LAW, NON_NEGATIVE, POSITIVE, PRICES, TARGET
from sweep.models.strategies import DELAYED_START, STRATEGIES
from sweep.models.tables import INVERSES, forward_for, stages_for

_RUN = ("fleet_size", "time", "doubling_rate", "reference_fleet", "reference_years")
_TARGET = ("target", "scaling_exponent", "reference_fleet", "reference_years", "irreducible_share")
_ENERGY = ("fleet_size", "time", "power", "pue")

RELATIVE_LOSS = Model(
    name="relative_loss",
    equation="R(t) = e + (1 - e) (1 + (N/N0) (2^(gamma t) - 1) / (gamma ln 2 T0))^(-kappa)",
    source="C.-P. Lu, The Race to Efficiency, arXiv 2501.02156 (e = 0, constant power); excess-loss form: C.-P. Lu, "
    "arXiv 2603.28507; the factor N/N0 is an extension of this project",
    assumptions="constant fleet; efficiency of the whole fleet grows as 2^(gamma t); N/N0 scales the compute that is "
    "added, not the compute of the reference run; no limits of data, power or networking; loss is not capability",
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
            "time",
            "time since the reference point",
            "years",
            NON_NEGATIVE,
            aliases=("t", "years"),
            # Hours cannot be told from millennia, which is how long a static fleet takes to a low target.
            doubts=(CALENDAR,),
        ),
        Parameter(
            "doubling_rate",
            "efficiency doublings a year",
            "1/year",
            aliases=("γ", "gamma", "rate"),
            doubts=DOUBLING_TIMES,
        ),
        *LAW,
        TARGET,
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
        Output("effective_years", "years at the efficiency of time 0", "years", ("time", "doubling_rate")),
        Output("capital_cost", "price of the fleet", "USD", ("fleet_size", "unit_price")),
        Output("energy", "electrical energy of the run", "MWh", _ENERGY),
        Output("energy_cost", "price of the electrical energy", "USD", (*_ENERGY, "electricity_price")),
        Output("total_cost", "price of fleet and energy", "USD", (*_ENERGY, "electricity_price", "unit_price")),
        Output(
            "time_to_target",
            "years until the target loss is reached",
            "years",
            (*_TARGET, "fleet_size", "doubling_rate"),
        ),
        Output(
            "fleet_for_target",
            "fleet that reaches the target loss in time",
            "accelerators",
            (*_TARGET, "time", "doubling_rate"),
        ),
        Output(
            "rate_for_target",
            "efficiency doublings a year that reach the target loss in time",
            "1/year",
            (*_TARGET, "fleet_size", "time"),
        ),
    ),
    function=forward_for(INVERSES),
    stages=stages_for,
    caveats=law_caveats,
    needs_loss=True,
)

MODELS = {
    model.name: model
    for model in (
        RELATIVE_LOSS,
        FRONT_LOADING,
        *(replace(model, caveats=law_caveats) for model in (STRATEGIES, DELAYED_START)),
    )
}
