"""Specs as configs: what is written reads as the same spec."""

import tomllib
from pathlib import Path

import pytest

import sweep
from sweep.config.spec import read
from sweep.config.toml import as_toml

FOLDER = Path(__file__).parents[2] / "configs"
CONFIGS = [path for path in sorted(FOLDER.glob("*.toml")) if path.stem not in ("priors", "report")]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_as_toml_writes_a_config_that_reads_as_the_same_spec(path):
    spec = read(path)
    again = sweep.SweepSpec(**tomllib.loads(as_toml(spec)))
    assert again.model_dump() == spec.model_dump()


@pytest.mark.parametrize("title", ['"quotes" \\ and\nlines', "\x7f\x00\t", "µ ' # [x]", "= 1"])
def test_as_toml_keeps_every_text(title):
    spec = read(CONFIGS[0]).model_copy(update={"title": title})
    assert tomllib.loads(as_toml(spec))["title"] == title
