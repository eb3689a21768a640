"""The shipped configs: each asks a question, cites every number and has the size its comment promises."""

import math
import re
import tomllib
import warnings
from pathlib import Path

import mpmath
import pytest

import sweep
from sweep.config.distribution import DRAWN, Correlation, Distribution

FOLDER = Path(__file__).parent.parent / "configs"
PRIORS = FOLDER / "priors.toml"  # what the others take by name
REPORT = FOLDER / "report.toml"  # lists others
CONFIGS = sorted(path for path in FOLDER.glob("*.toml") if path not in (PRIORS, REPORT))
NAMES = [path.stem for path in CONFIGS]
POINTS = {
    "baseline": (10**6, 2 * 10**7),
    "baseline_excess": (10**6, 2 * 10**7),
    "billion": (10**9, 10**9),
    "loss_bands": (10**9, 1.01 * 10**9),
    "front_loading_map": (10**5, 10**6),
    "uncertainty": (10**7, 10**8),
    "trillion": (10**12, 10**12),
    "smoke": (1, 10**5 - 1),
    "strategies": (10**6, 2 * 10**6),
}
NUMBER = re.compile(r"[-+]?\d[\d_]*(?:\.\d+)?(?:[eE][-+]?\d+)?")
REFERENCE_FLOP = 3.8e25  # Llama 3.1 405B: Epoch AI notable models

SOLVED = [path for path in CONFIGS if "\n[allocation]" in path.read_text(encoding="utf-8")]
EVALUATED = [path for path in CONFIGS if path not in SOLVED]

each_config = pytest.mark.parametrize("path", CONFIGS, ids=NAMES)
each_evaluated = pytest.mark.parametrize("path", EVALUATED, ids=lambda path: path.stem)


def _written(path: Path) -> dict:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _tables(path: Path) -> set[str]:
    """Tables of a config, and the parameters in them."""
    written = _written(path)
    names = (name for table in ("axes", "fixed", "distributions") for name in written.get(table, {}))
    return {*written, *names}


def _each(chosen: list[Path]) -> pytest.MarkDecorator:
    """Parametrise by the configs that a claim is about, of which there must be some."""
    assert chosen
    return pytest.mark.parametrize("path", chosen, ids=lambda path: path.stem)


def _config(name: str) -> sweep.SweepSpec:
    return sweep.load(CONFIGS[NAMES.index(name)]).spec


def _opening_comment(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    end = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    return "\n".join(line.removeprefix("#").strip() for line in lines[:end])


def _uncited(text: str) -> list[str]:
    """Lines that hold a number, outside comments and strings, with neither a comment above nor a source in the line."""
    lines = [line.strip() for line in text.splitlines()]
    above = ["", *lines]
    found = []
    for previous, line in zip(above, lines, strict=False):
        bare = re.sub(r'"[^"]*"', "", line)
        code = bare.split("#")[0].split("=", 1)[-1]
        has_number = not line.startswith(("#", "[")) and NUMBER.search(code)
        if has_number and not previous.startswith("#") and not re.search(r'source = "[^"]', line):
            found.append(line)
    return found


def _least_loss(e: float, a: float, b: float, alpha: float, beta: float, flop: float = REFERENCE_FLOP) -> mpmath.mpf:
    """Least of E + A/N^alpha + B/D^beta over N, with 6 N D fixed: by search, not by the formula in the comment."""
    phi = (mpmath.sqrt(5) - 1) / 2

    def loss(log_n: mpmath.mpf) -> mpmath.mpf:
        n = mpmath.e**log_n
        return e + a / n**alpha + b / (flop / (6 * n)) ** beta

    low, high = mpmath.log(1e8), mpmath.log(1e15)
    while high - low > 1e-9:
        left, right = high - phi * (high - low), low + phi * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return loss((low + high) / 2)


@each_config
def test_config_loads_without_a_caveat(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sweep.load(path)


@each_config
def test_config_opens_with_its_question(path):
    first = _opening_comment(path).split("\n\n")[0]
    assert first.startswith("Question: ")
    assert "?" in first


@each_config
def test_config_title_is_a_question(path):
    assert _written(path)["title"].endswith("?")


@each_config
def test_config_comment_says_what_is_left_out(path):
    assert "Left out: " in _opening_comment(path)


@each_config
def test_config_comment_runs_and_plots_its_own_file(path):
    comment = _opening_comment(path)
    if path in SOLVED:
        assert f"sweep optimise configs/{path.name}" in comment
        assert f"sweep plot configs/{path.name}" in comment
        return
    if path.stem == "sensitivity":
        assert f"sweep sensitivity configs/{path.name}" in comment
    assert f"sweep run configs/{path.name} --store {path.stem}.zarr" in comment
    assert f"sweep plot {path.stem}.zarr" in comment


@each_config
def test_config_axes_have_sources(path):
    axes = {name: axis for name, axis in sweep.load(path).spec.axes.items() if name not in DRAWN}
    assert axes or "distributions" in _tables(path)
    assert [name for name, axis in axes.items() if not axis.source.strip()] == []


@_each([path for path in CONFIGS if "distributions" in _tables(path)])
def test_config_distributions_have_sources(path):
    distributions = sweep.load(path).spec.distributions
    assert set(distributions) == set(_written(path)["distributions"])
    assert [name for name, distribution in distributions.items() if not distribution.source.strip()] == []


@_each([path for path in CONFIGS if "fixed" in _tables(path)])
def test_config_fixed_values_have_sources(path):
    written = _written(path)["fixed"]
    assert [name for name, value in written.items() if not isinstance(value, dict) or not value.get("source")] == []


@each_config
def test_config_defaults_it_relies_on_have_sources(path):
    values = sweep.load(path).spec.fixed
    assert "reference_years" in values
    assert [name for name, fixed in values.items() if not fixed.source.strip()] == []


@pytest.mark.parametrize("path", [*CONFIGS, PRIORS], ids=lambda path: path.stem)
def test_config_numbers_are_cited_where_they_stand(path):
    assert _uncited(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("line", ["num = 3", "values = [\n1.5,\n]", "x = { value = 2 }"])
def test_citation_check_finds_a_bare_number(line):
    assert len(_uncited(f"title = 'no comment'\n{line}")) == 1


@_each([path for path in EVALUATED if "fixed" in _tables(path)])
def test_config_fixed_values_are_all_used(path):
    assert set(_written(path)["fixed"]) <= sweep.load(path).needed


@pytest.mark.parametrize("name", POINTS)
def test_config_size_is_as_promised(name):
    low, high = POINTS[name]
    assert low <= math.prod(_config(name).shape.values()) <= high


def test_billion_is_four_gigabytes():
    spec = _config("billion")
    assert (spec.dtype, len(spec.outputs)) == ("float32", 1)


@_each([path for path in CONFIGS if "irreducible_share" in _tables(path)])
def test_config_irreducible_share_comes_only_with_the_excess_loss(path):
    assert _written(path)["loss"] == "excess"


@_each([path for path in CONFIGS if "irreducible_share" in _tables(path)])
def test_config_relative_loss_of_excess_form_keeps_to_one_fit(path):
    assert "relative_loss" in sweep.load(path).spec.outputs
    assert not {"scaling_exponent", "irreducible_share"} & set(sweep.load(path).spec.axes)


@each_evaluated
def test_reference_fleet_is_that_of_llama_3_1(path):
    assert sweep.load(path).spec.fixed["reference_fleet"].value == 16_384


@each_config
def test_reference_years_is_2142_hours(path):
    hours, hours_per_year = 2142, 8766
    assert sweep.load(path).spec.fixed["reference_years"].value == pytest.approx(hours / hours_per_year, abs=0.5e-6)


def test_irreducible_share_is_that_of_the_besiroglu_fit_at_the_reference_run():
    fit = {"e": 1.8169, "a": 482.0, "b": 2085.4, "alpha": 0.3478, "beta": 0.3658}
    share = fit["e"] / _least_loss(**fit)
    assert _config("baseline_excess").fixed["irreducible_share"].value == pytest.approx(float(share), abs=0.5e-5)


def test_scaling_exponent_is_that_of_the_besiroglu_fit():
    alpha, beta = 0.3478, 0.3658
    exponent = _config("baseline_excess").fixed["scaling_exponent"].value
    assert exponent == pytest.approx(alpha * beta / (alpha + beta), abs=0.5e-3)


def test_share_of_the_hoffmann_fit_is_as_the_comment_says():
    fit = {"e": 1.69, "a": 406.4, "b": 410.7, "alpha": 0.34, "beta": 0.28}
    share = float(fit["e"] / _least_loss(**fit))
    assert f"e = {share:.5f}" in _opening_comment(CONFIGS[NAMES.index("baseline_excess")])


def test_how_long_static_answer_is_as_the_comment_says():
    reference_years, exponent, target = 2142 / 8766, 0.05, 0.6
    years = (target ** (-1 / exponent) - 1) * reference_years
    assert f"{years:,.0f} / " in _opening_comment(CONFIGS[NAMES.index("how_long")])


def test_how_many_gpus_static_answer_is_as_the_comment_says():
    reference_years, reference_fleet, exponent, target, time = 2142 / 8766, 16_384, 0.05, 0.5, 1
    fleet = (target ** (-1 / exponent) - 1) * reference_fleet * reference_years / time
    assert f"{fleet:.1e}".replace("e+0", "e") + " / " in _opening_comment(CONFIGS[NAMES.index("how_many_gpus")])


@pytest.mark.parametrize("name", _written(PRIORS)["distributions"])
def test_prior_is_a_distribution_with_a_source(name):
    assert Distribution(**_written(PRIORS)["distributions"][name]).source


@pytest.mark.parametrize("name", _written(PRIORS)["correlations"])
def test_prior_correlation_has_a_source(name):
    assert Correlation(**_written(PRIORS)["correlations"][name]).source


@pytest.mark.parametrize(("exponent", "floor", "end"), [(0.1705, 1.777, "low"), (0.1884, 1.862, "high")])
def test_floor_of_the_prior_keeps_the_loss_where_the_data_are(exponent, floor, end):
    fit = {"e": 1.8169, "a": 482.0, "b": 2085.4, "alpha": 0.3478, "beta": 0.3658}
    at_data = float(_least_loss(**fit, flop=1e21))
    loss = floor + (at_data - floor) * (REFERENCE_FLOP / 1e21) ** -exponent
    assert _written(PRIORS)["distributions"]["floor"][end] == pytest.approx(floor / loss, abs=0.5e-5)


def test_price_of_the_prior_is_that_of_chips_servers_and_network():
    written = _written(PRIORS)["distributions"]["price"]
    assert written["low"] == pytest.approx(28_800 * 1.64 / (1 - 0.19), abs=0.5)
    assert written["high"] == pytest.approx(46_900 * 1.64 / (1 - 0.19), abs=0.5)
