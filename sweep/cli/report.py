"""``sweep report``: one HTML file of a config, a store or a file."""

import shlex
from pathlib import Path

import click

from sweep.cli.compiled import NO_CACHE
from sweep.cli.plot import dataset_of
from sweep.cli.terminal import load, size


@click.command()
@click.argument("source", metavar="CONFIG|STORE|FILE", type=click.Path(path_type=Path))
@click.option("-o", "path", type=click.Path(path_type=Path), help="Page to write, .html; by default named as it is.")
@click.option("--title", metavar="TEXT", help="Heading of the page, instead of that of the sweep.")
@click.option(
    "--max-size",
    type=size,
    default="2.5MB",
    show_default=True,
    help="Most that the page may take; of long axes it then has every second, third, ... value, and says so.",
)
@NO_CACHE
def report(source: Path, path: Path | None, title: str | None, max_size: int) -> None:
    """Write one HTML page that answers: sliders over every axis, figures, tables, and where the numbers come from.

    It needs no network, so that it can be sent. A CONFIG, a .toml file, is computed first; STORE is the folder of a
    run; a FILE, .nc, is one that --netcdf wrote, by sweep frontier, sensitivity, discover or optimise too.

    Example: sweep report configs/baseline.toml -o baseline.html
    """
    from sweep.report.page.page import check_path, page
    from sweep.report.page.plotly_script import plotly_script

    path = Path(f"{source.stem or 'sweep'}.html") if path is None else path
    check_path(path)
    plotly_script()
    words = ["sweep", "report", str(source), "-o", str(path), *(("--title", title) if title else ())]
    dataset = dataset_of(source, lazy=True)
    beside = _answers(source) if source.suffix == ".toml" else []
    page(dataset, title=title, max_size=max_size, command=shlex.join(words), beside=beside).write(path)
    click.echo(path)


def _answers(config: Path) -> list[str]:
    """Answers to the targets of a config, under its law and the published ones beside it."""
    from sweep.report.answers import answers
    from sweep.report.describe_results import describe_answers

    problem = load(config)
    return list(describe_answers(*answers(problem), problem.source))
