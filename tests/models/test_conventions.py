"""Values that were probably meant otherwise, conventions that are mixed up, and targets that are out of reach."""

import itertools
import math
import re
import warnings
from pathlib import Path

import mpmath
import numpy as np
import pytest

import sweep
from sweep.models.conventions import EXCESS, LLAMA, TOTAL, floor_share, reference_flop
from sweep.models.problem import Problem
from sweep.models.registry import MODELS, RELATIVE_LOSS

CONFIGS = Path(__file__).parents[2] / "configs"
REFERENCE = {"reference_fleet": 16384.0, "reference_years": 0.244353}
ORDINARY = {
    "fleet_size": 16384.0,
    "time": 5.0,
    "doubling_rate": 0.85,
    "scaling_exponent": 0.178,
    "irreducible_share": 0.96,
    "target": 0.98,
    **REFERENCE,
}
DOUBTED = [
    pytest.param(model, parameter, doubt, id=f"{model.name}-{parameter.name}-{doubt.meant.replace(' ', '_')}")
    for model in MODELS.values()
    for parameter in model.parameters
    for doubt in parameter.doubts
]


def told(spec):
    """Caveats of a spec, or the line with which it is refused."""
    try:
        return list(Problem.of(spec).caveats)
    except sweep.SpecError as error:
        return [str(error)]


def of(values, outputs=("relative_loss", "total_cost", "time_to_target"), loss="excess", **more):
    """Make a spec of the shipped law with some values, the first of them as an axis."""
    given = {**ORDINARY, **values}
    name = next(iter(values))
    value = given.pop(name)
    axis = sweep.Axis(values=[value] if np.isscalar(value) else list(value))
    return sweep.SweepSpec(loss=loss, outputs=list(outputs), axes={name: axis}, fixed=given, **more)


def inside(doubt):
    """Yield values of the interval of a doubt, its end among them."""
    high = doubt.high if math.isfinite(doubt.high) else 1e3 * doubt.low
    yield from (doubt.low + share * (high - doubt.low) for share in (0.1, 0.5, 1.0))


@pytest.mark.parametrize(("model", "parameter", "doubt"), DOUBTED)
def test_doubt_advises_a_value_that_is_allowed_and_not_doubted(model, parameter, doubt):
    for value in inside(doubt):
        first = next(other for other in parameter.doubts if value in other)
        advice = first.hint(value).rpartition("write ")[2]
        if not first.write:
            assert float(advice) in parameter.domain
            assert not any(float(advice) in other for other in parameter.doubts)


@pytest.mark.parametrize(("model", "parameter", "doubt"), DOUBTED)
def test_model_tells_of_every_doubted_value_allowed_or_not(model, parameter, doubt):
    for value in inside(doubt):
        hint = next(other for other in parameter.doubts if value in other).hint(value)
        if value in parameter.domain:
            spec = sweep.SweepSpec(
                model=model.name, loss="excess", outputs=["relative_loss"], axes={parameter.name: {"values": [value]}}
            )
            (line,) = (line for line in model.all_caveats(spec) if line.endswith(hint))
            assert line.startswith(f"{parameter.name} up to {value:g}")
        else:
            with pytest.raises(sweep.SpecError, match=re.escape(hint)) as refused:
                parameter.refuse(f"fixed.{parameter.name}", value, "float64")
            assert f"fixed.{parameter.name}: must be" in str(refused.value)


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_no_default_is_doubted(model):
    doubted = [p.name for p in model.parameters if p.default is not None and any(p.default in d for d in p.doubts)]
    assert doubted == []


@pytest.mark.parametrize(
    ("name", "value", "parts"),
    [
        ("scaling_exponent", 5.0, ("scaling_exponent", "percentage", "write 0.05")),
        ("time", 2028.0, ("time", "calendar year", "years since the reference point")),
        ("doubling_rate", 9.0, ("doubling_rate", "doubling time in months", "write 1.333")),
        ("fleet_size", 50.0, ("fleet_size", "16384", "thousands", "write 50000")),
        ("fleet_size", 1e21, ("fleet_size", "FLOP/s")),
        ("irreducible_share", 1.69, ("irreducible_share", "nats", "ratio to the loss at time 0")),
        ("irreducible_share", 96.0, ("irreducible_share", "percentage", "write 0.96")),
        ("power", 1050.0, ("power", "watts", "write 1.05")),
        ("power", 0.00105, ("power", "megawatts", "write 1.05")),
        ("electricity_price", 8.26, ("electricity_price", "cents", "write 0.0826")),
        ("electricity_price", 82.6, ("electricity_price", "dollars a MWh", "write 0.0826")),
        ("unit_price", 68.4, ("unit_price", "thousands of dollars", "write 6.84e+04")),
        ("pue", 110.0, ("pue", "percentage", "write 1.1")),
        ("target", 80.0, ("target", "percentage", "write 0.8")),
        ("target", 1.85, ("target", "nats", "ratio to the loss at time 0")),
        ("reference_years", 3.0, ("reference_years", "months", "write 0.25")),
        ("reference_years", 89.25, ("reference_years", "days", "write 0.2444")),
        ("reference_years", 2142.0, ("reference_years", "hours", "write 0.2444")),
        ("reference_years", 2024.0, ("reference_years", "calendar year")),
    ],
)
def test_value_in_another_unit_is_told_with_what_was_meant(name, value, parts):
    lines = told(of({name: value}))
    assert [line for line in lines if all(part in line for part in parts)] != [], lines


@pytest.mark.parametrize(
    ("name", "ends", "is_told"),
    [
        ("doubling_rate", (0.01, 10.0), False),
        ("doubling_rate", (7.0, 10.0), True),
        ("time", (0.0, 2028.0), True),
        ("time", (2026.0, 2036.0), True),
        ("time", (0.0, 1e4), False),
        ("target", (50.0, 95.0), True),
        ("fleet_size", (1.0, 1e12), False),
        ("power", (0.0, 1000.0), True),
    ],
)
def test_axis_is_doubted_unless_it_begins_at_ordinary_values(name, ends, is_told):
    assert any(line.startswith(f"{name} up to {ends[1]:g}") for line in told(of({name: ends}))) is is_told


def test_thousands_are_told_of_a_reference_too():
    (line,) = told(of({"reference_fleet": 16.384}))
    assert "reference_fleet" in line and "thousands" in line and "write 16384" in line


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_values_draw_no_caveat(name):
    assert told(of({name: ORDINARY[name]})) == []


@pytest.mark.parametrize(("low", "high", "is_told"), [(0.6, 4.0, False), (0.6, 12.0, False), (6.5, 22.0, True)])
def test_uncertain_parameter_is_doubted_by_what_is_written_not_by_its_tails(low, high, is_told):
    prior = sweep.Distribution(distribution="lognormal", low=low, high=high, interval=0.5)
    assert prior.bounds()[1] > 100.0
    given = {name: value for name, value in ORDINARY.items() if name not in ("doubling_rate", "time", "target")}
    spec = sweep.SweepSpec(
        loss="excess",
        outputs=["relative_loss"],
        axes={"time": sweep.Axis(values=[5.0])},
        fixed=given,
        distributions={"doubling_rate": prior},
        draws=sweep.Draws(number=2),
    )
    assert any("doubling time in months" in line for line in told(spec)) is is_told


@pytest.mark.parametrize(("exponent", "loss", "part"), [(0.34, "excess", "alpha beta"), (0.5, "total", "about 0.05")])
def test_exponent_of_another_law_is_told(exponent, loss, part):
    share = ORDINARY["irreducible_share"] if loss == "excess" else 0.0
    (line,) = told(of({"scaling_exponent": exponent, "irreducible_share": share, "target": 0.98}, loss=loss))
    assert part in line


def _loss(flop, log_n):
    n = mpmath.e**log_n
    return 1.8169 + 482.0 / n**0.3478 + 2085.4 / (flop / (6 * n)) ** 0.3658


@pytest.mark.parametrize("flop", [1e18, 1e21, 3.1e23, 3.8e25, 2e29])
def test_floor_share_is_that_of_the_least_loss(flop):
    """By search over the number of parameters, not by the formula."""
    found = min(_loss(flop, mpmath.mpf(k) / 200) for k in range(200 * 12, 200 * 42))
    assert floor_share(flop) == pytest.approx(float(1.8169 / found), abs=1e-6)


def test_published_fits_are_those_of_the_shipped_configs():
    excess, total = (sweep.load(CONFIGS / f"{name}.toml").spec.fixed for name in ("baseline_excess", "how_long"))
    assert excess["scaling_exponent"].value == EXCESS.scaling_exponent
    assert total["scaling_exponent"].value == TOTAL.scaling_exponent
    assert round(floor_share(LLAMA.flop), 5) == excess["irreducible_share"].value
    reference = (excess[name].value for name in REFERENCE)
    assert reference_flop(*reference) == pytest.approx(LLAMA.flop, rel=1e-5)


SPACE = list(
    itertools.product(
        [(0.4, 0.7), (0.962, 0.97), (0.9, 0.98), (1.0, 1.5)],  # targets
        [0.0, 0.7, 0.96061],  # floors
        [(0.5, 2.0), (-1.5, 0.5), (-0.01, 0.0)],  # doubling rates
        [(0.0, 5.0), (1.0, 5.0)],  # times
    )
)


@pytest.mark.parametrize("output", ["time_to_target", "fleet_for_target", "rate_for_target"])
def test_unreachable_targets_are_told_exactly_where_a_run_has_some(output):
    """Of every combination of targets, floors, rates and times, against the values of the run itself."""
    needed = RELATIVE_LOSS.output(output).parameters
    for targets, floor, rates, times in SPACE:
        swept = {"target": targets, "doubling_rate": rates, "time": times}
        spec = sweep.SweepSpec(
            loss="excess",
            outputs=[output],
            axes={name: sweep.Axis(values=ends) for name, ends in swept.items() if name in needed},
            fixed={
                name: value
                for name, value in {**ORDINARY, "irreducible_share": floor}.items()
                if name in needed and name not in swept
            },
            dtype="float64",
        )
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            dataset = sweep.run(spec)
        lines = [str(w.message) for w in caught if "inf" in str(w.message)]
        assert bool(lines) == bool(np.isposinf(dataset[output]).any()), (targets, floor, rates, times, lines)
        assert all(output in line for line in lines)
        assert dataset.attrs["caveats"] == ("; ".join(str(w.message) for w in caught) or "none")
        forbidden = [line for line in lines if "irreducible_share" in line]
        assert bool(forbidden) == (targets[0] <= floor)
        assert all(f"the least reachable loss is {floor:g}" in line for line in forbidden)


@pytest.mark.parametrize("rate", [-3.0, -0.5])
def test_decline_is_told_with_the_least_loss_it_leaves(rate):
    spec = of({"doubling_rate": rate, "target": 0.5, "irreducible_share": 0.2}, outputs=["time_to_target"])
    (line,) = told(spec)
    run = {name: mpmath.mpf(value) for name, value in ORDINARY.items()}
    added = run["fleet_size"] / (run["reference_fleet"] * run["reference_years"]) / (-rate * mpmath.log(2))
    least = 0.2 + (1 - mpmath.mpf(0.2)) * (1 + added) ** -run["scaling_exponent"]
    assert f"the least reachable loss is then {float(least):.6g} " in line
