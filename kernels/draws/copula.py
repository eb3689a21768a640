"""The correlations of a Gaussian copula."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

_LEAST_PIVOT = 1e-10  # share of a variance that the others leave unexplained, below which a matrix counts as singular


def copula_cholesky(rank_correlations: ArrayLike, names: Sequence[str] | None = None) -> np.ndarray:
    """Cholesky factor of the normal correlations 2 sin(π r / 6) that have the given rank correlations r (Spearman's).

    Parameters
    ----------
    rank_correlations : array_like
        (d, d), symmetric, with a diagonal of 1; between -1 and 1 elsewhere.
    names : sequence of str, optional
        What to call the rows in an error; their numbers by default.

    Returns
    -------
    numpy.ndarray
        float64 (d, d), lower triangular, for `kernels.draws.distributions.correlated`.

    Raises
    ------
    ValueError
        Where the matrix is not of that form, or the normal correlations are not positive definite: names the first row
        that the ones before it do not allow, and what each of its entries alone would have to be.
    """
    ranks = np.asarray(rank_correlations, np.float64)
    names = [str(k) for k in range(len(ranks))] if names is None else list(names)
    if ranks.shape != (len(names), len(names)) or not np.array_equal(ranks, ranks.T) or (np.diag(ranks) != 1.0).any():
        raise ValueError(f"rank correlations must be a symmetric matrix with a diagonal of 1 for {', '.join(names)}")
    matrix = 2.0 * np.sin(np.pi / 6.0 * ranks)
    factor = np.zeros_like(matrix)
    for k, (name, row) in enumerate(zip(names, matrix, strict=True)):
        for other, rank in zip(names[:k], ranks[k], strict=False):
            if not -1.0 < rank < 1.0:
                raise ValueError(f'rank correlation of "{other}" and "{name}" must be between -1 and 1, got {rank:g}')
        # Not by LAPACK, whose last bits differ from processor to processor.
        for j in range(k):
            factor[k, j] = (row[j] - math.fsum(factor[k, :j] * factor[j, :j])) / factor[j, j]
        pivot = 1.0 - math.fsum(factor[k, :k] ** 2)
        if pivot < _LEAST_PIVOT:
            raise ValueError(_refusal(matrix[: k + 1, : k + 1], ranks[k], names))
        factor[k, k] = np.sqrt(pivot)
    return factor


def _refusal(matrix: np.ndarray, ranks: np.ndarray, names: Sequence[str]) -> str:
    """Which entries of the last row are at fault, and between what values each would do with the others as they are."""
    k = len(matrix) - 1
    inverse = np.linalg.inv(matrix[:k, :k])
    row = matrix[k, :k]
    changes = []
    for j in range(k):
        # 1 - row^T inverse row > 0 is quadratic in one entry.
        rest = np.where(np.arange(k) == j, 0.0, row)
        square, half, constant = inverse[j, j], inverse[j] @ rest, rest @ inverse @ rest - 1.0
        inside = half * half - square * constant
        entry = f'"{names[j]}" and "{names[k]}" = {ranks[j]:g}'
        if inside > 0.0:
            ends = np.clip((-half + np.sqrt(inside) * np.array([-1.0, 1.0])) / square, -1.0, 1.0)
            low, high = 6.0 / np.pi * np.arcsin(0.5 * ends)
            changes.append(f"{entry} (between {low:.3g} and {high:.3g} would do)")
        elif row[j] != 0.0:
            changes.append(f"{entry} (no value alone would do)")
    return "rank correlations are not positive definite; change " + " or ".join(changes)
