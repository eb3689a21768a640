"""Evaluate a sweep block by block on the device; the only module that compiles one."""

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cache
from inspect import signature

import jax
import jax.numpy as jnp
import numpy as np

from sweep.model import Model, Stages
from sweep.plan import Block, Plan
from sweep.spec import SpecError, SweepSpec

RANK = 3  # leading axes are flattened to this rank: XLA can crash on broadcasts of rank 7 and more


def device_kind() -> str:
    """Kind of the device on which a sweep is evaluated, such as "cpu" or "NVIDIA H200"."""
    return jax.devices()[0].device_kind


@cache
def _compiled(platform: str) -> Callable[..., tuple[jax.Array, ...]]:
    # XLA halves the registers of a CPU that has 512 bits; whole ones made this stage 1.8 times as fast.
    options = {"xla_cpu_prefer_vector_width": 512} if platform == "cpu" else None
    return jax.jit(
        _stage,
        static_argnames=("finish", "names", "model"),
        donate_argnums=0,
        keep_unused=True,
        compiler_options=options,
    )


def _stage(
    buffers: tuple[jax.Array, ...],
    inputs: Mapping[str, jax.Array],
    *,
    finish: Callable[..., Mapping[str, jax.Array]],
    names: tuple[str, ...],
    model: str,
) -> tuple[jax.Array, ...]:
    outputs = finish(**inputs)
    for name in names:
        if name not in outputs:
            found = ", ".join(map(str, outputs)) or "nothing"
            raise SpecError(f'model "{model}": its function returns no "{name}"; it returns {found}')
    return tuple(
        jnp.broadcast_to(outputs[name], buffer.shape).astype(buffer.dtype)
        for name, buffer in zip(names, buffers, strict=True)
    )


class Evaluator:
    """The compiled evaluation of one plan.

    Every block is padded to one shape, so there is one compilation, and written into the buffers of an earlier block.
    Dispatch is asynchronous: a call returns before its values are there.

    Parameters
    ----------
    model : Model
        What to evaluate.
    spec : SweepSpec
        Resolved against the model.
    plan : Plan
        Made for the spec.
    """

    def __init__(self, model: Model, spec: SweepSpec, plan: Plan) -> None:
        self._spec, self._plan, self._model = spec, plan, model.name
        self._x64 = spec.dtype == "float64"
        stages = model.stages(spec) if model.stages else Stages((), model.function)
        self._tables = [(table, tuple(signature(table).parameters)) for table in stages.tables]
        self._finish = stages.finish
        self._constants = {
            p.name: np.asarray(spec.fixed[p.name].value if p.name in spec.fixed else math.nan) for p in model.parameters
        }
        with jax.enable_x64(self._x64):
            self._inputs = {name: self._to_device(value) for name, value in self._constants.items()}
        self._starts: dict[str, int] = {}
        self._points: dict[str, np.ndarray] = {}
        self._kept: OrderedDict[tuple[object, ...], Mapping[str, jax.Array]] = OrderedDict()
        self._free: list[tuple[jax.Array, ...]] = []

    def __call__(self, block: Block) -> tuple[jax.Array, ...]:
        """Start the evaluation of a block; the values come in the order of the plan's variables."""
        with jax.enable_x64(self._x64):
            self._move_to(block)
            inputs = dict(self._inputs)
            for number in range(len(self._tables)):
                inputs |= self._table(number, block)
            buffers = self._free.pop() if self._free else tuple(map(self._buffer, self._plan.variables))
            names = tuple(self._plan.variables)
            run = _compiled(jax.default_backend())
            return run(buffers, inputs, finish=self._finish, names=names, model=self._model)

    def values(self, variable: str, array: jax.Array, block: Block) -> np.ndarray:
        """Give the values of one variable within the grid, as a view of the device's memory where it is the host's."""
        shape = self._plan.along(variable, self._plan.block_shape)
        flat = np.asarray(array).reshape(self._unflattened(variable))
        # A variable that spans only some of the flattened axes repeats itself along the others.
        held = flat[tuple(slice(None) if d in self._plan.variables[variable] else 0 for d in self._plan.shape)]
        lengths = (b - a for a, b in zip(block.start, block.stop, strict=True))
        return held.reshape(shape)[tuple(map(slice, self._plan.along(variable, tuple(lengths))))]

    def reuse(self, arrays: tuple[jax.Array, ...]) -> None:
        """Take back the buffers of a block once no view of them is left."""
        self._free.append(arrays)

    def _move_to(self, block: Block) -> None:
        """Hold the coordinates of a padded block, float64 on the host, each along its own axis."""
        rank = len(self._plan.shape)
        sizes = self._plan.block_shape
        for i, (name, axis) in enumerate(self._spec.axes.items()):
            start, stop = block.start[i], block.stop[i]
            if self._starts.get(name) != start:
                values = np.pad(axis.coordinates(start, stop), (0, sizes[i] - (stop - start)), mode="edge")
                self._points[name] = values.reshape([sizes[i] if j == i else 1 for j in range(rank)])
                self._inputs[name] = self._to_device(self._points[name])
                self._starts[name] = start

    def _table(self, number: int, block: Block) -> Mapping[str, jax.Array]:
        function, needs = self._tables[number]
        starts = zip(self._plan.shape, block.start, strict=True)
        key = (number, *((name, start) for name, start in starts if name in needs))
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        tables = function(**{name: self._points.get(name, self._constants[name]) for name in needs})
        arrays = {name: self._to_device(values) for name, values in tables.items()}
        self._kept[key] = arrays
        # Tables are kept while they are small beside a block: blocks that differ in the fleet share their growth.
        while len(self._kept) > len(self._tables) and sum(
            a.nbytes for kept in self._kept.values() for a in kept.values()
        ) > self._plan.itemsize * math.prod(self._plan.block_shape):
            self._kept.popitem(last=False)
        return arrays

    def _to_device(self, values: np.ndarray) -> jax.Array:
        return jax.device_put(self._flattened(values).astype(self._spec.dtype))

    def _flattened(self, values: np.ndarray) -> np.ndarray:
        """Merge the leading axes of an array of the plan's rank into one, repeating it along them as needed."""
        lead = values.ndim - RANK + 1
        if lead < 2:
            return values
        if max(values.shape[:lead]) == 1:
            return values.reshape(1, *values.shape[lead:])
        full = self._plan.block_shape[:lead]
        return np.broadcast_to(values, full + values.shape[lead:]).reshape(math.prod(full), *values.shape[lead:])

    def _unflattened(self, variable: str) -> tuple[int, ...]:
        """Shape of a variable's buffer with one axis for each of the plan's."""
        dims, sizes = self._plan.variables[variable], self._plan.block_shape
        lead = max(0, len(sizes) - RANK + 1)
        any_lead = any(d in dims for d in list(self._plan.shape)[:lead])
        spans = [d in dims or (i < lead and any_lead) for i, d in enumerate(self._plan.shape)]
        return tuple(size if span else 1 for size, span in zip(sizes, spans, strict=True))

    def _buffer(self, variable: str) -> jax.Array:
        shape = self._unflattened(variable)
        lead = max(0, len(shape) - RANK + 1)
        if lead >= 2:
            shape = (math.prod(shape[:lead]), *shape[lead:])
        return jnp.zeros(shape, self._spec.dtype)
