"""A sweep and its model, checked against each other once: what every question is asked of."""

import math
import os
import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self, get_args

import numpy as np

from sweep.config.record import as_table
from sweep.config.spec import DType, SweepSpec, read
from sweep.errors import Caution, SpecError, unknown
from sweep.models.model import Model
from sweep.models.quantity import Stages
from sweep.models.registry import MODELS
from sweep.models.sampling import drawn


@dataclass(frozen=True)
class Problem:
    """A sweep that has been checked against its model; made by :func:`sweep.load` or by :meth:`of`.

    Attributes
    ----------
    model : Model
        Its uncertain parameters drawn.
    spec : SweepSpec
        With the model's defaults filled in; names and domains are checked.
    source : Model
        The same model, in which what is uncertain are parameters.
    """

    model: Model
    spec: SweepSpec
    source: Model

    def __repr__(self) -> str:
        """What it is of, in one line."""
        return f"<Problem {self.spec.summary}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: title, model, what is computed over what, and caveats."""
        return as_table({**self.spec.rows(), "equation": self.source.equation, "caveats": "; ".join(self.caveats)})

    @classmethod
    def of(cls, spec: "SweepSpec | Problem", model: Model | None = None, dtype: str | None = None) -> "Problem":
        """Check a spec against its model; a problem is one already.

        Parameters
        ----------
        spec : SweepSpec or Problem
            The sweep.
        model : Model, optional
            One of the user's, instead of the shipped one that the spec names. That of a problem is its own.
        dtype : {"float32", "float64"}, optional
            Precision of evaluation and storage, instead of the spec's.

        Raises
        ------
        SpecError
            One line: an unknown name, a value outside its domain, a parameter that is missing or does nothing, another
            model than that of the problem.
        """
        if dtype is not None and dtype not in get_args(DType):
            raise SpecError(f'dtype: must be "float32" or "float64", got "{dtype}"')
        sweep, source = parts_of(spec, model)
        if isinstance(spec, Problem) and dtype in (None, sweep.dtype):
            return spec
        if dtype is not None:
            sweep = sweep.model_copy(update={"dtype": dtype})
        model = drawn(source, sweep) if sweep.distributions else source
        return cls(model, model.resolve(sweep), source)

    @classmethod
    def read(cls, path: str | os.PathLike[str], dtype: str | None = None) -> "Problem":
        """Read a config and check it, as :func:`sweep.load` does; its caveats are there to be told.

        Raises
        ------
        SpecError
            One line that names the file.
        """
        spec = read(os.fspath(path))
        try:
            return cls.of(spec, dtype=dtype)
        except SpecError as error:
            raise SpecError(f"{os.fspath(path)}: {error}") from None

    def derived(self, **fields: Any) -> Self:
        """Give a problem of the same model with some fields of its spec replaced, which are not checked."""
        return replace(self, spec=self.spec.model_copy(update=fields))

    @property
    def is_own(self) -> bool:
        """Whether the model is one of the user's, not a shipped one."""
        return MODELS.get(self.source.name) is not self.source

    @cached_property
    def caveats(self) -> tuple[str, ...]:
        """What is allowed and usually a mistake."""
        return tuple(self.source.all_caveats(self.spec))

    def warn(self, stacklevel: int = 1) -> None:
        """Warn of each caveat; a `stacklevel` of 1 is the caller, as in the standard library."""
        for line in self.told:
            warnings.warn(line, Caution, stacklevel=stacklevel + 1)

    @property
    def told(self) -> tuple[str, ...]:
        """The caveats, after the name of the file that the spec was read from."""
        return tuple(f"{self.spec.path}: {caveat}" if self.spec.path else caveat for caveat in self.caveats)

    @cached_property
    def fingerprint(self) -> str:
        """First 16 hex digits of the SHA-256 of what decides the numbers."""
        return self.spec.fingerprint()

    @cached_property
    def needed(self) -> frozenset[str]:
        """Parameters that the outputs depend on."""
        return self.model.needed(self.spec.outputs)

    @cached_property
    def variables(self) -> dict[str, tuple[str, ...]]:
        """Of each output, the axes that it depends on, in the order of the spec."""
        return {name: self.axes_of(name) for name in self.spec.outputs}

    @property
    def constants(self) -> dict[str, np.ndarray]:
        """Of each parameter the number at which it is held, NaN where it is not."""
        fixed = self.spec.fixed
        return {p.name: np.asarray(fixed[p.name].value if p.name in fixed else math.nan) for p in self.model.parameters}

    def axes_of(self, *outputs: str) -> tuple[str, ...]:
        """Axes that some outputs of the model depend on, in the order of the spec."""
        needs = self.model.needed(outputs)
        return tuple(axis for axis in self.spec.axes if axis in needs)

    @cached_property
    def stages(self) -> Stages:
        """How it is evaluated on a grid; the bits do not depend on how the grid is cut."""
        return self.model.staged(self.spec)

    @cached_property
    def table_dims(self) -> tuple[tuple[str, ...], ...]:
        """Of each table of stage 1, the axes that it spans."""
        return tuple(tuple(name for name in self.spec.axes if name in table.needs) for table in self.stages.tables)


def parts_of(spec: SweepSpec | Problem, model: Model | None = None) -> tuple[SweepSpec, Model]:
    """Give a spec and its model, in which what is uncertain are parameters, as :meth:`Problem.of` takes them.

    Raises
    ------
    SpecError
        One line: what is neither a spec nor a problem, an unknown model, another one than that of a problem.
    """
    if isinstance(spec, Problem):
        if model is not None and model.name != spec.source.name:
            raise SpecError(f'model: this is the model "{model.name}", the spec asks for "{spec.source.name}"')
        if model is not None and model is not spec.source:
            raise SpecError(f'model: the problem has a model "{model.name}" already; drop it, or give the spec alone')
        return spec.spec, spec.source
    if not isinstance(spec, SweepSpec):
        raise SpecError(f"spec: must be a SweepSpec, or a Problem as sweep.load gives it, got {type(spec).__name__}")
    if model is None and spec.model not in MODELS:
        raise SpecError(unknown("model", spec.model, MODELS))
    return spec, MODELS[spec.model] if model is None else model


def load(path: str | Path, dtype: str | None = None) -> Problem:
    """Read a config and check it against the model it names.

    Parameters
    ----------
    path : str or Path
        A TOML file; README describes the format, configs/ has examples.
    dtype : {"float32", "float64"}, optional
        Precision of evaluation and storage, instead of the config's.

    Returns
    -------
    Problem
        What :func:`sweep.run` and the others take; its `spec` has the model's defaults filled in.

    Raises
    ------
    SpecError
        One line that names the file, the key, the value and what is allowed.

    Warns
    -----
    UserWarning
        For values that were probably meant in another unit or convention, and targets that are out of reach.
    """
    problem = Problem.read(path, dtype)
    problem.warn(2)
    return problem
