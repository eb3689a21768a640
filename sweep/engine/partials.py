"""What part of a tile has been reduced to: named arrays, one row for each cell, that are merged and finished.

A :class:`Wanted` is a running statistic that a pass keeps; several statistics of a sweep may share one.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from kernels import statistics as running
from kernels.statistics import Running, Sought
from sweep.config.spec import SweepSpec
from sweep.config.statistic import Condition, Statistic
from sweep.plan.blocks import Block
from sweep.plan.passes import ROWS, Pass
from sweep.plan.variables import result_dims, result_dtype
from sweep.results.sinks import Partial

Box = tuple[tuple[int, ...], tuple[int, ...]]

SKETCH, SOUGHT, ROUND = ("bins", "counts", "ends"), ("sought", "before", "shifts"), "round"


class Wanted(NamedTuple):
    """A running statistic and what it is fed: outputs, the negative of one, or whether conditions on them hold."""

    keeps: str
    outputs: tuple[str, ...]
    is_negated: bool = False
    conditions: tuple[Condition, ...] = ()

    @property
    def accumulator(self) -> Running:
        """What it is fed to."""
        return getattr(running, self.keeps)


def wanted(spec: SweepSpec, names: Sequence[str]) -> dict[str, Wanted]:
    """Name the running statistics that some statistics need; those of an output share what they can."""
    needed: dict[str, Wanted] = {}
    for name in names:
        statistic = spec.statistics[name]
        kind, key = statistic.kind, key_of(name, statistic)
        new = Wanted(kind.keeps, statistic.uses, kind.is_negated, statistic.conditions)
        if key not in needed or needed[key].accumulator in new.accumulator.includes:
            needed[key] = new
    return needed


def key_of(name: str, statistic: Statistic) -> str:
    """Name what a statistic is made of in a partial: its own name, or one that others of the same output share."""
    return f"{statistic.kind.shares} {' '.join(statistic.uses)}" if statistic.kind.shares else name


def is_narrowed(spec: SweepSpec, pass_: Pass, name: str) -> bool:
    """Whether a statistic of rows is narrowed down by counting, since they are too long to be looked at whole."""
    return spec.statistics[name].kind.is_narrowed and not pass_.is_whole


def names_of(spec: SweepSpec, pass_: Pass, round: int = 0) -> set[str]:
    """Names of the arrays of a partial, of the first look at all parts or a later one."""
    if pass_.kind != ROWS:
        return {f"{key}.{field}" for key, w in wanted(spec, pass_.names).items() for field in w.accumulator.fields}
    names = set()
    for name in pass_.names:
        fields = SKETCH + (SOUGHT if round else ()) if is_narrowed(spec, pass_, name) else (ROWS,)
        names |= {f"{name}.{field}" for field in fields}
    return names | ({ROUND} if round else set())


def round_of(partial: Partial) -> int:
    """How often all parts of a tile had been looked at when this look began."""
    return int(partial.get(ROUND, 0))


def merge(spec: SweepSpec, pass_: Pass, first: Partial, second: Partial) -> Partial:
    """Partial of the union of two parts of a tile, the first of which comes before the second."""
    if pass_.kind == ROWS:
        return _merge_rows(spec, pass_, first, second)
    merged: Partial = {}
    for key, w in wanted(spec, pass_.names).items():
        pieces = [np.stack([x[f"{key}.{f}"] for x in (first, second)], axis=-1) for f in w.accumulator.fields]
        merged |= named(key, w, w.accumulator.merge(*pieces))
    return merged


def named(key: str, wanted: Wanted, arrays: Sequence[np.ndarray]) -> Partial:
    """Name the arrays of a running statistic in a partial."""
    return {f"{key}.{field}": array for field, array in zip(wanted.accumulator.fields, arrays, strict=True)}


def _merge_rows(spec: SweepSpec, pass_: Pass, first: Partial, second: Partial) -> Partial:
    merged = {key: first[key] for key in first if key == ROUND or key.rpartition(".")[2] in SOUGHT}
    for name in pass_.names:
        key = f"{name}.{ROWS}"
        if is_narrowed(spec, pass_, name):
            both = zip(sketches_of(name, first), sketches_of(name, second), strict=True)
            merged |= joined(name, [running.merge_sketches(a, b) for a, b in both])
        elif key in first:  # counts, of which a later look adds none
            merged[key] = first[key] + second[key] if key in second else first[key]
    return merged


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


def narrowed(spec: SweepSpec, pass_: Pass, partial: Partial) -> tuple[Partial, bool]:
    """Narrow quantiles down by what a look at all parts of a tile gave; whether another look is needed.

    Returns
    -------
    partial, again
        Where another look is needed, what its first part is merged with.
    """
    if pass_.rounds == 1:
        return partial, False
    next_: Partial = {ROUND: np.array(round_of(partial) + 1)}
    again = False
    for name in pass_.names:
        statistic = spec.statistics[name]
        if not is_narrowed(spec, pass_, name):
            next_[f"{name}.{ROWS}"] = partial[f"{name}.{ROWS}"]
            continue
        sketches = sketches_of(name, partial)
        now = [
            running.narrowed(counted, sought, pass_.reduced, statistic.probabilities or (), np.dtype(spec.dtype))
            for counted, sought in zip(sketches, sought_of(name, partial, len(sketches)), strict=True)
        ]
        next_[f"{name}.sought"] = np.stack([one.bins for one in now])
        next_[f"{name}.before"] = np.stack([one.before for one in now])
        next_[f"{name}.shifts"] = np.array([(one.coarse, one.fine) for one in now])
        next_ |= joined(name, [(np.zeros(0, np.int64), np.zeros(0, np.int64))] * len(now))
        again |= any(one.coarse for one in now)
    return next_, again


def finished(spec: SweepSpec, pass_: Pass, partial: Partial, tile: Block) -> dict[str, np.ndarray]:
    """Turn what all parts of a tile gave into the variables of the result, of the shape of the tile."""
    lengths = dict(zip(pass_.plan.shape, (b - a for a, b in zip(tile.start, tile.stop, strict=True)), strict=True))
    results: dict[str, np.ndarray] = {}
    for name in pass_.names:
        statistic = spec.statistics[name]
        if is_narrowed(spec, pass_, name):
            known = (pass_.reduced, statistic.probabilities or (), np.dtype(spec.dtype))
            cells = (one for one in sought_of(name, partial, 0) if one is not None)
            arrays = {ROWS: np.stack([running.sought_quantiles(one, *known) for one in cells])}
        else:
            start = f"{key_of(name, statistic)}."
            arrays = {key.removeprefix(start): array for key, array in partial.items() if key.startswith(start)}
        with np.errstate(all="ignore"):  # 0 over 0, and what is beyond the largest number
            values = statistic.kind.finish(arrays, pass_.reduced)
        results |= _coordinates(spec, pass_, name, values) if statistic.kind.is_place else {name: values}
    dims = result_dims(spec, pass_.names, pass_.kept, pass_.over)
    with np.errstate(over="ignore"):
        return {
            name: values.reshape([lengths[d] for d in dims[name]]).astype(result_dtype(spec, name))
            for name, values in results.items()
        }


def _coordinates(spec: SweepSpec, pass_: Pass, name: str, at: np.ndarray) -> dict[str, np.ndarray]:
    """Give the values of the reduced axes at places, NaN where there is none."""
    undefined = at < 0
    places = np.unravel_index(np.where(undefined, 0, at), pass_.lengths)
    return {
        f"{name}_{dim}": np.where(undefined, np.nan, spec.axes[dim].at(place))
        for dim, place in zip(pass_.over, places, strict=True)
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
    whole: Partial = {}
    for key in partials[0]:
        name, _, field = key.rpartition(".")
        if field == "bins":
            sketches = [s for partial in partials for s in sketches_of(name, partial)]
            whole |= joined(name, [sketches[i] for i in order])
        elif field not in ("counts", "ends"):
            whole[key] = np.concatenate([partial[key] for partial in partials])[order]
    return whole
