"""Commands that answer a question about a sweep: optimise, sensitivity, frontier, discover."""

import math
from pathlib import Path

import click

import sweep
from sweep.cli.terminal import CONFIG, DTYPE, MEMORY, At, Refusal, bar, echo, held, load, read_netcdf, stop


@click.command()
@CONFIG
@click.option("--netcdf", "file", type=click.Path(path_type=Path), help="NetCDF file to write.")
@MEMORY
@click.option("--overwrite", is_flag=True, help="Replace what is at --netcdf.")
def optimise(config: Path, file: Path | None, memory: int | None, overwrite: bool) -> None:
    """Find the best split of a budget for every scenario of CONFIG.

    How much to spend on accelerators now, on accelerators later and on efficiency research. A few scenarios are told
    one by one, with how far the rates may be from what they are, each alone, before a share moves by more than 5 % of
    the budget; more are told as ranges.

    Example: sweep optimise configs/front_loading.toml
    """
    from sweep.report.describe import describe_splits

    problem = load(config)
    spec = problem.spec
    few = math.prod(spec.shape.values()) <= 8
    is_mean = spec.allocation is None or spec.allocation.objective == "mean"
    more = {"sensitivities": few and is_mean and file is not None, "ranges": few}
    if file is not None:
        from sweep.questions.split.optimise import result_bytes
        from sweep.results import netcdf

        netcdf.check(file, result_bytes(spec, **more), memory=memory, overwrite=overwrite)
    with stop().looked_at() as look:
        dataset = sweep.optimise(problem, **more, memory=memory, progress=look)
    if file is not None:
        netcdf.write(dataset, file)
    echo(describe_splits(dataset))
    if file is not None:
        click.echo(f"written to {file}")


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
@click.option("--netcdf", "file", type=click.Path(path_type=Path), help="NetCDF file to write.")
@click.option("-o", "path", type=click.Path(path_type=Path), help="Figure to write: .png, .svg or .pdf.")
@DTYPE
@MEMORY
@click.option("--overwrite", is_flag=True, help="Replace what is at --netcdf.")
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
    from sweep.report.sentences import describe_sensitivity

    problem = load(config, dtype)
    if path is not None:
        from sweep.report import figures

        figures.check_path(path)
    if file is not None:
        from sweep.results import netcdf

        netcdf.check(file, 0, memory=memory, overwrite=overwrite)
    asked = {"number": number, "replicates": replicates}
    asked = {key: value for key, value in asked.items() if value is not None}
    extend = None if earlier is None else read_netcdf(earlier)
    asked |= {"method": method, "second_order": second_order, "extend": extend, "memory": memory}
    with stop().looked_at() as look:
        dataset = sweep.sensitivity(problem, **asked, progress=look)
    if file is not None:
        netcdf.write(dataset, file)
    echo(describe_sensitivity(dataset))
    if path is not None:
        from sweep.report.sensitivity_figure import plot_sensitivity

        figures.save(plot_sensitivity(dataset), path)
    for made in (one for one in (file, path) if one is not None):
        click.echo(f"written to {made}")


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
@click.option("-o", "path", type=click.Path(path_type=Path), help="Figure to write: .png, .svg or .pdf.")
@click.option("--netcdf", "file", type=click.Path(path_type=Path), help="NetCDF file to write.")
@MEMORY
@click.option("--overwrite", is_flag=True, help="Replace what is at --netcdf.")
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
    from sweep.report.describe import describe_frontier
    from sweep.report.slices import readable

    if path is not None:
        from sweep.report import figures

        figures.check_path(path)
    if file is not None:
        from sweep.results import netcdf

        netcdf.check(file, 0, memory=memory, overwrite=overwrite)
    if source.exists() and not source.is_dir() and source.suffix != ".toml":
        raise Refusal(f"{source}: is neither a store (a folder) nor a config (a .toml file)")
    asked = {"minimise": minimise, "maximise": maximise, "where": where, "by": by, "most": most or None}
    origin = load(source) if source.suffix == ".toml" else source
    with bar() as show, readable(str(source)):
        dataset = sweep.frontier(origin, **asked, memory=memory, progress=show)
    echo(describe_frontier(dataset))
    if path is not None:
        from sweep.report.frontier_figure import plot_frontier

        figures.save(plot_frontier(dataset), path)
        click.echo(path)
    if file is not None:
        netcdf.write(dataset, file)
        click.echo(file)


@click.command()
@CONFIG
@click.option("--where", metavar="TEXT", required=True, help='Outcome such as "relative_loss < 0.6 and energy < 1e6".')
@click.option("--at", type=At(), multiple=True, help="Hold an axis, e.g. time=6; may be repeated.")
@click.option("--coverage", type=float, default=0.0, help="Least share of the interesting draws in the box.")
@click.option("--density", type=float, default=0.0, help="Least share of interesting draws among those in the box.")
@click.option("-o", "path", type=click.Path(path_type=Path), help="Figure to write: .png, .svg or .pdf.")
@click.option("--netcdf", "file", type=click.Path(path_type=Path), help="NetCDF file to write.")
@DTYPE
@MEMORY
@click.option("--overwrite", is_flag=True, help="Replace what is at --netcdf.")
def discover(
    config: Path,
    where: str,
    at: tuple[tuple[str, float], ...],
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
    from sweep.report.discovery_figure import describe_regions, plot_regions

    if path is not None:
        from sweep.report import figures

        figures.check_path(path)
    if file is not None:
        from sweep.results import netcdf

        netcdf.check(file, 0, memory=memory, overwrite=overwrite)
    problem, places = load(config, dtype), held(at)
    with bar() as show:
        dataset = sweep.discover(
            problem, where, at=places, coverage=coverage, density=density, memory=memory, progress=show
        )
    echo(describe_regions(dataset))
    if path is not None:
        figures.save(plot_regions(dataset), path)
        click.echo(path)
    if file is not None:
        netcdf.write(dataset, file)
        click.echo(file)
