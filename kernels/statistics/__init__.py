"""Statistics of values that come a few steps at a time, and of whole rows: moments, extremes, counts, quantiles.

Names are those that others use; :mod:`sweep.config.kinds` names some of them in its records.
"""

from kernels.statistics.accumulators import COUNT, CUBES, FIRST_LEAST, LEAST, MEAN, MOMENTS, PRODUCTS, Running, State
from kernels.statistics.bounds import compare, least_at, most_at
from kernels.statistics.merging import merge_cubes, merge_least, merge_moments, merge_products
from kernels.statistics.rows import (
    Sought,
    merge_sketches,
    narrowed,
    row_counts,
    row_quantiles,
    sketch,
    sought_quantiles,
)

__all__ = [
    "COUNT",
    "CUBES",
    "FIRST_LEAST",
    "LEAST",
    "MEAN",
    "MOMENTS",
    "PRODUCTS",
    "Running",
    "Sought",
    "State",
    "compare",
    "least_at",
    "merge_cubes",
    "merge_least",
    "merge_moments",
    "merge_products",
    "merge_sketches",
    "most_at",
    "narrowed",
    "row_counts",
    "row_quantiles",
    "sketch",
    "sought_quantiles",
]
