"""What the optimal split of a budget is asked with and answered by: parameters, results and their status."""

from typing import Any, NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np
from jax import Array

AnyArray: TypeAlias = Array | np.ndarray[Any, Any]  # of the device, or of the host between its programs
CONVERGED, STALLED, FAILED = 0, 1, 2
CERTIFIED = 1e-7  # of the loss: the largest gap that is certified
PARAMETERS = (
    "budget",
    "horizon",
    "hardware_rate",
    "software_rate",
    "research_gain",
    "research_scale",
    "depreciation",
    "installed_fleet",
    "discount_rate",
    "scaling_exponent",
    "reference_years",
)


class Split(NamedTuple):
    """The optimal split of each of N scenarios.

    Attributes
    ----------
    shares : jax.Array, shape (K, N)
        Shares of the budget spent on accelerators at each date [1]; 0 exactly where nothing is to be bought.
    research_share : jax.Array, shape (N,)
        Share spent on research [1]; 0 exactly where none is.
    objective : jax.Array, shape (N,)
        Mean loss [1], or the logarithm of the loss at the horizon [1].
    frank_wolfe_gap : jax.Array, shape (N,)
        Bound on the regret over the purchases with the research share as it is, in the unit of the objective: a proof,
        up to rounding and quadrature, as the loss is convex in them. 0 for the terminal objective, which is searched
        date by date.
    regret_bound : jax.Array, shape (N,)
        What is gained at most if the research share is free too, *were the loss convex* in the purchases and in the
        software rate together, which it need not be: it tells how well the basin's bottom is reached, and is no proof.
        That no other basin is lower rests on the scan of the research share. For the terminal objective it is how far
        the loss differs across the last bracket, with the same reservation.
    bracket : jax.Array, shape (2, N)
        Scanned research shares around the most promising place; the optimum may be elsewhere, after the descent or in a
        second basin.
    iterations : jax.Array, shape (N,)
        Steps of the descent.
    status : jax.Array, shape (N,)
        int32. CONVERGED (0): the regret bound is within 1e-7 of the objective (of the loss, for the terminal
        objective); STALLED (1): it is not, and the split is the best that was found; FAILED (2): a number overflowed
        or the scenario is outside its domain, and nothing holds.
    """

    shares: AnyArray
    research_share: AnyArray
    objective: AnyArray
    frank_wolfe_gap: AnyArray
    regret_bound: AnyArray
    bracket: AnyArray
    iterations: AnyArray
    status: AnyArray


class Sensitivity(NamedTuple):
    """Derivatives of an optimal split by one parameter, the set of zero shares staying what it is."""

    shares: Array  # (K, N)
    research_share: Array  # (N,)
    objective: Array  # (N,)


def as_split(x: Array, loss: Array, bounds: Array, bracket: AnyArray, steps: AnyArray, done: Array) -> Split:
    """The split of shares (K+1, N), the research share last, with its gaps (2, N) and whether it is certified."""
    sound = jnp.isfinite(loss) & jnp.all(jnp.isfinite(bounds), axis=0) & (loss > 0.0)
    status = jnp.where(sound, jnp.where(done, CONVERGED, STALLED), FAILED).astype(jnp.int32)
    return Split(x[:-1], x[-1], loss, bounds[0], bounds[1], bracket, steps, status)
