"""What every figure is drawn on: a page with title and caption, its style, axes and legend; imports matplotlib."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Literal

import xarray as xr

from sweep.errors import Caution, one_line
from sweep.report.slices import is_log, label, linear_part
from sweep.surroundings import of_an_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

WIDTH, HEIGHT, MARGIN = 7.5, 4.6, 0.12  # inches; title and caption add to the height
ACROSS, UP, BESIDE = 5.0, 3.4, 1.5  # inches for the labels of the axes and the legend
SMALL, NORMAL, LARGE = 7.0, 9.0, 10.5  # points
FONT = "DejaVu Sans"
STYLE = {"font.family": FONT, "font.size": NORMAL, "hatch.linewidth": 0.5, "svg.hashsalt": "sweep"}


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
def drawing() -> Iterator[None]:
    """Draw in the style of this project, with boxes for letters that the font lacks."""
    with load_matplotlib().rc_context(STYLE), _boxes_for_letters():
        yield


@contextmanager
def _boxes_for_letters() -> Iterator[None]:
    """Draw letters that the font lacks as boxes without a warning for each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"(?s)Glyph .* missing from", category=UserWarning)
        yield


def page(title: str, notes: list[str], height: float = HEIGHT) -> "Figure":
    """Make a figure with title and caption, as much taller as they need, in inches; what is added fills the rest."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    FigureCanvasAgg(figure)
    inches = WIDTH - 2 * MARGIN
    left = MARGIN / WIDTH
    text = "\n".join(wrapped(figure, note, inches, SMALL) for note in notes)
    caption = figure.text(left, 0, text, va="bottom", color="0.4", fontsize=SMALL, linespacing=1.35, parse_math=False)
    title = wrapped(figure, title, inches, LARGE)
    heading = figure.suptitle(title, fontsize=LARGE, x=left, ha="left", parse_math=False)
    below = caption.get_window_extent().height / figure.dpi + 2 * MARGIN
    height += below + heading.get_window_extent().height / figure.dpi
    figure.set_size_inches(WIDTH, height)
    caption.set_y(MARGIN / height)
    rest = (0, below / height, 1, 1 - below / height)
    figure.set_layout_engine("constrained", rect=rest, w_pad=MARGIN, h_pad=MARGIN / 1.5)
    return figure


def set_axis(axes: "Axes", which: Literal["x", "y"], variable: xr.DataArray, inches: float) -> None:
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
    axis.set_label_text(wrapped(axes.figure, text, inches, NORMAL), parse_math=False)


def add_legend(axes: "Axes", title: str, step: int = 1) -> None:
    """Name the lines beside the axes, in their order or, with a step of -1, the other way round."""
    handles, labels = axes.get_legend_handles_labels()
    legend = axes.legend(
        handles[::step],
        labels[::step],
        title=wrapped(axes.figure, title, BESIDE, NORMAL),
        loc="upper left",
        bbox_to_anchor=(1, 1),
        frameon=False,
        alignment="left",
    )
    for text in (legend.get_title(), *legend.get_texts()):
        text.set_parse_math(False)


def wrapped(figure: "Figure | SubFigure", text: str, inches: float, size: float) -> str:
    """Break a text into lines no wider than that in print, between words or, where a word is wider, inside it."""
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.font_manager import FontProperties

    renderer, font = RendererAgg(1, 1, figure.dpi), FontProperties(size=size)  # it measures, and draws nothing
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


def settle(figure: "Figure") -> None:
    """Lay a figure out, so that what is measured is what is printed.

    Warns
    -----
    UserWarning
        For letters that its font does not have, where the function is called that draws it.
    """
    figure.draw_without_rendering()
    if missing := _missing_letters(figure):
        message = f"the font of the figure has no {missing}; boxes stand for it"
        warnings.warn(message, Caution, stacklevel=3)


def _missing_letters(figure: "Figure") -> str:
    """Name the letters of a figure that its font lacks, at most eight, "" where there are none."""
    from matplotlib.font_manager import FontProperties, findfont, get_font
    from matplotlib.text import Text

    known = get_font(findfont(FontProperties(family=FONT))).get_charmap()
    used = {letter for text in figure.findobj(Text) for letter in text.get_text()} - {"\n"}
    missing = sorted(letter for letter in used if ord(letter) not in known)
    names = [f"{one_line(letter)} (U+{ord(letter):04X})" for letter in missing[:8]]
    return ", ".join([*names, *["..."] * (len(missing) > 8)])
