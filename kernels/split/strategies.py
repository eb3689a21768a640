"""What a strategy of at most two purchases reaches: its compute ratio, its mean loss, and the time to a target.

A strategy spends a share w_0 of a budget B on accelerators at time 0, w_R on efficiency research and the rest, w_1, on
accelerators at a later date D. With the first fleet F = n0 + B w_0, and the rate g = b − δ/ln 2 at which what is
installed gains, b being the software rate after research, the compute ratio of :mod:`kernels.split.allocation` is

    c(t) = 1 + (1/T0) [F G(t, g) + B w_1 2^((a + b) D) G(t − D, g)],    the last term where t > D

for live software, with the effective years G of :mod:`kernels.loss.equation`. Unlike a schedule of K dates this needs
no axis of dates: every argument is elementwise and broadcasts, and the time to a target has a closed form. The problem
is this project's (kernels/README.md, 5), after C.-P. Lu, arXiv 2501.02156, which has neither dates, nor depreciation,
nor a price of research.

Terms are kept as a number and a power of two, so that none overflows where log c does not. Values are float32, or
float64 where an argument is and 64-bit is enabled; derivatives are first derivatives, forward or reverse.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from kernels.loss import special
from kernels.loss.equation import along, as_arrays, growth, growth_slope
from kernels.loss.quadrature import gauss_legendre
from kernels.loss.special import LN2
from kernels.split.allocation import GRADED, improved_software_rate

NODES = 32  # of the quadrature before the later date, and as many after it
WHOLE = 4.0  # units of rounding by which two shares may miss 1 and still be all of the budget
NEVER = -1e6  # stands for the power of two of 0


class _Term(NamedTuple):
    """A number as ``number * 2**exponent``, which cannot overflow."""

    number: Array
    exponent: Array


class _Scenario(NamedTuple):
    """The two fleets over T0, the doublings by which the later one leads, its date, and the rate of both."""

    first: Array
    later: Array
    lead: Array
    date: Array
    rate: Array


def later_share(front_load_share: ArrayLike, research_share: ArrayLike) -> Array:
    """Share of the budget that is left for the later date, w_1 = 1 − w_0 − w_R.

    Parameters
    ----------
    front_load_share, research_share : array_like
        Shares w_0 and w_R [1], in [0, 1].

    Returns
    -------
    jax.Array
        [1]. Exactly 0 where the two are the whole budget but for rounding, because a dollar may buy 2^1000 times as
        much later; NaN where they are more than the budget.
    """
    front, research = as_arrays(front_load_share, research_share)
    rest = (1.0 - front) - research
    slack = WHOLE * float(np.finfo(rest.dtype).eps)
    nothing = rest - lax.stop_gradient(rest)  # whose derivative is still that of the rest
    return jnp.where(rest > slack, rest, jnp.where(rest < -slack, jnp.nan, nothing))


def log_compute_ratio(
    front_load_share: ArrayLike,
    research_share: ArrayLike,
    later_date: ArrayLike,
    time: ArrayLike,
    **scenario: ArrayLike,
) -> Array:
    """Natural logarithm of the compute ratio, log c(t), of a strategy.

    Parameters
    ----------
    front_load_share, research_share : array_like
        Shares w_0 of accelerators at time 0 and w_R of research [1], in [0, 1]; the rest is spent at the later date.
    later_date, time : array_like
        Date D of the second purchase and time t [years], >= 0; a date that is not before t has bought nothing yet.
    budget, hardware_rate, software_rate, research_gain, research_scale, depreciation, installed_fleet, reference_years
        As in :func:`kernels.split.allocation.log_compute_ratio`, with its defaults.

    Returns
    -------
    jax.Array
        [1], >= 0; NaN where the shares are more than the budget.

    Notes
    -----
    Error at most 8 ulp beyond four times what half an ulp in each argument causes, for budgets 1e-9 to 1e12, rates −10
    to 10 and times to 50 years, where c − 1 is a normal number (tests/models/test_strategies.py).
    """
    time, *given = as_arrays(time, *_scenario(front_load_share, research_share, later_date, **scenario))
    return _log_ratio_at(time, *given)


def mean_loss(
    front_load_share: ArrayLike,
    research_share: ArrayLike,
    later_date: ArrayLike,
    *,
    scaling_exponent: ArrayLike,
    horizon: ArrayLike,
    **scenario: ArrayLike,
) -> Array:
    """Mean of the relative excess loss c^(−κ) up to the horizon.

    Parameters
    ----------
    front_load_share, research_share, later_date
        As in :func:`log_compute_ratio`; so are the other keywords.
    scaling_exponent : array_like
        Exponent κ of the compute scaling law [1], > 0.
    horizon : array_like
        Years T over which the mean is taken [years], > 0.

    Returns
    -------
    jax.Array
        [1], in (0, 1]; NaN where the shares are more than the budget.

    Notes
    -----
    Gauss–Legendre before and after the later date, graded towards the purchases. The quadrature's relative error is at
    most 1e-6 for budgets 0.01 to 1000, horizons 0.25 to 20 and rates −0.5 to 4 (tests/models/test_strategies.py).
    """
    kappa, horizon, *given = as_arrays(
        scaling_exponent, horizon, *_scenario(front_load_share, research_share, later_date, **scenario)
    )
    first, later, lead, date, rate = given
    before = jnp.minimum(date, horizon)
    after = horizon - before
    tiny = float(np.finfo(kappa.dtype).tiny)

    def steepness(log_fleet: Array, span: Array) -> Array:
        grown = jnp.logaddexp(jnp.log1p(jnp.abs(rate) * span), log_fleet + jnp.log(span + tiny))
        return lax.stop_gradient(jnp.clip(GRADED * grown, 0.01, 3.0 + NODES / 4.0))

    jump = jnp.log(later + tiny) + lead * LN2 - _log_ratio_at(before, *given)
    spans = ((before, steepness(jnp.log(first + tiny), before)), (after, steepness(jump, after)))
    x, w = (jnp.asarray(v, kappa.dtype) for v in gauss_legendre(NODES))

    # One loop over the nodes of both spans, as XLA compiles what is in it for seconds.
    def add(i: Array, total: Array) -> Array:
        is_after, node = i % 2 == 1, i // 2
        span, steep = (jnp.where(is_after, b, a) for a, b in zip(*spans, strict=True))
        curve = jnp.expm1(steep)
        within = span * jnp.expm1(steep * (1.0 + x[node]) / 2.0) / curve
        weight = span * w[node] * steep * jnp.exp(steep * (1.0 + x[node]) / 2.0) / (2.0 * curve)
        second = (jnp.where(is_after, v, 0.0) for v in (later, lead, within))
        log_c = _log_ratio(first, *second, within + jnp.where(is_after, before, 0.0), rate)
        return total + weight * jnp.exp(-kappa * log_c)

    return lax.fori_loop(0, 2 * NODES, add, jnp.zeros_like(kappa) * later) / horizon


def time_to_target(
    target: ArrayLike,
    front_load_share: ArrayLike,
    research_share: ArrayLike,
    later_date: ArrayLike,
    *,
    scaling_exponent: ArrayLike,
    irreducible_share: ArrayLike = 0.0,
    **scenario: ArrayLike,
) -> Array:
    """Time at which the relative loss of a strategy falls to a target, in closed form.

    With the compute still to be added, q = X*^(−1/κ) − 1 at X* = (R* − e) / (1 − e), it solves F G(t, g) = q T0 for the
    first fleet; where that is after the later date, t = D + s with
    (F 2^(gD) + B w_1 2^((a + b) D)) G(s, g) = q T0 − F G(D, g).

    Parameters
    ----------
    target : array_like
        Relative loss R* to be reached [1].
    front_load_share, research_share, later_date
        As in :func:`log_compute_ratio`; so are the other keywords.
    scaling_exponent, irreducible_share : array_like
        As in :func:`kernels.relative_loss`.

    Returns
    -------
    jax.Array
        [years]; +inf where no finite time reaches the target, or none that the type holds; NaN where the shares are
        more than the budget.

    Notes
    -----
    Error at most 8 ulp beyond four times what half an ulp in each argument causes, on the domain of
    :func:`log_compute_ratio`, for exponents 1e-3 to 1 (tests/models/test_strategies.py).
    """
    given = _scenario(front_load_share, research_share, later_date, **scenario)
    return _time_to_target(*as_arrays(target, scaling_exponent, irreducible_share, *given))


def log_delayed_compute_ratio(
    fleet_size: ArrayLike,
    start_date: ArrayLike,
    duration: ArrayLike,
    doubling_rate: ArrayLike,
    *,
    reference_fleet: ArrayLike = 1.0,
    reference_years: ArrayLike = 1.0,
) -> Array:
    """Natural logarithm of the compute ratio of a run that starts late, c = 1 + (N/N0) 2^(γ s) G(d, γ) / T0.

    Parameters
    ----------
    fleet_size, reference_fleet : array_like
        Accelerators N that train and N0 of the reference run [1], N >= 0, N0 > 0; N0 is 1 by default: N is in units of
        that fleet.
    start_date, duration : array_like
        Start s after time 0, and length d of the run [years], >= 0.
    doubling_rate : array_like
        Efficiency doublings a year γ [1/year], from time 0 on, any real.
    reference_years : array_like
        Years T0 that the reference fleet had run at time 0 [years], > 0; by default 1: times are in units of them, and
        rates per unit.

    Returns
    -------
    jax.Array
        [1], >= 0.

    Notes
    -----
    Accuracy as for :func:`log_compute_ratio`, for fleets 1e-9 to 1e12.
    """
    fleet, start, duration, rate, reference, years = as_arrays(
        fleet_size, start_date, duration, doubling_rate, reference_fleet, reference_years
    )
    nothing = jnp.zeros_like(fleet)
    return _log_ratio(nothing, fleet / reference / years, start * rate, duration, nothing, rate)


def _scenario(
    front_load_share: ArrayLike,
    research_share: ArrayLike,
    later_date: ArrayLike,
    *,
    budget: ArrayLike,
    hardware_rate: ArrayLike,
    software_rate: ArrayLike,
    research_gain: ArrayLike = 0.0,
    research_scale: ArrayLike = 1.0,
    depreciation: ArrayLike = 0.0,
    installed_fleet: ArrayLike = 1.0,
    reference_years: ArrayLike = 1.0,
) -> _Scenario:
    front, research, date, budget, hardware, rate, gain, scale, lost, fleet, years = as_arrays(
        front_load_share,
        research_share,
        later_date,
        budget,
        hardware_rate,
        software_rate,
        research_gain,
        research_scale,
        depreciation,
        installed_fleet,
        reference_years,
    )
    improved = improved_software_rate(
        research, budget=budget, software_rate=rate, research_gain=gain, research_scale=scale
    )
    rest = later_share(front, research)
    # Of more than the budget nothing is known, before the later date neither.
    first = jnp.where(jnp.isnan(rest), rest, (fleet + budget * front) / years)
    return _Scenario(first, budget * rest / years, date * (hardware + improved), date, improved - lost / LN2)


def _log_ratio_at(time: Array, first: Array, later: Array, lead: Array, date: Array, rate: Array) -> Array:
    bought = date < time
    second = (jnp.where(bought, v, 0.0) for v in (later, lead, time - date))
    return _log_ratio(first, *second, time, rate)


def _sum(*terms: _Term) -> _Term:
    """Add numbers of any size."""
    parts = [special.normalised(term.number) for term in terms]
    exponents = [
        jnp.where(number == 0.0, NEVER, k + term.exponent) for (number, k), term in zip(parts, terms, strict=True)
    ]
    top = exponents[0]
    for exponent in exponents[1:]:
        top = jnp.maximum(top, exponent)
    scaled = (special.scale(number, e - top) for (number, _), e in zip(parts, exponents, strict=True))
    return _Term(sum(scaled, start=jnp.zeros_like(top)), top)


def _tranches(
    first: Array, later: Array, lead: Array, elapsed: Array, time: Array, rate: Array
) -> tuple[tuple[Array, Array, Array, Array], ...]:
    """Fleet, effective years of one like it, efficiency at the end and power of two of both, of the two purchases."""
    whole, fraction = special.reduce(lead)
    level = 1.0 + special.exp2m1_fraction(fraction)
    old, new = growth(time, rate), growth(elapsed, rate)
    return (
        (first, old.years, old.efficiency, old.exponent),
        (later, level * new.years, level * new.efficiency, whole + new.exponent),
    )


@jax.custom_jvp
def _log_ratio(first: Array, later: Array, lead: Array, elapsed: Array, time: Array, rate: Array) -> Array:
    """log(1 + first G(time, rate) + later 2^lead G(elapsed, rate))."""
    tranches = _tranches(first, later, lead, elapsed, time, rate)
    added = _sum(*(_Term(fleet * years, k) for fleet, years, _, k in tranches))
    return special.log2_1p_scaled(*added) * LN2


@_log_ratio.defjvp
def _log_ratio_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    first, later, _, elapsed, time, rate = primals
    tranches = _tranches(*primals)
    total = _sum(_Term(jnp.ones_like(first), jnp.zeros_like(first)), *(_Term(n * g, k) for n, g, _, k in tranches))

    def part(number: Array, k: Array) -> Array:
        number, j = special.normalised(number)
        return special.scale(number / total.number, j + k - total.exponent)

    (_, g0, e0, k0), (_, g1, e1, k1) = tranches
    of_first, of_later = part(first * g0, k0), part(later * g1, k1)
    by_rate = special.product(of_first, growth_slope(time, rate)) + special.product(
        of_later, growth_slope(elapsed, rate)
    )
    partials = (part(g0, k0), part(g1, k1), of_later * LN2, part(later * e1, k1), part(first * e0, k0), by_rate)
    return _log_ratio(*primals), along(partials, tangents)


@jax.custom_jvp
def _time_to_target(
    target: Array, kappa: Array, share: Array, first: Array, later: Array, lead: Array, date: Array, rate: Array
) -> Array:
    needed = _needed(target, kappa, share)
    early = _years_until(_quotient(needed, _Term(first, jnp.zeros_like(first))), rate)
    grown = growth(date, rate)
    missing = _sum(needed, _Term(-first * grown.years, grown.exponent))
    missing = _Term(jnp.maximum(missing.number, 0.0), missing.exponent)
    whole, fraction = special.reduce(lead)
    second = _Term(later * (1.0 + special.exp2m1_fraction(fraction)), whole)
    both = _sum(_Term(first * grown.efficiency, grown.exponent), second)
    late = date + _years_until(_quotient(missing, both), rate)
    time = jnp.where(early <= date, early, late)
    reached = jnp.where(needed.number == 0.0, 0.0, jnp.where(jnp.isinf(needed.number), jnp.inf, time))
    return jnp.where(jnp.isnan(first + later), jnp.nan, reached)


@_time_to_target.defjvp
def _time_to_target_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    time = _time_to_target(*primals)
    varies = jnp.isfinite(time) & (time > 0.0)
    known = jnp.where(varies, time, 1.0)

    def excess(at: Array, target: Array, kappa: Array, share: Array, *given: Array) -> Array:
        room = jnp.where(varies, (target - share) / (1.0 - share), 1.0)
        return kappa * _log_ratio_at(at, *given) + special.log2(room) * LN2

    _, slope = jax.jvp(lambda at: excess(at, *primals), (known,), (jnp.ones_like(known),))
    _, change = jax.jvp(lambda *given: excess(known, *given), primals, tangents)
    return time, jnp.where(varies, -change / jnp.where(varies, slope, 1.0), 0.0)


def _needed(target: Array, kappa: Array, share: Array) -> _Term:
    """q = X*^(−1/κ) − 1; 0 for X* >= 1, infinite for X* <= 0."""
    met, never = target >= 1.0, target <= share
    excess = jnp.where(met | never, 0.5, (target - share) / (1.0 - share))
    k, fraction = special.reduce(-special.log2(excess) / kappa)
    gain = special.exp2m1_fraction(fraction)
    big = k > special.digits(k) + 6.0  # then the 1 in q = 2^k (1 + gain) - 1 is lost anyway
    unit = special.scale(jnp.ones_like(k), jnp.where(big, 0.0, k))
    number = jnp.where(big, 1.0 + gain, jnp.maximum(gain * unit + (unit - 1.0), 0.0))
    number = jnp.where(met, 0.0, jnp.where(never, jnp.inf, number))
    return _Term(number, jnp.where(big, k, 0.0))


def _quotient(above: _Term, below: _Term) -> _Term:
    (a, i), (b, j) = special.normalised(above.number), special.normalised(below.number)
    return _Term(a / b, above.exponent - below.exponent + i - j)


def _years_until(years: _Term, rate: Array) -> Array:
    """Time t with G(t, rate) = years, +inf where there is none."""
    speed, j = special.normalised(rate)
    product, k = years.number * speed * LN2, years.exponent + j
    size = special.scale(product, k)
    slow, endless = jnp.abs(size) <= 0.25, (size <= -1.0) | jnp.isinf(years.number)
    direct = special.scale(years.number * LN2 * special.log2_1p_ratio(jnp.where(slow, size, 0.0)), years.exponent)
    doublings = special.log2_1p_scaled(jnp.where(slow | endless, 1.0, product), jnp.where(slow | endless, 0.0, k))
    return jnp.where(endless, jnp.inf, jnp.where(slow, direct, doublings / jnp.where(slow, 1.0, rate)))
