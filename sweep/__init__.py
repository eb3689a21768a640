"""Sweeps of the relative-loss equation into labelled datasets; see README.md.

Names are imported when first used, so that ``import sweep`` costs nothing. A room imports only from those above it:

- ``errors``, ``surroundings``: one line for what is wrong, with what is asked or with what is around it
- ``config``: TOML in, frozen records out
- ``models``: the equations, and what is uncertain in them
- ``plan``: how work is cut
- ``results``: what is kept, and how it is labelled
- ``engine``: evaluation
- ``lazy``: a config as a dataset
- ``questions``: frontier, sensitivity, split, discovery, decision
- ``report``: words, figures and pages
- ``bench``: benchmarks of kernels
- ``cli``: the command line
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sweep.surroundings import refuse_other_kernels  # its hook is set before anything can be forked

refuse_other_kernels()

if TYPE_CHECKING:
    from sweep.config.allocation import Allocation
    from sweep.config.axis import Axis
    from sweep.config.distribution import Correlation, Distribution, Draws
    from sweep.config.spec import Fixed, SweepSpec
    from sweep.config.statistic import Statistic
    from sweep.engine.loop import run
    from sweep.engine.progress import Progress
    from sweep.errors import SpecError, StoreError
    from sweep.models.model import Model
    from sweep.models.parameters import Domain, Parameter
    from sweep.models.problem import Problem, load
    from sweep.models.quantity import Quantity
    from sweep.questions.discovery.discover import discover
    from sweep.questions.frontier.frontier import frontier
    from sweep.questions.optimise import optimise
    from sweep.questions.sensitivity.sensitivity import sensitivity
    from sweep.report.page.page import Page, page
    from sweep.results.replicates import pooled

__all__ = [
    "Allocation",
    "Axis",
    "Correlation",
    "Distribution",
    "Domain",
    "Draws",
    "Fixed",
    "Model",
    "Page",
    "Parameter",
    "Problem",
    "Progress",
    "Quantity",
    "SpecError",
    "Statistic",
    "StoreError",
    "SweepSpec",
    "discover",
    "frontier",
    "load",
    "optimise",
    "page",
    "pooled",
    "run",
    "sensitivity",
]

_HOMES = {
    "config.allocation": ("Allocation",),
    "config.axis": ("Axis",),
    "config.distribution": (
        "Correlation",
        "Distribution",
        "Draws",
    ),
    "config.record": ("SpecError",),
    "config.spec": (
        "Fixed",
        "SweepSpec",
    ),
    "config.statistic": ("Statistic",),
    "engine.loop": ("run",),
    "engine.progress": ("Progress",),
    "models.model": ("Model",),
    "models.parameters": ("Domain", "Parameter"),
    "models.problem": ("Problem", "load"),
    "models.quantity": ("Quantity",),
    "questions.discovery.discover": ("discover",),
    "questions.frontier.frontier": ("frontier",),
    "questions.optimise": ("optimise",),
    "questions.sensitivity.sensitivity": ("sensitivity",),
    "report.page.page": (
        "Page",
        "page",
    ),
    "results.manifest": ("StoreError",),
    "results.replicates": ("pooled",),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"sweep.{module}"), name)
    raise AttributeError(f"module 'sweep' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
