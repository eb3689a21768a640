"""Quantities, of which a model consists, and graphs of them: the names of a function's arguments are what it needs.

After Hamilton and dags, in which functions are tied to one another in the same way.
"""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Any, Literal

from sweep.errors import SpecError
from sweep.models.rounding import apart

FEWER = 4  # times, at least, that a value is smaller than what comes of it, to be kept in memory in between
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True)
class Quantity:
    """A named value, and how it comes from parameters and other quantities.

    Attributes
    ----------
    name, long_name, unit : str
        As of a parameter; the unit is CF-style, "1" for a pure number.
    function : callable or None
        Pure and elementwise on arrays that broadcast, in JAX; it is called with `needs` by keyword. None for what is
        solved for (:func:`sweep.optimise`), not evaluated.
    where : {"apart", "device", "host"}
        How it is evaluated on a grid, so that its bits do not depend on how the grid is cut: on the device, each
        operation rounded by itself; on the device as it is written, which has to see to its bits; or on the host, in
        NumPy and float64, as a table over the axes that it spans, from parameters and other such tables alone. The
        latter two may have a tuple for a value.
    needs : tuple of str
        Parameters and quantities: the names of the function's arguments. Those that ``**`` of it takes have to be said.
    """

    name: str
    long_name: str = ""
    unit: str = "1"
    function: Callable[..., Any] | None = field(default=None, repr=False)
    where: Literal["apart", "device", "host"] = "apart"
    needs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Read off the function what it needs.

        Raises
        ------
        SpecError
            One line: an argument that has no name.
        """
        arguments = inspect.signature(self.function).parameters.values() if self.function else ()
        named = [argument.name for argument in arguments if argument.kind in _NAMED]
        for argument in arguments:
            if argument.kind not in _NAMED and not (argument.kind is argument.VAR_KEYWORD and self.needs):
                raise SpecError(
                    f'quantity "{self.name}": its function takes "{argument}"; name each parameter and quantity that '
                    "it needs"
                )
        object.__setattr__(self, "needs", tuple(dict.fromkeys((*named, *self.needs))))

    @classmethod
    def of(
        cls,
        function: "Quantity | Callable[..., Any]",
        unit: str = "1",
        where: Literal["apart", "device", "host"] = "apart",
        *,
        name: str = "",
        needs: tuple[str, ...] = (),
    ) -> "Quantity":
        """Make one of a function: of its name, but for an underscore, and described by its docstring's first line."""
        if isinstance(function, Quantity):
            return function
        name = name or getattr(function, "__name__", "").lstrip("_")
        if not name.isidentifier():
            raise SpecError("quantities: one has no name; give a function made by def, or a Quantity")
        text = (inspect.getdoc(function) or name.replace("_", " ")).splitlines()[0].rstrip(".")
        if text[1:2].islower() or text[1:2] == " ":
            text = text[0].lower() + text[1:]
        return cls(name, text, unit, function, where, needs)


@dataclass(frozen=True)
class Graph:
    """Quantities that are evaluated one after the other.

    Attributes
    ----------
    quantities : tuple of Quantity
        Each after those that it needs.
    outputs : tuple of str
        Names of the values that are wanted.
    is_apart : bool
        Whether those that do not say otherwise are rounded operation by operation; it has no derivatives of its own.
    """

    quantities: tuple[Quantity, ...]
    outputs: tuple[str, ...]
    is_apart: bool = False

    @cached_property
    def needs(self) -> tuple[str, ...]:
        """What has to be known beforehand."""
        known = {quantity.name for quantity in self.quantities}
        every = [*(name for quantity in self.quantities for name in quantity.needs), *self.outputs]
        return tuple(dict.fromkeys(name for name in every if name not in known))

    def __call__(self, **known: Any) -> dict[str, Any]:
        """Evaluate the outputs; what is known and not needed is not looked at."""
        for quantity in self.quantities:
            function = quantity.function
            assert function is not None, quantity.name
            needs = {name: known[name] for name in quantity.needs}
            if self.is_apart:
                function = apart(function) if quantity.where == "apart" else function
                needs = _kept(needs, {q.name for q in self.quantities})
            known[quantity.name] = function(**needs)
        return {name: known[name] for name in self.outputs}

    def only(self, outputs: Iterable[str]) -> "Graph":
        """Give the part that some outputs need."""
        wanted = set(outputs := tuple(outputs))
        kept: list[Quantity] = []
        for quantity in reversed(self.quantities):
            if quantity.name in wanted:
                kept.append(quantity)
                wanted.update(quantity.needs)
        return replace(self, quantities=tuple(reversed(kept)), outputs=outputs)

    def after(self, names: Iterable[str]) -> "Graph":
        """Give the rest, where some of the quantities are known."""
        part = replace(self, quantities=tuple(q for q in self.quantities if q.name not in set(names)))
        return part.only(self.outputs)

    @cached_property
    def parameters(self) -> Mapping[str, frozenset[str]]:
        """Of each quantity, what has to be known of what it needs, directly or not."""
        known: dict[str, frozenset[str]] = {}
        for quantity in self.quantities:
            known[quantity.name] = frozenset().union(*(known.get(name, {name}) for name in quantity.needs))
        return known


def _kept(values: dict[str, Any], computed: set[str]) -> dict[str, Any]:
    """Let those of computed values that are much smaller than what comes of them be computed once, and kept."""
    import jax
    import numpy as np

    shapes = {name: [np.shape(leaf) for leaf in jax.tree.leaves(value)] for name, value in values.items()}
    whole = np.broadcast_shapes(*(shape for of in shapes.values() for shape in of))
    few = math.prod(whole) // FEWER
    small = {name for name in computed.intersection(values) if all(math.prod(shape) <= few for shape in shapes[name])}
    return {name: jax.lax.optimization_barrier(v) if name in small else v for name, v in values.items()}


def ordered(quantities: Iterable[Quantity]) -> Graph:
    """Put quantities in an order of evaluation; of two of one name the later counts.

    Raises
    ------
    SpecError
        One line: quantities that need one another in a circle.
    """
    named = {quantity.name: quantity for quantity in quantities}
    try:
        order = tuple(TopologicalSorter({name: q.needs for name, q in named.items()}).static_order())
    except CycleError as error:
        raise SpecError(f"quantities: {' needs '.join(reversed(error.args[1]))}, which is a circle") from None
    return Graph(tuple(named[name] for name in order if name in named), tuple(named))


@dataclass(frozen=True)
class Stages:
    """A graph in two stages, as a grid is evaluated.

    Attributes
    ----------
    tables : tuple of Graph
        Stage 1, NumPy float64 on the host: from parameters, each over the axes of those that it needs.
    finish : Graph
        Stage 2, on the device: the outputs, from parameters and tables.
    """

    tables: tuple[Graph, ...]
    finish: Graph

    @cached_property
    def spans(self) -> Mapping[str, frozenset[str]]:
        """Of each table and each quantity of stage 2, the parameters that it depends on."""
        known = {name: frozenset(table.needs) for table in self.tables for name in table.outputs}
        for quantity in self.finish.quantities:
            known[quantity.name] = frozenset().union(*(known.get(name, {name}) for name in quantity.needs))
        return known

    def without(self, parameter: str) -> frozenset[str]:
        """Quantities of stage 2 that do not depend on a parameter, and that others which do are made of."""
        same = {q.name for q in self.finish.quantities if parameter not in self.spans[q.name]}
        return frozenset(n for q in self.finish.quantities if q.name not in same for n in q.needs if n in same)

    @property
    def is_exact(self) -> bool:
        """Whether stage 2 is evaluated as it is written, nothing rounded operation by operation."""
        return all(quantity.where == "device" for quantity in self.finish.quantities)


def cut(graph: Graph) -> Stages:
    """Cut a graph between what is evaluated on the host and what on the device.

    Quantities of the host that need the same parameters are one table, so that what they share is evaluated once.

    Raises
    ------
    SpecError
        One line: a quantity of the host that needs one of the device.
    """
    host = replace(graph, quantities=tuple(q for q in graph.quantities if q.where == "host"))
    finish = Graph(tuple(q for q in graph.quantities if q.where != "host"), graph.outputs, is_apart=True)
    for quantity in host.quantities:
        for name in set(quantity.needs) & {q.name for q in finish.quantities}:
            raise SpecError(f'quantity "{quantity.name}": is one of the host, and needs "{name}", which is none')
    groups: dict[frozenset[str], list[str]] = {}
    for name in finish.needs:
        if name in host.parameters:
            groups.setdefault(host.parameters[name], []).append(name)
    return Stages(tuple(host.only(names) for names in groups.values()), finish)
