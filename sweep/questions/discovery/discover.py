"""Scenario discovery: which region of what is uncertain leads to an outcome of interest, as limits of its parameters.

B. P. Bryant and R. J. Lempert, Thinking inside the box, Technological Forecasting and Social Change 77, 34-49 (2010):
the boxes of :mod:`sweep.questions.discovery.prim`, judged by their coverage, density and support, and their limits by
quasi-p-values. Here these are taken on draws that the boxes have not seen.
"""

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import and_

import numpy as np
import xarray as xr

from kernels.statistics import compare
from sweep.config.distribution import DRAWN, REPLICATE
from sweep.config.spec import Fixed, SweepSpec
from sweep.config.statistic import Condition, conditions_of, refuse_subnormal
from sweep.engine.loop import run
from sweep.engine.progress import Progress
from sweep.errors import Caution, SpecError, unknown
from sweep.models.model import Model
from sweep.models.problem import Problem, parts_of
from sweep.models.sampling import drawn, sampling_of
from sweep.plan.blocks import FIXED_BYTES, budget_of, in_words
from sweep.questions.discovery import prim
from sweep.questions.discovery.labels import dataset_of

MOST_DRAWS = 2**22
# Bytes that are taken for each draw to peel boxes, and for each parameter of it: a bound on what was measured.
DRAW_BYTES, PARAMETER_BYTES = 40, 48
METHOD = (
    f"patient rule induction (Friedman and Fisher 1999): slabs of {prim.PEEL:g} of the draws are peeled off; the "
    "limits of the box chosen are then moved to where lying inside says most of the outcome, and dropped where they "
    f"say less than {prim.COST:g} ln(draws) in twice the log-likelihood"
)


def discover(
    spec: SweepSpec | Problem,
    where: str,
    *,
    at: Mapping[str, float] | None = None,
    coverage: float = 0.0,
    density: float = 0.0,
    model: Model | None = None,
    memory: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> xr.Dataset:
    """Limits of uncertain parameters within which an outcome of interest lies: a sequence of boxes, and the best.

    The boxes are fitted to the first replicate of the draws and checked on the others, or on a second one where there
    is but one. A draw whose outputs are NaN is not of interest.

    Parameters
    ----------
    spec : SweepSpec or Problem
        With distributions. Those that the outcome does not depend on are left out.
    where : str
        The outcome: conditions such as ``relative_loss < 0.6 and total_cost < 1e9``, of outputs of the model, whether
        the spec names them or not. They are compared as float64 would compare them.
    at : mapping of str to float, optional
        Value at which each axis that the outcome depends on is held, any that the parameter may have: what is to be
        decided is not uncertain.
    coverage : float
        Least coverage of the chosen box, in [0, 1].
    density : float
        Least density of the chosen box, in [0, 1].
    model : Model, optional
        One of your own, instead of the shipped one that the spec names.
    memory : int, optional
        Budget in bytes; by default half of the memory that this process may take.
    progress : callable, optional
        Called with a :class:`~sweep.engine.progress.Progress` after every block of the evaluation.

    Returns
    -------
    xarray.Dataset
        Along ``box``, first the one without limits, then one slab fewer each, last the chosen one (``is_chosen``):
        ``limits`` of each ``parameter``, ``low`` and ``high``, both inside, in the parameter's ``unit``, infinite where
        there is none, and ``quantile``, the share of all draws below them; ``coverage`` (share of the interesting draws
        that lie inside), ``density`` (share of the draws inside that are interesting), ``support`` (share of all draws
        that lie inside), and the same of the fresh draws, ``fresh_coverage``, ``fresh_density``, ``fresh_support``, NaN
        where a share is of nothing; for the chosen box and each parameter ``quasi_p_value``, of the fresh draws.

    Raises
    ------
    SpecError
        One line: no distributions, a condition that cannot be read or is of no output, an axis that is not held, an
        outcome that all draws have or none, a coverage and density that no box has, more than 4.2e6 draws, or than
        fit the memory.

    Warns
    -----
    UserWarning
        For values that were probably meant otherwise, and targets that are out of reach.
    """
    for name, share in (("coverage", coverage), ("density", density)):
        if not 0.0 <= share <= 1.0:
            raise SpecError(f"{name}: must be in [0, 1], got {share:g}")
    conditions, problem = _question(*parts_of(spec, model), where, at or {})
    asked = problem.spec
    _refuse_more_than_memory(asked, memory)
    told = spec.caveats if isinstance(spec, Problem) else ()
    for caveat in (caveat for caveat in problem.caveats if caveat not in told):
        warnings.warn(caveat, Caution, stacklevel=2)
    values = run(problem, memory=memory, progress=progress)
    first, fresh = (_draws(values.isel({REPLICATE: part}), asked, conditions) for part in (slice(1), slice(1, None)))
    _refuse_trivial(values.isel({REPLICATE: 0}), first.hits, where, conditions)
    limits, chosen = _fitted(first, coverage, density)
    units = {name: problem.model.output(name).unit for name in asked.distributions}
    dataset = dataset_of(limits, chosen, first, fresh, units)
    dataset.attrs = values.attrs | {
        "kind": "discovery",
        "where": " ".join(where.split()),
        "draws_fitted": len(first.hits),
        "draws_interesting": int(first.hits.sum()),
        "draws_fresh": len(fresh.hits),
        "least_coverage": coverage,
        "least_density": density,
        "method": METHOD,
    }
    return dataset


def _question(
    spec: SweepSpec, model: Model, where: str, at: Mapping[str, float]
) -> tuple[tuple[Condition, ...], Problem]:
    """Refuse what cannot be answered; give the sweep of what the outcome depends on, along draws and replicates."""
    if not spec.distributions:
        raise SpecError("distributions: there are none, so nothing is uncertain; give some, or use sweep frontier")
    model.refuse_to_evaluate()
    for table in ("axes", "fixed"):
        for name in getattr(spec, table):
            if name not in DRAWN:
                model.check_name(table, name, spec)
    drawn(model, spec)  # which refuses what cannot be drawn
    conditions = _conditions(where, model, spec.dtype)
    outputs = tuple(dict.fromkeys(condition.output for condition in conditions))
    needs = model.needed(outputs)
    distributions = {name: distribution for name, distribution in spec.distributions.items() if name in needs}
    named = " and ".join(outputs)
    if not distributions:
        raise SpecError(f"where: {named} depends on nothing that is uncertain ({', '.join(spec.distributions)})")
    draws = sampling_of(spec)
    if draws.number > MOST_DRAWS:
        raise SpecError(f"draws.number: at most {MOST_DRAWS:,} are looked at, got {draws.number:,}")
    pairs = tuple(pair for pair in draws.correlations if set(pair.between) <= set(distributions))
    update = {"correlations": pairs, "replicates": max(2, draws.replicates)}
    asked = SweepSpec(
        model=spec.model,
        loss=spec.loss,
        reference=spec.reference,
        outputs=outputs,
        fixed={**spec.fixed, **_fixed_at(spec, at, needs, named)},
        distributions=distributions,
        draws=draws.model_copy(update=update),
        dtype=spec.dtype,
        title=spec.title,
    )
    return conditions, Problem.of(asked, model)


def _refuse_more_than_memory(asked: SweepSpec, memory: int | None) -> None:
    """Refuse draws that do not fit the budget, with their outputs, and again side by side to be peeled."""
    draws, parameters = sampling_of(asked), len(asked.distributions)
    number, replicates = draws.number, draws.replicates
    values = replicates * (2 * parameters + len(asked.outputs)) * np.dtype(asked.dtype).itemsize
    needed = FIXED_BYTES + number * (values + DRAW_BYTES + PARAMETER_BYTES * parameters)
    budget = budget_of(memory)
    if needed > budget:
        raise SpecError(
            f"memory: {number:,} draws of {parameters} parameters, {replicates} times, take about "
            f"{-(-needed // 10**6):,} MB, more than the budget of {in_words(budget)}; give fewer or more memory"
        )


def _conditions(where: str, model: Model, dtype: str) -> tuple[Condition, ...]:
    """Read an outcome, of outputs of a model."""
    conditions = conditions_of(where)
    known = [output.name for output in model.outputs]
    for condition in conditions:
        if condition.output not in known:
            raise SpecError(f"where: {unknown('output', condition.output, known)}")
    refuse_subnormal("where", conditions, dtype)
    return conditions


def _fixed_at(spec: SweepSpec, at: Mapping[str, float], needs: frozenset[str], named: str) -> dict[str, Fixed]:
    """Give the value at which each axis is held that the outcome depends on."""
    axes = {name: axis for name, axis in spec.axes.items() if name not in DRAWN}
    for name in at:
        if name not in axes:
            raise SpecError(f"at: {unknown('axis', name, axes)}" if axes else f"at: {name} is no axis, there are none")
        if name not in needs:
            raise SpecError(f"at: {named} does not depend on {name}; drop it")
    fixed = {}
    for name, axis in axes.items():
        if name not in needs:
            continue
        low, high = axis.bounds()
        if name not in at and low < high:
            raise SpecError(
                f"at: {named} depends on the axis {name}, which is decided, not drawn; "
                f"hold it at one value, such as {name}={high:.6g}"
            )
        fixed[name] = Fixed(value=at.get(name, low), source="held")
    return fixed


@dataclass(frozen=True)
class Sample:
    """Values of the uncertain parameters, (parameters, draws), and which draws are interesting, (draws,)."""

    columns: np.ndarray
    hits: np.ndarray


def _draws(values: xr.Dataset, asked: SweepSpec, conditions: tuple[Condition, ...]) -> Sample:
    columns = np.stack([values[name].values.reshape(-1) for name in asked.distributions])
    compared = (compare(values[c.output].values.reshape(-1), c.sign, c.bound) for c in conditions)
    return Sample(columns, reduce(and_, compared))


def _refuse_trivial(values: xr.Dataset, hits: np.ndarray, where: str, conditions: tuple[Condition, ...]) -> None:
    """Refuse an outcome that every draw has, or none."""
    if hits.any() and not hits.all():
        return
    ranges = []
    for name in dict.fromkeys(condition.output for condition in conditions):
        numbers = values[name].values[~np.isnan(values[name].values)]
        ranges.append(f"{name} is {numbers.min():.6g} to {numbers.max():.6g}" if numbers.size else f"{name} is NaN")
    which = "all" if hits.any() else "none"
    raise SpecError(f"where: {which} of the {len(hits):,} draws have {where.strip()}, where {' and '.join(ranges)}")


def _fitted(draws: Sample, coverage: float, density: float) -> tuple[np.ndarray, np.ndarray]:
    """Peel; choose a box and move its limits."""
    columns, hits = draws.columns, draws.hits
    orders = prim.ordered(columns)
    peeled, inside, interesting = prim.peeled(columns, hits, orders)
    score, cost = prim.evidence(hits, coverage, density), prim.COST * math.log(len(hits))
    scores = score(inside, interesting)
    number = int(np.argmax(scores))
    if scores[number] == -np.inf:
        densest = (interesting / inside)[interesting >= coverage * hits.sum()].max()
        raise SpecError(
            f"density: no box has a density of {density:g} and a coverage of {coverage:g}; with that coverage the "
            f"densest has {densest:.4g}"
        )
    return peeled, prim.moved(columns, hits, orders, peeled[number], score, cost)
