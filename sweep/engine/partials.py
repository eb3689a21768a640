"""What part of a tile has been reduced to: named arrays, one row for each cell, that are merged and finished.

A :class:`Wanted` is a running statistic that a pass keeps; several statistics of a sweep may share one.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from kernels import statistics as running
from kernels.statistics import Sought
from sweep.config.spec import SweepSpec
from sweep.config.statistic import Condition
from sweep.plan.blocks import Block
from sweep.plan.passes import ROWS, Pass, result_dims, result_dtype
from sweep.results.sinks import Partial

Box = tuple[tuple[int, ...], tuple[int, ...]]

MOMENTS = ("count", "mean", "excess", "squares")
SKETCH, SOUGHT, ROUND = ("bins", "counts", "ends"), ("sought", "before", "shifts"), "round"
FIELDS = {"COUNT": ("total",), "MEAN": MOMENTS, "MOMENTS": MOMENTS}
FIELDS |= dict.fromkeys(("LEAST", "FIRST_LEAST"), ("least", "place"))


class Wanted(NamedTuple):
    """A running statistic and what it is fed: an output, its negative, or whether conditions hold."""

    running: str
    output: str
    negative: bool = False
    conditions: tuple[Condition, ...] = ()


def wanted(spec: SweepSpec, names: Sequence[str]) -> dict[str, Wanted]:
    """Name the running statistics that some statistics need; those of an output share what they can."""
    found: dict[str, Wanted] = {}
    for name in names:
        statistic = spec.statistics[name]
        output = statistic.outputs[0]
        kind = statistic.statistic
        if kind == "share":
            found[name] = Wanted("COUNT", output, conditions=statistic.conditions)
            continue
        least = {"min": "LEAST", "max": "LEAST", "argmin": "FIRST_LEAST", "argmax": "FIRST_LEAST"}.get(kind)
        key, new = f"{source(kind)} {output}", least or ("MEAN" if kind == "mean" else "MOMENTS")
        if key not in found or len(new) > len(found[key].running):  # MOMENTS include MEAN, FIRST_LEAST includes LEAST
            found[key] = Wanted(new, output, negative=kind in ("max", "argmax"))
    return found


def source(kind: str) -> str:
    """Name the running statistic that gives one of an output."""
    return {"min": "least", "argmin": "least", "max": "most", "argmax": "most"}.get(kind, "mean")


def names_of(spec: SweepSpec, found: Pass, round: int = 0) -> set[str]:
    """Names of the arrays of a partial, of the first look at all parts or a later one."""
    if found.kind != ROWS:
        return {f"{key}.{field}" for key, w in wanted(spec, found.names).items() for field in FIELDS[w.running]}
    names = set()
    for name in found.names:
        sketch = ("quantiles",) if found.is_whole else SKETCH + (SOUGHT if round else ())
        fields = ("total",) if spec.statistics[name].edges is not None else sketch
        names |= {f"{name}.{field}" for field in fields}
    return names | ({ROUND} if round else set())


def round_of(partial: Partial) -> int:
    """How often all parts of a tile had been looked at when this look began."""
    return int(partial.get(ROUND, 0))


def merge(first: Partial, second: Partial) -> Partial:
    """Partial of the union of two parts of a tile, the first of which comes before the second."""
    merged: Partial = {}
    for key in first:
        name, _, field = key.rpartition(".")
        a, b = first, second
        if field == "mean":
            found = running.merge_moments(*(np.stack([x[f"{name}.{f}"] for x in (a, b)], axis=-1) for f in MOMENTS))
            merged |= {f"{name}.{f}": value for f, value in zip(MOMENTS, found, strict=True)}
        elif field == "least":
            pieces = [np.stack([x[f"{name}.{f}"] for x in (a, b)], axis=-1) for f in ("least", "place")]
            merged |= dict(zip((f"{name}.least", f"{name}.place"), running.merge_least(*pieces), strict=True))
        elif field == "total":
            merged[key] = a[key] + b[key] if key in b else a[key]
        elif key == ROUND or field in SOUGHT:
            merged[key] = a[key]
        elif field == "bins":
            merged |= _mergesketches_of(name, a, b)
    return merged


def _mergesketches_of(name: str, a: Partial, b: Partial) -> Partial:
    found = [running.merge_sketches(x, y) for x, y in zip(sketches_of(name, a), sketches_of(name, b), strict=True)]
    return joined(name, found)


def sketches_of(name: str, partial: Partial) -> list[tuple[np.ndarray, np.ndarray]]:
    """Bins and counts of each cell."""
    ends = partial[f"{name}.ends"][:-1]
    return list(zip(*(np.split(partial[f"{name}.{f}"], ends) for f in ("bins", "counts")), strict=True))


def joined(name: str, sketches: Sequence[tuple[np.ndarray, np.ndarray]]) -> Partial:
    """Keep sketches one after the other, with the place where each ends."""
    bins, counts = zip(*sketches, strict=True)
    return {
        f"{name}.bins": np.concatenate(bins),
        f"{name}.counts": np.concatenate(counts),
        f"{name}.ends": np.cumsum([len(b) for b in bins]),
    }


def sought_of(name: str, partial: Mapping[str, np.ndarray], cells: int) -> Sequence[Sought | None]:
    """What earlier looks told of each cell."""
    if f"{name}.sought" not in partial:
        return [None] * cells
    columns = (partial[f"{name}.{field}"] for field in SOUGHT)
    return [Sought(bins, before, *shifts.tolist()) for bins, before, shifts in zip(*columns, strict=True)]


def sought_in(partial: Mapping[str, np.ndarray], rows: np.ndarray | slice = slice(None)) -> Partial:
    """What earlier looks told of some cells, or all."""
    return {key: array[rows] for key, array in partial.items() if key.rpartition(".")[2] in SOUGHT}


def narrowed(spec: SweepSpec, found: Pass, partial: Partial) -> tuple[Partial, bool]:
    """Narrow quantiles down by what a look at all parts of a tile gave; whether another look is needed.

    Returns
    -------
    partial, again
        Where another look is needed, what its first part is merged with.
    """
    if found.rounds == 1:
        return partial, False
    made: Partial = {ROUND: np.array(round_of(partial) + 1)}
    again = False
    for name in found.names:
        statistic = spec.statistics[name]
        if statistic.edges is not None:
            made[f"{name}.total"] = partial[f"{name}.total"]
            continue
        sketches = sketches_of(name, partial)
        now = [
            running.narrowed(counted, sought, found.reduced, statistic.probabilities, np.dtype(spec.dtype))
            for counted, sought in zip(sketches, sought_of(name, partial, len(sketches)), strict=True)
        ]
        made[f"{name}.sought"] = np.stack([one.bins for one in now])
        made[f"{name}.before"] = np.stack([one.before for one in now])
        made[f"{name}.shifts"] = np.array([(one.coarse, one.fine) for one in now])
        made |= joined(name, [(np.zeros(0, np.int64), np.zeros(0, np.int64))] * len(now))
        again |= any(one.coarse for one in now)
    return made, again


def finished(spec: SweepSpec, found: Pass, partial: Partial, tile: Block) -> dict[str, np.ndarray]:
    """Turn what all parts of a tile gave into the variables of the result, of the shape of the tile."""
    lengths = dict(zip(found.plan.shape, (b - a for a, b in zip(tile.start, tile.stop, strict=True)), strict=True))
    made: dict[str, np.ndarray] = {}
    for name in found.names:
        statistic = spec.statistics[name]
        kind = statistic.statistic
        key = f"{source(kind)} {statistic.outputs[0]}"
        if kind == "mean":
            made[name] = partial[f"{key}.mean"]
        elif kind in ("variance", "std"):
            variance = partial[f"{key}.squares"] / partial[f"{key}.count"]
            made[name] = np.sqrt(variance) if kind == "std" else variance
        elif kind in ("min", "max"):
            made[name] = partial[f"{key}.least"] * (-1.0 if kind == "max" else 1.0)
        elif kind in ("argmin", "argmax"):
            made |= _coordinates(spec, found, name, partial, key)
        elif kind == "share":
            made[name] = partial[f"{name}.total"] / found.reduced
        elif kind == "histogram":
            made[name] = partial[f"{name}.total"]
        elif found.is_whole:
            made[name] = partial[f"{name}.quantiles"]
        else:
            known = (found.reduced, statistic.probabilities, np.dtype(spec.dtype))
            made[name] = np.stack([running.sought_quantiles(one, *known) for one in sought_of(name, partial, 0)])
    dims = result_dims(spec, found.names, found.kept, found.over)
    return {
        name: values.reshape([lengths[d] for d in dims[name]]).astype(result_dtype(spec, name))
        for name, values in made.items()
    }


def _coordinates(spec: SweepSpec, found: Pass, name: str, partial: Partial, key: str) -> dict[str, np.ndarray]:
    """Give the values of the reduced axes at the places of the extreme, NaN where that is NaN."""
    undefined = np.isnan(partial[f"{key}.least"])
    places = np.unravel_index(np.where(undefined, 0, partial[f"{key}.place"]), found.lengths)
    return {
        f"{name}_{dim}": np.where(undefined, np.nan, spec.axes[dim].at(place))
        for dim, place in zip(found.over, places, strict=True)
    }


def cells_of(boxes: Sequence[Box]) -> list[np.ndarray]:
    """Give the places in a tile of the cells of each of the boxes that it is cut into."""
    corner = boxes[0][0]
    lengths = tuple(b - a for a, b in zip(corner, boxes[-1][1], strict=True))
    cells = np.arange(math.prod(lengths)).reshape(lengths)
    return [cells[tuple(slice(a - c, b - c) for a, b, c in zip(*box, corner, strict=True))].ravel() for box in boxes]


def assembled(boxes: Sequence[Box], partials: Sequence[Partial]) -> Partial:
    """Put the partials of boxes together, rows in the order of the cells of the tile."""
    if len(boxes) == 1:
        return partials[0]
    order = np.argsort(np.concatenate(cells_of(boxes)))
    made: Partial = {}
    for key in partials[0]:
        name, _, field = key.rpartition(".")
        if field == "bins":
            sketches = [s for partial in partials for s in sketches_of(name, partial)]
            made |= joined(name, [sketches[i] for i in order])
        elif field not in ("counts", "ends"):
            made[key] = np.concatenate([partial[key] for partial in partials])[order]
    return made
