"""Mean loss of a split, with gradient and Hessian by the shares, for a chunk of scenarios at once.

The problem is that of :mod:`kernels.split.allocation`; scenarios are along the last axis, of B.
"""

from math import factorial
from typing import NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from kernels.loss.special import LN2
from kernels.split.allocation import graded_rule, grading, unit_rule
from kernels.split.records import AnyArray

SERIES = 16  # terms of the series of exprel'' for |z| < 1


class Problem(NamedTuple):
    """Scenarios along the last axis: what one evaluation needs."""

    step: Array  # (B,) years between two dates
    fleet: Array  # (B,) n0 / T0
    spend: Array  # (B,) B / T0
    hardware: Array  # (B,) a ln 2
    software: Array  # (B,) b0 ln 2
    gain: Array  # (B,) Δb ln 2
    pace: Array  # (B,) B / S
    loss: Array  # (B,) δ
    exponent: Array  # (B,) κ
    within: Array  # (n, B) τ of the nodes
    weight: Array  # (n, B)
    first: Array  # (B,) weight of the first interval
    fade: Array  # (B,) by which it falls from one interval to the next


def exprels(z: Array) -> tuple[Array, Array, Array, Array]:
    """e^z, and exprel(z) = (e^z − 1)/z with its first and second derivative."""
    e = jnp.exp(z)
    small = jnp.abs(z) < 1.0
    near = jnp.where(small, z, 0.0)
    terms = [(k + 2) * (k + 1) / factorial(k + 3) for k in range(SERIES)]
    bend = jnp.full_like(z, terms[-1])
    for term in terms[-2::-1]:
        bend = bend * near + term
    slope = 0.5 * (e - near * bend)
    value = e - near * slope
    inverse = 1.0 / jnp.where(small, 1.0, z)
    far = (e - 1.0) * inverse
    far_slope = (e - far) * inverse
    far_bend = (e - 2.0 * far_slope) * inverse
    return e, jnp.where(small, value, far), jnp.where(small, slope, far_slope), jnp.where(small, bend, far_bend)


Jet: TypeAlias = tuple[Array, Array, Array]  # a value and its first and second derivative by β = b ln 2
Purchases: TypeAlias = tuple[Jet, Jet, Array, Array, Array]  # compute, fleet, what a share buys, its date and weight


class Reach(NamedTuple):
    """What depends on the research share alone, with first and second derivatives by β = b ln 2."""

    slope: Array  # dβ/dw_R
    bend: Array  # d²β/dw_R²
    grown: Array  # e^(s step): growth of what is installed between two dates
    bought: Array  # 2^((a + b) step): growth of what a dollar buys between two dates
    rate: Array  # s
    span: Jet  # G(step) and its derivatives
    lag: Array  # years by which an improvement lifts what is installed: step, or 0 if locked


def reach(p: Problem, r: Array, live: bool) -> Reach:
    """What a research share r makes of a problem."""
    left = jnp.exp(-r * p.pace)
    slope = p.gain * p.pace * left
    beta = p.software + p.gain * (1.0 - left)
    s = (beta - p.loss) if live else -p.loss

    e, span = years_of(s, p.step, live)
    lag = p.step if live else 0.0 * p.step
    return Reach(slope, -p.pace * slope, e, jnp.exp((p.hardware + beta) * p.step), s, span, lag)


def years_of(rate: Array, length: Array, live: bool) -> tuple[Array, Jet]:
    """Growth e^(s τ) over some years, and G(τ) with its derivatives."""
    e, value, slope, bend = exprels(rate * length)
    if not live:
        slope = bend = 0.0 * value
    return e, (value * length, slope * length**2, bend * length**3)


def evaluate(p: Problem, x: Array, live: bool, nodes: AnyArray | None = None) -> tuple[Array, Array, Array]:
    """Mean loss (B,) at the shares x (K+1, B), the research share last; its gradient and Hessian by them.

    Between two dates c = C + F G(τ), with the compute C and the fleet F at the first: two numbers that are carried
    forward from date to date, with two derivatives by β, and whose adjoints are carried back. So the work grows as K,
    and only that of the Hessian's entries as K². Beyond the first so many `nodes`, which have all
    weight, none is looked at.
    """
    now = reach(p, x[-1], live)
    compute, fleet, buy, date, later = carry_forward(p, now, x[:-1])
    (c1, c2), (f0, f1, f2) = compute[1:], fleet
    kappa = p.exponent
    mean, p0, p1, p2, p3, d00, d01, d11, d02, d12, d22 = moments(p, now.rate, compute[0], f0, later, live, nodes)
    # The research share's second derivatives, times 1 and G(τ).
    r0 = c1 * d00 + f1 * d01 + f0 * d02
    r1 = c1 * d01 + f1 * d11 + f0 * d12
    r2 = c1 * d02 + f1 * d12 + f0 * d22
    by_rate = -kappa * jnp.sum(c1 * p0 + f1 * p1 + f0 * p2, axis=0)
    twice = (kappa + 1.0)[None] * (c1 * r0 + f1 * r1 + f0 * r2) - (c2 * p0 + f2 * p1 + 2.0 * f1 * p2 + f0 * p3)
    steeper = (kappa + 1.0)[None]
    by_buy, cross, on_fleet, on_both = carry_back(now, (p0, p1, p2 - steeper * r1, steeper * r0, d00, d01, d11), date)
    gradient = jnp.concatenate([-kappa[None] * buy * by_buy, (by_rate * now.slope)[None]])
    cross = -(kappa * now.slope)[None] * buy * cross
    curve = kappa * jnp.sum(twice, axis=0) * now.slope * now.slope + by_rate * now.bend
    corner = ((kappa * (kappa + 1.0))[None] * buy)[:, None] * buy[None] * pulls(now, on_fleet, on_both)
    hessian = jnp.concatenate([corner, cross[:, None]], axis=1)
    last = jnp.concatenate([cross, curve[None]])[None]
    return jnp.sum(mean, axis=0), gradient, jnp.concatenate([hessian, last])


def carry_forward(p: Problem, now: Reach, shares: Array) -> Purchases:
    """Compute and fleet just after each purchase, with two derivatives by β; what a share buys, its date and weight."""
    g0, g1, g2 = now.span
    e0, e1, e2 = now.grown, now.grown * now.lag, now.grown * now.lag * now.lag

    def forward(carry: Purchases, w: Array) -> tuple[Purchases, Purchases]:
        (c0, c1, c2), (f0, f1, f2), buy, date, later = carry
        new = buy * w
        f0, f1, f2 = f0 + new, f1 + new * date, f2 + new * date * date
        out = ((c0, c1, c2), (f0, f1, f2), buy, date, later)
        compute = (c0 + f0 * g0, c1 + f1 * g0 + f0 * g1, c2 + f2 * g0 + 2.0 * f1 * g1 + f0 * g2)
        fleet = (f0 * e0, f1 * e0 + f0 * e1, f2 * e0 + 2.0 * f1 * e1 + f0 * e2)
        return (compute, fleet, buy * now.bought, date + p.step, later * p.fade), out

    zero = jnp.zeros_like(p.step)
    start = ((zero + 1.0, zero, zero), (p.fleet, zero, zero), p.spend, zero, p.first)
    return lax.scan(forward, start, shares)[1]


def moments(
    p: Problem, rate: Array, compute: Array, fleet: Array, later: Array, live: bool, nodes: AnyArray | None
) -> list[Array]:
    """Weighted sums over the nodes, (K, B) each: the loss, and c^(−κ−1) and c^(−κ−2) times powers of G and its slopes.

    All dates at once: that leaves XLA one loop over what fits in the cache, which keeps it from working out the sums
    again wherever they are used.
    """

    def add(node: Array, total: list[Array]) -> list[Array]:
        h0, h1, h2 = (v[None] for v in years_of(rate, p.within[node], live)[1])
        c = compute + fleet * h0
        loss = jnp.exp(-p.exponent[None] * jnp.log(c)) * (p.weight[node][None] * later)
        inverse = 1.0 / c
        first = loss * inverse
        second = first * inverse
        s1, s2 = second * h0, second * h1
        more = [loss, first, first * h0, first * h1, first * h2, second, s1, s1 * h0, s2, s2 * h0, s2 * h1]
        return [a + b for a, b in zip(total, more, strict=True)]

    every = p.weight.shape[0] if nodes is None else nodes
    return lax.fori_loop(0, every, add, [jnp.zeros_like(compute)] * 11)


def carry_back(now: Reach, given: tuple[Array, ...], date: Array) -> tuple[Array, ...]:
    """Adjoints of what a share buys and their derivative by β, and second-order adjoints of the fleet at each date."""
    g0, g1, _ = now.span
    e0, e1 = now.grown, now.grown * now.lag

    def backward(carry: tuple[Array, ...], given: tuple[Array, ...]) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        a0, a1, b0, b1, scc, scf, sff = carry
        p0, p1, q1, q0, d00, d01, d11, date = given
        b1 = b0 * g0 + b1 * e0 + a0 * g1 + a1 * e1 + q1
        b0 = b0 - q0
        a1 = a0 * g0 + a1 * e0 + p1
        a0 = a0 + p0
        sff = scc * g0 * g0 + 2.0 * scf * g0 * e0 + sff * e0 * e0 + d11
        scf = scc * g0 + scf * e0 + d01
        scc = scc + d00
        return (a0, a1, b0, b1, scc, scf, sff), (a1, b1 + date * a1, scf, sff)

    start: tuple[Array, ...] = (jnp.zeros_like(e0),) * 7
    return lax.scan(backward, start, (*given, date), reverse=True)[1]


def pulls(now: Reach, on_fleet: Array, on_both: Array) -> Array:
    """What two purchases do to each other (K, K, B), by the years between them and all that follows the later one."""
    dates = on_fleet.shape[0]

    def lengthen(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        years, grown = carry
        return (years + grown * now.span[0], grown * now.grown), carry

    start = (jnp.zeros_like(now.grown), jnp.ones_like(now.grown))
    years, grown = (
        jnp.concatenate([v[:0:-1], v]) for v in lax.scan(lengthen, start, None, length=dates)[1]
    )  # from K − 1 dates before to K − 1 after

    def row(k: Array) -> Array:
        apart, both = (lax.dynamic_slice_in_dim(v, dates - 1 - k, dates) for v in (years, grown))
        after = (jnp.arange(dates) >= k)[:, None]
        return apart * jnp.where(after, on_fleet, on_fleet[k][None]) + both * jnp.where(
            after, on_both, on_both[k][None]
        )

    return lax.map(row, jnp.arange(dates))


class Rule(NamedTuple):
    """Quadrature on (0, 1), with points of no weight at its end."""

    points: AnyArray  # (n,)
    weights: AnyArray  # (n,)
    nodes: AnyArray  # how many have a weight


def rules_of(*nodes: int) -> Rule:
    """Gauss–Legendre rules of some numbers of nodes, along a first axis: as long as the longest."""
    points, weights = np.full((len(nodes), max(nodes)), 0.5), np.zeros((len(nodes), max(nodes)))
    for row, number in enumerate(nodes):
        points[row, :number], weights[row, :number] = unit_rule(number)
    return Rule(points, weights, np.asarray(nodes, np.int32))


def pose(scenario: dict[str, Array], dates: int, nodes: int | Rule) -> Problem:
    """Scenarios (B,) as a problem with a quadrature of some nodes, or by a rule, between two dates."""
    v = scenario
    rule = Rule(*(part[0] for part in rules_of(nodes))) if isinstance(nodes, int) else nodes
    step = v["horizon"] / dates
    pace = v["budget"] / v["research_scale"]
    rate = v["hardware_rate"] + v["software_rate"] - v["research_gain"] * jnp.expm1(-pace)
    steepness = grading(
        dates,
        jnp.asarray(rule.nodes, step.dtype),
        budget=v["budget"],
        horizon=v["horizon"],
        purchase_rate=rate,
        discount_rate=v["discount_rate"],
        installed_fleet=v["installed_fleet"],
        reference_years=v["reference_years"],
    )
    points, weights = jnp.asarray(rule.points), jnp.asarray(rule.weights)

    def place(node: Array, nodes: tuple[Array, Array]) -> tuple[Array, Array]:
        x, w = (part[:, 0] for part in graded_rule(steepness, points[node], weights[node]))
        here = x * step
        return nodes[0].at[node].set(here), nodes[1].at[node].set(w * jnp.exp(-v["discount_rate"] * here))

    none = jnp.zeros((*points.shape, *step.shape))
    within, weight = lax.fori_loop(0, rule.nodes, place, (none, none))
    fade = jnp.exp(-v["discount_rate"] * step)
    whole = jnp.ones_like(fade)
    for _ in range(dates - 1):
        whole = 1.0 + fade * whole
    return Problem(
        step,
        v["installed_fleet"] / v["reference_years"],
        v["budget"] / v["reference_years"],
        v["hardware_rate"] * LN2,
        v["software_rate"] * LN2,
        v["research_gain"] * LN2,
        pace,
        v["depreciation"],
        v["scaling_exponent"],
        within,
        weight / jnp.sum(weight, axis=0)[None],
        1.0 / whole,
        fade,
    )
