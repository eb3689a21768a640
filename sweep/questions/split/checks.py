"""What may be asked of a budget: one line for what may not, before any work starts."""

from typing import TYPE_CHECKING

from kernels.split.descent import method_of
from sweep.config.allocation import Allocation
from sweep.config.spec import SweepSpec
from sweep.errors import SpecError

if TYPE_CHECKING:
    import optax


def chosen_of(spec: SweepSpec, robust: str | None, level: float | None) -> Allocation:
    """How the budget may be split, with what is said beside the spec."""
    told = {} if spec.allocation is None else spec.allocation.model_dump(exclude_none=True)
    said = {name: value for name, value in (("robust", robust), ("level", level)) if value is not None}
    return Allocation(**told | said)


def check(
    spec: SweepSpec, chosen: Allocation, optimiser: "str | optax.GradientTransformation", beside: set[str]
) -> None:
    """Refuse what cannot be answered.

    Parameters
    ----------
    beside : set of str
        What is wanted beside the split: "sensitivities", "ranges", "both", "worth".

    Raises
    ------
    SpecError
        One line.
    """
    if spec.statistics:
        raise SpecError(
            f"statistics: are not taken of optimal splits, got {', '.join(spec.statistics)}; drop them, and take them "
            "of the dataset"
        )
    if "sensitivities" in beside and chosen.objective != "mean":
        raise SpecError('sensitivities: are those of the mean objective; got objective = "terminal"')
    try:
        method_of(optimiser)
    except ValueError as error:
        raise SpecError(str(error)) from None
    if chosen.objective != "mean" and optimiser != "newton":
        raise SpecError('optimiser: is for the mean objective, as "terminal" is searched date by date; drop it')
    if chosen.robust is not None:
        _check_robust(spec, optimiser, beside)
    for name in ("worth",) if "worth" in beside else ("level",) if chosen.level is not None else ():
        if chosen.robust is None:
            raise SpecError(f"{name}: is of one plan for many draws; give robust too, or drop it")


def _check_robust(spec: SweepSpec, optimiser: "str | optax.GradientTransformation", beside: set[str]) -> None:
    if not spec.distributions:
        raise SpecError(
            "robust: is one plan for the draws of [distributions], and there are none; give some or drop it"
        )
    for name in sorted(beside - {"worth"}):
        raise SpecError(f"{name}: are of the split of one scenario, not of one plan for many draws; drop one")
    if optimiser != "newton":
        raise SpecError('optimiser: one plan for many draws is solved by "newton" alone; drop it or robust')
