"""Scan of the research share, over which the mean loss is not convex, for the basins to descend in."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from kernels.split.descent import End

ROUNDS, WARM_ROUNDS = 1, 2  # of block pivoting at each of the research shares, and at the first
WARM_UP = 3  # steps at the first of the research shares
GRID = 7  # research shares that are scanned
PLACES = 8  # between two of them at which the cubic through values and slopes is looked at


class Basins(NamedTuple):
    """The two most promising basins of the research share."""

    starts: tuple[np.ndarray, np.ndarray]  # shares (K+1, N) of both
    lows: tuple[np.ndarray, np.ndarray]  # losses (N,) that are expected there, infinite where there is no second basin
    bracket: np.ndarray  # (2, N): research shares around the first


def research_grid(pace: Any, places: int, xp: Any = jnp) -> Any:
    """Research shares (R, B) from 0 to 1: half of them even in the gain, while that rises faster than the spend."""
    half = places // 2
    pace = xp.maximum(pace, 1e-6)
    most = -xp.expm1(-pace)
    turn = xp.clip(xp.log(pace / most) / pace, 0.0, 1.0)
    even = xp.asarray(np.arange(half) / half)[:, None] * -xp.expm1(-pace * turn)[None]
    first = -xp.log1p(-even) / pace[None]
    last = turn[None] + (1.0 - turn)[None] * xp.asarray(np.arange(places - half) / (places - half))[:, None]
    return xp.concatenate([first, last])


@np.errstate(all="ignore")  # a loss that is not a number leads nowhere, and is marked so later
def scan(pace: np.ndarray, dates: int, look: Callable[[np.ndarray, int, int], End]) -> Basins:
    """Look at a few research shares, with one step of Newton's method a place, from where the last one led.

    Parameters
    ----------
    pace : numpy.ndarray, shape (N,)
        What research costs, B/S.
    dates : int
        Purchases K.
    look : callable
        Descends from shares (K+1, N) in some steps, with some rounds of block pivoting, the research share staying.
    """
    grid = research_grid(pace, GRID, np)
    bought = np.full((dates, len(pace)), 1.0 / dates)
    seen = []
    for number, share in enumerate(grid):
        left = 1.0 - share
        end = look(
            np.concatenate([bought * left, share[None]]), *((1, ROUNDS) if number else (1 + WARM_UP, WARM_ROUNDS))
        )
        x, gradient, move = (np.asarray(v) for v in (end.x, end.gradient, end.updates))
        bought = np.maximum((x + move)[:-1], 0.0) / left
        # The loss that the model of the step promises, and its slope.
        promised = np.asarray(end.loss) + 0.5 * np.sum(move * gradient, axis=0)
        seen.append((promised, gradient[-1] - np.sum(x[:-1] * gradient[:-1], axis=0) / left, bought))
    value, slope, table = (np.stack(part) for part in zip(*seen, strict=True))
    return _basins(grid, np.where(np.isnan(value), np.inf, value), slope, table)


def _basins(grid: np.ndarray, value: np.ndarray, slope: np.ndarray, bought: np.ndarray) -> Basins:
    """The lowest places of the cubics through values and slopes (R, N) of two neighbours; the last ends at 1."""
    width = grid[1:] - grid[:-1]
    s = (np.arange(PLACES) / PLACES)[:, None, None]
    t = 1.0 - s
    a, b, da, db = value[:-1], value[1:], slope[:-1] * width, slope[1:] * width
    cubic = a * (1 + 2 * s) * t * t + da * s * t * t + b * s * s * (3 - 2 * s) - db * s * s * t
    low = np.concatenate([cubic.min(axis=0), value[-1:]])
    at = np.concatenate([grid[:-1] + width * cubic.argmin(axis=0) / PLACES, grid[-1:]])
    one = low.argmin(axis=0)
    none = np.full_like(low[:1], np.inf)
    beside = np.concatenate([low[1:], none]), np.concatenate([none, low[:-1]])
    valley = (low <= beside[0]) & (low <= beside[1]) & (np.abs(np.arange(GRID)[:, None] - one) > 1)
    others = np.where(valley, low, np.inf)

    def pick(table: np.ndarray, which: np.ndarray) -> np.ndarray:
        return np.take_along_axis(table, which[None], axis=0)[0]

    def start(which: np.ndarray) -> np.ndarray:
        share = pick(at, which)
        purchases = np.take_along_axis(bought, which[None, None], axis=0)[0]
        return np.concatenate([purchases * (1.0 - share), share[None]])

    edge = np.concatenate([grid, np.ones_like(grid[:1])])
    bracket = np.stack([pick(edge, np.maximum(one - 1, 0)), pick(edge, np.minimum(one + 2, GRID))])
    return Basins((start(one), start(others.argmin(axis=0))), (low.min(axis=0), others.min(axis=0)), bracket)
