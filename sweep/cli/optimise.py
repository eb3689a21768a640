"""``sweep optimise``: the best split of a budget."""

import math
from pathlib import Path

import click

import sweep
from sweep.cli.compiled import NO_CACHE
from sweep.cli.signals import stop
from sweep.cli.terminal import CONFIG, MEMORY, NETCDF, OVERWRITE, check_outputs, echo, load


@click.command()
@CONFIG
@NETCDF
@MEMORY
@OVERWRITE
@NO_CACHE
def optimise(config: Path, file: Path | None, memory: int | None, overwrite: bool) -> None:
    """Find the best split of a budget for every scenario of CONFIG.

    How much to spend on accelerators now, on accelerators later and on efficiency research. A few scenarios are told
    one by one, with how far the rates may be from what they are, each alone, before a share moves by more than 5 % of
    the budget; more are told as ranges.

    Example: sweep optimise configs/front_loading.toml
    """
    from sweep.report.describe_questions import describe_splits

    problem = load(config)
    spec = problem.spec
    few = math.prod(spec.shape.values()) <= 8
    is_mean = spec.allocation is None or spec.allocation.objective == "mean"
    more = {"sensitivities": few and is_mean and file is not None, "ranges": few}
    if file is not None:
        from sweep.questions.split.footprint import result_bytes

        check_outputs(None, file, memory, overwrite, result_bytes(spec, **more))
    with stop().looked_at() as look:
        dataset = sweep.optimise(problem, **more, memory=memory, progress=look)
    if file is not None:
        from sweep.results import netcdf

        netcdf.write(dataset, file)
    echo(describe_splits(dataset))
    if file is not None:
        click.echo(f"written to {file}")
