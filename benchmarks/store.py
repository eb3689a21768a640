"""Question: is writing a store, durably, no slower than a raw write + fsync of the same floats uncompressed.

0.54 GB of real relative losses in float32. The rival writes one file from an array that is already there and syncs it;
it has no coordinates, no metadata and cannot go on after a kill. Ours is once `sweep.run(spec, store=...)`, which
computes the values too, once the writer alone, given the values block by block, and once the evaluation alone, whose
blocks are thrown away: where they overlap, a run takes the time of the slower of the two and not their sum. All write
to a new path every time; what was written is removed and the filesystem synced between the turns, untimed. Disks are
noisy: look at p10 to p90.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import record
import rivals

import sweep
from sweep.engine.blocks import Grid
from sweep.engine.evaluate import device_kind
from sweep.models.problem import Problem
from sweep.results import manifest
from sweep.results import zarr_store as stores
from sweep.results.shard_writer import Writer

RUN, WRITER, RAW = "sweep.run, into a store", "the writer alone", "raw write + fsync"
EVALUATION, SUM, SLOWER = "the evaluation alone", "evaluation + writer", "the slower of evaluation and writer"


def measure(quick: bool) -> Iterator[dict[str, Any]]:
    """Yield result lines."""
    shape = (8, 20, 32) if quick else (256, 1024, 512)
    problem = Problem.of(rivals.make_spec(*shape))
    case = f"moderate, float32, {' x '.join(map(str, shape))}"
    values = sweep.run(problem)["relative_loss"].values
    with tempfile.TemporaryDirectory(prefix="sweep-benchmark-") as name:
        folder = Path(name)
        store, raw, alone = folder / "run.zarr", folder / "raw", folder / "alone.zarr"
        sweep.run(problem, store=store).close()
        (plan,), stored = manifest.plans_of(store), manifest.bytes_on_disk(store)
        if not np.array_equal(sweep.run(problem, store=store)["relative_loss"].values, values):
            raise ValueError("the store does not hold the values that were computed in memory")
        blocks = [
            (block, {"relative_loss": np.ascontiguousarray(values[plan.region("relative_loss", block)])})
            for block in plan.blocks()
        ]

        def clear() -> None:
            shutil.rmtree(store, ignore_errors=True)
            shutil.rmtree(alone, ignore_errors=True)
            raw.unlink(missing_ok=True)
            stores.create(alone, problem, [plan], device_kind())
            os.sync()

        def write_alone() -> None:
            writer = Writer(alone, plan)
            for block, piece in blocks:
                writer.write(block, piece)
            writer.finish()

        def evaluate_alone() -> None:
            grid = Grid(problem, plan)
            ahead = grid.start([plan.block(0)])
            for block in [*list(plan.blocks())[1:], None]:
                now = grid.start([block]) if block else None
                grid.finish(ahead)
                grid.release(ahead)
                ahead = now

        contenders = {
            RUN: lambda: sweep.run(problem, store=store).close(),
            WRITER: write_alone,
            EVALUATION: evaluate_alone,
            RAW: lambda: _write_raw(raw, values),
        }
        took = record.race(contenders, repeats=2 if quick else 11, warm_up=1, before=clear)
    for contender, timing in took.items():
        size = {RAW: values.nbytes, EVALUATION: 0}.get(contender, stored)
        yield record.timed(
            case, contender, timing, points=values.size, bytes=values.nbytes, bytes_on_disk=size, blocks=len(plan)
        )
    yield record.compared(case, f"{RAW} / {RUN}", took[RAW], took[RUN], at_least=1.0)
    yield record.compared(case, f"{RAW} / {WRITER}", took[RAW], took[WRITER])
    parts = list(zip(took[EVALUATION].seconds, took[WRITER].seconds, strict=True))
    yield record.compared(case, f"{RUN} / {SUM}", took[RUN], record.Timing(tuple(a + b for a, b in parts)))
    yield record.compared(case, f"{RUN} / {SLOWER}", took[RUN], record.Timing(tuple(max(pair) for pair in parts)))
    yield record.judged(case, "size of the store / uncompressed floats", [stored / values.nbytes], "times")


def _write_raw(path: Path, values: np.ndarray) -> None:
    with open(path, "wb", buffering=0) as file:
        left = memoryview(values).cast("B")
        while left:
            left = left[file.write(left[: 2**26]) :]
        os.fsync(file.fileno())


if __name__ == "__main__":
    record.main("store", measure, __doc__)
