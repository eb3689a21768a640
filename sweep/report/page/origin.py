"""Where the numbers of a page come from, as HTML: everything that is needed to judge them and to make them again."""

import html
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr

from sweep.report.slices import ORIGIN, quantities, unit_in_words

LINK = re.compile(r"arXiv (\d{4}\.\d{4,5})|(https?://[^\s<>\"'&;,]*[^\s<>\"'&;,.)])")
VERSION = "version_"


def origin_of(
    dataset: xr.Dataset, variables: Mapping[str, Mapping[str, Any]], left_out: Sequence[str], command: str | None
) -> str:
    """Terms and descriptions of a list.

    Parameters
    ----------
    dataset : xarray.Dataset
        Of the page.
    variables : mapping
        As they are packed.
    left_out : sequence of str
        What nodes are not on the page.
    command : str or None
        What makes the page again.
    """
    attributes = dataset.attrs
    rows = [("Command", command or "")]
    rows += [
        (word, str(attributes[key])) for key, word in ORIGIN.items() if attributes.get(key) not in (None, "none", "")
    ]
    rows.insert(-1, ("Fixed", "\n".join(_fixed(attributes))))
    rows.insert(-1, ("Axes", "\n".join(_axes(dataset))))
    if attributes.get("complete") is False:
        rows.append(("State", "the run is not complete: what is undefined may not be computed yet"))
    rows.append(("Numbers", " ".join(_precision(variables, left_out))))
    versions = ", ".join(
        f"{key[len(VERSION) :]} {value}" for key, value in attributes.items() if key.startswith(VERSION)
    )
    how = [f"{word} {attributes[key]}" for key, word in (("dtype", "in"), ("device", "on")) if attributes.get(key)]
    rows.append(("Computed", ", ".join([*how, versions])))
    rows.append(("Figures", "Plotly.js, Copyright Plotly, Inc., MIT licence"))
    return "".join(f"<dt>{html.escape(word)}</dt><dd>{linked(text)}</dd>\n" for word, text in rows if text)


def linked(text: str) -> str:
    """Escape a text, and make links of the papers and addresses in it."""

    def link(match: re.Match[str]) -> str:
        address = f"https://arxiv.org/abs/{match[1]}" if match[1] else match[2]
        return f'<a href="{address}" rel="noopener noreferrer">{match[0]}</a>'

    return LINK.sub(link, html.escape(text))


def _fixed(attributes: Mapping[str, Any]) -> list[str]:
    """Name, value and source of each fixed parameter; files that were written before there were sources have a text."""
    if "fixed_sources" not in attributes:
        return [str(attributes.get("fixed", ""))]
    units, sources = (json.loads(attributes[f"fixed_{key}"]) for key in ("units", "sources"))
    values = json.loads(attributes["spec"])["fixed"]
    lines = []
    for name, value in values.items():
        text = f"{name} = {float(value):.6g} {unit_in_words(units[name])}".rstrip()
        lines.append(f"{text} ({sources[name]})" if name in sources else text)
    return lines


def _axes(dataset: xr.Dataset) -> list[str]:
    """Name, ends, number of values and source of each axis of numbers that says where it comes from."""
    lines = []
    for name in dataset.dims:
        if name in dataset.coords and dataset[name].dtype.kind in "fiu" and "spacing" in dataset[name].attrs:
            values, source = dataset[name].values, dataset[name].attrs.get("source")
            ends = " to ".join(dict.fromkeys(quantities([values.min(), values.max()], dataset[name])))
            lines.append(f"{name}: {ends}, {values.size:,} values" + (f" ({source})" if source else ""))
    return lines


def _precision(variables: Mapping[str, Mapping[str, Any]], left_out: Sequence[str]) -> list[str]:
    """Say how far the numbers of the page are from those that were computed."""
    texts = []
    for name, variable in variables.items():
        if variable["code"] != "float64":
            error = f"{variable['error']:.2g}"
            words = f"a factor of 1 ± {error}" if variable["code"] == "log" else f"± {error}"
            texts.append(f"{name} is within {words} of what was computed;")
    texts.append("others are as they were computed." if texts else "They are as they were computed.")
    if left_out:
        texts.append(f"The page has {', '.join(left_out)}: sliders stop at nodes, and nothing is interpolated.")
    return texts
