"""A config that is evaluated while it is looked at: what may be changed, and the page of what it then is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from sweep.config.distribution import DRAW, DRAWN, REPLICATE, Distribution
from sweep.config.reference import PARAMETERS
from sweep.config.spec import Fixed, SweepSpec, read
from sweep.config.toml import as_toml
from sweep.engine.loop import run
from sweep.errors import SpecError, unknown
from sweep.lazy.backend import SweepBackend
from sweep.models.parameters import Parameter
from sweep.models.problem import Problem
from sweep.report.page.nodes import BAND, fitted
from sweep.report.page.outline import outlined, variables_of
from sweep.report.page.template import Part, filled, payload_of
from sweep.report.slices import unit_in_words

NODES, SIZE = 20_000, 10**6  # of all variables, and the bytes that they may take
POINTS, DRAWS = 2 * 10**6, 1024  # most points that are reduced, and draws that are looked on, in a fraction of a second
STEPS = 100  # of a slider to either side of the value in the config
MOST = 1e300  # of a value
WIDE = 100.0  # how many times as large a value may be made where its domain does not end
SHAPES = {"interval": (1e-6, 0.999999), "alpha": (0.05, 1e6), "beta": (0.05, 1e6)}  # numbers without the domain's unit
FIELDS = ("low", "mode", "high", *SHAPES, "minimum", "maximum")  # of a distribution, that may be changed
Changes = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Live:
    """A config whose fixed values and distributions may be changed.

    Attributes
    ----------
    spec : SweepSpec
        As it is written.
    problem : Problem
        The same, checked.
    """

    spec: SweepSpec
    problem: Problem

    @classmethod
    def read(cls, path: Path) -> "Live":
        """Read a config.

        Raises
        ------
        SpecError
            One line: a config that cannot be read, is solved instead of evaluated, or has too many points to reduce.
        """
        problem, spec = Problem.read(path), read(path)
        if problem.model.is_solved:
            raise SpecError(f"{path}: is solved, not evaluated, which takes too long to look on; use sweep report")
        live = cls(spec, problem)
        points = Problem.of(live._looked_on(spec)).spec.points
        if points > POINTS and (spec.statistics or spec.distributions):
            raise SpecError(
                f"{path}: reduces {points:,} points, at most {POINTS:,} are looked on; give fewer values, or use "
                "sweep report"
            )
        return live

    @cached_property
    def parameters(self) -> dict[str, list[dict[str, Any]]]:
        """What may be changed, as the script of the page reads it.

        Under "fixed" names, words, and the values of a slider; under "uncertain" names, words, the kind of distribution
        and its numbers, each with the ends between which it may be.
        """
        run = PARAMETERS if self.spec.reference not in (None, "own") else ()
        given = self.problem.spec.fixed
        names = [name for name in given if name in self.problem.needed and name not in run]
        fixed = [(self.problem.model.parameter(n), given[n].value) for n in names if math.isfinite(given[n].value)]
        dials = [
            {
                **_words(one),
                "values": (values := _values(one, value)).tolist(),
                "at": int(np.flatnonzero(values == value)[0]),
            }
            for one, value in fixed
        ]
        drawn = [(self.problem.source.parameter(name), one) for name, one in self.spec.distributions.items()]
        return {
            "fixed": dials,
            "uncertain": [{**_words(p), "kind": one.distribution, "fields": _fields(p, one)} for p, one in drawn],
        }

    def page(self, title: str) -> str:
        """The HTML of the page, whose script asks for numbers as :meth:`numbers` gives them."""
        dataset, variables, left_out = self._evaluated({})
        dataset.attrs["title"] = title or str(dataset.attrs["title"])
        part = Part(dataset, outlined(dataset), variables, left_out)
        return filled([part], part.title, live=self.parameters)

    def numbers(self, changes: Changes) -> dict[str, Any]:
        """What the page shows where some values are others than in the config.

        Parameters
        ----------
        changes : mapping
            Values by name under "fixed"; under "uncertain", by name, those of the distribution's numbers by theirs.

        Raises
        ------
        SpecError
            One line: a name that may not be changed, a value outside its domain.
        """
        dataset, variables, _ = self._evaluated(changes)
        return payload_of(dataset, outlined(dataset), variables)

    def config(self, changes: Changes) -> dict[str, Any]:
        """The config with such changes, under `toml`, which :func:`sweep.load` takes.

        Raises
        ------
        SpecError
            As :meth:`numbers`.
        """
        return {"toml": as_toml(self._changed(changes))}

    def _evaluated(self, changes: Changes) -> tuple[xr.Dataset, dict[str, dict[str, Any]], list[str]]:
        spec = self._looked_on(self._changed(changes))
        problem = Problem.of(spec)
        dataset = run(problem) if spec.statistics else SweepBackend().open_dataset(problem)
        loaded, variables, left_out = fitted(dataset, variables_of(outlined(dataset), dataset), SIZE, most=NODES)
        written, here = self.spec.draws, spec.draws
        if written and here and (written.number, written.replicates) != (here.number, here.replicates):
            left_out.append(f"{here.number:,} of {written.number * written.replicates:,} draws")
        return loaded, variables, left_out

    def _looked_on(self, spec: SweepSpec) -> SweepSpec:
        """Give a spec of fewer draws, and of bands where a config keeps every draw."""
        if not spec.distributions or spec.draws is None:
            return spec
        content = _content(spec)
        statistics = content.pop("statistics", {})
        if not statistics:
            names = [name for name in spec.outputs if name not in spec.distributions]
            over = [name for name in DRAWN if name in spec.axes]
            band = {"statistic": "quantiles", "over": over, "probabilities": BAND}
            statistics = {f"{name}_band": {**band, "output": name} for name in names}
            content["outputs"] = names
        draws = {**content.get("draws", {}), "number": min(spec.draws.number, DRAWS)}
        over = [name for one in statistics.values() for name in one["over"]]
        if REPLICATE not in over or DRAW in over:
            draws["replicates"] = 1
            statistics = {
                key: {**one, "over": [name for name in one["over"] if name != REPLICATE]}
                for key, one in statistics.items()
            }
        return SweepSpec(**{**content, "statistics": statistics, "draws": draws})

    def _changed(self, changes: Changes) -> SweepSpec:
        """Give the spec with other values, in their domains."""
        fixed = {**self.spec.fixed, **self._fixed(changes.get("fixed", {}))}
        drawn = {**self.spec.distributions, **self._uncertain(changes.get("uncertain", {}))}
        spec = self.spec.model_copy(update={"fixed": fixed, "distributions": drawn})
        Problem.of(spec)
        return spec

    def _fixed(self, values: Mapping[str, Any]) -> dict[str, Fixed]:
        known = [one["name"] for one in self.parameters["fixed"]]
        here = self.problem.spec.fixed
        for name, value in values.items():
            _check(name, name, known, value)
        return {n: Fixed(value=v, source="chosen while exploring") for n, v in values.items() if v != here[n].value}

    def _uncertain(self, values: Mapping[str, Any]) -> dict[str, Distribution]:
        known = {one["name"]: [field["key"] for field in one["fields"]] for one in self.parameters["uncertain"]}
        changed = {}
        for name, numbers in values.items():
            if name not in known:
                raise SpecError(unknown("distribution", name, known))
            if not isinstance(numbers, dict):
                raise SpecError(f"distributions.{name}: must be {{key: number, ...}}")
            for key, value in numbers.items():
                _check(f"distributions.{name}.{key}", key, known[name], value)
            here = self.spec.distributions[name]
            if all(value == _number(here, key) for key, value in numbers.items()):
                continue
            content = {**here.model_dump(exclude_unset=True), **numbers, "source": "chosen while exploring"}
            try:
                changed[name] = Distribution(**content)
            except SpecError as error:
                raise SpecError(f"distributions.{name}.{error}") from None
        return changed


def _content(spec: SweepSpec) -> dict[str, Any]:
    """Fields of a spec as it was written, without the axes that draws make."""
    content = spec.model_dump(exclude_unset=True)
    return {**content, "axes": {name: axis for name, axis in content["axes"].items() if name not in DRAWN}}


def _check(place: str, name: str, known: list[str], value: Any) -> None:
    """Refuse what may not be changed, and what is no number."""
    if name not in known:
        raise SpecError(unknown("parameter" if place == name else f"number of {place.split('.')[1]}", name, known))
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < MOST:
        raise SpecError(f"{place}: must be a finite number")


def _words(parameter: Parameter) -> dict[str, str]:
    return {"name": parameter.name, "label": parameter.long_name, "unit": unit_in_words(parameter.unit)}


def _number(distribution: Distribution, key: str) -> float | None:
    """A number of a distribution; the interval has one though none be written."""
    if key == "interval":
        return distribution.mass if distribution.distribution in ("normal", "lognormal") else None
    value = getattr(distribution, key)
    return None if value is None else float(value)


def _fields(parameter: Parameter, distribution: Distribution) -> list[dict[str, Any]]:
    """Numbers of a distribution, each with the least and the most that it may be; None where there is no end."""
    domain = [end if math.isfinite(end) else None for end in (parameter.domain.low, parameter.domain.high)]
    fields = []
    for key in FIELDS:
        if (value := _number(distribution, key)) is not None:
            least, most = SHAPES.get(key, domain)
            unit = "" if key in SHAPES else unit_in_words(parameter.unit)
            fields.append({"key": key, "value": value, "least": least, "most": most, "unit": unit})
    return fields


def _values(parameter: Parameter, value: float) -> np.ndarray:
    """Values of a slider: over the domain, or around the value in the config where that has no end; it is one."""
    low, high = parameter.domain.low, parameter.domain.high
    if value > 0.0 and high == np.inf and low >= 0.0:
        ends = max(value / WIDE, low), value * WIDE
        parts = np.geomspace(ends[0], value, STEPS + 1), np.geomspace(value, ends[1], STEPS + 1)
    else:
        size = abs(value) or 1.0
        ends = (low if np.isfinite(low) else value - 2.0 * size), (high if np.isfinite(high) else value + 2.0 * size)
        parts = np.linspace(ends[0], value, STEPS + 1), np.linspace(value, ends[1], STEPS + 1)
    around = np.unique([*(float(f"{v:.4g}") for part in parts for v in part[1:-1]), *ends, value])
    is_open = (around == low) & parameter.domain.low_open | (around == high) & parameter.domain.high_open
    return around[~is_open & (around >= low) & (around <= high)]
