"""The command line: what each command prints, that what is refused is one line, that a stopped run goes on."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import jax
import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner, Result

import sweep as library
from sweep.cli.main import main
from sweep.engine.progress import Progress
from sweep.models import registry
from sweep.models.model import Model
from sweep.models.parameters import Domain, Parameter
from sweep.models.quantity import Quantity
from sweep.plan.blocks import FIXED_BYTES

ROOT = Path(__file__).parents[2]
LITTLE = FIXED_BYTES + 10**6  # a budget that cuts the toy sweep into several blocks

GOOD = """
title = "How far does the loss fall?"
loss = "total"
outputs = ["relative_loss", "capital_cost"]
[axes.fleet_size]
start = 1e3
stop = 1e8
num = 101
spacing = "log"
source = "a decade of decades"
[axes.time]
start = 0
stop = 20
num = 201
[fixed]
reference_fleet = 1.0
reference_years = 1.0
doubling_rate = 0.5
scaling_exponent = { value = 0.05, source = "Kaplan 2020" }
"""

TOY = """
model = "toy"
title = "How far does it go?"
outputs = ["distance", "speed"]
[axes.rate]
values = [1.0, 2.0, 3.0]
[axes.time]
start = 0
stop = 9
num = 40000
"""

# One case a class of bad config: what replaces what in GOOD, and what the one line must say.
BAD_CONFIGS = {
    "broken_toml": ("[axes.time]", "[axes.time", ["not valid TOML", "line"]),
    "unknown_key": ("loss = ", "colour = 1\nloss = ", ['unknown key "colour"', "allowed", "axes"]),
    "unknown_key_of_axis": ("num = 201", "count = 201", ["axes.time", 'unknown key "count"', "num"]),
    "wrong_type": ("num = 201", 'num = "many"', ["axes.time.num", "whole number", "many"]),
    "decreasing_range": ("stop = 20", "stop = -1", ['axis "time"', "start must be below stop", "stop=-1"]),
    "non_monotone_axis": (
        "start = 0\nstop = 20\nnum = 201",
        "values = [1.0, 3.0, 2.0]",
        ['axis "time"', "strictly increasing", "[1.0, 3.0, 2.0]"],
    ),
    "empty_axis": ("start = 0\nstop = 20\nnum = 201", "values = []", ['axis "time"', "at least one number", "[]"]),
    "nan_value": ("doubling_rate = 0.5", "doubling_rate = nan", ["fixed.doubling_rate", "finite", "NaN"]),
    "inf_value": ("stop = 20", "stop = inf", ["axes.time.stop", "finite", "Infinity"]),
    "domain": ("start = 1e3", "start = 0", ['axis "fleet_size"', "log axis must start above 0", "0"]),
    "domain_of_fixed": ("{ value = 0.05,", "{ value = -1,", ["fixed.scaling_exponent", "must be > 0", "got -1"]),
    "given_twice": ("[fixed]", "[fixed]\ntime = 3", ["time is given twice", "axes", "fixed", "keep one"]),
    "alias": ("[axes.fleet_size]", "[axes.N]", ['axes: "N" is another spelling of fleet_size', "write fleet_size"]),
    "alias_given_too": ("[fixed]", "[fixed]\nN = 3", ['fixed: "N" is another spelling', "given too"]),
    "unknown_output": ('"relative_loss"', '"relative_los"', ["outputs", '"relative_los"', "did you mean"]),
    "unknown_parameter": ("doubling_rate = 0.5", "speed = 1", ["fixed", '"speed"', "allowed", "doubling_rate"]),
    "unknown_model": ("loss = ", 'model = "linear"\nloss = ', ["model", '"linear"', "relative_loss"]),
    "missing_parameter": ("doubling_rate = 0.5", "", ["doubling_rate: is missing", "[axes] or [fixed]", "1/year"]),
    "missing_loss": ('loss = "total"', "", ["loss: is required", '"total" or "excess"']),
    "bad_loss": ('"total"', '"all"', ["loss: must be", '"total" or "excess"', '"all"']),
}

SLOW = """
import signal
from time import sleep as pause
from sweep.models import registry
from sweep.cli.main import main
from sweep.models.model import Model
from sweep.models.parameters import Parameter
from sweep.models.quantity import Quantity

def distance(rate, time):
    pause(0.1)
    return rate * time

registry.MODELS["toy"] = Model(
    name="toy", equation="s = v t", source="school", assumptions="none",
    parameters=(Parameter("rate", "rate", "m/s"), Parameter("time", "duration", "s")),
    quantities=(Quantity("distance", "way", "m", distance, where="host"),),
)
signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored in what a shell runs in the background
main(prog_name="sweep")
"""


def _caveats(spec: object) -> list[str]:
    return ["time is relative"]


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a config of a model that needs no kernels; the test runs in its folder."""
    model = Model(
        name="toy",
        equation="s = v t",
        source="school",
        assumptions="none",
        parameters=(Parameter("rate", "rate", "m/s", Domain(low=0.0)), Parameter("time", "duration", "s")),
        quantities=(
            Quantity("distance", "way", "m", lambda rate, time: rate * time),
            Quantity("speed", "speed", "m/s", lambda rate: rate * 1),
        ),
        caveats=_caveats,
    )
    monkeypatch.setitem(registry.MODELS, "toy", model)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy.toml").write_text(TOY)
    return Path("toy.toml")


@pytest.fixture
def good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a config of the shipped model; the test runs in its folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.toml").write_text(GOOD)
    return Path("good.toml")


def sweep(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args], prog_name="sweep", catch_exceptions=False)


def told(*args: object) -> str:
    """Give what a command prints, however its lines are wrapped."""
    return " ".join(sweep(*args).stdout.split())


def assert_refused(result: Result, *parts: str) -> None:
    lines = result.stderr.splitlines()
    assert result.exit_code == 2
    assert result.stdout == ""
    errors = [line for line in lines if not line.startswith("warning: ")]
    assert len(errors) == 1, result.stderr
    assert errors[0].startswith("error: ")
    for part in parts:
        assert part in errors[0]


def contents(store: Path) -> dict[str, tuple[bytes, int]]:
    return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in sorted(store.rglob("*")) if p.is_file()}


def child(script: str, *args: object, cwd: Path = ROOT) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, args)],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


# What is refused


@pytest.mark.parametrize("command", ["run", "describe"])
@pytest.mark.parametrize("case", BAD_CONFIGS)
def test_main_refuses_a_bad_config_in_one_line(case: str, command: str, good: Path) -> None:
    old, new, parts = BAD_CONFIGS[case]
    assert GOOD.count(old) == 1
    good.write_text(GOOD.replace(old, new))
    assert_refused(sweep(command, good), "good.toml: ", *parts)


@pytest.mark.parametrize("case", BAD_CONFIGS)
def test_run_leaves_a_store_as_it_was_when_the_config_is_bad(case: str, toy: Path) -> None:
    assert sweep("run", toy, "--store", "out.zarr").exit_code == 0
    before = contents(Path("out.zarr"))
    old, new, _ = BAD_CONFIGS[case]
    Path("bad.toml").write_text(GOOD.replace(old, new))
    assert_refused(sweep("run", "bad.toml", "--store", "out.zarr", "--overwrite"), "bad.toml: ")
    assert contents(Path("out.zarr")) == before


@pytest.mark.parametrize("command", ["run", "describe", "plot"])
def test_main_refuses_a_config_that_is_missing(command: str, good: Path) -> None:
    assert_refused(sweep(command, "absent.toml"), "absent.toml: cannot be read: No such file")


@pytest.mark.parametrize("size", ["", "much", "2GBx", "-1", "0", "nan", "1e400", "2 parsecs", "1iB"])
def test_main_refuses_a_memory_that_is_no_size(size: str, good: Path) -> None:
    for command in ("run", "describe"):
        assert_refused(sweep(command, good, f"--memory={size}"), "--memory", repr(size), "512MB, 4GiB or 2e9")


def test_main_refuses_a_memory_that_holds_no_block(good: Path) -> None:
    assert_refused(sweep("describe", good, "--memory", "10B"), "memory: 10 bytes", "at least")


def test_main_refuses_a_precision_that_does_not_exist(good: Path) -> None:
    for command in ("run", "describe"):
        assert_refused(sweep(command, good, "--dtype", "float16"), "--dtype", "float16", "float32", "float64")


def test_main_refuses_a_value_that_does_not_fit_the_precision_asked_for(good: Path) -> None:
    good.write_text(
        GOOD.replace("doubling_rate = 0.5", "doubling_rate = 1e-50\n[fixed.pue]\nvalue = 1.0")
        .replace("loss = ", 'dtype = "float64"\nloss = ')
        .replace('scaling_exponent = { value = 0.05, source = "Kaplan 2020" }', "")
        .replace("[fixed]", "[fixed]\nscaling_exponent = 0.05")
    )
    assert sweep("describe", good).exit_code == 0
    assert_refused(sweep("describe", good, "--dtype", "float32"), "good.toml: fixed.doubling_rate", "float32")


def test_describe_accepts_a_value_that_fits_only_the_precision_asked_for(good: Path) -> None:
    good.write_text(GOOD.replace("doubling_rate = 0.5", "doubling_rate = 1e-50"))
    assert_refused(sweep("describe", good), "good.toml: fixed.doubling_rate", "float32")
    assert sweep("describe", good, "--dtype", "float64").exit_code == 0


@pytest.mark.parametrize("args", [["--colour"], ["paint"], ["run"], ["run", "good.toml", "--colour"], ["describe"]])
def test_main_refuses_a_misspelt_command_in_one_line(args: list[str], good: Path) -> None:
    assert_refused(sweep(*args), "--help")


def test_run_refuses_the_store_of_another_sweep(toy: Path) -> None:
    assert sweep("run", toy, "--store", "out.zarr").exit_code == 0
    before = contents(Path("out.zarr"))
    toy.write_text(TOY.replace("40000", "50"))
    parts = ("out.zarr", "different sweep", "axes.time.num is 40000 there, 50 here", "--overwrite")
    assert_refused(sweep("run", toy, "--store", "out.zarr"), *parts)
    assert contents(Path("out.zarr")) == before


@pytest.mark.parametrize("extra", [[], ["--overwrite"]])
def test_run_refuses_a_store_that_is_none(extra: list[str], toy: Path) -> None:
    Path("data").mkdir()
    Path("data/precious").write_text("mine")
    assert_refused(sweep("run", toy, "--store", "data", *extra), "data: is not the store of a sweep")
    assert contents(Path("data"))["data/precious"][0] == b"mine"


def test_run_refuses_a_store_in_a_folder_that_does_not_exist(toy: Path) -> None:
    assert_refused(sweep("run", toy, "--store", "absent/out.zarr"), "the folder ", "absent does not exist")


@pytest.mark.parametrize(("path", "part"), [("absent", "absent: does not exist"), (".", "is not the store of a sweep")])
def test_status_refuses_what_is_no_store(path: str, part: str, good: Path) -> None:
    assert_refused(sweep("status", path), part)


@pytest.mark.parametrize("command", ["status", "plot"])
def test_main_refuses_a_damaged_store(command: str, toy: Path) -> None:
    sweep("run", toy, "--store", "out.zarr")
    Path("out.zarr/time/zarr.json").write_text("{")
    assert_refused(sweep(command, "out.zarr"), "out.zarr: the metadata of this store are damaged", "remove it")


def test_plot_refuses_a_folder_that_is_no_store(good: Path) -> None:
    assert_refused(sweep("plot", "."), "is not the store of a sweep")


def test_plot_refuses_a_file_that_is_no_config(good: Path) -> None:
    Path("out.csv").write_text("")
    assert_refused(sweep("plot", "out.csv"), "out.csv", "neither a store", ".toml", ".nc")


@pytest.mark.parametrize(("content", "part"), [(None, "does not exist"), ("no NetCDF", "cannot be read as NetCDF")])
def test_plot_refuses_a_file_that_it_cannot_read(content: str | None, part: str, good: Path) -> None:
    if content is not None:
        Path("out.nc").write_text(content)
    assert_refused(sweep("plot", "out.nc"), "out.nc", part)


def test_plot_draws_a_file_of_a_run(good: Path) -> None:
    sweep("run", good, "--netcdf", "out.nc")
    assert told("plot", "out.nc", "-o", "file.png") == "file.png"
    told("plot", good, "-o", "config.png")
    assert Path("file.png").read_bytes() == Path("config.png").read_bytes()


def test_plot_draws_a_file_of_a_frontier(good: Path) -> None:
    asked = ("--minimise", "time", "--minimise", "relative_loss")
    told("frontier", good, *asked, "-o", "now.png", "--netcdf", "front.nc")
    assert told("plot", "front.nc") == "front.png"
    assert Path("front.png").read_bytes() == Path("now.png").read_bytes()


def test_plot_refuses_to_cut_a_frontier(good: Path) -> None:
    sweep("frontier", good, "--minimise", "time", "--minimise", "relative_loss", "--netcdf", "front.nc")
    assert_refused(sweep("plot", "front.nc", "--x", "time"), "--x: front.nc is a frontier", "drop it")


@pytest.mark.parametrize(
    ("path", "part"),
    [("absent/a.png", "the folder absent does not exist"), ("a.jpg", 'as .png, .svg or .pdf, got ".jpg"')],
)
def test_plot_refuses_a_figure_it_cannot_write_before_it_computes(
    path: str, part: str, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(library), "run", None)
    assert_refused(sweep("plot", good, "-o", path), part)


@pytest.mark.parametrize("at", ["time", "time=", "=3", "time=soon", "time=nan"])
def test_plot_refuses_a_place_that_is_no_value(at: str, good: Path) -> None:
    assert_refused(sweep("plot", good, "--at", at), "--at", repr(at), "DIM=VALUE")


def test_plot_refuses_a_dimension_that_is_held_twice(good: Path) -> None:
    assert_refused(sweep("plot", good, "--at", "time=1", "--at", "time=2"), "--at: time is held twice, at 1 and 2")


def test_plot_refuses_a_store_with_a_damaged_shard(toy: Path) -> None:
    sweep("run", toy, "--store", "out.zarr")
    shard = next(path for path in Path("out.zarr/distance/c").rglob("*") if path.is_file())
    whole = shard.read_bytes()
    shard.write_bytes(bytes(len(whole) // 2) + whole[len(whole) // 2 :])
    assert_refused(
        sweep("plot", "out.zarr"), "distance: cannot be read: ", "; the command that wrote this store repairs it"
    )


def test_run_refuses_one_path_for_store_and_file_through_a_link(toy: Path) -> None:
    Path("here").symlink_to(".")
    assert_refused(sweep("run", toy, "--store", "out", "--netcdf", "here/out"), "given as --store and as --netcdf")


def test_main_refuses_a_name_of_two_lines_in_one_line(good: Path) -> None:
    good.write_text(GOOD.replace("[fixed]", '[fixed]\n"a\\nb" = 1'))
    assert_refused(sweep("describe", good), 'unknown parameter "a\\nb"')


def test_main_refuses_a_path_of_two_lines_in_one_line(good: Path) -> None:
    assert_refused(sweep("status", "a\nb"), "a\\nb: does not exist")


@pytest.mark.parametrize("platform", ["bogus", "cuda", "tpu,cuda"])
@pytest.mark.parametrize(
    "command", [["run", "smoke.toml"], ["bench", "--size", "quick"], ["optimise", "front_loading.toml"]]
)
def test_main_refuses_a_device_that_is_not_here(platform: str, command: list[str], tmp_path: Path) -> None:
    if platform == "cuda" and jax.default_backend() != "cpu":
        pytest.skip("there is such a device here")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": platform}
    command = [sys.executable, "-m", "sweep", *command]
    done = subprocess.run(command, env=environment, cwd=ROOT / "configs", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(rf"error: JAX_PLATFORMS={platform}: JAX sees no such device here; .*\n", done.stderr)


def test_main_reports_a_bug_with_its_traceback(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path, dtype: str | None) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr("sweep.cli.describe.load", broken)
    with pytest.raises(ValueError, match="a bug"):
        sweep("describe", good)


def test_main_names_the_file_of_an_error_of_the_system(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, dtype: str | None) -> None:
        raise OSError(28, "No space left on device", "out.zarr")

    monkeypatch.setattr("sweep.cli.describe.load", full)
    assert_refused(sweep("describe", good), "out.zarr: No space left on device")


# describe


def test_describe_lists_what_is_swept_and_what_comes_out(good: Path) -> None:
    out = told("describe", good)
    for part in (
        "How far does the loss fall?",
        registry.RELATIVE_LOSS.equation[:40],
        "loss total",
        "constant fleet",
        "1000 to 1e+08, 101 log-spaced",
        "0 to 20, 201 evenly spaced",
        "a decade of decades",
        "1/year",
        "Kaplan 2020",
        "not needed by these outputs: power, pue, electricity_price",
        "fleet_size 101 x time 201",
        "81.2 kB",
        "20,301 in 1 block of ",
    ):
        assert part in out
    assert (
        out.index("fleet_size 1000")
        < out.index("time 0 to")
        < out.index("doubling_rate 0.5")
        < out.index("unit_price 6")
    )


def test_describe_lists_where_quantities_are_evaluated_and_how_often(good: Path) -> None:
    out = told("describe", good)
    assert "growth host, float64 time 201" in out
    assert "compute_parts device fleet_size x time 20,301" in out


def test_describe_cuts_more_blocks_with_less_memory(good: Path) -> None:
    blocks = [
        int(re.search(r"in ([\d,]+) blocks?", told("describe", good, "--memory", memory))[1])
        for memory in ("1GiB", FIXED_BYTES + 200_000)
    ]
    assert blocks[0] == 1 < blocks[1]


def test_describe_says_when_only_a_store_will_do(good: Path) -> None:
    good.write_text(GOOD.replace("num = 201", "num = 200_001"))
    assert "needs --store" in told("describe", good, "--memory", "100MB")
    assert "needs --store" not in told("describe", good, "--memory", "400MB")


def test_describe_doubles_the_bytes_in_float64(good: Path) -> None:
    assert "float64, 162 kB" in told("describe", good, "--dtype", "float64")


def test_describe_prints_a_caveat_once(good: Path) -> None:
    good.write_text(GOOD.replace("0.05,", "0.15,"))
    result = sweep("describe", good)
    assert result.exit_code == 0
    assert result.stderr.count("warning: good.toml: scaling_exponent up to 0.15") == 1
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "config",
    sorted(
        set((ROOT / "configs").glob("*.toml")) - {ROOT / "configs" / name for name in ("priors.toml", "report.toml")}
    ),
    ids=lambda path: path.stem,
)
def test_describe_accepts_every_shipped_config(config: Path) -> None:
    result = sweep("describe", config)
    assert (result.exit_code, result.stderr) == (0, "")


# run


def test_run_prints_ranges_and_that_nothing_was_stored(toy: Path, tmp_path: Path) -> None:
    result = sweep("run", toy)
    assert result.exit_code == 0
    *table, summary = result.stdout.splitlines()
    assert [line.split()[0] for line in table] == ["rate", "time", "distance", "speed"]
    assert re.search(r"distance +rate 3 x time 40,000 +0 to 27 +m +at rate 1, time 0 to rate 3, time 9$", table[2])
    assert summary.startswith("120,000 points, 2 outputs: ")
    assert "nothing was stored" in summary and "--store" in summary
    assert [path.name for path in tmp_path.iterdir()] == ["toy.toml"]


def test_run_counts_the_undefined(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    import jax.numpy as jnp

    undefined = (
        Quantity("distance", "way", "m", lambda rate, time: jnp.where(time > 0, jnp.nan, rate)),
        Quantity("speed", "speed", "m/s", lambda rate: rate * jnp.nan),
    )
    monkeypatch.setitem(registry.MODELS, "toy", replace(registry.MODELS["toy"], quantities=undefined))
    out = sweep("run", toy).stdout
    assert "1 to 3 (119,997 of 120,000 undefined)" in out
    assert "(3 of 3 undefined)" in out


def test_run_sums_up_in_one_line(toy: Path) -> None:
    result = sweep("run", toy, "--store", "out.zarr", "--memory", LITTLE)
    assert result.exit_code == 0
    pattern = r"120,000 points, 2 outputs: [\d.e+-]+ s, [\d.e+-]+ points/s, 480 kB; written to out.zarr\n"
    assert re.fullmatch(pattern, result.stdout)


@pytest.mark.parametrize("stage", ["half", "whole", "all of it again"])
def test_run_says_the_same_bytes_however_it_was_interrupted(stage: str, toy: Path) -> None:
    whole = sweep("run", toy, "--store", "whole.zarr", "--memory", LITTLE).stdout
    sweep("run", toy, "--store", "out.zarr", "--memory", LITTLE)
    shards = sorted(path for path in Path("out.zarr/distance/c").rglob("*") if path.is_file())
    assert len(shards) > 3
    for shard in {"half": shards[::2], "whole": shards, "all of it again": []}[stage]:
        shard.unlink()
    again = sweep("run", toy, "--store", "out.zarr", "--memory", LITTLE).stdout
    said = [re.search(r"[\d.]+ kB", text)[0] for text in (whole, again, sweep("run", toy).stdout)]
    assert said == ["480 kB"] * 3
    assert "120,000 points, 2 outputs" in again


STATISTICS = {
    "one": 'mean = { statistic = "mean", output = "distance", over = ["time"] }',
    "two of one output": """mean = { statistic = "mean", output = "distance", over = ["time"] }
most = { statistic = "max", output = "distance", over = ["rate", "time"] }""",
    "two of outputs of other axes": """mean = { statistic = "mean", output = "distance", over = ["time"] }
fast = { statistic = "max", output = "speed", over = ["rate"] }""",
    "two kinds": """mean = { statistic = "mean", output = "distance", over = ["time"] }
band = { statistic = "quantiles", output = "distance", over = ["time"], probabilities = [0.5, 0.9] }""",
}


@pytest.mark.parametrize("statistics", ["", *STATISTICS.values()], ids=["none", *STATISTICS])
def test_points_are_those_of_the_grid_in_describe_run_and_status(statistics: str, toy: Path) -> None:
    if statistics:
        toy.write_text(TOY.replace('outputs = ["distance", "speed"]', "") + f"[statistics]\n{statistics}\n")
    assert re.search(r"points 120,000 (in|along) ", told("describe", toy))
    for text in (told("run", toy, "--store", "out.zarr"), told("run", toy, "--store", "out.zarr")):
        assert re.match(r"(complete already, nothing was computed: )?120,000 points, \d outputs?\b", text)
    assert re.search(r"points 120,000( of 120,000|, of which only statistics are kept)", told("status", "out.zarr"))


def test_run_is_quiet_where_nobody_watches(toy: Path) -> None:
    assert sweep("run", toy, "--store", "out.zarr").stderr == "warning: toy.toml: time is relative\n"


def test_run_says_that_a_complete_store_took_no_work(toy: Path) -> None:
    sweep("run", toy, "--store", "out.zarr")
    before = contents(Path("out.zarr"))
    result = sweep("run", toy, "--store", "out.zarr")
    assert result.exit_code == 0
    assert "nothing was computed" in result.stdout and "out.zarr" in result.stdout
    shards = [name for name in before if "/c/" in name]
    after = contents(Path("out.zarr"))
    assert [after[name] for name in shards] == [before[name] for name in shards]


def test_run_replaces_the_store_of_another_sweep_when_told_to(toy: Path) -> None:
    sweep("run", toy, "--store", "out.zarr")
    toy.write_text(TOY.replace("40000", "50"))
    assert sweep("run", toy, "--store", "out.zarr", "--overwrite").exit_code == 0
    with xr.open_zarr("out.zarr", chunks=None) as dataset:
        assert dataset.sizes["time"] == 50


def test_run_takes_the_precision_asked_for(toy: Path) -> None:
    assert sweep("run", toy, "--store", "out.zarr", "--dtype", "float64").exit_code == 0
    with xr.open_zarr("out.zarr", chunks=None) as dataset:
        assert dataset["distance"].dtype == np.float64


@pytest.mark.parametrize("extra", [[], ["--store", "out.zarr"]])
def test_run_writes_the_numbers_and_attributes_to_netcdf(extra: list[str], toy: Path) -> None:
    result = sweep("run", toy, "--netcdf", "out.nc", *extra)
    assert result.exit_code == 0
    assert "out.nc" in result.stdout
    rate, time = np.array([1.0, 2.0, 3.0]), np.linspace(0, 9, 40000)
    with xr.open_dataset("out.nc", engine="h5netcdf") as dataset:
        assert dataset["distance"].dims == ("rate", "time")
        np.testing.assert_array_max_ulp(dataset["distance"].values, np.float32(np.outer(rate, time)), 2)
        assert dataset["distance"].attrs == {"long_name": "way", "units": "m"}
        assert dataset.attrs["title"] == "How far does it go?"
        assert "_FillValue" not in dataset["time"].encoding
    assert sorted(path.name for path in Path().iterdir()) == sorted(["out.nc", "toy.toml", *extra[1:]])


def test_run_writes_the_same_attributes_to_netcdf_with_and_without_a_store(toy: Path) -> None:
    sweep("run", toy, "--netcdf", "a.nc")
    sweep("run", toy, "--netcdf", "b.nc", "--store", "out.zarr")
    with xr.open_dataset("a.nc", engine="h5netcdf") as a, xr.open_dataset("b.nc", engine="h5netcdf") as b:
        assert a.identical(b)


def test_run_writes_netcdf_from_a_complete_store_without_computing(toy: Path) -> None:
    sweep("run", toy, "--store", "out.zarr")
    result = sweep("run", toy, "--store", "out.zarr", "--netcdf", "out.nc")
    assert "nothing was computed" in result.stdout
    assert Path("out.nc").exists()


def test_run_refuses_a_netcdf_file_that_exists(toy: Path) -> None:
    Path("out.nc").write_text("precious")
    assert_refused(sweep("run", toy, "--netcdf", "out.nc", "--store", "out.zarr"), "out.nc", "exists", "--overwrite")
    assert Path("out.nc").read_text() == "precious"
    assert not Path("out.zarr").exists()


def test_run_replaces_a_netcdf_file_when_told_to(toy: Path) -> None:
    Path("out.nc").write_text("old")
    assert sweep("run", toy, "--netcdf", "out.nc", "--overwrite").exit_code == 0
    with xr.open_dataset("out.nc", engine="h5netcdf") as dataset:
        assert set(dataset.data_vars) == {"distance", "speed"}


def test_run_keeps_the_old_netcdf_file_when_writing_fails(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: xr.Dataset, path: Path, **options: object) -> None:
        Path(path).write_text("half")
        raise OSError(28, "No space left on device")

    Path("out.nc").write_text("old")
    monkeypatch.setattr(xr.Dataset, "to_netcdf", full)
    result = sweep("run", toy, "--netcdf", "out.nc", "--overwrite")
    assert_refused(result, "out.nc: cannot be written: No space left on device")
    assert Path("out.nc").read_text() == "old"
    assert sorted(path.name for path in Path().iterdir()) == ["out.nc", "toy.toml"]


@pytest.mark.parametrize(
    ("path", "part"), [("absent/out.nc", "the folder absent does not exist"), ("folder", "is a folder")]
)
def test_run_refuses_a_netcdf_file_where_none_can_be(path: str, part: str, toy: Path) -> None:
    Path("folder").mkdir()
    assert_refused(sweep("run", toy, "--netcdf", path, "--overwrite"), part)


def test_run_refuses_one_path_for_store_and_netcdf(toy: Path) -> None:
    assert_refused(sweep("run", toy, "--netcdf", "out", "--store", "out"), "out: is given as --store and as --netcdf")
    assert not Path("out").exists()


def test_run_refuses_netcdf_beyond_half_of_the_memory(toy: Path) -> None:
    result = sweep("run", toy, "--netcdf", "out.nc", "--store", "out.zarr", "--memory", "1MB")
    assert_refused(result, "out.nc: NetCDF is written from memory", "800,036 bytes", "1,000,000", "store")
    assert not Path("out.zarr").exists()


@pytest.mark.parametrize("missing", ["h5netcdf", "h5py"])
def test_run_names_the_extra_that_netcdf_needs(missing: str, toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    result = sweep("run", toy, "--netcdf", "out.nc", "--store", "out.zarr")
    assert_refused(result, f"needs {missing}", "relative-loss-sweep[netcdf]")
    assert not Path("out.zarr").exists()


@pytest.mark.parametrize("config", [ROOT / "configs" / "smoke.toml"], ids=["smoke"])
def test_run_computes_a_shipped_config(config: Path, tmp_path: Path) -> None:
    result = sweep("run", config, "--store", tmp_path / "out.zarr")
    assert (result.exit_code, result.stderr) == (0, "")


def stored(store: Path, number: int, process: subprocess.Popen[str]) -> None:
    """Wait until a run has stored so many blocks."""
    deadline = time.monotonic() + 60
    while len([p for p in store.glob("distance/c/**/*") if p.name.isdigit() and p.is_file()]) < number:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_run_goes_on_after_an_interrupt(number: int, tmp_path: Path) -> None:
    (tmp_path / "toy.toml").write_text(TOY.replace(', "speed"', ""))
    store = tmp_path / "out.zarr"
    args = ("run", tmp_path / "toy.toml", "--store", store, "--memory", FIXED_BYTES + 500_000)
    process = child(SLOW, *args)
    stored(store, 3, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (128 + number, "")
    stopped = re.fullmatch(r"stopped after (\d+) of (\d+) blocks; the same command goes on\n", err)
    assert 1 <= int(stopped[1]) < int(stopped[2])
    state = told("status", store)
    assert "not complete" in state
    assert int(re.search(r"blocks +(\d+) of", state)[1]) >= int(stopped[1])
    out, err = child(SLOW, *args).communicate(timeout=120)
    assert err == "" and "the others were stored already" in out
    assert "100 %" in told("status", store)


def test_second_interrupt_ends_a_run_whose_block_does_not_end(tmp_path: Path) -> None:
    (tmp_path / "toy.toml").write_text(TOY.replace(', "speed"', ""))
    endless = SLOW.replace("pause(0.1)", "print('begun', flush=True), [pause(0.1) for _ in range(10**9)]")
    process = child(endless, "run", tmp_path / "toy.toml")
    assert process.stdout.readline() == "begun\n"
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(1)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT


def swallowed(number: int) -> None:
    """Interrupt this process where exceptions are dropped, as in a callback of the garbage collection."""
    try:
        os.kill(os.getpid(), number)
        time.sleep(0.01)
    except KeyboardInterrupt:
        pass


LOOPS = {
    "run": ("run", "good.toml"),
    "plot": ("plot", "good.toml"),
    "frontier": ("frontier", "good.toml", "--minimise", "time"),
    "discover": ("discover", "good.toml", "--where", "time < 1"),
    "sensitivity": ("sensitivity", "good.toml"),
    "optimise": ("optimise", "good.toml"),
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("verb", LOOPS)
def test_loop_stops_after_the_block_in_which_an_interrupt_was_swallowed(
    verb: str, number: int, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = []

    def loop(*args: object, progress: object, **options: object) -> None:
        for block in range(9):
            blocks.append(block)
            if block == 4:
                swallowed(number)
            progress(Progress(block, 9, block, 9, block, block, 1.0))

    monkeypatch.setitem(vars(library), "run" if verb == "plot" else verb, loop)
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    result = sweep(*LOOPS[verb])
    assert (result.exit_code, result.stdout) == (128 + number, "")
    assert result.stderr.count("stopped") == 1 and result.stderr.endswith("\n")
    assert blocks == [0, 1, 2, 3, 4]
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_main_does_not_exit_with_0_after_an_interrupt_that_was_swallowed_outside_a_loop(
    good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = library.load

    def loaded(path: Path, dtype: str | None) -> object:
        swallowed(signal.SIGTERM)
        return load(path, dtype)

    monkeypatch.setattr("sweep.cli.describe.load", loaded)
    result = sweep("describe", good)
    assert (result.exit_code, result.stderr) == (143, "stopped\n")


def test_main_leaves_a_signal_ignored_that_was(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def load(path: Path, dtype: str | None) -> None:
        seen.append(signal.getsignal(signal.SIGHUP))
        os.kill(os.getpid(), signal.SIGHUP)
        raise library.SpecError("the end")

    monkeypatch.setattr("sweep.cli.describe.load", load)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert_refused(sweep("describe", good), "the end")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert seen == [signal.SIG_IGN]


@pytest.mark.filterwarnings("ignore:.*time is relative")
def test_library_installs_no_handler(toy: Path) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    seen = []
    library.run(library.load(toy), progress=lambda _: seen.append(signal.getsignal(signal.SIGTERM)))
    assert set(seen) == {before[1]}


def test_run_without_a_store_says_what_an_interrupt_lost(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(vars(library), "run", interrupted)
    result = sweep("run", toy)
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr.splitlines()[-1] == "stopped; nothing was stored"


def test_main_stops_in_one_line_anywhere_else(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(path: Path, dtype: str | None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sweep.cli.describe.load", interrupted)
    result = sweep("describe", good)
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "stopped\n")


def test_run_shows_progress_on_a_terminal(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty", reason="needs a pseudo-terminal")
    (tmp_path / "toy.toml").write_text(TOY.replace(', "speed"', ""))
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "TERM": "xterm", "COLUMNS": "120"}
    command = [sys.executable, "-c", SLOW, "run", str(tmp_path / "toy.toml"), "--memory", str(FIXED_BYTES + 2_000_000)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=theirs, text=True)
    os.close(theirs)
    shown = b""
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        try:
            while part := terminal.read(4096):
                shown += part
        except OSError:  # the end of a pseudo-terminal on Linux
            pass
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "120,000 points" in out
    assert re.search(rb"\d+ of \d+ blocks?, [\d.e+]+ points/s, [\d.]+ kB, \d+:\d\d left", shown)


# status


def test_status_describes_a_complete_store(toy: Path) -> None:
    sweep("run", toy, "--store", "out.zarr", "--memory", LITTLE)
    out = told("status", "out.zarr")
    for part in (
        "complete",
        "100 %",
        "120,000 of 120,000",
        "How far does it go?",
        "s = v t",
        "float32",
        "jax 0.",
        "1, 2, 3 (3 values)",
        "0 to 9, 40,000 evenly spaced",
        "rate 3 x time 40,000",
        "time is relative",
    ):
        assert part in out


def test_status_counts_a_missing_shard(toy: Path) -> None:
    sweep("run", toy, "--store", "out.zarr", "--memory", LITTLE)
    shards = sorted(path for path in Path("out.zarr/distance/c").rglob("*") if path.is_file())
    shards[-1].unlink()
    out = told("status", "out.zarr")
    assert f"{len(shards) - 1} of {len(shards)}, " in out
    assert "not complete" in out and "100 %" not in out


def test_status_checks_every_file_of_a_store(toy: Path) -> None:
    sweep("run", toy, "--store", "out.zarr", "--memory", LITTLE)
    whole = sweep("status", "out.zarr", "--check")
    assert whole.exit_code == 0 and whole.stdout.splitlines()[-1].endswith("every file holds what was written there")
    shards = sorted(p for p in Path("out.zarr/distance/c").rglob("*") if p.is_file())
    content = bytearray(shards[0].read_bytes())
    content[40] ^= 1
    shards[0].write_bytes(content)
    shards[-1].unlink()
    Path("out.zarr/time/c/0").unlink()
    result = sweep("status", "out.zarr", "--check")
    assert result.exit_code == 1
    names = [str(p.relative_to("out.zarr")) for p in (shards[0], shards[-1])]
    assert [line.split() for line in result.stdout.splitlines()[-4:-1]] == [
        ["missing", "time/c/0"],
        ["damaged", names[0]],
        ["missing", names[1]],
    ]
    assert "1 damaged, 2 missing; the command that wrote this store computes them again" in result.stdout
    assert sweep("run", toy, "--store", "out.zarr").exit_code == 0
    assert sweep("status", "out.zarr", "--check").exit_code == 0


@pytest.mark.parametrize("command", [["plot"], ["frontier", "--minimise", "distance"]])
@pytest.mark.parametrize("damage", ["bit", "swap", "coordinate"])
def test_main_refuses_to_read_a_damaged_store_in_one_line(damage: str, command: list[str], toy: Path) -> None:
    sweep("run", toy, "--store", "out.zarr", "--memory", LITTLE)
    shards = sorted(p for p in Path("out.zarr/distance/c").rglob("*") if p.is_file())
    if damage == "bit":
        content = bytearray(shards[0].read_bytes())
        content[40] ^= 1
        shards[0].write_bytes(content)
    elif damage == "swap":
        shards[0].write_bytes(shards[1].read_bytes())
    else:
        Path("out.zarr/time/c/0").unlink()
    assert_refused(sweep(command[0], "out.zarr", *command[1:]), "the command that wrote this store repairs it")


def test_status_reports_at_most_the_bytes_that_describe_announced(toy: Path) -> None:
    described = told("describe", toy, "--memory", LITTLE)
    sweep("run", toy, "--store", "out.zarr", "--memory", LITTLE)
    most = float(re.search(r"at most ([\d.]+) kB on disk", described)[1])
    assert float(re.search(r"on disk +([\d.]+) kB", told("status", "out.zarr"))[1]) <= most


# plot


@pytest.mark.parametrize("source", ["toy.toml", "out.zarr"])
def test_plot_draws_a_config_or_a_store(source: str, toy: Path) -> None:
    sweep("run", toy, "--store", "out.zarr")
    result = sweep("plot", source, "--output", "distance", "--x", "time", "--lines", "rate")
    assert result.exit_code == 0
    assert result.stdout == f"{source.split('.')[0]}.png\n"
    assert Path(result.stdout.strip()).read_bytes().startswith(b"\x89PNG")


def test_plot_hands_over_what_was_asked_for(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sweep.report import figures

    calls = []
    monkeypatch.setattr(figures, "plot", lambda dataset, **asked: calls.append(asked))
    monkeypatch.setattr(figures, "save", lambda figure, path: calls.append(path))
    result = sweep("plot", toy, "-o", "a.svg", "--y", "rate", "--at", "time=6", "--at", "rate=2e0")
    asked = {"output": None, "x": None, "lines": None, "y": "rate", "at": {"time": 6.0, "rate": 2.0}}
    assert (calls, result.stdout) == ([asked, Path("a.svg")], "a.svg\n")


def test_plot_warns_of_a_store_that_is_not_complete(toy: Path) -> None:
    sweep("run", toy, "--store", "out.zarr", "--memory", LITTLE)
    sorted(path for path in Path("out.zarr/distance/c").rglob("*") if path.is_file())[-1].unlink()
    result = sweep("plot", "out.zarr")
    assert re.search(r"warning: out.zarr: 1 of \d+ blocks not computed yet", result.stderr)


# starting


@pytest.mark.parametrize(
    "command", [["--help"], ["run", "--help"], ["--version"], ["describe", "good.toml"], ["status", "out.zarr"]]
)
def test_main_starts_without_jax_and_xarray(command: list[str], toy: Path, tmp_path: Path) -> None:
    sweep("run", toy, "--store", "out.zarr")
    (tmp_path / "good.toml").write_text(GOOD)
    script = (
        "import sys; from sweep.cli.main import main\n"
        "try: main(prog_name='sweep')\n"
        "finally: print(*sorted({'jax', 'xarray', 'zarr', 'rich', 'matplotlib'} & set(sys.modules)), file=sys.stderr)"
    )
    process = child(script, *command, cwd=tmp_path)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err.strip()) == (0, "")


def test_help_needs_neither_pydantic_nor_numpy() -> None:
    script = (
        "import sys; from sweep.cli.main import main\n"
        "try: main(['--help'])\n"
        "finally: print(*sorted({'pydantic', 'numpy'} & set(sys.modules)), file=sys.stderr)"
    )
    _, err = child(script).communicate(timeout=60)
    assert err.strip() == ""


@pytest.mark.parametrize("command", sorted(main.commands))
def test_help_gives_an_example(command: str) -> None:
    out = sweep(command, "--help").stdout
    assert out.startswith(f"Usage: sweep {command} ")
    assert f"Example: sweep {command} " in out


def test_main_runs_as_a_module() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "sweep", "--help"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: sweep [OPTIONS] COMMAND")
    assert isinstance(main, click.Group)


def test_version_names_the_program() -> None:
    result = sweep("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("sweep")
