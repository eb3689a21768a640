"""Parameters of what stops growth, their values at which nothing stops it, and pairings that are usually a mistake."""

import math
from collections.abc import Iterator

from sweep.config.spec import SweepSpec
from sweep.models.parameters import DOUBLING_TIMES, PERCENTAGE, POSITIVE, Domain, Doubt, Parameter, stated_of

ENDLESS = Domain(low=0.0, low_open=True, has_infinity=True)
NON_NEGATIVE = Domain(low=0.0)
SEVILLA = "Sevilla et al., Epoch AI, Can AI scaling continue through 2030?, 2024"
NO_LIMIT = "none: no limit"


def _rate(name: str, long_name: str, default: float = 0.0, source: str = "none") -> Parameter:
    return Parameter(name, long_name, "1/year", Domain(), default, source, doubts=DOUBLING_TIMES)


LIMITS = (
    _rate("fleet_growth", "doublings a year of the fleet that is wanted", source="none: a constant fleet"),
    Parameter(
        "efficiency_headroom",
        "the most that efficiency can still grow",
        "1",
        Domain(low=1.0, has_infinity=True),
        math.inf,
        "none: no ceiling",
        ("H",),
    ),
    Parameter(
        "power_capacity",
        "power that there is at time 0",
        "GW",
        ENDLESS,
        math.inf,
        NO_LIMIT,
        doubts=(Doubt(1e3, 1e8, "megawatts or kilowatts", write="the number of gigawatts"),),
    ),
    _rate("power_growth", "doublings a year of the power that there is"),
    Parameter(
        "power_per_accelerator",
        "power that one accelerator takes of it at time 0, all in",
        "W",
        POSITIVE,
        1704.0,
        f"{SEVILLA}: median per H100 equivalent",
        doubts=(Doubt(0.0, 20.0, "kilowatts", 1000.0),),
    ),
    _rate(
        "power_decline",
        "halvings a year of the power that one accelerator takes",
        math.log2(1.28),
        f"{SEVILLA}: 1.28 x less a year, median",
    ),
    Parameter(
        "share_of_supply",
        "share of all power and chips that one run may have",
        "1",
        Domain(0.0, 1.0, low_open=True),
        0.26,
        f"{SEVILLA}: median of the largest run",
        doubts=PERCENTAGE,
    ),
    Parameter("chip_stock", "chips that there are at time 0", "accelerators", ENDLESS, math.inf, NO_LIMIT),
    Parameter(
        "chip_production",
        "chips that are added a year at time 0",
        "accelerators/year",
        NON_NEGATIVE,
        1.85e6,
        f"{SEVILLA}: median of the end of 2023, H100 equivalents",
    ),
    _rate(
        "chip_growth",
        "doublings a year of the chips that are added",
        math.log2(1.7 * 1.44),
        f"{SEVILLA}: count 1.7 x and speed 1.44 x a year, medians",
    ),
    Parameter(
        "utilisation_exponent",
        "exponent by which throughput falls with the fleet",
        "1",
        NON_NEGATIVE,
        0.0,
        "none: no loss",
        doubts=PERCENTAGE,
    ),
    Parameter(
        "utilisation_fleet",
        "fleet from which on throughput falls",
        "accelerators",
        POSITIVE,
        2048.0,
        "arXiv 2411.13055: the largest fleet whose throughput was measured",
    ),
    Parameter(
        "accelerator_mtbf",
        "mean time between failures of one accelerator",
        "hours",
        ENDLESS,
        math.inf,
        "none: no failures",
        doubts=(Doubt(0.0, 500.0, "years, or hours of the whole fleet", write="the hours of one accelerator"),),
    ),
    Parameter("checkpoint_time", "time to write a checkpoint", "s", NON_NEGATIVE, 60.0, "mlsysim, default"),
    Parameter("recovery_time", "time to start again from a checkpoint", "s", NON_NEGATIVE, 300.0, "mlsysim, default"),
    Parameter(
        "data_limit_ratio",
        "compute ratio at which the data are used up, at time 0",
        "1",
        ENDLESS,
        math.inf,
        NO_LIMIT,
        doubts=(Doubt(1e20, 1e60, "a number of FLOP", write="its ratio to the compute at time 0"),),
    ),
    Parameter(
        "data_exponent_share",
        "share of the excess loss at the optimum that is due to data",
        "1",
        Domain(0.0, 1.0, True, True),
        0.48739,
        "Besiroglu et al. 2024, arXiv 2404.10102, alpha / (alpha + beta)",
    ),
    _rate("unique_tokens_growth", "doublings a year of the stock of data", source="none: a constant stock"),
    Parameter(
        "data_efficiency_share",
        "share of the software progress that stretches data, too",
        "1",
        Domain(0.0, 1.0),
        0.0,
        "none: software saves compute alone",
        doubts=PERCENTAGE,
    ),
    _rate(
        "software_rate",
        "doublings a year of efficiency that are due to software",
        1.5,
        "Ho et al. 2024, arXiv 2403.05812, halving in 8 months",
    ),
)

OFF = {
    "fleet_growth": 0.0,
    "efficiency_headroom": math.inf,
    "power_capacity": math.inf,
    "chip_stock": math.inf,
    "utilisation_exponent": 0.0,
    "accelerator_mtbf": math.inf,
    "data_limit_ratio": math.inf,
}


def limit_caveats(spec: SweepSpec) -> Iterator[str]:
    """Name pairings of limits that are usually a mistake.

    Parameters
    ----------
    spec : SweepSpec
        Resolved against the model.
    """
    rate = stated_of(spec, "doubling_rate")[1]
    for name in ("power_capacity", "chip_stock"):
        if math.isfinite(stated_of(spec, name)[0]) and rate > 2.0:
            yield (
                f"{name} with a doubling_rate up to {rate:g} 1/year: caps count H100 equivalents, in which the growth "
                "of hardware is counted already; the rate is then of software alone"
            )
    data = stated_of(spec, "data_limit_ratio")[0]
    if data < 1.0:
        yield (
            f"data_limit_ratio down to {data:g}: the data of the reference run are used up before time 0, so the "
            "excess loss is above 1 there, relative to what it would have been with all the data it could use"
        )
