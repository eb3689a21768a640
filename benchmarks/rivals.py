"""The grid that is evaluated, how others would evaluate it, and the check that they agree.

All rivals are separated: what depends on time and rate alone is a table, made in float64 outside the timing. With
s = max(G, 1) the compute ratio is s (1/s + (N / N0 T0) G/s), so that no number overflows float32 where G does.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, product

import mpmath
import numpy as np
import record

from sweep.config.axis import Axis
from sweep.config.spec import SweepSpec

KAPPA, REFERENCE_FLEET, REFERENCE_YEARS = 0.05, 16384.0, 0.244353
MODERATE, WIDE = 1.6, 15.0  # highest rate of a grid of 20 years: 2^(γt) up to 2^32, and up to 2^300
TOLERANCE = {"float32": 64, "float64": 256}  # ulp: a rival may be somewhat rough, not wrong
SAMPLE = 1500


def make_spec(fleets: int, times: int, rates: int, *, top_rate: float = MODERATE, dtype: str = "float32") -> SweepSpec:
    """Spec of a grid fleet x time x rate of relative losses, from 1e3 to 1e8 accelerators, over 20 years."""
    return SweepSpec(
        loss="total",
        outputs=("relative_loss",),
        axes={
            "fleet_size": Axis(start=1e3, stop=1e8, num=fleets, spacing="log"),
            "time": Axis(start=0.0, stop=20.0, num=times),
            "doubling_rate": Axis(start=0.0, stop=top_rate, num=rates),
        },
        fixed={
            "scaling_exponent": KAPPA,
            "reference_fleet": REFERENCE_FLEET,
            "reference_years": REFERENCE_YEARS,
        },
        dtype=dtype,
    )


@dataclass(frozen=True)
class Tables:
    """What the rivals are given: R = weight (one + fleet years)^(−κ), where `one` and `weight` are 1 if not given.

    Attributes
    ----------
    fleet : numpy.ndarray
        N / (N0 T0) [1/years], shape (fleets, 1, 1).
    years : numpy.ndarray
        G, or G / s [years], shape (1, times, rates).
    one, weight : numpy.ndarray or None
        1/s and s^(−κ), shape (1, times, rates).
    kappa : numpy scalar
        κ, of the same type.
    """

    fleet: np.ndarray
    years: np.ndarray
    one: np.ndarray | None
    weight: np.ndarray | None
    kappa: np.floating

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the grid."""
        return self.fleet.shape[0], *self.years.shape[1:]


def make_tables(spec: SweepSpec, *, scaled: bool) -> Tables:
    """Tables of a spec from `make_spec`, in its dtype; `scaled` if G may overflow it."""
    dtype = np.dtype(spec.dtype)
    fleet, time, rate = np.ix_(*(axis.coordinates() for axis in spec.axes.values()))
    z = time * rate * np.log(2.0)
    years = time * np.divide(np.expm1(z), z, out=np.ones_like(z), where=z != 0.0)
    fleet = (fleet / (REFERENCE_FLEET * REFERENCE_YEARS)).astype(dtype)
    kappa = dtype.type(KAPPA)
    if not scaled:
        return Tables(fleet, years.astype(dtype), None, None, kappa)
    s = np.maximum(years, 1.0)
    return Tables(fleet, *(a.astype(dtype) for a in (years / s, 1.0 / s, s**-KAPPA)), kappa)


def broadcast(tables: Tables) -> np.ndarray:
    """R as an analyst writes it in NumPy, one line, into a fresh array."""
    if tables.weight is None:
        return (1 + tables.fleet * tables.years) ** -tables.kappa
    return tables.weight * (tables.one + tables.fleet * tables.years) ** -tables.kappa


class Blocked:
    """NumPy in pieces that stay in the cache, in place in the output, on all cores.

    Parameters
    ----------
    tables : Tables
        What to evaluate.
    piece : int
        Points of the (time, rate) plane handled at once.
    form : {"exp2(log2)", "power"}
        How the power is taken.
    """

    def __init__(self, tables: Tables, piece: int, form: str) -> None:
        self._tables, self._form = tables, form
        plane = tables.years.size
        self._pieces = [slice(a, min(a + piece, plane)) for a in range(0, plane, piece)]
        self._threads = os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self._threads)

    def __call__(self, out: np.ndarray) -> np.ndarray:
        """Fill `out`, of the shape of the grid, and return it."""
        ends = np.linspace(0, len(out), self._threads + 1).astype(int)
        list(self._pool.map(lambda span: self._fill(out, *span), pairwise(ends)))
        return out

    def _fill(self, out: np.ndarray, first: int, last: int) -> None:
        tables, minus_kappa = self._tables, -self._tables.kappa
        flat = out.reshape(len(out), -1)
        years = tables.years.ravel()
        one = None if tables.one is None else tables.one.ravel()
        weight = None if tables.weight is None else tables.weight.ravel()
        for piece in self._pieces:
            for i in range(first, last):
                o = flat[i, piece]
                np.multiply(years[piece], tables.fleet[i, 0, 0], out=o)
                np.add(o, 1 if one is None else one[piece], out=o)
                if self._form == "power":
                    np.power(o, minus_kappa, out=o)
                else:
                    np.log2(o, out=o)
                    np.multiply(o, minus_kappa, out=o)
                    np.exp2(o, out=o)
                if weight is not None:
                    np.multiply(o, weight[piece], out=o)


def tune(tables: Tables, out: np.ndarray, *, repeats: int) -> tuple[Blocked, str]:
    """Find the blocked form that fills `out` fastest, by the median, and its name.

    On the whole grid: small pieces fit the nearest cache, and have the threads wait for the interpreter's lock.
    """
    forms = product(("exp2(log2)", "power"), (2**14, 2**15, 2**16, 2**17, 2**18))
    tried = {f"{form}, pieces of {piece}": Blocked(tables, piece, form) for form, piece in forms}
    took = record.race({name: partial(blocked, out) for name, blocked in tried.items()}, repeats=repeats, warm_up=1)
    best = min(tried, key=lambda name: took[name].median)
    return tried[best], best


@dataclass(frozen=True)
class Reference:
    """Exact values at a sample of a grid, corners included, as head + tail.

    Attributes
    ----------
    index : numpy.ndarray
        Flat positions in the grid.
    head, tail : numpy.ndarray
        float64.
    """

    index: np.ndarray
    head: np.ndarray
    tail: np.ndarray

    def error(self, values: np.ndarray) -> float:
        """Largest error of a grid of values at the sample, in ulp of their type; infinite where one is NaN."""
        got = values.reshape(-1)[self.index]
        ulp = np.spacing(self.head.astype(got.dtype)).astype(np.float64)
        errors = np.abs((got.astype(np.float64) - self.head) - self.tail) / ulp
        return float(np.where(np.isnan(errors), np.inf, errors).max())


def make_reference(spec: SweepSpec, *, seed: int = 1) -> Reference:
    """Evaluate the equation with 40 digits at random points of a spec from `make_spec`."""
    shape = tuple(spec.shape.values())
    corners = [np.ravel_multi_index([e * (n - 1) for e, n in zip(ends, shape, strict=True)], shape)
               for ends in np.ndindex(2, 2, 2)]  # fmt: skip
    index = np.unique([*corners, *np.random.default_rng(seed).integers(0, np.prod(shape), SAMPLE)])
    axes = [axis.coordinates() for axis in spec.axes.values()]
    head, tail = np.empty(len(index)), np.empty(len(index))
    with mpmath.workdps(40):
        for row, position in enumerate(np.transpose(np.unravel_index(index, shape))):
            n, t, rate = (mpmath.mpf(float(a[i])) for a, i in zip(axes, position, strict=True))
            years = (2 ** (t * rate) - 1) / (rate * mpmath.ln2) if rate else t
            c = 1 + n * years / (mpmath.mpf(REFERENCE_FLEET) * mpmath.mpf(REFERENCE_YEARS))
            value = c ** -mpmath.mpf(KAPPA)
            head[row] = float(value)
            tail[row] = float(value - head[row])
    return Reference(index, head, tail)


def agree(errors: dict[str, float], dtype: str) -> None:
    """Refuse to time contenders of which one does not compute the same thing.

    Raises
    ------
    ValueError
        Naming the contender and its error.
    """
    for name, error in errors.items():
        if not error <= TOLERANCE[dtype]:
            raise ValueError(f"{name}: is off by {error:.3g} ulp of {dtype}, allowed are {TOLERANCE[dtype]}")
