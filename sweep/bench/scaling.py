"""How cost grows: with points, dates, scenarios and devices; and where latency ends and throughput begins.

A call takes about t = latency + n / throughput; at n = latency x throughput both parts are equal, and below it a
larger call is nearly free. Both are fitted to the relative errors of all sizes.
"""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from sweep.bench import measure
from sweep.bench.workload import Work
from sweep.bench.workloads import DATES, KERNELS, solve
from sweep.config.spec import DType
from sweep.plan.blocks import default_memory
from sweep.report.canvas import drawing, load_matplotlib, page, settle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REPEATS = 7
LONGEST, LONG = 5.0, 0.5  # seconds that a call is expected to take: then it is not made, or in few turns
FEW_REPEATS = 3
ALL_DATES = (1, 4, 16, 32)  # each is compiled anew, which takes seconds
FEW = 256  # scenarios, to vary the dates
LARGE, SMALL = 2**28, 2**16  # points that devices share
CHILD = """
import json, sys
import jax
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
from sweep.bench.scaling import seconds_of
print(json.dumps(seconds_of(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))))
"""
TITLES = {
    "points, full-grid": ("points", "full grid"),
    "points, fused-mean": ("points", "fused mean"),
    "scenarios, front-loading": ("scenarios", f"front-loading, {DATES} dates"),
    "dates, front-loading": ("dates of purchase K", f"front-loading, {FEW} scenarios"),
    "devices, fused-mean": ("devices", "fused mean, CPU devices"),
}


@dataclass(frozen=True)
class Fit:
    """What a call takes at least, and how much a larger one adds: t = latency + n / throughput.

    Attributes
    ----------
    latency : float
        [seconds], >= 0.
    throughput : float
        [1/second]; infinite where more costs nothing.
    """

    latency: float
    throughput: float

    @property
    def crossover(self) -> float:
        """The size at which latency and throughput cost the same."""
        return self.latency * self.throughput


def fit(sizes: Sequence[float], seconds: Sequence[float]) -> Fit:
    """Fit latency and throughput, neither below 0, so that the squares of the relative errors are least.

    Parameters
    ----------
    sizes, seconds : sequence of float
        Two or more calls; > 0.
    """
    n, t = np.asarray(sizes, float), np.asarray(seconds, float)
    columns = np.stack([1.0 / t, n / t], axis=1)
    ones = np.ones(len(t))
    # The least squares with both, or with one alone where the other would be negative.
    costs = np.linalg.lstsq(columns, ones, rcond=None)[0]
    if costs.min() < 0.0:
        alone = [columns[:, i].sum() / np.square(columns[:, i]).sum() for i in range(2)]
        misses = [np.square(columns[:, i] * alone[i] - 1.0).sum() for i in range(2)]
        costs = np.where(np.arange(2) == int(np.argmin(misses)), alone, 0.0)
    latency, a_point = map(float, costs)
    return Fit(latency, 1.0 / a_point if a_point > 0.0 else float("inf"))


def measure_scaling(dtype: DType, *, quick: bool = False) -> Iterator[dict[str, Any]]:
    """Measure cost against points, dates, scenarios and devices; yield result lines, each curve with its fit."""
    bound = _most_points(dtype)
    decades = [10**k for k in range(2 if quick else 3, 4 if quick else 11)]
    for name in ("full-grid", "fused-mean"):
        sizes = [n for n in decades if name != "full-grid" or n <= bound]
        yield from _curve(f"points, {name}", dtype, sizes, KERNELS[name].make, quick)
    counts = (1, 8) if quick else (1, 10, 100, 1000, 10_000)
    yield from _curve("scenarios, front-loading", "float64", counts, lambda n, _: solve(n, DATES), quick)
    dates = (1, 2) if quick else ALL_DATES
    yield from _curve("dates, front-loading", "float64", dates, lambda n, _: solve(4 if quick else FEW, n), quick)
    yield from _devices("fused-mean", dtype, quick)


def _most_points(dtype: DType) -> int:
    """Points of a grid that fill a quarter of the memory of the device."""
    stats = jax.local_devices()[0].memory_stats() or {}
    return stats.get("bytes_limit", default_memory()) // 4 // np.dtype(dtype).itemsize


def _curve(
    title: str, dtype: DType, sizes: Sequence[int], make: Callable[[int, DType], Work], quick: bool
) -> Iterator[dict[str, Any]]:
    """Time one size after the other, until the next one would take long; then the fit."""
    case = f"{title}, {dtype}"
    timed: list[tuple[float, float]] = []
    for size, following in itertools.pairwise([*sizes, 0]):
        with jax.enable_x64(dtype == "float64"):
            work = make(size, dtype)
            expected = timed[-1][1] * size / timed[-1][0] if timed else 0.0
            repeats = 2 if quick else FEW_REPEATS if expected > LONG else REPEATS
            timing = measure.race({"ours": work.call}, repeats=repeats, warm_up=1, before=work.before)["ours"]
        at = size if title.startswith("dates") else work.points
        timed.append((float(at), timing.median))
        yield measure.timed(case, f"{size:,}", timing, points=work.points, size=at)
        if timing.median * following / size > LONGEST:
            break
    if len(timed) > 1:
        yield from fitted(case, fit(*zip(*timed, strict=True)))


def fitted(case: str, line: Fit) -> Iterator[dict[str, Any]]:
    """Result lines of a fit; a throughput that is not bounded is left out, and with it the crossover."""
    yield measure.judged(case, "latency", [line.latency], "s")
    if np.isfinite(line.throughput):
        yield measure.judged(case, "throughput", [line.throughput], "1/s")
        yield measure.judged(case, "crossover", [line.crossover], "1")


def _devices(name: str, dtype: DType, quick: bool) -> Iterator[dict[str, Any]]:
    """The same work on 1, 2, 4 ... CPU devices, each number in a process of its own."""
    case, points = f"devices, {name}, {dtype}", SMALL if quick else LARGE
    if jax.default_backend() != "cpu":
        reason = f"only CPU devices can be forced, and this is {jax.default_backend()}"
        yield {"case": case, "result": "CPU devices", "skipped": reason}
        return
    counts = [2**k for k in range(max(2, os.cpu_count() or 1).bit_length())]
    for count in counts[1:2] if quick else counts:
        command = [sys.executable, "-c", CHILD, *map(str, (count, name, dtype, points, 2 if quick else REPEATS))]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=measure.ROOT)
        timing = measure.Timing(tuple(json.loads(done.stdout)))
        yield measure.timed(case, f"{count}", timing, points=points, size=count)


def seconds_of(name: str, dtype: DType, points: int, repeats: int) -> tuple[float, ...]:
    """Time a kernel on all devices that this process has: the child's part of what :func:`measure_scaling` does."""
    with jax.enable_x64(dtype == "float64"):
        work = KERNELS[name].make(points, dtype)
        return measure.race({name: work.call}, repeats=repeats, before=work.before)[name].seconds


def plot_scaling(lines: Sequence[dict[str, Any]]) -> "Figure":
    """Draw every curve of :func:`measure_scaling`, with its fit and its crossover, on logarithmic axes.

    Returns
    -------
    matplotlib.figure.Figure
        Not known to pyplot; write it with :func:`sweep.report.figures.save`.

    Raises
    ------
    ImportError
        Without matplotlib.
    """
    load_matplotlib()
    cases = list(dict.fromkeys(line["case"] for line in lines if "size" in line))
    notes = [
        "Dashes: t = latency + n / throughput. Circle: the crossover, n = latency x throughput. Bars: p10 to p90.",
        f"{measure.environment()['cpu']}, device {jax.devices()[0].device_kind}",
    ]
    with drawing():
        figure = page("What a call costs", notes)
        panels = _panels(figure, len(cases))
        for panel, case in zip(panels, cases, strict=True):
            _draw(panel, case, [line for line in lines if line["case"] == case])
        settle(figure)
    return figure


def _panels(figure: "Figure", count: int) -> "list[Axes]":
    """Put that many panels, two in a row, in the place of the one of a page, which grows with them."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    rows = -(-count // 2)
    before = figure.get_figheight()
    after = before * (1.0 + 0.6 * (rows - 1))
    figure.set_figheight(after)
    # The caption keeps its height.
    engine, caption = figure.get_layout_engine(), figure.texts[0]
    assert isinstance(engine, ConstrainedLayoutEngine), "a page has it"
    below = engine.get()["rect"][1] * before / after
    engine.set(rect=(0, below, 1, 1 - below))
    caption.set_y(caption.get_position()[1] * before / after)
    panels = list(np.ravel(figure.subplots(rows, min(2, count), squeeze=False)))
    for panel in panels[count:]:
        panel.remove()
    return panels[:count]


def _draw(axes: "Axes", case: str, lines: Sequence[dict[str, Any]]) -> None:
    timed = [line for line in lines if "size" in line]
    x = np.array([line["size"] for line in timed], float)
    low, middle, high = (np.array([line["seconds"][key] for line in timed]) for key in ("p10", "median", "p90"))
    # The 10th and 90th percentile of few turns may lie on the median.
    axes.errorbar(x, middle, yerr=(middle - low, high - middle), fmt="o-", markersize=3, clip_on=False)
    values = {line["result"]: line["value"]["median"] for line in lines if "value" in line}
    if "crossover" in values:
        line = Fit(values["latency"], values["throughput"])
        smooth = np.geomspace(x.min(), x.max(), 200)
        axes.plot(smooth, line.latency + smooth / line.throughput, "--", color="0.5")
        if x.min() <= line.crossover <= x.max():
            axes.plot(line.crossover, 2 * line.latency, "o", color="white", markeredgecolor="black", zorder=3)
    across, title = TITLES[case.rpartition(", ")[0]]
    decades = 10.0 ** np.array([np.floor(np.log10(low.min())), np.ceil(np.log10(high.max()))])
    axes.set(xscale="log", yscale="log", xlabel=across, ylabel="seconds", title=title, ylim=decades)
    if x.max() / x.min() < 100:
        axes.set_xticks(x, [f"{n:g}" for n in x])
        axes.set_xticks([], minor=True)
    axes.grid(True, color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
