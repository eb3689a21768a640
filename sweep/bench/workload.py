"""What is benchmarked: a kernel, and one piece of work for it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sweep.bench import oracle
from sweep.config.spec import DType

Facts = dict[str, Any]


@dataclass(frozen=True)
class Work:
    """One kernel on one set of arguments.

    Attributes
    ----------
    shape : str
        What it is given, in words.
    points : int
        What is counted: points of a grid, values, scenarios.
    moved : int
        Bytes of its arguments and results, each counted once; what the devices make in between is not.
    call : callable
        Does it, waits for it, and gives the result.
    judge : callable
        Facts on the accuracy of a result, or on the answer.
    before : callable
        Called before every turn, untimed.
    operations : float or None
        Arithmetic of the compiled program, by XLA's count, in which a comparison or a whole number's shift is one too.
        None where loops depend on the data, or where NumPy does the work.
    powers : int
        Powers with a real exponent, each of which takes a logarithm and an exponential.
    compile_seconds : float or None
        What compilation took; None where it is part of the first call.
    writes_only : bool
        Whether nearly all that it moves is written.
    devices : int
        How many share it.
    """

    shape: str
    points: int
    moved: int
    call: Callable[[], Any]
    judge: Callable[[Any], Facts]
    before: Callable[[], object] = lambda: None
    operations: float | None = None
    powers: int = 0
    compile_seconds: float | None = None
    writes_only: bool = False
    devices: int = 1


@dataclass(frozen=True)
class Kernel:
    """An entry of the list.

    Attributes
    ----------
    name : str
        As it is asked for.
    make : callable
        ``make(points, dtype) -> Work``, within ``jax.enable_x64`` for float64.
    points, few : int
        Points of a normal and of a quick run, on a CPU.
    more : int
        How many times as many an accelerator is given.
    dtypes : tuple of str
        In which it exists.
    on_host : bool
        Whether NumPy does it on the host, whatever the device.
    """

    name: str
    make: Callable[[int, DType], Work]
    points: int
    few: int
    more: int = 1
    dtypes: tuple[DType, ...] = ("float32", "float64")
    on_host: bool = False


def compiled_ahead(lowered: Any) -> tuple[Any, float]:
    """Compile what :meth:`jax.jit` has lowered; the program, and the seconds that it took."""
    began = time.perf_counter()
    program = lowered.compile()
    return program, time.perf_counter() - began


def operations_of(program: Any) -> float | None:
    """Count the operations of a compiled program, as XLA does; None where it does not."""
    counted = program.cost_analysis() or {}
    return counted.get("flops", 0.0) + counted.get("transcendentals", 0.0) or None


def error_of(values: np.ndarray, exact: np.ndarray, wide: np.dtype) -> Facts:
    """Say how far values are from exact ones, and which those are."""
    error = oracle.error_in_ulp(values, exact)
    facts: Facts = {"error_against": oracle.name_of(wide), "error_sample": values.size}
    return facts | ({"max_error_ulp": float(f"{error:.3g}")} if np.isfinite(error) else {"wrong": "not finite"})
