"""Where the blocks of a run go: into arrays in memory, or into a store."""

from pathlib import Path

import numpy as np

from sweep.plan.blocks import Block, Plan
from sweep.plan.jobs import Job
from sweep.results.shard_writer import Partials, Writer

Partial = dict[str, np.ndarray]  # what part of a tile has been reduced to


class Memory:
    """Where results go that are held in memory.

    Parameters
    ----------
    plan : Plan
        Of the blocks that are written.
    arrays : dict of str to numpy.ndarray
        What they are written into.
    """

    def __init__(self, plan: Plan, arrays: dict[str, np.ndarray]) -> None:
        self._plan, self._arrays = plan, arrays

    def write(self, block: Block, values: dict[str, np.ndarray]) -> list[Block]:
        """Write a block, and return those that have become safe."""
        for name, piece in values.items():
            self._arrays[name][self._plan.region(name, block)] = piece
        return [block]

    def finish(self) -> list[Block]:
        """Wait for all blocks, and return those that have become safe."""
        return []

    def load(self, tile: int) -> tuple[int, Partial]:
        """How many parts of a tile have been reduced, and to what."""
        return 0, {}

    def keep(self, tile: int, parts: int, partial: Partial) -> None:
        """Keep what the first parts of a tile have been reduced to."""


class Disk:
    """Where results go that are stored; the methods are those of :class:`Memory`.

    Parameters
    ----------
    path : Path
        The store.
    job : Job
        What is written.
    """

    def __init__(self, path: Path, job: Job) -> None:
        self._writer, self._partials = Writer(path, job.plan), Partials(path, job.number)
        self._is_reduced = job.reduces is not None

    def write(self, block: Block, values: dict[str, np.ndarray]) -> list[Block]:
        """Hand a block to the writer."""
        return self._landed(self._writer.write(block, values))

    def finish(self) -> list[Block]:
        """Wait for the writer."""
        return self._landed(self._writer.finish())

    def load(self, tile: int) -> tuple[int, Partial]:
        """How many parts of a tile have been reduced, and to what."""
        return self._partials.load(tile)

    def keep(self, tile: int, parts: int, partial: Partial) -> None:
        """Keep what the first parts of a tile have been reduced to."""
        self._partials.keep(tile, parts, partial)

    def _landed(self, blocks: list[Block]) -> list[Block]:
        if self._is_reduced:
            for block in blocks:
                self._partials.drop(block.number)
        return blocks
