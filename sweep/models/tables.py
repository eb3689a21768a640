"""The relative-loss equation as a sweep evaluates it: which tables it takes, and what is made of them.

JAX and the kernels come in when something is evaluated, not when it is described.
"""

import math
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np

from sweep.config.reference import HOURS_PER_YEAR
from sweep.config.spec import SweepSpec
from sweep.models.model import Stages
from sweep.models.rounding import apart

if TYPE_CHECKING:
    from jax import Array

INVERSES = ("time_to_target", "fleet_for_target", "rate_for_target")
MODERATE_DOUBLINGS = 32.0  # up to here the growth table of the kernels has no powers of two
TERMS = {"float32": 8, "float64": 19}  # of a power whose exponent is the same for all points ...
SMALL_EXPONENT = 0.25  # ... and at most this
MODERATE_NEED = 48.0  # up to this power of two nor has the table of what a target takes


def _growth(time: np.ndarray, doubling_rate: np.ndarray) -> dict[str, np.ndarray]:
    from kernels.loss import stages

    years, exponent = stages.growth_table(time, doubling_rate)
    return {"growth_years": years, "growth_exponent": exponent}


def _moderate_growth(time: np.ndarray, doubling_rate: np.ndarray) -> dict[str, np.ndarray]:
    return {"growth_years": _growth(time, doubling_rate)["growth_years"]}


def _fleet(fleet_size: np.ndarray, reference_fleet: np.ndarray, reference_years: np.ndarray) -> dict[str, np.ndarray]:
    from kernels.loss import stages

    return {"fleet": stages.fleet_table(fleet_size, reference_fleet, reference_years)}


@cache
def forward_for(outputs: tuple[str, ...]) -> Callable[..., dict[str, "Array"]]:
    """Make the evaluation by the public kernels for some outputs; kept, as JAX compiles anew for a new function."""
    return partial(_forward, outputs)


def _forward(
    outputs: tuple[str, ...],
    fleet_size: "Array",
    time: "Array",
    doubling_rate: "Array",
    scaling_exponent: "Array",
    reference_fleet: "Array",
    reference_years: "Array",
    irreducible_share: "Array",
    **rest: "Array",
) -> dict[str, "Array"]:
    """Evaluate outputs by the public kernels, differentiable in every parameter."""
    import kernels

    run = (fleet_size, time, doubling_rate)
    reference = {"reference_fleet": reference_fleet, "reference_years": reference_years}
    law = {"scaling_exponent": scaling_exponent, **reference}
    return {
        "relative_loss": kernels.relative_loss(*run, **law, irreducible_share=irreducible_share),
        "relative_excess_loss": kernels.relative_excess_loss(*run, **law),
        "log_relative_excess_loss": kernels.log_relative_excess_loss(*run, **law),
        "compute_ratio": kernels.compute_ratio(*run, **reference),
        "effective_years": kernels.effective_years(time, doubling_rate),
        **_inverses(outputs, *run, **law, irreducible_share=irreducible_share, target=rest["target"]),
        **_costs(fleet_size, time, **{k: rest[k] for k in ("unit_price", "power", "pue", "electricity_price")}),
    }


def _law(scaling_exponent: np.ndarray) -> dict[str, np.ndarray]:
    from kernels.loss import stages

    return {"nats": stages.nats_table(scaling_exponent)}


@cache
def _power_for(terms: int) -> Callable[..., dict[str, np.ndarray]]:
    return partial(_power, terms)


def _power(terms: int, scaling_exponent: np.ndarray) -> dict[str, np.ndarray]:
    from kernels.loss import stages

    return {f"term_{i:02}": term for i, term in enumerate(stages.power_table(float(scaling_exponent), terms))}


def _capital(fleet_size: np.ndarray, unit_price: np.ndarray) -> dict[str, np.ndarray]:
    return {"capital": fleet_size * unit_price}


def _yearly_energy(fleet_size: np.ndarray, power: np.ndarray, pue: np.ndarray) -> dict[str, np.ndarray]:
    return {"yearly_energy": fleet_size * power * pue * HOURS_PER_YEAR / 1000.0}


def _yearly_cost(
    fleet_size: np.ndarray, power: np.ndarray, pue: np.ndarray, electricity_price: np.ndarray
) -> dict[str, np.ndarray]:
    return {"yearly_cost": fleet_size * power * pue * HOURS_PER_YEAR * electricity_price}


def _need(target: np.ndarray, scaling_exponent: np.ndarray, irreducible_share: np.ndarray) -> dict[str, np.ndarray]:
    from kernels.loss import stages

    need, exponent = stages.need_table(target, scaling_exponent, irreducible_share)
    return {"need": need, "need_exponent": exponent}


def _moderate_need(
    target: np.ndarray, scaling_exponent: np.ndarray, irreducible_share: np.ndarray
) -> dict[str, np.ndarray]:
    return {"need": _need(target, scaling_exponent, irreducible_share)["need"]}


def _fleet_years(
    fleet_size: np.ndarray, reference_fleet: np.ndarray, reference_years: np.ndarray
) -> dict[str, np.ndarray]:
    from kernels.loss import stages

    return {"fleet_years": stages.fleet_years_table(fleet_size, reference_fleet, reference_years)}


def _pace(doubling_rate: np.ndarray) -> dict[str, np.ndarray]:
    from kernels.loss import stages

    pace, years = stages.pace_table(doubling_rate)
    return {"pace": pace, "years_per_doubling": years}


def _reference(reference_fleet: np.ndarray, reference_years: np.ndarray) -> dict[str, np.ndarray]:
    return {"reference": reference_fleet * reference_years}


@cache
def _finish_for(outputs: tuple[str, ...], bounded: bool, floored: bool) -> Callable[..., dict[str, "Array"]]:
    """Make stage 2 for some outputs; kept, because JAX compiles anew for every new function."""
    return partial(_finish, outputs, bounded, floored)


def _finish(
    outputs: tuple[str, ...],
    bounded: bool,
    floored: bool,
    fleet: "Array",
    growth_years: "Array",
    nats: "Array",
    capital: "Array",
    yearly_energy: "Array",
    yearly_cost: "Array",
    growth_exponent: "Array | None" = None,
    **given: "Array",
) -> dict[str, "Array"]:
    """Evaluate outputs from the tables of stage 1."""
    from kernels.loss import stages

    compute = (fleet, growth_years, growth_exponent)
    terms = [given[k] for k in sorted(given) if k.startswith("term_")]
    excess = stages.relative_excess_loss(*compute, given["scaling_exponent"], terms, bounded=bounded)
    return {
        "relative_loss": stages.relative_loss(excess, given["irreducible_share"]) if floored else excess,
        "relative_excess_loss": excess,
        "log_relative_excess_loss": stages.log_relative_excess_loss(*compute, nats),
        "compute_ratio": stages.compute_ratio(*compute),
        "effective_years": stages.effective_years(growth_years, growth_exponent),
        "capital_cost": capital,
        "energy": yearly_energy * given["time"],
        "energy_cost": yearly_cost * given["time"],
        "total_cost": stages.total(capital, yearly_cost, given["time"]),
        **_finish_inverses(outputs, growth_years, growth_exponent, given),
    }


def _finish_inverses(
    outputs: tuple[str, ...],
    growth_years: "Array",
    growth_exponent: "Array | None",
    given: Mapping[str, "Array"],
) -> dict[str, "Array"]:
    """Evaluate those inverses that are wanted; only they have their tables. The rate has none: it is solved for."""
    from kernels.loss import stages

    found = {}
    powers = given.get("need_exponent")  # where some target takes so much
    if "time_to_target" in outputs:
        tables = (given[k] for k in ("fleet_years", "pace", "years_per_doubling"))
        found["time_to_target"] = stages.time_to_target(given["need"], powers, *tables)
    if "fleet_for_target" in outputs:
        fleet = (growth_years, growth_exponent, given["reference"])
        found["fleet_for_target"] = stages.fleet_for_target(given["need"], powers, *fleet)
    if "rate_for_target" in outputs:
        law = ("scaling_exponent", "reference_fleet", "reference_years", "irreducible_share")
        found |= apart(_rate)(**{k: given[k] for k in ("target", "fleet_size", "time", *law)})
    return found


def _rate(target: "Array", fleet_size: "Array", time: "Array", **law: "Array") -> dict[str, "Array"]:
    import kernels

    return {"rate_for_target": kernels.rate_for_target(target, fleet_size, time, **law)}


def _inverses(
    outputs: tuple[str, ...],
    fleet_size: "Array",
    time: "Array",
    doubling_rate: "Array",
    *,
    target: "Array",
    **law: "Array",
) -> dict[str, "Array"]:
    import kernels

    run = {"time_to_target": (fleet_size, doubling_rate), "fleet_for_target": (time, doubling_rate)}
    run["rate_for_target"] = (fleet_size, time)
    return {name: getattr(kernels, name)(target, *run[name], **law) for name in INVERSES if name in outputs}


def _costs(
    fleet_size: "Array",
    time: "Array",
    *,
    unit_price: "Array",
    power: "Array",
    pue: "Array",
    electricity_price: "Array",
) -> dict[str, "Array"]:
    """Evaluate cost and energy of a constant fleet (kernels/README.md, 3)."""
    capital_cost = fleet_size * unit_price
    energy = fleet_size * power * pue * (HOURS_PER_YEAR / 1000.0) * time
    energy_cost = energy * 1000.0 * electricity_price
    return {
        "capital_cost": capital_cost,
        "energy": energy,
        "energy_cost": energy_cost,
        "total_cost": capital_cost + energy_cost,
    }


def stages_for(spec: SweepSpec) -> Stages:
    """Leave out what a sweep does not need: powers of two of the growth, vanishing values, an irreducible share.

    Fleets and times so extreme that the tables do not fit float32 are left to the public kernels in one stage.
    """
    fleets, references, years = (range_of(spec, k) for k in ("fleet_size", "reference_fleet", "reference_years"))
    time, rates = range_of(spec, "time")[1], range_of(spec, "doubling_rate")
    least = fleets[0] / references[1] / years[1]
    most = fleets[1] / references[0] / years[0] * max(time, 1.0)
    if least < 2.0**-60 or most > 2.0**86 or max(map(abs, rates)) * time > 2.0**40 or _is_inverse_extreme(spec):
        return Stages((), apart(forward_for(spec.outputs)))
    moderate = time * rates[1] <= MODERATE_DOUBLINGS
    # In moderate sweeps c is below 2^126, so X is above 2^-126 for all but the largest exponents.
    bounded = moderate and range_of(spec, "scaling_exponent")[1] <= 0.9
    finish = _finish_for(spec.outputs, bounded, range_of(spec, "irreducible_share") != (0.0, 0.0))
    growth = _moderate_growth if moderate else _growth
    tables: tuple[Callable[..., Mapping[str, np.ndarray]], ...] = (
        growth,
        _fleet,
        _law,
        _capital,
        _yearly_energy,
        _yearly_cost,
        *_power_tables(spec),
    )
    return Stages((*tables, *_inverse_tables(spec)), finish)


def _power_tables(spec: SweepSpec) -> tuple[Callable[..., dict[str, np.ndarray]], ...]:
    """Terms of the power, where one small exponent serves all points."""
    alone = "scaling_exponent" in spec.fixed and spec.fixed["scaling_exponent"].value <= SMALL_EXPONENT
    return (_power_for(TERMS[spec.dtype]),) if alone else ()


def _is_inverse_extreme(spec: SweepSpec) -> bool:
    """Whether references, rates or exponents would overflow what stage 2 of the inverses takes together."""
    if not {"time_to_target", "fleet_for_target"} & set(spec.outputs):
        return False
    fleets, years, rates = (range_of(spec, k) for k in ("reference_fleet", "reference_years", "doubling_rate"))
    small, large = fleets[0] * years[0], fleets[1] * years[1]
    steep = range_of(spec, "scaling_exponent")[0] < 1e-6
    return small < 2.0**-60 or large > 2.0**60 or max(map(abs, rates)) > 2.0**16 or steep


def _inverse_tables(spec: SweepSpec) -> tuple[Callable[..., dict[str, np.ndarray]], ...]:
    """Tables of the inverses that are wanted; powers of two are left out where no target takes so much."""
    of = {"time_to_target": (_fleet_years, _pace), "fleet_for_target": (_reference,)}
    tables = tuple(table for output in of if output in spec.outputs for table in of[output])
    if not tables:
        return ()
    target, kappa, share = (range_of(spec, k) for k in ("target", "scaling_exponent", "irreducible_share"))
    excess = (target[0] - share[1]) / (1.0 - share[1])
    moderate = excess > 0.0 and -math.log2(excess) / kappa[0] <= MODERATE_NEED
    return (_moderate_need if moderate else _need, *tables)


def range_of(spec: SweepSpec, name: str) -> tuple[float, float]:
    """Least and largest value of a parameter in a sweep; NaN where it has none."""
    if name in spec.axes:
        return spec.axes[name].bounds()
    value = spec.fixed[name].value if name in spec.fixed else math.nan
    return value, value
