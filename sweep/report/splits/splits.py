"""Optimal splits in words: each as a sentence and a schedule where they are few, lines which the caller prints."""

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from sweep.config.allocation import ASKS
from sweep.models.front_loading import FRONT_LOADING, MOVED, STRATEGIES
from sweep.report.layout import facts, table
from sweep.report.slices import quantities
from sweep.report.splits.schedule import schedule
from sweep.results.metadata import named_reference

if TYPE_CHECKING:
    import xarray as xr


def describe_splits(dataset: "xr.Dataset") -> Iterator[str]:
    """Optimal splits: each as a sentence where they are few, else the range of what they are."""
    dims = tuple(map(str, dataset["objective"].dims))
    if dataset["objective"].size <= 8:
        for point in itertools.product(*(range(dataset.sizes[dim]) for dim in dims)):
            yield from _split(dataset.isel(dict(zip(dims, point, strict=True))), dims)
    else:
        names = ["front_load_share", "later_share", "research_share", "objective"]
        rows = [(name, _range(dataset[name].values)) for name in names]
        rows += [(f"regret of {s}", _range(dataset["strategy_regret"].sel(strategy=s).values)) for s in STRATEGIES]
        yield from table(rows)
    yield certified_of(dataset)
    yield from named_reference(dataset)


def certified_of(dataset: "xr.Dataset") -> str:
    """How many splits are certified, and of what."""
    of = f"{int((dataset['status'] == 0).sum()):,} of {dataset['objective'].size:,} certified"
    return f"{of}: the regret, estimated with the research share free within its basin, is at most 1e-7"


def _split(split: "xr.Dataset", dims: Sequence[str]) -> Iterator[str]:
    """One optimal split in words, laid out."""
    where, lines = split_in_words(split, dims)
    yield f"{where}:"
    yield from facts(lines)
    if "rounded_shares" in split:
        yield from schedule(split)


def split_in_words(split: "xr.Dataset", dims: Sequence[str]) -> tuple[str, list[tuple[str, str]]]:
    """Where one optimal split is, and what it is: names and texts, the split itself first."""
    names = (*dims, *json.loads(split.attrs["spec"]).get("distributions", {}))
    where = ", ".join(f"{name} = {quantities([float(split[name])], split[name])[0]}" for name in names)
    shares, dates = split["shares"].values, split["purchase_date"].values
    text = f"for {split.attrs.get('asks', 'the least objective')}, spend "
    text += f"{_spent(shares, dates, float(split['research_share']))}; "
    text += f"{split['objective'].attrs['long_name']} {float(split['objective']):.4g}"
    against = (f"{s} by {_behind(split, 'strategy', s)}" for s in STRATEGIES)
    lines = [("", text), ("beats", ", ".join(against))]
    if "other_shares" in split:
        lines.append(("other", _otherwise(split)))
        lines.append(("rounded", f"to whole percent, as below, it is worse by {_behind(split, 'rounding')}"))
    if "holds" in split and not int(split["status"]):
        lines.append(("holds for", _holds(split)))
    if int(split["status"]):
        lines.append(("warning", f"not certified: the regret may be {float(split['regret_bound']):.3g}"))
    return where, lines


def _spent(shares: np.ndarray, dates: np.ndarray, research: float) -> str:
    """A schedule in words."""
    later = [f"{100 * w:.3g} % at {t:.3g} years" for w, t in zip(shares[1:], dates[1:], strict=True) if w > 0.0]
    text = f"{100 * shares[0]:.3g} % on accelerators now, {100 * shares[1:].sum():.3g} % later"
    return f"{text}{' (' + ', '.join(later) + ')' if later else ''}, {100 * research:.3g} % on efficiency research"


def _behind(split: "xr.Dataset", kind: str, strategy: str | None = None) -> str:
    """How much worse something else is: in loss, and in months where they are known."""
    here = split if strategy is None else split.sel(strategy=strategy)
    more = float(here[f"{kind}_regret"])
    if split.attrs["allocation_objective"] == "terminal":  # of the logarithm
        more = math.exp(float(split["objective"])) * math.expm1(more)
    if f"{kind}_delay" not in here:
        return f"{more:.3g}"
    months = float(here[f"{kind}_delay"])
    return f"{more:.3g} ({f'{months:.3g} months' if math.isfinite(months) else 'over 50 years'})"


def _otherwise(split: "xr.Dataset") -> str:
    """The split of the other question, where it is another one."""
    other = next(text for text in ASKS.values() if text != split.attrs["asks"])
    shares, research = split["other_shares"].values, float(split["other_research_share"])
    parts = [
        shares[0] - float(split["front_load_share"]),
        shares[1:].sum() - float(split["later_share"]),
        research - float(split["research_share"]),
    ]
    if max(map(abs, parts)) <= MOVED:
        return f"for {other} the split is the same, within {100 * MOVED:g} % of the budget"
    spent = _spent(shares, split["purchase_date"].values, research)
    return f"for {other}, spend {spent}: here worse by {_behind(split, 'other')}"


def _holds(split: "xr.Dataset") -> str:
    """Ranges of the rates, each varied alone, within which no share moves by much, and how far they were searched."""
    fixed = json.loads(split.attrs["spec"])["fixed"]
    ranges = []
    for name in map(str, split["rate"].values):
        low, high = map(float, split["holds"].sel(rate=name).values)
        domain, value = FRONT_LOADING.parameter(name).domain, fixed[name] if name in fixed else float(split[name])
        if (low, high) == (domain.low, domain.high):
            ranges.append(f"any {name} of those searched, {low:g} to {high:g}")
        elif low == domain.low:
            ranges.append(f"{name} up to {_inward(high, value)} (searched down to {low:g})")
        elif high == domain.high:
            ranges.append(f"{name} from {_inward(low, value)} (searched up to {high:g})")
        else:
            ranges.append(f"{name} {_inward(low, value)} to {_inward(high, value)}")
    return f"{' or '.join(ranges)}: none of the three shares moves by more than {100 * MOVED:g} % of the budget"


def _inward(end: float, value: float) -> str:
    """Write an end of a range around a value with three digits, or as many as it needs not to leave the range."""
    for digits in range(3, 8):
        step = 10.0 ** (math.floor(math.log10(abs(end) or 1.0)) + 1 - digits)
        near = (math.floor if end > value else math.ceil)(end / step) * step
        if min(end, value) <= near <= max(end, value):
            return f"{near:.{digits}g}"
    return f"{value:.7g}"


def _range(values: np.ndarray) -> str:
    low, middle, high = np.nanmin(values), np.nanmedian(values), np.nanmax(values)
    return f"{low:.4g} to {high:.4g}, median {middle:.4g}"
