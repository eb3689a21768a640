"""Tiles of a sweep reduced where they are evaluated: the best of each objective leaves the device, and no values.

Neighbouring points are evaluated side by side and compared in registers; what is then looked at one by one is evaluated
again. Both give the bits of a run, since the model has tables.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from kernels.statistics import compare
from sweep.engine.evaluate import compiled
from sweep.engine.inputs import RANK, Inputs
from sweep.errors import SpecError
from sweep.models.problem import Problem
from sweep.plan.blocks import FIXED_BYTES, TABLE_BYTES, Block, Plan, boxes, in_words
from sweep.questions.frontier.pieces import points_of, tiled
from sweep.questions.frontier.scan import Scan
from sweep.questions.frontier.tile_minima import boxes_at, minima_of_tiles, outputs_of_tiles

POINTS = 2**24  # of a block
SIDES = (8, 8, 16)  # of a tile along the last three axes
POINT_BYTES = 16  # that a point of a block takes beside the tables, at most


def make_tile_plan(problem: Problem, apart: int, memory: int) -> tuple[Plan, tuple[int, int, int]]:
    """Cut a grid into blocks of whole tiles, of one value of each of the axes that are kept apart, which come first.

    Returns
    -------
    plan : Plan
        Of the blocks.
    sides : tuple of int
        Of a tile; axes before the last two count as one.

    Raises
    ------
    SpecError
        When not even a block of one tile fits the memory.
    """
    spec = problem.spec
    lengths = tuple(spec.shape.values())
    sides = [1] * max(RANK, len(lengths))
    for i, (n, side) in enumerate(zip(lengths[::-1], SIDES[::-1], strict=False), 1):
        sides[-i] = min(side, n) if i <= len(lengths) - apart else 1
    if sides[-3] == 1 and sides[-2] > 1:
        # Rows of the second axis, in whole groups, are then compared as those of the first are elsewhere.
        sides[-2] = min(4 * SIDES[1], lengths[-2])
        sides[-2] += -sides[-2] % min(SIDES[0], sides[-2])
    points = POINTS
    while True:
        block = (*(1,) * apart, *map(min, boxes(lengths[apart:], points)[0], lengths[apart:]))
        block = tuple(-(-b // side) * side for b, side in zip(block, sides[-len(block) :], strict=True))
        along = dict(zip(spec.axes, block, strict=True))
        tables = sum(math.prod(along[dim] for dim in dims) for dims in problem.table_dims)
        needed = FIXED_BYTES + POINT_BYTES * math.prod(block) + TABLE_BYTES * tables
        if needed <= memory:
            break
        if points == 1:
            least = f"{-(-needed // 10**6):,} MB"
            raise SpecError(f"memory: {in_words(memory)} hold not even a tile; give at least {least}")
        points //= 2
    plan = Plan(spec.shape, block, block, problem.variables, np.dtype(spec.dtype).itemsize)
    return plan, (sides[-3], sides[-2], sides[-1])


class Tiler:
    """Reduces the tiles of blocks on one device; the next block is started before the one before is waited for.

    Parameters
    ----------
    problem : Problem
        Of a model with tables; its outputs are those that `scan` asks for.
    plan : Plan
        Of :func:`make_tile_plan`.
    sides : tuple of int
        Of a tile, from there.
    scan : Scan
        What is asked.
    """

    def __init__(self, problem: Problem, plan: Plan, sides: tuple[int, int, int], scan: Scan) -> None:
        self._problem, self.plan, self.sides, self.scan = problem, plan, sides, scan
        self._finish = problem.stages.finish
        whole = (1,) * (RANK - len(plan.shape)) + plan.block_shape
        self.shape = (math.prod(whole[:-2]), *whole[-2:])
        self._groups = self.shape[0] // sides[0]
        self._rows = min(SIDES[0], sides[1]) if self.shape[0] == 1 else 1
        with jax.enable_x64(problem.spec.dtype == "float64"):
            self._inputs = Inputs(problem, plan, jax.local_devices()[0])

    def halved(self) -> None:
        """There is no smaller one: it takes little memory."""

    def release(self, started: Any) -> None:
        """There is nothing to take back: pieces keep what they need."""

    def start(self, blocks: Sequence[Block]) -> Any:
        """Start one block; :meth:`finish` waits for it."""
        (block,) = blocks
        inside = self._inside(block) if self.scan.conditions else None
        outputs = self._problem.spec.outputs
        with jax.enable_x64(self._problem.spec.dtype == "float64"):
            inputs = jax.tree.map(_of_rank, self._inputs(block))
            static = ("finish", "objectives", "conditions", "sides", "rows", "model")
            result = compiled(minima_of_tiles, static, jax.default_backend(), 1)(
                (),
                {"inputs": inputs, "inside": inside, "groups": np.int32(self._groups)},
                finish=self._finish,
                objectives=tuple(o for o in self.scan.objectives if o.name in outputs),
                conditions=tuple(c for c in self.scan.conditions if c.output in outputs),
                sides=self.sides,
                rows=self._rows,
                model=self._problem.model.name,
            )
        return block, inputs, inside, result

    def finish(self, started: Any) -> list["DevicePiece"]:
        """Give the piece of each block that was started."""
        return [DevicePiece(self, *started)]

    def values(self, inputs: Mapping[str, jax.Array], corners: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs at all points of the tiles of a block that begin there, one tile after the other."""
        n, names = len(corners[0]), tuple(self._problem.spec.outputs)
        length = 1
        while length < n:  # few different ones, as each is compiled
            length *= 4
        padded = tuple(np.pad(corner, (0, length - n)).astype(np.int32) for corner in corners)
        static = ("finish", "names", "sides", "model")
        with jax.enable_x64(self._problem.spec.dtype == "float64"):
            arrays = compiled(outputs_of_tiles, static, jax.default_backend(), 1)(
                (),
                {"inputs": inputs, "corners": padded},
                finish=self._finish,
                names=names,
                sides=self.sides,
                model=self._problem.model.name,
            )
        return {name: np.asarray(array)[:n].reshape(-1) for name, array in zip(names, arrays, strict=True)}

    def axis(self, name: str, block: Block) -> np.ndarray:
        """Values of an axis along a padded block."""
        position = list(self.plan.shape).index(name)
        start, stop = block.start[position], block.stop[position]
        points = self._problem.spec.axes[name].coordinates(start, stop)
        return np.pad(points, (0, self.plan.block_shape[position] - (stop - start)), mode="edge")

    def spread(self, name: str, values: np.ndarray) -> np.ndarray:
        """Give something along one axis of a block the rank of the tiles, the axes before the last two being one."""
        axes = list(self.plan.shape)
        position = axes.index(name) - len(axes) + RANK  # among three axes, or before them
        if position > 0 or len(axes) <= RANK:
            return values.reshape([-1 if i == position else 1 for i in range(RANK)])
        lead = self.plan.block_shape[: len(axes) - 2]
        along = values.reshape([-1 if dim == name else 1 for dim in axes[:-2]])
        return np.broadcast_to(along, lead).reshape(-1, 1, 1)

    def _inside(self, block: Block) -> tuple[np.ndarray, np.ndarray]:
        """Where rows, and where cells of each are in the grid and may hold, by the conditions on axes."""
        inside = [np.ones([n if i == j else 1 for j in range(RANK)], bool) for i, n in enumerate(self.shape)]
        for position, name in enumerate(self.plan.shape):
            valid = np.arange(self.plan.block_shape[position]) < block.stop[position] - block.start[position]
            for condition in self.scan.conditions:
                if condition.output == name:
                    valid &= compare(self.axis(name, block), condition.sign, condition.bound)
            i = max(0, position - len(self.plan.shape) + RANK)
            inside[i] = inside[i] & self.spread(name, valid)
        if self._rows > 1:
            return inside[0] & inside[1], inside[2]
        return inside[0], inside[1] & inside[2]


class DevicePiece:
    """A :class:`~sweep.questions.frontier.pieces.Piece` whose values stay on the device."""

    lasting = True

    def __init__(
        self, tiler: Tiler, block: Block, inputs: Mapping[str, jax.Array], inside: Any, result: tuple[Any, Any]
    ) -> None:
        self._tiler, self._block, self._inputs = tiler, block, inputs
        self.sides: tuple[int, ...] = tiler.sides
        self._grid = grid = tuple(n // side for n, side in zip(tiler.shape, tiler.sides, strict=True))
        least, count = result
        least = iter(least)
        scan = tiler.scan
        self.corners = np.empty((math.prod(grid), len(scan.objectives)), scan.dtype)
        for column, (name, maximise) in zip(self.corners.T, scan.objectives, strict=True):
            if name in tiler.plan.shape:
                values = tiler.spread(name, tiler.axis(name, block))
                best = tiled(-values if maximise else values, tiler.sides, np.fmin)
            else:
                best = np.asarray(next(least))
            column.reshape(grid)[...] = best
        self.possible, self.feasible = np.ones(len(self.corners), bool), block.points
        if count is not None:
            counts = np.broadcast_to(np.asarray(count), grid).ravel()
            self.possible, self.feasible = counts > 0, int(counts.sum(dtype=np.int64))
        self.nbytes = (
            self.corners.nbytes + self.possible.nbytes + sum(array.nbytes for array in jax.tree.leaves(inputs))
        )

    def values(self, tiles: np.ndarray) -> dict[str, np.ndarray]:
        """Objectives and conditions at all points of some tiles, one tile after the other."""
        tiler = self._tiler
        corners = [i * side for i, side in zip(np.unravel_index(tiles, self._grid), self.sides, strict=True)]
        values = tiler.values(self._inputs, corners)
        for name in tiler.scan.names.intersection(tiler.plan.shape):
            axis = boxes_at(tiler.spread(name, tiler.axis(name, self._block)), corners, self.sides)
            values[name] = np.broadcast_to(axis, (len(tiles), *self.sides)).reshape(-1)
        return values

    def places(self, tiles: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Places in the grid of some of those points, -1 beyond its end."""
        tiler, block = self._tiler, self._block
        flat = points_of(tiles, points, self._grid, self.sides)
        axes = len(tiler.plan.shape)
        lead = np.unravel_index(flat[0], tiler.plan.block_shape[:-2]) if axes > 2 else ()
        return tiler.scan.places([*lead, *flat[-2:]][-axes:], block.start, block.stop)


def _of_rank(array: jax.Array) -> jax.Array:
    """Give an array of the axes of a block the rank of the tiles; a constant has none."""
    if array.ndim == RANK:
        return array
    return array.reshape((1,) * (RANK - array.ndim) + array.shape) if array.ndim else array
