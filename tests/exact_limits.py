"""What `kernels.limits` is tested against: its defining equations in mpmath, and bounds by conditioning."""

from collections.abc import Callable, Sequence

import mpmath
import numpy as np
from mpmath import mp, mpf

mp.dps = 40
DTYPES = (np.float32, np.float64)


def efficiency(t: mpf, rate: mpf, headroom: mpf) -> mpf:
    """H / (1 + (H − 1) 2^(−γt)), as relative to time 0."""
    if mpmath.isinf(headroom):
        return mpf(2) ** (rate * t)
    return headroom / (1 + (headroom - 1) * mpf(2) ** (-rate * t))


def effective_years(t: mpf, rate: mpf, headroom: mpf) -> mpf:
    """The integral of that, by its closed form, which a test holds against quadrature."""
    r = rate * mpmath.log(2)
    if r == 0 or headroom == 1:
        return +t
    if mpmath.isinf(headroom):
        return mpmath.expm1(r * t) / r
    with mp.workdps(90):
        # ln((H − 1 + e^x)/H), which for a long time is a sum of what is not lost beside an exponential.
        late = mpmath.log1p((headroom - 1) * mpmath.exp(-r * t)) + r * t - mpmath.log(headroom)
        return headroom / r * (late if r * t > 1 else mpmath.log1p(mpmath.expm1(r * t) / headroom))


def time_for_years(y: mpf, rate: mpf, headroom: mpf) -> mpf:
    r = rate * mpmath.log(2)
    if r == 0 or headroom == 1:
        return +y
    v = r * y / headroom
    with mp.workdps(90):
        if v > 1:
            return (v + mpmath.log(headroom - (headroom - 1) * mpmath.exp(-v))) / r
        grown = r * y if mpmath.isinf(headroom) else headroom * mpmath.expm1(v)
        return mpmath.log1p(grown) / r if grown > -1 else mpmath.inf


def log_data_limited_loss(log_c: mpf, kappa: mpf, limit: mpf, share: mpf) -> mpf:
    if log_c <= limit:
        return -kappa * log_c
    beyond = share + (1 - share) * mpmath.exp(-kappa / (1 - share) * (log_c - limit))
    return -kappa * limit + mpmath.log(beyond)


def availability(n: mpf, mtbf: mpf, save: mpf, restart: mpf) -> mpf:
    if mpmath.isinf(mtbf):
        return mpf(1)
    fail = mtbf * 3600 / n
    between = save + mpmath.sqrt(save**2 + 2 * save * (fail + restart))
    return (1 - (save / between if save else 0)) * fail / (fail + restart + between / 2)


def utilisation(n: mpf, exponent: mpf, start: mpf) -> mpf:
    return (1 + n / start) ** -exponent


def effective_fleet(n: mpf, exponent: mpf, start: mpf, mtbf: mpf, save: mpf, restart: mpf) -> mpf:
    """n u(n) a(n), of whatever n: a test that wants the peak has to look for it."""
    return n * utilisation(n, exponent, start) * availability(n, mtbf, save, restart)


def within(
    value: np.ndarray, exact: Callable[..., mpf], points: Sequence[np.ndarray], ulps: float, floor: float = 0.0
) -> None:
    """Assert that values are those of exact arithmetic, but for `ulps` and what half an ulp in each argument does.

    `floor` is a magnitude of which ulps count where the value is smaller.
    """
    eps = float(np.finfo(value.dtype).eps)
    tiny = mpf(2) ** -60
    assert value.shape == points[0].shape
    for i, number in enumerate(value):
        at = [mpf(float(p[i])) for p in points]
        true = exact(*at)
        if mpmath.isinf(true):
            assert np.isinf(number), (i, at, number)
            continue
        moved = mpf(0)
        for k, x in enumerate(at):
            if mpmath.isinf(x) or x == 0:
                continue
            there = exact(*at[:k], x * (1 - tiny), *at[k + 1 :])
            moved += abs(there - true) / tiny if not mpmath.isinf(there) else mpf(0)
        allowed = eps * (ulps * max(abs(true), floor) + moved / 2)
        assert abs(mpf(float(number)) - true) <= allowed, ([float(x) for x in at], float(number), float(true))
