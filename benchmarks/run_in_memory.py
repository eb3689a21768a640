"""Question: how many points a second does a whole run in memory make, against a NumPy broadcast into a fresh array.

`sweep.run(spec)` from a spec to a labelled dataset: planning, tables, blocks, the copy into the result. Both make a
fresh array every time, as a user's script does, which costs the system a page fault every 4 KiB: a fresh array that is
only filled is the ceiling. NumPy makes its tables within the timing too. The first runs, which compile and touch the
machine's memory for the first time, are not counted; the first one is given apart.
"""

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import record
import rivals

import sweep

OURS, BROADCAST, FILL = "sweep.run, in memory", "NumPy, broadcast", "memset of a fresh array"


def measure(quick: bool) -> Iterator[dict[str, Any]]:
    """Yield result lines."""
    for dtype in ("float32", "float64"):
        for path, top_rate in (("moderate", rivals.MODERATE), ("wide", rivals.WIDE)):
            yield from _measure_case(path, top_rate, dtype, quick)


def _measure_case(path: str, top_rate: float, dtype: str, quick: bool) -> Iterator[dict[str, Any]]:
    shape = (8, 20, 32) if quick else (128, 500, 512)
    case = f"{path}, {dtype}, {' x '.join(map(str, shape))}"
    spec = rivals.make_spec(*shape, top_rate=top_rate, dtype=dtype)
    reference = rivals.make_reference(spec)
    contenders = {
        OURS: lambda: sweep.run(spec)["relative_loss"].values,
        BROADCAST: lambda: rivals.broadcast(rivals.make_tables(spec, scaled=path == "wide")),
        FILL: partial(np.full, shape, 0.5, dtype),
    }
    began = time.perf_counter()
    made = contenders[OURS]()
    first = round(time.perf_counter() - began, 4)
    errors = {OURS: reference.error(made), BROADCAST: reference.error(contenders[BROADCAST]())}
    del made
    rivals.agree(errors, dtype)
    took = record.race(contenders, repeats=2 if quick else 21, warm_up=2)
    points = int(np.prod(shape))
    for name, timing in took.items():
        facts = {"max_error_ulp": round(errors[name], 3)} if name in errors else {}
        facts |= {"first_seconds": first} if name == OURS else {}
        yield record.timed(case, name, timing, points=points, bytes=points * np.dtype(dtype).itemsize, **facts)
    yield record.compared(case, f"{BROADCAST} / {OURS}", took[BROADCAST], took[OURS], at_least=1.0)
    yield record.compared(case, f"{FILL} / {OURS}", took[FILL], took[OURS])


if __name__ == "__main__":
    record.main("run_in_memory", measure, __doc__)
