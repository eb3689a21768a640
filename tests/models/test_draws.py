"""Sweeps over draws of uncertain parameters: which they are, and that all else takes them for an axis."""

import math
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import xarray as xr
from click.testing import CliRunner

import sweep
from sweep.cli.main import main
from sweep.config.distribution import Correlation, Distribution, Draws
from sweep.errors import SpecError
from sweep.models.problem import Problem
from sweep.models.registry import RELATIVE_LOSS

FIXED = {"fleet_size": 1e5, "scaling_exponent": 0.05, "reference_fleet": 16384.0, "reference_years": 0.25}
TIMES = {"time": sweep.Axis(values=[1.0, 5.0, 10.0])}
RATE = {"distribution": "lognormal", "low": 0.6, "high": 4.0}
EXPONENT = {"distribution": "uniform", "low": 0.048, "high": 0.057}
ORDER = [parameter.name for parameter in RELATIVE_LOSS.parameters]


def spec_of(distributions, draws=None, *, axes=TIMES, **given):
    fixed = {k: v for k, v in FIXED.items() if k not in distributions and k not in axes}
    given = {"loss": "total", "dtype": "float64"} | given
    if "statistics" not in given:
        given.setdefault("outputs", ["relative_loss"])
    return sweep.SweepSpec(
        axes=axes,
        fixed=fixed,
        distributions={k: Distribution(**v) for k, v in distributions.items()},
        draws=draws,
        **given,
    )


def sobol(name, number, seed=0, replicate=0):
    """Column of a parameter in SciPy's sequence over all parameters of the model."""
    rng = seed if not replicate else np.random.default_rng([seed, replicate])
    return scipy.stats.qmc.Sobol(len(ORDER), rng=rng).random(number)[:, ORDER.index(name)]


def lognormal(u, low=0.6, high=4.0, mass=0.9):
    middle, half = math.log(low * high) / 2, math.log(high / low) / 2
    return np.exp(middle + half / scipy.stats.norm.ppf(0.5 + mass / 2) * scipy.stats.norm.ppf(u))


def relative_loss(rate, time, exponent=0.05):
    growth = np.expm1(rate * time * np.log(2)) / (rate * np.log(2))
    return (1 + 1e5 / 16384 * growth / 0.25) ** -exponent


def test_run_has_an_axis_of_draws_after_the_others():
    dataset = sweep.run(spec_of({"doubling_rate": RATE}, Draws(number=64)))
    assert dict(dataset.relative_loss.sizes) == {"time": 3, "draw": 64}
    assert dataset.doubling_rate.dims == ("draw",)
    assert dataset.draw.values.tolist() == list(range(64))


def test_run_draws_the_points_of_scipy():
    dataset = sweep.run(spec_of({"doubling_rate": RATE, "scaling_exponent": EXPONENT}, Draws(number=1024, seed=7)))
    np.testing.assert_allclose(dataset.doubling_rate, lognormal(sobol("doubling_rate", 1024, 7)), rtol=1e-13)
    expected = 0.048 + 0.009 * sobol("scaling_exponent", 1024, 7)
    np.testing.assert_allclose(dataset.scaling_exponent, expected, rtol=1e-15)


def test_run_evaluates_the_equation_at_the_draws():
    dataset = sweep.run(spec_of({"doubling_rate": RATE}, Draws(number=256)))
    rate = dataset.doubling_rate.values
    for time in (1.0, 5.0, 10.0):
        expected = relative_loss(rate, time)
        np.testing.assert_allclose(dataset.relative_loss.sel(time=time), expected, rtol=1e-12)


def test_draws_do_not_depend_on_other_uncertain_parameters():
    alone = sweep.run(spec_of({"doubling_rate": RATE}, Draws(number=128)))
    beside = sweep.run(spec_of({"scaling_exponent": EXPONENT, "doubling_rate": RATE}, Draws(number=128)))
    np.testing.assert_array_equal(alone.doubling_rate, beside.doubling_rate)


@pytest.mark.parametrize("method", ["sobol", "latin_hypercube", "random"])
def test_draws_do_not_depend_on_how_the_work_is_cut(method, tmp_path):
    spec = spec_of({"doubling_rate": RATE}, Draws(number=2**16, method=method))
    whole = sweep.run(spec)
    path = tmp_path / "cut.zarr"
    sweep.run(spec, store=path, memory=70_000_000)
    assert xr.open_zarr(path).relative_loss.encoding["shards"] != (3, 2**16)
    np.testing.assert_array_equal(xr.open_zarr(path).relative_loss, whole.relative_loss)
    lazy = xr.open_dataset(spec, engine="sweep").relative_loss
    picked = [65535, 3, 16384, 16383]
    np.testing.assert_array_equal(lazy.isel(draw=picked), whole.relative_loss.isel(draw=picked))


@pytest.mark.parametrize("method", ["sobol", "latin_hypercube", "random"])
def test_draws_change_with_the_seed_and_nothing_else(method):
    first, again, other = (
        sweep.run(spec_of({"doubling_rate": RATE}, Draws(number=64, method=method, seed=seed))).doubling_rate.values
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.any(first == other)


@pytest.mark.parametrize("method", ["sobol", "latin_hypercube"])
def test_draws_fill_every_stratum_once(method):
    spec = spec_of({"scaling_exponent": EXPONENT, "doubling_rate": RATE}, Draws(number=512, method=method))
    u = (sweep.run(spec).scaling_exponent.values - 0.048) / 0.009
    assert sorted(np.floor(u * 512).astype(int)) == list(range(512))


def test_more_draws_of_sobol_begin_with_the_fewer():
    few, many = (sweep.run(spec_of({"doubling_rate": RATE}, Draws(number=n))).doubling_rate.values for n in (64, 256))
    np.testing.assert_array_equal(few, many[:64])


@pytest.mark.parametrize(
    ("written", "reference"),
    [
        ({"distribution": "uniform", "low": -1.0, "high": 3.0}, scipy.stats.uniform(-1, 4)),
        ({"distribution": "loguniform", "low": 0.01, "high": 10.0}, scipy.stats.loguniform(0.01, 10)),
        (
            {"distribution": "normal", "low": 1.0, "high": 2.0, "interval": 0.5},
            scipy.stats.norm(1.5, 0.5 / scipy.stats.norm.ppf(0.75)),
        ),
        (RATE, scipy.stats.lognorm(math.log(4 / 0.6) / 2 / scipy.stats.norm.ppf(0.95), scale=math.sqrt(2.4))),
        ({"distribution": "triangular", "low": 1.0, "mode": 1.5, "high": 4.0}, scipy.stats.triang(1 / 6, 1, 3)),
        (
            {"distribution": "triangular", "low": 1.0, "mode": 4.0, "high": 4.0},
            scipy.stats.triang(1.0, 1, 3),
        ),
        (
            {"distribution": "beta", "low": 1.0, "high": 3.0, "alpha": 2.0, "beta": 5.0},
            scipy.stats.beta(2, 5, 1, 2),
        ),
        (
            {"distribution": "normal", "low": 0.0, "high": 1.0, "minimum": 0.9, "maximum": 1.2},
            scipy.stats.truncnorm(
                0.4 / (0.5 / scipy.stats.norm.ppf(0.95)), 0.7 / (0.5 / scipy.stats.norm.ppf(0.95)), 0.5,
                0.5 / scipy.stats.norm.ppf(0.95),
            ),
        ),
    ],
    ids=lambda value: value["distribution"] if isinstance(value, dict) else "",
)  # fmt: skip
def test_distribution_is_that_of_scipy(written, reference):
    spec = spec_of({"doubling_rate": written}, Draws(number=4096, seed=3))
    u = np.clip(sobol("doubling_rate", 4096, 3), 2.0**-31, None)
    drawn = sweep.run(spec).doubling_rate.values
    np.testing.assert_allclose(drawn, reference.ppf(u), rtol=1e-9, atol=1e-9)
    low, high = spec.distributions["doubling_rate"].bounds()
    assert low <= drawn.min() and drawn.max() <= high


def test_empirical_is_linear_between_the_order_statistics():
    sample = [3.0, 1.0, 2.0, 10.0, 2.5]
    written = {"distribution": "empirical", "values": sample}
    drawn = sweep.run(spec_of({"doubling_rate": written}, Draws(number=256))).doubling_rate
    np.testing.assert_allclose(drawn, np.quantile(sample, sobol("doubling_rate", 256)), rtol=1e-14)


def test_empirical_is_cut_off():
    written = {"distribution": "empirical", "values": [1.0, 2.0, 4.0], "minimum": 1.5, "maximum": 3.0}
    drawn = sweep.run(spec_of({"doubling_rate": written}, Draws(number=1024))).doubling_rate
    # Half of [1, 2] is a quarter of the whole, half of [2, 4] too.
    expected = np.interp(sobol("doubling_rate", 1024), [0, 0.5, 1], [1.5, 2.0, 3.0])
    np.testing.assert_allclose(drawn, expected, rtol=1e-12)


@pytest.mark.parametrize("rank", [-0.95, -0.3, 0.6, 0.98])
def test_correlated_draws_have_the_rank_correlation(rank):
    pair = Correlation(between=["doubling_rate", "scaling_exponent"], rank=rank)
    draws = Draws(number=2**14, correlations=[pair])
    dataset = sweep.run(spec_of({"doubling_rate": RATE, "scaling_exponent": EXPONENT}, draws))
    found = scipy.stats.spearmanr(dataset.doubling_rate, dataset.scaling_exponent).statistic
    assert found == pytest.approx(rank, abs=0.005)


def test_correlated_draws_keep_their_marginals():
    pair = Correlation(between=["doubling_rate", "scaling_exponent"], rank=0.8)
    draws = Draws(number=2**14, correlations=[pair])
    dataset = sweep.run(spec_of({"doubling_rate": RATE, "scaling_exponent": EXPONENT}, draws))
    u = np.sort((dataset.scaling_exponent.values - 0.048) / 0.009)
    assert np.abs(u - (np.arange(2**14) + 0.5) / 2**14).max() < 0.002


def test_replicates_are_an_axis_of_other_scrambles():
    spec = spec_of({"doubling_rate": RATE}, Draws(number=64, replicates=3, seed=5))
    dataset = sweep.run(spec)
    assert dict(dataset.relative_loss.sizes) == {"time": 3, "replicate": 3, "draw": 64}
    for replicate in range(3):
        expected = lognormal(sobol("doubling_rate", 64, 5, replicate))
        np.testing.assert_allclose(dataset.doubling_rate.sel(replicate=replicate), expected, rtol=1e-13)


def test_statistics_over_draws_are_those_of_the_values():
    statistics = {
        "expected": sweep.Statistic(statistic="mean", output="relative_loss", over=["draw"]),
        "band": sweep.Statistic(
            statistic="quantiles", output="relative_loss", over=["draw"], probabilities=[0.05, 0.95]
        ),
        "chance": sweep.Statistic(statistic="share", where="relative_loss < 0.7", over=["draw"]),
    }
    draws = Draws(number=2**12)
    reduced = sweep.run(spec_of({"doubling_rate": RATE}, draws, statistics=statistics))
    values = relative_loss(lognormal(sobol("doubling_rate", 2**12)), np.array(TIMES["time"].values)[:, None])
    np.testing.assert_allclose(reduced.expected, values.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(reduced.band, np.quantile(values, [0.05, 0.95], axis=1).T, rtol=1e-12)
    np.testing.assert_array_equal(reduced.chance, (values < 0.7).mean(axis=1))


def test_mean_over_draws_converges_to_the_integral():
    statistics = {"expected": sweep.Statistic(statistic="mean", output="relative_loss", over=["draw"])}
    spec = spec_of({"doubling_rate": RATE}, Draws(number=2**14), statistics=statistics)
    found = sweep.run(spec).expected.values
    for time, mean in zip(TIMES["time"].values, found, strict=True):
        exact, _ = scipy.integrate.quad(lambda u, t=time: relative_loss(lognormal(u), t), 0, 1, epsabs=1e-10)
        assert mean == pytest.approx(exact, abs=1e-5)  # independent draws would err by 1e-3


def test_frontier_takes_draws_for_an_axis():
    axes = {"fleet_size": sweep.Axis(start=1e4, stop=1e6, num=20, spacing="log")}
    spec = spec_of({"doubling_rate": RATE}, Draws(number=16), axes=axes, outputs=["relative_loss", "capital_cost"])
    spec = spec.model_copy(update={"fixed": {**spec.fixed, "time": sweep.Fixed(value=5.0)}})
    front = sweep.frontier(spec, minimise=["relative_loss", "capital_cost"], by="draw")
    assert front.sizes["point"] == 16 * 20


def test_optimise_splits_a_budget_for_every_draw():
    fixed = {"budget": 2.0, "horizon": 5.0, "hardware_rate": 0.48, "scaling_exponent": 0.178, "reference_years": 1.0}
    spec = sweep.SweepSpec(
        model="front_loading",
        loss="excess",
        fixed=fixed,
        distributions={"software_rate": Distribution(distribution="lognormal", low=0.55, high=6.0, maximum=10.0)},
        draws=Draws(number=8),
        allocation=sweep.Allocation(dates=1, objective="mean"),
    )
    found = sweep.optimise(spec)
    assert found.objective.dims == ("draw",)
    one = sweep.SweepSpec(
        model="front_loading",
        loss="excess",
        axes={"software_rate": sweep.Axis(values=np.sort(found.software_rate.values))},
        fixed=fixed,
        allocation=sweep.Allocation(dates=1, objective="mean"),
    )
    expected = sweep.optimise(one).objective.values
    np.testing.assert_array_equal(np.sort(found.objective.values), np.sort(expected))


def test_dataset_says_how_the_parameters_are_distributed():
    written = RATE | {"maximum": 8.0, "source": "a table"}
    dataset = sweep.run(spec_of({"doubling_rate": written}, Draws(number=64)))
    assert dataset.attrs["distributions"] == (
        "doubling_rate: lognormal, 90 % in 0.6 to 4, cut off above 8 1/year (a table)"
    )
    assert dataset.attrs["draws"] == "64 scrambled Sobol' points, seed 0"
    assert dataset.doubling_rate.attrs == {"long_name": "efficiency doublings a year", "units": "1/year"}


def test_fingerprint_tells_distributions_apart():
    base = spec_of({"doubling_rate": RATE})
    for other in (
        spec_of({"doubling_rate": RATE | {"interval": 0.95}}),
        spec_of({"doubling_rate": RATE | {"maximum": 8.0}}),
        spec_of({"doubling_rate": RATE}, Draws(seed=1)),
        spec_of({"doubling_rate": RATE}, Draws(method="random")),
        spec_of({"doubling_rate": RATE}, Draws(number=8192)),
    ):
        assert other.fingerprint() != base.fingerprint()
    assert spec_of({"doubling_rate": RATE | {"interval": 0.9, "source": "x"}}).fingerprint() == base.fingerprint()


def test_store_of_other_draws_is_refused(tmp_path):
    path = tmp_path / "draws.zarr"
    sweep.run(spec_of({"doubling_rate": RATE}, Draws(number=64)), store=path)
    with pytest.raises(sweep.StoreError, match=r"draws\.seed is 0 there, 1 here"):
        sweep.run(spec_of({"doubling_rate": RATE}, Draws(number=64, seed=1)), store=path)


def test_model_of_draws_can_be_pickled():
    spec = spec_of({"doubling_rate": RATE}, Draws(number=64))
    model = pickle.loads(pickle.dumps(Problem.of(spec).model))
    np.testing.assert_array_equal(
        sweep.run(spec).relative_loss, model_values := sweep.run(spec, model=None).relative_loss
    )
    assert model.outputs == Problem.of(spec).model.outputs and model_values.size


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"distribution": "gamma"}, 'distribution: must be "uniform", "loguniform"'),
        ({"distribution": "uniform", "low": 1.0}, 'high: is required by distribution = "uniform"'),
        ({"distribution": "uniform", "low": 2.0, "high": 1.0}, "low: must be below high, got low=2.0, high=1.0"),
        ({"distribution": "loguniform", "low": 0.0, "high": 1.0}, "low: must be > 0"),
        ({"distribution": "lognormal", "low": -1.0, "high": 1.0}, "low: must be > 0"),
        ({"distribution": "uniform", "low": 0.0, "high": 1.0, "mode": 0.5}, 'mode: does not belong to'),
        ({"distribution": "uniform", "low": 0.0, "high": 1.0, "interval": 0.5}, "interval: does not belong to"),
        ({"distribution": "triangular", "low": 0.0, "high": 1.0, "mode": 2.0}, r"mode: must be in \[low, high\]"),
        ({"distribution": "normal", "low": 0.0, "high": 1.0, "interval": 1.0}, "interval: must be less than or equal"),
        ({"distribution": "normal", "low": 0.0, "high": 1.0, "interval": 1e-300}, "interval: must be greater than"),
        ({"distribution": "beta", "low": 0.0, "high": 1.0, "alpha": 0.0, "beta": 1.0}, "alpha: must be greater than"),
        ({"distribution": "uniform", "low": 0.0, "high": 1.0, "minimum": 1.0}, "minimum: leaves nothing of"),
        ({"distribution": "uniform", "low": 0.0, "high": 1.0, "maximum": -1.0}, "maximum: leaves nothing of"),
        ({"distribution": "normal", "low": 0.0, "high": 1.0, "minimum": 2.0, "maximum": 1.0}, "minimum: must be below"),
        ({"distribution": "normal", "low": 0.0, "high": 1.0, "minimum": 9.0}, "minimum: leaves nothing of"),
        ({"distribution": "empirical", "values": [1.0]}, "values: must be numbers of which two at least differ"),
        ({"distribution": "empirical", "values": [1.0, 1.0]}, "values: must be numbers of which two at least differ"),
        ({"distribution": "empirical"}, "values: is required"),
        ({"distribution": "uniform", "low": 0.0, "high": math.inf}, "high: must be a finite number"),
        ({"distribution": "uniform", "low": 0.0, "hihg": 1.0}, 'unknown key "hihg"; did you mean high'),
    ],
)  # fmt: skip
def test_distribution_refuses(written, message):
    with pytest.raises(SpecError, match=message):
        Distribution(**written)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"number": 100}, r'number: must be a power of two with method = "sobol", such as 64 or 128, got 100'),
        ({"number": 1}, "number: must be greater than or equal to 2, got 1"),
        ({"number": 2**31}, "number: must be less than or equal to 1073741824"),
        ({"seed": -1}, "seed: must be greater than or equal to 0"),
        ({"method": "halton"}, 'method: must be "sobol", "latin_hypercube" or "random", got "halton"'),
        ({"replicates": 0}, "replicates: must be greater than or equal to 1"),
        ({"correlations": [{"between": ["a"], "rank": 0.5}]}, r'between: must have 2 entries, got \["a"\]'),
        ({"correlations": [{"between": ["a", "b", "c"], "rank": 0.5}]}, "between: must have 2 entries, got"),
        ({"correlations": [3]}, "correlations.0: must be a table, got 3"),
        ({"correlations": [{"between": ["a", "a"], "rank": 0.5}]}, "correlations: name two parameters"),
        ({"correlations": [{"between": ["a", "b"], "rank": 1.0}]}, "rank: must be less than 1"),
        (
            {"correlations": [{"between": ["a", "b"], "rank": 0.5}, {"between": ["b", "a"], "rank": 0.1}]},
            "correlations: name two parameters, each pair once",
        ),
    ],
)
def test_draws_refuse(written, message):
    with pytest.raises(SpecError, match=message):
        Draws(**written)


def test_correlations_that_cannot_be_together_are_named():
    pairs = [
        Correlation(between=["doubling_rate", "scaling_exponent"], rank=0.9),
        Correlation(between=["scaling_exponent", "fleet_size"], rank=0.9),
        Correlation(between=["doubling_rate", "fleet_size"], rank=-0.9),
        Correlation(between=["doubling_rate", "reference_years"], rank=0.1),
    ]
    given = {
        "doubling_rate": RATE,
        "scaling_exponent": EXPONENT,
        "fleet_size": {"distribution": "loguniform", "low": 1e4, "high": 1e6},
        "reference_years": {"distribution": "uniform", "low": 0.2, "high": 0.3},
    }
    message = r'draws\.correlations: .*not positive definite; .*"doubling_rate" and "fleet_size" = -0\.9 \(between 0\.6'
    with pytest.raises(SpecError, match=message) as caught:
        spec_of(given, Draws(correlations=pairs))
    assert "reference_years" not in str(caught.value)


def test_correlation_of_a_parameter_without_a_distribution_is_refused():
    pair = Correlation(between=["doubling_rate", "fleet_size"], rank=0.5)
    with pytest.raises(SpecError, match=r'draws\.correlations: unknown distribution "fleet_size"; allowed: doubling'):
        spec_of({"doubling_rate": RATE}, Draws(correlations=[pair]))


@pytest.mark.parametrize(
    ("distributions", "message"),
    [
        ({"doubling_rat": RATE}, r'distributions: unknown parameter "doubling_rat"; did you mean doubling_rate'),
        ({"gamma": RATE}, 'distributions: "gamma" is another spelling of doubling_rate; write doubling_rate'),
        (
            {"doubling_rate": RATE, "scaling_exponent": {"distribution": "normal", "low": 0.03, "high": 0.06}},
            r"distributions\.scaling_exponent: reaches -0\.\d+, must be > 0; give a minimum",
        ),
        (
            {"doubling_rate": RATE, "unit_price": EXPONENT},
            r"distributions\.unit_price: none of the outputs depends on it \(relative_loss\)",
        ),
    ],
)
def test_distributions_refuse_what_their_parameter_cannot_have(distributions, message):
    with pytest.raises(SpecError, match=message):
        sweep.run(spec_of(distributions))


def test_distribution_too_wide_for_the_type_is_refused():
    wide = {"distribution": "loguniform", "low": 1.0, "high": 1e300}
    with pytest.raises(SpecError, match=r"distributions\.fleet_size: reaches 1e\+300, more than float32 holds"):
        sweep.run(spec_of({"fleet_size": wide, "doubling_rate": RATE}, dtype="float32"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"axes": {"doubling_rate": sweep.Axis(values=[1.0])}}, "given twice, under axes and under distributions"),
        ({"axes": {"draw": sweep.Axis(values=[1.0])}}, r'axis "draw": is made by \[draws\]'),
    ],
)
def test_spec_refuses_axes_that_draws_make(given, message):
    with pytest.raises(SpecError, match=message):
        spec_of({"doubling_rate": RATE}, **given)


def test_draws_without_distributions_are_refused():
    with pytest.raises(SpecError, match=r"draws: are of \[distributions\], and there are none"):
        sweep.SweepSpec(outputs=["relative_loss"], axes=TIMES, draws=Draws())


def written(folder: Path, distributions: str, draws: str = "") -> Path:
    path = folder / "config.toml"
    years = "" if "reference_years" in distributions else "reference_years = 0.25\n"
    path.write_text(
        'loss = "total"\noutputs = ["relative_loss"]\n[axes]\ntime = {values = [1.0]}\n'
        f"[fixed]\nfleet_size = 1e5\nscaling_exponent = 0.05\nreference_fleet = 16384.0\n{years}"
        f"[distributions]\n{distributions}\n[draws]\n{draws}\n"
    )
    return path


PRIORS = (
    '[distributions.slow]\ndistribution = "uniform"\nlow = 0.1\nhigh = 0.5\nsource = "a paper"\n'
    '[correlations.both]\nbetween = ["doubling_rate", "reference_years"]\nrank = 0.5\n'
)


def test_load_takes_a_prior_by_name(tmp_path):
    (tmp_path / "priors.toml").write_text(PRIORS)
    problem = sweep.load(written(tmp_path, 'doubling_rate = "priors.slow"'))
    assert problem.spec.distributions["doubling_rate"] == Distribution(
        distribution="uniform", low=0.1, high=0.5, source="a paper"
    )


def test_load_takes_a_correlation_by_name(tmp_path):
    (tmp_path / "priors.toml").write_text(PRIORS)
    years = 'reference_years = {distribution = "uniform", low = 0.2, high = 0.3}'
    path = written(tmp_path, f'doubling_rate = "priors.slow"\n{years}', 'correlations = ["priors.both"]')
    assert sweep.load(path).spec.draws.correlations[0].rank == 0.5


def test_load_takes_a_sample_of_a_csv_file(tmp_path):
    (tmp_path / "rates.csv").write_text("name,rate\na,0.5\nb,1.5\nc,\nd,1.0\n")
    path = written(tmp_path, 'doubling_rate = {distribution = "empirical", file = "rates.csv", column = "rate"}')
    found = sweep.load(path).spec.distributions["doubling_rate"]
    assert (found.values, found.source) == ((0.5, 1.5, 1.0), "rates.csv, rate")


def test_load_takes_a_sample_of_a_netcdf_file(tmp_path):
    xr.Dataset({"rate": ("run", [0.5, np.nan, 1.5])}).to_netcdf(tmp_path / "rates.nc", engine="h5netcdf")
    path = written(tmp_path, 'doubling_rate = {distribution = "empirical", file = "rates.nc", column = "rate"}')
    assert sweep.load(path).spec.distributions["doubling_rate"].values == (0.5, 1.5)


@pytest.mark.parametrize(
    ("distributions", "message"),
    [
        ('doubling_rate = "priors.fast"', r'unknown name in priors.toml "fast"; .*allowed: slow'),
        ('doubling_rate = "others.slow"', r"others\.toml: No such file"),
        ('doubling_rate = "slow"', r'must be a table or a name such as "priors.realised", got "slow"'),
        ("doubling_rate = 3", "distributions.doubling_rate: must be a table"),
        (
            'doubling_rate = {distribution = "empirical", file = "rates.csv", column = "rat"}',
            'unknown column "rat"; did you mean rate',
        ),
        (
            'doubling_rate = {distribution = "empirical", file = "rates.csv", column = "name"}',
            'line 2: name must be a number, got "a"',
        ),
        (
            'doubling_rate = {distribution = "empirical", file = "none.csv", column = "rate"}',
            "none.csv: cannot be read: No such file",
        ),
        ('doubling_rate = {distribution = "empirical", file = "rates.csv"}', "file and column must both be strings"),
        ('doubling_rate = {distribution = "uniform", file = "rates.csv", column = "rate"}', "file: belongs to"),
    ],
)  # fmt: skip
def test_load_refuses_what_other_files_do_not_have(tmp_path, distributions, message):
    (tmp_path / "priors.toml").write_text(PRIORS)
    (tmp_path / "rates.csv").write_text("name,rate\na,0.5\nb,1.5\n")
    with pytest.raises(SpecError, match=message):
        sweep.load(written(tmp_path, distributions))


def test_command_line_prints_the_error_of_replicates(tmp_path):
    (tmp_path / "priors.toml").write_text(PRIORS)
    path = written(tmp_path, 'doubling_rate = "priors.slow"', "number = 64\nreplicates = 4")
    text = path.read_text().replace('outputs = ["relative_loss"]\n', "")
    path.write_text(f'{text}[statistics.expected]\nstatistic = "mean"\noutput = "relative_loss"\nover = ["draw"]\n')
    found = CliRunner().invoke(main, ["run", str(path)])
    assert found.exit_code == 0, found.output
    assert "expected_standard_error  time 1" in found.output


def _with_replicates(tmp_path):
    (tmp_path / "priors.toml").write_text(PRIORS)
    path = written(tmp_path, 'doubling_rate = "priors.slow"', "number = 64\nreplicates = 4")
    text = path.read_text().replace('outputs = ["relative_loss"]\n', "")
    for kind, more in (("mean", ""), ("quantiles", "probabilities = [0.1, 0.9]\n"), ("max", ""), ("argmax", "")):
        text += f'[statistics.of_{kind}]\nstatistic = "{kind}"\noutput = "relative_loss"\nover = ["draw"]\n{more}'
    path.write_text(text)
    return path


@pytest.mark.parametrize("store", [False, True])
def test_command_line_writes_what_it_shows_of_replicates_and_these_on_request(tmp_path, store):
    path = _with_replicates(tmp_path)
    of_store = ("--store", str(tmp_path / "s.zarr")) if store else ()
    files = {name: tmp_path / f"{name}.nc" for name in ("told", "sets")}
    for file, more in zip(files.values(), ((), ("--replicates",)), strict=True):
        # The second command goes on with the store of the first, which has each set.
        found = CliRunner().invoke(main, ["run", str(path), *of_store, "--netcdf", str(file), *more])
        assert found.exit_code == 0, found.output
        assert ("complete already" in found.output) == bool(store and more)
    told, sets = (xr.load_dataset(file, engine="h5netcdf") for file in files.values())
    shown = CliRunner().invoke(main, ["run", str(path)]).output
    assert all(re.search(rf"^ *{name} ", shown, re.M) for name in told.data_vars)
    assert "of_mean_standard_error" not in sets
    for name in ("of_mean", "of_quantiles"):
        values = sets[name].transpose("replicate", ...).values.astype("float64")
        np.testing.assert_allclose(told[name], values.mean(axis=0), rtol=1e-6)
        error = values.std(axis=0, ddof=1) / 2.0
        np.testing.assert_allclose(told[f"{name}_standard_error"], error, rtol=1e-5)
    np.testing.assert_array_equal(told.of_max, sets.of_max.max("replicate"))
    assert told.attrs["replicates"] == 4
    xr.testing.assert_equal(sweep.pooled(sets), told)


def test_command_line_refuses_replicates_without_a_file(tmp_path):
    found = CliRunner().invoke(main, ["run", str(_with_replicates(tmp_path)), "--replicates"])
    assert found.exit_code == 2
    assert found.output == "error: --replicates: belongs to --netcdf, give both; a store keeps each set of draws\n"


def test_command_line_describes_distributions(tmp_path):
    (tmp_path / "priors.toml").write_text(PRIORS)
    found = CliRunner().invoke(main, ["describe", str(written(tmp_path, 'doubling_rate = "priors.slow"'))])
    assert found.exit_code == 0, found.output
    assert "doubling_rate      uniform, 0.1 to 0.5" in found.output
    assert "4,096 scrambled Sobol' points, seed 0" in found.output


def test_command_line_tells_the_drawn_values_of_a_split(tmp_path):
    path = tmp_path / "split.toml"
    path.write_text(
        'model = "front_loading"\nloss = "excess"\n[allocation]\nobjective = "mean"\n'
        "[draws]\nnumber = 2\n[distributions]\n"
        'software_rate = {distribution = "uniform", low = 0.5, high = 1.0}\n'
        "[fixed]\nbudget = 2.0\nhorizon = 5.0\nhardware_rate = 0.5\nscaling_exponent = 0.178\nreference_years = 1.0\n"
    )
    found = CliRunner().invoke(main, ["optimise", str(path)])
    assert found.exit_code == 0, found.output
    assert re.search(r"draw = 1, software_rate = 0\.\d+ per year:", found.output)


@pytest.mark.parametrize("minimum", [-1.0, 0.0])
def test_lognormal_is_not_cut_off_below_nought(minimum):
    whole = {"distribution": "lognormal", "low": 0.5, "high": 2.0}
    found, expected = (
        sweep.run(spec_of({"doubling_rate": written}, Draws(number=64))).doubling_rate
        for written in (whole | {"minimum": minimum}, whole)
    )
    np.testing.assert_array_equal(found, expected)


def test_run_refuses_a_distribution_of_which_too_little_is_left():
    # No double is as small as what lies there.
    beyond = {"distribution": "beta", "low": 0.0, "high": 1.0, "alpha": 1e6, "beta": 1e6, "minimum": 0.9}
    with pytest.raises(SpecError, match=r"distributions\.doubling_rate: too little is left to draw from of beta"):
        sweep.run(spec_of({"doubling_rate": beyond}, Draws(number=64)))


def test_model_with_draws_names_an_output_that_there_is_not():
    with pytest.raises(SpecError, match='unknown output "prize"'):
        sweep.run(spec_of({"doubling_rate": RATE}, Draws(number=64), outputs=("prize",)))
