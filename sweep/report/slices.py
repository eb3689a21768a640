"""The slice of a dataset that a figure shows, and the words that say so: no drawing here."""

import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr

from sweep.config.distribution import REPLICATE
from sweep.config.kinds import QUANTILE
from sweep.errors import SpecError, unknown
from sweep.models.registry import MODELS
from sweep.results.metadata import kind_of
from sweep.results.replicates import pooled

MOST_LINES, MOST_POINTS, MOST_CELLS = 8, 2000, 400  # drawn along an axis: more than a reader or a screen resolves
LOG_AXIS_RATIO, LOG_OUTPUT_RATIO = 100.0, 1000.0
ORIGIN = {"reference": "Reference", "distributions": "Uncertain", "draws": "Draws"}
ORIGIN |= {"equation": "Equation", "references": "Source", "loss": "Loss convention", "assumptions": "Assumptions"}
ORIGIN |= {"caveats": "Caveats", "fingerprint": "Sweep"}


def take(
    dataset: xr.Dataset,
    *,
    output: str | None = None,
    x: str | None = None,
    lines: str | None = None,
    y: str | None = None,
    at: Mapping[str, float] | None = None,
) -> tuple[xr.DataArray, list[str]]:
    """Load the values to draw and no others, and say what they are.

    Parameters
    ----------
    dataset, output, x, lines, y, at
        As :func:`sweep.report.figures.plot` takes them.

    Returns
    -------
    values : xarray.DataArray
        Float64, loaded, with the dimensions (lines or y, x), or (x,) where no other is left.
    notes : list of str
        Lines of a caption: what is held and left out, what values without a number mean, where the numbers come from.

    Raises
    ------
    SpecError
        A name the dataset does not have, dimensions that contradict each other, a slice without numbers.
    """
    if REPLICATE in dataset.dims and kind_of(dataset) == "statistics":
        dataset = pooled(dataset)
    variable = _variable(dataset, output)
    at = dict(at or {})
    x, rows = _choose(variable, x, lines, y, at)
    most = {x: MOST_POINTS, rows: MOST_LINES} if y is None else {x: MOST_CELLS, rows: MOST_CELLS}
    drawn, notes = _select(variable, most, at)
    notes += _gaps(drawn, bool(dataset.attrs.get("complete")), "; ".join(notes), hatched=y is not None)
    if "reduced" in variable.attrs:
        notes.append(f"Over: {variable.attrs['reduced']}")
    if f"{variable.name}_standard_error" in dataset:
        error = float(dataset[f"{variable.name}_standard_error"].max())
        notes.append(f"Sampling error: at most {error:.2g} (standard error, {dataset.attrs['replicates']} replicates)")
    notes += fixed_note(dataset, variable)
    notes += origin(dataset)
    return drawn, notes


def origin(dataset: xr.Dataset) -> list[str]:
    """Say where the numbers of a dataset come from."""
    return [f"{word}: {dataset.attrs[k]}" for k, word in ORIGIN.items() if dataset.attrs.get(k) not in (None, "none")]


def is_log(variable: xr.DataArray) -> bool:
    """Whether the values, of a coordinate or an output, want a logarithmic axis."""
    values = variable.values[np.isfinite(variable.values)]
    spacing = variable.attrs.get("spacing", "output")
    ratio = {"log": 1.0, "listed": LOG_AXIS_RATIO, "output": LOG_OUTPUT_RATIO}.get(spacing, np.inf)
    return bool(values.min() > 0 and values.max() / ratio >= values.min())


def linear_part(variable: xr.DataArray) -> float | None:
    """Half width of the linear part of a symmetric logarithmic axis, for values of both signs over decades."""
    values = variable.values[np.isfinite(variable.values)]
    if not values.min(initial=0.0) < 0 < values.max(initial=0.0):
        return None
    # A quarter of the values must be small: one that happens to lie near zero makes no decades.
    sizes = np.abs(values[values != 0])
    most, small = sizes.max(), np.quantile(sizes, 0.25)
    return float(max(small, most / 1e9)) if most / LOG_OUTPUT_RATIO > small else None


@contextlib.contextmanager
def readable(what: str) -> Iterator[None]:
    """Turn what the libraries say of values that are damaged on disk into one line."""
    try:
        yield
    except (OSError, ValueError, RuntimeError, TypeError, EOFError) as error:
        if isinstance(error, SpecError) or type(error).__module__.startswith("sweep."):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise SpecError(f"{what}: cannot be read: {reason}; the command that wrote this store repairs it") from None


def label(variable: xr.DataArray) -> str:
    """Long name and unit of a variable, for its axis."""
    text = f"{variable.attrs.get('long_name', variable.name)} ({unit_in_words(variable.attrs.get('units'))})"
    return text.removesuffix(" ()")


def quantities(values: Iterable[float], variable: xr.DataArray) -> list[str]:
    """Write numbers with the unit of a variable, as :func:`numbers` does."""
    return [f"{text} {unit_in_words(variable.attrs.get('units'))}".rstrip() for text in numbers(values)]


def numbers(values: Iterable[float], digits: int = 4) -> list[str]:
    """Write numbers as briefly as keeps them apart, with that many digits or more."""
    values = [float(value) for value in values]
    whole = [abs(v) < 1e8 and float(f"{v:.{digits}g}").is_integer() for v in values]
    texts = [f"{v:,.0f}" if w else _brief(f"{v:.{digits}g}") for v, w in zip(values, whole, strict=True)]
    return texts if len(set(texts)) == len(set(values)) or digits == 17 else numbers(values, digits + 1)


def _brief(text: str) -> str:
    """Write 1e+08 as 1e8, as scripts of pages do."""
    return re.sub(r"e\+0*", "e", text)


def _variable(dataset: xr.Dataset, output: str | None) -> xr.DataArray:
    """Find the output to draw, unloaded."""
    numeric = [str(name) for name, variable in dataset.data_vars.items() if variable.dtype.kind in "fiub"]
    spec = json.loads(dataset.attrs.get("spec", "{}"))
    keys = [*spec.get("outputs", []), *spec.get("statistics", {})]
    listed = [name for key in keys for name in numeric if name == key or name.startswith(f"{key}_")]
    names = list(dict.fromkeys(listed + numeric))
    if output not in names and (output is not None or not names):
        raise SpecError(unknown("output", output, names) if output else "the dataset holds no output to draw")
    drawable = [name for name in names if dataset[name].dims] or names
    variable = dataset[output or drawable[0]]
    if not variable.dims:
        value = quantities([float(variable)], variable)[0]
        raise SpecError(f"{variable.name} is one number in this sweep, {value}: no axis changes it")
    return variable


def _choose(
    variable: xr.DataArray, x: str | None, lines: str | None, y: str | None, at: dict[str, float]
) -> tuple[str, str | None]:
    """Choose the dimension along x and the one of the curves or of the vertical axis."""
    if lines is not None and y is not None:
        raise SpecError(f"give lines ({lines}) or the y of a map ({y}), not both")
    used: dict[str, str] = {}
    for role, dim in (("x", x), ("lines", lines), ("y", y), *(("at", dim) for dim in at)):
        if dim is None:
            continue
        if dim not in variable.dims:
            raise SpecError(f"{role}: {unknown(f'dimension of {variable.name}', dim, map(str, variable.dims))}")
        if dim in used:
            raise SpecError(
                f"{dim} cannot be both {used[dim]} and {role}; the choice is {', '.join(map(str, variable.dims))}"
            )
        used[dim] = role
    free = sorted((str(dim) for dim in variable.dims if dim not in used), key=lambda dim: -variable.sizes[dim])
    if x is None:
        if not free:
            raise SpecError(f"x: every dimension of {variable.name} is taken: {', '.join(used)}; leave one for x")
        x = free.pop(free.index("time") if "time" in free else 0)
    for dim in (x, y):
        if y is not None and variable.sizes[dim] < 2:
            raise SpecError(f"y: a map needs two values or more along each axis, {dim} has one; draw lines")
    return x, lines or y or (QUANTILE if QUANTILE in free else free[0] if free else None)


def _select(
    variable: xr.DataArray, most: dict[str | None, int], at: dict[str, float]
) -> tuple[xr.DataArray, list[str]]:
    """Load the values that are drawn and no others; return them, dims (rows, x), and which those are in words."""
    indices: dict[str, Any] = {}
    kept, thinned = [], []
    for dim in (str(dim) for dim in variable.dims):
        coordinate, size = variable[dim], variable.sizes[dim]
        if coordinate.dtype.kind not in "fiu":
            raise SpecError(f"{dim}: its values are not numbers; {variable.name} cannot be drawn over it")
        if dim not in most:
            index = _nearest(coordinate, at[dim]) if dim in at else (size - 1) // 2
            used = float(coordinate[index])
            which = f"{'middle' if dim not in at else 'one' if at[dim] == used else 'nearest'} of {size:,} values"
            which += f" to {at[dim]:.10g}" if at.get(dim, used) != used else ""
            kept.append(f"{dim} = {quantities([used], coordinate)[0]} ({which})")
            indices[dim] = index
        elif size > most[dim]:
            thinned.append(f"{most[dim]:,} of {size:,} values of {dim}")
            indices[dim] = np.linspace(0, size - 1, most[dim]).round().astype(np.int64)
    order = [dim for dim in reversed(most) if dim is not None]
    with readable(str(variable.name)):
        drawn = variable.isel(indices).load().transpose(*order).astype(np.float64)
    notes = [f"{word}: {', '.join(texts)}" for word, texts in (("Held", kept), ("Drawn", thinned)) if texts]
    return drawn, notes


def _nearest(coordinate: xr.DataArray, value: float) -> int:
    values = coordinate.values
    slack = 1e-9 * np.abs(values).max()
    if not values.min() - slack <= value <= values.max() + slack:
        bounds = " to ".join(quantities([values.min(), values.max()], coordinate))
        raise SpecError(f"at: {coordinate.name} was swept from {bounds}, got {value:g}")
    return int(np.abs(values - value).argmin())


def _gaps(drawn: xr.DataArray, complete: bool, where: str, *, hatched: bool) -> list[str]:
    """Say what values without a number mean; refuse a slice in which there is no other."""
    undefined, infinite = np.isnan(drawn.values), np.isinf(drawn.values)
    unreachable = "infinite" + (", the target cannot be reached" if "target" in str(drawn.name) else "")
    missing = "undefined (NaN)" if complete else "not computed yet"
    where = f" ({where})" if where else ""
    if undefined.all() and not complete:
        raise SpecError(f"{drawn.name}: nothing computed yet{where}; run the sweep first")
    if (undefined | infinite).all():
        raise SpecError(f"{drawn.name}: no finite value to draw{where}: {missing if undefined.all() else unreachable}")
    words = ("Hatched", "Grey") if hatched else ("Left out", "Gaps")
    gaps = zip(words, (unreachable, missing), (infinite, undefined), strict=True)
    return [f"{word}: {why}; {mask.sum():,} of {mask.size:,} points" for word, why, mask in gaps if mask.any()]


def fixed_note(dataset: xr.Dataset, variable: xr.DataArray) -> list[str]:
    """List the fixed parameters that a variable depends on; all of them when its model is not a shipped one."""
    model = MODELS.get(str(dataset.attrs.get("model")))
    outputs = variable.attrs.get("outputs", str(variable.name)).split(", ")
    needs = {name for o in (model.outputs if model else ()) if o.name in outputs for name in o.parameters}
    units = json.loads(dataset.attrs.get("fixed_units", "{}"))
    fixed = json.loads(dataset.attrs.get("spec", "{}")).get("fixed", {})
    texts = [
        f"{name} = {value:.6g} {unit_in_words(units.get(name))}".rstrip()
        for name, value in fixed.items()
        if not needs or name in needs
    ]
    return [f"Fixed: {', '.join(texts)}"] if texts else []


def unit_in_words(units: str | None) -> str:
    """Write a unit as a reader says it, "per year" for "1/year", "" for that of a plain number."""
    return "" if units in (None, "1") else re.sub("^1/", "per ", units)
