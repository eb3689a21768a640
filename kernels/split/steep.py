"""The split of least mean loss where compute grows so steeply that a dollar later buys 10^100 times as much.

There a share of 10^-30 still matters, or could: the loss is convex in the purchases, but bends over scales so different
that an active set cycles. An interior-point method does not care: a step changes no share by more than its own size, c
then changes by no more than its own, and so the model of the loss holds. Every quantity is a ratio to c or to the loss,
whose logarithm is what is descended, so that none overflows. A scenario takes milliseconds, some hundred times what
:mod:`kernels.split.solver` takes, so it is for those that need it: with horizons to 50 years and rates to 10 a tenth.
The loss is right to 1e-7 there (tests/kernels/split/test_front_loading.py).

Scenarios are along the last axis, of B; shares are (K+1, B), the research share last.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from kernels.compilation import compiled_two_ways
from kernels.loss.special import LN2
from kernels.split.allocation import GRADED, graded_rule, unit_rule
from kernels.split.newton import TINY, eliminate, gaps
from kernels.split.records import CERTIFIED, Split, as_split
from kernels.split.scan import research_grid

LARGEST = 230.0  # logarithm of the largest ratio, whose square must not overflow
STEEPEST = 24.0  # logarithm of the widest over the narrowest spacing of nodes
NODES, ALL_NODES, SCANNED = 48, 768, 24  # between two dates, and over the horizon besides; and to choose a basin
PLACES = 17  # research shares that are scanned
VISIT, POLISH = 25, 100  # steps at one of them, and from the best, at most
ROUGH, FINISHED = 1e-4, 1e-8  # gaps at which they end, of the loss
START = 0.1  # of κ: the barrier at first
SMALLEST, LEAST = 1e-2, 1e-11  # by which the barrier is lowered at most, and to what
SMALL, WORTHLESS = 1e-4, 1e-8  # shares below it, that are worth less than it, may be 0
CLOSE = 0.05  # of the loss, within which a second basin is descended into
INSIDE = 1e-3  # of the first research share above 0, where no research is the best place
CENTRED, NARROW = 0.1, 0.3  # by which the barrier is lowered, and a step that leads up is shortened
STIFF = 100.0  # times the largest entry of the model: how dear it is to spend more or less than the budget
BOUNDARY = 0.95  # of the way to where a share is 0, that a step may go


class Steep(NamedTuple):
    """Scenarios along the last axis: what one evaluation needs."""

    dates: Array  # (K, B) years
    within: Array  # (n, B) years from a date to the nodes after it
    weight: Array  # (K, n, B), adding up to 1
    fleet: Array  # (B,) log n0/T0
    spend: Array  # (B,) log B/T0
    hardware: Array  # (B,) a ln 2
    software: Array  # (B,) b0 ln 2
    gain: Array  # (B,) Δb ln 2
    pace: Array  # (B,) B/S
    loss: Array  # (B,) δ
    exponent: Array  # (B,) κ


def pose_steep(scenario: dict[str, Array], dates: int, nodes: int) -> Steep:
    """Scenarios (B,) as a problem with some nodes between two dates, graded as steeply as they allow."""
    v = scenario
    step = v["horizon"] / dates
    rate = jnp.abs(v["hardware_rate"]) + jnp.abs(v["software_rate"]) + v["research_gain"]
    grown = jnp.log1p((v["budget"] + v["installed_fleet"]) * step / v["reference_years"]) + rate * step * LN2
    other = (v["depreciation"] + jnp.abs(v["discount_rate"])) * step
    steepness = jnp.clip(GRADED * (grown + jnp.log1p(other)), 0.01, min(STEEPEST, 3.0 + nodes / 4.0))
    x, weight = (jnp.moveaxis(x, -1, 0) for x in graded_rule(steepness, *unit_rule(nodes)))
    within = x * step[None]
    when = jnp.asarray(np.arange(dates) * 1.0)[:, None] * step[None]
    level = jnp.log(weight)[None] - v["discount_rate"][None, None] * (when[:, None] + within[None])
    level = jnp.exp(level - jnp.max(level, axis=(0, 1))[None, None])
    return Steep(
        when,
        within,
        level / jnp.sum(level, axis=(0, 1))[None, None],
        jnp.log(v["installed_fleet"] / v["reference_years"]),
        jnp.log(v["budget"] / v["reference_years"]),
        v["hardware_rate"] * LN2,
        v["software_rate"] * LN2,
        v["research_gain"] * LN2,
        v["budget"] / v["research_scale"],
        v["depreciation"],
        v["scaling_exponent"],
    )


def log_exprel(z: Array) -> tuple[Array, Array, Array]:
    """Logarithm of (e^z − 1)/z with its first and second derivative."""
    size = jnp.abs(z)
    small = size < 0.3
    far, square = jnp.where(small, 1.0, size), jnp.where(small, z, 0.0) ** 2
    fall = jnp.exp(-far)
    left = -jnp.expm1(-far)
    value = jnp.maximum(z, 0.0) + jnp.log(left / far)
    slope = jnp.where(z > 0.0, 1.0 / left - 1.0 / far, 1.0 / far - fall / left)
    bend = 1.0 / far**2 - fall / left**2
    near = z / 2.0 + square * (1 / 24 - square * (1 / 2880 - square / 181440))
    near_slope = 0.5 + z * (1 / 12 - square * (1 / 720 - square / 30240))
    near_bend = 1 / 12 - square * (1 / 240 - square / 6048)
    return jnp.where(small, near, value), jnp.where(small, near_slope, slope), jnp.where(small, near_bend, bend)


def evaluate_steep(p: Steep, x: Array, live: bool) -> tuple[Array, Array, Array]:
    """Logarithm of the mean loss (B,), and the mean loss's gradient and Hessian by the shares, each over the loss."""
    left = jnp.exp(-x[-1] * p.pace)
    slope = p.gain * p.pace * left
    beta = p.software + p.gain * (1.0 - left)
    s = (beta - p.loss) if live else -p.loss
    size = p.dates.shape[0]
    share = jnp.concatenate([x[:-1], jnp.ones_like(x[:1])])
    kappa = p.exponent
    steeper = kappa * (kappa + 1.0)
    # What a purchase has grown to depends on its age alone. The fleet that is installed is one more purchase, at 0.
    age = p.dates[:, None] + p.within[None]  # (K, n, B)
    level, first, second = log_exprel(s[None, None] * age)
    level = level + jnp.log(age)
    first, second = (age * first, age * age * second) if live else (jnp.zeros_like(age), jnp.zeros_like(age))
    when = jnp.concatenate([p.dates, jnp.zeros_like(p.dates[:1])])[:, None]
    bought = jnp.concatenate([p.spend[None] + (p.hardware + beta)[None] * p.dates, p.fleet[None]])[:, None]

    def aged(table: Array, number: Array, empty: float) -> Array:
        """Entries (K+1, n, B) of a table by age, of all purchases, at the nodes after a date."""
        backwards = jnp.concatenate([table[::-1], jnp.full_like(table[1:], empty)])
        return jnp.concatenate([
            lax.dynamic_slice_in_dim(backwards, size - 1 - number, size),
            lax.dynamic_index_in_dim(table, number, 0),
        ])  # fmt: skip

    def add(total: tuple[Array, ...], given: tuple[Array, ...]) -> tuple[tuple[Array, ...], None]:
        number, weight = given
        log_price = aged(level, number, -jnp.inf) + bought
        paid = log_price + jnp.log(share)[:, None]
        top = jnp.maximum(jnp.max(paid, axis=0), 0.0)
        log_c = top + jnp.log(jnp.exp(-top) + jnp.sum(jnp.exp(paid - top[None]), axis=0))
        ratio = jnp.exp(jnp.minimum(log_price - log_c[None], LARGEST))
        part = share[:, None] * ratio
        lift = when + aged(first, number, 0.0)
        curve = lift * lift + aged(second, number, 0.0)
        e1, e2 = jnp.sum(part * lift, axis=0), jnp.sum(part * curve, axis=0)
        loss = weight * jnp.exp(-kappa[None] * log_c)
        ratio = ratio[:-1]
        pulled = loss[None] * ratio
        more = (
            jnp.sum(loss, axis=0),
            jnp.sum(pulled, axis=1),
            jnp.sum(loss * e1, axis=0),
            jnp.sum(pulled[:, None] * ratio[None], axis=2),
            jnp.sum(pulled * ((steeper[None] * e1)[None] - kappa[None, None] * lift[:-1]), axis=1),
            jnp.sum(loss * (steeper[None] * e1 * e1 - kappa[None] * e2), axis=0),
        )
        return jax.tree.map(jnp.add, total, more), None

    none = jnp.zeros_like(kappa)
    wide = jnp.zeros_like(p.dates)
    start: tuple[Array, ...] = (none, wide, none, wide[:, None] * wide[None], wide, none)
    (f, by, by_rate, corner, cross, curve), _ = lax.scan(add, start, (jnp.arange(size), p.weight))
    gradient = jnp.concatenate([-kappa[None] * by, -(kappa * by_rate * slope)[None]]) / f[None]
    cross = cross * slope[None]
    curve = curve * slope * slope + kappa * by_rate * p.pace * slope
    hessian = jnp.concatenate([steeper[None, None] * corner, cross[:, None]], axis=1)
    last = jnp.concatenate([cross, curve[None]])[None]
    return jnp.log(f), gradient, jnp.concatenate([hessian, last]) / f[None, None]


class Interior(NamedTuple):
    """Where a descent stands: the best point so far, the way on from it, and how far of it to try next."""

    x: Array
    z: Array  # prices of the bounds x >= 0
    barrier: Array  # μ of log f − μ Σ log x, towards which x z are steered
    f: Array  # logarithm of the loss
    gradient: Array
    curve: Array  # x² times the diagonal of the Hessian of the loss
    move: Array  # in units of x
    turn: Array  # of the prices, in units of z
    length: Array
    slope: Array
    taken: Array


def _aim(x: Array, z: Array, barrier: Array, given: tuple[Array, Array, Array], free: Array) -> Interior:
    """The way to the minimum of the model of log f − μ Σ log x over the shares that are free, of which the sum stays.

    In units of the shares themselves every number of the model is of the size of 1, whatever the scales of the shares.
    """
    f, gradient, hessian = given
    eye = jnp.eye(x.shape[0])[:, :, None]
    mass = jnp.where(free, x, 0.0)
    pull = jnp.where(free, x * gradient - barrier[None], 0.0)
    model = mass[:, None] * mass[None] * (hessian - gradient[:, None] * gradient[None])
    # Moves add up to 0. What is added to the matrix does not change them, and leaves it definite but for research.
    stiff = STIFF * jnp.max(jnp.abs(model), axis=(0, 1)) / jnp.sum(mass * mass, axis=0)
    model = model + stiff[None, None] * mass[:, None] * mass[None]
    model = model + eye * jnp.where(free, x * z, 1.0)[None]
    solved = eliminate(model, jnp.stack([pull, mass], axis=1), jnp.broadcast_to(1e-3 * barrier[None], x.shape))
    a, b = solved[:, 0], solved[:, 1]
    price = jnp.sum(mass * a, axis=0) / jnp.maximum(jnp.sum(mass * b, axis=0), TINY)
    move = jnp.where(free, price[None] * b - a, 0.0)
    turn = jnp.where(free, barrier[None] / (x * z) - 1.0 - move, 0.0)
    length = jnp.minimum(1.0, BOUNDARY / jnp.maximum(-jnp.min(move, axis=0), TINY))
    curve = x * x * jnp.sum(hessian * eye, axis=1)
    slope = jnp.sum(move * pull, axis=0)
    return Interior(x, z, barrier, f, gradient, curve, move, turn, length, slope, jnp.zeros(f.shape, jnp.int32))


def _step(p: Steep, at: Interior, free: Array, live: bool) -> Interior:
    """Try the next point; keep it where log f − μ Σ log x descends, or else try a shorter step."""
    count = jnp.sum(jnp.where(free, 1.0, 0.0), axis=0)
    growth = 1.0 + at.length[None] * at.move
    x = at.x * growth
    given = evaluate_steep(p, x, live)
    change = given[0] - at.f - at.barrier * jnp.sum(jnp.log(growth), axis=0)
    good = (change <= 1e-4 * at.length * at.slope + 1e-13) & jnp.isfinite(given[0])
    dual = jnp.minimum(1.0, BOUNDARY / jnp.maximum(-jnp.min(at.turn, axis=0), TINY))
    z = at.z * (1.0 + dual[None] * at.turn)
    level = at.barrier[None] / x
    z = jnp.where(free, jnp.clip(z, 1e-3 * level, 1e3 * level), 1.0)
    mean = jnp.sum(jnp.where(free, x * z, 0.0), axis=0) / count
    lower = jnp.where(at.length > 0.5, CENTRED, jnp.where(at.length > 0.0, 0.5, 1.0)) * mean
    barrier = jnp.maximum(jnp.clip(lower, SMALLEST * at.barrier, at.barrier), LEAST)
    after = _aim(x, z, barrier, given, free)
    before = at._replace(length=at.length * NARROW)
    return _where(good, after, before)._replace(taken=at.taken + 1)


def _where(lanes: Array, one: Interior, other: Interior) -> Interior:
    return jax.tree.map(lambda a, b: jnp.where(lanes if a.ndim == 1 else lanes[None], a, b), one, other)


def descend_interior(
    p: Steep, x: Array, barrier: Array, wanted: Array, live: bool, *, held: bool, steps: int, gap: float
) -> Interior:
    """Descend from shares x > 0, where wanted, in at most so many steps, until the relative gap is within `gap`.

    Where the research share is `held` it stays, and may be 0.
    """
    free = jnp.ones((x.shape[0], 1), bool).at[-1].set(not held)

    def unfinished(at: Interior) -> Array:
        return wanted & ((at.taken == 0) | ~(gaps(p.pace, at.x, at.gradient)[0 if held else 1] <= gap))

    def more(state: tuple[Interior, Array]) -> Array:
        return jnp.any(unfinished(state[0])) & (state[1] < steps)

    def body(state: tuple[Interior, Array]) -> tuple[Interior, Array]:
        at, number = state
        after, go = _step(p, at, free, live), unfinished(at)
        return _where(go, after, at), number + 1

    none, nothing = jnp.zeros_like(barrier), jnp.zeros_like(x)
    price = jnp.where(free, barrier[None] / x, 1.0)
    count = jnp.zeros(barrier.shape, jnp.int32)
    # The first step goes nowhere, and is an evaluation.
    start = Interior(x, price, barrier, none + jnp.inf, nothing, nothing, nothing, nothing, none, none, count)
    return lax.while_loop(more, body, (start, jnp.asarray(0)))[0]


def rounded(at: Interior, kappa: Array) -> Array:
    """Shares of which those are 0 that would be better so, by a model of what they are worth when they are 0."""
    price = -jnp.min(at.gradient, axis=0)[None]
    worth = jnp.maximum(-at.gradient, TINY)
    # The part of c that a share pays for where it pays; the rest is left without it.
    part = at.curve / ((kappa + 1.0)[None] * at.x * worth)
    alone = worth * jnp.maximum(1.0 - part, 1e-12) ** -(kappa + 1.0)[None]
    x = jnp.where((at.x < SMALL) & (alone < price) & (at.x * (price - worth) <= WORTHLESS), 0.0, at.x)
    return x / jnp.sum(x, axis=0)[None]


def scan_steep(p: Steep, dates: int, live: bool) -> tuple[Array, Array, Array]:
    """Starts (2, K+1, B) in the two most promising basins of the research share, their losses and their brackets.

    At each of a few research shares the purchases are descended in, from where the last one led.
    """
    lanes = p.pace.shape[0]
    grid = research_grid(p.pace, PLACES)
    even = jnp.full((dates, lanes), 1.0 / dates)
    barrier = START * jnp.minimum(p.exponent, 1.0)
    every = jnp.ones(lanes, bool)

    def visit(purchases: Array, share: Array) -> tuple[Array, tuple[Array, Array]]:
        x = jnp.concatenate([(0.9 * purchases + 0.1 * even) * (1.0 - share)[None], share[None]])
        at = descend_interior(p, x, barrier, every, live, held=True, steps=VISIT, gap=ROUGH)
        bought = at.x[:-1] / (1.0 - share)[None]
        return bought, (at.f, bought)

    _, (value, bought) = lax.scan(visit, even, grid)
    value = jnp.where(jnp.isnan(value), jnp.inf, value)
    none = jnp.full((1, lanes), jnp.inf)
    beside = jnp.concatenate([none, value, none])
    low = jnp.where((value <= beside[:-2]) & (value <= beside[2:]), value, jnp.inf)
    edge = jnp.concatenate([grid, jnp.ones((1, lanes))])
    found = []
    for _ in range(2):
        best = jnp.argmin(low, axis=0)[None]
        share, above = (jnp.take_along_axis(edge, best + more, axis=0) for more in (0, 1))
        below = jnp.take_along_axis(edge, jnp.maximum(best - 1, 0), axis=0)
        share = jnp.maximum(share, INSIDE * above)
        purchases = jnp.take_along_axis(bought, best[None], axis=0)[0]
        x = jnp.concatenate([(0.99 * purchases + 0.01 * even) * (1.0 - share), share])
        found.append((x, jnp.min(low, axis=0), jnp.concatenate([below, above])))
        low = jnp.where(jnp.arange(PLACES)[:, None] == best, jnp.inf, low)
    starts, lows, brackets = zip(*found, strict=True)
    return jnp.stack(starts), jnp.stack(lows), jnp.stack(brackets)


@compiled_two_ways(static_argnames=("dates", "live"))
def least_steep(scenario: dict[str, Array], split: Split, *, dates: int, live: bool) -> Split:
    """The split of least mean loss, which takes from another one no more than the number of its steps."""
    starts, lows, brackets = scan_steep(pose_steep(scenario, dates, SCANNED), dates, live)
    p = pose_steep(scenario, dates, default_steep_nodes(dates))
    barrier = 0.1 * START * jnp.minimum(p.exponent, 1.0)
    wanted = jnp.stack([jnp.ones_like(lows[0], bool), lows[1] <= lows[0] + CLOSE])
    both = lax.map(
        lambda given: descend_interior(p, given[0], barrier, given[1], live, held=False, steps=POLISH, gap=FINISHED),
        (starts, wanted),
    )
    one, two = (jax.tree.map(lambda v, i=i: v[i], both) for i in (0, 1))
    second = wanted[1] & (two.f < one.f)
    at = _where(second, two, one)
    x = rounded(at, p.exponent)
    f, gradient, _ = evaluate_steep(p, x, live)
    before, after = jnp.stack(gaps(p.pace, at.x, at.gradient)), jnp.stack(gaps(p.pace, x, gradient))
    good = after[1] <= jnp.maximum(before[1], 10.0 * FINISHED)
    x, loss = jnp.where(good[None], x, at.x), jnp.exp(jnp.where(good, f, at.f))
    bounds = jnp.where(good[None], after, before)
    bracket = jnp.where(second[None], brackets[1], brackets[0])
    steps = split.iterations + one.taken + two.taken
    return as_split(x, loss, bounds * loss[None], bracket, steps, bounds[1] <= CERTIFIED)


@compiled_two_ways(static_argnames=("dates", "live"))
def checked(scenario: dict[str, Array], split: Split, *, dates: int, live: bool) -> Split:
    """A split as it is, with its loss and its gaps by a quadrature that is fine enough for steep ones."""
    x = jnp.concatenate([split.shares, split.research_share[None]])
    p = pose_steep(scenario, dates, default_steep_nodes(dates))
    f, gradient, _ = evaluate_steep(p, x, live)
    bounds, loss = jnp.stack(gaps(p.pace, x, gradient)), jnp.exp(f)
    return as_split(x, loss, bounds * loss[None], split.bracket, split.iterations, bounds[1] <= CERTIFIED)


def default_steep_nodes(dates: int) -> int:
    """Nodes between two dates with which the quadrature is as accurate as the docstring of this module says."""
    return NODES + ALL_NODES // dates
