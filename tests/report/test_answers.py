"""Answers to a target under both conventions: against closed forms in mpmath, and as `sweep run` prints them."""

import itertools
import math
from pathlib import Path

import mpmath
import numpy as np
import pytest
from click.testing import CliRunner

import sweep
from sweep.cli.main import main
from sweep.models.conventions import floor_share
from sweep.models.problem import Problem
from sweep.models.registry import RELATIVE_LOSS
from sweep.report.answers import answers

mpmath.mp.dps = 40
OUTPUTS = ("time_to_target", "fleet_for_target", "rate_for_target")
REFERENCE = {"reference_fleet": 16384.0, "reference_years": 0.244353}
TOTAL, EXCESS = (0.05, 0.0), (0.178, 0.96061)
CONFIG = """
loss = "{loss}"
outputs = ["{output}"]
[axes]
{axis} = {{ values = {values} }}
[fixed]
target = 0.8
scaling_exponent = {exponent}
irreducible_share = {share}
{rest}
reference_fleet = 16384
reference_years = 0.244353
"""
REST = {
    "time_to_target": "fleet_size = 50000",
    "fleet_for_target": "doubling_rate = 0.85",
    "rate_for_target": "fleet_size = 50000",
}
AXIS = {
    "time_to_target": ("doubling_rate", [0.0, 0.5, 2.0]),
    "fleet_for_target": ("time", [1.0, 3.0, 40.0]),
    "rate_for_target": ("time", [1.0, 3.0, 40.0]),
}


def _needed(target, law):
    """q = X*^(-1/kappa) - 1; infinite where the floor forbids the target."""
    kappa, share = map(mpmath.mpf, law)
    return mpmath.inf if target <= share else ((target - share) / (1 - share)) ** (-1 / kappa) - 1


def _grown(time, rate):
    time, rate = mpmath.mpf(time), mpmath.mpf(rate)
    return time if rate == 0 else (2 ** (rate * time) - 1) / (rate * mpmath.log(2))


def _is_answer(output, value, point, law):
    """Whether a value solves the equation at a point, by putting it in."""
    need = _needed(mpmath.mpf(point["target"]), law)
    if mpmath.isinf(need):
        return math.isinf(value) and value > 0
    at = {**point, {"time_to_target": "time", "fleet_for_target": "fleet_size"}.get(output, "doubling_rate"): value}
    added = at["fleet_size"] / mpmath.mpf(REFERENCE["reference_fleet"]) / mpmath.mpf(REFERENCE["reference_years"])
    return abs(added * _grown(at["time"], at["doubling_rate"]) / need - 1) < 1e-9


def spec_of(output, law, loss, **axes):
    fixed = {
        "fleet_size": 50000.0,
        "time": 3.0,
        "doubling_rate": 0.85,
        "target": 0.8,
        "scaling_exponent": law[0],
        "irreducible_share": law[1],
        **REFERENCE,
    }
    needed = RELATIVE_LOSS.output(output).parameters
    fixed = {name: value for name, value in fixed.items() if name in needed and name not in axes}
    made = {name: sweep.Axis(values=values) for name, values in axes.items()}
    spec = sweep.SweepSpec(loss=loss, outputs=[output], axes=made, fixed=fixed)
    return Problem.of(spec)


@pytest.mark.parametrize("output", OUTPUTS)
def test_answers_solve_the_equation_of_each_law(output):
    needed = RELATIVE_LOSS.output(output).parameters
    axes = {"target": np.linspace(0.5, 0.99, 50), "doubling_rate": [0.0, 0.85, 2.35], "time": [1.0, 3.0, 9.0]}
    problem = spec_of(output, TOTAL, "total", **{name: values for name, values in axes.items() if name in needed})
    laws, found = answers(problem)
    assert [(law.scaling_exponent, law.irreducible_share) for law in laws] == [TOTAL, EXCESS]
    assert [each.axis for each in found] == list(problem.spec.axes)
    for each, (law, column) in itertools.product(found, enumerate(zip(laws, range(2), strict=True))):
        numbers = laws[law].scaling_exponent, laws[law].irreducible_share
        for value, answer in zip(each.values, each.columns[column[1]], strict=True):
            point = {"fleet_size": 50000.0, "time": 3.0, "doubling_rate": 0.85, **each.at, each.axis: float(value)}
            point.setdefault("target", 0.8)
            assert _is_answer(output, float(answer), point, numbers), (each.axis, value, answer)


def test_answers_show_an_axis_from_its_first_to_its_last_value():
    _, (found,) = answers(spec_of("time_to_target", TOTAL, "total", target=np.linspace(0.5, 0.99, 50)))
    assert len(found.values) == 5
    assert (found.values[0], found.values[-1]) == (0.5, 0.99)


@pytest.mark.parametrize(
    ("loss", "law", "beside"),
    [
        ("total", TOTAL, [("excess", *EXCESS)]),
        ("excess", EXCESS, [("total", *TOTAL)]),
        ("excess", (0.178, 0.0), [("total", *TOTAL), ("excess", *EXCESS)]),
    ],
)
def test_laws_beside_are_the_published_ones_of_the_other_convention(loss, law, beside):
    laws, _ = answers(spec_of("time_to_target", law, loss, target=[0.7, 0.98]))
    assert [(each.loss, each.scaling_exponent, each.irreducible_share) for each in laws] == [(loss, *law), *beside]
    assert all("arXiv" in each.source for each in laws[1:])


def test_floor_beside_is_that_of_the_reference_run():
    """A smaller run is further above the floor: A / N^alpha + B / D^beta is larger, E the same."""
    problem = spec_of("time_to_target", TOTAL, "total", target=[0.7, 0.98])
    small = problem.derived(fixed={**problem.spec.fixed, "reference_fleet": sweep.Fixed(value=64.0)})
    assert answers(small)[0][1].irreducible_share < answers(problem)[0][1].irreducible_share == 0.96061


@pytest.mark.parametrize(("name", "flop"), [("llama-3.1-405b", 3.8e25), ("gpt-3", 3.14e23)])
def test_floor_beside_is_that_of_the_named_run(name, flop):
    given = {"fleet_size": 5e4, "doubling_rate": 0.85, "scaling_exponent": 0.05}
    axes = {"target": sweep.Axis(values=[0.7, 0.98])}
    spec = sweep.SweepSpec(loss="total", outputs=["time_to_target"], axes=axes, fixed=given, reference=name)
    law = answers(Problem.of(spec))[0][1]
    assert law.irreducible_share == round(floor_share(flop), 5)
    assert f"E / L({flop:.3g} FLOP)" in law.source


def test_answers_are_none_where_no_target_is_asked_for():
    fixed = {"fleet_size": 1.0, "doubling_rate": 1.0, "scaling_exponent": 0.05, **REFERENCE}
    spec = sweep.SweepSpec(loss="total", outputs=["relative_loss"], axes={"time": {"values": [1.0]}}, fixed=fixed)
    assert answers(Problem.of(spec)) == ([], [])


def test_answers_of_uncertain_parameters_and_statistics_are_those_of_the_middle():
    prior = sweep.Distribution(distribution="lognormal", low=0.5, high=2.0)
    base = spec_of("time_to_target", TOTAL, "total", target=[0.7, 0.98], doubling_rate=[1.0])
    statistics = {"mean": sweep.Statistic(statistic="mean", output="time_to_target", over=["draw"])}
    spec = sweep.SweepSpec(
        loss="total",
        axes={"target": base.spec.axes["target"]},
        fixed={name: base.spec.fixed[name] for name in ("fleet_size", "scaling_exponent", *REFERENCE)},
        distributions={"doubling_rate": prior},
        draws=sweep.Draws(number=2),
        statistics=statistics,
    )
    (_, (mine,)), (_, (theirs, _)) = answers(Problem.of(spec)), answers(base)
    assert mine.at["doubling_rate"] == pytest.approx(1.0)
    np.testing.assert_allclose(mine.columns, theirs.columns, rtol=1e-12)


def test_answers_of_a_declining_efficiency_name_the_least_loss():
    spec = spec_of("time_to_target", TOTAL, "total", target=[0.5, 0.99], doubling_rate=[-1.0])
    _, (found, _) = answers(spec)
    added = 50000.0 / (REFERENCE["reference_fleet"] * REFERENCE["reference_years"]) / mpmath.log(2)
    assert f"the least reachable loss is {float((1 + added) ** mpmath.mpf(-0.05)):.5g}" in found.reasons[0][0]
    assert found.reasons[0][1] == ""
    assert "the floor, 0.96061" in found.reasons[1][0]


def test_strategies_answer_beside_the_other_law():
    problem = sweep.load(Path(__file__).parents[2] / "configs" / "strategies.toml")
    laws, found = answers(problem)
    assert [law.loss for law in laws] == ["excess", "total", "excess"]
    assert {each.output for each in found} == {"time_to_target"}
    assert {each.axis for each in found} == set(problem.spec.axes)
    assert not any(np.isfinite(each.columns[2]).any() for each in found)  # 0.4 is below any floor
    assert any(np.isfinite(each.columns[1]).any() for each in found)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def printed(output, loss, law, *args, **given):
    axis, values = AXIS[output]
    values = given.pop("values", values)
    text = CONFIG.format(
        loss=loss, output=output, axis=axis, values=values, exponent=law[0], share=law[1], rest=REST[output]
    )
    Path("asked.toml").write_text(text)
    result = CliRunner().invoke(main, ["run", "asked.toml", *args], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return result


@pytest.mark.parametrize("args", [[], ["--store", "out.zarr"]], ids=["memory", "store"])
@pytest.mark.parametrize("output", OUTPUTS)
def test_run_prints_the_answer_under_the_other_convention_beside_it(output, args, folder):
    total = printed(output, "total", TOTAL, *args)
    never = {"time_to_target": "never", "fleet_for_target": "by no fleet", "rate_for_target": "at no rate"}[output]
    rows = [
        line
        for line in total.stdout.splitlines()
        if f"{never} (the least reachable loss is the floor, 0.96061)" in line
    ]
    assert len(rows) == len(AXIS[output][1])
    assert all(line.split()[1] not in (never, "inf") for line in rows)
    for part in ('loss = "total", as asked', "Besiroglu et al. 2024", "scaling_exponent 0.178"):
        assert part in " ".join(total.stdout.split())
    assert total.stderr == ""


@pytest.mark.parametrize("output", OUTPUTS)
def test_run_names_an_unreachable_target_and_its_floor(output, folder):
    result = printed(output, "excess", EXCESS)
    assert f"the least reachable loss is {EXCESS[1]:g}" in result.stderr
    assert result.stderr.count("warning: ") == 1
    assert "Kaplan et al. 2020" in " ".join(result.stdout.split())


def test_run_prints_a_fleet_along_the_dates_it_belongs_to(folder):
    out = printed("fleet_for_target", "total", TOTAL, values=[1.0, 2.0, 4.0]).stdout
    rows = [line.split() for line in out.splitlines()]
    table = rows[next(i for i, row in enumerate(rows) if row[:1] == ["time"] and "asked" in row) + 1 :][:3]
    assert [float(row[0]) for row in table] == [1.0, 2.0, 4.0]
    fleets = [float(row[1].replace(",", "")) for row in table]
    assert fleets == sorted(fleets, reverse=True) and fleets[0] > fleets[2]
    (span,) = (row for row in rows if row[:2] == ["fleet_for_target", "time"])
    assert "at time 1 to time 4" in " ".join(span)
    assert float(span[3]) > float(span[5])


def test_run_says_less_than_one_accelerator(folder):
    out = printed("fleet_for_target", "total", TOTAL, values=[1.0, 40.0]).stdout
    assert [
        line.split(None, 1)[1].startswith("less than one accelerator")
        for line in out.splitlines()
        if line.startswith("  40 ")
    ] == [True]
    assert "buy one" in " ".join(out.split())
    assert "(less than one accelerator)" in out


def test_run_counts_the_targets_that_are_never_reached(folder):
    out = printed("time_to_target", "excess", EXCESS).stdout
    assert "3 of 3 never" in out
