"""How far a run is, counted as its results become safe."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sweep.plan.blocks import Block, Plan


def unreported(*progress: object) -> None:
    """Stand in for what reports a progress that nobody wants to know."""


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes
    ----------
    blocks, total_blocks : int
        Blocks that are done, earlier runs included, and all blocks; of statistics, tiles of the result.
    points, total_points : int
        The same in points of the grid, combinations of the values of all axes. A sweep of statistics may pass over
        them more than once; then they count as done in the share in which all passes are.
    new_points, new_bytes : int
        Points and bytes of values made by this run.
    seconds : float
        Time since this run began.
    """

    blocks: int
    total_blocks: int
    points: int
    total_points: int
    new_points: int
    new_bytes: int
    seconds: float


@dataclass
class Tally:
    """Counts what is done; the fields are those of :class:`Progress`, with what earlier runs did apart.

    `total`, `before` and `points` are points evaluated, once for each pass.
    """

    began: float
    total_blocks: int
    grid: int
    total: int
    blocks: int
    before: int
    points: int = 0
    nbytes: int = 0

    def now(self) -> Progress:
        """Give the state of the run."""
        done, seconds = self.before + self.points, time.perf_counter() - self.began
        # Rounded so that all is done only when it is, and something is new whenever it is.
        points, new = self.grid * done // self.total, -(-self.grid * self.points // self.total)
        return Progress(self.blocks, self.total_blocks, points, self.grid, new, self.nbytes, seconds)

    def land(self, plan: Plan, blocks: Sequence[Block]) -> Iterator[Progress]:
        """Count blocks that are safe."""
        for block in blocks:
            self.blocks += 1
            for name in plan.owned(block):
                self.nbytes += plan.itemsize * math.prod(s.stop - s.start for s in plan.region(name, block))
            yield self.now()
