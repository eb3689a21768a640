"""How much memory a map of optimal splits takes, and how it is cut to what there is."""

import math
import os

import jax

from kernels.split import solver
from sweep.config.allocation import Allocation
from sweep.config.distribution import DRAW, DRAWN
from sweep.config.spec import SweepSpec
from sweep.errors import SpecError
from sweep.models.front_loading import STRATEGIES
from sweep.plan.blocks import budget_of
from sweep.questions.split.ranges import RATES
from sweep.questions.split.robust import PLANS

SHARD, LEAST_SHARD = 4096, 64  # scenarios that one thread solves at once, at most, and where the memory allows no more
# What a solution takes beyond Python with its libraries (300 MB) whatever its size, measured: it is compiled.
FIXED_BYTES = 512 * 10**6
LANE_BYTES, SENSITIVE = 2048, 8  # that a solution takes for each scenario and date, and times more with sensitivities
HESSIANS = 4  # copies of those of all draws, while one plan for them is solved
RANGE_BYTES = 512  # that the search of ranges takes for each scenario


def result_bytes(spec: SweepSpec, *, sensitivities: bool = False, ranges: bool = False) -> int:
    """Bytes of the dataset that :func:`optimise` gives."""
    dates = 0 if spec.allocation is None else spec.allocation.dates
    numbers = 2 * dates + 2 * len(STRATEGIES) + len(("now", "later", "research", "loss", "gap", "bound")) + 2
    numbers += 3 * len(solver.PARAMETERS) * sensitivities + 2 * len(RATES) * ranges
    drawn = math.prod(len(axis) for name, axis in spec.axes.items() if name in DRAWN) if spec.distributions else 0
    coordinates = sum(spec.shape.values()) + len(spec.distributions) * drawn
    return (8 * numbers + 2 * 4) * math.prod(spec.shape.values()) + 8 * coordinates


def cut(spec: SweepSpec, chosen: Allocation, sensitivities: bool, ranges: bool, memory: int | None) -> tuple[int, int]:
    """Scenarios that a thread solves at once, a power of two, and threads: as many as the memory allows."""
    budget = budget_of(memory)
    result = result_bytes(spec, sensitivities=sensitivities, ranges=ranges)
    result += 8 * (len(PLANS) + chosen.dates) * math.prod(spec.shape.values()) if chosen.robust else 0
    if result > budget // 2:
        raise SpecError(
            f"memory: the result takes {result:,} bytes, more than half of the budget of {budget:,}; give a larger "
            "budget or shorter axes"
        )
    shard = min(SHARD, 1 << (math.prod(spec.shape.values()) - 1).bit_length())
    # Ranges are solved in the shape that is compiled already, which is to have room for more than one scenario.
    shard = max(shard, LEAST_SHARD) if ranges else shard
    threads = (os.cpu_count() or 1) if jax.default_backend() == "cpu" else 1
    lane = LANE_BYTES * (chosen.dates + 1) * (SENSITIVE if sensitivities else 1)
    fixed = result + FIXED_BYTES + RANGE_BYTES * math.prod(spec.shape.values()) * ranges
    if chosen.robust:  # one scenario after the other, with a Hessian a draw
        fixed += HESSIANS * 8 * (chosen.dates + 1) ** 2 * spec.shape.get(DRAW, 1)
    room = budget - fixed
    while shard * lane * threads > room and shard > LEAST_SHARD:
        shard //= 2
    threads = min(threads, room // (shard * lane))
    if threads < 1:
        least = -(-max(2 * result, fixed + shard * lane) // 10**6)
        raise SpecError(f"memory: {budget:,} bytes are too few to solve in; give at least {least:,} MB")
    return shard, threads
