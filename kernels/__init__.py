"""Pure JAX kernels of the relative-loss equation and its inverses; needs jax and numpy, nothing else."""

from kernels.relative_loss import (
    compute_ratio,
    effective_years,
    log_relative_excess_loss,
    relative_excess_loss,
    relative_loss,
)

__all__ = [
    "compute_ratio",
    "effective_years",
    "log_relative_excess_loss",
    "relative_excess_loss",
    "relative_loss",
]
