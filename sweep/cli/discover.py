"""``sweep discover``: which uncertain values lead to an outcome."""

from pathlib import Path

import click

import sweep
from sweep.cli.compiled import NO_CACHE
from sweep.cli.terminal import AT, CONFIG, DTYPE, FIGURE, MEMORY, NETCDF, OVERWRITE, bar, check_outputs, deliver, load


@click.command()
@CONFIG
@click.option("--where", metavar="TEXT", required=True, help='Outcome such as "relative_loss < 0.6 and energy < 1e6".')
@AT
@click.option("--coverage", type=float, default=0.0, help="Least share of the interesting draws in the box.")
@click.option("--density", type=float, default=0.0, help="Least share of interesting draws among those in the box.")
@FIGURE
@NETCDF
@DTYPE
@MEMORY
@OVERWRITE
@NO_CACHE
def discover(
    config: Path,
    where: str,
    at: dict[str, float],
    coverage: float,
    density: float,
    path: Path | None,
    file: Path | None,
    dtype: str | None,
    memory: int | None,
    overwrite: bool,
) -> None:
    """Find which values of what is uncertain in CONFIG lead to an outcome.

    The answer is a box, limits of parameters, fitted to the draws and checked on fresh ones. Axes that the outcome
    depends on are held by --at.

    Example: sweep discover configs/sensitivity.toml --where "relative_loss < 0.6" --at time=5 -o region.png
    """
    from sweep.report.discovery_figure import describe_regions

    check_outputs(path, file, memory, overwrite)
    problem = load(config, dtype)
    with bar() as show:
        dataset = sweep.discover(
            problem, where, at=at, coverage=coverage, density=density, memory=memory, progress=show
        )
    deliver(dataset, describe_regions(dataset), path, file)
