"""A model: parameters with their units and domains, and the quantities that come from them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sweep.config import reference
from sweep.config.spec import Fixed, SweepSpec
from sweep.config.statistic import refuse_subnormal
from sweep.errors import SpecError, unknown
from sweep.models.parameters import Parameter, stated_of, undeclared
from sweep.models.quantity import Graph, Quantity, Stages, cut, ordered
from sweep.surroundings import refuse_to_hang


@dataclass(frozen=True)
class Output:
    """A quantity of a model and the parameters it depends on (its dimensions, where they are swept)."""

    name: str
    long_name: str
    unit: str
    parameters: tuple[str, ...]


def _nothing(spec: SweepSpec) -> tuple[()]:
    return ()


@dataclass(frozen=True)
class Model:
    """Parameters, and quantities that come from them and from one another, with their units and domains.

    What a quantity depends on, which axes it spans and which parameters a config must give follows from the names of
    the arguments of functions.

    Attributes
    ----------
    name : str
        As configs name it.
    quantities : tuple of Quantity
        Each is an output for whoever wants it. A plain function stands for one of its name: a pure number, described by
        the first line of its docstring.
    parameters : tuple of Parameter
        In the order in which they are listed to users. Where there are none, those that the functions take are: pure
        numbers that may have any value, with the defaults of the functions' arguments.
    equation, source, assumptions : str
        Go into every dataset.
    on_grid : callable
        ``on_grid(spec) -> quantities`` that take the place of those of the same name where a grid is evaluated, with
        others that they need: tables of the host, or what is simpler in the ranges of a sweep. They have the same
        values, to rounding.
    caveats : callable
        ``caveats(spec) -> list of str``: combinations of values that are allowed and usually a mistake;
        :meth:`all_caveats` has those of single values, too.
    needs_loss : bool
        Whether a config must say which loss the exponent belongs to.
    shares : tuple of str
        Parameters that are parts of one whole: nothing is known where they are more than 1 together.
    only_loss : str
        The one loss that it is of, where the other has no meaning.

    Examples
    --------
    >>> def distance(speed, duration):
    ...     return speed * duration
    >>> def fuel(distance, consumption=0.07):
    ...     return distance * consumption
    >>> trip = Model("trip", (distance, fuel))
    >>> trip.output("fuel").parameters
    ('speed', 'duration', 'consumption')
    """

    name: str
    quantities: "tuple[Quantity | Callable[..., Any], ...]"
    parameters: tuple[Parameter, ...] = ()
    equation: str = ""
    source: str = ""
    assumptions: str = ""
    on_grid: Callable[[SweepSpec], Iterable[Quantity]] = field(default=_nothing, repr=False)
    caveats: Callable[[SweepSpec], Iterable[str]] = field(default=_nothing, repr=False)
    needs_loss: bool = False
    shares: tuple[str, ...] = ()
    only_loss: str = ""

    def __post_init__(self) -> None:
        """Refuse names that are there twice, that are nowhere, and circles."""
        try:
            quantities = tuple(map(Quantity.of, self.quantities))
            graph = ordered(quantities)
        except SpecError as error:
            raise SpecError(f'model "{self.name}": {error}') from None
        object.__setattr__(self, "quantities", quantities)
        if not self.parameters:
            object.__setattr__(self, "parameters", undeclared((q.function for q in quantities), graph.needs))
        names, computed = [p.name for p in self.parameters], [q.name for q in quantities]
        for kind, those in (("parameters", names), ("quantities", computed)):
            for name in those:
                if those.count(name) > 1:
                    raise SpecError(f'model "{self.name}": two {kind} are named "{name}"')
        for quantity in quantities:
            if quantity.name in names:
                raise SpecError(f'model "{self.name}": "{quantity.name}" names a parameter and a quantity')
            for name in quantity.needs:
                if name not in names and name not in computed:
                    line = unknown("parameter or quantity", name, (*names, *computed))
                    raise SpecError(f'model "{self.name}": quantity "{quantity.name}": {line}')
        for name in self.shares:
            if name not in names:
                raise SpecError(f'model "{self.name}": shares: {unknown("parameter", name, names)}')

    @cached_property
    def outputs(self) -> tuple[Output, ...]:
        """The quantities, in the order in which they are listed to users."""
        needs = self.graph().parameters
        return tuple(
            Output(q.name, q.long_name, q.unit, tuple(p.name for p in self.parameters if p.name in needs[q.name]))
            for q in map(Quantity.of, self.quantities)
        )

    @property
    def is_solved(self) -> bool:
        """Whether its quantities are solved for, and have no values at a point."""
        return any(Quantity.of(quantity).function is None for quantity in self.quantities)

    def parameter(self, name: str) -> Parameter:
        """Return the parameter of that name."""
        return next(p for p in self.parameters if p.name == name)

    def output(self, name: str) -> Output:
        """Return the output of that name."""
        return next(o for o in self.outputs if o.name == name)

    def needed(self, outputs: Iterable[str]) -> frozenset[str]:
        """Name the parameters that some outputs depend on."""
        return frozenset(name for output in outputs for name in self.output(output).parameters)

    def graph(self, outputs: Iterable[str] | None = None) -> Graph:
        """Give the function ``(**parameters) -> {output: array}`` of some outputs, or of all, as the equations read.

        It is differentiable in every parameter, and takes no notice of those that it does not need.
        """
        graph = ordered(map(Quantity.of, self.quantities))
        return graph if outputs is None else graph.only(outputs)

    def staged(self, spec: SweepSpec) -> Stages:
        """How the outputs of a spec are evaluated on a grid; the bits do not depend on how the grid is cut."""
        return cut(ordered((*map(Quantity.of, self.quantities), *self.on_grid(spec))).only(spec.outputs))

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
        self._check_whole(spec)
        if not spec.outputs or self.is_solved:
            spec = spec.model_copy(update={"outputs": tuple(output.name for output in self.outputs)})
        spec = self._refer(spec)
        self._check_names(spec)
        self._check_axes(spec)
        self._check_statistics(spec)
        for name, fixed in spec.fixed.items():
            self.parameter(name).refuse(f"fixed.{name}", fixed.value, spec.dtype)
        return spec.model_copy(update={"fixed": self._filled(spec)})

    def _check_whole(self, spec: SweepSpec) -> None:
        """Refuse a sweep of something else: of another model, of what this one has not, of another loss."""
        if spec.model != self.name:
            raise SpecError(f'model: this is the model "{self.name}", the spec asks for "{spec.model}"')
        if spec.allocation is not None and not self.is_solved:
            raise SpecError(f'allocation: belongs to the model "front_loading", not to "{self.name}"; drop it')
        if self.only_loss not in ("", spec.loss):
            raise SpecError(f'loss: must be "{self.only_loss}" for "{self.name}", whose limits are of that loss alone')
        if self.needs_loss and spec.loss is None:
            raise SpecError('loss: is required, "total" or "excess": which loss the scaling exponent belongs to')

    def _refer(self, spec: SweepSpec) -> SweepSpec:
        """Take the numbers of a named run, but for those of parameters that this model does not have."""
        if spec.reference is None:
            return spec
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
        doubted = []
        for name, parameter in ((p.name, p) for p in self.parameters):
            is_one = name not in spec.axes and name not in spec.distributions
            if is_one and name not in spec.fixed:
                continue
            least, value = stated_of(spec, name)
            if doubt := parameter.hint(value, None if is_one else least):
                unit = "" if parameter.unit == "1" else f" {parameter.unit}"
                doubted.append(f"{name} {'of' if is_one else 'up to'} {value:g}{unit}: {doubt}")
        return list(dict.fromkeys((*doubted, *self.caveats(spec))))

    def refuse_to_evaluate(self) -> None:
        """Refuse, of a model that is solved, what is asked of values, and a process in which they would never come.

        Raises
        ------
        SpecError
            One line that says what to do instead.
        """
        refuse_to_hang()
        if self.is_solved:
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
        is_there = right in spec.axes or right in spec.fixed or right in spec.distributions
        both = " (which is given too)" if is_there else ""
        raise SpecError(f'{table}: "{name}" is another spelling of {right}{both}; write {right}')

    def _check_names(self, spec: SweepSpec) -> None:
        for table in ("axes", "fixed"):
            for name in getattr(spec, table):
                self.check_name(table, name, spec)
        for name in spec.outputs:
            if name not in (o.name for o in self.outputs):
                raise SpecError(f"outputs: {unknown('output', name, [o.name for o in self.outputs])}")

    def _check_axes(self, spec: SweepSpec) -> None:
        needed = self.needed(spec.outputs)
        for name, axis in spec.axes.items():
            if name not in needed:
                raise SpecError(
                    f'axis "{name}": none of the outputs depends on it ({", ".join(spec.outputs)}); drop it'
                )
            for value in axis.bounds():
                self.parameter(name).refuse(f'axis "{name}"', value, spec.dtype)

    def _check_statistics(self, spec: SweepSpec) -> None:
        for key, statistic in spec.statistics.items():
            needed = self.needed(statistic.uses)
            for table, names in (("over", statistic.over), ("regret", statistic.regret or ())):
                for name in names:
                    if name not in needed:
                        of = " and ".join(statistic.uses)
                        raise SpecError(f"statistics.{key}.{table}: {of} does not depend on {name}; drop it")
            refuse_subnormal(f"statistics.{key}.where", statistic.conditions, spec.dtype)

    def _filled(self, spec: SweepSpec) -> dict[str, Fixed]:
        """Values of the parameters that are not swept: the config's or the defaults; refuse what is missing."""
        filled, needed = {}, self.needed(spec.outputs)
        for name, parameter in ((p.name, p) for p in self.parameters if p.name not in spec.axes):
            if name in spec.fixed:
                filled[name] = spec.fixed[name]
            elif parameter.default is not None:
                filled[name] = Fixed(value=parameter.default, source=parameter.source or "default")
            elif name in needed:
                user = next(output for output in spec.outputs if name in self.needed((output,)))
                if name in reference.PARAMETERS:
                    raise SpecError(reference.missing(name, user, [p.name for p in self.parameters]))
                raise SpecError(
                    f"{name}: is missing, and {user} needs it; give it under [axes] or [fixed] "
                    f"({parameter.long_name}, unit {parameter.unit}, {parameter.domain})"
                )
        return filled
