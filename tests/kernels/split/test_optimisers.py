"""Any optimiser of optax splits a budget, under one certificate; Newton's is what it was before optax drove it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax

from kernels.split import descent, solver
from kernels.split.mean import evaluate, pose
from kernels.split.newton import direction, gaps
from sweep.bench import workloads

DATES, SIZE = 2, 24


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def scenarios():
    return workloads.scenarios(SIZE)


@pytest.fixture(scope="module")
def best(scenarios):
    with jax.enable_x64(True):
        return solver.optimal_split(scenarios, dates=DATES)


def plain_descent(p, x, steps, rounds):
    """Newton's method with its rule of acceptance as one loop, without optax: the shares and the loss."""
    none = jnp.zeros_like(p.step)

    def step(_, walk):
        x, f, move, slope, length = walk
        trial = jnp.maximum(x + length[None] * move, 0.0)
        new, gradient, hessian = evaluate(p, trial, True)
        way, along = direction(trial, new, gradient, hessian, p.exponent, False, rounds)
        good = (new <= f + 1e-4 * length * slope + 1e-15 * new) & jnp.isfinite(new)
        dip = length * slope
        shorter = jnp.clip(-0.5 * dip / (new - f - dip), 0.1, 0.5)
        after = (trial, new, way, along, jnp.ones_like(length))
        before = (x, f, move, slope, length * jnp.where(jnp.isnan(shorter), 0.1, shorter))
        return tuple(jnp.where(good, a, b) for a, b in zip(after, before, strict=True))

    start = (x, none + jnp.inf, jnp.zeros_like(x), none, none + 1.0)
    return lax.fori_loop(0, steps, step, start)[:2]


def test_newton_of_optax_takes_the_steps_of_a_plain_loop(scenarios):
    p = pose(scenarios, DATES, 6)
    x = jnp.asarray(np.random.default_rng(1).dirichlet(np.ones(DATES + 1), SIZE).T)

    def driven(p, x):
        rule = descent.newton(p.exponent, rounds=2)
        step = lambda _, walk: descent.advance(lambda x: evaluate(p, x, True), rule, walk)  # noqa: E731
        return lax.fori_loop(0, 6, step, descent.begin(rule, x)).state.accepted

    ours, (shares, loss) = jax.jit(driven)(p, x), jax.jit(lambda p, x: plain_descent(p, x, 6, 2))(p, x)
    np.testing.assert_array_equal(ours.f, loss)
    np.testing.assert_array_equal(ours.x, shares)


OPTIMISERS = {"lbfgs": "lbfgs", "adam": "adam", "none": optax.set_to_zero()}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_optimal_split_certifies_whatever_optimiser_ran(name, scenarios, best):
    split = solver.optimal_split(scenarios, dates=DATES, optimiser=OPTIMISERS[name])
    regret = np.asarray(split.objective / best.objective - 1.0)
    certified = np.asarray(split.status) == solver.CONVERGED
    assert (regret >= -2e-7).all() and (regret[certified] <= 2e-7).all()
    assert (np.asarray(split.regret_bound) >= np.asarray(split.objective - best.objective) - 1e-9).all()
    assert certified.mean() > 0.7 if name != "none" else certified.mean() < 0.7
    np.testing.assert_allclose(split.shares.sum(axis=0) + split.research_share, 1.0, rtol=0, atol=1e-12)
    assert (np.asarray(split.shares) >= 0.0).all()


def test_over_logits_follows_the_optimiser_it_wraps():
    """Sgd on logits, step by step in NumPy with a numerical gradient."""
    scenario = {name: values[:1] for name, values in workloads.scenarios(SIZE).items()}
    p = pose(scenario, DATES, 6)
    x = jnp.asarray([[0.5], [0.3], [0.2]])
    wrapped = descent.over_logits(optax.sgd(3.0), p, True)
    logits, at = np.log(np.array([0.5, 0.3, 0.2])), wrapped.init(x)

    look = jax.jit(lambda x: evaluate(p, x, True))

    def log_loss(z):
        w = np.exp(z) / np.exp(z).sum()
        return float(np.log(look(jnp.asarray(w)[:, None])[0][0]))

    walk = descent.Walk(at, jnp.zeros(1, jnp.int32))
    for _ in range(3):
        walk = descent.advance(look, wrapped, walk)
        slope = [(log_loss(logits + d) - log_loss(logits - d)) / 2e-5 for d in 1e-5 * np.eye(DATES + 1)]
        logits = logits - 3.0 * np.array(slope)
        np.testing.assert_allclose(
            walk.state.accepted.x + walk.state.updates, jax.nn.softmax(logits)[:, None], rtol=1e-7
        )


@pytest.mark.parametrize("bad", ["nelder-mead", 3, None, ["adam"]])
def test_method_of_refuses_what_is_no_optimiser(bad):
    with pytest.raises(
        ValueError, match=r'^optimiser: must be one of "newton", "lbfgs", "adam", "sgd", or an optax tra'
    ):
        descent.method_of(bad)


def test_gaps_bound_the_regret_of_purchases():
    """Against a dense grid of purchases, the research share being what it is."""
    scenario = {name: values[:1] for name, values in workloads.scenarios(SIZE).items()}
    p = pose(scenario, DATES, 12)
    part = jnp.linspace(0.0, 0.7, 400)
    grid = jnp.stack([part, 0.7 - part, jnp.full_like(part, 0.3)])
    wide = jax.tree.map(lambda v: jnp.broadcast_to(v, (*v.shape[:-1], 400)), p)
    f, gradient, _ = evaluate(wide, grid, True)
    assert (f - f.min() <= gaps(wide.pace, grid, gradient)[0] + 1e-15).all()
