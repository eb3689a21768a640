"""How a sweep is cut into blocks: integers only, no arrays and no files.

One block is evaluated by one call, is one shard of every variable that spans all axes, and is what a killed run loses
at most. A variable that does not span an axis belongs to the first block along it.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sweep.errors import SpecError
from sweep.plan.machine import available_memory

BLOCK_BYTES = 32 * 2**20
CHUNK_POINTS = 2**18
VECTOR = 16  # float32 lanes of the widest CPU registers: a shorter tail of a row is evaluated one by one
# Copies of a block alive at once, measured: two on the device, and for each of three being written the copy, its
# encoded chunks and what the allocator keeps of both.
COPIES = 16
LIBRARY_BYTES = 300 * 10**6  # that Python with its libraries takes
# What a run takes beyond that whatever its size.
FIXED_BYTES = 64 * 2**20
# Bytes that stage 1 takes for each point of a table: float64 temporaries and the cast copies.
TABLE_BYTES = 64
METADATA_BYTES = 2**14  # more than the metadata of one array, kept twice, or of the group
CHUNK_BYTES, SHARD_BYTES = 20, 20  # beside the values: header and checksum of a chunk; seal and checksum of a shard


@dataclass(frozen=True)
class Block:
    """One piece of the grid.

    Attributes
    ----------
    number : int
        Position in the order of evaluation (last axis fastest).
    index : tuple of int
        Position along each axis, in blocks.
    start, stop : tuple of int
        First index and one past the last index along each axis, within the grid.
    """

    number: int
    index: tuple[int, ...]
    start: tuple[int, ...]
    stop: tuple[int, ...]

    @property
    def points(self) -> int:
        """Number of grid points."""
        return math.prod(b - a for a, b in zip(self.start, self.stop, strict=True))


@dataclass(frozen=True)
class Plan:
    """The blocks of a sweep, and the variables they hold.

    Attributes
    ----------
    shape : dict of str to int
        Length of each axis, in order.
    block_shape, chunk_shape : tuple of int
        Length of a block (a shard) and of a chunk within it along each axis; chunks divide blocks, and the last block
        of an axis may reach past its end.
    variables : dict of str to tuple of str
        The axes that each variable spans.
    itemsize : int
        Bytes per value.
    """

    shape: Mapping[str, int]
    block_shape: tuple[int, ...]
    chunk_shape: tuple[int, ...]
    variables: Mapping[str, tuple[str, ...]]
    itemsize: int

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of blocks along each axis."""
        return tuple(-(-n // b) for n, b in zip(self.shape.values(), self.block_shape, strict=True))

    def __len__(self) -> int:
        """Count the blocks."""
        return math.prod(self.counts)

    @property
    def points(self) -> int:
        """Number of points of the grid."""
        return math.prod(self.shape.values())

    @property
    def nbytes(self) -> int:
        """Bytes of all variables, uncompressed, without coordinates."""
        return self.itemsize * sum(math.prod(self.lengths(name)) for name in self.variables)

    @property
    def result_bytes(self) -> int:
        """Bytes of the whole result in memory: all variables, and the coordinates in float64."""
        return self.nbytes + 8 * sum(self.shape.values())

    @property
    def stored_bytes(self) -> int:
        """Bytes of a store at most: chunks that do not compress, their headers and index, coordinates and metadata."""
        total = METADATA_BYTES * (1 + len(self.shape) + len(self.variables)) + 8 * sum(self.shape.values())
        for name in self.variables:
            lengths = self.lengths(name)
            block, chunk = self.along(name, self.block_shape), self.along(name, self.chunk_shape)
            shards = math.prod(-(-n // b) for n, b in zip(lengths, block, strict=True))
            chunks = math.prod(-(-n // c) for n, c in zip(lengths, chunk, strict=True))
            inner = math.prod(b // c for b, c in zip(block, chunk, strict=True))
            total += chunks * (self.itemsize * math.prod(chunk) + CHUNK_BYTES) + shards * (16 * inner + SHARD_BYTES)
        return total

    def memory(self, tables: Sequence[tuple[str, ...]]) -> int:
        """Bytes that the blocks in flight take in all; `tables` are the axes that each table of stage 1 spans."""
        sides = dict(zip(self.shape, self.block_shape, strict=True))
        values = sum(math.prod(sides[d] for d in dims) for dims in self.variables.values())
        points = sum(math.prod(sides[d] for d in dims) for dims in tables)
        return FIXED_BYTES + COPIES * self.itemsize * values + TABLE_BYTES * points

    def lengths(self, variable: str) -> tuple[int, ...]:
        """Shape of a variable."""
        return tuple(self.shape[dim] for dim in self.variables[variable])

    def along(self, variable: str, lengths: Sequence[int]) -> tuple[int, ...]:
        """Pick from one number per axis those of the axes that a variable spans."""
        return tuple(n for dim, n in zip(self.shape, lengths, strict=True) if dim in self.variables[variable])

    def block(self, number: int) -> Block:
        """Return the block at a position in the order of evaluation."""
        rest, index = number, list[int]()
        for count in reversed(self.counts):
            rest, position = divmod(rest, count)
            index.insert(0, position)
        start = tuple(i * b for i, b in zip(index, self.block_shape, strict=True))
        stop = tuple(min(a + b, n) for a, b, n in zip(start, self.block_shape, self.shape.values(), strict=True))
        return Block(number, tuple(index), start, stop)

    def blocks(self) -> Iterator[Block]:
        """Yield every block in the order of evaluation."""
        return map(self.block, range(len(self)))

    def owned(self, block: Block) -> list[str]:
        """Name the variables that a block stores: those that span every axis along which it is not the first."""
        return [
            name
            for name, dims in self.variables.items()
            if all(i == 0 or dim in dims for dim, i in zip(self.shape, block.index, strict=True))
        ]

    def region(self, variable: str, block: Block) -> tuple[slice, ...]:
        """Where a block lies within a variable."""
        return tuple(map(slice, self.along(variable, block.start), self.along(variable, block.stop)))


def default_memory() -> int:
    """Half of the memory that this process may take, in bytes: what is left is for Python and its libraries."""
    most = available_memory()
    return max(most // 4, min(most // 2, most - LIBRARY_BYTES))


def budget_of(memory: int | None) -> int:
    """The bytes that were asked for, or the default."""
    return default_memory() if memory is None else memory


def make_plan(
    shape: Mapping[str, int],
    variables: Mapping[str, tuple[str, ...]],
    *,
    itemsize: int,
    tables: Sequence[tuple[str, ...]] = (),
    memory: int | None = None,
    reserved: int = 0,
) -> Plan:
    """Cut a grid into blocks that fit a memory budget.

    Parameters
    ----------
    shape : mapping of str to int
        Length of each axis, in order.
    variables : mapping of str to tuple of str
        The axes that each variable spans.
    itemsize : int
        Bytes per value.
    tables : sequence of tuple of str
        The axes that each table of stage 1 spans.
    memory : int, optional
        Budget in bytes for the blocks in flight; :func:`default_memory` if not given.
    reserved : int
        Bytes of that budget which are spoken for, such as the result in memory.

    Raises
    ------
    SpecError
        When not even a small block fits the budget.
    """
    lengths = tuple(shape.values())
    memory = budget_of(memory)

    full = max(1, sum(len(dims) == len(shape) for dims in variables.values()))
    points = BLOCK_BYTES // itemsize // (1 if full == 1 else -(-full // 2))
    costs = []
    while points >= VECTOR:
        plan = Plan(dict(shape), *boxes(lengths, points), dict(variables), itemsize)
        costs.append(reserved + plan.memory(tables))
        if costs[-1] <= memory:
            return plan
        points //= 2
    least = f"{-(-min(costs) // 10**6):,} MB"
    raise SpecError(f"memory: {in_words(memory)} hold not even a block of {VECTOR} points; give at least {least}")


def in_words(memory: int) -> str:
    """A budget as a message says it: "300 MB"."""
    return f"{memory // 10**6:,} MB" if memory >= 10**6 else f"{memory:,} bytes"


def halve(sides: tuple[int, ...]) -> tuple[int, ...] | None:
    """Halve the longest side of a box; None where all are 1."""
    if max(sides, default=1) == 1:
        return None
    longest = sides.index(max(sides))
    return tuple(-(-n // 2) if i == longest else n for i, n in enumerate(sides))


def boxes_of(
    start: Sequence[int], stop: Sequence[int], sides: tuple[int, ...]
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Cut a box into boxes of at most some sides, the last axis fastest: first and one past the last index of each."""
    lengths = {str(i): b - a for i, (a, b) in enumerate(zip(start, stop, strict=True))}

    def moved(at: Sequence[int]) -> tuple[int, ...]:
        return tuple(a + b for a, b in zip(start, at, strict=True))

    return [(moved(block.start), moved(block.stop)) for block in Plan(lengths, sides, sides, {}, 1).blocks()]


def boxes(lengths: tuple[int, ...], points: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Cut each axis into equal blocks of about `points` points in all, and these into whole chunks."""
    if not lengths:
        return (), ()
    block = [-(-n // -(-n // side)) for n, side in zip(lengths, _box(lengths, points, 512), strict=True)]
    chunk = [_divide(b, side) for b, side in zip(block, _box(block, CHUNK_POINTS, 128), strict=True)]
    if chunk[-1] > VECTOR:
        chunk[-1] = -(-chunk[-1] // VECTOR) * VECTOR
    return tuple(-(-b // c) * c for b, c in zip(block, chunk, strict=True)), tuple(chunk)


def rows(lengths: Sequence[int], points: int) -> tuple[int, ...]:
    """Sides of a box of at most `points` points that follow each other when the last axis is the fastest."""
    sides: list[int] = []
    for length in reversed(lengths):
        sides.insert(0, min(length, max(1, points)))
        points //= sides[0]
    return tuple(sides)


def _divide(length: int, side: int) -> int:
    """Find the part between half of `side` and `side` that overshoots `length` least when repeated."""
    return min(range(side, (side + 1) // 2 - 1, -1), key=lambda part: -length % part)


def _box(lengths: Sequence[int], points: int, row: int) -> list[int]:
    """Sides of a near-cubic box of at most `points` points within `lengths`, the last at least `row` if it can be."""
    sides = _fill(lengths, points)
    short = min(lengths[-1], row, points)
    return sides if sides[-1] >= short else [*_fill(lengths[:-1], points // short), short]


def _fill(lengths: Sequence[int], points: int) -> list[int]:
    """Fill the short axes whole, and share what is left evenly among the long ones."""
    sides = [1] * len(lengths)
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    for position, i in enumerate(order):
        # The nudge keeps an exact root, which floating point may put just below a whole number.
        root = int(points ** (1 / (len(order) - position)) + 1e-9)
        sides[i] = min(lengths[i], max(1, root))
        points //= sides[i]
    return sides
