"""Statistics of replicated draws: their mean over the replicates, and its standard error."""

import math

import numpy as np
import xarray as xr

from sweep.config.distribution import DRAW, REPLICATE
from sweep.config.kinds import KINDS
from sweep.errors import SpecError

_POOLING = {kind.method: kind.pooling for kind in KINDS.values()}


def pooled(dataset: xr.Dataset) -> xr.Dataset:
    """Combine what a sweep keeps of each set of draws, and tell its sampling error from how the sets differ.

    Parameters
    ----------
    dataset : xarray.Dataset
        Of a sweep with ``draws.replicates`` above 1 and statistics that are not taken over ``replicate``.

    Returns
    -------
    xarray.Dataset
        Of statistics over the draws, without ``replicate``: means, variances, standard deviations, quantiles and shares
        averaged, extremes and counts combined, and ``<name>_standard_error`` of each average: the standard deviation
        between the R replicates over the square root of R, NaN where one is infinite. All else is as it was: where an
        extreme is (argmin, argmax) in each replicate, and what has a value for each draw, which the replicates do not
        share.

    Raises
    ------
    SpecError
        Without such replicates.

    Notes
    -----
    A replicate is a scrambled sequence of its own, so its averages are unbiased and independent of the others'. The
    quantile of one replicate of n draws is biased by a part of about 1/n, which the standard error does not show.
    """
    if REPLICATE not in dataset.dims:
        raise SpecError('dataset: has no dimension "replicate"; give draws.replicates and statistics over "draw"')
    variables = {}
    for name, variable in dataset.data_vars.items():
        method = str(variable.attrs.get("cell_methods", "")).split(": ")[-1].split(" where ")[0]
        pooling = _POOLING.get(method, "mean")
        if "cell_methods" not in variable.attrs and REPLICATE in variable.dims:
            raise SpecError(f"dataset: {name} is not a statistic over the draws; give statistics")
        if REPLICATE not in variable.dims or DRAW in variable.dims or not pooling:
            variables[name] = variable
        elif pooling != "mean":
            variables[name] = getattr(variable, pooling)(REPLICATE, skipna=False, keep_attrs=True)
        else:
            # The mean of opposite infinities, and the error of a mean that is infinite, are unknown: NaN.
            with np.errstate(invalid="ignore"):
                variables[name] = variable.mean(REPLICATE, skipna=False, keep_attrs=True)
                # The squares of float32 would be infinite from 1e19 on.
                spread = variable.astype(np.float64).std(REPLICATE, ddof=1, skipna=False).astype(variable.dtype)
            words = {"long_name": f"standard error of {variable.attrs['long_name']}", "units": variable.attrs["units"]}
            error = spread / math.sqrt(dataset.sizes[REPLICATE])
            variables[f"{name}_standard_error"] = error.assign_attrs(words)
    return xr.Dataset(variables, attrs=dataset.attrs | {"replicates": dataset.sizes[REPLICATE]})
