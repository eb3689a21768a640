"""``sweep sensitivity``: which uncertain parameters drive the outputs."""

from pathlib import Path

import click

import sweep
from sweep.cli.compiled import NO_CACHE
from sweep.cli.signals import stop
from sweep.cli.terminal import (
    CONFIG,
    DTYPE,
    FIGURE,
    MEMORY,
    NETCDF,
    OVERWRITE,
    check_outputs,
    deliver,
    load,
    read_netcdf,
)


@click.command()
@CONFIG
@click.option(
    "--method",
    type=click.Choice(["sobol", "shapley", "morris", "elasticity", "tornado"]),
    default="sobol",
    show_default=True,
    help="Shares of the variance, of independent or of correlated parameters; screening; derivatives; one at a time.",
)
@click.option(
    "--number", type=int, help="Points in all, a power of two; 16,384 by default. Not for elasticity and tornado."
)
@click.option(
    "--replicates",
    type=int,
    help="Independent sets of points that give the intervals; 4 by default. Not for elasticity and tornado.",
)
@click.option("--second-order", is_flag=True, help="Add the shares of pairs of parameters.")
@click.option("--extend", "earlier", type=click.Path(path_type=Path), help="NetCDF file of a run to add to.")
@NETCDF
@FIGURE
@DTYPE
@MEMORY
@OVERWRITE
@NO_CACHE
def sensitivity(
    config: Path,
    method: str,
    number: int | None,
    replicates: int | None,
    second_order: bool,
    earlier: Path | None,
    file: Path | None,
    path: Path | None,
    dtype: str | None,
    memory: int | None,
    overwrite: bool,
) -> None:
    """Say which uncertain parameters of CONFIG drive its outputs.

    They are those of its [distributions]. Nothing is kept but sums, to which --extend adds points.

    Example: sweep sensitivity configs/sensitivity.toml -o causes.png
    """
    from sweep.report.describe_questions import describe_sensitivity

    problem = load(config, dtype)
    check_outputs(path, file, memory, overwrite)
    extend = None if earlier is None else read_netcdf(earlier)
    with stop().looked_at() as look:
        dataset = sweep.sensitivity(
            problem,
            method=method,
            number=number,
            replicates=replicates,
            second_order=second_order,
            extend=extend,
            memory=memory,
            progress=look,
        )
    deliver(dataset, describe_sensitivity(dataset), path, file)
