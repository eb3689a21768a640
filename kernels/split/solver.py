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
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax

from kernels.split.allocation import FEW_DATES, SOFTWARE, default_nodes
from kernels.split.descent import Method, certify, descend, method_of, newton, over_logits
from kernels.split.mean import evaluate, pose
from kernels.split.records import CERTIFIED, CONVERGED, FAILED, PARAMETERS, STALLED, Sensitivity, Split, as_split
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

SCANNED, COARSE = 2, 6  # nodes between two dates, to choose a basin and to descend in it, and more for few dates
ROUNDS, REPAIR_ROUNDS = 2, 5  # of block pivoting in a descent, and in one with many nodes; more for many dates
CHUNK, STEEP_CHUNK = 128, 16  # scenarios that are solved together
RESOLVED = 1e-6  # of the loss: the most that the nodes of a descent may miss of it, beyond which more may be too few
MARGIN = 5e-3  # of the loss, within which a second basin is descended into
TOLERANCE = 1e-9  # of the loss: the gap at which a descent ends


Tree = TypeVar("Tree")


def lanes_of(tree: Tree, index: Array) -> Tree:
    """The lanes of an index, which may reach beyond the last, of every array (..., N)."""
    return jax.tree.map(lambda v: jnp.take(v, index, axis=-1, mode="clip"), tree)


def gathered(
    active: Array, work: Callable[[Array], tuple[Array, ...]], out: tuple[Array, ...], chunk: int = CHUNK
) -> tuple[Array, ...]:
    """`out` (..., N) with the results of `work` on the lanes that are active, gathered into chunks.

    So lanes that need no more work hold up no others.
    """
    size = active.shape[0]
    chunk = min(chunk, size)
    order = jnp.nonzero(active, size=size + chunk, fill_value=size)[0]

    def body(i: Array, out: tuple[Array, ...]) -> tuple[Array, ...]:
        index = lax.dynamic_slice(order, (i * chunk,), (chunk,))
        return tuple(o.at[..., index].set(v, mode="drop") for o, v in zip(out, work(index), strict=True))

    return lax.fori_loop(0, (jnp.sum(active) + chunk - 1) // chunk, body, out)


def optimal_split(
    scenario: Mapping[str, Array],
    *,
    dates: int,
    objective: str = "mean",
    software: str = "live",
    optimiser: str | optax.GradientTransformation = "newton",
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
    if objective == "terminal":
        return least_terminal(given, dates=dates, live=live)
    split, unresolved = _least_mean(given, dates=dates, live=live, method=method)
    if method.transformation is not None:
        return _again(checked, given, split, unresolved, STEEP_CHUNK, dates, live)
    split = _again(_repaired, given, split, split.status != CONVERGED, CHUNK, dates, live)
    split = _again(checked, given, split, unresolved, STEEP_CHUNK, dates, live)
    return _again(least_steep, given, split, split.status != CONVERGED, STEEP_CHUNK, dates, live)


def mean_losses(
    scenario: Mapping[str, Array], shares: Array, research_share: Array, *, software: str = "live"
) -> Array:
    """Mean losses (N,) of given splits, (K, N) and (N,), by a quadrature that is fine enough for every scenario.

    Unlike :func:`kernels.split.allocation.mean_loss` it is not traceable. The other arguments are those of
    :func:`optimal_split`.
    """
    given = {name: jnp.asarray(scenario[name]) for name in PARAMETERS}
    dates, live = shares.shape[0], software == "live"
    split, unresolved = _as_given(given, jnp.asarray(shares), jnp.asarray(research_share), live=live)
    return _again(checked, given, split, unresolved, STEEP_CHUNK, dates, live).objective


def certified(scenario: Mapping[str, Array], shares: Array, research_share: Array, *, software: str = "live") -> Split:
    """Given splits, (K, N) and (N,), as they are, with their mean losses, gaps and status.

    As :func:`mean_losses`, but for a few: each takes milliseconds.
    """
    given = {name: jnp.asarray(scenario[name]) for name in PARAMETERS}
    nothing = jnp.zeros(np.shape(research_share))
    none, bracket = nothing.astype(jnp.int32), jnp.stack([nothing] * 2)
    split = Split(
        jnp.asarray(shares), jnp.asarray(research_share), nothing, nothing, nothing, bracket, none, status=none
    )
    every = np.ones(nothing.shape, bool)
    return _again(checked, given, split, every, STEEP_CHUNK, shares.shape[0], software == "live")


@partial(jax.jit, static_argnames="live")
def _as_given(scenario: dict[str, Array], shares: Array, research_share: Array, *, live: bool) -> tuple[Split, Array]:
    x = jnp.concatenate([shares, research_share[None]])
    dates = shares.shape[0]
    rough, fine = (
        evaluate(pose(scenario, dates, nodes), x, live)[0]
        for nodes in (COARSE + FEW_DATES // dates, default_nodes(dates))
    )
    nothing = jnp.zeros_like(fine)
    split = as_split(x, fine, jnp.stack([nothing] * 2), jnp.stack([nothing] * 2), nothing.astype(jnp.int32), fine > 0.0)
    return split, ~(jnp.abs(rough - fine) <= RESOLVED * fine)


def _again(
    solve: Callable[..., Split],
    scenario: dict[str, Array],
    split: Split,
    wanted: Array | np.ndarray,
    chunk: int,
    dates: int,
    live: bool,
) -> Split:
    """The split with the scenarios that are wanted solved once more, so many at once; few are, in most maps none.

    The solver is called from here, not from the compiled solution of all scenarios, so that a map that does not need it
    does not compile it.
    """
    found = np.flatnonzero(np.asarray(wanted))
    if not found.size:
        return split
    values, start = [np.array(v) for v in split], jax.tree.map(np.asarray, (scenario, split))
    for first in range(0, found.size, chunk):
        here = np.resize(found[first : first + chunk], chunk)
        better = solve(*jax.tree.map(lambda v, i=here: v[..., i], start), dates=dates, live=live)
        for value, new in zip(values, better, strict=True):
            value[..., here] = new
    return Split(*(jnp.asarray(v) for v in values))


@partial(jax.jit, static_argnames=("dates", "live", "method"))
def _least_mean(scenario: dict[str, Array], *, dates: int, live: bool, method: Method) -> tuple[Split, Array]:
    """Scan the research share coarsely, descend in the best basins, certify; say where the nodes are too few (N,)."""
    size = scenario["budget"].shape[0]
    chunk = min(CHUNK, size)
    blocks = -(-size // chunk)
    padded = jax.tree.map(lambda v: jnp.concatenate([v, jnp.broadcast_to(v[-1:], (blocks * chunk - size,))]), scenario)
    by_block = jax.tree.map(lambda v: v.reshape(blocks, chunk), padded)
    starts, lows, brackets = lax.map(
        lambda s: scan(pose(s, dates, SCANNED + FEW_DATES // dates // 4), dates, live), by_block
    )

    def join(v: Array) -> Array:
        return jnp.moveaxis(v, 0, -2).reshape(*v.shape[1:-1], blocks * chunk)[..., :size]

    starts, lows, brackets = join(starts), join(lows), join(brackets)
    both = jax.tree.map(lambda v: jnp.concatenate([v, v]), scenario)
    x = jnp.concatenate([starts[0], starts[1]], axis=-1)
    active = jnp.concatenate([jnp.ones(size, bool), lows[1] <= lows[0] * (1.0 + MARGIN)])
    coarse, fine = COARSE + FEW_DATES // dates, default_nodes(dates)
    found = _descend_all(both, _unknown(x, active), live, coarse, TOLERANCE, method, ROUNDS + dates // 12)
    second = found[1][size:] < found[1][:size]
    x = jnp.where(second[None], found[0][:, size:], found[0][:, :size])
    # Many more nodes certify; where they see another loss than the nodes of the descent, even they are too few.
    x, f, bounds, _, done = gathered(
        jnp.ones(size, bool),
        lambda index: certify(pose(lanes_of(scenario, index), dates, fine), lanes_of(x, index), live, CERTIFIED),
        _unknown(x, jnp.ones(size, bool)),
    )
    rough = jnp.where(second, found[1][size:], found[1][:size])
    unresolved = ~(jnp.abs(rough - f) <= RESOLVED * f)
    return as_split(x, f, bounds, brackets, found[3][:size] + found[3][size:], done), unresolved


@partial(jax.jit, static_argnames=("dates", "live"))
def _repaired(scenario: dict[str, Array], split: Split, *, dates: int, live: bool) -> Split:
    """Descend from where a descent ended, with many nodes and more care for the active set."""
    x = jnp.concatenate([split.shares, split.research_share[None]])
    start = _unknown(x, jnp.ones(x.shape[-1], bool))
    rounds = REPAIR_ROUNDS + dates // 3
    method = method_of("newton")
    x, f, bounds, more, done = _descend_all(scenario, start, live, default_nodes(dates), CERTIFIED, method, rounds)
    return as_split(x, f, bounds, split.bracket, split.iterations + more, done)


def _unknown(x: Array, active: Array) -> tuple[Array, ...]:
    """What :func:`kernels.split.descent.descend` returns, before it is known; what is not active is done."""
    lanes = active.shape[0]
    return x, jnp.full(lanes, jnp.inf), jnp.full((2, lanes), jnp.inf), jnp.zeros(lanes, jnp.int32), ~active


def _descend_all(
    scenario: dict[str, Array],
    start: tuple[Array, ...],
    live: bool,
    nodes: int,
    tolerance: float,
    method: Method,
    rounds: int,
) -> tuple[Array, ...]:
    """Descents of all lanes that are not done, in sprints after which those that are unfinished are gathered anew."""
    dates = start[0].shape[0] - 1
    sprints, rule = method.sprints, method.transformation

    def sprint(number: Array, out: tuple[Array, ...]) -> tuple[Array, ...]:
        def work(index: Array) -> tuple[Array, ...]:
            p = pose(lanes_of(scenario, index), dates, nodes)
            optimiser = newton(p.exponent, rounds=rounds) if rule is None else over_logits(rule, p, live)
            found = descend(p, lanes_of(out[0], index), live, jnp.asarray(sprints)[number], tolerance, optimiser)
            return *found[:3], lanes_of(out[3], index) + found[3], found[4]

        return gathered(~out[4], work, out)

    return lax.fori_loop(0, len(sprints), sprint, start)
