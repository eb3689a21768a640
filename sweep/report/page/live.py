"""A config that is evaluated while it is looked at: what may be changed, and the page of what it then is."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from sweep.config.reference import PARAMETERS
from sweep.config.spec import Fixed, SweepSpec, read
from sweep.config.toml import as_toml
from sweep.errors import SpecError, unknown
from sweep.lazy.backend import SweepBackend
from sweep.models.parameters import Parameter
from sweep.models.problem import Problem
from sweep.report.page.nodes import fitted
from sweep.report.page.outline import outlined, variables_of
from sweep.report.page.template import Part, filled, payload_of
from sweep.report.slices import unit_in_words

NODES, SIZE = 20_000, 10**6  # of all variables, and the bytes that they may take
STEPS = 100  # of a slider to either side of the value in the config
MOST = 1e300  # of a value
WIDE = 100.0  # how many times as large a value may be made where its domain does not end


@dataclass(frozen=True)
class Live:
    """A config whose fixed values may be changed.

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
            One line: a config that cannot be read, is solved instead of evaluated, or asks for statistics.
        """
        problem, spec = Problem.read(path), read(path)
        if problem.model.is_solved:
            raise SpecError(f"{path}: is solved, not evaluated, which takes too long to look on; use sweep report")
        if spec.statistics:
            raise SpecError(f"{path}: keeps statistics, which take too long to look on; use sweep report")
        return cls(spec, problem)

    @cached_property
    def parameters(self) -> list[dict[str, Any]]:
        """What may be changed, as the script of the page reads it: names, words, and the values of a slider."""
        run = PARAMETERS if self.spec.reference not in (None, "own") else ()
        names = [name for name in self.problem.spec.fixed if name in self.problem.needed and name not in run]
        fixed = [(self.problem.model.parameter(name), self.problem.spec.fixed[name].value) for name in names]
        return [
            {
                "name": one.name,
                "label": one.long_name,
                "unit": unit_in_words(one.unit),
                "values": (values := _values(one, value)).tolist(),
                "at": int(np.flatnonzero(values == value)[0]),
            }
            for one, value in fixed
        ]

    def page(self, title: str) -> str:
        """The HTML of the page, whose script asks for numbers as :meth:`numbers` gives them."""
        dataset, variables, left_out = self._evaluated({})
        dataset.attrs["title"] = title or str(dataset.attrs["title"])
        part = Part(dataset, outlined(dataset), variables, left_out)
        return filled([part], part.title, live=self.parameters)

    def numbers(self, fixed: Mapping[str, Any]) -> dict[str, Any]:
        """What the page shows where some values are others than in the config.

        Parameters
        ----------
        fixed : mapping
            Values by name.

        Raises
        ------
        SpecError
            One line: a name that may not be changed, a value outside its domain.
        """
        dataset, variables, _ = self._evaluated(fixed)
        return payload_of(dataset, outlined(dataset), variables)

    def config(self, fixed: Mapping[str, Any]) -> dict[str, str]:
        """The text of a config, under "toml", in which some values are others; arguments as of :meth:`numbers`."""
        return {"toml": as_toml(self._changed(fixed))}

    def _evaluated(self, fixed: Mapping[str, Any]) -> tuple[xr.Dataset, dict[str, dict[str, Any]], list[str]]:
        dataset = SweepBackend().open_dataset(Problem.of(self._changed(fixed)))
        return fitted(dataset, variables_of(outlined(dataset), dataset), SIZE, most=NODES)

    def _changed(self, fixed: Mapping[str, Any]) -> SweepSpec:
        """Give the spec with other values, in their domains."""
        known = [one["name"] for one in self.parameters]
        for name, value in fixed.items():
            if name not in known:
                raise SpecError(unknown("parameter", name, known))
            if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < MOST:
                raise SpecError(f"{name}: must be a finite number")
        here = self.problem.spec.fixed
        changed = {n: Fixed(value=v, source="chosen while exploring") for n, v in fixed.items() if v != here[n].value}
        spec = self.spec.model_copy(update={"fixed": {**self.spec.fixed, **changed}})
        Problem.of(spec)
        return spec


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
