"""Boxes in the space of the inputs that hold what is of interest: the patient rule induction method on plain arrays.

J. H. Friedman and N. I. Fisher, Bump hunting in high-dimensional data, Statistics and Computing 9, 123-143 (1999): from
a box that holds everything thin slabs are peeled off, and what was too much is put back. A box is an array (parameters,
2) of its lowest and highest values, both inside; -inf and inf where a parameter is not limited.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np

PEEL = 0.05  # share of the draws in a box that a slab has
FEWEST = 20  # draws in the smallest box
COST = 3.0  # times ln(draws): what a limit must add to the score; chance alone adds less, wherever the limit is put
MOST_ROUNDS = 100  # through all limits

Score = Callable[[np.ndarray, np.ndarray], np.ndarray]


def ordered(columns: np.ndarray) -> np.ndarray:
    """Numbers of the draws in increasing order of each parameter, (parameters, draws), int32; ties in any order."""
    return np.stack([np.argsort(column).astype(np.int32) for column in columns])


def peeled(columns: np.ndarray, hits: np.ndarray, orders: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nested boxes, from the one that holds everything: each without the poorest slab of the one before.

    A slab is what lies lowest or highest in one parameter: `PEEL` of the draws in the box, and all that equal its
    innermost one where too few differ. Of equally poor slabs the first parameter's is taken, the low one first.

    Parameters
    ----------
    columns : numpy.ndarray
        Values of the parameters, (parameters, draws).
    hits : numpy.ndarray
        Which draws are of interest, (draws,).
    orders : numpy.ndarray
        From :func:`ordered`.

    Returns
    -------
    boxes : numpy.ndarray
        (boxes, parameters, 2), float64. The last one holds hits only, or hardly `FEWEST` draws, or values that do not
        differ.
    inside, hits_inside : numpy.ndarray
        Draws in each box, and hits among them, (boxes,).
    """
    box = np.tile([-np.inf, np.inf], (len(columns), 1))
    inside = np.ones(len(hits), bool)
    order, boxes = list(orders), [box]
    ranked = [column[numbers] for column, numbers in zip(columns, orders, strict=True)]
    number, interesting = len(hits), int(hits.sum())
    counts = [(number, interesting)]
    while interesting < number:
        size = math.ceil(PEEL * number)
        slabs = [slab for j in range(len(columns)) for slab in _slabs(j, ranked[j], size)]
        slabs = [slab for slab in slabs if number - (slab[2].stop - slab[2].start) >= FEWEST]
        if not slabs:
            break
        lost = [int(hits[order[j][span]].sum()) for j, _, span in slabs]
        poorest = min(range(len(slabs)), key=lambda k: lost[k] / (slabs[k][2].stop - slabs[k][2].start))
        j, end, span = slabs[poorest]
        inside[order[j][span]] = False
        kept = [inside[numbers] for numbers in order]
        order = [numbers[keep] for numbers, keep in zip(order, kept, strict=True)]
        ranked = [values[keep] for values, keep in zip(ranked, kept, strict=True)]
        number, interesting = len(order[0]), interesting - lost[poorest]
        box = box.copy()
        box[j, end] = ranked[j][-end]
        boxes.append(box)
        counts.append((number, interesting))
    inside, hits_inside = np.array(counts).T
    return np.stack(boxes), inside, hits_inside


def _slabs(j: int, values: np.ndarray, size: int) -> Iterator[tuple[int, int, slice]]:
    """Slabs at the low and the high end of sorted values: parameter, end (0 or 1) and place."""
    number = len(values)
    if values[0] == values[-1]:
        return
    low = int(np.searchsorted(values, values[size], "left"))
    yield j, 0, slice(0, low or int(np.searchsorted(values, values[size], "right")))
    high = int(np.searchsorted(values, values[number - 1 - size], "right"))
    yield j, 1, slice(high if high < number else int(np.searchsorted(values, values[-1], "left")), number)


def within(columns: np.ndarray, box: np.ndarray, but: int | None = None) -> np.ndarray:
    """Which draws a box holds, (draws,); `but` names a parameter whose limits do not count."""
    inside = np.ones(columns.shape[1], bool)
    for j, (column, (low, high)) in enumerate(zip(columns, box, strict=True)):
        if j != but and low > -np.inf:
            inside &= column >= low
        if j != but and high < np.inf:
            inside &= column <= high
    return inside


def counted(columns: np.ndarray, hits: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many draws each of nested boxes holds, and how many hits, (boxes,); each box lies in the one before."""
    inside, interesting = [], []
    for box in boxes:
        keep = within(columns, box)
        if not keep.all():
            columns, hits = columns[:, keep], hits[keep]
        inside.append(len(hits))
        interesting.append(int(hits.sum()))
    return np.array(inside), np.array(interesting)


def evidence(hits: np.ndarray, least_coverage: float = 0.0, least_density: float = 0.0) -> Score:
    """Score of a box: twice the log-likelihood ratio of two shares of hits, inside and outside, to one for all.

    It is 2 x draws x the mutual information of lying inside and being a hit: as large as can be where the box holds all
    hits and nothing else, 0 where it says nothing, and set to 0 where the box is poorer than the rest. -inf where it
    falls short of what is asked.

    Parameters
    ----------
    hits : numpy.ndarray
        Which draws are of interest, (draws,).
    least_coverage : float
        Share of the hits that a box must hold.
    least_density : float
        Share of hits among the draws that it holds.
    """
    number, total = len(hits), int(hits.sum())

    def score(inside: np.ndarray, inner: np.ndarray) -> np.ndarray:
        cells = (inner, inside - inner, total - inner, number - inside - (total - inner))
        value = sum(map(_entropy, cells)) - _entropy(inside) - _entropy(number - inside)
        value = 2.0 * (value + _entropy(number) - _entropy(total) - _entropy(number - total))
        value = np.where(inner * float(number) > inside * float(total), np.maximum(value, 0.0), 0.0)
        return np.where((inner >= least_coverage * total) & (inner >= least_density * inside), value, -np.inf)

    return score


def _entropy(counts: np.ndarray | int) -> np.ndarray:
    return counts * np.log(np.maximum(counts, 1))


def moved(
    columns: np.ndarray, hits: np.ndarray, orders: np.ndarray, box: np.ndarray, score: Score, cost: float
) -> np.ndarray:
    """Box whose limits are moved, one after the other, to where its score is largest, until none moves.

    Limits are moved out (pasting) or in, to a draw, or dropped. So the box does not depend on how thick slabs were.

    Parameters
    ----------
    columns, hits, orders : numpy.ndarray
        As for :func:`peeled`.
    box : numpy.ndarray
        Where to begin, (parameters, 2).
    score : callable
        Of numbers of draws inside and of hits among them.
    cost : float
        What a limit must add to the score; else it is dropped.
    """
    box = box.copy()
    for _ in range(MOST_ROUNDS):
        before = box.copy()
        for j, order in enumerate(orders):
            for end in (0, 1):
                inside = within(columns, box, but=j)
                other = box[j, 1 - end]
                numbers = order[inside[order]]
                values = columns[j][numbers]
                keep = values <= other if end == 0 else values >= other
                box[j, end] = _limit(values[keep], hits[numbers[keep]], end, score, cost)
        if np.array_equal(box, before):
            break
    return box


def _limit(values: np.ndarray, hits: np.ndarray, end: int, score: Score, cost: float) -> float:
    """Best lowest (`end` 0) or highest limit of sorted values, the widest of equally good ones."""
    if end:
        values, hits = values[::-1], hits[::-1]
    inside = np.arange(len(values), 0, -1)
    scores = score(inside, np.cumsum(hits[::-1])[::-1])
    scores[1:][values[1:] == values[:-1]] = -np.inf  # draws of one value are not parted
    scores[0] += cost
    best = int(np.argmax(scores))
    return float(values[best]) if best else (-np.inf, np.inf)[end]


def binomial_tail(hits: int, draws: int, share: float) -> float:
    """Probability that at least `hits` of some draws are hits where a share of all draws is, each by chance.

    Parameters
    ----------
    hits, draws : int
        0 <= hits <= draws.
    share : float
        In [0, 1].

    Returns
    -------
    float
        To a relative 1e-8, as tested for up to 1e6 draws; 0 below 1e-300.
    """
    if hits <= 0 or share >= 1.0:
        return 1.0
    if share <= 0.0:
        return 0.0
    if hits <= draws * share:  # the terms fall away from the mean only
        return 1.0 - binomial_tail(draws - hits + 1, draws, 1.0 - share)
    terms = np.arange(hits, draws, dtype=float)
    ratios = (draws - terms) / (terms + 1.0) * (share / (1.0 - share))
    log_first = math.lgamma(draws + 1) - math.lgamma(hits + 1) - math.lgamma(draws - hits + 1)
    log_first += hits * math.log(share) + (draws - hits) * math.log1p(-share)
    return min(1.0, math.exp(log_first) * (1.0 + float(np.cumprod(ratios).sum())))
