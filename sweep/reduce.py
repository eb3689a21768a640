"""Evaluate the statistics of a pass, unit by unit: values are reduced where they are made and never kept.

What a unit gives is a `Partial`: NumPy arrays by name, one row for each cell of the tile. Partials of the parts of a
tile are merged in their order, and the last of them finished into the variables of the result.
"""

import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from kernels import statistics as running
from sweep.evaluate import (
    RANK,
    Evaluator,
    Inputs,
    compiled,
    device_count,
    on_host,
    stages_of,
    take,
    together,
)
from sweep.grid import boxes_of, halve
from sweep.model import Model
from sweep.passes import ROWS, Pass, Unit, result_dims, result_dtype
from sweep.plan import Block, Plan
from sweep.spec import Condition, SweepSpec

Partial = dict[str, np.ndarray]

MOMENTS = ("count", "mean", "excess", "squares")
GROUP = 16  # steps evaluated together: their sum is added to the rest at once
COMPARE = {
    "<": lambda value, low, high: value < low,
    ">=": lambda value, low, high: value >= low,
    "<=": lambda value, low, high: value <= high,
    ">": lambda value, low, high: value > high,
}


class Wanted(NamedTuple):
    """A running statistic and what it is fed: an output, its negative, or whether conditions hold."""

    running: str
    output: str
    negative: bool = False
    conditions: tuple[Condition, ...] = ()


def _wanted(spec: SweepSpec, names: Sequence[str]) -> dict[str, Wanted]:
    """Name the running statistics that some statistics need; those of an output share what they can."""
    found: dict[str, Wanted] = {}
    for name in names:
        statistic = spec.statistics[name]
        output = statistic.outputs[0]
        kind = statistic.statistic
        if kind == "share":
            found[name] = Wanted("COUNT", output, conditions=statistic.conditions)
            continue
        least = {"min": "LEAST", "max": "LEAST", "argmin": "FIRST_LEAST", "argmax": "FIRST_LEAST"}.get(kind)
        key, new = f"{_source(kind)} {output}", least or ("MEAN" if kind == "mean" else "MOMENTS")
        if key not in found or len(new) > len(found[key].running):  # MOMENTS include MEAN, FIRST_LEAST includes LEAST
            found[key] = Wanted(new, output, negative=kind in ("max", "argmax"))
    return found


def _source(kind: str) -> str:
    """Name the running statistic that gives one of an output."""
    return {"min": "least", "argmin": "least", "max": "most", "argmax": "most"}.get(kind, "mean")


def _accumulate(
    states: Mapping[str, running.State],
    given: Mapping[str, Any],
    *,
    finish: Any,
    wanted: tuple[tuple[str, Wanted], ...],
    cells: tuple[int, ...],
    group: int,
    rest: bool,
    model: str,
) -> dict[str, running.State]:
    """Feed the steps of one piece to the running statistics: whole groups, and the rest one by one."""
    names = tuple(dict.fromkeys(output for _, w in wanted for output in (w.output, *(c.output for c in w.conditions))))
    done, lengths = given["done"], given["lengths"]

    def values(step: jax.Array) -> dict[str, jax.Array]:
        # Unsigned, so that XLA has no negative index to look for at every cell.
        places, left = [], step.astype(jnp.uint32)
        for length in reversed(lengths[1:]):
            places.insert(0, lax.rem(left, length.astype(jnp.uint32)))
            left = lax.div(left, length.astype(jnp.uint32))
        places = [left, *places] if lengths else []
        inputs = {name: _at(array, places) for name, array in given["inputs"].items()}
        found = take(finish(**inputs), names, model)
        return {name: jnp.broadcast_to(value, cells) for name, value in zip(names, found, strict=True)}

    def add(states: Mapping[str, running.State], first: jax.Array, count: int) -> dict[str, running.State]:
        made = [values(first + number) for number in range(count)]
        return {
            key: getattr(running, w.running).add(states[key], [_fed(w, of) for of in made], done + first)
            for key, w in wanted
        }

    steps = math.prod(lengths, start=jnp.ones_like(done))
    groups = steps // group
    states = lax.fori_loop(0, groups, lambda i, states: add(states, i * group, group), dict(states))
    if rest:
        states = lax.fori_loop(groups * group, steps, lambda i, states: add(states, i, 1), states)
    return states


def _at(array: jax.Array, places: Sequence[jax.Array]) -> jax.Array:
    """What an input is at a step; a constant has no axes."""
    for place in places if array.ndim else ():
        start = (place, *(jnp.zeros_like(place) for _ in array.shape[1:]))
        array = array[0] if array.shape[0] == 1 else lax.dynamic_slice(array, start, (1, *array.shape[1:]))[0]
    return array


def _fed(wanted: Wanted, made: Mapping[str, jax.Array]) -> jax.Array:
    if not wanted.conditions:
        return -made[wanted.output] if wanted.negative else made[wanted.output]
    holds = None
    for condition in wanted.conditions:
        value, bound = made[condition.output], np.asarray([condition.bound])
        # Compared as float64 would compare them: the bound may lie between two numbers of the type.
        low, high = (round_(bound, value.dtype)[0] for round_ in (running.least_at, running.most_at))
        found = COMPARE[condition.sign](value, low, high)
        holds = found if holds is None else holds & found
    return holds


def merge(first: Partial, second: Partial) -> Partial:
    """Partial of the union of two parts of a tile, the first of which comes before the second."""
    merged: Partial = {}
    for key in first:
        name, _, field = key.rpartition(".")
        a, b = first, second
        if field == "mean":
            found = running.merge_moments(*(np.stack([x[f"{name}.{f}"] for x in (a, b)], axis=-1) for f in MOMENTS))
            merged |= {f"{name}.{f}": value for f, value in zip(MOMENTS, found, strict=True)}
        elif field == "least":
            pieces = [np.stack([x[f"{name}.{f}"] for x in (a, b)], axis=-1) for f in ("least", "place")]
            merged |= dict(zip((f"{name}.least", f"{name}.place"), running.merge_least(*pieces), strict=True))
        elif field == "total":
            merged[key] = a[key] + b[key]
        elif field == "bins":
            merged |= _merge_rows(name, a, b)
    return merged


def _merge_rows(name: str, a: Partial, b: Partial) -> Partial:
    """Merge sketches, which are kept one after the other with the place where each ends."""
    found = [running.merge_sketches(x, y) for x, y in zip(_sketches(name, a), _sketches(name, b), strict=True)]
    return _joined(name, found)


def _sketches(name: str, partial: Partial) -> list[tuple[np.ndarray, np.ndarray]]:
    ends = partial[f"{name}.ends"][:-1]
    return list(zip(*(np.split(partial[f"{name}.{f}"], ends) for f in ("bins", "counts")), strict=True))


def _joined(name: str, sketches: Sequence[tuple[np.ndarray, np.ndarray]]) -> Partial:
    bins, counts = zip(*sketches, strict=True)
    return {
        f"{name}.bins": np.concatenate(bins),
        f"{name}.counts": np.concatenate(counts),
        f"{name}.ends": np.cumsum([len(b) for b in bins]),
    }


def finished(spec: SweepSpec, found: Pass, partial: Partial, tile: Block) -> dict[str, np.ndarray]:
    """Turn what all parts of a tile gave into the variables of the result, of the shape of the tile."""
    lengths = dict(zip(found.plan.shape, (b - a for a, b in zip(tile.start, tile.stop, strict=True)), strict=True))
    made: dict[str, np.ndarray] = {}
    for name in found.names:
        statistic = spec.statistics[name]
        kind = statistic.statistic
        key = f"{_source(kind)} {statistic.outputs[0]}"
        if kind == "mean":
            made[name] = partial[f"{key}.mean"]
        elif kind in ("variance", "std"):
            variance = partial[f"{key}.squares"] / partial[f"{key}.count"]
            made[name] = np.sqrt(variance) if kind == "std" else variance
        elif kind in ("min", "max"):
            made[name] = partial[f"{key}.least"] * (-1.0 if kind == "max" else 1.0)
        elif kind in ("argmin", "argmax"):
            made |= _coordinates(spec, found, name, partial, key)
        elif kind == "share":
            made[name] = partial[f"{name}.total"] / found.reduced
        elif kind == "histogram":
            made[name] = partial[f"{name}.total"]
        elif found.is_exact:
            made[name] = partial[f"{name}.quantiles"]
        else:
            rows = (running.sketch_quantiles(*s, statistic.probabilities) for s in _sketches(name, partial))
            made[name] = np.stack(list(rows))
    dims = result_dims(spec, found.names, found.kept, found.over)
    return {
        name: values.reshape([lengths[d] for d in dims[name]]).astype(result_dtype(spec, name))
        for name, values in made.items()
    }


def _coordinates(spec: SweepSpec, found: Pass, name: str, partial: Partial, key: str) -> dict[str, np.ndarray]:
    """Give the values of the reduced axes at the places of the extreme, NaN where that is NaN."""
    places = np.unravel_index(partial[f"{key}.place"], found.lengths)
    undefined = np.isnan(partial[f"{key}.least"])
    return {
        f"{name}_{dim}": np.where(undefined, np.nan, spec.axes[dim].at(place))
        for dim, place in zip(found.over, places, strict=True)
    }


Box = tuple[tuple[int, ...], tuple[int, ...]]


def make_reducer(model: Model, spec: SweepSpec, found: Pass) -> "Stepper | Rows":
    """Make what evaluates the units of a pass, whole tiles at first."""
    sides = dict(zip(found.plan.shape, found.plan.block_shape, strict=True))
    box = tuple(sides[dim] for dim in found.kept)
    return (Rows if found.kind == ROWS else Stepper)(model, spec, found, box)


def _boxes(found: Pass, tile: Block, sides: tuple[int, ...]) -> list[Box]:
    """Cut a tile along the axes that are kept."""
    ends = dict(zip(found.plan.shape, zip(tile.start, tile.stop, strict=True), strict=True))
    return boxes_of([ends[dim][0] for dim in found.kept], [ends[dim][1] for dim in found.kept], sides)


class Stepper:
    """Feeds running statistics: the cells of a tile side by side, the points that are reduced one after the other.

    Parameters
    ----------
    model : Model
        What to evaluate.
    spec : SweepSpec
        Resolved against the model.
    found : Pass
        A pass of the kind "running".
    box : tuple of int
        Cells that are taken at once, along each axis that is kept.
    """

    def __init__(self, model: Model, spec: SweepSpec, found: Pass, box: tuple[int, ...]) -> None:
        self._model, self._spec, self._pass, self._box = model, spec, found, box
        self._wanted = _wanted(spec, found.names)
        self._part = dict(zip(found.over, found.part, strict=True))
        self._piece = dict(zip(found.over, found.piece, strict=True))
        self._stepped = [dim for dim in found.over if dim not in found.lanes]
        self._group = min(GROUP, 1 << (math.prod(self._part[d] for d in self._stepped).bit_length() - 1))
        # Axes that are stepped come first, then the cells, the longest last for the registers.
        sides = dict(zip(self._pass.kept, box, strict=True))
        sides |= {dim: self._part[dim] for dim in self._pass.lanes}
        self._cells = dict(sorted(sides.items(), key=lambda item: item[1]))
        block = tuple(self._piece[dim] for dim in self._stepped) + tuple(self._cells.values())
        order = (*self._stepped, *self._cells)
        outputs = tuple(dict.fromkeys(o for name in self._pass.names for o in self._spec.statistics[name].outputs))
        axes = {dim: self._spec.axes[dim] for dim in order}
        self._sub = self._spec.model_copy(update={"axes": axes, "outputs": outputs})
        plan = Plan(
            {dim: self._pass.shape[dim] for dim in order}, block, block, {}, np.dtype(self._spec.dtype).itemsize
        )
        with jax.enable_x64(self._spec.dtype == "float64"):
            self._inputs = [
                Inputs(self._model, self._sub, plan, device, apart=len(self._stepped)) for device in jax.local_devices()
            ]

    def halved(self) -> "Stepper | None":
        """Give one that takes half as many cells at once; None where that is one already."""
        sides = halve(self._box)
        return None if sides is None else Stepper(self._model, self._spec, self._pass, sides)

    def release(self, started: Any) -> None:
        """Nothing is held of what was finished."""

    def start(self, units: Sequence[Unit]) -> Any:
        """Start the evaluation of as many units as there are devices, or fewer; :meth:`finish` waits for it."""
        boxes = [_boxes(self._pass, unit.tile, self._box) for unit in units]
        rounds = []
        for number in range(max(map(len, boxes))):
            jobs = [(unit, box[min(number, len(box) - 1)]) for unit, box in zip(units, boxes, strict=True)]
            rounds.append((jobs, self._launch([*jobs, *[jobs[-1]] * (device_count() - len(jobs))])))
        return units, boxes, rounds

    def finish(self, started: Any) -> list[Partial]:
        """Give the partial of each unit."""
        units, boxes, rounds = started
        found: list[list[Partial]] = [[] for _ in units]
        for number, (jobs, states) in enumerate(rounds):
            for i, (unit, box) in enumerate(jobs):
                if number < len(boxes[i]):
                    found[i].append(self._partial(unit, box, states, i))
        return [_assembled(u, b, f) for u, b, f in zip(units, boxes, found, strict=True)]

    def _launch(self, jobs: Sequence[tuple[Unit, Box]]) -> Mapping[str, running.State]:
        pieces = [self._pieces(unit) for unit, _ in jobs]
        shape = tuple(self._cells.values())
        lead = max(1, len(shape) - RANK + 1)
        cells = (math.prod(shape[:lead]), *shape[lead:])
        with jax.enable_x64(self._spec.dtype == "float64"):
            fresh = {
                key: getattr(running, w.running).start(cells, np.dtype(self._spec.dtype))
                for key, w in self._wanted.items()
            }
            states = together([self._put(fresh, number) for number in range(len(jobs))])
            for number in range(max(map(len, pieces))):
                given, steps = [], []
                for device, ((unit, box), own) in enumerate(zip(jobs, pieces, strict=True)):
                    start, stop = own[min(number, len(own) - 1)]
                    lengths = (
                        [b - a for a, b in zip(start, stop, strict=True)] if number < len(own) else [0] * len(start)
                    )
                    done = sum(math.prod(b - a for a, b in zip(*piece, strict=True)) for piece in own[:number])
                    steps.append(math.prod(lengths))
                    numbers = {"done": np.int32(done), "lengths": tuple(map(np.int32, lengths))}
                    block = self._block(unit, box, start, stop)
                    given.append({"inputs": self._inputs[device](block), **self._put(numbers, device)})
                states = compiled(_accumulate, STATIC, jax.default_backend(), device_count())(
                    states,
                    together(given),
                    finish=stages_of(self._model, self._sub).finish,
                    wanted=tuple(self._wanted.items()),
                    cells=cells,
                    group=self._group,
                    rest=any(n % self._group for n in steps),
                    model=self._model.name,
                )
        return states

    def _put(self, tree: Any, device: int) -> Any:
        if device_count() == 1:
            return jax.tree.map(jnp.asarray, tree)
        return jax.tree.map(lambda x: jax.device_put(np.asarray(x)[None], jax.local_devices()[device]), tree)

    def _pieces(self, unit: Unit) -> list[Box]:
        """Cut the stepped axes of a unit; steps follow each other in the order of the spec, the last axis fastest."""
        ends = dict(zip(self._pass.over, zip(unit.start, unit.stop, strict=True), strict=True))
        sides = tuple(self._piece[dim] for dim in self._stepped)
        return boxes_of([ends[dim][0] for dim in self._stepped], [ends[dim][1] for dim in self._stepped], sides)

    def _ends(self, unit: Unit, box: Box) -> dict[str, tuple[int, int]]:
        """First and one past the last index along each axis."""
        ends = dict(zip(self._pass.over, zip(unit.start, unit.stop, strict=True), strict=True))
        return ends | dict(zip(self._pass.kept, zip(*box, strict=True), strict=True))

    def _block(self, unit: Unit, box: Box, start: tuple[int, ...], stop: tuple[int, ...]) -> Block:
        ends = self._ends(unit, box)
        cells = [ends[dim] for dim in self._cells]
        return Block(0, (), (*start, *(a for a, _ in cells)), (*stop, *(b for _, b in cells)))

    def _partial(self, unit: Unit, box: Box, states: Mapping[str, running.State], device: int) -> Partial:
        ends = self._ends(unit, box)
        steps = math.prod(ends[dim][1] - ends[dim][0] for dim in self._stepped)
        order = [list(self._cells).index(dim) for dim in (*self._pass.kept, *self._pass.lanes)]
        within = tuple(slice(0, ends[dim][1] - ends[dim][0]) for dim in self._cells)
        side = math.prod(ends[dim][1] - ends[dim][0] for dim in self._pass.lanes)
        made: Partial = {}
        for key, wanted in self._wanted.items():
            arrays = (on_host(array, device, device_count()) for array in states[key])
            arrays = (a.reshape(tuple(self._cells.values()))[within].transpose(order) for a in arrays)
            # NumPy sums in another order where the memory is in another one, which the sides of the box decide.
            arrays = [np.ascontiguousarray(a).reshape(-1, side) for a in arrays]
            if wanted.running == "COUNT":
                made[f"{key}.total"] = arrays[0].sum(axis=1, dtype=np.int64)
            elif wanted.running in ("MEAN", "MOMENTS"):
                mean, excess, *squares = (a.astype(np.float64) for a in arrays)
                squares = squares[0] - squares[1] if squares else np.zeros_like(mean)
                found = running.merge_moments(np.full((1, side), float(steps)), mean, excess, squares)
                made |= {f"{key}.{f}": value for f, value in zip(MOMENTS, found, strict=True)}
            else:
                places = self._places(unit, ends, arrays[1] if len(arrays) > 1 else np.zeros(arrays[0].shape, np.int64))
                found = running.merge_least(arrays[0].astype(np.float64), places)
                made |= dict(zip((f"{key}.least", f"{key}.place"), found, strict=True))
        return made

    def _places(self, unit: Unit, ends: Mapping[str, tuple[int, int]], steps: np.ndarray) -> np.ndarray:
        """Where among the reduced points each lane was at a step, the last axis fastest."""
        lengths = [ends[dim][1] - ends[dim][0] for dim in self._stepped]
        index = (
            dict(zip(self._stepped, np.unravel_index(steps.astype(np.int64), lengths), strict=True)) if lengths else {}
        )
        sides = [ends[dim][1] - ends[dim][0] for dim in self._pass.lanes]
        lanes = np.unravel_index(np.arange(math.prod(sides)), sides) if sides else ()
        index |= {dim: lane[None, :] for dim, lane in zip(self._pass.lanes, lanes, strict=True)}
        place = np.zeros(steps.shape, np.int64)
        for dim, first in zip(self._pass.over, unit.start, strict=True):
            place = place * self._pass.shape[dim] + index[dim] + first
        return place


STATIC = ("finish", "wanted", "cells", "group", "rest", "model")


def _assembled(unit: Unit, boxes: Sequence[Box], partials: Sequence[Partial]) -> Partial:
    """Put the partials of boxes together, rows in the order of the cells of the tile."""
    if len(boxes) == 1:
        return partials[0]
    corner = boxes[0][0]
    lengths = tuple(b - a for a, b in zip(corner, boxes[-1][1], strict=True))
    cells = np.arange(math.prod(lengths)).reshape(lengths)
    rows = [cells[tuple(slice(a - c, b - c) for a, b, c in zip(*box, corner, strict=True))].ravel() for box in boxes]
    order = np.argsort(np.concatenate(rows))
    made: Partial = {}
    for key in partials[0]:
        name, _, field = key.rpartition(".")
        if field == "bins":
            sketches = [s for partial in partials for s in _sketches(name, partial)]
            made |= _joined(name, [sketches[i] for i in order])
        elif field not in ("counts", "ends"):
            made[key] = np.concatenate([partial[key] for partial in partials])[order]
    return made


class Rows:
    """Looks at all values of a cell in a row: quantiles and histograms, by selection and sorting on the host.

    Parameters
    ----------
    model, spec, found, box
        As for :class:`Stepper`; a pass of the kind "rows".
    """

    def __init__(self, model: Model, spec: SweepSpec, found: Pass, box: tuple[int, ...]) -> None:
        self._model, self._spec, self._pass, self._box = model, spec, found, box
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1)
        order = (*found.kept, *found.over)
        block = (*box, *found.piece)
        outputs = tuple(dict.fromkeys(self._spec.statistics[name].output for name in self._pass.names))
        axes = {dim: self._spec.axes[dim] for dim in order}
        self._sub = self._spec.model_copy(update={"axes": axes, "outputs": outputs})
        shape = {dim: self._pass.shape[dim] for dim in order}
        itemsize = np.dtype(self._spec.dtype).itemsize
        self._plan = Plan(shape, block, block, dict.fromkeys(outputs, order), itemsize)
        self._evaluator = Evaluator(self._model, self._sub, self._plan)

    def halved(self) -> "Rows | None":
        """Give one that takes half as many cells at once; None where that is one already."""
        sides = halve(self._box)
        return None if sides is None else Rows(self._model, self._spec, self._pass, sides)

    def release(self, started: Any) -> None:
        """Nothing is held of what was finished."""

    def start(self, units: Sequence[Unit]) -> Any:
        """Start the evaluation of the first pieces of as many units as there are devices, or fewer."""
        jobs = []
        for unit in units:
            pieces = boxes_of(unit.start, unit.stop, self._pass.piece)
            jobs.append([(box, piece) for box in _boxes(self._pass, unit.tile, self._box) for piece in pieces])
        return units, jobs, self._launch(jobs, 0)

    def finish(self, started: Any) -> list[Partial]:
        """Give the partial of each unit."""
        units, jobs, arrays = started
        found: list[dict[Box, Partial]] = [{} for _ in units]
        for number in range(max(map(len, jobs))):
            ahead = self._launch(jobs, number + 1) if number + 1 < max(map(len, jobs)) else None
            for i, own in enumerate(jobs):
                if number < len(own):
                    box, piece = own[number]
                    made = self._look(box, piece, arrays, i)
                    found[i][box] = merge(found[i][box], made) if box in found[i] else made
            self._evaluator.reuse(arrays)
            arrays = ahead
        return [_assembled(u, list(f), list(f.values())) for u, f in zip(units, found, strict=True)]

    def _launch(self, jobs: Sequence[Sequence[tuple[Box, Box]]], number: int) -> tuple[jax.Array, ...]:
        return self._evaluator([self._block(*own[min(number, len(own) - 1)]) for own in jobs])

    def _block(self, box: Box, piece: Box) -> Block:
        return Block(0, (), *((*a, *b) for a, b in zip(box, piece, strict=True)))

    def _look(self, box: Box, piece: Box, arrays: tuple[jax.Array, ...], device: int) -> Partial:
        """Reduce the values of one piece; each thread takes some of the cells."""
        cells = math.prod(b - a for a, b in zip(*box, strict=True))
        values = {
            output: self._evaluator.values(output, array, self._block(box, piece), device).reshape(cells, -1)
            for output, array in zip(self._plan.variables, arrays, strict=True)
        }
        spans = np.array_split(np.arange(cells), min(cells, 4 * (os.cpu_count() or 1)))
        made = list(self._pool.map(lambda span: self._reduce(values, slice(span[0], span[-1] + 1)), spans))
        joined: Partial = {}
        for name in self._pass.names:
            if f"{name}.sketches" in made[0]:
                joined |= _joined(name, [s for some in made for s in some[f"{name}.sketches"]])
        keys = [key for key in made[0] if not key.endswith(".sketches")]
        return joined | {key: np.concatenate([some[key] for some in made]) for key in keys}

    def _reduce(self, values: Mapping[str, np.ndarray], rows: slice) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name in self._pass.names:
            statistic = self._spec.statistics[name]
            held = values[statistic.output][rows]
            if statistic.edges is not None:
                made[f"{name}.total"] = running.row_counts(held.copy(), statistic.edges.coordinates())
            elif self._pass.is_exact:
                made[f"{name}.quantiles"] = running.row_quantiles(held.copy(), statistic.probabilities)
            else:
                made[f"{name}.sketches"] = [running.sketch(row) for row in held]
        return made
