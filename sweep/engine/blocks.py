"""Evaluate blocks of a full grid, whole or, once a device has had no memory for that, in pieces."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import jax
import numpy as np

from sweep.engine.evaluate import Evaluator
from sweep.models.problem import Problem
from sweep.plan.blocks import Block, Plan, boxes_of, halve

Started = tuple[Sequence[Block], tuple[jax.Array, ...] | None]


@dataclass
class Grid:
    """Evaluates the blocks of a plan.

    Attributes
    ----------
    problem : Problem
        What to evaluate.
    plan : Plan
        Made for the spec.
    piece : tuple of int
        Sides of the pieces that are evaluated at once; those of a block at first.
    repeated : bool
        Whether a block gives the variables too that an earlier one has given and that do not change between the two.
    """

    problem: Problem
    plan: Plan
    piece: tuple[int, ...] = ()
    repeated: bool = False
    _evaluator: Evaluator = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Make the evaluator of the pieces."""
        self.piece = self.piece or self.plan.block_shape
        self._evaluator = Evaluator(self.problem, replace(self.plan, block_shape=self.piece))

    def halved(self) -> "Grid | None":
        """Give a grid whose pieces are half as large; None where they are single points."""
        sides = halve(self.piece)
        return None if sides is None else replace(self, piece=sides)

    def start(self, blocks: Sequence[Block]) -> Started:
        """Start the evaluation of as many blocks as there are devices, or fewer; pieces wait for :meth:`finish`."""
        return blocks, self._evaluator(blocks) if self.piece == self.plan.block_shape else None

    def finish(self, started: Started) -> list[dict[str, np.ndarray]]:
        """Wait for what was started; values of the variables of each block, perhaps views of buffers."""
        blocks, arrays = started
        if arrays is None:
            return [self._in_pieces(block) for block in blocks]
        return [self._values(block, block, arrays, number) for number, block in enumerate(blocks)]

    def release(self, started: Started) -> None:
        """Take back the buffers of what was finished, of which no view is left."""
        if started[1] is not None:
            self._evaluator.reuse(started[1])

    def _values(
        self, owner: Block, block: Block, arrays: tuple[jax.Array, ...], number: int = 0
    ) -> dict[str, np.ndarray]:
        names = self.plan.variables if self.repeated else self.plan.owned(owner)
        return {
            name: self._evaluator.values(name, array, block, number)
            for name, array in zip(self.plan.variables, arrays, strict=True)
            if name in names
        }

    def _in_pieces(self, block: Block) -> dict[str, np.ndarray]:
        values: dict[str, np.ndarray] = {}
        for start, stop in boxes_of(block.start, block.stop, self.piece):
            piece = Block(0, (), start, stop)
            arrays = self._evaluator([piece])
            for name, part in self._values(block, piece, arrays).items():
                whole = self.plan.region(name, block)
                if name not in values:
                    values[name] = np.empty([s.stop - s.start for s in whole], part.dtype)
                place = zip(self.plan.region(name, piece), whole, strict=True)
                values[name][tuple(slice(p.start - w.start, p.stop - w.start) for p, w in place)] = part
            self._evaluator.reuse(arrays)
        return values
