"""Parameters of models, and those that several share: of the scaling law, of its target, and prices."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np

from sweep.config.reference import HOURS_PER_YEAR
from sweep.config.spec import SweepSpec
from sweep.errors import SpecError


@dataclass(frozen=True)
class Domain:
    """The interval of values a parameter may take; each end is included unless it is open.

    Infinity is in it only where it is said to be: as the value at which a limit is none.
    """

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False
    has_infinity: bool = False

    def __contains__(self, value: float) -> bool:
        """Whether a number lies in the interval."""
        if math.isinf(value) and not self.has_infinity:
            return False
        above = value > self.low if self.low_open else value >= self.low
        return above and (value < self.high if self.high_open else value <= self.high)

    def __str__(self) -> str:
        """Give the interval in the words of an error message."""
        if math.isinf(self.low) and math.isinf(self.high):
            return "any finite number"
        if math.isinf(self.high):
            return f"{'>' if self.low_open else '>='} {self.low:g}{' (inf is none)' if self.has_infinity else ''}"
        return f"in {'(' if self.low_open else '['}{self.low:g}, {self.high:g}{')' if self.high_open else ']'}"


@dataclass(frozen=True)
class Doubt:
    """An interval of values of a parameter that were probably meant otherwise.

    Attributes
    ----------
    low, high : float
        The interval: above `low`, up to `high`.
    meant : str
        What such a value usually is: "a percentage".
    scale, power : float
        What to write instead: ``scale * value ** power``.
    write : str
        What to write instead, in words, where no number follows from the value alone.
    """

    low: float
    high: float
    meant: str
    scale: float = 1.0
    power: float = 1.0
    write: str = ""

    def __contains__(self, value: float) -> bool:
        """Whether a value lies in the interval."""
        return self.low < value <= self.high

    def hint(self, value: float) -> str:
        """Ask whether a value of the interval was meant, and say what to write if not."""
        return f"was {self.meant} meant? then write {self.write or f'{self.scale * value**self.power:.4g}'}"


@dataclass(frozen=True)
class Parameter:
    """A named input of a model.

    Attributes
    ----------
    name, long_name, unit : str
        As in kernels/README.md; the unit is CF-style, "1" for a pure number.
    domain : Domain
        Values that are accepted.
    default : float or None
        Used when a config gives none; None means that a config must give one if an output needs it.
    source : str
        Where the default comes from.
    aliases : tuple of str
        Other spellings people use; refused with a pointer to `name`.
    doubts : tuple of Doubt
        Values that usually mean another unit: a caveat where they are allowed, a hint where they are refused.
    """

    name: str
    long_name: str
    unit: str
    domain: Domain = Domain()
    default: float | None = None
    source: str = ""
    aliases: tuple[str, ...] = ()
    doubts: tuple[Doubt, ...] = ()

    def hint(self, value: float, least: float | None = None) -> str:
        """Say what a value was probably meant to be, by the first doubt that it raises; "" where there is none.

        With `least`, of a range that goes from there to the value: one that begins at ordinary values is a wide look,
        and 0 is the same in all units.
        """
        raised = (doubt for doubt in self.doubts if value in doubt and (not least or least > doubt.low))
        return next((doubt.hint(value) for doubt in raised), "")

    def refuse(self, where: str, value: float, dtype: str) -> None:
        """Refuse a value outside the domain, as it is or as it is rounded, and one that the dtype has no number for.

        Raises
        ------
        SpecError
            One line.
        """
        if value not in self.domain:
            unit = "" if self.unit == "1" else f" {self.unit}"
            doubt = self.hint(value)
            raise SpecError(f"{where}: must be {self.domain}{unit}, got {value:g}" + (doubt and f"; {doubt}"))
        least, most = float(np.finfo(dtype).tiny), float(np.finfo(dtype).max)
        if value and not least <= abs(value) <= most and not math.isinf(value):
            raise SpecError(f"{where}: {value:g} does not fit {dtype}, which holds {least:.2g} to {most:.2g}")
        rounded = float(np.dtype(dtype).type(value))
        if rounded not in self.domain:
            raise SpecError(
                f'{where}: {value!r} rounds to {rounded:g} in {dtype}, must be {self.domain}; use dtype = "float64"'
            )


def undeclared(functions: Iterable[Callable[..., Any] | None], names: Iterable[str]) -> tuple[Parameter, ...]:
    """Make parameters of the arguments of functions that have those names, with their defaults: pure numbers."""
    defaults: dict[str, float] = {}
    for function in functions:
        for argument in signature(function).parameters.values() if function else ():
            if argument.default is not argument.empty:
                defaults.setdefault(argument.name, float(argument.default))
    return tuple(Parameter(name, name.replace("_", " "), "1", default=defaults.get(name)) for name in names)


def range_of(spec: SweepSpec, name: str) -> tuple[float, float]:
    """Least and largest value of a parameter in a sweep, drawn ones too; NaN where it has none."""
    if name in spec.axes:
        return spec.axes[name].bounds()
    if name in spec.distributions:
        return spec.distributions[name].bounds()
    value = spec.fixed[name].value if name in spec.fixed else math.nan
    return value, value


def stated_of(spec: SweepSpec, name: str) -> tuple[float, float]:
    """The same, of what is drawn as it is written down, not over its farthest tails."""
    return spec.distributions[name].stated() if name in spec.distributions else range_of(spec, name)


INVERSES = ("time_to_target", "fleet_for_target", "rate_for_target")  # what answers a target

POSITIVE, NON_NEGATIVE = Domain(low=0.0, low_open=True), Domain(low=0.0)

# What a number that is far from all that is published was probably meant to be.
CALENDAR = Doubt(2000.0, 2100.0, "a calendar year", write="the years since the reference point")
DOUBLING_TIMES = (Doubt(6.0, math.inf, "a doubling time in months", 12.0, -1.0),)
DATES = (
    CALENDAR,
    Doubt(50.0, 600.0, "a number of months", 1.0 / 12.0),
    Doubt(600.0, 50.0 * HOURS_PER_YEAR, "a number of hours", 1.0 / HOURS_PER_YEAR),
)
PERCENTAGE = (Doubt(1.0, 100.0, "a percentage", 0.01),)
FLEETS = (Doubt(1e10, math.inf, "an amount of dollars or of FLOP/s", write="the number of accelerators"),)
BUDGETS = (
    Doubt(
        1e5,
        math.inf,
        "an amount of dollars",
        write="the number of reference fleets that it buys: dollars / (reference_fleet * unit_price)",
    ),
)

FLEET_SIZE = Parameter(
    "fleet_size",
    "accelerators that train, constant over the run",
    "accelerators",
    POSITIVE,
    aliases=("N", "n", "fleet", "gpus"),
    doubts=FLEETS,
)
DOUBLING_RATE = Parameter(
    "doubling_rate", "efficiency doublings a year", "1/year", aliases=("γ", "gamma", "rate"), doubts=DOUBLING_TIMES
)
LAW = (
    Parameter(
        "scaling_exponent",
        "exponent of the compute scaling law",
        "1",
        POSITIVE,
        aliases=("κ", "kappa", "exponent"),
        doubts=PERCENTAGE,
    ),
    Parameter(
        "reference_fleet", "fleet of the reference run", "accelerators", POSITIVE, aliases=("N0", "n0"), doubts=FLEETS
    ),
    Parameter(
        "reference_years",
        "years the reference fleet had run at time 0",
        "years",
        POSITIVE,
        aliases=("T0", "t0"),
        doubts=(
            CALENDAR,
            Doubt(2.0, 24.0, "a number of months", 1.0 / 12.0),
            Doubt(24.0, 700.0, "a number of days", 24.0 / HOURS_PER_YEAR),
            Doubt(700.0, 2.0 * HOURS_PER_YEAR, "a number of hours", 1.0 / HOURS_PER_YEAR),
        ),
    ),
    Parameter(
        "irreducible_share",
        "share of the loss at time 0 that no compute removes",
        "1",
        Domain(0.0, 1.0, high_open=True),
        0.0,
        "arXiv 2501.02156: the total-loss form",
        ("e",),
        doubts=(
            Doubt(1.0, 10.0, "an irreducible loss in nats", write="its ratio to the loss at time 0"),
            Doubt(10.0, 99.9, "a percentage", 0.01),
        ),
    ),
)
TARGET = Parameter(
    "target",
    "relative loss to be reached",
    "1",
    POSITIVE,
    aliases=("R", "target_loss"),
    doubts=(
        Doubt(1.0, 10.0, "a loss in nats", write="its ratio to the loss at time 0"),
        Doubt(10.0, 100.0, "a percentage", 0.01),
    ),
)
PRICES = (
    Parameter(
        "unit_price",
        "price of one accelerator with its share of server and network",
        "USD",
        NON_NEGATIVE,
        33_800 * 1.64 / (1 - 0.19),
        "Epoch AI: H100 SXM 33,800 USD (median), server / chip 1.64, interconnect 0.19 of the cluster's cost",
        ("price",),
        doubts=(Doubt(0.0, 500.0, "thousands of dollars", 1000.0),),
    ),
    Parameter(
        "power",
        "mean draw of one accelerator with its share of the server",
        "kW",
        NON_NEGATIVE,
        0.70 * 1.82 * 0.75,
        "Epoch AI training-cost code: H100 TDP 0.70 kW, server draw 1.82 x, mean load 0.75 x",
        doubts=(Doubt(0.0, 0.02, "megawatts", 1000.0), Doubt(20.0, 20_000.0, "watts", 0.001)),
    ),
    Parameter(
        "pue",
        "power usage effectiveness of the site",
        "1",
        Domain(low=1.0),
        1.1,
        "Epoch AI training-cost code: hyperscale",
        ("PUE",),
        doubts=(Doubt(99.9, 1000.0, "a percentage", 0.01),),
    ),
    Parameter(
        "electricity_price",
        "price of electricity",
        "USD/kWh",
        NON_NEGATIVE,
        0.0826,
        "Epoch AI training-cost code, 2025",
        doubts=(Doubt(2.0, 30.0, "cents a kWh", 0.01), Doubt(30.0, 2000.0, "dollars a MWh", 0.001)),
    ),
)
