"""Question: does a run stay within its memory budget + 300 MB, whatever the size of the grid.

The most memory that a fresh process ever held (VmHWM of Linux), for grids of 1e7 to 1e9 points and budgets of 100 MB
to 1 GB, into a store, and in memory where the result fits half of the budget. The budget covers blocks and result; the
300 MB are Python and its libraries. One process a line: it either holds or it does not.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import record

CHILD = """
import sys
from pathlib import Path
import rivals, sweep
fleets, times, rates, budget, store = sys.argv[1:]
spec = rivals.make_spec(int(fleets), int(times), int(rates), top_rate=rivals.WIDE)
sweep.run(spec, memory=int(budget), store=store or None).close()
for line in Path("/proc/self/status").read_text().splitlines():
    if line.startswith("VmHWM"):
        print(int(line.split()[1]) * 1024)
"""
ALLOWED = 300.0
GRIDS = {"1e7": (100, 250, 400), "1e8": (200, 1000, 500), "1e9": (1000, 1000, 1000)}
RUNS = [
    *((points, budget, True) for points in GRIDS for budget in (100, 256, 1000)),
    ("1e7", 256, False),
    ("1e8", 1000, False),
]


def measure(quick: bool) -> Iterator[dict[str, Any]]:
    """Yield result lines."""
    if not Path("/proc/self/status").exists():
        yield {"case": "peak memory", "result": "VmHWM", "skipped": "there is no /proc here"}
        return
    for points, budget, stored in [("quick", 128, True)] if quick else RUNS:
        shape = (8, 20, 32) if quick else GRIDS[points]
        with tempfile.TemporaryDirectory(prefix="sweep-benchmark-") as folder:
            peak = _peak(shape, budget, f"{folder}/run.zarr" if stored else "")
        case = f"wide, float32, {' x '.join(map(str, shape))}, {'into a store' if stored else 'in memory'}"
        result = f"peak beyond a budget of {budget} MB"
        yield {
            **record.judged(case, result, [peak / 1e6 - budget], "MB", at_most=ALLOWED),
            "budget_bytes": budget * 10**6,
            "peak_bytes": peak,
        }


def _peak(shape: tuple[int, ...], budget: int, store: str) -> int:
    """Bytes of VmHWM of a fresh process that runs one sweep."""
    arguments = [*map(str, shape), str(budget * 10**6), store]
    paths = os.pathsep.join(filter(None, [str(record.ROOT), str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *arguments],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return int(done.stdout)


if __name__ == "__main__":
    record.main("memory", measure, __doc__)
