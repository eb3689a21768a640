"""Regret: how much more than the best choice, in the same draw, an output is."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from inspect import Parameter as Argument
from inspect import Signature
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from sweep.axis import Axis
from sweep.model import Model, Output, Stages
from sweep.spec import SweepSpec
from sweep.statistic import Statistic

if TYPE_CHECKING:
    from jax import Array

_LEAST = "least"


def with_regrets(model: Model, spec: SweepSpec, evaluate: Callable[[SweepSpec], xr.Dataset]) -> tuple[Model, SweepSpec]:
    """Give a model with the regrets that the statistics of a spec are of, and the spec that names them.

    Parameters
    ----------
    model : Model
        Its uncertain parameters drawn.
    spec : SweepSpec
        Resolved against the model.
    evaluate : callable
        Runs a spec; called for each regret, when its first value is needed, for the least of the output among the
        choices.
    """
    regrets: dict[str, _Regret] = {}
    statistics: dict[str, Statistic] = {}
    for key, statistic in spec.statistics.items():
        if statistic.regret is not None:
            name = "_".join((statistic.output, "regret", *sorted(statistic.regret)))
            regrets[name] = _Regret(name, model.output(statistic.output), spec, statistic.regret, evaluate)
            statistic = statistic.model_copy(update={"output": name})
        statistics[key] = statistic
    if not regrets:
        return model, spec
    made = [
        Output(name, f"{regret.output.long_name}, in excess of its least along {' and '.join(regret.choices)}",
               regret.output.unit, regret.output.parameters)
        for name, regret in regrets.items()
    ]  # fmt: skip
    outputs = tuple(dict.fromkeys(name for statistic in statistics.values() for name in statistic.outputs))
    derived = replace(model, outputs=(*model.outputs, *made), stages=_Stages(model, tuple(regrets.values())))
    return derived, spec.model_copy(update={"outputs": outputs, "statistics": statistics})


class _Regret:
    """One regret, and as a table of stage 1 the least of its output for each point of the axes that are no choice."""

    def __init__(
        self,
        name: str,
        output: Output,
        spec: SweepSpec,
        choices: tuple[str, ...],
        evaluate: Callable[[SweepSpec], xr.Dataset],
    ) -> None:
        self.name, self.output, self.choices = name, output, choices
        self._spec, self._evaluate = spec, evaluate
        kept = [dim for dim in spec.axes if dim in output.parameters and dim not in choices]
        self._axes: dict[str, Axis] = {dim: spec.axes[dim] for dim in kept}
        self.__signature__ = Signature([Argument(dim, Argument.KEYWORD_ONLY) for dim in kept])

    @cached_property
    def _least(self) -> np.ndarray:
        over = tuple(dim for dim in self._spec.axes if dim in self.choices)
        least = Statistic(statistic="min", output=self.output.name, over=over)
        spec = self._spec.model_copy(update={"outputs": (self.output.name,), "statistics": {_LEAST: least}})
        return self._evaluate(spec)[_LEAST].transpose(*self._axes).values.astype(np.float64)

    def __call__(self, **given: np.ndarray) -> Mapping[str, np.ndarray]:
        places = []
        for dim, axis in self._axes.items():
            values = axis.coordinates()
            order = np.argsort(values)
            nearest = np.searchsorted(values[order], np.nan_to_num(given[dim], nan=values[0]))
            places.append(order[np.minimum(nearest, len(order) - 1)])
        if not places:
            return {f"{self.name}_least": self._least}
        return {f"{self.name}_least": self._least[tuple(np.broadcast_arrays(*places))]}


class _Stages:
    """The stages of a model, with the regrets that it does not know."""

    def __init__(self, model: Model, regrets: tuple[_Regret, ...]) -> None:
        self._model, self._regrets = model, regrets
        self._finishes: dict[Any, Callable[..., Mapping[str, Array]]] = {}

    def __call__(self, spec: SweepSpec) -> Stages:
        wanted = {regret.output.name for regret in self._regrets}
        known = tuple(o.name for o in self._model.outputs if o.name in spec.outputs or o.name in wanted)
        inner = spec.model_copy(update={"outputs": known})
        stages = self._model.stages(inner) if self._model.stages else Stages((), self._model.function)
        # JAX compiles anew for a new function.
        finish = self._finishes.setdefault(stages.finish, _finish_with(stages.finish, self._regrets))
        return Stages((*stages.tables, *self._regrets), finish)


def _finish_with(
    finish: Callable[..., Mapping[str, "Array"]], regrets: tuple[_Regret, ...]
) -> Callable[..., Mapping[str, "Array"]]:
    def with_regret(**given: Any) -> Mapping[str, "Array"]:
        import jax.numpy as jnp

        least = {regret.name: given.pop(f"{regret.name}_least") for regret in regrets}
        found = dict(finish(**given))
        # Where a model has no tables, its values in two sweeps may differ in the last bit.
        excess = {regret.name: found[regret.output.name] - least[regret.name] for regret in regrets}
        return found | {name: jnp.maximum(values, 0.0) for name, values in excess.items()}

    return with_regret
