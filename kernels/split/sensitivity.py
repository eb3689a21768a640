"""How the split of least mean loss, and that loss, move with every parameter of a scenario."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax import Array

from kernels.compilation import compiled_two_ways
from kernels.split.allocation import default_nodes
from kernels.split.mean import evaluate, pose
from kernels.split.newton import TINY, eliminate
from kernels.split.records import PARAMETERS, Sensitivity, Split


def sensitivity(
    scenario: Mapping[str, Array], split: Split, *, dates: int, software: str = "live", quick: bool = True
) -> dict[str, Sensitivity]:
    """Derivatives of the split of least mean loss by every parameter, by implicit differentiation.

    The gradient of the loss has one value on all shares that are not 0 and they add up to 1; these conditions are
    differentiated. Where a share is at the point of becoming positive the derivative is one-sided. The objective's is
    its partial derivative, as the shares are optimal. Arguments are those of :func:`optimal_split`, and its result.
    """
    given = {name: jnp.asarray(scenario[name]) for name in PARAMETERS}
    return _sensitivity(given, split, dates=dates, live=software == "live", quick=quick)


@compiled_two_ways(static_argnames=("dates", "live"))
def _sensitivity(scenario: dict[str, Array], split: Split, *, dates: int, live: bool) -> dict[str, Sensitivity]:
    x = jnp.concatenate([split.shares, split.research_share[None]])

    def first_order(values: dict[str, Array]) -> tuple[Array, Array]:
        return evaluate(pose(values, dates, default_nodes(dates)), x, live)[:2]

    f, gradient, hessian = evaluate(pose(scenario, dates, default_nodes(dates)), x, live)
    one = jnp.eye(len(PARAMETERS))
    tangents = {
        name: jnp.broadcast_to(one[i][:, None], (len(PARAMETERS), f.shape[0])) for i, name in enumerate(PARAMETERS)
    }
    by_f, by_gradient = jax.vmap(lambda tangent: jax.jvp(first_order, (scenario,), (tangent,))[1])(tangents)
    free = x > 0.0
    eye = jnp.eye(dates + 1)[:, :, None]
    scale = jnp.sum(x * gradient, axis=0) ** 2 / f * (1.0 + 1.0 / scenario["scaling_exponent"])
    matrix = jnp.where(free[:, None] & free[None], hessian + scale[None, None], jnp.where(eye > 0.0, 1.0, 0.0))
    right = jnp.where(free[:, None], jnp.moveaxis(by_gradient, 0, 1), 0.0)
    solved = eliminate(
        matrix, jnp.concatenate([jnp.where(free, 1.0, 0.0)[:, None], right], axis=1), jnp.full_like(x, TINY)
    )
    ones = solved[:, 0]
    result = {}
    for number, name in enumerate(PARAMETERS):
        moved = solved[:, number + 1]
        price = jnp.sum(moved, axis=0) / jnp.sum(ones, axis=0)
        by = ones * price[None] - moved
        result[name] = Sensitivity(by[:-1], by[-1], by_f[number])
    return result
