"""Regrets, and frontiers of statistics over draws, against brute force."""

import dataclasses
import itertools

import numpy as np
import pytest

import sweep
from sweep.errors import SpecError
from sweep.questions.frontier import chances

FLEETS = sweep.Axis(values=[1.0, 3.0, 10.0, 30.0, 100.0])
TIMES = sweep.Axis(values=[0.5, 1.0, 2.0, 4.0, 8.0])
NUMBER = 32


def model_of_bets():
    """Choices a and b, of which each is right in some draws of w: frontiers that differ from draw to draw."""
    domain = sweep.Domain(low=0.0)
    return sweep.Model(
        name="bets",
        equation="pain = |w - a| + b w, price = a + 2 / (1 + b)",
        source="these tests",
        assumptions="none",
        parameters=(
            sweep.Parameter("a", "first choice", "1", domain),
            sweep.Parameter("b", "second choice", "1", domain),
            sweep.Parameter("w", "weather", "1", domain),
        ),
        quantities=(
            sweep.Quantity("pain", "pain", "1", lambda a, b, w: abs(w - a) + b * w),
            sweep.Quantity("price", "price", "1", lambda a, b: a + 2.0 / (1.0 + b)),
        ),
    )


MODEL = model_of_bets()


def spec_of(statistics, replicates=1):
    return sweep.SweepSpec(
        model="bets",
        dtype="float64",
        axes={"a": sweep.Axis(start=0.0, stop=1.0, num=9), "b": sweep.Axis(start=0.0, stop=1.0, num=7)},
        distributions={"w": sweep.Distribution(distribution="uniform", low=0.0, high=1.0)},
        draws=sweep.Draws(number=NUMBER, replicates=replicates),
        statistics={key: sweep.Statistic(**value) for key, value in statistics.items()},
    )


STATISTICS = {
    "expected": {"statistic": "mean", "output": "pain", "over": ["draw"]},
    "bad": {"statistic": "quantiles", "output": "pain", "over": ["draw"], "probabilities": [0.9]},
    "worst_regret": {"statistic": "max", "output": "pain", "over": ["draw"], "regret": ["a", "b"]},
    "regret_of_a": {"statistic": "mean", "output": "pain", "over": ["draw"], "regret": ["a"]},
    "chance": {"statistic": "share", "where": "pain < 0.4", "over": ["draw"]},
}


@pytest.fixture(scope="module")
def values():
    spec = spec_of(STATISTICS).model_copy(update={"statistics": {}, "outputs": ("pain", "price")})
    return sweep.run(spec, model=MODEL)


def nondominated(points):
    """Rows that no other row beats, one by one."""
    return [
        not any(np.all(q <= p) and np.any(q < p) for j, q in enumerate(points) if j != i) for i, p in enumerate(points)
    ]


def test_regret_is_the_excess_over_the_best_choice_of_the_draw(values):
    found = sweep.run(spec_of(STATISTICS), model=MODEL)
    excess = values.pain - values.pain.min(["a", "b"])
    np.testing.assert_allclose(found.worst_regret, excess.max("draw"), rtol=1e-14, atol=1e-15)
    by_a = values.pain - values.pain.min("a")
    np.testing.assert_allclose(found.regret_of_a, by_a.mean("draw"), rtol=1e-14, atol=1e-16)


def test_regret_is_not_of_choices_that_are_impossible():
    def pain(a, b, w):
        import jax.numpy as jnp

        return jnp.where(a + b > 1.0, jnp.nan, abs(w - a) + b * w)

    model = dataclasses.replace(MODEL, quantities=(pain, MODEL.quantities[1]))
    spec = spec_of(STATISTICS)
    found = sweep.run(spec, model=model)
    pain = sweep.run(spec.model_copy(update={"statistics": {}, "outputs": ("pain",)}), model=model).pain
    expected = (pain - pain.min(["a", "b"], skipna=True)).max("draw", skipna=False)
    np.testing.assert_allclose(found.worst_regret, expected, rtol=1e-14, atol=1e-15)
    assert np.isnan(found.worst_regret).sum() == np.isnan(pain.isel(draw=0)).sum() > 0


def test_regret_of_replicates_is_within_the_replicate():
    spec = spec_of({"worst": STATISTICS["worst_regret"]}, replicates=3)
    found = sweep.run(spec, model=MODEL)
    plain = spec.model_copy(update={"statistics": {}, "outputs": ("pain",)})
    pain = sweep.run(plain, model=MODEL).pain
    expected = (pain - pain.min(["a", "b"])).max("draw")
    np.testing.assert_allclose(found.worst.transpose(*expected.dims), expected, rtol=1e-14, atol=1e-15)


def test_regret_goes_into_a_store_and_goes_on(tmp_path):
    path, spec = tmp_path / "regret.zarr", spec_of({"worst": STATISTICS["worst_regret"]})
    first = sweep.run(spec, model=MODEL, store=path).load()
    again = sweep.run(spec, model=MODEL, store=path)
    np.testing.assert_array_equal(first.worst, again.worst)
    np.testing.assert_array_equal(first.worst, sweep.run(spec, model=MODEL).worst)


def test_regret_of_the_shipped_model():
    spec = sweep.SweepSpec(
        loss="total",
        axes={"fleet_size": FLEETS, "time": TIMES},
        fixed={"scaling_exponent": 0.05, "reference_fleet": 1.0, "reference_years": 1.0},
        distributions={"doubling_rate": sweep.Distribution(distribution="normal", low=-1.0, high=2.0)},
        draws=sweep.Draws(number=NUMBER),
        statistics={
            "worst": sweep.Statistic(statistic="max", output="relative_loss", over=["draw"], regret=["fleet_size"])
        },
    )
    found = sweep.run(spec)
    loss = sweep.run(spec.model_copy(update={"statistics": {}, "outputs": ("relative_loss",)})).relative_loss
    np.testing.assert_array_equal(found.worst, (loss - loss.min("fleet_size")).max("draw"))


@pytest.mark.parametrize("objective", ["expected", "bad", "worst_regret"])
def test_frontier_of_a_statistic_is_that_of_brute_force(values, objective):
    found = sweep.frontier(spec_of(STATISTICS), minimise=[objective, "price"], model=MODEL, chance=False)
    table = {
        "expected": values.pain.mean("draw"),
        "bad": values.pain.quantile(0.9, "draw"),
        "worst_regret": (values.pain - values.pain.min(["a", "b"])).max("draw"),
    }[objective]
    points = np.stack([table.values.ravel(), values.price.values.ravel()], axis=1)
    expected = np.flatnonzero(nondominated(points))
    at = np.ravel_multi_index((found.a_index.values, found.b_index.values), table.shape)
    # Equal points are kept once.
    assert len(at) == len(np.unique(points[expected], axis=0))
    assert set(at) <= set(expected)


def test_frontier_says_how_often_a_point_is_on_the_frontier_of_a_draw(values):
    found = sweep.frontier(spec_of(STATISTICS), minimise=["expected", "price"], model=MODEL)
    price = values.price.values.ravel()
    hits = sum(
        np.array(nondominated(np.stack([values.pain.isel(draw=d).values.ravel(), price], axis=1)))
        for d in range(NUMBER)
    )
    at = np.ravel_multi_index((found.a_index.values, found.b_index.values), values.price.shape)
    np.testing.assert_array_equal(found.chance_of_nondominance, hits[at] / NUMBER)
    assert 0.0 < found.chance_of_nondominance.min() < 1.0


def test_frontier_chance_counts_replicates_and_keeps_conditions(values):
    spec = spec_of({"expected": STATISTICS["expected"]}, replicates=2)
    found = sweep.frontier(spec, minimise=["expected", "price"], where="a <= 0.5", model=MODEL)
    plain = spec.model_copy(update={"statistics": {}, "outputs": ("pain", "price")})
    data = sweep.run(plain, model=MODEL).sel(a=slice(0.0, 0.5))
    price = data.price.values.ravel()
    hits = sum(
        np.array(nondominated(np.stack([data.pain.isel(draw=d, replicate=r).values.ravel(), price], axis=1)))
        for r, d in itertools.product(range(2), range(NUMBER))
    )
    at = np.ravel_multi_index((found.a_index.values, found.b_index.values), data.price.shape)
    np.testing.assert_array_equal(found.chance_of_nondominance, hits[at] / (2 * NUMBER))
    assert found.chance_of_nondominance.attrs["draws"] == 2 * NUMBER


def test_frontier_by_an_axis_has_chances_of_its_own(values):
    found = sweep.frontier(spec_of(STATISTICS), minimise=["expected", "price"], by="b", model=MODEL)
    one = found.isel(point=np.flatnonzero(found.b_index == 2))
    part = values.isel(b=2)
    hits = sum(
        np.array(nondominated(np.stack([part.pain.isel(draw=d).values, part.price.values], axis=1)))
        for d in range(NUMBER)
    )
    np.testing.assert_array_equal(one.chance_of_nondominance, hits[one.a_index.values] / NUMBER)


def table_of(values, statistic):
    """A statistic of the draws at each choice, by NumPy."""
    pain = values.pain.values
    made = {
        "expected": pain.mean(-1),
        "bad": np.quantile(pain, 0.9, axis=-1),
        "worst_regret": (pain - pain.min((0, 1))).max(-1),
        "chance": (pain < 0.4).mean(-1),
    }
    return made[statistic]


@pytest.mark.parametrize(
    ("where", "allowed"),
    [
        ("expected <= 0.45", lambda table: table["expected"] <= 0.45),
        ("expected >= 0.45", lambda table: table["expected"] >= 0.45),
        ("bad < 0.9", lambda table: table["bad"] < 0.9),
        ("worst_regret > 0.6", lambda table: table["worst_regret"] > 0.6),
        ("chance >= 0.3 and expected > 0.3", lambda table: (table["chance"] >= 0.3) & (table["expected"] > 0.3)),
        ("chance >= 0.3 and a >= 0.3", lambda table: (table["chance"] >= 0.3) & (np.arange(9)[:, None] >= 3)),
        ("chance < 0.5 and price <= 1.9", lambda table: (table["chance"] < 0.5) & (table["price"] <= 1.9)),
    ],
)
def test_frontier_chance_is_among_what_conditions_on_statistics_allow(where, allowed, values):
    found = sweep.frontier(spec_of(STATISTICS), minimise=["expected", "price"], where=where, model=MODEL)
    price = values.price.values
    table = {name: table_of(values, name) for name in ("expected", "bad", "worst_regret", "chance")}
    mask = allowed({**table, "price": price}).ravel()
    assert 0 < mask.sum() < mask.size
    hits = np.zeros(mask.size)
    for d in range(NUMBER):
        points = np.stack([values.pain.isel(draw=d).values.ravel(), price.ravel()], axis=1)[mask]
        hits[mask] += nondominated(points)
    at = np.ravel_multi_index((found.a_index.values, found.b_index.values), price.shape)
    assert len(at) and mask[at].all()
    np.testing.assert_array_equal(found.chance_of_nondominance, hits[at] / NUMBER)


def test_frontier_chance_of_the_only_allowed_point_is_one(values):
    least = float(np.sort(table_of(values, "bad").ravel())[0])
    found = sweep.frontier(spec_of(STATISTICS), minimise=["expected", "price"], where=f"bad <= {least!r}", model=MODEL)
    np.testing.assert_array_equal(found.chance_of_nondominance, [1.0])


def twins(apart):
    """Bets of which each comes three times, apart by some part of their values that differs from draw to draw."""
    import jax.numpy as jnp

    def nearly(w, n, twin):
        return 1.0 + apart * jnp.sin(50.0 * (w + n) + 2.0 * twin)

    quantities = (
        sweep.Quantity("pain", "pain", "1", lambda a, b, w, twin: (abs(w - a) + b * w) * nearly(w, 0, twin)),
        sweep.Quantity(
            "price", "price", "1", lambda a, b, twin: (a + 2.0 / (1.0 + b)) * (1.0 + apart * jnp.sin(2.0 * twin))
        ),
        sweep.Quantity("worry", "worry", "1", lambda a, b, w, twin: (b + 0.1 + w * a) * nearly(w, 1, twin)),
    )
    twin = sweep.Parameter("twin", "which of the same", "1", sweep.Domain(low=0.0))
    return dataclasses.replace(MODEL, parameters=(*MODEL.parameters, twin), quantities=quantities)


@pytest.mark.parametrize(
    ("ulps", "objectives", "dtype"),
    [
        (8, ("expected",), "float64"),
        (8, ("expected", "price"), "float32"),
        (30, ("expected", "price"), "float64"),
        (8, ("expected", "fear", "price"), "float32"),
        (1000, ("expected", "price"), "float64"),
    ],
)
def test_frontier_chance_of_what_differs_by_rounding_alone_is_that_of_one(ulps, objectives, dtype):
    statistics = {"expected": STATISTICS["expected"], "fear": STATISTICS["expected"] | {"output": "worry"}}
    statistics = {name: statistic for name, statistic in statistics.items() if name in objectives}
    spec = spec_of(statistics).model_copy(update={"dtype": dtype})
    axes = spec.axes | {"twin": sweep.Axis(values=[0.0, 1.0, 2.0])}
    model = twins(ulps * float(np.finfo(dtype).eps))
    found = sweep.frontier(spec.model_copy(update={"axes": axes}), minimise=objectives, model=model)
    one = spec.model_copy(update={"axes": spec.axes | {"twin": sweep.Axis(values=[0.0])}})
    one = sweep.frontier(one, minimise=objectives, model=twins(0.0))
    told = dict(zip(zip(one.a.values, one.b.values, strict=True), one.chance_of_nondominance.values, strict=True))
    pairs = [*zip(found.a.values, found.b.values, strict=True)]
    both = np.array([pair in told for pair in pairs])
    expected = np.array([told.get(pair, np.nan) for pair in pairs])
    assert both.any()
    same = found.chance_of_nondominance.values[both] == expected[both]
    assert same.all() if ulps < chances.ULPS / 2 else not same.all()


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_is_beaten_is_the_definition(count):
    rng = np.random.default_rng(count)
    eps = float(np.finfo(np.float64).eps)
    points = rng.choice([-1.0, 0.0, 1.0, 2.0, np.inf, -np.inf], (60, count))
    points = points * (1.0 + eps * rng.choice([0, 10, 40, 200, 1e6], points.shape))
    rivals = rng.choice([-1.0, 0.0, 1.0, 2.0, np.inf], (7, count))
    rivals = rivals * (1.0 + eps * rng.choice([0, -10, -40, -200], rivals.shape))
    room = chances.ULPS * eps * np.where(np.isinf(points), 0.0, np.abs(points))
    expected = [
        any(np.all(q <= p + r) and np.any(q < p - r) for q in rivals) for p, r in zip(points, room, strict=True)
    ]
    found = chances._is_beaten(points, rivals, np.dtype(np.float64))
    np.testing.assert_array_equal(found, expected)
    assert 0 < np.sum(expected) < 60
    assert not chances._is_beaten(points, rivals[:0], np.dtype(np.float64)).any()


def test_frontier_chance_of_a_maximised_statistic(values):
    spec = spec_of({"expected": STATISTICS["expected"]})
    found = sweep.frontier(spec, minimise="price", maximise="expected", model=MODEL)
    price = values.price.values.ravel()
    hits = sum(
        np.array(nondominated(np.stack([-values.pain.isel(draw=d).values.ravel(), price], axis=1)))
        for d in range(NUMBER)
    )
    at = np.ravel_multi_index((found.a_index.values, found.b_index.values), values.price.shape)
    np.testing.assert_array_equal(found.chance_of_nondominance, hits[at] / NUMBER)


def test_frontier_of_a_statistic_over_a_choice_has_no_chance():
    expected = STATISTICS["expected"] | {"over": ["draw", "b"]}
    found = sweep.frontier(spec_of({"expected": expected}), minimise=["expected", "a"], model=MODEL)
    assert "chance_of_nondominance" not in found


def test_frontier_maximises_a_chance():
    found = sweep.frontier(spec_of(STATISTICS), minimise="price", maximise="chance", model=MODEL)
    assert "chance_of_nondominance" not in found
    assert np.all(np.diff(found.price) > 0) and np.all(np.diff(found.chance) > 0)


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"minimise": ["expected", "pain"]}, r"objectives: pain has a value for each draw, and others are statistics"),
        ({"minimise": ["expected", "prize"]}, r'objective: unknown output or axis "prize"'),
        ({"minimise": ["expected", "price"], "where": "pain < 1"}, r"objectives: pain has a value for each draw"),
        ({"minimise": ["expected", "price"], "by": "draw"}, r"by: draw numbers the draws, over which"),
    ],
)
def test_frontier_of_statistics_refuses(question, message):
    with pytest.raises(SpecError, match=message):
        sweep.frontier(spec_of(STATISTICS), model=MODEL, **question)


@pytest.mark.parametrize(
    ("statistic", "message"),
    [
        ({"regret": ["draw"]}, 'regret: "draw" must be given once, and not among over too'),
        ({"regret": ["a", "a"]}, 'regret: "a" must be given once'),
        ({"regret": ["c"]}, r'statistics\.worst\.regret: unknown axis "c"'),
        ({"regret": []}, "regret: must not be empty"),
    ],
)
def test_regret_refuses(statistic, message):
    with pytest.raises(SpecError, match=message):
        spec_of({"worst": {"statistic": "max", "output": "pain", "over": ["draw"]} | statistic})


def test_regret_of_a_share_is_refused():
    with pytest.raises(SpecError, match="regret: belongs to statistics of an output, not to a share"):
        spec_of({"s": STATISTICS["chance"] | {"regret": ["a"]}})


def test_frontier_refuses_quantiles_of_several_probabilities():
    band = {"band": STATISTICS["bad"] | {"probabilities": [0.1, 0.9]}}
    with pytest.raises(SpecError, match="objectives: band has 2 probabilities, among which a frontier would choose"):
        sweep.frontier(spec_of(band), minimise=["band", "price"], model=MODEL)


def test_frontier_of_a_result_averages_its_replicates():
    spec = spec_of({key: STATISTICS[key] for key in ("expected", "worst_regret")}, replicates=4)
    objectives = {"minimise": ["expected", "worst_regret"], "model": MODEL}
    found = sweep.frontier(sweep.run(spec, model=MODEL), minimise=objectives["minimise"])
    expected = sweep.frontier(spec, chance=False, **objectives)
    assert "replicate_index" not in found
    for name in ("expected", "worst_regret", "a", "b"):
        np.testing.assert_array_equal(found[name], expected[name])
