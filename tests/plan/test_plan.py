"""Plans cut a grid into blocks that cover it once and fit their budget."""

import math
import re
from collections.abc import Sequence

import numpy as np
import pytest

from sweep.errors import SpecError
from sweep.plan.blocks import FIXED_BYTES, Plan, default_memory, make_plan

Dims = tuple[str, ...]


def random_case(seed: int) -> tuple[dict[str, int], dict[str, Dims], list[Dims], int, int]:
    """Draw a shape, variables, tables, the size of a value and a budget that cuts most shapes into several blocks."""
    rng = np.random.default_rng(seed)
    rank = int(rng.integers(1, 7))
    most = 60_000 ** (1 / rank)
    shape = {f"a{i}": int(n) for i, n in enumerate(np.ceil(most ** rng.uniform(0, 1.3, rank)))}

    def some() -> Dims:
        return tuple(dim for dim in shape if rng.random() < 0.6)

    variables = {"full": tuple(shape), **{f"part{i}": some() for i in range(rng.integers(0, 4))}, "one": ()}
    tables = [some() for _ in range(rng.integers(0, 3))]
    return shape, variables, tables, int(rng.choice([4, 8])), FIXED_BYTES + int(10 ** rng.uniform(4.3, 6))


def plan_of(seed: int) -> Plan:
    shape, variables, tables, itemsize, memory = random_case(seed)
    return make_plan(shape, variables, itemsize=itemsize, tables=tables, memory=memory)


def thirteen() -> Plan:
    shape = {f"a{i}": n for i, n in enumerate((2, 2, 3, 2, 1, 2, 2, 3, 2, 2, 1, 5, 7))}
    names = tuple(shape)
    variables = {"full": names, "odd": names[1::2], "last": names[-1:], "first": names[:1], "one": ()}
    return make_plan(shape, variables, itemsize=4, memory=FIXED_BYTES + 150_000)


PLANS = {**{f"random{seed}": (lambda seed=seed: plan_of(seed)) for seed in range(40)}, "thirteen_axes": thirteen}
each_plan = pytest.mark.parametrize("plan", [pytest.param(make, id=name) for name, make in PLANS.items()])


def alive(plan: Plan, tables: Sequence[Dims]) -> int:
    """Bytes that are there at least: of two blocks on the device, three being written, float64 tables and copies."""
    sides = dict(zip(plan.shape, plan.block_shape, strict=True))
    values, entries = (
        sum(math.prod(sides[d] for d in dims) for dims in many) for many in (plan.variables.values(), tables)
    )
    return 5 * plan.itemsize * values + 2 * 8 * entries


@each_plan
def test_blocks_tile_the_grid_exactly_once(plan):
    plan = plan()
    seen = np.zeros(tuple(plan.shape.values()), np.int8)
    for block in plan.blocks():
        seen[tuple(map(slice, block.start, block.stop))] += 1
    assert (seen == 1).all()


@each_plan
def test_blocks_lie_within_the_grid_and_count_their_points(plan):
    plan = plan()
    blocks = list(plan.blocks())
    assert len(blocks) == len(plan)
    assert sum(block.points for block in blocks) == plan.points == math.prod(plan.shape.values())
    for block in blocks:
        assert all(0 <= a < b <= n for a, b, n in zip(block.start, block.stop, plan.shape.values(), strict=True))


@each_plan
def test_blocks_come_with_the_last_axis_fastest(plan):
    plan = plan()
    blocks = list(plan.blocks())
    assert [block.number for block in blocks] == list(range(len(plan)))
    assert [block.index for block in blocks] == sorted(block.index for block in blocks)


@each_plan
def test_owned_regions_cover_every_variable_exactly_once(plan):
    plan = plan()
    seen = {name: np.zeros(plan.lengths(name), np.int8) for name in plan.variables}
    for block in plan.blocks():
        for name in plan.owned(block):
            seen[name][plan.region(name, block)] += 1
    assert all((counts == 1).all() for counts in seen.values())


@each_plan
def test_chunks_divide_blocks(plan):
    plan = plan()
    assert all(block % chunk == 0 for block, chunk in zip(plan.block_shape, plan.chunk_shape, strict=True))


@pytest.mark.parametrize("seed", range(40))
def test_make_plan_keeps_within_the_budget(seed):
    *_, tables, _, memory = random_case(seed)
    assert alive(plan_of(seed), tables) <= memory - FIXED_BYTES


@pytest.mark.parametrize(
    ("itemsize", "tables", "points"), [(4, [], 16_384), (8, [], 8_192), (4, [("a", "b")] * 3, 4_096)]
)
def test_make_plan_counts_values_and_tables_towards_the_budget(itemsize, tables, points):
    """A mebibyte is 16 copies of 16,384 values of 4 bytes; three tables of 64 bytes a point are as much as three."""
    variables = {"y": ("a", "b")}
    plan = make_plan({"a": 4096, "b": 4096}, variables, itemsize=itemsize, tables=tables, memory=FIXED_BYTES + 2**20)
    assert points // 2 < math.prod(plan.block_shape) <= points


def test_random_plans_have_several_blocks():
    assert sum(len(plan_of(seed)) > 1 for seed in range(40)) > 20 and len(thirteen()) > 1


@pytest.mark.parametrize("memory", [1, FIXED_BYTES, FIXED_BYTES + 1023])
def test_make_plan_refuses_a_budget_that_holds_no_block(memory):
    with pytest.raises(
        SpecError, match=r"^memory: [0-9]+ (bytes|MB) hold not even a block of 16 points; give at least [0-9]+ MB$"
    ):
        make_plan({"a": 1600}, {"y": ("a",)}, itemsize=4, memory=memory)


@pytest.mark.parametrize("seed", range(40))
def test_make_plan_accepts_the_budget_its_refusal_asks_for(seed):
    shape, variables, tables, itemsize, _ = random_case(seed)
    with pytest.raises(SpecError) as error:
        make_plan(shape, variables, itemsize=itemsize, tables=tables, memory=1)
    asked = 10**6 * int(re.search(r"at least (\d+) MB", str(error.value))[1])
    assert make_plan(shape, variables, itemsize=itemsize, tables=tables, memory=asked).shape == shape


@pytest.mark.parametrize("seed", range(40))
def test_make_plan_asks_for_no_more_than_it_needs(seed):
    shape, variables, tables, itemsize, _ = random_case(seed)
    with pytest.raises(SpecError) as error:
        make_plan(shape, variables, itemsize=itemsize, tables=tables, memory=1)
    asked = 10**6 * int(re.search(r"at least (\d+) MB", str(error.value))[1])
    with pytest.raises(SpecError, match="not even a block"):
        make_plan(shape, variables, itemsize=itemsize, tables=tables, memory=asked - 10**6)


def test_make_plan_counts_what_is_reserved_towards_the_budget_it_names():
    line = r"^memory: 2,000 MB hold not even a block of 16 points; give at least 2,068 MB$"
    with pytest.raises(SpecError, match=line):
        make_plan({"a": 1600}, {"y": ("a",)}, itemsize=4, memory=2 * 10**9, reserved=2 * 10**9)


def test_make_plan_gives_a_small_grid_one_block():
    assert len(make_plan({"a": 10, "b": 20}, {"y": ("a", "b")}, itemsize=8)) == 1


def test_make_plan_takes_half_of_the_machine_by_default():
    grid = {"a": 10**6, "b": 10**6}, {"y": ("a", "b")}
    assert make_plan(*grid, itemsize=4) == make_plan(*grid, itemsize=4, memory=default_memory())


def test_make_plan_cuts_smaller_blocks_for_less_memory():
    grid = {"a": 10**4, "b": 10**4}, {"y": ("a", "b")}
    counts = [len(make_plan(*grid, itemsize=4, memory=FIXED_BYTES + free)) for free in (10**9, 10**8, 10**7, 10**6)]
    assert counts == sorted(counts) and counts[0] < counts[-1]


def test_make_plan_plans_a_grid_that_no_machine_could_hold():
    plan = make_plan({"a": 10**15, "b": 10**15}, {"y": ("a", "b")}, itemsize=8, memory=2 * FIXED_BYTES)
    last = plan.block(math.prod(plan.counts) - 1)
    assert last.stop == (10**15, 10**15)


def test_result_bytes_counts_values_and_coordinates():
    plan = make_plan({"a": 10, "b": 20}, {"y": ("a", "b"), "z": ("b",), "one": ()}, itemsize=4)
    assert plan.result_bytes == 4 * (200 + 20 + 1) + 8 * 30


@each_plan
def test_stored_bytes_is_at_least_the_values_and_coordinates(plan):
    plan = plan()
    assert plan.stored_bytes >= plan.result_bytes
