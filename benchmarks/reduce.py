"""Question: how many points a second does a sweep reduce to a statistic, against NumPy, xarray and Dask on all cores.

`sweep.run(spec)` from a spec to a labelled dataset: tables, evaluation, reduction. NumPy is blocked in cache: each
thread evaluates pieces of the (time, rate) plane in place, fleet by fleet, and adds them to a sum, in float32; it is
given its tables and the best of three sizes of piece. xarray and Dask are what an analyst writes in one line, on the
same tables. xarray holds the whole grid, so it is given a tenth of it, and compared by the point. Errors are those of
the statistic, against 40 digits at a sample of its cells (quantiles: against NumPy's of the same values).
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import dask.array
import mpmath
import numpy as np
import record
import rivals
import xarray as xr

import sweep
from kernels import statistics

OURS, BLOCKED, DASK, XARRAY = "sweep.run", "NumPy, blocked in cache, all cores", "Dask", "xarray"
MOST_MEMORY = 1000.0  # MB
CHILD = """
import sys
import rivals, sweep
spec = rivals.make_spec(*map(int, sys.argv[1:4]))
over = ("fleet_size",) if sys.argv[4] == "mean" else ("time", "doubling_rate")
wanted = {"statistic": sys.argv[4], "output": "relative_loss", "over": over}
if sys.argv[4] == "quantiles":
    wanted["probabilities"] = (0.05, 0.5, 0.95)
sweep.run(spec.model_copy(update={"statistics": {"s": sweep.Statistic(**wanted)}}))
for line in open("/proc/self/status"):
    if line.startswith("VmHWM"):
        print(int(line.split()[1]) * 1024)
"""
STOPPED = """
import sys, time
import sweep
began = time.perf_counter()
def watch(step):
    if step.seconds > float(sys.argv[3]):
        print(step.new_points / step.seconds)
        raise KeyboardInterrupt
try:
    sweep.run(sweep.load(sys.argv[1]), store=sys.argv[2], progress=watch)
except KeyboardInterrupt:
    pass
"""


def measure(quick: bool) -> Iterator[dict[str, Any]]:
    """Yield result lines."""
    yield from _means(quick)
    yield from _kinds(quick)
    yield from _quantiles(quick)
    yield from _memory(quick)
    yield from _config(quick)


def _spec(shape: tuple[int, int, int], kind: str, over: tuple[str, ...], **more: Any) -> sweep.SweepSpec:
    statistic = sweep.Statistic(statistic=kind, over=over, **more)
    return rivals.make_spec(*shape).model_copy(update={"statistics": {"found": statistic}})


def _means(quick: bool) -> Iterator[dict[str, Any]]:
    shape = (20, 30, 40) if quick else (1000, 1000, 1000)
    small = (2, 30, 40) if quick else (100, 1000, 1000)
    points = int(np.prod(shape))
    case = f"mean over fleet_size, moderate, float32, {' x '.join(map(str, shape))}"
    spec = _spec(shape, "mean", ("fleet_size",), output="relative_loss")
    tables = rivals.make_tables(spec, scaled=False)
    few = rivals.make_tables(rivals.make_spec(*small), scaled=False)
    blocked, piece = _tuned(tables, quick)
    contenders: dict[str, Callable[[], Any]] = {
        OURS: lambda: sweep.run(spec).found.values,
        BLOCKED: blocked,
        DASK: lambda: _dask(tables),
    }
    exact = _exact_means(spec, quick)
    errors, first = {}, {}
    for name, work in {**contenders, XARRAY: lambda: _xarray(few)}.items():
        began = time.perf_counter()
        made = work()
        first[name] = round(time.perf_counter() - began, 4)
        errors[name] = (
            _error(made, exact) if name != XARRAY else _error(made, _exact_means(rivals.make_spec(*small), quick))
        )
    rivals.agree(errors, "float32")
    took = record.race(contenders, repeats=2 if quick else 7, warm_up=1)
    took |= record.race({XARRAY: lambda: _xarray(few)}, repeats=2 if quick else 5, warm_up=1)
    facts = {BLOCKED: {"tuned": f"pieces of {piece}"}, XARRAY: {"points": int(np.prod(small))}}
    for name, timing in took.items():
        line = {"points": points, "max_error_ulp": round(errors[name], 3), "first_seconds": first[name]}
        yield record.timed(case, name, timing, **line | facts.get(name, {}))
    yield record.compared(case, f"{BLOCKED} / {OURS}", took[BLOCKED], took[OURS], at_least=2.0)
    yield record.compared(case, f"{DASK} / {OURS}", took[DASK], took[OURS], at_least=8.0)
    ratio = took[XARRAY].median / np.prod(small) / (took[OURS].median / points)
    yield record.judged(case, f"{XARRAY} / {OURS}, by the point", [float(ratio)], "times", at_least=8.0)


def _tuned(tables: rivals.Tables, quick: bool) -> tuple[Callable[[], np.ndarray], int]:
    pool = ThreadPoolExecutor(os.cpu_count() or 1)
    tried = {piece: _Blocked(tables, piece, pool) for piece in (2**13, 2**14, 2**15)}
    part = rivals.Tables(tables.fleet[: len(tables.fleet) // 10], tables.years, None, None, tables.kappa)
    short = {str(piece): _Blocked(part, piece, pool) for piece in tried}
    took = record.race(short, repeats=1 if quick else 3, warm_up=1)
    best = min(tried, key=lambda piece: took[str(piece)].median)
    return tried[best], best


class _Blocked:
    """Mean over fleets in pieces that stay in the cache, on all cores."""

    def __init__(self, tables: rivals.Tables, piece: int, pool: ThreadPoolExecutor) -> None:
        self._tables, self._pool, self._piece = tables, pool, piece

    def __call__(self) -> np.ndarray:
        years = self._tables.years.ravel()
        out = np.empty_like(years)
        ends = np.linspace(0, len(years), (os.cpu_count() or 1) + 1).astype(int)
        list(self._pool.map(lambda span: self._fill(years, out, *span), pairwise(ends)))
        return out.reshape(self._tables.shape[1:])

    def _fill(self, years: np.ndarray, out: np.ndarray, first: int, last: int) -> None:
        minus_kappa, fleets = -self._tables.kappa, self._tables.fleet.ravel()
        o = np.empty(self._piece, years.dtype)
        for start in range(first, last, self._piece):
            span = slice(start, min(start + self._piece, last))
            total, value = out[span], o[: span.stop - span.start]
            total.fill(0)
            for fleet in fleets:
                np.multiply(years[span], fleet, out=value)
                np.add(value, 1, out=value)
                np.log2(value, out=value)
                np.multiply(value, minus_kappa, out=value)
                np.exp2(value, out=value)
                np.add(total, value, out=total)
            np.divide(total, len(fleets), out=total)


def _dask(tables: rivals.Tables) -> np.ndarray:
    fleet = dask.array.from_array(tables.fleet, chunks=(max(1, len(tables.fleet) // 20), 1, 1))
    years = dask.array.from_array(tables.years, chunks=(1, max(1, tables.years.shape[1] // 4), tables.years.shape[2]))
    return ((1 + fleet * years) ** -tables.kappa).mean(axis=0).compute()


def _xarray(tables: rivals.Tables) -> np.ndarray:
    fleet = xr.DataArray(tables.fleet.ravel(), dims="fleet_size")
    years = xr.DataArray(tables.years[0], dims=("time", "doubling_rate"))
    return ((1 + fleet * years) ** -tables.kappa).mean("fleet_size").values


def _exact_means(spec: sweep.SweepSpec, quick: bool) -> list[tuple[tuple[int, int], float]]:
    """Means at a few cells, to 40 digits."""
    fleets, times, rates = (axis.coordinates() for axis in spec.axes.values())
    rng = np.random.default_rng(1)
    found = []
    with mpmath.workdps(40):
        for _ in range(4 if quick else 12):
            i, j = int(rng.integers(len(times))), int(rng.integers(len(rates)))
            t, rate = mpmath.mpf(float(times[i])), mpmath.mpf(float(rates[j]))
            years = (2 ** (t * rate) - 1) / (rate * mpmath.ln2) if rate else t
            scale = years / (mpmath.mpf(rivals.REFERENCE_FLEET) * mpmath.mpf(rivals.REFERENCE_YEARS))
            total = mpmath.fsum((1 + float(n) * scale) ** -mpmath.mpf(rivals.KAPPA) for n in fleets)
            found.append(((i, j), float(total / len(fleets))))
    return found


def _error(made: np.ndarray, exact: list[tuple[tuple[int, int], float]]) -> float:
    """Largest error in ulp of float32."""
    return max(abs(float(made[at]) - value) / float(np.spacing(np.float32(value))) for at, value in exact)


def _kinds(quick: bool) -> Iterator[dict[str, Any]]:
    """Points a second of each kind of statistic, over each number of axes."""
    shape = (20, 30, 40) if quick else (1000, 1000, 1000)
    points = int(np.prod(shape))
    for over in (("fleet_size",), ("time",), ("time", "doubling_rate"), ("fleet_size", "time", "doubling_rate")):
        case = f"over {', '.join(over)}, moderate, float32, {' x '.join(map(str, shape))}"
        works = {}
        for kind in ("mean", "std", "min", "argmin", "share", "quantiles", "histogram"):
            more: dict[str, Any] = {"where": "relative_loss < 0.6"} if kind == "share" else {"output": "relative_loss"}
            more |= {"probabilities": (0.05, 0.5, 0.95)} if kind == "quantiles" else {}
            more |= {"edges": sweep.Axis(start=0.2, stop=1.0, num=41)} if kind == "histogram" else {}
            if kind in ("mean", "quantiles") or over == ("fleet_size",):
                works[kind] = partial(sweep.run, _spec(shape, kind, over, **more))
        for name, timing in record.race(works, repeats=2 if quick else 3, warm_up=1).items():
            yield record.timed(case, name, timing, points=points)


def _quantiles(quick: bool) -> Iterator[dict[str, Any]]:
    n = 10**4 if quick else 10**7
    case = f"three quantiles of {n:,} float32 values, one row"
    values = np.random.default_rng(1).random((1, n), np.float32)
    held = values.copy()
    probabilities = (0.05, 0.5, 0.95)
    works = {
        "kernels.statistics.row_quantiles": lambda: statistics.row_quantiles(held, probabilities),
        "np.sort": lambda: held.sort(axis=1),
        "np.quantile": lambda: np.quantile(held, probabilities, axis=1),
    }
    exact = np.quantile(values.astype(np.float64), probabilities, axis=1).T
    found = statistics.row_quantiles(values.copy(), probabilities)
    rivals.agree({"row_quantiles": float(np.max(np.abs(found - exact) / np.spacing(found)))}, "float32")
    took = record.race(works, repeats=2 if quick else 9, before=lambda: np.copyto(held, values))
    for name, timing in took.items():
        yield record.timed(case, name, timing, points=n)
    ours = took["kernels.statistics.row_quantiles"]
    yield record.compared(case, "np.sort / ours", took["np.sort"], ours, at_least=1.0)
    yield record.compared(case, "np.quantile / ours", took["np.quantile"], ours)


def _memory(quick: bool) -> Iterator[dict[str, Any]]:
    if not Path("/proc/self/status").exists():
        yield {"case": "peak memory", "result": "VmHWM", "skipped": "there is no /proc here"}
        return
    shape = (20, 30, 40) if quick else (1000, 1000, 1000)
    for kind in ("mean", "quantiles"):
        peak = int(_child(CHILD, *map(str, shape), kind)) / 1e6
        case = f"peak memory, float32, {' x '.join(map(str, shape))}"
        yield record.judged(case, kind, [peak], "MB", at_most=MOST_MEMORY)


def _config(quick: bool) -> Iterator[dict[str, Any]]:
    """How fast the configs of this project are reduced: whole, or for a minute of the largest."""
    seconds = 1.0 if quick else 60.0
    with tempfile.TemporaryDirectory(prefix="sweep-benchmark-") as folder:
        rate = float(_child(STOPPED, str(record.ROOT / "configs/trillion.toml"), f"{folder}/t.zarr", str(seconds)))
    unit = "1e9 points/s"
    yield record.judged("configs/trillion.toml, 1e12 points, into a store", "rate", [rate / 1e9], unit)
    yield record.judged("configs/trillion.toml, 1e12 points, into a store", "whole", [1e12 / rate / 60], "minutes")
    if not quick:
        problem = sweep.load(record.ROOT / "configs/loss_bands.toml")
        timing = record.race({"sweep.run": lambda: sweep.run(problem)}, repeats=3, warm_up=1)["sweep.run"]
        yield record.timed("configs/loss_bands.toml", "sweep.run", timing, points=problem.spec.points)


def _child(code: str, *arguments: str) -> str:
    paths = os.pathsep.join(filter(None, [str(record.ROOT), str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


if __name__ == "__main__":
    record.main("reduce", measure, __doc__)
