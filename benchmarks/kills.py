"""Question: does anything get lost, or stay behind, when a command is killed at a random moment.

Not a race: ``python benchmarks/kills.py --kills 500`` kills five commands in turn with SIGKILL, each at moments spread
over the time that it takes, until it has got through, and starts again. After every kill, what was stored is still
there, byte for byte, and what is replaced is still the old or the new, whole. When a command has got through, its
results are those of one that was never killed, and its folder holds nothing else. Commands are forked from a process in
which JAX has not started, so that most moments are not those of imports.
"""

import argparse
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

# Children inherit these imports; none of them starts JAX.
import h5netcdf  # noqa: F401
import tensorstore  # noqa: F401
import zarr  # noqa: F401

from sweep.cli.main import main
from sweep.engine import reduce
from sweep.questions.sensitivity import sensitivity  # noqa: F401
from sweep.questions.split import optimise  # noqa: F401

GRID = """
model = "relative_loss"
loss = "total"
outputs = ["relative_loss", "capital_cost"]
[axes]
fleet_size = { start = 1e3, stop = 1e8, num = 64, spacing = "log" }
time = { start = 0, stop = 20, num = 256 }
doubling_rate = { start = 0, stop = 3, num = 256 }
[fixed]
scaling_exponent = 0.05
reference_fleet = 16384.0
reference_years = 0.2443
"""
OTHER = GRID.replace("0.05", "0.06")
STATISTICS = (
    GRID.replace(', "capital_cost"', "")
    + """
[statistics.average]
statistic = "mean"
output = "relative_loss"
over = ["time", "doubling_rate"]
[statistics.middle]
statistic = "quantiles"
output = "relative_loss"
over = ["time", "doubling_rate"]
probabilities = [0.5]
"""
)
UNCERTAIN = """
model = "relative_loss"
loss = "total"
outputs = ["relative_loss"]
[axes]
time = { values = [1.0, 5.0] }
[fixed]
reference_fleet = 16384.0
reference_years = 0.2443
fleet_size = 1e5
[distributions.scaling_exponent]
distribution = "uniform"
low = 0.04
high = 0.06
[distributions.doubling_rate]
distribution = "uniform"
low = 0.5
high = 2.0
[draws]
number = 1024
"""
MEMORY = 75_000_000


@dataclass
class Case:
    """A command that is killed.

    Attributes
    ----------
    name, command : str, list of str
        What it is called, and the command, which is started in a folder of its own.
    before : list of list of str
        Commands that make what is there before.
    result : str
        What it makes, in that folder.
    files : set of str
        All that the folder may hold in the end.
    """

    name: str
    command: list[str]
    result: str
    before: list[list[str]] = field(default_factory=list)
    files: set[str] = field(default_factory=set)


STORE = ["--store", "out.zarr", "--memory", str(MEMORY)]
CASES = [
    Case("grid", ["run", "grid.toml", *STORE], "out.zarr"),
    Case("statistics", ["run", "statistics.toml", *STORE], "out.zarr"),
    Case("overwrite", ["run", "grid.toml", *STORE, "--overwrite"], "out.zarr", [["run", "other.toml", *STORE]]),
    Case("netcdf", ["run", "grid.toml", "--netcdf", "out.nc", "--overwrite"], "out.nc",
         [["run", "other.toml", "--netcdf", "out.nc"]]),
    Case("extend", ["sensitivity", "uncertain.toml", "--number", "4096", "--extend", "a.nc", "--netcdf", "out.nc",
                    "--overwrite"], "out.nc",
         [["sensitivity", "uncertain.toml", "--number", "1024", "--netcdf", name] for name in ("a.nc", "out.nc")],
         {"a.nc"}),
]  # fmt: skip
CONFIGS = {"grid.toml": GRID, "other.toml": OTHER, "statistics.toml": STATISTICS, "uncertain.toml": UNCERTAIN}


def start(folder: Path, command: list[str]) -> int:
    """Start a command in a process of its own; it says nothing unless it fails."""
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        os.chdir(folder)
        log = os.open("../log", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        reduce.BETWEEN = 0.0  # every part of a tile is kept, and not one every two seconds
        main(command, prog_name="sweep")
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    finally:
        os._exit(code)


def wait(child: int) -> int:
    """Wait for a command and give its exit status."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def finish(folder: Path, command: list[str]) -> float:
    """Let a command get through and give the seconds that it took."""
    began = time.perf_counter()
    code = wait(start(folder, command))
    if code:
        raise SystemExit(f"{' '.join(command)} exits with {code}: {(folder.parent / 'log').read_text()}")
    return time.perf_counter() - began


def content(path: Path) -> dict[str, bytes]:
    """Every file of a store, or the one of NetCDF, but for those that are being written."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return {
        str(p.relative_to(path)): p.read_bytes()
        for p in files
        if p.is_file() and not p.name.endswith(".__lock") and ".partial" not in p.parts
    }


def values(path: Path) -> dict[str, bytes]:
    """Values of a NetCDF file, whose bytes tell the time; the files of a store."""
    if path.is_dir():
        return content(path)
    import xarray as xr

    with xr.open_dataset(path, engine="h5netcdf", decode_times=False) as dataset:
        return {str(name): variable.values.tobytes() for name, variable in dataset.variables.items()}


def prepare(root: Path, case: Case) -> Path:
    """Make a folder with what is there before the command."""
    folder = root / "work"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, text in CONFIGS.items():
        (folder / name).write_text(text)
    for command in case.before:
        finish(folder, command)
    return folder


def check(ok: bool, text: str) -> None:
    """Say what was lost, and end."""
    if not ok:
        raise SystemExit(f"LOST: {text}")


def killed(root: Path, case: Case, number: int, rng: random.Random) -> Iterator[str]:
    """Kill a command so many times; yield a line for each time that it got through."""
    folder = prepare(root, case)
    template = root / f"{case.name}-before"
    shutil.copytree(folder, template)
    path = folder / case.result
    old = values(path) if path.exists() else None
    took = finish(folder, case.command)
    expected, kills, runs = values(path), 0, 0
    while kills < number:
        shutil.rmtree(folder)
        shutil.copytree(template, folder)
        while True:
            before = content(path) if old is None and path.exists() else {}
            child = start(folder, case.command)
            time.sleep(rng.uniform(0.0, took))
            os.kill(child, signal.SIGKILL)
            ended = wait(child)
            if ended == 0:
                break
            check(ended == -signal.SIGKILL, f"{case.name} exits with {ended}: {(root / 'log').read_text()}")
            kills += 1
            if old is not None:
                if case.name == "overwrite" and not path.exists():
                    continue  # between two renames; the next run ends them
                check(path.exists() and values(path) in (old, expected), f"{case.name}: neither the old nor the new")
            after = content(path) if path.exists() else {}
            lost = [name for name in before if name != "zarr.json" and after.get(name) != before[name]]
            check(not lost, f"{case.name}: {lost[:3]} after kill {kills}")
            if kills >= number:
                finish(folder, case.command)
                break
        runs += 1
        check(values(path) == expected, f"{case.name}: other results after {kills} kills")
        names = set(os.listdir(folder)) - set(CONFIGS)
        check(names == {case.result, *case.files}, f"{case.name} leaves {sorted(names)}")
        inside = [p.name for p in path.rglob("*") if p.name.endswith(".__lock") or p.name == ".partial"]
        check(not inside, f"{case.name} leaves {inside[:3]} in its store")
        yield f"{case.name}: {kills} kills, {runs} times through, {took:.2g} s undisturbed: nothing lost, nothing left"


def each(function: Callable[[str], None], cases: list[Case], kills: int, seed: int) -> None:
    """Kill every command its share of times."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="sweep-kills-") as name:
        for number, case in enumerate(cases):
            share = kills * (number + 1) // len(cases) - kills * number // len(cases)
            root = Path(name, case.name)
            root.mkdir()
            for line in killed(root, case, share, rng):
                function(line)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", choices=[case.name for case in CASES], action="append", help="Only these commands.")
    asked = parser.parse_args()
    each(
        lambda line: print(line, flush=True),
        [c for c in CASES if c.name in (asked.case or [c.name])],
        asked.kills,
        asked.seed,
    )
