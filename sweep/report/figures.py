"""Dataset to figure: curves or a heat map of one output; the only module that imports matplotlib (extra ``plot``)."""

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from sweep.errors import SpecError, one_line
from sweep.plan.passes import QUANTILE
from sweep.report.slices import is_log, label, linear_part, numbers, quantities, take
from sweep.surroundings import of_an_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

WIDTH, HEIGHT, MARGIN = 7.5, 4.6, 0.12  # inches; title and caption add to the height
ACROSS, UP, BESIDE = 5.0, 3.4, 1.5  # inches for the labels of the axes and the legend
SMALL, NORMAL, LARGE = 7.0, 9.0, 10.5  # points
STYLE = {"font.family": "DejaVu Sans", "font.size": NORMAL, "hatch.linewidth": 0.5, "svg.hashsalt": "sweep"}
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
        axes = page(str(dataset.attrs.get("title", "")), notes)
        draw = _draw_curves if drawn.dims[0] != QUANTILE else _draw_fan
        (draw if y is None else _draw_map)(axes, drawn)
        missing = settle(axes.figure)
    if missing:
        warnings.warn(missing, UserWarning, stacklevel=2)
    return axes.figure


@contextmanager
def drawing() -> Iterator[None]:
    """Draw in the style of this project, with boxes for letters that the font lacks."""
    with load_matplotlib().rc_context(STYLE), _boxes_for_letters():
        yield


def settle(figure: "Figure") -> str:
    """Lay a figure out, so that what is measured is what is printed; say which letters its font lacks, if any."""
    figure.draw_without_rendering()
    missing = _missing_letters(figure)
    return f"the font of the figure has no {missing}; boxes stand for it" if missing else ""


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


def load_matplotlib() -> Any:
    """Import matplotlib.

    Raises
    ------
    ImportError
        Saying what to install, without it.
    """
    with of_an_extra("figures need"):
        import matplotlib
    return matplotlib


@contextmanager
def _boxes_for_letters() -> Iterator[None]:
    """Draw letters that the font lacks as boxes without a warning for each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"(?s)Glyph .* missing from", category=UserWarning)
        yield


def _missing_letters(figure: "Figure") -> str:
    """Name the letters of a figure that its font lacks, at most eight, "" where there are none."""
    from matplotlib.font_manager import FontProperties, findfont, get_font
    from matplotlib.text import Text

    known = get_font(findfont(FontProperties(family=STYLE["font.family"]))).get_charmap()
    used = {letter for text in figure.findobj(Text) for letter in text.get_text()} - {"\n"}
    missing = sorted(letter for letter in used if ord(letter) not in known)
    names = [f"{one_line(letter)} (U+{ord(letter):04X})" for letter in missing[:8]]
    return ", ".join([*names, *["..."] * (len(missing) > 8)])


def page(title: str, notes: list[str], height: float = HEIGHT) -> "Axes":
    """Make a figure with title and caption, as much taller as they need; return axes that fill the rest, in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    FigureCanvasAgg(figure)
    inches = WIDTH - 2 * MARGIN
    left = {"x": MARGIN / WIDTH, "ha": "left", "parse_math": False}
    text = "\n".join(_wrap(figure, note, inches, SMALL) for note in notes)
    caption = figure.text(y=0, s=text, va="bottom", color="0.4", fontsize=SMALL, linespacing=1.35, **left)
    heading = figure.suptitle(_wrap(figure, title, inches, LARGE), fontsize=LARGE, **left)
    below = caption.get_window_extent().height / figure.dpi + 2 * MARGIN
    height += below + heading.get_window_extent().height / figure.dpi
    figure.set_size_inches(WIDTH, height)
    caption.set_y(MARGIN / height)
    rest = (0, below / height, 1, 1 - below / height)
    figure.set_layout_engine("constrained", rect=rest, w_pad=MARGIN, h_pad=MARGIN / 1.5)
    return figure.add_subplot()


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


def add_legend(axes: "Axes", title: str, step: int = 1) -> None:
    """Name the lines beside the axes, in their order or, with a step of -1, the other way round."""
    handles, labels = axes.get_legend_handles_labels()
    place = {"loc": "upper left", "bbox_to_anchor": (1, 1), "frameon": False, "alignment": "left"}
    legend = axes.legend(handles[::step], labels[::step], title=_wrap(axes.figure, title, BESIDE, NORMAL), **place)
    for text in (legend.get_title(), *legend.get_texts()):
        text.set_parse_math(False)


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
    bar.set_label(_wrap(axes.figure, label(drawn), UP, NORMAL), parse_math=False)
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
    ticks = (LogLocator(numticks=9) if decades else MaxNLocator(8, steps=[1, 2, 2.5, 5, 10])).tick_values(
        norm.vmin, norm.vmax
    )
    levels = [level for level in ticks if norm.vmin < level < norm.vmax]
    if not levels:
        return
    # Between grid points the logarithm of an output over decades is the straighter one.
    field = np.ma.masked_invalid(drawn.values)
    field, heights = (np.log(field), np.log(levels)) if decades else (field, levels)
    behind = [colormaps["viridis"](float(norm(level))) for level in levels]
    colours = ["white" if _luminance(colour) < DARK else "black" for colour in behind]
    contours = axes.contour(x, y, field, levels=heights, colors=colours, linewidths=0.8)
    axes.figure.draw_without_rendering()
    frame, placed = axes.get_window_extent(), []
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


def set_axis(axes: "Axes", which: str, variable: xr.DataArray, inches: float) -> None:
    """Set label, scale and, for a coordinate, limits of one axis; tick labels stand for themselves."""
    text, linear = label(variable), None if variable.name in variable.dims else linear_part(variable)
    if is_log(variable):
        axes.set(**{f"{which}scale": "log"})
    elif linear is not None:
        {"x": axes.set_xscale, "y": axes.set_yscale}[which]("symlog", linthresh=linear)
        text += f", symmetric log scale, linear within ±{linear:.2g}"
    else:
        axes.ticklabel_format(axis=which, useOffset=False)
    if variable.name in variable.dims and variable.size > 1:
        axes.set(**{f"{which}lim": (variable.values.min(), variable.values.max())})
    axis = {"x": axes.xaxis, "y": axes.yaxis}[which]
    axis.set_label_text(_wrap(axes.figure, text, inches, NORMAL), parse_math=False)


def _edges(coordinate: xr.DataArray) -> np.ndarray:
    """Borders of the cells around grid values, halfway on the scale of the axis."""
    points = np.log(coordinate.values) if is_log(coordinate) else coordinate.values
    middle = (points[:-1] + points[1:]) / 2
    edges = np.concatenate([2 * points[:1] - middle[:1], middle, 2 * points[-1:] - middle[-1:]])
    return np.exp(edges) if is_log(coordinate) else edges


def _wrap(figure: "Figure", text: str, inches: float, size: float) -> str:
    """Break a text into lines no wider than that in print, between words or, where a word is wider, inside it."""
    from matplotlib.font_manager import FontProperties

    renderer, font = figure.canvas.get_renderer(), FontProperties(size=size)
    limit = 0.97 * inches * figure.dpi  # letters are a little wider at some resolutions

    def measure(line: str) -> float:
        return renderer.get_text_width_height_descent(line, font, ismath=False)[0]

    letters = len(text) or 1
    while True:
        lines = wrap(text, letters, break_on_hyphens=False)
        width, length = max(((measure(line), len(line)) for line in lines), default=(0.0, 0))
        if letters == 1 or width <= limit:
            return "\n".join(lines)
        # No more letters than would fit if all were as wide as those of the widest line.
        letters = max(1, min(letters - 1, int(length * limit / width)))
