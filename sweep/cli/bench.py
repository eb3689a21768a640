"""``sweep bench``: how fast this device is, and how near its limits."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sweep.cli.terminal import Refusal, check_outputs, echo

if TYPE_CHECKING:
    from sweep.config.spec import DType


@click.command()
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
    dtypes: "tuple[DType, ...]",
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
    check_outputs(path, None, None, True)
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
    results = []
    for line in lines:
        click.echo(benches.row(line))
        results.append(line)
        if file is not None:
            measure.append(file, {**shared, **line})
    if path is not None:
        from sweep.report import figures

        figures.save(plot_scaling(results), path)
        click.echo(path)
