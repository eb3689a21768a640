"""Sums over replicates of scrambled Sobol' points: points, values, model and sums in one compiled block.

Each replicate is a sequence of its own, so that what varies between them is the error of their mean. Nothing is kept
but the sums, which can be added to.
"""

import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from kernels.draws.sobol import scrambling, sobol_block
from sweep.models.sampling import seed_of
from sweep.questions.sensitivity.response import Cells, Response, evaluate
from sweep.surroundings import compiler_options

BLOCK, DEVICE_BLOCK = 2**12, 2**16  # points that are taken together, on a CPU and on anything else
CELLS, DEVICE_CELLS = 1, 2**4  # cells that are evaluated together
BITS = 30  # of the sequences
TURN = 2**24  # evaluations between two reports of progress


class Scheme(Protocol):
    """At which points a model is evaluated for each point of a sequence, and which sums are kept; hashable."""

    def columns(self, dimensions: int) -> int:
        """Coordinates of the sequence."""

    def evaluations(self, dimensions: int) -> int:
        """How often the model is evaluated."""

    def terms(self, dimensions: int) -> int:
        """How many sums there are."""

    def prepared(self, response: Response, u: Array) -> Any:
        """Make of points (columns, points) what all cells share."""

    def sums(
        self,
        response: Response,
        prepared: Any,
        cells: Mapping[str, Array],
        fixed: Mapping[str, Array],
        centre: Array,
    ) -> Array:
        """Evaluate the model, minus a centre (outputs, cells); give (terms, outputs, cells)."""


@dataclass(frozen=True)
class Design:
    """How many points there are, and how they are cut.

    Attributes
    ----------
    seed : int
        Of the first replicate.
    replicates : int
        Independent Sobol' sequences.
    points : int
        Of each, a power of two.
    block : int
        Points that are taken together, a power of two.
    """

    seed: int
    replicates: int
    points: int
    block: int


@dataclass(frozen=True)
class Sums:
    """What is kept of the evaluations.

    Attributes
    ----------
    values : numpy.ndarray
        float64 (terms, replicates, outputs, cells).
    centre : numpy.ndarray
        (outputs, cells): what was taken off the evaluations.
    points : int
        Points of each replicate that are in the sums.
    """

    values: np.ndarray
    centre: np.ndarray
    points: int


def block_of(points: int) -> int:
    """Points to take together on this machine, of so many."""
    return min(points, BLOCK if jax.default_backend() == "cpu" else DEVICE_BLOCK)


def nothing(response: Response, grid: Cells, scheme: Scheme, replicates: int) -> Sums:
    """Sums of no points, to be centred at the outputs at the medians of the parameters, or 0 where not finite."""
    centre = evaluate(response, grid, np.full((len(response.names), 1), 0.5))[:, :, 0]
    shape = (scheme.terms(len(response.names)), replicates, len(response.outputs), grid.size)
    return Sums(np.zeros(shape), np.where(np.isfinite(centre), centre, 0.0), 0)


def add(
    response: Response, grid: Cells, scheme: Scheme, design: Design, before: Sums, report: Callable[[int], None]
) -> Sums:
    """Add the points that sums do not have yet, block by block in the order of the sequence.

    So sums that are added to have the bits of those that are made at once, if the blocks are as large.

    Parameters
    ----------
    response, grid, scheme, design
        What is evaluated, where and how.
    before : Sums
        Of the first points of the same design.
    report : callable
        Called with the number of points that have been added, from several threads.
    """
    together = min(grid.size, CELLS if jax.default_backend() == "cpu" else DEVICE_CELLS)
    chunks = -(-grid.size // together)
    # The last chunk is filled up with the last cell.
    shaped = np.minimum(np.arange(chunks * together), grid.size - 1).reshape(chunks, together)
    inputs = {name: values[shaped] for name, values in grid.cells.items()}
    centre = np.moveaxis(before.centre[:, shaped], 1, 0)
    step = max(1, TURN // (scheme.evaluations(len(response.names)) * design.block * grid.size))
    first, last = before.points // design.block, design.points // design.block
    columns, run = scheme.columns(len(response.names)), _compiled(jax.default_backend())
    stopped = threading.Event()

    def of_replicate(number: int) -> np.ndarray:
        sequence = scrambling(seed_of(design.seed, number), columns)
        with jax.enable_x64(True):
            # (terms, outputs, chunks, cells) -> (chunks, terms, outputs, cells)
            sums = jnp.asarray(np.moveaxis(before.values[:, number][..., shaped], 2, 0))
            for start in range(first, last, step):
                if stopped.is_set():
                    break
                stop = min(start + step, last)
                sums = run(
                    sums, *sequence, start, stop, inputs, grid.fixed, centre,
                    response=response, scheme=scheme, block=design.block,
                )  # fmt: skip
                sums.block_until_ready()
                report((stop - start) * design.block)
            return np.moveaxis(np.asarray(sums), 0, 2).reshape(*before.values[:, number].shape[:2], -1)

    try:
        replicates = list(_threads(jax.default_backend()).map(of_replicate, range(design.replicates)))
    except BaseException:
        stopped.set()  # or the other threads would go on to their ends after an interrupt
        raise
    return Sums(np.stack(replicates, axis=1)[..., : grid.size], before.centre, design.points)


@cache
def _threads(platform: str) -> ThreadPoolExecutor:
    """Threads that wait between calls, one for each core of a CPU: to start them takes as long as 1e5 evaluations."""
    return ThreadPoolExecutor((os.cpu_count() or 1) if platform == "cpu" else 1)


@cache
def _compiled(platform: str) -> Callable[..., Array]:
    return jax.jit(
        _blocks,
        static_argnames=("response", "scheme", "block"),
        donate_argnums=0,
        keep_unused=True,
        compiler_options=compiler_options(platform),
    )


def _blocks(
    sums: Array,
    directions: Array,
    shift: Array,
    start: Array,
    stop: Array,
    cells: Mapping[str, Array],
    fixed: Mapping[str, Array],
    centre: Array,
    *,
    response: Response,
    scheme: Scheme,
    block: int,
) -> Array:
    """Add the blocks start … stop - 1 to the sums (chunks, terms, outputs, cells)."""
    # Point i of a block is point i of the first, before its shift, with some digits of all changed. What is the same
    # for a whole loop, or handed from one turn to the next, is computed once and not at every use.
    table = _digits(directions, jnp.zeros_like(shift), 0, block)

    def one(number: Array, carried: tuple[Array, Array]) -> tuple[Array, Array]:
        sums, corner = carried
        points = (table ^ corner).astype(np.float64) * 2.0**-BITS
        prepared = scheme.prepared(response, points)

        def chunk(operands: tuple[Array, Mapping[str, Array], Array]) -> Array:
            sums, cells, centre = operands
            return sums + scheme.sums(response, prepared, cells, fixed, centre)

        return lax.map(chunk, (sums, cells, centre)), _digits(directions, shift, (number + 1) * block, 1)

    return lax.fori_loop(start, stop, one, (sums, _digits(directions, shift, start * block, 1)))[0]


def _digits(directions: Array, shift: Array, start: Array | int, size: int) -> Array:
    """Points (columns, size) of a sequence as whole numbers."""
    return (sobol_block(directions, shift, start, size) * 2.0**BITS).astype(np.uint32)
