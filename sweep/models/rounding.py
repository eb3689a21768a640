"""Evaluate a function so that its bits do not depend on what is compiled around it.

XLA compiles a grid, one of its blocks, a row of its points and a statistic of it apart, and rounds as it sees fit: a
product that meets a sum in the same loop becomes one operation with one rounding, a division by what is the same
along an axis a product with its inverse, an exponential or a logarithm in a short loop the C library's. A model in two
stages is written so that none of this can happen; the function of any other is evaluated here one operation after the
other, each of which rounds by itself.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jax import Array

    Function = Callable[..., Mapping[str, Array]]

# What rounds nothing, or does so in a sum, which no other operation takes into itself.
_PLAIN = {"add", "sub", "neg", "abs", "max", "min", "select_n", "clamp", "sign", "floor", "ceil", "round", "copy"}
_PLAIN |= {"broadcast_in_dim", "reshape", "squeeze", "slice", "concatenate", "pad", "rev", "transpose", "iota"}
_PLAIN |= {"convert_element_type", "bitcast_convert_type", "stop_gradient", "optimization_barrier", "rem"}
_PLAIN |= {"dynamic_slice", "gather", "expand_dims"}
_BODIES = ("jaxpr", "call_jaxpr", "fun_jaxpr")  # of an operation that is a function


@cache
def apart(function: "Function") -> "Function":
    """Make of an elementwise function one whose operations are rounded apart; kept, as JAX compiles anew for a new one.

    It is for evaluation: its derivatives are those of the operations, not those that the function gives itself.
    """
    return partial(_evaluate, function)


def _evaluate(function: "Function", **inputs: "Array") -> Mapping[str, "Array"]:
    import jax
    import jax.numpy as jnp
    import numpy as np
    from jax import Array

    if not inputs:
        return function()
    inputs = {name: jnp.asarray(value) for name, value in inputs.items()}
    results: list[Any] = []  # what is no array, in the place of which there is None for one that is; and the structure

    def arrays(**inputs: "Array") -> list[Any]:
        values, structure = jax.tree.flatten(function(**inputs))
        numbers = [isinstance(x, Array | np.ndarray | np.generic | complex | float | int) for x in values]
        results[:] = [[None if is_number else x for is_number, x in zip(numbers, values, strict=True)], structure]
        return [x for is_number, x in zip(numbers, values, strict=True) if is_number]

    traced = jax.make_jaxpr(arrays)(**inputs)
    leaves = jax.tree.leaves(inputs)
    # A compiler cannot know that this is minus infinity, so it cannot drop what is compared with it.
    seen = jnp.ravel(leaves[0])[0]
    most = np.finfo(seen.dtype).max
    least = jnp.where(seen > most, -most, -jnp.inf)
    walked = iter(_walked(traced.jaxpr, traced.consts, leaves, least))
    others, structure = results
    # What is no array stays what it is, for the caller to refuse.
    return jax.tree.unflatten(structure, [next(walked) if x is None else x for x in others])


def _walked(jaxpr: Any, consts: Sequence[Any], operands: Sequence[Any], least: "Array") -> list[Any]:
    """Evaluate a program operation by operation."""
    known = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *operands), strict=True))

    def read(variable: Any) -> Any:
        return variable.val if hasattr(variable, "val") else known[variable]

    for operation in jaxpr.eqns:
        results = _done(operation, [read(v) for v in operation.invars], least)
        known.update(zip(operation.outvars, results, strict=True))
    return [read(v) for v in jaxpr.outvars]


def _done(operation: Any, operands: list[Any], least: "Array") -> Sequence[Any]:
    import jax.numpy as jnp
    from jax import lax

    name, params = operation.primitive.name, operation.params
    if name in ("scan", "while", "cond"):
        return {"scan": _scan, "while": _while, "cond": _cond}[name](params, operands, least)
    body = next((params[key] for key in _BODIES if key in params), None)
    if body is not None:
        return _walked(getattr(body, "jaxpr", body), getattr(body, "consts", ()), operands, least)
    if not jnp.issubdtype(operation.outvars[0].aval.dtype, jnp.floating):
        return _bound(operation, operands)
    if name == "div" and not hasattr(operation.invars[1], "val"):
        # Behind this nobody sees that the divisor is the same for many.
        operands = [operands[0], lax.optimization_barrier(operands[1])]
    results = _ours(name, operands, least) or _bound(operation, operands)
    return results if name in _PLAIN else [_rounded(x, least) for x in results]


def _bound(operation: Any, operands: list[Any]) -> Sequence[Any]:
    results = operation.primitive.bind(*operands, **operation.params)
    return results if operation.primitive.multiple_results else [results]


def _rounded(x: "Array", least: "Array") -> "Array":
    """x, in a form that no compiler fuses with a sum.

    It is not written as a choice between x and a number: chains of those take XLA's fusions minutes to compile.
    """
    import jax.numpy as jnp

    least = least.astype(x.dtype)
    return jnp.maximum(x, least)


def _scan(params: Mapping[str, Any], operands: list[Any], least: "Array") -> Sequence[Any]:
    from jax import lax

    consts, carried = params["num_consts"], params["num_carry"]
    body = params["jaxpr"]

    def step(carry: Sequence[Any], x: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        results = _walked(body.jaxpr, body.consts, [*operands[:consts], *carry, *x], least)
        return results[:carried], results[carried:]

    start, along = operands[consts : consts + carried], operands[consts + carried :]
    options = {key: params[key] for key in ("length", "reverse", "unroll")}
    carry, stacked = lax.scan(step, start, along, **options)
    return [*carry, *stacked]


def _while(params: Mapping[str, Any], operands: list[Any], least: "Array") -> Sequence[Any]:
    from jax import lax

    test, body = params["cond_jaxpr"], params["body_jaxpr"]
    first, second = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]

    def goes_on(carry: list[Any]) -> Any:
        return _walked(test.jaxpr, test.consts, [*operands[:first], *carry], least)[0]

    def step(carry: list[Any]) -> list[Any]:
        return _walked(body.jaxpr, body.consts, [*operands[first:second], *carry], least)

    return lax.while_loop(goes_on, step, operands[second:])


def _cond(params: Mapping[str, Any], operands: list[Any], least: "Array") -> Sequence[Any]:
    from jax import lax

    def branch(body: Any) -> Callable[..., list[Any]]:
        return lambda *rest: _walked(body.jaxpr, body.consts, rest, least)

    return lax.switch(operands[0], [branch(body) for body in params["branches"]], *operands[1:])


def _ours(name: str, operands: list[Any], least: "Array") -> list[Any] | None:
    """Evaluate an exponential or a logarithm by operations that are rounded apart; None for anything else."""
    import jax

    from kernels.loss import special

    known = {"exp": special.exp, "log": special.log}
    if name not in known:
        return None
    traced = jax.make_jaxpr(known[name])(*operands)
    return _walked(traced.jaxpr, traced.consts, operands, least)
