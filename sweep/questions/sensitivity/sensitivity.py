"""What drives an output: Sobol' indices, Shapley effects, screening, elasticities, one parameter moved at a time."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from kernels.draws.sobol import MAX_DIMENSIONS
from kernels.sensitivity import shapley
from kernels.sensitivity.indices import student_t
from sweep.config.distribution import DRAWN
from sweep.config.record import differences
from sweep.config.spec import SweepSpec
from sweep.engine.trial import try_model
from sweep.errors import SpecError, unknown
from sweep.models.model import Model
from sweep.models.problem import Problem
from sweep.models.sampling import sampling_of
from sweep.plan.blocks import budget_of
from sweep.questions.sensitivity.designs import Effects, PickFreeze, Subsets
from sweep.questions.sensitivity.estimates import METHODS, dataset_of, local_quantities, sampled_quantities
from sweep.questions.sensitivity.response import Cells, Response, outputs_of, responses
from sweep.questions.sensitivity.sums import Design, Scheme, Sums, add, block_of, nothing
from sweep.results.metadata import kind_of

SAMPLED = ("sobol", "shapley", "morris")
NUMBER, REPLICATES, CONFIDENCE = 2**14, 4, 0.95
FEWEST = 16  # points of a replicate
COMPILER_BYTES = 170 * 10**6  # that compiling takes, and the threads, beyond Python with its libraries


def sensitivity(
    spec: SweepSpec | Problem,
    *,
    method: str = "sobol",
    number: int | None = None,
    replicates: int | None = None,
    second_order: bool = False,
    confidence: float | None = None,
    extend: xr.Dataset | None = None,
    model: Model | None = None,
    memory: int | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> xr.Dataset:
    """Say which uncertain parameters drive the outputs of a sweep, at each point of its axes.

    Parameters
    ----------
    spec : SweepSpec or Problem
        With distributions; its draws give the seed and the correlations, and are not used otherwise.
    method : {"sobol", "shapley", "morris", "elasticity", "tornado"}
        Shares of the variance, of independent or of correlated parameters; elementary effects; derivatives at the
        medians; or one parameter moved at a time.
    number : int, optional
        Points of all replicates together, a power of two, 16,384 by default, at each of which the model is evaluated
        d + 2 times for the d parameters (2 d + 2 with second_order; 2^d for "shapley", d + 1 for "morris"). Like
        `replicates`, `confidence` and `extend` refused by "elasticity" and "tornado", which take no points.
    replicates : int, optional
        Independently scrambled Sobol' sequences that give the intervals, a power of two, 4 by default; on a CPU each is
        one thread's work.
    second_order : bool
        Add the shares of pairs of parameters ("sobol").
    confidence : float, optional
        Of the intervals ``_low`` to ``_high``, by Student's t over the replicates; 0.95 by default.
    extend : xarray.Dataset, optional
        Of an earlier call with a smaller number, which is gone on with: the points it has are not evaluated again.
    model : Model, optional
        One of the user's, instead of the shipped one that the spec names.
    memory : int, optional
        Budget in bytes for the sums, which are all that is kept; by default half of the memory that this
        process may take.
    progress : callable, optional
        Called with the points that are done, over all cells of the axes, their number, and the seconds since the start.

    Returns
    -------
    xarray.Dataset
        For each output, over ``parameter`` and those axes of the spec on which it depends, variables that begin with
        its name: ``_first_order``, ``_total`` and ``_second_order``; ``_shapley``; ``_mu``, ``_mu_star`` and
        ``_sigma``; ``_elasticity``; or ``_at_low`` and ``_at_high``. Those of "sobol" and "shapley" come with
        ``_mean`` and ``_variance``, those of "sobol", "shapley" and "morris" with ``_status``: NaN stands where an
        output is constant or not finite. ``_sums`` and ``_centre`` are what `extend` goes on from.

    Raises
    ------
    SpecError
        One line, before any work starts: no distributions, an unknown method, a number that does not fit, correlated
        parameters where they have no meaning, an output without uncertain parameters, another sweep to extend.

    Notes ----- Estimators and sources: :mod:`kernels.sensitivity.indices`, :mod:`kernels.sensitivity.shapley`,
    :mod:`kernels.sensitivity.screening`. Of 200 nominal 95 % intervals of each index of the Ishigami function at least
    180 hold it (tests/questions/sensitivity/test_sensitivity.py). Few replicates of many points are nearer to the truth
    than many of few, as the error of a Sobol' sequence falls faster than that of independent ones.
    """
    asked = {"number": number, "replicates": replicates, "confidence": confidence, "extend": extend}
    if method in METHODS and method not in SAMPLED:
        for key in (key for key, value in asked.items() if value is not None):
            raise SpecError(f'{key}: belongs to the methods that take points, got method="{method}"; drop it')
    number = NUMBER if number is None else number
    replicates = REPLICATES if replicates is None else replicates
    confidence = CONFIDENCE if confidence is None else confidence
    problem = Problem.of(spec, model)
    spec = problem.spec
    _check(spec, method, number, replicates, second_order, confidence)
    problem.model.refuse_to_evaluate()
    if problem.is_own:
        try_model(problem)
    groups = responses(problem)
    if method not in SAMPLED:
        estimated = [(response, grid, local_quantities(method, response, grid)) for response, grid in groups]
        return dataset_of(estimated, problem, {"sensitivity": method})
    scheme = _scheme(spec, method, second_order)
    if scheme.columns(len(spec.distributions)) > MAX_DIMENSIONS:
        most = MAX_DIMENSIONS // scheme.columns(1)
        raise SpecError(f'method: "{method}" takes at most {most} uncertain parameters, got {len(spec.distributions)}')
    facts = {"sensitivity": method, "second_order": int(second_order), "replicates": replicates}
    done = 0 if extend is None else _finished(extend, spec, facts, number) // replicates
    points = number // replicates
    block = block_of(points) if extend is None else int(extend.attrs["block"])
    design = Design(sampling_of(spec).seed, replicates, points, block)
    _check_memory(scheme, design, groups, memory)
    counted = _Count(progress, sum(grid.size for _, grid in groups) * replicates * (points - done))
    width = student_t(confidence, replicates - 1)
    estimated = []
    for response, grid in groups:
        sums = nothing(response, grid, scheme, replicates)
        if extend is not None:
            sums = Sums(*_sums_of(extend, response, grid), done)
        sums = add(response, grid, scheme, design, sums, counted.of(grid.size))
        estimated.append((response, grid, sampled_quantities(method, sums, response, width)))
    evaluations = scheme.evaluations(len(spec.distributions)) * number
    facts |= {"number": number, "block": block, "confidence": confidence, "evaluations": evaluations}
    return dataset_of(estimated, problem, facts)


def _check(spec: SweepSpec, method: str, number: int, replicates: int, second_order: bool, confidence: float) -> None:
    """Refuse what cannot be done, before any work."""
    if not spec.distributions:
        raise SpecError("distributions: is required: sensitivity is to uncertain parameters; give some")
    if method not in METHODS:
        raise SpecError(unknown("method", method, METHODS))
    if method in ("sobol", "morris") and sampling_of(spec).correlations:
        raise SpecError(
            f'method: "{method}" takes parameters to be independent, and draws.correlations joins some; '
            'use method="shapley"'
        )
    if method == "shapley" and len(spec.distributions) > shapley.MOST:
        raise SpecError(
            f'method: "shapley" takes at most {shapley.MOST} uncertain parameters, got {len(spec.distributions)}'
        )
    if second_order and method != "sobol":
        raise SpecError(f'second_order: belongs to method="sobol", got method="{method}"; drop it')
    for key, value in (("number", number), ("replicates", replicates)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 2 or value & (value - 1):
            raise SpecError(f"{key}: must be a power of two, at least 2, got {value!r}")
    if not FEWEST * replicates <= number <= replicates << 30:
        raise SpecError(
            f"number: must be {FEWEST * replicates:,} to {replicates << 30:,}, {FEWEST} to 2^30 points for each of "
            f"{replicates} replicates, got {number:,}"
        )
    if not isinstance(confidence, float | int) or not 0.0 < confidence < 1.0:
        raise SpecError(f"confidence: must be between 0 and 1, got {confidence!r}")


def _scheme(spec: SweepSpec, method: str, second_order: bool) -> Scheme:
    if method == "sobol":
        return PickFreeze(second_order)
    if method == "morris":
        return Effects()
    factor = sampling_of(spec).factor(spec.distributions)
    factor = np.eye(len(spec.distributions)) if factor is None else factor
    return Subsets(tuple(map(tuple, (factor @ factor.T).tolist())))


def _check_memory(scheme: Scheme, design: Design, groups: Sequence[tuple[Response, Cells]], memory: int | None) -> None:
    dimensions = len(groups[0][0].names)
    numbers = sum(grid.size * len(response.outputs) for response, grid in groups)
    # Old and new sums, and both again on the device.
    needed = COMPILER_BYTES + 4 * 8 * scheme.terms(dimensions) * design.replicates * numbers
    budget = budget_of(memory)
    if needed > budget:
        raise SpecError(
            f"memory: the sums of {numbers:,} values of outputs take {needed:,} bytes, compiling included, more than "
            f"the budget of {budget:,}; give shorter axes or fewer replicates"
        )


class _Count:
    """Counts points in cells that several threads have done."""

    def __init__(self, progress: Callable[[int, int, float], None] | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0
        self._began, self._lock = time.perf_counter(), threading.Lock()

    def of(self, cells: int) -> Callable[[int], None]:
        """Make what counts the points of so many cells."""

        def report(points: int) -> None:
            with self._lock:
                self._done += points * cells
                if self._progress is not None:
                    self._progress(self._done, self._total, time.perf_counter() - self._began)

        return report


def _finished(extend: xr.Dataset, spec: SweepSpec, asked: dict[str, Any], number: int) -> int:
    """Give the points that an earlier result has, if it is of the same sweep."""
    if not isinstance(extend, xr.Dataset) or kind_of(extend) != "sensitivity" or "block" not in extend.attrs:
        raise SpecError("extend: the dataset is no result of sensitivity with points to add to")
    for key, value in asked.items():
        if extend.attrs[key] != value:
            name = "method" if key == "sensitivity" else key
            raise SpecError(f"extend: {name} is {extend.attrs[key]} there, {value} here; use the same")
    difference = next(differences(_lasting(spec.canonical()), _lasting(json.loads(extend.attrs["spec"]))), None)
    if difference is not None:
        raise SpecError(f"extend: the dataset is of another sweep: {difference}")
    for name in (f"{name}_{part}" for name in outputs_of(spec) for part in ("sums", "centre")):
        if name not in extend:
            raise SpecError(f"extend: the dataset has no {name}, which is what is gone on with")
    if number <= extend.attrs["number"]:
        raise SpecError(f"extend: the dataset has {extend.attrs['number']:,} points already; give a larger number")
    return int(extend.attrs["number"])


def _lasting(content: dict[str, Any]) -> dict[str, Any]:
    """What of a spec decides the values: not how many draws a run would make."""
    axes = {name: axis for name, axis in content["axes"].items() if name not in DRAWN}
    draws = {key: content["draws"][key] for key in ("seed", "correlations")}
    return {**content, "axes": axes, "draws": draws}


def _sums_of(extend: xr.Dataset, response: Response, grid: Cells) -> tuple[np.ndarray, np.ndarray]:
    """Sums and centres of an earlier result."""
    sums = [extend[f"{name}_sums"].values for name in response.outputs]
    centre = [extend[f"{name}_centre"].values for name in response.outputs]
    stacked = np.stack([one.reshape(*one.shape[:2], grid.size) for one in sums], axis=2)
    return stacked, np.stack([one.reshape(grid.size) for one in centre])
