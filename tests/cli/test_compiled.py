"""Compiled programs that the command line keeps: the same answers with and without, whatever is in the folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFIG = """
loss = "total"
outputs = ["relative_loss"]
[axes.time]
values = [0.5, 2.0, 8.0]
[fixed]
fleet_size = 100.0
doubling_rate = 1.0
scaling_exponent = 0.05
reference_fleet = 1.0
reference_years = 1.0
"""
COMMAND = "import sys\nfrom sweep.cli.main import main\nmain()"


def run(folder, *args, code=COMMAND, **variables):
    """Run the command line in a process of its own; its standard output but for the times."""
    (folder / "asked.toml").write_text(CONFIG)
    known = {name: value for name, value in os.environ.items() if not name.startswith("JAX_COMPILATION_CACHE")}
    known |= {"XDG_CACHE_HOME": str(folder / "cache"), **variables}
    command = [sys.executable, "-c", code, "run", "asked.toml", *args]
    done = subprocess.run(command, cwd=folder, env=known, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.splitlines()[:-1]


def entries(folder):
    return sorted(folder.rglob("*-cache"))


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A folder in which a command has kept its programs, and what it printed."""
    folder = tmp_path_factory.mktemp("filled")
    return folder, run(folder)


def test_programs_are_kept_and_used_again(filled):
    folder, printed = filled
    before = entries(folder / "cache" / "relative-loss-sweep")
    assert before
    written = [entry.stat().st_mtime_ns for entry in before]
    assert run(folder) == printed
    # A small program that took long to compile this time, on a busy machine, is kept beside them.
    assert set(entries(folder / "cache")) >= set(before)
    assert [entry.stat().st_mtime_ns for entry in before] == written


def test_no_cache_keeps_nothing(filled, tmp_path):
    assert run(tmp_path, "--no-cache") == filled[1]
    assert not (tmp_path / "cache").exists()


def test_the_library_keeps_nothing(tmp_path):
    run(tmp_path, code="import sweep\nsweep.run(sweep.load('asked.toml'))")
    assert not (tmp_path / "cache").exists()


def test_damaged_and_unfinished_entries_do_no_harm(filled, tmp_path):
    source, printed = filled
    folder = tmp_path / "cache" / "relative-loss-sweep" / "compiled"
    folder.mkdir(parents=True)
    for entry in entries(source):
        (folder / entry.name).write_bytes(entry.read_bytes()[:100])
        (folder / (entry.name.removesuffix("cache") + "atime")).write_bytes(bytes(8))
    unfinished = folder / "jit_stopped-0123-cache"
    unfinished.write_bytes(b"half")
    assert run(tmp_path) == printed
    assert not unfinished.exists()


def test_a_folder_that_cannot_be_made_does_no_harm(filled, tmp_path):
    (tmp_path / "cache").write_text("a file")
    assert run(tmp_path) == filled[1]


def test_the_folder_that_jax_was_told_of_is_used(filled, tmp_path):
    theirs = str(tmp_path / "theirs")
    told = {"JAX_COMPILATION_CACHE_DIR": theirs, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    assert run(tmp_path, **told) == filled[1]
    assert entries(Path(theirs)) and not (tmp_path / "cache").exists()


def test_no_more_is_kept_than_the_bound(filled, tmp_path):
    bound = sum(entry.stat().st_size for entry in entries(filled[0])) // 2
    code = f"import sweep.cli.compiled as kept\nkept.SIZE, kept.LEAST = {bound}, 0\n{COMMAND}"
    assert bound > 0
    assert run(tmp_path, code=code) == filled[1]
    assert sum(entry.stat().st_size for entry in entries(tmp_path)) <= bound
