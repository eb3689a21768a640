"""What to sweep: a TOML file or keyword arguments become a frozen, validated :class:`SweepSpec`.

This module knows the shape of a config, not the models: whether a parameter exists and which values it may take is
checked by :meth:`sweep.models.model.Model.resolve`.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, model_validator

from sweep.config.allocation import Allocation
from sweep.config.axis import Axis
from sweep.config.distribution import DRAW, REPLICATE, Distribution, Draws
from sweep.config.files import read_toml
from sweep.config.includes import included
from sweep.config.kinds import QUANTILE
from sweep.config.record import FieldError, Frozen, ReadOnly, as_table, listed, plain
from sweep.config.reference import run_of
from sweep.config.statistic import Statistic
from sweep.errors import SpecError, unknown

Loss = Literal["total", "excess"]
DType = Literal["float32", "float64"]
_TABLES = ("axes", "fixed", "distributions")  # a parameter is in one of them at most


def _number(value: float) -> float:
    if math.isnan(value):
        raise ValueError("must be a finite number, got NaN")
    return value


class Fixed(Frozen):
    """One value for the whole sweep, and where it comes from (ignored by the fingerprint)."""

    value: Annotated[float, Field(allow_inf_nan=True), AfterValidator(_number), BeforeValidator(plain)]
    source: str = ""


def _fixed(value: Any) -> Any:
    return {"value": value} if not isinstance(value, dict | Fixed) else value


class Written(Frozen):
    """One sweep as it is written, its fields those of :class:`SweepSpec`: what follows from others is left out."""

    model: str = "relative_loss"
    loss: Loss | None = None
    reference: str | None = None
    outputs: Annotated[tuple[str, ...], BeforeValidator(listed), Field(min_length=1)] = ()
    axes: Annotated[dict[str, Axis], AfterValidator(ReadOnly)] = ReadOnly()
    fixed: Annotated[dict[str, Annotated[Fixed, BeforeValidator(_fixed)]], AfterValidator(ReadOnly)] = ReadOnly()
    statistics: Annotated[dict[str, Statistic], AfterValidator(ReadOnly)] = ReadOnly()
    distributions: Annotated[dict[str, Distribution], AfterValidator(ReadOnly)] = ReadOnly()
    draws: Draws | None = None
    allocation: Allocation | None = None
    dtype: DType = "float32"
    title: str = ""

    def completed(self) -> dict[str, Any]:
        """Give the fields with what follows from them: the numbers of a reference, the axes of draws, the outputs.

        Raises
        ------
        ValueError
            One line: a parameter that is given twice, or what follows from nothing.
        """
        fields = {name: getattr(self, name) for name in self.model_fields_set}
        tables: dict[str, Mapping[str, object]] = {name: getattr(self, name) for name in _TABLES}
        for (one, here), (other, there) in combinations(tables.items(), 2):
            for name in there:
                if name in here:
                    raise ValueError(f"{name} is given twice, under {one} and under {other}; keep one")
        if self.reference is not None:
            fields["fixed"] = self.referred()
        if self.distributions:
            fields["draws"], fields["axes"] = self._drawn()
        elif self.draws is not None:
            raise ValueError("draws: are of [distributions], and there are none; drop it or give some")
        elif not self.axes:
            raise ValueError("axes: is required and must not be empty, unless there are [distributions]")
        outputs = self.outputs or self.of_statistics()
        if not outputs and self.allocation is None:
            raise ValueError("outputs: is required, or [statistics] of them")
        if not self.statistics and self.allocation is None:
            outputs += tuple(name for name in self.distributions if name not in outputs)
        return {**fields, "outputs": outputs} if outputs else fields

    def of_statistics(self) -> tuple[str, ...]:
        """Outputs that statistics are of, each once."""
        return tuple(dict.fromkeys(name for statistic in self.statistics.values() for name in statistic.uses))

    def referred(self) -> dict[str, Fixed]:
        """Give the fixed values with those of the run that `reference` names.

        Raises
        ------
        ValueError
            One line: an unknown run, or other numbers beside its own.
        """
        run = None if self.reference is None else run_of(self.reference)
        added = {} if run is None else {k: Fixed(value=v, source=why) for k, (v, why) in run.numbers.items()}
        for table in _TABLES:
            here = getattr(self, table)
            for name in added:
                if name in here and here[name] != added[name]:
                    raise ValueError(
                        f'reference: "{self.reference}" gives {name}, which is given under {table} too; drop one, or '
                        'write reference = "own"'
                    )
        return {**self.fixed, **added}

    def _drawn(self) -> tuple[Draws, dict[str, Axis]]:
        """Give the draws, and the axes with those of the draws after the others."""
        draws = self.draws or Draws()
        try:
            draws.factor(self.distributions)
        except FieldError as error:
            raise FieldError(("draws", *error.place), error.text) from None
        numbers = {REPLICATE: draws.replicates, DRAW: draws.number}
        added = {name: Axis(start=0.0, stop=n - 1.0, num=n) for name, n in numbers.items() if n > 1}
        for name in (REPLICATE, DRAW):
            if name in self.axes and self.axes[name] != added.get(name):
                raise ValueError(f'axis "{name}": is made by [draws]; give their number there')
        return draws, {k: v for k, v in self.axes.items() if k not in added} | added


class SweepSpec(Written):
    """One sweep: a model, the outputs wanted of it, and for each parameter an axis or one value.

    Attributes
    ----------
    model : str
        Name of the model, "relative_loss" for the shipped one.
    loss : {"total", "excess"}
        Which loss the power law is on, so which kind of exponent belongs in it (kernels/README.md, 1).
    reference : str
        The run from which fleets, times and losses count: the name of one in :data:`sweep.config.reference.RUNS`, which
        gives ``reference_fleet`` and ``reference_years`` with their sources, or "own", as if it were not said: the two
        are parameters like others, and required wherever an output depends on them.
    outputs : tuple of str
        Names of the outputs to evaluate; those of the statistics if not given.
    axes : dict of str to Axis
        Swept parameters; their order is the order of the dimensions.
    fixed : dict of str to Fixed
        Parameters held at one value. The model's defaults fill in the rest.
    statistics : dict of str to Statistic
        What to keep of the outputs, by the names of the variables of the result; if empty, all values.
    distributions : dict of str to Distribution
        Parameters that are uncertain: they vary together along an axis ``draw``, the last one, which statistics may be
        taken over; with replicates along ``replicate`` too, before it.
    draws : Draws
        How many values are drawn of them, and how.
    allocation : Allocation
        How a budget may be split, for :func:`sweep.optimise`.
    dtype : {"float32", "float64"}
        Precision of evaluation and storage.
    title : str
        The question in words; kept in the dataset, ignored by the fingerprint.
    """

    _path: str = PrivateAttr(default="")

    def __init__(self, /, **data: Any) -> None:
        """Validate what is written, complete it, and validate the whole."""
        try:
            complete = Written(**data).completed()
        except ValueError as error:
            raise SpecError(str(error)) from None
        super().__init__(**complete)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if twice := [name for name in self.outputs if self.outputs.count(name) > 1]:
            raise ValueError(f'outputs names "{twice[0]}" twice; name each output once')
        for key, statistic in self.statistics.items():
            self._check_statistic(key, statistic)
        used = self.of_statistics()
        for name in self.outputs if used else ():
            if name not in used:
                raise ValueError(f'outputs: no statistic is of "{name}", and only statistics are kept; drop it')
        return self

    def _check_statistic(self, key: str, statistic: Statistic) -> None:
        if not key.isidentifier() or key in (QUANTILE, *self.axes):
            raise ValueError(f'statistics: "{key}" cannot be the name of a variable beside the axes; use another')
        others = {*statistic.variables(key, self.axes), *statistic.own_dims(key)} - {key}
        for name in sorted(others & {*self.statistics, *self.axes}):
            raise ValueError(f'statistics: "{key}" makes a variable "{name}", which is given too; rename one')
        for name in statistic.uses:
            if name not in self.outputs:
                raise ValueError(f'statistics.{key}: "{name}" is not among the outputs ({", ".join(self.outputs)})')
        for field, names in (("over", statistic.over), ("regret", statistic.regret or ())):
            for name in names:
                if name not in self.axes:
                    raise ValueError(f"statistics.{key}.{field}: {unknown('axis', name, self.axes)}")
        quantiles = [s.probabilities for s in self.statistics.values() if s.probabilities is not None]
        if any(probabilities != quantiles[0] for probabilities in quantiles):
            raise ValueError("statistics: quantiles share one axis of probabilities; give all the same")

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy with some fields replaced, unchecked; the copy cannot be changed either."""
        update = {
            key: ReadOnly(v) if key in ("axes", "fixed", "statistics", "distributions") else v
            for key, v in (update or {}).items()
        }
        return super().model_copy(update=update, deep=deep)

    def __repr__(self) -> str:
        """What it is of, in one line."""
        return f"<SweepSpec {self.summary}>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """What a notebook shows: what is computed, over what, and with which numbers."""
        return as_table(self.rows())

    def rows(self) -> dict[str, object]:
        """Say what is written, by the name of its table, in words."""
        ends = {n: [axis.coordinates(i, i + 1)[0] for i in (0, len(axis) - 1)] for n, axis in self.axes.items()}
        axes = "; ".join(f"{n}: {low:g} to {high:g}, {len(self.axes[n]):,}" for n, (low, high) in ends.items())
        fixed = "; ".join(f"{name} = {one.value:g}" for name, one in self.fixed.items())
        drawn = "; ".join(f"{name}: {one}" for name, one in self.distributions.items())
        rows: dict[str, object] = {"title": self.title, "sweep": self.summary, "loss": self.loss}
        rows |= {"reference": self.reference, "axes": axes, "fixed": fixed, "uncertain": drawn}
        return rows | {"points": f"{self.points:,}"}

    @property
    def summary(self) -> str:
        """The model, what is computed, and over what: "relative_loss: relative_loss over fleet_size 251, time 201"."""
        wanted = ", ".join(self.statistics or self.outputs)
        axes = ", ".join(f"{name} {length:,}" for name, length in self.shape.items())
        return f"{self.model}: {wanted} over {axes or 'one point'}"

    @property
    def path(self) -> str:
        """The file this was read from, "" when made in Python."""
        return self._path

    @property
    def shape(self) -> dict[str, int]:
        """Length of each axis, in order."""
        return {name: len(axis) for name, axis in self.axes.items()}

    @property
    def points(self) -> int:
        """Points of the grid: combinations of the values of all axes, however many outputs or statistics are wanted."""
        return math.prod(self.shape.values())

    def canonical(self) -> dict[str, Any]:
        """Give what decides the numbers, as plain JSON values: no titles, no sources."""
        content = {
            "model": self.model,
            "loss": self.loss,
            "dtype": self.dtype,
            "outputs": list(self.outputs),
            "axes": {k: v.canonical() for k, v in self.axes.items()},
            "fixed": {k: self.fixed[k].value for k in sorted(self.fixed)},
        }
        if self.distributions and self.draws is not None:
            content["distributions"] = {k: v.canonical() for k, v in self.distributions.items()}
            content["draws"] = self.draws.canonical()
        if self.allocation is not None:
            content["allocation"] = self.allocation.model_dump(exclude_none=True)
        if self.statistics:
            content["statistics"] = {k: v.canonical() for k, v in self.statistics.items()}
        return json.loads(json.dumps(content))

    def fingerprint(self) -> str:
        """First 16 hex digits of the SHA-256 of :meth:`canonical`."""
        return hashlib.sha256(json.dumps(self.canonical()).encode()).hexdigest()[:16]


def read(path: str | Path) -> SweepSpec:
    """Read and validate a config file, without checking it against its model.

    Raises
    ------
    SpecError
        One line that names the file, the key, the value and what is allowed.
    """
    try:
        content = read_toml(path)
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise SpecError(f"{path}: {error}") from None
    try:
        spec = SweepSpec(**included(content, Path(path).parent))
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None
    spec._path = str(path)
    return spec
