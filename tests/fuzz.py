"""Seeded nonsense for the command line: configs, command lines, and damaged stores and files.

Every case must end within `SECONDS` in success or in one line, and nothing that was damaged may be taken for what was
written. ``tests/cli/test_fuzz.py`` runs a slice; all of it is ``python -P tests/fuzz.py``,
without ``-P`` the folder of tests named kernels would be taken for the package.
"""

import argparse
import contextlib
import copy
import json
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import tomllib
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from click.testing import CliRunner

import sweep
from sweep.cli.main import main
from sweep.cli.plot import _open
from sweep.config import samples
from sweep.errors import LONGEST, SpecError
from sweep.report.page.server import Explorer
from sweep.report.slices import readable
from sweep.results import manifest, netcdf

ROOT = Path(__file__).parents[1]
NUMBERS = {"configs": 1000, "commands": 500, "corruptions": 300}
SECONDS = 20  # that a case may take
MOST_POINTS = 20_000  # of a mutated config that is run: more may take long and be right
COMMON = """
loss = "total"
outputs = ["relative_loss", "capital_cost"]
[axes.fleet_size]
values = [1e3, 1e5, 1e6]
[axes.time]
start = 0.5
stop = 20
num = 41
[fixed]
scaling_exponent = 0.05
reference_fleet = 1.0
reference_years = 1.0
"""
GRID = COMMON + "doubling_rate = 0.5\n"
MEANS = (
    GRID.replace("outputs =", "# ")
    + """
[statistics.mean]
statistic = "mean"
output = "relative_loss"
over = ["time"]
[statistics.q]
statistic = "quantiles"
output = "relative_loss"
over = ["time"]
probabilities = [0.1, 0.9]
[statistics.share]
statistic = "share"
where = "relative_loss < 0.9"
over = ["time"]
"""
)
DRAWN = (
    COMMON.replace("num = 41", "num = 3").replace(', "capital_cost"', "")
    + """
[distributions.doubling_rate]
distribution = "uniform"
low = 0.2
high = 1.0
[draws]
number = 64
"""
)
SPLIT = """
model = "front_loading"
loss = "excess"
[axes.horizon]
values = [2.0, 4.0]
[fixed]
budget = 10.0
hardware_rate = 0.4
software_rate = 0.5
research_gain = 0.5
research_scale = 1.0
depreciation = 0.2
discount_rate = 0.1
scaling_exponent = 0.1
reference_years = 1.0
[allocation]
dates = 2
objective = "mean"
"""
MINIMAL = {"grid": GRID, "means": MEANS, "drawn": DRAWN, "split": SPLIT}


class Hang(BaseException):
    """A case that took longer than `SECONDS`."""


class CaseError(Exception):
    """A case that ended otherwise than it may."""


@contextlib.contextmanager
def limit() -> Iterator[None]:
    """Interrupt what takes too long: a process that waits, or `SECONDS` of a processor, however busy the machine is."""
    used = [time.process_time()]

    def stop(*_: object) -> None:
        used.append(time.process_time())
        if used[-1] - used[-2] < 0.01 * SECONDS or used[-1] - used[0] > 2 * SECONDS:
            raise Hang(f"took more than {SECONDS} s, {used[-1] - used[0]:.1f} s of a processor")
        signal.alarm(SECONDS)

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def call(*args: object) -> int:
    """Run a command; its exit code. An explorer ends as soon as it is open.

    Raises
    ------
    CaseError
        It raised, or what it printed is not one line.
    """
    with warnings.catch_warnings(), mock.patch.object(Explorer, "serve"), mock.patch("webbrowser.open"):
        warnings.simplefilter("ignore")
        result = CliRunner().invoke(main, [str(arg) for arg in args], prog_name="sweep")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise CaseError("".join(traceback.format_exception(result.exception)))
    lines = [line for line in result.stderr.splitlines() if not line.startswith("warning: ")]
    if result.exit_code == 2:
        if len(lines) != 1 or not lines[0].startswith("error: ") or len(lines[0]) > LONGEST + len("error: "):
            raise CaseError(f"exit code 2 with {len(lines)} lines: {result.stderr[:500]}")
    elif result.exit_code != 0:
        raise CaseError(f"exit code {result.exit_code}: {result.stderr[:500]}")
    return result.exit_code


# Configs


def toml(value: Any) -> str:
    """Write a value as TOML, tables inline."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(str(k))} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quoted(value)
    return str(value) if isinstance(value, float | int) else value.isoformat()


def quoted(text: str) -> str:
    """Write a string as TOML."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def nested(kind: type, depth: int) -> Any:
    """Put lists or tables into each other."""
    value: Any = 1
    for _ in range(depth):
        value = [value] if kind is list else {"a": value}
    return value


def odd(rng: random.Random) -> Any:
    """Give a value that is seldom the right one."""
    pool = [
        math.nan,
        math.inf,
        -math.inf,
        0,
        0.0,
        -0.0,
        -1,
        1,
        2,
        0.5,
        1e308,
        -1e308,
        5e-324,
        1e-40,
        3e38,
        2**53,
        2**63,
    ]
    pool += [10**30, -(10**30), True, False, "", "x" * 10_000, "snow ☃ \u202e é", "a\nb", "\x00", "time", "total"]
    pool += [
        "relative_loss",
        "priors.realised",
        "priors.",
        ".",
        "../x.y",
        "relative_loss < 1",
        "x <",
        [],
        {},
        [[]],
        [{}],
    ]
    pool += [nested(list, 40), nested(dict, 40), [1, "a"], [1.0, 2.0], [2.0, 1.0], [1.0] * 2000, {"value": 1.0}]
    pool += [
        {"values": [1.0]},
        {"start": 0, "stop": 1, "num": 3},
        {"start": 1, "stop": 2, "num": 10**15},
        list(range(50)),
    ]
    pool += [
        tomllib.loads("a = 1979-05-27T07:32:00Z")["a"],
        {"file": "a.csv", "column": "b", "distribution": "empirical"},
    ]
    return rng.choice(pool)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Keys of everything in nested tables and lists."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield (*at, key)
        yield from places(inner, (*at, key))


def mutated(content: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Change one place of a config."""
    content = copy.deepcopy(content)
    *lead, last = rng.choice(list(places(content)) or [("a",)])
    inner: Any = content
    for key in lead:
        inner = inner[key]
    old = inner[last] if isinstance(inner, list) or last in inner else None
    change = rng.randrange(7)
    if change == 0:
        del inner[last]
    elif change == 1 and isinstance(inner, dict):
        name = str(last)
        cut = rng.randrange(len(name) + 1)
        inner.pop(last)
        inner[rng.choice([name[:cut] + name[cut + 1 :], name + "☃", name.upper(), "x" * 5000, "", name + ".a"])] = old
    elif change == 2 and isinstance(inner, dict):
        inner[rng.choice(["extra", "source", "values", "time", "num", "fixed", "draw", "a b", "__class__"])] = odd(rng)
    elif change == 3 and isinstance(old, float | int):
        inner[last] = old * rng.choice([-1, 0, 1e-300, 1e300, 1 + 1e-15, 0.5, 2, 1000])
    elif change == 4:
        inner[last] = rng.choice([[old], {"value": old}, [old, old], str(old)])
    elif change == 5:
        *_, other = rng.choice(list(places(content)))
        content[str(other)] = odd(rng) if rng.random() < 0.5 else old
    else:
        inner[last] = odd(rng)
    return content


def config(rng: random.Random) -> bytes:
    """Make a config that is probably not one."""
    names = [path for path in sorted((ROOT / "configs").glob("*.toml")) if path.stem not in ("priors", "report")]
    text = rng.choice(list(MINIMAL.values())) if rng.random() < 0.6 else rng.choice(names).read_text()
    if rng.random() < 0.2:
        raw = bytearray(text.encode())
        for _ in range(rng.randrange(1, 4)):
            place = rng.randrange(len(raw))
            kind = rng.randrange(4)
            if kind == 0:
                raw[place] = rng.randrange(256)
            elif kind == 1:
                del raw[place : place + rng.randrange(1, 20)]
            elif kind == 2:
                raw[place:place] = rng.choice(
                    [b"[", b'"""', b"\xff", b"=", 500 * b"[", 200 * b"a.", b"\x00", "☃".encode()]
                )
            else:
                raw = raw[:place] or bytearray(b"#")
        return bytes(raw)
    content = tomllib.loads(text)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        content = mutated(content, rng)
    return "".join(f"{quoted(str(k))} = {toml(v)}\n" for k, v in content.items()).encode()


def run_config(rng: random.Random, folder: Path) -> None:
    """Describe a config, and use some of those that are one."""
    path = folder / "fuzz.toml"
    path.write_bytes(config(rng))
    if call("describe", path) or rng.random() > 0.25:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec = sweep.load(path).spec
    if math.prod(spec.shape.values()) > MOST_POINTS or len(spec.shape) > 5:
        return
    if spec.model == "front_loading":
        if rng.random() < 0.05:  # every shape of these is compiled for many seconds
            call("optimise", path)
    elif spec.distributions and rng.random() < 0.5:
        call("sensitivity", path, "--number", 64, "--method", rng.choice(["sobol", "morris", "tornado", "elasticity"]))
    else:
        call("run", path)


# Command lines

FILES = [
    "grid.toml",
    "means.toml",
    "drawn.toml",
    "split.toml",
    "grid.zarr",
    "means.zarr",
    "grid.nc",
    "front.nc",
    "causes.nc",
]
FILES += [
    "absent.toml",
    "absent",
    "folder",
    "pipe",
    "pipe.toml",
    "pipe.nc",
    "zero.toml",
    "empty.toml",
    "empty.nc",
    "a.csv",
]
FILES += ["", ".", "/", "snow☃", "x" * 5000, "a\nb.toml", "lines.jsonl", "-", "--"]
TEXTS = [
    "time",
    "fleet_size",
    "relative_loss",
    "capital_cost",
    "doubling_rate",
    "q",
    "mean",
    "",
    "x" * 5000,
    "☃",
    "a\nb",
    "-1",
]
WHERES = [
    "relative_loss < 0.9",
    "relative_loss<",
    "time <= 5 and fleet_size > 1",
    "x" * 5000,
    " and ".join(5000 * ["time < 1"]),
]
WHERES += ["", "relative_loss < 1e-50", "relative_loss < 1e999", "mean < 1", "__import__ < 1"]
NUMBERS_OF = ["0", "1", "-1", "3", "64", "128", "1e9", "nan", "inf", "", "x" * 5000, "0.5", "2", str(2**70)]
PLACES = [
    "time=1",
    "time=",
    "time=nan",
    "fleet_size=1e3",
    "draw=1",
    "=",
    "☃=1",
    "time=1e400",
    "x" * 5000,
    "quantile=0.5",
]
SIZES = ["1GB", "0", "10B", "nan", "1e400", "", "-1", "2 parsecs", "400MB", "300MB", "x" * 5000, "9" * 5000]
FIGURES = ["a.png", "a.svg", "a.jpg", "absent/a.png", "folder", "", "x" * 300 + ".png", "/dev/null", "a.PNG", "pipe"]
OUTPUTS = ["b.nc", "grid.nc", "a.csv", "folder", "absent/b.nc", "", "pipe.nc", "x" * 300 + ".nc", "/dev/full"]
STORES = ["grid.zarr", "means.zarr", "new.zarr", "folder", "absent/new.zarr", "a.csv", "pipe", "", ".", "x" * 300]
NAMED = {"--at": PLACES, "--where": WHERES, "--memory": SIZES, "-o": FIGURES, "--netcdf": OUTPUTS, "--store": STORES}
NAMED |= {name: TEXTS for name in ("--minimise", "--maximise", "--by", "--output", "--x", "--lines", "--y", "--kernel")}
NAMED |= {name: NUMBERS_OF for name in ("--most", "--number", "--replicates", "--coverage", "--density")}
NAMED |= {
    "--extend": FILES,
    "--json": ["a.jsonl", "folder"],
    "--size": ["0", "many", "1e13", ""],
    "--device": ["tpu", "☃"],
}
NAMED |= {"--dtype": ["float32", "float64", "float16", ""]}
NAMED |= {"--method": ["sobol", "shapley", "morris", "elasticity", "tornado", "none"]}


def command(rng: random.Random) -> list[str]:
    """Make a command line of options that exist, and of some that do not."""
    name = rng.choice([*main.commands, "runn", ""]) if rng.random() < 0.95 else rng.choice(TEXTS)
    args = [name]
    if name in main.commands:
        for parameter in main.commands[name].params:
            option = parameter.opts[0]
            if parameter.param_type_name == "argument":
                if rng.random() < 0.95:
                    args.append(rng.choice(FILES[:9]) if rng.random() < 0.6 else rng.choice(FILES))
            elif option == "--compare":
                args += [option, rng.choice(FILES), rng.choice(["lines.jsonl", *FILES])] if rng.random() < 0.5 else []
            elif rng.random() < (0.9 if parameter.required or option in ("--minimise", "--number") else 0.2):
                values = NAMED.get(option)
                good = values[:2] if values else []
                args += [option] if values is None else [option, rng.choice(good if rng.random() < 0.5 else values)]
                if option == "--minimise":
                    args += [option, rng.choice(TEXTS[:4])]
    if name == "bench" and "--compare" not in args:  # or it would measure for minutes
        args += rng.choice([["--kernel", "none"], ["--size", "0"], ["--device", "none"]])
    if rng.random() < 0.1:
        args.insert(
            rng.randrange(len(args) + 1), rng.choice(["--absent", "-h", "--help", "-x", "extra", "--", "--memory"])
        )
    return args


def workshop(folder: Path) -> None:
    """Make configs, stores, files and obstacles."""
    for name, text in MINIMAL.items():
        (folder / f"{name}.toml").write_text(text)
    (folder / "folder").mkdir()
    for name in ("pipe", "pipe.toml", "pipe.nc"):
        os.mkfifo(folder / name)
    (folder / "zero.toml").symlink_to("/dev/zero")
    for name in ("empty.toml", "empty.nc"):
        (folder / name).touch()
    (folder / "a.csv").write_text("b\n1\n2\n")
    shutil.copy(ROOT / "configs" / "priors.toml", folder)
    line = {"benchmark": "b", "case": "c", "result": "r", "seconds": {"p10": 1, "median": 2, "p90": 3}}
    (folder / "lines.jsonl").write_text(json.dumps({**line, "environment": {"device": "d", "cpu": "c"}}))
    for args in (
        ["describe", "split.toml"],
        ["run", "grid.toml", "--store", "grid.zarr", "--netcdf", "grid.nc"],
        ["run", "means.toml", "--store", "means.zarr"],
        ["frontier", "grid.toml", "--minimise", "time", "--minimise", "relative_loss", "--netcdf", "front.nc"],
        ["sensitivity", "drawn.toml", "--number", "64", "--netcdf", "causes.nc"],
    ):
        if call(*args):
            raise CaseError(f"cannot be made: {args}")


def run_command(rng: random.Random, folder: Path) -> None:
    """Run a command line."""
    args = command(rng)
    if "split.toml" in args and args[0] in ("optimise", "plot") and rng.random() < 0.9:
        args = ["describe", *args[1:]]  # solving is compiled for many seconds
    try:
        call(*args)
    except (CaseError, Hang) as error:
        raise CaseError(f"{[arg[:60] for arg in args]}: {error}") from None


# Corruptions


def damage(path: Path, other: Path, rng: random.Random) -> str:
    """Damage a file; say how."""
    content = path.read_bytes()
    kind = rng.choice(
        ["flip", "flip", "flip", "cut", "delete", "swap", "empty", "append", "pipe", "folder", "zero", "chmod"]
    )
    if kind == "flip" and content:
        flipped = bytearray(content)
        flipped[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
    elif kind == "cut":
        path.write_bytes(content[: rng.randrange(len(content) + 1)])
    elif kind == "swap":
        path.write_bytes(other.read_bytes())
        other.write_bytes(content)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "append":
        path.write_bytes(content + rng.randbytes(rng.randrange(1, 100)))
    elif kind == "zero":
        start = rng.randrange(len(content) + 1)
        path.write_bytes(content[:start] + bytes(len(content) - start))
    elif kind == "chmod":
        path.chmod(0)
    else:
        path.unlink()
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
    return f"{kind} {path.name if other == path else path.relative_to(path.parents[1])}"


def quietly(work: Callable[[], Any]) -> Any:
    """Give what a function returns; None where it refuses in one line."""
    try:
        with contextlib.redirect_stderr(open(os.devnull, "w")):
            return work()
    except (SpecError, sweep.StoreError) as error:
        if len(str(error)) > LONGEST or not str(error).isprintable():
            raise CaseError(f"no line: {error}") from None
        return None


def run_corruption(rng: random.Random, folder: Path) -> None:
    """Damage a store or a file, and use it."""
    name = rng.choice(["grid.zarr", "means.zarr", "grid.zarr", "means.zarr", "grid.nc", "front.nc", "causes.nc"])
    whole, path = folder / name, folder / "damaged" / name
    shutil.rmtree(path.parent, ignore_errors=True)
    path.parent.mkdir()
    if path.suffix == ".nc":
        right = netcdf.read(whole)
        sealed = rng.random() < 0.5  # without, what others have written: damage may be seen or not, but is one line
        path.write_bytes(whole.read_bytes() if sealed else whole.read_bytes()[: -len(samples.SEAL) - 64])
        right = right if sealed else None
        told = damage(path, path, rng)
        work = lambda: netcdf.read(path)  # noqa: E731
        args = [["plot", path, "-o", folder / "damaged.png"]]
        args += (
            [["sensitivity", folder / "drawn.toml", "--number", 128, "--extend", path]] if name == "causes.nc" else []
        )
    else:
        right = sweep_of(whole)
        shutil.copytree(whole, path)
        files = sorted(p for p in path.rglob("*") if p.is_file())
        told = damage(rng.choice(files), rng.choice(files), rng)
        work = lambda: sweep_of(path)  # noqa: E731
        args = [["status", path], ["run", folder / f"{path.stem}.toml", "--store", path]]
        if rng.random() < 0.25:
            args.insert(0, ["plot", path, "-o", folder / "damaged.png"])
            args.insert(
                0,
                [
                    "frontier",
                    path,
                    "--minimise",
                    "time" if name == "grid.zarr" else "mean",
                    "--minimise",
                    "relative_loss" if name == "grid.zarr" else "share",
                ],
            )
    try:
        found = quietly(work)
        if found is not None and right is not None:
            compare(found, right)
        for each in args:
            code = call(*each)
            if each[0] == "run" and code == 0:
                compare(quietly(lambda: sweep_of(path)), right)
    except (CaseError, Hang) as error:
        raise CaseError(f"{name}, {told}: {error}") from None


def sweep_of(path: Path) -> Any:
    """Load a store as sweep plot does."""
    if any(manifest.pending(path, plan) for plan in manifest.plans_of(path)):
        raise sweep.StoreError(f"{path}: is not complete, as every command says of it")
    with readable("a store"):
        return _open(path).load()


def compare(found: Any, right: Any) -> None:
    """Refuse values, coordinates or a sweep that are not those that were written."""
    if found is None or not found.drop_attrs().identical(right.drop_attrs()):
        raise CaseError("is silently wrong")
    for key in ("spec", "fingerprint"):
        if found.attrs.get(key) != right.attrs.get(key):
            raise CaseError(f"its {key} is silently wrong")
    for name in right.variables:
        if str(found[name].attrs) != str(right[name].attrs):
            raise CaseError(f"attributes of {name} are silently wrong")


RUNS = {"configs": run_config, "commands": run_command, "corruptions": run_corruption}


def fuzz(kind: str, number: int, seed: int, folder: Path) -> list[tuple[str, str]]:
    """Run cases of a kind in a folder; give those that ended otherwise than they may, each with its seed.

    The folder is that of :func:`workshop`, and the working directory.
    """
    bad = []
    for case in range(number):
        name = f"{kind} {seed} {case}"
        began = time.perf_counter()
        try:
            with limit():
                RUNS[kind](random.Random(name), folder)
        except (CaseError, Hang) as error:
            bad.append((name, f"{type(error).__name__}: {error}"))
        except Exception:
            bad.append((name, traceback.format_exc()))
        if time.perf_counter() - began > SECONDS / 2:
            print(f"slow: {name}: {time.perf_counter() - began:.1f} s", file=sys.stderr)
    return bad


def run(numbers: dict[str, int], seed: int, only: str | None = None) -> int:
    """Run all kinds of cases, print what is bad, and give its number."""
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as temporary, contextlib.chdir(temporary):
        folder = Path(temporary)
        for kind, number in ((kind, number) for kind, number in numbers.items() if number):
            began = time.perf_counter()
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            workshop(folder)
            for name, text in fuzz(kind, number, seed, folder):
                total[kind] += 1
                print(f"--- {name}\n{text[-1500:]}")
            print(f"{kind}: {number} cases, {total[kind]} bad, {time.perf_counter() - began:.0f} s")
    return total.total()


def _main(args: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    for kind, number in NUMBERS.items():
        parser.add_argument(f"--{kind}", type=int, default=number)
    parser.add_argument("--seed", type=int, default=0)
    asked = vars(parser.parse_args(args))
    seed = asked.pop("seed")
    return min(1, run(asked, seed))


if __name__ == "__main__":
    sys.exit(_main())
