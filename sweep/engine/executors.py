"""The seam between what is evaluated and where: a worker evaluates units of work, an executor runs them in order."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Protocol, TypeVar

from sweep.engine.evaluate import device_count, is_out_of_memory
from sweep.errors import SpecError

UnitT = TypeVar("UnitT")
ResultT = TypeVar("ResultT")
Unit_contra = TypeVar("Unit_contra", contravariant=True)
Result_co = TypeVar("Result_co", covariant=True)
Argument = TypeVar("Argument")


class Worker(Protocol[Unit_contra, Result_co]):
    """Evaluates units of work: small frozen records, such as a block of a grid or a part of a tile.

    What it makes of a unit depends on the unit alone, never on what else is evaluated beside it or before.
    :class:`sweep.engine.blocks.Grid`, :class:`sweep.engine.running.Stepper`, :class:`sweep.engine.rows.Rows` and
    :class:`sweep.questions.frontier.tiles.Tiler` are workers.
    """

    def start(self, units: Sequence[Unit_contra], /) -> Any:
        """Start the evaluation of as many units as there are devices, or fewer; it returns before they are done.

        Raises
        ------
        jax.errors.JaxRuntimeError
            As :meth:`finish`, where a device has no memory for them.
        """
        ...

    def finish(self, started: Any, /) -> Sequence[Result_co]:
        """Wait for what :meth:`start` returned; one result for each unit, in their order."""
        ...

    def halved(self) -> "Worker[Unit_contra, Result_co] | None":
        """Give a worker of the same results that takes half as much memory; None where there is none."""
        ...

    def release(self, started: Any, /) -> None:
        """Take back the memory of what was finished; its results are not looked at any more."""
        ...


class Executor(Protocol):
    """Has workers evaluate units of work, wherever that is, and gives the results in order."""

    @property
    def width(self) -> int:
        """How many units are evaluated at once."""
        ...

    def run(self, worker: Worker[UnitT, ResultT], groups: Iterable[Iterable[UnitT]]) -> Iterator[tuple[UnitT, ResultT]]:
        """Yield every unit and what a worker makes of it, in the order of the units.

        Parameters
        ----------
        worker : Worker
            What evaluates them.
        groups : iterable of iterables
            The units. Within a group units are asked for ahead of the results; a group is asked for once all results
            of the one before it have been yielded and used, so that its units may depend on these.

        Yields
        ------
        unit, result
            The result may be a view of memory that is used again: it is to be used before the next one is asked for.

        Raises
        ------
        SpecError
            When a device has no memory for the smallest piece of a unit.
        """
        ...


class Local:
    """Runs units on the devices of this process: the next ones are started before those before are waited for.

    A worker that finds a device without memory for its units is halved, until it does; the results are the same.
    """

    @property
    def width(self) -> int:
        """How many devices there are."""
        return device_count()

    def run(self, worker: Worker[UnitT, ResultT], groups: Iterable[Iterable[UnitT]]) -> Iterator[tuple[UnitT, ResultT]]:
        """Yield every unit and what the worker makes of it, as :meth:`Executor.run` does."""
        for group in groups:
            ahead: _Started[UnitT, ResultT] | None = None
            units = iter(group)
            while batch := list(islice(units, self.width)):
                now = worker, batch, _attempt(worker.start, batch)
                if ahead is not None:
                    smaller = yield from _finished(*ahead)
                    worker = smaller or worker
                ahead = now
            if ahead is not None:
                smaller = yield from _finished(*ahead)
                worker = smaller or worker


_Started = tuple[Worker[UnitT, ResultT], list[UnitT], Any]


def _finished(
    worker: Worker[UnitT, ResultT], units: list[UnitT], started: Any
) -> Generator[tuple[UnitT, ResultT], None, Worker[UnitT, ResultT] | None]:
    """Yield the results of what was started, or None where there was no memory; the smaller worker that had enough."""
    smaller: Worker[UnitT, ResultT] | None = None
    results = None if started is None else _attempt(worker.finish, started)
    while results is None:
        smaller = worker.halved()
        if smaller is None:
            raise SpecError("the device has no memory for the smallest piece of this sweep; end what else runs on it")
        worker = smaller
        started = _attempt(worker.start, units)
        results = None if started is None else _attempt(worker.finish, started)
    yield from zip(units, results, strict=True)
    worker.release(started)
    return smaller


def _attempt(function: Callable[[Argument], ResultT], argument: Argument) -> ResultT | None:
    """Call a function; None where a device has no memory for it."""
    try:
        return function(argument)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None
