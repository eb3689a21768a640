"""Dataset to figure: curves or a heat map of one output; the only module that imports matplotlib (extra ``plot``)."""

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from sweep.equations import MODELS
from sweep.spec import SpecError, unknown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

MOST_LINES, MOST_POINTS, MOST_CELLS = 8, 2000, 400  # drawn along an axis: more than a reader or a screen resolves
LOG_AXIS_RATIO, LOG_OUTPUT_RATIO = 100.0, 1000.0
WIDTH, HEIGHT, MARGIN = 7.5, 4.6, 0.12  # inches; title and caption add to the height
ACROSS, UP, BESIDE = 5.0, 3.4, 1.5  # inches for the labels of the axes and the legend
SMALL, NORMAL, LARGE = 7.0, 9.0, 10.5  # points
STYLE = {"font.family": "DejaVu Sans", "font.size": NORMAL, "hatch.linewidth": 0.5, "svg.hashsalt": "sweep"}
NO_DATE = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
ORIGIN = {"equation": "Equation", "references": "Source", "loss": "Loss convention", "assumptions": "Assumptions"}
ORIGIN |= {"caveats": "Caveats", "fingerprint": "Sweep"}


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
    """
    matplotlib = _matplotlib()
    variable = _variable(dataset, output)
    at = dict(at or {})
    x, rows = _choose(variable, x, lines, y, at)
    most = {x: MOST_POINTS, rows: MOST_LINES} if y is None else {x: MOST_CELLS, rows: MOST_CELLS}
    drawn, notes = _select(variable, most, at)
    notes += _gaps(drawn, bool(dataset.attrs.get("complete")), "; ".join(notes), hatched=y is not None)
    notes += _fixed(dataset, str(variable.name))
    notes += [f"{word}: {dataset.attrs[k]}" for k, word in ORIGIN.items() if dataset.attrs.get(k) not in (None, "none")]
    with matplotlib.rc_context(STYLE):
        axes = _page(str(dataset.attrs.get("title", "")), notes)
        (_draw_curves if y is None else _draw_map)(axes, drawn)
        axes.figure.draw_without_rendering()  # settles the layout, so that what is measured is what is printed
    return axes.figure


def save(figure: "Figure", path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG, SVG or PDF, by the suffix of the path: whole or not at all, the same bytes every time.

    Raises
    ------
    SpecError
        For another suffix, or a path that cannot be written.
    """
    matplotlib = _matplotlib()
    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    if kind not in NO_DATE:
        raise SpecError(f'{path}: a figure is written as .png, .svg or .pdf, got "{path.suffix}"')
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with matplotlib.rc_context(STYLE):
            figure.savefig(part, format=kind, dpi=160, metadata=NO_DATE[kind])
        part.replace(path)
    except OSError as error:
        raise SpecError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


def _matplotlib() -> Any:
    try:
        import matplotlib
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise ImportError('figures need matplotlib: pip install "relative-loss-sweep[plot]"', name=error.name) from None
    return matplotlib


def _variable(dataset: xr.Dataset, output: str | None) -> xr.DataArray:
    """Find the output to draw, unloaded."""
    numeric = [str(name) for name, variable in dataset.data_vars.items() if variable.dtype.kind in "fiub"]
    listed = [name for name in json.loads(dataset.attrs.get("spec", "{}")).get("outputs", []) if name in numeric]
    names = list(dict.fromkeys(listed + numeric))
    if output not in names and (output is not None or not names):
        raise SpecError(unknown("output", output, names) if output else "the dataset holds no output to draw")
    variable = dataset[output or names[0]]
    if not variable.dims:
        value = _quantities([float(variable)], variable)[0]
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
            raise SpecError(f"{dim} cannot be both {used[dim]} and {role}; the choice is {', '.join(variable.dims)}")
        used[dim] = role
    free = sorted((str(dim) for dim in variable.dims if dim not in used), key=lambda dim: -variable.sizes[dim])
    if x is None:
        if not free:
            raise SpecError(f"x: every dimension of {variable.name} is taken: {', '.join(used)}; leave one for x")
        x = free.pop(free.index("time") if "time" in free else 0)
    for dim in (x, y):
        if y is not None and variable.sizes[dim] < 2:
            raise SpecError(f"y: a map needs two values or more along each axis, {dim} has one; draw lines")
    return x, lines or y or (free[0] if free else None)


def _select(
    variable: xr.DataArray, most: dict[str | None, int], at: dict[str, float]
) -> tuple[xr.DataArray, list[str]]:
    """Load the values that are drawn and no others; return them, dims (rows, x), and which those are in words."""
    indices: dict[str, Any] = {}
    held, thinned = [], []
    for dim in (str(dim) for dim in variable.dims):
        coordinate, size = variable[dim], variable.sizes[dim]
        if coordinate.dtype.kind not in "fiu":
            raise SpecError(f"{dim}: its values are not numbers; {variable.name} cannot be drawn over it")
        if dim not in most:
            index = _nearest(coordinate, at[dim]) if dim in at else (size - 1) // 2
            used = float(coordinate[index])
            which = f"{'middle' if dim not in at else 'one' if at[dim] == used else 'nearest'} of {size:,} values"
            which += f" to {at[dim]:.10g}" if at.get(dim, used) != used else ""
            held.append(f"{dim} = {_quantities([used], coordinate)[0]} ({which})")
            indices[dim] = index
        elif size > most[dim]:
            thinned.append(f"{most[dim]:,} of {size:,} values of {dim}")
            indices[dim] = np.linspace(0, size - 1, most[dim]).round().astype(np.int64)
    order = [dim for dim in reversed(most) if dim is not None]
    drawn = variable.isel(indices).transpose(*order).astype(np.float64)
    notes = [f"{word}: {', '.join(texts)}" for word, texts in (("Held", held), ("Drawn", thinned)) if texts]
    return drawn.load(), notes


def _nearest(coordinate: xr.DataArray, value: float) -> int:
    values = coordinate.values
    slack = 1e-9 * np.abs(values).max()
    if not values.min() - slack <= value <= values.max() + slack:
        bounds = " to ".join(_quantities([values.min(), values.max()], coordinate))
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
    found = zip(words, (unreachable, missing), (infinite, undefined), strict=True)
    return [f"{word}: {why}; {mask.sum():,} of {mask.size:,} points" for word, why, mask in found if mask.any()]


def _fixed(dataset: xr.Dataset, output: str) -> list[str]:
    """List the fixed parameters that an output depends on; all of them when its model is not a shipped one."""
    model = MODELS.get(dataset.attrs.get("model"))
    needs = {name for o in (model.outputs if model else ()) if o.name == output for name in o.parameters}
    found = []
    for name, value in json.loads(dataset.attrs.get("spec", "{}")).get("fixed", {}).items():
        unit = re.search(rf"(?:^|; ){re.escape(name)} = \S+ (.*?)(?= \(|; |$)", dataset.attrs.get("fixed", ""))
        if not needs or name in needs:
            found.append(f"{name} = {value:.6g} {_unit(unit and unit[1])}".rstrip())
    return [f"Fixed: {', '.join(found)}"] if found else []


def _is_log(variable: xr.DataArray) -> bool:
    """Whether the values, of a coordinate or an output, want a logarithmic axis."""
    values = variable.values[np.isfinite(variable.values)]
    spacing = variable.attrs.get("spacing", "output")
    ratio = {"log": 1.0, "listed": LOG_AXIS_RATIO, "output": LOG_OUTPUT_RATIO}.get(spacing, np.inf)
    return bool(values.min() > 0 and values.max() / ratio >= values.min())


def _label(variable: xr.DataArray) -> str:
    return f"{variable.attrs.get('long_name', variable.name)} ({_unit(variable.attrs.get('units'))})".removesuffix(
        " ()"
    )


def _unit(units: str | None) -> str:
    return "" if units in (None, "1") else re.sub("^1/", "per ", units)


def _quantities(values: Iterable[float], variable: xr.DataArray) -> list[str]:
    return [f"{text} {_unit(variable.attrs.get('units'))}".rstrip() for text in _numbers(values)]


def _numbers(values: Iterable[float], digits: int = 4) -> list[str]:
    """Write numbers as briefly as keeps them apart, with that many digits or more."""
    values = [float(value) for value in values]
    whole = [abs(v) < 1e8 and float(f"{v:.{digits}g}").is_integer() for v in values]
    texts = [f"{v:,.0f}" if w else f"{v:.{digits}g}" for v, w in zip(values, whole, strict=True)]
    return texts if len(set(texts)) == len(set(values)) or digits == 17 else _numbers(values, digits + 1)


def _page(title: str, notes: list[str]) -> "Axes":
    """Make a figure with title and caption, as much taller as they need; return axes that fill the rest."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, HEIGHT), facecolor="white")
    FigureCanvasAgg(figure)
    inches = WIDTH - 2 * MARGIN
    left = {"x": MARGIN / WIDTH, "ha": "left", "parse_math": False}
    text = "\n".join(_wrap(figure, note, inches, SMALL) for note in notes)
    caption = figure.text(y=0, s=text, va="bottom", color="0.4", fontsize=SMALL, linespacing=1.35, **left)
    heading = figure.suptitle(_wrap(figure, title, inches, LARGE), fontsize=LARGE, **left)
    below = caption.get_window_extent().height / figure.dpi + 2 * MARGIN
    height = HEIGHT + below + heading.get_window_extent().height / figure.dpi
    figure.set_size_inches(WIDTH, height)
    caption.set_y(MARGIN / height)
    rest = (0, below / height, 1, 1 - below / height)
    figure.set_layout_engine("constrained", rect=rest, w_pad=MARGIN, h_pad=MARGIN / 1.5)
    return figure.add_subplot()


def _draw_curves(axes: "Axes", drawn: xr.DataArray) -> None:
    """Draw one curve for each row, dark to light, and beside them a legend in the order in which they end."""
    from matplotlib import colormaps

    x = drawn[drawn.dims[-1]]
    rows = drawn[drawn.dims[0]] if drawn.ndim == 2 else None
    names = [None] if rows is None else _quantities(rows.values, rows)
    colours = colormaps["viridis"]([0.3] if rows is None else np.linspace(0, 0.88, len(names)))
    values = np.atleast_2d(np.where(np.isfinite(drawn.values), drawn.values, np.nan))
    marker = "o" if x.size <= 12 else None
    for row, name, colour in zip(values, names, colours, strict=True):
        label = name if np.isfinite(row).any() else f"{name}: none"
        axes.plot(x.values, row, color=colour, marker=marker, markersize=4, clip_on=False, label=label)
    axes.grid(True, color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    _set_axis(axes, "x", x, ACROSS)
    _set_axis(axes, "y", drawn, UP)
    if rows is None:
        return
    handles, labels = axes.get_legend_handles_labels()
    upwards = -1 if values[-1, -1] > values[0, -1] else 1
    title = _wrap(axes.figure, str(rows.attrs.get("long_name", rows.name)), BESIDE, NORMAL)
    place = {"loc": "upper left", "bbox_to_anchor": (1, 1), "frameon": False, "alignment": "left"}
    legend = axes.legend(handles[::upwards], labels[::upwards], title=title, **place)
    for text in (legend.get_title(), *legend.get_texts()):
        text.set_parse_math(False)


def _draw_map(axes: "Axes", drawn: xr.DataArray) -> None:
    """Draw a cell for each value, hatched where infinite and grey where NaN, and contours with their values."""
    from matplotlib.colors import LogNorm, Normalize

    y, x = (drawn[dim] for dim in drawn.dims)
    finite, edges = np.ma.masked_invalid(drawn.values), (_edges(x), _edges(y))
    norm = (LogNorm if _is_log(drawn) else Normalize)(finite.min(), finite.max())
    axes.patch.set(facecolor="0.97", edgecolor="0.55", hatch="////")
    grey = np.ma.masked_array(np.ones(drawn.shape), ~np.isnan(drawn.values))
    axes.pcolormesh(*edges, grey, cmap="gray", vmin=0, vmax=1.2, rasterized=True)
    mesh = axes.pcolormesh(*edges, finite, cmap="viridis", norm=norm, rasterized=True)
    _set_axis(axes, "x", x, ACROSS)
    _set_axis(axes, "y", y, UP)
    bar = axes.figure.colorbar(mesh, ax=axes, pad=0.02, aspect=25)
    bar.set_label(_wrap(axes.figure, _label(drawn), UP, NORMAL), parse_math=False)
    bar.outline.set_visible(False)
    _add_contours(axes, drawn, norm)


def _add_contours(axes: "Axes", drawn: xr.DataArray, norm: "Normalize") -> None:
    """Draw contours at round numbers; drop labels that would cover one another or the frame."""
    from matplotlib.ticker import LogLocator, MaxNLocator
    from matplotlib.transforms import Bbox

    (y, x), is_log = (drawn[dim].values for dim in drawn.dims), _is_log(drawn)
    ticks = (LogLocator(numticks=9) if is_log else MaxNLocator(8, steps=[1, 2, 2.5, 5, 10])).tick_values(
        norm.vmin, norm.vmax
    )
    levels = [level for level in ticks if norm.vmin < level < norm.vmax]
    if not levels:
        return
    # Between grid points the logarithm of an output over decades is the straighter one.
    field = np.ma.masked_invalid(drawn.values)
    field, heights = (np.log(field), np.log(levels)) if is_log else (field, levels)
    colours = ["white" if norm(level) < 0.65 else "black" for level in levels]
    contours = axes.contour(x, y, field, levels=heights, colors=colours, linewidths=0.8)
    axes.figure.draw_without_rendering()
    frame, placed = axes.get_window_extent(), []
    names = dict(zip(contours.levels, _numbers(levels), strict=True))
    for text in axes.clabel(contours, fmt=names, fontsize=SMALL):
        box = text.get_window_extent()
        inside = Bbox.intersection(box, frame)
        if inside is None or inside.bounds != box.bounds or box.count_overlaps(placed):
            text.set_visible(False)
        else:
            placed.append(box)


def _set_axis(axes: "Axes", which: str, variable: xr.DataArray, inches: float) -> None:
    """Set label, scale and, for a coordinate, limits of one axis; tick labels stand for themselves."""
    if _is_log(variable):
        axes.set(**{f"{which}scale": "log"})
    else:
        axes.ticklabel_format(axis=which, useOffset=False)
    if variable.name in variable.dims and variable.size > 1:
        axes.set(**{f"{which}lim": (variable.values.min(), variable.values.max())})
    axis = {"x": axes.xaxis, "y": axes.yaxis}[which]
    axis.set_label_text(_wrap(axes.figure, _label(variable), inches, NORMAL), parse_math=False)


def _edges(coordinate: xr.DataArray) -> np.ndarray:
    """Borders of the cells around grid values, halfway on the scale of the axis."""
    points = np.log(coordinate.values) if _is_log(coordinate) else coordinate.values
    middle = (points[:-1] + points[1:]) / 2
    edges = np.concatenate([2 * points[:1] - middle[:1], middle, 2 * points[-1:] - middle[-1:]])
    return np.exp(edges) if _is_log(coordinate) else edges


def _wrap(figure: "Figure", text: str, inches: float, size: float) -> str:
    """Break a text into lines no wider than that in print, between words or, where a word is wider, inside it."""
    from matplotlib.font_manager import FontProperties

    renderer, font = figure.canvas.get_renderer(), FontProperties(size=size)
    limit = 0.97 * inches * figure.dpi  # letters are a little wider at some resolutions

    def measure(line: str) -> float:
        return renderer.get_text_width_height_descent(line, font, ismath=False)[0]

    letters = 1 + int(1.3 * len(text) * limit / max(measure(text), 1.0))
    while True:
        lines = wrap(text, letters, break_on_hyphens=False)
        if letters == 1 or all(measure(line) <= limit for line in lines):
            return "\n".join(lines)
        letters -= 1
