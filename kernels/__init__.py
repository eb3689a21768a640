"""Pure JAX kernels of the relative-loss equation and its inverses; needs jax and numpy, nothing else."""

from kernels.loss.equation import (
    compute_ratio,
    effective_years,
    log_relative_excess_loss,
    relative_excess_loss,
    relative_loss,
)
from kernels.loss.inverse import fleet_for_target, rate_for_target, time_to_target
from kernels.pareto.nondominated import is_nondominated, pareto_rank

__all__ = [
    "compute_ratio",
    "effective_years",
    "fleet_for_target",
    "is_nondominated",
    "log_relative_excess_loss",
    "pareto_rank",
    "rate_for_target",
    "relative_excess_loss",
    "relative_loss",
    "time_to_target",
]
