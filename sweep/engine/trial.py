"""Try a model of a user on a few points of its sweep, before anything is stored or shown."""

import numpy as np

from sweep.config.axis import Axis
from sweep.engine.evaluate import Evaluator
from sweep.errors import SpecError
from sweep.models.problem import Problem
from sweep.plan.blocks import Plan

MOST = 4  # points along an axis
NEAR = 1e-3  # relative: what XLA makes of one function in two shapes differs far less


def try_model(problem: Problem) -> None:
    """Evaluate a model at a few points of its sweep, in several cuts.

    Parameters
    ----------
    problem : Problem
        What to evaluate.

    Raises
    ------
    SpecError
        One line: the function does not return arrays of real numbers in the shape of its arguments, or a point has
        another value beside other points. What the function itself raises is left as it is.
    """
    problem = problem.derived(statistics={})
    name = _depends(problem)
    # In float32 the last bit may decide everything after it, as in a random number; hardly so in float64 too.
    if name is not None and (problem.spec.dtype == "float64" or _depends_in_float64(problem) == name):
        raise SpecError(
            f'model "{problem.model.name}": "{name}" at a point depends on which other points are evaluated beside it '
            "(a sum, a sort or an index of an array?); its function must be elementwise"
        )


def _depends_in_float64(problem: Problem) -> str | None:
    try:
        return _depends(problem.derived(dtype="float64"))
    except Exception:  # a function may be one of float32 alone
        return None


def _depends(problem: Problem) -> str | None:
    """Name the first output whose values depend on the cut."""
    points = {}
    for name, axis in problem.spec.axes.items():
        n = len(axis)
        points[name] = axis.at(np.unique(np.linspace(0, n - 1, min(n, MOST)).astype(np.int64)))
    whole = _values(problem, points)
    # Those but the last and those but the first cannot both have the sum or the mean of all; order decides the rest.
    for cut in (slice(None, -1), slice(1, None), slice(None, None, -1)):
        within = {name: cut if len(values) > 1 else slice(None) for name, values in points.items()}
        part = _values(problem, {name: values[within[name]] for name, values in points.items()})
        for name, dims in problem.variables.items():
            there, here = whole[name][tuple(within[dim] for dim in dims)], part[name]
            size = np.abs(there[np.isfinite(there)]).max(initial=0.0)
            if not np.allclose(there, here, rtol=NEAR, atol=1e-6 * size, equal_nan=True):
                return name
    return None


def _values(problem: Problem, points: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Evaluate all outputs on a grid of one block."""
    small = problem.derived(axes={name: Axis(values=tuple(values.tolist())) for name, values in points.items()})
    shape, sides = small.spec.shape, tuple(small.spec.shape.values())
    plan = Plan(shape, sides, sides, small.variables, np.dtype(small.spec.dtype).itemsize)
    evaluator, block = Evaluator(small, plan), plan.block(0)
    arrays = zip(plan.variables, evaluator([block]), strict=True)
    return {name: evaluator.values(name, array, block).astype(np.float64) for name, array in arrays}
