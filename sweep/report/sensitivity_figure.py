"""Sensitivity to figure: bars with intervals, a tornado, or indices over an axis, one panel for each output."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from sweep.errors import SpecError
from sweep.questions.sensitivity.estimates import PARAMETER
from sweep.report.canvas import ACROSS, HEIGHT, add_legend, drawing, load_matplotlib, page, set_axis, settle
from sweep.report.slices import fixed_note, label, origin, quantities
from sweep.results.metadata import refuse_other_kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_OUTPUTS, MOST_BARS = 3, 12
PANEL = 3.0  # inches of height of one of several
# What is drawn, by method: variables, what to call them, and the label of their axis; "" for that of the output.
DRAWN = {
    "sobol": ((("first_order", "alone"), ("total", "with others")), "share of the variance (1)"),
    "shapley": ((("shapley", "Shapley effect"),), "share of the variance (1)"),
    "morris": ((("mu_star", "mean absolute effect"),), ""),
    "elasticity": ((("elasticity", "elasticity"),), "relative change by relative change of a parameter (1)"),
    "tornado": ((("at_low", "low"), ("at_high", "high")), ""),
}


def plot_sensitivity(dataset: xr.Dataset) -> "Figure":
    """Draw what drives the outputs: along an axis that they depend on, or as bars where there is none.

    With several axes the longest is drawn and the others are held at their middle value; a tornado is drawn at the
    middle of all. There is a panel for each of at most three outputs.

    Parameters
    ----------
    dataset : xarray.Dataset
        From :func:`sweep.sensitivity`.

    Returns
    -------
    matplotlib.figure.Figure
        Not known to pyplot; write it with :func:`sweep.report.figures.save`.

    Raises
    ------
    SpecError
        Where the dataset is of something else, or has no finite numbers.
    ImportError
        Without matplotlib.

    Warns
    -----
    UserWarning
        For letters that the font does not have.
    """
    load_matplotlib()
    refuse_other_kind(dataset, "sensitivity")
    method, outputs = dataset.attrs["sensitivity"], dataset.attrs["outputs"].split(", ")
    names, notes = outputs[:MOST_OUTPUTS], []
    if len(outputs) > len(names):
        notes.append(f"Left out: {', '.join(outputs[MOST_OUTPUTS:])}")
    taken = [_take(dataset, name, method) for name in names]
    if not any(
        np.isfinite(one[f"{n}_{DRAWN[method][0][0][0]}"]).any() for (one, _), n in zip(taken, names, strict=True)
    ):
        raise SpecError("no index is finite: nothing to draw")
    notes += dict.fromkeys(note for _, note in taken if note)
    with drawing():
        height = HEIGHT if len(names) == 1 else PANEL * len(names)
        figure = page(str(dataset.attrs["title"]), [*notes, *_origin(dataset)], height)
        panels = figure.subplots(len(names), 1, squeeze=False)[:, 0]
        for axes, name, (cell, _) in zip(panels, names, taken, strict=True):
            _draw(axes, cell, name, method, legend=axes is panels[0])
        settle(figure)
    return figure


def _take(dataset: xr.Dataset, output: str, method: str) -> tuple[xr.Dataset, str]:
    """Hold the axes of an output that are not drawn, and say where."""
    dims = [str(dim) for dim in dataset[f"{output}_{DRAWN[method][0][0][0]}"].dims if dim != PARAMETER]
    along = [max(dims, key=lambda dim: dataset.sizes[dim])] if dims and method != "tornado" else []
    middle = {dim: dataset.sizes[dim] // 2 for dim in dims if dim not in along}
    parts = [f"{dim} = {quantities([float(dataset[dim][place])], dataset[dim])[0]}" for dim, place in middle.items()]
    return dataset.isel(middle), f"Held: {', '.join(parts)}" if parts else ""


def _draw(axes: "Axes", cell: xr.Dataset, output: str, method: str, *, legend: bool) -> None:
    columns, text = DRAWN[method]
    first = cell[f"{output}_{columns[0][0]}"]
    text = text or (f"{output} ({first.attrs['units']})" if method == "tornado" else label(first))
    along = [str(dim) for dim in first.dims if dim != PARAMETER]
    strength = cell[f"{output}_{columns[-1][0]}"].values
    if method == "tornado":
        strength = cell[f"{output}_at_high"].values - cell[f"{output}_at_low"].values
    peak = np.nan_to_num(np.abs(strength.reshape(len(strength), -1)), posinf=0.0).max(axis=1)
    order = np.argsort(-peak, kind="stable")[:MOST_BARS]
    axes.set_title(output, fontsize="medium", parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    if along:
        _draw_lines(axes, cell, output, columns[-1][0], cell[along[0]])
        axes.set_ylabel(_broken(text, PANEL - 1.0), parse_math=False)
        set_axis(axes, "x", cell[along[0]], ACROSS)
        if legend:
            add_legend(axes, "parameter")
        return
    (_draw_tornado if method == "tornado" else _draw_bars)(axes, cell, output, columns, order)
    axes.set_xlabel(_broken(text, ACROSS), parse_math=False)
    axes.set_yticks(range(len(order)), [str(cell[PARAMETER].values[i]) for i in order], parse_math=False)
    axes.invert_yaxis()
    axes.grid(True, axis="x", color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    if legend and len(columns) > 1:
        add_legend(axes, "")


def _broken(text: str, inches: float) -> str:
    from textwrap import fill

    return fill(text, int(inches * 14))


def _draw_lines(axes: "Axes", cell: xr.Dataset, output: str, column: str, x: xr.DataArray) -> None:
    """Draw a line for each parameter, in its interval; the same colours in every panel."""
    from matplotlib import colormaps

    names = [str(name) for name in cell[PARAMETER].values]
    marker = "o" if x.size <= 12 else None
    name = f"{output}_{column}"
    for i, colour in enumerate(colormaps["viridis"](np.linspace(0, 0.88, len(names)))):
        # What has no effect here may have one in another panel, to which the legend belongs too.
        idle = not np.nan_to_num(cell[name].values[i]).any()
        places = x.values[:0] if idle else x.values
        values = cell[name].values[i][: len(places)]
        # A line without points has no place in the layout, unless it is clipped.
        axes.plot(places, values, marker=marker, markersize=3, color=colour, label=names[i], clip_on=idle)
        if f"{name}_low" in cell and not idle:
            low, high = (cell[f"{name}_{end}"].values[i] for end in ("low", "high"))
            axes.fill_between(places, low, high, color=colour, alpha=0.25, linewidth=0)
    axes.grid(True, color="0.9", linewidth=0.6)


def _draw_bars(
    axes: "Axes", cell: xr.Dataset, output: str, columns: tuple[tuple[str, str], ...], order: np.ndarray
) -> None:
    """Draw a bar for each quantity of each parameter, with its interval."""
    from matplotlib import colormaps

    height = 0.8 / len(columns)
    for k, (column, text) in enumerate(columns):
        name = f"{output}_{column}"
        values = cell[name].values[order]
        interval = None
        if f"{name}_low" in cell:
            low, high = (cell[f"{name}_{end}"].values[order] for end in ("low", "high"))
            interval = np.stack([values - low, high - values])
        where = np.arange(len(order)) + (k - (len(columns) - 1) / 2.0) * height
        colour, whiskers = colormaps["viridis"]((0.75, 0.3)[k]), {"elinewidth": 1.0, "capsize": 2.0}
        axes.barh(where, values, height, xerr=interval, label=text, color=colour, error_kw=whiskers)
    axes.axvline(0.0, color="0.3", linewidth=0.8)


def _draw_tornado(
    axes: "Axes", cell: xr.Dataset, output: str, columns: tuple[tuple[str, str], ...], order: np.ndarray
) -> None:
    """Draw a bar from the middle to either end."""
    from matplotlib import colormaps

    middle = float(cell[f"{output}_at_median"])
    for k, (column, text) in enumerate(columns):
        ends = cell[f"{output}_{column}"].values[order]
        colour = colormaps["viridis"]((0.3, 0.75)[k])
        axes.barh(np.arange(len(order)), ends - middle, 0.7, left=middle, color=colour, label=f"parameter {text}")
    axes.axvline(middle, color="0.3", linewidth=0.8)


def _origin(dataset: xr.Dataset) -> list[str]:
    """Say what was computed, and from what."""
    attributes = dataset.attrs
    notes = [f"Method: {attributes['method']}"]
    if "confidence" in attributes:
        notes[0] += f"; {100 * attributes['confidence']:g} % intervals"
    notes += fixed_note(dataset, xr.DataArray(0, attrs={"outputs": attributes["outputs"]}))
    return notes + origin(dataset)
