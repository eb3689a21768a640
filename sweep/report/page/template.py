"""The text of a page: the template, what its script reads, and the policy that lets nothing else run."""

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import xarray as xr

from sweep.config.kinds import QUANTILE
from sweep.report.describe_results import TARGET_WORDS
from sweep.report.discovery_figure import limits_of
from sweep.report.page.cube import deflated
from sweep.report.page.origin import origin_of
from sweep.report.page.outline import Choice
from sweep.report.page.plotly_script import plotly_script
from sweep.report.page.sentences import range_of, texts_of
from sweep.report.slices import is_log, unit_in_words
from sweep.results.metadata import kind_of, versions

SCRIPTS = ("unpack.js", "words.js", "figures.js", "page.js")


@dataclass(frozen=True)
class Part:
    """One answer of a page, with all that it needs.

    Attributes
    ----------
    dataset : xarray.Dataset
        Loaded where there are variables; its title is that of the part.
    choices : sequence of Choice
        Its outline.
    variables : mapping
        Packed; without any the part has no data, which tells how long the rest is.
    left_out : sequence of str
        What nodes are not on the page.
    command : str or None
        What makes the page again.
    beside : sequence of str
        Lines of text to show as they are.
    text : str
        What to say above the answer.
    certain : sequence of str
        How certain all of the dataset is, which may have more nodes than the page.
    """

    dataset: xr.Dataset
    choices: Sequence[Choice]
    variables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    left_out: Sequence[str] = ()
    command: str | None = None
    beside: Sequence[str] = ()
    text: str = ""
    certain: Sequence[str] = ()

    @property
    def title(self) -> str:
        """What the part answers."""
        return str(self.dataset.attrs["title"])


def filled(parts: Sequence[Part], title: str, text: str = "", live: Mapping[str, Any] | None = None) -> str:
    """The HTML of a page.

    Parameters
    ----------
    parts : sequence of Part
        One, whose title is that of the page, or several with headings of their own and a table of contents.
    title : str
        Heading.
    text : str
        What to say under it.
    live : mapping, optional
        Of a page that a server computes, what may be changed.
    """
    script, style = "\n".join(map(_file, SCRIPTS)), _file("page.css")
    about = _reference(parts[0]) if len(parts) == 1 else ""
    return _file("page.html").format(
        policy=_policy(script, is_live=live is not None),
        generator=html.escape(f"relative-loss-sweep {versions()['relative-loss-sweep']}"),
        title=html.escape(title),
        about="".join(f'<p class="about">{html.escape(line)}</p>' for line in (about, text) if line),
        contents=_contents(parts) if len(parts) > 1 else "",
        parts="".join(_part(part, place, len(parts), live) for place, part in enumerate(parts, 1)),
        style=style,
        plotly=_plotly(),
        script=script,
    )


def _reference(part: Part) -> str:
    reference = part.dataset.attrs.get("reference")
    return f"Reference: {reference}" if reference else ""


def _contents(parts: Sequence[Part]) -> str:
    lines = (f'<li><a href="#part{place}">{html.escape(part.title)}</a></li>' for place, part in enumerate(parts, 1))
    return f'<nav aria-label="Contents"><ol>{"".join(lines)}</ol></nav>'


def _part(part: Part, place: int, number: int, live: Mapping[str, Any] | None) -> str:
    """The HTML of one part; identifiers of the first are plain, those of the second begin with "2."."""
    payload = payload_of(part.dataset, part.choices, part.variables) if part.variables else {"choices": []}
    for choice in payload["choices"]:
        choice["range"] = "\n".join(filter(None, [choice["range"], *part.certain]))
    payload["live"] = live or {"fixed": [], "uncertain": []}
    ranges = "\n".join(choice["range"] for choice in payload["choices"])
    heading = ""
    if number > 1:
        lines = "".join(f'<p class="about">{html.escape(line)}</p>' for line in (part.text, _reference(part)) if line)
        heading = f'<header class="head"><h2>{html.escape(part.title)}</h2>{lines}</header>'
    return _file("part.html").format(
        number=place,
        prefix="" if place == 1 else f"{place}.",
        of=html.escape(f" of {place}. {part.title}" if number > 1 else "", quote=True),
        level=2 if number == 1 else 3,
        heading=heading,
        range=html.escape(ranges),
        beside=_beside(part.beside, number),
        origin=origin_of(part.dataset, part.variables, part.left_out, part.command),
        data=_inert(payload),
    )


def payload_of(
    dataset: xr.Dataset, choices: Sequence[Choice], variables: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """What the script of a page reads, as JSON holds it.

    Parameters
    ----------
    dataset : xarray.Dataset
        Loaded.
    choices, variables
        As :func:`filled` takes them.
    """
    dims = dict.fromkeys(str(dim) for name in variables for dim in dataset[name].dims)
    about = {key: dataset.attrs[key] for key in ("fingerprint", "reference", "loss") if key in dataset.attrs}
    return {
        "title": dataset.attrs["title"],
        "kind": kind_of(dataset),
        "about": {key: str(value) for key, value in about.items()},
        "dims": {dim: _dim(dataset, dim) for dim in dims},
        "variables": {name: {**packed, **_about(dataset[name])} for name, packed in variables.items()},
        "choices": [_choice(dataset, choice) for choice in choices],
    }


def _beside(lines: Sequence[str], number: int) -> str:
    """A section of text as a terminal shows it, "" without any; smaller headings where there are more parts."""
    if not lines:
        return ""
    text = html.escape("\n".join(lines).strip("\n"))
    name = "Under the published laws"
    level = 2 if number == 1 else 3
    return f'<section class="beside"><h{level}>{name}</h{level}><pre tabindex="0">{text}</pre></section>'


def _choice(dataset: xr.Dataset, choice: Choice) -> dict[str, Any]:
    panels = [dict(panel) for panel in choice.panels]
    for panel in panels:
        if panel["type"] == "ranges":
            panel["labels"] = [_limits(dataset.isel(box=place)) for place in range(dataset.sizes["box"])]
    label = str(dataset[choice.name].attrs.get("long_name", choice.name)) if choice.name in dataset else choice.name
    return {
        "name": choice.name,
        "label": label if label == choice.name else f"{choice.name}: {label}",
        "said": choice.said,
        "dims": choice.dims,
        "panels": panels,
        "texts": texts_of(dataset, choice),
        "range": range_of(dataset, choice),
    }


def _limits(box: xr.Dataset) -> list[str]:
    return [limits_of(box.isel(parameter=place)) for place in range(box.sizes["parameter"])]


def _dim(dataset: xr.Dataset, dim: str) -> dict[str, Any]:
    """Values and words of a dimension, and where its slider stands at first."""
    size = dataset.sizes[dim]
    if dim not in dataset.coords:
        values: list[Any] = list(range(size))
        about = {"label": f"{dim} of the frontier" if dim == "point" else dim, "unit": "", "log": False}
    else:
        coordinate = dataset[dim]
        numeric = coordinate.dtype.kind in "fiu"
        values = [float(v) if numeric else str(v) for v in coordinate.values]
        about = _about(coordinate) if numeric else {"label": dim, "unit": "", "log": False}
    at = (size - 1) // 2
    mark = {"point": "is_knee", "box": "is_chosen"}.get(dim)
    if mark in dataset and dataset[mark].values.any():
        at = int(np.argmax(dataset[mark].values))
    return {**about, "values": values, "at": at}


def _about(variable: xr.DataArray) -> dict[str, Any]:
    """Words, dimensions and scale of a variable."""
    some = np.isfinite(variable.values).any()
    label = str(variable.attrs.get("long_name", variable.name))
    numbers = variable.values[np.isfinite(variable.values) & (variable.values > 0)] if some else np.ones(1)
    about = {
        "label": label.removeprefix("quantile of ") if QUANTILE in variable.dims else label,
        "unit": unit_in_words(variable.attrs.get("units")),
        "dims": [str(dim) for dim in variable.dims],
        "log": bool(some and variable.dtype.kind in "fiu" and is_log(variable)),
        "decades": round(float(np.log10(numbers.max() / numbers.min())), 2) if numbers.size else 0.0,
    }
    return about | ({"words": TARGET_WORDS[str(variable.name)]} if variable.name in TARGET_WORDS else {})


def _inert(payload: Mapping[str, Any]) -> str:
    """JSON in which nothing ends the element that it is in."""
    text = json.dumps(payload, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def _plotly() -> str:
    return deflated(plotly_script().encode(), 9)


def _policy(script: str, *, is_live: bool) -> str:
    """Content security policy: these scripts and nothing from anywhere, but from its server where there is one."""
    scripts = " ".join(_hash(text) for text in (script, plotly_script()))
    rules = {
        "default-src": "'none'",
        "script-src": scripts,
        "style-src": "'unsafe-inline'",  # Plotly sets styles of its elements
        "img-src": "data: blob:",
        **({"connect-src": "'self'"} if is_live else {}),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{key} {value}" for key, value in rules.items())


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _file(name: str) -> str:
    return (files("sweep.report.page") / "files" / name).read_text(encoding="utf-8")
