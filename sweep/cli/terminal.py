"""The terminal: options and values of commands, errors as one line, progress, and text that is printed.

With the commands, which use it, all that prints, exits or reads arguments.
Libraries are imported inside what needs them.
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
from sweep.cli.signals import Stop, stop
from sweep.errors import Caution, one_line
from sweep.surroundings import EXTRAS

if TYPE_CHECKING:
    import xarray as xr

    from sweep.engine.progress import Progress
    from sweep.models.problem import Problem

DAMAGED, REFUSED = 1, 2
UNITS = {"B": 1, **{f"{p}B": 1000**i for i, p in enumerate("kMGT", 1)}}
UNITS |= {f"{p}iB": 1024**i for i, p in enumerate("KMGT", 1)}


class Refusal(click.ClickException):
    """One line on stderr, and the exit code of a request that cannot be met."""

    exit_code = REFUSED

    def show(self, file: Any = None) -> None:
        """Print the line."""
        click.echo(f"error: {one_line(self.message)}", err=True)


def _misuse(error: click.UsageError, ctx: click.Context) -> Refusal:
    message = " ".join(error.format_message().split()).rstrip(".")
    return Refusal(f"{message}; see {(error.ctx or ctx).command_path} --help")


class Commands(click.Group):
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
        ctx.obj = Stop()
        with ctx.obj:
            result = self._invoke(ctx)
        if ctx.obj.number:  # an interrupt that something has swallowed
            click.echo("stopped", err=True)
            ctx.exit(ctx.obj.code)
        return result

    def _invoke(self, ctx: click.Context) -> Any:
        try:
            with _cautions_told():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("stopped", err=True)
            ctx.exit(ctx.obj.code)
        except click.UsageError as error:
            raise _misuse(error, ctx) from None
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            named = error.filename is not None and error.strerror
            raise Refusal(f"{error.filename}: {error.strerror}" if named else str(error)) from None
        except MemoryError as error:
            raise Refusal(f"out of memory: {error}; use --store or a smaller --memory") from None
        except ImportError as error:
            if error.name not in EXTRAS:
                raise
            raise Refusal(str(error)) from None
        except ValueError as error:
            if not isinstance(error, sweep.SpecError):
                raise
            raise Refusal(str(error)) from None
        except (RuntimeError, AssertionError):
            missing = _missing_device()
            if missing is None:
                raise
            raise Refusal(missing) from None


def _missing_device() -> str | None:
    """Say that JAX has no device of the kind that it was told to use; None where that is not so."""
    jax = sys.modules.get("jax")
    if jax is None or not jax.config.jax_platforms:
        return None
    try:
        jax.devices()
    except (RuntimeError, AssertionError):
        return f"JAX_PLATFORMS={jax.config.jax_platforms}: JAX sees no such device here; unset it, or say cpu"
    try:
        jax.devices("cpu")
    except RuntimeError:
        return f"JAX_PLATFORMS={jax.config.jax_platforms}: leaves out the CPU, on which draws are made; add ,cpu"
    return None


def size(text: str | int) -> int:
    """Read a number of bytes such as 512MB, 4GiB or 2e9."""
    match = re.fullmatch(r"\s*(\d+\.?\d*(?:e\+?\d+)?)\s*([kmgt]?i?b)?\s*", str(text), re.IGNORECASE)
    factors = {unit.lower(): factor for unit, factor in UNITS.items()}
    factor = factors.get((match[2] or "B").lower()) if match else None
    number = float(match[1]) * factor if match and factor else math.inf
    if not 1 <= number <= 2**63:
        raise click.BadParameter(f"{text!r} is not a size in bytes such as 512MB, 4GiB or 2e9 ({', '.join(UNITS)})")
    return int(number)


def _place(text: str) -> tuple[str, float]:
    """Read a dimension and the value at which it is held, such as ``time=6``."""
    dim, _, number = text.partition("=")
    with contextlib.suppress(ValueError):
        if dim.strip() and math.isfinite(float(number)):
            return dim.strip(), float(number)
    raise click.BadParameter(f"{text!r} is not DIM=VALUE such as time=6")


def _places(_: click.Context, __: click.Parameter, at: tuple[tuple[str, float], ...]) -> dict[str, float]:
    """Value at which each dimension is held, once."""
    for dim in dict(at):
        if len(values := [f"{value:g}" for name, value in at if name == dim]) > 1:
            raise Refusal(f"--at: {dim} is held twice, at {' and '.join(values)}; hold it once")
    return dict(at)


def print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    """Print the version and end."""
    if not value or ctx.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        click.echo(f"sweep {version('relative-loss-sweep')}")
    except PackageNotFoundError:
        click.echo("sweep, run from its source, not installed")
    ctx.exit()


AT = click.option(
    "--at",
    type=_place,
    metavar="DIM=VALUE",
    multiple=True,
    callback=_places,
    help="Hold an axis, e.g. time=6; may be repeated.",
)
CONFIG = click.argument("config", type=click.Path(path_type=Path))
DTYPE = click.option("--dtype", type=click.Choice(["float32", "float64"]), help="Instead of the config's precision.")
MEMORY = click.option(
    "--memory",
    type=size,
    help="Budget such as 512MB, 4GiB or 2e9 (bytes); by default half of the machine's, or of the container's.",
)
FIGURE = click.option("-o", "path", type=click.Path(path_type=Path), help="Figure to write: .png, .svg or .pdf.")
NETCDF = click.option("--netcdf", "file", type=click.Path(path_type=Path), help="NetCDF file to write.")
OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace what is at --netcdf.")


def check_outputs(figure: Path | None, file: Path | None, memory: int | None, overwrite: bool, result: int = 0) -> None:
    """Refuse, before anything is computed, paths of a figure and of a NetCDF file that could not be written afterwards.

    The file is to hold so many bytes of a result.
    """
    if figure is not None:
        from sweep.report import figures

        figures.check_path(figure)
    if file is not None:
        from sweep.results import netcdf

        netcdf.check(file, result, memory=memory, overwrite=overwrite)


def deliver(dataset: "xr.Dataset", lines: Iterable[str], figure: Path | None, file: Path | None) -> None:
    """Print what an answer says, once it is in the NetCDF file if there is to be one, and draw its figure."""
    if file is not None:
        from sweep.results import netcdf

        netcdf.write(dataset, file)
    echo(lines)
    if figure is not None:
        from sweep.report import figures
        from sweep.results.metadata import kind_of

        figures.save(figures.plotter_of(kind_of(dataset))(dataset), figure)
    for written in filter(None, (file, figure)):
        click.echo(f"written to {written}")


def read_netcdf(path: Path) -> "xr.Dataset":
    """Load a file that --netcdf wrote, which is whole."""
    from sweep.results import netcdf

    return netcdf.read(path).assign_attrs(complete=True)


@contextlib.contextmanager
def bar() -> "Iterator[Callable[[Progress], None]]":
    """Draw progress on stderr where that is a terminal, and give the function that moves it, or stops if asked to."""
    with stop().looked_at() as look, _drawn() as draw:

        def show(now: "Progress") -> None:
            look()
            draw(now)

        yield show


@contextlib.contextmanager
def _drawn() -> "Iterator[Callable[[Progress], None]]":
    if not sys.stderr.isatty():
        yield lambda now: None
        return
    from rich import progress as rich
    from rich.console import Console

    from sweep.report.describe import describe_step

    columns = (rich.BarColumn(), rich.TextColumn("{task.description}"))
    with rich.Progress(*columns, console=Console(stderr=True), transient=True, refresh_per_second=4) as bars:
        task = bars.add_task("starting", total=None)

        def show(now: "Progress") -> None:
            bars.update(task, description=describe_step(now), total=now.total_points, completed=now.points)

        yield show


@contextlib.contextmanager
def _cautions_told() -> Iterator[None]:
    """Print what this project warns of as one line; leave the warnings of others alone."""
    with warnings.catch_warnings():
        others = warnings.showwarning

        def show(message: Any, category: Any, *where: Any, **more: Any) -> None:
            if issubclass(category, Caution):
                tell(str(message))
            else:
                others(message, category, *where, **more)

        warnings.simplefilter("always", Caution)
        warnings.showwarning = show
        yield


def tell(text: str) -> None:
    """Print a warning."""
    click.echo(f"warning: {one_line(text)}", err=True)


def load(config: Path, dtype: str | None = None) -> "Problem":
    """Read a config, and say what in it is usually a mistake."""
    from sweep.models.problem import Problem

    problem = Problem.read(config, dtype)
    for caveat in problem.told:
        tell(caveat)
    return problem


def echo(lines: Iterable[str]) -> None:
    """Print lines; a full disk behind stdout costs no more than them."""
    for line in lines:
        try:
            click.echo(line)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise Refusal(f"stdout: {error.strerror}") from None
