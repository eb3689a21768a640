"""The command line: parse, call one function, print. The only module that prints, exits or reads arguments.

Libraries are imported inside the command that needs them, so that ``--help``, ``describe`` and ``status`` start
without JAX and xarray.
"""

import contextlib
import errno
import math
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import xarray as xr

    from sweep.loop import Progress
    from sweep.model import Model
    from sweep.plan import Plan
    from sweep.spec import Axis, SweepSpec

REFUSED, INTERRUPTED = 2, 130
OF_A_STORE = ("complete", "blocks", "chunks")  # attributes that say how a store is laid out
UNITS = {"B": 1, **{f"{p}B": 1000**i for i, p in enumerate("kMGT", 1)}}
UNITS |= {f"{p}iB": 1024**i for i, p in enumerate("KMGT", 1)}


class _Refusal(click.ClickException):
    """One line on stderr, and the exit code of a request that cannot be met."""

    exit_code = REFUSED

    def show(self, file: Any = None) -> None:
        """Print the line."""
        click.echo(f"error: {self.message}", err=True)


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
            if error.name != "matplotlib":
                raise
            raise _Refusal(str(error)) from None
        except ValueError as error:
            from sweep.spec import SpecError

            if not isinstance(error, SpecError):
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
    sweep status out.zarr                                  how far it is
    sweep plot out.zarr -o loss.png                        draw it
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
    spec = _load(config, dtype)
    _echo(_description(spec, _plan(spec, memory), _default_memory() if memory is None else memory))


@main.command()
@_config
@click.option("--store", type=click.Path(path_type=Path), help="Zarr store to write, or to go on with.")
@click.option("--netcdf", type=click.Path(path_type=Path), help="NetCDF file to write, from memory.")
@_dtype
@_memory
@click.option("--overwrite", is_flag=True, help="Replace what is at --store and --netcdf.")
def run(
    config: Path, store: Path | None, netcdf: Path | None, dtype: str | None, memory: int | None, overwrite: bool
) -> None:
    """Compute CONFIG, into a store or a file.

    With neither, the range of each output is printed and nothing is kept. A stopped run goes on with the same
    command and the same --store.

    Example: sweep run configs/baseline.toml --store out.zarr --memory 2GB
    """
    spec = _load(config, dtype)
    if netcdf is not None:
        _check_netcdf(netcdf, spec, memory, overwrite)
    dataset, last = _evaluate(spec, store, memory, overwrite)
    if netcdf is not None:
        _write_netcdf(dataset, netcdf)
    if store is None and netcdf is None:
        _echo(_summary_table(dataset))
    click.echo(_summary(last, len(spec.outputs), [str(path) for path in (store, netcdf) if path is not None]))


@main.command()
@click.argument("store", type=click.Path(path_type=Path))
def status(store: Path) -> None:
    """Say how far STORE is, and what it holds.

    Example: sweep status out.zarr
    """
    from sweep import store as stores

    found, plan = stores.attributes(store), stores.plan_of(store)
    missing = stores.pending(store, plan)
    _echo(_state(found, plan, missing, _bytes_on_disk(store)))


@main.command()
@click.argument("source", metavar="STORE|CONFIG", type=click.Path(path_type=Path))
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
    """Draw one output as curves or a heat map.

    STORE is the folder of a run; a CONFIG, a .toml file, is computed in memory first.

    Example: sweep plot out.zarr --x time --lines fleet_size --at doubling_rate=0.5 -o loss.png
    """
    path = Path(f"{source.stem or 'sweep'}.png") if path is None else path
    _check_folder(path)
    from sweep import figures

    if source.exists() and not source.is_dir() and source.suffix != ".toml":
        raise _Refusal(f"{source}: is neither a store (a folder) nor a config (a .toml file)")
    dataset = _open(source) if source.is_dir() else _evaluate(_load(source, None), None, None, False)[0]
    figures.save(figures.plot(dataset, output=output, x=x, lines=lines, y=y, at=dict(at)), path)
    click.echo(path)


def _load(path: Path, dtype: str | None) -> "SweepSpec":
    """Read a config, in another precision if one is given."""
    import sweep
    from sweep.equations import MODELS

    spec = sweep.load(path)
    if dtype is None or dtype == spec.dtype:
        return spec
    try:
        return MODELS[spec.model].resolve(spec.model_copy(update={"dtype": dtype}))
    except sweep.SpecError as error:
        raise sweep.SpecError(f"{path}: {error}") from None


def _plan(spec: "SweepSpec", memory: int | None) -> "Plan":
    """Plan a sweep as a run into a store would."""
    from sweep.equations import MODELS
    from sweep.plan import make_plan

    model = MODELS[spec.model]
    return make_plan(
        spec.shape,
        {name: model.dims(spec, name) for name in spec.outputs},
        itemsize=4 if spec.dtype == "float32" else 8,
        memory=_default_memory() if memory is None else memory,
        tables=model.table_dims(spec),
    )


def _default_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _evaluate(
    spec: "SweepSpec", store: Path | None, memory: int | None, overwrite: bool
) -> "tuple[xr.Dataset, Progress]":
    """Run a sweep, showing how far it is; an interrupt says what is left of it."""
    last: list[Progress] = []
    try:
        with _bar() as show:

            def progress(now: "Progress") -> None:
                last[:] = [now]
                show(now)

            import sweep

            dataset = sweep.run(spec, store=store, memory=memory, overwrite=overwrite, progress=progress)
    except KeyboardInterrupt:
        if store is None:
            click.echo("stopped; nothing was stored", err=True)
        elif not last:
            click.echo("stopped before the first block; the same command goes on", err=True)
        else:
            done = f"{last[0].blocks:,} of {_count(last[0].total_blocks, 'block')}"
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

    columns = (rich.BarColumn(), rich.TextColumn("{task.description}"))
    with rich.Progress(*columns, console=Console(stderr=True), transient=True, refresh_per_second=4) as bars:
        task = bars.add_task("starting", total=None)

        def show(now: "Progress") -> None:
            bars.update(task, description=_step(now), total=now.total_points, completed=now.points)

        yield show


def _step(now: "Progress") -> str:
    """One line for a run in progress."""
    text = f"{now.blocks:,} of {_count(now.total_blocks, 'block')}"
    if not now.new_points or not now.seconds:
        return text
    left = (now.total_points - now.points) * now.seconds / now.new_points
    return f"{text}, {now.new_points / now.seconds:.3g} points/s, {_size(now.new_bytes)}, {_duration(left)} left"


def _summary(last: "Progress", outputs: int, paths: list[str]) -> str:
    """One line for a run that has ended."""
    amount = f"{_count(last.total_points, 'point')}, {_count(outputs, 'output')}"
    where = f"written to {' and '.join(paths)}"
    if not last.new_points:
        return f"complete already, nothing was computed: {amount}; {where.replace('written to', 'in', 1)}"
    if last.new_points < last.total_points:
        amount = f"{last.new_points:,} of {amount}, the others were stored already"
    where = where if paths else "nothing was stored, --store PATH or --netcdf PATH keeps it"
    rate = last.new_points / max(last.seconds, 1e-9)
    return f"{amount}: {last.seconds:.3g} s, {rate:.3g} points/s, {_size(last.new_bytes)}; {where}"


def _summary_table(dataset: "xr.Dataset") -> Iterator[str]:
    """Name, dimensions, range and unit of each variable in memory."""
    import numpy as np

    rows = []
    for name, variable in {**dataset.coords, **dataset.data_vars}.items():
        values = variable.values
        undefined = int(np.isnan(values).sum())
        low, high = (np.nanmin(values), np.nanmax(values)) if undefined < values.size else (math.nan, math.nan)
        span = f"{low:.8g}" if low == high else f"{low:.8g} to {high:.8g}"
        span += f" ({undefined:,} of {values.size:,} undefined)" if undefined else ""
        rows.append((str(name), _shape(map(str, variable.dims), variable.shape), span, _unit(variable.attrs["units"])))
    yield from _table(rows)


def _check_netcdf(path: Path, spec: "SweepSpec", memory: int | None, overwrite: bool) -> None:
    """Refuse a NetCDF file that could not be written, before anything is computed."""
    from importlib.util import find_spec

    for library in ("h5netcdf", "h5py"):
        if find_spec(library) is None:
            raise _Refusal(f'--netcdf: needs {library}; pip install "relative-loss-sweep[netcdf]"')
    _check_folder(path)
    if path.is_dir():
        raise _Refusal(f"--netcdf {path}: is a folder, give the path of a file")
    if path.exists() and not overwrite:
        raise _Refusal(f"--netcdf {path}: exists already; use another path or --overwrite")
    result = _result_bytes(_plan(spec, None))
    budget = _default_memory() if memory is None else memory
    if result > budget // 2:
        raise _Refusal(
            f"--netcdf {path}: is written from memory, and the result takes {_size(result)}, more than half of the "
            f"budget of {_size(budget)}; use --store, a larger --memory or shorter axes"
        )


def _write_netcdf(dataset: "xr.Dataset", path: Path) -> None:
    """Write a NetCDF file that appears at `path` whole or not at all."""
    import secrets

    fresh = path.with_name(f".{path.name}.new-{secrets.token_hex(4)}")
    plain = dataset.load().drop_encoding()
    plain.attrs = {key: _netcdf_attribute(value) for key, value in plain.attrs.items() if key not in OF_A_STORE}
    # CF allows no missing values in a coordinate, and xarray would declare one.
    encoding = {name: {"_FillValue": None} for name in plain.coords}
    try:
        plain.to_netcdf(fresh, engine="h5netcdf", encoding=encoding)
        with open(fresh, "rb") as file:
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise _Refusal(f"--netcdf {path}: cannot be written: {error.strerror or error}") from None
    finally:
        fresh.unlink(missing_ok=True)


def _netcdf_attribute(value: Any) -> Any:
    """Give an attribute in a type that NetCDF has: no truth values, no lists of lists."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, list | tuple) and not all(isinstance(v, int | float) for v in value):
        return ", ".join(map(str, value))
    return value if isinstance(value, str | int | float | list | tuple) else str(value)


def _check_folder(path: Path) -> None:
    if not path.parent.is_dir():
        raise _Refusal(f"{path}: the folder {path.parent} does not exist")


def _open(path: Path) -> "xr.Dataset":
    """Open a store lazily, saying so when part of it is missing."""
    from sweep import store as stores

    plan = stores.plan_of(path)
    missing = stores.pending(path, plan)
    if missing:
        click.echo(f"warning: {path}: {len(missing):,} of {_count(len(plan), 'block')} not computed yet", err=True)
    import xarray as xr

    return xr.open_zarr(path, chunks=None)


def _description(spec: "SweepSpec", plan: "Plan", memory: int) -> Iterator[str]:
    """Everything known of a sweep before it runs."""
    import shutil

    from sweep.equations import MODELS

    model = MODELS[spec.model]
    yield from _facts(
        [
            ("config", spec.path),
            ("title", spec.title),
            ("model", f"{model.name}, fingerprint {spec.fingerprint()}"),
            ("equation", model.equation),
            ("source", model.source),
            ("assumes", model.assumptions),
            ("loss", spec.loss or ""),
        ]
    )
    needed = {name for output in spec.outputs for name in model.output(output).parameters}
    yield from ("", "parameters", *_table(_parameter_rows(spec, model, needed)))
    idle = [name for name in spec.fixed if name not in needed]
    if idle:
        yield f"  not needed by these outputs: {', '.join(idle)}"
    yield from ("", "outputs", *_table(_output_rows(plan, model, spec.dtype)), "")
    blocks = f"{_count(len(plan), 'block')} of {' x '.join(f'{n:,}' for n in plan.block_shape)}"
    held = f"{_size(_result_bytes(plan))} in memory"
    if _result_bytes(plan) > memory // 2:
        held += f" (over half of the budget of {_size(memory)}, so it needs --store)"
    disk = f"at most {_size(_stored_bytes(plan))} on disk, {_size(shutil.disk_usage('.').free)} free here"
    yield from _facts(
        [
            ("points", f"{plan.points:,} in {blocks}"),
            ("bytes", f"{held}; {disk}"),
        ]
    )


def _parameter_rows(spec: "SweepSpec", model: "Model", needed: set[str]) -> Iterator[tuple[str, ...]]:
    """Axes in the order of the file, then the values that are held."""
    for name, axis in spec.axes.items():
        yield name, _span(axis), _unit(model.parameter(name).unit), axis.source
    for name, fixed in spec.fixed.items():
        if name in needed:
            yield name, f"{fixed.value:.8g}", _unit(model.parameter(name).unit), fixed.source


def _output_rows(plan: "Plan", model: "Model", dtype: str) -> Iterator[tuple[str, ...]]:
    for name, dims in plan.variables.items():
        size = _size(plan.itemsize * math.prod(plan.lengths(name)))
        yield name, _shape(dims, plan.lengths(name)), f"{dtype}, {size}", _unit(model.output(name).unit)


def _state(found: dict[str, Any], plan: "Plan", missing: list[int], stored: int) -> Iterator[str]:
    """How far a store is and what it holds, from its metadata."""
    import json

    from sweep.spec import Axis

    spec = json.loads(found["spec"])
    left = sum(plan.block(number).points for number in missing)
    state = "complete" if not missing else "not complete; the run that began it goes on with the same command"
    if not missing and not found["complete"]:
        state = "every block is stored; run it once more to mark it complete"
    done = len(plan) - len(missing)
    # Rounded down, so that 100 % means all.
    percent = math.floor(1000 * (plan.points - left) / plan.points) / 10
    yield from _facts(
        [
            ("state", state),
            ("blocks", f"{done:,} of {len(plan):,}, {percent:g} %"),
            ("points", f"{plan.points - left:,} of {plan.points:,}"),
            ("on disk", _size(stored)),
            ("title", found["title"]),
            ("model", f"{spec['model']}, fingerprint {found['fingerprint']}"),
            ("loss", spec["loss"] or ""),
            ("equation", found["equation"]),
            ("fixed", found["fixed"]),
            ("dtype", found["dtype"]),
            ("device", found["device"]),
            ("versions", ", ".join(f"{k[8:]} {v}" for k, v in found.items() if k.startswith("version_"))),
            ("caveats", found["caveats"]),
        ]
    )
    axes = {name: Axis(**axis) for name, axis in spec["axes"].items()}
    yield from ("", "axes", *_table((name, _span(axis)) for name, axis in axes.items()))
    rows = ((name, _shape(dims, plan.lengths(name))) for name, dims in plan.variables.items())
    yield from ("", "outputs", *_table(rows))


def _bytes_on_disk(path: Path) -> int:
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            with contextlib.suppress(FileNotFoundError):  # a temporary file of a run that is writing
                total += os.stat(os.path.join(folder, name)).st_size
    return total


def _result_bytes(plan: "Plan") -> int:
    """Bytes of a result in memory, coordinates included."""
    return plan.nbytes + 8 * sum(plan.shape.values())


def _stored_bytes(plan: "Plan") -> int:
    """Bytes of a store whose values do not compress: whole chunks, their headers and their index, and metadata."""
    total = 2**16 + 8 * sum(plan.shape.values())
    for name in plan.variables:
        lengths, sides = plan.lengths(name), plan.along(name, plan.chunk_shape)
        shards = math.prod(-(-n // b) for n, b in zip(lengths, plan.along(name, plan.block_shape), strict=True))
        chunks = math.prod(-(-n // c) for n, c in zip(lengths, sides, strict=True))
        inner = math.prod(b // c for b, c in zip(plan.block_shape, plan.chunk_shape, strict=True))
        total += chunks * (plan.itemsize * math.prod(sides) + 16) + shards * (16 * inner + 4)
    return total


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
        click.echo(line)


def _facts(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Lay out names and texts, leaving out what is empty."""
    import shutil
    import textwrap

    width = max(60, min(120, shutil.get_terminal_size((100, 24)).columns))
    for name, text in rows:
        if text:
            yield from textwrap.wrap(text, width, initial_indent=f"{name:<10}", subsequent_indent=" " * 10)


def _table(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Lay out columns, two spaces apart."""
    kept = list(rows)
    widths = [max(map(len, column)) for column in zip(*kept, strict=True)]
    for row in kept:
        yield "  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _span(axis: "Axis") -> str:
    """Say in words what an axis holds."""
    if axis.values is None:
        return f"{axis.start:.8g} to {axis.stop:.8g}, {len(axis):,} {'log-spaced' if axis.is_log else 'evenly spaced'}"
    shown = [f"{value:.8g}" for value in (axis.values if len(axis) <= 6 else (*axis.values[:2], axis.values[-1]))]
    if len(axis) > 6:
        shown.insert(2, "...")
    return f"{', '.join(shown)} ({_count(len(axis), 'value')})"


def _shape(dims: Iterable[str], lengths: Iterable[int]) -> str:
    """Say which dimensions a variable has and how long they are."""
    return " x ".join(f"{dim} {length:,}" for dim, length in zip(dims, lengths, strict=True)) or "one number"


def _unit(unit: str) -> str:
    return "" if unit == "1" else unit


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _size(number: int) -> str:
    """Bytes in decimal units."""
    if number < 1000:
        return f"{number} B"
    power = min(int(math.log10(number)) // 3, 6)
    return f"{number / 1000**power:.3g} {' kMGTPE'[power]}B"


def _duration(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
