"""The exact Pareto frontier of a sweep, of any size: which of its points no other one beats in every objective."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from sweep.config.statistic import Condition, conditions_of, refuse_subnormal
from sweep.engine.evaluate import device_count
from sweep.engine.progress import Progress, unreported
from sweep.errors import SpecError, unknown
from sweep.models.model import Model
from sweep.models.problem import Problem
from sweep.plan.blocks import FIXED_BYTES, budget_of
from sweep.questions.frontier.chances import draws_of, with_chances
from sweep.questions.frontier.labels import dataset_of
from sweep.questions.frontier.over_draws import reduced
from sweep.questions.frontier.pieces import Content, Key, Piece, Values
from sweep.questions.frontier.running_front import Front, room_of
from sweep.questions.frontier.scan import Objective, Scan
from sweep.questions.frontier.sources import Source, content_of, opened
from sweep.questions.frontier.thinning import load_moocore

MOST_OBJECTIVES = 6
MOST_FRONTIERS = 100_000
TOGETHER = 64  # pieces that are looked at together, where they last and there is room
BLOCK_BYTES = 10 * 2**26  # of a budget that the blocks of a device take, at most
LEAST_LEFT = 2**24  # bytes that the fronts take in any case: part of what a run takes whatever its size


def frontier(
    source: Source,
    *,
    minimise: str | Sequence[str] = (),
    maximise: str | Sequence[str] = (),
    where: str | None = None,
    by: str | Sequence[str] = (),
    most: int | None = None,
    keep_weakly: bool = False,
    hypervolume: Mapping[str, float] | None = None,
    chance: bool = True,
    model: Model | None = None,
    memory: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> xr.Dataset:
    """Points of a sweep that no other one beats: nowhere worse and somewhere better, among those that are allowed.

    Exact, and streamed: the values are looked at block by block and not kept, so that a sweep of 1e9 points needs no
    storage. A point with a NaN among its objectives is not on the frontier; infinities count as the numbers they are.

    Parameters
    ----------
    source : SweepSpec, Problem, xarray.Dataset or path
        A sweep that is not computed yet; the dataset of one, in memory, lazy (``engine="sweep"``) or of a store; the
        path of a store or of a config.
    minimise, maximise : str or sequence of str
        Outputs, axes or statistics, 1 to 6 in all. A spec is asked for outputs that it does not name too. Statistics of
        a spec, over draws of what is uncertain say, are evaluated first and held; beside them only outputs that no draw
        changes may be named.
    where : str, optional
        Conditions such as ``total_cost <= 1e9 and time <= 5``, of outputs or axes: other points do not count. They
        are compared as float64 would compare them.
    by : str or sequence of str
        Axes that are not decisions: one frontier for each of their values, or combination of values.
    most : int, optional
        Points to keep of each frontier: a choice among them so that each is nearly no worse than a chosen one. The
        attribute ``epsilon`` says how nearly, in normalised objectives.
    keep_weakly : bool
        Whether to keep all of the points that are equal in every objective, or the first in the order of the grid.
    hypervolume : mapping of str to float, optional
        Reference value of each objective: adds the hypervolume of each frontier, and what each point alone adds to
        it (both before `most` is applied). Needs moocore, the extra ``pareto``.
    chance : bool
        Where objectives are statistics over draws, whether to add ``chance_of_nondominance``, the share of the draws in
        each of which no other point beats the point in the outputs themselves; this takes a frontier for each draw. It
        is among the points at which the conditions hold, those on statistics too. Values that differ by rounding count
        as equal; the attribute ``equal`` says what that is.
    model : Model, optional
        Of a spec, a model of your own.
    memory : int, optional
        Budget in bytes for blocks and frontiers; by default half of the memory that this process may take. The result
        does not depend on it, but frontiers that it does not hold are refused.
    progress : callable, optional
        Called with a :class:`~sweep.engine.progress.Progress` after every block.

    Returns
    -------
    xarray.Dataset
        Along ``point``: the objectives and what is in the conditions; for each axis that they depend on its value, a
        coordinate, and its index in the grid, ``<axis>_index``; ``is_knee``; with `hypervolume`, that and
        ``hypervolume_contribution``. Sorted by the values of `by`, then by the objectives, the best of the first one
        first. The attributes have those of the sweep, the question, how many points were considered, feasible (the
        conditions hold) and on the frontier.

    Raises
    ------
    SpecError
        One line, before anything is computed: a name that there is not, objectives that are given twice or are not
        1 to 6, an axis of `by` that changes nothing. Later: frontiers that the memory does not hold, or of
        more than 3e7 points.
    StoreError
        A path that is no store.
    ImportError
        Without moocore, for `hypervolume`.

    Warns
    -----
    UserWarning
        For values that were probably meant otherwise, and targets that are out of reach.
    """
    objectives = (*(Objective(n) for n in _names(minimise)), *(Objective(n, True) for n in _names(maximise)))
    budget = budget_of(memory)
    problem = opened(source, model)
    if isinstance(problem, Problem) and problem is not source:
        problem.warn(2)
    conditions = conditions_of(where) if where is not None else ()
    source, draw = reduced(problem, [o.name for o in objectives], conditions, budget)
    if draw is not None and chance:
        for name in (name for name in _names(by) if name in draw.numbers):
            raise SpecError(f"by: {name} numbers the draws, over which the objectives are statistics; drop it")
        least, greatest = ([*dict.fromkeys(draw.names[n] for n in _names(names))] for names in (minimise, maximise))
        drawn = draws_of(draw)
        # Values that are indexed know of the conditions on statistics; without any, a spec is evaluated more quickly.
        fronts_of_draws = frontier(
            drawn if draw.allowed is not None else draw.problem,
            minimise=least,
            maximise=greatest,
            where=draw.where,
            by=(*draw.numbers, *_names(by)),
            memory=budget,
        )
        budget -= fronts_of_draws.nbytes
    content = content_of(source)
    question = _checked(content, objectives, conditions, where or "", _names(by), most, hypervolume)
    if hypervolume is not None:
        load_moocore()
    blocks = min(budget, FIXED_BYTES + max(0, budget - FIXED_BYTES) // 2, BLOCK_BYTES * device_count())
    values = content.values(question.outputs, question.axes, question.by, blocks)
    left = LEAST_LEFT + budget - blocks
    fronts, dtypes = _fronts(values, question, keep_weakly, budget, left, progress or unreported)
    dataset = dataset_of(values, question, fronts, dtypes, most, hypervolume)
    if draw is None or not chance:
        return dataset
    return with_chances(dataset, fronts_of_draws, draw, drawn, greatest, _names(by))


@dataclass(frozen=True)
class Question:
    """What is asked of a sweep, checked."""

    objectives: tuple[Objective, ...]
    conditions: tuple[Condition, ...]
    where: str
    by: tuple[str, ...]
    outputs: tuple[str, ...]  # that objectives and conditions name
    axes: tuple[str, ...]  # that these depend on, or that they name themselves

    @property
    def extras(self) -> tuple[str, ...]:
        """Outputs that are in a condition only."""
        objectives = {objective.name for objective in self.objectives}
        return tuple(name for name in self.outputs if name not in objectives)

    @property
    def values(self) -> tuple[str, ...]:
        """Objectives and conditions, each once."""
        return tuple(dict.fromkeys((*(o.name for o in self.objectives), *(c.output for c in self.conditions))))


def _names(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _checked(
    content: Content,
    objectives: tuple[Objective, ...],
    conditions: tuple[Condition, ...],
    where: str,
    by: tuple[str, ...],
    most: int | None,
    hypervolume: Mapping[str, float] | None,
) -> Question:
    """Refuse what cannot be answered."""
    names = [objective.name for objective in objectives]
    if not 1 <= len(names) <= MOST_OBJECTIVES:
        raise SpecError(f"objectives: give 1 to {MOST_OBJECTIVES} names to minimise or maximise, got {len(names)}")
    for name in names:
        _refuse_unknown(content, "objective", name)
        if names.count(name) > 1:
            raise SpecError(f"objectives: {name} is given twice; give it once")
    for condition in conditions:
        _refuse_unknown(content, "where", condition.output)
    refuse_subnormal("where", conditions, content.dtype)
    used = tuple(dict.fromkeys((*names, *(condition.output for condition in conditions))))
    outputs = tuple(name for name in used if name not in content.lengths)
    if not outputs:
        raise SpecError(
            f"objectives: {', '.join(used)} are axes, so nothing trades against them; "
            f"add an output or a condition on one ({', '.join(content.depends)})"
        )
    needs = {dim for name in used for dim in content.depends.get(name, (name,))}
    for name in by:
        if name not in content.lengths:
            raise SpecError(f"by: {unknown('axis', name, content.lengths)}")
        if by.count(name) > 1:
            raise SpecError(f"by: {name} is given twice; give it once")
        if name in names:
            raise SpecError(f"by: {name} is an objective, so it cannot hold still; drop it from one of the two")
        if name not in needs:
            raise SpecError(f"by: neither objectives nor conditions depend on {name}; drop it")
    count = int(np.prod([content.lengths[name] for name in by], dtype=object)) if by else 1
    if count > MOST_FRONTIERS:
        raise SpecError(f"by: makes {count:,} frontiers, at most {MOST_FRONTIERS:,} are made; take shorter axes")
    if most is not None and most < len(objectives) + 1:
        raise SpecError(
            f"most: must be at least {len(objectives) + 1}, the ends of the frontier and a knee, got {most}"
        )
    if hypervolume is not None and set(hypervolume) != set(names):
        raise SpecError(f"hypervolume: needs a reference for each objective ({', '.join(names)}) and no others")
    axes = tuple(dim for dim in content.lengths if dim in needs)
    return Question(objectives, conditions, " ".join(where.split()), by, outputs, axes)


def _refuse_unknown(content: Content, kind: str, name: str) -> None:
    if name in content.lengths or name in content.depends:
        return
    if name in content.fixed:
        raise SpecError(f"{kind}: {name} is fixed at {content.fixed[name]:g} in this sweep; make it an axis")
    raise SpecError(f"{kind}: {unknown('output or axis', name, [*content.depends, *content.lengths])}")


def _fronts(
    values: Values,
    question: Question,
    keep_weakly: bool,
    budget: int,
    left: int,
    report: Callable[[Progress], None],
) -> tuple[dict[Key, Front], dict[str, np.dtype]]:
    """Stream the blocks into a front for each combination of values of `by`; give the types of the values too.

    Of the budget, in bytes, so much is left for the fronts.
    """
    plan = values.plan
    strides = np.cumprod([1, *(plan.shape[dim] for dim in reversed(values.dims))], dtype=object)[:-1]
    stride = dict(zip(reversed(values.dims), map(int, strides), strict=True))
    dtypes = {name: values.dtypes.get(name, np.dtype(np.float64)) for name in question.values}
    dtype = np.result_type(*dtypes.values())
    columns = len(question.objectives) + len(question.extras)
    room = room_of(budget, left, len(question.objectives), columns, len(values.dims), dtype.itemsize)
    scan = Scan(
        strides=tuple(stride[dim] for dim in plan.shape),
        objectives=question.objectives,
        conditions=question.conditions,
        extras=question.extras,
        dtype=dtype,
    )
    fronts: dict[Key, Front] = {}
    waiting: dict[Key, list[Piece]] = {}

    def take(key: Key) -> None:
        if key not in fronts:
            fronts[key] = scan.fresh(keep_weakly, room)
        scan.take(fronts[key], waiting.pop(key))

    began, points = time.perf_counter(), 0
    for done, (block, pieces) in enumerate(values.pieces(scan), 1):
        for key, piece in pieces:
            waiting.setdefault(key, []).append(piece)
            if not piece.lasting or len(waiting[key]) == TOGETHER:
                take(key)
        while sum(map(len, waiting.values())) > TOGETHER or _bytes_of(waiting) > room.waiting:
            take(next(iter(waiting)))
        points += block.points
        seconds = time.perf_counter() - began
        report(Progress(done, len(plan), points, plan.points, points, 0, seconds))
    for key in list(waiting):
        take(key)
    for front in fronts.values():
        front.settle()
    room.fronts.clear()  # so that each can go once it is told
    return {key: fronts[key] for key in sorted(fronts)}, dtypes


def _bytes_of(waiting: Mapping[Key, Sequence[Piece]]) -> int:
    return sum(piece.nbytes for pieces in waiting.values() for piece in pieces)
