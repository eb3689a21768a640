"""Gauss–Legendre quadrature with the same bits on every processor."""

import math
from functools import cache

import numpy as np

_STEPS = 5  # of Newton's method; they double the digits, of which the first guess has four or more


@cache
def gauss_legendre(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes, ascending, and weights on (-1, 1), float64 of shape (number,), read-only.

    They are sums, products and quotients alone: ``numpy.polynomial.legendre.leggauss`` has the last bits of LAPACK's
    eigenvalues, which differ from processor to processor. Error at most 1e-14 in the integral of a power of x for which
    the rule is exact (tests/kernels/loss/test_quadrature.py).
    """
    guess = np.cos(np.pi * (np.arange(number // 2) + 0.75) / (number + 0.5))
    x = np.append(np.rint(guess * 2.0**30) / 2.0**30, np.zeros(number % 2))
    for _ in range(_STEPS + 1):
        before, value = np.ones_like(x), x
        for k in range(1, number):
            before, value = value, ((2 * k + 1) * x * value - k * before) / (k + 1)
        room = (1.0 - x) * (1.0 + x)
        slope = number * (before - x * value) / room
        weights = 2.0 / (room * slope * slope)
        x = x - np.where(x == 0.0, 0.0, value / slope)
    half = number // 2
    x, weights = np.append(-x, x[:half][::-1]), np.append(weights, weights[:half][::-1])
    weights = weights * (2.0 / math.fsum(weights))
    x.flags.writeable = weights.flags.writeable = False
    return x, weights
