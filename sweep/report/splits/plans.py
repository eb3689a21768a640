"""One plan for many draws in words: what to buy, what it gives up in each of them, and what knowing would be worth."""

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from sweep.report.layout import count, facts, table
from sweep.report.slices import quantities
from sweep.report.splits.schedule import money
from sweep.results.metadata import named_reference

if TYPE_CHECKING:
    import xarray as xr

FEW = 8  # plans that are told one by one


def describe_plans(dataset: "xr.Dataset") -> Iterator[str]:
    """One plan a scenario, each as a sentence and a table where they are few, else the range of what they are.

    Parameters
    ----------
    dataset : xarray.Dataset
        From :func:`sweep.optimise` with ``robust``.
    """
    dims = tuple(map(str, dataset["objective"].dims))
    if dataset["objective"].size <= FEW:
        for point in itertools.product(*(range(dataset.sizes[dim]) for dim in dims)):
            yield from _plan(dataset.isel(dict(zip(dims, point, strict=True))), dims)
    else:
        names = ["front_load_share", "later_share", "research_share", "value_of_information", "price_of_robustness"]
        yield from table([(name, _range(dataset[name].values)) for name in names])
    yield plans_certified(dataset)
    yield from named_reference(dataset)


def plans_certified(dataset: "xr.Dataset") -> str:
    """How many plans are certified, and of what."""
    certified = int((dataset["status"] == 0).sum())
    return (
        f"{certified:,} of {count(dataset['objective'].size, 'plan')} certified: at most 1e-7 of the loss from the "
        "best, proven over the purchases, estimated over the research share"
    )


def _plan(cell: "xr.Dataset", dims: Sequence[str]) -> Iterator[str]:
    """One scenario."""
    where, lines = plan_in_words(cell, dims)
    if where:
        yield f"{where}:"
    yield from facts(lines)
    yield from table(_regrets(cell))
    if "value_of_knowing" in cell:
        yield from table(_worth(cell))


def plan_in_words(cell: "xr.Dataset", dims: Sequence[str]) -> tuple[str, list[tuple[str, str]]]:
    """Where one plan is, and what it is: names and texts, the plan itself first."""
    return ", ".join(f"{dim} = {quantities([float(cell[dim])], cell[dim])[0]}" for dim in dims), list(_lines(cell))


def _lines(cell: "xr.Dataset") -> Iterator[tuple[str, str]]:
    now, later, research = (100 * float(cell[f"{part}_share"]) for part in ("front_load", "later", "research"))
    dates = zip(cell["shares"].values[1:], cell["purchase_date"].values[1:], strict=True)
    when = ", ".join(f"{100 * share:.3g} % at {date:.3g} years" for share, date in dates if share > 0.0)
    yield (
        "",
        f"spend {now:.3g} % on accelerators now, {later:.3g} % later{f' ({when})' if when else ''}, {research:.3g} % "
        f"on efficiency research: the plan of {cell.attrs['robust']} over {count(cell.sizes['draw'], 'draw')}",
    )
    if "draw_shares" in cell:  # a page has it of few draws alone
        own = 100.0 * cell["draw_shares"].values[:, 0]
        text = f"each draw alone would spend {own.min():.3g} to {own.max():.3g} % now, median {np.median(own):.3g} %"
        yield "if known", text
    value, price = float(cell["value_of_information"]), float(cell["price_of_robustness"])
    of = 100 / abs(float(cell["objective"]))
    yield "knowing", f"all of it before the first purchase would be worth {value:.3g} of loss, {value * of:.2g} % of it"
    yield "worst", f"guarding against the worst draw instead of the mean costs {price:.3g} of loss in the mean"
    if int(cell["status"]):
        yield "warning", f"not certified: the plan may be worse than the best by {float(cell['regret_bound']):.3g}"


def _regrets(cell: "xr.Dataset") -> Iterator[tuple[str, ...]]:
    """Every plan with its regrets."""
    part = cell["conditional_regret"].attrs["long_name"].removeprefix("mean of the ").removesuffix(" of the regrets")
    yield "plan", "now", "later", "research", "mean regret", part, "worst"
    for name in map(str, cell["plan"].values):
        plan = cell.sel(plan=name)
        shares, research = plan["plan_shares"].values, float(plan["plan_research_share"])
        parts = (f"{100 * share:.3g} %" for share in (shares[0], shares[1:].sum(), research))
        kinds = ("expected_regret", "conditional_regret", "worst_regret")
        yield name, *parts, *(f"{float(plan[kind]):.3g}" for kind in kinds)


def _worth(cell: "xr.Dataset") -> Iterator[tuple[str, ...]]:
    """What knowing one parameter, or all, would be worth."""
    yield "knowing alone", "gains in the mean", "as much as a budget more of"
    price = cell.attrs.get("allocation_fleet_price")
    order = np.argsort(-cell["value_of_knowing"].values, kind="stable")
    for name in cell["known"].values[order]:
        one = cell.sel(known=name)
        gain, error = float(one["value_of_knowing"]), float(one["value_of_knowing_error"])
        yield str(name), f"{gain:.2g} +- {error:.1g}", f"at most {money(float(one['value_of_knowing_budget']), price)}"
    gain, most = float(cell["value_of_information"]), float(cell["value_of_information_budget"])
    yield "everything", f"{gain:.2g}", f"at most {money(most, price)}"


def _range(values: np.ndarray) -> str:
    return f"{values.min():.4g} to {values.max():.4g}, median {np.median(values):.4g}"
