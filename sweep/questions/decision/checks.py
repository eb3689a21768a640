"""What may be asked of a model: what to minimise, over what, under which conditions; one line for what may not."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from sweep.config.axis import Axis
from sweep.config.distribution import DRAWN
from sweep.config.spec import SweepSpec
from sweep.config.statistic import Condition, conditions_of, refuse_subnormal
from sweep.engine.evaluate import take
from sweep.errors import SpecError, short, unknown
from sweep.models.model import Model
from sweep.models.problem import Problem, parts_of
from sweep.questions.decision.descent import Goal

MOST_DECISIONS, MOST_STARTS, MOST_SCENARIOS = 8, 64, 10**6


@dataclass(frozen=True)
class Question:
    """What is asked of a sweep, checked.

    Attributes
    ----------
    problem : Problem
        Of the outputs that matter, in float64; its axes are scenarios and decisions.
    objective : str
        What is minimised, or maximised: an output or a decision.
    is_greatest : bool
        Whether it is maximised.
    conditions : tuple of Condition
        Of outputs or decisions.
    decisions : dict of str to Axis
        What is decided, between the ends of its axis.
    starts : int
        Points from which the best is looked for.
    """

    problem: Problem
    objective: str
    is_greatest: bool
    conditions: tuple[Condition, ...]
    decisions: Mapping[str, Axis]
    starts: int

    @property
    def scenarios(self) -> dict[str, Axis]:
        """The axes that are not decided, in the order of the spec."""
        return {name: axis for name, axis in self.problem.spec.axes.items() if name not in self.decisions}

    @property
    def names(self) -> tuple[str, ...]:
        """The objective, and what else conditions are on."""
        return tuple(dict.fromkeys((self.objective, *(c.output for c in self.conditions))))

    @property
    def shares(self) -> tuple[str, ...]:
        """Decisions that are parts of one whole, where there are two or more."""
        shares = tuple(name for name in self.decisions if name in self.problem.model.shares)
        return shares if len(shares) > 1 else ()

    @property
    def bounded(self) -> tuple[Condition, ...]:
        """The conditions, and the upper ends of shares that do not follow from their being parts of one whole."""
        ends = ((name, self.decisions[name].bounds()[1]) for name in self.shares)
        return (*self.conditions, *(Condition(name, "<=", end) for name, end in ends if end < 1.0))

    @property
    def goal(self) -> Goal:
        """What is compiled of it."""
        model, names = self.problem.model, self.names
        names = tuple(dict.fromkeys((*names, *(c.output for c in self.bounded))))
        places = {name: i for i, name in enumerate(self.decisions)}
        return Goal(
            model.graph([name for name in names if name not in self.decisions]),
            names,
            self.is_greatest,
            tuple((names.index(c.output), c.sign) for c in self.bounded),
            tuple(self.decisions),
            tuple(axis.is_log and name not in self.shares for name, axis in self.decisions.items()),
            tuple(places[name] for name in self.shares),
        )


def question_of(
    spec: SweepSpec | Problem,
    model: Model | None,
    minimise: str | None,
    maximise: str | None,
    over: str | Sequence[str],
    subject_to: str | Sequence[str],
    starts: int,
) -> Question:
    """Refuse what cannot be answered.

    Raises
    ------
    SpecError
        One line.
    """
    spec, model = parts_of(spec, model)
    model.refuse_to_evaluate()
    objective = _objective(minimise, maximise)
    if not 1 <= starts <= MOST_STARTS:
        raise SpecError(f"starts: must be 1 to {MOST_STARTS}, got {starts}")
    _refuse_uncertain(spec)
    decisions = {name: _decided(spec, model, name) for name in _names(over)}
    _check_number(decisions, _names(over), spec)
    known = [*(output.name for output in model.outputs), *decisions]
    if objective not in known:
        raise SpecError(f"objective: {unknown('output or decision', objective, known)}")
    texts = _names(subject_to)
    conditions = conditions_of(" and ".join(texts), "subject_to") if texts else ()
    for condition in conditions:
        if condition.output not in known:
            raise SpecError(f"subject_to: {unknown('output or decision', condition.output, known)}")
    refuse_subnormal("subject_to", conditions, "float64")
    problem = _problem(spec, model, objective, conditions, decisions)
    question = Question(problem, objective, maximise is not None, conditions, decisions, starts)
    scenarios = math.prod(len(axis) for axis in question.scenarios.values())
    if scenarios > MOST_SCENARIOS:
        raise SpecError(
            f"axes: make {scenarios:,} scenarios, at most {MOST_SCENARIOS:,} are solved; take shorter axes, or name "
            "more of them as decisions"
        )
    _check_derivatives(question)
    return question


def _names(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _objective(minimise: str | None, maximise: str | None) -> str:
    named = [name for name in (minimise, maximise) if name is not None]
    if len(named) != 1:
        raise SpecError(
            f"objective: give one name to minimise or to maximise, got {' and '.join(named) or 'none'}"
            + ("; sweep frontier takes several" if named else "")
        )
    if not isinstance(named[0], str):
        raise SpecError(f"objective: must be one name, got {short(named[0])}; sweep frontier takes several")
    return named[0]


def _refuse_uncertain(spec: SweepSpec) -> None:
    for table in ("statistics", "distributions"):
        if names := getattr(spec, table):
            raise SpecError(
                f"{table}: a decision is of values that are known, got {', '.join(names)}; drop them, or compare the "
                "points of the grid by statistics: sweep frontier"
            )


def _decided(spec: SweepSpec, model: Model, name: str) -> Axis:
    """The axis of a decision."""
    if name not in spec.axes:
        if name in spec.fixed:
            raise SpecError(f"over: {name} is fixed at {spec.fixed[name].value:g}; make it an axis")
        if name in [p.name for p in model.parameters]:
            raise SpecError(f"over: {name} is not an axis; give it start, stop and num under [axes.{name}]")
        raise SpecError(f"over: {unknown('axis', name, [axis for axis in spec.axes if axis not in DRAWN])}")
    axis = spec.axes[name]
    if axis.values is not None:
        raise SpecError(
            f"over: {name} is a list of {len(axis.values)} values, and a decision is any value between two ends; give "
            "start, stop and num"
        )
    return axis


def _check_number(decisions: Mapping[str, Axis], over: tuple[str, ...], spec: SweepSpec) -> None:
    if not 1 <= len(over) <= MOST_DECISIONS:
        raise SpecError(f"over: give 1 to {MOST_DECISIONS} axes to decide on ({', '.join(spec.axes)}), got {len(over)}")
    if len(decisions) < len(over):
        twice = next(name for name in over if over.count(name) > 1)
        raise SpecError(f"over: {twice} is given twice; give it once")


def _problem(
    spec: SweepSpec,
    model: Model,
    objective: str,
    conditions: tuple[Condition, ...],
    decisions: Mapping[str, Axis],
) -> Problem:
    """The sweep of what the objective and the conditions depend on."""
    used = tuple(dict.fromkeys((objective, *(c.output for c in conditions))))
    outputs = tuple(name for name in used if name not in decisions)
    if not outputs:
        raise SpecError(
            f"objective: {objective} is a decision, so nothing trades against it; add a condition on an output "
            f"({', '.join(output.name for output in model.outputs)})"
        )
    needs = model.needed(outputs)
    for name in decisions:
        if name not in needs:
            raise SpecError(f"over: neither the objective nor a condition depends on {name}; drop it")
    for name in spec.axes:
        model.check_name("axes", name, spec)
    axes = {name: axis for name, axis in spec.axes.items() if name in needs}
    asked = spec.model_copy(update={"outputs": outputs, "axes": axes, "allocation": None, "dtype": "float64"})
    return Problem.of(asked, model)


def _check_derivatives(question: Question) -> None:
    """Refuse outputs that are no numbers, or have no derivatives; nothing is evaluated."""
    goal, model = question.goal, question.problem.model
    scenario = {name: jnp.zeros(()) for name in question.problem.needed if name not in question.decisions}

    def of(*x: jax.Array) -> list[jax.Array]:
        return take(goal.graph(**scenario, **dict(zip(goal.decisions, x, strict=True))), goal.graph.outputs, model.name)

    x = tuple(jnp.zeros(()) for _ in goal.decisions)
    try:
        shapes = jax.eval_shape(lambda: jax.jvp(of, x, x)[0])
    except SpecError:
        raise
    except Exception as error:  # of any library that a function of the user's calls
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'without a reason'}"
        raise SpecError(f"objective: {', '.join(goal.graph.outputs)} have no derivatives in JAX ({reason})") from None
    for name, shape in zip(goal.graph.outputs, shapes, strict=True):
        if shape.shape != ():
            raise SpecError(f'model "{model.name}": the function of "{name}" must be elementwise, got {shape.shape}')
        if not jnp.issubdtype(shape.dtype, jnp.floating):
            raise SpecError(f"objective: {name} is of whole numbers or truth values, and has no derivatives")
