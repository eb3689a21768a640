"""What a schedule of purchases buys: its compute ratio, and the two losses that a budget is split to lower.

A budget B buys accelerators at K dates t_k = k T/K, a share w_k at each, and efficiency research with the share w_R.
A dollar spent at t_k buys 2^(a t_k) times the performance of one at 0; what is installed loses capacity at the rate δ;
research lifts the software rate to b = b0 + Δb (1 − exp(−w_R B/S)). Then

    c(t) = 1 + (1/T0) [n0 J(0, t) + Σ_{t_k < t} B w_k 2^(a t_k) J(t_k, t)]

with J(u, t) = ∫ᵤᵗ e^(−δ(s−u)) 2^(bs) ds = 2^(bu) G(t − u, b − δ/ln 2) where software is "live", which lifts all that
is installed, and J(u, t) = 2^(bu) G(t − u, −δ/ln 2) where it is "locked" at the date of purchase; G(t, γ) are the
effective years of :mod:`kernels.loss.equation`. The problem is this project's, after the equation of C.-P. Lu,
arXiv 2501.02156, which has neither dates, nor depreciation, nor a price of research.

Shares have the dates along their last axis, shape (..., K); every other argument broadcasts to the shape (...) of the
result. Every term of c is kept as a number and a power of two, so that none overflows where log c does not. Values are
float32, or float64 where an argument is and 64-bit is enabled; derivatives are first derivatives, forward or reverse.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from kernels.loss import special
from kernels.loss.equation import as_arrays, growth, growth_slope
from kernels.loss.quadrature import gauss_legendre
from kernels.loss.special import LN2

SOFTWARE = ("live", "locked")
NODES, FEW_DATES = 16, 32  # of the quadrature between two dates, and more where there are few dates
GRADED = 0.7  # fitted, as is the bound: of gradings that resolve steep purchases, the least wasteful elsewhere


def improved_software_rate(
    research_share: ArrayLike,
    *,
    budget: ArrayLike,
    software_rate: ArrayLike,
    research_gain: ArrayLike,
    research_scale: ArrayLike,
) -> Array:
    """Software rate after research, b = b0 + Δb (1 − exp(−w_R B/S)).

    Parameters
    ----------
    research_share : array_like
        Share w_R of the budget that goes into research [1], in [0, 1].
    budget, research_scale : array_like
        Budget B and the spend S that buys 1 − 1/e of the gain [the same unit], B >= 0, S > 0.
    software_rate, research_gain : array_like
        Doublings a year b0 without research, and the most Δb that research adds [1/year].

    Returns
    -------
    jax.Array
        [1/year].
    """
    share, budget, rate, gain, scale = as_arrays(research_share, budget, software_rate, research_gain, research_scale)
    # Not jnp.expm1, whose derivative cancels where research is nearly exhausted.
    return rate - gain * special.exp2m1(-share * (budget / scale) * special.LOG2_E)


def log_compute_ratio(
    shares: ArrayLike,
    research_share: ArrayLike,
    time: ArrayLike,
    *,
    budget: ArrayLike,
    horizon: ArrayLike,
    hardware_rate: ArrayLike,
    software_rate: ArrayLike,
    research_gain: ArrayLike = 0.0,
    research_scale: ArrayLike = 1.0,
    depreciation: ArrayLike = 0.0,
    installed_fleet: ArrayLike = 1.0,
    reference_years: ArrayLike = 1.0,
    software: str = "live",
) -> Array:
    """Natural logarithm of the compute ratio, log c(t), of a purchase schedule.

    Parameters
    ----------
    shares : array_like, shape (..., K)
        Shares w_k of the budget spent on accelerators at the dates t_k = k T/K [1], >= 0; they may be 0.
    research_share : array_like
        Share w_R that goes into research [1], >= 0.
    time : array_like
        Time t [years], >= 0; dates not before it have bought nothing yet.
    budget : array_like
        Budget B [reference fleets at the prices of time 0], >= 0.
    horizon : array_like
        Horizon T, which the dates divide [years], > 0.
    hardware_rate : array_like
        Doublings a of the performance a dollar buys [1/year], any real.
    software_rate, research_gain, research_scale : array_like
        As in :func:`improved_software_rate`.
    depreciation : array_like
        Rate δ at which installed capacity is lost [1/year], >= 0.
    installed_fleet : array_like
        Fleet n0 that runs at time 0 [reference fleets], >= 0.
    reference_years : array_like
        Years T0 that the reference fleet had run at time 0 [years], > 0; by default 1: times are in units of them, and
        rates per unit.
    software : {"live", "locked"}
        Whether better software lifts what is installed, or only what is bought after it.

    Returns
    -------
    jax.Array
        [1], >= 0.

    Raises
    ------
    ValueError
        For another kind of software.

    Notes
    -----
    Error at most 8 ulp beyond four times what half an ulp in each argument causes, and of each first derivative at most
    16 ulp beyond as much, for horizons to 50 years and rates to 10, K to 12 (tests/kernels/split/test_allocation.py).
    """
    if software not in SOFTWARE:
        raise ValueError(f'software: must be "live" or "locked", got "{software}"')
    spread = (research_share, time, budget, horizon, hardware_rate, software_rate, research_gain, research_scale)
    terms = (*spread, depreciation, installed_fleet, reference_years)
    w, *rest = as_arrays(shares, *(jnp.asarray(x)[..., None] for x in terms))
    w_research, time, budget, horizon, hardware, rate, gain, scale, loss, fleet, years = rest
    improved = improved_software_rate(
        w_research, budget=budget, software_rate=rate, research_gain=gain, research_scale=scale
    )
    dates = purchase_dates(horizon[..., :1], w.shape[-1])
    bought = dates < time
    # The fleet that runs at time 0 is one more tranche, of date 0.
    share = _with_first(fleet, jnp.where(bought, w, 0.0))
    spend = _with_first(1.0 / years, budget / years)
    lead = _with_first(jnp.zeros_like(rate), dates * (hardware + improved))
    elapsed = _with_first(time, jnp.where(bought, time - dates, 0.0))
    lost = loss / LN2
    growing = improved - lost if software == "live" else -lost
    growing = _with_first(growing, growing)
    return _log_total(share, spend, lead, elapsed, growing)


def compute_ratio(
    shares: ArrayLike, research_share: ArrayLike, time: ArrayLike, *, software: str = "live", **scenario: ArrayLike
) -> Array:
    """Compute ratio c(t) of a purchase schedule [1]; infinite where it exceeds the largest number.

    Arguments are those of :func:`log_compute_ratio`.
    """
    return jnp.exp(log_compute_ratio(shares, research_share, time, software=software, **scenario))


def purchase_dates(horizon: ArrayLike, dates: int) -> Array:
    """Dates t_k = k T/K [years], along the last axis of the horizon, which has length 1 there."""
    horizon = jnp.asarray(horizon)
    return horizon * jnp.asarray(np.arange(dates) / dates, horizon.dtype).reshape((1,) * (horizon.ndim - 1) + (dates,))


def _with_first(first: Array, rest: Array) -> Array:
    return jnp.concatenate([first[..., :1], rest], axis=-1)


def _parts(share: Array, spend: Array, lead: Array, elapsed: Array, rate: Array) -> tuple[Array, ...]:
    """Coefficient and efficiency of each tranche, and c itself, as numbers with powers of two of their own."""
    grown = growth(elapsed, rate)
    whole, fraction = special.reduce(lead)
    level = 1.0 + special.exp2m1_fraction(fraction)
    exponent = whole + grown.exponent
    coefficient, efficiency = level * grown.years, level * grown.efficiency
    number, k = special.normalised(special.product(share * spend, coefficient))
    top = jnp.max(jnp.where(number > 0.0, exponent + k, 0.0), axis=-1, keepdims=True)
    top = jnp.maximum(top, 0.0)
    added = jnp.sum(special.scale(number, exponent + k - top), axis=-1, keepdims=True)
    return coefficient, efficiency, exponent, added, top


@jax.custom_jvp
def _log_total(share: Array, spend: Array, lead: Array, elapsed: Array, rate: Array) -> Array:
    """log(1 + Σ share spend 2^lead G(elapsed, rate)), the sum over the last axis."""
    *_, added, top = _parts(share, spend, lead, elapsed, rate)
    return special.log2_1p_scaled(added, top)[..., 0] * LN2


@_log_total.defjvp
def _log_total_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    share, spend, _, elapsed, rate = primals
    coefficient, efficiency, exponent, added, top = _parts(*primals)
    total = special.scale(jnp.ones_like(added), -top) + added

    def part(factor: Array, other: Array) -> Array:
        number, k = special.normalised(special.product(factor, other))
        return special.scale(number / total, exponent + k - top)

    # The derivative by a share that is 0 may overflow; those by its factors, which it is multiplied by, must not.
    of_total = part(share * spend, coefficient)
    partials = (
        part(spend, coefficient),
        part(share, coefficient),
        of_total * LN2,
        part(share * spend, efficiency),
        special.product(of_total, growth_slope(elapsed, rate)),
    )
    changes = (jnp.sum(d * v, axis=-1) for d, v in zip(partials, tangents, strict=True))
    return _log_total(*primals), sum(changes, start=jnp.zeros_like(added[..., 0]))


def log_terminal_loss(
    shares: ArrayLike,
    research_share: ArrayLike,
    *,
    scaling_exponent: ArrayLike,
    horizon: ArrayLike,
    software: str = "live",
    **scenario: ArrayLike,
) -> Array:
    """Logarithm of the relative excess loss at the horizon, log X(T) = −κ log c(T).

    Arguments are those of :func:`log_compute_ratio`, at the time T; the scaling exponent κ [1] is > 0. Accuracy is as
    there.
    """
    log_c = log_compute_ratio(shares, research_share, horizon, horizon=horizon, software=software, **scenario)
    exponent, log_c = as_arrays(scaling_exponent, log_c)
    return -exponent * log_c


def mean_loss(
    shares: ArrayLike,
    research_share: ArrayLike,
    *,
    scaling_exponent: ArrayLike,
    budget: ArrayLike,
    horizon: ArrayLike,
    hardware_rate: ArrayLike,
    software_rate: ArrayLike,
    discount_rate: ArrayLike = 0.0,
    nodes: int | None = None,
    software: str = "live",
    **scenario: ArrayLike,
) -> Array:
    """Discounted mean of the relative excess loss up to the horizon, ∫ e^(−ρt) X(t) dt / ∫ e^(−ρt) dt.

    Parameters
    ----------
    shares, research_share, budget, horizon, hardware_rate, software_rate
        As in :func:`log_compute_ratio`; so are the other keywords.
    scaling_exponent : array_like
        Exponent κ of the compute scaling law [1], > 0.
    discount_rate : array_like
        Weight ρ of later loss [1/year], any real.
    nodes : int, optional
        Nodes of the quadrature between two dates, by default 16 + 32 // K.

    Returns
    -------
    jax.Array
        [1], in (0, 1].

    Notes
    -----
    Gauss–Legendre between dates, where c is smooth. The nodes are graded towards the date of purchase, as a loss falls
    fastest there. The quadrature's relative error is at most 1e-8, and 1e-10 in 99 % of scenarios, for budgets 0.01 to
    1000, horizons 0.25 to 20 and rates −0.5 to 4 (tests/kernels/split/test_allocation.py); rounding is as above.
    """
    dates = np.shape(shares)[-1]
    nodes = default_nodes(dates) if nodes is None else nodes
    research_share, budget, horizon, hardware_rate, software_rate, discount_rate, scaling_exponent = as_arrays(
        research_share, budget, horizon, hardware_rate, software_rate, discount_rate, scaling_exponent
    )
    improved = improved_software_rate(
        research_share,
        budget=budget,
        software_rate=software_rate,
        research_gain=scenario.get("research_gain", 0.0),
        research_scale=scenario.get("research_scale", 1.0),
    )
    steepness = grading(
        dates,
        nodes,
        budget=budget,
        horizon=horizon,
        purchase_rate=hardware_rate + improved,
        discount_rate=discount_rate,
        installed_fleet=scenario.get("installed_fleet", 1.0),
        reference_years=scenario.get("reference_years", 1.0),
    )
    within, weight = graded_rule(lax.stop_gradient(steepness), *unit_rule(nodes))
    within = within * (horizon / dates)[..., None]
    time = purchase_dates(horizon[..., None], dates)[..., :, None] + within[..., None, :]
    time = time.reshape(*horizon.shape, dates * nodes)
    weight = jnp.tile(jnp.log(weight), dates) - discount_rate[..., None] * time
    rows = {name: jnp.asarray(value)[..., None] for name, value in scenario.items()}
    log_c = log_compute_ratio(
        jnp.asarray(shares)[..., None, :],
        research_share[..., None],
        time,
        budget=budget[..., None],
        horizon=horizon[..., None],
        hardware_rate=hardware_rate[..., None],
        software_rate=software_rate[..., None],
        software=software,
        **rows,
    )
    return jnp.sum(jax.nn.softmax(weight, axis=-1) * jnp.exp(-scaling_exponent[..., None] * log_c), axis=-1)


def default_nodes(dates: int) -> int:
    """Nodes between two dates with which the quadrature of the mean loss is as accurate as its docstring says."""
    return NODES + FEW_DATES // dates


def grading(
    dates: int,
    nodes: ArrayLike,
    *,
    budget: ArrayLike,
    horizon: ArrayLike,
    purchase_rate: ArrayLike,
    discount_rate: ArrayLike,
    installed_fleet: ArrayLike,
    reference_years: ArrayLike,
) -> Array:
    """Logarithm λ of the ratio of the widest to the narrowest spacing of the nodes between two dates.

    It is taken from how many times over the compute ratio can grow between two dates if the whole budget B is spent at
    one of them, and need not be exact. `purchase_rate` is a + b [1/year], b with research; the rest is as in
    :func:`mean_loss`.
    """
    budget, horizon, rate, discount, fleet, years = as_arrays(
        budget, horizon, purchase_rate, discount_rate, installed_fleet, reference_years
    )
    step = horizon / dates
    top = jnp.maximum(rate, 0.0) * (horizon - step) * LN2  # the last date buys most
    bought = jnp.log(budget + fleet + np.finfo(budget.dtype).tiny) + top + jnp.log(step / years)
    other = jnp.log1p((jnp.abs(rate) + jnp.abs(discount)) * step)
    return jnp.clip(GRADED * jnp.logaddexp(other, bought), 0.01, 3.0 + nodes / 4.0)


def unit_rule(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights, (nodes,) each, of Gauss–Legendre quadrature on (0, 1)."""
    points, weights = gauss_legendre(nodes)
    return (1.0 + points) / 2.0, weights / 2.0


def graded_rule(steepness: ArrayLike, points: ArrayLike, weights: ArrayLike) -> tuple[Array, Array]:
    """Nodes and weights on (0, 1), graded towards 0: a rule in x where a node is expm1(λx) / expm1(λ).

    The last axis of both is that of the `points` (n,) and `weights` (n,) of the rule; λ > 0 is the `steepness`.
    """
    steepness = jnp.asarray(steepness)[..., None]
    span = jnp.expm1(steepness)
    x, w = (jnp.asarray(v, steepness.dtype).reshape((1,) * (steepness.ndim - 1) + (-1,)) for v in (points, weights))
    return jnp.expm1(steepness * x) / span, w * steepness * jnp.exp(steepness * x) / span
