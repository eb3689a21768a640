"""The equation once more, in NumPy and in a wider type: what a benchmark holds its own results against.

Independent of :mod:`kernels`: textbook forms, no stages, no polynomials. float32 is checked in float64, and float64 in
the longdouble of the machine where that is wider. What tests assert is asserted with mpmath; this is for a machine
that has only what the package needs.
"""

from collections.abc import Callable, Mapping

import numpy as np

Point = Mapping[str, np.ndarray]


def wider(dtype: str) -> np.dtype | None:
    """The type in which values of a type are checked; None where the machine has none that is wider."""
    widest: np.dtype[np.floating] = np.dtype(np.float64 if dtype == "float32" else np.longdouble)
    return widest if np.finfo(widest).nmant > np.finfo(dtype).nmant + 8 else None


def name_of(dtype: np.dtype) -> str:
    """Say which type was used, and how wide it is."""
    return f"NumPy {dtype.name if dtype == np.float64 else 'longdouble'}, {np.finfo(dtype).nmant + 1} bits"


def error_in_ulp(values: np.ndarray, exact: np.ndarray, *, but: np.ndarray | float = 0.0) -> float:
    """Largest error of values in units of the last place of their own type; infinite where only one is finite.

    `but` is how much of each error is forgiven.
    """
    ulp = np.spacing(np.abs(exact).astype(values.dtype)).astype(exact.dtype)
    with np.errstate(invalid="ignore"):
        errors = np.maximum(np.abs(values.astype(exact.dtype) - exact) - but, 0.0) / ulp
    same = (values == exact) | (np.isnan(values) & np.isnan(exact))
    return float(np.where(same, 0.0, np.where(np.isnan(errors), np.inf, errors)).max(initial=0.0))


def unavoidable(function: Callable[[Point], np.ndarray], point: Point, dtype: str) -> np.ndarray:
    """How far half a unit in the last place of each argument moves a function, summed over the arguments."""
    exact = function(point)
    half = exact.dtype.type(np.finfo(dtype).eps) / 2
    return sum(np.abs(function({**point, name: value * (1 + half)}) - exact) for name, value in point.items())


def effective_years(time: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """G(t, γ) = (2^(γt) − 1) / (γ ln 2), and t for γ = 0."""
    nats = rate * np.log(rate.dtype.type(2))
    safe = np.where(nats == 0.0, rate.dtype.type(1), nats)
    return np.where(nats == 0.0, time, np.expm1(nats * time) / safe)


def relative_loss(p: Point) -> np.ndarray:
    """R = c^(−κ)."""
    years = effective_years(p["time"], p["doubling_rate"])
    added = p["fleet_size"] * years / (p["reference_fleet"] * p["reference_years"])
    return np.exp(-p["scaling_exponent"] * np.log1p(added))


def years_needed(p: Point) -> np.ndarray:
    """Effective years of the reference fleet that a target takes, q T0 = (R*^(−1/κ) − 1) T0."""
    return np.expm1(-np.log(p["target"]) / p["scaling_exponent"]) * p["reference_years"]


def time_to_target(p: Point) -> np.ndarray:
    """t* = log(1 + γ ln 2 q T0 N0 / N) / (γ ln 2), infinite where progress declines too fast."""
    rate, years = p["doubling_rate"], years_needed(p) * p["reference_fleet"] / p["fleet_size"]
    nats = rate * np.log(rate.dtype.type(2))
    safe = np.where(nats == 0.0, rate.dtype.type(1), nats)
    grown = nats * years
    with np.errstate(divide="ignore"):
        growing = np.log1p(np.maximum(grown, -1)) / safe
    return np.where(nats == 0.0, years, growing)


def fleet_for_target(p: Point) -> np.ndarray:
    """N* = N0 q T0 / G(t, γ)."""
    return p["reference_fleet"] * years_needed(p) / effective_years(p["time"], p["doubling_rate"])


def rate_for_target(p: Point) -> np.ndarray:
    """γ* with G(t, γ*) = q T0 N0 / N, by bisection."""
    time, wanted = p["time"], years_needed(p) * p["reference_fleet"] / p["fleet_size"]
    # Beyond these G is larger, or smaller, for any time and target of a benchmark.
    low, high = np.full_like(wanted, -(2.0**24)), np.full_like(wanted, 2.0**8)
    for _ in range(np.finfo(wanted.dtype).nmant + 60):
        middle = (low + high) / 2
        with np.errstate(over="ignore"):
            above = effective_years(time, middle) > wanted
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return (low + high) / 2


def mean_loss(
    shares: np.ndarray, research_share: float, scenario: Mapping[str, float], *, panels: int = 24
) -> np.longdouble:
    """Discounted mean of the loss of one purchase schedule (kernels.split.allocation has the problem), live software.

    Composite Gauss–Legendre with 16 nodes: each panel between two dates is twice as wide as the one before.
    """
    v = {name: np.longdouble(value) for name, value in scenario.items()}
    count, ln2 = len(shares), np.log(np.longdouble(2))
    left = np.exp(-research_share * v["budget"] / v["research_scale"])
    rate = v["software_rate"] + v["research_gain"] * (1 - left)
    dates = v["horizon"] * np.arange(count) / count
    x, w = (a.astype(np.longdouble) for a in np.polynomial.legendre.leggauss(16))
    ends = np.concatenate([[0.0], np.longdouble(2.0) ** np.arange(1 - panels, 1)])
    inner = (ends[:-1, None] + np.diff(ends)[:, None] * (x + 1) / 2).ravel()
    weight = np.tile((np.diff(ends)[:, None] * w / 2).ravel(), count)
    t = (dates[:, None] + inner * v["horizon"] / count).ravel()
    starts, spend = np.append(dates, 0), np.append(v["budget"] * shares * 2 ** (v["hardware_rate"] * dates), 0)
    spend[-1] = v["installed_fleet"]
    elapsed = np.maximum(t[:, None] - starts, 0)
    nats = rate * ln2 - v["depreciation"]
    years = elapsed if nats == 0 else np.expm1(nats * elapsed) / nats
    c = 1 + (spend * 2 ** (rate * starts) * years).sum(axis=1) / v["reference_years"]
    weight = weight * np.exp(-v["discount_rate"] * t)
    return (weight * c ** -v["scaling_exponent"]).sum() / weight.sum()


def misjudged(points: np.ndarray, front: np.ndarray, *, sample: int = 500) -> int:
    """How many of a sample of points a filter has put on the wrong side; of equal points the first is on the front."""
    kept, rng = points[front], np.random.default_rng(1)
    wrong = 0
    for on_front in (True, False):
        places = np.flatnonzero(front == on_front)
        for place in rng.choice(places, min(sample, len(places)), replace=False):
            others = kept if not on_front else kept[(kept != points[place]).any(axis=1)]
            beaten = (others <= points[place]).all(axis=1).any()
            wrong += bool(beaten == on_front)
    return wrong
