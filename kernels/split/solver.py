"""The optimal split of a budget between accelerators now, accelerators later and research, for a map of scenarios.

For a fixed research share the mean loss is convex in the purchases; over the research share it is not. So that share
is scanned, with one Newton step a place, and the loss is descended into from the most promising place, and from the
next valley where its loss is close. The descent is Newton's method on a mean power of c, which is nearly linear in the
shares, with a quadratic model over the simplex solved by block pivoting: it ends at exact zeros, on average in 4 steps
from the scan. An evaluation with more nodes certifies; what it does not certify is solved again with them, and with
more rounds of pivoting, without which a few scenarios in 1e4 at 8 dates, and a third of them at 64, cycle between
active sets. What is too steep even so, or for the nodes, is solved by :mod:`kernels.split.steep`, which is then
compiled. Lanes that are finished are gathered out. The second derivatives cost little more than the first, for c is
two numbers carried from date to date.

Newton's step and its rule of acceptance are transformations of optax, and any other of its optimisers may take their
place (:mod:`kernels.split.descent`): the certificate is the same. How much slower those are: benchmarks/optimisers.py.

The problem is that of :mod:`kernels.split.allocation`. Arrays have scenarios along the last axis, of N or, in
a chunk, B.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax

from kernels.compilation import compiled_two_ways
from kernels.split.allocation import FEW_DATES, SOFTWARE, default_nodes
from kernels.split.descent import End, Method, Task, descend, method_of, newton, over_logits
from kernels.split.mean import Rule, pose, rules_of
from kernels.split.records import CERTIFIED, CONVERGED, FAILED, PARAMETERS, STALLED, AnyArray, Sensitivity, Split
from kernels.split.scan import scan
from kernels.split.sensitivity import sensitivity
from kernels.split.steep import checked, least_steep
from kernels.split.terminal import least_terminal

__all__ = [
    "CERTIFIED",
    "CONVERGED",
    "FAILED",
    "PARAMETERS",
    "STALLED",
    "Sensitivity",
    "Split",
    "certified",
    "mean_losses",
    "optimal_split",
    "sensitivity",
]

SCAN, COARSE, FINE = range(3)  # rules of quadrature: to choose a basin, to descend in it, to certify
NEWTON = method_of("newton")
ROUNDS, REPAIR_ROUNDS = 2, 5  # of block pivoting in a descent, and in one with many nodes; more for many dates
CHUNK, STEEP_CHUNK = 128, 16  # scenarios that are solved together
FEW = 2048  # scenarios up to which compiling thoroughly takes longer than it saves
RESOLVED = 1e-6  # of the loss: the most that the nodes of a descent may miss of it, beyond which more may be too few
MARGIN = 5e-3  # of the loss, within which a second basin is descended into
TOLERANCE = 1e-9  # of the loss: the gap at which a descent ends


Tree = TypeVar("Tree")


class Compiling(NamedTuple):
    """What programs are compiled for."""

    live: bool
    quick: bool


def _is_quick(quick: bool | None, number: int) -> bool:
    return number <= FEW if quick is None else quick


def nodes_of(dates: int) -> tuple[int, int, int]:
    """Nodes between two dates of the three rules, more where there are few dates."""
    return 2 + FEW_DATES // dates // 4, 6 + FEW_DATES // dates, default_nodes(dates)


def lanes_of(tree: Tree, index: Array) -> Tree:
    """The lanes of an index, which may reach beyond the last, of every array (..., N)."""
    return jax.tree.map(lambda v: jnp.take(v, index, axis=-1, mode="clip"), tree)


def optimal_split(
    scenario: Mapping[str, Array],
    *,
    dates: int,
    objective: str = "mean",
    software: str = "live",
    optimiser: str | optax.GradientTransformation = "newton",
    quick: bool | None = None,
) -> Split:
    """Split of each budget that makes its objective least, over purchases at some dates and research.

    Parameters
    ----------
    scenario : mapping of str to jax.Array, shape (N,)
        Every name of `PARAMETERS`, with units and meanings as in :func:`kernels.split.allocation.mean_loss`,
        float64 (the caller enables 64-bit); the terminal objective takes no notice of the discount rate.
    dates : int
        Dates of purchase K, 1 to 64.
    objective : {"mean", "terminal"}
        Discounted mean of the relative excess loss, or the logarithm of that at the horizon.
    software : {"live", "locked"}
        As in :func:`kernels.split.allocation.log_compute_ratio`.
    optimiser : {"newton", "lbfgs", "adam", "sgd"} or optax.GradientTransformation
        What descends the mean loss. Any but Newton's method does so over the logits of the shares, from the same
        starts, with the same certificate and no second attempt. The terminal objective takes no notice of it.
    quick : bool, optional
        Whether to compile quickly, by :mod:`kernels.compilation`, what then takes longer to run; by default for no more
        than `FEW` scenarios.

    Returns
    -------
    Split

    Raises
    ------
    ValueError
        For another objective, software or optimiser, a number of dates outside 1 to 64, or arrays that are not float64.
    """
    if objective not in ("mean", "terminal"):
        raise ValueError(f'objective: must be "mean" or "terminal", got "{objective}"')
    if software not in SOFTWARE:
        raise ValueError(f'software: must be "live" or "locked", got "{software}"')
    if not 1 <= dates <= 64:
        raise ValueError(f"dates: must be 1 to 64, got {dates}")
    method = method_of(optimiser)
    given = {name: jnp.asarray(scenario[name]) for name in PARAMETERS}
    for name, value in given.items():
        if value.dtype != np.float64:
            raise ValueError(f"{name}: must be float64, got {value.dtype}; solve under jax.enable_x64(True)")
    live = software == "live"
    how = Compiling(live, _is_quick(quick, given["budget"].shape[0]))
    if objective == "terminal":
        return least_terminal(given, dates=dates, **how._asdict())
    split, unresolved = _least_mean(given, dates=dates, how=how, method=method)
    if method.transformation is None:
        split = _repaired(given, split, dates=dates, how=how)
    split = _again(checked, given, split, unresolved, dates, how)
    if method.transformation is None:
        numbers = ~np.any([np.isnan(v) for v in map(np.asarray, given.values())], axis=0)  # or nothing can be known
        split = _again(least_steep, given, split, (split.status != CONVERGED) & numbers, dates, how)
    return jax.tree.map(jnp.asarray, split)


def mean_losses(
    scenario: Mapping[str, Array],
    shares: AnyArray,
    research_share: AnyArray,
    *,
    software: str = "live",
    quick: bool | None = None,
) -> Array:
    """Mean losses (N,) of given splits, (K, N) and (N,), by a quadrature that is fine enough for every scenario.

    Unlike :func:`kernels.split.allocation.mean_loss` it is not traceable. The other arguments are those of
    :func:`optimal_split`.
    """
    given = {name: jnp.asarray(scenario[name]) for name in PARAMETERS}
    dates, how = shares.shape[0], Compiling(software == "live", _is_quick(quick, shares.shape[1]))
    x = np.concatenate([shares, np.asarray(research_share)[None]])
    every = np.ones(x.shape[1:], bool)
    rough, end = (
        _walked(given, End.unknown(x), every, Task.of(rule, 1, 0.0, 0), how=how, method=NEWTON)
        for rule in (COARSE, FINE)
    )
    split, unresolved = _split(end, np.zeros((2, *every.shape)), end.taken), _unlike(rough.loss, end.loss)
    return jnp.asarray(_again(checked, given, split, unresolved, dates, how).objective)


def certified(
    scenario: Mapping[str, Array],
    shares: AnyArray,
    research_share: AnyArray,
    *,
    software: str = "live",
    quick: bool | None = None,
) -> Split:
    """Given splits, (K, N) and (N,), as they are, with their mean losses, gaps and status.

    As :func:`mean_losses`, but for a few: each takes milliseconds.
    """
    given = {name: jnp.asarray(scenario[name]) for name in PARAMETERS}
    nothing = np.zeros(np.shape(research_share))
    none, bracket = nothing.astype(np.int32), np.stack([nothing] * 2)
    given_shares, research = np.asarray(shares), np.asarray(research_share)
    split = Split(given_shares, research, nothing, nothing, nothing, bracket, none, status=none)
    every = np.ones(nothing.shape, bool)
    how = Compiling(software == "live", _is_quick(quick, len(nothing)))
    return _again(checked, given, split, every, shares.shape[0], how)


def _again(
    solve: Callable[..., Split],
    scenario: dict[str, Array],
    split: Split,
    wanted: AnyArray,
    dates: int,
    how: Compiling,
) -> Split:
    """The split with the scenarios that are wanted solved once more, a few at once; few are, in most maps none.

    The solver is called from here, not from the compiled solution of all scenarios, so that a map that does not need it
    does not compile it.
    """
    lanes = np.flatnonzero(wanted)
    if not lanes.size:
        return split
    values, start = [np.array(v) for v in split], jax.tree.map(np.asarray, (scenario, split))
    for first in range(0, lanes.size, STEEP_CHUNK):
        here = np.resize(lanes[first : first + STEEP_CHUNK], STEEP_CHUNK)
        better = solve(*jax.tree.map(lambda v, i=here: v[..., i], start), dates=dates, **how._asdict())
        for value, new in zip(values, better, strict=True):
            value[..., here] = new
    return Split(*values)


def _least_mean(scenario: dict[str, Array], *, dates: int, how: Compiling, method: Method) -> tuple[Split, np.ndarray]:
    """Scan the research share coarsely, descend in the best basins, certify; say where the nodes are too few (N,)."""
    every = np.ones(scenario["budget"].shape, bool)
    walk = partial(_walked, scenario, how=how)
    rounds = ROUNDS + dates // 12

    def look(x: np.ndarray, steps: int, rounds: int) -> End:
        return walk(End.unknown(x), every, Task.of(SCAN, steps, -1.0, rounds, held=True), method=NEWTON)

    basins = scan(np.asarray(scenario["budget"]) / np.asarray(scenario["research_scale"]), dates, look)
    close = basins.lows[1] <= basins.lows[0] * (1.0 + MARGIN)
    one, two = (
        _descended(walk, start, active, COARSE, TOLERANCE, rounds, method)
        for start, active in zip(basins.starts, (every, close), strict=True)
    )
    second = two.loss < one.loss
    x, rough = np.where(second, two.x, one.x), np.where(second, two.loss, one.loss)
    # Many more nodes certify; where they see another loss than the nodes of the descent, even they are too few.
    end = walk(End.unknown(x), every, Task.of(FINE, 1, 0.0, 0), method=NEWTON)
    return _split(end, basins.bracket, one.taken + two.taken), _unlike(rough, end.loss)


@np.errstate(invalid="ignore")  # what is no number is unlike itself
def _unlike(rough: AnyArray, fine: AnyArray) -> np.ndarray:
    """Whether two quadratures differ by so much that even the finer one may be wrong."""
    return ~(np.abs(rough - fine) <= RESOLVED * fine)


def _repaired(scenario: dict[str, Array], split: Split, *, dates: int, how: Compiling) -> Split:
    """Descend from where descents ended that are not certified, with many nodes and more care for the active set."""
    wrong = split.status != CONVERGED
    x = np.concatenate([split.shares, split.research_share[None]])
    walk = partial(_walked, scenario, how=how)
    end = _descended(walk, x, wrong, FINE, CERTIFIED, REPAIR_ROUNDS + dates // 3, NEWTON)
    better = _split(end, split.bracket, split.iterations + end.taken)
    return Split(*(np.where(wrong, new, old) for new, old in zip(better, split, strict=True)))


def _descended(
    walk: Callable[..., End],
    x: np.ndarray,
    active: AnyArray,
    rule: int,
    tolerance: float,
    rounds: int,
    method: Method,
) -> End:
    """Descents of all lanes that are active, in sprints after which those that are unfinished are gathered anew."""
    end = End.unknown(x)
    for steps in method.sprints:
        if not active.any():
            break
        before = end.taken
        end = walk(end, active, Task.of(rule, steps, tolerance, rounds), method=method)
        end = end._replace(taken=np.where(active, before + end.taken, before))
        active = active & ~end.done
    return end


def _walked(
    scenario: dict[str, Array], end: End, active: AnyArray, task: Task, *, how: Compiling, method: Method
) -> End:
    lanes = np.flatnonzero(active)
    order = np.full(len(active) + min(CHUNK, len(active)), len(active))
    order[: lanes.size] = lanes
    after = _walk(scenario, end, order, np.int64(lanes.size), task, method=method, **how._asdict())
    return End(*(np.asarray(v) for v in after))


@compiled_two_ways(static_argnames=("live", "method"))
def _walk(
    scenario: dict[str, Array], end: End, order: Array, number: Array, task: Task, *, live: bool, method: Method
) -> End:
    """Ends (N), of which the first so many lanes in an order are descended from: all that is compiled for a split.

    Scan, descent, repair and certificate are tasks of one program, as XLA takes seconds to compile it. The lanes are
    gathered into chunks, so that those that need no more work hold up no others.
    """
    dates = end.x.shape[0] - 1
    chunk = order.shape[0] - end.loss.shape[0]
    rule: Rule = jax.tree.map(lambda v: jnp.asarray(v)[task.rule], rules_of(*nodes_of(dates)))

    def body(i: Array, ends: End) -> End:
        index = lax.dynamic_slice(order, (i * chunk,), (chunk,))
        p = pose(lanes_of(scenario, index), dates, rule)
        if method.transformation is None:
            optimiser = newton(p.exponent, rounds=task.rounds, held=task.held)
        else:
            optimiser = over_logits(method.transformation, p, live, rule.nodes)
        new = descend(p, lanes_of(end.x, index), live, task, rule.nodes, optimiser)
        return jax.tree.map(lambda old, v: old.at[..., index].set(v, mode="drop"), ends, new)

    return lax.fori_loop(0, (number + chunk - 1) // chunk, body, end)


def _split(end: End, bracket: AnyArray, steps: AnyArray) -> Split:
    """The split of shares as they are, with its gaps and whether it is certified."""
    sound = np.isfinite(end.loss) & np.isfinite(end.gaps).all(axis=0) & (end.loss > 0.0)
    done = end.gaps[1] <= CERTIFIED * end.loss
    status = np.where(sound, np.where(done, CONVERGED, STALLED), FAILED).astype(np.int32)
    return Split(end.x[:-1], end.x[-1], end.loss, end.gaps[0], end.gaps[1], bracket, steps, status)
