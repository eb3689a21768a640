"""Feed running statistics on the devices, step by step: values are reduced where they are made and never kept."""

import functools
import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from kernels import statistics as running
from kernels.compilation import at_steps
from sweep.engine.evaluate import compiled, device_count, on_host, take, together
from sweep.engine.inputs import RANK, Inputs
from sweep.engine.partials import Box, Wanted, assembled, named, wanted
from sweep.models.problem import Problem
from sweep.models.quantity import Graph, Stages
from sweep.plan.blocks import Block, Plan, boxes_of, halve
from sweep.plan.passes import Pass, Unit, tile_boxes
from sweep.results.sinks import Partial

GROUP = 16  # steps evaluated together: their sum is added to the rest at once
LEAST_INNER = 8  # steps of an axis, at least, for which it pays to keep what does not change along it
STATIC = ("early", "late", "wanted", "cells", "group", "rest", "model")


def _accumulate(
    states: Mapping[str, running.State],
    operands: Mapping[str, Any],
    *,
    early: Graph | None,
    late: Graph,
    wanted: tuple[tuple[str, Wanted], ...],
    cells: tuple[int, ...],
    group: int,
    rest: bool,
    model: str,
) -> Mapping[str, running.State]:
    """Feed the steps of one piece to the running statistics: whole groups, and the rest one by one.

    What is evaluated early, if anything, is so once for all steps along the last axis, of which groups are then alone.
    """
    names = tuple(dict.fromkeys(output for _, w in wanted for output in w.outputs))
    done, lengths, one = operands["done"], operands["lengths"], jnp.ones_like(operands["done"])
    outer, inner = (lengths[:-1], lengths[-1:]) if early else ((), lengths)
    steps = math.prod(inner, start=one)
    groups, traced = steps // group, jax.jit(late)  # once, not for each step of a group

    def at(places: Sequence[jax.Array]) -> dict[str, jax.Array]:
        return jax.tree.map(lambda array: _at(array, places), operands["inputs"])

    def along(number: jax.Array, states: dict[str, running.State]) -> dict[str, running.State]:
        """Take the steps at one place of the outer axes."""
        place = _places(number, outer)
        known = early(**at([*place, jnp.zeros_like(number)])) if early else {}
        before = done + number * steps

        def values(step: jax.Array) -> dict[str, jax.Array]:
            outputs = take(traced(**at([*place, *_places(step, inner)]), **known), names, model)
            return {name: jnp.broadcast_to(value, cells) for name, value in zip(names, outputs, strict=True)}

        def add(states: Mapping[str, running.State], first: jax.Array, count: int) -> dict[str, running.State]:
            of = at_steps(values, first, count)
            return {k: w.accumulator.add(states[k], [_fed(w, one) for one in of], before + first) for k, w in wanted}

        states = lax.fori_loop(0, groups, lambda i, states: add(states, i * group, group), states)
        if rest:
            states = lax.fori_loop(groups * group, steps, lambda i, states: add(states, i, 1), states)
        return states

    if not outer:
        return along(jnp.zeros_like(done), dict(states))
    return lax.fori_loop(0, math.prod(outer, start=one), along, dict(states))


def _places(step: jax.Array, lengths: Sequence[jax.Array]) -> list[jax.Array]:
    """Where a step is along some axes, the last one fastest."""
    # Unsigned, so that XLA has no negative index to look for at every cell.
    places: list[jax.Array] = []
    left = step.astype(jnp.uint32)
    for length in reversed(lengths[1:]):
        places.insert(0, lax.rem(left, length.astype(jnp.uint32)))
        left = lax.div(left, length.astype(jnp.uint32))
    return [left, *places] if lengths else []


def _at(array: jax.Array, places: Sequence[jax.Array]) -> jax.Array:
    """What an input is at a step; a constant has no axes."""
    for place in places if array.ndim else ():
        start = (place, *(jnp.zeros_like(place) for _ in array.shape[1:]))
        array = array[0] if array.shape[0] == 1 else lax.dynamic_slice(array, start, (1, *array.shape[1:]))[0]
    return array


def _fed(wanted: Wanted, outputs: Mapping[str, jax.Array]) -> Any:
    if wanted.conditions:
        holds = (running.compare(outputs[c.output], c.sign, c.bound) for c in wanted.conditions)
        return functools.reduce(operator.and_, holds)
    values = tuple(-outputs[name] if wanted.is_negated else outputs[name] for name in wanted.outputs)
    return values if len(values) > 1 else values[0]


class _Turn(NamedTuple):
    """What is stepped through of a unit in one call: a piece of its stepped axes."""

    start: tuple[int, ...]
    stop: tuple[int, ...]
    lengths: tuple[int, ...]  # 0 once all pieces are done, while those of another device are not
    done: int  # steps of the pieces before

    @classmethod
    def of(cls, pieces: Sequence[Box], number: int) -> "_Turn":
        """Take the piece of that number, or nothing of the last one where there are fewer."""
        start, stop = pieces[min(number, len(pieces) - 1)]
        lengths = tuple(b - a for a, b in zip(start, stop, strict=True))
        done = sum(math.prod(b - a for a, b in zip(*piece, strict=True)) for piece in pieces[:number])
        return cls(start, stop, lengths if number < len(pieces) else (0,) * len(start), done)

    @property
    def steps(self) -> int:
        """How many steps it has."""
        return math.prod(self.lengths)


class _Started(NamedTuple):
    """What a :class:`Stepper` has begun: the boxes of each unit, and round by round a box of each and its states."""

    boxes: list[list[Box]]
    rounds: list[tuple[list[tuple[Unit, Box]], Mapping[str, running.State]]]


class Stepper:
    """Feeds running statistics: the cells of a tile side by side, the points that are reduced one after the other.

    Parameters
    ----------
    problem : Problem
        What to evaluate.
    pass_ : Pass
        Of the kind "running".
    box : tuple of int
        Cells that are taken at once, along each axis that is kept.
    """

    def __init__(self, problem: Problem, pass_: Pass, box: tuple[int, ...]) -> None:
        self._problem, self._pass, self._box = problem, pass_, box
        self._wanted = wanted(problem.spec, pass_.names)
        self._part = dict(zip(pass_.over, pass_.part, strict=True))
        self._piece = dict(zip(pass_.over, pass_.piece, strict=True))
        outputs = tuple(dict.fromkeys(o for name in pass_.names for o in problem.spec.statistics[name].uses))
        self._plan_steps(problem.derived(outputs=outputs).stages)
        # Axes that are stepped come first, then the cells, the longest last for the registers.
        sides = dict(zip(self._pass.kept, box, strict=True))
        sides |= {dim: self._part[dim] for dim in self._pass.lanes}
        self._cells = dict(sorted(sides.items(), key=lambda item: item[1]))
        block = tuple(self._piece[dim] for dim in self._stepped) + tuple(self._cells.values())
        order = (*self._stepped, *self._cells)
        spec = problem.spec
        self._sub = problem.derived(axes={dim: spec.axes[dim] for dim in order}, outputs=outputs)
        plan = Plan({dim: self._pass.shape[dim] for dim in order}, block, block, {}, np.dtype(spec.dtype).itemsize)
        with jax.enable_x64(spec.dtype == "float64"):
            self._inputs = [Inputs(self._sub, plan, device, apart=len(self._stepped)) for device in jax.local_devices()]

    def _plan_steps(self, stages: Stages) -> None:
        """Choose the order of the stepped axes: last the one along which most of what is evaluated stays the same."""
        self._stepped = stepped = [dim for dim in self._pass.over if dim not in self._pass.lanes]
        self._early, self._late = None, stages.finish
        self._group = min(GROUP, 1 << (math.prod(self._part[dim] for dim in stepped).bit_length() - 1))
        # Places are told in the order of the spec, so they keep it.
        keeps_order = any(self._problem.spec.statistics[name].kind.is_place for name in self._pass.names)
        last = [dim for dim in (stepped[-1:] if keeps_order else stepped) if self._piece[dim] >= LEAST_INNER]
        same = {dim: stages.finish.only(sorted(stages.without(dim))) for dim in last if stages.without(dim)}
        if same:
            inner = max(same, key=lambda dim: (len(same[dim].quantities), stepped.index(dim)))
            self._stepped = [*(dim for dim in stepped if dim != inner), inner]
            self._early, self._late = same[inner], stages.finish.after(same[inner].outputs)
            n = self._piece[inner]
            self._group = min(range(LEAST_INNER, min(n, 3 * LEAST_INNER) + 1), key=lambda g: (n % g, abs(g - GROUP)))

    def halved(self) -> "Stepper | None":
        """Give one that takes half as many cells at once; None where that is one already."""
        sides = halve(self._box)
        return None if sides is None else Stepper(self._problem, self._pass, sides)

    def release(self, started: _Started) -> None:
        """There is nothing to take back: states go with what was started."""

    def start(self, units: Sequence[Unit]) -> _Started:
        """Start the evaluation of as many units as there are devices, or fewer; :meth:`finish` waits for it."""
        boxes = [tile_boxes(self._pass, unit.tile, self._box) for unit in units]
        rounds = []
        for number in range(max(map(len, boxes))):
            jobs = [(unit, own[min(number, len(own) - 1)]) for unit, own in zip(units, boxes, strict=True)]
            rounds.append((jobs, self._launch([*jobs, *[jobs[-1]] * (device_count() - len(jobs))])))
        return _Started(boxes, rounds)

    def finish(self, started: _Started) -> list[Partial]:
        """Give the partial of each unit."""
        parts: list[list[Partial]] = [[] for _ in started.boxes]
        for number, (jobs, states) in enumerate(started.rounds):
            for i, (unit, box) in enumerate(jobs):
                if number < len(started.boxes[i]):
                    parts[i].append(self._partial(unit, box, states, i))
        return [assembled(own, of) for own, of in zip(started.boxes, parts, strict=True)]

    def _launch(self, jobs: Sequence[tuple[Unit, Box]]) -> Mapping[str, running.State]:
        """Feed a box of a unit on each device, piece after piece of its stepped axes, into fresh statistics."""
        pieces = [self._pieces(unit) for unit, _ in jobs]
        with jax.enable_x64(self._problem.spec.dtype == "float64"):
            states = self._fresh(len(jobs))
            for number in range(max(map(len, pieces))):
                turns = [_Turn.of(own, number) for own in pieces]
                fed = [self._taken_by(*job, turn, i) for i, (job, turn) in enumerate(zip(jobs, turns, strict=True))]
                states = compiled(_accumulate, STATIC, jax.default_backend(), device_count())(
                    states,
                    together(fed),
                    early=self._early,
                    late=self._late,
                    wanted=tuple(self._wanted.items()),
                    cells=self._flat,
                    group=self._group,
                    rest=any((turn.lengths[-1] if self._early else turn.steps) % self._group for turn in turns),
                    model=self._problem.model.name,
                )
        return states

    @property
    def _flat(self) -> tuple[int, ...]:
        """Shape of the cells once their leading axes are merged."""
        shape = tuple(self._cells.values())
        lead = max(1, len(shape) - RANK + 1)
        return (math.prod(shape[:lead]), *shape[lead:])

    def _fresh(self, devices: int) -> Any:
        """States before the first step, on each device."""
        dtype = np.dtype(self._problem.spec.dtype)
        fresh = {key: w.accumulator.start(self._flat, dtype) for key, w in self._wanted.items()}
        return together([self._put(fresh, device) for device in range(devices)])

    def _taken_by(self, unit: Unit, box: Box, turn: _Turn, device: int) -> dict[str, Any]:
        """What a device takes for one turn of a unit."""
        numbers = {"done": np.int32(turn.done), "lengths": tuple(map(np.int32, turn.lengths))}
        inputs = self._inputs[device](self._block(unit, box, turn.start, turn.stop))
        return {"inputs": inputs, **self._put(numbers, device)}

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
        partial: Partial = {}
        for key, w in self._wanted.items():
            arrays = (on_host(array, device, device_count()) for array in states[key])
            boxes = (a.reshape(tuple(self._cells.values()))[within].transpose(order) for a in arrays)
            # NumPy sums in another order where the memory is in another one, which the sides of the box decide.
            rows = [np.ascontiguousarray(a).reshape(-1, side) for a in boxes]
            pieces = dict(zip(w.accumulator.fields, w.accumulator.piece(steps, *rows), strict=True))
            if "place" in pieces:
                pieces["place"] = self._places(unit, ends, pieces["place"])
            partial |= named(key, w, w.accumulator.merge(*pieces.values()))
        return partial

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
