"""Figures say what they draw, on the right scales, and refuse what they cannot."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.text import Text
from xarray.backends import BackendArray
from xarray.core import indexing

import sweep
from sweep.config.axis import Axis
from sweep.config.spec import SweepSpec
from sweep.errors import SpecError
from sweep.models.problem import Problem
from sweep.report import density, figures, slices
from sweep.report.frontier_figure import plot_frontier
from sweep.results.metadata import dataset_attributes, variable_attributes

TIME = Axis(start=0.0, stop=20.0, num=41)
FLEET = Axis(start=1.0, stop=1e6, num=31, spacing="log")
RATE = Axis(values=(0.1, 0.5, 1.0))
REFERENCE = {"reference_fleet": 1.0, "reference_years": 1.0}
SIGNATURES = {".png": b"\x89PNG\r\n", ".svg": b"<?xml", ".pdf": b"%PDF-"}


def labelled(values: Callable[..., np.ndarray], output: str, axes: dict[str, Axis], **fixed: float) -> xr.Dataset:
    """Make a dataset with the metadata of the shipped model and values of our own."""
    spec = SweepSpec(
        model="relative_loss",
        loss="total",
        outputs=(output,),
        axes=axes,
        fixed={"scaling_exponent": 0.05, **REFERENCE, **fixed},
        title="Fleets of $5M and $10M",
    )
    problem = Problem.of(spec)
    grids = np.meshgrid(*(axis.coordinates() for axis in axes.values()), indexing="ij")
    variable = values(**dict(zip(axes, grids, strict=True))).astype(np.float32)
    return xr.Dataset(
        {output: (tuple(axes), variable, variable_attributes(problem, output))},
        {name: (name, axis.coordinates(), variable_attributes(problem, name)) for name, axis in axes.items()},
        dataset_attributes(problem, "cpu"),
    )


def ratio(fleet_size: np.ndarray, time: np.ndarray, doubling_rate: np.ndarray) -> np.ndarray:
    return 1 + fleet_size * np.expm1(doubling_rate * time * np.log(2)) / (doubling_rate * np.log(2))


def loss(**parameters: np.ndarray) -> np.ndarray:
    return ratio(**parameters) ** -0.05


def make_losses() -> xr.Dataset:
    return labelled(loss, "relative_loss", {"fleet_size": FLEET, "time": TIME, "doubling_rate": RATE})


@pytest.fixture
def ratios() -> xr.Dataset:
    return labelled(ratio, "compute_ratio", {"fleet_size": FLEET, "time": TIME, "doubling_rate": RATE})


def make_years() -> xr.Dataset:
    """Years to a target, over two logarithmic axes, infinite in a corner."""

    def wait(fleet_size: np.ndarray, doubling_rate: np.ndarray) -> np.ndarray:
        product = fleet_size * doubling_rate
        return np.where(product < 1.0, np.inf, 1e6 / product)

    rates = Axis(start=0.01, stop=10.0, num=21, spacing="log")
    return labelled(wait, "time_to_target", {"fleet_size": FLEET, "doubling_rate": rates}, target=0.5)


@pytest.fixture
def losses() -> xr.Dataset:
    return make_losses()


@pytest.fixture
def years() -> xr.Dataset:
    return make_years()


@pytest.fixture(scope="module")
def curves() -> Figure:
    """Draw the losses once, for the tests that only look."""
    return figures.plot(make_losses())


@pytest.fixture(scope="module")
def year_map() -> Figure:
    """Draw the years as a map once, for the tests that only look."""
    return figures.plot(make_years(), x="fleet_size", y="doubling_rate")


@pytest.fixture
def short() -> xr.Dataset:
    return labelled(
        lambda time, fleet_size: 1 / (1 + time * fleet_size),
        "relative_excess_loss",
        {"time": Axis(values=(0.0, 1.0, 2.0)), "fleet_size": Axis(values=(1.0, 2.0))},
        doubling_rate=0.0,
    )


def caption(figure: Figure) -> Text:
    return next(text for text in figure.texts if "Sweep: " in text.get_text())


def said(figure: Figure) -> str:
    return " ".join(caption(figure).get_text().split())


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def contour_labels(figure: Figure) -> list[Text]:
    return [text for text in figure.axes[0].texts if text.get_visible()]


# What is drawn


def test_plot_draws_the_first_output_of_the_spec(losses):
    losses = losses.assign(another=losses.relative_loss * 2)[["another", "relative_loss"]]
    assert figures.plot(losses).axes[0].get_ylabel() == "loss relative to time 0"


def test_plot_puts_time_on_x_by_default(curves):
    assert curves.axes[0].get_xlabel() == "time since the reference point (years)"


def test_plot_puts_the_longest_axis_on_x_where_time_is_not_swept(years):
    assert figures.plot(years).axes[0].get_xlabel() == "accelerators that train, constant over the run (accelerators)"


def test_plot_leaves_an_axis_held_by_at_out_of_the_defaults(losses):
    assert "accelerators" in figures.plot(losses, at={"time": 10}).axes[0].get_xlabel()


def test_plot_draws_the_values_of_the_dataset(losses):
    line = figures.plot(losses, lines="doubling_rate", at={"fleet_size": 1e6}).axes[0].get_lines()[1]
    np.testing.assert_array_equal(line.get_ydata(), losses.relative_loss.values[-1, :, 1])


def test_plot_draws_one_curve_a_value_of_a_short_axis(losses):
    assert len(figures.plot(losses, lines="doubling_rate").axes[0].get_lines()) == 3


def test_plot_picks_at_most_eight_curves(losses):
    assert len(figures.plot(losses, lines="fleet_size").axes[0].get_lines()) == slices.MOST_LINES


def test_plot_picks_curves_at_grid_values(losses):
    lines = figures.plot(losses, lines="fleet_size", at={"doubling_rate": 0.5}).axes[0].get_lines()
    grid = losses.relative_loss.values[:, :, 1]
    assert all(any(np.array_equal(line.get_ydata(), row) for row in grid) for line in lines)


def test_plot_includes_the_ends_of_a_long_axis_among_its_curves(losses):
    assert {"1 accelerators", "1,000,000 accelerators"} <= set(legend(figures.plot(losses, lines="fleet_size")))


def test_plot_labels_curves_with_values_and_units(losses):
    assert legend(figures.plot(losses, lines="doubling_rate")) == ["0.1 per year", "0.5 per year", "1 per year"]


def test_plot_orders_the_legend_as_the_curves_end(ratios):
    assert legend(figures.plot(ratios, lines="doubling_rate")) == ["1 per year", "0.5 per year", "0.1 per year"]


def test_plot_draws_a_single_curve_without_a_legend(losses):
    assert figures.plot(losses.isel(fleet_size=0, doubling_rate=0)).axes[0].get_legend() is None


def test_plot_marks_the_points_of_a_short_axis(short):
    assert figures.plot(short).axes[0].get_lines()[0].get_marker() == "o"


def test_plot_draws_an_axis_of_one_value(losses):
    figure = figures.plot(losses.isel(time=slice(3, 4)), x="time", lines="doubling_rate")
    assert figure.axes[0].get_lines()[0].get_xdata().tolist() == [1.5]


def test_plot_thins_an_axis_longer_than_a_screen():
    dataset = labelled(
        lambda time: time, "effective_years", {"time": Axis(start=0, stop=1, num=10_001)}, doubling_rate=1
    )
    figure = figures.plot(dataset)
    assert len(figure.axes[0].get_lines()[0].get_xdata()) == slices.MOST_POINTS
    assert "Drawn: 2,000 of 10,001 values of time" in said(figure)


def test_plot_leaves_infinite_values_out_of_the_curves(years):
    figure = figures.plot(years, lines="doubling_rate")
    assert all(not np.isinf(line.get_ydata()).any() for line in figure.axes[0].get_lines())
    assert "Left out: infinite, the target cannot be reached" in said(figure)


def test_plot_says_which_curve_has_no_value(years):
    years.time_to_target[:, 0] = np.inf
    assert "0.01 per year: none" in legend(figures.plot(years, lines="doubling_rate"))


def test_plot_loads_only_what_it_draws(losses):
    seen = []

    class Recorder(BackendArray):
        shape, dtype = losses.relative_loss.shape, losses.relative_loss.dtype

        def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
            return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

        def _read(self, key: tuple) -> np.ndarray:
            part = losses.relative_loss.values
            for axis in reversed(range(part.ndim)):
                part = part[(slice(None),) * axis + (key[axis],)]
            seen.append(part.size)
            return part

    array = indexing.LazilyIndexedArray(Recorder())
    lazy = losses.assign(relative_loss=(losses.relative_loss.dims, array, losses.relative_loss.attrs))
    figures.plot(lazy, lines="fleet_size")
    assert seen == [slices.MOST_LINES * 41]


# Scales and labels


@pytest.mark.parametrize(
    ("axis", "scale"),
    [
        (FLEET, "log"),
        (Axis(values=(1.0, 30.0, 1000.0)), "log"),
        (Axis(values=(1.0, 2.0, 3.0)), "linear"),
        (Axis(start=1.0, stop=1e6, num=5), "linear"),
    ],
)
def test_plot_scales_x_by_the_spacing_of_the_axis(axis, scale):
    dataset = labelled(loss, "relative_loss", {"fleet_size": axis, "time": TIME, "doubling_rate": RATE})
    assert figures.plot(dataset, x="fleet_size").axes[0].get_xscale() == scale


def test_plot_scales_an_output_over_decades_logarithmically(ratios):
    assert figures.plot(ratios).axes[0].get_yscale() == "log"


def test_plot_scales_an_output_within_decades_linearly(curves):
    assert curves.axes[0].get_yscale() == "linear"


def test_plot_keeps_a_linear_scale_for_an_output_that_reaches_zero(ratios):
    assert figures.plot(ratios - 1).axes[0].get_yscale() == "linear"


def test_plot_scales_both_signs_over_decades_symmetrically(ratios):
    ratios["compute_ratio"] = ratios.compute_ratio * xr.where(ratios.fleet_size > 1e3, 1, -1)
    axes = figures.plot(ratios, lines="fleet_size").axes[0]
    assert axes.get_yscale() == "symlog"
    assert "symmetric log scale, linear within ±" in " ".join(axes.get_ylabel().split())


def test_plot_keeps_a_linear_scale_for_both_signs_within_decades(losses):
    losses["relative_loss"] = losses.relative_loss - float(losses.relative_loss.mean())
    assert figures.plot(losses).axes[0].get_yscale() == "linear"


@pytest.mark.parametrize("suffix", SIGNATURES)
def test_plot_says_once_which_letters_the_font_lacks(losses, tmp_path, suffix):
    losses.attrs["title"] = "\N{ROCKET} and \N{ROCKET}"
    with pytest.warns(UserWarning) as warned:
        figures.save(figures.plot(losses), tmp_path / f"a{suffix}")
    (line,) = (str(warning.message) for warning in warned)
    assert line == "the font of the figure has no \N{ROCKET} (U+1F680); boxes stand for it"


def test_plot_shows_a_dollar_sign_of_the_title(curves):
    assert (curves.get_suptitle(), curves._suptitle.get_parse_math()) == ("Fleets of $5M and $10M", False)


def test_plot_leaves_the_settings_of_matplotlib_alone(losses):
    before = dict(matplotlib.rcParams)
    figures.plot(losses)
    assert dict(matplotlib.rcParams) == before


def test_plot_leaves_pyplot_alone():
    code = (
        "import sys, xarray; from sweep.report import figures; figures.plot(xarray.Dataset({'a': ('b', [1.0, 2.0])})); "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_plot_writes_values_a_rounding_away_from_whole_numbers_as_whole(losses):
    fleets = Axis(start=1.0, stop=1e7, num=141, spacing="log").coordinates()[::20]
    losses = losses.isel(fleet_size=slice(8)).assign_coords(fleet_size=fleets)
    names = legend(figures.plot(losses, x="time", lines="fleet_size"))
    assert names[3] == "1,000" and names[-1] == "10,000,000"


def test_plot_writes_close_values_so_that_they_differ(losses):
    losses = losses.assign_coords(doubling_rate=[1.0, 1.00001, 1.00002])
    assert set(legend(figures.plot(losses, lines="doubling_rate"))) == {"1", "1.00001", "1.00002"}


# Maps


def test_plot_draws_a_map_over_x_and_y(year_map):
    axes = year_map.axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_ylabel() == "efficiency doublings a year (per year)"


def test_plot_puts_the_value_of_a_point_into_its_cell(years, year_map):
    mesh = year_map.axes[0].collections[1]
    np.testing.assert_array_equal(mesh.get_array().filled(np.inf), years.time_to_target.values.T)


def test_plot_limits_a_map_to_the_grid(year_map):
    axes = year_map.axes[0]
    assert (axes.get_xlim(), axes.get_ylim()) == ((1.0, 1e6), (0.01, 10.0))


def test_plot_puts_the_unit_on_the_colour_bar(year_map):
    bar = year_map.axes[1]
    assert bar.get_ylabel() == "years until the target loss is reached (years)"


def test_plot_colours_an_output_over_decades_logarithmically(year_map):
    mesh = year_map.axes[0].collections[1]
    assert isinstance(mesh.norm, LogNorm)


def test_plot_labels_the_contours_of_a_map(year_map):
    found = {text.get_text() for text in contour_labels(year_map)}
    assert found <= {"1", "10", "100", "1,000", "10,000", "100,000"} and len(found) >= 3


def test_plot_draws_no_contours_along_a_short_axis(losses):
    assert contour_labels(figures.plot(losses, x="time", y="doubling_rate")) == []


def test_plot_draws_contours_that_stand_out_from_the_map(year_map):
    def luminance(colour: tuple[float, ...]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    mesh, contours = year_map.axes[0].collections[1], year_map.axes[0].collections[2]
    levels = np.exp(contours.levels)  # the map is logarithmic
    for level, line in zip(levels, contours.get_edgecolor(), strict=True):
        dark, light = sorted((luminance(mesh.to_rgba(level)), luminance(line)))
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_plot_keeps_contour_labels_apart(losses):
    figure = figures.plot(losses, x="fleet_size", y="time")
    boxes = [text.get_window_extent() for text in contour_labels(figure)]
    assert len(boxes) > 2 and all(box.count_overlaps(boxes) == 1 for box in boxes)


def test_plot_hatches_the_infinite_part_of_a_map(years, year_map):
    count = int(np.isinf(years.time_to_target).sum())
    assert year_map.axes[0].patch.get_hatch()
    assert f"Hatched: infinite, the target cannot be reached; {count} of 651 points" in said(year_map)


def test_plot_greys_the_part_of_a_map_that_is_not_computed_yet(losses):
    losses.relative_loss[:3] = np.nan
    figure = figures.plot(losses, x="fleet_size", y="time")
    assert (~figure.axes[0].collections[0].get_array().mask).sum() == 3 * 41
    assert "Grey: not computed yet; 123 of 1,271 points" in said(figure)


def test_plot_calls_nan_of_a_complete_store_undefined(losses):
    losses.relative_loss[:3] = np.nan
    losses.attrs["complete"] = True
    assert "Grey: undefined (NaN); 123 of" in said(figures.plot(losses, x="fleet_size", y="time"))


def test_plot_draws_a_map_of_a_constant(losses):
    figure = figures.plot(xr.ones_like(losses), x="fleet_size", y="time")
    assert contour_labels(figure) == []


def test_plot_draws_a_map_over_a_falling_axis(losses):
    mesh = figures.plot(losses.isel(doubling_rate=slice(None, None, -1)), x="time", y="doubling_rate")
    assert mesh.axes[0].get_ylim() == (0.1, 1.0)


# The caption


@pytest.mark.parametrize(
    "part",
    [
        "Equation: R(t) = e + (1 - e) (1 + (N/N0)",
        "the factor N/N0 is an extension of this project",
        "Loss convention: total",
        "Assumptions: constant fleet;",
        "scaling_exponent = 0.05",
        "reference_years = 1 years",
    ],
)
def test_plot_captions_where_the_numbers_come_from(curves, part):
    assert part in said(curves)


def test_plot_captions_the_fingerprint(losses, curves):
    assert f"Sweep: {losses.attrs['fingerprint']}" in said(curves)


def test_plot_captions_caveats(losses):
    losses.attrs["caveats"] = "an exponent of the other loss"
    assert "Caveats: an exponent of the other loss" in said(figures.plot(losses))


def test_plot_omits_caveats_where_there_are_none(curves):
    assert "Caveats" not in said(curves)


@pytest.mark.parametrize("name", ["scaling_exponent", "electricity_price", "irreducible_share"])
def test_plot_omits_fixed_parameters_the_output_does_not_depend_on(ratios, name):
    assert name not in said(figures.plot(ratios))


def test_plot_captions_all_fixed_parameters_of_a_model_of_ones_own(ratios):
    ratios.attrs["model"] = "mine"
    assert "electricity_price = 0.0826 USD/kWh" in said(figures.plot(ratios))


def test_plot_captions_units_of_fixed_parameters_whatever_is_said_of_them(ratios):
    ratios.attrs |= {"model": "mine", "fixed": "time = 1 (a; electricity_price = 2 GBP/kWh)"}
    assert "electricity_price = 0.0826 USD/kWh" in said(figures.plot(ratios))


def test_plot_captions_the_middle_value_it_holds(curves):
    assert "Held: doubling_rate = 0.5 per year (middle of 3 values)" in said(curves)


def test_plot_captions_the_grid_value_nearest_to_the_one_asked_for(losses):
    figure = figures.plot(losses, x="fleet_size", lines="doubling_rate", at={"time": 9.9})
    assert "Held: time = 10 years (nearest of 41 values to 9.9)" in said(figure)


def test_plot_captions_how_many_curves_it_picked(curves):
    assert "Drawn: 8 of 31 values of fleet_size" in said(curves)


def test_plot_draws_a_dataset_without_attributes(losses):
    figure = figures.plot(losses.drop_attrs())
    assert figure.axes[0].get_xlabel() == "time"


@pytest.mark.parametrize("choice", [{}, {"x": "fleet_size", "y": "time"}])
@pytest.mark.parametrize("dpi", [72, 300])
@pytest.mark.parametrize("assumptions", ["none", "a long list of things that are taken for granted; " * 40, "w" * 999])
def test_plot_keeps_the_caption_on_the_page_and_off_the_axes(losses, choice, dpi, assumptions):
    losses.attrs["assumptions"] = assumptions
    figure = figures.plot(losses, **choice)
    figure.set_dpi(dpi)
    figure.draw_without_rendering()
    box = caption(figure).get_window_extent()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1
    assert all(axes.get_tightbbox().y0 > box.y1 for axes in figure.axes)


@pytest.mark.parametrize("choice", [{}, {"x": "fleet_size", "y": "time"}])
def test_plot_keeps_title_legend_and_labels_on_the_page(losses, choice):
    losses.attrs["title"] = "A question that takes more than one line to ask " * 4
    losses.relative_loss.attrs["long_name"] = losses.fleet_size.attrs["long_name"] = "a name longer than its axis " * 6
    figure = figures.plot(losses, **choice)
    title = figure._suptitle.get_window_extent()
    boxes = [title, *(axes.get_tightbbox() for axes in figure.axes)]
    assert all(b.x0 >= 0 and b.y0 >= 0 and b.x1 <= figure.bbox.x1 and b.y1 <= figure.bbox.y1 for b in boxes)
    assert all(axes.get_tightbbox().y1 < title.y0 for axes in figure.axes)


def test_plot_keeps_the_axes_as_large_under_a_long_caption(losses):
    short = figures.plot(losses).axes[0].get_window_extent().height
    losses.attrs["assumptions"] *= 20
    assert figures.plot(losses).axes[0].get_window_extent().height == pytest.approx(short, abs=2)


# Refusals


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"output": "relative_los"}, 'unknown output "relative_los"; did you mean relative_loss?'),
        ({"x": "tim"}, 'x: unknown dimension of relative_loss "tim"; did you mean time?'),
        ({"lines": "pue"}, 'lines: unknown dimension of relative_loss "pue"; allowed: fleet_size, time, doubling_rate'),
        ({"y": "pue"}, 'y: unknown dimension of relative_loss "pue"'),
        ({"at": {"pue": 1.1}}, 'at: unknown dimension of relative_loss "pue"'),
        ({"x": "time", "lines": "time"}, "time cannot be both x and lines"),
        ({"x": "time", "y": "time"}, "time cannot be both x and y"),
        ({"x": "time", "at": {"time": 1.0}}, "time cannot be both x and at"),
        ({"lines": "time", "y": "fleet_size"}, "give lines (time) or the y of a map (fleet_size), not both"),
        ({"at": {"time": 21.0}}, "at: time was swept from 0 years to 20 years, got 21"),
        ({"at": {"time": float("nan")}}, "at: time was swept from 0 years to 20 years, got nan"),
        (
            {"at": {"time": 1.0, "fleet_size": 1.0}, "lines": "doubling_rate"},
            "x: every dimension of relative_loss is taken: doubling_rate, time, fleet_size; leave one for x",
        ),
    ],
)
def test_plot_refuses_a_contradiction_in_one_line(losses, choice, message):
    with pytest.raises(SpecError) as error:
        figures.plot(losses, **choice)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_plot_refuses_an_output_without_dims(losses):
    with pytest.raises(SpecError, match=r"^relative_loss is one number in this sweep, 1: no axis changes it$"):
        figures.plot(losses.isel(fleet_size=0, time=0, doubling_rate=0))


def test_plot_refuses_a_dataset_without_outputs(losses):
    with pytest.raises(SpecError, match=r"^the dataset holds no output to draw$"):
        figures.plot(losses.drop_vars("relative_loss"))


def test_plot_refuses_a_slice_that_is_not_computed_yet(losses):
    losses.relative_loss[:, :, 2] = np.nan
    with pytest.raises(SpecError, match=r"^relative_loss: nothing computed yet \(Held: doubling_rate = 1 per year"):
        figures.plot(losses, at={"doubling_rate": 1})


def test_plot_refuses_a_slice_that_is_infinite_everywhere(years):
    with pytest.raises(SpecError, match=r"^time_to_target: no finite value to draw.*: infinite, the target"):
        figures.plot(xr.full_like(years, np.inf))


def test_plot_refuses_a_map_over_one_value(losses):
    with pytest.raises(SpecError, match=r"^y: a map needs two values or more along each axis, time has one; draw"):
        figures.plot(losses.isel(time=[0]), x="fleet_size", y="time")


def test_plot_refuses_an_axis_of_names(losses):
    with pytest.raises(SpecError, match=r"^doubling_rate: its values are not numbers"):
        figures.plot(losses.assign_coords(doubling_rate=["slow", "middle", "fast"]))


def test_plot_names_the_extra_where_matplotlib_is_missing(losses, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'^figures need matplotlib: pip install "relative-loss-sweep\[plot\]"$'):
        figures.plot(losses)


def test_import_does_not_import_matplotlib():
    code = "import sys, sweep.report.figures; assert 'matplotlib' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Files


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf", ".PNG"])
def test_save_writes_the_kind_the_suffix_names(losses, tmp_path, suffix):
    path = tmp_path / f"figure{suffix}"
    figures.save(figures.plot(losses), path)
    assert path.read_bytes().startswith(SIGNATURES[suffix.lower()])


@pytest.mark.parametrize("suffix", SIGNATURES)
def test_save_writes_the_same_bytes_every_time(losses, tmp_path, suffix):
    contents = []
    for name in ("one", "two"):
        figures.save(figures.plot(losses), tmp_path / (name + suffix))
        contents.append((tmp_path / (name + suffix)).read_bytes())
    assert contents[0] == contents[1]


@pytest.fixture(scope="module")
def saved_by_two_processes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Save one map as each kind of file in two processes, whose hashes of strings differ."""
    folder = tmp_path_factory.mktemp("saved")
    losses = make_losses()
    losses.relative_loss[:3] = np.inf
    losses.to_netcdf(folder / "losses.nc", engine="h5netcdf")
    code = (
        "import sys, xarray; from sweep.report import figures; source, *targets = sys.argv[1:]; "
        "figure = figures.plot(xarray.open_dataset(source, engine='h5netcdf'), x='time', y='fleet_size'); "
        "[figures.save(figure, target) for target in targets]"
    )
    stems = [folder / seed for seed in ("1", "2")]
    for stem in stems:
        command = [sys.executable, "-c", code, str(folder / "losses.nc"), *(f"{stem}{suffix}" for suffix in SIGNATURES)]
        subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": stem.name}, check=True)
    return stems


@pytest.mark.parametrize("suffix", SIGNATURES)
def test_save_writes_the_same_bytes_in_every_process(saved_by_two_processes, suffix):
    one, two = (Path(f"{stem}{suffix}").read_bytes() for stem in saved_by_two_processes)
    assert one == two


@pytest.mark.parametrize("suffix", [".svg", ".pdf"])
def test_save_writes_no_date(losses, tmp_path, suffix):
    path = tmp_path / f"figure{suffix}"
    figures.save(figures.plot(losses), path)
    assert not any(word in path.read_bytes() for word in (b"CreationDate", b"dc:date"))


@pytest.mark.parametrize("name", ["figure.png", "figure.SVG", "figure.pdf"])
def test_check_path_accepts_what_save_writes(tmp_path, name):
    figures.check_path(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["figure.jpg", "figure"])
def test_check_path_refuses_another_suffix(tmp_path, name):
    with pytest.raises(SpecError, match=r"a figure is written as \.png, \.svg or \.pdf, got "):
        figures.check_path(tmp_path / name)


def test_check_path_refuses_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(SpecError, match=r"figure\.png: the folder .*missing does not exist$"):
        figures.check_path(tmp_path / "missing" / "figure.png")


def test_check_path_names_the_extra_where_matplotlib_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"relative-loss-sweep\[plot\]"):
        figures.check_path(tmp_path / "figure.png")


@pytest.mark.parametrize("name", ["figure.jpg", "figure"])
def test_save_refuses_another_suffix(losses, tmp_path, name):
    with pytest.raises(SpecError, match=r"a figure is written as \.png, \.svg or \.pdf, got "):
        figures.save(figures.plot(losses), tmp_path / name)


def test_save_refuses_a_folder_that_does_not_exist(losses, tmp_path):
    with pytest.raises(SpecError, match=r"figure\.png: cannot be written: No such file or directory$"):
        figures.save(figures.plot(losses), tmp_path / "missing" / "figure.png")


def test_save_leaves_nothing_behind_where_it_fails(losses, tmp_path):
    figure = figures.plot(losses)
    figure.add_artist(Broken())
    with pytest.raises(RuntimeError, match="broken"):
        figures.save(figure, tmp_path / "figure.png")
    assert list(tmp_path.iterdir()) == []


class Broken(Text):
    """A text that cannot be drawn."""

    def draw(self, renderer: object) -> None:
        """Fail."""
        raise RuntimeError("broken")


def frontier_of(names: list[str], **changes: object) -> xr.Dataset:
    given = {
        "loss": "total",
        "outputs": ("relative_loss", "total_cost"),
        "axes": {"fleet_size": FLEET, "time": TIME, "doubling_rate": RATE},
        "fixed": {"scaling_exponent": 0.05, **REFERENCE},
    }
    return sweep.frontier(SweepSpec(**{**given, **changes}), minimise=names, where="time > 2 and relative_loss < 0.8")


@pytest.mark.parametrize(("most", "all_of_them"), [(2**17, True), (500, False)])
def test_points_behind_a_frontier_are_points_of_its_sweep(most, all_of_them, monkeypatch):
    monkeypatch.setattr(density, "MOST", most)
    names = ["relative_loss", "total_cost"]
    spec = SweepSpec(**json.loads(frontier_of(names).attrs["spec"]))
    whole = sweep.run(spec)
    whole = whole.where((whole.time > 2) & (whole.relative_loss < 0.8))
    columns = [whole[name].broadcast_like(whole.relative_loss).values.ravel() for name in names]
    right = {point for point in zip(*columns, strict=True) if np.isfinite(point).all()}
    found = density.behind(frontier_of(names), names)
    ours = set(zip(*(found[name].values for name in names), strict=True))
    assert ours == right if all_of_them else (ours < right and len(ours) > 0.5 * most * len(right) / 3813)


def test_points_behind_a_frontier_are_none_where_they_cannot_be_evaluated():
    found = frontier_of(["relative_loss", "total_cost"])
    for changes in ({"model": "mine"}, {"equation": "another"}, {"points_considered": 5}):
        assert density.behind(found.assign_attrs(changes), ["relative_loss", "total_cost"]) is None


@pytest.mark.parametrize("names", [["relative_loss", "total_cost"], ["relative_loss", "time", "total_cost"]])
def test_plot_frontier_draws_the_density_behind_it(names):
    figure = plot_frontier(frontier_of(names))
    for axes in figure.axes:
        (mesh,) = axes.collections
        assert mesh.get_zorder() < min(line.get_zorder() for line in axes.lines)
        assert np.nansum(np.ma.filled(mesh.get_array(), 0)) == density.behind(frontier_of(names), names).sizes["point"]
    assert "other points" in [text.get_text() for text in figure.axes[-1].get_legend().get_texts()]
    assert "Grey: " in "".join(text.get_text() for text in figure.texts)


def test_plot_frontier_of_a_model_of_your_own_has_no_density():
    figure = plot_frontier(frontier_of(["relative_loss", "total_cost"]).assign_attrs(model="mine"))
    assert not figure.axes[0].collections
    assert "Grey: " not in "".join(text.get_text() for text in figure.texts)


def test_plot_frontier_marks_the_knee_and_labels_the_units():
    found = frontier_of(["relative_loss", "total_cost"])
    (axes,) = plot_frontier(found).axes
    marks = next(line for line in axes.lines if line.get_label() == "knee")
    knee = found.isel(point=found.is_knee.values)
    np.testing.assert_array_equal(marks.get_xydata(), [[knee.relative_loss.item(), knee.total_cost.item()]])
    assert axes.get_ylabel().endswith("(USD)")


def test_plot_frontier_writes_large_numbers_of_a_linear_axis_out():
    fleet = Axis(start=1e4, stop=2e4, num=11)
    figure = plot_frontier(
        frontier_of(
            ["relative_loss", "capital_cost"],
            axes={"fleet_size": fleet, "time": TIME},
            fixed={"scaling_exponent": 0.05, "doubling_rate": 0.5, **REFERENCE},
        )
    )
    ticks = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert figure.axes[0].yaxis.get_offset_text().get_text() == ""
    assert any(text.endswith("e9") for text in ticks)
