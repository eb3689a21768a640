"""Question: how long does the lazy dataset take to open 1e12 points, and to evaluate what is indexed of them.

``xr.open_dataset(spec, engine="sweep")`` and the values of a point, of 1e6 scattered points and of a 1000 x 1000 slab,
from the index to the NumPy array; other indices every turn. Compilation is in no median: the first call of each
kind is recorded as `first_seconds`. Agreement first: what is timed has the bits of `sweep.run` at the same points.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import record
import xarray as xr

import sweep

LIMITS = {"open": 0.05, "one point": 0.002, "scattered points": 0.05, "slab": 0.05}
AXES = {
    "fleet_size": {"start": 1e3, "stop": 1e8, "spacing": "log"},
    "doubling_rate": {"start": 0.0, "stop": 4.0},
    "time": {"start": 0.0, "stop": 20.0},
}


def measure(quick: bool) -> Iterator[dict[str, Any]]:
    """Yield result lines."""
    for dtype in ("float32", "float64"):
        yield from _measure_case(dtype, quick)


def _measure_case(dtype: str, quick: bool) -> Iterator[dict[str, Any]]:
    length, many, side = (50, 1000, 20) if quick else (10_000, 10**6, 1000)
    case = f"{length**3:.0e} points, {dtype}"
    axes = {name: sweep.Axis(**axis, num=length) for name, axis in AXES.items()}
    fixed = {"scaling_exponent": 0.05, "reference_fleet": 1.0, "reference_years": 1.0}
    spec = sweep.SweepSpec(loss="total", outputs=["relative_loss"], axes=axes, fixed=fixed, dtype=dtype)
    variable = xr.open_dataset(spec, engine="sweep").relative_loss
    rng = np.random.default_rng(0)

    made = [{name: ("point", rng.integers(0, length, many)) for name in AXES} for _ in range(3)]
    scattered = itertools.cycle(made)

    def slab(fixed: str) -> np.ndarray:
        starts = {name: int(rng.integers(0, length - side)) for name in AXES}
        index = {name: slice(start, start + side) for name, start in starts.items()}
        return variable.isel(index | {fixed: starts[fixed]}).values

    contenders: dict[str, tuple[str, Callable[[], object], int]] = {
        "open": ("open", lambda: xr.open_dataset(spec, engine="sweep"), 0),
        "one point": (
            "one point",
            lambda: variable.isel({name: int(rng.integers(0, length)) for name in AXES}).values,
            1,
        ),
        f"{many:.0e} scattered points": (
            "scattered points",
            lambda: variable.isel(next(scattered)).values,
            many,
        ),
    }
    for fixed in AXES:
        contenders[f"slab of {side} x {side}, one {fixed}"] = ("slab", partial(slab, fixed), side * side)
    _agree(spec, variable)
    first = {}
    for name, (_, work, _) in contenders.items():
        began = time.perf_counter()
        work()
        first[name] = round(time.perf_counter() - began, 4)
    took = record.race({name: work for name, (_, work, _) in contenders.items()}, repeats=2 if quick else 21)
    for name, (kind, _, points) in contenders.items():
        facts = {"points": points} if points else {}
        target = {"at_most": LIMITS[kind], "met": took[name].median <= LIMITS[kind]}
        yield {**record.timed(case, name, took[name], first_seconds=first[name], **facts), **target}


def _agree(spec: sweep.SweepSpec, variable: xr.DataArray) -> None:
    """Stop unless scattered values have the bits of a run over their own coordinates."""
    index = {name: np.unique(np.random.default_rng(1).integers(0, n, 12)) for name, n in variable.sizes.items()}
    axes = {name: sweep.Axis(values=spec.axes[name].coordinates()[i]) for name, i in index.items()}
    expected = sweep.run(spec.model_copy(update={"axes": axes})).relative_loss
    if not np.array_equal(variable.isel(index), expected):
        raise ValueError("lazy values differ from those of a run")


if __name__ == "__main__":
    record.main("lazy", measure, __doc__)
