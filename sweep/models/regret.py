"""Regret: how much more than the best choice, in the same draw, an output is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from inspect import Parameter as Argument
from inspect import Signature
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from sweep.config.axis import Axis
from sweep.config.spec import SweepSpec
from sweep.config.statistic import Statistic
from sweep.models.model import Model, Output, Stages
from sweep.models.problem import Problem

if TYPE_CHECKING:
    from jax import Array

    Finish = Callable[..., Mapping[str, Array]]

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
    regrets: dict[str, _Regret] = {}
    statistics: dict[str, Statistic] = {}
    for key, statistic in problem.spec.statistics.items():
        if statistic.regret is None:
            statistics[key] = statistic
            continue
        name = "_".join((statistic.output, "regret", *sorted(statistic.regret)))
        regrets[name] = _Regret(name, problem, problem.model.output(statistic.output), statistic.regret, evaluate)
        statistics[key] = statistic.model_copy(update={"output": name})
    if not regrets:
        return problem
    outputs = tuple(dict.fromkeys(name for statistic in statistics.values() for name in statistic.uses))
    described = [regret.described for regret in regrets.values()]
    model = _with_outputs(problem.model, described, tuple(regrets.values()), _excess)
    return replace(problem, model=model).derived(outputs=outputs, statistics=statistics)


class _Regret:
    """One regret, and as a table of stage 1 the least of its output for each point of the axes that are no choice."""

    def __init__(
        self,
        name: str,
        problem: Problem,
        output: Output,
        choices: tuple[str, ...],
        evaluate: Callable[[Problem], xr.Dataset],
    ) -> None:
        self.name, self.output, self._choices = name, output, choices
        self._problem, self._evaluate = problem, evaluate
        kept = [dim for dim in problem.spec.axes if dim in output.parameters and dim not in choices]
        self._axes: dict[str, Axis] = {dim: problem.spec.axes[dim] for dim in kept}
        self.__signature__ = Signature([Argument(dim, Argument.KEYWORD_ONLY) for dim in kept])

    @property
    def described(self) -> Output:
        """The regret as an output."""
        text = f"{self.output.long_name} in excess of its least along {' and '.join(self._choices)}"
        return replace(self.output, name=self.name, long_name=text)

    @cached_property
    def _least(self) -> np.ndarray:
        model = _with_outputs(self._problem.model, [replace(self.output, name=self.name)], (self,), _possible)
        over = tuple(dim for dim in self._problem.spec.axes if dim in self._choices)
        least = Statistic(statistic="min", output=self.name, over=over)
        problem = replace(self._problem, model=model).derived(outputs=(self.name,), statistics={_LEAST: least})
        return self._evaluate(problem)[_LEAST].transpose(*self._axes).values.astype(np.float64)

    def __call__(self, **given: np.ndarray) -> Mapping[str, np.ndarray]:
        places = []
        for dim, axis in self._axes.items():
            values = axis.coordinates()
            order = np.argsort(values)
            nearest = np.searchsorted(values[order], np.nan_to_num(given[dim], nan=values[0]))
            places.append(order[np.minimum(nearest, len(order) - 1)])
        return {f"{self.name}_least": self._least[tuple(np.broadcast_arrays(*places))] if places else self._least}


def _possible(found: Mapping[str, "Array"], regret: _Regret, given: Mapping[str, "Array"]) -> "Array":
    """An output, infinite where it is NaN: what cannot be chosen is not the least."""
    import jax.numpy as jnp

    values = found[regret.output.name]
    return jnp.where(jnp.isnan(values), jnp.inf, values)


def _excess(found: Mapping[str, "Array"], regret: _Regret, given: Mapping[str, "Array"]) -> "Array":
    import jax.numpy as jnp

    # A function that is not elementwise may give other values in another sweep.
    return jnp.maximum(found[regret.output.name] - given[f"{regret.name}_least"], 0.0)


def _with_outputs(
    model: Model, outputs: list[Output], regrets: tuple[_Regret, ...], make: Callable[..., "Array"]
) -> Model:
    return replace(model, outputs=(*model.outputs, *outputs), stages=_Stages(model, regrets, make))


@dataclass(frozen=True)
class _Stages:
    """The stages of a model, and what is made of its outputs for some regrets."""

    model: Model
    regrets: tuple[_Regret, ...]
    make: Callable[..., "Array"]

    def __call__(self, spec: SweepSpec) -> Stages:
        wanted = {regret.output.name for regret in self.regrets}
        known = tuple(o.name for o in self.model.outputs if o.name in spec.outputs or o.name in wanted)
        inner = spec.model_copy(update={"outputs": known})
        stages = self.model.staged(inner)
        tables = self.regrets if self.make is _excess else ()
        return Stages((*stages.tables, *tables), _Finish(stages.finish, self.regrets, self.make))


@dataclass(frozen=True)
class _Finish:
    function: "Finish"
    regrets: tuple[_Regret, ...]
    make: Callable[..., "Array"]

    def __call__(self, **given: Any) -> Mapping[str, "Array"]:
        tables = {f"{regret.name}_least" for regret in self.regrets}
        found = self.function(**{name: value for name, value in given.items() if name not in tables})
        return {**found, **{regret.name: self.make(found, regret, given) for regret in self.regrets}}
