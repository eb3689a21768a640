"""What a reader wants of a frontier with thousands of points: few of them, its knee, and the volume it dominates.

Here less is better in every objective. The only module that imports moocore (extra ``pareto``), and only when asked.
"""

from typing import Any

import numpy as np

from sweep.surroundings import of_an_extra

LOG_RATIO = 1000.0  # largest over smallest value from which on an objective is compared by its logarithm
BEYOND = 2.0  # what an infinite value counts as, where the finite ones span 0 to 1


def is_logarithmic(values: np.ndarray) -> bool:
    """Whether an objective is compared by its logarithm: all positive, over a factor of more than 1000.

    Parameters
    ----------
    values : numpy.ndarray
        Of one objective, not negated.
    """
    finite = values[np.isfinite(values)]
    return bool(len(finite) and finite.min() > 0 and finite.max() / LOG_RATIO > finite.min())


def normalised(points: np.ndarray, logarithmic: tuple[bool, ...]) -> np.ndarray:
    """Objectives from 0, the best of these points, to 1, the worst; float64, of the shape of `points`.

    Where an objective is logarithmic so is the scale. Infinite values count as a range beyond the finite ones, on
    either side; an objective that does not change is 0.
    """
    scaled = np.empty(points.shape, np.float64)
    for out, column, by_log in zip(scaled.T, points.T, logarithmic, strict=True):
        values = column.astype(np.float64)
        if by_log:
            # A maximised objective is negative here, and the logarithm of its size falls as it does.
            values = np.log(values) if (values > 0).any() else -np.log(-values)
        finite = values[np.isfinite(values)]
        low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 0.0)
        out[...] = (values - low) / (high - low) if high > low else np.where(np.isfinite(values), 0.0, values)
        np.copyto(out, BEYOND, where=values == np.inf)
        np.copyto(out, 1.0 - BEYOND, where=values == -np.inf)
    return scaled


def knee(points: np.ndarray) -> int | None:
    """Index of the point with the least sum of normalised objectives, the first of several.

    Of two objectives that is the point farthest below the chord between the ends of the frontier. None where it is the
    best in an objective, so an end, or where there are fewer than two objectives.

    Parameters
    ----------
    points : numpy.ndarray
        What :func:`normalised` gives.
    """
    if points.shape[1] < 2 or len(points) < 3:
        return None
    sums = points.sum(axis=1)
    best = int(sums.argmin())
    ends = np.where((points == points.min(axis=0)).any(axis=1), sums, np.inf)
    return best if sums[best] < ends.min() else None


def thinned(points: np.ndarray, most: int, keep: tuple[int, ...] = ()) -> tuple[np.ndarray, float]:
    """Choose few points so that each is nearly no worse than one of them.

    Starts from the best point of each objective and adds, one at a time, the point that is served worst.

    Parameters
    ----------
    points : numpy.ndarray
        What :func:`normalised` gives, shape (n, m).
    most : int
        How many to choose, at least one for each objective and each of `keep`.
    keep : tuple of int
        Indices of points to choose in any case.

    Returns
    -------
    chosen : numpy.ndarray
        Indices, increasing.
    epsilon : float
        For each point there is a chosen one that exceeds it by no more than this in every normalised objective:
        the exact value for these points (an additive epsilon).
    """
    if len(points) <= most:
        return np.arange(len(points)), 0.0
    chosen = list(dict.fromkeys((*map(int, keep), *(int(np.lexsort((points.sum(axis=1), c))[0]) for c in points.T))))
    served = np.full(len(points), np.inf)
    for number in range(most):
        if number == len(chosen):
            worst = int(served.argmax())
            if served[worst] <= 0:
                break
            chosen.append(worst)
        excess = points[chosen[number]][0] - points[:, 0]
        for column, value in zip(points.T[1:], points[chosen[number]][1:], strict=True):
            np.maximum(excess, value - column, out=excess)
        np.minimum(served, excess, out=served)
    return np.sort(np.asarray(chosen[:most])), max(0.0, float(served.max()))


def hypervolumes(points: np.ndarray, reference: np.ndarray) -> tuple[float, np.ndarray]:
    """Hypervolume of a front with respect to a reference point, and what each point alone adds to it.

    Raises
    ------
    ImportError
        Without moocore.
    """
    moocore = load_moocore()
    points, reference = np.ascontiguousarray(points, np.float64), np.asarray(reference, np.float64)
    # What does not reach the reference adds nothing.
    inside = np.flatnonzero((points < reference).all(axis=1))
    contributions = np.zeros(len(points))
    if not len(inside):
        return 0.0, contributions
    contributions[inside] = moocore.hv_contributions(points[inside], ref=reference)
    return float(moocore.hypervolume(points[inside], ref=reference)), contributions


def load_moocore() -> Any:
    """Import moocore.

    Raises
    ------
    ImportError
        Saying what to install, without it.
    """
    with of_an_extra("hypervolumes need"):
        import moocore
    return moocore
