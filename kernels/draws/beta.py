"""The beta distribution's quantile function as a table, built on the host by quadrature: there is no inverse in JAX.

In terms of y = ln(x / (1 - x)) and v = ln(u / (1 - u)) the quantile is smooth and straight at both ends, whatever the
parameters; the density of y, x^alpha (1 - x)^beta / B, is log-concave. Its integrals are sums of positive terms, from
either end, so both tails are accurate.
"""

import numpy as np

from kernels.loss.quadrature import gauss_legendre

STEPS = 2048  # of the table, in v
EDGE = 31.0 * np.log(2.0)  # u from 2^-31 to 1 - 2^-31
_PANELS = 8192
_NODES, _WEIGHTS = (array / 2.0 for array in gauss_legendre(10))
_NEGLIGIBLE = (
    -65.0
)  # natural logarithm of a density, beside its largest: 2^-31 of the mass, and the digits of a float64


def _log_density(y: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    return alpha * np.minimum(y, 0.0) - beta * np.maximum(y, 0.0) - (alpha + beta) * np.log1p(np.exp(-np.abs(y)))


def _reach(alpha: float, beta: float, sign: float) -> float:
    """How far from its mode, up or down, the density of y matters."""
    mode = np.log(alpha / beta)
    wanted = _log_density(mode, alpha, beta) + _NEGLIGIBLE
    near, far = 0.0, 1.0
    while _log_density(mode + sign * far, alpha, beta) > wanted:
        near, far = far, 2.0 * far
    for _ in range(20):
        middle = 0.5 * (near + far)
        near, far = (middle, far) if _log_density(mode + sign * middle, alpha, beta) > wanted else (near, middle)
    return mode + sign * far


class _Integral:
    """Both tails of the density of y, up to a common factor, and their inverse."""

    def __init__(self, alpha: float, beta: float) -> None:
        self.alpha, self.beta = alpha, beta
        self.largest = _log_density(np.log(alpha / beta), alpha, beta)
        self.edges = np.linspace(_reach(alpha, beta, -1.0), _reach(alpha, beta, 1.0), _PANELS + 1)
        panels = self.partial(self.edges[:-1], self.edges[1:])
        self.lower = np.concatenate([[0.0], np.cumsum(panels)])
        self.upper = np.concatenate([np.cumsum(panels[::-1])[::-1], [0.0]])

    def density(self, y: np.ndarray) -> np.ndarray:
        return np.exp(_log_density(y, self.alpha, self.beta) - self.largest)

    def partial(self, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
        middle, width = 0.5 * (start + stop), stop - start
        return width * (self.density(middle[:, None] + width[:, None] * _NODES) * _WEIGHTS).sum(axis=1)

    def tails(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        y = np.clip(y, self.edges[0], self.edges[-1])
        panel = np.clip(np.searchsorted(self.edges, y, side="right") - 1, 0, _PANELS - 1)
        return (
            self.lower[panel] + self.partial(self.edges[panel], y),
            self.upper[panel + 1] + self.partial(y, self.edges[panel + 1]),
        )

    def inverse(self, below: np.ndarray, above: np.ndarray) -> np.ndarray:
        """Where the tails have these values, of which the smaller one counts."""
        left = below < above
        wanted = np.log(np.where(left, below, above))
        rising, falling = np.searchsorted(self.lower, below), np.searchsorted(self.upper[::-1], above)
        panel = np.clip(np.where(left, rising, _PANELS + 1 - falling), 1, _PANELS)
        y = 0.5 * (self.edges[panel - 1] + self.edges[panel])
        for _ in range(5):
            tail = np.where(left, *self.tails(y))
            y += np.where(left, 1.0, -1.0) * (wanted - np.log(tail)) * tail / self.density(y)
            y = np.clip(y, self.edges[panel - 1], self.edges[panel])
        return y


def beta_table(alpha: float, beta: float, *, lower: float = 0.0, upper: float = 1.0) -> np.ndarray:
    """Table of the beta distribution's quantile, truncated to [lower, upper], for `kernels.draws.distributions.beta`.

    Parameters
    ----------
    alpha, beta : float
        From 0.05 to 1e6.
    lower, upper : float
        Bounds, 0 <= lower < upper <= 1.

    Returns
    -------
    numpy.ndarray
        float64 (3, 2049): y and its first and second derivatives in v, in units of the step, at equal steps of v; NaN
        for parameters outside their domain, or where the bounds enclose no mass.
    """
    if not (0.0 < alpha < np.inf and 0.0 < beta < np.inf and 0.0 <= lower < upper <= 1.0):
        return np.full((3, STEPS + 1), np.nan)
    integral = _Integral(alpha, beta)
    with np.errstate(divide="ignore"):
        ends = np.log([lower, upper]) - np.log1p([-lower, -upper])
    below, above = integral.tails(ends)
    if not (below[1] > below[0] and above[0] > above[1]):
        return np.full((3, STEPS + 1), np.nan)
    v = np.linspace(-EDGE, EDGE, STEPS + 1)
    p, q = 1.0 / (1.0 + np.exp(-v)), 1.0 / (1.0 + np.exp(v))
    y = integral.inverse(below[0] * q + below[1] * p, above[0] * q + above[1] * p)
    mass = below[1] - below[0] if below[1] < above[0] else above[0] - above[1]
    slope = p * q * mass / integral.density(y)
    x = 1.0 / (1.0 + np.exp(-y))
    curvature = slope * (q - p - (alpha - (alpha + beta) * x) * slope)
    step = v[1] - v[0]
    return np.stack([y, slope * step, curvature * step**2])
