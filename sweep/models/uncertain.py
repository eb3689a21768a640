"""A model whose uncertain parameters are drawn: it has a parameter ``draw``, their number, in the place of all of them.

So a sweep with distributions is an ordinary sweep with an axis of draws, and all that works with an axis works with it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from inspect import Parameter as Argument
from inspect import Signature, signature
from typing import TYPE_CHECKING, Any

import numpy as np

from sweep.config.axis import Axis
from sweep.config.distribution import DRAW, DRAWN, REPLICATE, Distribution, Draws
from sweep.config.spec import SweepSpec
from sweep.errors import SpecError
from sweep.models.model import Domain, Model, Output, Parameter, Stages
from sweep.models.sampling import Sampler

if TYPE_CHECKING:
    from jax import Array

_NUMBERS = (
    Parameter(REPLICATE, "number of the set of draws", "1", Domain(low=0.0)),
    Parameter(DRAW, "number of the draw", "1", Domain(low=0.0)),
)


def drawn(model: Model, spec: SweepSpec) -> Model:
    """Give the model of a spec with distributions: its axes `draw` and `replicate` stand for what is uncertain.

    Parameters
    ----------
    model : Model
        In which the uncertain parameters are parameters.
    spec : SweepSpec
        With distributions.

    Returns
    -------
    Model
        The same outputs, and the uncertain parameters as outputs too.

    Raises
    ------
    SpecError
        One line: a distribution of an unknown parameter, of one that does nothing, or that leaves its domain.
    """
    for name, distribution in spec.distributions.items():
        model.check_name("distributions", name, spec)
        _check_bounds(model.parameter(name), distribution, spec.dtype)
        asked = [o for o in spec.outputs if o not in spec.distributions]
        known = {o.name: o.parameters for o in model.outputs}
        # An output that there is not is refused with the others, by its own name.
        if model.function is not None and not any(name in known.get(o, (name,)) for o in asked):
            names = f" ({', '.join(asked)})" if asked else ""
            raise SpecError(f"distributions.{name}: none of the outputs depends on it{names}; drop it")
    numbers = tuple(parameter for parameter in _NUMBERS if parameter.name in spec.axes or parameter.name in spec.fixed)
    dims = tuple(parameter.name for parameter in numbers)
    made = [Output(p.name, p.long_name, p.unit, dims) for p in model.parameters if p.name in spec.distributions]
    return replace(
        model,
        parameters=(*(p for p in model.parameters if p.name not in spec.distributions), *numbers),
        outputs=(*(replace(o, parameters=_in_place(o.parameters, spec, dims)) for o in model.outputs), *made),
        stages=None if model.function is None else _Stages(model, sampler_of(model, spec), dims),
        caveats=_Caveats(model),
    )


def sampler_of(model: Model, spec: SweepSpec) -> Sampler:
    """What draws the uncertain parameters of a spec; `model` is the one in which they are parameters."""
    order = [parameter.name for parameter in model.parameters]
    return Sampler(
        names=tuple(spec.distributions),
        distributions=tuple(spec.distributions.values()),
        columns=tuple(order.index(name) for name in spec.distributions),
        dimensions=len(order),
        draws=spec.draws or Draws(),
    )


def _check_bounds(parameter: Parameter, distribution: Distribution, dtype: str) -> None:
    """Refuse a distribution with values that the parameter, or the type of the sweep, cannot have."""
    low, high = distribution.bounds()
    for key, value in (("minimum", low), ("maximum", high)):
        if value not in parameter.domain:
            raise SpecError(
                f"distributions.{parameter.name}: reaches {value:.6g}, must be {parameter.domain}; give a {key}"
            )
        if abs(value) > float(np.finfo(dtype).max):
            raise SpecError(f"distributions.{parameter.name}: reaches {value:.6g}, more than {dtype} holds")


def _in_place(names: tuple[str, ...], spec: SweepSpec, dims: tuple[str, ...]) -> tuple[str, ...]:
    """Put the numbers of the draws in the place of what is uncertain."""
    kept = tuple(name for name in names if name not in spec.distributions)
    return kept if len(kept) == len(names) else (*kept, *dims)


def _envelope(spec: SweepSpec) -> SweepSpec:
    """Give a spec whose uncertain parameters are axes from the least to the largest value, for what looks at ranges."""
    ranges = {name: Axis(values=distribution.bounds()) for name, distribution in spec.distributions.items()}
    return spec.model_copy(update={"axes": {**spec.axes, **ranges}, "distributions": {}})


def _stated(spec: SweepSpec) -> SweepSpec:
    """Give a spec whose uncertain parameters are axes over what was written of them, not over their farthest tails."""
    ranges = {name: Axis(values=distribution.stated()) for name, distribution in spec.distributions.items()}
    return spec.model_copy(update={"axes": {**spec.axes, **ranges}, "distributions": {}})


@dataclass(frozen=True)
class _Caveats:
    model: Model

    def __call__(self, spec: SweepSpec) -> list[str]:
        return self.model.all_caveats(_stated(spec))


@dataclass(frozen=True)
class _Stages:
    """The stages of a model, with the draws as a table of their own and before every table that needs them."""

    model: Model
    sampler: Sampler
    dims: tuple[str, ...]

    def __call__(self, spec: SweepSpec) -> Stages:
        asked = tuple(o.name for o in self.model.outputs if o.name in spec.outputs)
        inner = _envelope(spec).model_copy(update={"outputs": asked})
        stages = self.model.staged(inner)
        values = _Table(self.sampler, self.dims, self.sampler.names, None)
        tables = [
            _Table(self.sampler, self.dims, tuple(signature(table).parameters), table)
            if set(self.sampler.names) & set(signature(table).parameters)
            else table
            for table in stages.tables
        ]
        return Stages((values, *tables), _Finish(stages.finish, self.sampler.names))


@dataclass(frozen=True)
class _Table:
    """A table of stage 1 that takes the numbers of draws; without a function, the drawn values themselves."""

    sampler: Sampler
    dims: tuple[str, ...]
    needs: tuple[str, ...]
    function: Callable[..., Mapping[str, np.ndarray]] | None

    @property
    def __signature__(self) -> Signature:
        names = (*(name for name in self.needs if name not in self.sampler.names), *self.dims)
        return Signature([Argument(name, Argument.KEYWORD_ONLY) for name in names])

    def __call__(self, **given: np.ndarray) -> Mapping[str, np.ndarray]:
        numbers = {name: given.pop(name) for name in self.dims}
        values = self.sampler.at(numbers, [name for name in self.needs if name in self.sampler.names])
        return values if self.function is None else self.function(**given, **values)


@dataclass(frozen=True)
class _Finish:
    """Stage 2 without the numbers of the draws, and with the drawn values among the outputs."""

    function: Callable[..., Mapping[str, "Array"]]
    names: tuple[str, ...]

    def __call__(self, **given: Any) -> Mapping[str, "Array"]:
        inner = {name: value for name, value in given.items() if name not in DRAWN}
        found = self.function(**inner)
        # What is no dict is refused with the model's name, where all that functions return is looked at.
        return {**found, **{name: given[name] for name in self.names}} if isinstance(found, Mapping) else found
