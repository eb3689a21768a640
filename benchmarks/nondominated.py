"""Question: how fast is the exact front of millions of points found, against moocore, paretoset, pymoo and pygmo.

2 and 3 objectives, float64 NumPy arrays in, a boolean or the indices out, on the CPU; what a rival converts counts.
Rivals run as they come (paretoset with Numba where that is installed; pygmo has a filter for 2 objectives only), must
first give our front on the same points, and are left out where a tenth of the points says that they would take long.
"easy" in a target means a front of fewer than a thousand points.
"""

import importlib.util
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import record

from kernels import relative_loss
from kernels.pareto import nondominated

OURS = "ours"
LONG = 1.0  # seconds for a million points beyond which a rival is left out
EASY = 1000  # points on the front

Filter = Callable[[np.ndarray], np.ndarray]


def measure(quick: bool) -> Iterator[dict[str, Any]]:
    """Yield result lines."""
    for n in (2000,) if quick else (10**6, 10**7):
        for m in (2, 3):
            for name in SETS:
                yield from measure_case(name, n, m, quick)


def measure_case(name: str, n: int, m: int, quick: bool) -> Iterator[dict[str, Any]]:
    """Yield the result lines of one set of points."""
    points = make(name, n, m)
    case = f"{name}, {m} objectives, {len(points)} points"
    contenders, skipped = _contenders(m)
    expected = contenders[OURS](points)
    for rival in [rival for rival in contenders if rival != OURS]:
        if reason := _too_slow(contenders[rival], points):
            skipped[rival] = reason
            del contenders[rival]
        else:
            agree(rival, contenders[rival](points), expected, points)
    works = {rival: lambda work=work: work(points) for rival, work in contenders.items()}
    took = record.race(works, repeats=2 if quick else 11 if n <= 10**6 else 5, warm_up=1 if n <= 10**6 else 0)
    front = int(expected.sum())
    for rival, timing in took.items():
        yield record.timed(case, rival, timing, points=len(points), front=front)
    for rival, reason in skipped.items():
        yield {"case": case, "result": rival, "skipped": reason}
    fastest = min((rival for rival in took if rival != OURS), key=lambda rival: took[rival].median, default=None)
    if fastest:
        result = f"fastest rival ({fastest}) / ours, front of {front}"
        yield record.compared(case, result, took[fastest], took[OURS], at_least=_target(m, front))


def agree(name: str, found: np.ndarray, expected: np.ndarray, points: np.ndarray) -> None:
    """Refuse a rival that finds other objectives on the front than ours; which of equal points it keeps is its own."""
    ours, theirs = (np.unique(points[front], axis=0) for front in (expected, found))
    if not np.array_equal(ours, theirs):
        raise ValueError(f"{name}: finds {len(theirs)} distinct points on the front where {len(ours)} are")


def _target(m: int, front: int) -> float:
    if front < EASY:
        return 3.0 if m == 2 else 1.0
    return 8.0 if m == 2 else 5.0


def _too_slow(work: Filter, points: np.ndarray) -> str:
    part = np.ascontiguousarray(points[:: max(1, len(points) // 20_000)])
    work(part[:100])
    began = time.perf_counter()
    work(part)
    if time.perf_counter() - began > 1.0:
        return f"takes over 1 s for {len(part)} points"
    part = np.ascontiguousarray(points[::10])
    began = time.perf_counter()
    work(part)
    took = 10 * (time.perf_counter() - began)
    return f"would take {took:.0f} s or more" if took > LONG * len(points) / 1e6 else ""


def _contenders(m: int) -> tuple[dict[str, Filter], dict[str, str]]:
    """Everything that is timed, ours first, and the reasons for what is not."""
    makers = {"moocore": _moocore, "paretoset": _paretoset, "pymoo": _pymoo, "pygmo": _pygmo}
    contenders: dict[str, Filter] = {OURS: lambda points: np.asarray(nondominated.is_nondominated(points))}
    skipped = {}
    for name, maker in makers.items():
        if importlib.util.find_spec(name) is None:
            skipped[name] = f"{name} is not installed"
        elif name == "pygmo" and m > 2:
            skipped[name] = "its filter is for 2 objectives"
        else:
            contenders[name] = maker()
    return contenders, skipped


def _moocore() -> Filter:
    import moocore

    return moocore.is_nondominated


def _paretoset() -> Filter:
    import paretoset

    return paretoset.paretoset


def _pymoo() -> Filter:
    from pymoo.util.nds.non_dominated_sorting import find_non_dominated

    return find_non_dominated


def _pygmo() -> Filter:
    import pygmo

    return pygmo.non_dominated_front_2d


def make(name: str, n: int, m: int) -> np.ndarray:
    """Points of a set, (n, m) float64; those of a grid are the nearest cube's."""
    return np.ascontiguousarray(SETS[name](np.random.default_rng(0), n, m))


def _convex(g: np.random.Generator, n: int, m: int) -> np.ndarray:
    """Points at an exponential distance from the concave side of a sphere: thousands of them are on the front."""
    return 1.2 - _directions(g, n, m) + g.exponential({2: 0.02, 3: 0.2}[m], (n, 1))


def _directions(g: np.random.Generator, n: int, m: int) -> np.ndarray:
    directions = np.abs(g.standard_normal((n, m)))
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def _sweep(_: np.random.Generator, n: int, m: int) -> np.ndarray:
    """Cost, time (where m is 3) and relative loss on a grid of fleets, times and rates; a faster rate costs more."""
    size = round(n ** (1 / 3))
    fleet = np.geomspace(1e3, 1e7, size)[:, None, None]
    years = np.linspace(0.25, 10.0, size)[None, :, None]
    rate = np.linspace(0.2, 1.6, size)[None, None, :]
    with jax.enable_x64():
        loss = np.asarray(relative_loss(fleet, years, rate, scaling_exponent=0.05, reference_fleet=1e4))
    cost = fleet * (30_000.0 * (1.0 + rate) + 3_000.0 * years)
    objectives = [cost, loss] if m == 2 else [cost, years, loss]
    return np.stack([np.broadcast_to(o, loss.shape).ravel() for o in objectives], axis=1)


def _correlated(g: np.random.Generator, n: int, m: int) -> np.ndarray:
    return g.standard_normal((n, 1)) + 0.3 * g.standard_normal((n, m))


def _anticorrelated(g: np.random.Generator, n: int, m: int) -> np.ndarray:
    points = g.standard_normal((n, m))
    return points - 0.9 * points.mean(axis=1, keepdims=True)


def _spherical(g: np.random.Generator, n: int, m: int) -> np.ndarray:
    return 1.0 - g.random((n, 1)) ** (1 / m) * _directions(g, n, m)


SETS = {
    "uniform": lambda g, n, m: g.random((n, m)),
    "convex": _convex,
    "sweep": _sweep,
    "correlated": _correlated,
    "anti-correlated": _anticorrelated,
    "spherical": _spherical,
    "tied": lambda g, n, m: g.integers(0, 1000, (n, m)).astype(float),
    "duplicated": lambda g, n, m: _convex(g, n // 10, m)[g.integers(0, n // 10, n)],
}


if __name__ == "__main__":
    record.main("nondominated", measure, __doc__)
