"""The two conventions of the law, of the total and of the excess loss: their published fits, and what is mixed up.

One target has two answers, often years and never, so whatever answers a question about a target names both.
"""

import math
from dataclasses import dataclass

from sweep.config.reference import RUNS
from sweep.config.spec import Loss, SweepSpec
from sweep.models.parameters import INVERSES, stated_of

LLAMA = RUNS["llama-3.1-405b"]


@dataclass(frozen=True)
class Fit:
    """A published law: which loss it is of, its exponent of compute, and where it comes from."""

    loss: Loss
    scaling_exponent: float
    source: str


TOTAL = Fit("total", 0.050, "Kaplan et al. 2020, arXiv 2001.08361, compute-efficient (Brown et al. 2020: 0.048)")
EXCESS = Fit("excess", 0.178, "Besiroglu et al. 2024, arXiv 2404.10102, alpha beta / (alpha + beta)")


def reference_flop(reference_fleet: float, reference_years: float) -> float:
    """FLOP of a reference run whose accelerators do as much a year as those of Llama 3.1 405B did."""
    return LLAMA.flop * (reference_fleet * reference_years) / (LLAMA.fleet * LLAMA.years)


def floor_share(flop: float) -> float:
    """Share E / L(C) of the compute-optimal loss at C FLOP that no compute removes, by the fit of Besiroglu et al.

    L = E + A / N^alpha + B / D^beta, least for C = 6 N D, as configs/baseline_excess.toml has it.
    """
    e, a, b, alpha, beta = 1.8169, 482.0, 2085.4, 0.3478, 0.3658
    parameters = (alpha * a / (beta * b)) ** (1.0 / (alpha + beta)) * (flop / 6.0) ** (beta / (alpha + beta))
    return e / (e + a / parameters**alpha + b / (flop / (6.0 * parameters)) ** beta)


def law_caveats(spec: SweepSpec) -> list[str]:
    """Name pairings of convention and numbers that are usually a mistake, and targets that are out of reach.

    Parameters
    ----------
    spec : SweepSpec
        Resolved against a model of the law.
    """
    return [*_mixed(spec), *_small_fleet(spec), *_out_of_reach(spec)]


def _mixed(spec: SweepSpec) -> list[str]:
    caveats = []
    low, high = stated_of(spec, "scaling_exponent")
    if spec.loss == "total" and high > 0.1 and low <= 1.0:
        caveats.append(
            f'scaling_exponent up to {high:g} with loss = "total": exponents of the total loss are about 0.05; '
            "0.06 to 0.18 belong to the excess loss"
        )
    if spec.loss == "excess" and high > 0.25 and low <= 1.0:
        caveats.append(
            f'scaling_exponent up to {high:g} with loss = "excess": exponents of compute are about 0.06 to 0.18; '
            "those of parameters or tokens alone, alpha and beta, are about 0.3, and that of compute is "
            "alpha beta / (alpha + beta)"
        )
    if spec.loss == "excess" and low < 0.055:
        caveats.append(
            f'scaling_exponent down to {low:g} with loss = "excess": exponents of the excess loss are about 0.06 to '
            "0.18; 0.05 belongs to the total loss"
        )
    share = stated_of(spec, "irreducible_share")
    if spec.loss == "total" and share[1] > 0:
        caveats.append(
            f'irreducible_share up to {share[1]:g} with loss = "total": the total-loss law has no irreducible part'
        )
    if spec.loss == "excess" and share == (0.0, 0.0) and "relative_loss" in spec.outputs:
        caveats.append(
            'irreducible_share is 0 with loss = "excess": relative_loss is then the excess loss alone, '
            "which falls faster than the loss"
        )
    return caveats


def _small_fleet(spec: SweepSpec) -> list[str]:
    """A fleet or a reference that is written in thousands, beside one that is not."""
    fleet, reference = stated_of(spec, "fleet_size"), stated_of(spec, "reference_fleet")
    if fleet[1] < 100.0 <= reference[0]:
        return [
            f"fleet_size up to {fleet[1]:g} accelerators, against a reference of {reference[0]:g}: was a number of "
            f"thousands meant? then write {1000.0 * fleet[1]:g}, or {fleet[1] * reference[0]:g} if of reference fleets"
        ]
    if 1.0 < reference[1] < 100.0 and fleet[0] >= 1000.0:
        return [
            f"reference_fleet up to {reference[1]:g} accelerators, against a fleet of {fleet[0]:g} and more: was a "
            f"number of thousands meant? then write {1000.0 * reference[1]:g}"
        ]
    return []


def _out_of_reach(spec: SweepSpec) -> list[str]:
    """Targets that no compute reaches, or not the compute that a declining efficiency adds, or none in no time."""
    asked = [name for name in INVERSES if name in spec.outputs]
    target, floor = stated_of(spec, "target"), stated_of(spec, "irreducible_share")
    if not asked or target[0] >= 1.0:
        return []
    names = " and ".join(asked)
    caveats = []
    if target[0] <= floor[1]:
        caveats.append(
            f"target {_ends(target)} with an irreducible_share {_ends(floor, high=True)}: the least reachable loss is "
            f"{floor[1]:g} of that at time 0, which no fleet, time or rate of progress passes, so {names} "
            f"{'is' if len(asked) == 1 else 'are'} inf (never) for a target at or below it"
        )
    rate = stated_of(spec, "doubling_rate")
    if "time_to_target" in asked and rate[0] < 0.0 and spec.model == "relative_loss":
        least = _least_in_decline(spec)
        if target[0] < least and target[1] > floor[1]:
            caveats.append(
                f"target {_ends(target)} with a doubling_rate {_ends(rate)} 1/year: efficiency that declines adds no "
                f"more than so much compute, the least reachable loss is then {least:.6g} of that at time 0, so "
                "time_to_target is inf (never) below it"
            )
    rest = [name for name in asked if name != "time_to_target"]
    if rest and stated_of(spec, "time")[0] == 0.0:
        caveats.append(
            f"time from 0 on: the loss at time 0 is 1, so {' and '.join(rest)} is inf there for every target"
        )
    return caveats


def _least_in_decline(spec: SweepSpec) -> float:
    """Loss after endless time, in the corner of a sweep where least compute is added and the law removes least."""
    rate, fleet = stated_of(spec, "doubling_rate")[0], stated_of(spec, "fleet_size")[0]
    reference = stated_of(spec, "reference_fleet")[1] * stated_of(spec, "reference_years")[1]
    ratio = 1.0 + fleet / (reference * -rate * math.log(2.0))
    share = stated_of(spec, "irreducible_share")[1]
    return share + (1.0 - share) * ratio ** -stated_of(spec, "scaling_exponent")[0]


def _ends(span: tuple[float, float], high: bool = False) -> str:
    """Say where a range ends: "of 0.5", "down to 0.5" or "up to 0.5"."""
    end = span[1] if high else span[0]
    return f"of {end:g}" if span[0] == span[1] else f"{'up' if high else 'down'} to {end:g}"
