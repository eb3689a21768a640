"""Frontier to figure: what one objective costs in another, the points behind it as a density, the knees marked."""

import itertools
from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr

from sweep.errors import SpecError
from sweep.report.canvas import add_legend, drawing, load_matplotlib, page, set_axis, settle
from sweep.report.density import behind
from sweep.report.slices import MOST_LINES, fixed_note, origin, quantities
from sweep.results.metadata import refuse_other_kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEW = 40  # points that are marked one by one
ALONE, SHARED = (5.0, 3.4), (1.8, 3.0)  # inches for the labels of the axes of one panel, or of one of three
CELLS = (60, 45), (30, 45)  # of the density, across and up, in one panel or in one of three
PALE, DARK = 0.92, 0.62  # grey of the cells with the fewest points and with the most
PLAIN = 1e-3, 1e5  # between which the numbers of a linear axis are written out


def plot_frontier(dataset: xr.Dataset) -> "Figure":
    """Draw a frontier of 2 objectives as a line, of 3 as points in the plane of each two, in one colour for each `by`.

    Behind it the density of the points of the sweep that meet the conditions, where it can be evaluated anew.

    Parameters
    ----------
    dataset : xarray.Dataset
        From :func:`sweep.frontier`.

    Returns
    -------
    matplotlib.figure.Figure
        Not known to pyplot; write it with :func:`sweep.report.figures.save`.

    Raises
    ------
    SpecError
        Where there are not 2 or 3 objectives, or no points with finite ones.
    ImportError
        Without matplotlib.

    Warns
    -----
    UserWarning
        For letters that the font does not have.
    """
    load_matplotlib()
    refuse_other_kind(dataset, "frontier")
    names = objectives_of(dataset)
    if len(names) not in (2, 3):
        raise SpecError(f"a frontier is drawn for 2 or 3 objectives, this one has {len(names)}; write it with --netcdf")
    finite = np.logical_and.reduce([np.isfinite(dataset[name].values) for name in names])
    if not finite.any():
        raise SpecError("the frontier has no point with finite objectives to draw")
    drawn = dataset.isel(point=np.flatnonzero(finite))
    groups, left_out = _groups(drawn)
    cloud = behind(dataset, names)
    notes = _notes(dataset, cloud, int((~finite).sum()), left_out)
    with drawing():
        figure = page(str(dataset.attrs.get("title", "")), notes)
        pairs = list(itertools.combinations(names, 2))
        panels = figure.subplots(1, len(pairs), squeeze=False)[0]
        for axes, (x, y) in zip(panels, pairs, strict=True):
            _draw(axes, drawn, groups, x, y, line=len(names) == 2)
            _draw_density(axes, drawn, cloud, x, y, line=len(names) == 2)
        title = " and ".join(str(dataset[name].attrs.get("long_name", name)) for name in _by(dataset))
        add_legend(panels[-1], title)
        settle(figure)
    return figure


def objectives_of(dataset: xr.Dataset) -> list[str]:
    """Name the objectives of a frontier."""
    return [n for key in ("minimised", "maximised") for n in dataset.attrs[key].split(", ") if n != "none"]


def _by(dataset: xr.Dataset) -> list[str]:
    return [name for name in dataset.attrs["by"].split(", ") if name != "none"]


def _groups(drawn: xr.Dataset) -> tuple[list[tuple[str, np.ndarray]], int]:
    """Name each frontier and its points, at most eight, and how many frontiers are left out."""
    by = _by(drawn)
    if not by:
        return [("frontier", np.arange(drawn.sizes["point"]))], 0
    keys, inverse = np.unique(np.stack([drawn[f"{name}_index"].values for name in by]), axis=1, return_inverse=True)
    count = keys.shape[1]
    chosen = np.unique(np.linspace(0, count - 1, min(count, MOST_LINES)).round().astype(int))
    members = [np.flatnonzero(inverse.ravel() == number) for number in chosen]
    texts = [quantities([float(drawn[name].values[m[0]]) for m in members], drawn[name]) for name in by]
    return [(", ".join(text), m) for text, m in zip(zip(*texts, strict=True), members, strict=True)], count - len(
        chosen
    )


def _draw(axes: "Axes", drawn: xr.Dataset, groups: list[tuple[str, np.ndarray]], x: str, y: str, *, line: bool) -> None:
    from matplotlib import colormaps

    colours = colormaps["viridis"]([0.3] if len(groups) == 1 else np.linspace(0, 0.88, len(groups)))
    knees = []
    for (text, members), colour in zip(groups, colours, strict=True):
        points = drawn.isel(point=members)
        few = len(members) <= FEW
        axes.plot(
            points[x].values,
            points[y].values,
            color=colour,
            label=text,
            clip_on=False,
            marker="none" if line and not few else "o",
            markersize=3 if few else 1.5,
            linestyle="-" if line else "none",
        )
        knees.append(np.stack([points[n].values[points.is_knee.values].astype(float) for n in (x, y)]))
    across, up = np.concatenate(knees, axis=1)
    if len(across):
        axes.plot(across, up, "D", color="white", markeredgecolor="black", markersize=6, label="knee", zorder=3)
    axes.grid(True, color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_density(axes: "Axes", drawn: xr.Dataset, cloud: xr.Dataset | None, x: str, y: str, *, line: bool) -> None:
    """Set the axes, and draw behind a frontier how many points there are, in cells that are even on their scales."""
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    everything = [drawn] if cloud is None else [drawn, cloud]
    sides: list[Literal["x", "y"]] = ["x", "y"]
    edges = []
    for which, name, inches, cells in zip(sides, (x, y), ALONE if line else SHARED, CELLS[not line], strict=True):
        values = np.concatenate([part[name].values.astype(np.float64) for part in everything])
        set_axis(axes, which, xr.DataArray(values, dims="point", name=name, attrs=drawn[name].attrs), inches)
        _write_numbers(axes, which, values)
        scale = axes.xaxis.get_transform() if which == "x" else axes.yaxis.get_transform()
        low, high = scale.transform(np.array([values.min(), values.max()]))
        edges.append(scale.inverted().transform(np.linspace(low, high, cells + 1)))
        edges[-1][[0, -1]] = values.min(), values.max()  # of which the transform may lose the last digit
    axes.use_sticky_edges = False
    if cloud is None or not cloud.sizes["point"] or any((np.diff(edge) <= 0).any() for edge in edges):
        return
    counts, *_ = np.histogram2d(cloud[x].values, cloud[y].values, bins=edges)
    greys = LinearSegmentedColormap.from_list("greys", [str(PALE), str(DARK)])
    shown = np.ma.masked_equal(counts.T, 0)
    axes.pcolormesh(*edges, shown, cmap=greys, norm=LogNorm(1, max(2, counts.max())), rasterized=True, zorder=0)
    axes.plot([], [], "s", color=str((PALE + DARK) / 2), markersize=8, label="other points")


def _write_numbers(axes: "Axes", which: str, values: np.ndarray) -> None:
    """Write the numbers of a linear axis as they are: a common power of ten would cover the label beside them."""
    from matplotlib.ticker import ScalarFormatter

    axis = axes.xaxis if which == "x" else axes.yaxis
    if isinstance(axis.get_major_formatter(), ScalarFormatter) and not PLAIN[0] <= np.abs(values).max() < PLAIN[1]:
        axis.set_major_formatter(lambda value, _: f"{value:.4g}".replace("e+0", "e").replace("e+", "e"))


def _notes(dataset: xr.Dataset, cloud: xr.Dataset | None, infinite: int, left_out: int) -> list[str]:
    """Say what the frontier is of, and where the numbers come from."""
    attributes = dataset.attrs
    goals = [f"{word} {attributes[key]}" for key, word in (("minimised", "least"), ("maximised", "largest"))]
    goals = [goal for goal, key in zip(goals, ("minimised", "maximised"), strict=True) if attributes[key] != "none"]
    text = f"Frontier: {' and '.join(goals)}"
    text += f", where {attributes['where']}" if attributes["where"] != "none" else ""
    text += f", for each {attributes['by']}" if attributes["by"] != "none" else ""
    text += f"; {attributes['points_nondominated']:,} of {attributes['points_considered']:,} points"
    notes = [text]
    if "epsilon" in attributes:
        notes.append(
            f"Thinned: at most {attributes['most']:,} points each; none left out is better by more than "
            f"{attributes['epsilon']:.2g} of an objective's range"
        )
    if cloud is not None and cloud.sizes["point"]:
        notes.append(
            f"Grey: {cloud.sizes['point']:,} points of the sweep, spread evenly over it, the darker the denser"
            + (", of all values of " + attributes["by"]) * (attributes["by"] != "none")
        )
    if infinite or left_out:
        parts = [f"{infinite:,} points with an infinite objective"] * bool(infinite)
        notes.append(f"Left out: {', '.join(parts + [f'{left_out:,} frontiers'] * bool(left_out))}")
    notes.append(f"Knee: {attributes['knee']}")
    notes += fixed_note(dataset, xr.DataArray(0, attrs={"outputs": ", ".join(map(str, dataset.data_vars))}))
    return notes + origin(dataset)
