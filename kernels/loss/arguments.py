"""Arguments of kernels: real numbers become arrays of one floating type, and a kernel one compiled program."""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

Function = TypeVar("Function", bound=Callable[..., Array])


def _typed(*values: ArrayLike) -> list[Array]:
    """Arguments as arrays of one floating type; whole numbers count as the default type.

    Raises TypeError where an argument is not a real number.
    """
    types = [np.dtype(v.dtype) if hasattr(v, "dtype") else np.asarray(v).dtype for v in values]
    for kind in types:
        if not (jnp.issubdtype(kind, jnp.floating) or jnp.issubdtype(kind, jnp.integer) or kind == np.bool_):
            raise TypeError(f"arguments must be real numbers, got {kind}")
    floats = [t for v, t in zip(values, types, strict=True) if hasattr(v, "dtype") and jnp.issubdtype(t, jnp.floating)]
    floats = [t for t in floats if t.itemsize >= 4]
    wanted = jnp.zeros(()).dtype if not floats else jax.dtypes.canonicalize_dtype(np.result_type(*floats))
    return [jnp.asarray(v, wanted) for v in values]


def as_arrays(*values: ArrayLike) -> list[Array]:
    """Arguments as arrays of one shape and floating type; whole numbers count as the default type.

    Raises TypeError where an argument is not a real number.
    """
    return jnp.broadcast_arrays(*_typed(*values))


def elementwise(function: Function) -> Function:
    """Compile a function of real numbers as one program: operation by operation, each shape would take seconds."""
    compiled = jax.jit(function)

    @wraps(function)
    def call(*positional: ArrayLike, **named: ArrayLike) -> Array:
        values = _typed(*positional, *named.values())
        return compiled(*values[: len(positional)], **dict(zip(named, values[len(positional) :], strict=True)))

    return cast(Function, call)
