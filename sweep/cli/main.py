"""The command line: parse, call one function, print.

Libraries are imported inside the command that needs them, so that ``--help``, ``describe`` and ``status`` start
without JAX and xarray.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

import sweep
from sweep.cli import questions
from sweep.cli.terminal import (
    CONFIG,
    DAMAGED,
    DTYPE,
    MEMORY,
    At,
    Commands,
    Refusal,
    echo,
    evaluate,
    held,
    print_version,
    read_netcdf,
    stop,
)

if TYPE_CHECKING:
    import xarray as xr

    from sweep.config.spec import SweepSpec


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=print_version, help="Version.")
def main() -> None:
    """Sweep the relative-loss equation over fleets, times and rates of efficiency progress.

    \b
    sweep describe configs/baseline.toml                   what it would compute
    sweep run configs/baseline.toml --store out.zarr       compute it; again to go on
    sweep optimise configs/front_loading.toml              split a budget: GPUs now, later, or efficiency
    sweep status out.zarr                                  how far it is
    sweep plot out.zarr -o loss.png                        draw it
    sweep frontier configs/frontier.toml ...               what no other point beats
    sweep sensitivity configs/sensitivity.toml             what drives the answer
    sweep discover configs/sensitivity.toml ...            which uncertain values lead to an outcome
    sweep bench                                            how fast this device is, and how near its limits
    """  # noqa: D301 (\b is click's mark for lines that are not to be wrapped)


@main.command()
@CONFIG
@DTYPE
@MEMORY
def describe(config: Path, dtype: str | None, memory: int | None) -> None:
    """Say what CONFIG would compute and how large it is.

    Nothing is computed. Blocks are those of a run with --store.

    Example: sweep describe configs/baseline.toml --memory 2GB
    """
    from sweep.models.registry import model_of
    from sweep.plan.blocks import default_memory
    from sweep.plan.jobs import make_jobs
    from sweep.report.describe import describe_sweep

    spec = sweep.load(config, dtype)
    model, budget = model_of(spec), default_memory() if memory is None else memory
    echo(describe_sweep(spec, model, make_jobs(model, spec, memory), budget))


@main.command()
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
    from sweep.models.registry import MODELS
    from sweep.report.answers import answers
    from sweep.report.describe import describe_answers, describe_result, describe_run

    if replicates and file is None:
        raise Refusal("--replicates: belongs to --netcdf, give both; a store keeps each set of draws")
    spec = sweep.load(config, dtype)
    if file is not None:
        from sweep.models.registry import model_of
        from sweep.plan.jobs import make_jobs
        from sweep.results import netcdf

        if store is not None and store.resolve() == file.resolve():
            raise Refusal(f"{file}: is given as --store and as --netcdf; use two paths")
        result = sum(job.plan.result_bytes for job in make_jobs(model_of(spec), spec, None))
        netcdf.check(file, result, memory=memory, overwrite=overwrite)
    dataset, last = evaluate(spec, store, memory, overwrite)
    if spec.statistics and "replicate" in dataset.dims and not replicates and (file is not None or store is None):
        dataset = sweep.pooled(dataset)
    if file is not None:
        netcdf.write(dataset, file)
    if store is None and file is None:
        echo(describe_result(dataset))
    echo(describe_answers(*answers(spec), MODELS[spec.model]))
    nbytes = sum(variable.nbytes for variable in dataset.data_vars.values())
    paths = [str(path) for path in (store, file) if path is not None]
    click.echo(describe_run(last, len(spec.outputs), nbytes, paths, dataset.attrs.get("reference", "")))


@main.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Read all of it, name what is missing or damaged, and exit with 1 for any.")
def status(store: Path, check: bool) -> None:
    """Say how far STORE is, and what it holds.

    Example: sweep status out.zarr --check
    """
    from sweep.report.describe import describe_faults, describe_store
    from sweep.results import manifest

    found, plans = manifest.attributes(store), manifest.plans_of(store)
    missing = [manifest.pending(store, plan) for plan in plans]
    echo(describe_store(found, plans, missing, manifest.partials(store), manifest.bytes_on_disk(store)))
    if not check:
        return
    from sweep.results.faults import faults

    with stop().looked_at() as look:
        faulty = list(faults(store, look))
    echo(describe_faults(store, faulty, bool(found.get(manifest.CHECKSUMS))))
    if faulty:
        raise click.exceptions.Exit(DAMAGED)


@main.command()
@click.argument("source", metavar="STORE|CONFIG|FILE", type=click.Path(path_type=Path))
@click.option("-o", "path", type=click.Path(path_type=Path), help="Figure to write: .png, .svg or .pdf.")
@click.option("--output", metavar="NAME", help="Output to draw; the first one by default.")
@click.option("--x", metavar="DIM", help="Dimension of the horizontal axis.")
@click.option("--lines", metavar="DIM", help="Dimension with one curve for each value.")
@click.option("--y", metavar="DIM", help="Dimension of the vertical axis of a heat map, instead of --lines.")
@click.option("--at", type=At(), multiple=True, help="Hold a dimension, e.g. time=6; may be repeated.")
def plot(
    source: Path,
    path: Path | None,
    output: str | None,
    x: str | None,
    lines: str | None,
    y: str | None,
    at: tuple[tuple[str, float], ...],
) -> None:
    """Draw one output as curves or a heat map, or a frontier.

    STORE is the folder of a run; a CONFIG, a .toml file, is computed in memory first; a FILE, .nc, is one that --netcdf
    wrote, by sweep frontier, sensitivity or discover too.

    Example: sweep plot out.zarr --x time --lines fleet_size --at doubling_rate=0.5 -o loss.png
    """
    from sweep.report import figures

    places = held(at)
    path = Path(f"{source.stem or 'sweep'}.png") if path is None else path
    figures.check_path(path)
    if source.exists() and not source.is_dir() and source.suffix not in (".toml", ".nc"):
        raise Refusal(f"{source}: is neither a store (a folder) nor a config (.toml) nor a file of --netcdf (.nc)")
    if source.is_dir():
        dataset = _open(source)
    else:
        dataset = read_netcdf(source) if source.suffix == ".nc" else _computed(sweep.load(source))
    asked = {"--output": output, "--x": x, "--lines": lines, "--y": y, "--at": places}
    given = next((option for option, value in asked.items() if value), None)
    if "sensitivity" in dataset.attrs:
        from sweep.report.sensitivity_figure import plot_sensitivity

        if given:
            raise Refusal(f"{given}: {source} is of sweep sensitivity, whose figure has no choices; drop it")
        figure = plot_sensitivity(dataset)
    elif "least_coverage" in dataset.attrs:
        from sweep.report.discovery_figure import plot_regions

        if given:
            raise Refusal(f"{given}: {source} is of sweep discover, whose figure has no choices; drop it")
        figure = plot_regions(dataset)
    elif "minimised" in dataset.attrs:
        from sweep.report.frontier_figure import plot_frontier

        if given:
            raise Refusal(f"{given}: {source} is a frontier, whose objectives are its axes; drop it")
        figure = plot_frontier(dataset)
    else:
        figure = figures.plot(dataset, output=output, x=x, lines=lines, y=y, at=places)
    figures.save(figure, path)
    click.echo(path)


def _computed(spec: "SweepSpec") -> "xr.Dataset":
    """Evaluate or solve a sweep in memory."""
    from sweep.models.registry import MODELS

    if MODELS[spec.model].function is None:
        with stop().looked_at() as look:
            return sweep.optimise(spec, progress=look)
    return evaluate(spec, None, None, False)[0]


def _open(path: Path) -> "xr.Dataset":
    """Open a store lazily, saying so when part of it is missing."""
    from sweep.report.describe import count
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


@main.command()
@click.option("--kernel", "kernels", metavar="NAME", multiple=True, help="Kernel to measure; may be repeated.")
@click.option("--dtype", "dtypes", type=click.Choice(["float32", "float64"]), multiple=True, help="Both by default.")
@click.option(
    "--size", metavar="quick|normal|POINTS", default="normal", show_default=True, help="How much each is given."
)
@click.option("--device", metavar="cpu|gpu|tpu", help="Refuse to measure another than this.")
@click.option("--scaling", is_flag=True, help="Cost against points, dates, scenarios and devices, instead.")
@click.option("-o", "path", type=click.Path(path_type=Path), help="Figure of --scaling to write: .png, .svg or .pdf.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="File to append one JSON line a result to.")
@click.option(
    "--compare",
    "files",
    type=click.Path(path_type=Path),
    nargs=2,
    metavar="A.jsonl B.jsonl",
    help="Two files of results side by side, instead.",
)
def bench(
    kernels: tuple[str, ...],
    dtypes: tuple[str, ...],
    size: str,
    device: str | None,
    scaling: bool,
    path: Path | None,
    file: Path | None,
    files: tuple[Path, Path] | None,
) -> None:
    """Measure how close each kernel comes to the limits of this device.

    The limits are measured in the same run: filling and copying memory, multiply-adds, exp2 and log2.

    Example: sweep bench --kernel full-grid --dtype float32 --json today.jsonl
    """
    if files is not None and (kernels or dtypes or device or scaling or path or file):
        raise Refusal("--compare: takes two files of results, and no other option")
    if scaling and (kernels or len(dtypes) > 1 or size not in ("quick", "normal")):
        raise Refusal("--scaling: takes no --kernel, one --dtype, and a --size of quick or normal")
    if files is not None:
        from sweep.bench.comparison import compare

        echo(compare(*files))
        return
    if path is not None and not scaling:
        raise Refusal("-o: only the curves of --scaling are drawn; give both")
    if path is not None:
        from sweep.report import figures

        figures.check_path(path)
    from sweep.bench import kernels as benches
    from sweep.bench import measure

    benches.check(kernels, size, device)
    if file is not None:
        file.open("a").close()
    if scaling:
        from sweep.bench.scaling import measure_scaling, plot_scaling

        lines = measure_scaling((dtypes or ("float32",))[0], quick=size == "quick")
    else:
        lines = benches.bench(kernels, dtypes or benches.DTYPES, size)
        click.echo(benches.heading())
    shared = measure.common("scaling" if scaling else "bench", quick=size == "quick")
    found = []
    for line in lines:
        click.echo(benches.row(line))
        found.append(line)
        if file is not None:
            measure.append(file, {**shared, **line})
    if path is not None:
        figures.save(plot_scaling(found), path)
        click.echo(path)


for command in (questions.optimise, questions.sensitivity, questions.frontier, questions.discover):
    main.add_command(command)
