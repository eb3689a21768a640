"""A report of several sections: a file that lists the questions, read and checked before any of them is answered."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sweep.config.files import read_toml
from sweep.config.record import FieldError, Frozen
from sweep.errors import SpecError, short, unknown
from sweep.models.problem import Problem

SECTIONS = "sections"
MOST = 20  # sections of a page that a browser opens quickly
KINDS = "a config (.toml), a store (a folder) or a file of --netcdf (.nc)"


class Section(Frozen):
    """One question of a report.

    Attributes
    ----------
    source : str
        A config, a store or a file, from the folder of the report.
    title : str, optional
        Instead of that of the sweep.
    text : str
        What to say above the answer.
    """

    source: str
    title: str | None = None
    text: str = ""


class Report(Frozen):
    """What a report consists of.

    Attributes
    ----------
    sections : tuple of Section
        In the order of the page.
    title : str
        Heading of the page.
    text : str
        What to say above the contents.
    """

    sections: tuple[Section, ...]
    title: str = "Report"
    text: str = ""


def is_report(path: Path) -> bool:
    """Whether a file lists sections, where a config has axes; one that cannot be read does not."""
    try:
        return path.suffix == ".toml" and SECTIONS in read_toml(path)
    except (OSError, ValueError):
        return False


def read_report(path: Path) -> Report:
    """Read a report, and check that its sources can be read, before anything is computed.

    Parameters
    ----------
    path : Path
        A TOML file with a list of tables ``[[sections]]``.

    Raises
    ------
    SpecError
        One line that names the file, the key, the value and what is allowed.
    """
    try:
        report = _recorded(read_toml(path))
        for place, source in enumerate(sources_of(report, path), 1):
            _check(source, f"{SECTIONS}.{place}.source")
    except (ValueError, OSError) as error:
        raise SpecError(f"{path}: {error}") from None
    return report


def sources_of(report: Report, path: Path) -> Iterator[Path]:
    """Path of the source of each section, which a report gives from its own folder."""
    yield from (path.parent / section.source for section in report.sections)


def _recorded(content: Mapping[str, Any]) -> Report:
    listed = content[SECTIONS]
    if not isinstance(listed, list) or not 1 <= len(listed) <= MOST:
        got = f"{len(listed)} of them" if isinstance(listed, list) else short(listed)
        raise SpecError(f"{SECTIONS}: must be 1 to {MOST} tables such as [[{SECTIONS}]], got {got}")
    sections = []
    for place, table in enumerate(listed, 1):
        if not isinstance(table, dict):
            raise SpecError(f"{SECTIONS}.{place}: must be a table, got {short(table)}")
        for key in table:  # before what is missing, which a misspelt key is too
            if key not in Section.model_fields:
                raise SpecError(f"{SECTIONS}.{place}: {unknown('key', key, Section.model_fields)}")
        try:
            sections.append(Section(**table))
        except FieldError as error:
            raise FieldError((SECTIONS, place, *error.place), error.text, is_rule=False) from None
    return Report(**{**content, SECTIONS: tuple(sections)})


def _check(source: Path, key: str) -> None:
    """Refuse what is no source, and a config that cannot be run."""
    if source.is_dir():
        return
    if source.suffix not in (".toml", ".nc"):
        raise SpecError(f"{key}: must be {KINDS}, got {source}")
    if not source.is_file():
        raise SpecError(f"{key}: must be {KINDS}, and {source} does not exist")
    if is_report(source):
        raise SpecError(f"{key}: must be {KINDS}, and {source} is a report itself")
    if source.suffix == ".toml":
        try:
            Problem.read(source)
        except SpecError as error:
            raise SpecError(f"{key}: {error}") from None
