"""``sweep describe``: what a config would compute, before it is computed."""

from pathlib import Path

import click

from sweep.cli.terminal import CONFIG, DTYPE, MEMORY, echo, load


@click.command()
@CONFIG
@DTYPE
@MEMORY
def describe(config: Path, dtype: str | None, memory: int | None) -> None:
    """Say what CONFIG would compute and how large it is.

    Nothing is computed. Blocks are those of a run with --store.

    Example: sweep describe configs/baseline.toml --memory 2GB
    """
    from sweep.plan.blocks import budget_of
    from sweep.plan.jobs import make_jobs
    from sweep.report.describe import describe_sweep

    problem, budget = load(config, dtype), budget_of(memory)
    echo(describe_sweep(problem, make_jobs(problem, memory), budget))
