"""The variables of a result: their names, dimensions, axes and types."""

from collections.abc import Sequence

from sweep.config.axis import Axis
from sweep.config.spec import SweepSpec
from sweep.models.problem import Problem


def result_dims(
    spec: SweepSpec, names: Sequence[str], kept: Sequence[str], over: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Name the variables that statistics make, and the dimensions of each."""
    variables: dict[str, tuple[str, ...]] = {}
    for name in names:
        statistic = spec.statistics[name]
        variables |= dict.fromkeys(statistic.variables(name, over), (*kept, *statistic.own_dims(name)))
    return variables


def result_names(spec: SweepSpec) -> list[str]:
    """Names of the variables of the result, in the order of the spec."""
    names: list[str] = []
    for name, statistic in spec.statistics.items():
        names += statistic.variables(name, [dim for dim in spec.axes if dim in statistic.over])
    return names or list(spec.outputs)


def result_axes(problem: Problem) -> dict[str, Axis]:
    """Axes of the result: those of the sweep that a variable keeps, those of quantiles and those of bins (middles)."""
    spec = problem.spec
    if not spec.statistics:
        return dict(spec.axes)
    kept: set[str] = set()
    for statistic in spec.statistics.values():
        kept |= set(problem.axes_of(*statistic.uses)) - set(statistic.over)
    axes = {dim: axis for dim, axis in spec.axes.items() if dim in kept}
    for name, statistic in spec.statistics.items():
        axes |= statistic.own_axes(name)
    return axes


def result_dtype(spec: SweepSpec, variable: str) -> str:
    """Type of a variable of the result: that of the sweep, but float64 for counts and for places."""
    if not spec.statistics:
        return spec.dtype
    statistic = spec.statistics.get(variable)
    return "float64" if statistic is None else statistic.kind.dtype or spec.dtype
