"""Question: how fast is a block of relative losses evaluated in memory, against NumPy, XLA's functions and memset.

128 fleets x 500 times x 512 rates, the exponent fixed, on JAX's device, into a buffer that is used again. Ours is the
compiled stage 2 of the project (`sweep.engine.evaluate.Evaluator` on a plan of one block), once with the tables of
stage 1 kept from the call before, as between blocks that differ in the fleet, and once with them made anew. Rivals are
given their tables; on a GPU, CuPy and PyTorch take part where they are installed. "moderate" is 2^(γt) up to 2^32,
"wide" up to 2^300, where float32 needs powers of two kept apart.
"""

import importlib.util
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import record
import rivals

from kernels.loss import stages
from sweep.config.spec import SweepSpec
from sweep.engine.evaluate import Evaluator
from sweep.models.problem import Problem
from sweep.plan.blocks import Plan

OURS, WHOLE = "ours, stage 2", "ours, stages 1 and 2"
BROADCAST, BLOCKED = "NumPy, broadcast, fresh", "NumPy, blocked in cache, all cores"
XLA, XLA_WIDE = "XLA's exp2 and log2, donated", "XLA's exp2 and log2, donated, 512-bit"
MEMSET, MEMSET_ALL = "memset, ndarray.fill", "memset, ndarray.fill, all cores"
NUMEXPR, NUMBA = "numexpr, all cores", "numba, parallel, fastmath"
CUPY, TORCH = "cupy, elementwise kernel", "torch, compiled"
TABLE = "stage 1 alone: growth table"

Work = Callable[[], Any]


def measure(quick: bool) -> Iterator[dict[str, Any]]:
    """Yield result lines."""
    for dtype in ("float32", "float64"):
        for path, top_rate in (("moderate", rivals.MODERATE), ("wide", rivals.WIDE)):
            yield from measure_case(path, top_rate, dtype, quick)


def measure_case(path: str, top_rate: float, dtype: str, quick: bool) -> Iterator[dict[str, Any]]:
    """Yield the result lines of one grid."""
    shape = (8, 20, 32) if quick else (128, 500, 512)
    case = f"{path}, {dtype}, {' x '.join(map(str, shape))}"
    spec = rivals.make_spec(*shape, top_rate=top_rate, dtype=dtype)
    points = int(np.prod(shape))
    facts: dict[str, dict[str, Any]] = {}
    with jax.enable_x64(dtype == "float64"):
        contenders, skipped = _contenders(spec, path == "wide", facts, quick)
        reference = rivals.make_reference(spec)
        errors = {}
        for name, work in contenders.items():
            began = time.perf_counter()
            made = work()
            facts.setdefault(name, {})["first_seconds"] = round(time.perf_counter() - began, 4)
            if name not in (MEMSET, MEMSET_ALL, TABLE):
                errors[name] = reference.error(np.asarray(made))
            del made
        rivals.agree(errors, dtype)
        took = record.race(contenders, repeats=2 if quick else 21)
    for name, timing in took.items():
        size = {} if name == TABLE else {"points": points, "bytes": points * np.dtype(dtype).itemsize}
        error = {"max_error_ulp": round(errors[name], 3)} if name in errors else {}
        yield record.timed(case, name, timing, **size, **error, **facts[name])
    for name, reason in skipped.items():
        yield {"case": case, "result": name, "skipped": reason}
    for ours in (OURS, WHOLE):
        yield record.compared(case, f"{BROADCAST} / {ours}", took[BROADCAST], took[ours], at_least=5.0)
        yield record.compared(case, f"{BLOCKED} / {ours}", took[BLOCKED], took[ours], at_least=1.5)
        yield record.compared(case, f"{XLA} / {ours}", took[XLA], took[ours])
        yield record.compared(case, f"{MEMSET} / {ours}", took[MEMSET], took[ours], at_least=0.5)


def _contenders(
    spec: SweepSpec, wide: bool, facts: dict[str, dict[str, Any]], quick: bool
) -> tuple[dict[str, Work], dict[str, str]]:
    """Everything that is timed, ours first, and the reasons for what is not; notes on some go into `facts`."""
    tables = rivals.make_tables(spec, scaled=wide)
    out, filled = (np.ones(tables.shape, spec.dtype) for _ in range(2))
    blocked, facts.setdefault(BLOCKED, {})["tuned"] = rivals.tune(tables, out, repeats=1 if quick else 7)
    pool = ThreadPoolExecutor(os.cpu_count() or 1)
    rows = np.array_split(filled, os.cpu_count() or 1)
    contenders = {
        OURS: _ours(spec),
        WHOLE: _ours_whole(spec),
        BROADCAST: lambda: rivals.broadcast(tables),
        BLOCKED: lambda: blocked(out),
        XLA: _xla(tables, None),
        MEMSET: lambda: filled.fill(0.5),
        MEMSET_ALL: lambda: list(pool.map(lambda row: row.fill(0.5), rows)),
        TABLE: _growth_table(spec),
    }
    skipped = {}
    if jax.default_backend() == "cpu":
        contenders[XLA_WIDE] = _xla(tables, {"xla_cpu_prefer_vector_width": 512})
    for name, make in ((NUMEXPR, _numexpr), (NUMBA, _numba), (CUPY, _cupy), (TORCH, _torch)):
        package = name.partition(",")[0]
        if importlib.util.find_spec(package) is None:
            skipped[name] = f"{package} is not installed"
        elif name in (CUPY, TORCH) and jax.default_backend() != "gpu":
            skipped[name] = "JAX sees no GPU here"
        else:
            contenders[name] = make(tables, out)
    return contenders, skipped


def _one_block(spec: SweepSpec) -> Plan:
    shape = tuple(spec.shape.values())
    return Plan(spec.shape, shape, shape, Problem.of(spec).variables, np.dtype(spec.dtype).itemsize)


def _ours(spec: SweepSpec) -> Work:
    plan = _one_block(spec)
    evaluator = Evaluator(Problem.of(spec), plan)

    def work() -> jax.Array:
        arrays = jax.block_until_ready(evaluator([plan.block(0)]))
        evaluator.reuse(arrays)
        return arrays[0]

    return work


def _ours_whole(spec: SweepSpec) -> Work:
    """A new evaluator, which has no tables, is handed the buffers of the one before."""
    plan, problem = _one_block(spec), Problem.of(spec)
    held: list[tuple[jax.Array, ...]] = []

    def work() -> jax.Array:
        evaluator = Evaluator(problem, plan)
        if held:
            evaluator.reuse(held.pop())
        held.append(jax.block_until_ready(evaluator([plan.block(0)])))
        return held[0][0]

    return work


def _growth_table(spec: SweepSpec) -> Work:
    time_, rate = np.ix_(spec.axes["time"].coordinates(), spec.axes["doubling_rate"].coordinates())
    return lambda: [table.astype(spec.dtype) for table in stages.growth_table(time_, rate)]


def _xla(tables: rivals.Tables, options: dict[str, Any] | None) -> Work:
    @partial(jax.jit, donate_argnums=0, keep_unused=True, compiler_options=options)
    def evaluate(buffer: jax.Array, fleet: jax.Array, years: jax.Array, one: Any, weight: Any) -> jax.Array:
        c = (1 if one is None else one) + fleet * years
        power = jnp.exp2(-tables.kappa * jnp.log2(c))
        return power if weight is None else weight * power

    inputs = [a if a is None else jnp.asarray(a) for a in (tables.fleet, tables.years, tables.one, tables.weight)]
    held = [jnp.zeros(tables.shape, tables.years.dtype)]

    def work() -> jax.Array:
        held.append(jax.block_until_ready(evaluate(held.pop(), *inputs)))
        return held[0]

    return work


def _numexpr(tables: rivals.Tables, out: np.ndarray) -> Work:
    import numexpr

    given = {"n": tables.fleet, "g": tables.years, "k": -tables.kappa, "a": tables.one, "w": tables.weight}
    text = "(1 + n * g) ** k" if tables.weight is None else "w * (a + n * g) ** k"
    one = {"a": tables.years.dtype.type(1)}
    given |= one if tables.one is None else {}
    return lambda: numexpr.evaluate(text, local_dict=given, out=out)


def _numba(tables: rivals.Tables, out: np.ndarray) -> Work:
    import numba

    @numba.njit(parallel=True, fastmath=True)
    def fill(flat: np.ndarray, fleet: np.ndarray, years: np.ndarray, one: np.ndarray, weight: np.ndarray, k: Any):
        for i in numba.prange(flat.shape[0]):
            for j in range(flat.shape[1]):
                flat[i, j] = weight[j] * (one[j] + fleet[i] * years[j]) ** k

    years = tables.years.ravel()
    one, weight = (np.ones_like(years) if a is None else a.ravel() for a in (tables.one, tables.weight))
    flat, fleet = out.reshape(len(out), -1), tables.fleet.ravel()

    def work() -> np.ndarray:
        fill(flat, fleet, years, one, weight, -tables.kappa)
        return out

    return work


@dataclass(frozen=True)
class OnDevice:
    """What a rival made on its device; NumPy fetches it when it is judged, and not while it is timed."""

    fetch: Callable[[], np.ndarray]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Copy it to the host."""
        return np.asarray(self.fetch(), dtype)


def _separated(tables: rivals.Tables) -> list[np.ndarray]:
    """Fleet, years, one, weight and minus the exponent, none left out."""
    ones = np.ones((), tables.years.dtype)
    parts = (tables.fleet, tables.years, tables.one, tables.weight, np.asarray(-tables.kappa))
    return [ones if part is None else part for part in parts]


def _cupy(tables: rivals.Tables, out: np.ndarray) -> Work:
    import cupy

    kernel = cupy.ElementwiseKernel("T n, T g, T a, T w, T k", "T r", "r = w * pow(a + n * g, k)", "relative_loss")
    given, made = [cupy.asarray(part) for part in _separated(tables)], cupy.empty(out.shape, out.dtype)

    def work() -> OnDevice:
        kernel(*given, made)
        cupy.cuda.get_current_stream().synchronize()
        return OnDevice(made.get)

    return work


def _torch(tables: rivals.Tables, out: np.ndarray) -> Work:
    import torch

    given = [torch.from_numpy(np.array(part)).cuda() for part in _separated(tables)]
    form = torch.compile(lambda n, g, a, w, k: w * (a + n * g) ** k)

    def work() -> OnDevice:
        made = form(*given)
        torch.cuda.synchronize()
        return OnDevice(lambda: made.cpu().numpy())

    return work


if __name__ == "__main__":
    record.main("evaluate", measure, __doc__)
