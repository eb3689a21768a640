"""Fan charts: what is drawn of quantiles, and what a figure of draws says of its sampling error."""

import numpy as np
import pytest

import sweep
from sweep.report import figures

TIMES = np.array([1.0, 2.0, 5.0, 10.0])


def bands(probabilities, replicates=1):
    spec = sweep.SweepSpec(
        loss="total",
        dtype="float64",
        axes={"time": sweep.Axis(values=TIMES)},
        fixed={"fleet_size": 1.0, "scaling_exponent": 0.05, "reference_fleet": 1.0, "reference_years": 1.0},
        distributions={"doubling_rate": sweep.Distribution(distribution="lognormal", low=0.6, high=4.0)},
        draws=sweep.Draws(number=256, replicates=replicates),
        statistics={
            "band": sweep.Statistic(
                statistic="quantiles", output="relative_loss", over=["draw"], probabilities=probabilities
            )
        },
    )
    return sweep.run(spec)


def drawn(figure):
    axes = figure.axes[0]
    return [c.get_label() for c in axes.collections], [line.get_label() for line in axes.lines]


@pytest.mark.parametrize(
    ("probabilities", "areas", "lines"),
    [
        ([0.05, 0.25, 0.5, 0.75, 0.95], ["5 % to 95 %", "25 % to 75 %"], ["50 %"]),
        ([0.1, 0.9], ["10 % to 90 %"], []),
        ([0.5], [], ["50 %"]),
    ],
)
def test_plot_draws_a_band_for_each_pair_of_quantiles(probabilities, areas, lines):
    assert drawn(figures.plot(bands(probabilities))) == (areas, lines)


def test_plot_bands_reach_from_quantile_to_quantile():
    dataset = bands([0.05, 0.5, 0.95])
    (area,) = figures.plot(dataset).axes[0].collections
    heights = area.get_paths()[0].vertices[:, 1]
    assert heights.min() == dataset.band.sel(quantile=0.05).min()
    assert heights.max() == dataset.band.sel(quantile=0.95).max()


def test_plot_of_replicates_says_their_sampling_error():
    dataset = bands([0.5], replicates=4)
    most = float(sweep.pooled(dataset).band_standard_error.max())
    text = "\n".join(t.get_text() for t in figures.plot(dataset).texts)
    assert f"Sampling error: at most {most:.2g} (standard error, 4 replicates)" in text


def test_plot_says_what_is_uncertain():
    text = " ".join(" ".join(t.get_text().split()) for t in figures.plot(bands([0.5])).texts)
    assert "Uncertain: doubling_rate: lognormal, 90 % in 0.6 to 4 1/year" in text
    assert "Draws: 256 scrambled Sobol' points, seed 0" in text
