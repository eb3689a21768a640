"""What stage 2 of a block is given: coordinates, constants and the tables of stage 1, which are made here."""

import math
import os
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from sweep.models.problem import Problem
from sweep.models.quantity import Graph
from sweep.plan.blocks import BLOCK_BYTES, Block, Plan

MANY_VALUES, ROW_VALUES, FEWEST_ROWS = 2**18, 2**14, 16  # of a table that is made in rows; of some rows; rows of it
RANK = 3  # leading axes are flattened to this rank: XLA can crash on broadcasts of rank 7 and more


class Inputs:
    """What stage 2 is given for one block: coordinates, constants and the tables of stage 1, on one device.

    Parameters
    ----------
    problem : Problem
        What to evaluate.
    plan : Plan
        Over the axes of the spec; every block is padded to its block shape by repeating the last values.
    device : jax.Device
        Where the arrays are put.
    apart : int
        Leading axes of the plan that are kept as they are; those after them are flattened to `RANK` axes.
    """

    def __init__(self, problem: Problem, plan: Plan, device: Any, *, apart: int = 0) -> None:
        self._spec, self._plan, self._apart = problem.spec, plan, apart
        self._device = device if jax.local_device_count() > 1 else None
        stages = problem.stages
        self._tables = stages.tables
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1)
        self._constants = problem.constants
        self._on_device = {name: self._to_device(value) for name, value in self._constants.items()}
        self._starts: dict[str, int] = {}
        self._points: dict[str, np.ndarray] = {}
        self._kept: OrderedDict[tuple[object, ...], Mapping[str, jax.Array]] = OrderedDict()
        self._kept_bytes = 0

    def __call__(self, block: Block) -> dict[str, jax.Array]:
        """Give the arrays of a block by name; each has the rank of the flattened block."""
        self._move_to(block)
        inputs = dict(self._on_device)
        for number in range(len(self._tables)):
            inputs |= self._table(number, block)
        return inputs

    def _move_to(self, block: Block) -> None:
        """Hold the coordinates of a padded block, float64 on the host, each along its own axis."""
        rank = len(self._plan.shape)
        sizes = self._plan.block_shape
        for i, (name, axis) in enumerate(self._spec.axes.items()):
            start, stop = block.start[i], block.stop[i]
            if self._starts.get(name) != start:
                values = np.pad(axis.coordinates(start, stop), (0, sizes[i] - (stop - start)), mode="edge")
                self._points[name] = values.reshape([sizes[i] if j == i else 1 for j in range(rank)])
                self._on_device[name] = self._to_device(self._points[name])
                self._starts[name] = start

    def _table(self, number: int, block: Block) -> Mapping[str, jax.Array]:
        table = self._tables[number]
        starts = zip(self._plan.shape, block.start, strict=True)
        key = (number, *((name, start) for name, start in starts if name in table.needs))
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        points = {name: self._points.get(name, self._constants[name]) for name in table.needs}
        arrays = jax.tree.map(self._to_device, _in_rows(table, points, self._pool))
        self._kept[key] = arrays
        self._kept_bytes += _bytes_of(arrays)
        # Tables are kept while they are small beside a block: blocks that differ in the fleet share their growth.
        most = min(BLOCK_BYTES, self._plan.itemsize * math.prod(self._plan.block_shape))
        while len(self._kept) > len(self._tables) and self._kept_bytes > most:
            self._kept_bytes -= _bytes_of(self._kept.popitem(last=False)[1])
        return arrays

    def _to_device(self, values: np.ndarray) -> jax.Array:
        values = flattened(np.asarray(values), self._plan.block_shape, self._apart).astype(self._spec.dtype)
        return jax.device_put(values if self._device is None else values[None], self._device)


def _in_rows(table: Graph, points: Mapping[str, np.ndarray], pool: ThreadPoolExecutor) -> Any:
    """Evaluate a large table some rows at a time, in cache and on all processors; the bits are those of the whole."""
    shape = np.broadcast_shapes(*(values.shape for values in points.values()))
    axis = next((i for i, n in enumerate(shape) if n >= FEWEST_ROWS), 0)
    if math.prod(shape) < MANY_VALUES or shape[axis] < FEWEST_ROWS:
        return table(**points)
    step = max(2, ROW_VALUES // (math.prod(shape) // shape[axis]))

    def rows(start: int) -> Any:
        cut = (slice(None),) * axis + (slice(start, start + step),)
        spans = {name: values.ndim and values.shape[axis] > 1 for name, values in points.items()}
        return table(**{name: values[cut] if spans[name] else values for name, values in points.items()})

    first = rows(0)  # by itself: what it keeps for the others is made once
    parts = [first, *pool.map(rows, range(step, shape[axis], step))]

    def joined(*arrays: np.ndarray) -> np.ndarray:
        spans = np.ndim(arrays[0]) and arrays[0].shape[axis] == step
        return np.concatenate(arrays, axis) if spans else arrays[0]

    return jax.tree.map(joined, *parts)


def _bytes_of(arrays: Mapping[str, jax.Array]) -> int:
    return sum(array.nbytes for array in jax.tree.leaves(arrays))


def flattened(values: np.ndarray, full: tuple[int, ...], apart: int = 0) -> np.ndarray:
    """Merge axes of an array into one, repeating it along them as needed, until `RANK` are left after those apart."""
    last = values.ndim - RANK + 1
    if last < apart + 2:
        return values
    before, after = values.shape[:apart], values.shape[last:]
    if max(values.shape[apart:last]) == 1:
        return values.reshape(*before, 1, *after)
    merged = full[apart:last]
    return np.broadcast_to(values, before + merged + after).reshape(*before, math.prod(merged), *after)
