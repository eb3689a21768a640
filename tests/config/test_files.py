"""Files that people name: pipes, devices, folders, what is too large, cut, nested or of another kind: one line each."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

from sweep.cli.main import main
from sweep.config import files, samples
from sweep.config.spec import read
from sweep.config.statistic import MOST_CONDITIONS, conditions_of
from sweep.errors import LONGEST, SpecError, one_line
from sweep.results import netcdf

CONFIG = """
outputs = ["y"]
[axes.a]
values = [1.0]
[distributions.b]
distribution = "empirical"
file = "sample.csv"
column = "b"
"""
PRIORS = CONFIG.split("[distributions")[0] + '[distributions]\nb = "priors.{name}"\n'


def endless(path: Path, kind: str) -> Path:
    """Put something at a path from which one could read without end."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "sparse":
        with open(path, "wb") as file:
            file.truncate(10**8 + 1)
    else:
        path.symlink_to(f"/dev/{kind}")
    return path


def refused(*args: object) -> str:
    """Run a command that is refused in one line, and give the line."""
    result = CliRunner().invoke(main, [str(arg) for arg in args], prog_name="sweep", catch_exceptions=False)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    return result.stderr


KINDS = ("pipe", "zero", "urandom", "sparse")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("a.toml", ["run", "a.toml"]),
        ("a.toml", ["describe", "a.toml"]),
        ("a.toml", ["frontier", "a.toml", "--minimise", "time"]),
        ("a.nc", ["plot", "a.nc"]),
        ("a.jsonl", ["bench", "--compare", "a.jsonl", "a.jsonl"]),
        ("zarr.json", ["status", "."]),
    ],
    ids=lambda x: x if isinstance(x, str) else x[0],
)
def test_main_refuses_a_file_without_end(name, args, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    endless(tmp_path / name, kind)
    assert refused(*args).startswith("error: ")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["sample.csv", "sample.nc", "priors.toml"])
def test_read_refuses_an_included_file_without_end(name, kind, tmp_path):
    text = PRIORS.format(name="b") if name == "priors.toml" else CONFIG.replace("sample.csv", name)
    (tmp_path / "a.toml").write_text(text)
    endless(tmp_path / name, kind)
    with pytest.raises(
        SpecError, match=rf"^{tmp_path}/a\.toml: distributions\.b.*{name}: .*(not a file|MB|NetCDF|file)"
    ):
        read(tmp_path / "a.toml")


@pytest.mark.parametrize(
    "text", ["x" + 99999 * ".x" + " = 1", "x" + 99999 * ' . "y z"' + " = 1", "x = " + 9999 * "{x="]
)
def test_read_toml_refuses_what_is_nested_without_end(text, tmp_path):
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(ValueError, match=r"^is not a config: tables or lists nested too deeply$"):
        files.read_toml(tmp_path / "a.toml")


def test_read_toml_takes_words_of_any_length(tmp_path):
    text = f'a.b."c.d" = "{10**6 * "x"}"\nnumbers = [{", ".join(10**5 * ["1.5"])}]\n# {10**5 * "-"} {99 * ". "}\n'
    (tmp_path / "a.toml").write_text(text)
    found = files.read_toml(tmp_path / "a.toml")
    assert (len(found["a"]["b"]["c.d"]), len(found["numbers"])) == (10**6, 10**5)


@pytest.mark.parametrize(
    "content",
    [
        "distributions = 5",
        "distributions = [1]",
        'distributions = "b"',
        "distributions = " + 5000 * "[",
        "\x00",
        "b = 1",
    ],
)
def test_read_refuses_priors_that_are_no_tables(content, tmp_path):
    (tmp_path / "a.toml").write_text(PRIORS.format(name="b"))
    (tmp_path / "priors.toml").write_text(content)
    with pytest.raises(SpecError, match=r"a\.toml: distributions\.b: .*priors\.toml"):
        read(tmp_path / "a.toml")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (f"b\n{200_000 * '1'}\n", "line 2: is not CSV: field larger than field limit"),
        (f"{200_000 * 'b'}\n1\n", "line 1: is not CSV: field larger than field limit"),
        (f"a,b\n{10**6 * '1,'}{10**6 * '2,'}\n", "is not CSV: it has a line of more than 1,048,576 characters"),
        (f"b\n{200 * 'x'}\n", 'line 2: b must be a number, got "x{56}\\.\\.\\.'),
        ("b\n1e999\n", 'line 2: b must be finite, got "1e999"'),
        ('b\n1\n"2\nx\n', 'line 4: b must be a number, got "2\\\\n'),
        ("a\n1\n", 'unknown column "b"; allowed: a'),
        ("", 'unknown column "b"; allowed: $'),
    ],
)
def test_read_refuses_a_sample_that_is_no_column_of_numbers(content, line, tmp_path):
    (tmp_path / "a.toml").write_text(CONFIG)
    (tmp_path / "sample.csv").write_text(content)
    with pytest.raises(SpecError, match=rf"sample\.csv: {line}"):
        read(tmp_path / "a.toml")


def test_read_counts_the_values_of_a_sample_while_it_reads(tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "MOST_VALUES", 10)
    (tmp_path / "a.toml").write_text(CONFIG)
    (tmp_path / "sample.csv").write_text("b\n" + "".join(f"{i}\n" for i in range(11)) + "no number\n")
    with pytest.raises(SpecError, match=r"sample\.csv: has more than 10 values of b"):
        read(tmp_path / "a.toml")


def test_read_looks_at_the_size_of_a_variable_before_it_reads_it(tmp_path, monkeypatch):
    (tmp_path / "a.toml").write_text(CONFIG.replace("sample.csv", "sample.nc"))
    xr.Dataset({"b": ("x", np.arange(11.0))}).to_netcdf(tmp_path / "sample.nc", engine="h5netcdf")
    monkeypatch.setattr(samples, "MOST_VALUES", 10)
    with pytest.raises(SpecError, match=r"sample\.nc: b has 11 values, at most 10 are taken"):
        read(tmp_path / "a.toml")


@pytest.mark.parametrize("count", [MOST_CONDITIONS + 1, 20_000])
def test_conditions_of_refuses_more_than_can_be_compiled(count):
    with pytest.raises(ValueError, match=f"^where: must be at most {MOST_CONDITIONS} comparisons, got {count:,}$"):
        conditions_of(" and ".join(["y < 1"] * count))


def test_conditions_of_takes_as_many_as_it_says():
    assert len(conditions_of(" and ".join(f"y < {i}" for i in range(MOST_CONDITIONS)))) == MOST_CONDITIONS


LONG = 10_000 * "x"


@pytest.mark.parametrize(
    "args",
    [
        ["run", f"{LONG}.toml"],
        ["status", LONG],
        [LONG],
        ["run", "a.toml", f"--{LONG}"],
        ["run", "a.toml", "--memory", LONG],
        ["run", "a.toml", "--dtype", LONG],
        ["plot", "a.toml", "--at", LONG],
        ["bench", "--kernel", LONG],
        ["bench", "--size", LONG],
        ["describe", "key.toml"],
        ["describe", "name.toml"],
        ["describe", "prior.toml"],
        ["frontier", "a.toml", "--minimise", LONG],
        ["frontier", "a.toml", "--minimise", "y", "--where", f"{LONG} < 1"],
    ],
    ids=lambda args: " ".join(args)[:30],
)
def test_main_cuts_a_long_line_once(args, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.toml").write_text('loss = "total"\noutputs = ["capital_cost"]\n[axes.fleet_size]\nvalues = [1, 2]\n')
    (tmp_path / "key.toml").write_text(f"{LONG} = 1")
    (tmp_path / "name.toml").write_text(f'outputs = ["{LONG}"]\n[axes.fleet_size]\nvalues = [1, 2]\n')
    (tmp_path / "prior.toml").write_text(PRIORS.format(name=LONG))
    line = refused(*args)
    assert len(line) <= LONGEST + len("error: \n") and line.rstrip("\n").isprintable()


@pytest.mark.parametrize("text", ["", "a", "é\n", LONG, 5000 * "\n", "a" + 5000 * "\U0001f600\x1b"])
def test_one_line_keeps_both_ends_of_a_long_text(text):
    line = one_line(f"key: {text} allowed")
    assert line.isprintable() and len(line) <= LONGEST
    assert line.startswith("key: ") and line.endswith(" allowed")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\x00", b"[1]", b'{"benchmark": []}', 5000 * b"[", b"", b"null"])
def test_bench_refuses_to_compare_what_is_no_file_of_results(content, tmp_path):
    (tmp_path / "a.jsonl").write_bytes(content)
    assert "a.jsonl: " in refused("bench", "--compare", tmp_path / "a.jsonl", tmp_path / "a.jsonl")


LINE = {
    "benchmark": "b",
    "case": "c",
    "result": "r",
    "seconds": {"p10": 1.0, "median": 1.0, "p90": 1.0},
    "environment": {"device": "d", "cpu": "c"},
}


@pytest.mark.parametrize(
    "change",
    [
        {"seconds": 3},
        {"seconds": {"p10": 1.0, "median": 0.0, "p90": 1.0}},
        {"seconds": {"p10": 1.0, "median": float("nan"), "p90": 1.0}},
        {"seconds": {"median": 1.0}},
        {"environment": {}},
        {"environment": {"device": [], "cpu": "c"}},
        {"case": 3},
        {"cores_busy_with_others": "many"},
        {"max_error_ulp": []},
    ],
    ids=str,
)
def test_bench_refuses_to_compare_a_line_that_lacks_what_is_compared(change, tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps(LINE) + "\n" + json.dumps(LINE | change))
    message = refused("bench", "--compare", tmp_path / "a.jsonl", tmp_path / "a.jsonl")
    assert "a.jsonl: line 2 is not a result of sweep bench" in message


@pytest.mark.parametrize("name", ["a.csv", "a", "a.nc4", "a.nc.gz", ".nc", "a.toml"])
def test_netcdf_check_refuses_a_name_that_is_of_another_kind(name, tmp_path):
    with pytest.raises(SpecError, match=r"is not the name of a NetCDF file; let it end in \.nc$"):
        netcdf.check(tmp_path / name, 1)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a file of 16 values."""
    path = tmp_path_factory.mktemp("file") / "a.nc"
    netcdf.write(xr.Dataset({"y": ("x", np.arange(16.0, dtype=np.float32))}, {"x": np.arange(16.0)}), path)
    return path


def test_netcdf_read_gives_what_was_written(written):
    dataset = netcdf.read(written)
    assert dataset["y"].values.tolist() == dataset["x"].values.tolist() == list(range(16))


def test_netcdf_read_takes_no_flipped_bit_for_a_value(written, tmp_path):
    whole, path = written.read_bytes(), tmp_path / "b.nc"
    right = netcdf.read(written)
    for place in np.random.default_rng(5).integers(0, 8 * len(whole), 200):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << (place % 8)
        path.write_bytes(flipped)
        try:
            found = netcdf.read(path)
        except SpecError as error:
            assert str(error).startswith(f"{path}: ")
        else:
            assert found.identical(right)  # a bit of the mark that says that there is a hash


def test_netcdf_read_takes_no_part_of_a_file_for_the_whole(written, tmp_path):
    whole, path = written.read_bytes(), tmp_path / "b.nc"
    seal = len(samples.SEAL) + 64
    for length in [0, 1, 100, len(whole) // 2, len(whole) - seal - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(SpecError, match=r"b\.nc: cannot be read as NetCDF"):
            netcdf.read(path)


def test_netcdf_read_takes_a_file_of_others_as_it_is(written, tmp_path):
    netcdf.read(written).isel(x=slice(3)).to_netcdf(tmp_path / "b.nc", engine="h5netcdf")
    assert netcdf.read(tmp_path / "b.nc").sizes == {"x": 3}


def test_plot_refuses_a_damaged_file_in_one_line(written, tmp_path):
    flipped = bytearray(written.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    (tmp_path / "b.nc").write_bytes(flipped)
    assert "b.nc: is damaged" in refused("plot", tmp_path / "b.nc", "-o", tmp_path / "b.png")


def test_read_refuses_a_sample_of_a_damaged_file(written, tmp_path):
    flipped = bytearray(written.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    (tmp_path / "sample.nc").write_bytes(flipped)
    (tmp_path / "a.toml").write_text(CONFIG.replace("sample.csv", "sample.nc").replace('"b"', '"y"'))
    with pytest.raises(SpecError, match=r"sample\.nc: .*is damaged"):
        read(tmp_path / "a.toml")
