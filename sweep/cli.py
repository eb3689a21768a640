"""The command line: parse, call one function, print. The only module that prints, exits or reads arguments.

Libraries are imported inside the command that needs them, so that ``--help``, ``describe`` and ``status`` start
without JAX and xarray.
"""

import contextlib
import errno
import math
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import sweep

if TYPE_CHECKING:
    import xarray as xr

    from sweep.loop import Progress
    from sweep.spec import SweepSpec

REFUSED, INTERRUPTED = 2, 130
OF_AN_EXTRA = ("matplotlib", "h5netcdf", "h5py", "moocore")
UNITS = {"B": 1, **{f"{p}B": 1000**i for i, p in enumerate("kMGT", 1)}}
UNITS |= {f"{p}iB": 1024**i for i, p in enumerate("KMGT", 1)}


class _Refusal(click.ClickException):
    """One line on stderr, and the exit code of a request that cannot be met."""

    exit_code = REFUSED

    def show(self, file: Any = None) -> None:
        """Print the line."""
        from sweep.schema import one_line

        click.echo(f"error: {one_line(self.message)}", err=True)


def _misuse(error: click.UsageError, ctx: click.Context) -> _Refusal:
    message = " ".join(error.format_message().split()).rstrip(".")
    return _Refusal(f"{message}; see {(error.ctx or ctx).command_path} --help")


class _Commands(click.Group):
    """The place where errors become one line: anything else that is raised is a bug and keeps its traceback."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read what stands before the name of a command."""
        try:
            return super().parse_args(ctx, args)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.UsageError as error:
            raise _misuse(error, ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            with _caveats_once():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("stopped", err=True)
            ctx.exit(INTERRUPTED)
        except click.UsageError as error:
            raise _misuse(error, ctx) from None
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            named = error.filename is not None and error.strerror
            raise _Refusal(f"{error.filename}: {error.strerror}" if named else str(error)) from None
        except MemoryError as error:
            raise _Refusal(f"out of memory: {error}; use --store or a smaller --memory") from None
        except ImportError as error:
            if error.name not in OF_AN_EXTRA:
                raise
            raise _Refusal(str(error)) from None
        except ValueError as error:
            if not isinstance(error, sweep.SpecError):
                raise
            raise _Refusal(str(error)) from None


class _Size(click.ParamType):
    """A number of bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read a size such as 512MB, 4GiB or 2e9."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"\s*(\d+\.?\d*(?:e\+?\d+)?)\s*([kmgt]?i?b)?\s*", value, re.IGNORECASE)
        units = {unit.lower(): factor for unit, factor in UNITS.items()}
        unit = (match[2] or "B").lower() if match else ""
        size = float(match[1]) * units[unit] if unit in units else math.inf
        if not 1 <= size <= 2**63:
            self.fail(f"{value!r} is not a size in bytes such as 512MB, 4GiB or 2e9 ({', '.join(UNITS)})", param, ctx)
        return int(size)


class _At(click.ParamType):
    """A dimension and the value at which it is held."""

    name = "dim=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        """Read ``time=6``."""
        if isinstance(value, tuple):
            return value
        dim, _, number = value.partition("=")
        try:
            found = dim.strip(), float(number)
        except ValueError:
            found = "", math.nan
        if not found[0] or not math.isfinite(found[1]):
            self.fail(f"{value!r} is not DIM=VALUE such as time=6", param, ctx)
        return found


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        click.echo(f"sweep {version('relative-loss-sweep')}")
    except PackageNotFoundError:
        click.echo("sweep, run from its source, not installed")
    ctx.exit()


_config = click.argument("config", type=click.Path(path_type=Path))
_dtype = click.option("--dtype", type=click.Choice(["float32", "float64"]), help="Instead of the config's precision.")
_memory = click.option(
    "--memory", type=_Size(), help="Budget such as 512MB, 4GiB or 2e9 (bytes); half of the machine's by default."
)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Version.")
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
@_config
@_dtype
@_memory
def describe(config: Path, dtype: str | None, memory: int | None) -> None:
    """Say what CONFIG would compute and how large it is.

    Nothing is computed. Blocks are those of a run with --store.

    Example: sweep describe configs/baseline.toml --memory 2GB
    """
    from sweep.describe import describe_sweep
    from sweep.equations import model_of
    from sweep.jobs import make_jobs
    from sweep.plan import default_memory

    spec = sweep.load(config, dtype)
    model, budget = model_of(spec), default_memory() if memory is None else memory
    _echo(describe_sweep(spec, model, make_jobs(model, spec, memory), budget))


@main.command()
@_config
@click.option("--store", type=click.Path(path_type=Path), help="Zarr store to write, or to go on with.")
@click.option("--netcdf", "file", type=click.Path(path_type=Path), help="NetCDF file to write, from memory.")
@_dtype
@_memory
@click.option(
    "--overwrite",
    is_flag=True,
    help="Replace what is at --store and --netcdf; an unfinished store of the same sweep goes on.",
)
def run(
    config: Path, store: Path | None, file: Path | None, dtype: str | None, memory: int | None, overwrite: bool
) -> None:
    """Compute CONFIG, into a store or a file.

    With neither, the range of each output is printed and nothing is kept. A stopped run goes on with the same
    command and the same --store.

    Example: sweep run configs/baseline.toml --store out.zarr --memory 2GB
    """
    from sweep.describe import describe_result, describe_run

    spec = sweep.load(config, dtype)
    if file is not None:
        from sweep import netcdf
        from sweep.equations import model_of
        from sweep.jobs import make_jobs

        if store is not None and store.resolve() == file.resolve():
            raise _Refusal(f"{file}: is given as --store and as --netcdf; use two paths")
        result = sum(job.plan.result_bytes for job in make_jobs(model_of(spec), spec, None))
        netcdf.check(file, result, memory=memory, overwrite=overwrite)
    dataset, last = _evaluate(spec, store, memory, overwrite)
    if file is not None:
        netcdf.write(dataset, file)
    if store is None and file is None:
        _echo(describe_result(sweep.pooled(dataset) if spec.statistics and "replicate" in dataset.dims else dataset))
    click.echo(describe_run(last, len(spec.outputs), [str(path) for path in (store, file) if path is not None]))


@main.command()
@_config
@click.option("--netcdf", "file", type=click.Path(path_type=Path), help="NetCDF file to write.")
@click.option("--overwrite", is_flag=True, help="Replace what is at --netcdf.")
def optimise(config: Path, file: Path | None, overwrite: bool) -> None:
    """Find the best split of a budget for every scenario of CONFIG.

    How much to spend on accelerators now, on accelerators later and on efficiency research. A few scenarios are told
    one by one, more as ranges.

    Example: sweep optimise configs/front_loading.toml
    """
    from sweep.describe import describe_splits

    spec = sweep.load(config)
    points = math.prod(spec.shape.values())
    if file is not None:
        from sweep import netcdf

        dates = 8 if spec.allocation is None else spec.allocation.dates
        netcdf.check(file, 8 * points * (2 * dates + 20), overwrite=overwrite)
    is_mean = spec.allocation is None or spec.allocation.objective == "mean"
    dataset = sweep.optimise(spec, sensitivities=is_mean and points <= 8)
    if file is not None:
        netcdf.write(dataset, file)
    _echo(describe_splits(dataset))
    if file is not None:
        click.echo(f"written to {file}")


@main.command()
@_config
@click.option(
    "--method",
    type=click.Choice(["sobol", "shapley", "morris", "elasticity", "tornado"]),
    default="sobol",
    show_default=True,
    help="Shares of the variance, of independent or of correlated parameters; screening; derivatives; one at a time.",
)
@click.option("--number", type=int, help="Points in all, a power of two; 16,384 by default.")
@click.option("--replicates", type=int, help="Independent sets of points that give the intervals; 4 by default.")
@click.option("--second-order", is_flag=True, help="Add the shares of pairs of parameters.")
@click.option("--extend", "earlier", type=click.Path(path_type=Path), help="NetCDF file of a run to add to.")
@click.option("--netcdf", "file", type=click.Path(path_type=Path), help="NetCDF file to write.")
@click.option("-o", "path", type=click.Path(path_type=Path), help="Figure to write: .png, .svg or .pdf.")
@_dtype
@_memory
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
    from sweep.sentences import describe_sensitivity

    spec = sweep.load(config, dtype)
    if path is not None:
        from sweep import figures

        figures.check_path(path)
    if file is not None:
        from sweep import netcdf

        netcdf.check(file, 0, memory=memory, overwrite=overwrite)
    asked = {"number": number, "replicates": replicates}
    asked = {key: value for key, value in asked.items() if value is not None}
    held = None if earlier is None else _read(earlier)
    dataset = sweep.sensitivity(spec, method=method, second_order=second_order, extend=held, memory=memory, **asked)
    if file is not None:
        netcdf.write(dataset, file)
    _echo(describe_sensitivity(dataset))
    if path is not None:
        from sweep.causes import plot_sensitivity

        figures.save(plot_sensitivity(dataset), path)
    for made in (one for one in (file, path) if one is not None):
        click.echo(f"written to {made}")


@main.command()
@click.argument("store", type=click.Path(path_type=Path))
def status(store: Path) -> None:
    """Say how far STORE is, and what it holds.

    Example: sweep status out.zarr
    """
    from sweep import manifest
    from sweep.describe import describe_store

    found, plans = manifest.attributes(store), manifest.plans_of(store)
    missing = [manifest.pending(store, plan) for plan in plans]
    _echo(describe_store(found, plans, missing, manifest.partials(store), manifest.bytes_on_disk(store)))


@main.command()
@click.argument("source", metavar="STORE|CONFIG|FILE", type=click.Path(path_type=Path))
@click.option("-o", "path", type=click.Path(path_type=Path), help="Figure to write: .png, .svg or .pdf.")
@click.option("--output", metavar="NAME", help="Output to draw; the first one by default.")
@click.option("--x", metavar="DIM", help="Dimension of the horizontal axis.")
@click.option("--lines", metavar="DIM", help="Dimension with one curve for each value.")
@click.option("--y", metavar="DIM", help="Dimension of the vertical axis of a heat map, instead of --lines.")
@click.option("--at", type=_At(), multiple=True, help="Hold a dimension, e.g. time=6; may be repeated.")
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
    wrote. One of sweep frontier has its objectives as axes.

    Example: sweep plot out.zarr --x time --lines fleet_size --at doubling_rate=0.5 -o loss.png
    """
    from sweep import figures

    places = _held(at)
    path = Path(f"{source.stem or 'sweep'}.png") if path is None else path
    figures.check_path(path)
    if source.exists() and not source.is_dir() and source.suffix not in (".toml", ".nc"):
        raise _Refusal(f"{source}: is neither a store (a folder) nor a config (.toml) nor a file of --netcdf (.nc)")
    if source.is_dir():
        dataset = _open(source)
    else:
        dataset = _read(source) if source.suffix == ".nc" else _computed(sweep.load(source))
    asked = {"--output": output, "--x": x, "--lines": lines, "--y": y, "--at": places}
    given = next((option for option, value in asked.items() if value), None)
    if "sensitivity" in dataset.attrs:
        from sweep.causes import plot_sensitivity

        if given:
            raise _Refusal(f"{given}: {source} is of sweep sensitivity, whose figure has no choices; drop it")
        figure = plot_sensitivity(dataset)
    elif "minimised" in dataset.attrs:
        from sweep.tradeoffs import plot_frontier

        if given:
            raise _Refusal(f"{given}: {source} is a frontier, whose objectives are its axes; drop it")
        figure = plot_frontier(dataset)
    else:
        figure = figures.plot(dataset, output=output, x=x, lines=lines, y=y, at=places)
    figures.save(figure, path)
    click.echo(path)


def _read(path: Path) -> "xr.Dataset":
    """Load a file that --netcdf wrote, which is whole."""
    import xarray as xr

    if not path.exists():
        raise _Refusal(f"{path}: does not exist")
    try:
        dataset = xr.load_dataset(path, engine="h5netcdf", decode_times=False)
    except (OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise _Refusal(f"{path}: cannot be read as NetCDF: {reason}") from None
    return dataset.assign_attrs(complete=True)


def _computed(spec: "SweepSpec") -> "xr.Dataset":
    """Evaluate or solve a sweep in memory."""
    from sweep.equations import MODELS

    if MODELS[spec.model].function is None:
        return sweep.optimise(spec)
    return _evaluate(spec, None, None, False)[0]


@main.command()
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
@_memory
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
    from sweep.describe import describe_frontier
    from sweep.slices import readable

    if path is not None:
        from sweep import figures

        figures.check_path(path)
    if file is not None:
        from sweep import netcdf

        netcdf.check(file, 0, memory=memory, overwrite=overwrite)
    if source.exists() and not source.is_dir() and source.suffix != ".toml":
        raise _Refusal(f"{source}: is neither a store (a folder) nor a config (a .toml file)")
    asked = {"minimise": minimise, "maximise": maximise, "where": where, "by": by, "most": most or None}
    with _bar() as show, readable(str(source)):
        dataset = sweep.frontier(source, **asked, memory=memory, progress=show)
    _echo(describe_frontier(dataset))
    if path is not None:
        from sweep.tradeoffs import plot_frontier

        figures.save(plot_frontier(dataset), path)
        click.echo(path)
    if file is not None:
        netcdf.write(dataset, file)
        click.echo(file)


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
        raise _Refusal("--compare: takes two files of results, and no other option")
    if scaling and (kernels or len(dtypes) > 1 or size not in ("quick", "normal")):
        raise _Refusal("--scaling: takes no --kernel, one --dtype, and a --size of quick or normal")
    if files is not None:
        from sweep.comparison import compare

        _echo(compare(*files))
        return
    if path is not None and not scaling:
        raise _Refusal("-o: only the curves of --scaling are drawn; give both")
    if path is not None:
        from sweep import figures

        figures.check_path(path)
    from sweep import bench as benches
    from sweep import measure

    benches.check(kernels, size, device)
    if file is not None:
        file.open("a").close()
    if scaling:
        from sweep.scaling import measure_scaling, plot_scaling

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


@main.command()
@_config
@click.option("--where", metavar="TEXT", required=True, help='Outcome such as "relative_loss < 0.6 and energy < 1e6".')
@click.option("--at", type=_At(), multiple=True, help="Hold an axis, e.g. time=6; may be repeated.")
@click.option("--coverage", type=float, default=0.0, help="Least share of the interesting draws in the box.")
@click.option("--density", type=float, default=0.0, help="Least share of interesting draws among those in the box.")
@click.option("-o", "path", type=click.Path(path_type=Path), help="Figure to write: .png, .svg or .pdf.")
@click.option("--netcdf", "file", type=click.Path(path_type=Path), help="NetCDF file to write.")
@_dtype
@_memory
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
    from sweep.regions import describe_regions, plot_regions

    if path is not None:
        from sweep import figures

        figures.check_path(path)
    if file is not None:
        from sweep import netcdf

        netcdf.check(file, 0, memory=memory, overwrite=overwrite)
    spec, places = sweep.load(config, dtype), _held(at)
    with _bar() as show:
        dataset = sweep.discover(
            spec, where, at=places, coverage=coverage, density=density, memory=memory, progress=show
        )
    _echo(describe_regions(dataset))
    if path is not None:
        figures.save(plot_regions(dataset), path)
        click.echo(path)
    if file is not None:
        netcdf.write(dataset, file)
        click.echo(file)


def _held(at: tuple[tuple[str, float], ...]) -> dict[str, float]:
    """Give the value at which each dimension is held, once."""
    places = dict(at)
    for dim in places:
        if len(found := [f"{value:g}" for name, value in at if name == dim]) > 1:
            raise _Refusal(f"--at: {dim} is held twice, at {' and '.join(found)}; hold it once")
    return places


def _evaluate(
    spec: "SweepSpec", store: Path | None, memory: int | None, overwrite: bool
) -> "tuple[xr.Dataset, Progress]":
    """Run a sweep, showing how far it is; an interrupt says what is left of it."""
    from sweep.describe import count

    last: list[Progress] = []
    try:
        with _bar() as show:

            def progress(now: "Progress") -> None:
                last[:] = [now]
                show(now)

            dataset = sweep.run(spec, store=store, memory=memory, overwrite=overwrite, progress=progress)
    except KeyboardInterrupt:
        if store is None:
            click.echo("stopped; nothing was stored", err=True)
        elif not last:
            click.echo("stopped before the first block; the same command goes on", err=True)
        else:
            done = f"{last[0].blocks:,} of {count(last[0].total_blocks, 'block')}"
            click.echo(f"stopped after {done}; the same command goes on", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    return dataset, last[0]


@contextlib.contextmanager
def _bar() -> "Iterator[Callable[[Progress], None]]":
    """Draw progress on stderr where that is a terminal, and give the function that moves it."""
    if not sys.stderr.isatty():
        yield lambda now: None
        return
    from rich import progress as rich
    from rich.console import Console

    from sweep.describe import describe_step

    columns = (rich.BarColumn(), rich.TextColumn("{task.description}"))
    with rich.Progress(*columns, console=Console(stderr=True), transient=True, refresh_per_second=4) as bars:
        task = bars.add_task("starting", total=None)

        def show(now: "Progress") -> None:
            bars.update(task, description=describe_step(now), total=now.total_points, completed=now.points)

        yield show


def _open(path: Path) -> "xr.Dataset":
    """Open a store lazily, saying so when part of it is missing."""
    from sweep import manifest
    from sweep import store as stores
    from sweep.describe import count
    from sweep.slices import readable

    plans = manifest.plans_of(path)
    missing = sum(len(manifest.pending(path, plan)) for plan in plans)
    if missing:
        total = count(sum(map(len, plans)), "block")
        click.echo(f"warning: {path}: {missing:,} of {total} not computed yet", err=True)
    with readable(str(path)):
        return stores.dataset(path)


@contextlib.contextmanager
def _caveats_once() -> Iterator[None]:
    """Print each warning that this project raises at a command, once, as one line; leave those of others alone."""
    seen: list[str] = []
    with warnings.catch_warnings():
        others = warnings.showwarning

        def show(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
            if filename != show.__code__.co_filename or not issubclass(category, UserWarning):
                others(message, category, filename, lineno, file, line)
            # load names the file before what run says again.
            elif not any(earlier.endswith(str(message)) for earlier in seen):
                seen.append(str(message))
                click.echo(f"warning: {message}", err=True)

        warnings.filterwarnings("always", category=UserWarning, module=r"sweep\.cli$")
        warnings.showwarning = show
        yield


def _echo(lines: Iterable[str]) -> None:
    for line in lines:
        try:
            click.echo(line)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise _Refusal(f"stdout: {error.strerror}") from None
