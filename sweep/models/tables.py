"""The relative-loss equation as a grid evaluates it: tables of the host, and what the device makes of them.

What a sweep does not need is left out: powers of two of the growth, vanishing values, an irreducible share. JAX and the
kernels come in when something is evaluated, not when it is described.
"""

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from sweep.config.reference import HOURS_PER_YEAR
from sweep.config.spec import SweepSpec
from sweep.models.parameters import range_of
from sweep.models.quantity import Quantity
from sweep.surroundings import Lazy

if TYPE_CHECKING:
    from jax import Array

    from kernels.loss import stages

    # A number as years (or compute) times a power of two, which is None where it is 1 everywhere.
    Scaled = tuple[Array, Array | None]
else:
    stages = Lazy("kernels.loss.stages")

MODERATE_DOUBLINGS = 32.0  # up to here the growth table of the kernels has no powers of two
TERMS = {"float32": 8, "float64": 19}  # of a power whose exponent is the same for all points ...
SMALL_EXPONENT = 0.25  # ... and at most this
MODERATE_NEED = 48.0  # up to this power of two nor has the table of what a target takes


# ---- of the host: NumPy, float64 ------------------------------------------------------------------------------------


def _growth(time: np.ndarray, doubling_rate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return stages.growth_table(time, doubling_rate)


def _moderate_growth(time: np.ndarray, doubling_rate: np.ndarray) -> tuple[np.ndarray, None]:
    return _growth(time, doubling_rate)[0], None


def _fleet_rate(fleet_size: np.ndarray, reference_fleet: np.ndarray, reference_years: np.ndarray) -> np.ndarray:
    return stages.fleet_table(fleet_size, reference_fleet, reference_years)


def _nats(scaling_exponent: np.ndarray) -> np.ndarray:
    return stages.nats_table(scaling_exponent)


def _float32_terms(scaling_exponent: np.ndarray) -> tuple[np.ndarray, ...]:
    return tuple(stages.power_table(float(scaling_exponent), TERMS["float32"]))


def _float64_terms(scaling_exponent: np.ndarray) -> tuple[np.ndarray, ...]:
    return tuple(stages.power_table(float(scaling_exponent), TERMS["float64"]))


def _capital_cost(fleet_size: np.ndarray, unit_price: np.ndarray) -> np.ndarray:
    return fleet_size * unit_price


def _yearly_energy(fleet_size: np.ndarray, power: np.ndarray, pue: np.ndarray) -> np.ndarray:
    return fleet_size * power * pue * HOURS_PER_YEAR / 1000.0


def _yearly_cost(
    fleet_size: np.ndarray, power: np.ndarray, pue: np.ndarray, electricity_price: np.ndarray
) -> np.ndarray:
    return fleet_size * power * pue * HOURS_PER_YEAR * electricity_price


def _need(
    target: np.ndarray, scaling_exponent: np.ndarray, irreducible_share: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    return stages.need_table(target, scaling_exponent, irreducible_share)


def _moderate_need(
    target: np.ndarray, scaling_exponent: np.ndarray, irreducible_share: np.ndarray
) -> tuple[np.ndarray, None]:
    return _need(target, scaling_exponent, irreducible_share)[0], None


def _fleet_years(fleet_size: np.ndarray, reference_fleet: np.ndarray, reference_years: np.ndarray) -> np.ndarray:
    return stages.fleet_years_table(fleet_size, reference_fleet, reference_years)


def _pace(doubling_rate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return stages.pace_table(doubling_rate)


def _reference(reference_fleet: np.ndarray, reference_years: np.ndarray) -> np.ndarray:
    return reference_fleet * reference_years


# ---- of the device --------------------------------------------------------------------------------------------------


def _effective_years(growth: "Scaled") -> "Array":
    return stages.effective_years(*growth)


def _compute_ratio(fleet_rate: "Array", growth: "Scaled") -> "Array":
    return stages.compute_ratio(fleet_rate, *growth)


def _log2_compute_ratio(fleet_rate: "Array", growth: "Scaled") -> "Array":
    return stages.log2_compute_ratio(fleet_rate, *growth)


def _log_relative_excess_loss(log2_compute_ratio: "Array", nats: "Array") -> "Array":
    return -(nats * log2_compute_ratio)


def _compute_parts(fleet_rate: "Array", growth: "Scaled") -> "tuple[Array, Array]":
    return stages.compute_parts(fleet_rate, *growth)


def _log2_parts(compute_parts: "tuple[Array, Array]") -> "tuple[Array, Array]":
    return stages.log2_parts(*compute_parts)


def _power(log2_parts: "tuple[Array, Array]", scaling_exponent: "Array") -> "Array":
    return stages.power(*log2_parts, scaling_exponent)


def _bounded_power(log2_parts: "tuple[Array, Array]", scaling_exponent: "Array") -> "Array":
    return stages.power(*log2_parts, scaling_exponent, bounded=True)


def _power_of_terms(
    compute_parts: "tuple[Array, Array]", scaling_exponent: "Array", terms: "tuple[Array, ...]"
) -> "Array":
    return stages.power_of_terms(*compute_parts, scaling_exponent, terms)


def _bounded_power_of_terms(
    compute_parts: "tuple[Array, Array]", scaling_exponent: "Array", terms: "tuple[Array, ...]"
) -> "Array":
    return stages.power_of_terms(*compute_parts, scaling_exponent, terms, bounded=True)


def _loss(relative_excess_loss: "Array", irreducible_share: "Array") -> "Array":
    return stages.relative_loss(relative_excess_loss, irreducible_share)


def _reducible_loss(relative_excess_loss: "Array") -> "Array":
    return relative_excess_loss


def _energy(yearly_energy: "Array", time: "Array") -> "Array":
    return yearly_energy * time


def _energy_cost(yearly_cost: "Array", time: "Array") -> "Array":
    return yearly_cost * time


def _total_cost(capital_cost: "Array", yearly_cost: "Array", time: "Array") -> "Array":
    return stages.total(capital_cost, yearly_cost, time)


def _time_to_target(need: "Scaled", fleet_years: "Array", pace: "tuple[Array, Array]") -> "Array":
    return stages.time_to_target(*need, fleet_years, *pace)


def _fleet_for_target(need: "Scaled", growth: "Scaled", reference: "Array") -> "Array":
    return stages.fleet_for_target(*need, *growth, reference)


# ---- which of them a sweep takes ------------------------------------------------------------------------------------

HOST = (_fleet_rate, _nats, _capital_cost, _yearly_energy, _yearly_cost)
DEVICE = (
    *(_effective_years, _compute_ratio, _log2_compute_ratio, _log_relative_excess_loss, _compute_parts, _log2_parts),
    *(_energy, _energy_cost, _total_cost),
)
INVERSE_HOST, INVERSE_DEVICE = (_fleet_years, _pace, _reference), (_time_to_target, _fleet_for_target)


def on_grid(spec: SweepSpec) -> Iterator[Quantity]:
    """What a grid evaluates instead of the public kernels, the rate for a target apart, which is solved for.

    Fleets and times so extreme that the tables do not fit float32 are left to the kernels.
    """
    fleets, references, years = (range_of(spec, k) for k in ("fleet_size", "reference_fleet", "reference_years"))
    time, rates = range_of(spec, "time")[1], range_of(spec, "doubling_rate")
    least = fleets[0] / references[1] / years[1]
    most = fleets[1] / references[0] / years[0] * max(time, 1.0)
    if least < 2.0**-60 or most > 2.0**86 or max(map(abs, rates)) * time > 2.0**40:
        return
    is_moderate = time * rates[1] <= MODERATE_DOUBLINGS
    # In moderate sweeps c is below 2^126, so X is above 2^-126 for all but the largest exponents.
    is_bounded = is_moderate and range_of(spec, "scaling_exponent")[1] <= 0.9
    is_floored = range_of(spec, "irreducible_share") != (0.0, 0.0)
    yield from (Quantity.of(function, where="host") for function in HOST)
    yield from (Quantity.of(function, where="device") for function in DEVICE)
    yield Quantity.of(_moderate_growth if is_moderate else _growth, where="host", name="growth")
    if "scaling_exponent" in spec.fixed and spec.fixed["scaling_exponent"].value <= SMALL_EXPONENT:
        # One small exponent serves all points: its power needs no logarithm.
        yield Quantity.of(_float32_terms if spec.dtype == "float32" else _float64_terms, where="host", name="terms")
        power: Callable[..., Any] = _bounded_power_of_terms if is_bounded else _power_of_terms
    else:
        power = _bounded_power if is_bounded else _power
    yield Quantity.of(power, where="device", name="relative_excess_loss")
    yield Quantity.of(_loss if is_floored else _reducible_loss, where="device", name="relative_loss")
    if not _is_inverse_extreme(spec):
        yield Quantity.of(_moderate_need if _is_need_moderate(spec) else _need, where="host", name="need")
        yield from (Quantity.of(function, where="host") for function in INVERSE_HOST)
        yield from (Quantity.of(function, where="device") for function in INVERSE_DEVICE)


def _is_inverse_extreme(spec: SweepSpec) -> bool:
    """Whether references, rates or exponents would overflow what stage 2 of the inverses takes together."""
    fleets, years, rates = (range_of(spec, k) for k in ("reference_fleet", "reference_years", "doubling_rate"))
    small, large = fleets[0] * years[0], fleets[1] * years[1]
    steep = range_of(spec, "scaling_exponent")[0] < 1e-6
    return small < 2.0**-60 or large > 2.0**60 or max(map(abs, rates)) > 2.0**16 or steep


def _is_need_moderate(spec: SweepSpec) -> bool:
    """Whether no target takes so much that its powers of two need a table of their own."""
    target, kappa, share = (range_of(spec, k) for k in ("target", "scaling_exponent", "irreducible_share"))
    excess = (target[0] - share[1]) / (1.0 - share[1])
    return excess > 0.0 and -math.log2(excess) / kappa[0] <= MODERATE_NEED
