"""Scenario discovery: known regions are found again, brute force on small cases, SciPy on the same counts."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner
from scipy import stats

import sweep
from sweep.cli.main import main
from sweep.plan.blocks import FIXED_BYTES
from sweep.questions.discovery import prim
from sweep.report import discovery_figure

COST = prim.COST

# A box of a, b and c in the unit cube; d does nothing to it.
CENTRES, REACHES = (0.25, 0.5, 0.9), (0.3, 0.2, 0.3)
BOX = np.array([[-np.inf, 0.55], [0.3, 0.7], [0.6, np.inf], [-np.inf, np.inf]])
CUBE = sweep.Model(
    name="cube",
    equation="distance = max |x - c| / r",
    source="this test",
    assumptions="none",
    parameters=tuple(sweep.Parameter(n, n, u) for n, u in zip("abcde", ("m", "s", "1", "kg", "1"), strict=True)),
    quantities=(
        sweep.Quantity("distance", "distance from the middle", "1", lambda a, b, c: _distance(a, b, c)),
        sweep.Quantity("shifted", "the same and e", "1", lambda distance, d, e: distance + 0.0 * d + e),
        sweep.Quantity("root", "square root of a - 1/2", "1", lambda a: jnp.sqrt(a - 0.5)),
    ),
)


def _distance(a, b, c):
    parts = [jnp.abs(x - m) / r for x, m, r in zip((a, b, c), CENTRES, REACHES, strict=True)]
    return jnp.maximum(jnp.maximum(parts[0], parts[1]), parts[2])


def uniform(low=0.0, high=1.0):
    return sweep.Distribution(distribution="uniform", low=low, high=high)


def cube(*, names="abcd", outputs=("shifted",), number=4096, replicates=1, axes=None, fixed=None, **given):
    return sweep.SweepSpec(
        model="cube",
        outputs=outputs,
        axes=axes or {},
        fixed={"e": 0.0} if fixed is None else fixed,
        distributions={name: uniform() for name in names},
        draws=sweep.Draws(number=number, replicates=replicates, **given),
        dtype="float64",
    )


def fitted(columns, hits, **floors):
    """The chosen box, as `discover` finds it."""
    orders, cost = prim.ordered(columns), COST * math.log(len(hits))
    peeled, inside, found = prim.peeled(columns, hits, orders)
    score = prim.evidence(hits, **floors)
    return prim.moved(columns, hits, orders, peeled[np.argmax(score(inside, found))], score, cost)


def drawn_cube(seed, number=4096, parameters=5):
    columns = np.random.default_rng(seed).random((parameters, number))
    return columns, prim.within(columns[:4], BOX)


# boxes of arrays


def naive_peel(columns, hits):
    """Peel by the definition, one draw at a time."""
    inside, found = set(range(len(hits))), []
    while sum(hits[i] for i in inside) < len(inside):
        size, slabs = math.ceil(prim.PEEL * len(inside)), []
        for column in columns:
            for sign in (1.0, -1.0):
                values = sorted({sign * column[i] for i in inside})
                ranked = sorted(sign * column[i] for i in inside)
                gone = {i for i in inside if sign * column[i] < ranked[size]}
                gone = gone or {i for i in inside if sign * column[i] <= ranked[size]}
                if len(values) > 1 and len(inside) - len(gone) >= prim.FEWEST:
                    slabs.append(gone)
        if not slabs:
            break
        inside = inside - min(slabs, key=lambda gone: sum(hits[i] for i in gone) / len(gone))
        found.append(sorted(inside))
    return found


@pytest.mark.parametrize("values", [3, 17, None])
@pytest.mark.parametrize("seed", range(3))
def test_peeled_removes_the_poorest_slab(seed, values):
    rng = np.random.default_rng(seed)
    columns = rng.random((3, 300)) if values is None else rng.integers(0, values, (3, 300)).astype(float)
    hits = (columns[0] > np.median(columns[0])) ^ (rng.random(300) < 0.2)
    peeled, inside, found = prim.peeled(columns, hits, prim.ordered(columns))
    members = [np.flatnonzero(prim.within(columns, box)).tolist() for box in peeled]
    assert members == [list(range(300)), *naive_peel(columns, hits)]
    assert [len(m) for m in members] == inside.tolist()
    assert [int(hits[m].sum()) for m in members] == found.tolist()


def test_peeled_stops_where_all_are_hits():
    columns = np.linspace(0.0, 1.0, 1000)[np.newaxis]
    peeled, inside, found = prim.peeled(columns, columns[0] > 0.5, prim.ordered(columns))
    assert inside[-1] == found[-1] > inside[-2] // 2
    assert np.all(found[:-1] < inside[:-1])
    assert len(peeled) == len(inside)


def test_peeled_keeps_draws_that_do_not_differ():
    columns = np.ones((2, 100))
    assert len(prim.peeled(columns, np.arange(100) < 3, prim.ordered(columns))[0]) == 1


@pytest.mark.parametrize(("inside", "found"), [(10, 9), (900, 120), (500, 120), (120, 119), (1, 1)])
def test_evidence_is_the_log_likelihood_ratio_of_scipy(inside, found):
    table = [[found, inside - found], [120 - found, 880 - inside + found]]
    expected = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic
    assert prim.evidence(np.arange(1000) < 120)(np.array(inside), np.array(found)) == pytest.approx(expected, rel=1e-9)


def test_evidence_is_zero_where_the_box_is_poorer_or_everything():
    score = prim.evidence(np.arange(1000) < 500)
    np.testing.assert_array_equal(score(np.array([1000, 400, 400]), np.array([500, 100, 200])), 0.0)


def test_evidence_refuses_what_falls_short():
    score = prim.evidence(np.arange(1000) < 500, 0.5, 0.9)
    found = score(np.array([260, 300, 200, 270]), np.array([260, 260, 200, 250]))
    np.testing.assert_array_equal(np.isfinite(found), [True, False, False, True])


@pytest.mark.parametrize("seed", range(10))
def test_moved_finds_the_best_interval_of_one_parameter(seed):
    rng = np.random.default_rng(seed)
    column = rng.random(120)
    low = 0.7 * rng.random()
    high = low + 0.3
    hits = ((column >= low) & (column <= high)) ^ (rng.random(120) < 0.03)
    score, cost, ranked = prim.evidence(hits), COST * math.log(120), np.sort(column)

    def worth(box):
        inside = (column >= box[0]) & (column <= box[1])
        return float(score(np.array(inside.sum()), np.array(hits[inside].sum()))) - cost * np.isfinite(box).sum()

    lows, highs = [-np.inf, *ranked], [np.inf, *ranked]
    every = [worth(np.array([a, b])) for a in lows for b in highs if a <= b]
    assert worth(fitted(column[np.newaxis], hits)[0]) == pytest.approx(max(every), rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_moved_recovers_a_known_box(seed):
    columns, hits = drawn_cube(seed)
    box = fitted(columns, hits)
    np.testing.assert_array_equal(np.isfinite(box), np.isfinite([*BOX, [-np.inf, np.inf]]))
    limited = np.isfinite(box)
    # Some 600 draws are inside: the outermost lies some 1 / 600 of the box from its border, e^-10 of the time 10 / 600.
    np.testing.assert_allclose(box[limited], BOX[limited[:4]], atol=0.01)
    inside = prim.within(columns, box)
    assert hits[inside].all()
    assert inside[hits].all()


@pytest.mark.parametrize("seed", range(5))
def test_moved_recovers_a_known_box_from_noise(seed):
    columns, hits = drawn_cube(seed, 16384)
    noise = np.random.default_rng(seed + 100).random(16384) < 0.1
    box = fitted(columns, hits ^ noise)
    np.testing.assert_array_equal(np.isfinite(box), np.isfinite([*BOX, [-np.inf, np.inf]]))
    np.testing.assert_allclose(box[np.isfinite(box)], BOX[np.isfinite(BOX)], atol=0.01)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_moved_limits_nothing_in_noise(share):
    limited = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        columns, hits = rng.random((5, 1024)), rng.random(1024) < share
        limited += bool(np.isfinite(fitted(columns, hits)).any())
    assert limited <= 1


def test_moved_does_not_part_equal_values():
    rng = np.random.default_rng(3)
    columns = np.stack([rng.integers(0, 4, 2000).astype(float), rng.random(2000)])
    box = fitted(columns, (columns[0] >= 2.0) & (rng.random(2000) < 0.8))
    np.testing.assert_array_equal(box, [[2.0, np.inf], [-np.inf, np.inf]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_moved_does_not_depend_on_the_order_of_draws(dtype):
    columns, hits = drawn_cube(8)
    columns = columns.astype(dtype)
    order = np.random.default_rng(1).permutation(len(hits))
    np.testing.assert_array_equal(fitted(columns, hits), fitted(columns[:, order], hits[order]))


@pytest.mark.parametrize("draws", [1, 7, 1000, 10**6])
@pytest.mark.parametrize("share", [1e-6, 0.01, 0.3, 0.5, 0.97])
def test_binomial_tail_is_that_of_scipy(draws, share):
    middle, width = draws * share, math.sqrt(draws * share * (1.0 - share))
    for hits in {round(middle + k * width) for k in (-30, -6, -1, 0, 1, 3, 10, 30)} | {0, 1, draws}:
        if 0 <= hits <= draws:
            expected = stats.binom.sf(hits - 1, draws, share)
            assert prim.binomial_tail(hits, draws, share) == pytest.approx(expected, rel=1e-8, abs=1e-300)


@pytest.mark.parametrize(("hits", "share", "expected"), [(0, 0.0, 1.0), (1, 0.0, 0.0), (5, 1.0, 1.0)])
def test_binomial_tail_takes_shares_of_0_and_1(hits, share, expected):
    assert prim.binomial_tail(hits, 5, share) == expected


# discover


@pytest.fixture(scope="module")
def found():
    return sweep.discover(cube(), "shifted <= 1", model=CUBE)


@pytest.fixture(scope="module")
def values():
    return sweep.run(cube(replicates=2), model=CUBE)


def test_discover_recovers_a_known_box(found):
    chosen = found.isel(box=-1)
    np.testing.assert_array_equal(np.isfinite(chosen.limits), np.isfinite(BOX))
    np.testing.assert_allclose(chosen.limits.values[np.isfinite(BOX)], BOX[np.isfinite(BOX)], atol=0.01)
    assert (float(chosen.coverage), float(chosen.density)) == (1.0, 1.0)
    assert min(float(chosen.fresh_coverage), float(chosen.fresh_density)) > 0.97


def test_discover_names_parameters_and_units(found):
    assert found.parameter.values.tolist() == ["a", "b", "c", "d"]
    assert found.unit.values.tolist() == ["m", "s", "1", "kg"]
    assert all({"long_name"} <= set(variable.attrs) for variable in found.variables.values())
    assert found.attrs["where"] == "shifted <= 1"


def test_discover_begins_with_everything_and_ends_with_the_chosen_box(found):
    assert not np.isfinite(found.limits[0]).any()
    assert (float(found.coverage[0]), float(found.support[0])) == (1.0, 1.0)
    assert found.is_chosen.values.tolist() == [False] * (found.sizes["box"] - 1) + [True]


@pytest.mark.parametrize(("part", "prefix"), [(0, ""), (1, "fresh_")])
def test_discover_counts_the_draws_of_run(found, values, part, prefix):
    one = values.isel(replicate=part)
    hits = one.shifted.values <= 1.0
    for number, box in enumerate(found.limits.values):
        apart = [(one[n].values >= low) & (one[n].values <= high) for n, (low, high) in zip("abcd", box, strict=True)]
        inside, row = np.logical_and.reduce(apart), found.isel(box=number)
        assert float(row[f"{prefix}support"]) == inside.mean()
        assert float(row[f"{prefix}coverage"]) == (inside & hits).sum() / hits.sum()
        assert float(row[f"{prefix}density"]) == hits[inside].mean()


def test_discover_tests_each_limit_on_fresh_draws(found, values):
    one, box = values.isel(replicate=1), found.limits.values[-1]
    hits = one.shifted.values <= 1.0
    apart = np.stack([(one[n].values >= b[0]) & (one[n].values <= b[1]) for n, b in zip("abcd", box, strict=True)])
    inside = apart.all(axis=0)
    for j in range(3):
        without = np.delete(apart, j, axis=0).all(axis=0)
        test = stats.binomtest(int(hits[inside].sum()), int(inside.sum()), hits[without].mean(), alternative="greater")
        assert float(found.quasi_p_value[j]) == pytest.approx(test.pvalue, rel=1e-8, abs=1e-300)
    assert np.isnan(found.quasi_p_value[3])


def test_discover_gives_quantiles_of_the_distribution():
    given = sweep.Distribution(distribution="lognormal", low=0.2, high=3.0)
    spec = cube(outputs=("distance",), fixed={"b": 0.5, "c": 0.9}, names="a")
    spec = sweep.SweepSpec(**{**dict(spec), "distributions": {"a": given}})
    chosen = sweep.discover(spec, "distance > 2", model=CUBE).isel(box=-1)
    low = float(chosen.limits[0, 0])
    law = stats.lognorm(math.log(3.0 / 0.2) / 2.0 / stats.norm.ppf(0.95), scale=math.sqrt(0.6))
    assert low == pytest.approx(0.85, abs=0.002)
    np.testing.assert_allclose(chosen["quantile"][0], [law.cdf(low), 1.0], atol=1e-3)


def test_discover_fits_to_the_first_replicate_alone(found):
    more = sweep.discover(cube(replicates=4), "shifted <= 1", model=CUBE)
    assert more.attrs["draws_fresh"] == 3 * 4096
    xr.testing.assert_equal(more[["limits", "coverage", "density"]], found[["limits", "coverage", "density"]])


def test_discover_gives_the_same_twice(found):
    xr.testing.assert_identical(found, sweep.discover(cube(), "shifted <= 1", model=CUBE))


def test_discover_leaves_out_what_the_outcome_does_not_depend_on(found):
    alone = sweep.discover(cube(), "distance <= 1", model=CUBE)
    assert alone.parameter.values.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(alone.limits[-1], found.limits[-1, :3])


@pytest.mark.parametrize("method", ["latin_hypercube", "random"])
def test_discover_takes_other_draws(method):
    chosen = sweep.discover(cube(method=method), "shifted <= 1", model=CUBE).isel(box=-1)
    np.testing.assert_allclose(chosen.limits.values, BOX, atol=0.02)


def test_discover_takes_correlated_parameters():
    pair = sweep.Correlation(between=("a", "d"), rank=0.9)
    chosen = sweep.discover(cube(correlations=(pair,)), "shifted <= 1", model=CUBE).isel(box=-1)
    np.testing.assert_allclose(chosen.limits.values, BOX, atol=0.02)


def test_discover_keeps_to_a_least_density():
    free, dense = (
        sweep.discover(cube(), "shifted <= 1 and root >= 0.1", model=CUBE, density=density).isel(box=-1)
        for density in (0.0, 1.0)
    )
    assert float(dense.density) == 1.0
    assert float(dense.coverage) <= float(free.coverage)


def test_discover_keeps_to_a_least_coverage():
    spec = cube(outputs=("root",), names="a")
    assert float(sweep.discover(spec, "root > 0.3", model=CUBE, coverage=1.0).coverage[-1]) == 1.0


def test_discover_holds_an_axis_at_any_value(found):
    axes = {"e": sweep.Axis(values=(0.5, 1.0))}
    held = sweep.discover(cube(axes=axes, fixed={}), "shifted <= 1.3", at={"e": 0.3}, model=CUBE)
    np.testing.assert_allclose(held.limits[-1], found.limits[-1], atol=1e-3)


def test_discover_needs_no_value_for_an_axis_of_one():
    axes = {"e": sweep.Axis(values=(0.5,))}
    chosen = sweep.discover(cube(axes=axes, fixed={}), "shifted <= 1.5", model=CUBE).isel(box=-1)
    np.testing.assert_allclose(chosen.limits.values, BOX, atol=0.01)


def test_discover_ignores_statistics():
    share = sweep.Statistic(statistic="share", over=("draw",), where="shifted < 1")
    spec = sweep.SweepSpec(**{**dict(cube()), "outputs": ("shifted",), "statistics": {"chance": share}})
    assert sweep.discover(spec, "shifted <= 1", model=CUBE).sizes["parameter"] == 4


def test_discover_counts_nan_as_of_no_interest():
    chosen = sweep.discover(cube(outputs=("root",), names="a"), "root >= 0", model=CUBE).isel(box=-1)
    assert float(chosen.limits[0, 0]) == pytest.approx(0.5, abs=1e-3)


def test_discover_says_when_nothing_can_be_told():
    spec = cube(outputs=("root",), names="a", number=16)
    found = sweep.discover(spec, "root >= 0", model=CUBE)
    assert "little can be said" in "\n".join(discovery_figure.describe_regions(found))


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"where": "shifted < 1e-9"}, "where: none of the 4,096 draws have shifted < 1e-9, where shifted is 0."),
        ({"where": "shifted < 9"}, "where: all of the 4,096 draws have shifted < 9, where shifted is 0."),
        ({"where": "shifted"}, "where: must be comparisons such as relative_loss < 0.5, joined by and"),
        (
            {"where": "shift < 1"},
            'where: unknown output "shift"; did you mean shifted? allowed: distance, shifted, root',
        ),
        ({"where": "a < 1"}, 'where: unknown output "a"'),
        ({"where": "shifted < 1e-310"}, "where: 1e-310 is nearer to 0 than float64 numbers are"),
        ({"coverage": 1.5}, "coverage: must be in [0, 1], got 1.5"),
        ({"density": math.nan}, "density: must be in [0, 1], got nan"),
        ({"at": {"e": 1.0}}, "at: e is no axis, there are none"),
    ],
)
def test_discover_refuses(given, line):
    with pytest.raises(sweep.SpecError) as error:
        sweep.discover(cube(), **{"where": "shifted < 1", "model": CUBE, **given})
    assert str(error.value).startswith(line)
    assert "\n" not in str(error.value)


def test_discover_refuses_a_density_that_no_box_has():
    spec = cube(outputs=("root",), names="a")
    with pytest.raises(sweep.SpecError, match=r"^density: no box has a density of 1 and a coverage of 1; .* densest"):
        sweep.discover(spec, "root > 0.3 and root < 0.6", model=CUBE, coverage=1.0, density=1.0)


@pytest.mark.parametrize(
    ("at", "line"),
    [
        ({}, "at: shifted depends on the axis e, which is decided, not drawn; hold it at one value, such as e=1"),
        ({"f": 1.0}, 'at: unknown axis "f"; allowed: e'),
        ({"draw": 1.0}, 'at: unknown axis "draw"; allowed: e'),
    ],
)
def test_discover_refuses_axes(at, line):
    spec = cube(axes={"e": sweep.Axis(values=(0.5, 1.0))}, fixed={})
    with pytest.raises(sweep.SpecError) as error:
        sweep.discover(spec, "shifted < 1", at=at, model=CUBE)
    assert str(error.value) == line


def test_discover_refuses_to_hold_an_axis_that_does_nothing():
    spec = cube(axes={"e": sweep.Axis(values=(0.5, 1.0))}, fixed={})
    with pytest.raises(sweep.SpecError, match=r"^at: distance does not depend on e; drop it$"):
        sweep.discover(spec, "distance < 1", at={"e": 0.5}, model=CUBE)


def test_discover_refuses_an_outcome_of_what_is_known():
    spec = cube(names="d", fixed={"a": 0.7, "b": 0.0, "c": 0.0, "e": 0.0})
    with pytest.raises(sweep.SpecError, match=r"^where: root depends on nothing that is uncertain \(d\)$"):
        sweep.discover(spec, "root < 1", model=CUBE)


def test_discover_refuses_a_sweep_without_distributions():
    spec = sweep.SweepSpec(model="cube", outputs=("root",), axes={"a": sweep.Axis(values=(0.5, 1.0))})
    with pytest.raises(sweep.SpecError, match=r"^distributions: there are none"):
        sweep.discover(spec, "root < 1", model=CUBE)


def test_discover_refuses_a_model_that_is_solved():
    spec = sweep.SweepSpec(
        model="front_loading",
        allocation=sweep.Allocation(objective="mean"),
        distributions={"hardware_rate": uniform(0.2, 0.6)},
        draws=sweep.Draws(number=16),
    )
    with pytest.raises(sweep.SpecError, match=r'^model "front_loading": has no values'):
        sweep.discover(spec, "front_load_share < 0.5")


def test_discover_refuses_too_many_draws():
    with pytest.raises(sweep.SpecError, match=r"^draws.number: at most 4,194,304 are looked at, got 8,388,608$"):
        sweep.discover(cube(number=2**23), "shifted < 1", model=CUBE)


def test_discover_warns_once_of_a_caveat():
    spec = sweep.SweepSpec(
        model="relative_loss",
        loss="total",
        outputs=("relative_loss",),
        fixed={"fleet_size": 1.0, "time": 5.0, "doubling_rate": 1.0, "reference_fleet": 1.0, "reference_years": 1.0},
        distributions={"scaling_exponent": uniform(0.1, 0.2)},
        draws=sweep.Draws(number=64),
    )
    with pytest.warns(UserWarning) as caught:
        sweep.discover(spec, "relative_loss < 0.6")
    assert len(caught) == 1
    assert caught[0].filename == __file__


# words, figure, command line


def test_describe_regions_tells_limits_and_shares(found):
    lines = list(discovery_figure.describe_regions(found))
    assert lines[0].startswith("shifted <= 1: ")
    assert [line.split()[0] for line in lines[1:4]] == ["a", "b", "c"]
    assert " s  quantiles" in lines[2]
    assert lines[4] == "  not limited: d"
    assert lines[5].startswith("coverage 100 % of the interesting draws, density 100 % of those inside, support ")


def test_describe_regions_says_that_no_limit_helps(found):
    lines = list(discovery_figure.describe_regions(found.isel(box=[0, 0])))
    assert lines[1] == "  no limit tells the interesting draws from the others"


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.25, 0.5, "0.25 to 0.5 per year"),
        (0.25, np.inf, ">= 0.25 per year"),
        (-np.inf, 0.5, "<= 0.5 per year"),
        (-np.inf, np.inf, "any"),
    ],
)
def test_limits_of_says_each_kind(low, high, text):
    one = xr.Dataset({"limits": ("limit", [low, high])}, {"unit": "1/year"})
    assert discovery_figure.limits_of(one) == text


def test_plot_regions_draws_bars_between_quantiles(found):
    figure = discovery_figure.plot_regions(found)
    bars, curve = figure.axes
    drawn = [(p.get_x(), p.get_x() + p.get_width()) for p in bars.patches][1::2]
    np.testing.assert_allclose(drawn, found["quantile"][-1], atol=1e-12)
    np.testing.assert_array_equal(curve.lines[0].get_xdata(), found.coverage[:-1])
    np.testing.assert_array_equal(curve.lines[0].get_ydata(), found.density[:-1])


def test_plot_regions_refuses_another_dataset():
    with pytest.raises(sweep.SpecError, match=r'of the kind "grid"; give one of the kind "discovery"'):
        discovery_figure.plot_regions(xr.Dataset({"relative_loss": 1.0}))


CONFIG = """
model = "relative_loss"
loss = "total"
outputs = ["relative_loss"]
[axes.time]
values = [1.0, 5.0]
[fixed]
fleet_size = 1.0
scaling_exponent = 0.05
reference_fleet = 1.0
reference_years = 1.0
[distributions.doubling_rate]
distribution = "uniform"
low = 0.0
high = 4.0
[draws]
number = 256
"""


def test_discover_command_prints_and_writes(tmp_path):
    (tmp_path / "c.toml").write_text(CONFIG)
    paths = [str(tmp_path / name) for name in ("c.toml", "c.png", "c.nc")]
    asked = ["--where", "relative_loss < 0.8", "--at", "time=5", "-o", paths[1], "--netcdf", paths[2]]
    done = CliRunner().invoke(main, ["discover", paths[0], *asked])
    assert done.exit_code == 0, done.output
    assert "doubling_rate  >= " in done.output
    with xr.open_dataset(paths[2], engine="h5netcdf") as written:
        assert written.limits.dims == ("box", "parameter", "limit")
        assert written.attrs["where"] == "relative_loss < 0.8"
    again = CliRunner().invoke(main, ["plot", paths[2], "-o", str(tmp_path / "again.svg")])
    assert again.exit_code == 0, again.output
    assert (tmp_path / "again.svg").stat().st_size > 1000
    refused = CliRunner().invoke(main, ["plot", paths[2], "--x", "time"])
    assert refused.exit_code == 2
    assert "is of sweep discover, whose figure has no choices; drop it" in refused.stderr


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        (["--where", "relative_loss < 0.8"], "error: at: relative_loss depends on the axis time"),
        (["--where", "x < 1", "--at", "time=5"], 'error: where: unknown output "x"'),
        (["--where", "relative_loss < 0.8", "--at", "time=5", "--at", "time=6"], "error: --at: time is held twice"),
        (["--at", "time=5"], "error: Missing option '--where'"),
    ],
)
def test_discover_command_refuses_in_one_line(tmp_path, asked, line):
    (tmp_path / "c.toml").write_text(CONFIG)
    done = CliRunner().invoke(main, ["discover", str(tmp_path / "c.toml"), *asked])
    assert done.exit_code == 2
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("number", [64, 2**22])
def test_discover_refuses_more_draws_than_fit_before_any_is_evaluated(number):
    spec = sweep.SweepSpec(
        loss="total",
        outputs=("relative_loss",),
        fixed={"fleet_size": 1.0, "time": 2.0, "scaling_exponent": 0.05, "reference_fleet": 1.0, "reference_years": 1},
        distributions={"doubling_rate": {"distribution": "uniform", "low": 0.1, "high": 9.0}},
        draws={"number": number},
    )
    steps = []
    least = FIXED_BYTES + number * 100
    with pytest.raises(
        sweep.SpecError, match=f"memory: {number:,} draws of 1 parameters, 2 times, take about"
    ) as error:
        sweep.discover(spec, "relative_loss < 0.9", memory=least, progress=steps.append)
    assert "\n" not in str(error.value) and not steps
