"""`sweep optimise` of any model: a sentence, a table, a file, and what is refused in one line."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner, Result

from sweep.cli.main import main
from sweep.report.describe_questions import describe_decisions
from sweep.report.page.page import page
from sweep.results import netcdf

SPEC = """
model = "delayed_start"
loss = "total"
reference = "llama-3.1-405b"
outputs = ["relative_loss", "total_cost"]
[axes.doubling_rate]
values = RATES
[axes.fleet_size]
start = 1e3
stop = 1e7
num = 5
spacing = "log"
[axes.start_date]
start = 0.0
stop = 8.0
num = 5
[fixed]
scaling_exponent = 0.05
duration = 1.5
"""
OVER = ("--over", "fleet_size", "--over", "start_date")
QUESTION = ("--minimise", "relative_loss", *OVER)


def optimise(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["optimise", *map(str, arguments)])


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "few.toml"
    path.write_text(SPEC.replace("RATES", "[0.0, 1.0, 1.5]"))
    return path


def test_scenarios_are_a_table_and_a_file_and_one_is_a_sentence(config: Path, tmp_path: Path) -> None:
    file = tmp_path / "best.nc"
    conditions = ("--subject-to", "total_cost <= 5e8", "--subject-to", "relative_loss <= 0.8")
    result = optimise(config, "--minimise", "finish_date", *OVER, *conditions, "--netcdf", file)
    assert result.exit_code == 0, result.stderr
    assert "in 1 of 3 scenarios no decision between the ends has total_cost <= 5e+08" in result.stderr
    first, _, names, _, *rows = result.stdout.splitlines()
    assert first == (
        "least finish_date over fleet_size 1000 to 10000000 accelerators; start_date 0 to 8 years, where "
        "total_cost <= 500000000.0 and relative_loss <= 0.8"
    )
    assert names.split()[:4] == ["doubling_rate", "finish_date", "fleet_size", "start_date"]
    assert [row.split()[-1] for row in rows[:3]] == ["infeasible", "local", "local"]
    assert "2 scenarios: local, best of 8 starts" in result.stdout
    assert "1 scenario: infeasible: no decision that was tried is allowed" in result.stdout
    assert result.stdout.endswith(f"written to {file}\n")
    written = netcdf.read(file)
    assert written.attrs["kind"] == "decision"
    assert (written.total_cost[1:] <= 5e8).all() and (written.relative_loss[1:] <= 0.8).all()
    sentence = list(describe_decisions(written.isel(doubling_rate=[2])))[2]
    assert sentence.startswith("the least finish_date is ") and " years, with fleet_size " in sentence
    assert list(describe_decisions(written.isel(doubling_rate=[0])))[2] == "nothing that was tried is allowed"
    page(written)
    again = optimise(config, *QUESTION, "--netcdf", file)
    assert again.exit_code == 2 and again.stderr.startswith(f"error: {file}: ")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "objective: give one name to minimise or to maximise, got none"),
        (("--robust", "mean"), 'robust: is of the split of a budget, the model "front_loading"; drop it'),
        ((*QUESTION, "--starts", "100"), "starts: must be 1 to 64, got 100"),
        ((*QUESTION, "--over", "doubling_rate"), "over: doubling_rate is a list of 3 values"),
        ((*QUESTION, "--over", "duration"), "over: duration is fixed at 1.5; make it an axis"),
        (
            (*QUESTION, "--subject-to", "cost <= 3"),
            'subject_to: unknown output or decision "cost"; allowed: relative_loss',
        ),
        ((*QUESTION, "--subject-to", "total_cost = 3"), "subject_to: must be comparisons such as"),
        ((*QUESTION, "--netcdf", "no/where.nc"), "no/where.nc: "),
    ],
)
def test_question_is_refused_in_one_line(config: Path, arguments: tuple[str, ...], line: str) -> None:
    result = optimise(config, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {line}") and result.stderr.count("\n") == 1


def test_plot_of_a_file_of_decisions_draws_a_decision_along_an_axis(tmp_path: Path) -> None:
    values = xr.DataArray([3.0, 2.0], dims="rate", attrs={"long_name": "a date", "units": "years"})
    rate = xr.DataArray(np.array([0.0, 1.0]), dims="rate", attrs={"units": "1/year", "spacing": "linear"})
    file = tmp_path / "best.nc"
    netcdf.write(xr.Dataset({"start_date": values}, {"rate": rate}, {"kind": "decision", "spec": "{}"}), file)
    figure = tmp_path / "best.png"
    result = CliRunner().invoke(main, ["plot", str(file), "-o", str(figure)])
    assert result.exit_code == 0, result.stderr
    assert figure.exists()
