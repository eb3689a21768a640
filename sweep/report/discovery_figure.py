"""Boxes of a scenario discovery in words and as a figure: the limits of the chosen one, and what the others trade."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from sweep.config.statistic import conditions_of
from sweep.report.canvas import NORMAL, SMALL, drawing, load_matplotlib, page, settle
from sweep.report.layout import table
from sweep.report.slices import fixed_note, numbers, origin, quantities
from sweep.results.metadata import named_reference, refuse_other_kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEVELS = np.arange(10, 0, -1) / 10.0  # of coverage, at which boxes are told
FEWEST = 100  # interesting draws, of which limits are taken for sure
SHARES = ("coverage", "density", "support")


def describe_regions(dataset: xr.Dataset) -> Iterator[str]:
    """Limits of the chosen box, how good it is on fitted and on fresh draws, and the boxes that were peeled.

    Parameters
    ----------
    dataset : xarray.Dataset
        From :func:`sweep.discover`.
    """
    chosen, hits = dataset.isel(box=-1), dataset.attrs["draws_interesting"]
    yield outcome_of(dataset)
    rows = []
    for name in _limited(chosen):
        one = chosen.sel(parameter=name)
        ends = " to ".join(numbers(one["quantile"].values, 3))
        p = float(one.quasi_p_value)
        rows.append((name, limits_of(one), f"quantiles {ends}", f"quasi-p {'< 1e-300' if p < 1e-300 else f'{p:.2g}'}"))
    yield from table(rows)
    free = [str(name) for name in dataset.parameter.values if name not in _limited(chosen)]
    if not rows:
        yield "  no limit tells the interesting draws from the others"
    elif free:
        yield f"  not limited: {', '.join(free)}"
    yield from worth_of(chosen)
    if hits < FEWEST:
        yield f"of {hits:,} interesting draws little can be said: take more draws"
    yield from named_reference(dataset)
    yield from ("", "boxes with less and less coverage")
    header = ("box", *SHARES, "fresh coverage", "fresh density", "limits on")
    yield from table([header, *map(_row, _milestones(dataset))])


def outcome_of(dataset: xr.Dataset) -> str:
    """What is of interest, and how many draws are."""
    found = dataset.attrs
    hits, draws = found["draws_interesting"], found["draws_fitted"]
    return f"{found['where']}: {hits:,} of {draws:,} draws, {_percent(hits / draws)}"


def worth_of(one: xr.Dataset) -> Iterator[str]:
    """How good one box is, on the draws that it was fitted to and on fresh ones."""
    coverage, density, support = (_percent(float(one[name])) for name in SHARES)
    yield f"coverage {coverage} of the interesting draws, density {density} of those inside, support {support} of all"
    fresh = ", ".join(f"{name} {_percent(float(one[f'fresh_{name}']))}" for name in SHARES)
    yield f"on {one.attrs['draws_fresh']:,} fresh draws: {fresh}"


def box_in_words(one: xr.Dataset) -> str:
    """What holds inside one box, in a sentence, and how good it is, a line each."""
    limits = " and ".join(f"{name} {limits_of(one.sel(parameter=name))}" for name in _limited(one))
    inside = f"where {limits}" if limits else "without any limit"
    density = _percent(float(one["density"]))
    return "\n".join([f"{one.attrs['where']} in {density} of the draws {inside}", *worth_of(one)])


def _milestones(dataset: xr.Dataset) -> list[xr.Dataset]:
    """Give the smallest box of each level of coverage."""
    coverage = dataset.coverage.values[:-1]
    places = dict.fromkeys(int(np.flatnonzero(coverage >= level)[-1]) for level in LEVELS)
    return [dataset.isel(box=place) for place in places]


def _row(one: xr.Dataset) -> tuple[str, ...]:
    shares = (_percent(float(one[name])) for name in (*SHARES, "fresh_coverage", "fresh_density"))
    return f"{int(one.box)}", *shares, ", ".join(_limited(one)) or "nothing"


def _limited(one: xr.Dataset) -> list[str]:
    """Name the parameters that a box limits."""
    return [str(name) for name in one.parameter.values[np.isfinite(one.limits.values).any(axis=-1)]]


def limits_of(one: xr.Dataset) -> str:
    """Say the limits of one parameter in one box: "0.8 to 3 per year", ">= 0.8 per year"."""
    unit = xr.DataArray(0.0, attrs={"units": str(one.unit.values)})
    low, high = map(float, one.limits.values)
    if np.isfinite(low) and np.isfinite(high):
        return f"{numbers([low, high])[0]} to {quantities([low, high], unit)[1]}"
    if not np.isfinite(low) and not np.isfinite(high):
        return "any"
    return f">= {quantities([low], unit)[0]}" if np.isfinite(low) else f"<= {quantities([high], unit)[0]}"


def _percent(share: float) -> str:
    return "none" if np.isnan(share) else f"{100 * share:.3g} %"


def plot_regions(dataset: xr.Dataset) -> "Figure":
    """Draw the limits of the chosen box as bars between quantiles, and the density of all boxes over their coverage.

    Parameters
    ----------
    dataset : xarray.Dataset
        From :func:`sweep.discover`.

    Returns
    -------
    matplotlib.figure.Figure
        Not known to pyplot; write it with :func:`sweep.report.figures.save`.

    Raises
    ------
    SpecError
        Where the dataset is of something else.
    ImportError
        Without matplotlib.

    Warns
    -----
    UserWarning
        For letters that the font does not have.
    """
    load_matplotlib()
    refuse_other_kind(dataset, "discovery")
    with drawing():
        figure = page(str(dataset.attrs.get("title", "")), _notes(dataset))
        bars, curve = figure.subplots(1, 2, width_ratios=(1.15, 1.0))
        _draw_bars(bars, dataset.isel(box=-1))
        _draw_curve(curve, dataset)
        settle(figure)
    return figure


def _draw_bars(axes: "Axes", chosen: xr.Dataset) -> None:
    from matplotlib import colormaps

    names = [str(name) for name in chosen.parameter.values]
    limited = _limited(chosen)
    for place, name in enumerate(names):
        one = chosen.sel(parameter=name)
        low, high = map(float, one["quantile"].values)
        axes.barh(place, 1.0, height=0.34, color="0.93")
        colour = colormaps["viridis"](0.3) if name in limited else "0.8"
        axes.barh(place, high - low, left=low, height=0.34, color=colour)
        text = f"{name}: {limits_of(one)}"
        axes.text(0.0, place - 0.24, text, va="bottom", ha="left", fontsize=NORMAL - 1.0, parse_math=False)
    axes.set(xlim=(0.0, 1.0), ylim=(len(names) - 0.6, -0.7), yticks=[], xlabel="quantile of the draws")
    axes.set_title("limits of the chosen box", fontsize=NORMAL, loc="left")
    axes.spines[["top", "right", "left"]].set_visible(False)


def _draw_curve(axes: "Axes", dataset: xr.Dataset) -> None:
    from matplotlib import colormaps

    peeled, chosen = dataset.isel(box=slice(-1)), dataset.isel(box=-1)
    dark, light = colormaps["viridis"]([0.3, 0.75])
    axes.plot(peeled.coverage, peeled.density, "o-", markersize=2.5, linewidth=0.8, color=dark, label="fitted draws")
    axes.plot(peeled.fresh_coverage, peeled.fresh_density, "-", linewidth=1.6, color=light, label="fresh draws")
    for fresh, marker, text in (("", "D", "chosen box"), ("fresh_", "s", "chosen box, fresh draws")):
        place = chosen[f"{fresh}coverage"], chosen[f"{fresh}density"]
        axes.plot(*place, marker, color="white", markeredgecolor="black", markersize=7, zorder=3, label=text)
    axes.set(xlim=(0.0, 1.02), ylim=(0.0, 1.04), xlabel="coverage", ylabel="density")
    axes.set_title("boxes, a slab peeled off each", fontsize=NORMAL, loc="left")
    axes.grid(True, color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower left", frameon=False, fontsize=SMALL)


def _notes(dataset: xr.Dataset) -> list[str]:
    """Say what the boxes are of, and where the numbers come from."""
    found, chosen = dataset.attrs, dataset.isel(box=-1)
    hits, draws, conditions = found["draws_interesting"], found["draws_fitted"], conditions_of(found["where"])
    words = [f"{name} {_percent(float(chosen[name]))} ({_percent(float(chosen[f'fresh_{name}']))})" for name in SHARES]
    return [
        f"Of interest: {found['where']}; {hits:,} of {draws:,} draws",
        f"Chosen box, in brackets on {found['draws_fresh']:,} fresh draws: {', '.join(words)}",
        "Coverage: share of the interesting draws inside. Density: share of the draws inside that are interesting",
        f"Method: {found['method']}",
        *fixed_note(dataset, xr.DataArray(0, attrs={"outputs": ", ".join(c.output for c in conditions)})),
        *origin(dataset),
    ]
