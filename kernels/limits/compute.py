"""Compute of a fleet that grows, is capped, loses some of itself and gets better up to a ceiling.

The integral of effective fleet times efficiency: closed forms where the fleet is constant, and where it is the lesser
of two exponentials; else 32-node Gauss–Legendre quadrature between the dates at which another curve is the least
(kernels/README.md, section 6). What is left out is off, and costs nothing.
"""

from collections.abc import Callable
from itertools import combinations, pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from kernels.limits import plateau, utilisation
from kernels.limits.fleets import Exponential, Stock, power_cap
from kernels.limits.utilisation import ENDLESS
from kernels.loss import equation, special
from kernels.loss.arguments import as_arrays, elementwise
from kernels.loss.quadrature import gauss_legendre
from kernels.loss.special import LN2

NODES = 32
_STEPS = 40  # of the bisection of a date, whose error enters squared

POWER = ("power_capacity", "power_growth", "power_per_accelerator", "power_decline", "share_of_supply")
CHIPS = ("chip_stock", "chip_production", "chip_growth", "share_of_supply")
LOSSES = ("utilisation_exponent", "utilisation_fleet", "accelerator_mtbf", "checkpoint_time", "recovery_time")
POSITIVE = {"power_capacity", "power_per_accelerator", "share_of_supply", "chip_stock", "accelerator_mtbf"}
POSITIVE |= {"fleet_size", "reference_fleet", "reference_years", "utilisation_fleet"}
NON_NEGATIVE = {"time", "chip_production", "utilisation_exponent", "checkpoint_time", "recovery_time"}


class Run(NamedTuple):
    """Exponentials and a stock, of which the least is the fleet of a run, what it loses, and the rates."""

    curves: tuple[Exponential, ...]
    stock: Stock | None
    losses: tuple[Array, ...] | None
    rate: Array
    headroom: Array | None

    def log2_fleet(self, time: Array) -> Array:
        """log2 of the fleet that is used."""
        least = self.curves[0].at(time)
        for curve in self.curves[1:]:
            least = jnp.minimum(least, curve.at(time))
        return least if self.stock is None else jnp.minimum(least, self.stock.at(time))

    def log2_speed(self, time: Array) -> Array:
        """log2 of effective fleet times efficiency."""
        log2_n = self.log2_fleet(time)
        speed = log2_n + plateau.log2_efficiency(time, self.rate, self.headroom)
        if self.losses is None:
            return speed
        return speed + utilisation.log2_yield(special.exp2(log2_n), *self.losses)


@elementwise
def fleet_years(fleet_size: ArrayLike, time: ArrayLike, doubling_rate: ArrayLike = 0.0, **terms: ArrayLike) -> Array:
    """Accelerators times effective years, ∫₀ᵗ n_eff(s) E(s)/E(0) ds, n_eff of the lesser of n 2^(g s) and all caps.

    Parameters
    ----------
    fleet_size : array_like
        Accelerators n at time 0 [1], > 0.
    time : array_like
        Time t since the reference point [years], >= 0.
    doubling_rate : array_like
        Efficiency doublings a year γ [1/year]; without it accelerators times years.
    **terms : array_like
        What there is of `fleet_growth` g [1/year]; `efficiency_headroom` as in
        :func:`kernels.limits.plateau.effective_years`; `power_capacity`, `power_growth`, `power_per_accelerator`,
        `power_decline` and `chip_stock`, `chip_production`, `chip_growth`, all of one kind and `share_of_supply` with
        them, as in :mod:`kernels.limits.fleets`; `utilisation_exponent`, `utilisation_fleet`, `accelerator_mtbf`,
        `checkpoint_time`, `recovery_time`, all of them, as in :mod:`kernels.limits.utilisation`, and `peak_fleet`
        where it is known.

    Returns
    -------
    jax.Array
        [accelerator years]; infinite where it exceeds the largest number, NaN outside the domain.

    Notes
    -----
    Relative error at most 3e-5 in float32 and 2e-12 in float64, for fleets 1e3 to 1e8, times to 40 years and up to 60
    doublings in them (tests/kernels/limits/test_compute.py); where efficiency has a ceiling below 2 of a growing fleet,
    or rates are so steep that there are more than 60 doublings between two changes, quadrature resolves less.
    """
    known = _known(fleet_size=fleet_size, time=time, doubling_rate=doubling_rate, **terms)
    amount, exponent = _fleet_years(known)
    return jnp.where(_in_domain(known), special.scale(amount, exponent), jnp.nan)


@elementwise
def log_compute_ratio(
    fleet_size: ArrayLike,
    time: ArrayLike,
    doubling_rate: ArrayLike,
    *,
    reference_fleet: ArrayLike,
    reference_years: ArrayLike,
    **terms: ArrayLike,
) -> Array:
    """Natural logarithm of the compute ratio, c = 1 + fleet_years / (N0 T0).

    Parameters
    ----------
    fleet_size, time, doubling_rate, **terms : array_like
        As in :func:`fleet_years`.
    reference_fleet, reference_years : array_like
        As in :func:`kernels.compute_ratio`.

    Returns
    -------
    jax.Array
        [1], >= 0; NaN outside the domain.

    Notes
    -----
    Absolute error as the relative one of :func:`fleet_years`; it is finite where the ratio itself overflows.
    """
    known = _known(
        fleet_size=fleet_size,
        time=time,
        doubling_rate=doubling_rate,
        reference_fleet=reference_fleet,
        reference_years=reference_years,
        **terms,
    )
    amount, exponent = _fleet_years(known)
    n0, years = known["reference_fleet"], known["reference_years"]
    value = special.log2_1p_scaled(amount / n0 / years, exponent) * LN2
    return jnp.where(_in_domain(known), value, jnp.nan)


def log_ratio_of_years(fleet: Array, years: Array, reference_fleet: Array, reference_years: Array) -> Array:
    """ln(1 + n G / (N0 T0)) of a constant fleet, whose effective years G are finite."""
    return special.log2_1p((fleet / reference_fleet) * (years / reference_years)) * LN2


def _known(**arguments: ArrayLike) -> dict[str, Array]:
    return dict(zip(arguments, as_arrays(*arguments.values()), strict=True))


def _in_domain(known: dict[str, Array]) -> Array:
    inside = ~jnp.isnan(known["doubling_rate"])
    for name, value in known.items():
        if name in POSITIVE:
            inside &= value > 0.0
        elif name in NON_NEGATIVE:
            inside &= value >= 0.0
        elif name == "efficiency_headroom":
            inside &= value >= 1.0
    return inside


def _fleet_years(known: dict[str, Array]) -> tuple[Array, Array]:
    """Accelerators times effective years as a number and a power of two."""
    n, t, rate = known["fleet_size"], known["time"], known["doubling_rate"]
    losses = tuple(known[name] for name in LOSSES) if LOSSES[0] in known else None
    headroom = known.get("efficiency_headroom")
    if not {"fleet_growth", "power_capacity", "chip_stock"} & known.keys():
        if losses is not None:
            n = utilisation.effective_fleet(n, *losses)
        if headroom is not None:
            return n * plateau.effective_years(t, rate, headroom), jnp.zeros_like(t)
        # From the end of what rises, as in _of_exponentials: the largest power of two is kept apart.
        rises = rate > 0.0
        height = special.product(jnp.where(rises, t, 0.0), rate)
        whole = jnp.rint(lax.stop_gradient(height))
        return n * (special.exp2(height - whole) * equation.effective_years(t, jnp.where(rises, -rate, rate))), whole
    curves = [Exponential(special.log2(n), known.get("fleet_growth", jnp.zeros_like(n)))]
    if "power_capacity" in known:
        curves.append(power_cap(*(known[name] for name in POWER)))
    stock = Stock(*(known[name] for name in CHIPS)) if "chip_stock" in known else None
    if stock is None and losses is None and headroom is None:
        return _of_exponentials(curves, rate, t)
    if losses is not None:
        peak = lax.stop_gradient(_log2_peak(known, losses))
        curves.append(Exponential(peak, jnp.zeros_like(peak)))
    return _quadrature(Run(tuple(curves), stock, losses, rate, headroom), t)


def _log2_peak(known: dict[str, Array], losses: tuple[Array, ...]) -> Array:
    if "peak_fleet" not in known:
        return utilisation.log2_peak(*losses)
    peak = known["peak_fleet"]
    return jnp.where(peak < jnp.inf, special.log2(jnp.where(peak < jnp.inf, peak, 1.0)), ENDLESS)


def _of_exponentials(curves: list[Exponential], rate: Array, time: Array) -> tuple[Array, Array]:
    """The integral of the least of one or two exponentials, in closed form."""
    ends = [jnp.zeros_like(time), *(_crossing(a, b, time) for a, b in combinations(curves, 2)), time]
    parts = []
    for start, end in pairwise(ends):
        middle = 0.5 * (start + end)
        least = curves[0]
        for curve in curves[1:]:
            lower = curve.at(middle) < least.at(middle)
            least = Exponential(*(jnp.where(lower, a, b) for a, b in zip(curve, least, strict=True)))
        slope = least.rate + rate
        rises = slope > 0.0
        # From whichever end is higher: so it cannot overflow.
        height = least.level + special.product(jnp.where(rises, end, start), slope)
        parts.append((height, equation.effective_years(end - start, jnp.where(rises, -slope, slope))))
    most = parts[0][0]
    for height, _ in parts[1:]:
        most = jnp.maximum(most, height)
    most = jnp.rint(lax.stop_gradient(most))
    return sum((special.exp2(h - most) * years for h, years in parts), start=jnp.zeros_like(time)), most


def _quadrature(run: Run, time: Array) -> tuple[Array, Array]:
    """The integral of a run's speed, by Gauss–Legendre quadrature between the dates at which another curve is least."""
    dates = [_crossing(a, b, time) for a, b in combinations(run.curves, 2)]
    if run.stock is not None:
        dates += _meetings(run.stock, run.curves, time)
    if run.headroom is not None:
        dates.append(_bend(run.rate, run.headroom, time))
    inner = jnp.sort(jnp.stack([jnp.zeros_like(time), *dates]), axis=0) if dates else jnp.zeros_like(time)[None]
    starts, ends = inner, jnp.concatenate([inner[1:], time[None]])
    x, w = (jnp.asarray(v, time.dtype) for v in gauss_legendre(NODES))

    def over_piece(so_far: tuple[Array, Array], piece: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
        start, end = piece

        def at_node(so_far: tuple[Array, Array], node: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
            total, most = so_far
            height = run.log2_speed(start + (end - start) * (0.5 + 0.5 * node[0]))
            # In units of the largest power of two until now, so that nothing overflows.
            larger = jnp.maximum(most, jnp.rint(lax.stop_gradient(height)))
            added = (0.5 * node[1]) * (end - start) * special.exp2(height - larger)
            return (total * special.exp2(most - larger) + added, larger), None

        return lax.scan(at_node, so_far, (x, w))

    nothing = (jnp.zeros_like(time), jnp.full_like(time, -ENDLESS))
    return lax.scan(over_piece, nothing, (starts, ends))[0]


def _crossing(a: Exponential, b: Exponential, time: Array) -> Array:
    """Years at which two exponentials are equal, within a run; a constant, as the integrand is continuous there."""
    apart = a.rate - b.rate
    return _within((b.level - a.level) / jnp.where(apart == 0.0, 1.0, apart), apart != 0.0, time)


def _bend(rate: Array, headroom: Array, time: Array) -> Array:
    """Years at which exponential growth would be at the ceiling, where efficiency bends."""
    bends = (rate > 0.0) & (headroom > 1.0) & (headroom < jnp.inf)
    rise = special.log2(jnp.where(bends, headroom, 2.0))
    return _within(rise / jnp.where(bends, rate, 1.0), bends, time)


def _meetings(stock: Stock, curves: tuple[Exponential, ...], time: Array) -> list[Array]:
    """Years at which a stock and exponentials are equal: at most twice for one, before and after they are as steep."""
    stock, curves, time = lax.stop_gradient((stock, curves, time))
    turns = [_within(turn, turn < ENDLESS, time) for turn in map(stock.tangent_to, curves)]
    zero = jnp.zeros_like(time)
    ends = [pair for turn in turns for pair in ((zero, turn), (turn, time))]
    many = [curve for curve in curves for _ in range(2)]

    def meeting(curve: Exponential, low: Array, high: Array) -> Array:
        return _bisected(lambda s: stock.at(s) - curve.at(s), low, high)

    # All at once: as one loop they are compiled in a fraction of the time.
    stacked = Exponential(*(jnp.stack(part) for part in zip(*many, strict=True)))
    met = jax.vmap(meeting)(stacked, *(jnp.stack(part) for part in zip(*ends, strict=True)))
    return [*turns, *met]


def _bisected(gap: Callable[[Array], Array], low: Array, high: Array) -> Array:
    sign = gap(low) > 0.0

    def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        middle = 0.5 * (ends[0] + ends[1])
        same = (gap(middle) > 0.0) == sign
        return jnp.where(same, middle, ends[0]), jnp.where(same, ends[1], middle)

    low, high = lax.fori_loop(0, _STEPS, halve, (low, high))
    return 0.5 * (low + high)


def _within(date: Array, exists: Array, time: Array) -> Array:
    return lax.stop_gradient(jnp.clip(jnp.where(exists, date, 0.0), 0.0, time))
