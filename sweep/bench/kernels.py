"""How close each kernel comes to the limits of this device: time, bytes, operations, shares of ceilings, error."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax

from sweep.bench import measure
from sweep.bench.ceilings import Ceilings, measure_ceilings
from sweep.bench.workload import Kernel, Work
from sweep.bench.workloads import KERNELS
from sweep.config.spec import DType
from sweep.errors import SpecError

OURS = "ours"
DTYPES: tuple[DType, ...] = ("float32", "float64")
SIZES = ("quick", "normal")
REPEATS, FEW_REPEATS = 21, 3
MOST_SECONDS = 4.0  # for all turns of one kernel; at least FEW_REPEATS are taken
WIDTHS = (58, 10, 17, 9, 7, 7, 8, 7, 7, 9)
HEADINGS = ("kernel", "ms", "p10 to p90", "points/s", "GB/s", "of mem.", "Gop/s", "of FMA", "comp. s", "ulp")


def check(kernels: Sequence[str], size: str, device: str | None) -> None:
    """Refuse what cannot be measured here, before anything is.

    Raises
    ------
    SpecError
        Naming the kernel, size or device, and what there is.
    """
    for name in kernels:
        if name not in KERNELS:
            raise SpecError(f'kernel: there is no "{name}"; there are {", ".join(KERNELS)}')
    size_of(size, next(iter(KERNELS.values())))
    used = jax.default_backend()
    if device is not None and device != used:
        try:
            jax.devices(device)
        except RuntimeError:
            raise SpecError(f'device: there is no "{device}" here; JAX sees: {used}') from None
        raise SpecError(f'device: JAX uses "{used}" here; set JAX_PLATFORMS={device} to measure the other')


def size_of(size: str, kernel: Kernel) -> int:
    """Points that a kernel is given, of about which its arguments are made.

    Raises
    ------
    SpecError
        For a size that is neither a name nor a number of points.
    """
    if size in SIZES:
        on_accelerator = jax.default_backend() != "cpu" and not kernel.on_host
        return kernel.few if size == "quick" else kernel.points * (kernel.more if on_accelerator else 1)
    try:
        points = float(size)
    except ValueError:
        points = math.nan
    if not (1 <= points <= 1e12 and points == int(points)):
        raise SpecError(f'size: must be quick, normal or a whole number of points from 1 to 1e12, got "{size}"')
    return int(points)


def bench(kernels: Sequence[str], dtypes: Sequence[DType], size: str = "normal") -> Iterator[dict[str, Any]]:
    """Measure the ceilings of JAX's default device, and kernels against them; yield result lines.

    Parameters
    ----------
    kernels : sequence of str
        Names in `KERNELS`; none for all.
    dtypes : sequence of str
        Of `DTYPES`.
    size : str
        Of `SIZES`, or a number of points.

    Raises
    ------
    SpecError
        As :func:`check`.
    """
    check(kernels, size, None)
    quick = size == "quick"
    for dtype in dtypes:
        ceilings, lines = measure_ceilings(dtype, quick=quick)
        yield from lines
        for name in kernels or KERNELS:
            kernel = KERNELS[name]
            if dtype not in kernel.dtypes:
                reason = f"it works in {' and '.join(kernel.dtypes)} only"
                yield {"case": f"{name}, {dtype}", "result": OURS, "skipped": reason}
                continue
            with jax.enable_x64(dtype == "float64"):
                yield measure_kernel(kernel, dtype, size_of(size, kernel), ceilings, quick=quick)


def measure_kernel(kernel: Kernel, dtype: DType, points: int, ceilings: Ceilings, *, quick: bool) -> dict[str, Any]:
    """Give the result line of one kernel: its first call apart, then enough turns, then the error of the last one."""
    work = kernel.make(points, dtype)
    work.before()
    began = time.perf_counter()
    result = work.call()
    first = time.perf_counter() - began
    facts = work.judge(result)
    del result
    repeats = FEW_REPEATS if quick else REPEATS
    if first > MOST_SECONDS / REPEATS:
        # The first call may have compiled: the second tells how many turns there is time for.
        again = measure.race({OURS: work.call}, repeats=1, warm_up=0, before=work.before)[OURS].median
        repeats = max(FEW_REPEATS, min(repeats, int(MOST_SECONDS / again)))
    timing = measure.race({OURS: work.call}, repeats=repeats, warm_up=1, before=work.before)[OURS]
    facts |= {"kernel": kernel.name, "dtype": dtype, "first_seconds": round(first, 4)}
    facts |= {} if work.compile_seconds is None else {"compile_seconds": round(work.compile_seconds, 4)}
    case = f"{kernel.name}, {dtype}, {work.shape}"
    line = measure.timed(case, OURS, timing, points=work.points, bytes=work.moved, **facts)
    return line | _rates(work, timing.median, ceilings, kernel.on_host)


def _rates(work: Work, seconds: float, ceilings: Ceilings, on_host: bool) -> dict[str, Any]:
    """Operations a second and shares of ceilings; the ceilings of an accelerator are none of its host's."""
    rates: dict[str, Any] = {"on_host": on_host, "devices": work.devices}
    if work.operations is not None:
        rates["operations"] = work.operations
        rates["operations_per_second"] = float(f"{work.operations / seconds:.4g}")
    if on_host and jax.default_backend() != "cpu":
        return rates
    # The ceilings are those of one device; devices that are forced on a CPU share its cores.
    devices = work.devices if jax.default_backend() != "cpu" else 1
    rates |= ceilings.shares(devices * seconds, work.moved, work.writes_only, work.operations)
    if work.powers:
        # How long an exp2 and a log2 of XLA take for each power, over what the kernel takes for all it does.
        least = work.powers * (1.0 / ceilings.rates["exp2"] + 1.0 / ceilings.rates["log2"])
        rates["share_of_exp2_and_log2"] = float(f"{least / seconds / devices:.3g}")
    return rates


def heading() -> str:
    """Name the columns of :func:`row`."""
    return _columns(HEADINGS)


def row(line: Mapping[str, Any]) -> str:
    """One line of a table for people: a kernel, or in words a ceiling, a comparison or what was skipped."""
    if "kernel" not in line:
        text = measure.describe({**line, "result": f"{line['case']}: {line['result']}"})
        return text + (f", {line['rate'] / 1e9:.4g} G{line['rate_unit']}" if "rate" in line else "")
    low, median, high = (line["seconds"][key] * 1e3 for key in ("p10", "median", "p90"))
    memory = line.get("share_of_fill", line.get("share_of_copy"))
    compiled = line.get("compile_seconds", line["first_seconds"])
    cells = (
        line["case"],
        f"{median:.4g}",
        f"{low:.4g} to {high:.4g}",
        f"{line['points_per_second']:.3g}",
        f"{line['gigabytes_per_second']:.3g}",
        _or_dash(memory, "{:.2f}"),
        _or_dash(line.get("operations_per_second"), "{:.4g}", 1e9),
        _or_dash(line.get("share_of_multiply_add"), "{:.2f}"),
        f"{compiled:.2f}",
        _error(line),
    )
    return _columns(cells)


def _or_dash(value: float | None, form: str, unit: float = 1.0) -> str:
    return "-" if value is None else form.format(value / unit)


def _error(line: Mapping[str, Any]) -> str:
    """Say how wrong a kernel was: in ulp, beyond what its arguments' rounding causes where that is known."""
    if "wrong" in line:
        return "wrong"
    if "misjudged" in line:
        return "exact" if line["misjudged"] == 0 else f"{line['misjudged']} wrong"
    return _or_dash(line.get("error_beyond_ulp", line.get("max_error_ulp")), "{:.3g}")


def _columns(cells: Sequence[str]) -> str:
    first, *rest = (cell.rjust(width) for cell, width in zip(cells, WIDTHS, strict=True))
    return " ".join([first.strip().ljust(WIDTHS[0]), *rest])
