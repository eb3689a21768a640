"""What drives an output: models whose indices are known, intervals that cover, extension bit by bit, refusals."""

import itertools
import json
import math
import warnings

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
import xarray as xr
from click.testing import CliRunner

import sweep
from kernels.draws.sobol import scrambling, sobol_points
from sweep.cli.main import main
from sweep.models.sampling import seed_of
from sweep.questions.sensitivity import sensitivity, sums
from sweep.report import figures
from sweep.report.describe_questions import describe_sensitivity
from sweep.report.sensitivity_figure import plot_sensitivity

PI = math.pi
REFERENCE = {"reference_fleet": 1.0, "reference_years": 1.0}
UNIFORM = {"distribution": "uniform", "low": 0.0, "high": 1.0}
NORMAL = {"distribution": "normal", "low": -1.6448536269514722, "high": 1.6448536269514722}  # mean 0, deviation 1


def model_of(function, names, outputs=("y",), axes=()):
    parameters = tuple(sweep.Parameter(name, f"input {name}", "1") for name in (*names, *axes))

    def one(output):
        return lambda **values: function(**values)[output]

    made = tuple(sweep.Quantity(o, f"output {o}", "m", one(o), needs=(*names, *axes)) for o in outputs)
    return sweep.Model("test", made, parameters)


def spec_of(distributions, outputs=("y",), seed=0, **others):
    given = {"model": "test", "dtype": "float64", **others}
    given.setdefault("draws", {"number": 2, "seed": seed})
    return sweep.SweepSpec(outputs=outputs, distributions=distributions, **given)


ISHIGAMI = model_of(
    lambda x1, x2, x3: {"y": jnp.sin(x1) + 7.0 * jnp.sin(x2) ** 2 + 0.1 * x3**4 * jnp.sin(x1)}, ("x1", "x2", "x3")
)
V1, V2, V13 = 0.5 * (1.0 + 0.1 * PI**4 / 5.0) ** 2, 49.0 / 8.0, 8.0 * 0.01 * PI**8 / 225.0
FIRST = np.array([V1, V2, 0.0]) / (V1 + V2 + V13)
TOTAL = np.array([V1 + V13, V2, V13]) / (V1 + V2 + V13)


def ishigami_spec(seed=0):
    within = {"distribution": "uniform", "low": -PI, "high": PI}
    return spec_of(dict.fromkeys(("x1", "x2", "x3"), within), seed=seed)


LINEAR = model_of(lambda a, b, c: {"y": 1.0 + 2.0 * a - 3.0 * b + 0.5 * c}, ("a", "b", "c"))
LINEAR_SPEC = spec_of(dict.fromkeys("abc", UNIFORM))


def values(dataset, name, output="y"):
    return dataset[f"{output}_{name}"].values


@pytest.fixture(scope="module")
def ishigami():
    return sweep.sensitivity(ishigami_spec(), number=2**16, second_order=True, model=ISHIGAMI)


def test_sensitivity_of_ishigami(ishigami):
    np.testing.assert_allclose(values(ishigami, "first_order"), FIRST, atol=2e-3)
    np.testing.assert_allclose(values(ishigami, "total"), TOTAL, atol=2e-3)
    np.testing.assert_allclose(values(ishigami, "mean"), 3.5, atol=1e-4)
    np.testing.assert_allclose(values(ishigami, "variance"), V1 + V2 + V13, rtol=1e-3)


def test_sensitivity_of_pairs_of_ishigami(ishigami):
    expected = np.array([[np.nan, 0.0, V13], [0.0, np.nan, 0.0], [V13, 0.0, np.nan]]) / (V1 + V2 + V13)
    np.testing.assert_allclose(values(ishigami, "second_order"), expected, atol=1e-2)


def test_sensitivity_of_the_g_function():
    weights = np.array([0.0, 1.0, 4.5, 9.0])
    names = ("x1", "x2", "x3", "x4")

    def function(**x):
        factors = (jnp.abs(4.0 * x[name] - 2.0) + a for name, a in zip(names, weights.tolist(), strict=True))
        return {"y": math.prod(factors) / math.prod((1.0 + weights).tolist())}

    found = sweep.sensitivity(spec_of(dict.fromkeys(names, UNIFORM)), number=2**16, model=model_of(function, names))
    parts = 1.0 / (3.0 * (1.0 + weights) ** 2)
    variance = np.prod(1.0 + parts) - 1.0
    np.testing.assert_allclose(values(found, "first_order"), parts / variance, atol=2e-3)
    total = parts * np.prod(1.0 + parts) / (1.0 + parts) / variance
    np.testing.assert_allclose(values(found, "total"), total, atol=2e-3)


def test_sensitivity_agrees_with_scipy_on_the_same_points(ishigami):
    """The points of every replicate from their seeds, the model in NumPy, the estimators of SciPy."""
    points = [sobol_points(scrambling(seed_of(0, r), 6), 0, 2**14) for r in range(4)]
    x = (2.0 * np.concatenate(points).T - 1.0) * PI
    a, b = x[:3], x[3:]

    def function(x):
        return (np.sin(x[0]) + 7.0 * np.sin(x[1]) ** 2 + 0.1 * x[2] ** 4 * np.sin(x[0]))[None]

    mixed = np.stack([function(np.where((np.arange(3) == i)[:, None], b, a)) for i in range(3)])
    given = {"f_A": function(a), "f_B": function(b), "f_AB": mixed}
    expected = scipy.stats.sobol_indices(func=given, n=a.shape[1])
    np.testing.assert_allclose(values(ishigami, "first_order"), expected.first_order.ravel(), atol=1e-12)
    np.testing.assert_allclose(values(ishigami, "total"), expected.total_order.ravel(), atol=1e-12)


def test_sensitivity_of_the_relative_loss_over_time():
    """Against tensor Gauss-Legendre quadrature in each year; at time 0 nothing varies."""
    spec = sweep.SweepSpec(
        loss="total",
        outputs=("relative_loss", "effective_years"),
        dtype="float64",
        axes={"time": sweep.Axis(values=(0.0, 2.0, 8.0)), "fleet_size": sweep.Axis(values=(1.0, 5.0))},
        distributions={
            "doubling_rate": {"distribution": "uniform", "low": 0.2, "high": 2.0},
            "scaling_exponent": {"distribution": "uniform", "low": 0.04, "high": 0.06},
        },
        fixed=REFERENCE,
    )
    found = sweep.sensitivity(spec, number=2**15)
    assert found.relative_loss_first_order.dims == ("parameter", "time", "fleet_size")
    assert found.effective_years_total.dims == ("parameter", "time")
    x, w = np.polynomial.legendre.leggauss(30)
    rate, kappa = 1.1 + 0.9 * x[:, None], 0.05 + 0.01 * x[None]
    for time, fleet in itertools.product((2.0, 8.0), (1.0, 5.0)):
        years = np.expm1(rate * time * math.log(2.0)) / (rate * math.log(2.0))
        loss = (1.0 + fleet * years) ** -kappa
        mean = w @ loss @ w / 4.0
        variance = w @ (loss - mean) ** 2 @ w / 4.0
        parts = [w @ (loss @ w / 2.0 - mean) ** 2 / 2.0, w @ (w @ loss / 2.0 - mean) ** 2 / 2.0]
        cell = found.sel(time=time, fleet_size=fleet)
        np.testing.assert_allclose(cell.relative_loss_first_order, np.array(parts) / variance, atol=5e-4)
        np.testing.assert_allclose(cell.relative_loss_total, 1.0 - np.array(parts)[::-1] / variance, atol=5e-4)
        np.testing.assert_allclose(cell.relative_loss_mean, mean, rtol=1e-6)
    assert (found.relative_loss_status.sel(time=0.0) == 1).all()
    assert np.isnan(found.relative_loss_total.sel(time=0.0)).all()
    assert (found.effective_years_first_order.sel(parameter="scaling_exponent", time=8.0) == 0.0).all()


def test_sensitivity_covers_the_truth():
    inside = np.zeros((2, 3))
    for seed in range(200):
        found = sweep.sensitivity(ishigami_spec(seed), number=2**12, model=ISHIGAMI)
        for row, name, truth in ((0, "first_order", FIRST), (1, "total", TOTAL)):
            inside[row] += (values(found, f"{name}_low") <= truth) & (truth <= values(found, f"{name}_high"))
    assert (inside >= 180).all()


def test_sensitivity_widens_intervals_with_confidence():
    widths = []
    for confidence in (0.5, 0.95):
        found = sweep.sensitivity(ishigami_spec(), number=2**10, confidence=confidence, model=ISHIGAMI)
        widths.append(values(found, "total_high") - values(found, "total_low"))
    ratio = scipy.stats.t.ppf(0.975, 3) / scipy.stats.t.ppf(0.75, 3)
    np.testing.assert_allclose(widths[1] / widths[0], ratio, rtol=1e-9)


@pytest.mark.parametrize("method", ["sobol", "morris", "shapley"])
def test_sensitivity_extends_to_the_bits_of_one_run(method, monkeypatch):
    monkeypatch.setattr(sums, "BLOCK", 128)
    monkeypatch.setattr(sums, "TURN", 1000)
    half = sweep.sensitivity(ishigami_spec(), method=method, number=2**10, model=ISHIGAMI)
    whole = sweep.sensitivity(ishigami_spec(), method=method, number=2**11, extend=half, model=ISHIGAMI)
    assert whole.identical(sweep.sensitivity(ishigami_spec(), method=method, number=2**11, model=ISHIGAMI))


def test_sensitivity_does_not_depend_on_the_number_of_draws_of_a_run():
    half = sweep.sensitivity(ishigami_spec(), number=2**10, model=ISHIGAMI)
    other = spec_of(ishigami_spec().distributions, draws={"number": 64, "replicates": 3})
    whole = sweep.sensitivity(other, number=2**11, extend=half, model=ISHIGAMI)
    assert whole.attrs["number"] == 2**11


def test_sensitivity_counts_progress():
    seen = []
    sweep.sensitivity(LINEAR_SPEC, number=2**10, model=LINEAR, progress=lambda *now: seen.append(now))
    assert seen[-1][:2] == (2**10, 2**10) and [now[0] for now in seen] == sorted(now[0] for now in seen)


def test_sensitivity_stops_every_thread_after_an_interrupt(monkeypatch):
    monkeypatch.setattr(sums, "BLOCK", 64)
    monkeypatch.setattr(sums, "TURN", 1)
    seen = []

    def interrupt(*now):
        seen.append(now)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep.sensitivity(LINEAR_SPEC, number=2**18, model=LINEAR, progress=interrupt)
    assert sweep.sensitivity(LINEAR_SPEC, number=2**10, model=LINEAR).y_status == 0
    assert len(seen) <= 4  # of 4,096 turns


def test_sensitivity_in_float32_is_near():
    spec = LINEAR_SPEC.model_copy(update={"dtype": "float32"})
    found = sweep.sensitivity(spec, number=2**12, model=LINEAR)
    np.testing.assert_allclose(values(found, "total"), np.array([4.0, 9.0, 0.25]) / 13.25, atol=1e-3)


def test_sensitivity_says_where_an_output_is_not_finite():
    model = model_of(lambda a, b, c: {"y": jnp.log(a - 0.5), "z": a + b * c}, tuple("abc"), ("y", "z"))
    found = sweep.sensitivity(spec_of(dict.fromkeys("abc", UNIFORM), ("y", "z")), number=2**10, model=model)
    assert found.y_status == 2 and np.isnan(found.y_total).all() and np.isnan(found.y_mean)
    assert found.z_status == 0 and np.isfinite(found.z_total).all()


def test_sensitivity_labels_what_it_finds():
    found = sweep.sensitivity(LINEAR_SPEC, number=2**10, model=LINEAR)
    assert found.parameter.values.tolist() == ["a", "b", "c"]
    assert found.y_variance.attrs == {"long_name": "variance of output y", "units": "(m)2"}
    assert all({"long_name", "units"} <= set(variable.attrs) for variable in found.data_vars.values())
    assert found.attrs["sensitivity"] == "sobol" and found.attrs["evaluations"] == 5 * 2**10
    assert json.loads(found.attrs["spec"])["model"] == "test"


def left_of_linear(weights, covariance):
    """Variance of a linear function that is left when some of its normal inputs are known."""
    d, left = len(weights), {}
    for size in range(d + 1):
        for known in itertools.combinations(range(d), size):
            rest = [i for i in range(d) if i not in known]
            inner = covariance[np.ix_(known, known)]
            cross = covariance[np.ix_(rest, known)]
            kept = covariance[np.ix_(rest, rest)] - cross @ np.linalg.solve(inner, cross.T)
            left[known] = float(weights[rest] @ kept @ weights[rest])
    return left


def test_shapley_effects_of_a_linear_function_of_correlated_normals():
    """Against the definition over all orders, with conditional variances in closed form."""
    ranks = {("a", "b"): 0.6, ("b", "c"): -0.3}
    pairs = [{"between": list(pair), "rank": rank} for pair, rank in ranks.items()]
    spec = spec_of(dict.fromkeys("abc", NORMAL), draws={"number": 2, "correlations": pairs})
    found = sweep.sensitivity(spec, method="shapley", number=2**15, model=LINEAR)
    covariance = np.eye(3)
    for (one, other), rank in ranks.items():
        i, j = "abc".index(one), "abc".index(other)
        covariance[i, j] = covariance[j, i] = 2.0 * math.sin(PI * rank / 6.0)
    left = left_of_linear(np.array([2.0, -3.0, 0.5]), covariance)
    expected = np.zeros(3)
    for order in itertools.permutations(range(3)):
        for k, i in enumerate(order):
            expected[i] += (left[tuple(sorted(order[:k]))] - left[tuple(sorted(order[: k + 1]))]) / 6.0 / left[()]
    np.testing.assert_allclose(values(found, "shapley"), expected, atol=2e-3)
    assert (values(found, "shapley_low") <= expected).all() and (expected <= values(found, "shapley_high")).all()
    np.testing.assert_allclose(values(found, "variance"), left[()], rtol=1e-3)


def test_shapley_effects_without_correlations_share_interactions_evenly():
    found = sweep.sensitivity(ishigami_spec(), method="shapley", number=2**15, model=ISHIGAMI)
    expected = np.array([V1 + V13 / 2.0, V2, V13 / 2.0]) / (V1 + V2 + V13)
    np.testing.assert_allclose(values(found, "shapley"), expected, atol=5e-3)


def test_morris_of_a_linear_function_is_its_slopes():
    found = sweep.sensitivity(LINEAR_SPEC, method="morris", number=2**10, model=LINEAR)
    np.testing.assert_allclose(values(found, "mu"), [2.0, -3.0, 0.5], rtol=1e-12)
    np.testing.assert_allclose(values(found, "mu_star"), [2.0, 3.0, 0.5], rtol=1e-12)
    np.testing.assert_allclose(values(found, "sigma"), 0.0, atol=1e-6)


def test_morris_of_ishigami():
    """Means over x1 and x3 by quadrature: x2 is moved by half its period, which does nothing."""
    found = sweep.sensitivity(ishigami_spec(), method="morris", number=2**14, model=ISHIGAMI)
    x = PI * (2.0 * (np.arange(2000) + 0.5) / 2000 - 1.0)
    factor = 4.0 * np.abs(np.sin(x)).mean() * (1.0 + 0.1 * x**4).mean()
    np.testing.assert_allclose(values(found, "mu_star")[0], factor, rtol=2e-3)
    np.testing.assert_allclose(values(found, "mu_star")[1], 0.0, atol=1e-12)


def test_elasticities_of_the_relative_loss():
    """d ln R / d ln kappa = ln R, and d ln R / d ln N = -kappa (c - 1) / c, at the medians."""
    spec = sweep.SweepSpec(
        loss="total",
        outputs=("relative_loss",),
        dtype="float64",
        axes={"time": sweep.Axis(values=(0.0, 1.0, 7.0))},
        fixed={"doubling_rate": 0.8, **REFERENCE},
        distributions={
            "fleet_size": {"distribution": "loguniform", "low": 0.5, "high": 8.0},
            "scaling_exponent": {"distribution": "uniform", "low": 0.04, "high": 0.06},
        },
    )
    found = sweep.sensitivity(spec, method="elasticity").relative_loss_elasticity.values
    time = np.array([0.0, 1.0, 7.0])
    c = 1.0 + 2.0 * np.expm1(0.8 * time * math.log(2.0)) / (0.8 * math.log(2.0))
    np.testing.assert_allclose(found, [-0.05 * (c - 1.0) / c, -0.05 * np.log(c)], rtol=1e-12)


def test_elasticities_are_nan_where_the_output_is_zero():
    model = model_of(lambda a, b: {"y": a - b}, ("a", "b"))
    found = sweep.sensitivity(spec_of(dict.fromkeys("ab", UNIFORM)), method="elasticity", model=model)
    assert np.isnan(found.y_elasticity).all()


def test_tornado_moves_one_parameter_at_a_time():
    spec = spec_of({"a": UNIFORM, "b": NORMAL, "c": UNIFORM})
    found = sweep.sensitivity(spec, method="tornado", model=LINEAR)
    np.testing.assert_allclose(found.y_at_median, 2.25, rtol=1e-12)
    ends = np.array([0.9, -3.0 * 1.6448536269514722, 0.225])
    np.testing.assert_allclose(values(found, "at_high"), 2.25 + ends, rtol=1e-9)
    np.testing.assert_allclose(values(found, "at_low"), 2.25 - ends, rtol=1e-9)


@pytest.mark.parametrize("method", ["elasticity", "tornado"])
@pytest.mark.parametrize(
    ("key", "value"),
    [("number", 2**14), ("number", 7), ("replicates", 4), ("confidence", 0.95), ("extend", xr.Dataset())],
)
def test_sensitivity_at_the_medians_refuses_what_belongs_to_points(method, key, value):
    with pytest.raises(sweep.SpecError) as caught:
        sweep.sensitivity(LINEAR_SPEC, method=method, model=LINEAR, **{key: value})
    assert str(caught.value) == f'{key}: belongs to the methods that take points, got method="{method}"; drop it'


JOINED = {"number": 2, "correlations": [{"between": ["a", "b"], "rank": 0.5}]}


@pytest.mark.parametrize(
    ("spec", "asked", "line"),
    [
        (LINEAR_SPEC, {"method": "sobl"}, 'unknown method "sobl"; did you mean sobol?'),
        (LINEAR_SPEC, {"number": 1000}, "number: must be a power of two, at least 2, got 1000"),
        (
            LINEAR_SPEC,
            {"number": 32},
            "number: must be 64 to 4,294,967,296, 16 to 2^30 points for each",
        ),
        (LINEAR_SPEC, {"number": 1024.0}, "number: must be a power of two, at least 2, got 1024.0"),
        (LINEAR_SPEC, {"replicates": 1}, "replicates: must be a power of two, at least 2, got 1"),
        (LINEAR_SPEC, {"replicates": 6}, "replicates: must be a power of two, at least 2, got 6"),
        (LINEAR_SPEC, {"confidence": 95}, "confidence: must be between 0 and 1, got 95"),
        (LINEAR_SPEC, {"method": "morris", "second_order": True}, "second_order: belongs to method="),
        (LINEAR_SPEC, {"extend": xr.Dataset()}, "extend: the dataset is no result of sensitivity"),
        (LINEAR_SPEC, {"extend": "before.nc"}, "extend: the dataset is no result of sensitivity"),
        (LINEAR_SPEC, {"confidence": "0.9"}, "confidence: must be between 0 and 1, got '0.9'"),
        (LINEAR_SPEC, {"memory": 1000}, "memory: the sums of 1 values of outputs take"),
        (LINEAR_SPEC, {"memory": 10**8, "number": 2**22}, "more than the budget of 100,000,000; give shorter axes"),
        (spec_of(dict.fromkeys("abc", UNIFORM), draws=JOINED), {}, 'use method="shapley"'),
        (spec_of(dict.fromkeys("abc", UNIFORM), draws=JOINED), {"method": "morris"}, 'use method="shapley"'),
    ],
)
def test_sensitivity_refuses(spec, asked, line):
    with pytest.raises(sweep.SpecError) as caught:
        sweep.sensitivity(spec, model=LINEAR, **asked)
    assert line in str(caught.value) and "\n" not in str(caught.value)


def test_sensitivity_refuses_more_parameters_than_there_are_coordinates():
    names = tuple(f"x{i}" for i in range(33))
    model = model_of(lambda **x: {"y": sum(x.values())}, names)
    with pytest.raises(sweep.SpecError, match="at most 32 uncertain parameters, got 33"):
        sweep.sensitivity(spec_of(dict.fromkeys(names, UNIFORM)), model=model)


def test_sensitivity_refuses_a_spec_without_distributions():
    axes = {"a": sweep.Axis(values=(1.0, 2.0))}
    spec = sweep.SweepSpec(model="test", outputs=("y",), axes=axes, fixed={"b": 1.0, "c": 1.0})
    with pytest.raises(sweep.SpecError, match="distributions: is required"):
        sweep.sensitivity(spec, model=LINEAR)


def test_sensitivity_refuses_an_output_without_uncertain_parameters():
    spec = sweep.SweepSpec(
        loss="total",
        outputs=("relative_loss", "capital_cost"),
        fixed={"fleet_size": 1.0, "time": 2.0, "doubling_rate": 1.0, **REFERENCE},
        distributions={"scaling_exponent": {"distribution": "uniform", "low": 0.04, "high": 0.06}},
    )
    with pytest.raises(sweep.SpecError, match="outputs: capital_cost depends on none of the uncertain parameters"):
        sweep.sensitivity(spec)


def test_sensitivity_refuses_a_model_that_is_solved():
    spec = sweep.SweepSpec(
        model="front_loading",
        loss="excess",
        reference="gpt-4",
        allocation={"dates": 2, "objective": "mean"},
        fixed={"budget": 2.0, "horizon": 5.0, "hardware_rate": 0.5, "software_rate": 1.0, "scaling_exponent": 0.2}
        | {"research_gain": 0.5, "research_scale": 1.0, "depreciation": 0.2, "installed_fleet": 1.0},
        distributions={"discount_rate": UNIFORM},
    )
    with pytest.raises(sweep.SpecError, match="has no values to evaluate"):
        sweep.sensitivity(spec)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"number": 2**10}, "extend: the dataset has 1,024 points already"),
        ({"replicates": 8}, "extend: replicates is 4 there, 8 here"),
        ({"method": "morris"}, "extend: method is sobol there, morris here"),
        ({"second_order": True}, "extend: second_order is 0 there, 1 here"),
        ({"spec": spec_of(dict.fromkeys("abc", UNIFORM), seed=1)}, "draws.seed is 0 there, 1 here"),
        ({"spec": spec_of(dict.fromkeys("abc", NORMAL))}, "extend: the dataset is of another sweep: distributions."),
    ],
)
def test_sensitivity_refuses_to_extend_another_run(change, line):
    before = sweep.sensitivity(LINEAR_SPEC, number=2**10, model=LINEAR)
    asked = {"spec": LINEAR_SPEC, "number": 2**11, "model": LINEAR, "extend": before} | change
    with pytest.raises(sweep.SpecError) as caught:
        sweep.sensitivity(**asked)
    assert line in str(caught.value)


CONFIG = """
loss = "total"
outputs = ["relative_loss"]
[axes.time]
values = [1.0, 5.0]
[fixed]
fleet_size = 1.0
reference_fleet = 1.0
reference_years = 1.0
[distributions]
doubling_rate = {distribution = "uniform", low = 0.2, high = 2.0}
scaling_exponent = {distribution = "uniform", low = 0.04, high = 0.06}
"""


def invoke(tmp_path, *arguments):
    config = tmp_path / "loss.toml"
    config.write_text(CONFIG)
    return CliRunner().invoke(main, ["sensitivity", str(config), *map(str, arguments)])


def test_command_prints_intervals_and_extends_a_file(tmp_path):
    first, second = tmp_path / "first.nc", tmp_path / "second.nc"
    done = invoke(tmp_path, "--number", 1024, "--netcdf", first)
    assert done.exit_code == 0, done.output
    assert "relative_loss at time = 5 years" in done.output and " to " in done.output
    done = invoke(tmp_path, "--number", 2048, "--extend", first, "--netcdf", second, "-o", tmp_path / "causes.png")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "causes.png").stat().st_size > 10_000
    assert xr.load_dataset(second, engine="h5netcdf").attrs["number"] == 2048


def test_plot_draws_a_file_of_sensitivity(tmp_path):
    file, figure = tmp_path / "found.nc", tmp_path / "found.png"
    assert invoke(tmp_path, "--method", "tornado", "--netcdf", file).exit_code == 0
    done = CliRunner().invoke(main, ["plot", str(file), "-o", str(figure)])
    assert (done.exit_code, done.output) == (0, f"{figure}\n") and figure.exists()
    done = CliRunner().invoke(main, ["plot", str(file), "-o", str(figure), "--x", "time"])
    assert done.exit_code == 2 and "--x" in done.output


@pytest.mark.parametrize("method", ["elasticity", "tornado"])
@pytest.mark.parametrize("option", ["--number", "--replicates"])
def test_command_at_the_medians_refuses_what_belongs_to_points(method, option, tmp_path):
    done = invoke(tmp_path, "--method", method, option, 1024)
    line = f'error: {option[2:]}: belongs to the methods that take points, got method="{method}"; drop it\n'
    assert (done.exit_code, done.stderr) == (2, line)


def test_command_refuses_in_one_line(tmp_path):
    done = invoke(tmp_path, "--number", 1000)
    assert (done.exit_code, done.output) == (2, "error: number: must be a power of two, at least 2, got 1000\n")


def test_describe_sensitivity_names_what_has_no_effect():
    model = model_of(lambda a, b, c: {"y": a + 2.0 * b}, tuple("abc"))
    lines = list(describe_sensitivity(sweep.sensitivity(LINEAR_SPEC, number=2**10, second_order=True, model=model)))
    order = [line.split()[0] for line in lines if line.startswith("  ")]
    assert order[1:3] == ["b", "a"] and "  without effect: c" in lines


def test_describe_sensitivity_says_why_there_are_no_numbers():
    model = model_of(lambda a, b, c: {"y": 0.0 * a + 3.0}, tuple("abc"))
    lines = list(describe_sensitivity(sweep.sensitivity(LINEAR_SPEC, number=2**10, model=model)))
    assert "  no numbers: the output is constant" in lines


@pytest.mark.parametrize("method", ["sobol", "shapley", "morris", "elasticity", "tornado"])
@pytest.mark.parametrize("axes", [(), ("t",), ("t", "s")])
def test_plot_sensitivity_draws_every_method(method, axes, tmp_path):
    model = model_of(lambda a, b, **rest: {"y": a + b * sum(rest.values(), 1.0), "z": a * b + sum(rest.values())},
                     ("a", "b"), ("y", "z"), axes)  # fmt: skip
    spec = spec_of(dict.fromkeys("ab", UNIFORM), ("y", "z"), axes={n: sweep.Axis(values=(1.0, 2.0)) for n in axes})
    number = {"number": 2**8} if method in sensitivity.SAMPLED else {}
    dataset = sweep.sensitivity(spec, method=method, model=model, **number)
    figure = plot_sensitivity(dataset)
    assert [panel.get_title() for panel in figure.axes] == ["y", "z"]
    figures.save(figure, tmp_path / "drawn.svg")
    assert list(describe_sensitivity(dataset))


def test_plot_sensitivity_refuses_what_is_not_of_sensitivity():
    with pytest.raises(sweep.SpecError, match=r'give one of the kind "sensitivity"'):
        plot_sensitivity(xr.Dataset())
    model = model_of(lambda a, b, c: {"y": 0.0 * a + 3.0}, tuple("abc"))
    with pytest.raises(sweep.SpecError, match="no index is finite"):
        plot_sensitivity(sweep.sensitivity(LINEAR_SPEC, number=2**10, model=model))


def test_plot_of_outputs_that_other_parameters_drive_is_laid_out():
    spec = sweep.SweepSpec(
        loss="total",
        dtype="float64",
        outputs=["relative_loss", "total_cost"],
        axes={"time": sweep.Axis(values=[1.0, 2.0, 4.0])},
        fixed={"fleet_size": 1e5, "scaling_exponent": 0.05, "reference_fleet": 16384.0, "reference_years": 1.0},
        distributions={
            "doubling_rate": sweep.Distribution(distribution="uniform", low=0.5, high=2.0),
            "unit_price": sweep.Distribution(distribution="uniform", low=5e4, high=9e4),
        },
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = plot_sensitivity(sweep.sensitivity(spec, number=2**8))
    heights = [axes.get_position().height * figure.get_figheight() for axes in figure.axes]
    assert len(heights) == 2 and min(heights) > 1.5
