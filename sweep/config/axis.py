"""The values of one swept parameter."""

import math
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from sweep.config.record import Float, Frozen, listed, plain
from sweep.errors import short


class Axis(Frozen):
    """The values of one swept parameter: a range, linear or logarithmic, or a list of values.

    Attributes
    ----------
    start, stop : float
        First and last value of a range, both included, in the unit of the parameter.
    num : int
        Number of points of the range, at least 2.
    spacing : {"linear", "log"}
        Even steps in the value or in its logarithm (then ``start > 0``).
    values : tuple of float
        The values themselves, strictly monotone, instead of a range.
    source : str
        Where the range comes from; kept in the dataset, ignored by the fingerprint.
    """

    start: Float | None = None
    stop: Float | None = None
    num: Annotated[int | None, BeforeValidator(plain)] = Field(default=None, ge=2, le=10**15)
    spacing: Literal["linear", "log"] | None = None
    values: Annotated[tuple[float, ...], BeforeValidator(listed)] | None = None
    source: str = ""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.values is not None:
            named = [key for key in ("start", "stop", "num", "spacing") if getattr(self, key) is not None]
            if named:
                raise ValueError(f'give either "values" or start, stop and num, got values and {", ".join(named)}')
            if not self.values:
                raise ValueError("values must hold at least one number, got []")
            before, after = np.asarray(self.values[:-1]), np.asarray(self.values[1:])  # differences could overflow
            if not (np.all(before < after) or np.all(before > after)):
                got = short(list(self.values))
                raise ValueError(f"values must be strictly increasing or strictly decreasing, got {got}")
            return self
        missing = [key for key in ("start", "stop", "num") if getattr(self, key) is None]
        if missing:
            raise ValueError(f'needs start, stop and num, or "values"; {", ".join(missing)} missing')
        start, stop, _ = self.span()
        if not start < stop:
            raise ValueError(f"start must be below stop, got start={start}, stop={stop}")
        if self.spacing == "log" and not start > 0:
            raise ValueError(f"a log axis must start above 0, got start={start}")
        self._check_resolution()
        return self

    def _check_resolution(self) -> None:
        start, stop, num = self.span()
        extent = stop / start if self.is_log else stop - start
        if math.isinf(extent):
            raise ValueError(f"start and stop are too far apart for float64, got start={start}, stop={stop}")
        step = math.log(extent) / (num - 1) if self.is_log else extent / (num - 1)
        finest = 1.0 if self.is_log else max(abs(start), abs(stop))
        if step < 8 * np.finfo(np.float64).eps * finest:
            raise ValueError(f"num={num} points between {start} and {stop} are too close for float64")

    def span(self) -> tuple[float, float, int]:
        """First value, last value and number of points of a range.

        Raises
        ------
        TypeError
            Where the axis is a list of values.
        """
        if self.start is None or self.stop is None or self.num is None:
            raise TypeError("an axis of values has no start, stop and num")
        return self.start, self.stop, self.num

    @property
    def is_log(self) -> bool:
        """Whether the values are evenly spaced in their logarithm."""
        return self.spacing == "log"

    def __len__(self) -> int:
        """Count the points."""
        return len(self.values) if self.values is not None else self.span()[2]

    def coordinates(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Values at the indices ``start`` to ``stop`` (exclusive), the same bits however the axis is cut.

        Returns
        -------
        numpy.ndarray
            Shape (stop - start,), float64.
        """
        stop = len(self) if stop is None else stop
        if self.values is not None:
            return np.asarray(self.values[start:stop], dtype=np.float64)
        return self.at(np.arange(start, stop))

    def at(self, index: np.ndarray) -> np.ndarray:
        """Values at any indices, the same bits as :meth:`coordinates`.

        Parameters
        ----------
        index : numpy.ndarray
            Whole numbers from 0 to the number of points - 1, any shape, unchecked.

        Returns
        -------
        numpy.ndarray
            float64, the shape of `index`.
        """
        if self.values is not None:
            return np.asarray(self.values, dtype=np.float64)[index]
        start, stop, num = self.span()
        row = np.ravel(index)  # NumPy rounds the power of a number by itself in another way than that of a row
        fraction = row / (num - 1)
        if self.is_log:
            # numpy's power is within an ulp; a sum of logs would lose several.
            points = start * (stop / start) ** fraction
        else:
            step_is_one = stop - start == num - 1
            points = start + (row if step_is_one else (stop - start) * fraction)
        return np.where(row == num - 1, stop, points).reshape(np.shape(index))

    def canonical(self) -> dict[str, Any]:
        """Give what decides the values, the default spacing spelled out."""
        if self.values is not None:
            return {"values": list(self.values)}
        return {"start": self.start, "stop": self.stop, "num": self.num, "spacing": self.spacing or "linear"}

    def bounds(self) -> tuple[float, float]:
        """Lowest and highest value."""
        ends = (self.values[0], self.values[-1]) if self.values is not None else self.span()[:2]
        return min(ends), max(ends)
