"""How an uncertain parameter is distributed, and how its values are drawn."""

import math
from collections.abc import Iterable
from statistics import NormalDist
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from sweep.config.record import FieldError, Float, Frozen, listed, plain
from sweep.errors import short, unknown

DRAWN = REPLICATE, DRAW = "replicate", "draw"  # the axes that draws make, in their order
MOST_DRAWS = 2**30  # what 30 bits of a Sobol' sequence number
FARTHEST = 8.3  # standard deviations from the middle, beyond which no draw of 53 bits lies
_NEEDS = {
    "uniform": ("low", "high"),
    "loguniform": ("low", "high"),
    "normal": ("low", "high"),
    "lognormal": ("low", "high"),
    "triangular": ("low", "mode", "high"),
    "beta": ("low", "high", "alpha", "beta"),
    "empirical": ("values",),
}
_INTERVALS = ("normal", "lognormal")


class Distribution(Frozen):
    """What is believed of a parameter whose value is not known.

    Attributes
    ----------
    distribution : str
        "uniform", "loguniform" (uniform in the logarithm), "normal", "lognormal", "triangular", "beta" (between `low`
        and `high`) or "empirical" (linear between the order statistics of a sample).
    low, high : float
        Least and largest value, in the unit of the parameter; of "normal" and "lognormal" the ends of the central
        `interval`.
    interval : float
        Probability of the central interval of "normal" and "lognormal", 1e-6 to 0.999999, 0.9 if not given.
    mode : float
        Likeliest value of "triangular".
    alpha, beta : float
        Shape of "beta", 0.05 to 1e6.
    values : tuple of float
        Sample of "empirical", at least 2, in any order. A config may give ``file`` and ``column`` instead.
    minimum, maximum : float, optional
        Where the distribution is cut off; what is left is made to sum to one.
    source : str
        Where the numbers come from; kept in the dataset, ignored by the fingerprint.
    """

    distribution: Literal["uniform", "loguniform", "normal", "lognormal", "triangular", "beta", "empirical"]
    low: Float | None = None
    high: Float | None = None
    interval: Float | None = Field(default=None, ge=1e-6, le=0.999999)
    mode: Float | None = None
    alpha: Float | None = Field(default=None, ge=0.05, le=1e6)
    beta: Float | None = Field(default=None, ge=0.05, le=1e6)
    values: Annotated[tuple[float, ...] | None, BeforeValidator(listed)] = None
    minimum: Float | None = None
    maximum: Float | None = None
    source: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        kind, needs = self.distribution, _NEEDS[self.distribution]
        for key in ("low", "high", "interval", "mode", "alpha", "beta", "values"):
            if getattr(self, key) is None:
                if key in needs:
                    raise FieldError(key, f'is required by distribution = "{kind}"')
            elif key not in needs and not (key == "interval" and kind in _INTERVALS):
                raise FieldError(key, f'does not belong to distribution = "{kind}"; drop it')
        if self.values is not None and (len(self.values) < 2 or min(self.values) == max(self.values)):
            raise FieldError("values", f"must be numbers of which two at least differ, got {short(list(self.values))}")
        if self.values is None:
            low, high = self.ends()
            if not low < high:
                raise FieldError("low", f"must be below high, got low={low}, high={high}")
            if kind in ("loguniform", "lognormal") and not low > 0.0:
                raise FieldError("low", f'must be > 0 with distribution = "{kind}", got {low}')
            if self.mode is not None and not low <= self.mode <= high:
                raise FieldError("mode", f"must be in [low, high] = [{low}, {high}], got {self.mode}")
        self._check_limits()
        return self

    def _check_limits(self) -> None:
        least = -math.inf if self.minimum is None else self.minimum
        most = math.inf if self.maximum is None else self.maximum
        if not least < most:
            raise FieldError("minimum", f"must be below maximum, got minimum={least}, maximum={most}")
        low, high = self._extremes()
        if most <= low:
            raise FieldError("maximum", f"leaves nothing of a distribution from {low:.6g} to {high:.6g}, got {most}")
        if least >= high:
            raise FieldError("minimum", f"leaves nothing of a distribution from {low:.6g} to {high:.6g}, got {least}")

    @property
    def mass(self) -> float:
        """Probability of the central interval from which "normal" and "lognormal" are made."""
        return 0.9 if self.interval is None else self.interval

    def ends(self) -> tuple[float, float]:
        """`low` and `high`, of all but "empirical"."""
        if self.low is None or self.high is None:
            raise TypeError(f"low, high: do not belong to distribution = {self.distribution!r}")
        return self.low, self.high

    def _extremes(self) -> tuple[float, float]:
        """Values between which every draw lies where nothing is cut off."""
        if self.values is not None:
            return min(self.values), max(self.values)
        low, high = self.ends()
        if self.distribution not in _INTERVALS:
            return low, high
        logs = self.distribution == "lognormal"
        if logs:
            low, high = math.log(low), math.log(high)
        middle = low / 2.0 + high / 2.0
        reach = FARTHEST * (high / 2.0 - low / 2.0) / NormalDist().inv_cdf(0.5 + self.mass / 2.0)
        if logs:
            return math.exp(max(middle - reach, -700.0)), math.exp(min(middle + reach, 700.0))
        return middle - reach, middle + reach

    def bounds(self) -> tuple[float, float]:
        """Values between which every draw lies."""
        return self._cut(*self._extremes())

    def stated(self) -> tuple[float, float]:
        """Values between which it was written to lie, without the tails of "normal" and "lognormal"."""
        cut = self._cut(*(self.ends() if self.distribution in _INTERVALS else self._extremes()))
        return cut if cut[0] < cut[1] else self.bounds()

    def middle(self) -> float:
        """A value in the middle, near the median."""
        low, high = self.stated()
        if self.mode is not None:
            return min(max(self.mode, low), high)
        if self.values is not None:
            return min(max(float(np.median(self.values)), low), high)
        return (
            math.sqrt(low) * math.sqrt(high) if self.distribution in ("loguniform", "lognormal") else (low + high) / 2
        )

    def _cut(self, low: float, high: float) -> tuple[float, float]:
        return (
            low if self.minimum is None else max(low, self.minimum),
            high if self.maximum is None else min(high, self.maximum),
        )

    def canonical(self) -> dict[str, Any]:
        """Give what decides the draws."""
        content = self.model_dump(exclude={"source", "interval"}, exclude_none=True)
        if self.values is not None:
            content["values"] = sorted(self.values)
        return content | ({"interval": self.mass} if self.distribution in _INTERVALS else {})

    def __str__(self) -> str:
        """Say it in words: "lognormal, 90 % in 0.6 to 4, cut off above 8"."""
        if self.values is not None:
            text = f"empirical, {len(self.values):,} values from {min(self.values):.6g} to {max(self.values):.6g}"
        elif self.distribution in _INTERVALS:
            text = f"{self.distribution}, {100 * self.mass:g} % in {self.low:.6g} to {self.high:.6g}"
        else:
            text = f"{self.distribution}, {self.low:.6g} to {self.high:.6g}"
            text += f", mode {self.mode:.6g}" if self.mode is not None else ""
            text += f", alpha {self.alpha:g}, beta {self.beta:g}" if self.alpha is not None else ""
        text += f", cut off below {self.minimum:.6g}" if self.minimum is not None else ""
        return text + (f", cut off above {self.maximum:.6g}" if self.maximum is not None else "")


class Correlation(Frozen):
    """Rank correlation (Spearman's) of two uncertain parameters, joined by a Gaussian copula."""

    between: Annotated[tuple[str, ...], BeforeValidator(listed), Field(min_length=2, max_length=2)]
    rank: Float = Field(gt=-1.0, lt=1.0)
    source: str = ""


class Draws(Frozen):
    """How the values of uncertain parameters are drawn.

    A draw is a function of the seed, the parameter and its number alone: not of the other uncertain parameters, of how
    the work was cut, or of the machine.

    Attributes
    ----------
    number : int
        How many, 2 to 2^30; of "sobol" a power of two.
    seed : int
        0 to 2^32 - 1.
    method : {"sobol", "latin_hypercube", "random"}
        Scrambled Sobol' points, those of SciPy's ``qmc.Sobol(d, rng=seed)`` with d the number of the model's
        parameters and a column for each in the model's order; a Latin hypercube; or independent draws.
    replicates : int
        Independent sets of `number` draws, an axis ``replicate``, from which the error of what is made of a set can
        be told.
    correlations : tuple of Correlation
        Pairs that are not independent.
    """

    number: Annotated[int, BeforeValidator(plain)] = Field(default=4096, ge=2, le=MOST_DRAWS)
    seed: Annotated[int, BeforeValidator(plain)] = Field(default=0, ge=0, lt=2**32)
    method: Literal["sobol", "latin_hypercube", "random"] = "sobol"
    replicates: Annotated[int, BeforeValidator(plain)] = Field(default=1, ge=1, le=1000)
    correlations: tuple[Correlation, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _listed(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("correlations"), list):
            return {**data, "correlations": tuple(data["correlations"])}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.method == "sobol" and self.number & (self.number - 1):
            below = 1 << (self.number.bit_length() - 1)
            got = f"such as {below} or {2 * below}, got {self.number}"
            raise FieldError("number", f'must be a power of two with method = "sobol", {got}')
        seen: set[frozenset[str]] = set()
        for pair in self.correlations:
            if len(set(pair.between)) < 2 or frozenset(pair.between) in seen:
                raise FieldError(
                    "correlations", f"name two parameters, each pair once, got {short(list(pair.between))}"
                )
            seen.add(frozenset(pair.between))
        return self

    def factor(self, names: Iterable[str]) -> np.ndarray | None:
        """Cholesky factor of the copula's correlations between parameters in that order; None where there are none.

        Raises
        ------
        FieldError
            Where no variables have such correlations, naming the pairs that cannot be together.
        """
        order = list(names)
        if not self.correlations:
            return None
        ranks = np.eye(len(order))
        for pair in self.correlations:
            for name in pair.between:
                if name not in order:
                    raise FieldError("correlations", unknown("distribution", name, order))
            i, j = (order.index(name) for name in pair.between)
            ranks[i, j] = ranks[j, i] = pair.rank
        from kernels.draws.copula import copula_cholesky

        try:
            return copula_cholesky(ranks, order)
        except ValueError as error:
            raise FieldError("correlations", str(error)) from None

    def __str__(self) -> str:
        """Say it in words: "4,096 scrambled Sobol' points, seed 0"."""
        kinds = {"sobol": "scrambled Sobol' points", "latin_hypercube": "points of a Latin hypercube"}
        text = f"{self.number:,} {kinds.get(self.method, 'independent draws')}, seed {self.seed}"
        text += f", {self.replicates} replicates" if self.replicates > 1 else ""
        pairs = (f"{' and '.join(pair.between)} {pair.rank:g}" for pair in self.correlations)
        return text + (f"; rank correlation of {', '.join(pairs)}" if self.correlations else "")

    def canonical(self) -> dict[str, Any]:
        """Give what decides the draws."""
        pairs = [[*sorted(pair.between), pair.rank] for pair in self.correlations]
        return {**self.model_dump(exclude={"correlations"}), "correlations": sorted(pairs)}
