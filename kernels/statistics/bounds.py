"""Bounds in the type of the values that they are compared with: the nearest numbers above and below."""

from typing import TypeVar

import numpy as np
from jax import Array

Values = TypeVar("Values", Array, np.ndarray)


def least_at(bounds: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Smallest numbers of a type that are >= the bounds, which are float64."""
    with np.errstate(over="ignore"):
        rounded = bounds.astype(dtype)
        return np.where(rounded < bounds, np.nextafter(rounded, np.inf, dtype=dtype), rounded).astype(dtype)


def most_at(bounds: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Largest numbers of a type that are <= the bounds, which are float64."""
    return -least_at(-bounds, dtype)


def compare(value: Values, sign: str, bound: float) -> Values:
    """Where ``value sign bound`` holds, for a sign of <, <=, >, >=, compared as float64 would compare them.

    The bound may lie between two numbers of the type of the values.
    """
    above, below = (round_(np.asarray([bound]), value.dtype)[0] for round_ in (least_at, most_at))
    if sign in ("<", ">="):
        return value < above if sign == "<" else value >= above
    return value <= below if sign == "<=" else value > below
