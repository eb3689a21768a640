"""Results of sensitivity in words: lines of text for a terminal, which the caller prints."""

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from kernels.sensitivity.indices import STATUS
from sweep.questions.sensitivity.estimates import PARAMETER
from sweep.results.metadata import named_reference

if TYPE_CHECKING:
    import xarray as xr

SHOWN = 3  # cells of the axes, from the first to the last
# The quantities of a table, by method; the first decides the order of the rows.
COLUMNS = {
    "sobol": ("total", "first_order"),
    "shapley": ("shapley",),
    "morris": ("mu_star", "mu", "sigma"),
    "elasticity": ("elasticity",),
    "tornado": ("at_high", "at_low"),
}


def describe_sensitivity(dataset: "xr.Dataset") -> Iterator[str]:
    """What drives each output, the strongest parameter first, at a few points of the axes.

    Parameters
    ----------
    dataset : xarray.Dataset
        From :func:`sweep.sensitivity`.
    """
    method = dataset.attrs["sensitivity"]
    yield dataset.attrs["method"]
    yield from named_reference(dataset)
    for output in dataset.attrs["outputs"].split(", "):
        lead = dataset[f"{output}_{COLUMNS[method][0]}"]
        dims = [str(dim) for dim in lead.dims if dim != PARAMETER]
        points = list(itertools.product(*(range(dataset.sizes[dim]) for dim in dims)))
        chosen = np.unique(np.linspace(0, len(points) - 1, min(SHOWN, len(points))).round().astype(int))
        for point in (points[k] for k in chosen):
            cell = dataset.isel(dict(zip(dims, point, strict=True)))
            yield from ("", _heading(cell, output, dims), *_rows(cell, output, method))
        if len(points) > len(chosen):
            yield f"  ({len(chosen)} of {len(points):,} points of {', '.join(dims)}; --netcdf keeps all)"
    if "replicates" in dataset.attrs:
        found = dataset.attrs
        yield ""
        yield f"{found['evaluations']:,} evaluations of the model at each point of the axes: {found['draws']}"
        yield f"in brackets: {100 * found['confidence']:g} % intervals, by Student's t over the replicates"


def _heading(cell: "xr.Dataset", output: str, dims: Sequence[str]) -> str:
    at = ", ".join(f"{dim} = {float(cell[dim]):.6g} {cell[dim].attrs.get('units', '')}".rstrip() for dim in dims)
    return f"{output}{' at ' if at else ''}{at}"


def _rows(cell: "xr.Dataset", output: str, method: str) -> Iterator[str]:
    """Lines of one table, and what is known of the whole output."""
    status = f"{output}_status"
    if status in cell and int(cell[status]):
        yield f"  no numbers: the output is {STATUS[int(cell[status])].replace('_', ' ')}"
        return
    columns = [name for name in COLUMNS[method] if f"{output}_{name}" in cell]
    strength = np.abs(cell[f"{output}_{columns[0]}"].values)
    if method == "tornado":
        strength = np.abs(cell[f"{output}_at_high"].values - cell[f"{output}_at_low"].values)
    names = [str(name) for name in cell[PARAMETER].values]
    rows = [("parameter", *(name.replace("_", " ") for name in columns))]
    for i in np.argsort(-np.nan_to_num(strength), kind="stable"):
        if strength[i] != 0.0:
            rows.append((names[i], *(_value(cell, f"{output}_{name}", i) for name in columns)))
    yield from _columns(rows)
    if idle := [name for name, size in zip(names, strength, strict=True) if size == 0.0]:
        yield f"  without effect: {', '.join(idle)}"
    pairs = f"{output}_second_order"
    if pairs in cell:
        found = list(itertools.combinations(np.flatnonzero(strength), 2))
        found.sort(key=lambda pair: -abs(float(cell[pairs].values[pair])))
        yield from _columns(
            [("pair", "second order"), *((f"{names[i]} and {names[j]}", _value(cell, pairs, (i, j))) for i, j in found)]
        )
    for name in ("mean", "variance", "at_median"):
        if f"{output}_{name}" in cell:
            unit = cell[f"{output}_{name}"].attrs["units"]
            text = f"{name.replace('_', ' ')} {_value(cell, f'{output}_{name}', ())}"
            yield f"  {text}{'' if unit == '1' else f' {unit}'}"


def _value(cell: "xr.Dataset", name: str, place: int | tuple[int, ...]) -> str:
    """Write a number with as many digits as its interval leaves standing, and the interval."""
    value = float(cell[name].values[place])
    if f"{name}_low" not in cell:
        return f"{value:.6g}"
    low, high = (float(cell[f"{name}_{end}"].values[place]) for end in ("low", "high"))
    digits = 6
    if np.isfinite(high - low) and high > low:
        digits = int(np.clip(np.ceil(np.log10(max(abs(low), abs(high)) / (high - low))) + 2, 2, 10))
    return f"{_short(value, digits)} ({_short(low, digits)} to {_short(high, digits)})"


def _short(value: float, digits: int) -> str:
    text = f"{value:.{digits}g}"
    return "0" if float(text) == 0.0 else text


def _columns(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Lay out columns, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
