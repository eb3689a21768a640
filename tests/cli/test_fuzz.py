"""A slice of the cases of ``tests/fuzz.py``, which runs all of them."""

from pathlib import Path

import fuzz
import pytest

from sweep.models.problem import Problem

SLICE = {"configs": 150, "commands": 80, "corruptions": 60}


@pytest.mark.parametrize("kind", SLICE)
@pytest.mark.filterwarnings("ignore")
def test_fuzz_ends_in_success_or_one_line(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fuzz.workshop(tmp_path)
    assert fuzz.fuzz(kind, SLICE[kind], 1, tmp_path) == []


@pytest.mark.parametrize("args", [["run", "grid.toml", "--most", "1"], ["describe", "absent.toml"]])
def test_call_takes_one_line(args: list[str]) -> None:
    assert fuzz.call(*args) == 2


def test_call_refuses_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Problem, "read", lambda *_: 1 / 0)
    with pytest.raises(fuzz.CaseError, match="ZeroDivisionError"):
        fuzz.call("describe", "a.toml")
