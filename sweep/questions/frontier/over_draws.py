"""Frontiers where outputs are uncertain: statistics over the draws as objectives, and chances beside them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from kernels.statistics import compare
from sweep.config.distribution import DRAWN, REPLICATE
from sweep.config.kinds import QUANTILE
from sweep.config.spec import SweepSpec
from sweep.config.statistic import Condition
from sweep.engine.loop import run
from sweep.errors import SpecError
from sweep.models.problem import Problem
from sweep.results.replicates import pooled

ALLOWED = "allowed_by_statistics"


@dataclass(frozen=True)
class Draw:
    """What a frontier under uncertainty is of in each draw by itself.

    Attributes
    ----------
    problem : Problem
        Of the values, draw by draw.
    names : dict of str to str
        The output, or axis, that each objective is a statistic of, or is.
    where : str or None
        The conditions, those on statistics as one on `allowed`.
    allowed : xarray.DataArray or None
        1 where the conditions on statistics hold, by the name in :data:`ALLOWED`; None without any.
    """

    problem: Problem
    names: dict[str, str]
    where: str | None
    allowed: xr.DataArray | None

    @property
    def spec(self) -> SweepSpec:
        """That of the problem."""
        return self.problem.spec

    @property
    def numbers(self) -> tuple[str, ...]:
        """The axes that the draws make."""
        return tuple(name for name in DRAWN if name in self.spec.axes)


def reduced(
    source: Problem | xr.Dataset, objectives: Sequence[str], conditions: Sequence[Condition], memory: int | None
) -> tuple[Problem | xr.Dataset, Draw | None]:
    """Evaluate the statistics that a frontier asks for, if its source is a problem that has them.

    Parameters
    ----------
    source : Problem or xarray.Dataset
        What the frontier is of.
    objectives : sequence of str
        Names of statistics of the spec, outputs or axes.
    conditions : sequence of Condition
        Of any of these.
    memory : int, optional
        Budget in bytes.

    Returns
    -------
    source, draw
        The dataset of the statistics and what else is asked for, and what they are of; or the source as it was, and
        None, where no statistic is asked for.

    Raises
    ------
    SpecError
        Where what is asked for has a value for each draw.
    """
    asked = dict.fromkeys((*objectives, *(condition.output for condition in conditions)))
    if not isinstance(source, Problem) or not set(asked) & set(source.spec.statistics):
        return source, None
    spec = source.spec
    outputs = {output.name: output for output in source.model.outputs}
    plain = [name for name in asked if name in outputs and name not in spec.statistics]
    for name in plain:
        if set(outputs[name].parameters) & set(DRAWN):
            raise SpecError(
                f"objectives: {name} has a value for each draw, and others are statistics; name a statistic of it "
                f"({', '.join(spec.statistics)})"
            )
    wanted = {name: spec.statistics[name] for name in asked if name in spec.statistics}
    for name, statistic in wanted.items():
        probabilities = statistic.probabilities or ()
        if len(probabilities) > 1:
            raise SpecError(
                f"objectives: {name} has {len(probabilities)} probabilities, among which a frontier would choose; "
                "give a statistic with one"
            )
    statistics = run(source.derived(**_only(wanted)), memory=memory)
    statistics = pooled(statistics) if REPLICATE in statistics.dims else statistics
    if plain:
        statistics = _beside(statistics, source, outputs, plain, memory)
    outputs_of = {name: wanted[name].output if name in wanted else name for name in objectives}
    of = {name: output for name, output in outputs_of.items() if output is not None}
    others = {dim for name in objectives if name in wanted for dim in wanted[name].over} - set(DRAWN)
    if len(of) < len(outputs_of) or not spec.distributions or others:
        return statistics, None
    values = {"outputs": tuple(dict.fromkeys(o for o in of.values() if o in outputs)), "statistics": {}}
    kept = [f"{c.output} {c.sign} {c.bound!r}" for c in conditions if c.output not in wanted]
    allowed = _allowed(statistics, [c for c in conditions if c.output in wanted])
    kept += [f"{ALLOWED} > 0"] if allowed is not None else []
    return statistics, Draw(source.derived(**values), of, " and ".join(kept) or None, allowed)


def _allowed(dataset: xr.Dataset, conditions: Sequence[Condition]) -> xr.DataArray | None:
    """Where conditions on statistics hold, 1, and where not, 0; None without any."""
    holds = None
    for name, sign, bound in conditions:
        statistic = dataset[name].squeeze(QUANTILE, drop=True) if QUANTILE in dataset[name].dims else dataset[name]
        here = statistic.copy(data=np.asarray(compare(statistic.values, sign, bound)))
        holds = here if holds is None else holds & here
    return None if holds is None else holds.astype(np.float64)


def _only(statistics: dict[str, Any]) -> dict[str, Any]:
    outputs = dict.fromkeys(output for statistic in statistics.values() for output in statistic.uses)
    return {"statistics": statistics, "outputs": tuple(outputs)}


def _beside(
    statistics: xr.Dataset,
    problem: Problem,
    outputs: dict[str, Any],
    plain: Sequence[str],
    memory: int | None,
) -> xr.Dataset:
    """Add outputs that do not depend on the draws."""
    needs = {name for output in plain for name in outputs[output].parameters}
    axes = {name: axis for name, axis in problem.spec.axes.items() if name in needs}
    if not axes:
        raise SpecError(f"objectives: {', '.join(plain)} is the same everywhere in this sweep; drop it")
    certain = {"axes": axes, "distributions": {}, "draws": None, "statistics": {}, "outputs": tuple(plain)}
    values = run(replace(problem, model=problem.source).derived(**certain), memory=memory)
    return xr.merge([statistics, values], compat="equals", join="exact", combine_attrs="override")
