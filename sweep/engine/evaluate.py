"""Evaluate a sweep block by block on the devices of this machine; the only module that compiles its evaluation."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.stages import Wrapped

from sweep.engine.inputs import RANK, Inputs
from sweep.errors import SpecError
from sweep.models.problem import Problem
from sweep.plan.blocks import Block, Plan
from sweep.surroundings import compiler_options


def device_kind() -> str:
    """Kind of the device on which a sweep is evaluated, such as "cpu" or "NVIDIA H200"."""
    return jax.devices()[0].device_kind


def is_out_of_memory(error: Exception) -> bool:
    """Whether a device had no memory for what it was given."""
    return isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)


def device_count() -> int:
    """How many devices of this machine share the blocks of a sweep."""
    return jax.local_device_count()


@cache
def compiled(function: Callable[..., Any], static: tuple[str, ...], platform: str, devices: int) -> Wrapped:
    """Compile ``function(buffers, inputs, **static)`` for a block on each device; the buffers are donated.

    With several devices every array has a first axis along which each device holds one element, its own: the program is
    compiled once, and each device runs what one alone would run.
    """

    def per_device(buffers: Any, inputs: Any, **kept: Any) -> Any:
        def one(*arrays: Any) -> Any:
            return jax.tree.map(lambda x: x[None], function(*jax.tree.map(lambda x: x[0], arrays), **kept))

        along = PartitionSpec("device")
        apart = jax.shard_map(one, mesh=_mesh(devices), in_specs=along, out_specs=along, check_vma=False)
        return apart(buffers, inputs)

    return jax.jit(
        function if devices == 1 else per_device,
        static_argnames=static,
        donate_argnums=0,
        keep_unused=True,
        compiler_options=compiler_options(platform),
    )


@cache
def _mesh(devices: int) -> Mesh:
    return Mesh(np.asarray(jax.local_devices()[:devices]), ("device",))


def together(parts: Sequence[Any]) -> Any:
    """Join what each device is to be given, trees of arrays on that device, for a function of :func:`compiled`."""
    if len(parts) == 1:
        return parts[0]
    along = NamedSharding(_mesh(len(parts)), PartitionSpec("device"))

    def join(*arrays: jax.Array) -> jax.Array:
        return jax.make_array_from_single_device_arrays((len(arrays), *arrays[0].shape[1:]), along, list(arrays))

    return jax.tree.map(join, *parts)


def zeros(shape: tuple[int, ...], dtype: Any, devices: int) -> jax.Array:
    """An array of zeros on each device, for a function of :func:`compiled`."""
    if devices == 1:
        return jnp.zeros(shape, dtype)
    along = NamedSharding(_mesh(devices), PartitionSpec("device"))
    return jnp.zeros((devices, *shape), dtype, device=along)


def on_host(array: jax.Array, number: int, devices: int) -> np.ndarray:
    """What the device of that number made, as a view of its memory where that is the host's."""
    if devices == 1:
        return np.asarray(array)
    return np.asarray(array.addressable_shards[number].data)[0]


def stage(
    buffers: tuple[jax.Array, ...],
    inputs: Mapping[str, jax.Array],
    *,
    finish: Callable[..., Mapping[str, jax.Array]],
    names: tuple[str, ...],
    model: str,
) -> tuple[jax.Array, ...]:
    """Stage 2 of one block, for :func:`compiled`: the outputs of those names in the place of the buffers."""
    outputs = take(finish(**inputs), names, model)
    for name, output, buffer in zip(names, outputs, buffers, strict=True):
        fits = output.ndim <= buffer.ndim and all(
            side in (1, most) for side, most in zip(output.shape[::-1], buffer.shape[::-1], strict=False)
        )
        if not fits:
            raise SpecError(
                f'model "{model}": the function of "{name}" returns the shape {output.shape} where {buffer.shape} is '
                "due; it must be elementwise"
            )
    return tuple(
        jnp.broadcast_to(output, buffer.shape).astype(buffer.dtype)
        for output, buffer in zip(outputs, buffers, strict=True)
    )


def take(outputs: Mapping[str, jax.Array], names: Sequence[str], model: str) -> list[jax.Array]:
    """Pick what is wanted of what a model's functions returned.

    Raises
    ------
    SpecError
        Where that is no array of real numbers.
    """
    arrays = []
    for name in names:
        try:
            if isinstance(outputs[name], list | tuple):
                raise TypeError
            array = jnp.asarray(outputs[name])
            kind = "of numbers" if array.dtype == bool or jnp.isdtype(array.dtype, "real floating") else array.dtype
            kind = "of numbers" if jnp.isdtype(array.dtype, "integral") else kind
        except (TypeError, ValueError):
            kind = type(outputs[name]).__name__
        if kind != "of numbers":
            raise SpecError(
                f'model "{model}": the function of "{name}" returns {kind}, must return an array of real numbers'
            )
        arrays.append(array)
    return arrays


class Evaluator:
    """The compiled evaluation of one plan.

    Every block is padded to one shape, so there is one compilation, and written into the buffers of an earlier block.
    Dispatch is asynchronous: a call returns before its values are there. Each device takes one of the blocks of a call.

    Parameters
    ----------
    problem : Problem
        What to evaluate.
    plan : Plan
        Made for the spec.
    """

    def __init__(self, problem: Problem, plan: Plan) -> None:
        self._spec, self._plan, self._model = problem.spec, plan, problem.model.name
        self._finish = problem.stages.finish
        self.devices = device_count()
        with jax.enable_x64(problem.spec.dtype == "float64"):
            self._inputs = [Inputs(problem, plan, device) for device in jax.local_devices()]
        self._free: list[tuple[jax.Array, ...]] = []

    def __call__(self, blocks: Sequence[Block]) -> tuple[jax.Array, ...]:
        """Start the evaluation of as many blocks as there are devices, or fewer.

        The arrays come in the order of the plan's variables and go to :meth:`values`.
        """
        blocks = [*blocks, *[blocks[-1]] * (self.devices - len(blocks))]
        with jax.enable_x64(self._spec.dtype == "float64"):
            inputs = together([inputs_of(block) for inputs_of, block in zip(self._inputs, blocks, strict=True)])
            buffers = self._free.pop() if self._free else tuple(map(self._buffer, self._plan.variables))
            run = compiled(stage, ("finish", "names", "model"), jax.default_backend(), self.devices)
            arrays = run(buffers, inputs, finish=self._finish, names=tuple(self._plan.variables), model=self._model)
        if jax.default_backend() != "cpu":
            for array in arrays:
                array.copy_to_host_async()
        return arrays

    def values(self, variable: str, array: jax.Array, block: Block, number: int = 0) -> np.ndarray:
        """Give the values of one variable in the block of that number, as a view of the device's memory if possible."""
        shape = self._plan.along(variable, self._plan.block_shape)
        flat = on_host(array, number, self.devices).reshape(self._unflattened(variable))
        # A variable that spans only some of the flattened axes repeats itself along the others.
        one_copy = flat[tuple(slice(None) if d in self._plan.variables[variable] else 0 for d in self._plan.shape)]
        lengths = (b - a for a, b in zip(block.start, block.stop, strict=True))
        return one_copy.reshape(shape)[tuple(map(slice, self._plan.along(variable, tuple(lengths))))]

    def reuse(self, arrays: tuple[jax.Array, ...]) -> None:
        """Take back the buffers of a call once no view of them is left."""
        self._free.append(arrays)

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
        return zeros(shape, self._spec.dtype, self.devices)
