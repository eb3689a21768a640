"""What a sweep asks for, as jobs: blocks of all values, or tiles of each pass of statistics. No arrays, no files."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sweep.models.problem import Problem
from sweep.plan.blocks import Block, Plan, budget_of, make_plan
from sweep.plan.passes import Pass, make_passes


@dataclass(frozen=True)
class Job:
    """Blocks of results, of one kind.

    Attributes
    ----------
    number : int
        Position among the jobs of a sweep.
    plan : Plan
        Of the results.
    reduces : Pass or None
        The pass that makes them; None where they are the values themselves.
    """

    number: int
    plan: Plan
    reduces: Pass | None = None

    @property
    def points(self) -> int:
        """Points that are evaluated."""
        return self.plan.points if self.reduces is None else self.reduces.points

    def points_of(self, block: Block) -> int:
        """Points that are evaluated for one block."""
        return block.points if self.reduces is None else self.reduces.cells(block) * self.reduces.reduced


def make_jobs(
    problem: Problem,
    memory: int | None,
    *,
    reserved: int = 0,
    devices: int = 1,
    plans: Sequence[Plan] | None = None,
) -> list[Job]:
    """Cut a sweep into blocks of results: one job for all values, or one for each pass of statistics.

    Parameters
    ----------
    problem : Problem
        What to evaluate.
    memory : int, optional
        Budget in bytes; :func:`~sweep.plan.blocks.default_memory` if not given.
    reserved : int
        Bytes of the budget which are spoken for, such as the result in memory.
    devices : int
        How many share the budget, each of which works on a block of its own.
    plans : sequence of Plan, optional
        Those of a store, to go on with it.
    """
    budget = (budget_of(memory) - reserved) // devices
    if problem.spec.statistics:
        passes: Sequence[Pass] = make_passes(problem, budget)
        if plans is not None:
            passes = [replace(pass_, plan=plan) for pass_, plan in zip(passes, plans, strict=True)]
        return [Job(number, pass_.plan, pass_) for number, pass_ in enumerate(passes)]
    if plans is None:
        plans = [
            make_plan(
                problem.spec.shape,
                problem.variables,
                itemsize=np.dtype(problem.spec.dtype).itemsize,
                tables=problem.table_dims,
                memory=budget + reserved,
                reserved=reserved,
            )
        ]
    return [Job(0, plans[0])]
