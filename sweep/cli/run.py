"""``sweep run``: compute a config, into a store, a file or nothing but its ranges."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

import sweep
from sweep.cli.compiled import NO_CACHE
from sweep.cli.signals import stop
from sweep.cli.terminal import CONFIG, DTYPE, MEMORY, Refusal, bar, check_outputs, echo, load

if TYPE_CHECKING:
    import xarray as xr

    from sweep.engine.progress import Progress
    from sweep.models.problem import Problem


@click.command()
@CONFIG
@click.option("--store", type=click.Path(path_type=Path), help="Zarr store to write, or to go on with.")
@click.option("--netcdf", "file", type=click.Path(path_type=Path), help="NetCDF file to write, from memory.")
@click.option(
    "--replicates",
    is_flag=True,
    help="Write each set of draws to --netcdf, not their average and its standard error; a store keeps the sets.",
)
@DTYPE
@MEMORY
@click.option(
    "--overwrite",
    is_flag=True,
    help="Replace what is at --store and --netcdf once the new one is complete; until then both take space. An "
    "unfinished one of the same sweep goes on.",
)
@NO_CACHE
def run(
    config: Path,
    store: Path | None,
    file: Path | None,
    replicates: bool,
    dtype: str | None,
    memory: int | None,
    overwrite: bool,
) -> None:
    """Compute CONFIG, into a store or a file.

    With neither, the range of each output is printed and nothing is kept. A stopped run goes on with the same
    command and the same --store; what is damaged in a store is computed again. Answers to a target are printed at a
    few places, beside those of the published law of the other loss: the two can be years and never.

    Example: sweep run configs/baseline.toml --store out.zarr --memory 2GB
    """
    from sweep.report.answers import answers
    from sweep.report.describe import describe_run
    from sweep.report.describe_results import describe_answers, describe_result

    if replicates and file is None:
        raise Refusal("--replicates: belongs to --netcdf, give both; a store keeps each set of draws")
    problem = load(config, dtype)
    spec = problem.spec
    if file is not None:
        from sweep.plan.jobs import make_jobs

        if store is not None and store.resolve() == file.resolve():
            raise Refusal(f"{file}: is given as --store and as --netcdf; use two paths")
        result = sum(job.plan.result_bytes for job in make_jobs(problem, None))
        check_outputs(None, file, memory, overwrite, result)
    dataset, last = evaluate(problem, store, memory, overwrite)
    if spec.statistics and "replicate" in dataset.dims and not replicates and (file is not None or store is None):
        dataset = sweep.pooled(dataset)
    if file is not None:
        from sweep.results import netcdf

        netcdf.write(dataset, file)
    if store is None and file is None:
        echo(describe_result(dataset))
    echo(describe_answers(*answers(problem), problem.source))
    nbytes = sum(variable.nbytes for variable in dataset.data_vars.values())
    paths = [str(path) for path in (store, file) if path is not None]
    click.echo(describe_run(last, len(spec.outputs), nbytes, paths, dataset.attrs.get("reference", "")))


def evaluate(
    problem: "Problem", store: Path | None, memory: int | None, overwrite: bool
) -> "tuple[xr.Dataset, Progress]":
    """Run a sweep, showing how far it is; an interrupt says what is left of it."""
    from sweep.report.layout import count

    last: list[Progress] = []
    try:
        with bar() as show:

            def progress(now: "Progress") -> None:
                last[:] = [now]
                show(now)

            dataset = sweep.run(problem, store=store, memory=memory, overwrite=overwrite, progress=progress)
    except KeyboardInterrupt:
        if store is None:
            click.echo("stopped; nothing was stored", err=True)
        elif not last:
            click.echo("stopped before the first block; the same command goes on", err=True)
        else:
            done = f"{last[0].blocks:,} of {count(last[0].total_blocks, 'block')}"
            click.echo(f"stopped after {done}; the same command goes on", err=True)
        raise click.exceptions.Exit(stop().code) from None
    return dataset, last[0]
