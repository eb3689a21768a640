"""How thoroughly XLA compiles: on a CPU it takes seconds for what then runs in milliseconds.

A program that few numbers go through is best compiled without LLVM's optimisations: in a fifth of the time, and it then
takes some five times as long to run. Results may differ in the last bits from those of a thorough compilation, as
products and sums are rounded apart and not at once.
"""

from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

LONG = 300  # equations, beyond which a function is not written out again for every step
QUICKLY = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}


def compiled_two_ways(**jit: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a function to be compiled by `jax.jit`, with its arguments `jit`, quickly or thoroughly.

    Returns
    -------
    callable
        Takes the function's arguments and `quick`, a bool. Devices other than CPUs compile thoroughly all the same.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @cache
        def program(quick: bool) -> Callable[..., Any]:
            options = _quickly() if quick and jax.default_backend() == "cpu" else None
            return jax.jit(function, compiler_options=options, **jit)

        @wraps(function)
        def run(*args: Any, quick: bool, **more: Any) -> Any:
            return program(quick)(*args, **more)

        return run

    return decorate


@cache
def _quickly() -> dict[str, Any] | None:
    """The options for a quick compilation; none where this version of XLA does not know them."""
    try:
        jax.jit(lambda x: x + x, compiler_options=QUICKLY).lower(jnp.float32(1.0)).compile()
    except Exception:  # XLA's own error is no class of JAX's public API
        return None
    return QUICKLY


def at_steps(function: Callable[[Array], Any], first: Array, number: int) -> list[Any]:
    """What a function gives at some steps in a row, written out one by one where it is short.

    Written out, what is done with the results is compiled into one with them; but XLA then compiles the function as
    often, and one that is long takes it seconds. That one is evaluated in a loop.
    """
    if number == 1 or _length(jax.make_jaxpr(function)(first)) <= LONG:
        return [function(first + i) for i in range(number)]
    table = lax.map(function, first + jnp.arange(number, dtype=first.dtype))
    return [jax.tree.map(lambda v, i=i: v[i], table) for i in range(number)]


def _length(program: Any) -> int:
    """How many equations a jaxpr has, with those inside of them; 0 for anything else."""
    equations = getattr(getattr(program, "jaxpr", program), "eqns", ())
    return sum(1 + sum(map(_length, jax.tree.leaves(list(e.params.values())))) for e in equations)
