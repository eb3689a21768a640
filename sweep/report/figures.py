"""Dataset to figure: curves, a fan of quantiles or a heat map of one output, and a figure to a file."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from sweep.config.kinds import QUANTILE
from sweep.errors import SpecError
from sweep.report.canvas import (
    ACROSS,
    NORMAL,
    SMALL,
    UP,
    add_legend,
    drawing,
    load_matplotlib,
    page,
    set_axis,
    settle,
    wrapped,
)
from sweep.report.slices import is_log, label, numbers, quantities, take

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

FEWEST_CONTOURED = 8  # values along an axis of a map: between fewer, the lines are an invention
BARS = ("purchase",)  # dimensions along which values are amounts of their own, and nothing is between them
DARK = 0.18  # luminance at which black and white stand out equally
NO_DATE = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}


def plot(
    dataset: xr.Dataset,
    *,
    output: str | None = None,
    x: str | None = None,
    lines: str | None = None,
    y: str | None = None,
    at: Mapping[str, float] | None = None,
) -> "Figure":
    """Draw one output as curves or, when `y` is given, as a heat map; below it, what was computed and how.

    Parameters
    ----------
    dataset : xarray.Dataset
        From :func:`sweep.run` or opened lazily; only the values that are drawn are loaded.
    output : str, optional
        The variable to draw; by default the first output of the sweep.
    x, lines, y : str, optional
        Dimensions: of the horizontal axis, by default time if the output depends on it, else the longest; with one
        curve a value, at most eight, by default the longest left; or, instead, of the vertical axis of a heat map.
    at : mapping of str to float, optional
        Where other dimensions are held, at the nearest grid value; by default at the middle one.

    Returns
    -------
    matplotlib.figure.Figure
        Not known to pyplot; write it with :func:`save`.

    Raises
    ------
    SpecError
        A name the dataset does not have, dimensions that contradict each other, a slice without numbers.
    ImportError
        Without matplotlib.

    Warns
    -----
    UserWarning
        For letters that the font does not have.
    """
    load_matplotlib()
    drawn, notes = take(dataset, output=output, x=x, lines=lines, y=y, at=at)
    with drawing():
        figure = page(str(dataset.attrs.get("title", "")), notes)
        draw = _draw_curves if drawn.dims[0] != QUANTILE else _draw_fan
        (draw if y is None else _draw_map)(figure.add_subplot(), drawn)
        settle(figure)
    return figure


def plotter_of(kind: str) -> "Callable[..., Figure]":
    """Give what draws datasets of a kind; only those that :func:`plot` draws leave something to choose."""
    if kind == "sensitivity":
        from sweep.report.sensitivity_figure import plot_sensitivity

        return plot_sensitivity
    if kind == "discovery":
        from sweep.report.discovery_figure import plot_regions

        return plot_regions
    if kind == "frontier":
        from sweep.report.frontier_figure import plot_frontier

        return plot_frontier
    return plot


def check_path(path: str | os.PathLike[str]) -> None:
    """Refuse, before anything is computed, a path to which :func:`save` could not write.

    Raises
    ------
    SpecError
        For a suffix other than .png, .svg and .pdf, or a folder that does not exist.
    ImportError
        Without matplotlib.
    """
    load_matplotlib()
    path = Path(path)
    _kind(path)
    if not path.parent.is_dir():
        raise SpecError(f"{path}: the folder {path.parent} does not exist")


def save(figure: "Figure", path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG, SVG or PDF, by the suffix of the path: whole or not at all, the same bytes every time.

    Raises
    ------
    SpecError
        For another suffix, or a path that cannot be written.
    """
    path = Path(path)
    kind = _kind(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with drawing():
            figure.savefig(part, format=kind, dpi=160, metadata=NO_DATE[kind])
        part.replace(path)
    except OSError as error:
        raise SpecError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


def _kind(path: Path) -> str:
    kind = path.suffix.lower().removeprefix(".")
    if kind not in NO_DATE:
        raise SpecError(f'{path}: a figure is written as .png, .svg or .pdf, got "{path.suffix}"')
    return kind


def _draw_curves(axes: "Axes", drawn: xr.DataArray) -> None:
    """Draw one curve for each row, or bars, dark to light, and beside them a legend in the order in which they end."""
    from matplotlib import colormaps

    x = drawn[drawn.dims[-1]]
    rows = drawn[drawn.dims[0]] if drawn.ndim == 2 else None
    names = [None] if rows is None else quantities(rows.values, rows)
    colours = colormaps["viridis"]([0.3] if rows is None else np.linspace(0, 0.88, len(names)))
    values = np.atleast_2d(np.where(np.isfinite(drawn.values), drawn.values, np.nan))
    marker = "o" if x.size <= 12 else None
    apart = float(np.diff(x.values).min()) if x.size > 1 else 1.0
    wide = 0.8 * apart / len(names)
    for number, (row, name, colour) in enumerate(zip(values, names, colours, strict=True)):
        text = name if np.isfinite(row).any() else f"{name}: none"
        if x.name in BARS:
            axes.bar(x.values + (number + 0.5) * wide - 0.4 * apart, row, wide, color=colour, label=text)
        else:
            axes.plot(x.values, row, color=colour, marker=marker, markersize=4, clip_on=False, label=text)
    axes.grid(True, color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    set_axis(axes, "x", x, ACROSS)
    set_axis(axes, "y", drawn, UP)
    if x.name in BARS:
        axes.set_axisbelow(True)
        axes.set_xlim(x.values.min() - 0.5 * apart, x.values.max() + 0.5 * apart)
    if rows is None:
        return
    add_legend(axes, str(rows.attrs.get("long_name", rows.name)), -1 if values[-1, -1] > values[0, -1] else 1)


def _draw_fan(axes: "Axes", drawn: xr.DataArray) -> None:
    """Draw quantiles as bands between those that belong together, the darker the nearer the middle."""
    x, levels = drawn[drawn.dims[-1]], drawn[QUANTILE].values
    values = np.where(np.isfinite(drawn.values), drawn.values, np.nan)
    pairs = [(i, j) for i, j in zip(range(len(levels)), reversed(range(len(levels))), strict=True) if i < j]
    for (i, j), shade in zip(pairs, np.linspace(0.85, 0.6, max(len(pairs), 2)), strict=False):
        text = " to ".join(f"{100 * levels[k]:g} %" for k in (i, j))
        axes.fill_between(x.values, values[i], values[j], color=str(shade), linewidth=0, label=text)
    if len(levels) % 2:
        name = f"{100 * levels[len(levels) // 2]:g} %"
        axes.plot(x.values, values[len(levels) // 2], color="black", linewidth=1.2, label=name)
    axes.grid(True, color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    set_axis(axes, "x", x, ACROSS)
    set_axis(axes, "y", drawn, UP)
    add_legend(axes, "probability of less")


def _draw_map(axes: "Axes", drawn: xr.DataArray) -> None:
    """Draw a cell for each value, hatched where infinite and grey where NaN, and contours with their values."""
    from matplotlib.colors import LogNorm, Normalize

    y, x = (drawn[dim] for dim in drawn.dims)
    finite, edges = np.ma.masked_invalid(drawn.values), (_edges(x), _edges(y))
    norm = (LogNorm if is_log(drawn) else Normalize)(finite.min(), finite.max())
    axes.patch.set(facecolor="0.97", edgecolor="0.55", hatch="////")
    grey = np.ma.masked_array(np.ones(drawn.shape), ~np.isnan(drawn.values))
    axes.pcolormesh(*edges, grey, cmap="gray", vmin=0, vmax=1.2, rasterized=True)
    mesh = axes.pcolormesh(*edges, finite, cmap="viridis", norm=norm, rasterized=True)
    set_axis(axes, "x", x, ACROSS)
    set_axis(axes, "y", y, UP)
    bar = axes.figure.colorbar(mesh, ax=axes, pad=0.02, aspect=25)
    bar.set_label(wrapped(axes.figure, label(drawn), UP, NORMAL), parse_math=False)
    bar.outline.set_visible(False)
    if min(drawn.shape) >= FEWEST_CONTOURED:
        _add_contours(axes, drawn, norm)


def _add_contours(axes: "Axes", drawn: xr.DataArray, norm: "Normalize") -> None:
    """Draw contours at round numbers; drop labels that would cover one another or the frame."""
    from matplotlib import colormaps
    from matplotlib.patheffects import withStroke
    from matplotlib.ticker import LogLocator, MaxNLocator
    from matplotlib.transforms import Bbox

    (y, x), decades = (drawn[dim].values for dim in drawn.dims), is_log(drawn)
    field = np.ma.masked_invalid(drawn.values)
    low, high = float(field.min()), float(field.max())
    locator = LogLocator(numticks=9) if decades else MaxNLocator(8, steps=[1, 2, 2.5, 5, 10])
    levels = [level for level in locator.tick_values(low, high) if low < level < high]
    if not levels:
        return
    # Between grid points the logarithm of an output over decades is the straighter one.
    field, heights = (np.log(field), np.log(levels)) if decades else (field, levels)
    behind = [colormaps["viridis"](float(norm(level))) for level in levels]
    colours = ["white" if _luminance(colour) < DARK else "black" for colour in behind]
    contours = axes.contour(x, y, field, levels=heights, colors=colours, linewidths=0.8)
    axes.figure.get_figure(root=True).draw_without_rendering()
    frame = axes.get_window_extent()
    placed: list[Bbox] = []
    names = dict(zip(contours.levels, numbers(levels), strict=True))
    halos = dict(zip(numbers(levels), behind, strict=True))
    for text in axes.clabel(contours, fmt=names, fontsize=SMALL):
        # Where the map is steep a label reaches beyond the colour of its level.
        text.set_path_effects([withStroke(linewidth=2, foreground=halos[text.get_text()])])
        box = text.get_window_extent()
        inside = Bbox.intersection(box, frame)
        if inside is None or inside.bounds != box.bounds or box.count_overlaps(placed):
            text.set_visible(False)
        else:
            placed.append(box)


def _luminance(colour: tuple[float, ...]) -> float:
    """Relative luminance of a colour (WCAG 2.1)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    return float(np.dot((0.2126, 0.7152, 0.0722), linear))


def _edges(coordinate: xr.DataArray) -> np.ndarray:
    """Borders of the cells around grid values, halfway on the scale of the axis."""
    points = np.log(coordinate.values) if is_log(coordinate) else coordinate.values
    middle = (points[:-1] + points[1:]) / 2
    edges = np.concatenate([2 * points[:1] - middle[:1], middle, 2 * points[-1:] - middle[-1:]])
    return np.exp(edges) if is_log(coordinate) else edges
