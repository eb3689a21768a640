"""Draws of uncertain parameters: functions of (seed, parameter, number of the draw) alone.

JAX comes in when values are drawn, not when a sweep is described.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from sweep.config.distribution import DRAW, MOST_DRAWS, REPLICATE, Distribution, Draws
from sweep.config.spec import SweepSpec
from sweep.errors import SpecError
from sweep.models.model import Model
from sweep.models.parameters import Domain, Parameter
from sweep.models.quantity import Quantity

if TYPE_CHECKING:
    from jax import Array

    from kernels.draws.sobol import Scrambling

ROW = 2**14  # draws that are made together, always from a multiple of it, so that the bits do not depend on the request


_NUMBERS = (
    Parameter(REPLICATE, "number of the set of draws", "1", Domain(low=0.0)),
    Parameter(DRAW, "number of the draw", "1", Domain(low=0.0)),
)


@dataclass(frozen=True)
class Sampler:
    """What draws the uncertain parameters of a sweep.

    Attributes
    ----------
    names : tuple of str
        Of the parameters.
    distributions : tuple of Distribution
        One for each.
    columns : tuple of int
        Position of each among the parameters of its model: what its draws depend on besides the seed.
    dimensions : int
        Parameters of the model.
    draws : Draws
        How many, and how.
    """

    names: tuple[str, ...]
    distributions: tuple[Distribution, ...]
    columns: tuple[int, ...]
    dimensions: int
    draws: Draws

    def at(self, numbers: Mapping[str, np.ndarray], names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """Values at the draws of some numbers.

        Parameters
        ----------
        numbers : mapping of str to numpy.ndarray
            ``draw`` and, if there are replicates, ``replicate``: whole numbers in float64 that broadcast, NaN where no
            draw is meant. What else it has is not looked at.
        names : iterable of str, optional
            Of the parameters that are wanted; all by default.

        Returns
        -------
        dict of str to numpy.ndarray
            float64, of the shape to which the numbers broadcast; NaN for NaN.

        Raises
        ------
        SpecError
            A distribution with too little probability between its limits for float64.
        """
        draw, replicate = np.broadcast_arrays(numbers[DRAW], numbers.get(REPLICATE, np.zeros(())))
        known = np.flatnonzero(np.isfinite(draw) & np.isfinite(replicate))
        numbers_of = draw.ravel()[known].astype(np.int64)
        sets = replicate.ravel()[known].astype(np.int64)
        rows = sets * MOST_DRAWS + numbers_of // ROW
        if np.count_nonzero(np.diff(rows)) > len(rows) // 64:  # scattered: bring together what is in one row
            order = np.argsort(rows, kind="stable")
            known, numbers_of, sets, rows = known[order], numbers_of[order], sets[order], rows[order]
        wanted = self.names if names is None else tuple(names)
        drawn_values = {name: np.full(draw.size, np.nan) for name in wanted}
        ends = [*(np.flatnonzero(np.diff(rows)) + 1), len(rows)] if len(rows) else []
        for start, stop in zip([0, *ends], ends, strict=False):
            values = _row(self, int(sets[start]), int(numbers_of[start]) // ROW)
            for name in wanted:
                drawn_values[name][known[start:stop]] = values[self.names.index(name)][numbers_of[start:stop] % ROW]
        return {name: values.reshape(draw.shape) for name, values in drawn_values.items()}


def drawn(model: Model, spec: SweepSpec) -> Model:
    """Give the model of a spec with distributions: what is uncertain comes from the parameters `draw` and `replicate`.

    So such a sweep is an ordinary one with an axis of draws, and all that works with an axis works with it.

    Parameters
    ----------
    model : Model
        In which the uncertain parameters are parameters.
    spec : SweepSpec
        With distributions.

    Returns
    -------
    Model
        The uncertain parameters are quantities in it.

    Raises
    ------
    SpecError
        One line: a distribution of an unknown parameter, of one that does nothing, or that leaves its domain.
    """
    for name, distribution in spec.distributions.items():
        model.check_name("distributions", name, spec)
        _check_bounds(model.parameter(name), distribution, spec.dtype)
        asked = [o for o in spec.outputs if o not in spec.distributions]
        known = {o.name: o.parameters for o in model.outputs}
        # An output that there is not is refused with the others, by its own name.
        if not model.is_solved and not any(name in known.get(o, (name,)) for o in asked):
            names = f" ({', '.join(asked)})" if asked else ""
            raise SpecError(f"distributions.{name}: none of the outputs depends on it{names}; drop it")
    numbers = tuple(parameter for parameter in _NUMBERS if parameter.name in spec.axes or parameter.name in spec.fixed)
    sampler, needs = sampler_of(model, spec), tuple(parameter.name for parameter in numbers)
    values = (
        Quantity(p.name, p.long_name, p.unit, _Drawn(sampler, p.name), "host", needs)
        for p in model.parameters
        if p.name in spec.distributions
    )
    return replace(
        model,
        parameters=(*(p for p in model.parameters if p.name not in spec.distributions), *numbers),
        quantities=(*model.quantities, *values),
    )


@dataclass(frozen=True)
class _Drawn:
    """An uncertain parameter as a function of the numbers of the draws."""

    sampler: Sampler
    name: str

    def __call__(self, **numbers: np.ndarray) -> np.ndarray:
        return self.sampler.at(numbers, (self.name,))[self.name]


def sampling_of(spec: SweepSpec) -> Draws:
    """How what is uncertain in a spec is drawn; the default where it does not say."""
    return spec.draws or Draws()


def sampler_of(model: Model, spec: SweepSpec) -> Sampler:
    """What draws the uncertain parameters of a spec; `model` is the one in which they are parameters."""
    order = [parameter.name for parameter in model.parameters]
    return Sampler(
        names=tuple(spec.distributions),
        distributions=tuple(spec.distributions.values()),
        columns=tuple(order.index(name) for name in spec.distributions),
        dimensions=len(order),
        draws=sampling_of(spec),
    )


def _check_bounds(parameter: Parameter, distribution: Distribution, dtype: str) -> None:
    """Refuse a distribution with values that the parameter, or the type of the sweep, cannot have."""
    low, high = distribution.bounds()
    for key, value in (("minimum", low), ("maximum", high)):
        if value not in parameter.domain:
            raise SpecError(
                f"distributions.{parameter.name}: reaches {value:.6g}, must be {parameter.domain}; give a {key}"
            )
        if abs(value) > float(np.finfo(dtype).max):
            raise SpecError(f"distributions.{parameter.name}: reaches {value:.6g}, more than {dtype} holds")


def seed_of(seed: int, replicate: int) -> int | tuple[int, int]:
    """Seed of NumPy's generators for one set of draws; the first has the seed itself."""
    return seed if replicate == 0 else (seed, replicate)


def quantiles(u: "Array", distributions: tuple[Distribution, ...], factor: "Array | None") -> "tuple[Array, ...]":
    """Values of the parameters at points of the unit cube, for use under ``jax.jit``.

    Parameters
    ----------
    u : jax.Array
        Shape (parameters, points), in [0, 1).
    distributions : tuple of Distribution
        One for each row.
    factor : jax.Array or None
        Cholesky factor of the copula's correlations, of :meth:`~sweep.config.distribution.Draws.factor`.

    Returns
    -------
    tuple of jax.Array
        One for each parameter, (points,), of the type of `u`.
    """
    if factor is not None:
        from kernels.draws.distributions import correlated

        u = correlated(u, factor)
    return tuple(_quantile(row, distribution) for row, distribution in zip(u, distributions, strict=True))


def _quantile(u: "Array", distribution: Distribution) -> "Array":
    from kernels.draws import distributions as kernel

    kind, least, most = distribution.distribution, distribution.minimum, distribution.maximum
    if distribution.values is not None:
        return kernel.empirical(u, np.sort(distribution.values).astype(u.dtype), lower=least, upper=most)
    low, high = distribution.ends()
    if kind == "normal":
        mean, sigma = kernel.normal_from_interval(low, high, distribution.mass)
        return kernel.normal(u, mean, sigma, lower=least, upper=most)
    if kind == "lognormal":
        if least is not None and least <= 0.0:
            least = None  # it cuts nothing off, and has no logarithm
        mean, sigma = kernel.lognormal_from_interval(low, high, distribution.mass)
        return kernel.lognormal(u, mean, sigma, lower=least, upper=most)
    if distribution.mode is not None:
        return kernel.triangular(u, low, distribution.mode, high, lower=least, upper=most)
    if distribution.alpha is not None and distribution.beta is not None:
        return kernel.beta(u, distribution.alpha, distribution.beta, low, high, lower=least, upper=most)
    return (kernel.loguniform if kind == "loguniform" else kernel.uniform)(u, low, high, lower=least, upper=most)


@lru_cache(maxsize=64)
def _row(sampler: Sampler, replicate: int, number: int) -> np.ndarray:
    """Values of one row of draws, (parameters, draws)."""
    import jax

    start = number * ROW
    count = min(ROW, sampler.draws.number - start)
    u = np.full((len(sampler.names), min(ROW, sampler.draws.number)), 0.5)
    u[:, :count] = _uniform(sampler, replicate, start, count)
    factor = sampler.draws.factor(sampler.names)
    # On the CPU, so that the draws have the same bits beside whatever else computes.
    with jax.enable_x64(True), jax.default_device(jax.local_devices(backend="cpu")[0]):
        values = np.stack(_compiled()(u, sampler.distributions, factor))[:, :count]
    for name, distribution, row in zip(sampler.names, sampler.distributions, values, strict=True):
        if np.isnan(row).any():
            text = f"too little is left to draw from of {distribution}; widen the limits"
            raise SpecError(f"distributions.{name}: {text}")
    return values


@cache
def _compiled() -> "Callable[..., tuple[Array, ...]]":
    import jax

    return jax.jit(quantiles, static_argnums=1)


def _uniform(sampler: Sampler, replicate: int, start: int, count: int) -> np.ndarray:
    """Points of the unit cube from which draws are made, (parameters, draws)."""
    from kernels.draws import sobol

    draws, columns = sampler.draws, sampler.columns
    seed = seed_of(draws.seed, replicate)
    if draws.method == "sobol":
        return sobol.sobol_points(_scrambling(seed, sampler.dimensions), start, count, columns=list(columns)).T
    if draws.method == "latin_hypercube":
        return np.stack([sobol.latin_hypercube(seed, draws.number, start, count, column) for column in columns])
    return np.stack([sobol.random_points(seed, start, count, column) for column in columns])


@lru_cache(maxsize=1024)
def _scrambling(seed: int | tuple[int, int], dimensions: int) -> "Scrambling":
    from kernels.draws import sobol

    return sobol.scrambling(seed, dimensions)
