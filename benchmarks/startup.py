"""Question: how long does the command line take, from the shell's prompt back to it.

Whole processes, each fresh, with the project's bytecode compiled, in turns. `python -c pass` is the floor, and the
import of JAX and xarray the part of `sweep run` that is not ours. `--help` and `describe` must do without JAX. Answers
are timed twice: with nothing compiled before, and with what an earlier process compiled in the cache folder.
"""

import compileall
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import record

SWEEP = ("-m", "sweep")
HELP = (*SWEEP, "--help")
DESCRIBE = (*SWEEP, "describe", "configs/baseline.toml")
BASELINE = (*SWEEP, "run", "configs/baseline.toml")
SMOKE = (*SWEEP, "run", "configs/smoke.toml")
LIMITS = {HELP: 0.2, DESCRIBE: 0.6, SMOKE: 2.0, BASELINE: 20.0}
FRONTIER = (*SWEEP, "frontier", "configs/robust_strategies.toml", "--minimise", "expected", "--minimise",
            "worst_regret", "--by", "budget")  # fmt: skip
ANSWERS = {  # and seconds that they may take, without and with what was compiled before
    (*SWEEP, "optimise", "configs/front_loading.toml"): (4.0, 1.5),
    FRONTIER: (8.0, 4.0),
    (*SWEEP, "sensitivity", "configs/sensitivity.toml"): (2.5, 1.8),
    (*SWEEP, "run", "configs/uncertainty.toml"): (2.5, 1.8),
}
FLOOR, LIBRARIES = ("-c", "pass"), ("-c", "import jax, xarray; jax.devices()")
LOADED = """
import sys
sys.argv[0] = "sweep"
from sweep.cli.main import main
try:
    main()
except SystemExit:
    print("loaded", *sorted({"jax", "xarray", "zarr", "tensorstore", "numpy", "pydantic"} & set(sys.modules)))
"""


def measure(quick: bool) -> Iterator[dict[str, Any]]:
    """Yield result lines."""
    for package in ("kernels", "sweep"):
        compileall.compile_dir(record.ROOT / package, quiet=1)
    case = "commands that compute nothing"
    yield from _race(case, [FLOOR, HELP, DESCRIBE], repeats=1 if quick else 21, warm_up=1)
    for command in (HELP, DESCRIBE):
        loaded = _loaded(command)
        line = record.judged(case, f"{_name(command)}: JAX is imported", [float("jax" in loaded)], "times", at_most=0)
        yield {**line, "loaded": loaded}
    runs = [LIBRARIES, SMOKE] if quick else [LIBRARIES, SMOKE, BASELINE]
    yield from _race("runs in memory", runs, repeats=1 if quick else 5, warm_up=0 if quick else 1)
    answers = list(ANSWERS)[:1] if quick else list(ANSWERS)
    with tempfile.TemporaryDirectory() as folder:
        for kept, case in enumerate(("answers, nothing compiled before", "answers, compiled before")):
            commands = answers if kept else [(*command, "--no-cache") for command in answers]
            limits = {command: ANSWERS[answer][kept] for command, answer in zip(commands, answers, strict=True)}
            yield from _race(case, commands, limits, repeats=1 if quick else 5, warm_up=kept, folder=folder)


def _race(
    case: str,
    commands: list[tuple[str, ...]],
    limits: Mapping[tuple[str, ...], float] = MappingProxyType(LIMITS),
    *,
    repeats: int,
    warm_up: int,
    folder: str | None = None,
) -> Iterator[dict[str, Any]]:
    took = record.race({_name(c): _process(c, folder) for c in commands}, repeats=repeats, warm_up=warm_up)
    for command in commands:
        timing = took[_name(command)]
        target = {"at_most": limits[command], "met": timing.median <= limits[command]} if command in limits else {}
        yield {**record.timed(case, _name(command), timing), **target}


def _process(command: tuple[str, ...], folder: str | None) -> Callable[[], object]:
    """A command, from the project's folder or from another one, where its cache then is."""
    here = record.ROOT if folder is None else Path(folder)
    words = [str(record.ROOT / word) if word.startswith("configs/") else word for word in command]
    environment = _environment() | (
        {} if folder is None else {"XDG_CACHE_HOME": folder, "PYTHONPATH": str(record.ROOT)}
    )
    return lambda: subprocess.run(
        [sys.executable, *words], cwd=here, env=environment, check=True, stdout=subprocess.DEVNULL
    )


def _loaded(command: tuple[str, ...]) -> list[str]:
    """Heavy libraries that a command has imported when it ends."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *command[len(SWEEP) :]],
        cwd=record.ROOT,
        env=_environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1].split()[1:]


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _name(command: tuple[str, ...]) -> str:
    return " ".join(("sweep", *command[2:])) if command[:2] == SWEEP else f'python {command[0]} "{command[1]}"'


if __name__ == "__main__":
    record.main("startup", measure, __doc__)
