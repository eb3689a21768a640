"""Results in memory, and answers to targets, in words: lines of text for a terminal, which the caller prints."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from sweep.models.model import Model
from sweep.report.layout import facts, shape, table, unit_text
from sweep.report.slices import numbers

if TYPE_CHECKING:
    import xarray as xr

    from sweep.report.answers import Answers, Law

# Words for a target that is out of reach, and for one that is reached without compute.
TARGET_WORDS = {
    "time_to_target": ("never", "at once"),
    "fleet_for_target": ("by no fleet", "none needed"),
    "rate_for_target": ("at no rate", "at any rate"),
}
SINGLE, DOUBLE = 6, 8  # digits: kernels are within 4 ulp, 5e-7 in float32; in float64 more would only be read past
BELOW_ONE = (
    "a part of one accelerator would do by the equation, in which what runs gains all progress for nothing: buy one"
)


def describe_result(dataset: "xr.Dataset") -> Iterator[str]:
    """Name, dimensions, range and unit of each variable in memory, and where the ends of the range are.

    The ends are in their order along the axes, not by size, so that a fleet that falls with the date reads as one.
    """
    rows = []
    for name in map(str, (*dataset.coords, *dataset.data_vars)):
        variable = dataset[name]
        sides, unit = shape(map(str, variable.dims), variable.shape), unit_text(variable.attrs["units"])
        ends, places, note = extremes(dataset, name)
        digits = digits_of(dataset, name)
        texts = " to ".join(f"{end:.{digits}g}{_below(dataset, name, end)}" for end in ends)
        rows.append((name, sides, texts + note, unit, f"at {' to '.join(places)}" if places else ""))
    yield from table(rows)


def digits_of(dataset: "xr.Dataset", name: str) -> int:
    """Digits of a variable that its error leaves standing: of rounding, and of sampling where that is known."""
    values = dataset[name].values
    digits = SINGLE if values.dtype == np.float32 else DOUBLE
    if f"{name}_standard_error" in dataset:
        errors = dataset[f"{name}_standard_error"].values
        with np.errstate(divide="ignore", invalid="ignore"):
            least = float(np.nanmin(np.where(errors > 0.0, errors / np.abs(values), np.nan), initial=np.inf))
        if math.isfinite(least) and least > 0.0:
            digits = min(digits, max(2, math.ceil(-math.log10(least)) + 1))
    return digits


def extremes(dataset: "xr.Dataset", name: str) -> tuple[list[float], list[str], str]:
    """What a variable ranges over, in words where it has no number.

    Returns
    -------
    ends : list of float
        The two ends in their order along the axes, not by size, or the one value that there is.
    places : list of str
        Where they are; empty for a coordinate and for one value.
    note : str
        How many values are out of reach or undefined, in brackets, or "".
    """
    variable = dataset[name]
    values = variable.values.ravel()
    undefined = int(np.isnan(values).sum())
    endless = int(np.isposinf(values).sum()) if name in TARGET_WORDS else 0
    notes = [f"{endless:,} of {values.size:,} {TARGET_WORDS[name][0]}"] if endless else []
    notes += [f"{undefined:,} of {values.size:,} undefined"] if undefined else []
    note = f" ({', '.join(notes)})" if notes else ""
    if undefined + endless == values.size:
        return [math.inf if endless else math.nan], [], note
    # Without an array of positions, which would take more memory than the values.
    low, high = np.fmin.reduce(values), np.fmax.reduce(values)
    if endless:
        high = np.max(values, where=np.isfinite(values), initial=low)
    ends = sorted({int(np.argmax(values == end)) for end in (low, high)})
    is_placed = len(ends) == 2 and name not in dataset.coords
    places = [_place(dataset, variable, end) for end in ends] if is_placed else []
    return [float(values[end]) for end in ends], places, note


def _below(dataset: "xr.Dataset", name: str, value: float) -> str:
    """Say that a fleet in a result is less than one accelerator."""
    is_fleet = dataset[name].attrs["units"] == "accelerators" and name not in dataset.coords
    return " (less than one accelerator)" if is_fleet and 0.0 < value < 1.0 else ""


def _place(dataset: "xr.Dataset", variable: "xr.DataArray", position: int) -> str:
    """Name the coordinates of a flat position of a variable."""
    index = np.unravel_index(position, variable.shape)
    values = ((dim, float(dataset[dim][i])) for dim, i in zip(variable.dims, index, strict=True))
    return ", ".join(f"{dim} {numbers([value], 6)[0]}" for dim, value in values)


def describe_answers(laws: "Sequence[Law]", answers: "Sequence[Answers]", model: Model) -> Iterator[str]:
    """Answers to targets along each axis, under the law of the sweep and beside it under the other published ones.

    Parameters
    ----------
    laws, answers : sequences
        From :func:`sweep.report.answers.answers`.
    model : Model
        Of the sweep.
    """
    for one in answers:
        places = (f"{n} = {value:.4g} {unit_text(model.parameter(n).unit)}".rstrip() for n, value in one.at.items())
        where = ", ".join(places)
        yield from ("", f"{one.output} along {one.axis}" + (f", at {where}" if where else "") + ":")
        head = (one.axis, f'loss = "{laws[0].loss}", as asked', *map(_heading, laws[1:]))
        columns = zip(one.columns, one.reasons, strict=True)
        cells = [[_answer(one.output, *cell) for cell in zip(*column, strict=True)] for column in columns]
        yield from table([head, *zip((f"{value:.4g}" for value in one.values), *cells, strict=True)])
    if answers:
        yield ""
        lines = [("below one", BELOW_ONE)] if any(map(_is_below_one, answers)) else []
        for i, law in enumerate(laws):
            numbers = f"scaling_exponent {law.scaling_exponent:.4g}, irreducible_share {law.irreducible_share:.5g}"
            text = f'loss = "{law.loss}", {numbers}'
            lines.append(("beside" if i else "as asked", text + (f" ({law.source})" if law.source else "")))
        if laws[0].loss == "excess" and not laws[0].irreducible_share:
            lines.append(("target", "a share of the excess loss as asked, of the whole loss beside it"))
        yield from facts(lines)


def _heading(law: "Law") -> str:
    return f'loss = "{law.loss}"' + (f", floor {law.irreducible_share:g}" if law.irreducible_share else ", no floor")


def _is_below_one(one: "Answers") -> bool:
    parts = [(column > 0.0) & (column < 1.0) for column in one.columns]
    return one.output == "fleet_for_target" and bool(np.any(parts))


def _answer(name: str, value: float, reason: str) -> str:
    """One answer to a target in words."""
    never, met = TARGET_WORDS[name]
    if math.isnan(value):
        return "undefined"
    if math.isinf(value) and value > 0.0:
        return f"{never} ({reason})"
    if value == (-math.inf if name == "rate_for_target" else 0.0):
        return met
    if name == "fleet_for_target":
        return "less than one accelerator" if value < 1.0 else f"{value:,.0f}" if value < 1e6 else f"{value:.4g}"
    return f"{value:.4g} {'years' if name == 'time_to_target' else 'a year'}"
