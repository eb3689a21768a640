"""``sweep report``: one HTML file of a config, a store, a file, or of several of them."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sweep.cli.compiled import NO_CACHE
from sweep.cli.plot import dataset_of
from sweep.cli.terminal import load, size

if TYPE_CHECKING:
    from sweep.report.page.template import Part


@click.command()
@click.argument("source", metavar="CONFIG|STORE|FILE|REPORT", type=click.Path(path_type=Path))
@click.option("-o", "path", type=click.Path(path_type=Path), help="Page to write, .html; by default named as it is.")
@click.option("--title", metavar="TEXT", help="Heading of the page, instead of that of the sweep or of the report.")
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
    run; a FILE, .nc, is one that --netcdf wrote, by sweep frontier, sensitivity, discover or optimise too. A REPORT, a
    .toml file with [[sections]], each with the source, a config, a store or a file beside it, and if wanted the title
    and text, becomes one page of all, with a table of contents.

    Example: sweep report configs/baseline.toml -o baseline.html
    """
    from sweep.report.page import page, sections
    from sweep.report.page.plotly_script import plotly_script

    path = Path(f"{source.stem or 'sweep'}.html") if path is None else path
    page.check_path(path)
    plotly_script()
    words = shlex.join(["sweep", "report", str(source), "-o", str(path), *(("--title", title) if title else ())])
    if not sections.is_report(source):
        page.report([_part(source, title, words)], max_size=max_size).write(path)
    else:
        listed = sections.read_report(source)
        sources = list(sections.sources_of(listed, source))
        pairs = zip(sources, listed.sections, strict=True)
        parts = [_part(where, section.title, words, section.text) for where, section in pairs]
        page.report(parts, title=title or listed.title, text=listed.text, max_size=max_size).write(path)
    click.echo(path)


def _part(source: Path, title: str | None, command: str, text: str = "") -> "Part":
    """One answer, and those to the targets of a config under its law and the published ones beside it."""
    from sweep.report.page.page import part_of

    dataset = dataset_of(source, lazy=True)
    return part_of(dataset, title, command, _answers(source) if source.suffix == ".toml" else (), text)


def _answers(config: Path) -> list[str]:
    from sweep.report.answers import answers
    from sweep.report.describe_results import describe_answers

    problem = load(config)
    return list(describe_answers(*answers(problem), problem.source))
