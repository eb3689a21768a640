"""Question: how far behind Newton's method are optax's optimisers in splitting budgets, in time and in regret.

Eight dates and research, mean loss, random scenarios over wide ranges, float64, on the CPU; all descend from the same
starts over the same quadrature, in chunks, and are certified alike. Regret is relative, against the split of least loss
that any of them ended at. Each of optax's runs for a few steps, which take about the time of Newton's method, and for
as many as it is given by default; its learning rate is the one of `kernels/split/descent.py`.
"""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import optax
import record

from kernels.split import descent, solver
from sweep.bench import workloads

DATES = 8
CLOSE = 1e-6  # the regret that is asked of a split
FEW = {"lbfgs": 3, "adam": 30, "sgd": 30}  # steps that take about as long as Newton's method


def measure(quick: bool) -> Iterator[dict[str, Any]]:
    """Yield result lines."""
    count, dates = (8, 2) if quick else (256, DATES)
    scenarios = workloads.scenarios(count)
    methods = {"newton": descent.method_of("newton")}
    for name in ("lbfgs",) if quick else FEW:
        usual = descent.method_of(name)
        for steps in (2,) if quick else (FEW[name], usual.sprints[0]):
            methods[f"{name}, {steps} steps"] = descent.Method(usual.transformation, (steps,))
    case = f"mean loss, {dates} dates, float64, {count} scenarios"

    def solve(method: descent.Method) -> solver.Split:
        how = solver.Compiling(live=True, quick=False)
        return solver._least_mean(scenarios, dates=dates, how=how, method=method)[0]

    with jax.enable_x64(True):
        ends = {name: np.asarray(solve(method).objective) for name, method in methods.items()}
        took = record.race(
            {name: lambda method=method: solve(method) for name, method in methods.items()},
            repeats=2 if quick else 11,
            warm_up=1,
        )
    least = np.min(list(ends.values()), axis=0)
    times = {name: record.Timing(tuple(s / count for s in t.seconds), t.others) for name, t in took.items()}
    versions = {"optax": optax.__version__}
    for name, timing in times.items():
        regret = ends[name] / least - 1.0
        near = float(f"{np.mean(regret <= CLOSE):.4g}")
        yield record.timed(case, f"{name}, a scenario", timing, share_within_1e_6=near, **versions)
        yield record.judged(case, f"{name}, median and p90 of the regret", sorted(regret.tolist()), "1")
    for name in times:
        if name != "newton":
            yield record.compared(case, f"{name} / newton", times[name], times["newton"])


if __name__ == "__main__":
    record.main("optimisers", measure, __doc__)
