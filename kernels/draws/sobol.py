"""Points in the unit cube that are functions of (seed, column, index) alone: Sobol', Latin hypercube, random.

Nothing here has a state, so a sample may be cut into blocks anywhere and computed in any order with the same bits. The
Sobol' points are those of ``scipy.stats.qmc.Sobol``, scrambled or not: Joe and Kuo's direction numbers, in the order of
the Gray code, a random lower triangular matrix applied to the digits and a digital shift (J. Matoušek, J. Complexity 14
(1998) 527-556). The numbers of one index are linear in its bits, so those of a run of indices are the exclusive or of a
table for the low bits with one for the high bits.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from kernels.draws.direction_numbers import JOE_KUO

MAX_DIMENSIONS = len(JOE_KUO.split("\n")) - 1
MAX_BITS = 53  # what a float64 holds
PIECE = 2**14  # of what is shuffled at a time, which stays in a cache


class Scrambling(NamedTuple):
    """A Sobol' sequence: everything that its points depend on but their index.

    Attributes
    ----------
    directions : numpy.ndarray
        Whole numbers (dimensions, bits), uint32 up to 32 bits, uint64 beyond: what bit k of the Gray code of an index
        changes in each coordinate, in units of 2^-bits.
    shift : numpy.ndarray
        (dimensions,), of the same type: point 0.
    """

    directions: np.ndarray
    shift: np.ndarray


def unscrambled(dimensions: int, bits: int = 30) -> Scrambling:
    """The Sobol' sequence itself, that of ``scipy.stats.qmc.Sobol(dimensions, scramble=False, bits=bits)``.

    Parameters
    ----------
    dimensions : int
        From 1 to 64.
    bits : int
        Of a coordinate, from 1 to 53; there are 2^bits points.

    Raises
    ------
    ValueError
        For more dimensions or bits than there are.
    """
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise ValueError(f"dimensions must be from 1 to {MAX_DIMENSIONS}, got {dimensions}")
    if not 1 <= bits <= MAX_BITS:
        raise ValueError(f"bits must be from 1 to {MAX_BITS}, got {bits}")
    rows = [[1] * bits]
    for line in JOE_KUO.split("\n")[1:dimensions]:
        _, degree, inner, *numbers = map(int, line.split())
        # m_j = 2 a_1 m_(j-1) ^ 4 a_2 m_(j-2) ^ ... ^ 2^s m_(j-s) ^ m_(j-s)
        for j in range(degree, bits):
            number = numbers[j - degree] ^ (numbers[j - degree] << degree)
            for k in range(1, degree):
                number ^= (numbers[j - k] << k) * (inner >> (degree - 1 - k) & 1)
            numbers.append(number)
        rows.append(numbers[:bits])
    dtype = np.uint32 if bits <= 32 else np.uint64
    directions = [[number << (bits - 1 - k) for k, number in enumerate(row)] for row in rows]
    return Scrambling(np.array(directions, dtype), np.zeros(dimensions, dtype))


def scrambling(seed: int | Sequence[int], dimensions: int, *, bits: int = 30) -> Scrambling:
    """A scrambled Sobol' sequence, that of ``scipy.stats.qmc.Sobol(dimensions, bits=bits, rng=seed)``.

    Parameters
    ----------
    seed : int or sequence of int
        >= 0, of ``numpy.random.default_rng``.
    dimensions, bits : int
        As for `unscrambled`.
    """
    directions, _ = unscrambled(dimensions, bits)
    dtype = directions.dtype
    # SciPy spawns from the generator it is given or makes.
    generator = np.random.default_rng(seed).spawn(1)[0]
    powers = dtype.type(1) << np.arange(bits, dtype=dtype)
    shift = generator.integers(2, size=(dimensions, bits), dtype=dtype) @ powers
    matrix = np.tril(generator.integers(2, size=(dimensions, bits, bits), dtype=dtype))
    matrix[:, range(bits), range(bits)] = 1
    # Row p of the matrix makes digit p, counted from the first behind the point; all rows as whole numbers.
    rows = matrix @ powers[::-1]
    digits = (np.bitwise_count(rows[:, None, :] & directions[:, :, None]) & 1).astype(dtype)
    return Scrambling(digits @ powers[::-1], shift)


def _steps(directions: np.ndarray) -> np.ndarray:
    """What each bit of an index, rather than of its Gray code i ^ (i >> 1), changes."""
    steps = directions.copy()
    steps[:, 1:] ^= directions[:, :-1]
    return steps


def _low_table(steps: np.ndarray) -> np.ndarray:
    """Exclusive or of the steps of the bits of every index below 2^(columns of steps), (dimensions, indices)."""
    table = np.zeros((steps.shape[0], 1 << steps.shape[1]), steps.dtype)
    for k in range(steps.shape[1]):
        table[:, 1 << k : 2 << k] = table[:, : 1 << k] ^ steps[:, k, None]
    return table


def _low_bits(count: int, bits: int) -> int:
    """Bits of an index that the table of low bits covers: half those of the count."""
    return min(bits, (int(count).bit_length() + 1) // 2)


def sobol_points(
    sequence: Scrambling, start: int, count: int, *, columns: slice | list[int] = slice(None)
) -> np.ndarray:
    """Points start … start + count - 1 of a Sobol' sequence.

    Parameters
    ----------
    sequence : Scrambling
        Of `scrambling` or `unscrambled`.
    start, count : int
        >= 0, and start + count <= 2^bits.
    columns : slice or list of int
        Coordinates to compute; all of them by default.

    Returns
    -------
    numpy.ndarray
        float64 (count, columns) in [0, 1), multiples of 2^-bits, exact; each column is contiguous.

    Raises
    ------
    ValueError
        Where the sequence has no such points.
    """
    directions, shift = sequence.directions[columns], sequence.shift[columns]
    bits = directions.shape[1]
    if not 0 <= start <= start + count <= 1 << bits:
        raise ValueError(f"a sequence of {bits} bits has 2^{bits} points, got start={start} count={count}")
    low = _low_bits(count, bits)
    steps = _steps(directions)
    first = start >> low
    rows = np.arange(first, first + ((start + count - 1) >> low) - first + 1, dtype=np.uint64)
    high = np.repeat(shift[:, None], rows.size, axis=1)
    for k in range(low, bits):
        high ^= steps[:, k, None] * (rows >> np.uint64(k - low) & np.uint64(1)).astype(steps.dtype)
    whole = (high[:, :, None] ^ _low_table(steps[:, :low])[:, None, :]).reshape(len(shift), -1)
    skipped = start - (first << low)
    return (whole[:, skipped : skipped + count] * 2.0**-bits).T


def sobol_block(
    directions: ArrayLike, shift: ArrayLike, start: ArrayLike, size: int, dtype: np.dtype | type = np.float64
) -> Array:
    """Points start … start + size - 1 of a Sobol' sequence of at most 32 bits, on the device.

    Parameters
    ----------
    directions, shift : array_like
        uint32 (dimensions, bits) and (dimensions,), of a `Scrambling`.
    start : array_like
        Whole number, which may be traced: a multiple of the size, and start + size <= 2^bits.
    size : int
        A power of two.
    dtype : numpy.dtype
        float64, in which the points are exact and those of `sobol_points`, or float32, in which they are rounded down
        to multiples of 2^-24: never 1.

    Returns
    -------
    jax.Array
        (dimensions, size) in [0, 1).

    Raises
    ------
    ValueError
        Where the size is not a power of two.
    """
    if size < 1 or size & (size - 1):
        raise ValueError(f"size must be a power of two, got {size}")
    directions, shift = jnp.asarray(directions), jnp.asarray(shift)
    bits = directions.shape[1]
    steps = directions.at[:, 1:].set(directions[:, 1:] ^ directions[:, :-1])
    low = _low_bits(size - 1, bits)
    rows = (jnp.asarray(start, jnp.uint32) >> np.uint32(low)) + lax.iota(jnp.uint32, size >> low)
    high = _combine(rows, steps[:, low:]) ^ shift[:, None]
    table = _combine(lax.iota(jnp.uint32, 1 << low), steps[:, :low])
    kept = min(bits, np.finfo(dtype).nmant + 1)
    whole = (high[:, :, None] ^ table[:, None, :]) >> np.uint32(bits - kept)
    return (whole.astype(dtype) * np.asarray(2.0**-kept, dtype)).reshape(shift.size, size)


def _combine(indices: Array, steps: Array) -> Array:
    """Exclusive or of the steps of the bits of each index, (dimensions, indices)."""
    total = jnp.zeros((steps.shape[0], indices.size), jnp.uint32)
    for k in range(steps.shape[1]):
        total ^= steps[:, k, None] * (indices >> np.uint32(k) & np.uint32(1))[None, :]
    return total


def _key(seed: int | Sequence[int], column: int, purpose: int) -> np.ndarray:
    """Two 64-bit words that differ for every seed, column and purpose."""
    return np.random.SeedSequence(seed, spawn_key=(column, purpose)).generate_state(2, np.uint64)


def _words(key: np.ndarray, start: int, count: int) -> np.ndarray:
    """Words start … start + count - 1 of the counter-based generator Philox, uint64; four words a counter."""
    skipped = start % 4
    return np.random.Philox(key=key, counter=start // 4).random_raw(skipped + count)[skipped:]


def random_points(seed: int | Sequence[int], start: int, count: int, column: int) -> np.ndarray:
    """Plain random numbers with the indices start … start + count - 1, of the generator Philox.

    Parameters
    ----------
    seed : int or sequence of int
        >= 0.
    start, count, column : int
        >= 0; a number is a function of (seed, column, index).

    Returns
    -------
    numpy.ndarray
        float64 (count,), uniform in [0, 1), multiples of 2^-53.
    """
    return (_words(_key(seed, column, 0), start, count) >> np.uint64(11)) * 2.0**-53


def _shuffled(indices: np.ndarray, number: int, keys: np.ndarray) -> np.ndarray:
    """A pseudorandom permutation of 0 … number - 1 at some indices, without the rest of it.

    A Feistel network on pairs from a rectangle that just holds the numbers; what falls beside them goes round again
    (J. Black and P. Rogaway, "Ciphers with arbitrary finite domains", 2002).
    """
    height = np.uint64(math.isqrt(number - 1) + 1)
    width = np.uint64(-(-number // int(height)))
    places = indices.copy()
    left = np.arange(indices.size)
    while left.size:
        a, b = np.divmod(places[left], width)
        for key in keys:
            a += _hashed(b ^ key, height)
            a -= height * (a >= height)
            b += _hashed(a ^ ~key, width)
            b -= width * (b >= width)
        places[left] = a * width + b
        left = left[places[left] >= number]
    return places


def _hashed(words: np.ndarray, limit: np.uint64) -> np.ndarray:
    """Pseudorandom numbers below a limit of at most 2^32, of 64-bit words that hold a random key."""
    words = words * np.uint64(0x9E3779B97F4A7C15)
    words ^= words >> np.uint64(32)
    words *= np.uint64(0xD6E8FEB86659FD93)
    return (words >> np.uint64(32)) * limit >> np.uint64(32)


def latin_hypercube(seed: int | Sequence[int], number: int, start: int, count: int, column: int) -> np.ndarray:
    """One coordinate of points start … start + count - 1 of a Latin hypercube sample of a given size.

    Parameters
    ----------
    seed : int or sequence of int
        >= 0.
    number : int
        Size of the sample, from 1 to 2^40: a column has exactly one point in each [k / number, (k + 1) / number).
    start, count, column : int
        >= 0, and start + count <= number; a number is a function of (seed, column, index) and of the size.

    Returns
    -------
    numpy.ndarray
        float64 (count,) in (0, 1).

    Raises
    ------
    ValueError
        Where the sample has no such points or is too large.
    """
    if not 1 <= number <= 1 << 40:
        raise ValueError(f"a Latin hypercube sample has from 1 to 2^40 points, got {number}")
    if not 0 <= start <= start + count <= number:
        raise ValueError(f"a sample of {number} has points 0 to {number - 1}, got start={start} count={count}")
    keys = np.random.Philox(key=_key(seed, column, 1)).random_raw(8)
    indices = np.arange(start, start + count, dtype=np.uint64)
    strata = np.concatenate([_shuffled(piece, number, keys) for piece in np.split(indices, range(PIECE, count, PIECE))])
    # As many bits behind the point as leave the rounding of the quotient inside the stratum.
    bits = 50 - int(number).bit_length()
    inside = _words(_key(seed, column, 2), start, count) >> np.uint64(64 - bits)
    return (strata + (inside + 0.5) * 2.0**-bits) / number
