"""One small dataset of each kind, computed once, for the tests of pages."""

import json

import numpy as np
import pytest
import xarray as xr

import sweep
from sweep.models.front_loading import STRATEGIES

OWN = {"reference_fleet": 1.0, "reference_years": 1.0}


def _uncertain(**more):
    """A sweep over three times of what is uncertain."""
    rate = sweep.Distribution(distribution="lognormal", low=0.6, high=4.0, source="arXiv 2403.05812")
    exponent = sweep.Distribution(distribution="uniform", low=0.048, high=0.057)
    fields = {
        "title": "How sure?",
        "loss": "total",
        "dtype": "float64",
        "axes": {"time": sweep.Axis(values=[1.0, 3.0, 10.0])},
        "fixed": {"fleet_size": 10.0, **OWN},
        "distributions": {"doubling_rate": rate, "scaling_exponent": exponent},
        "draws": sweep.Draws(number=256),
    }
    return sweep.SweepSpec(**{**fields, **({"outputs": ["relative_loss"]} if "statistics" not in more else {}), **more})


def _grid():
    spec = sweep.SweepSpec(
        title="How low, and how long?",
        loss="excess",
        dtype="float64",
        outputs=["relative_loss", "time_to_target", "effective_years"],
        axes={
            "doubling_rate": sweep.Axis(values=[-1.0, 0.0, 0.5, 2.0]),
            "fleet_size": sweep.Axis(start=0.01, stop=1e6, num=41, spacing="log"),
            "time": sweep.Axis(start=0.0, stop=20.0, num=41),
        },
        fixed={"scaling_exponent": 0.1, "irreducible_share": 0.4, "target": 0.5, **OWN},
    )
    with pytest.warns(UserWarning):
        return sweep.run(spec)


def _statistics():
    band = sweep.Statistic(
        statistic="quantiles", output="relative_loss", over=["draw"], probabilities=[0.05, 0.5, 0.95]
    )
    mean = sweep.Statistic(statistic="mean", output="relative_loss", over=["draw"])
    return sweep.run(_uncertain(statistics={"expected": mean, "band": band}))


def _split():
    """Splits by hand, since solving compiles for long; tests of splits make a page of solved ones."""
    share, along = {"long_name": "share of the budget", "units": "1"}, ("software_rate",)
    now, later = np.array([0.5, 0.6, 0.2]), np.array([0.2, 0.0, 0.3])
    objective = {"long_name": "mean of the relative excess loss up to the horizon", "units": "1"}
    shares = np.stack([now, later, np.zeros(3)], axis=1)
    regret = np.outer([1.0, 2.0, 3.0], [0.01, 0.02, 0.03, 0.04])
    variables = {
        "front_load_share": (along, now, share),
        "later_share": (along, later, share),
        "research_share": (along, 1.0 - now - later, share),
        "shares": ((*along, "purchase"), shares, share),
        "purchase_date": ((*along, "purchase"), np.tile([0.0, 1.0, 2.0], (3, 1)), {"units": "years"}),
        "objective": (along, np.array([0.5, 0.4, 0.2]), objective),
        "strategy_regret": ((*along, "strategy"), regret, {"long_name": "how much more", "units": "1"}),
        "status": (along, np.zeros(3, np.int32), {"units": "1"}),
        "regret_bound": (along, np.full(3, 1e-9), {"units": "1"}),
    }
    rates = {"long_name": "doublings a year of what is installed", "units": "1/year", "spacing": "listed"}
    coordinates = {
        "software_rate": (along, [0.5, 1.5, 6.0], rates),
        "purchase": ("purchase", [0.0, 0.2, 0.4], {"long_name": "part of the horizon", "units": "1"}),
        "strategy": ("strategy", list(STRATEGIES), {"long_name": "strategies"}),
    }
    attributes = {"kind": "split", "title": "Now or later?", "model": "front_loading", "spec": "{}"}
    attributes |= {"allocation_objective": "mean"}
    return xr.Dataset(variables, coordinates, attributes)


def _robust():
    """One plan for all draws, by hand as the splits are."""
    draws, plans, known = 16, ["mean", "cvar", "wait"], ["software_rate", "research_gain"]
    one = _split().isel(software_rate=0, drop=True).drop_vars(["strategy_regret", "strategy"])
    loss = {"long_name": "loss", "units": "1"}

    def along(dim, *values):
        return (dim, np.array(values), loss)

    regrets = {f"{kind}_regret": along("plan", 0.01, 0.02, 0.3) for kind in ("expected", "conditional", "worst")}
    variables = {
        **regrets,
        "plan_shares": (("plan", "purchase"), np.full((3, 3), 0.25), loss),
        "value_of_information": ((), 0.01, loss),
        "price_of_robustness": ((), 0.002, loss),
        "value_of_knowing": along("known", 0.004, 0.0),
        "value_of_knowing_error": along("known", 0.001, 0.0),
        "curve_expected_regret": along("level", 0.01, 0.02),
        "curve_worst_regret": along("level", 0.5, 0.3),
        "draw_shares": (("draw", "purchase"), np.full((draws, 3), 0.2), loss),
    }
    coordinates = {"plan": plans, "known": known, "level": along("level", 0.0, 0.9)}
    coordinates |= {"software_rate": ("draw", np.linspace(0.5, 6.0, draws), {"units": "1/year"})}
    dataset = one.assign(variables).assign_coords(coordinates)
    spec = json.dumps({"distributions": dict.fromkeys(["software_rate"])})
    return dataset.assign_attrs(robust="least mean regret", distributions="software_rate: uniform", spec=spec)


def _decision():
    """Decisions at three rates, of which one allows none; by hand, since finding them compiles for long."""
    rates, along = [0.0, 0.5, 1.5], ("doubling_rate",)
    dollars = {"long_name": "price", "units": "USD"}
    fleets = {"long_name": "accelerators that train", "units": "accelerators"}
    status = {"units": "1", "flag_meanings": "local stalled grid infeasible"}
    variables = {
        "fleet_size": (along, [np.nan, 5e5, 4e4], fleets),
        "total_cost": (along, [np.nan, 1.5e10, 8e8], dollars),
        "best_of_grid": (along, [np.nan, 1.6e10, np.nan], dollars),
        "starts_alike": (along, np.array([0, 8, 7], np.int32), {"units": "1"}),
        "status": (along, np.array([3, 0, 0], np.int32), status),
    }
    coordinates = {"doubling_rate": (along, rates, {"long_name": "rate", "units": "1/year", "spacing": "listed"})}
    attributes = {"kind": "decision", "title": "Cheapest?", "decisions": "fleet_size", "minimised": "total_cost"}
    attributes |= {"maximised": "none", "subject_to": "none", "over": "fleet_size", "starts": 8, "grid_points": 21}
    return xr.Dataset(variables, coordinates, attributes)


def _frontier():
    spec = sweep.SweepSpec(
        title="What does haste cost?",
        loss="total",
        dtype="float64",
        outputs=["relative_loss", "total_cost"],
        axes={
            "time": sweep.Axis(values=[1.0, 2.0]),
            "fleet_size": sweep.Axis(start=1.0, stop=1e4, num=21, spacing="log"),
        },
        fixed={"doubling_rate": 0.5, "scaling_exponent": 0.05, **OWN},
    )
    return sweep.frontier(spec, minimise=["relative_loss", "total_cost"], by=["time"])


@pytest.fixture(scope="session")
def datasets():
    """A dataset by its kind."""
    where = "relative_loss < 0.7"
    with np.errstate(all="ignore"):
        return {
            "grid": _grid(),
            "statistics": _statistics(),
            "split": _split(),
            "robust": _robust(),
            "decision": _decision(),
            "frontier": _frontier(),
            "sensitivity": sweep.sensitivity(_uncertain(), number=256),
            "discovery": sweep.discover(_uncertain(), where, at={"time": 3.0}),
        }
