"""A model: a pure JAX function of named parameters, with the units and domains of its inputs and outputs."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sweep.config import reference
from sweep.config.doubts import Doubt, hint
from sweep.config.spec import Fixed, SweepSpec
from sweep.config.statistic import Condition
from sweep.errors import SpecError, unknown
from sweep.models.rounding import apart
from sweep.surroundings import refuse_to_hang

if TYPE_CHECKING:
    from jax import Array


@dataclass(frozen=True)
class Domain:
    """The interval of values a parameter may take; each end is included unless it is open."""

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    def __contains__(self, value: float) -> bool:
        """Whether a number lies in the interval."""
        above = value > self.low if self.low_open else value >= self.low
        return above and (value < self.high if self.high_open else value <= self.high)

    def __str__(self) -> str:
        """Give the interval in the words of an error message."""
        if math.isinf(self.low) and math.isinf(self.high):
            return "any finite number"
        if math.isinf(self.high):
            return f"{'>' if self.low_open else '>='} {self.low:g}"
        return f"in {'(' if self.low_open else '['}{self.low:g}, {self.high:g}{')' if self.high_open else ']'}"


@dataclass(frozen=True)
class Parameter:
    """A named input of a model.

    Attributes
    ----------
    name, long_name, unit : str
        As in kernels/README.md; the unit is CF-style, "1" for a pure number.
    domain : Domain
        Values that are accepted.
    default : float or None
        Used when a config gives none; None means that a config must give one if an output needs it.
    source : str
        Where the default comes from.
    aliases : tuple of str
        Other spellings people use; refused with a pointer to `name`.
    doubts : tuple of Doubt
        Values that usually mean another unit: a caveat where they are allowed, a hint where they are refused.
    """

    name: str
    long_name: str
    unit: str
    domain: Domain = Domain()
    default: float | None = None
    source: str = ""
    aliases: tuple[str, ...] = ()
    doubts: tuple[Doubt, ...] = ()


@dataclass(frozen=True)
class Output:
    """A named result of a model and the names of the parameters it depends on (its dimensions, when they are swept)."""

    name: str
    long_name: str
    unit: str
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class Stages:
    """A model's evaluation on a grid in two stages, whose bits do not depend on how the grid is cut into blocks.

    Attributes
    ----------
    tables : tuple of functions
        Stage 1, NumPy float64 on the host: each takes parameters by name, as arrays that broadcast, and returns named
        arrays. Its argument names say which axes its tables span.
    finish : function
        Stage 2, pure JAX on the device: takes all parameters and all tables by name, returns the outputs.
    """

    tables: tuple[Callable[..., Mapping[str, np.ndarray]], ...]
    finish: Callable[..., Mapping[str, "Array"]]


def refuse_subnormal(where: str, conditions: Iterable[Condition], dtype: str) -> None:
    """Refuse a bound that a device takes for 0.

    Raises
    ------
    SpecError
        One line.
    """
    least = float(np.finfo(dtype).tiny)
    for condition in conditions:
        if 0.0 < abs(condition.bound) < least:
            raise SpecError(
                f"{where}: {condition.bound:g} is nearer to 0 than {dtype} numbers are ({least:.2g}); compare with 0"
            )


def _no_caveats(spec: SweepSpec) -> list[str]:
    return []


@dataclass(frozen=True)
class Model:
    """A pure JAX function of named parameters, with the units and domains of its inputs and outputs.

    Attributes
    ----------
    name, equation, source, assumptions : str
        Go into every dataset.
    parameters, outputs : tuple of Parameter, tuple of Output
        In the order in which they are listed to users.
    function : callable
        ``function(**parameters) -> {output: array}``: elementwise on arrays that broadcast. It may return more outputs
        than are wanted; what is not wanted is not computed. Parameters that no wanted output needs may be NaN. None for
        the model that :func:`sweep.optimise` solves.
    stages : callable or None
        ``stages(spec) -> Stages``: the same outputs in two stages, for a grid; without it `function` is used.
    caveats : callable
        ``caveats(spec) -> list of str``: combinations of values that are allowed and usually a mistake;
        :meth:`all_caveats` has those of single values, too.
    needs_loss : bool
        Whether a config must say which loss the exponent belongs to.

    Examples
    --------
    >>> line = Model(
    ...     name="line", equation="y = a x", source="school", assumptions="none",
    ...     parameters=(Parameter("a", "slope", "m/s"), Parameter("x", "duration", "s")),
    ...     outputs=(Output("y", "distance", "m", ("a", "x")),),
    ...     function=lambda a, x: {"y": a * x},
    ... )
    """

    name: str
    equation: str
    source: str
    assumptions: str
    parameters: tuple[Parameter, ...]
    outputs: tuple[Output, ...]
    function: Callable[..., Mapping[str, "Array"]] | None = field(repr=False)
    stages: Callable[[SweepSpec], Stages] | None = field(default=None, repr=False)
    caveats: Callable[[SweepSpec], list[str]] = field(default=_no_caveats, repr=False)
    needs_loss: bool = False

    def __post_init__(self) -> None:
        """Refuse names that are given twice, and outputs of parameters that there are not."""
        names = [p.name for p in self.parameters]
        for kind, found in (("parameter", names), ("output", [o.name for o in self.outputs])):
            for name in found:
                if found.count(name) > 1:
                    raise SpecError(f'model "{self.name}": two {kind}s are named "{name}"')
        for output in self.outputs:
            if output.name in names:
                raise SpecError(f'model "{self.name}": "{output.name}" names a parameter and an output')
            for name in output.parameters:
                if name not in names:
                    line = unknown("parameter", name, names)
                    raise SpecError(f'model "{self.name}": output "{output.name}": {line}')

    def parameter(self, name: str) -> Parameter:
        """Return the parameter of that name."""
        return next(p for p in self.parameters if p.name == name)

    def output(self, name: str) -> Output:
        """Return the output of that name."""
        return next(o for o in self.outputs if o.name == name)

    def staged(self, spec: SweepSpec) -> Stages:
        """How the model is evaluated on a grid: in its two stages, or by its function, rounded operation by operation.

        Either way the bits do not depend on how the grid is cut.
        """
        return self.stages(spec) if self.stages else Stages((), apart(self.function))

    def resolve(self, spec: SweepSpec) -> SweepSpec:
        """Check a spec against this model and fill in the defaults.

        Returns
        -------
        SweepSpec
            The same sweep with a value or an axis for every parameter that an output needs or that has a default.

        Raises
        ------
        SpecError
            One line: an unknown name, a value outside its domain, a parameter that is missing or does nothing.
        """
        if spec.model != self.name:
            raise SpecError(f'model: this is the model "{self.name}", the spec asks for "{spec.model}"')
        if spec.allocation is not None and self.function is not None:
            raise SpecError(f'allocation: belongs to the model "front_loading", not to "{self.name}"; drop it')
        if not spec.outputs or self.function is None:
            spec = spec.model_copy(update={"outputs": tuple(output.name for output in self.outputs)})
        if self.needs_loss and spec.loss is None:
            raise SpecError('loss: is required, "total" or "excess": which loss the scaling exponent belongs to')
        if spec.reference is not None:
            spec = self._refer(spec)
        self._check_names(spec)
        needed = {name for output in spec.outputs for name in self.output(output).parameters}
        for name, axis in spec.axes.items():
            if name not in needed:
                raise SpecError(
                    f'axis "{name}": none of the outputs depends on it ({", ".join(spec.outputs)}); drop it'
                )
            for value in axis.bounds():
                self._check_value(f'axis "{name}"', name, value, spec.dtype)
        for key, statistic in spec.statistics.items():
            depends = {name for output in statistic.uses for name in self.output(output).parameters}
            for field_name, names in (("over", statistic.over), ("regret", statistic.regret or ())):
                for name in names:
                    if name not in depends:
                        of = " and ".join(statistic.uses)
                        raise SpecError(f"statistics.{key}.{field_name}: {of} does not depend on {name}; drop it")
            refuse_subnormal(f"statistics.{key}.where", statistic.conditions, spec.dtype)
        for name, fixed in spec.fixed.items():
            self._check_value(f"fixed.{name}", name, fixed.value, spec.dtype)
        filled = {}
        for parameter in self.parameters:
            name = parameter.name
            if name in spec.fixed:
                filled[name] = spec.fixed[name]
            elif name in spec.axes:
                continue
            elif parameter.default is not None:
                filled[name] = Fixed(value=parameter.default, source=parameter.source or "default")
            elif name in needed:
                user = next(o for o in spec.outputs if name in self.output(o).parameters)
                if name in reference.PARAMETERS:
                    raise SpecError(reference.missing(name, user, [p.name for p in self.parameters]))
                raise SpecError(
                    f"{name}: is missing, and {user} needs it; give it under [axes] or [fixed] "
                    f"({parameter.long_name}, unit {parameter.unit}, {parameter.domain})"
                )
        return spec.model_copy(update={"fixed": filled})

    def _refer(self, spec: SweepSpec) -> SweepSpec:
        """Leave out what the named run says of parameters that this model does not have."""
        known = {p.name for p in self.parameters} | set(spec.distributions)
        idle = [name for name in reference.PARAMETERS if name not in known]
        if len(idle) == len(reference.PARAMETERS):
            raise SpecError(f'reference: the model "{self.name}" has neither {" nor ".join(idle)}; drop it')
        if spec.reference == reference.OWN:
            return spec
        try:
            fixed = spec.referred()
        except ValueError as error:
            raise SpecError(str(error)) from None
        return spec.model_copy(update={"fixed": {k: v for k, v in fixed.items() if k not in idle}})

    def all_caveats(self, spec: SweepSpec) -> list[str]:
        """Name what is allowed and usually a mistake: values that were probably meant in another unit, and pairings.

        Parameters
        ----------
        spec : SweepSpec
            Resolved against this model.
        """
        found = []
        for parameter in self.parameters:
            name = parameter.name
            if name not in spec.axes and name not in spec.fixed:
                continue
            least, value = spec.axes[name].bounds() if name in spec.axes else (None, spec.fixed[name].value)
            if doubt := hint(parameter.doubts, value, least):
                unit = "" if parameter.unit == "1" else f" {parameter.unit}"
                found.append(f"{name} {'up to' if name in spec.axes else 'of'} {value:g}{unit}: {doubt}")
        return list(dict.fromkeys((*found, *self.caveats(spec))))

    def refuse_to_evaluate(self) -> None:
        """Refuse, of a model that is solved, what is asked of values, and a process in which they would never come.

        Raises
        ------
        SpecError
            One line that says what to do instead.
        """
        refuse_to_hang()
        if self.function is None:
            raise SpecError(f'model "{self.name}": has no values to evaluate; it is solved by sweep optimise')

    def check_name(self, table: str, name: str, spec: SweepSpec) -> None:
        """Refuse a name in a table of a spec that is no parameter.

        Raises
        ------
        SpecError
            One line with the name that may have been meant.
        """
        known = [p.name for p in self.parameters]
        if name in known:
            return
        other = {alias: p.name for p in self.parameters for alias in p.aliases}
        plain = name.lower().replace("-", "_")
        right = other.get(name) or (plain if plain in known else other.get(plain))
        if right is None:
            raise SpecError(f"{table}: {unknown('parameter', name, known)}")
        given = right in spec.axes or right in spec.fixed or right in spec.distributions
        both = " (which is given too)" if given else ""
        raise SpecError(f'{table}: "{name}" is another spelling of {right}{both}; write {right}')

    def _check_names(self, spec: SweepSpec) -> None:
        for table in ("axes", "fixed"):
            for name in getattr(spec, table):
                self.check_name(table, name, spec)
        for name in spec.outputs:
            if name not in (o.name for o in self.outputs):
                raise SpecError(f"outputs: {unknown('output', name, [o.name for o in self.outputs])}")

    def _check_value(self, where: str, name: str, value: float, dtype: str) -> None:
        parameter = self.parameter(name)
        if value not in parameter.domain:
            unit = "" if parameter.unit == "1" else f" {parameter.unit}"
            doubt = hint(parameter.doubts, value)
            raise SpecError(f"{where}: must be {parameter.domain}{unit}, got {value:g}" + (doubt and f"; {doubt}"))
        least, most = float(np.finfo(dtype).tiny), float(np.finfo(dtype).max)
        if value and not least <= abs(value) <= most:
            raise SpecError(f"{where}: {value:g} does not fit {dtype}, which holds {least:.2g} to {most:.2g}")
        rounded = float(np.dtype(dtype).type(value))
        if rounded not in parameter.domain:
            raise SpecError(
                f"{where}: {value!r} rounds to {rounded:g} in {dtype}, must be {parameter.domain}; "
                'use dtype = "float64"'
            )
