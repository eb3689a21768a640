"""Which nodes of a dataset a page holds: all, or as many as fit, evenly along each axis; none is interpolated."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from sweep.config.distribution import DRAWN
from sweep.config.kinds import QUANTILE
from sweep.errors import SpecError
from sweep.report.page.cube import FEW, packed
from sweep.report.slices import readable
from sweep.results.metadata import kind_of

BAND = (0.05, 0.25, 0.5, 0.75, 0.95)  # quantiles of what is uncertain, where a config keeps no statistics
MOST_DRAWN = 2 * 10**7  # values that are sorted for them, in seconds
MOST_NODES = 10**6  # of all variables together, so that a page opens in a second


def fitted(
    dataset: xr.Dataset, names: Sequence[str], size: int, whole: Sequence[str] = (), *, most: int = MOST_NODES
) -> tuple[xr.Dataset, dict[str, dict[str, Any]], list[str]]:
    """Load and pack the variables of a page, leaving out nodes of the longest axes until they fit.

    Parameters
    ----------
    dataset : xarray.Dataset
        Lazy or loaded.
    names : sequence of str
        Its variables, and coordinates that are none of a dimension, that the page holds.
    size : int
        Bytes that they may take, packed.
    whole : sequence of str
        Dimensions of which nothing may be left out.
    most : int
        Most values of all variables together.

    Returns
    -------
    dataset : xarray.Dataset
        Its nodes that are kept, loaded.
    variables : dict
        What :func:`sweep.report.page.cube.packed` gives, by name.
    notes : list of str
        What is left out, a line for each axis.

    Raises
    ------
    SpecError
        Where they do not fit with three nodes an axis, or cannot be read.
    """
    # What is small is loaded with the rest: sentences may need it.
    part = dataset.drop_vars([n for n, v in dataset.data_vars.items() if n not in names and v.size > FEW])
    lengths = {str(dim): length for dim, length in part.sizes.items()}
    kept = dict(lengths)
    while True:
        while _nodes(part, names, kept) > most:
            _shorten(part, names, kept, lengths, whole)
        places = {dim: _places(lengths[dim], kept[dim]) for dim in lengths if kept[dim] < lengths[dim]}
        with readable(str(dataset.attrs.get("title", "dataset"))):
            loaded = part.isel(places).load()
        variables = {name: packed(loaded[name].values) for name in names}
        taken = sum(len(variable["data"]) for variable in variables.values())
        if taken <= size:
            notes = [f"{kept[dim]:,} of {lengths[dim]:,} values of {dim}" for dim in places]
            return loaded, variables, notes
        # What a node took tells how many will fit, a little more than that to lose none.
        most = min(_nodes(part, names, kept) - 1, int(1.25 * _nodes(part, names, kept) * size / taken))


def banded(dataset: xr.Dataset) -> xr.Dataset:
    """Give a grid over draws with bands in the place of its values, since no one draw is an answer.

    Parameters
    ----------
    dataset : xarray.Dataset
        Lazy or loaded; it stays as it is where no variable is over draws, or one has more than 2e7 values.
    """
    over = [dim for dim in DRAWN if dim in dataset.dims]
    names = [str(n) for n, v in dataset.data_vars.items() if set(over) & set(v.dims) and v.dtype.kind == "f"]
    if kind_of(dataset) != "grid" or not names or any(dataset[name].size > MOST_DRAWN for name in names):
        return dataset
    bands = {}
    for name in names:
        with readable(name):
            values = dataset[name].load()
        band = values.quantile(BAND, [dim for dim in over if dim in values.dims], keep_attrs=True)
        attributes = {**band.attrs, "long_name": f"quantile of {values.attrs.get('long_name', name)}"}
        bands[name] = band.assign_attrs(attributes).transpose(..., QUANTILE).astype(values.dtype)
        words = {"long_name": "probability of not exceeding the quantile", "units": "1", "spacing": "listed"}
        bands[name][QUANTILE].attrs |= words
    return dataset.drop_dims(over).assign(bands)


def _nodes(part: xr.Dataset, names: Sequence[str], kept: dict[str, int]) -> int:
    return sum(int(np.prod([kept[str(dim)] for dim in part[name].dims], dtype=np.float64)) for name in names)


def _shorten(
    part: xr.Dataset,
    names: Sequence[str],
    kept: dict[str, int],
    lengths: dict[str, int],
    whole: Sequence[str],
) -> None:
    """Leave out nodes of the longest axis of the largest variable."""
    largest = max(names, key=lambda name: _nodes(part, [name], kept))
    dims = [str(dim) for dim in part[largest].dims if dim not in whole and kept[str(dim)] > 3]
    if not dims:
        raise SpecError(f"--max-size: {largest} does not fit, although its axes have no more than 3 values; give more")
    longest = max(dims, key=lambda dim: kept[dim])
    kept[longest] = _fewer(lengths[longest], kept[longest])


def _fewer(length: int, kept: int) -> int:
    """Number of nodes, fewer than so many, that leaves every k-th of an axis and both its ends, if there is one."""
    for number in range((kept + 1) // 2, max(2, kept // 5), -1):
        if (length - 1) % (number - 1) == 0:
            return number
    return max(3, (kept + 1) // 2)


def _places(length: int, kept: int) -> np.ndarray:
    return np.linspace(0, length - 1, kept).round().astype(np.int64)
