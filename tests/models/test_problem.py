"""A sweep is checked against its model once a call, and a problem not again."""

import warnings

import pytest
import xarray as xr

import sweep
from sweep.models.model import Model
from sweep.models.problem import Problem
from sweep.models.registry import RELATIVE_LOSS

FIXED = {"fleet_size": 1e5, "scaling_exponent": 0.15, "reference_fleet": 1e4, "reference_years": 1.0}
CERTAIN = sweep.SweepSpec(
    loss="total",
    outputs=["relative_loss"],
    axes={"time": sweep.Axis(values=[1.0, 2.0])},
    fixed={**FIXED, "doubling_rate": 1.0},
)
UNCERTAIN = sweep.SweepSpec(
    loss="total",
    outputs=["relative_loss"],
    axes={"time": sweep.Axis(values=[1.0, 2.0])},
    fixed=FIXED,
    distributions={"doubling_rate": sweep.Distribution(distribution="uniform", low=0.5, high=1.5)},
    draws=sweep.Draws(number=64),
)
SPLIT = sweep.SweepSpec(
    model="front_loading",
    loss="excess",
    axes={"software_rate": sweep.Axis(values=[0.5])},
    fixed={"budget": 2.0, "horizon": 5.0, "hardware_rate": 0.5, "scaling_exponent": 0.178, "reference_years": 0.25},
    allocation=sweep.Allocation(dates=1, objective="mean"),
)
VERBS = {
    "run": (sweep.run, CERTAIN),
    "lazy": (lambda sweep_: xr.open_dataset(sweep_, engine="sweep"), CERTAIN),
    "frontier": (lambda sweep_: sweep.frontier(sweep_, minimise=["relative_loss", "time"]), CERTAIN),
    "sensitivity": (lambda sweep_: sweep.sensitivity(sweep_, method="tornado"), UNCERTAIN),
    "optimise": (sweep.optimise, SPLIT),
}


def resolved(monkeypatch):
    """Count what is checked against a model from now on."""
    seen = []
    resolve = Model.resolve
    monkeypatch.setattr(Model, "resolve", lambda model, spec: seen.append(spec) or resolve(model, spec))
    return seen


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.filterwarnings("ignore:scaling_exponent up to 0.15")
def test_verb_resolves_a_spec_once_and_a_problem_never(verb, monkeypatch):
    ask, spec = VERBS[verb]
    problem, seen = Problem.of(spec), resolved(monkeypatch)
    first = ask(spec)
    assert len(seen) == 1
    xr.testing.assert_identical(ask(problem), first)
    assert len(seen) == 1


def test_problem_is_shown_in_one_line_and_as_a_table():
    problem = Problem.of(CERTAIN.model_copy(update={"title": "<b>"}))
    assert repr(problem) == f"<Problem {CERTAIN.summary}>" and str(CERTAIN) == f"<SweepSpec {CERTAIN.summary}>"
    assert CERTAIN.summary.startswith("relative_loss: relative_loss")
    assert len(repr(problem)) < 200
    for one in (problem, problem.spec):
        text = one._repr_html_()
        assert "<tr><th>title</th><td>&lt;b&gt;</td></tr>" in text and "<b>" not in text
        assert "time: 1 to 2, 2" in text and "fleet_size = 1" in text


def test_spec_shows_what_is_uncertain_as_a_table():
    assert "<td>doubling_rate: uniform, 0.5 to 1.5</td>" in UNCERTAIN._repr_html_()


def test_of_lets_a_problem_pass():
    problem = Problem.of(CERTAIN)
    assert Problem.of(problem) is problem
    assert Problem.of(problem, RELATIVE_LOSS, "float32") is problem
    assert Problem.of(problem, dtype="float64").spec.dtype == "float64"


def test_of_refuses_another_model_for_a_problem():
    toy = Model("toy", ())
    with pytest.raises(sweep.SpecError, match=r'^model: this is the model "toy", the spec asks for "relative_loss"$'):
        Problem.of(Problem.of(CERTAIN), toy)


def test_of_refuses_what_is_no_sweep():
    with pytest.raises(
        sweep.SpecError, match=r"^spec: must be a SweepSpec, or a Problem as sweep.load gives it, got str"
    ):
        sweep.run("configs/baseline.toml")


def test_problem_tells_its_caveats_and_run_warns_of_those_of_a_spec_alone():
    problem = Problem.of(CERTAIN)
    (caveat,) = problem.caveats
    with pytest.warns(UserWarning) as warned:
        sweep.run(CERTAIN)
    assert [(str(w.message), w.filename) for w in warned] == [(caveat, __file__)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sweep.run(problem)
