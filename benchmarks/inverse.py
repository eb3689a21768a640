"""Question: how fast are years, fleets and rates to a target found, against closed forms in NumPy and SciPy.

A grid of targets, as in `sweep bench`, whose work this is, on the device into a buffer that is used again. NumPy
evaluates the closed forms by broadcasting, in the same type, one thread; the rate has one with SciPy's Lambert W (in
float64, which it needs), and SciPy's vectorised bracketing is the other way an analyst would go. All are held against
the equation in a wider type; where the rate is nearly 0, where Lambert W loses half of its digits, it need not agree.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import record
import rivals
import scipy.optimize.elementwise
import scipy.special

from sweep.bench import workloads

OURS, BROADCAST, LAMBERT, BRACKET = "ours", "NumPy, closed form", "SciPy, Lambert W", "SciPy, elementwise.find_root"
AXES = {
    "time_to_target": ("target", "fleet_size", "doubling_rate"),
    "fleet_for_target": ("target", "time", "doubling_rate"),
    "rate_for_target": ("target", "fleet_size", "time"),
}
SIZES = {"rate_for_target": (2**17,)}  # SciPy takes seconds for more
SMALL_AND_LARGE = (2**20, 2**24)  # in the caches, and far beyond them
AWAY = 0.05  # from a rate of 0, where all must agree
ROUGH = {"float32": 1e-3, "float64": 1e-6}  # relative: of a rival that is given a rounded need, and iterates

Grid = dict[str, np.ndarray]


def measure(quick: bool) -> Iterator[dict[str, Any]]:
    """Yield result lines."""
    for dtype in ("float32", "float64"):
        for output in AXES:
            for points in (2**12,) if quick else SIZES.get(output, SMALL_AND_LARGE):
                yield from _measure_case(output, dtype, points, quick)


def _measure_case(output: str, dtype: str, points: int, quick: bool) -> Iterator[dict[str, Any]]:
    sides = workloads.sides_of(points)
    case = f"{output}, {dtype}, {' x '.join(map(str, sides))}"
    spec = workloads.make_problem(dict(zip(AXES[output], sides, strict=True)), output, dtype).spec
    grid: Grid = dict(
        zip(AXES[output], np.ix_(*(a.coordinates().astype(dtype) for a in spec.axes.values())), strict=True)
    )
    law = {name: np.dtype(dtype).type(value) for name, value in workloads.LAW.items()}
    with jax.enable_x64(dtype == "float64"):
        ours = workloads.KERNELS[output.replace("_", "-")].make(points, dtype)
        expected = np.array(ours.call()).reshape(sides)
        contenders: dict[str, Callable[[], Any]] = {OURS: ours.call}
        contenders |= {name: (lambda form=form: form(grid | law)) for name, form in FORMS[output].items()}
        facts = {name: _judged(name, np.asarray(work()), expected, ours.judge) for name, work in contenders.items()}
        rivals.agree({name: found["error_beyond_ulp"] for name, found in facts.items() if name in STRICT}, dtype)
        took = record.race(contenders, repeats=2 if quick else 11, warm_up=1)
    for name, timing in took.items():
        yield record.timed(case, name, timing, points=math.prod(sides), bytes=ours.moved, **facts[name])
    for name in FORMS[output]:
        yield record.compared(case, f"{name} / {OURS}", took[name], took[OURS])


def _judged(name: str, found: np.ndarray, expected: np.ndarray, judge: Callable[[Any], dict]) -> dict[str, Any]:
    """Errors of a contender; one that is rough must be right to a few digits where the rate is away from 0."""
    if name not in STRICT:
        away = np.abs(expected) > AWAY
        apart = float(np.max(np.abs(found.reshape(expected.shape) / expected - 1.0)[away]))
        if not apart <= ROUGH[expected.dtype.name]:
            raise ValueError(f"{name}: is off by {apart:.3g} of the rate, allowed are {ROUGH[expected.dtype.name]:g}")
        return {"max_relative_error_away_from_0": float(f"{apart:.3g}")}
    return judge(found)


def _added(p: Grid) -> np.ndarray:
    """Effective years of one accelerator that a target takes."""
    return np.expm1(-np.log(p["target"]) / p["scaling_exponent"]) * (p["reference_years"] * p["reference_fleet"])


def _time(p: Grid) -> np.ndarray:
    nats = p["doubling_rate"] * np.log(p["doubling_rate"].dtype.type(2))
    years = _added(p) / p["fleet_size"]
    return np.divide(np.log1p(nats * years), nats, out=years.copy() + 0 * nats, where=nats != 0)


def _fleet(p: Grid) -> np.ndarray:
    nats = p["doubling_rate"] * np.log(p["doubling_rate"].dtype.type(2))
    years = np.divide(np.expm1(nats * p["time"]), nats, out=p["time"] + 0 * nats, where=nats != 0)
    return _added(p) / years


def _rate_by_lambert(p: Grid) -> np.ndarray:
    """x with (e^x - 1) / x = r is -1/r - W(-e^(-1/r) / r), on the branch on which it is not 0."""
    r = (_added(p) / p["fleet_size"] / p["time"]).astype(np.float64)
    argument = -np.exp(-1.0 / r) / r
    w = np.where(r > 1.0, scipy.special.lambertw(argument, -1).real, scipy.special.lambertw(argument, 0).real)
    return (-1.0 / r - w) / (p["time"] * np.log(2.0))


def _rate_by_brackets(p: Grid) -> np.ndarray:
    r = (_added(p) / p["fleet_size"] / p["time"]).astype(np.float64)

    def miss(x: np.ndarray, r: np.ndarray) -> np.ndarray:
        return np.log(np.divide(np.expm1(x), x, out=np.ones_like(x), where=x != 0.0)) - np.log(r)

    # e^x - 1 > x^2 / 2 for x > 0, and (e^x - 1) / x < 1 / |x| for x < 0.
    found = scipy.optimize.elementwise.find_root(miss, (-1.0 / r - 1.0, 2.0 * np.log1p(r) + 2.0), args=(r,))
    return found.x / (p["time"] * np.log(2.0))


FORMS: dict[str, dict[str, Callable[[Grid], np.ndarray]]] = {
    "time_to_target": {BROADCAST: _time},
    "fleet_for_target": {BROADCAST: _fleet},
    "rate_for_target": {LAMBERT: _rate_by_lambert, BRACKET: _rate_by_brackets},
}
STRICT = (OURS, BROADCAST)


if __name__ == "__main__":
    record.main("inverse", measure, __doc__)
