"""Descents of the loss over the simplex of shares, each driven by an optimiser of optax, and what certifies the end.

An optimiser is replaceable, and none is trusted: the gaps of the point where it ends say how good that is.

Scenarios are along the last axis, of B; shares are (K+1, B), the research share last.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax

from kernels.split.mean import Problem, evaluate
from kernels.split.newton import Acceptance, Point, accept_descent, by_lane, gaps, simplex_newton
from kernels.split.records import AnyArray

DUST = 1e-10  # shares below it, that are worth less than it, are 0
LEAST = 1e-4  # share from which a descent over logits starts where a share is 0
# Steps before the unfinished scenarios are gathered anew; an optimiser that remembers its steps is not interrupted.
SPRINTS = (3, 3, 4, 6, 8, 12, 24)
Driver: TypeAlias = optax.GradientTransformationExtraArgs
Look: TypeAlias = Callable[[Array], tuple[Array, Array, Array]]  # loss, gradient and Hessian at shares


class Method(NamedTuple):
    """What drives a descent.

    Attributes
    ----------
    transformation : optax.GradientTransformation or None
        It descends the logarithm of the loss over the logits of one scenario's shares. None: :func:`newton`, which
        descends the loss of many scenarios over their shares.
    sprints : tuple of int
        Steps before scenarios that are not finished begin anew, in chunks without those that are.
    """

    transformation: optax.GradientTransformation | None
    sprints: tuple[int, ...]


def method_of(optimiser: str | optax.GradientTransformation) -> Method:
    """The method of a name of `OPTIMISERS`, or of an optax transformation, which is given 1000 steps.

    Raises
    ------
    ValueError
        For anything else.
    """
    if isinstance(optimiser, optax.GradientTransformation):
        return Method(optimiser, (1000,))
    if not (isinstance(optimiser, str) and optimiser in OPTIMISERS):
        names = ", ".join(f'"{name}"' for name in OPTIMISERS)
        shown = f'"{optimiser}"' if isinstance(optimiser, str) else repr(optimiser)
        raise ValueError(f"optimiser: must be one of {names}, or an optax transformation, got {shown}")
    return _named(optimiser)


@cache  # one transformation a name, so that what is compiled for it is found again
def _named(name: str) -> Method:
    return OPTIMISERS[name]()


OPTIMISERS: dict[str, Callable[[], Method]] = {
    "newton": lambda: Method(None, SPRINTS),
    "lbfgs": lambda: Method(optax.lbfgs(), (200,)),
    "adam": lambda: Method(optax.adam(0.1), (1000,)),
    "sgd": lambda: Method(optax.sgd(10.0, momentum=0.9, nesterov=True), (1000,)),
}


def newton(exponent: Array, *, rounds: int | AnyArray, held: bool | AnyArray = False) -> Driver:
    """Newton's method with its rule of acceptance; arguments are those of :func:`simplex_newton`."""
    return accept_descent(simplex_newton(exponent, rounds=rounds, held=held))


class Logits(NamedTuple):
    """The best point so far, and where an optimiser over logits is."""

    accepted: Point
    logits: Array
    inner: optax.OptState

    @property
    def updates(self) -> Array:
        """What leads from the best point to where the optimiser is."""
        return jax.nn.softmax(self.logits, axis=0) - self.accepted.x


def over_logits(
    optimiser: optax.GradientTransformation, p: Problem, live: bool, nodes: AnyArray | None = None
) -> optax.GradientTransformationExtraArgs:
    """An optimiser of one scenario's parameters as one of the shares of many, which are the softmax of its parameters.

    It descends the logarithm of the loss, so that a rate means the same in every scenario, and is called with `value`,
    `grad` and `value_fn`, which those that search along a line need. Updates lead on from the best point so far.
    """
    one = optax.with_extra_args_support(optimiser)

    def log_loss(p: Problem, logits: Array) -> tuple[Array, Array]:
        x = jax.nn.softmax(logits)
        f, gradient, _ = evaluate(jax.tree.map(lambda v: v[..., None], p), x[:, None], live, nodes)
        return jnp.log(f[0]), x * (gradient[:, 0] - x @ gradient[:, 0]) / f[0]

    def step(p: Problem, logits: Array, inner: optax.OptState, value: Array, grad: Array) -> tuple[Array, Any]:
        def value_fn(z: Array, **_: Any) -> Array:
            # The gradient is known: nothing but a linear term is left to differentiate.
            f, by = log_loss(p, lax.stop_gradient(z))
            return f + jnp.vdot(by, z - lax.stop_gradient(z))

        with jax.numpy_dtype_promotion("standard"):  # optax mixes types
            updates, inner = one.update(grad, inner, logits, value=value, grad=grad, value_fn=value_fn)
        return optax.apply_updates(logits, updates), inner

    def init(x: Array) -> Logits:
        logits = jnp.log(jnp.maximum(x, LEAST))
        return Logits(Point.unseen(x), logits, jax.vmap(one.init, -1, -1)(logits))

    def update(gradient: Array, state: Logits, x: Array, *, value: Array, **_: Any) -> tuple[Array, Logits]:
        best = state.accepted
        best = by_lane(value < best.f, Point(x, value, gradient), best)
        here = jax.nn.softmax(state.logits, axis=0)
        grad = here * (gradient - jnp.sum(here * gradient, axis=0)[None]) / value[None]
        logits, inner = jax.vmap(step, -1, -1)(p, state.logits, state.inner, jnp.log(value), grad)
        after = Logits(best, logits, inner)
        return after.updates, after

    return optax.GradientTransformationExtraArgs(init, update)


class Walk(NamedTuple):
    """Where a descent stands: the state of its optimiser, and how many steps it took."""

    state: Acceptance | Logits
    taken: Array


def begin(optimiser: Driver, x: Array) -> Walk:
    """A descent that has yet to look at its first point."""
    return Walk(optimiser.init(x), jnp.zeros(x.shape[1:], jnp.int32))


def advance(look: Look, optimiser: optax.GradientTransformationExtraArgs, walk: Walk) -> Walk:
    """Look at the next shares, and let the optimiser say which come after them.

    The updates are those that it gave a step ago, as its state has them: so a product and what it is added to are
    rounded once.
    """
    state = walk.state
    x = jnp.maximum(optax.apply_updates(state.accepted.x, state.updates), 0.0)  # rounding may make a share negative
    f, gradient, hessian = look(x)
    _, state = optimiser.update(gradient, state, x, value=f, hessian=hessian)
    return Walk(state, walk.taken + 1)


class Task(NamedTuple):
    """What a descent is to do; of numbers, so that it is compiled once for all of them."""

    rule: AnyArray  # which of the rules of quadrature
    limit: AnyArray  # the most steps
    tolerance: AnyArray  # of the loss: the gap at which it ends
    rounds: AnyArray  # of block pivoting
    held: AnyArray  # whether the research share stays what it is

    @classmethod
    def of(cls, rule: int, limit: int, tolerance: float, rounds: int, held: bool = False) -> "Task":
        """A task of plain numbers."""
        return cls(*map(np.asarray, (np.int32(rule), np.int32(limit), tolerance, np.int32(rounds), held)))


class End(NamedTuple):
    """Where a descent ended."""

    x: AnyArray  # (K+1, B), without dust
    loss: AnyArray  # (B,)
    gaps: AnyArray  # (2, B)
    gradient: AnyArray  # (K+1, B)
    updates: AnyArray  # (K+1, B): what leads on
    taken: AnyArray  # (B,): steps
    done: AnyArray  # (B,): whether the gap is within the tolerance

    @classmethod
    def unknown(cls, x: AnyArray) -> "End":
        """Shares that have yet to be descended from."""
        none = np.full(x.shape[1:], np.inf)
        nothing = np.zeros(x.shape)
        return cls(x, none, np.stack([none] * 2), nothing, nothing, np.zeros(none.shape, np.int32), none < 0.0)


def descend(p: Problem, x: AnyArray, live: bool, task: Task, nodes: AnyArray, optimiser: Driver) -> End:
    """Descend from x until the gap is within the tolerance, in at most so many steps."""

    def unfinished(walk: Walk) -> Array:
        at = walk.state.accepted
        return ~(gaps(p.pace, at.x, at.gradient)[1] <= task.tolerance * at.f) | (walk.taken == 0)

    def more(state: tuple[Walk, Array]) -> Array:
        return jnp.any(unfinished(state[0])) & (state[1] < task.limit)

    def body(state: tuple[Walk, Array]) -> tuple[Walk, Array]:
        walk, number = state
        after = advance(lambda x: evaluate(p, x, live, nodes), optimiser, walk)
        return by_lane(unfinished(walk), after, walk), number + 1

    walk, _ = lax.while_loop(more, body, (begin(optimiser, jnp.asarray(x)), jnp.asarray(0)))
    at = walk.state.accepted
    x = dusted(at.x, at.f, at.gradient)
    bounds = jnp.stack(gaps(p.pace, x, at.gradient))
    return End(x, at.f, bounds, at.gradient, walk.state.updates, walk.taken, ~unfinished(walk))


def dusted(x: Array, f: Array, gradient: Array) -> Array:
    """Shares of which those that are as good as 0, and would be better so, are 0 exactly."""
    excess = gradient - jnp.min(gradient, axis=0)[None]
    dust = (x < DUST) & (excess > 0.0) & (x * excess <= DUST * f[None])
    x = jnp.where(dust, 0.0, x)
    return x / jnp.sum(x, axis=0)[None]
