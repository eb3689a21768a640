"""Question: how fast is the exact frontier of a sweep that is computed as it goes, against its mean.

`sweep.frontier(spec, ...)` from a spec to the points that no other beats, nothing stored, against `sweep.run` of the
mean of the same loss over fleets, which is fused into the evaluation as well. On the grid of benchmarks/reduce.py:
loss and cost among all points; the fewest GPUs for each loss; time and cost where a loss is reached; one frontier for
each of ten rates. The frontier of loss and cost of a small sweep is first compared with moocore's of the same points.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import moocore
import numpy as np
import record
import rivals

import sweep

MEAN = "sweep.run, mean over fleet_size"
QUESTIONS: dict[str, dict[str, Any]] = {
    "loss and cost": {"minimise": ("relative_loss", "total_cost")},
    "loss and fleet": {"minimise": ("relative_loss", "fleet_size")},
    "time and cost where loss <= 0.6": {"minimise": ("time", "total_cost"), "where": "relative_loss <= 0.6"},
}
BY = {"minimise": ("relative_loss", "total_cost"), "by": "doubling_rate"}


def measure(quick: bool) -> Iterator[dict[str, Any]]:
    """Yield result lines."""
    agree()
    for fleets in (20,) if quick else (100, 1000):
        shape = (fleets, 30, 40) if quick else (fleets, 1000, 1000)
        yield from measure_case(shape, QUESTIONS, quick, at_least=0.5)
    shape = (30, 40, 10) if quick else (3163, 3163, 10)
    yield from measure_case(shape, {"loss and cost, for each rate": BY}, quick)


def measure_case(
    shape: tuple[int, int, int], questions: dict[str, dict[str, Any]], quick: bool, **target: float
) -> Iterator[dict[str, Any]]:
    """Yield the result lines of one grid."""
    spec = rivals.make_spec(*shape)
    points = int(np.prod(shape))
    case = f"moderate, float32, {' x '.join(map(str, shape))}"
    mean = sweep.Statistic(statistic="mean", output="relative_loss", over=("fleet_size",))
    works: dict[str, Any] = {MEAN: partial(sweep.run, spec.model_copy(update={"statistics": {"mean": mean}}))}
    works |= {name: partial(sweep.frontier, spec, **asked) for name, asked in questions.items()}
    found = {name: works[name]().attrs for name in questions}
    took = record.race(works, repeats=2 if quick else 7, warm_up=1)
    for name, timing in took.items():
        facts = {"front": found[name]["points_nondominated"]} if name in found else {}
        yield record.timed(case, name, timing, points=points, **facts)
    for name in questions:
        yield record.compared(case, f"rate of {name} / rate of the mean", took[MEAN], took[name], **target)


def agree() -> None:
    """Refuse a frontier that is not moocore's."""
    spec = rivals.make_spec(17, 23, 31).model_copy(update={"outputs": ("relative_loss", "total_cost")})
    data = sweep.run(spec)
    loss = data.relative_loss.values
    cost = np.broadcast_to(data.total_cost.values[..., None], loss.shape)
    points = np.stack([loss.ravel(), cost.ravel()], axis=1).astype(np.float64)
    theirs = np.unique(points[moocore.is_nondominated(points)], axis=0)
    found = sweep.frontier(spec, **QUESTIONS["loss and cost"])
    ours = np.unique(np.stack([found.relative_loss, found.total_cost], axis=1).astype(np.float64), axis=0)
    if not np.array_equal(ours, theirs):
        raise ValueError(f"the frontier has {len(ours)} distinct points, moocore's {len(theirs)}")


if __name__ == "__main__":
    record.main("frontier", measure, __doc__)
