"""One split of a budget for many draws of what is uncertain in a scenario, where nobody knows which will come true.

Draw s has the loss f_s(w) of the shares w and its own least one f_s*, so the regret r_s(w) = f_s(w) − f_s* >= 0. What
is made least is the mean of the worst 1 − α of the regrets (the conditional value at risk of Rockafellar and Uryasev,
Journal of Risk 2, 2000): the mean regret for α = 0, the largest one as α goes to 1. By its dual,

    min over w of max over q of Σ q_s r_s(w)   with 0 <= q_s <= p_s / (1 − α) and Σ q_s = 1,

with chances p_s. The inner maximum has kinks where regrets are alike, so it is smoothed, ever less: then q_s is
p_s / (1 − α) times a logistic function of r_s. The smoothed problem is solved by the optimiser of
:mod:`kernels.split.newton`.

Every q gives a lower bound, whoever chose it: for a fixed research share the regrets are convex in the purchases, so
no purchases have a Σ q_s r_s that is below its value here by more than its Frank–Wolfe gap. The largest tail mean minus
that bound is the `dual_gap`: a proof, over the purchases. Over the research share nothing is proven, as for one draw.

Draws are along the last axis, of S; shares are (K+1,), the research share last.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from kernels.compilation import compiled_two_ways
from kernels.split.allocation import default_nodes
from kernels.split.descent import Walk, advance, begin, dusted, newton
from kernels.split.mean import evaluate, pose
from kernels.split.newton import TINY, gaps
from kernels.split.records import CERTIFIED, CONVERGED, FAILED, PARAMETERS, STALLED
from kernels.split.terminal import evaluate_terminal

BLOCK = 128  # draws that are evaluated together
ROUNDS = 6  # of block pivoting, and more for many dates
FIRST_STEPS, STEPS = 6, 20  # of the descent from one of the starts, and at one smoothing
SHARPER, SHARPEST = 0.15, 1e-11  # by which the smoothing is lowered, and to what, in units of the loss
SETTLED = 4e-9  # of the loss: the bound at which it is lowered no more, as rounding would soon raise it
RELATIVE, FINISHED = 0.1, 1e-11  # gaps at which a descent ends: of what the smoothing costs, and of the loss
BISECTIONS = 60


class Plan(NamedTuple):
    """One split for all draws.

    Attributes
    ----------
    shares : numpy.ndarray, shape (K,)
        Shares of the budget spent on accelerators at each date [1]; 0 exactly where nothing is to be bought.
    research_share : float
        Share spent on research [1].
    tail_regret : float
        Mean of the worst 1 − α of the regrets, in the unit of the objective.
    dual_gap : float
        Bound on how much less it could be with other purchases and the same research share.
    regret_bound : float
        The same with the research share free too, *were the losses convex* in it: an estimate, as for one draw.
    regrets : numpy.ndarray, shape (S,)
        Of each draw.
    weights : numpy.ndarray, shape (S,)
        Weights q of the draws that the bound is of; 0 for draws that do not matter.
    iterations : int
        Steps of Newton's method.
    status : int
        CONVERGED (0): the regret bound is within 1e-7 of the objective; STALLED (1): it is not; FAILED (2): a number
        overflowed.
    """

    shares: np.ndarray
    research_share: float
    tail_regret: float
    dual_gap: float
    regret_bound: float
    regrets: np.ndarray
    weights: np.ndarray
    iterations: int
    status: int


def robust_split(
    scenario: Mapping[str, Array],
    least: Array,
    starts: Sequence[np.ndarray],
    *,
    level: float,
    chances: Array | None = None,
    objective: str = "mean",
    software: str = "live",
    quick: bool = True,
) -> Plan:
    """The one split of which the mean of the worst regrets is least, from the best of a few starts.

    Parameters
    ----------
    scenario : mapping of str to array, shape (S,)
        Draws of every name of `PARAMETERS`, float64, as in :func:`kernels.split.solver.optimal_split`.
    least : array, shape (S,)
        Objective of each draw's own optimal split.
    starts : sequence of array, shape (K+1,)
        Shares to descend from, in different basins of the research share.
    level : float
        Part α of the draws that does not count, in [0, 1): 0 is the mean of the regrets, 1 − 1/S the largest.
    chances : array, shape (S,), optional
        Weights p of the draws, >= 0, adding up to 1; by default all alike.
    objective : {"mean", "terminal"}
        As in :func:`kernels.split.solver.optimal_split`.
    software : {"live", "locked"}
        As there.
    quick : bool
        Whether to compile quickly what then takes longer to run.

    Returns
    -------
    Plan
    """
    given = {name: jnp.asarray(scenario[name]) for name in PARAMETERS}
    size = given["budget"].shape[0]
    p = jnp.full(size, 1.0 / size) if chances is None else jnp.asarray(chances)
    scale = float(jnp.sum(p * jnp.abs(least)))
    solve = partial(
        _descended,
        given,
        jnp.asarray(least),
        p,
        jnp.asarray(level),
        live=software == "live",
        objective=objective,
        quick=quick,
    )
    # How far apart the regrets of the plainest start are is what the smoothing begins with.
    ends = [solve(jnp.asarray(start), jnp.asarray(0.1 * scale), FIRST_STEPS) for start in starts]
    best = min(ends, key=lambda end: float(end.value) if np.isfinite(end.value) else np.inf)
    steps = sum(int(end.steps) for end in ends)
    smoothing = float(jnp.sqrt(jnp.sum(p * (best.regrets - jnp.sum(p * best.regrets)) ** 2)))
    smoothing = max(smoothing, 100.0 * SHARPEST * scale)
    ahead = before = best.x
    bound = np.inf
    while smoothing > SHARPEST * scale and not bound <= SETTLED * scale:
        end = solve(ahead, jnp.asarray(smoothing), STEPS)
        steps += int(end.steps)
        missing = float(end.gaps[1] + end.value - end.weights @ end.regrets)
        if not bound <= missing:
            best, bound = end, missing
        if level == 0.0:
            break
        # Where it ends moves in proportion to the smoothing, once that is small.
        ahead = jnp.maximum(end.x + SHARPER * (end.x - before), 0.0)
        ahead, before = ahead / jnp.sum(ahead), end.x
        smoothing *= SHARPER
    return _planned(best, steps, np.asarray(p), level, scale)


class _End(NamedTuple):
    """Where a descent at one smoothing ended."""

    x: Array
    value: Array
    gaps: Array
    regrets: Array
    weights: Array
    steps: Array


def _planned(end: _End, steps: int, chances: np.ndarray, level: float, scale: float) -> Plan:
    x, regrets, weights = (np.asarray(v) for v in (end.x, end.regrets, end.weights))
    tail = tail_mean(regrets, chances, level)
    lost = max(tail - float(weights @ regrets), 0.0)
    purchases, both = (float(max(gap, 0.0)) + lost for gap in end.gaps)
    sound = np.isfinite(tail) and np.isfinite(both)
    status = FAILED if not sound else CONVERGED if both <= CERTIFIED * scale else STALLED
    return Plan(x[:-1], float(x[-1]), tail, purchases, both, regrets, weights, steps, status)


def tail_mean(values: np.ndarray, chances: np.ndarray, level: float) -> float:
    """Mean of the worst 1 − α of some values (S,) with chances (S,); the value that is divided counts in part."""
    order = np.argsort(-values, kind="stable")
    before = np.cumsum(chances[order]) - chances[order]
    part = np.clip((1.0 - level) - before, 0.0, chances[order])
    return float(part @ values[order] / part.sum())


@compiled_two_ways(static_argnames=("live", "objective"))
def _descended(
    scenario: dict[str, Array],
    least: Array,
    chances: Array,
    level: Array,
    x: Array,
    smoothing: Array,
    limit: Array,
    *,
    live: bool,
    objective: str,
) -> _End:
    """Descend at one smoothing, in at most so many steps, until the gap is small beside what the smoothing costs."""
    dates = x.shape[0] - 1
    scale = jnp.sum(chances * jnp.abs(least))
    look = _losses(scenario, dates, live, objective)
    pace = jnp.sum(chances * scenario["budget"] / scenario["research_scale"])[None]
    kappa = jnp.sum(chances * scenario["scaling_exponent"])[None]
    # The mean loss is nearly a power of a mean compute ratio; a tail, or a logarithm, is its own model.
    exponent = jnp.where((level <= 0.0) & (objective == "mean"), kappa, -1.0)
    optimiser = newton(exponent, rounds=ROUNDS + dates // 3)

    def unfinished(state: tuple[Walk, Array, Array]) -> Array:
        walk, _, cost = state
        at = walk.state.accepted
        close = jnp.maximum(RELATIVE * cost, FINISHED * scale)
        missing = gaps(pace, at.x, at.gradient)[1][0]
        return (walk.taken[0] < limit) & ((walk.taken[0] == 0) | ~(missing <= close))

    def body(state: tuple[Walk, Array, Array]) -> tuple[Walk, Array, Array]:
        walk, regrets, cost = state
        seen: list[Array] = []

        def smoothed(x: Array) -> tuple[Array, Array, Array]:
            f, gradient, hessian = look(x[:, 0])
            value, q, bend = _tail(f - least, chances, level, smoothing)
            apart = gradient - (gradient @ bend / jnp.maximum(jnp.sum(bend), TINY))[:, None]
            spread = (apart * bend[None]) @ apart.T
            seen.extend((f - least, value - q @ (f - least), value))
            return (scale + value)[None], (gradient @ q)[:, None], (hessian @ q + spread)[:, :, None]

        after = advance(smoothed, optimiser, walk)
        new = after.state.accepted.f[0] == scale + seen[2]  # it was accepted
        return after, jnp.where(new, seen[0], regrets), jnp.where(new, seen[1], cost)

    start = (begin(optimiser, x[:, None]), jnp.zeros_like(least), jnp.zeros_like(scale))
    walk, regrets, _ = lax.while_loop(unfinished, body, start)
    at = walk.state.accepted
    cleared = dusted(at.x, at.f, at.gradient)
    bounds = jnp.stack(gaps(pace, cleared, at.gradient))[:, 0]
    _, q, _ = _tail(regrets, chances, level, smoothing)
    return _End(cleared[:, 0], at.f[0] - scale, bounds, regrets, q, walk.taken[0])


def _tail(regrets: Array, chances: Array, level: Array, smoothing: Array) -> tuple[Array, Array, Array]:
    """Smoothed mean of the worst 1 − α, its derivatives q (S,) by the regrets, and theirs but for a rank of one."""
    left = 1.0 - level

    def excess(threshold: Array) -> Array:
        return jnp.sum(chances * jax.nn.sigmoid((regrets - threshold) / smoothing)) - left

    def narrow(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        middle = 0.5 * (ends[0] + ends[1])
        above = excess(middle) > 0.0
        return jnp.where(above, middle, ends[0]), jnp.where(above, ends[1], middle)

    ends = (jnp.min(regrets) - 60.0 * smoothing, jnp.max(regrets) + 60.0 * smoothing)
    low, high = lax.fori_loop(0, BISECTIONS, narrow, ends)
    threshold = 0.5 * (low + high)
    z = (regrets - threshold) / smoothing
    part = jax.nn.sigmoid(z)
    value = threshold + jnp.sum(chances * smoothing * jax.nn.softplus(z)) / left
    q = chances * part
    every = level <= 0.0
    return (
        jnp.where(every, jnp.sum(chances * regrets), value),
        jnp.where(every, chances, q / jnp.sum(q)),
        jnp.where(every, 0.0, chances * part * (1.0 - part) / (smoothing * left)),
    )


def _losses(
    scenario: dict[str, Array], dates: int, live: bool, objective: str
) -> Callable[[Array], tuple[Array, Array, Array]]:
    """Losses (S,) of the draws at shares (K+1,), gradients (K+1, S) and Hessians (K+1, K+1, S), block by block."""
    size = scenario["budget"].shape[0]
    block = min(BLOCK, size)
    number = -(-size // block)

    def cut(values: Array) -> Array:
        return jnp.resize(values, (number, block))

    blocks = jax.tree.map(cut, scenario)

    def some(given: dict[str, Array], x: Array) -> tuple[Array, Array, Array]:
        wide = jnp.broadcast_to(x[:, None], (*x.shape, block))
        if objective == "terminal":
            return evaluate_terminal(given, wide, live)
        return evaluate(pose(given, dates, default_nodes(dates)), wide, live)

    def every(x: Array) -> tuple[Array, Array, Array]:
        parts = lax.map(lambda given: some(given, x), blocks)
        f, gradient, hessian = (
            jnp.moveaxis(v, 0, -2).reshape(*v.shape[1:-1], number * block)[..., :size] for v in parts
        )
        return f, gradient, hessian

    return every
