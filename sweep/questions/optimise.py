"""``sweep.optimise``: the best split of a budget, or the best decision of any other model."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import xarray as xr

from sweep.config.spec import SweepSpec
from sweep.errors import SpecError
from sweep.models.model import Model
from sweep.models.problem import Problem, parts_of
from sweep.questions.decision.decide import decide
from sweep.questions.split.optimise import optimise as split

if TYPE_CHECKING:
    import optax


def optimise(
    spec: SweepSpec | Problem,
    *,
    minimise: str | None = None,
    maximise: str | None = None,
    over: str | Sequence[str] = (),
    subject_to: str | Sequence[str] = (),
    starts: int | None = None,
    model: Model | None = None,
    optimiser: "str | optax.GradientTransformation" = "newton",
    robust: str | None = None,
    level: float | None = None,
    worth: bool = False,
    sensitivities: bool = False,
    ranges: bool = False,
    both: bool = False,
    memory: int | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> xr.Dataset:
    """Find the best decision for every scenario of a sweep: any output of a model, or the split of a budget.

    The model "front_loading" is solved by its own method, certified, and takes the arguments from `optimiser` to
    `both`; every other model takes those from `minimise` to `model`.

    Parameters
    ----------
    spec : SweepSpec or Problem
        Its axes that are not decided are scenarios. The dtype does not matter: all is in float64.
    minimise, maximise : str, optional
        One output of the model, named by the spec or not, or a decision that an output in `subject_to` depends on.
    over : str or sequence of str
        Axes that are decided, 1 to 8: any value from the first to the last one, not only those of the grid. They are
        ranges, not lists.
    subject_to : str or sequence of str
        Conditions such as ``total_cost <= 5e8 and time <= 5``, of outputs or decisions.
    starts : int, optional
        Points of the grid from which the best is looked for in each scenario, 1 to 64; 8 by default.
    model : Model, optional
        One of your own, instead of the shipped one that the spec names; its outputs have derivatives in JAX.
    optimiser, robust, level, worth, sensitivities, ranges, both
        Of the split of a budget: :func:`sweep.questions.split.optimise.optimise`.
    memory : int, optional
        Budget in bytes; half of the memory that this process may take by default. What does not fit is refused.
    progress : callable, optional
        Called with the scenarios that are done, all scenarios, and the seconds since the start.

    Returns
    -------
    xarray.Dataset
        Of a split, what :func:`sweep.questions.split.optimise.optimise` returns. Of a decision, over the axes that are
        not decided: each decision, the objective and each output in a condition, by their names; ``best_of_grid``, the
        objective at the best point of a grid of the axes' values (at most 16,384 points, the ends among them), which
        the answer is never worse than; ``starts_alike``, how many starts ended as good; ``status``, which is "local"
        for a local optimum, the best of the starts. Nothing proves that there is no better one. Conditions are met as
        they are written, to the bit. A scenario in which nothing is allowed is NaN, "infeasible".

    Raises
    ------
    SpecError
        One line, before anything is computed: a decision that is no axis, or a list of values; an unknown name; an
        output without derivatives; statistics or distributions. Later: conditions that are met nowhere.

    Warns
    -----
    UserWarning
        For values that were probably meant otherwise, and where some scenarios are infeasible.

    Examples
    --------
    >>> import sweep
    >>> def area(width, height):
    ...     return width * height
    >>> def fence(width, height):
    ...     return 2.0 * (width + height)
    >>> field = sweep.Model("field", (area, fence))
    >>> axis = {"start": 0.0, "stop": 10.0, "num": 11}
    >>> spec = sweep.SweepSpec(model="field", outputs=["area"], axes={"width": axis, "height": axis})
    >>> best = sweep.optimise(spec, maximise="area", over=["width", "height"], subject_to="fence <= 14", model=field)
    >>> round(float(best.area), 6), round(float(best.width), 4)
    (12.25, 3.5)
    """
    source = parts_of(spec, model)[1]
    decision = {"minimise": minimise, "maximise": maximise, "over": over, "subject_to": subject_to, "starts": starts}
    if source.is_solved:
        _refuse(decision, f'the model "{source.name}" is a split with an objective of its own')
        return split(
            spec,
            optimiser=optimiser,
            robust=robust,
            level=level,
            worth=worth,
            sensitivities=sensitivities,
            ranges=ranges,
            both=both,
            memory=memory,
            progress=progress,
        )
    flags = {"worth": worth, "sensitivities": sensitivities, "ranges": ranges, "both": both}
    of_split = {"optimiser": optimiser != "newton", "robust": robust, "level": level is not None} | flags
    _refuse(of_split, 'is of the split of a budget, the model "front_loading"')
    return decide(
        spec,
        minimise=minimise,
        maximise=maximise,
        over=over,
        subject_to=subject_to,
        starts=8 if starts is None else starts,
        model=model,
        memory=memory,
        progress=progress,
    )


def _refuse(options: Mapping[str, object], reason: str) -> None:
    """Refuse what is asked and belongs to the other question."""
    for name, value in options.items():
        if value:
            raise SpecError(f"{name}: {reason}; drop it")
