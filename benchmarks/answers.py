"""Write the README's figures from the results that are committed: ``python benchmarks/answers.py``.

Every figure is found by benchmark, case and result in the newest file of results that has it, and cites its line. What
stands between the markers of the README is replaced; nothing is measured here.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.jsonl"))
BEGIN, END = "<!-- figures: python benchmarks/answers.py -->\n", "<!-- end of figures -->"
ON_CPU = "-2-cores"

GRID = "moderate, float32, 128 x 500 x 512"
CUBE = "float32, 1000 x 1000 x 1000"
MEANS = f"mean over fleet_size, moderate, {CUBE}"
BLOCKED = "NumPy, blocked in cache, all cores"
STORE = "moderate, float32, 256 x 1024 x 512"
SPLITS = "mean loss, 8 dates, float64, 10000 scenarios, SLSQP on 100"
SLSQP, LANES = "SciPy SLSQP, gradient, one start", "ours, a thread a core"
OPTAX, A, NEAR = "mean loss, 8 dates, float64, 256 scenarios", ", a scenario", "share_within_1e_6"
TRILLION = "configs/trillion.toml, 1e12 points, into a store"
EDGE = f"moderate, {CUBE}"
INDICES = "4 parameters of the relative loss, float64, base sample 262144"
SOBOL = "ours, sweep.sensitivity"
PAGE, LOOKED_ON = "page of baseline.toml", "explorer of 3,000 points"
YEARS = "time_to_target, float32, 181 x 181 x 512"

FIRST, NEXT = "answers, nothing compiled before", "answers, compiled before"
OPTIMISE, UNCERTAIN = "sweep optimise configs/front_loading.toml", "sweep run configs/uncertainty.toml"


@dataclass(frozen=True)
class Figure:
    """A number of a result line, in words: `text` has {} in its place.

    Attributes
    ----------
    text : str
        What the number is.
    benchmark, case, result : str
        The line.
    field : str
        What of the line: a name, or "median", of its seconds or its value.
    factor : float
        By which it is multiplied, for its unit.
    """

    text: str
    benchmark: str
    case: str
    result: str
    field: str = "median"
    factor: float = 1.0


ROWS = {
    "a block of 3e7 losses, float32, into a buffer that is used again": (
        Figure("{} points/s", "evaluate", GRID, "ours, stage 2", "points_per_second"),
        Figure("within {} ulp", "evaluate", GRID, "ours, stage 2", "max_error_ulp"),
        Figure("{} x NumPy's broadcast", "evaluate", GRID, "NumPy, broadcast, fresh / ours, stage 2"),
        Figure("{} x NumPy blocked in cache on both cores", "evaluate", GRID, f"{BLOCKED} / ours, stage 2"),
        Figure("{} of memset's rate", "evaluate", GRID, "memset, ndarray.fill / ours, stage 2"),
    ),
    "a whole run of that in memory": (
        Figure("{} points/s", "run_in_memory", GRID, "sweep.run, in memory", "points_per_second"),
        Figure("{} x NumPy", "run_in_memory", GRID, "NumPy, broadcast / sweep.run, in memory"),
    ),
    "a durable store of 0.5 GB": (
        Figure(
            "{} x the rate of a raw write and fsync of the floats",
            "store",
            STORE,
            "raw write + fsync / sweep.run, into a store",
        ),
        Figure("{} of their size", "store", STORE, "size of the store / uncompressed floats"),
    ),
    "the mean over one axis of 1e9 points, from a spec to a dataset": (
        Figure("{} s", "reduce", MEANS, "sweep.run"),
        Figure("{} x NumPy blocked in cache", "reduce", MEANS, f"{BLOCKED} / sweep.run"),
        Figure("{} x Dask", "reduce", MEANS, "Dask / sweep.run"),
        Figure("{} x xarray", "reduce", MEANS, "xarray / sweep.run, by the point"),
        Figure("in {} MB", "reduce", f"peak memory, {CUBE}", "mean"),
    ),
    "three exact quantiles of each of 1e6 rows of 1000": (
        Figure("{} s", "reduce", f"over fleet_size, moderate, {CUBE}", "quantiles"),
    ),
    "`trillion.toml`, 1e12 points": (
        Figure("{} points/s", "reduce", TRILLION, "rate", factor=1e9),
        Figure("{} minutes in all", "reduce", TRILLION, "whole"),
    ),
    "a lazy dataset of 1e12 points": (
        Figure("opens in {} ms", "lazy", "1e+12 points, float32", "open", factor=1e3),
        Figure("a point of it takes {} ms", "lazy", "1e+12 points, float32", "one point", factor=1e3),
    ),
    "budgets split optimally, eight dates": (
        Figure("{} a second", "front_loading", SPLITS, f"{LANES}, a scenario", "scenarios_per_second"),
        Figure("{} x SciPy's SLSQP", "front_loading", SPLITS, f"{SLSQP} / {LANES}"),
        Figure("{} % of them certified", "front_loading", SPLITS, "share certified", factor=100.0),
    ),
    "the same with optax's L-BFGS, 200 steps at most, or Adam, 1000, instead of Newton's method": (
        Figure("{} x", "optimisers", OPTAX, "lbfgs, 200 steps / newton"),
        Figure("{} x the time", "optimisers", OPTAX, "adam, 1000 steps / newton"),
        Figure(
            "within 1e-6 of the least loss in {} %", "optimisers", OPTAX, f"lbfgs, 200 steps{A}", NEAR, factor=100.0
        ),
        Figure("{} % of the scenarios", "optimisers", OPTAX, f"adam, 1000 steps{A}", NEAR, factor=100.0),
        Figure("in Newton's time Adam in {} %", "optimisers", OPTAX, f"adam, 30 steps{A}", NEAR, factor=100.0),
    ),
    "the frontier of 1e9 points in loss and cost": (
        Figure("{} points/s", "frontier", EDGE, "loss and cost", "points_per_second"),
        Figure("{} of a mean's rate", "frontier", EDGE, "rate of loss and cost / rate of the mean"),
    ),
    "years to a target, 1.7e7 points of a grid": (
        Figure("{} points/s", "inverse", YEARS, "ours", "points_per_second"),
        Figure("{} x NumPy's closed form", "inverse", YEARS, "NumPy, closed form / ours"),
    ),
    "Sobol' indices of four parameters with intervals, base sample 2^18, float64": (
        Figure("{} ms", "sensitivity", INDICES, SOBOL, factor=1e3),
        Figure("{} x SciPy without intervals", "sensitivity", INDICES, f"SciPy, no intervals / {SOBOL}"),
        Figure("{} x SALib with them", "sensitivity", INDICES, f"SALib, 100 resamples / {SOBOL}"),
    ),
    "a first answer in a fresh process, nothing compiled before": (
        Figure("`sweep optimise configs/front_loading.toml` {} s", "startup", FIRST, f"{OPTIMISE} --no-cache"),
        Figure("`sweep run configs/uncertainty.toml` {} s", "startup", FIRST, f"{UNCERTAIN} --no-cache"),
        Figure("with what an earlier process compiled {} s", "startup", NEXT, OPTIMISE),
        Figure("{} s", "startup", NEXT, UNCERTAIN),
    ),
    "the page of `baseline.toml`, in Chromium": (
        Figure("{} bytes", "page", PAGE, "size"),
        Figure("drawn in {} s", "page", PAGE, "from the address to the last figure"),
        Figure("follows a slider in {} ms", "page", PAGE, "a slider's move, to other curves and map", factor=1e3),
        Figure("in the explorer, with 3,000 points, in {} ms", "page", LOOKED_ON, "a slider's move", factor=1e3),
    ),
}


def lines() -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Every result line with the name of its file and its number, the oldest file first."""
    for path in RESULTS:
        for number, text in enumerate(path.read_text().splitlines(), 1):
            yield path.stem, number, json.loads(text)


def found(figure: Figure) -> tuple[str, str, int]:
    """Give the text of a figure, and the file and line that say so.

    Raises
    ------
    ValueError
        Where no file has it.
    """
    wanted = figure.benchmark, figure.case, figure.result
    for stem, number, line in reversed(list(lines())):
        if ON_CPU in stem and (line["benchmark"], line["case"], line["result"]) == wanted and "skipped" not in line:
            values = line if figure.field != "median" else line.get("seconds") or line["value"]
            return figure.text.format(rounded(values[figure.field] * figure.factor)), stem, number
    raise ValueError(f"no result is {', '.join(wanted)}")


def rounded(value: float) -> str:
    """Two digits, which is more than the noise allows: 0.28, 5.8, 150, 3.0e9."""
    if abs(value) >= 1e5:
        digits, _, exponent = f"{value:.1e}".partition("e")
        return f"{digits}e{int(exponent)}"
    return f"{float(f'{value:.2g}'):g}"


def render() -> str:
    """What stands between the markers."""
    stems = [path.stem for path in RESULTS]
    used: set[str] = set()

    def cite(stem: str, number: int) -> str:
        used.add(stem)
        return f"[{letter(stems, stem)}{number}]"

    text = "| what | how fast |\n|---|---|\n"
    for what, figures in ROWS.items():
        parts = [f"{words} {cite(stem, number)}" for words, stem, number in map(found, figures)]
        text += f"| {what} | {', '.join(parts)} |\n"
    for device, kernels in _benches().items():
        text += (
            f"\n`sweep bench` on {device}, shares of what filling or copying memory and multiply-adds reach there "
            "(comparisons and shifts are counted as operations too, so arithmetic can be above 1):\n"
        )
        text += "\n| kernel | points/s | of memory | of multiply-adds | error |\n|---|---|---|---|---|\n"
        for line, stem, number in kernels:
            text += f"| {line['kernel']}, {line['dtype']} | {rounded(line['points_per_second'])} {cite(stem, number)} |"
            memory, adds = line.get("share_of_fill", line.get("share_of_copy")), line.get("share_of_multiply_add")
            text += "".join(f" {'–' if share is None else rounded(share)} |" for share in (memory, adds))
            text += f" {_error(line)} |\n"
    legend = [f"[{letter(stems, stem)}…] benchmarks/results/{stem}.jsonl" for stem in stems if stem in used]
    return f"{text}\nFile and line: {', '.join(legend)}.\n"


def _benches() -> dict[str, list[tuple[dict[str, Any], str, int]]]:
    """The newest line of each kernel in normal size, by device, in the order of the newest file."""
    newest: dict[tuple[str, str, str], tuple[dict[str, Any], str, int]] = {}
    for stem, number, line in lines():
        if line["benchmark"] == "bench" and "kernel" in line:
            of = line["environment"]
            device = of["cpu"] if of["device"] == "cpu" else of["device"]
            newest[device, line["kernel"], line["dtype"]] = line, stem, number
    found: dict[str, list[tuple[dict[str, Any], str, int]]] = {}
    for (device, _, _), entry in newest.items():
        found.setdefault(device, []).append(entry)
    return found


def _error(line: dict[str, Any]) -> str:
    if "misjudged" in line:
        return "none" if line["misjudged"] == 0 else f"{line['misjudged']} points"
    value = line.get("error_beyond_ulp", line.get("max_error_ulp"))
    return "–" if value is None else f"{rounded(value)} ulp"


def letter(stems: Sequence[str], stem: str) -> str:
    """The letter by which a file is cited: a for the oldest."""
    return chr(ord("a") + list(stems).index(stem))


def rewritten(readme: str) -> str:
    """Give a README with the figures of now between its markers."""
    before, _, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{README.name}: has no {BEGIN.strip()} and {END}")
    return f"{before}{BEGIN}\n{render()}\n{END}{after}"


if __name__ == "__main__":
    README.write_text(rewritten(README.read_text()))
