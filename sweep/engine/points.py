"""Evaluate an output at any points, for what is indexed of a lazy dataset, with the bits of a whole run."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product

import jax
import numpy as np

from sweep.engine.evaluate import compiled, stage
from sweep.engine.inputs import RANK, flattened
from sweep.models.problem import Problem
from sweep.surroundings import refuse_to_hang

SHORTEST, LONGEST = 2**4, 2**14  # of the rows of points of which small requests of all shapes share a few compilations
MOST = 2**20  # points of a block of a larger request
TOGETHER = 512  # points of a block that lie together in memory, if they can


def values_at(
    problem: Problem,
    variable: str,
    shape: tuple[int, ...],
    coordinates: Callable[[tuple[slice, ...]], Mapping[str, np.ndarray]],
) -> np.ndarray:
    """Values of one output at any points, in blocks straight into the result.

    Parameters
    ----------
    problem : Problem
        What to evaluate.
    variable : str
        The output.
    shape : tuple of int
        Shape of the result.
    coordinates : callable
        Takes a box of the result, a slice along each of its axes, and gives for each axis of the sweep on which the
        output depends the coordinates there: float64 arrays of the result's rank that broadcast to the box.

    Returns
    -------
    numpy.ndarray
        Of that shape and the dtype of the spec, with the bits of a whole run.
    """
    refuse_to_hang()
    result = np.empty(shape, problem.spec.dtype)
    if not result.size:
        return result
    block = _block(shape)
    buffer: np.ndarray | jax.Array | None = None
    ahead: tuple[tuple[slice, ...], jax.Array] | None = None

    def keep(box: tuple[slice, ...], array: jax.Array) -> jax.Array:
        lengths = tuple(s.stop - s.start for s in box)
        if array.ndim == 1:
            result[box] = np.asarray(array)[: math.prod(lengths)].reshape(lengths)
        else:
            result[box] = np.asarray(array).reshape(block)[tuple(map(slice, lengths))]
        return array

    for box in _boxes(shape, block):
        array = _start(problem, variable, coordinates(box), box, block, buffer)
        buffer = None if ahead is None else keep(*ahead)
        ahead = box, array
    if ahead is not None:
        keep(*ahead)
    return result


def _start(
    problem: Problem,
    variable: str,
    points: Mapping[str, np.ndarray],
    box: tuple[slice, ...],
    block: tuple[int, ...],
    buffer: np.ndarray | jax.Array | None,
) -> jax.Array:
    """Start the evaluation of one box, as a row of points or padded to a block."""
    spec = problem.spec
    lengths = tuple(s.stop - s.start for s in box)
    if _is_row(lengths):
        block = (_row(math.prod(lengths)),)
        points = {name: np.broadcast_to(values, lengths).ravel() for name, values in points.items()}
    points = {name: _padded(values, block) for name, values in points.items()}
    known = {**problem.constants, **points}
    inputs = dict(known)
    stages = problem.stages
    for table in stages.tables:
        inputs |= table(**{name: known[name] for name in table.needs})
    lead = max(1, len(block) - RANK + 1)
    shape = (math.prod(block[:lead]), *block[lead:])
    with jax.enable_x64(spec.dtype == "float64"):
        (array,) = compiled(stage, ("finish", "names", "model"), jax.default_backend(), 1)(
            (np.empty(shape, spec.dtype) if buffer is None else buffer,),
            jax.tree.map(lambda values: flattened(np.asarray(values), block).astype(spec.dtype), inputs),
            finish=stages.finish,
            names=(variable,),
            model=problem.model.name,
        )
    return array


def _is_row(lengths: Sequence[int]) -> bool:
    return len(lengths) < 2 or math.prod(lengths) <= LONGEST


def _row(points: int) -> int:
    """Length of the row that holds that many points: few lengths, because each one is compiled."""
    length = SHORTEST
    while length < points:
        length *= 4
    return length


def _padded(values: np.ndarray, block: tuple[int, ...]) -> np.ndarray:
    for axis, side in enumerate(block):
        if values.shape[axis] < side and (len(block) == 1 or values.shape[axis] > 1):
            values = values.take(np.arange(side), axis=axis, mode="clip")
    return values


def _block(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Sides of a near-cubic block of at most `MOST` points, of lengths that few requests do not share."""
    if _is_row(shape):
        return tuple(min(n, LONGEST) for n in shape)
    sides = list(shape)
    room = MOST // min(TOGETHER, shape[-1])
    leading = sorted(range(len(shape) - 1), key=shape.__getitem__)
    for position, axis in enumerate(leading):
        # The nudge keeps an exact root, which floating point may put just below a whole number.
        sides[axis] = _side(shape[axis], int(room ** (1 / (len(leading) - position)) + 1e-9))
        room //= sides[axis]
    sides[-1] = _side(shape[-1], MOST // math.prod(sides[:-1]))
    return tuple(sides)


def _side(length: int, most: int) -> int:
    """Find a power of two, or three quarters of one, that holds a length or else repeats with least overlap."""
    whole = 1 << (length - 1).bit_length()
    whole = whole * 3 // 4 if length <= whole * 3 // 4 else whole
    if whole <= most:
        return whole
    power = 1 << (most.bit_length() - 1)
    return min((s for s in (power * 3 // 2, power, power * 3 // 4) if 0 < s <= most), key=lambda s: -length % s)


def _boxes(shape: tuple[int, ...], block: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Cover a shape with boxes of at most a block's size; the last along an axis overlaps rather than be smaller."""
    starts = ([min(a, n - min(side, n)) for a in range(0, n, side)] for n, side in zip(shape, block, strict=True))
    for corner in product(*starts):
        yield tuple(slice(a, min(a + side, n)) for a, side, n in zip(corner, block, shape, strict=True))
