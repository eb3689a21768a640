"""Gauss-Legendre quadrature against exact integrals, and against numbers of 40 digits."""

import mpmath
import numpy as np
import pytest

from kernels.loss.quadrature import gauss_legendre


@pytest.mark.parametrize("number", [1, 2, 3, 10, 16, 17, 32, 48, 816])
def test_gauss_legendre_integrates_powers(number):
    x, w = gauss_legendre(number)
    assert (np.diff(x) > 0.0).all() and (w > 0.0).all() and len(x) == number
    for power in range(0, min(2 * number, 60)):
        assert abs(w @ x**power - (1 + (-1) ** power) / (power + 1)) < 1e-14


@pytest.mark.parametrize("number", [2, 5, 16, 32])
def test_gauss_legendre_nodes_are_the_roots(number):
    x, w = gauss_legendre(number)
    with mpmath.workdps(40):
        for node, weight in zip(x.tolist(), w.tolist(), strict=True):
            root = mpmath.findroot(lambda t: mpmath.legendre(number, t), mpmath.mpf(node))
            slope = mpmath.diff(lambda t: mpmath.legendre(number, t), root)
            assert abs(root - node) < 3e-16
            assert abs(2 / ((1 - root**2) * slope**2) / weight - 1) < 2e-14
