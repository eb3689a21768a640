"""Question: what does a sweep of many exponents gain by one logarithm for all of them, against NumPy and C.

The mean over exponents and rates of the relative loss on a map of fleets by dates, `sweep.run(spec)` from a spec to a
labelled dataset, against NumPy (blocked in cache, on all cores) and hand-written C (OpenMP, polynomials, on all cores),
which take log2 c once for all exponents, and C that takes it again for each. Rivals are given their tables. Errors are
those of the mean, against float128 at a sample of cells. Without a compiler the lines of C are skipped.
"""

import ctypes
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import record
import rivals

import sweep

OURS, NUMPY = "sweep.run", "NumPy, one logarithm for all exponents, all cores"
C, AGAIN = "C, one logarithm for all exponents, all cores", "C, one for each, all cores"
OVER = ("scaling_exponent", "doubling_rate")
LEAST_OF_C, SAMPLE = 0.7, 200
SOURCE = """
#include <math.h>
#include <string.h>
static inline float log2_of(float c) {
    int bits; memcpy(&bits, &c, 4);
    int above = bits - 0x3f3504f3, e = above >> 23;
    bits -= above & 0xff800000;
    float m; memcpy(&m, &bits, 4);
    float r = m - 1.0f, p = LOG[LAST_LOG];
    for (int i = LAST_LOG - 1; i >= 0; i--) p = p * r + LOG[i];
    return (float)e + r * p;
}
static inline float exp2_of(float x) {
    float k = rintf(x), f = x - k, p = EXP[LAST_EXP];
    for (int i = LAST_EXP - 1; i >= 0; i--) p = p * f + EXP[i];
    int bits = ((int)k + 127) << 23;
    float unit; memcpy(&unit, &bits, 4);
    return p * unit;
}
void means(const float *fleet, int fleets, const float *years, int times, int rates,
           const float *kappa, int exponents, int again, float *out) {
    #pragma omp parallel for collapse(2) schedule(static)
    for (int i = 0; i < fleets; i++)
        for (int j = 0; j < times; j++) {
            float n = fleet[i], logs[rates], sums[rates];
            const float *g = years + (long)j * rates;
            for (int l = 0; l < rates; l++) { logs[l] = log2_of(1.0f + n * g[l]); sums[l] = 0.0f; }
            for (int k = 0; k < exponents; k++) {
                float minus = -kappa[k];
                if (again) for (int l = 0; l < rates; l++) sums[l] += exp2_of(minus * log2_of(1.0f + n * g[l]));
                else for (int l = 0; l < rates; l++) sums[l] += exp2_of(minus * logs[l]);
            }
            double total = 0.0;
            for (int l = 0; l < rates; l++) total += sums[l];
            out[(long)i * times + j] = (float)(total / ((double)rates * exponents));
        }
}
"""


def measure(quick: bool) -> Iterator[dict[str, Any]]:
    """Yield result lines."""
    shape = (3, 4, 24, 30) if quick else (100, 81, 352, 352)
    case = f"mean over exponents and rates, float32, {' x '.join(map(str, shape))}"
    spec = _spec(shape)
    fleet, years, kappa = _tables(spec)
    contenders: dict[str, Callable[[], Any]] = {
        OURS: lambda: sweep.run(spec).found.values,
        NUMPY: lambda: _numpy(fleet, years, kappa),
    }
    with tempfile.TemporaryDirectory() as folder:
        compiler = shutil.which("cc")
        if compiler is None:
            for name in (C, AGAIN):
                yield {"case": case, "result": name, "skipped": "there is no C compiler"}
        else:
            function = _compiled(compiler, Path(folder))
            contenders[C] = lambda: _c(function, fleet, years, kappa, again=False)
            contenders[AGAIN] = lambda: _c(function, fleet, years, kappa, again=True)
        first, errors = {}, {}
        for name, work in contenders.items():
            began = time.perf_counter()
            found = work()
            first[name] = round(time.perf_counter() - began, 4)
            errors[name] = _error(found, fleet, years, kappa)
        rivals.agree(errors, "float32")
        took = record.race(contenders, repeats=2 if quick else 5, warm_up=1)
    for name, timing in took.items():
        line = {"points": int(np.prod(shape)), "max_error_ulp": round(errors[name], 3), "first_seconds": first[name]}
        yield record.timed(case, name, timing, **line)
    yield record.compared(case, f"{NUMPY} / {OURS}", took[NUMPY], took[OURS])
    if C in took:
        yield record.compared(case, f"{C} / {OURS}", took[C], took[OURS], at_least=LEAST_OF_C)
        yield record.compared(case, f"{AGAIN} / {OURS}", took[AGAIN], took[OURS])


def _spec(shape: tuple[int, int, int, int]) -> sweep.SweepSpec:
    fleets, times, exponents, rates = shape
    return sweep.SweepSpec(
        loss="total",
        axes={
            "fleet_size": sweep.Axis(start=1e3, stop=1e8, num=fleets, spacing="log"),
            "time": sweep.Axis(start=0.0, stop=8.0, num=times),
            "scaling_exponent": sweep.Axis(start=0.048, stop=0.057, num=exponents),
            "doubling_rate": sweep.Axis(start=0.6, stop=4.0, num=rates),
        },
        fixed={"reference_fleet": rivals.REFERENCE_FLEET, "reference_years": rivals.REFERENCE_YEARS},
        statistics={"found": sweep.Statistic(statistic="mean", output="relative_loss", over=OVER)},
    )


def _tables(spec: sweep.SweepSpec) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """N / (N0 T0), G of time and rate, and the exponents, float32."""
    fleet, time, kappa, rate = (axis.coordinates() for axis in spec.axes.values())
    z = time[:, None] * rate * np.log(2.0)
    years = time[:, None] * np.divide(np.expm1(z), z, out=np.ones_like(z), where=z != 0.0)
    fleet = fleet / (rivals.REFERENCE_FLEET * rivals.REFERENCE_YEARS)
    return fleet.astype(np.float32), years.astype(np.float32), kappa.astype(np.float32)


def _numpy(fleet: np.ndarray, years: np.ndarray, kappa: np.ndarray) -> np.ndarray:
    out = np.empty((len(fleet), len(years)), np.float32)

    def rows(span: tuple[int, int]) -> None:
        for i in range(*span):
            for first in range(0, len(years), 32):  # of so many rows the values stay in the cache
                logs = np.log2(1 + fleet[i] * years[first : first + 32])
                total, value = np.zeros_like(logs), np.empty_like(logs)
                for exponent in -kappa:
                    np.multiply(logs, exponent, out=value)
                    np.exp2(value, out=value)
                    np.add(total, value, out=total)
                out[i, first : first + 32] = total.mean(axis=1, dtype=np.float64) / len(kappa)

    ends = np.linspace(0, len(fleet), 4 * (os.cpu_count() or 1) + 1).astype(int)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(rows, pairwise(ends)))
    return out


def _compiled(compiler: str, folder: Path) -> Any:
    """Compile the C of this file, with polynomials of log2(1 + r) / r and 2^f that are interpolated here."""
    power, logarithm = np.polynomial.Polynomial, np.polynomial.Chebyshev.interpolate
    log = logarithm(lambda r: np.log1p(r) / r / np.log(2.0), 9, domain=(2**-0.5 - 1, 2**0.5 - 1)).convert(kind=power)
    exp = logarithm(np.exp2, 6, domain=(-0.5, 0.5)).convert(kind=power)
    head = ""
    for name, polynomial in (("LOG", log), ("EXP", exp)):
        values = ", ".join(f"{value:.9e}f" for value in polynomial.coef)
        head += f"static const float {name}[] = {{{values}}};\n#define LAST_{name} {len(polynomial.coef) - 1}\n"
    (folder / "means.c").write_text(head + SOURCE)
    flags = ["-O3", "-march=native", "-ffast-math", "-fno-finite-math-only", "-funroll-loops", "-fopenmp", "-shared"]
    library = folder / "means.so"
    subprocess.run([compiler, *flags, "-fPIC", "-o", library, folder / "means.c", "-lm"], check=True)
    return ctypes.CDLL(str(library)).means


def _c(function: Any, fleet: np.ndarray, years: np.ndarray, kappa: np.ndarray, *, again: bool) -> np.ndarray:
    out = np.empty((len(fleet), len(years)), np.float32)
    at = [array.ctypes.data_as(ctypes.c_void_p) for array in (fleet, years, kappa, out)]
    function(at[0], len(fleet), at[1], *years.shape, at[2], len(kappa), int(again), at[3])
    return out


def _error(found: np.ndarray, fleet: np.ndarray, years: np.ndarray, kappa: np.ndarray) -> float:
    """Largest error at a sample of cells [ulp], of the tables as they are in float32."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for i, j in zip(rng.integers(len(fleet), size=SAMPLE), rng.integers(len(years), size=SAMPLE), strict=True):
        logs = np.log1p(fleet[i].astype(np.longdouble) * years[j])
        exact = np.exp(-kappa[:, None].astype(np.longdouble) * logs).mean()
        worst = max(worst, abs(float(found[i, j] - exact)) / float(np.spacing(np.float32(exact))))
    return worst


if __name__ == "__main__":
    record.main("exponents", measure, __doc__)
