"""Sweeps, stores, results and runs in words: lines of text for a terminal, which the caller prints."""

import itertools
import json
import math
import shutil
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sweep.config.axis import Axis
from sweep.config.distribution import DRAW, DRAWN
from sweep.models.front_loading import FRONT_LOADING, MOVED, STRATEGIES
from sweep.models.model import Model
from sweep.models.problem import Problem
from sweep.plan.blocks import Plan
from sweep.plan.jobs import Job
from sweep.results.metadata import named_reference, reference_of, statistic_of, variable_attributes

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr

    from sweep.engine.loop import Progress
    from sweep.report.answers import Answers, Law

# Words for a target that is out of reach, and for one that is reached without compute.
TARGET_WORDS = {
    "time_to_target": ("never", "at once"),
    "fleet_for_target": ("by no fleet", "none needed"),
    "rate_for_target": ("at no rate", "at any rate"),
}
BELOW_ONE = (
    "a part of one accelerator would do by the equation, in which what runs gains all progress for nothing: buy one"
)
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
    yield from _facts(
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
    yield from ("", "parameters", *_table(_parameter_rows(problem)))
    idle = [name for name in spec.fixed if name not in problem.needed]
    if idle:
        yield f"  not needed by these outputs: {', '.join(idle)}"
    if spec.statistics:
        rows = sorted(row for job in jobs for row in _statistic_rows(problem, job))
        yield from ("", "statistics", *_table(row[1:] for row in rows), "")
    else:
        yield from ("", "outputs", *_table(_output_rows(jobs[0].plan, model, spec.dtype)), "")
    plans = [job.plan for job in jobs]
    result = sum(plan.result_bytes for plan in plans)
    held = f"{in_bytes(result)} in memory"
    if result > memory // 2:
        held += f" (over half of the budget of {in_bytes(memory)}, so it needs --store)"
    stored = in_bytes(sum(plan.stored_bytes for plan in plans))
    disk = f"at most {stored} on disk, {in_bytes(shutil.disk_usage('.').free)} free here"
    yield from _facts([("points", f"{spec.points:,} {'; '.join(map(_work, jobs))}"), ("bytes", f"{held}; {disk}")])


def _work(job: Job) -> str:
    """Say how the points of a job are cut, and what they are reduced to."""
    found = job.reduces
    sides = " x ".join(f"{n:,}" for n in job.plan.block_shape) or "one number"
    if found is None:
        return f"in {count(len(job.plan), 'block')} of {sides}"
    parts = f" in {found.parts:,} parts each" if found.parts > 1 else ""
    along = " x ".join(found.shape) or "no axis"
    return f"along {along} reduced to {count(len(job.plan), 'tile')} of {sides}{parts}, for {', '.join(found.names)}"


def describe_store(
    found: Mapping[str, Any],
    plans: Sequence[Plan],
    missing: Sequence[Sequence[int]],
    begun: Mapping[tuple[int, int], tuple[int, Any]],
    stored: int,
) -> Iterator[str]:
    """How far a store is and what it holds.

    Parameters
    ----------
    found : mapping
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
    spec = json.loads(found["spec"])
    total, left = sum(map(len, plans)), sum(map(len, missing))
    state = "complete" if not left else "not complete; the run that began it goes on with the same command"
    if not left and not found["complete"]:
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
    yield from _facts(
        [
            ("state", state),
            ("blocks", f"{total - left:,} of {total:,}, {percent:g} %"),
            ("begun", f"{count(len(begun), 'tile')}, {count(parts, 'part')} reduced" if begun else ""),
            *amounts,
            ("on disk", in_bytes(stored)),
            ("title", found["title"]),
            ("model", f"{spec['model']}, fingerprint {found['fingerprint']}"),
            ("loss", spec["loss"] or ""),
            ("reference", found.get("reference", "")),
            ("equation", found["equation"]),
            ("fixed", found["fixed"]),
            ("dtype", found["dtype"]),
            ("device", found["device"]),
            ("versions", ", ".join(f"{k[8:]} {v}" for k, v in found.items() if k.startswith("version_"))),
            ("caveats", found["caveats"]),
        ]
    )
    yield from ("", "axes", *_table((name, _span(axis)) for name, axis in axes.items()))
    rows = ((name, _shape(dims, plan.lengths(name))) for plan in plans for name, dims in plan.variables.items())
    yield from ("", "statistics" if "statistics" in spec else "outputs", *_table(rows))


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


def describe_result(dataset: "xr.Dataset") -> Iterator[str]:
    """Name, dimensions, range and unit of each variable in memory, and where the ends of the range are.

    The ends are in their order along the axes, not by size, so that a fleet that falls with the date reads as one.
    """
    rows = []
    for name, variable in {**dataset.coords, **dataset.data_vars}.items():
        is_result = name not in dataset.coords
        text, ends = _extremes(str(name), variable, is_result)
        places = " to ".join(_place(dataset, variable, end) for end in ends if is_result)
        unit = _unit(variable.attrs["units"])
        rows.append((str(name), _shape(map(str, variable.dims), variable.shape), text, unit, places and f"at {places}"))
    yield from _table(rows)


def _extremes(name: str, variable: "xr.DataArray", is_result: bool) -> tuple[str, list[int]]:
    """Say what a variable ranges over, and give the flat positions of the two ends, in their order."""
    values, unit = variable.values.ravel(), variable.attrs["units"]
    undefined = int(np.isnan(values).sum())
    endless = int(np.isposinf(values).sum()) if name in TARGET_WORDS else 0
    notes = [f"{endless:,} of {values.size:,} {TARGET_WORDS[name][0]}"] if endless else []
    notes += [f"{undefined:,} of {values.size:,} undefined"] if undefined else []
    note = f" ({', '.join(notes)})" if notes else ""
    if undefined + endless == values.size:
        return ("inf" if endless else "nan") + note, []
    # Without an array of positions, which would take more memory than the values.
    low, high = np.fmin.reduce(values), np.fmax.reduce(values)
    if endless:
        high = np.max(values, where=np.isfinite(values), initial=low)
    ends = sorted({int(np.argmax(values == end)) for end in (low, high)})
    below = " (less than one accelerator)" if unit == "accelerators" and is_result else ""
    texts = [f"{values[end]:.8g}" + (below if 0.0 < values[end] < 1.0 else "") for end in ends]
    return " to ".join(texts) + note, ends if len(ends) == 2 else []


def _place(dataset: "xr.Dataset", variable: "xr.DataArray", position: int) -> str:
    """Name the coordinates of a flat position of a variable."""
    index = np.unravel_index(position, variable.shape)
    return ", ".join(f"{dim} {float(dataset[dim][i]):.6g}" for dim, i in zip(variable.dims, index, strict=True))


def describe_answers(laws: "Sequence[Law]", found: "Sequence[Answers]", model: Model) -> Iterator[str]:
    """Answers to targets along each axis, under the law of the sweep and beside it under the other published ones.

    Parameters
    ----------
    laws, found : sequences
        From :func:`sweep.report.answers.answers`.
    model : Model
        Of the sweep.
    """
    for each in found:
        places = (f"{n} = {value:.4g} {_unit(model.parameter(n).unit)}".rstrip() for n, value in each.at.items())
        where = ", ".join(places)
        yield from ("", f"{each.output} along {each.axis}" + (f", at {where}" if where else "") + ":")
        head = (each.axis, f'loss = "{laws[0].loss}", as asked', *map(_heading, laws[1:]))
        columns = zip(each.columns, each.reasons, strict=True)
        cells = [[_answer(each.output, *cell) for cell in zip(*column, strict=True)] for column in columns]
        yield from _table([head, *zip((f"{value:.4g}" for value in each.values), *cells, strict=True)])
    if found:
        yield ""
        facts = [("below one", BELOW_ONE)] if any(_is_below_one(each) for each in found) else []
        for i, law in enumerate(laws):
            numbers = f"scaling_exponent {law.scaling_exponent:.4g}, irreducible_share {law.irreducible_share:.5g}"
            text = f'loss = "{law.loss}", {numbers}'
            facts.append(("beside" if i else "as asked", text + (f" ({law.source})" if law.source else "")))
        if laws[0].loss == "excess" and not laws[0].irreducible_share:
            facts.append(("target", "a share of the excess loss as asked, of the whole loss beside it"))
        yield from _facts(facts)


def _heading(law: "Law") -> str:
    return f'loss = "{law.loss}"' + (f", floor {law.irreducible_share:g}" if law.irreducible_share else ", no floor")


def _is_below_one(each: "Answers") -> bool:
    parts = [(column > 0.0) & (column < 1.0) for column in each.columns]
    return each.output == "fleet_for_target" and bool(np.any(parts))


def _answer(name: str, value: float, reason: str) -> str:
    """One answer to a target in words."""
    never, met = TARGET_WORDS[name]
    if math.isnan(value):
        return "undefined"
    if math.isinf(value) and value > 0.0:
        return f"{never} ({reason})"
    if value == (-math.inf if name == "rate_for_target" else 0.0):
        return met
    if name == "fleet_for_target":
        return "less than one accelerator" if value < 1.0 else f"{value:,.0f}" if value < 1e6 else f"{value:.4g}"
    return f"{value:.4g} {'years' if name == 'time_to_target' else 'a year'}"


def describe_splits(dataset: "xr.Dataset") -> Iterator[str]:
    """Optimal splits: each as a sentence where they are few, else the range of what they are."""
    dims = tuple(map(str, dataset["objective"].dims))
    certified = int((dataset["status"] == 0).sum())
    of = f"{certified:,} of {dataset['objective'].size:,} certified"
    if dataset["objective"].size <= 8:
        for point in itertools.product(*(range(dataset.sizes[dim]) for dim in dims)):
            yield from _split(dataset.isel(dict(zip(dims, point, strict=True))), dims)
    else:
        names = ["front_load_share", "later_share", "research_share", "objective"]
        rows = [(name, _range(dataset[name].values)) for name in names]
        rows += [(f"regret of {s}", _range(dataset["strategy_regret"].sel(strategy=s).values)) for s in STRATEGIES]
        yield from _table(rows)
    yield f"{of}: the regret, estimated with the research share free within its basin, is at most 1e-7"
    yield from named_reference(dataset)


def _split(found: "xr.Dataset", dims: Sequence[str]) -> Iterator[str]:
    """One optimal split in words."""
    names = (*dims, *json.loads(found.attrs["spec"]).get("distributions", {}))
    places = (f"{name} = {float(found[name]):.4g} {_unit(found[name].attrs['units'])}" for name in names)
    where = ", ".join(place.rstrip() for place in places)
    shares, dates = found["shares"].values, found["purchase_date"].values
    later = [f"{100 * w:.3g} % at {t:.3g} years" for w, t in zip(shares[1:], dates[1:], strict=True) if w > 0.0]
    text = f"spend {100 * float(found['front_load_share']):.3g} % on accelerators now, "
    text += f"{100 * float(found['later_share']):.3g} % later" + (f" ({', '.join(later)}), " if later else ", ")
    text += f"{100 * float(found['research_share']):.3g} % on efficiency research; "
    text += f"{found['objective'].attrs['long_name']} {float(found['objective']):.4g}"
    against = (f"{s} by {float(found['strategy_regret'].sel(strategy=s)):.3g}" for s in STRATEGIES)
    facts = [("", text), ("beats", ", ".join(against))]
    if "holds" in found and not int(found["status"]):
        facts.append(("holds for", _holds(found)))
    if int(found["status"]):
        facts.append(("warning", f"not certified: the regret may be {float(found['regret_bound']):.3g}"))
    yield f"{where}:"
    yield from _facts(facts)


def _holds(found: "xr.Dataset") -> str:
    """Ranges of the rates, each varied alone, within which no share moves by much, and how far they were searched."""
    fixed = json.loads(found.attrs["spec"])["fixed"]
    ranges = []
    for name in map(str, found["rate"].values):
        low, high = map(float, found["holds"].sel(rate=name).values)
        domain, value = FRONT_LOADING.parameter(name).domain, fixed[name] if name in fixed else float(found[name])
        if (low, high) == (domain.low, domain.high):
            ranges.append(f"any {name} of those searched, {low:g} to {high:g}")
        elif low == domain.low:
            ranges.append(f"{name} up to {_inward(high, value)} (searched down to {low:g})")
        elif high == domain.high:
            ranges.append(f"{name} from {_inward(low, value)} (searched up to {high:g})")
        else:
            ranges.append(f"{name} {_inward(low, value)} to {_inward(high, value)}")
    return f"{' or '.join(ranges)}: none of the three shares moves by more than {100 * MOVED:g} % of the budget"


def _inward(end: float, value: float) -> str:
    """Write an end of a range around a value with three digits, or as many as it needs not to leave the range."""
    for digits in range(3, 8):
        step = 10.0 ** (math.floor(math.log10(abs(end) or 1.0)) + 1 - digits)
        near = (math.floor if end > value else math.ceil)(end / step) * step
        if min(end, value) <= near <= max(end, value):
            return f"{near:.{digits}g}"
    return f"{value:.7g}"


def _range(values: np.ndarray) -> str:
    low, middle, high = np.nanmin(values), np.nanmedian(values), np.nanmax(values)
    return f"{low:.4g} to {high:.4g}, median {middle:.4g}"


def describe_frontier(dataset: "xr.Dataset", most_rows: int = 200) -> Iterator[str]:
    """Points of a frontier, one a line: objectives and what else was asked for, then the axes, then the knee."""
    from sweep.report.slices import numbers

    by = [name for name in dataset.attrs["by"].split(", ") if name in dataset.coords]
    shown = [name for name in dataset.data_vars if f"{name}_index" not in dataset or name not in by]
    shown = [name for name in shown if not (str(name).endswith("_index") or name in ("is_knee", "hypervolume"))]
    names = list(dict.fromkeys((*by, *map(str, shown), *map(str, dataset.coords))))
    rows = dataset.isel(point=slice(most_rows))
    if rows.sizes["point"]:
        columns = [[name, _unit(rows[name].attrs.get("units", "1")), *numbers(rows[name].values)] for name in names]
        marks = ["", "", *("knee" if knee else "" for knee in rows.is_knee.values)]
        yield from _table(zip(*columns, marks, strict=True))
    if dataset.sizes["point"] > most_rows:
        yield f"  ... and {count(dataset.sizes['point'] - most_rows, 'point')} more"
    found = dataset.attrs
    text = f"{found['points_nondominated']:,} of {count(found['points_considered'], 'point')} on the frontier"
    text += f", {found['points_feasible']:,} where {found['where']}" if found["where"] != "none" else ""
    if "epsilon" in found and dataset.sizes["point"] < found["points_nondominated"]:
        text += (
            f"; {dataset.sizes['point']:,} kept, none left out is better by more than "
            f"{found['epsilon']:.2g} of an objective's range"
        )
    yield text
    yield from named_reference(dataset)


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


def count(number: int, noun: str) -> str:
    """A number of things: "1 block", "2,000 blocks"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def in_bytes(number: int) -> str:
    """A number of bytes in decimal units: "81.2 kB"."""
    if number < 1000:
        return f"{number} B"
    power = min(int(math.log10(number)) // 3, 6)
    return f"{number / 1000**power:.3g} {' kMGTPE'[power]}B"


def _parameter_rows(problem: Problem) -> Iterator[tuple[str, ...]]:
    """Axes in the order of the file, then the values that are held."""
    spec = problem.spec
    for name, axis in spec.axes.items():
        if name == DRAW and spec.distributions:
            yield name, str(spec.draws), "", ""
        elif name not in DRAWN or not spec.distributions:
            yield name, _span(axis), _unit(problem.model.parameter(name).unit), axis.source
    for name, distribution in spec.distributions.items():
        yield name, str(distribution), _unit(problem.model.output(name).unit), distribution.source
    for name, fixed in spec.fixed.items():
        if name in problem.needed:
            yield name, f"{fixed.value:.8g}", _unit(problem.model.parameter(name).unit), fixed.source


def _output_rows(plan: Plan, model: Model, dtype: str) -> Iterator[tuple[str, ...]]:
    for name, dims in plan.variables.items():
        lengths = plan.lengths(name)
        size = in_bytes(plan.itemsize * math.prod(lengths))
        yield name, _shape(dims, lengths), f"{dtype}, {size}", _unit(model.output(name).unit)


def _statistic_rows(problem: Problem, job: Job) -> Iterator[tuple[int, str, str, str, str]]:
    """Position in the file, name, what it is, shape and unit of each variable of a job."""
    order = list(problem.spec.statistics)
    for name, dims in job.plan.variables.items():
        attributes = variable_attributes(problem, name)
        what = f"{attributes['long_name']}, over {', '.join(job.reduces.over)}"
        yield (
            order.index(statistic_of(problem.spec, name)),
            name,
            what,
            _shape(dims, job.plan.lengths(name)),
            _unit(attributes["units"]),
        )


def _facts(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Lay out names and texts, leaving out what is empty."""
    width = max(60, min(120, shutil.get_terminal_size((100, 24)).columns))
    for name, text in rows:
        if text:
            yield from textwrap.wrap(text, width, initial_indent=f"{name:<10}", subsequent_indent=" " * 10)


def _table(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Lay out columns, two spaces apart."""
    kept = list(rows)
    widths = [max(map(len, column)) for column in zip(*kept, strict=True)]
    for row in kept:
        yield "  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _span(axis: Axis) -> str:
    """Say what an axis holds."""
    if axis.values is None:
        return f"{axis.start:.8g} to {axis.stop:.8g}, {len(axis):,} {'log-spaced' if axis.is_log else 'evenly spaced'}"
    shown = [f"{value:.8g}" for value in (axis.values if len(axis) <= 6 else (*axis.values[:2], axis.values[-1]))]
    if len(axis) > 6:
        shown.insert(2, "...")
    return f"{', '.join(shown)} ({count(len(axis), 'value')})"


def _shape(dims: Iterable[str], lengths: Iterable[int]) -> str:
    """Say which dimensions a variable has and how long they are."""
    return " x ".join(f"{dim} {length:,}" for dim, length in zip(dims, lengths, strict=True)) or "one number"


def _unit(unit: str) -> str:
    return "" if unit == "1" else unit


def _duration(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
