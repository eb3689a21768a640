"""Regret: how much more than the best choice, in the same draw, an output is."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from sweep.config.axis import Axis
from sweep.config.statistic import Statistic
from sweep.models.model import Output
from sweep.models.problem import Problem
from sweep.models.quantity import Quantity

if TYPE_CHECKING:
    from jax import Array

_LEAST = "least"


def with_regrets(problem: Problem, evaluate: Callable[[Problem], xr.Dataset]) -> Problem:
    """Give a problem whose model has the regrets that its statistics are of, and whose spec names them.

    Parameters
    ----------
    problem : Problem
        Whose statistics may be of regrets.
    evaluate : callable
        Runs a problem; called for each regret, when its first value is needed, for the
        least of the output among the choices. Those whose output is NaN are none.
    """
    quantities: dict[str, Quantity] = {}
    statistics: dict[str, Statistic] = {}
    for key, statistic in problem.spec.statistics.items():
        if statistic.regret is not None:
            assert statistic.output is not None, "the record has what a regret is of"
            name = "_".join((statistic.output, "regret", *sorted(statistic.regret)))
            output = problem.model.output(statistic.output)
            quantities |= {q.name: q for q in _quantities(name, problem, output, statistic.regret, evaluate)}
            statistic = statistic.model_copy(update={"output": name})
        statistics[key] = statistic
    if not quantities:
        return problem
    outputs = tuple(dict.fromkeys(name for statistic in statistics.values() for name in statistic.uses))
    return _with(problem, quantities.values()).derived(outputs=outputs, statistics=statistics)


def _with(problem: Problem, quantities: Iterable[Quantity]) -> Problem:
    model = problem.model
    return replace(problem, model=replace(model, quantities=(*model.quantities, *quantities)))


def _quantities(
    name: str, problem: Problem, output: Output, choices: tuple[str, ...], evaluate: Callable[[Problem], xr.Dataset]
) -> tuple[Quantity, Quantity]:
    """One regret, and the least of its output as a table over the axes that are no choice."""
    text = f"{output.long_name} in excess of its least along {' and '.join(choices)}"
    possible = Quantity(name, text, output.unit, _Possible(output.name), needs=(output.name,))
    over = tuple(dim for dim in problem.axes_of(output.name) if dim in choices)
    asked = Statistic(statistic="min", output=name, over=over)
    part = _with(problem, (possible,)).derived(outputs=(name,), statistics={_LEAST: asked})
    kept = {dim: problem.spec.axes[dim] for dim in problem.axes_of(output.name) if dim not in choices}
    least = Quantity(
        f"{name}_least", f"least of {output.long_name}", output.unit, _Least(part, kept, evaluate), "host", tuple(kept)
    )
    return least, Quantity(name, text, output.unit, _Excess(output.name, least.name), needs=(output.name, least.name))


@dataclass(frozen=True)
class _Possible:
    """An output, infinite where it is NaN: what cannot be chosen is not the least."""

    output: str

    def __call__(self, **values: "Array") -> "Array":
        import jax.numpy as jnp

        return jnp.where(jnp.isnan(values[self.output]), jnp.inf, values[self.output])


@dataclass(frozen=True)
class _Excess:
    output: str
    least: str

    def __call__(self, **values: "Array") -> "Array":
        import jax.numpy as jnp

        # A function that is not elementwise may give other values in another sweep.
        return jnp.maximum(values[self.output] - values[self.least], 0.0)


@dataclass(frozen=True)
class _Least:
    """The least of an output among the choices, evaluated when its first value is needed."""

    problem: Problem
    axes: dict[str, Axis] = field(hash=False)
    evaluate: Callable[[Problem], xr.Dataset]

    @cached_property
    def _values(self) -> np.ndarray:
        return self.evaluate(self.problem)[_LEAST].transpose(*self.axes).values.astype(np.float64)

    def __call__(self, **numbers: np.ndarray) -> np.ndarray:
        places = []
        for dim, axis in self.axes.items():
            values = axis.coordinates()
            order = np.argsort(values)
            nearest = np.searchsorted(values[order], np.nan_to_num(numbers[dim], nan=values[0]))
            places.append(order[np.minimum(nearest, len(order) - 1)])
        return self._values[tuple(np.broadcast_arrays(*places))] if places else self._values
