"""The front-loading problem as a model, which :mod:`sweep.questions.split.optimise` solves."""

import math

from sweep.models.model import Model
from sweep.models.parameters import (
    BUDGETS,
    DATES,
    DOUBLING_TIMES,
    LAW,
    NON_NEGATIVE,
    PERCENTAGE,
    POSITIVE,
    Domain,
    Doubt,
    Parameter,
)
from sweep.models.quantity import Quantity

SHORT, FAST = 50.0, 10.0  # horizons and rates up to which the kernels are tested
STRATEGIES = {
    "hare": "everything on accelerators now",
    "steady": "even tranches of accelerators at all dates",
    "turtle": "half on research now, then even tranches of accelerators in the second half of the horizon",
    "wait": "everything on accelerators at one date, the best for the loss at the horizon without depreciation and "
    "research (closed form), moved to the nearest date of purchase",
}
MOVED = 0.05  # of the budget, that a share may move by within the range in which an answer is said to hold

_PARAMETERS = (
    Parameter("budget", "money to spend", "reference fleets", POSITIVE, aliases=("B",), doubts=BUDGETS),
    Parameter(
        "horizon",
        "years until the loss counts, or up to which",
        "years",
        Domain(0.0, SHORT, low_open=True),
        doubts=DATES,
    ),
    Parameter(
        "hardware_rate",
        "doublings a year of performance per dollar of what is bought",
        "1/year",
        Domain(-FAST, FAST),
        doubts=DOUBLING_TIMES,
    ),
    Parameter(
        "software_rate",
        "doublings a year of the efficiency of what is installed",
        "1/year",
        Domain(-FAST, FAST),
        doubts=DOUBLING_TIMES,
    ),
    Parameter(
        "research_gain",
        "most doublings a year that research can add to the software rate",
        "1/year",
        Domain(0.0, FAST),
        0.0,
        "chosen: no research",
        doubts=DOUBLING_TIMES,
    ),
    Parameter(
        "research_scale",
        "spend on research that buys 1 - 1/e of its gain",
        "reference fleets",
        POSITIVE,
        1.0,
        "chosen: the price of the reference fleet; of no effect where research_gain is 0",
        doubts=BUDGETS,
    ),
    Parameter(
        "depreciation",
        "exponential loss of installed capacity",
        "1/year",
        Domain(0.0, FAST),
        0.2,
        "Epoch AI training-cost code: service life of 5 years",
        doubts=(Doubt(1.0, 12.0, "a service life in years", 1.0, -1.0), Doubt(12.0, 100.0, "a percentage", 0.01)),
    ),
    Parameter(
        "installed_fleet",
        "fleet installed at time 0",
        "reference fleets",
        NON_NEGATIVE,
        1.0,
        "chosen: the reference fleet goes on running",
        doubts=(Doubt(1000.0, math.inf, "a number of accelerators", write="it / reference_fleet"),),
    ),
    Parameter(
        "discount_rate",
        "weight of later loss in the mean",
        "1/year",
        Domain(-FAST, FAST),
        0.0,
        "none: all years alike",
        doubts=PERCENTAGE,
    ),
    *(parameter for parameter in LAW if parameter.name in ("scaling_exponent", "reference_years")),
)
_NAMES = tuple(parameter.name for parameter in _PARAMETERS)


FRONT_LOADING = Model(
    name="front_loading",
    equation="c(t) = 1 + (n0 J(0, t) + sum_k B w_k 2^(a t_k) J(t_k, t)) / T0, "
    "J(u, t) = int_u^t exp(-delta (s - u)) 2^(b s) ds, b = b0 + db (1 - exp(-w_R B / S)); X = c^(-kappa)",
    source="this project's, after C.-P. Lu, The Race to Efficiency, arXiv 2501.02156, whose efficiency lifts the whole "
    "fleet: here what hardware gains stays with what is bought later, and what software gains lifts everything",
    assumptions="one budget, spent at a few dates at prices known beforehand; research pays at once and for ever, with "
    "diminishing returns; capacity decays exponentially; no limits of data, power or networking; loss is not "
    "capability",
    parameters=_PARAMETERS,
    quantities=(
        Quantity("front_load_share", "share of the budget spent on accelerators at time 0", needs=_NAMES),
        Quantity("later_share", "share of the budget spent on accelerators later", needs=_NAMES),
        Quantity("research_share", "share of the budget spent on efficiency research", needs=_NAMES),
        Quantity("objective", "what is made least", needs=_NAMES),
    ),
    needs_loss=True,
)
