"""Values of a sweep that is evaluated as they are asked for; nothing is kept of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sweep.config.spec import Fixed
from sweep.engine.blocks import Grid
from sweep.engine.evaluate import device_count, device_kind
from sweep.engine.executors import Executor, Local
from sweep.engine.trial import try_model
from sweep.models.problem import Problem
from sweep.plan.blocks import Plan, budget_of, make_plan
from sweep.questions.frontier.pieces import Pieces, blocks_of, loaded
from sweep.questions.frontier.scan import Scan
from sweep.questions.frontier.tiles import Tiler, make_tile_plan
from sweep.results.metadata import dataset_attributes, variable_attributes


class ProblemContent:
    """What a sweep to evaluate contains, a :class:`~sweep.questions.frontier.pieces.Content`.

    Parameters
    ----------
    problem : Problem
        The sweep; its statistics are left out.
    """

    def __init__(self, problem: Problem) -> None:
        problem.model.refuse_to_evaluate()
        self._problem = problem = problem.derived(statistics={})
        self.depends: Mapping[str, tuple[str, ...]] = {o.name: problem.axes_of(o.name) for o in problem.model.outputs}
        self.lengths: Mapping[str, int] = problem.spec.shape
        self.fixed: Mapping[str, float] = {name: fixed.value for name, fixed in problem.spec.fixed.items()}
        self.dtype: str = problem.spec.dtype

    def values(
        self, outputs: tuple[str, ...], axes: tuple[str, ...], by: tuple[str, ...], memory: int | None
    ) -> "ProblemValues":
        """Give some outputs over those axes, of which `by` are kept apart and come first in the blocks."""
        problem = _with_outputs(self._problem, outputs)
        if problem.is_own:
            try_model(problem)
        spec = problem.spec
        ordered = (*by, *(dim for dim in axes if dim not in by))
        # An axis that is left out holds still; nothing asked for depends on it.
        still = {dim: Fixed(value=axis.bounds()[0]) for dim, axis in spec.axes.items() if dim not in axes}
        part = problem.derived(
            outputs=outputs, axes={dim: spec.axes[dim] for dim in ordered}, fixed={**spec.fixed, **still}
        )
        budget, sides = budget_of(memory), None
        if part.stages.is_exact and device_count() == 1 and len(ordered) > len(by):
            plan, sides = make_tile_plan(part, len(by), budget)
        else:
            plan = make_plan(
                part.spec.shape,
                part.variables,
                itemsize=np.dtype(spec.dtype).itemsize,
                tables=part.table_dims,
                memory=budget // device_count(),
            )
        return ProblemValues(problem, part, plan, len(by), sides, Local())


@dataclass(frozen=True)
class ProblemValues:
    """Values of a sweep, evaluated: :class:`~sweep.questions.frontier.pieces.Values`.

    Attributes
    ----------
    problem : Problem
        The whole sweep.
    part : Problem
        What is evaluated: the outputs that are asked for, over the axes in the order of the blocks.
    plan : Plan
        Of the blocks.
    apart : int
        How many axes, which come first, are kept apart.
    sides : tuple of int or None
        Of the tiles that are compared on the device; None where the values are brought to the host.
    executor : Executor
        Where blocks are evaluated.
    """

    problem: Problem
    part: Problem
    plan: Plan
    apart: int
    sides: tuple[int, int, int] | None
    executor: Executor

    @property
    def dims(self) -> tuple[str, ...]:
        """The axes, in the order of the sweep."""
        return tuple(dim for dim in self.problem.spec.axes if dim in self.plan.shape)

    @property
    def dtypes(self) -> Mapping[str, np.dtype]:
        """Types of the outputs."""
        return dict.fromkeys(self.part.spec.outputs, np.dtype(self.part.spec.dtype))

    @cached_property
    def dataset_attributes(self) -> Mapping[str, Any]:
        """Attributes of the dataset of the whole sweep."""
        return dataset_attributes(self.problem, device_kind())

    def at(self, name: str, index: np.ndarray) -> np.ndarray:
        """Give the values of an axis at some places, float64."""
        return self.problem.spec.axes[name].at(index)

    def attributes(self, name: str) -> dict[str, Any]:
        """Give ``long_name``, ``units`` and more of an output or axis."""
        return variable_attributes(self.problem, name)

    def pieces(self, scan: Scan) -> Pieces:
        """Yield every block and what a scan takes of it, some that are far apart first."""
        blocks = blocks_of(self.plan)
        if self.sides is not None:
            tiler = Tiler(self.part, self.plan, self.sides, scan)
            for block, piece in self.executor.run(tiler, [blocks]):
                yield block, iter([(block.start[: self.apart], piece)])
            return
        for block, arrays in self.executor.run(Grid(self.part, self.plan, repeated=True), [blocks]):
            yield block, loaded(scan, self, self.apart, block, arrays)


def _with_outputs(problem: Problem, outputs: tuple[str, ...]) -> Problem:
    """Give a problem that has some outputs; one that has more than were asked for may need more parameters."""
    if set(outputs) <= set(problem.spec.outputs):
        return problem
    together = tuple(dict.fromkeys((*problem.spec.outputs, *outputs)))
    return Problem.of(problem.spec.model_copy(update={"outputs": together}), problem.source)
