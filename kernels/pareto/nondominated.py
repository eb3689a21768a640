"""Which points are on the Pareto front, and the front each is on, exactly.

Point a dominates b where a is nowhere worse and somewhere better. Two paths, chosen by where the points are:

- On the host (NumPy arrays, and concrete JAX arrays that lie on a CPU), in NumPy: a cull drops what a sample of the
  points dominates, in one pass of a few nanoseconds a point; an exact pass works on the ranks of what is left.
- Under jit, and on an accelerator, in JAX: a cull by a few good points, then a sort and an exact pass in blocks.

Both only compare: ranks, bins and keys are monotone, so no rounding can change an answer, and subnormal numbers count.
tests/kernels/pareto/test_nondominated.py holds both to brute force, to moocore and to paretoset, on 1 to 6 objectives.

Sources: the sort for 2 objectives and divide and conquer for 3 are Kung, Luccio and Preparata's (J. ACM 22, 1975); the
greedy ranks for 2 are Jensen's (IEEE Trans. Evol. Comput. 7, 2003); what counts as dominated, and `keep_weakly`, are
moocore's. That a sample of s points leaves about F(s)/s of the others undominated, F(s) of s points being on the
front, is why a cull by a sample works.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from kernels.pareto import fronts
from kernels.pareto.cull import scattered

OBJECTIVES = 6  # at most
_BLOCK = 1024  # rows that are compared with as many others at once


def is_nondominated(
    points: ArrayLike, /, *, maximise: bool | Sequence[bool] = False, keep_weakly: bool = False
) -> Array:
    """Whether no other point dominates a point.

    Parameters
    ----------
    points : array_like
        Real numbers of shape (n, m), 1 <= m <= 6; row i is what the m objectives are at point i. Infinities and signed
        zeros count as the numbers that they are. A row with a NaN is not on the front and dominates nothing.
    maximise : bool or sequence of bool
        Whether to maximise instead of minimise: all objectives, or each. Static under jit.
    keep_weakly : bool
        If False, of points that are equal in every objective only the first is kept; if True, all are. Static.

    Returns
    -------
    jax.Array
        bool of shape (n,).

    Raises
    ------
    TypeError, ValueError
        Where the type or the shape of an argument is another.

    Notes
    -----
    Exact: comparisons only. On the host O(n) and a sort of what a cull leaves, for m <= 3; for more objectives, and
    under jit for more than 2, time grows like that remainder times the size of the front. On a CPU, calling it outside
    jit is many times as fast as inside.
    """
    points, flips = _checked(points, maximise)
    if _in_jax(points):
        return _is_nondominated(points, flips, keep_weakly)
    return jax.device_put(fronts.is_nondominated(np.asarray(points), flips, keep_weakly))


def pareto_rank(points: ArrayLike, /, *, maximise: bool | Sequence[bool] = False) -> Array:
    """Number of the front that a point is on: 0 for what nothing dominates, 1 once that is taken away, and so on.

    Parameters
    ----------
    points, maximise
        As in :func:`is_nondominated`.

    Returns
    -------
    jax.Array
        int32 of shape (n,); equal points share a rank, and a row with a NaN has rank −1.

    Raises
    ------
    TypeError, ValueError
        Where the type or the shape of an argument is another.

    Notes
    -----
    Exact: comparisons only. On the host O(n log n) for m <= 2, else one filter a front; under jit O(n² m).
    """
    points, flips = _checked(points, maximise)
    if _in_jax(points):
        return _pareto_rank(points, flips)
    return jax.device_put(fronts.pareto_rank(np.asarray(points), flips))


def _checked(points: ArrayLike, maximise: bool | Sequence[bool]) -> tuple[np.ndarray | Array, tuple[bool, ...]]:
    points = points if isinstance(points, Array) else np.asarray(points)
    if points.dtype.kind in "iub":
        # Whole numbers beyond 2^53 might become equal as floats.
        exact = (
            points.dtype.itemsize <= 4 or isinstance(points, jax.core.Tracer) or bool(np.all(np.abs(points) < 2**53))
        )
        if not exact:
            raise ValueError("points: whole numbers must be below 2^53, which float64 holds exactly")
        points = points.astype(np.float64)
    if points.dtype not in (np.float32, np.float64):
        raise TypeError(f"points: must be real numbers of 32 or 64 bits, got {points.dtype}")
    if points.ndim != 2 or not 1 <= points.shape[1] <= OBJECTIVES:
        raise ValueError(f"points: must be (n, m) with 1 <= m <= {OBJECTIVES}, got shape {points.shape}")
    flips = np.asarray(maximise)
    if flips.dtype != np.bool_ or flips.shape not in ((), points.shape[1:]):
        raise ValueError(f"maximise: must be one bool, or one for each of {points.shape[1]} objectives, got {maximise}")
    return points, tuple(np.broadcast_to(flips, points.shape[1]).tolist())


def _in_jax(points: np.ndarray | Array) -> bool:
    if isinstance(points, jax.core.Tracer):
        return True
    return isinstance(points, Array) and any(device.platform != "cpu" for device in points.devices())


# On the host.


def _keys(points: Array, flips: tuple[bool, ...]) -> tuple[Array, Array]:
    """Whole numbers (m, n) in the order of the points, less being better, and where a point has a NaN.

    Whole numbers, since a device may take subnormal numbers for 0.
    """
    whole: type[np.signedinteger] = np.int32 if points.dtype == jnp.float32 else np.int64
    bits = lax.bitcast_convert_type(points.T, whole)
    least, largest = np.iinfo(whole).min, np.iinfo(whole).max
    infinity = int(np.array(np.inf, points.dtype).view(whole))
    nan = ((bits & largest) > infinity).any(axis=0)
    bits = jnp.where(jnp.array(flips)[:, None], bits ^ least, bits)
    keys = jnp.where(bits < 0, bits ^ largest, bits)
    return jnp.where(nan[None, :], largest, jnp.where(bits == least, 0, keys)), nan


def _beaten(by: Array, block: Array) -> Array:
    """(rows of block, rows of by): whether a row of `by` is nowhere greater."""
    return (by[:, None, :] <= block[:, :, None]).all(axis=0)


def _sorted_keys(keys: Array, dead: Array) -> tuple[Array, Array, Array]:
    """Keys in lexicographic order, the dead last; which point each was; the place of the first that is equal."""
    n = keys.shape[1]
    _, *rows, index = lax.sort((dead.astype(jnp.int32), *keys, jnp.arange(n)), num_keys=len(keys) + 1)
    ordered = jnp.stack(rows)
    new = jnp.append(jnp.ones(min(n, 1), bool), (ordered[:, 1:] != ordered[:, :-1]).any(axis=0))
    return ordered, index, lax.cummax(jnp.where(new, jnp.arange(n), 0))


@partial(jax.jit, static_argnums=(1, 2))
def _is_nondominated(points: Array, flips: tuple[bool, ...], keep_weakly: bool) -> Array:
    n, m = points.shape
    if n == 0:
        return jnp.zeros(0, bool)
    keys, nan = _keys(points, flips)
    sample = keys[:, scattered(n, min(n, _BLOCK))]
    few = sample[:, jnp.nonzero(~_strictly(sample, sample).any(axis=1), size=64, fill_value=0)[0]]
    dead = nan | _strictly(few, keys).any(axis=1)
    keys, index, first = _sorted_keys(keys, dead)
    alive = n - dead.sum()
    if m == 1:
        good = jnp.arange(n) == 0
    elif m == 2:
        good = jnp.append(jnp.ones(1, bool), keys[1, 1:] < lax.cummin(keys[1])[:-1])
    else:
        good = _good_in_blocks(keys[1:], alive)
    good = good[first] if keep_weakly else good & (first == jnp.arange(n))
    return jnp.zeros(n, bool).at[index].set(good & (jnp.arange(n) < alive))


def _strictly(by: Array, block: Array) -> Array:
    """(rows of block, rows of by): whether a row of `by` dominates."""
    return _beaten(by, block) & (by[:, None, :] < block[:, :, None]).any(axis=0)


def _padded(keys: Array, size: int) -> tuple[Array, int]:
    """Keys with enough rows at the end for whole blocks, and the size of a block."""
    block = min(_BLOCK, size)
    return jnp.pad(keys, ((0, 0), (0, -size % block)), constant_values=np.iinfo(keys.dtype).max), block


def _good_in_blocks(keys: Array, alive: Array) -> Array:
    """Whether no earlier point is nowhere greater: block by block, against the front so far."""
    n = keys.shape[1]
    keys, size = _padded(keys, n)

    def take(state: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        start, front, count, good = state
        block = lax.dynamic_slice_in_dim(keys, start, size, axis=1)

        def compare(i: Array, bad: Array) -> Array:
            return bad | _beaten(lax.dynamic_slice_in_dim(front, i * size, size, axis=1), block).any(axis=1)

        bad = jnp.tril(_beaten(block, block), -1).any(axis=1)
        bad = lax.fori_loop(0, (count + size - 1) // size, compare, bad)
        fine = ~bad & (start + jnp.arange(size) < alive)
        to = jnp.where(fine, count + jnp.cumsum(fine) - 1, front.shape[1])
        front = front.at[:, to].set(block, mode="drop")
        return start + size, front, count + fine.sum(), lax.dynamic_update_slice_in_dim(good, fine, start, axis=0)

    zero = jnp.zeros_like(alive)
    empty = jnp.full_like(keys, np.iinfo(keys.dtype).max)
    state = (zero, empty, zero, jnp.zeros(keys.shape[1], bool))
    return lax.while_loop(lambda state: state[0] < alive, take, state)[3][:n]


@partial(jax.jit, static_argnums=1)
def _pareto_rank(points: Array, flips: tuple[bool, ...]) -> Array:
    n = len(points)
    if n == 0:
        return jnp.zeros(0, jnp.int32)
    keys, nan = _keys(points, flips)
    keys, index, first = _sorted_keys(keys, nan)
    # Equal points after the first are made to beat nothing.
    keys, size = _padded(keys, n)
    single = jnp.append(first == jnp.arange(n), jnp.zeros(keys.shape[1] - n, bool))

    def take(i: Array, ranks: Array) -> Array:
        def part(array: Array, k: Array) -> Array:
            return lax.dynamic_slice_in_dim(array, k * size, size, axis=array.ndim - 1)

        def beaten_by(k: Array) -> Array:
            return _beaten(part(keys, k), part(keys, i)) & part(single, k)[None, :]

        def above(beaten: Array, others: Array) -> Array:
            return jnp.where(beaten, others[None, :] + 1, 0).max(axis=1)

        rank = lax.fori_loop(
            0, i, lambda k, rank: jnp.maximum(rank, above(beaten_by(k), part(ranks, k))), jnp.zeros(size, jnp.int32)
        )
        inside = jnp.tril(beaten_by(i), -1)

        def settle(state: tuple[Array, Array]) -> tuple[Array, Array]:
            raised = jnp.maximum(state[0], above(inside, state[0]))
            return raised, (raised > state[0]).any()

        rank, _ = lax.while_loop(lambda state: state[1], settle, (rank, jnp.array(True)))
        return lax.dynamic_update_slice_in_dim(ranks, rank, i * size, axis=0)

    ranks = lax.fori_loop(0, keys.shape[1] // size, take, jnp.zeros(keys.shape[1], jnp.int32))
    ranks = jnp.where(jnp.arange(n) < n - nan.sum(), ranks[first], -1)
    return jnp.zeros(n, jnp.int32).at[index].set(ranks)
