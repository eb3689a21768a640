"""Models: specs are resolved against them in one place, and one's own runs like the shipped one."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from jax import lax

import sweep
from sweep.config.axis import Axis
from sweep.config.spec import Fixed, SweepSpec
from sweep.errors import SpecError
from sweep.models.model import Model
from sweep.models.parameters import Domain, Parameter
from sweep.models.problem import Problem
from sweep.models.quantity import Quantity
from sweep.plan.blocks import FIXED_BYTES

SPEED = Model(
    name="speed",
    equation="s = v t",
    source="school",
    assumptions="none",
    parameters=(
        Parameter("v", "velocity", "m/s", Domain(low=0.0, low_open=True), aliases=("velocity",)),
        Parameter("t", "duration", "s", Domain(0.0, 10.0)),
        Parameter("g", "pull", "m/s2", default=9.81, source="SI"),
    ),
    quantities=(
        Quantity("s", "way", "m", lambda v, t: v * t),
        Quantity("h", "height", "m", lambda g, t: g * t * t / 2),
        Quantity("p", "pull", "1", lambda g: g * 1),
    ),
)


def with_way(function) -> Model:
    """The same model with another way."""
    return dataclasses.replace(SPEED, quantities=(Quantity("s", "way", "m", function), *SPEED.quantities[1:]))


SHARE = Parameter("t", "share", "1", Domain(0.0, 1.0, high_open=True))
V, T = Axis(values=(1.0, 2.0)), Axis(start=0.0, stop=10.0, num=11)


def spec(**changes: object) -> SweepSpec:
    return SweepSpec(**{"model": "speed", "outputs": ("s",), "axes": {"v": V, "t": T}, **changes})


# Resolving

REFUSED = {
    "another_model": (SPEED, {"model": "line"}, 'model: this is the model "speed", the spec asks for "line"'),
    "no_loss": (
        dataclasses.replace(SPEED, needs_loss=True),
        {},
        'loss: is required, "total" or "excess": which loss the scaling exponent belongs to',
    ),
    "unknown_axis": (SPEED, {"axes": {"v": V, "time": T}}, 'axes: unknown parameter "time"; allowed: v, t, g'),
    "unknown_fixed": (SPEED, {"fixed": {"mass": 1.0}}, 'fixed: unknown parameter "mass"; allowed: v, t, g'),
    "unknown_output": (SPEED, {"outputs": ("way",)}, 'outputs: unknown output "way"; allowed: s, h, p'),
    "alias": (SPEED, {"axes": {"velocity": V, "t": T}}, 'axes: "velocity" is another spelling of v; write v'),
    "alias_given_too": (
        SPEED,
        {"fixed": {"velocity": 1.0}},
        'fixed: "velocity" is another spelling of v (which is given too); write v',
    ),
    "other_case": (SPEED, {"axes": {"V": V, "t": T}}, 'axes: "V" is another spelling of v; write v'),
    "axis_without_effect": (
        SPEED,
        {"axes": {"v": V, "t": T, "g": V}},
        'axis "g": none of the outputs depends on it (s); drop it',
    ),
    "axis_out_of_domain": (
        SPEED,
        {"axes": {"v": V, "t": Axis(start=0.0, stop=11.0, num=3)}},
        'axis "t": must be in [0, 10] s, got 11',
    ),
    "open_end": (SPEED, {"axes": {"v": Axis(values=(0.0, 1.0)), "t": T}}, 'axis "v": must be > 0 m/s, got 0'),
    "fixed_out_of_domain": (SPEED, {"axes": {"v": V}, "fixed": {"t": -1.0}}, "fixed.t: must be in [0, 10] s, got -1"),
    "too_small_for_float32": (
        SPEED,
        {"axes": {"v": V}, "fixed": {"t": 1e-40}},
        "fixed.t: 1e-40 does not fit float32, which holds 1.2e-38 to 3.4e+38",
    ),
    "rounds_out_of_its_domain": (
        dataclasses.replace(SPEED, parameters=(SPEED.parameters[0], SHARE, SPEED.parameters[2])),
        {"axes": {"v": V}, "fixed": {"t": 0.99999999}},
        'fixed.t: 0.99999999 rounds to 1 in float32, must be in [0, 1); use dtype = "float64"',
    ),
    "missing": (
        SPEED,
        {"axes": {"v": V}},
        "t: is missing, and s needs it; give it under [axes] or [fixed] (duration, unit s, in [0, 10])",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_resolve_refuses_in_one_line(case):
    model, changes, line = REFUSED[case]
    with pytest.raises(SpecError) as error:
        model.resolve(spec(**changes))
    assert str(error.value) == line


def test_resolve_refuses_a_value_too_large_for_float32():
    line = r'^axis "v": 1e\+39 does not fit float32, which holds 1\.2e-38 to 3\.4e\+38$'
    with pytest.raises(SpecError, match=line):
        SPEED.resolve(spec(axes={"v": Axis(values=(1.0, 1e39)), "t": T}))


def test_resolve_fills_in_defaults_with_their_source():
    assert SPEED.resolve(spec()).fixed == {"g": Fixed(value=9.81, source="SI")}


def test_resolve_keeps_a_value_that_is_given():
    assert SPEED.resolve(spec(fixed={"g": 1.62})).fixed == {"g": Fixed(value=1.62)}


def test_resolve_fills_in_no_default_for_an_axis():
    resolved = SPEED.resolve(spec(outputs=("h",), axes={"t": T, "g": V}))
    assert resolved.fixed == {}


def test_resolve_asks_for_no_value_that_no_output_needs():
    assert list(SPEED.resolve(spec(outputs=("h",), axes={"t": T})).fixed) == ["g"]


def test_resolve_takes_the_closed_ends_of_a_domain():
    assert SPEED.resolve(spec()).axes["t"].bounds() == (0.0, 10.0)


def test_resolve_takes_in_float64_what_does_not_fit_float32():
    assert SPEED.resolve(spec(axes={"v": V}, fixed={"t": 1e-40}, dtype="float64")).fixed["t"].value == 1e-40


def test_resolve_takes_in_float64_what_rounds_out_of_its_domain_in_float32():
    model = dataclasses.replace(SPEED, parameters=(SPEED.parameters[0], SHARE, SPEED.parameters[2]))
    asked = spec(axes={"v": V}, fixed={"t": 0.99999999}, dtype="float64")
    assert model.resolve(asked).fixed["t"].value == 0.99999999


def test_resolve_gives_a_spec_that_cannot_be_changed():
    with pytest.raises(TypeError, match="cannot be changed"):
        SPEED.resolve(spec()).fixed.clear()


def test_resolve_changes_nothing_the_second_time():
    once = SPEED.resolve(spec())
    assert SPEED.resolve(once) == once


def test_variables_name_the_axes_of_each_output_in_the_order_of_the_spec():
    assert Problem.of(spec(outputs=("s", "h", "p"), axes={"t": T, "v": V}, fixed={}), SPEED).variables == {
        "s": ("t", "v"),
        "h": ("t",),
        "p": (),
    }


@pytest.mark.parametrize(
    ("domain", "text"),
    [
        (Domain(), "any finite number"),
        (Domain(low=0.0), ">= 0"),
        (Domain(low=0.0, low_open=True), "> 0"),
        (Domain(0.0, 1.0, high_open=True), "in [0, 1)"),
        (Domain(0.0, 1.0, low_open=True), "in (0, 1]"),
    ],
)
def test_domain_says_what_it_holds(domain, text):
    assert str(domain) == text


UNSOUND = {
    "parameter_twice": ({"parameters": 2 * SPEED.parameters}, 'model "speed": two parameters are named "v"'),
    "quantity_twice": ({"quantities": 2 * SPEED.quantities}, 'model "speed": two quantities are named "s"'),
    "quantity_like_a_parameter": (
        {"quantities": (Quantity("v", "way", "m", lambda t: t),)},
        'model "speed": "v" names a parameter and a quantity',
    ),
    "unknown_parameter": (
        {"quantities": (Quantity("s", "way", "m", lambda v, x: v * x),)},
        'model "speed": quantity "s": unknown parameter or quantity "x"; allowed: v, t, g, s',
    ),
    "circle": (
        {"quantities": (Quantity("s", function=lambda w: w), Quantity("w", function=lambda s, t: s * t))},
        'model "speed": quantities: s needs w needs s, which is a circle',
    ),
    "no_name": (
        {"quantities": (lambda v: v,)},
        'model "speed": quantities: one has no name; give a function made by def, or a Quantity',
    ),
}


@pytest.mark.parametrize("case", UNSOUND)
def test_model_refuses_names_that_do_not_fit_in_one_line(case):
    changes, line = UNSOUND[case]
    with pytest.raises(SpecError) as error:
        dataclasses.replace(SPEED, **changes)
    assert str(error.value) == line


# Running a model of one's own


def line_over(lengths: list[int], dtype: str = "float32") -> tuple[Model, SweepSpec, xr.Dataset]:
    """Make a linear model over that many axes whose numbers are exact, its spec, and what must come out."""
    names = [f"x{i}" for i in range(len(lengths))]
    weights = {name: float(1 + i) for i, name in enumerate(names)}
    spans = {"full": names, "odd": names[1::2], "last": names[-1:], "first": names[:1], "none": []}

    def total(dims):
        return lambda offset, **values: sum((weights[n] * values[n] for n in dims), offset)

    model = Model(
        name="line",
        equation="y = b + sum a x",
        source="a test",
        assumptions="none",
        parameters=(*(Parameter(name, name, "1") for name in names), Parameter("offset", "offset", "1", default=0.5)),
        quantities=tuple(
            Quantity(name, name, "m", total(dims), needs=(*dims, "offset")) for name, dims in spans.items()
        ),
    )
    axes = {
        n: Axis(values=tuple(float(3 * i - k) for i in range(size)))
        for k, (n, size) in enumerate(zip(names, lengths, strict=True))
    }
    coordinates = {name: xr.DataArray(axis.coordinates(), dims=name) for name, axis in axes.items()}
    expected = {
        output: sum((weights[n] * coordinates[n] for n in dims), xr.DataArray(0.5)) for output, dims in spans.items()
    }
    return model, SweepSpec(model="line", outputs=tuple(spans), axes=axes, dtype=dtype), xr.Dataset(expected)


GRIDS = {
    "1": [50_001],
    "2": [101, 503],
    "3": [31, 37, 41],
    "4": [11, 13, 17, 19],
    "6": [5, 7, 3, 11, 2, 13],
    "7": [5, 7, 3, 11, 2, 13, 2],
    "13": [2, 2, 3, 2, 1, 2, 2, 3, 2, 2, 1, 5, 7],
}
SMALL = FIXED_BYTES + 400_000  # bytes; cuts every grid above into several blocks


def assert_holds(found: xr.Dataset, expected: xr.Dataset, dtype: str) -> None:
    for name, values in expected.data_vars.items():
        assert found[name].dims == values.dims and found[name].dtype == dtype
        np.testing.assert_array_equal(found[name].values, values.values)


@pytest.mark.parametrize("axes", GRIDS)
def test_run_evaluates_a_model_of_ones_own_in_memory(axes):
    model, asked, expected = line_over(GRIDS[axes])
    steps = []
    memory = SMALL + sum(4 * values.size for values in expected.data_vars.values()) + 8 * sum(GRIDS[axes])
    assert_holds(sweep.run(asked, model=model, memory=memory, progress=steps.append), expected, "float32")
    assert steps[-1].total_blocks > 1


@pytest.mark.parametrize("axes", GRIDS)
def test_run_evaluates_a_model_of_ones_own_into_a_store(axes, tmp_path):
    model, asked, expected = line_over(GRIDS[axes])
    with sweep.run(asked, model=model, store=tmp_path / "out.zarr", memory=SMALL) as found:
        assert_holds(found, expected, "float32")


@pytest.mark.parametrize("axes", ["2", "13"])
def test_run_evaluates_a_model_of_ones_own_in_float64(axes):
    model, asked, expected = line_over(GRIDS[axes], "float64")
    assert_holds(sweep.run(asked, model=model), expected, "float64")


@pytest.mark.parametrize("where", ["memory", "store"])
def test_run_labels_a_model_of_ones_own(where, tmp_path):
    store = tmp_path / "out.zarr" if where == "store" else None
    with sweep.run(spec(outputs=("s", "h")), model=SPEED, store=store) as found:
        assert found["s"].attrs == {"long_name": "way", "units": "m"}
        assert found["v"].attrs == {"long_name": "velocity", "units": "m/s", "spacing": "listed"}
        assert (found.attrs["model"], found.attrs["equation"]) == ("speed", "s = v t")
        assert found.attrs["fixed"] == "g = 9.81 m/s2 (SI)"


def test_run_evaluates_on_a_grid_what_takes_the_place_of_quantities():
    square = Quantity("square", function=lambda t: np.asarray(t) ** 2, where="host")
    height = Quantity("h", "height", "m", lambda square, g: g * square / 2)
    staged = dataclasses.replace(SPEED, on_grid=lambda spec: (square, height))
    asked = spec(outputs=("s", "h"))
    xr.testing.assert_allclose(sweep.run(asked, model=staged), sweep.run(asked, model=SPEED), rtol=1e-6)


def test_run_refuses_a_model_that_is_not_shipped():
    allowed = "relative_loss, limited_loss, front_loading, strategies, delayed_start"
    with pytest.raises(SpecError, match=f'^unknown model "speed"; allowed: {allowed}$'):
        sweep.run(spec())


def test_run_names_what_a_result_in_memory_takes():
    model, asked, expected = line_over([100, 100])
    size = 4 * sum(values.size for values in expected.data_vars.values()) + 8 * 200
    with pytest.raises(SpecError, match=f"^memory: the result takes {size:,} bytes, more than half of the budget"):
        sweep.run(asked, model=model, memory=2 * size - 1)


# A model of one's own that does not work


BROKEN = {
    "none": (lambda v, t: None, 'the function of "s" returns NoneType, must return an array of real'),
    "dict": (lambda v, t: {"s": v * t}, 'the function of "s" returns dict, must'),
    "list": (lambda v, t: [v * t], 'the function of "s" returns list, must'),
    "text": (lambda v, t: "way", 'the function of "s" returns str, must return an array of real'),
    "complex": (lambda v, t: lax.complex(v * t, v * t), 'the function of "s" returns complex64, must'),
    "too_long": (lambda v, t: jnp.zeros(5), 'the function of "s" returns the shape (5,) where '),
    "too_many_axes": (lambda v, t: (v * t)[None], "where "),
    "sum": (lambda v, t: v * t + jnp.sum(t), '"s" at a point depends on which other points'),
    "share_of_sum": (lambda v, t: v * t / jnp.sum(v, keepdims=True), '"s" at a point depends'),
    "mean": (lambda v, t: v * (t - jnp.mean(t)), '"s" at a point depends'),
    "largest": (lambda v, t: v + jnp.max(t), '"s" at a point depends'),
    "running_sum": (lambda v, t: v * jnp.cumsum(t).reshape(t.shape), '"s" at a point depends'),
    "reversed": (lambda v, t: v * jnp.flip(t), '"s" at a point depends'),
    "length": (lambda v, t: v * t / t.size, '"s" at a point depends'),
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("kept", ["values", "statistics"])
def test_run_refuses_a_function_that_is_not_elementwise_before_there_is_a_store(case, kept, tmp_path):
    function, line = BROKEN[case]
    mean = {"mean": {"statistic": "mean", "output": "s", "over": ("t",)}}
    asked = spec(statistics=mean if kept == "statistics" else {})
    with pytest.raises(SpecError) as error:
        sweep.run(asked, model=with_way(function), store=tmp_path / "out.zarr")
    assert str(error.value).startswith('model "speed": ') and line in str(error.value)
    assert not any(tmp_path.iterdir())


UNCERTAIN = {"distributions": {"v": {"distribution": "uniform", "low": 1, "high": 2}}, "draws": {"number": 64}}
QUESTIONS = {
    "frontier": lambda model: sweep.frontier(spec(), minimise=("s", "t"), model=model),
    "lazy": lambda model: xr.open_dataset(spec(), engine="sweep", model=model),
    "sensitivity": lambda model: sweep.sensitivity(spec(axes={"t": T}, **UNCERTAIN), number=64, model=model),
    "discover": lambda model: sweep.discover(spec(axes={"t": T}, **UNCERTAIN), "s < 9", at={"t": 5.0}, model=model),
    "drawn": lambda model: sweep.run(spec(axes={"t": T}, **UNCERTAIN), model=model),
}


@pytest.mark.parametrize("case", ["none", "dict", "complex", "sum"])
@pytest.mark.parametrize("question", QUESTIONS)
def test_questions_refuse_a_function_that_is_not_elementwise(question, case):
    function, line = BROKEN[case]
    function = (lambda v, t: v * t + jnp.sum(v)) if case == "sum" else function
    with pytest.raises(SpecError) as error:
        QUESTIONS[question](with_way(function))
    assert line in str(error.value)


def _raising(v, t):
    raise ZeroDivisionError("mine")


def _branching(v, t):
    return v if t > 0 else v * 2


@pytest.mark.parametrize("function", [_raising, _branching])
def test_run_leaves_no_store_of_a_function_that_fails(function, tmp_path):
    with pytest.raises((ZeroDivisionError, TypeError, ValueError)):
        sweep.run(spec(), model=with_way(function), store=tmp_path / "out.zarr")
    assert not any(tmp_path.iterdir())


ELEMENTWISE = {
    "noise": lambda v, t: jnp.sin(1e6 * v * t + v) * 1e5 % 1.0,
    "cancelling": lambda v, t: (v + 1e7 * t) - 1e7 * t,
    "undefined": lambda v, t: jnp.log(t - 5.0) / (v - 1.0),
    "constant": lambda v, t: 3,
    "truth": lambda v, t: v * t > 3.0,
    "whole": lambda v, t: (v * t).astype(jnp.int32),
    "of_one": lambda v, t: v,
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", ELEMENTWISE)
def test_run_takes_a_function_that_is_elementwise(case, dtype):
    found = sweep.run(spec(dtype=dtype), model=with_way(ELEMENTWISE[case]))
    assert found["s"].shape == (2, 11)


VERBS = {
    "run": lambda asked, **to: sweep.run(asked, **to),
    "frontier": lambda asked, **to: sweep.frontier(asked, minimise=("relative_loss", "time")),
    "sensitivity": lambda asked, **to: sweep.sensitivity(asked, number=64),
    "discover": lambda asked, **to: sweep.discover(asked, "relative_loss < 0.9", at={"time": 2.0}),
    "lazy": lambda asked, **to: xr.open_dataset(asked, engine="sweep"),
}


@pytest.mark.parametrize("table", ["fixed", "axes", "distributions"])
@pytest.mark.parametrize("verb", VERBS)
def test_verbs_suggest_the_parameter_that_was_meant_before_there_is_a_store(verb, table, tmp_path):
    said = {"reference_fleet": 1.0, "reference_years": 1.0, "scaling_exponent": 0.05}
    belief = {"distribution": "uniform", "low": 0.4, "high": 0.6}
    entry = {"fixed": 1e4, "axes": {"values": [1e3, 1e4]}, "distributions": belief | {"low": 1e3, "high": 1e4}}[table]
    content = {"fixed": said, "axes": {"time": {"values": [1.0, 2.0]}}, "distributions": {"doubling_rate": belief}}
    content[table] = content[table] | {"fleet_sze": entry}
    content |= {"loss": "total", "outputs": ("relative_loss",), "draws": {"number": 64}}
    asked = SweepSpec(**content)
    with pytest.raises(SpecError, match=rf'^{table}: unknown parameter "fleet_sze"; did you mean fleet_size\?'):
        VERBS[verb](asked, store=tmp_path / "out.zarr")
    assert not any(tmp_path.iterdir())


def test_optimise_suggests_the_parameter_that_was_meant():
    asked = SweepSpec(
        model="front_loading",
        loss="total",
        axes={"horizon": {"values": [1.0]}},
        fixed={"budgt": 1.0},
        allocation={"objective": "mean"},
    )
    with pytest.raises(SpecError, match=r'^fixed: unknown parameter "budgt"; did you mean budget\?'):
        sweep.optimise(asked)
