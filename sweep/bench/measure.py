"""What every benchmark shares: interleaved timing, the environment, one JSON line a result, a line of a table.

`sweep bench` and the files of benchmarks/ record alike, so that `sweep bench --compare` reads the results of both.
"""

import contextlib
import datetime
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]  # of the checkout, or where the package is installed
LIBRARIES = ("jax", "jaxlib", "numba", "numexpr", "numpy", "scipy", "moocore", "tensorstore", "xarray", "zarr")
PAUSE = 0.005  # seconds before every turn: the threads of a pool that has just finished spin for a while


@dataclass(frozen=True)
class Timing:
    """Seconds of one contender, one entry for each round, and how many cores other processes kept busy meanwhile."""

    seconds: tuple[float, ...]
    others: float | None = None

    @property
    def median(self) -> float:
        """Median seconds."""
        return float(np.median(self.seconds))


def race(
    contenders: Mapping[str, Callable[[], object]],
    *,
    repeats: int,
    warm_up: int = 2,
    before: Callable[[], object] = lambda: None,
) -> dict[str, Timing]:
    """Time contenders in turns, A B C A B C, so that a change in the machine's pace strikes all of them.

    Parameters
    ----------
    contenders : mapping of str to callable
        Each does its work, waits for it, and returns what is to be freed outside the timing.
    repeats, warm_up : int
        Rounds that are timed, and rounds before them that are not.
    before : callable
        Called before every turn, untimed.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    start = _usage()
    for number in range(-warm_up, repeats):
        for name, work in contenders.items():
            before()
            time.sleep(PAUSE)
            began = time.perf_counter()
            result = work()
            took = time.perf_counter() - began
            del result
            if number >= 0:
                seconds[name].append(took)
    others = None
    if start is not None and (end := _usage()) is not None:
        busy, ours, wall = (b - a for a, b in zip(start, end, strict=True))
        others = round(max(0.0, busy - ours) / wall, 2)
    return {name: Timing(tuple(values), others) for name, values in seconds.items()}


def _usage() -> tuple[float, float, float] | None:
    """Seconds that all cores were busy, that we and our children kept them busy, and of the clock."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    except OSError:
        return None
    user, nice, system, _, _, irq, softirq, steal = map(int, fields)
    busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return busy, sum(os.times()[:4]), time.perf_counter()


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, 10th and 90th percentile, to four digits."""
    p10, median, p90 = np.quantile(values, [0.1, 0.5, 0.9])
    return {name: float(f"{v:.4g}") for name, v in (("median", median), ("p10", p10), ("p90", p90))}


def timed(case: str, result: str, timing: Timing, **facts: Any) -> dict[str, Any]:
    """One result line: how long something took; `points` and `bytes` among the facts give rates at the median."""
    line = {"case": case, "result": result, "seconds": spread(timing.seconds), "repeats": len(timing.seconds), **facts}
    if timing.others is not None:
        line["cores_busy_with_others"] = timing.others
    if "points" in facts:
        line["points_per_second"] = float(f"{facts['points'] / timing.median:.4g}")
    if "bytes" in facts:
        line["gigabytes_per_second"] = float(f"{facts['bytes'] / timing.median / 1e9:.4g}")
    return line


def judged(case: str, result: str, values: Sequence[float], unit: str, **target: float) -> dict[str, Any]:
    """One result line: a quantity, and whether its median meets ``at_least`` and ``at_most``, where they are given."""
    line: dict[str, Any] = {"case": case, "result": result, "value": spread(values), "unit": unit}
    line["repeats"] = len(values)
    if target:
        low, high = target.get("at_least", -math.inf), target.get("at_most", math.inf)
        line |= {**target, "met": low <= float(np.median(values)) <= high}
    return line


def compared(case: str, result: str, slow: Timing, fast: Timing, **target: float) -> dict[str, Any]:
    """One result line: how many times as long `slow` took as `fast`, round by round of one race.

    ``of_p10`` is the ratio of the 10th percentiles: nearer to a machine on which nothing else runs.
    """
    ratios = [a / b for a, b in zip(slow.seconds, fast.seconds, strict=True)]
    quiet = float(np.quantile(slow.seconds, 0.1) / np.quantile(fast.seconds, 0.1))
    return {**judged(case, result, ratios, "times", **target), "of_p10": float(f"{quiet:.4g}")}


def common(benchmark: str, *, quick: bool) -> dict[str, Any]:
    """What all lines of one run of a benchmark share."""
    return {"benchmark": benchmark, "quick": quick, "environment": environment()}


def append(path: Path, line: Mapping[str, Any]) -> None:
    """Append a line to a file of results."""
    with open(path, "a") as file:
        file.write(json.dumps(line, allow_nan=False) + "\n")


def environment() -> dict[str, Any]:
    """Commit, device, versions and load: what a figure depends on besides the code that is timed."""
    import jax

    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    ours = _git("ls-files", "sweep/__init__.py")
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        # A package that is installed inside somebody's checkout is not of their commit.
        "commit": (ours and _git("rev-parse", "--short=12", "HEAD")) or "unknown",
        "changed": bool(ours and _git("status", "--porcelain", "--", "kernels", "sweep", "configs")),
        "sources": _digest(),
        "device": jax.devices()[0].device_kind,
        "cpu": f"{_cpu()}, {os.cpu_count()} cores",
        "versions": versions,
        "load": round(os.getloadavg()[0], 2),
    }


def describe(line: Mapping[str, Any]) -> str:
    """Describe one result in one line of a table."""
    if "skipped" in line:
        return f"{line['result']:<58} skipped: {line['skipped']}"
    unit = line.get("unit", "s")
    values = line.get("seconds") or line["value"]
    factor, unit = (1e3, "ms") if unit == "s" and values["median"] < 1.0 else (1.0, unit)
    median, low, high = (f"{factor * values[key]:.4g}" for key in ("median", "p10", "p90"))
    text = f"{line['result']:<58} {median:>7} {unit:<5} ({low} to {high}, {line['repeats']})"
    if "points_per_second" in line:
        text += f", {line['points_per_second'] / 1e6:.4g} M points/s"
    if "gigabytes_per_second" in line:
        text += f", {line['gigabytes_per_second']:.3g} GB/s"
    if "max_error_ulp" in line:
        text += f", {line['max_error_ulp']:.3g} ulp"
    if "of_p10" in line:
        text += f", of p10 {line['of_p10']:.3g}"
    targets = [f"{sign} {line[k]:g}" for k, sign in (("at_least", ">="), ("at_most", "<=")) if k in line]
    if targets:
        text += f", target {' and '.join(targets)}: {'met' if line['met'] else 'MISSED'}"
    return text


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def _digest() -> str:
    """First 12 hex digits of a hash of the code that is measured, which a commit with changes does not tell."""
    digest = hashlib.sha256()
    for path in sorted(p for folder in ("kernels", "sweep") for p in (ROOT / folder).rglob("*.py")):
        digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _cpu() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
