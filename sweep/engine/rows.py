"""Look at all values of a cell in a row, on the host: quantiles by selection or counting, histograms by sorting."""

import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np

from kernels import statistics as running
from sweep.engine.evaluate import Evaluator
from sweep.engine.partials import Box, assembled, cells_of, is_narrowed, joined, merge, sought_in, sought_of
from sweep.models.problem import Problem
from sweep.plan.blocks import Block, Plan, boxes_of, halve
from sweep.plan.passes import ROWS, Pass, Unit, tile_boxes
from sweep.results.sinks import Partial


class _Started(NamedTuple):
    """What :class:`Rows` has begun: units, the pieces of the boxes of each, and the values of the first of these."""

    units: Sequence[Unit]
    jobs: list[list[tuple[Box, Box]]]
    arrays: tuple[jax.Array, ...]


class Rows:
    """Looks at all values of a cell in a row: quantiles and histograms, by selection, counting and sorting on the host.

    Parameters
    ----------
    problem, pass_, box
        As for :class:`sweep.engine.running.Stepper`; a pass of the kind "rows".
    """

    def __init__(self, problem: Problem, pass_: Pass, box: tuple[int, ...]) -> None:
        self._problem, self._pass, self._box = problem, pass_, box
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1)
        order = (*pass_.kept, *pass_.over)
        block = (*box, *pass_.piece)
        outputs = tuple(dict.fromkeys(self._problem.spec.statistics[name].uses[0] for name in self._pass.names))
        axes = {dim: self._problem.spec.axes[dim] for dim in order}
        self._sub = self._problem.derived(axes=axes, outputs=outputs)
        shape = {dim: self._pass.shape[dim] for dim in order}
        itemsize = np.dtype(self._problem.spec.dtype).itemsize
        self._plan = Plan(shape, block, block, dict.fromkeys(outputs, order), itemsize)
        self._evaluator = Evaluator(self._sub, self._plan)

    def halved(self) -> "Rows | None":
        """Give one that takes half as many cells at once; None where that is one already."""
        sides = halve(self._box)
        return None if sides is None else Rows(self._problem, self._pass, sides)

    def release(self, started: _Started) -> None:
        """There is nothing to take back: :meth:`finish` has reused all arrays."""

    def start(self, units: Sequence[Unit]) -> _Started:
        """Start the evaluation of the first pieces of as many units as there are devices, or fewer."""
        jobs = []
        for unit in units:
            pieces = boxes_of(unit.start, unit.stop, self._pass.piece)
            jobs.append([(box, piece) for box in tile_boxes(self._pass, unit.tile, self._box) for piece in pieces])
        return _Started(units, jobs, self._launch(jobs, 0))

    def finish(self, started: _Started) -> list[Partial]:
        """Give the partial of each unit."""
        units, jobs, arrays = started
        parts: list[dict[Box, Partial]] = [{} for _ in units]
        sought = [self._sought(unit) for unit in units]
        rounds = max(map(len, jobs))
        for number in range(rounds):
            ahead = self._launch(jobs, number + 1) if number + 1 < rounds else arrays
            for i, own in enumerate(jobs):
                if number < len(own):
                    box, piece = own[number]
                    part = self._look(box, piece, arrays, i, sought[i][box])
                    if box in parts[i]:
                        part = merge(self._problem.spec, self._pass, parts[i][box], part)
                    parts[i][box] = part
            self._evaluator.reuse(arrays)
            arrays = ahead
        return [assembled(list(of_unit), list(of_unit.values())) for of_unit in parts]

    def _sought(self, unit: Unit) -> dict[Box, Partial]:
        """What earlier looks at the tile of a unit told of the cells of each box."""
        boxes = tile_boxes(self._pass, unit.tile, self._box)
        return {box: sought_in(unit.sought, rows) for box, rows in zip(boxes, cells_of(boxes), strict=True)}

    def _launch(self, jobs: Sequence[Sequence[tuple[Box, Box]]], number: int) -> tuple[jax.Array, ...]:
        return self._evaluator([self._block(*own[min(number, len(own) - 1)]) for own in jobs])

    def _block(self, box: Box, piece: Box) -> Block:
        return Block(0, (), *((*a, *b) for a, b in zip(box, piece, strict=True)))

    def _look(
        self, box: Box, piece: Box, arrays: tuple[jax.Array, ...], device: int, sought: Mapping[str, np.ndarray]
    ) -> Partial:
        """Reduce the values of one piece; each thread takes some of the cells."""
        cells = math.prod(b - a for a, b in zip(*box, strict=True))
        values = {
            output: self._evaluator.values(output, array, self._block(box, piece), device).reshape(cells, -1)
            for output, array in zip(self._plan.variables, arrays, strict=True)
        }
        spans = np.array_split(np.arange(cells), min(cells, 4 * (os.cpu_count() or 1)))
        parts = list(self._pool.map(lambda span: self._reduce(values, sought, span), spans))
        partial: Partial = {}
        for name in self._pass.names:
            if f"{name}.sketches" in parts[0]:
                partial |= joined(name, [s for part in parts for s in part[f"{name}.sketches"]])
        keys = [key for key in parts[0] if not key.endswith(".sketches")]
        return partial | {key: np.concatenate([part[key] for part in parts]) for key in keys}

    def _reduce(
        self, values: Mapping[str, np.ndarray], sought: Mapping[str, np.ndarray], span: np.ndarray
    ) -> dict[str, Any]:
        part: dict[str, Any] = {}
        for name in self._pass.names:
            statistic = self._problem.spec.statistics[name]
            rows = values[statistic.uses[0]][span[0] : span[-1] + 1]
            if is_narrowed(self._problem.spec, self._pass, name):
                within = sought_of(name, sought_in(sought, span), len(span))
                part[f"{name}.sketches"] = [running.sketch(*one) for one in zip(rows, within, strict=True)]
            elif not sought and statistic.kind.rows is not None:  # or they have been looked at already
                look = getattr(running, statistic.kind.keeps)
                part[f"{name}.{ROWS}"] = look(rows.copy(), statistic.kind.rows(statistic))
        return part
