"""How far a number may be from what it is before an answer is another one: by answering again, not by a derivative."""

from collections.abc import Callable

import numpy as np

PLACES = 64  # between a value and each limit, at which an answer is looked at first; denser near the value
RATES = ("hardware_rate", "software_rate")  # of which is said how far they may move
PRECISION = 1e-6  # of an end, in the unit of the value


def find_ends(
    changed: Callable[[np.ndarray, np.ndarray], np.ndarray],
    values: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    lanes: int,
) -> np.ndarray:
    """Values between which answers stay what they are, each value varied alone.

    From every value outward the answer is looked at in places, of which the first is 1/4096 and the last 1/32 of the
    way to the limit from the one before; between the first where it is another one and the place before it, the end is
    then narrowed down. So an answer that comes back farther out is no longer in the range; one that is another only
    between two places is not seen.

    Parameters
    ----------
    changed : callable
        Takes numbers (M,) of rows and values (M,), at most `lanes` of them; says of each whether the answer is another.
    values, low, high : numpy.ndarray, shape (R,)
        The value of each row, and the limits up to which ends are searched.
    lanes : int
        Answers that are looked at together.

    Returns
    -------
    numpy.ndarray, shape (R, 2)
        The last value on either side at which the answer was seen to be the same, at most `PRECISION` from one at which
        it is another; a limit exactly, where it is the same up to there.
    """
    limit = np.stack([low, high], axis=1)
    span = (limit - values[:, None]).ravel()
    grid = (np.arange(PLACES + 1) / PLACES) ** 2
    place = np.zeros(span.size, int)
    inner, outer = np.zeros(span.size), np.zeros(span.size)  # parts of the way to the limit

    def look(sides: np.ndarray, parts: np.ndarray) -> np.ndarray:
        """The first of some parts (S, M) at which each side's answer is another, M where it is at none."""
        rows = np.repeat(sides // 2, parts.shape[1])
        other = changed(rows, (values[sides // 2][:, None] + span[sides][:, None] * parts).ravel())
        return np.argmax(np.c_[other.reshape(parts.shape), np.ones(len(sides), bool)], axis=1)

    while (sides := np.flatnonzero((place < PLACES) & (outer == 0.0) & (span != 0.0))[:lanes]).size:
        ahead = np.minimum(place[sides, None] + np.arange(1, lanes // sides.size + 1), PLACES)
        first = look(sides, grid[ahead])
        seen = first < ahead.shape[1]
        place[sides] = np.where(seen, ahead[range(len(sides)), np.minimum(first, ahead.shape[1] - 1)] - 1, ahead[:, -1])
        inner[sides] = grid[place[sides]]
        outer[sides[seen]] = grid[place[sides[seen]] + 1]
    while (sides := np.flatnonzero((outer - inner) * np.abs(span) > PRECISION)[:lanes]).size:
        more = lanes // sides.size
        parts = np.linspace(inner[sides], outer[sides], more + 2, axis=1)
        first = look(sides, parts[:, 1:-1])
        inner[sides], outer[sides] = parts[range(len(sides)), first], parts[range(len(sides)), first + 1]
    ends = (values[:, None] + (span * inner).reshape(-1, 2)).clip(low[:, None], high[:, None])
    return np.where((inner == 1.0).reshape(-1, 2), limit, ends)
