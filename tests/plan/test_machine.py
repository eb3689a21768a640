"""How much memory a process may take, by control groups that are written here as Linux shows them."""

import os

import pytest

from sweep.plan.blocks import default_memory
from sweep.plan.machine import available_memory

PHYSICAL = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
V2 = "29 23 0:26 {root} {point} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1 = "35 31 0:32 {root} {point} rw,relatime - cgroup cgroup rw,{controllers}"
UNLIMITED = 9223372036854771712  # what version 1 says where there is no limit


def make_root(folder, groups, mounts, limits):
    """Write /proc and the mounts; `limits` are the texts of files below them."""
    files = {"proc/self/cgroup": "\n".join(groups), "proc/self/mountinfo": "\n".join([*OTHERS, *mounts])}
    for name, text in {**files, **limits}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return folder


OTHERS = (
    "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw",
    "24 22 0:22 / /proc rw,nosuid - proc proc rw",
    "31 22 0:28 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755",
    "a line of no use",
)
V2_HERE = V2.format(root="/", point="/sys/fs/cgroup")
V1_HERE = V1.format(root="/", point="/sys/fs/cgroup/memory", controllers="memory")
TOP, MEMORY = "sys/fs/cgroup", "sys/fs/cgroup/memory"
CASES = {
    "no /proc": ([], [], {}, PHYSICAL),
    "version 2, no limit": (["0::/a"], [V2_HERE], {f"{TOP}/a/memory.max": "max"}, PHYSICAL),
    "version 2, the root group, which has no file": (["0::/"], [V2_HERE], {}, PHYSICAL),
    "version 2": (["0::/a"], [V2_HERE], {f"{TOP}/a/memory.max": "1500000000"}, 1_500_000_000),
    "version 2, a container with names of its own": (["0::/"], [V2_HERE], {f"{TOP}/memory.max": "5000000"}, 5_000_000),
    "version 2, a group above is the tightest": (
        ["0::/a/b/c"],
        [V2_HERE],
        {f"{TOP}/a/b/c/memory.max": "max", f"{TOP}/a/b/memory.max": "7000000", f"{TOP}/a/memory.max": "6000000"},
        6_000_000,
    ),
    "version 2, a group below is the tightest": (
        ["0::/a/b"],
        [V2_HERE],
        {f"{TOP}/a/b/memory.max": "5000000", f"{TOP}/a/memory.max": "6000000"},
        5_000_000,
    ),
    "version 2, another group's limit": (["0::/a"], [V2_HERE], {f"{TOP}/b/memory.max": "5000000"}, PHYSICAL),
    "version 2, more than the machine has": (["0::/a"], [V2_HERE], {f"{TOP}/a/memory.max": f"{2**60}"}, PHYSICAL),
    "version 2, not a number": (["0::/a"], [V2_HERE], {f"{TOP}/a/memory.max": "plenty"}, PHYSICAL),
    "version 1": (
        ["4:memory:/a", "1:cpu:/b", "0::/"],
        [V1_HERE],
        {f"{MEMORY}/a/memory.limit_in_bytes": "5000000", f"{MEMORY}/b/memory.limit_in_bytes": "4000000"},
        5_000_000,
    ),
    "version 1, no limit": (
        ["4:memory:/a"],
        [V1_HERE],
        {f"{MEMORY}/{a}memory.limit_in_bytes": f"{UNLIMITED}" for a in ("", "a/")},
        PHYSICAL,
    ),
    "version 1, nested, mounted with another controller": (
        ["9:hugetlb,memory:/a/b"],
        [V1.format(root="/", point="/sys/fs/cgroup/both", controllers="hugetlb,memory")],
        {f"{TOP}/both/a/b/memory.limit_in_bytes": f"{UNLIMITED}", f"{TOP}/both/a/memory.limit_in_bytes": "5000000"},
        5_000_000,
    ),
    "version 1, a container that sees the host's names": (
        ["4:memory:/docker/c1"],
        [V1.format(root="/docker/c1", point="/sys/fs/cgroup/memory", controllers="memory")],
        {f"{MEMORY}/memory.limit_in_bytes": "5000000"},
        5_000_000,
    ),
    "version 1, the group is not below its mount": (
        ["4:memory:/elsewhere"],
        [V1.format(root="/docker/c1", point="/sys/fs/cgroup/memory", controllers="memory")],
        {f"{MEMORY}/memory.limit_in_bytes": "5000000"},
        5_000_000,
    ),
    "both versions, the second without this controller": (
        ["4:memory:/a", "0::/a"],
        [V1_HERE, V2.format(root="/", point="/sys/fs/cgroup/unified")],
        {f"{MEMORY}/a/memory.limit_in_bytes": "5000000", f"{TOP}/unified/a/cgroup.procs": "1"},
        5_000_000,
    ),
    "a mount with a space in its name": (
        ["0::/a b"],
        [V2.format(root="/", point=r"/my\040groups")],
        {"my groups/a b/memory.max": "5000000"},
        5_000_000,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_available_memory_is_the_least_limit_of_the_groups(tmp_path, case):
    *files, expected = CASES[case]
    root = make_root(tmp_path, *files) if case != "no /proc" else tmp_path
    assert available_memory(root) == expected


@pytest.mark.parametrize(
    ("most", "budget"),
    [(16e6, 4e6), (400e6, 100e6), (500e6, 200e6), (1.5e9, 750e6), (1e12, 500e9)],
    ids=lambda number: f"{number:.2g}",
)
def test_default_memory_leaves_room_for_the_libraries(monkeypatch, most, budget):
    """Half, but 300 MB are left for the libraries, and a quarter where there is little more than these."""
    monkeypatch.setattr("sweep.plan.blocks.available_memory", lambda: int(most))
    assert default_memory() == budget
