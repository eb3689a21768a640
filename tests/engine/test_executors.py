"""Executors: every unit once and in order, the next ones started ahead, and as small as the device has memory for."""

from dataclasses import dataclass, field

import jax
import pytest

from sweep.engine.executors import Local
from sweep.errors import SpecError


@dataclass
class Squares:
    """A worker that squares numbers, with memory for those up to `most`, and says what it does."""

    most: int = 1000
    size: int = 1  # what it takes of the memory at once, a part of a number
    log: list = field(default_factory=list)
    fails_in: str = "finish"

    def _check(self, step, units):
        if step == self.fails_in and any(unit // self.size > self.most for unit in units):
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")

    def start(self, units):
        """Start, or have no memory."""
        self._check("start", units)
        self.log += [("start", *units)]
        return units

    def finish(self, started):
        """Give the squares, or have no memory."""
        self._check("finish", started)
        self.log += [("finish", *started)]
        return [unit * unit for unit in started]

    def halved(self):
        """Give one that takes half as much, down to an eighth."""
        self.log += ["halved"]
        return None if self.size == 8 else Squares(self.most, 2 * self.size, self.log, self.fails_in)

    def release(self, started):
        """Take back nothing."""
        self.log += [("release", *started)]


@pytest.fixture
def executor(monkeypatch):
    monkeypatch.setattr("sweep.engine.executors.device_count", lambda: 2)
    return Local()


def test_local_yields_every_unit_once_and_in_order(executor):
    groups = [range(5), [], iter([5, 6])]
    assert list(executor.run(Squares(), groups)) == [(n, n * n) for n in range(7)]


def test_local_starts_the_next_units_before_it_waits_for_those_before(executor):
    worker = Squares()
    assert len(list(executor.run(worker, [range(5)]))) == 5
    assert worker.log == [
        *(("start", 0, 1), ("start", 2, 3), ("finish", 0, 1), ("release", 0, 1)),
        *(("start", 4), ("finish", 2, 3), ("release", 2, 3), ("finish", 4), ("release", 4)),
    ]


def test_local_asks_for_a_group_once_the_results_before_are_used(executor):
    used = []

    def groups():
        for _ in range(3):
            yield [len(used), sum(used)]

    for unit, square in executor.run(Squares(), groups()):
        used += [unit, square]
    assert used[::2] == [0, 0, 4, 0, 8, 4 + 16]


@pytest.mark.parametrize("fails_in", ["start", "finish"])
def test_local_halves_a_worker_until_there_is_memory(executor, fails_in):
    worker = Squares(most=10, fails_in=fails_in)
    assert list(executor.run(worker, [[3, 39, 40, 50], [60]])) == [(n, n * n) for n in (3, 39, 40, 50, 60)]
    assert "halved" in worker.log and worker.size == 1


def test_local_keeps_to_the_smaller_worker(executor):
    worker = Squares(most=10)
    list(executor.run(worker, [[80, 80], [80], [80]]))
    assert worker.log.count("halved") == 3


def test_local_refuses_what_the_smallest_worker_has_no_memory_for(executor):
    with pytest.raises(SpecError, match=r"^the device has no memory for the smallest piece of this sweep; "):
        list(executor.run(Squares(most=10), [[90]]))


def test_local_passes_on_other_errors(executor):
    class Broken(Squares):
        def finish(self, started):
            raise jax.errors.JaxRuntimeError("INTERNAL: no")

    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        list(executor.run(Broken(), [[1]]))
