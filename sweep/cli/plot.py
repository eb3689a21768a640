"""``sweep plot``: draw a store, a config or a file."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

import sweep
from sweep.cli.compiled import NO_CACHE
from sweep.cli.run import evaluate
from sweep.cli.signals import stop
from sweep.cli.terminal import AT, FIGURE, Refusal, check_outputs, load, read_netcdf

if TYPE_CHECKING:
    import xarray as xr

    from sweep.models.problem import Problem

WITHOUT_CHOICES = {
    "sensitivity": "of sweep sensitivity, whose figure has no choices",
    "discovery": "of sweep discover, whose figure has no choices",
    "frontier": "a frontier, whose objectives are its axes",
}


@click.command()
@click.argument("source", metavar="STORE|CONFIG|FILE", type=click.Path(path_type=Path))
@FIGURE
@click.option("--output", metavar="NAME", help="Output to draw; the first one by default.")
@click.option("--x", metavar="DIM", help="Dimension of the horizontal axis.")
@click.option("--lines", metavar="DIM", help="Dimension with one curve for each value.")
@click.option("--y", metavar="DIM", help="Dimension of the vertical axis of a heat map, instead of --lines.")
@AT
@NO_CACHE
def plot(
    source: Path,
    path: Path | None,
    output: str | None,
    x: str | None,
    lines: str | None,
    y: str | None,
    at: dict[str, float],
) -> None:
    """Draw one output as curves or a heat map, or a frontier.

    STORE is the folder of a run; a CONFIG, a .toml file, is computed in memory first; a FILE, .nc, is one that --netcdf
    wrote, by sweep frontier, sensitivity or discover too.

    Example: sweep plot out.zarr --x time --lines fleet_size --at doubling_rate=0.5 -o loss.png
    """
    from sweep.report import figures
    from sweep.results.metadata import kind_of

    path = Path(f"{source.stem or 'sweep'}.png") if path is None else path
    check_outputs(path, None, None, True)
    dataset = dataset_of(source)
    choices = {"output": output, "x": x, "lines": lines, "y": y, "at": at}
    chosen = next((f"--{name}" for name, value in choices.items() if value), None)
    kind = kind_of(dataset)
    if kind in WITHOUT_CHOICES and chosen:
        raise Refusal(f"{chosen}: {source} is {WITHOUT_CHOICES[kind]}; drop it")
    draw = figures.plotter_of(kind)
    figures.save(draw(dataset) if kind in WITHOUT_CHOICES else draw(dataset, **choices), path)
    click.echo(path)


def dataset_of(source: Path, *, lazy: bool = False) -> "xr.Dataset":
    """Open a store, compute a config or read a file; a config of values is computed where it is looked at if `lazy`."""
    if source.is_dir():
        return _open(source)
    if source.exists() and source.suffix not in (".toml", ".nc"):
        raise Refusal(f"{source}: is neither a store (a folder) nor a config (.toml) nor a file of --netcdf (.nc)")
    if source.suffix == ".nc":
        return read_netcdf(source)
    problem = load(source)
    if lazy and not problem.model.is_solved and not problem.spec.statistics:
        from sweep.lazy.backend import SweepBackend

        return SweepBackend().open_dataset(problem)
    return _computed(problem)


def _computed(problem: "Problem") -> "xr.Dataset":
    """Evaluate or solve a sweep in memory."""
    if problem.model.is_solved:
        with stop().looked_at() as look:
            return sweep.optimise(problem, progress=look)
    return evaluate(problem, None, None, False)[0]


def _open(path: Path) -> "xr.Dataset":
    """Open a store lazily, saying so when part of it is missing."""
    from sweep.report.layout import count
    from sweep.report.slices import readable
    from sweep.results import manifest
    from sweep.results import zarr_store as stores

    with readable(str(path)):
        dataset = stores.dataset(path)
    plans = manifest.plans_of(path)
    missing = sum(len(manifest.pending(path, plan)) for plan in plans)
    if missing:
        total = count(sum(map(len, plans)), "block")
        click.echo(f"warning: {path}: {missing:,} of {total} not computed yet", err=True)
    return dataset
