"""Specs: what is accepted, what is refused in which words, and axes whose bits do not depend on how they are cut."""

import copy
import itertools
import pickle

import numpy as np
import pytest

from sweep.config.axis import Axis
from sweep.config.record import differences
from sweep.config.spec import Fixed, SweepSpec, read
from sweep.errors import SpecError, unknown

RANGE = {"start": 0, "stop": 1, "num": 3}
BASE = {"outputs": ["y"], "axes": {"a": RANGE}}

VALID = {
    "range": {},
    "linear": {"axes": {"a": {**RANGE, "spacing": "linear"}}},
    "log": {"axes": {"a": {"start": 1e-3, "stop": 1, "num": 2, "spacing": "log"}}},
    "negative_range": {"axes": {"a": {"start": -3, "stop": -1, "num": 3}}},
    "long_range": {"axes": {"a": {**RANGE, "num": 10**14}}},
    "one_value": {"axes": {"a": {"values": [2.0]}}},
    "falling_values": {"axes": {"a": {"values": [3, 2, 1.5]}}},
    "sourced_axis": {"axes": {"a": {**RANGE, "source": "a paper"}}},
    "thirteen_axes": {"axes": {f"a{i}": RANGE for i in range(13)}},
    "plain_fixed": {"fixed": {"b": 1}},
    "sourced_fixed": {"fixed": {"b": {"value": 1.0, "source": "a paper"}}},
    "two_outputs": {"outputs": ["y", "z"]},
    "float64": {"dtype": "float64"},
    "excess": {"loss": "excess"},
}
LISTED = "values must be strictly increasing or strictly decreasing, got "
TABLE = "must be a table such as {start = 0, stop = 20, num = 201} or {values = [1, 2]}, got "
# What is wrong, and the whole line that says so.
INVALID = {
    "no_axes": ({"axes": {}}, "axes: is required and must not be empty, unless there are [distributions]"),
    "no_outputs": ({"outputs": []}, "outputs: must not be empty"),
    "outputs_no_list": ({"outputs": "y"}, 'outputs: must be a list, got "y"'),
    "output_no_string": ({"outputs": [1]}, "outputs.0: must be a string, got 1"),
    "output_twice": ({"outputs": ["y", "z", "y"]}, 'outputs names "y" twice; name each output once'),
    "given_twice": ({"fixed": {"a": 1}}, "a is given twice, under axes and under fixed; keep one"),
    "dtype": ({"dtype": "float16"}, 'dtype: must be "float32" or "float64", got "float16"'),
    "loss": ({"loss": "all"}, 'loss: must be "total" or "excess", got "all"'),
    "title": ({"title": 3}, "title: must be a string, got 3"),
    "unknown_key": (
        {"output": ["y"]},
        'unknown key "output"; did you mean outputs? '
        "allowed: model, loss, reference, outputs, axes, fixed, statistics, distributions, draws, allocation, dtype, "
        "title",
    ),
    "key_called_self": (
        {"self": 1},
        'unknown key "self"; allowed: model, loss, reference, outputs, axes, fixed, statistics, distributions, draws, '
        "allocation, dtype, title",
    ),
    "key_of_two_lines": (
        {"a\nb": 1},
        'unknown key "a\\nb"; allowed: model, loss, reference, outputs, axes, fixed, statistics, distributions, draws, '
        "allocation, dtype, title",
    ),
    "name_of_two_lines": (
        {"axes": {"a\n\x1b": {"values": []}}},
        'axis "a\\n\\x1b": values must hold at least one number, got []',
    ),
    "endless_number": ({"title": 16**6000}, "title: must be a string, got int too large to show"),
    "fixed_no_table": ({"fixed": 3}, "fixed: must be a table, got 3"),
    "fixed_text": ({"fixed": {"b": "x"}}, 'fixed.b.value: must be a number, got "x"'),
    "fixed_truth": ({"fixed": {"b": True}}, "fixed.b.value: must be a number, got true"),
    "fixed_nan": ({"fixed": {"b": float("nan")}}, "fixed.b.value: must be a finite number, got NaN"),
    "fixed_without_value": ({"fixed": {"b": {"source": "x"}}}, "fixed.b.value: is required"),
    "fixed_unknown_key": (
        {"fixed": {"b": {"value": 1, "unit": "m"}}},
        'fixed.b: unknown key "unit"; allowed: value, source',
    ),
}
INVALID_AXES = {
    "number": (3, f"axes.a: {TABLE}3"),
    "list": ([1, 2], f"axes.a: {TABLE}[1, 2]"),
    "empty": ({}, 'axis "a": needs start, stop and num, or "values"; start, stop, num missing'),
    "without_num": ({"start": 0, "stop": 1}, 'axis "a": needs start, stop and num, or "values"; num missing'),
    "falling": ({**RANGE, "stop": -1}, 'axis "a": start must be below stop, got start=0.0, stop=-1.0'),
    "no_length": ({**RANGE, "stop": 0}, 'axis "a": start must be below stop, got start=0.0, stop=0.0'),
    "one_point": ({**RANGE, "num": 1}, "axes.a.num: must be greater than or equal to 2, got 1"),
    "part_of_a_point": ({**RANGE, "num": 2.5}, "axes.a.num: must be a whole number, got 2.5"),
    "truth_as_num": ({**RANGE, "num": True}, "axes.a.num: must be a whole number, got true"),
    "text_as_start": ({**RANGE, "start": "0"}, 'axes.a.start: must be a number, got "0"'),
    "nan": ({**RANGE, "start": float("nan")}, "axes.a.start: must be a finite number, got NaN"),
    "infinite": ({**RANGE, "stop": float("inf")}, "axes.a.stop: must be a finite number, got Infinity"),
    "log_from_zero": ({**RANGE, "spacing": "log"}, 'axis "a": a log axis must start above 0, got start=0.0'),
    "spacing": ({**RANGE, "spacing": "even"}, 'axes.a.spacing: must be "linear" or "log", got "even"'),
    "unknown_key": (
        {**RANGE, "count": 3},
        'axes.a: unknown key "count"; allowed: start, stop, num, spacing, values, source',
    ),
    "both_forms": (
        {"values": [1.0], "start": 0, "num": 2},
        'axis "a": give either "values" or start, stop and num, got values and start, num',
    ),
    "no_values": ({"values": []}, 'axis "a": values must hold at least one number, got []'),
    "same_values": ({"values": [1.0, 1.0]}, f'axis "a": {LISTED}[1.0, 1.0]'),
    "shuffled_values": ({"values": [1.0, 3.0, 2.0]}, f'axis "a": {LISTED}[1.0, 3.0, 2.0]'),
    "infinite_value": ({"values": [1, float("inf")]}, "axes.a.values.1: must be a finite number, got Infinity"),
    "overflowing_values": (
        {"values": [-1e308, 1e308, 0]},
        f'axis "a": {LISTED}[-1e+308, 1e+308, 0.0]',
    ),
    "truths_as_values": (
        {"values": np.array([True])},
        "axes.a.values.0: must be a number, got true",
    ),
    "texts_as_values": ({"values": np.array(["1"])}, 'axes.a.values.0: must be a number, got "1"'),
    "truth_of_numpy_as_start": ({**RANGE, "start": np.False_}, "axes.a.start: must be a number, got false"),
    "truth_as_start": ({**RANGE, "start": False}, "axes.a.start: must be a number, got false"),
    "text_as_values": ({"values": "1, 2"}, 'axes.a.values: must be a list, got "1, 2"'),
}
INVALID |= {f"axis_{case}": ({"axes": {"a": axis}}, line) for case, (axis, line) in INVALID_AXES.items()}

AXES = {
    "linear": Axis(start=-0.1, stop=0.7, num=1000),
    "linear_long": Axis(start=0.0, stop=20.0, num=10**14),
    "log": Axis(start=1e-3, stop=7e8, num=1000, spacing="log"),
    "log_long": Axis(start=1.0, stop=1e8, num=10**12 + 7, spacing="log"),
    "two_points": Axis(start=0.1, stop=0.3, num=2),
    "values": Axis(values=tuple(np.geomspace(0.1, 3.0, 1000))),
    "falling_values": Axis(values=(0.3, 0.2, 0.1)),
}
SHORT = [name for name, axis in AXES.items() if len(axis) <= 1000]


# What is accepted and refused


@pytest.mark.parametrize("case", VALID)
def test_spec_accepts(case):
    assert isinstance(SweepSpec(**(BASE | VALID[case])), SweepSpec)


@pytest.mark.parametrize("case", INVALID)
def test_spec_refuses_in_one_line(case):
    change, line = INVALID[case]
    with pytest.raises(SpecError) as error:
        SweepSpec(**(BASE | change))
    assert str(error.value) == line


NESTED = {
    "unknown_key_of_an_axis_within": (
        {"statistics": {"h": {"statistic": "histogram", "output": "y", "over": ["a"], "edges": {**RANGE, "nmu": 3}}}},
        'statistics.h.edges: unknown key "nmu"; did you mean num? allowed: start, stop, num, spacing, values, source',
    ),
    "rule_of_an_axis_within": (
        {"statistics": {"h": {"statistic": "histogram", "output": "y", "over": ["a"], "edges": {"values": []}}}},
        "statistics.h.edges: values must hold at least one number, got []",
    ),
    "rule_of_a_statistic_named_like_a_field": (
        {"statistics": {"num": {"statistic": "quantiles", "output": "y", "over": ["a"], "probabilities": [2.0]}}},
        "statistics.num.probabilities: must be one number or more in [0, 1], got [2.0]",
    ),
    "rule_of_a_distribution": (
        {"distributions": {"b": {"distribution": "uniform", "low": 2, "high": 1}}},
        "distributions.b.low: must be below high, got low=2.0, high=1.0",
    ),
    "form_in_a_list_of_records": (
        {"draws": {"correlations": [{"between": ["a", "b"], "rank": 2.0}]}},
        "draws.correlations.0.rank: must be less than 1, got 2.0",
    ),
    "rule_of_draws_that_begins_like_no_field": (
        {"draws": {"number": 3}},
        'draws.number: must be a power of two with method = "sobol", such as 2 or 4, got 3',
    ),
    "axis_called_axes": (
        {"axes": {"axes": {"values": []}}},
        'axis "axes": values must hold at least one number, got []',
    ),
    "axis_called_values": (
        {"axes": {"values": {**RANGE, "num": 1}}},
        "axes.values.num: must be greater than or equal to 2, got 1",
    ),
}


@pytest.mark.parametrize("case", NESTED)
def test_spec_says_where_in_nested_records(case):
    change, line = NESTED[case]
    with pytest.raises(SpecError) as error:
        SweepSpec(**(BASE | change))
    assert str(error.value) == line


def test_error_of_a_field_pickles_as_an_error_of_the_spec():
    with pytest.raises(SpecError) as error:
        SweepSpec(**(BASE | {"axes": {"a": {"values": []}}}))
    copied = pickle.loads(pickle.dumps(error.value))
    assert isinstance(copied, SpecError) and str(copied) == str(error.value)


@pytest.mark.parametrize("key", ["outputs", "axes"])
def test_spec_requires(key):
    with pytest.raises(SpecError, match=f"^{key}: is required"):
        SweepSpec(**{name: value for name, value in BASE.items() if name != key})


NUMPY = {
    "array": (Axis(values=np.linspace(0, 1, 3)), Axis(values=(0.0, 0.5, 1.0))),
    "array_of_integers": (Axis(values=np.arange(3)), Axis(values=(0.0, 1.0, 2.0))),
    "list_of_scalars": (Axis(values=[np.float32(0.5), np.int8(1)]), Axis(values=(0.5, 1.0))),
    "range": (Axis(values=range(2)), Axis(values=(0.0, 1.0))),
    "num": (Axis(start=np.float32(0.5), stop=np.int64(1), num=np.int64(3)), Axis(start=0.5, stop=1.0, num=3)),
    "fixed": (Fixed(value=np.float32(0.5)), Fixed(value=0.5)),
}


@pytest.mark.parametrize("case", NUMPY)
def test_axis_takes_the_numbers_of_numpy(case):
    made, plain = NUMPY[case]
    assert made == plain and repr(made) == repr(plain)


def test_axis_takes_values_whose_differences_overflow():
    assert Axis(values=[-1e308, 1e308]).bounds() == (-1e308, 1e308)


CHANGES = {
    "axes": lambda spec: spec.axes.__setitem__("b", Axis(values=(1.0,))),
    "axes_update": lambda spec: spec.axes.update(b=Axis(values=(1.0,))),
    "axes_pop": lambda spec: spec.axes.pop("a"),
    "fixed": lambda spec: spec.fixed.setdefault("c", Fixed(value=1.0)),
    "fixed_of_a_copy": lambda spec: spec.model_copy(update={"fixed": {}}).fixed.update(c=1),
    "fixed_by_default": lambda spec: SweepSpec(**BASE).fixed.update(c=1),
}


@pytest.mark.parametrize("case", CHANGES)
def test_spec_refuses_another_axis_or_value(case):
    with pytest.raises(TypeError, match="a sweep cannot be changed"):
        CHANGES[case](SweepSpec(**BASE, fixed={"b": 1.0}))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda spec: pickle.loads(pickle.dumps(spec))])
def test_spec_survives_copying(copied):
    spec = SweepSpec(**BASE, fixed={"b": 1.0})
    assert copied(spec) == spec and copied(spec).fingerprint() == spec.fingerprint()
    with pytest.raises(TypeError, match="a sweep cannot be changed"):
        copied(spec).axes.clear()


def test_spec_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        SweepSpec(**BASE).dtype = "float64"


def test_read_names_the_file_of_a_bad_key(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text('outputs = ["y"]\n[axes.a]\nvalues = []\n')
    with pytest.raises(SpecError) as error:
        read(path)
    assert str(error.value) == f'{path}: axis "a": values must hold at least one number, got []'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("title = " + 5000 * "9", "is not valid TOML: Exceeds the limit"),
        ("title = " + 3000 * "[", "is not a config: tables or lists nested too deeply"),
        ('"a\\nb" = 1\noutputs = ["y"]\naxes.a.values = [1]', 'unknown key "a\\nb"'),
    ],
)
def test_read_refuses_in_one_line(tmp_path, text, line):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(SpecError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: {line}") and str(error.value).isprintable()


def test_read_remembers_the_path(tmp_path):
    path = tmp_path / "good.toml"
    path.write_text('outputs = ["y"]\n[axes.a]\nvalues = [1]\n')
    assert (read(path).path, SweepSpec(**BASE).path) == (str(path), "")


def test_unknown_suggests_the_nearest_name():
    assert (
        unknown("key", "tittle", ["title", "loss"]) == 'unknown key "tittle"; did you mean title? allowed: title, loss'
    )


def test_differences_names_every_leaf_that_differs():
    here = SweepSpec(**BASE).canonical()
    there = SweepSpec(**(BASE | {"axes": {"a": {**RANGE, "num": 4}}, "fixed": {"b": 2}})).canonical()
    assert list(differences(here, there)) == ["axes.a.num is 4 there, 3 here", "fixed.b is 2.0 there, absent here"]


def test_differences_names_another_order_of_axes():
    one, two = ({"axes": {name: RANGE for name in names}} for names in ("ab", "ba"))
    assert list(differences(SweepSpec(**(BASE | one)).canonical(), SweepSpec(**(BASE | two)).canonical())) == [
        "the order of axes is b, a there, a, b here"
    ]


# The fingerprint

FULL = {
    "model": "m",
    "loss": "total",
    "outputs": ["y", "z"],
    "axes": {
        "a": {"start": 1.0, "stop": 2.0, "num": 3, "source": "one"},
        "b": {"values": [1.0, 2.0]},
        "c": {"start": 1.0, "stop": 2.0, "num": 3, "spacing": "log"},
    },
    "fixed": {"d": {"value": 4.0, "source": "two"}, "e": 5.0},
    "dtype": "float32",
    "title": "three",
}


def changed(*keys: str, value: object) -> SweepSpec:
    """Make the full spec with one leaf replaced."""

    def replace(content: dict, first: str, *rest: str) -> dict:
        return {**content, first: replace(content[first], *rest) if rest else value}

    return SweepSpec(**replace(FULL, *keys))


SAME = [
    (("title",), ""),
    (("axes", "a", "source"), "x"),
    (("fixed", "d", "source"), "x"),
    (("fixed", "e"), Fixed(value=5.0)),
]
OTHER = [
    (("model",), "n"),
    (("loss",), "excess"),
    (("loss",), None),
    (("outputs",), ["y"]),
    (("outputs",), ["z", "y"]),
    (("axes", "a", "start"), np.nextafter(1.0, 2.0).item()),
    (("axes", "a", "stop"), np.nextafter(2.0, 3.0).item()),
    (("axes", "a", "num"), 4),
    (("axes", "b", "values"), [1.0, np.nextafter(2.0, 3.0).item()]),
    (("axes", "b", "values"), [2.0, 1.0]),
    (("axes", "c", "spacing"), "linear"),
    (("axes",), dict(reversed(FULL["axes"].items()))),
    (("fixed", "d", "value"), np.nextafter(4.0, 5.0).item()),
    (("fixed", "e"), np.nextafter(5.0, 6.0).item()),
    (("fixed",), {"d": 4.0}),
    (("dtype",), "float64"),
]


@pytest.mark.parametrize(("keys", "value"), SAME)
def test_fingerprint_ignores_titles_and_sources(keys, value):
    assert changed(*keys, value=value).fingerprint() == SweepSpec(**FULL).fingerprint()


def test_fingerprint_ignores_the_order_of_fixed_values():
    assert (
        changed("fixed", value=dict(reversed(FULL["fixed"].items()))).fingerprint() == SweepSpec(**FULL).fingerprint()
    )


def test_fingerprint_changes_with_everything_that_decides_a_number():
    prints = [SweepSpec(**FULL).fingerprint(), *(changed(*keys, value=value).fingerprint() for keys, value in OTHER)]
    assert len(set(prints)) == len(prints)


# Coordinates


@pytest.mark.parametrize("name", SHORT)
def test_coordinates_are_a_slice_of_all_bit_for_bit(name):
    axis, rng = AXES[name], np.random.default_rng(1)
    whole = axis.coordinates()
    for start, stop in [(0, 1), (len(axis) - 1, len(axis)), *np.sort(rng.integers(0, len(axis) + 1, (200, 2)))]:
        assert axis.coordinates(int(start), int(stop)).tobytes() == whole[start:stop].tobytes()


@pytest.mark.parametrize("name", ["linear_long", "log_long"])
def test_coordinates_of_a_long_axis_do_not_depend_on_the_cut(name):
    axis, middle = AXES[name], len(AXES[name]) // 3
    whole = axis.coordinates(middle, middle + 1000)
    for start, stop in itertools.pairwise((0, 1, 8, 15, 500, 1000)):
        assert axis.coordinates(middle + start, middle + stop).tobytes() == whole[start:stop].tobytes()


@pytest.mark.parametrize("name", AXES)
def test_coordinates_end_exactly_at_the_ends(name):
    axis = AXES[name]
    ends = (axis.values[0], axis.values[-1]) if axis.values else (axis.start, axis.stop)
    assert (axis.coordinates(0, 1)[0], axis.coordinates(len(axis) - 1)[-1]) == ends


@pytest.mark.parametrize("name", SHORT)
def test_coordinates_are_strictly_monotone(name):
    steps = np.diff(AXES[name].coordinates())
    assert (steps > 0).all() or (steps < 0).all()


@pytest.mark.parametrize("name", AXES)
def test_bounds_are_the_lowest_and_highest_coordinate(name):
    axis = AXES[name]
    ends = axis.coordinates(0, 1)[0], axis.coordinates(len(axis) - 1)[0]
    assert axis.bounds() == (min(ends), max(ends))


def test_coordinates_of_a_linear_axis_step_evenly():
    np.testing.assert_array_max_ulp(Axis(start=0.0, stop=20.0, num=201).coordinates(), np.arange(201) / 10, 2)


def test_coordinates_of_a_log_axis_step_evenly_in_the_logarithm():
    np.testing.assert_array_max_ulp(
        Axis(start=1e-3, stop=1e3, num=7, spacing="log").coordinates(), 10.0 ** np.arange(-3, 4), 4
    )
