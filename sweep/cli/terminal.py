"""The terminal: options and values of commands, errors as one line, progress, and text that is printed.

With :mod:`sweep.cli.main` and :mod:`sweep.cli.questions`, which use it, all that prints, exits or reads arguments.
Libraries are imported inside what needs them.
"""

import contextlib
import errno
import math
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import sweep
from sweep.surroundings import EXTRAS

if TYPE_CHECKING:
    import xarray as xr

    from sweep.config.spec import SweepSpec
    from sweep.engine.loop import Progress

DAMAGED, REFUSED = 1, 2
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
UNITS = {"B": 1, **{f"{p}B": 1000**i for i, p in enumerate("kMGT", 1)}}
UNITS |= {f"{p}iB": 1024**i for i, p in enumerate("KMGT", 1)}


class Refusal(click.ClickException):
    """One line on stderr, and the exit code of a request that cannot be met."""

    exit_code = REFUSED

    def show(self, file: Any = None) -> None:
        """Print the line."""
        from sweep.errors import one_line

        click.echo(f"error: {one_line(self.message)}", err=True)


def _misuse(error: click.UsageError, ctx: click.Context) -> Refusal:
    message = " ".join(error.format_message().split()).rstrip(".")
    return Refusal(f"{message}; see {(error.ctx or ctx).command_path} --help")


class Stop:
    """What Ctrl-C, SIGTERM and SIGHUP do while a command runs.

    The first one asks the command to stop: a loop looks after every block, because an exception that is raised
    anywhere may be swallowed there, as callbacks of the garbage collection do; where no loop runs it is raised at
    once. The second one ends the process. A signal that is ignored already, as under nohup, stays so.
    """

    def __init__(self) -> None:
        self.number = 0
        self._is_looked_at = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Stop":
        """Take the signals over, where Python lets a thread do so."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        """Give them back."""
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _ask(self, number: int, _: Any) -> None:
        self.number = number
        for each in self._before:
            signal.signal(each, signal.SIG_DFL)
        if sys.stderr.isatty():
            os.write(2, b"\x1b[?25h")  # the cursor, which a bar hides and a second signal would leave so
        if not self._is_looked_at:
            raise KeyboardInterrupt

    @property
    def code(self) -> int:
        """The exit status: 130, 143 or 129."""
        return 128 + (self.number or signal.SIGINT)

    def look(self, *_: Any) -> None:
        """Stop here if that was asked for; fit to be told of progress."""
        if self.number:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def looked_at(self) -> "Iterator[Callable[..., None]]":
        """Wait for a loop, which calls what is yielded after every block."""
        self._is_looked_at = True
        try:
            yield self.look
        finally:
            self._is_looked_at = False
        self.look()


def stop() -> Stop:
    """The signals of the command that runs; of none, where there is no command."""
    context = click.get_current_context(silent=True)
    return (context and context.find_object(Stop)) or Stop()


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
            with _caveats_once():
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


class At(click.ParamType):
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


CONFIG = click.argument("config", type=click.Path(path_type=Path))
DTYPE = click.option("--dtype", type=click.Choice(["float32", "float64"]), help="Instead of the config's precision.")
MEMORY = click.option(
    "--memory",
    type=_Size(),
    help="Budget such as 512MB, 4GiB or 2e9 (bytes); by default half of the machine's, or of the container's.",
)


def held(at: tuple[tuple[str, float], ...]) -> dict[str, float]:
    """Give the value at which each dimension is held, once."""
    places = dict(at)
    for dim in places:
        if len(found := [f"{value:g}" for name, value in at if name == dim]) > 1:
            raise Refusal(f"--at: {dim} is held twice, at {' and '.join(found)}; hold it once")
    return places


def read_netcdf(path: Path) -> "xr.Dataset":
    """Load a file that --netcdf wrote, which is whole."""
    from sweep.results import netcdf

    return netcdf.read(path).assign_attrs(complete=True)


def evaluate(
    spec: "SweepSpec", store: Path | None, memory: int | None, overwrite: bool
) -> "tuple[xr.Dataset, Progress]":
    """Run a sweep, showing how far it is; an interrupt says what is left of it."""
    from sweep.report.describe import count

    last: list[Progress] = []
    try:
        with bar() as show:

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
        raise click.exceptions.Exit(stop().code) from None
    return dataset, last[0]


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
def _caveats_once() -> Iterator[None]:
    """Print each warning that this project raises at a command, once, as one line; leave those of others alone."""
    seen: list[str] = []
    ours = set(map(str, Path(__file__).parent.glob("*.py")))  # the warnings of what they call appear there
    with warnings.catch_warnings():
        others = warnings.showwarning

        def show(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
            if filename not in ours or not issubclass(category, UserWarning):
                others(message, category, filename, lineno, file, line)
            # load names the file before what run says again.
            elif not any(earlier.endswith(str(message)) for earlier in seen):
                from sweep.errors import one_line

                seen.append(str(message))
                click.echo(f"warning: {one_line(str(message))}", err=True)

        warnings.filterwarnings("always", category=UserWarning, module=r"sweep\.cli\.")
        warnings.showwarning = show
        yield


def echo(lines: Iterable[str]) -> None:
    """Print lines; a full disk behind stdout costs no more than them."""
    for line in lines:
        try:
            click.echo(line)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise Refusal(f"stdout: {error.strerror}") from None
