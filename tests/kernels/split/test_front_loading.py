"""The optimal split against dense searches, SciPy's optimisers, closed forms and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from kernels.split import allocation, solver
from kernels.split.solver import CONVERGED, PARAMETERS, optimal_split, sensitivity
from kernels.split.terminal import log_losses
from sweep.bench import workloads

LN2 = np.log(2.0)
SIZE = 256
KINDS = ("live", "locked")
RANGES = {
    "budget": (1e-2, 1e3, True),
    "horizon": (0.25, 20.0, True),
    "hardware_rate": (0.0, 2.0, False),
    "software_rate": (-0.5, 2.0, False),
    "research_gain": (0.0, 2.0, False),
    "research_scale": (1e-2, 1e4, True),
    "depreciation": (0.0, 1.0, False),
    "installed_fleet": (0.0, 5.0, False),
    "discount_rate": (0.0, 0.5, False),
    "scaling_exponent": (0.03, 0.5, True),
    "reference_years": (0.1, 10.0, True),
}
EXAMPLE = dict(zip(PARAMETERS, (5.0, 4.0, 0.4, 0.5, 0.6, 2.0, 0.1, 1.0, 0.05, 0.1, 1.0), strict=True))


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def sample(count, seed=0, ranges=RANGES, **fixed):
    random = np.random.default_rng(seed)
    drawn = {}
    for name, (low, high, geometric) in ranges.items():
        u = random.random(count)
        drawn[name] = low * (high / low) ** u if geometric else low + (high - low) * u
    return {name: np.full(count, fixed[name]) if name in fixed else drawn[name] for name in PARAMETERS}


def scenarios(**changed):
    """EXAMPLE with some values changed, all broadcast to one length."""
    values = np.broadcast_arrays(*({**EXAMPLE, **changed}[name] for name in PARAMETERS))
    return {name: np.atleast_1d(np.asarray(v, float)) for name, v in zip(PARAMETERS, values, strict=True)}


def solve(scenario, dates, objective="mean", software="live"):
    """The split of any number of scenarios, SIZE at a time so that there is little to compile."""
    count = scenario["budget"].size
    whole = {name: np.resize(v, -(-count // SIZE) * SIZE) for name, v in scenario.items()}
    parts = [{n: v[i : i + SIZE] for n, v in whole.items()} for i in range(0, count, SIZE)]
    found = [optimal_split(part, dates=dates, objective=objective, software=software) for part in parts]
    return jax.tree.map(lambda *v: np.concatenate(v, axis=-1)[..., :count], *found)


def one_of(scenario, index):
    return {name: float(value[index]) for name, value in scenario.items()}


def vector(split, index):
    return np.append(split.shares[:, index], split.research_share[index])


def quadrature(horizon, dates):
    """Gauss–Legendre on panels that are ever finer towards each date: not the solver's rule."""
    x, w = np.polynomial.legendre.leggauss(10)
    edges = np.append(0.0, 2.0 ** -np.arange(30 if dates == 1 else 9)[::-1])
    width = np.diff(edges)[:, None]
    inside, weight = (edges[:-1, None] + width * (1.0 + x) / 2.0).ravel(), (width * w / 2.0).ravel()
    step = horizon / dates
    return (step * (np.arange(dates)[:, None] + inside)).ravel(), np.tile(weight * step, dates)


def objective_of(v, dates, software="live", terminal=False):
    """Objective and gradient by the shares (K+1, or M of them along the first axis), in NumPy from the definitions."""
    t, weight = (np.array([v["horizon"]]), np.ones(1)) if terminal else quadrature(v["horizon"], dates)
    if not terminal:
        weight = weight * np.exp(-v["discount_rate"] * t)
    weight = weight / weight.sum()
    bought = np.arange(dates) * v["horizon"] / dates
    elapsed = np.maximum(t[:, None] - np.append(bought, 0.0), 0.0)  # the last is the fleet installed at 0
    pace, kappa = v["budget"] / v["research_scale"], v["scaling_exponent"]

    def years(s):
        z = s * elapsed
        small = np.abs(z) < 1e-4
        safe = np.where(small, 1.0, z)
        mean = np.where(small, 1.0 + z / 2.0 + z * z / 6.0, np.expm1(z) / safe)
        slope = np.where(small, 0.5 + z / 3.0 + z * z / 8.0, (np.exp(z) - mean) / safe)
        return elapsed * mean, elapsed * elapsed * slope

    def value(x):
        left = np.exp(-x[-1] * pace)
        rate = LN2 * (v["software_rate"] + v["research_gain"] * (1.0 - left))
        grown, by_rate = years((rate if software == "live" else 0.0) - v["depreciation"])
        by_rate = by_rate if software == "live" else 0.0 * by_rate
        price = v["budget"] * np.exp((LN2 * v["hardware_rate"] + rate) * bought)
        columns = price * grown[:, :-1]
        c = 1.0 + (v["installed_fleet"] * grown[:, -1] + columns @ x[:-1]) / v["reference_years"]
        loss = weight * c**-kappa
        by_c = -kappa * loss / c / v["reference_years"]
        change = v["installed_fleet"] * by_rate[:, -1]
        change = change + (price * (bought * grown[:, :-1] + by_rate[:, :-1])) @ x[:-1]
        gradient = np.append(by_c @ columns, (by_c @ change) * LN2 * v["research_gain"] * pace * left)
        return (np.log(loss[0]), gradient / loss[0]) if terminal else (loss.sum(), gradient)

    return value


def slsqp(value, dates, research):
    """Least objective that SLSQP finds from even purchases and a research share."""
    found = scipy.optimize.minimize(
        lambda x: value(np.maximum(x, 0.0)),
        np.append(np.full(dates, (1.0 - research) / dates), research),
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * (dates + 1),
        constraints={"type": "eq", "fun": lambda x: x.sum() - 1.0, "jac": np.ones_like},
        options={"ftol": 1e-12, "maxiter": 200},
    )
    x = np.maximum(found.x, 0.0)
    return value(x / x.sum())[0]


@pytest.mark.parametrize(("objective", "software"), [("mean", "live"), ("terminal", "live"), ("terminal", "locked")])
def test_optimal_split_of_one_date_agrees_with_a_dense_search(software, objective):
    scenario = sample(25, seed=1)
    split = solve(scenario, 1, objective, software)
    assert np.all(split.status == CONVERGED)
    share = np.concatenate([[0.0], np.geomspace(1e-8, 1.0, 250), np.linspace(0.0, 1.0, 150)])
    for i in range(25):
        value = objective_of(one_of(scenario, i), 1, software, objective == "terminal")
        dense = min(value(np.array([1.0 - s, s]))[0] for s in share)
        unit = dense if objective == "mean" else 1.0
        assert split.objective[i] - dense <= 1e-7 * unit
        np.testing.assert_allclose(split.objective[i], value(vector(split, i))[0], rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("software", KINDS)
def test_optimal_split_is_no_worse_than_slsqp_from_many_starts(software):
    scenario = sample(60, seed=8)
    split = solve(scenario, 8, software=software)
    assert np.all(split.status == CONVERGED)
    for i in range(60):
        value = objective_of(one_of(scenario, i), 8, software)
        ours = value(vector(split, i))[0]
        best = min(slsqp(value, 8, start) for start in (0.0, 0.03, 0.3, 0.8))
        assert ours <= best * (1.0 + 1e-6)
        np.testing.assert_allclose(split.objective[i], ours, rtol=1e-8)


@pytest.mark.parametrize("software", KINDS)
def test_optimal_split_certifies_999_of_1000_wide_scenarios(software):
    split = solve(sample(2048, seed=7), 8, software=software)
    done = split.status == CONVERGED
    assert done.mean() >= 0.999
    assert np.all(split.regret_bound[done] <= 1e-7 * split.objective[done])


def test_optimal_split_is_a_split():
    split = solve(sample(512, seed=3), 8)
    assert np.all(split.shares >= 0.0) and np.all(split.research_share >= 0.0)
    np.testing.assert_allclose(split.shares.sum(axis=0) + split.research_share, 1.0, rtol=1e-13)


def test_boundary_optima_are_exact_zeros():
    scenario = sample(512, seed=3)
    split = solve(scenario, 8)
    for i in range(100):
        gradient = objective_of(one_of(scenario, i), 8)(vector(split, i))[1]
        x = vector(split, i)
        # What costs more than it is worth is not bought at all.
        dear = gradient - x @ gradient > 1e-4 * np.abs(x @ gradient)
        np.testing.assert_array_equal(x[dear], 0.0)
    assert np.mean(split.shares == 0.0) > 0.3
    assert np.any(solve(sample(512, seed=3, research_gain=0.0), 8).research_share == 0.0)


def best_single_date(a, b, horizon, software):
    """Where 2^(a u) J(u, T) is greatest on [0, T], δ = 0.

    live: 2^(au) (2^(bT) − 2^(bu)) / (b ln 2), so that (a + b) 2^(bu) = a 2^(bT) and T − u = log2(1 + b/a) / b, or
    1 / (a ln 2) for b → 0; locked: 2^((a+b) u) (T − u), so that T − u = 1 / ((a + b) ln 2). At 0 where that is before
    0, or there is no such lead.
    """
    if software == "locked":
        lead = 1.0 / ((a + b) * LN2) if a + b > 0.0 else np.inf
    elif a <= 0.0:
        lead = np.inf
    elif b == 0.0:
        lead = 1.0 / (a * LN2)
    else:
        lead = np.log2(1.0 + b / a) / b if b > -a else np.inf
    return max(0.0, horizon - lead)


@pytest.mark.parametrize("software", ["live", "locked"])
@pytest.mark.parametrize(
    ("a", "b", "horizon"),
    [
        (0.5, 0.7, 8.0),
        (0.5, 0.0, 8.0),
        (0.5, 1e-9, 8.0),
        (1e-9, 0.7, 8.0),
        (0.0, 0.7, 8.0),
        (0.5, 0.7, 0.5),
        (2.0, 3.0, 12.0),
        (0.6, -0.3, 9.0),
    ],
)
def test_terminal_optimum_is_the_closed_form_date(a, b, horizon, software):
    scenario = scenarios(hardware_rate=a, software_rate=b, horizon=horizon, depreciation=0.0, research_gain=0.0)
    split = solve(scenario, 64, "terminal", software)
    best = best_single_date(a, b, horizon, software)
    assert split.research_share[0] == 0.0
    assert np.sum(split.shares > 0.0) == 1
    assert abs(np.argmax(split.shares[:, 0]) * horizon / 64 - best) <= horizon / 64


@pytest.mark.parametrize("objective", ["mean", "terminal"])
@pytest.mark.parametrize("software", KINDS)
def test_without_progress_everything_is_bought_at_once(objective, software):
    scenario = sample(50, seed=11, hardware_rate=0.0, research_gain=0.0, depreciation=0.0)
    if software == "locked":
        scenario["software_rate"] = np.minimum(scenario["software_rate"], 0.0)
    split = solve(scenario, 8, objective, software)
    np.testing.assert_array_equal(split.shares[0], 1.0)


def test_frank_wolfe_gap_bounds_the_regret_over_purchases():
    scenario = sample(30, seed=13)
    split = solve(scenario, 8)
    random = np.random.default_rng(0)
    for i in range(30):
        value = objective_of(one_of(scenario, i), 8)
        best, x = value(vector(split, i))[0], vector(split, i)
        for _ in range(20):
            # From far away to so near that the bound is of the gap's own size.
            mix = 10.0 ** random.uniform(-8, 0)
            x[:-1] = (1.0 - mix) * split.shares[:, i] + mix * random.dirichlet(np.full(8, 0.3)) * (1.0 - x[-1])
            assert value(x)[0] >= best - split.frank_wolfe_gap[i] - 1e-13


def test_regret_is_within_its_bound_where_research_is_free_too():
    scenario = sample(30, seed=29)
    split = solve(scenario, 8)
    for i in range(30):
        value = objective_of(one_of(scenario, i), 8)
        near = slsqp(value, 8, split.research_share[i])
        assert near >= split.objective[i] - split.regret_bound[i] - 1e-8 * split.objective[i]


def test_budget_and_reference_fleet_scale_together():
    scenario = sample(100, seed=17)
    scaled = {**scenario, "budget": scenario["budget"] * 7, "research_scale": scenario["research_scale"] * 7}
    scaled |= {"installed_fleet": scenario["installed_fleet"] * 7, "reference_years": scenario["reference_years"] * 7}
    one, other = solve(scenario, 8), solve(scaled, 8)
    np.testing.assert_allclose(one.objective, other.objective, rtol=2e-7)  # each has a regret of 1e-7


def test_dates_that_buy_nothing_change_nothing():
    scenario = sample(SIZE, seed=19)
    x = np.random.default_rng(0).dirichlet(np.ones(5), SIZE)
    sparse = np.zeros((SIZE, 8))
    sparse[:, ::2] = x[:, :4]
    value = jax.jit(lambda w, r, s: allocation.mean_loss(w, r, **s))
    np.testing.assert_allclose(value(sparse, x[:, 4], scenario), value(x[:, :4], x[:, 4], scenario), rtol=1e-8)


@pytest.mark.parametrize("software", KINDS)
def test_sixty_four_dates_are_no_worse_than_eight(software):
    scenario = sample(4, seed=23)
    many = optimal_split(scenario, dates=64, software=software)
    assert np.all(np.asarray(many.status) == CONVERGED)
    assert np.all(many.objective <= solve(scenario, 8, software=software).objective * (1.0 + 1e-7))
    for i in range(4):
        value = objective_of(one_of(scenario, i), 64, software)(vector(jax.tree.map(np.asarray, many), i))[0]
        np.testing.assert_allclose(many.objective[i], value, rtol=1e-8)


STEEP = {
    "budget": (1e-3, 1e6, True),
    "horizon": (0.01, 50.0, True),
    "hardware_rate": (-10.0, 10.0, False),
    "software_rate": (-10.0, 10.0, False),
    "research_gain": (0.0, 10.0, False),
    "research_scale": (1e-3, 1e3, True),
    "depreciation": (0.0, 10.0, False),
    "installed_fleet": (1e-3, 1e3, True),
    "discount_rate": (-1.0, 10.0, False),
    "scaling_exponent": (0.01, 1.0, True),
    "reference_years": (0.01, 100.0, True),
}


@pytest.fixture(scope="module", params=KINDS)
def steep(request):
    """Splits over ranges so wide that a dollar may buy 2^1000 times as much later: scenarios, splits, software."""
    scenario = sample(SIZE, seed=31, ranges=STEEP)
    # A quarter of them are as steep as it gets.
    scenario["horizon"][::4] = 50.0
    scenario["hardware_rate"][::4] = np.abs(scenario["hardware_rate"][::4])
    scenario["software_rate"][::4] = np.abs(scenario["software_rate"][::4])
    with jax.enable_x64(True):
        return scenario, solve(scenario, 8, software=request.param), request.param


def loss_in_logarithms(v, x, software):
    """Mean loss from the definitions, c by the logarithms of its terms, on panels that are ever finer to each date."""
    nodes, w = np.polynomial.legendre.leggauss(10)
    edges = np.append(0.0, 2.0 ** -np.arange(64)[::-1])
    width = np.diff(edges)[:, None]
    dates, step = len(x) - 1, v["horizon"] / (len(x) - 1)
    within = step * (edges[:-1, None] + width * (1.0 + nodes) / 2.0).ravel()
    bought = np.append(step * np.arange(dates), 0.0)
    t = bought[:-1, None] + within
    weight = np.log((width * w).ravel()) - v["discount_rate"] * t
    weight = np.exp(weight - weight.max())
    rate = LN2 * (v["software_rate"] - v["research_gain"] * np.expm1(-x[-1] * v["budget"] / v["research_scale"]))
    s = (rate if software == "live" else 0.0) - v["depreciation"]
    price = np.append(np.full(dates, v["budget"]), v["installed_fleet"]) / v["reference_years"]
    price = price * np.append(x[:-1], 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        elapsed = t[:, None] - bought[:, None]
        z = s * elapsed
        years = np.maximum(z, 0.0) + np.log(-np.expm1(-np.abs(z)) / np.abs(z)) + np.log(elapsed)
        level = np.log(price) + (LN2 * v["hardware_rate"] + rate) * bought
        terms = np.where(elapsed > 0.0, level[:, None] + years, -np.inf)
    log_c = np.logaddexp.reduce(terms, axis=1, initial=0.0)
    return np.sum(weight * np.exp(-v["scaling_exponent"] * log_c)) / weight.sum()


def test_optimal_split_certifies_steep_scenarios(steep):
    _, split, _ = steep
    assert np.all(split.status == CONVERGED)
    assert np.all(split.regret_bound <= 1e-7 * split.objective)
    np.testing.assert_allclose(split.shares.sum(axis=0) + split.research_share, 1.0, rtol=1e-12)


def test_objective_of_steep_scenarios_is_that_of_the_definition(steep):
    scenario, split, software = steep
    for i in range(0, SIZE, 2):
        right = loss_in_logarithms(one_of(scenario, i), vector(split, i), software)
        np.testing.assert_allclose(split.objective[i], right, rtol=1e-7)


def test_optimal_split_of_steep_scenarios_beats_random_ones(steep):
    scenario, split, software = steep
    random = np.random.default_rng(2)
    for i in range(0, SIZE, 16):
        v, x = one_of(scenario, i), vector(split, i)
        best = loss_in_logarithms(v, x, software)
        for _ in range(30):
            # Each share anew over many decades, or all of them moved by a little.
            near = x * np.exp(random.normal(0.0, 10.0 ** random.uniform(-3, 0), x.size))
            other = near if random.random() < 0.5 else 10.0 ** random.uniform(-12, 0, x.size)
            assert loss_in_logarithms(v, other / other.sum(), software) >= best * (1.0 - 1e-6)


def test_mean_losses_are_those_of_the_definition(steep):
    scenario, _, software = steep
    shares = np.random.default_rng(3).dirichlet(np.full(9, 0.3), SIZE).T
    found = np.asarray(solver.mean_losses(scenario, shares[:-1], shares[-1], software=software))
    for i in range(0, SIZE, 4):
        right = loss_in_logarithms(one_of(scenario, i), shares[:, i], software)
        np.testing.assert_allclose(found[i], right, rtol=1e-7)


@pytest.mark.parametrize("software", KINDS)
def test_sensitivity_agrees_with_solving_again(software):
    base = scenarios(discount_rate=np.full(SIZE, 0.2), hardware_rate=0.8)
    split = optimal_split(base, dates=8, software=software)
    found = jax.tree.map(lambda v: np.asarray(v)[..., 0], sensitivity(base, split, dates=8, software=software))
    changed = {name: v.copy() for name, v in base.items()}
    for number, name in enumerate(PARAMETERS):
        changed[name][2 * number : 2 * number + 2] *= 1.0 + np.array([1e-3, -1e-3])
    again = solve(changed, 8, software=software)
    assert np.all(again.status == CONVERGED)
    for number, name in enumerate(PARAMETERS):
        width = 2e-3 * base[name][0]
        by = jax.tree.map(lambda v, n=number, w=width: (v[..., 2 * n] - v[..., 2 * n + 1]) / w, again)
        noise = 2e-9 * again.objective[0] / width  # of what a regret of 1e-9 each leaves undecided
        np.testing.assert_allclose(found[name].objective, by.objective, rtol=1e-4, atol=noise)
        np.testing.assert_allclose(found[name].shares, by.shares, rtol=1e-2, atol=2e-4)
        np.testing.assert_allclose(found[name].research_share, by.research_share, rtol=1e-2, atol=2e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objective": "median"}, "objective: must be"),
        ({"software": "dead"}, "software: must be"),
        ({"dates": 65}, "dates: must be 1 to 64"),
    ],
)
def test_optimal_split_refuses(change, message):
    with pytest.raises(ValueError, match=message):
        optimal_split(scenarios(), **{"dates": 2, **change})


def test_optimal_split_wants_double_precision():
    with pytest.raises(ValueError, match="must be float64"):
        optimal_split({name: jnp.ones(1, jnp.float32) for name in PARAMETERS}, dates=2)


def test_optimal_split_marks_what_is_not_a_number():
    split = solve(scenarios(horizon=[4.0, 4.0], budget=[1.0, np.nan]), 8)
    assert split.status.tolist() == [CONVERGED, solver.FAILED]


@pytest.mark.parametrize("objective", ["mean", "terminal"])
def test_splits_that_are_compiled_quickly_are_those_that_are_compiled_thoroughly(objective):
    given = workloads.scenarios(24)
    quick, thorough = (
        jax.tree.map(np.asarray, solver.optimal_split(given, dates=3, objective=objective, quick=quick))
        for quick in (True, False)
    )
    assert (quick.status == CONVERGED).all() and (thorough.status == CONVERGED).all()
    np.testing.assert_allclose(quick.objective, thorough.objective, rtol=1e-9, atol=1e-9)
    bound = np.maximum(quick.regret_bound, thorough.regret_bound)
    assert (np.abs(quick.objective - thorough.objective) <= bound + 1e-12 * np.abs(thorough.objective)).all()


@pytest.mark.parametrize("software", ["live", "locked"])
def test_log_losses_are_those_of_the_compute_ratio_on_any_day(software):
    """Against the kernel that is right to some ulp; days before, at and after purchases, and after the horizon."""
    given = workloads.scenarios(24)
    shares = np.random.default_rng(3).dirichlet(np.ones(5), 24).T
    shares[1, ::3] = 0.0
    days = given["horizon"] * np.array([0.0, 0.1, 0.25, 0.26, 0.5, 0.99, 1.0, 3.0])[:, None]
    found = log_losses(given, shares[:-1], shares[-1], days, live=software == "live", quick=True)
    rest = {name: values for name, values in given.items() if name not in ("scaling_exponent", "discount_rate")}
    for day, losses in zip(days, found, strict=True):
        log_c = allocation.log_compute_ratio(shares[:-1].T, shares[-1], day, **rest, software=software)
        np.testing.assert_allclose(losses, -given["scaling_exponent"] * log_c, rtol=1e-12, atol=1e-13)
