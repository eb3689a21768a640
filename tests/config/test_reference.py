"""The reference run: asked for wherever an output depends on it, filled in by name, and named in every answer."""

import math
import re

import jax.numpy as jnp
import pytest
import xarray as xr
from click.testing import CliRunner

import sweep
from sweep.cli.main import main
from sweep.config.reference import PARAMETERS, RUNS
from sweep.models.model import Model
from sweep.models.parameters import Parameter
from sweep.models.problem import Problem
from sweep.models.quantity import Quantity
from sweep.models.registry import MODELS
from sweep.report.discovery_figure import plot_regions
from sweep.report.figures import plot
from sweep.report.frontier_figure import plot_frontier
from sweep.report.sensitivity_figure import plot_sensitivity
from sweep.results.metadata import dataset_attributes, reference_of

VALUES = {"horizon": 5.0, "scaling_exponent": 0.1, "front_load_share": 0.5, "later_date": 1.0, "target": 0.8}
NUMBERS = {"reference_fleet": 50_000.0, "reference_years": 1.0}
LLAMA = "Llama 3.1 405B: 16,384 H100 accelerators for 0.244 years (Meta 2024, arXiv 2407.21783)"
EVERY_OUTPUT = [(name, output.name) for name, model in MODELS.items() for output in model.outputs]
DEPENDENT = [pair for pair in EVERY_OUTPUT if set(PARAMETERS) & set(MODELS[pair[0]].output(pair[1]).parameters)]
PEAK = {"V100": 125e12, "A100": 312e12, "H100": 989e12}  # dense FLOP/s of 16-bit numbers, NVIDIA data sheets


def spec_of(model, output, **changes):
    """Ask a model for one output, with a value for all that it needs but the reference."""
    needs = [name for name in MODELS[model].output(output).parameters if name not in PARAMETERS]
    first, *others = needs
    fixed = {n: VALUES.get(n, 1.0) for n in others if MODELS[model].parameter(n).default is None}
    axes = {first: sweep.Axis(values=[VALUES.get(first, 1.0)])}
    changes["fixed"] = fixed | changes.get("fixed", {})
    changes["axes"] = axes | changes.get("axes", {})
    if not MODELS[model].is_solved:
        changes.setdefault("outputs", [output])
    else:
        changes["allocation"] = sweep.Allocation(dates=1, objective="mean")
    return sweep.SweepSpec(model=model, loss="excess", dtype="float64", **changes)


def resolved(spec):
    return Problem.of(spec)


@pytest.mark.parametrize(("model", "output"), EVERY_OUTPUT)
def test_reference_is_asked_for_exactly_where_an_output_depends_on_it(model, output):
    needs = [name for name in PARAMETERS if name in MODELS[model].output(output).parameters]
    if not needs:
        problem = resolved(spec_of(model, output))
        assert reference_of(problem) == ""
        assert not set(PARAMETERS) & set(problem.spec.fixed)
        return
    known = " and ".join(name for name in PARAMETERS if name in {p.name for p in MODELS[model].parameters})
    user = output if not MODELS[model].is_solved else MODELS[model].outputs[0].name
    named = " or ".join(f'"{name}"' for name in RUNS)
    line = f"is missing, and {user} needs it; name a published run, reference = {named}, or give your own {known} under"
    for left_out in needs:
        given = {name: 1.0 for name in needs if name != left_out}
        for reference in (None, "own"):
            with pytest.raises(sweep.SpecError) as caught:
                resolved(spec_of(model, output, fixed=given, reference=reference))
            assert str(caught.value).startswith(f"{left_out}: {line}")


@pytest.mark.parametrize(
    "statistic",
    [
        {"statistic": "mean", "output": "relative_loss", "over": ["time"]},
        {"statistic": "share", "where": "total_cost < 1e9 and relative_loss < 0.6", "over": ["time"]},
    ],
)
def test_reference_is_asked_for_by_statistics(statistic):
    axes = {"time": sweep.Axis(values=[1.0, 2.0])}
    fixed = {"fleet_size": 1e5, "doubling_rate": 1.0, "scaling_exponent": 0.05}
    spec = sweep.SweepSpec(loss="total", axes=axes, fixed=fixed, statistics={"s": sweep.Statistic(**statistic)})
    with pytest.raises(sweep.SpecError, match=r"^reference_fleet: is missing, and relative_loss needs it"):
        sweep.run(spec)


def test_reference_is_asked_for_before_a_store_is_written(tmp_path):
    with pytest.raises(sweep.SpecError, match=r"^reference_fleet: is missing"):
        sweep.run(spec_of("relative_loss", "relative_loss"), store=tmp_path / "out.zarr")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize(("model", "output"), DEPENDENT)
def test_named_run_gives_its_numbers_with_their_sources(model, output, name):
    run, names = RUNS[name], [p.name for p in MODELS[model].parameters]
    problem = resolved(spec_of(model, output, reference=name))
    spec = problem.spec
    right = {"reference_fleet": run.fleet, "reference_years": run.hours / 8766}
    right = {key: value for key, value in right.items() if key in names}
    assert {key: spec.fixed[key].value for key in PARAMETERS if key in spec.fixed} == right
    assert all(run.title in spec.fixed[key].source for key in right)
    written = dataset_attributes(problem, "cpu")
    assert written["reference"] == str(run)
    assert all(f"{key} = {value:.10g} " in written["fixed"] for key, value in right.items())
    # What is resolved stays as it is, and differs in nothing that decides a number from one's own numbers.
    assert resolved(spec).spec == spec == resolved(sweep.SweepSpec(**dict(spec))).spec
    own = resolved(spec_of(model, output, fixed=right))
    assert own.fingerprint == problem.fingerprint
    assert reference_of(own).startswith("own: ")


@pytest.mark.parametrize("name", RUNS)
def test_run_of_the_table_is_as_much_compute_as_its_hardware_can_do(name):
    run = RUNS[name]
    utilisation = run.flop / (run.fleet * run.hours * 3600 * PEAK[run.accelerator])
    assert 0.15 < utilisation < 0.6
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", run.date) and run.source and run.duration
    assert ";" not in "".join(source for _, source in run.numbers.values())  # it parts the values of an attribute


@pytest.mark.parametrize("parameter", PARAMETERS)
@pytest.mark.parametrize(
    ("table", "value"),
    [
        ("fixed", 16384.0),
        ("axes", {"values": [1.0, 2.0]}),
        ("distributions", {"distribution": "uniform", "low": 0.1, "high": 0.5}),
    ],
)
def test_name_and_numbers_together_are_refused(parameter, table, value):
    line = f'reference: "gpt-4" gives {parameter}, which is given under {table} too; '
    given = {table: {parameter: value}, "reference": "gpt-4"}
    with pytest.raises(sweep.SpecError) as caught:
        spec_of("relative_loss", "relative_loss", **given)
    assert str(caught.value) == line + 'drop one, or write reference = "own"'
    assert spec_of("relative_loss", "relative_loss", **given | {"reference": "own"}).reference == "own"


def test_numbers_that_a_copy_puts_in_the_place_of_a_run_are_refused():
    spec = spec_of("relative_loss", "relative_loss", reference="gpt-4")
    other = spec.model_copy(update={"fixed": {**spec.fixed, "reference_fleet": sweep.Fixed(value=1.0)}})
    with pytest.raises(sweep.SpecError, match=r'^reference: "gpt-4" gives reference_fleet, which is given under fixed'):
        resolved(other)


@pytest.mark.parametrize("name", ["llama", "GPT-4", "", "Own"])
def test_unknown_run_is_refused_with_all_that_there_are(name):
    with pytest.raises(sweep.SpecError, match=rf'^reference: unknown run "{name}"; .*allowed: {", ".join(RUNS)}, own$'):
        spec_of("relative_loss", "relative_loss", reference=name)


OWN = {
    "fixed": ({"fixed": NUMBERS}, "own: 50,000 accelerators for 1 year"),
    "one": ({"fixed": {"reference_fleet": 1.0, "reference_years": 0.25}}, "own: 1 accelerator for 0.25 years"),
    "axis": (
        {
            "fixed": {"reference_years": 0.5},
            "axes": {"reference_fleet": {"start": 1e3, "stop": 1e5, "num": 3, "spacing": "log"}},
        },
        "own: 1,000 to 100,000 accelerators for 0.5 years",
    ),
    "uncertain": (
        {
            "fixed": {"reference_fleet": 1e4},
            "distributions": {"reference_years": {"distribution": "uniform", "low": 0.2, "high": 0.3}},
        },
        "own: 10,000 accelerators for (uniform, 0.2 to 0.3) years",
    ),
}


@pytest.mark.parametrize("reference", [None, "own"])
@pytest.mark.parametrize("case", OWN)
def test_own_numbers_are_fixed_swept_or_uncertain(case, reference):
    given, sentence = OWN[case]
    spec = spec_of("relative_loss", "relative_loss", reference=reference, **given)
    assert dataset_attributes(resolved(spec), "cpu")["reference"] == sentence


def test_own_reference_of_a_split_is_counted_in_fleets():
    problem = resolved(spec_of("front_loading", "objective", fixed={"reference_years": 0.25}))
    assert reference_of(problem) == "own: the reference fleet for 0.25 years"


def model_with(*names, default=None):
    parameters = tuple(Parameter(name, f"the {name}", "1", default=default) for name in names)
    total = Quantity("y", "their sum", "1", lambda **values: sum(map(jnp.asarray, values.values())), needs=names)
    return Model("mine", (total,), parameters)


def test_model_of_a_user_takes_a_run_for_the_parameters_of_its_names():
    spec = sweep.SweepSpec(model="mine", outputs=["y"], axes={"x": {"values": [1.0, 2.0]}}, reference="gpt-3")
    found = sweep.run(spec, model=model_with("x", "reference_fleet"))
    assert found.y.values.tolist() == [10_001.0, 10_002.0]
    assert found.attrs["reference"] == str(RUNS["gpt-3"])


def test_default_of_the_model_of_a_user_stands():
    spec = sweep.SweepSpec(model="mine", outputs=["y"], axes={"x": {"values": [1.0, 2.0]}})
    found = sweep.run(spec, model=model_with("x", *PARAMETERS, default=3.0))
    assert found.y.values.tolist() == [7.0, 8.0]
    assert found.attrs["reference"] == "own: 3 accelerators for 3 years"


@pytest.mark.parametrize("reference", ["gpt-3", "own"])
def test_reference_of_a_model_without_one_is_refused(reference):
    spec = sweep.SweepSpec(model="mine", outputs=["y"], axes={"x": {"values": [1.0, 2.0]}}, reference=reference)
    with pytest.raises(
        sweep.SpecError, match=r'^reference: the model "mine" has neither reference_fleet nor reference_years; drop it$'
    ):
        sweep.run(spec, model=model_with("x"))


def test_how_long_of_a_real_fleet_is_years():
    """The question that the default of one accelerator for one year answered with 0.0017 years."""
    spec = sweep.SweepSpec(
        loss="total",
        reference="llama-3.1-405b",
        outputs=["time_to_target"],
        axes={"fleet_size": sweep.Axis(values=[5e4])},
        fixed={"doubling_rate": 4 / 3, "scaling_exponent": 0.05, "target": 0.8},
        dtype="float64",
    )
    needed = (0.8**-20 - 1) * 16_384 * 2142 / 8766 / 5e4
    years = math.log2(1 + needed * 4 / 3 * math.log(2)) / (4 / 3)
    assert sweep.run(spec).time_to_target.item() == pytest.approx(years, rel=1e-12)
    assert round(years, 2) == 2.16


CONFIG = """
title = "How far?"
model = "relative_loss"
loss = "total"
reference = "llama-3.1-405b"
outputs = ["relative_loss"]
[axes.time]
values = [1.0, 5.0, 10.0]
[axes.fleet_size]
values = [1e4, 1e5]
[fixed]
scaling_exponent = 0.05
[distributions.doubling_rate]
distribution = "uniform"
low = 0.5
high = 2.0
[draws]
number = 64
"""
SPLIT = """
model = "front_loading"
loss = "excess"
reference = "llama-3.1-405b"
[allocation]
dates = 1
objective = "mean"
[axes]
software_rate = { values = [0.5] }
[fixed]
budget = 2.0
horizon = 5.0
hardware_rate = 0.5
scaling_exponent = 0.178
"""
WHERE = ["--where", "relative_loss < 0.68", "--at", "time=5", "--at", "fleet_size=1e5"]
COMMANDS = {
    "describe": ["config.toml"],
    "run": ["config.toml", "--store", "out.zarr"],
    "run again": ["config.toml", "--store", "out.zarr"],
    "status": ["out.zarr"],
    "frontier": ["config.toml", "--minimise", "relative_loss", "--minimise", "total_cost", "--by", "draw"],
    "sensitivity": ["config.toml", "--method", "elasticity"],
    "discover": ["config.toml", *WHERE],
    "describe a split": ["split.toml"],
    "optimise": ["split.toml"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("reference")
    (made / "config.toml").write_text(CONFIG)
    (made / "split.toml").write_text(SPLIT)
    return made


def told(folder, command, monkeypatch):
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(main, [command.split()[0], *COMMANDS[command]], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return " ".join(done.stdout.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_command_names_the_reference(command, folder, monkeypatch):
    if command in ("run again", "status"):
        told(folder, "run", monkeypatch)
    assert f"reference {LLAMA}" in told(folder, command, monkeypatch).replace("reference: ", "reference ")


ANSWERS = {
    "run": (sweep.run, lambda found: plot(found, at={"draw": 0.0})),
    "lazy": (lambda spec: xr.open_dataset(spec, engine="sweep"), lambda found: plot(found, at={"draw": 0.0})),
    "frontier": (lambda spec: sweep.frontier(spec, minimise=["relative_loss", "total_cost"], by="draw"), plot_frontier),
    "sensitivity": (lambda spec: sweep.sensitivity(spec, method="tornado"), plot_sensitivity),
    "discover": (
        lambda spec: sweep.discover(spec, "relative_loss < 0.68", at={"time": 5.0, "fleet_size": 1e5}),
        plot_regions,
    ),
    "optimise": (sweep.optimise, lambda found: plot(found, output="shares")),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_dataset_and_figure_name_the_reference(answer, folder):
    ask, draw = ANSWERS[answer]
    found = ask(sweep.load(folder / ("split.toml" if answer == "optimise" else "config.toml")))
    assert found.attrs["reference"] == LLAMA
    text = " ".join(" ".join(one.get_text() for one in draw(found).texts).split())
    assert f"Reference: {LLAMA}" in text
