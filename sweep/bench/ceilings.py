"""What a device can do at most, measured: rates of filling, copying, multiply-adds, and powers and logarithms of two.

A kernel is judged by the share of these that it reaches in the same run. Each is the best of a few simple programs,
and is held against an independent measure: a copy by NumPy on all cores (as STREAM does; off a CPU, the runtime's own
copy) and a large matrix product. Bytes are those read and those written; a multiply-add is two operations.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sweep.bench import measure
from sweep.surroundings import compiler_options

LANES, STEPS = 8, 64  # independent chains of multiply-adds for each element, and the length of each
RATES = {"fill": "B/s", "copy": "B/s", "multiply-add": "FLOP/s", "exp2": "values/s", "log2": "values/s"}
OTHERS = " by others"
# How far apart the rates of a ceiling and of its independent measure may be before one of them is in doubt.
CHECKS = {"copy": (0.5, 2.0), "multiply-add": (0.25, 1.15)}

Work = Callable[[], Any]


@dataclass(frozen=True)
class Ceilings:
    """Highest rates that were measured.

    Attributes
    ----------
    rates : dict of str to float
        For each of `RATES`, in its unit, at the median.
    """

    rates: dict[str, float]

    def shares(self, seconds: float, moved: float, written: bool, operations: float | None) -> dict[str, float]:
        """How close something came to the limits of its device: 1 is as fast as that.

        Parameters
        ----------
        seconds : float
            What it took.
        moved : float
            Bytes that it has to read and write.
        written : bool
            Whether it writes all of them, which is held against filling, or reads some, against copying.
        operations : float or None
            Arithmetic operations, where they are counted.
        """
        kind = "fill" if written else "copy"
        shares = {f"share_of_{kind}": moved / self.rates[kind] / seconds}
        if operations is not None:
            shares["share_of_multiply_add"] = operations / self.rates["multiply-add"] / seconds
        return {name: float(f"{share:.3g}") for name, share in shares.items()}


def measure_ceilings(dtype: str, *, quick: bool = False) -> tuple[Ceilings, Iterator[dict[str, Any]]]:
    """Measure the ceilings of JAX's default device for a floating type, and give them with their result lines."""
    with jax.enable_x64(dtype == "float64"):
        works = _works(np.dtype(dtype), quick)
        flat = {f"{kind}, {name}": work for kind, of_kind in works.items() for name, (work, _) in of_kind.items()}
        took = measure.race(flat, repeats=3 if quick else 21)
    rates = {
        f"{kind}, {name}": tuple(amount / seconds for seconds in took[f"{kind}, {name}"].seconds)
        for kind, of_kind in works.items()
        for name, (_, amount) in of_kind.items()
    }
    best = {kind: max((rates[f"{kind}, {name}"] for name in of_kind), key=np.median) for kind, of_kind in works.items()}
    highest = {kind: float(np.median(best[kind])) for kind in RATES}
    # Whoever copies faster shows what the memory can do; a matrix product may use other units than a multiply-add.
    highest["copy"] = max(highest["copy"], float(np.median(best["copy" + OTHERS])))
    return Ceilings(highest), _lines(f"ceilings, {dtype}", took, rates, best)


def _lines(
    case: str,
    took: Mapping[str, measure.Timing],
    rates: Mapping[str, tuple[float, ...]],
    best: Mapping[str, tuple[float, ...]],
) -> Iterator[dict[str, Any]]:
    for name, timing in took.items():
        unit = RATES[name.partition(",")[0].removesuffix(OTHERS)]
        yield measure.timed(case, name, timing) | {"rate": float(f"{np.median(rates[name]):.4g}"), "rate_unit": unit}
    for kind, (low, high) in CHECKS.items():
        ratios = [b / a for a, b in zip(best[kind], best[kind + OTHERS], strict=True)]
        name = f"rate of {kind}{OTHERS} / by XLA"
        yield measure.judged(case, name, ratios, "times", at_least=low, at_most=high)


def _works(dtype: np.dtype, quick: bool) -> dict[str, dict[str, tuple[Work, float]]]:
    """Every program by kind and name, and how much it does: bytes, operations or values."""
    on_cpu = jax.default_backend() == "cpu"
    # Larger than the caches for what moves memory, in them for what computes; enough to hide a launch elsewhere.
    moved = (2**14 if quick else 2**27 if on_cpu else 2**30) // dtype.itemsize
    few = 2**10 if quick else 2**20 if on_cpu else 2**26
    array, operand = jnp.full(moved, 0.5, dtype), jnp.full(few, 0.5, dtype)
    side = 32 if quick else 2048 if on_cpu else 8192
    fills: dict[str, tuple[Work, float]] = {"XLA": (_donated(_fill, array), array.nbytes)}
    if on_cpu:
        fills["memset, all cores"] = (_on_all_cores(lambda part, _: part.fill(0.5), moved, dtype), array.nbytes)
        copy = "NumPy, all cores", _on_all_cores(np.copyto, moved, dtype)
        square = np.ones((side, side), dtype)
        product = "matrix product, NumPy", lambda: square @ square
    else:
        copy = "XLA's copy", lambda: jax.block_until_ready(jnp.copy(array))
        factor = jnp.ones((side, side), dtype)
        multiply = jax.jit(partial(jnp.matmul, precision="highest"))
        product = "matrix product, XLA", lambda: jax.block_until_ready(multiply(factor, factor))
    return {
        "fill": fills,
        "copy": {"XLA, negated": (_donated(lambda _, x: -x, array), 2 * array.nbytes)},
        "multiply-add": {f"XLA, {LANES} chains": (_plain(_chains, operand), 2 * LANES * STEPS * few)},
        "exp2": {
            "XLA, once": (_plain(lambda x: jnp.exp2(-x), operand), few),
            "XLA, 4 apart": (_plain(partial(_apart, jnp.exp2), operand), 4 * few),
        },
        "log2": {
            "XLA, once": (_plain(jnp.log2, operand), few),
            "XLA, 4 apart": (_plain(partial(_apart, jnp.log2), operand), 4 * few),
        },
        "copy" + OTHERS: {copy[0]: (copy[1], 2 * array.nbytes)},
        "multiply-add" + OTHERS: {product[0]: (product[1], 2 * side**3)},
    }


def _fill(buffer: jax.Array, _: jax.Array) -> jax.Array:
    return jnp.full_like(buffer, 0.5)


def _chains(x: jax.Array) -> jax.Array:
    """Multiply-adds that stay finite, in chains that do not wait for each other."""
    chains = [x + lane for lane in range(LANES)]
    for _ in range(STEPS):
        chains = [a * 0.5 + 0.25 * (lane + 1) for lane, a in enumerate(chains)]
    return sum(chains[1:], chains[0])


def _apart(function: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    return sum((function(x + lane) for lane in range(1, 4)), function(x))


def _plain(function: Callable[[jax.Array], jax.Array], x: jax.Array) -> Work:
    run = _compiled(function, ())
    return lambda: jax.block_until_ready(run(x))


def _donated(function: Callable[[jax.Array, jax.Array], jax.Array], x: jax.Array) -> Work:
    """The function into a buffer that is used again."""
    run = _compiled(function, 0)
    buffer = [jnp.zeros_like(x)]

    def work() -> jax.Array:
        buffer.append(jax.block_until_ready(run(buffer.pop(), x)))
        return buffer[0]

    return work


def _compiled(function: Callable[..., jax.Array], donated: Any) -> Callable[..., jax.Array]:
    options = compiler_options(jax.default_backend())
    return jax.jit(function, donate_argnums=donated, keep_unused=True, compiler_options=options)


def _on_all_cores(function: Callable[[np.ndarray, np.ndarray], Any], size: int, dtype: np.dtype) -> Work:
    """NumPy on two arrays, each thread on its part."""
    cores = os.cpu_count() or 1
    pool = ThreadPoolExecutor(cores)
    parts = [np.array_split(np.full(size, value, dtype), cores) for value in (0.25, 0.5)]
    return lambda: list(pool.map(function, *parts))
