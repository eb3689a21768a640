"""A dataset as one HTML file that works offline: the answer, sliders over every axis, figures, tables and origin."""

import html
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import xarray as xr

from sweep.config.distribution import REPLICATE
from sweep.errors import SpecError
from sweep.report.layout import in_bytes
from sweep.report.page.cells import with_others
from sweep.report.page.nodes import MOST_NODES, banded, fitted
from sweep.report.page.outline import outlined, variables_of
from sweep.report.page.sentences import certain
from sweep.report.page.template import Part, filled
from sweep.results.metadata import kind_of
from sweep.results.replicates import pooled

MAX_SIZE = 2_500_000  # bytes
# Dimensions of which nothing is left out.
SPLIT = ("strategy", "purchase", "rate", "plan", "known", "level")
WHOLE = ("parameter", "quantile", "limit", "end", "point", "box", *SPLIT)


@dataclass(frozen=True)
class Page:
    """An HTML file, which a notebook shows.

    Attributes
    ----------
    text : str
        The whole file.
    """

    text: str

    def __repr__(self) -> str:
        """How large it is, not all of it."""
        return f"<Page of {in_bytes(len(self.text.encode()))}; write(path) keeps it>"

    def _repr_html_(self) -> str:
        frame = 'sandbox="allow-scripts allow-downloads" style="width: 100%; height: 900px; border: 0"'
        return f'<iframe title="report" {frame} srcdoc="{html.escape(self.text)}"></iframe>'

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the file, whole or not at all.

        Raises
        ------
        SpecError
            For a name that ends in neither .html nor .htm, or a path that cannot be written.
        """
        check_path(path)
        path = Path(path)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            part.write_text(self.text, encoding="utf-8")
            part.replace(path)
        except OSError as error:
            raise SpecError(f"{path}: cannot be written: {error.strerror}") from None
        finally:
            part.unlink(missing_ok=True)


def check_path(path: str | os.PathLike[str]) -> None:
    """Refuse, before anything is computed, a path to which a page could not be written.

    Raises
    ------
    SpecError
        For a name that ends in neither .html nor .htm, a folder, or one that does not exist.
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise SpecError(f'{path}: a page is written as .html, got "{path.suffix}"')
    if path.is_dir():
        raise SpecError(f"{path}: is a folder, give the path of a file")
    if not path.parent.is_dir():
        raise SpecError(f"{path}: the folder {path.parent} does not exist")


def page(
    dataset: xr.Dataset,
    *,
    title: str | None = None,
    max_size: int = MAX_SIZE,
    command: str | None = None,
    beside: Sequence[str] = (),
) -> Page:
    """Make a page of a dataset: one HTML file that needs no network, with a slider for every axis.

    Nothing is computed on the page: it shows nodes of the dataset, in 16 bits a value where they are many, and says how
    far these are from what was computed.

    Parameters
    ----------
    dataset : xarray.Dataset
        From :func:`sweep.run`, :func:`sweep.optimise`, :func:`sweep.frontier`, :func:`sweep.sensitivity` or
        :func:`sweep.discover`, or opened lazily; only the nodes that the page holds are loaded.
    title : str, optional
        Instead of that of the dataset.
    max_size : int
        Most bytes that the file may take, 2.1 MB or more: Plotly takes 2 MB. Of the longest axes only every
        second, third, ... node is kept until it fits; the page says so.
    command : str, optional
        What makes the page again, for those who read it.
    beside : sequence of str
        Lines of text that the page shows as they are, such as the answers to a target under other laws.

    Returns
    -------
    Page
        `write` keeps it; a notebook shows it.

    Raises
    ------
    SpecError
        Where there is nothing to show, or it does not fit.
    ImportError
        Without plotly.

    Examples
    --------
    >>> import sweep
    >>> sweep.page(sweep.run("configs/smoke.toml")).write("smoke.html")  # doctest: +SKIP
    """
    return report([part_of(dataset, title, command, beside)], max_size=max_size)


def report(parts: Sequence[Part], *, title: str | None = None, text: str = "", max_size: int = MAX_SIZE) -> Page:
    """Make a page of parts that have no numbers yet, each as large as all of them leave room for.

    Parameters
    ----------
    parts : sequence of Part
        From :func:`part_of`, one or more.
    title : str, optional
        Heading; that of the only part if not said.
    text : str
        What to say under it.
    max_size : int
        Most bytes that the file may take.

    Raises
    ------
    SpecError, ImportError
        As :func:`page`.
    """
    title = title or parts[0].title
    size = max_size - len(filled(parts, title, text).encode())
    if size <= 0:
        raise SpecError(
            f"--max-size: a page without numbers takes {max_size - size:,} bytes, got {max_size:,}; give more"
        )
    while True:
        left, full = size, []
        for i, part in enumerate(parts):
            names, share = variables_of(list(part.choices), part.dataset), len(parts) - i
            dataset, variables, left_out = fitted(
                part.dataset, names, left // share, WHOLE, most=MOST_NODES // len(parts)
            )
            full.append(replace(part, dataset=dataset, variables=variables, left_out=left_out))
            left -= sum(len(variable["data"]) for variable in variables.values())
        written = filled(full, title, text)
        excess = len(written.encode()) - max_size
        if excess <= 0:
            return Page(written)
        size = max(size - excess, size // 2)  # values of axes are text, and fewer with the nodes


def part_of(
    dataset: xr.Dataset,
    title: str | None = None,
    command: str | None = None,
    beside: Sequence[str] = (),
    text: str = "",
) -> Part:
    """Outline a dataset, whose numbers are to be added.

    Parameters
    ----------
    dataset, title, command, beside
        As :func:`page` takes them.
    text : str
        What to say above the answer.

    Raises
    ------
    SpecError
        Where there is nothing to show.
    """
    if REPLICATE in dataset.dims and kind_of(dataset) == "statistics":
        dataset = pooled(dataset)
    dataset = banded(dataset).assign_attrs(title=title or str(dataset.attrs.get("title") or "Untitled"))
    choices = outlined(dataset)
    if not variables_of(choices, dataset):
        raise SpecError("the dataset holds no numbers to show")
    return Part(
        dataset, with_others(choices, dataset), command=command, beside=beside, text=text, certain=certain(dataset)
    )
