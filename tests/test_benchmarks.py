"""That the benchmarks run, agree with their rivals and write valid lines; nothing here is about how fast."""

import json
import re
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
NAMES = [
    "evaluate",
    "inverse",
    "reduce",
    "exponents",
    "lazy",
    "nondominated",
    "frontier",
    "front_loading",
    "optimisers",
    "memory",
    "page",
    "run_in_memory",
    "sensitivity",
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
    assert line["benchmark"] in [*NAMES, "bench", "scaling"]
    assert line["case"] and line["result"]
    assert {"date", "commit", "sources", "device", "cpu", "versions", "load"} <= set(line["environment"])
    if "skipped" in line:
        assert line["skipped"]
        return
    values = line.get("seconds") or line["value"]
    assert values["p10"] <= values["median"] <= values["p90"]
    assert line["repeats"] >= 1
    assert isinstance(line.get("met", True), bool)


# Rates at which 2^(gamma t) overflows are meant.
@pytest.mark.filterwarnings("ignore:doubling_rate up to 15")
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


def figures_of_readme(answers) -> list[tuple[str, str, int]]:
    """Each number between the markers that cites a line: itself, the file and the number of the line."""
    text = answers.README.read_text().partition(answers.BEGIN)[2].partition(answers.END)[0]
    files = dict(re.findall(r"\[(\w)…\] (benchmarks/results/\S+\.jsonl)", text))
    cited = re.findall(r"(\d[\d.]*(?:e\d+)?)\s[^|\[\]\d]*\[([a-z])(\d+)\]", text)
    assert len(cited) == len(re.findall(r"\[[a-z]\d+\]", text)) > 15
    return [(number, files[letter], int(place)) for number, letter, place in cited]


def test_readme_figures_are_what_answers_writes(module):
    answers = module("answers")
    readme = answers.README.read_text()
    assert answers.rewritten(readme) == readme, "run python benchmarks/answers.py"


def test_readme_figures_are_what_their_cited_lines_say(module):
    answers = module("answers")
    for number, file, place in figures_of_readme(answers):
        line = json.loads((answers.ROOT / file).read_text().splitlines()[place - 1])
        kept = ("points_per_second", "scenarios_per_second", "max_error_ulp", "share_within_1e_6")
        said = [line[k] for k in kept if k in line]
        said.append((line.get("seconds") or line["value"])["median"])
        units = (1.0, 1e3, 1e2, 1e9)  # as they are; ms of s; per cent; points of 1e9 points
        rounded = {float(f"{value * unit:.1e}") for value in said for unit in units}
        assert float(number) in rounded, (number, file, place)


def test_readme_section_has_no_figure_of_time_outside_the_markers(module):
    answers = module("answers")
    section = answers.README.read_text().partition("## How right, how fast")[2].partition("\n## ")[0]
    outside = section.replace(section.partition(answers.BEGIN)[2].partition(answers.END)[0], "")
    assert re.findall(r"\d[\d.,e]*\s(?:x|ms|s|MB|GB|points/s|points a second)\b", outside) == []


def test_found_takes_the_newest_line(module, tmp_path, monkeypatch):
    answers = module("answers")
    line = {"benchmark": "b", "case": "c", "result": "r", "unit": "s"}
    for day, values in (("1", (1.0,)), ("2", (2.0, 3.0))):
        text = "".join(json.dumps({**line, "value": {"median": value}}) + "\n" for value in values)
        (tmp_path / f"{day}-{answers.ON_CPU}.jsonl").write_text(text)
    monkeypatch.setattr(answers, "RESULTS", sorted(tmp_path.glob("*.jsonl")))
    assert answers.found(answers.Figure("{} s", "b", "c", "r")) == ("3 s", f"2-{answers.ON_CPU}", 2)
    with pytest.raises(ValueError, match="no result is b, c, other"):
        answers.found(answers.Figure("{} s", "b", "c", "other"))


@pytest.mark.parametrize(
    ("value", "text"), [(0.2775, "0.28"), (148.5, "150"), (2.98e9, "3.0e9"), (1.0, "1"), (9.63e8, "9.6e8"), (0.0, "0")]
)
def test_rounded_gives_two_digits(value, text, module):
    assert module("answers").rounded(value) == text


def test_answers_tabulates_a_bench_by_device(module, tmp_path, monkeypatch):
    answers = module("answers")
    line = {"benchmark": "bench", "case": "full-grid, float32", "result": "ours", "kernel": "full-grid"}
    line |= {"dtype": "float32", "points_per_second": 1e12, "share_of_fill": 0.9, "error_beyond_ulp": 0.4}
    line |= {"environment": {"device": "Abacus", "cpu": "Beads"}}
    (tmp_path / "1-abacus.jsonl").write_text(json.dumps(line) + "\n")
    monkeypatch.setattr(answers, "RESULTS", [tmp_path / "1-abacus.jsonl"])
    monkeypatch.setattr(answers, "ROWS", {})
    assert "`sweep bench` on Abacus" in answers.render()
    assert "| full-grid, float32 | 1.0e12 [a1] | 0.9 | – | 0.4 ulp |" in answers.render()
