"""Quantities and their graphs: what follows from the names of arguments."""

import jax
import numpy as np
import pytest

import sweep
from sweep.errors import SpecError
from sweep.models.model import Model
from sweep.models.problem import Problem
from sweep.models.quantity import Graph, Quantity, cut, ordered
from sweep.models.registry import MODELS


def distance(speed, duration):
    """Way that is covered."""
    return speed * duration


def fuel(distance, consumption=0.07):
    return distance * consumption


def _price(fuel, unit_price):
    return fuel * unit_price


TRIP = Model("trip", (Quantity.of(_price, "EUR"), fuel, distance))


def test_model_of_functions_has_their_arguments_for_parameters():
    assert [p.name for p in TRIP.parameters] == ["speed", "duration", "consumption", "unit_price"]
    assert [p.default for p in TRIP.parameters] == [None, None, 0.07, None]


def test_model_of_functions_has_all_of_them_for_outputs():
    assert [(o.name, o.unit) for o in TRIP.outputs] == [("price", "EUR"), ("fuel", "1"), ("distance", "1")]
    assert TRIP.output("fuel").parameters == ("speed", "duration", "consumption")
    assert (TRIP.output("distance").long_name, TRIP.output("fuel").long_name) == ("way that is covered", "fuel")


def test_graph_evaluates_what_is_wanted_and_nothing_else():
    graph = TRIP.graph(["fuel"])
    assert [q.name for q in graph.quantities] == ["distance", "fuel"]
    assert graph.needs == ("speed", "duration", "consumption")
    assert graph(speed=2.0, duration=3.0, consumption=0.5, unit_price=None) == {"fuel": 3.0}


def test_graph_after_what_is_known_needs_it():
    rest = TRIP.graph(["price"]).after(["fuel"])
    assert [q.name for q in rest.quantities] == ["price"] and set(rest.needs) == {"fuel", "unit_price"}


def test_ordered_lets_the_later_of_one_name_count():
    graph = ordered((Quantity("a", function=lambda x: x), Quantity("a", function=lambda x: -x)))
    assert graph(x=1.0) == {"a": -1.0}


def test_quantity_refuses_arguments_without_names():
    with pytest.raises(SpecError, match=r'^quantity "y": its function takes "\*\*values"; name each parameter'):
        Quantity("y", function=lambda a, **values: a)
    assert Quantity("y", function=lambda a, **values: a, needs=("b", "a")).needs == ("a", "b")


def test_cut_makes_one_table_of_what_needs_the_same():
    calls = []

    def shared(t):
        calls.append(1)
        return np.exp(t)

    host = [
        Quantity("shared", function=shared, where="host"),
        Quantity("up", function=lambda shared: shared + 1.0, where="host"),
        Quantity("down", function=lambda shared: shared - 1.0, where="host"),
        Quantity("other", function=lambda u: 2.0 * u, where="host"),
        Quantity("idle", function=lambda t: t, where="host"),
    ]
    y = Quantity("y", function=lambda up, down, other, v: up * down * other * v)
    stages = cut(ordered((*host, y)).only(["y"]))
    assert {table.outputs: table.needs for table in stages.tables} == {("up", "down"): ("t",), ("other",): ("u",)}
    stages.tables[0](t=np.zeros(2))
    assert len(calls) == 1
    assert stages.spans["y"] == {"t", "u", "v"} and set(stages.finish.needs) == {"up", "down", "other", "v"}


def test_cut_refuses_a_table_of_what_the_device_evaluates():
    late = Quantity("late", function=lambda x: x)
    with pytest.raises(SpecError, match=r'^quantity "y": is one of the host, and needs "late", which is none$'):
        cut(ordered((late, Quantity("y", function=lambda late: late, where="host"))))


def test_run_evaluates_a_quantity_that_needs_nothing():
    model = Model(
        "circle", (Quantity("pi", function=lambda: 3.25), Quantity("area", function=lambda pi, r: pi * r * r))
    )
    spec = sweep.SweepSpec(model="circle", outputs=("area",), axes={"r": sweep.Axis(values=(1.0, 2.0))})
    assert sweep.run(spec, model=model).area.values.tolist() == [3.25, 13.0]


def test_stages_are_equal_for_the_same_sweep():
    """Or each block would be compiled anew."""
    path = "configs/uncertainty.toml"
    first, second = (sweep.load(path).stages.finish for _ in range(2))
    assert isinstance(first, Graph) and first == second and hash(first) == hash(second)


@pytest.mark.parametrize("name", MODELS)
def test_models_say_what_each_quantity_is(name):
    for output in MODELS[name].outputs:
        assert output.long_name and output.unit and output.parameters, output.name


def test_neutral_values_drop_out_of_the_graph():
    def quantities(**fixed):
        given = {"fleet_size": 1.0, "doubling_rate": 1.0, "reference_fleet": 1.0, "reference_years": 1.0}
        axes = {"time": sweep.Axis(values=(0.0, 1.0))}
        spec = sweep.SweepSpec(loss="excess", outputs=("relative_loss",), axes=axes, fixed=given | fixed)
        finish = Problem.of(spec).stages.finish
        return {q.name for q in finish.quantities}, finish.needs

    names, needs = quantities(scaling_exponent=0.1)
    assert "log2_parts" not in names and "irreducible_share" not in needs
    names, needs = quantities(scaling_exponent=0.5, irreducible_share=0.1)
    assert "log2_parts" in names and "irreducible_share" in needs


@pytest.mark.parametrize("rates", [1, 3, 16])
def test_graph_keeps_on_the_device_what_is_much_smaller_than_what_comes_of_it(rates):
    wave = Quantity("wave", function=lambda x: x * x, where="device")
    graph = cut(ordered((wave, Quantity("y", function=lambda wave, r: wave * r, where="device"))).only(["y"])).finish
    program = str(jax.make_jaxpr(lambda x, r: graph(x=x, r=r))(np.ones((8, 1)), np.ones((1, rates))))
    assert ("optimization_barrier" in program) == (rates == 16)
