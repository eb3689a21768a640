"""``sweep frontier``: the points of a sweep that no other one beats."""

from pathlib import Path

import click

import sweep
from sweep.cli.compiled import NO_CACHE
from sweep.cli.terminal import FIGURE, MEMORY, NETCDF, OVERWRITE, Refusal, bar, check_outputs, deliver, load


@click.command()
@click.argument("source", metavar="CONFIG|STORE", type=click.Path(path_type=Path))
@click.option("--minimise", metavar="NAME", multiple=True, help="Output or axis to minimise; may be repeated.")
@click.option("--maximise", metavar="NAME", multiple=True, help="Output or axis to maximise; may be repeated.")
@click.option("--where", metavar="TEXT", help='Conditions such as "relative_loss <= 0.6 and time <= 5".')
@click.option("--by", metavar="AXIS", multiple=True, help="Axis with one frontier for each value; may be repeated.")
@click.option(
    "--most",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="Points to keep of each frontier, chosen so that none left out is much better; 0 for all.",
)
@FIGURE
@NETCDF
@MEMORY
@OVERWRITE
@NO_CACHE
def frontier(
    source: Path,
    minimise: tuple[str, ...],
    maximise: tuple[str, ...],
    where: str | None,
    by: tuple[str, ...],
    most: int,
    path: Path | None,
    file: Path | None,
    memory: int | None,
    overwrite: bool,
) -> None:
    """Find the points of a sweep that no other one beats.

    A CONFIG is evaluated block by block and nothing of it is kept; a STORE is read.

    Example: sweep frontier configs/frontier.toml --minimise finish_date --minimise total_cost
    """
    from sweep.report.describe_questions import describe_frontier
    from sweep.report.slices import readable

    check_outputs(path, file, memory, overwrite)
    if source.exists() and not source.is_dir() and source.suffix != ".toml":
        raise Refusal(f"{source}: is neither a store (a folder) nor a config (a .toml file)")
    origin = load(source) if source.suffix == ".toml" else source
    with bar() as show, readable(str(source)):
        dataset = sweep.frontier(
            origin,
            minimise=minimise,
            maximise=maximise,
            where=where,
            by=by,
            most=most or None,
            memory=memory,
            progress=show,
        )
    deliver(dataset, describe_frontier(dataset), path, file)
