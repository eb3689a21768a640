"""That the benchmarks run, agree with their rivals and write valid lines; nothing here is about how fast."""

import json
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
NAMES = [
    "evaluate",
    "reduce",
    "lazy",
    "nondominated",
    "frontier",
    "front_loading",
    "memory",
    "run_in_memory",
    "startup",
    "store",
]


@pytest.fixture
def module(monkeypatch):
    """Import a module of benchmarks/ as its scripts do, and forget it afterwards."""
    monkeypatch.syspath_prepend(FOLDER)
    before = set(sys.modules)
    yield import_module
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == FOLDER:
            del sys.modules[name]


def lines_of(path: Path) -> list[dict]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


def assert_is_result(line: dict) -> None:
    assert line["benchmark"] in NAMES
    assert line["case"] and line["result"]
    assert {"date", "commit", "sources", "device", "cpu", "versions", "load"} <= set(line["environment"])
    if "skipped" in line:
        assert line["skipped"]
        return
    values = line.get("seconds") or line["value"]
    assert values["p10"] <= values["median"] <= values["p90"]
    assert line["repeats"] >= 1
    assert isinstance(line.get("met", True), bool)


@pytest.mark.parametrize("name", NAMES)
def test_benchmark_runs_and_writes_one_json_line_a_result(name, module, tmp_path, capsys):
    benchmark = module(name)
    path = tmp_path / "results.jsonl"
    module("record").main(name, benchmark.measure, benchmark.__doc__, ["--quick", "--json", str(path)])
    lines = lines_of(path)
    for line in lines:
        assert_is_result(line)
        assert (line["benchmark"], line["quick"]) == (name, True)
    keys = [(line["case"], line["result"]) for line in lines]
    assert len(set(keys)) == len(keys)
    assert all(result in capsys.readouterr().out for _, result in keys[:1])


def test_evaluate_gives_the_error_of_every_contender(module):
    evaluate = module("evaluate")
    case = evaluate.measure_case("wide", 15.0, "float32", True)
    errors = {line["result"]: line["max_error_ulp"] for line in case if "max_error_ulp" in line}
    assert {evaluate.OURS, evaluate.WHOLE, evaluate.BROADCAST, evaluate.BLOCKED, evaluate.XLA} <= set(errors)
    assert errors[evaluate.OURS] == errors[evaluate.WHOLE]


@pytest.mark.parametrize("top_rate", [1.6, 15.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rivals_agree_with_the_reference(top_rate, dtype, module):
    rivals = module("rivals")
    spec = rivals.make_spec(3, 5, 7, top_rate=top_rate, dtype=dtype)
    tables, reference = rivals.make_tables(spec, scaled=top_rate > 2), rivals.make_reference(spec)
    values = {"broadcast": rivals.broadcast(tables)}
    for form in ("power", "exp2(log2)"):
        values[form] = rivals.Blocked(tables, 16, form)(np.full(tables.shape, np.nan, dtype))
    rivals.agree({name: reference.error(value) for name, value in values.items()}, dtype)
    assert {value.dtype for value in values.values()} == {np.dtype(dtype)}


def test_agree_refuses_a_rival_that_is_off(module):
    with pytest.raises(ValueError, match="wrong: is off by 65 ulp"):
        module("rivals").agree({"right": 1.0, "wrong": 65.0}, "float32")


@pytest.mark.parametrize("fault", [1e-4, np.nan])
def test_reference_notices_a_wrong_value(fault, module):
    rivals = module("rivals")
    spec = rivals.make_spec(3, 5, 7)
    values = rivals.broadcast(rivals.make_tables(spec, scaled=False))
    values[0, 0, 0] += fault
    assert rivals.make_reference(spec).error(values) > 64


def test_race_takes_turns(module):
    turns = []
    took = module("record").race({"a": lambda: turns.append("a"), "b": lambda: turns.append("b")}, repeats=3, warm_up=1)
    assert turns == list("abababab")
    assert [len(timing.seconds) for timing in took.values()] == [3, 3]


def test_compared_takes_ratios_round_by_round(module):
    record = module("record")
    line = record.compared("", "", record.Timing((2.0, 40.0, 6.0)), record.Timing((1.0, 10.0, 2.0)), at_least=3.5)
    assert line["value"]["median"] == 3.0
    assert line["met"] is False


def test_committed_results_are_valid(module):
    for path in FOLDER.glob("results/*.jsonl"):
        for line in lines_of(path):
            assert_is_result(line)
            assert line["quick"] is False
