"""Sweeps of the relative-loss equation into labelled datasets; see README.md.

Names are imported when first used, so that ``import sweep`` costs nothing. Where what is, the main path first:

- a config: ``spec`` of ``schema``, ``axis``, ``statistic``, ``distribution``; ``priors`` reads what it includes,
  ``reference`` has the runs that it may name, ``files`` reads what people name
- the equations: ``model``, ``parameters``, ``equations``, ``tables``, ``front_loading``, ``strategies``; ``draws`` and
  ``sampler`` for what is uncertain, ``regret``
- a run: ``plan`` cuts it into blocks, for which ``machine`` says how much memory there is, ``passes`` its statistics,
  ``jobs``; ``evaluate`` compiles, ``trial`` tries; ``grid``, ``steps``, ``rows`` work on a block; ``loop`` drives them; ``sinks``,
  ``store`` and ``manifest`` keep, ``labels`` names, ``pooling`` joins replicates
- the lazy dataset: ``lazy``, ``indexing``, ``points``
- questions: ``splits`` with ``ranges`` (:func:`optimise`); ``pareto`` with ``fields``, ``tiles``, ``corners``,
  ``held``, ``culling``, ``thinning``, ``robust`` (:func:`frontier`); ``indices`` with ``replicates``, ``response``,
  ``schemes``, ``local``, ``attribution`` (:func:`sensitivity`); ``discovery`` with ``boxes`` (:func:`discover`)
- words and figures: ``describe``, ``sentences``; ``slices``, ``figures``, ``tradeoffs``, ``cloud``, ``causes``,
  ``regions``
- benchmarks: ``bench`` with ``workloads``, ``work``, ``ceilings``, ``oracle``, ``measure``, ``comparison``, ``scaling``
- the command line: ``cli``, ``questions``, ``terminal``
- what surrounds it: ``forks`` and ``neighbours``, which refuse a process and a package that do not work
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sweep import forks as forks  # before anything can be forked
from sweep.neighbours import refuse_other_kernels

refuse_other_kernels()

if TYPE_CHECKING:
    from sweep.config.axis import Axis
    from sweep.config.distribution import Correlation, Distribution, Draws
    from sweep.config.record import SpecError
    from sweep.config.spec import Allocation, Fixed, SweepSpec
    from sweep.config.statistic import Statistic
    from sweep.engine.loop import Progress, run
    from sweep.models.model import Domain, Model, Output, Parameter, Stages
    from sweep.models.registry import load
    from sweep.questions.discovery.discover import discover
    from sweep.questions.frontier.frontier import frontier
    from sweep.questions.sensitivity.sensitivity import sensitivity
    from sweep.questions.split.optimise import optimise
    from sweep.results.manifest import StoreError
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
    "Output",
    "Parameter",
    "Progress",
    "SpecError",
    "Stages",
    "Statistic",
    "StoreError",
    "SweepSpec",
    "discover",
    "frontier",
    "load",
    "optimise",
    "pooled",
    "run",
    "sensitivity",
]

_HOMES = {
    "config.axis": ("Axis",),
    "config.distribution": (
        "Correlation",
        "Distribution",
        "Draws",
    ),
    "config.record": ("SpecError",),
    "config.spec": (
        "Allocation",
        "Fixed",
        "SweepSpec",
    ),
    "config.statistic": ("Statistic",),
    "engine.loop": (
        "Progress",
        "run",
    ),
    "models.model": (
        "Domain",
        "Model",
        "Output",
        "Parameter",
        "Stages",
    ),
    "models.registry": ("load",),
    "questions.discovery.discover": ("discover",),
    "questions.frontier.frontier": ("frontier",),
    "questions.sensitivity.sensitivity": ("sensitivity",),
    "questions.split.optimise": ("optimise",),
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
