"""The equation with what stops growth: a ceiling of efficiency, power, chips, losses of a large fleet, and data.

Each term is off at its default. A sweep in which all are off is evaluated as one of ``relative_loss``, with its bits;
one in which some are is evaluated without the others. The terms are kernels/README.md, section 6.
"""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from sweep.config.spec import SweepSpec
from sweep.models.conventions import law_caveats
from sweep.models.limits.parameters import LIMITS, OFF, limit_caveats
from sweep.models.limits.quantities import (
    CHIPS,
    LOSSES,
    POWER,
    QUANTITIES,
    REFERENCE,
    accelerator_years,
    log_compute_ratio,
)
from sweep.models.model import Model
from sweep.models.quantity import Quantity
from sweep.surroundings import Lazy

if TYPE_CHECKING:
    from jax import Array

    import kernels
    from kernels.limits import compute, data
else:
    kernels, compute, data = Lazy("kernels"), Lazy("kernels.limits.compute"), Lazy("kernels.limits.data")

# Switches, and what is left out with them where all of these are off.
CAPS = (
    (("fleet_growth",), ("fleet_growth",)),
    (("power_capacity",), POWER),
    (("chip_stock",), CHIPS),
)
CEILING = (("efficiency_headroom",), ("efficiency_headroom",))
LOSS = (("utilisation_exponent", "accelerator_mtbf"), LOSSES)


EQUATION = (
    "R = e + (1 - e) X; X = c_d^(-kappa) s(c / c_d), s(x) = x^(-kappa) up to x = 1 and phi + (1 - phi) "
    "x^(-kappa / (1 - phi)) beyond; c = 1 + int_0^t f(min(n 2^(g s), caps(s))) E(s)/E(0) ds / (N0 T0); "
    "E(t)/E(0) = H / (1 + (H - 1) 2^(-gamma t)); f(n) = n u(n) a(n), at most at its peak"
)
SOURCE = (
    "this project's, after C.-P. Lu, arXiv 2603.28507 and 2501.02156, and Hoffmann et al., arXiv 2203.15556; "
    "caps: Sevilla et al., Epoch AI, Can AI scaling continue through 2030?, 2024; availability: arXiv 2410.18124"
)
ASSUMPTIONS = (
    "the whole fleet trains one model, and gets better as efficiency does; caps are on one run, and what they allow "
    "can be delivered; data are used up at one compute, after which only the model grows; each term is off at its "
    "default; no repetition of data, no synthetic data, no latency, no critical batch; loss is not capability"
)

# ---- which of them a sweep takes ------------------------------------------------------------------------------------


def _is_on(spec: SweepSpec, name: str) -> bool:
    return name not in spec.fixed or spec.fixed[name].value != OFF[name]


def _names(spec: SweepSpec, *terms: tuple[tuple[str, ...], tuple[str, ...]]) -> tuple[str, ...]:
    """Parameters of the terms that are on."""
    on = (names for switches, names in terms if any(_is_on(spec, switch) for switch in switches))
    return tuple(dict.fromkeys(name for names in on for name in names))


def _unlimited_loss(log_compute_ratio: "Array", scaling_exponent: "Array") -> "Array":
    return -scaling_exponent * log_compute_ratio


def _unlimited_excess(log_compute_ratio: "Array", scaling_exponent: "Array") -> "Array":
    return data.loss_at_limit(scaling_exponent, log_compute_ratio)


def _all_used(fleet: "Array") -> "Array":
    return fleet


def _wanted(fleet_size: "Array") -> "Array":
    return fleet_size


def _of_rate(
    effective_fleet: "Array",
    time: "Array",
    doubling_rate: "Array",
    reference_fleet: "Array",
    reference_years: "Array",
) -> "Array":
    return -kernels.log_relative_excess_loss(
        effective_fleet,
        time,
        doubling_rate,
        scaling_exponent=1.0,
        reference_fleet=reference_fleet,
        reference_years=reference_years,
    )


def _of_years(
    effective_fleet: "Array", effective_years: "Array", reference_fleet: "Array", reference_years: "Array"
) -> "Array":
    return compute.log_ratio_of_years(effective_fleet, effective_years, reference_fleet, reference_years)


def _loss_at_limit(scaling_exponent: "Array", log_data_limit: "Array") -> "Array":
    return data.loss_at_limit(scaling_exponent, log_data_limit)


def _loss_of_parts(
    log_compute_ratio: "Array",
    scaling_exponent: "Array",
    log_data_limit: "Array",
    data_exponent_share: "Array",
    loss_at_limit: "Array",
) -> "Array":
    return data.loss_of_parts(log_compute_ratio, scaling_exponent, log_data_limit, data_exponent_share, loss_at_limit)


def _constant_years(fleet_size: "Array", time: "Array") -> "Array":
    return fleet_size * time


_SHARED = (
    *("relative_loss", "relative_excess_loss", "log_relative_excess_loss", "compute_ratio", "effective_years"),
    *("capital_cost", "energy", "energy_cost", "total_cost"),
)


def _on_grid(law: Model, spec: SweepSpec) -> Iterator[Quantity]:
    """What a grid evaluates instead: the quantities without the terms that are off, those of the law if none is on."""
    of_law = {quantity.name: quantity for quantity in map(Quantity.of, law.quantities)}
    capped, lost, ceiling = (_names(spec, *terms) for terms in (CAPS, (LOSS,), (CEILING,)))
    short = _is_on(spec, "data_limit_ratio")
    if not capped:
        yield Quantity.of(_wanted, name="fleet")
        yield Quantity.of(_wanted, name="wanted_fleet")
        yield Quantity.of(_constant_years, name="accelerator_years")
        yield from (of_law[name] for name in ("capital_cost", "energy"))
    else:
        yield Quantity.of(accelerator_years, needs=capped)
    if not lost:
        yield Quantity.of(_all_used, name="effective_fleet")
    if not ceiling:
        yield of_law["effective_years"]
    if short:
        yield Quantity.of(_loss_at_limit)
        yield Quantity.of(_loss_of_parts, name="relative_excess_loss")
    else:
        yield Quantity.of(_unlimited_loss, name="log_relative_excess_loss")
        yield Quantity.of(_unlimited_excess, name="relative_excess_loss")
    if capped:
        peak = ("peak_fleet",) if lost else ()
        yield Quantity.of(log_compute_ratio, needs=(*REFERENCE, *capped, *lost, *peak, *ceiling))
    else:
        # The fleet and the years each span few axes, so they are evaluated once for many points.
        yield Quantity.of(_of_years if ceiling else _of_rate, name="log_compute_ratio")
    if not (capped or lost or ceiling or short):
        yield from (of_law[name] for name in _SHARED)
        yield from law.on_grid(spec)


def limited_loss(law: Model) -> Model:
    """Make the model of a law, the relative loss, with its limits.

    Parameters
    ----------
    law : Model
        ``relative_loss``: what is evaluated where no limit is on.
    """
    of_law = {quantity.name: quantity for quantity in map(Quantity.of, law.quantities)}
    caps = tuple(dict.fromkeys(name for _, names in CAPS for name in names))
    return Model(
        name="limited_loss",
        equation=EQUATION,
        source=SOURCE,
        assumptions=ASSUMPTIONS,
        parameters=(*(p for p in law.parameters if p.name != "target"), *LIMITS),
        quantities=(
            *QUANTITIES,
            Quantity.of(log_compute_ratio, needs=(*REFERENCE, *caps, *LOSSES, "efficiency_headroom")),
            Quantity.of(accelerator_years, "accelerator years", needs=caps),
            of_law["energy_cost"],
            of_law["total_cost"],
        ),
        on_grid=partial(_on_grid, law),
        caveats=lambda spec: (*law_caveats(spec), *limit_caveats(spec)),
        needs_loss=True,
        only_loss="excess",
    )
