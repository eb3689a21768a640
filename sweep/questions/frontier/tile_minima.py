"""The best of each objective in each tile of a block, found on the device, where the values are made.

Neighbouring points are evaluated side by side and compared in registers, so no value is kept: but for the comparison,
this is what a mean costs. For :func:`sweep.engine.evaluate.compiled`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from kernels.statistics import compare
from sweep.config.statistic import Condition
from sweep.engine.evaluate import take
from sweep.engine.inputs import RANK
from sweep.questions.frontier.scan import Objective

Finish = Callable[..., Mapping[str, jax.Array]]


def minima_of_tiles(
    buffers: tuple[()],
    operands: Mapping[str, Any],
    *,
    finish: Finish,
    objectives: tuple[Objective, ...],
    conditions: tuple[Condition, ...],
    sides: tuple[int, int, int],
    rows: int,
    model: str,
) -> tuple[tuple[jax.Array, ...], jax.Array | None]:
    """Least of each objective in each tile, a maximised one negated, and at how many points the conditions hold.

    NaN counts as infinity, and so does a point at which they do not hold.

    Parameters
    ----------
    buffers : tuple
        None.
    operands : mapping
        ``inputs`` of three axes; ``inside``, None or where along the axis of the rows and along the cells points count;
        ``groups``, how many tiles there are along the first axis.
    finish, objectives, conditions, sides, model
        What is asked, and the sides of a tile, static as `rows` is.
    rows : int
        Into how many rows the second axis is split in a tile, where there is no first one to compare along; else 1.
    """
    if rows > 1:
        operands, sides = jax.tree.map(partial(_in_rows, rows), operands), (rows, sides[1] // rows, sides[2])
    inputs = operands["inputs"]
    names = tuple(dict.fromkeys((*(o.name for o in objectives), *(c.output for c in conditions))))
    shape = jnp.broadcast_shapes(*(array.shape for array in jax.tree.leaves(inputs)))
    first = dict(zip(names, take(finish(**inputs), names, model), strict=True))
    still = {name: a.reshape((1,) * (RANK - a.ndim) + a.shape) for name, a in first.items() if a.shape != shape}
    changing = tuple(o for o in objectives if o.name not in still)

    def values(row: jax.Array) -> dict[str, jax.Array]:
        outputs = take(finish(**jax.tree.map(partial(_row, row), inputs)), names, model)
        return dict(zip(names, outputs, strict=True))

    bits, least = _compared(values, operands, changing, conditions, sides, shape)
    inner, results = (1, *sides[1:]), []
    for name, maximise in objectives:
        if name not in still:
            results.append(_along(least.pop(0), inner, jnp.min))
        else:
            value = -still[name] if maximise else still[name]
            results.append(_of_still(jnp.where(jnp.isnan(value), jnp.inf, value), bits, sides))
    return tuple(results), None if bits is None else _along(lax.population_count(bits), inner, jnp.sum)


def _compared(
    values: Callable[[jax.Array], Mapping[str, jax.Array]],
    operands: Mapping[str, Any],
    objectives: tuple[Objective, ...],
    conditions: tuple[Condition, ...],
    sides: tuple[int, int, int],
    shape: tuple[int, ...],
) -> tuple[jax.Array | None, list[jax.Array]]:
    """Compare the rows of tiles: a bit for each at which the conditions hold, and the least of objectives, by cell."""
    inside = operands["inside"]

    def group(number: jax.Array) -> list[jax.Array]:
        bits = jnp.zeros((), jnp.int32)
        least: list[jax.Array | float] = [jnp.inf] * len(objectives)
        for i in range(sides[0]):
            row = number * sides[0] + i
            outputs = values(row)
            holds: jax.Array | None = None
            if inside is not None:
                holds = _row(row, inside[0])
                for condition in conditions:
                    holds = holds & compare(outputs[condition.output], condition.sign, condition.bound)
                bits = bits | jnp.where(holds, jnp.int32(1 << i), jnp.int32(0))
            for j, (name, maximise) in enumerate(objectives):
                value = -outputs[name] if maximise else outputs[name]
                # This, unlike jnp.minimum, is one instruction, and passes over NaN.
                better = value < least[j] if holds is None else holds & (value < least[j])
                least[j] = jnp.where(better, value, least[j])
        if inside is not None:
            bits = jnp.where(inside[1][0], bits, 0)
            least = [bits, *(jnp.where(inside[1][0], value, jnp.inf) for value in least)]
        return [jnp.broadcast_to(value, shape[1:]) for value in least]

    def put(number: jax.Array, kept: list[jax.Array]) -> list[jax.Array]:
        pairs = zip(kept, group(number), strict=True)
        return [lax.dynamic_update_index_in_dim(all_, one, number, 0) for all_, one in pairs]

    # XLA is not told how many groups there are: it would fuse what one group makes with what reduces it, and evaluate
    # one point after the other. A bit for each row, not their number: each result is evaluated on its own.
    kinds = jax.eval_shape(group, jax.ShapeDtypeStruct((), np.int32))
    kept = [lax.empty((shape[0] // sides[0], *kind.shape), kind.dtype) for kind in kinds]
    kept = lax.fori_loop(0, operands["groups"], put, kept) if kept else []
    return (None, kept) if inside is None else (kept[0], kept[1:])


def _of_still(values: jax.Array, bits: jax.Array | None, sides: tuple[int, int, int]) -> jax.Array:
    """Least in each tile of values that stay the same along some axis, of rows of which the bit is set somewhere."""
    if bits is None:
        return _along(values, sides, jnp.min)
    same = [side if n == 1 else 1 for side, n in zip(sides, values.shape, strict=True)]
    bits = _along(bits, (1, *same[1:]), lambda split, axis: lax.reduce(split, np.int32(0), lax.bitwise_or, (axis,)))
    if values.shape[0] == 1:
        least = jnp.where(bits != 0, values, jnp.inf)
    else:
        rows = values.reshape(-1, sides[0], *values.shape[1:])
        counted = (jnp.where(bits & (1 << i) != 0, rows[:, i], jnp.inf) for i in range(sides[0]))
        least = reduce(jnp.minimum, counted)
    return _along(least, (1, *(side // s for side, s in zip(sides[1:], same[1:], strict=True))), jnp.min)


def _in_rows(rows: int, array: jax.Array) -> jax.Array:
    """Split the second axis of (1, n, m) into rows that come first: (rows, n / rows, m)."""
    if not array.ndim or array.shape[1] == 1:
        return array
    return array.reshape(-1, rows, array.shape[2]).swapaxes(0, 1)


def _row(place: jax.Array, array: jax.Array) -> jax.Array:
    if not array.ndim:
        return array
    return array[0] if array.shape[0] == 1 else lax.dynamic_index_in_dim(array, place, keepdims=False)


def _along(values: jax.Array, sides: Sequence[int], best: Callable[..., jax.Array]) -> jax.Array:
    """Reduce tiles along each axis along which the values change."""
    for axis, side in enumerate(sides):
        if values.shape[axis] > 1 and side > 1:
            n = values.shape[axis]
            values = best(values.reshape(*values.shape[:axis], n // side, side, *values.shape[axis + 1 :]), axis + 1)
    return values


def boxes_at(array: Any, corners: Sequence[Any], sides: Sequence[int]) -> Any:
    """Tiles of an array that begin there, along a new first axis; 1 long along axes along which nothing changes."""
    if not array.ndim:
        return array
    index = []
    for i, (corner, side, n) in enumerate(zip(corners, sides, array.shape, strict=True)):
        along = corner[:, None] + np.arange(side, dtype=np.int32) if n > 1 else np.zeros((1, 1), np.int32)
        index.append(along.reshape(len(along), *(-1 if j == i else 1 for j in range(RANK))))
    return array[tuple(index)]


def outputs_of_tiles(
    buffers: tuple[()],
    operands: Mapping[str, Any],
    *,
    finish: Finish,
    names: tuple[str, ...],
    sides: tuple[int, int, int],
    model: str,
) -> tuple[jax.Array, ...]:
    """Outputs at the points of some tiles, shape (tiles, *sides); ``corners`` are the first points of each."""
    inputs = jax.tree.map(lambda array: boxes_at(array, operands["corners"], sides), operands["inputs"])
    # Not fused into the evaluation, which would look each number up for each point.
    outputs = take(finish(**lax.optimization_barrier(inputs)), names, model)
    return tuple(jnp.broadcast_to(output, (len(operands["corners"][0]), *sides)) for output in outputs)
