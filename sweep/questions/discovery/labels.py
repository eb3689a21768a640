"""What the boxes of a scenario discovery are worth, and what the variables that say so are called."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr

from sweep.questions.discovery import prim

if TYPE_CHECKING:
    from sweep.questions.discovery.discover import Sample

QUASI_P = (
    "probability of as many interesting fresh draws in the chosen box if the parameter's limits told nothing: if each "
    "were interesting with the density of the box without them, the draws independent; NaN where it has none"
)


def dataset_of(
    peeled: np.ndarray, chosen: np.ndarray, first: "Sample", fresh: "Sample", units: Mapping[str, str]
) -> xr.Dataset:
    """Describe all boxes, the chosen one last; `units` are those of the parameters."""
    limits = np.concatenate([peeled, chosen[np.newaxis]])
    words: dict[str, Literal["left", "right"]] = {"low": "left", "high": "right"}
    quantile = np.empty(limits.shape)
    for j, column in enumerate(first.columns):
        ranked = np.sort(column)
        for end, side in enumerate(words.values()):
            quantile[:, j, end] = np.searchsorted(ranked, limits[:, j, end], side) / len(ranked)
    shares = {**_shares(limits, first, "", "draws"), **_shares(limits, fresh, "fresh_", "fresh draws")}
    space, one = ("box", "parameter", "limit"), {"units": "1"}
    return xr.Dataset(
        {
            "limits": (space, limits, {"long_name": "limits of a box, inside it", "units": "that of the parameter"}),
            "quantile": (space, quantile, {"long_name": "share of the draws below a limit", **one}),
            **shares,
            "quasi_p_value": ("parameter", _quasi_p_values(chosen, fresh), {"long_name": QUASI_P, **one}),
            "is_chosen": (
                "box",
                np.arange(len(limits)) == len(peeled),
                {"long_name": "whether a box is chosen", **one},
            ),
        },
        {
            "box": (
                "box",
                np.arange(len(limits)),
                {"long_name": "slabs peeled off; the last is the chosen box", **one},
            ),
            "parameter": ("parameter", np.array(list(units)), {"long_name": "uncertain parameter"}),
            "limit": ("limit", np.array(list(words)), {"long_name": "which limit"}),
            "unit": ("parameter", np.array(list(units.values())), {"long_name": "unit of the parameter"}),
        },
    )


def _shares(
    limits: np.ndarray, draws: "Sample", prefix: str, noun: str
) -> dict[str, tuple[str, np.ndarray, dict[str, str]]]:
    """Coverage, density and support of nested boxes and of one more."""
    counts = [prim.counted(draws.columns, draws.hits, part) for part in (limits[:-1], limits[-1:])]
    inside, interesting = (np.concatenate(part).astype(float) for part in zip(*counts, strict=True))
    with np.errstate(invalid="ignore"):
        shares = {
            "coverage": (
                interesting / np.float64(draws.hits.sum()),
                f"share of the interesting {noun} that lie inside",
            ),
            "density": (interesting / inside, f"share of the {noun} inside that are interesting"),
            "support": (inside / len(draws.hits), f"share of the {noun} that lie inside"),
        }
    return {f"{prefix}{k}": ("box", v, {"long_name": text, "units": "1"}) for k, (v, text) in shares.items()}


def _quasi_p_values(box: np.ndarray, draws: "Sample") -> np.ndarray:
    inside = prim.within(draws.columns, box)
    number, interesting = int(inside.sum()), int(draws.hits[inside].sum())
    tails = np.full(len(box), np.nan)
    for j in np.flatnonzero(np.isfinite(box).any(axis=1)):
        without = draws.hits[prim.within(draws.columns, box, but=int(j))]
        tails[j] = prim.binomial_tail(interesting, number, float(without.mean()) if without.size else 0.0)
    return tails
