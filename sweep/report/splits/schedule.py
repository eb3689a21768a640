"""The schedule of purchases that a split of a budget is: what to buy when, for how much, and what runs then."""

import json
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from sweep.report.layout import table

if TYPE_CHECKING:
    import xarray as xr


def schedule(split: "xr.Dataset") -> Iterator[str]:
    """A table of one split, in whole percent of its budget: what is bought when, and what runs after it.

    Fleets are in reference fleets of time 0: what is bought later is more for the same money, by the hardware rate.
    """
    shares, research = split["rounded_shares"].values, float(split["rounded_research_share"])
    dates = split["purchase_date"].values
    budget, hardware, lost, installed = (
        _value(split, name) for name in ("budget", "hardware_rate", "depreciation", "installed_fleet")
    )
    price = split.attrs.get("allocation_fleet_price")
    rows = [("", "share", "money", "bought [reference fleets]", "installed then")]
    running, before = installed, 0.0
    for date, share in zip(dates, shares, strict=True):
        if share == 0.0:
            continue
        bought = budget * share * 2.0 ** (hardware * date)
        running, before = running * math.exp(-lost * (date - before)) + bought, date
        when = "now" if date == 0.0 else f"in {date:.3g} years"
        rows.append((when, f"{100 * share:.0f} %", money(budget * share, price), f"{bought:.3g}", f"{running:.3g}"))
    if research:
        rows.append(("research", f"{100 * research:.0f} %", money(budget * research, price), "", ""))
    yield from table(rows)


def money(fleets: float, price: float | None) -> str:
    """An amount of money: in USD where the price of a reference fleet is known, else in such fleets."""
    return f"{fleets:.3g} fleets' worth" if price is None else f"{fleets * float(price):.3g} USD"


def _value(split: "xr.Dataset", name: str) -> float:
    """A parameter of one scenario, from the axes or the fixed values."""
    if name in split.coords:
        return float(np.asarray(split[name].values))
    return float(json.loads(split.attrs["spec"])["fixed"][name])
