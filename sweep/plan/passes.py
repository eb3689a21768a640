"""How the statistics of a sweep are grouped into passes over the grid, and a pass is cut: integers only.

A pass takes all statistics of one kind over the same axes. Its results are cut into tiles, blocks of the axes that are
kept, and the axes that are reduced into parts; one unit of work is one part of one tile. Parts, lanes and pieces follow
from the shape of the sweep alone, never from the memory or the devices, so neither do the bits of a result; tiles may
be of any size.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sweep.config.spec import SweepSpec
from sweep.errors import SpecError
from sweep.models.problem import Problem
from sweep.plan.blocks import FIXED_BYTES, TABLE_BYTES, Block, Plan, boxes, boxes_of, rows
from sweep.plan.variables import result_dims

TILE = 2**17  # cells evaluated side by side: their running statistics stay in the cache
STEPS = 2**14  # steps of a part: with so many cells, a second of a CPU or less, so that a run can be stopped
LANES, LONG_LANES = 2**15, 2**20  # cells side by side where fewer are kept; more where there is hardly an axis to step
# Kept cells below which points are laid beside them, and below which they are even where that leaves hardly a step.
FEW_CELLS, FEWEST_CELLS = 2**12, 2**8
FEW_STEPS = 64
ROW_POINTS = 2**24  # points that are held together for quantiles; of more they are narrowed down by counting
PIECE_POINTS = 2**22  # points evaluated at once where values are looked at in rows
PART_POINTS = 2**30
TABLE_POINTS = 2**21

RUNNING, ROWS = "running", "rows"


@dataclass(frozen=True)
class Unit:
    """One part of one tile.

    Attributes
    ----------
    tile : Block
        Block of the plan of the results.
    number : int
        Position of the part among those of the tile, the last axis fastest.
    start, stop : tuple of int
        First index and one past the last along each reduced axis.
    round : int
        How often all parts of the tile have been looked at before.
    sought : mapping
        What that told, by the names of arrays of a partial.
    """

    tile: Block
    number: int
    start: tuple[int, ...]
    stop: tuple[int, ...]
    round: int = 0
    sought: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def points(self) -> int:
        """Grid points of the kept and reduced axes that are evaluated."""
        return math.prod(b - a for a, b in zip(self.start, self.stop, strict=True))


@dataclass(frozen=True)
class Pass:
    """Statistics that are taken of the same points in the same way.

    Attributes
    ----------
    names : tuple of str
        The statistics.
    kind : str
        "running", fed step by step on the device, or "rows", of all values side by side.
    shape : dict of str to int
        Length of each axis that an output depends on, in the order of the spec.
    over : tuple of str
        The axes that are reduced, in the order of the spec.
    plan : Plan
        Of the results: the axes that are kept and those of quantiles and bins; its blocks are the tiles.
    part, piece : tuple of int
        Along each reduced axis, the points of a part, and of those the points that are evaluated in one call.
    lanes : tuple of str
        The reduced axes whose points lie side by side, like cells, rather than being stepped through.
    rounds : int
        How often all parts of a tile are looked at: once, or for quantiles that are narrowed down twice, of float64
        sometimes more often.
    """

    names: tuple[str, ...]
    kind: str
    shape: Mapping[str, int]
    over: tuple[str, ...]
    plan: Plan
    part: tuple[int, ...]
    piece: tuple[int, ...]
    lanes: tuple[str, ...]
    rounds: int = 1

    @property
    def kept(self) -> tuple[str, ...]:
        """The axes that are kept, in the order of the spec."""
        return tuple(dim for dim in self.shape if dim not in self.over)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Length of each reduced axis."""
        return tuple(self.shape[dim] for dim in self.over)

    @property
    def reduced(self) -> int:
        """Points that are reduced to one."""
        return math.prod(self.lengths)

    @property
    def points(self) -> int:
        """Points that are evaluated."""
        return math.prod(self.shape.values())

    @property
    def parts(self) -> int:
        """Number of parts of a tile."""
        return math.prod(-(-n // p) for n, p in zip(self.lengths, self.part, strict=True))

    @property
    def is_whole(self) -> bool:
        """Whether all values of a row are looked at together."""
        return self.reduced <= ROW_POINTS

    def cells(self, tile: Block) -> int:
        """Number of rows, or results of a scalar statistic, in a tile."""
        ends = zip(self.plan.shape, tile.start, tile.stop, strict=True)
        return math.prod(stop - start for dim, start, stop in ends if dim in self.shape)

    def units(self, tile: Block, round: int = 0, sought: Mapping[str, Any] | None = None) -> Iterator[Unit]:
        """Yield the units of a tile, the last reduced axis fastest."""
        parts = Plan(dict(zip(self.over, self.lengths, strict=True)), self.part, self.part, {}, 1)
        for block in parts.blocks():
            yield Unit(tile, block.number, block.start, block.stop, round, sought or {})


def tile_boxes(pass_: Pass, tile: Block, sides: tuple[int, ...]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Cut a tile along the axes that are kept."""
    ends = dict(zip(pass_.plan.shape, zip(tile.start, tile.stop, strict=True), strict=True))
    return boxes_of([ends[dim][0] for dim in pass_.kept], [ends[dim][1] for dim in pass_.kept], sides)


def make_passes(problem: Problem, memory: int) -> tuple[Pass, ...]:
    """Group the statistics of a problem, those that are fed step by step first, and cut each group.

    Parameters
    ----------
    problem : Problem
        With statistics.
    memory : int
        Budget in bytes for a unit of work.

    Raises
    ------
    SpecError
        When not even a small tile fits the budget.
    """
    groups: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for name, statistic in problem.spec.statistics.items():
        shape = problem.axes_of(*statistic.uses)
        over = tuple(dim for dim in shape if dim in statistic.over)
        kind = RUNNING if statistic.kind.rows is None else ROWS
        groups.setdefault((kind, shape, over), []).append(name)
    passes = []
    for (kind, shape, over), names in sorted(groups.items(), reverse=True):
        lengths = {dim: len(problem.spec.axes[dim]) for dim in shape}
        tables = [[dim for dim in table if dim in shape] for table in problem.table_dims]
        make = _make_rows if kind == ROWS else _make_running
        passes.append(make(problem.spec, tuple(names), lengths, over, tables, memory))
    return tuple(passes)


def _make_running(
    spec: SweepSpec,
    names: tuple[str, ...],
    shape: Mapping[str, int],
    over: tuple[str, ...],
    tables: Sequence[Sequence[str]],
    memory: int,
) -> Pass:
    kept = [dim for dim in shape if dim not in over]
    cells = math.prod(shape[dim] for dim in kept)
    lanes, sides = _lay(shape, over, cells, LANES if cells < FEW_CELLS else cells)
    if lanes and math.prod(shape[dim] for dim in over if dim not in lanes) < FEW_STEPS:
        lanes, sides = _lay(shape, over, cells, LONG_LANES if cells < FEWEST_CELLS else cells)
    stepped = [dim for dim in over if dim not in lanes]
    sides |= dict(zip(stepped, rows([shape[dim] for dim in stepped], STEPS), strict=True))
    # A table of steps and cells must fit; its cells are counted as those of a tile of the usual size.
    nominal = {dim: sides.get(dim, shape[dim]) for dim in shape if dim not in stepped}
    beside = [math.prod(nominal[dim] for dim in t if dim in nominal) for t in tables if not set(stepped).isdisjoint(t)]
    most = max(16, TABLE_POINTS // min(TILE, max(beside, default=1)))
    pieces = sides | dict(zip(stepped, rows([sides[dim] for dim in stepped], most), strict=True))
    steps = math.prod(pieces[dim] for dim in stepped)
    tile = TILE if steps >= 16 else 8 * TILE
    itemsize = 8 if spec.dtype == "float64" else 4

    def needed(tile: int) -> int:
        side = min(cells, tile) * math.prod(sides[dim] for dim in lanes)
        return FIXED_BYTES + side * 16 * itemsize * len(names) + TABLE_BYTES * min(steps * side, TABLE_POINTS)

    plan = _fit(spec, names, shape, over, tile, needed, memory)
    part, piece = (tuple(lengths[dim] for dim in over) for lengths in (sides, pieces))
    return Pass(names, RUNNING, shape, over, plan, part, piece, lanes)


def _lay(
    shape: Mapping[str, int], over: Sequence[str], cells: int, most: int
) -> tuple[tuple[str, ...], dict[str, int]]:
    """Lay points of the last reduced axes side by side until there are enough of them; their parts are that long."""
    lanes: dict[str, int] = {}
    for dim in reversed(over):
        if cells >= most:
            break
        lanes[dim] = min(shape[dim], -(-most // cells))
        cells *= lanes[dim]
    return tuple(dim for dim in over if dim in lanes), lanes


def _make_rows(
    spec: SweepSpec,
    names: tuple[str, ...],
    shape: Mapping[str, int],
    over: tuple[str, ...],
    tables: Sequence[Sequence[str]],
    memory: int,
) -> Pass:
    lengths = [shape[dim] for dim in over]
    reduced = math.prod(lengths)
    whole = reduced <= ROW_POINTS
    part = tuple(lengths) if whole else rows(lengths, PART_POINTS)
    piece = part if whole else rows(lengths, PIECE_POINTS)
    quantiles = 0 if whole else sum(spec.statistics[name].kind.is_narrowed for name in names)
    side = math.prod(piece)
    itemsize = 8 if spec.dtype == "float64" else 4

    def needed(tile: int) -> int:
        return FIXED_BYTES + tile * (side * 4 * itemsize + quantiles * 2**24) + TABLE_BYTES * tile * side // 8

    plan = _fit(spec, names, shape, over, max(1, PIECE_POINTS // side) if whole else 4, needed, memory)
    return Pass(names, ROWS, shape, over, plan, part, piece, (), 2 if quantiles else 1)


def _fit(
    spec: SweepSpec,
    names: tuple[str, ...],
    shape: Mapping[str, int],
    over: tuple[str, ...],
    tile: int,
    needed: Callable[[int], int],
    memory: int,
) -> Plan:
    """Cut the results into the largest tiles that fit."""
    kept = {dim: n for dim, n in shape.items() if dim not in over}
    extra = {dim: len(axis) for name in names for dim, axis in spec.statistics[name].own_axes(name).items()}
    variables = result_dims(spec, names, tuple(kept), over)
    while needed(tile) > memory:
        if tile == 1:
            least = f"give at least {-(-needed(1) // 10**6):,} MB"
            raise SpecError(f"memory: {memory / 1e6:,.0f} MB do not hold a unit of work of {names[0]}; {least}")
        tile //= 2
    block, chunk = boxes(tuple(kept.values()), tile)
    whole = tuple(extra.values())
    return Plan({**kept, **extra}, (*block, *whole), (*chunk, *whole), variables, 8)
