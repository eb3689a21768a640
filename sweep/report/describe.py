"""Sweeps, stores and runs in words: lines of text for a terminal, which the caller prints."""

import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sweep.config.axis import Axis
from sweep.config.distribution import DRAW, DRAWN
from sweep.models.model import Model
from sweep.models.problem import Problem
from sweep.plan.blocks import Plan
from sweep.plan.jobs import Job
from sweep.report.layout import count, facts, in_bytes, shape, table, unit_text
from sweep.results.metadata import reference_of, statistic_of, variable_attributes

if TYPE_CHECKING:
    from pathlib import Path

    from sweep.engine.progress import Progress

MOST_FAULTS = 100


def describe_sweep(problem: Problem, jobs: Sequence[Job], memory: int) -> Iterator[str]:
    """Everything known of a sweep before it runs.

    Parameters
    ----------
    problem : Problem
        The sweep.
    jobs : sequence of Job
        Of a run into a store.
    memory : int
        Budget in bytes, half of which a result in memory may take.
    """
    model, spec = problem.model, problem.spec
    yield from facts(
        [
            ("config", spec.path),
            ("title", spec.title),
            ("model", f"{model.name}, fingerprint {problem.fingerprint}"),
            ("equation", model.equation),
            ("source", model.source),
            ("assumes", model.assumptions),
            ("loss", spec.loss or ""),
            ("reference", reference_of(problem)),
        ]
    )
    needed = model.needed(spec.outputs)
    yield from ("", "parameters", *table(_parameter_rows(problem, needed)))
    idle = [name for name in spec.fixed if name not in needed]
    if idle:
        yield f"  not needed by these outputs: {', '.join(idle)}"
    if spec.statistics:
        rows = sorted(row for job in jobs for row in _statistic_rows(problem, job))
        yield from ("", "statistics", *table(row[1:] for row in rows), "")
    else:
        yield from ("", "outputs", *table(_output_rows(jobs[0].plan, model, spec.dtype)), "")
    if not model.is_solved:
        yield from ("quantities", *table(_quantity_rows(problem)), "")
    plans = [job.plan for job in jobs]
    result = sum(plan.result_bytes for plan in plans)
    memory_text = f"{in_bytes(result)} in memory"
    if result > memory // 2:
        memory_text += f" (over half of the budget of {in_bytes(memory)}, so it needs --store)"
    stored = in_bytes(sum(plan.stored_bytes for plan in plans))
    disk = f"at most {stored} on disk, {in_bytes(shutil.disk_usage('.').free)} free here"
    yield from facts(
        [("points", f"{spec.points:,} {'; '.join(map(_work, jobs))}"), ("bytes", f"{memory_text}; {disk}")]
    )


def _work(job: Job) -> str:
    """Say how the points of a job are cut, and what they are reduced to."""
    reduces = job.reduces
    sides = " x ".join(f"{n:,}" for n in job.plan.block_shape) or "one number"
    if reduces is None:
        return f"in {count(len(job.plan), 'block')} of {sides}"
    parts = f" in {reduces.parts:,} parts each" if reduces.parts > 1 else ""
    along = " x ".join(reduces.shape) or "no axis"
    return f"along {along} reduced to {count(len(job.plan), 'tile')} of {sides}{parts}, for {', '.join(reduces.names)}"


def describe_store(
    attributes: Mapping[str, Any],
    plans: Sequence[Plan],
    missing: Sequence[Sequence[int]],
    begun: Mapping[tuple[int, int], tuple[int, Any]],
    stored: int,
) -> Iterator[str]:
    """How far a store is and what it holds.

    Parameters
    ----------
    attributes : mapping
        Its attributes.
    plans : sequence of Plan
        Read back from it.
    missing : sequence of sequence of int
        Of each plan, the numbers of the blocks that are not stored.
    begun : mapping
        Of tiles in progress, how many parts have been reduced.
    stored : int
        Bytes it takes on disk.
    """
    spec = json.loads(attributes["spec"])
    total, left = sum(map(len, plans)), sum(map(len, missing))
    state = "complete" if not left else "not complete; the run that began it goes on with the same command"
    if not left and not attributes["complete"]:
        state = "every block is stored; run it once more to mark it complete"
    # Rounded down, so that 100 % means all.
    points = sum(plan.points for plan in plans)
    undone = sum(plan.block(number).points for plan, numbers in zip(plans, missing, strict=True) for number in numbers)
    percent = math.floor(1000 * (points - undone) / points) / 10
    parts = sum(parts for parts, _ in begun.values())
    axes = {name: Axis(**axis) for name, axis in spec["axes"].items()}
    amounts = [("points", f"{points - undone:,} of {points:,}")]
    if "statistics" in spec:
        amounts = [("points", f"{math.prod(map(len, axes.values())):,}, of which only statistics are kept")]
        amounts.append(("results", f"{points - undone:,} of {points:,}"))
    yield from facts(
        [
            ("state", state),
            ("blocks", f"{total - left:,} of {total:,}, {percent:g} %"),
            ("begun", f"{count(len(begun), 'tile')}, {count(parts, 'part')} reduced" if begun else ""),
            *amounts,
            ("on disk", in_bytes(stored)),
            ("title", attributes["title"]),
            ("model", f"{spec['model']}, fingerprint {attributes['fingerprint']}"),
            ("loss", spec["loss"] or ""),
            ("reference", attributes.get("reference", "")),
            ("equation", attributes["equation"]),
            ("fixed", attributes["fixed"]),
            ("dtype", attributes["dtype"]),
            ("device", attributes["device"]),
            ("versions", ", ".join(f"{k[8:]} {v}" for k, v in attributes.items() if k.startswith("version_"))),
            ("caveats", attributes["caveats"]),
        ]
    )
    yield from ("", "axes", *table((name, _span(axis)) for name, axis in axes.items()))
    rows = ((name, shape(dims, plan.lengths(name))) for plan in plans for name, dims in plan.variables.items())
    yield from ("", "statistics" if "statistics" in spec else "outputs", *table(rows))


def describe_faults(path: "Path", faults: Sequence[tuple["Path", str]], checked: bool) -> Iterator[str]:
    """What is missing or damaged in a store all of which was read; `checked` says whether it has checksums."""
    yield ""
    for file, fault in faults[:MOST_FAULTS]:
        yield f"{fault:<10}{file.relative_to(path)}"
    if len(faults) > MOST_FAULTS:
        yield f"... and {count(len(faults) - MOST_FAULTS, 'file')} more"
    if not checked:
        yield "check     begun before stores had checksums: damage in it may go unseen"
    elif not faults:
        yield "check     every file holds what was written there"
    if faults:
        kinds = (f"{sum(fault == kind for _, fault in faults):,} {kind}" for kind in ("damaged", "missing"))
        yield f"check     {', '.join(kinds)}; the command that wrote this store computes them again"


def describe_step(now: "Progress") -> str:
    """One line for a run in progress."""
    text = f"{now.blocks:,} of {count(now.total_blocks, 'block')}"
    if not now.new_points or not now.seconds:
        return text
    left = (now.total_points - now.points) * now.seconds / now.new_points
    return f"{text}, {now.new_points / now.seconds:.3g} points/s, {in_bytes(now.new_bytes)}, {_duration(left)} left"


def describe_run(last: "Progress", outputs: int, nbytes: int, paths: Sequence[str], reference: str) -> str:
    """One line for a run that has ended: of so many outputs and bytes of values, where they are, and its reference."""
    amount = f"{count(last.total_points, 'point')}, {count(outputs, 'output')}"
    beside = f"; reference {reference}" if reference else ""
    where = " and ".join(paths)
    if not last.new_points:
        return f"complete already, nothing was computed: {amount}, {in_bytes(nbytes)}; in {where}{beside}"
    if last.new_points < last.total_points:
        amount = f"{last.new_points:,} of {amount}, the others were stored already"
    where = f"written to {where}" if paths else "nothing was stored, --store PATH or --netcdf PATH keeps it"
    rate = last.new_points / max(last.seconds, 1e-9)
    return f"{amount}: {last.seconds:.3g} s, {rate:.3g} points/s, {in_bytes(nbytes)}; {where}{beside}"


def _parameter_rows(problem: Problem, needed: frozenset[str]) -> Iterator[tuple[str, ...]]:
    """Axes in the order of the file, then the values that are held."""
    spec = problem.spec
    for name, axis in spec.axes.items():
        if name == DRAW and spec.distributions:
            yield name, str(spec.draws), "", ""
        elif name not in DRAWN or not spec.distributions:
            yield name, _span(axis), unit_text(problem.model.parameter(name).unit), axis.source
    for name, distribution in spec.distributions.items():
        yield name, str(distribution), unit_text(problem.model.output(name).unit), distribution.source
    for name, fixed in spec.fixed.items():
        if name in needed:
            yield name, f"{fixed.value:.8g}", unit_text(problem.model.parameter(name).unit), fixed.source


def _output_rows(plan: Plan, model: Model, dtype: str) -> Iterator[tuple[str, ...]]:
    for name, dims in plan.variables.items():
        lengths = plan.lengths(name)
        size = in_bytes(plan.itemsize * math.prod(lengths))
        yield name, shape(dims, lengths), f"{dtype}, {size}", unit_text(model.output(name).unit)


def _quantity_rows(problem: Problem) -> Iterator[tuple[str, ...]]:
    """Quantities in the order in which they are evaluated, where, over which axes, and how many values there are."""
    lengths, stages = problem.spec.shape, problem.stages
    places = {name: "host, float64" for table in stages.tables for name in table.outputs}
    places |= dict.fromkeys((quantity.name for quantity in stages.finish.quantities), "device")
    for name, place in places.items():
        dims = [dim for dim in lengths if dim in stages.spans[name]]
        number = math.prod(lengths[dim] for dim in dims)
        yield name, place, " x ".join(dims) or "one number", f"{number:,}" if dims else ""


def _statistic_rows(problem: Problem, job: Job) -> Iterator[tuple[int, str, str, str, str]]:
    """Position in the file, name, what it is, shape and unit of each variable of a job."""
    order = list(problem.spec.statistics)
    for name, dims in job.plan.variables.items():
        attributes = variable_attributes(problem, name)
        what = f"{attributes['long_name']}, over {', '.join(() if job.reduces is None else job.reduces.over)}"
        yield (
            order.index(statistic_of(problem.spec, name)),
            name,
            what,
            shape(dims, job.plan.lengths(name)),
            unit_text(attributes["units"]),
        )


def _span(axis: Axis) -> str:
    """Say what an axis holds."""
    if axis.values is None:
        return f"{axis.start:.8g} to {axis.stop:.8g}, {len(axis):,} {'log-spaced' if axis.is_log else 'evenly spaced'}"
    shown = [f"{value:.8g}" for value in (axis.values if len(axis) <= 6 else (*axis.values[:2], axis.values[-1]))]
    if len(axis) > 6:
        shown.insert(2, "...")
    return f"{', '.join(shown)} ({count(len(axis), 'value')})"


def _duration(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
