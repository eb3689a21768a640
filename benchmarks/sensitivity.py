"""Question: how fast are Sobol' indices with intervals, against SciPy, which gives none, and SALib, which bootstraps.

Four uncertain parameters of the relative loss, sample + model + first and total indices, float64, on the CPU; rivals
get the equation in NumPy in its cheapest form for this range. Errors are against a tensor Gauss-Legendre quadrature of
40 points a parameter, over 20 seeds; how often nominal 95 % intervals hold it, over 200 seeds. Every run of ours starts
from a spec and ends in a labelled dataset.
"""

import resource
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import record
import SALib.analyze.sobol
import SALib.sample.sobol
import scipy.stats

import sweep

LN2 = np.log(2.0)
RANGES = {
    "fleet_size": ("loguniform", 0.1, 10.0),
    "time": ("uniform", 1.0, 10.0),
    "doubling_rate": ("uniform", 0.05, 3.0),
    "scaling_exponent": ("uniform", 0.03, 0.08),
}
OURS, FEWEST = "ours, sweep.sensitivity", "ours, 2 replicates"
SCIPY, SALIB, SALIB_FEW = "SciPy, no intervals", "SALib, 100 resamples", "SALib, 2 resamples"
PROBLEM = {"num_vars": 4, "names": list(RANGES), "bounds": [[0.0, 1.0]] * 4}


def measure(quick: bool) -> Iterator[dict[str, Any]]:
    """Yield result lines."""
    number = 2**10 if quick else 2**18
    case = f"4 parameters of the relative loss, float64, base sample {number}"
    spec = spec_of(0)
    began = time.perf_counter()
    sweep.sensitivity(spec, number=number)
    first = round(time.perf_counter() - began, 2)
    fast = {
        OURS: lambda: sweep.sensitivity(spec, number=number),
        FEWEST: lambda: sweep.sensitivity(spec, number=number, replicates=2),
        SCIPY: lambda: scipy_indices(number, 0),
    }
    slow = {OURS: fast[OURS], SALIB: lambda: salib_indices(number, 100), SALIB_FEW: lambda: salib_indices(number, 2)}
    took = record.race(fast, repeats=2 if quick else 21)
    evaluations = 6 * number
    for name, timing in took.items():
        facts = {"first_seconds": first} if name == OURS else {}
        yield record.timed(case, name, timing, points=evaluations, **facts)
    yield record.compared(case, f"{SCIPY} / {OURS}", took[SCIPY], took[OURS], at_least=15.0)
    yield record.compared(case, f"{OURS} / {FEWEST}", took[OURS], took[FEWEST], at_most=2.0)
    took = record.race(slow, repeats=2 if quick else 3, warm_up=1)
    for name in (SALIB, SALIB_FEW):
        yield record.timed(case, name, took[name], points=evaluations)
    yield record.compared(case, f"{SALIB} / {OURS}", took[SALIB], took[OURS], at_least=400.0)
    yield record.compared(case, f"{SALIB_FEW} / {OURS}", took[SALIB_FEW], took[OURS])
    yield from _errors(case, number, 2 if quick else 20)
    yield from _coverage(2**10 if quick else 2**14, 3 if quick else 200)
    yield from _large(2**12 if quick else 2**28)


def _errors(case: str, number: int, seeds: int) -> Iterator[dict[str, Any]]:
    truth = exact()
    ours = [_found(sweep.sensitivity(spec_of(seed), number=number)) - truth for seed in range(seeds)]
    theirs = [scipy_indices(number, seed) - truth for seed in range(seeds)]
    rms = [float(np.sqrt(np.mean(np.square(errors)))) for errors in (ours, theirs)]
    yield record.judged(case, f"RMSE of all 8 indices, ours, {seeds} seeds", rms[:1], "1")
    yield record.judged(case, f"RMSE of all 8 indices, SciPy, {seeds} seeds", rms[1:], "1")
    yield record.judged(case, "RMSE, ours / SciPy", [rms[0] / rms[1]], "times", at_most=1.5)


def _coverage(number: int, seeds: int) -> Iterator[dict[str, Any]]:
    truth, inside = exact(), []
    for seed in range(seeds):
        dataset = sweep.sensitivity(spec_of(seed), number=number)
        inside.append((_found(dataset, "_low") <= truth) & (truth <= _found(dataset, "_high")))
    each = np.mean(inside, axis=0)
    case = f"4 parameters of the relative loss, float64, base sample {number}, {seeds} seeds"
    yield record.judged(case, "share of 95 % intervals that hold", [float(each.mean())], "1")
    yield record.judged(case, "of the index with the fewest", [float(each.min())], "1", at_least=0.9)


def _large(number: int) -> Iterator[dict[str, Any]]:
    case = f"4 parameters of the relative loss, float64, base sample {number}"
    began = time.perf_counter()
    sweep.sensitivity(spec_of(0), number=number)
    took = record.Timing((time.perf_counter() - began,))
    yield record.timed(case, OURS, took, points=6 * number)
    rate = 1e9 * took.median / (6 * number)
    yield record.judged(case, "1e9 evaluations", [rate], "s", at_most=60.0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    yield record.judged(case, "peak memory of all that ran, SALib and SciPy too", [peak], "GB")


def spec_of(seed: int) -> sweep.SweepSpec:
    """The sweep of a seed."""
    return sweep.SweepSpec(
        loss="total",
        outputs=("relative_loss",),
        dtype="float64",
        fixed={"reference_fleet": 1.0, "reference_years": 1.0},
        distributions={name: dict(zip(("distribution", "low", "high"), r, strict=True)) for name, r in RANGES.items()},
        draws={"number": 2, "seed": seed},
    )


def loss(u: np.ndarray | list[np.ndarray]) -> np.ndarray:
    """Relative loss in NumPy, of numbers in (0, 1) for each parameter."""
    fleet = 0.1 * np.exp(np.log(100.0) * u[0])
    time, rate, kappa = 1.0 + 9.0 * u[1], 0.05 + 2.95 * u[2], 0.03 + 0.05 * u[3]
    rate = rate * LN2
    return np.exp(-kappa * np.log1p(fleet * np.expm1(rate * time) / rate))


def scipy_indices(number: int, seed: int) -> np.ndarray:
    """First and total indices (2, 4) of SciPy."""
    found = scipy.stats.sobol_indices(func=loss, n=number, dists=[scipy.stats.uniform()] * 4, rng=seed)
    return np.stack([found.first_order, found.total_order])


def salib_indices(number: int, resamples: int) -> dict[str, Any]:
    """Indices and intervals of SALib."""
    points = SALib.sample.sobol.sample(PROBLEM, number, calc_second_order=False, seed=0)
    values = loss(np.ascontiguousarray(points.T))
    return SALib.analyze.sobol.analyze(PROBLEM, values, calc_second_order=False, num_resamples=resamples, seed=0)


def exact() -> np.ndarray:
    """First and total indices (2, 4) by quadrature."""
    x, w = np.polynomial.legendre.leggauss(40)
    values = loss([(x.reshape([40 if i == j else 1 for j in range(4)]) + 1.0) / 2.0 for i in range(4)])

    def mean(values: np.ndarray, over: set[int]) -> np.ndarray:
        for axis in sorted(over, reverse=True):
            values = np.tensordot(values, w / 2.0, axes=(axis, 0))
        return values

    every = {0, 1, 2, 3}
    values = values - mean(values, every)
    variance = mean(values**2, every)
    first = [mean(mean(values, every - {i}) ** 2, {0}) for i in range(4)]
    closed = [mean(mean(values, {i}) ** 2, {0, 1, 2}) for i in range(4)]
    return np.stack([np.array(first), variance - np.array(closed)]) / variance


def _found(dataset: Any, end: str = "") -> np.ndarray:
    return np.stack([dataset[f"relative_loss_{name}{end}"].values for name in ("first_order", "total")])


if __name__ == "__main__":
    record.main("sensitivity", measure, __doc__)
