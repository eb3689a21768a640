"""One small dataset of each kind, computed once, for the tests of pages."""

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
            "frontier": _frontier(),
            "sensitivity": sweep.sensitivity(_uncertain(), number=256),
            "discovery": sweep.discover(_uncertain(), where, at={"time": 3.0}),
        }
