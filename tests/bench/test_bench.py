"""That what `sweep bench` says of time, limits and errors follows from what it measured; nothing is about speed."""

import itertools
import json
from pathlib import Path

import jax
import mpmath
import numpy as np
import pytest
import reference
from click.testing import CliRunner

import sweep
from sweep.bench import ceilings, comparison, kernels, measure, oracle, scaling, workloads
from sweep.cli.main import main
from sweep.report import canvas

DTYPES = kernels.DTYPES
CHEAP = [name for name in workloads.KERNELS if name != "front-loading"]  # that one takes seconds to compile
RATES = {"fill": 8e9, "copy": 10e9, "multiply-add": 100e9, "exp2": 4e9, "log2": 2e9}
SCENARIO = {name: float(value[3]) for name, value in workloads.scenarios(8).items()}


@pytest.fixture
def one_second(monkeypatch):
    """Make every turn of a race take one second by the clock."""
    monkeypatch.setattr(measure.time, "perf_counter", itertools.count().__next__)
    monkeypatch.setattr(measure.time, "sleep", lambda seconds: None)


def work(**changes) -> workloads.Work:
    given = {"shape": "4 x 5", "points": 20, "moved": 80, "call": lambda: None, "judge": lambda made: {}}
    return workloads.Work(**{**given, **changes})


def kernel(made: workloads.Work, **changes) -> workloads.Kernel:
    return workloads.Kernel("toy", lambda points, dtype: made, 100, 10, **changes)


def line(median: float, spread: float = 0.1, result: str = "ours", **more) -> dict:
    seconds = {"median": median, "p10": median * (1 - spread), "p90": median * (1 + spread)}
    environment = {"device": "cpu", "cpu": "abacus"}
    return {
        "benchmark": "bench",
        "case": "toy",
        "result": result,
        "seconds": seconds,
        "environment": environment,
        **more,
    }


def written(path: Path, *lines: dict) -> Path:
    path.write_text("".join(json.dumps(given) + "\n" for given in lines))
    return path


def run(*arguments: object) -> list[str]:
    done = CliRunner().invoke(main, ["bench", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output.splitlines()


def refused(*arguments: object) -> str:
    done = CliRunner().invoke(main, ["bench", *map(str, arguments)])
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    return done.stderr


# ---- timing and recording -------------------------------------------------------------------------------------------


def test_race_times_each_turn_by_the_clock_alone(one_second):
    took = measure.race({"a": lambda: None, "b": lambda: None}, repeats=3)
    assert took["a"].seconds == took["b"].seconds == (1, 1, 1)


def test_race_calls_before_every_turn():
    turns = []
    measure.race({"a": lambda: turns.append("a")}, repeats=2, warm_up=1, before=lambda: turns.append("-"))
    assert turns == list("-a-a-a")


def test_timed_gives_rates_at_the_median():
    found = measure.timed("", "", measure.Timing((4.0, 2.0, 1.0)), points=10, bytes=6e9)
    assert (found["points_per_second"], found["gigabytes_per_second"]) == (5.0, 3.0)


@pytest.mark.parametrize(("value", "met"), [(0.4, False), (0.5, True), (2.0, True), (2.1, False)])
def test_judged_needs_both_targets_met(value, met):
    found = measure.judged("", "", [value], "times", at_least=0.5, at_most=2.0)
    assert found["met"] is met
    assert "target >= 0.5 and <= 2" in measure.describe(found)


def test_environment_of_an_installed_package_claims_no_commit(tmp_path, monkeypatch):
    for folder in ("kernels", "sweep"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(measure, "ROOT", tmp_path)
    assert measure.environment()["commit"] == "unknown"


# ---- ceilings -------------------------------------------------------------------------------------------------------


def test_shares_are_of_what_was_measured():
    found = ceilings.Ceilings(RATES).shares(2.0, moved=4e9, written=True, operations=50e9)
    assert found == {"share_of_fill": 0.25, "share_of_multiply_add": 0.25}
    assert ceilings.Ceilings(RATES).shares(1.0, moved=5e9, written=False, operations=None) == {"share_of_copy": 0.5}


def test_ceilings_are_amounts_over_seconds(monkeypatch):
    monkeypatch.setattr(measure, "race", lambda works, repeats: {k: measure.Timing((0.5,) * repeats) for k in works})
    found, _ = ceilings.measure_ceilings("float32", quick=True)
    held = 2**10
    multiply_add = 2 * 2 * ceilings.LANES * ceilings.STEPS * held
    assert found.rates == {
        "fill": 2 * 2**14,
        "copy": 2 * 2 * 2**14,
        "multiply-add": multiply_add,
        "exp2": 2 * 4 * held,
        "log2": 2 * 4 * held,
    }


@pytest.mark.parametrize("dtype", DTYPES)
def test_ceilings_are_held_against_an_independent_measure(dtype):
    found, lines = ceilings.measure_ceilings(dtype, quick=True)
    assert min(found.rates.values()) > 0.0
    checks = [given for given in lines if "at_most" in given]
    assert [given["result"] for given in checks] == [
        "rate of copy by others / by XLA",
        "rate of multiply-add by others / by XLA",
    ]


def test_chains_do_the_multiply_adds_that_are_counted():
    x = np.float64(0.375)
    expected = [x + lane for lane in range(ceilings.LANES)]
    for _ in range(ceilings.STEPS):
        expected = [a * 0.5 + 0.25 * (lane + 1) for lane, a in enumerate(expected)]
    with jax.enable_x64(True):
        found = ceilings._chains(jax.numpy.full(3, x))
    np.testing.assert_allclose(found, sum(expected), rtol=1e-15)


# ---- the independent evaluation -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.0, 1e-9, 0.8, -0.5])
@pytest.mark.parametrize("name", ["relative_loss", "time_to_target", "fleet_for_target", "rate_for_target"])
def test_oracle_agrees_with_256_bits(name, rate):
    point = {"fleet_size": 3e5, "time": 7.0, "doubling_rate": rate, "target": 0.6, **workloads.LAW}
    with reference.high_precision():
        jet = reference.at(
            name, {key: reference.mpfr(value) for key, value in {**point, "irreducible_share": 0}.items()}
        )
        exact = float(getattr(jet, "value", jet))
    found = getattr(oracle, name)({key: np.asarray(value, np.longdouble) for key, value in point.items()})
    assert float(found) == pytest.approx(exact, rel=3e-16)


def test_oracle_mean_loss_agrees_with_adaptive_quadrature():
    shares, research = np.array([0.5, 0.0, 0.3]), 0.2
    s = {name: mpmath.mpf(value) for name, value in SCENARIO.items()}
    rate = s["software_rate"] + s["research_gain"] * (1 - mpmath.exp(-research * s["budget"] / s["research_scale"]))
    nats = rate * mpmath.ln2 - s["depreciation"]
    dates = [k * s["horizon"] / 3 for k in range(3)]

    def discounted(t: mpmath.mpf, power: mpmath.mpf) -> mpmath.mpf:
        terms = [s["installed_fleet"] * mpmath.expm1(nats * t) / nats]
        for w, u in zip(shares, dates, strict=True):
            if u < t:
                bought = s["budget"] * w * 2 ** ((s["hardware_rate"] + rate) * u)
                terms.append(bought * mpmath.expm1(nats * (t - u)) / nats)
        return mpmath.exp(-s["discount_rate"] * t) * (1 + mpmath.fsum(terms) / s["reference_years"]) ** -power

    ends = [*dates, s["horizon"]]
    whole, weight = (mpmath.quad(lambda t, p=p: discounted(t, p), ends) for p in (s["scaling_exponent"], 0))
    assert float(oracle.mean_loss(shares, research, SCENARIO)) == pytest.approx(float(whole / weight), rel=1e-14)


def test_error_in_ulp_counts_last_places_and_forgives_what_it_is_told_to():
    exact = np.array([1.0, 2.0])
    found = np.array([1.0, 2.0 + 3 * 2.0**-22], np.float32)
    assert oracle.error_in_ulp(found, exact) == 3.0
    assert oracle.error_in_ulp(found, exact, but=np.array([0.0, 2.0**-22])) == 2.0


@pytest.mark.parametrize(
    ("found", "exact", "error"), [(np.nan, 1.0, np.inf), (np.inf, np.inf, 0.0), (1.0, np.nan, np.inf)]
)
def test_error_in_ulp_of_what_is_not_finite(found, exact, error):
    assert oracle.error_in_ulp(np.array([found], np.float32), np.array([exact])) == error


def test_unavoidable_is_the_sum_over_the_arguments():
    point = {"a": np.array([3.0]), "b": np.array([5.0])}
    found = oracle.unavoidable(lambda p: p["a"] * p["b"] ** 2, point, "float32")
    np.testing.assert_allclose(found, 75.0 * (1 + 2) * 2.0**-24, rtol=1e-6)


@pytest.mark.parametrize("flipped", [0, 1])
def test_misjudged_notices_one_point_on_the_wrong_side(flipped):
    points = np.array([[0.0, 1.0], [2.0, 2.0], [1.0, 0.0], [0.0, 1.0]])
    front = np.array([True, False, True, False])
    assert oracle.misjudged(points, front) == 0
    front[flipped] ^= True
    assert oracle.misjudged(points, front) > 0


# ---- kernels --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("points", [1, 7, 1000, 10**6, 2**25])
@pytest.mark.parametrize("devices", [1, 8])
def test_sides_of_are_about_the_points_and_divide_over_devices(points, devices):
    sides = workloads.sides_of(points, devices)
    assert sides[0] % devices == 0
    assert points / 4 < np.prod(sides) <= points + (devices - 1) * sides[1] * sides[2]


@pytest.mark.parametrize(
    ("output", "names"),
    [
        ("relative_loss", ("fleet_size", "time", "doubling_rate")),
        ("time_to_target", ("target", "fleet_size", "doubling_rate")),
    ],
)
def test_coordinates_are_numbers_of_float32(output, names):
    for axis in workloads.make_problem(dict.fromkeys(names, 37), output, "float32").spec.axes.values():
        np.testing.assert_array_equal(axis.coordinates(), axis.coordinates().astype(np.float32))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CHEAP)
def test_kernel_is_right_by_its_own_measure(name, dtype):
    with jax.enable_x64(dtype == "float64"):
        made = workloads.KERNELS[name].make(5000, dtype)
        made.before()
        facts = made.judge(made.call())
    assert facts.get("misjudged", 0) == 0
    assert facts.get("error_beyond_ulp", facts.get("max_error_ulp", 0.0)) <= 4.0
    assert made.points > 0
    assert made.moved > 0


def test_kernel_that_is_wrong_is_found_out():
    made = workloads.KERNELS["full-grid"].make(1000, "float32")
    assert made.judge(np.asarray(made.call()) * np.float32(1 + 1e-5))["error_beyond_ulp"] > 50
    assert made.judge(np.full_like(made.call(), np.nan))["wrong"] == "not finite"


def test_full_grid_counts_the_operations_of_the_compiled_program():
    made = workloads.KERNELS["full-grid"].make(2**15, "float32")
    assert 20 < made.operations / made.points < 200
    assert made.moved == 4 * made.points


# ---- the bench ------------------------------------------------------------------------------------------------------


def test_measure_kernel_sets_rates_against_ceilings(one_second):
    made = work(points=10**9, moved=4 * 10**9, operations=25e9, powers=10**9, writes_only=True)
    found = kernels.measure_kernel(kernel(made), "float32", 1, ceilings.Ceilings(RATES), quick=True)
    assert (found["seconds"]["median"], found["points_per_second"], found["gigabytes_per_second"]) == (1.0, 1e9, 4.0)
    assert found["operations_per_second"] == 25e9
    assert (found["share_of_fill"], found["share_of_multiply_add"]) == (0.5, 0.25)
    assert found["share_of_exp2_and_log2"] == 0.75


def test_measure_kernel_takes_fewer_turns_of_what_is_long(one_second):
    found = kernels.measure_kernel(kernel(work()), "float32", 1, ceilings.Ceilings(RATES), quick=False)
    assert found["repeats"] == int(kernels.MOST_SECONDS)


def test_measure_kernel_gives_the_error_of_what_it_timed(one_second):
    made = work(call=lambda: 7, judge=lambda made: {"max_error_ulp": made})
    found = kernels.measure_kernel(kernel(made), "float32", 1, ceilings.Ceilings(RATES), quick=True)
    assert found["max_error_ulp"] == 7


@pytest.mark.parametrize(
    ("size", "points"),
    [("quick", 10), ("normal", 100), ("1e3", 1000), ("12", 12)],
    ids=["quick", "normal", "1e3", "12"],
)
def test_size_of_is_a_name_or_a_number(size, points):
    assert kernels.size_of(size, kernel(work())) == points


@pytest.mark.parametrize("size", ["0", "-1", "1.5", "many", "nan", "1e13"])
def test_size_of_refuses_what_is_neither(size):
    with pytest.raises(sweep.SpecError, match=r'size: must be quick, normal or a whole number .* got "'):
        kernels.size_of(size, kernel(work()))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--device", "abacus"), 'device: there is no "abacus" here; JAX sees: '),
        (("--kernel", "fool"), 'kernel: there is no "fool"; there are full-grid, '),
        (("--size", "0"), "size: must be quick, normal or a whole number of points from 1 to 1e12"),
        (("-o", "x.png"), "-o: only the curves of --scaling are drawn"),
        (("--scaling", "-o", "x.gif"), "a figure is written as .png, .svg or .pdf"),
        (("--json", "/no/such/folder/x.jsonl"), "/no/such/folder/x.jsonl: No such file or directory"),
        (("--compare", "/no/a", "/no/b"), "/no/a: cannot be read: No such file or directory"),
        (("--compare", "a", "b", "--scaling"), "--compare: takes two files of results, and no other option"),
        (("--scaling", "--kernel", "full-grid"), "--scaling: takes no --kernel"),
    ],
    ids=["device", "kernel", "size", "figure", "suffix", "json", "compare", "compare and", "scaling and"],
)
def test_bench_refuses_in_one_line(arguments, said):
    assert said in refused(*arguments)


def test_bench_writes_one_json_line_a_result_and_a_row_for_people(tmp_path):
    path = tmp_path / "out.jsonl"
    chosen = ("--kernel", "full-grid", "--kernel", "front-loading", "--dtype", "float32")
    rows = run("--size", "quick", "--json", path, *chosen)
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    assert len(rows) == len(lines) + 1
    assert {given["benchmark"] for given in lines} == {"bench"}
    *_, grid, split = lines
    assert {"points_per_second", "operations", "share_of_fill", "compile_seconds", "error_against"} <= set(grid)
    assert split["skipped"] == "it works in float64 only"
    assert [len(rows[0]), rows[0].split()[0]] == [len(rows[-2]), "kernel"]


def test_kernel_is_added_by_an_entry(monkeypatch):
    monkeypatch.setitem(workloads.KERNELS, "toy", kernel(work()))
    found = [given["case"] for given in kernels.bench(["toy"], ["float32"], "quick") if "kernel" in given]
    assert found == ["toy, float32, 4 x 5"]


# ---- comparison -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [(1.0, 1.1, "within the noise"), (1.0, 0.7, "faster"), (1.0, 1.4, "slower")],
)
def test_ratio_exceeds_the_noise_where_the_spans_are_apart(first, second, verdict):
    found = comparison.ratio(line(first), line(second))
    assert found.verdict == verdict
    assert found.low < found.median == first / second < found.high


def test_ratio_says_what_else_differs():
    found = comparison.ratio(line(1.0, max_error_ulp=1.0, cores_busy_with_others=0.5), line(1.0, max_error_ulp=2.0))
    assert "others kept cores busy; error 1 ulp, then 2" in str(found)


def test_bench_compare_prints_ratios_and_what_is_alone(tmp_path):
    a = written(tmp_path / "a", line(2.0), line(1.0, result="gone"), {**line(0.0, result="value"), "seconds": None})
    b = written(tmp_path / "b", line(9.0), line(1.0))
    b_lines = [json.loads(text) for text in b.read_text().splitlines()]
    written(b, *[{**given, "environment": {"device": "abacus", "cpu": "abacus"}} for given in b_lines])
    found = run("--compare", a, b)
    assert found[1] == "device differs: cpu there, abacus here"
    assert found[2].split("ours")[1].split() == ["2", "x", "(1.64", "to", "2.44)", "faster"]
    assert found[3] == f"only in {a}: 1 results"


@pytest.mark.parametrize(
    ("text", "said"),
    [("nothing\n", "line 1 is not a result"), ("", "holds no result"), ("[]\n", "line 1 is not a result")],
    ids=["words", "empty", "list"],
)
def test_compare_refuses_what_is_not_of_results(text, said, tmp_path):
    (tmp_path / "a").write_text(text)
    with pytest.raises(sweep.SpecError, match=said):
        list(comparison.compare(tmp_path / "a", tmp_path / "a"))


def test_compare_refuses_files_that_share_nothing(tmp_path):
    a, b = written(tmp_path / "a", line(1.0)), written(tmp_path / "b", line(1.0, result="other"))
    with pytest.raises(sweep.SpecError, match="share no result that is timed"):
        list(comparison.compare(a, b))


# ---- scaling --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("latency", "throughput"), [(1e-3, 1e9), (2.0, 0.5)])
def test_fit_recovers_latency_and_throughput(latency, throughput):
    sizes = np.array([1e2, 1e4, 1e6, 1e8, 1e10])
    found = scaling.fit(sizes, latency + sizes / throughput)
    assert (found.latency, found.throughput) == pytest.approx((latency, throughput), rel=1e-6)
    assert found.crossover == pytest.approx(latency * throughput, rel=1e-6)


def test_fit_of_constant_cost_is_latency_alone():
    found = scaling.fit([1e3, 1e4, 1e5], [2.0, 2.1, 1.9])
    assert found.latency == pytest.approx(2.0, rel=0.05)
    assert found.throughput > 1e6


def test_fit_of_more_than_proportional_cost_has_no_latency():
    assert scaling.fit([1.0, 10.0, 100.0], [1e-3, 2e-2, 4e-1]).latency == 0.0


def test_fitted_leaves_out_a_throughput_without_bound():
    assert [given["result"] for given in scaling.fitted("", scaling.Fit(1.0, float("inf")))] == ["latency"]


def test_curve_stops_before_a_call_that_would_be_long(one_second):
    sizes = (1, 2, 4, 1000)
    lines = list(scaling._curve("points, full-grid", "float32", sizes, lambda n, dtype: work(points=n), True))
    assert [given["result"] for given in lines if "size" in given] == ["1", "2", "4"]


def test_scaling_has_a_line_a_size_and_a_figure(tmp_path, monkeypatch):
    monkeypatch.setattr(scaling, "solve", lambda count, dates: work(points=count))
    path = tmp_path / "scaling.png"
    rows = run("--scaling", "--size", "quick", "-o", path, "--json", tmp_path / "out.jsonl")
    lines = [json.loads(text) for text in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert rows[-1] == str(path)
    assert path.stat().st_size > 10_000
    assert {given["case"].rpartition(", ")[0] for given in lines} == set(scaling.TITLES)
    assert [given["size"] for given in lines if given["case"].startswith("devices")] == [2]


def test_plot_scaling_draws_the_crossover():
    fit = scaling.Fit(1e-3, 1e6)
    case = "points, full-grid, float32"
    lines = [{**line(fit.latency + n / fit.throughput), "case": case, "size": n} for n in (10, 1000, 10**5)]
    figure = scaling.plot_scaling([*lines, *scaling.fitted(case, fit)])
    (axes,) = figure.axes
    assert any(np.allclose(drawn.get_xdata(), fit.crossover) for drawn in axes.lines)
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert figure.get_figwidth() == canvas.WIDTH
