"""High-precision oracle for `kernels`: values, gradients, Hessians and what each is allowed to miss by.

Every function is written as a chain of closed forms over 256-bit numbers (gmpy2.mpfr: exponents to 2**1e9, so
X*^(-1/kappa) = 10**30000 is an ordinary number). A quantity is a *jet*: its value, its first derivatives by
parameter name and, where asked for, its second derivatives by (sorted) pair of names. Nothing is shared with
`kernels`; `mpmath` quadrature and root finding check the closed forms in the tests.

The accuracy contract, for a result f of exact inputs x_i in a dtype of unit roundoff u:

    |got - f|  <=  4 ulp(f)  +  u * sum_i |x_i df/dx_i|

and the same for a gradient, with the sum over the second derivatives.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import gmpy2
import numpy as np
from gmpy2 import mpfr

PRECISION = 256
ULPS = 4

_CALL = {
    "effective_years": (("time", "doubling_rate"), ()),
    "compute_ratio": (("fleet_size", "time", "doubling_rate"), ("reference_fleet", "reference_years")),
    "log_relative_excess_loss": (
        ("fleet_size", "time", "doubling_rate"),
        ("scaling_exponent", "reference_fleet", "reference_years"),
    ),
    "relative_excess_loss": (
        ("fleet_size", "time", "doubling_rate"),
        ("scaling_exponent", "reference_fleet", "reference_years"),
    ),
    "relative_loss": (
        ("fleet_size", "time", "doubling_rate"),
        ("scaling_exponent", "reference_fleet", "reference_years", "irreducible_share"),
    ),
    "time_to_target": (
        ("target", "fleet_size", "doubling_rate"),
        ("scaling_exponent", "reference_fleet", "reference_years", "irreducible_share"),
    ),
    "fleet_for_target": (
        ("target", "time", "doubling_rate"),
        ("scaling_exponent", "reference_fleet", "reference_years", "irreducible_share"),
    ),
    "rate_for_target": (
        ("target", "fleet_size", "time"),
        ("scaling_exponent", "reference_fleet", "reference_years", "irreducible_share"),
    ),
}
POSITIONAL = {name: call[0] for name, call in _CALL.items()}
KEYWORDS = {name: call[1] for name, call in _CALL.items()}
PARAMETERS = {name: call[0] + call[1] for name, call in _CALL.items()}
FORWARD = tuple(name for name in _CALL if not name.endswith("_target"))
INVERSE = tuple(name for name in _CALL if name.endswith("_target"))


# ---- jets -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Jet:
    """A value with its first and, unless `hess` is None, second derivatives by parameter name."""

    value: mpfr
    grad: dict[str, mpfr]
    hess: dict[tuple[str, str], mpfr] | None


def _pair(a: str, b: str) -> tuple[str, str]:
    return (a, b) if a <= b else (b, a)


def _monomial(coefficient: mpfr, powers: dict[str, int], x: dict[str, mpfr], second: bool) -> Jet:
    """Multiply a coefficient by every x**p, p = +-1; right at x = 0 too, for nothing divides by the value."""
    one = mpfr(1)

    def product(skip: tuple[str, ...]) -> mpfr:
        out = coefficient
        for name, power in powers.items():
            if name not in skip:
                out = out * x[name] if power > 0 else out / x[name]
        return out

    def slope(name: str) -> mpfr:
        return one if powers[name] > 0 else -one / (x[name] * x[name])

    def curve(name: str) -> mpfr:
        return mpfr(0) if powers[name] > 0 else 2 / (x[name] * x[name] * x[name])

    grad = {name: product((name,)) * slope(name) for name in powers}
    hess = None
    if second:
        hess = {}
        for a, b in combinations_with_replacement(powers, 2):
            hess[_pair(a, b)] = product((a,)) * curve(a) if a == b else product((a, b)) * slope(a) * slope(b)
    return Jet(product(()), grad, hess)


def _times(a: Jet, b: Jet) -> Jet:
    """Product of two jets over different parameters."""
    grad = {name: d * b.value for name, d in a.grad.items()}
    grad.update({name: d * a.value for name, d in b.grad.items()})
    hess = None
    if a.hess is not None:
        hess = {key: d * b.value for key, d in a.hess.items()}
        hess.update({key: d * a.value for key, d in b.hess.items()})
        for i, di in a.grad.items():
            for j, dj in b.grad.items():
                hess[_pair(i, j)] = di * dj
    return Jet(a.value * b.value, grad, hess)


def _chain(inner: Jet, value: mpfr, slope: mpfr, curve: mpfr, others=(), mixed=(), outer=()) -> Jet:
    """F(s, p...) of an inner jet s and further parameters p.

    `others` holds (name, F_p), `mixed` (name, F_sp) and `outer` (name, name, F_pp).
    """
    grad = {name: slope * d for name, d in inner.grad.items()}
    grad.update(others)
    hess = None
    if inner.hess is not None:
        hess = {(i, j): curve * inner.grad[i] * inner.grad[j] + slope * d for (i, j), d in inner.hess.items()}
        for name, d in mixed:
            for i, di in inner.grad.items():
                hess[_pair(i, name)] = d * di
        for a, b, d in outer:
            hess[_pair(a, b)] = d
    return Jet(value, grad, hess)


# ---- the scalar functions everything is made of ---------------------------------------------------------------------


_SMALL = 2.0**-24


def _h(x: mpfr) -> tuple[mpfr, mpfr, mpfr]:
    """expm1(x)/x and its first two derivatives."""
    if abs(x) < _SMALL:
        h0, h1, h2 = mpfr(0), mpfr(0), mpfr(0)
        power, factorial = mpfr(1), mpfr(1)
        for k in range(11):  # x**k / (k+1)!, and the same differentiated
            h0 += power / factorial
            h1 += power * (k + 1) / (factorial * (k + 2))
            h2 += power * (k + 1) * (k + 2) / (factorial * (k + 2) * (k + 3))
            power *= x
            factorial *= k + 2
        return h0, h1, h2
    e = gmpy2.exp(x)
    h0 = gmpy2.expm1(x) / x
    h1 = (e - h0) / x
    return h0, h1, (e - 2 * h1) / x


def _k(a: mpfr) -> tuple[mpfr, mpfr, mpfr]:
    """log1p(a)/a and its first two derivatives; a > -1."""
    if abs(a) < _SMALL:
        k0, k1, k2 = mpfr(0), mpfr(0), mpfr(0)
        power = mpfr(1)
        for k in range(11):  # (-a)**k / (k+1)
            k0 += power / (k + 1)
            k1 -= power * (k + 1) / (k + 2)
            k2 += power * (k + 1) * (k + 2) / (k + 3)
            power *= -a
        return k0, k1, k2
    b = 1 / (1 + a)
    k0 = gmpy2.log1p(a) / a
    k1 = (b - k0) / a
    return k0, k1, -(b * b + 2 * k1) / a


def _effective_years(x: dict[str, mpfr], second: bool) -> Jet:
    t, rate = x["time"], x["doubling_rate"]
    ln2 = gmpy2.const_log2()
    z = rate * t * ln2
    h0, h1, h2 = _h(z)
    e = gmpy2.exp(z)
    hess = None
    if second:
        hess = {
            ("time", "time"): rate * ln2 * e,
            ("doubling_rate", "time"): t * ln2 * e,
            ("doubling_rate", "doubling_rate"): t * t * t * ln2 * ln2 * h2,
        }
    return Jet(t * h0, {"time": e, "doubling_rate": t * t * ln2 * h1}, hess)


def _compute_added(x: dict[str, mpfr], second: bool) -> Jet:
    """W = c - 1 = (N/N0) G/T0."""
    powers = {"fleet_size": 1, "reference_fleet": -1, "reference_years": -1}
    return _times(_monomial(mpfr(1), powers, x, second), _effective_years(x, second))


def _compute_ratio(x: dict[str, mpfr], second: bool) -> Jet:
    w = _compute_added(x, second)
    return Jet(1 + w.value, w.grad, w.hess)


def _log_relative_excess_loss(x: dict[str, mpfr], second: bool) -> Jet:
    w = _compute_added(x, second)
    kappa = x["scaling_exponent"]
    log_c, inverse = gmpy2.log1p(w.value), 1 / (1 + w.value)
    name = "scaling_exponent"
    return _chain(
        w,
        -kappa * log_c,
        -kappa * inverse,
        kappa * inverse * inverse,
        others=((name, -log_c),),
        mixed=((name, -inverse),),
        outer=((name, name, mpfr(0)),),
    )


def _relative_excess_loss(x: dict[str, mpfr], second: bool) -> Jet:
    w = _compute_added(x, second)
    kappa = x["scaling_exponent"]
    log_c, inverse = gmpy2.log1p(w.value), 1 / (1 + w.value)
    loss = gmpy2.exp(-kappa * log_c)
    name = "scaling_exponent"
    return _chain(
        w,
        loss,
        -kappa * loss * inverse,
        kappa * (kappa + 1) * loss * inverse * inverse,
        others=((name, -log_c * loss),),
        mixed=((name, loss * inverse * (kappa * log_c - 1)),),
        outer=((name, name, log_c * log_c * loss),),
    )


def _relative_loss(x: dict[str, mpfr], second: bool) -> Jet:
    excess = _relative_excess_loss(x, second)
    e = x["irreducible_share"]
    name = "irreducible_share"
    return _chain(
        excess,
        e + (1 - e) * excess.value,
        1 - e,
        mpfr(0),
        others=((name, 1 - excess.value),),
        mixed=((name, mpfr(-1)),),
        outer=((name, name, mpfr(0)),),
    )


def _compute_needed(x: dict[str, mpfr], second: bool) -> Jet:
    """Return q = X*^(-1/kappa) - 1 over target, exponent and irreducible share; needs e < target < 1."""
    target, kappa, e = x["target"], x["scaling_exponent"], x["irreducible_share"]
    gap, rest = target - e, 1 - e
    power = -gmpy2.log(gap / rest) / kappa
    r, k, i = "target", "scaling_exponent", "irreducible_share"
    d = {r: -1 / (kappa * gap), k: -power / kappa, i: (1 - target) / (kappa * gap * rest)}
    q = gmpy2.expm1(power)
    grad = {name: (1 + q) * d[name] for name in d}
    hess = None
    if second:
        inner = {
            _pair(r, r): 1 / (kappa * gap * gap),
            _pair(r, k): -d[r] / kappa,
            _pair(r, i): -1 / (kappa * gap * gap),
            _pair(k, k): 2 * power / (kappa * kappa),
            _pair(k, i): -d[i] / kappa,
            _pair(i, i): (1 / (gap * gap) - 1 / (rest * rest)) / kappa,
        }
        hess = {(a, b): (1 + q) * (d[a] * d[b] + inner[a, b]) for a, b in inner}
    return Jet(q, grad, hess)


_ZERO, _INF = mpfr(0), mpfr("inf")


def _limit(x: dict[str, mpfr], *, no_compute: mpfr) -> mpfr | None:
    """Value of an inverse where it has no derivative, or None."""
    if x["target"] >= 1:
        return no_compute
    if x["target"] <= x["irreducible_share"] or x.get("time") == 0 or x.get("fleet_size") == 0:
        return _INF
    return None


def _fleet_for_target(x: dict[str, mpfr], second: bool) -> Jet | mpfr:
    limit = _limit(x, no_compute=_ZERO)
    if limit is not None:
        return limit
    years = _effective_years(x, second)
    inverse = 1 / years.value
    per_year = _chain(years, inverse, -inverse * inverse, 2 * inverse * inverse * inverse)
    powers = {"reference_fleet": 1, "reference_years": 1}
    return _times(_compute_needed(x, second), _times(_monomial(mpfr(1), powers, x, second), per_year))


def _years_needed(x: dict[str, mpfr], second: bool) -> Jet:
    """S = q T0 N0/N, the effective years the fleet must still put in."""
    powers = {"fleet_size": -1, "reference_fleet": 1, "reference_years": 1}
    return _times(_compute_needed(x, second), _monomial(mpfr(1), powers, x, second))


def _time_to_target(x: dict[str, mpfr], second: bool) -> Jet | mpfr:
    limit = _limit(x, no_compute=_ZERO)
    if limit is not None:
        return limit
    s = _years_needed(x, second)
    rate, ln2 = x["doubling_rate"], gmpy2.const_log2()
    a = rate * ln2 * s.value
    if a <= -1:
        return _INF
    k0, k1, k2 = _k(a)
    b = 1 / (1 + a)
    name = "doubling_rate"
    years = s.value
    return _chain(
        s,
        years * k0,
        b,
        -rate * ln2 * b * b,
        others=((name, years * years * ln2 * k1),),
        mixed=((name, -ln2 * years * b * b),),
        outer=((name, name, years * years * years * ln2 * ln2 * k2),),
    )


def _solve_h(y: mpfr) -> mpfr:
    """Solve expm1(x)/x = y > 0: Newton on log(expm1(x)/x) = log(y), convex and increasing in x."""
    log_y = gmpy2.log(y)
    if y < 0.05:
        x = -1 / y  # h(x) = (1 - e^x)/|x|
    elif log_y > 4:
        x = log_y + gmpy2.log(log_y)
    else:
        x = 2 * log_y
    if x == 0:
        return x
    floor = mpfr(2) ** -100
    close = False
    for _ in range(200):
        if abs(x) < _SMALL:
            h0, h1, _ = _h(x)
            value, slope = gmpy2.log(h0), h1 / h0
        elif x > 0:
            e = gmpy2.exp(-x)
            value, slope = x + gmpy2.log(-gmpy2.expm1(-x) / x), 1 / (1 - e) - 1 / x
        else:
            m = gmpy2.expm1(x)
            value, slope = gmpy2.log(m / x), (m + 1) / m - 1 / x
        step = (value - log_y) / slope
        following = x - step
        if x < -1 and following > x / 2:  # far left, log|x| is better followed through 1/x
            following = x * gmpy2.exp(value - log_y)
            step = x - following
        x = following
        if close:
            return x
        close = abs(step) <= floor * abs(x)
    raise ArithmeticError(f"no root of expm1(x)/x = {y}")


def _rate_for_target(x: dict[str, mpfr], second: bool) -> Jet | mpfr:
    limit = _limit(x, no_compute=-_INF)
    if limit is not None:
        return limit
    s = _years_needed(x, second)
    t = x["time"]
    rate = _solve_h(s.value / t) / (t * gmpy2.const_log2())
    years = _effective_years({"time": t, "doubling_rate": rate}, True)
    g_r, g_t = years.grad["doubling_rate"], years.grad["time"]
    g_rr = years.hess["doubling_rate", "doubling_rate"]
    g_rt, g_tt = years.hess["doubling_rate", "time"], years.hess["time", "time"]
    by_s, by_t = 1 / g_r, -g_t / g_r
    return _chain(
        s,
        rate,
        by_s,
        -g_rr * by_s * by_s / g_r,
        others=(("time", by_t),),
        mixed=(("time", -(g_rt + g_rr * by_t) * by_s / g_r),),
        outer=(("time", "time", -(g_tt + 2 * g_rt * by_t + g_rr * by_t * by_t) / g_r),),
    )


_JETS = {
    "effective_years": _effective_years,
    "compute_ratio": _compute_ratio,
    "log_relative_excess_loss": _log_relative_excess_loss,
    "relative_excess_loss": _relative_excess_loss,
    "relative_loss": _relative_loss,
    "time_to_target": _time_to_target,
    "fleet_for_target": _fleet_for_target,
    "rate_for_target": _rate_for_target,
}


def high_precision():
    """Context manager under which jets may be made and combined."""
    return gmpy2.context(precision=PRECISION)


def jet(name: str, point: Sequence[float], *, second: bool = False) -> Jet | mpfr:
    """Jet of one function at one point (in the order of PARAMETERS), or a bare mpfr where it is a limit value."""
    return at(name, dict(zip(PARAMETERS[name], map(mpfr, map(float, point)), strict=True)), second=second)


def at(name: str, x: dict[str, mpfr], *, second: bool = False) -> Jet | mpfr:
    """Jet of one function at one point given by parameter name in high precision."""
    return _JETS[name](x, second)


# ---- references in a dtype ------------------------------------------------------------------------------------------


@dataclass
class Reference:
    """Reference values in double-double, with what a result may miss them by.

    `head + tail` is the value; `below` and `above` what the conditioning of the inputs allows on either side;
    `least`, where the value is infinite in the dtype, the smallest magnitude that is still allowed. `smooth` is
    False where there is no derivative to compare (or no first-order allowance that means anything).
    """

    dtype: np.dtype
    head: np.ndarray
    tail: np.ndarray
    below: np.ndarray
    above: np.ndarray
    least: np.ndarray
    smooth: np.ndarray

    @property
    def ulp(self) -> np.ndarray:
        """Spacing of the dtype at the reference, at least that of the smallest normal."""
        info = np.finfo(self.dtype)
        below_max = float(np.nextafter(info.max, self.dtype.type(0)))  # NumPy's spacing of max itself overflows
        size = np.clip(np.abs(self.head), float(info.tiny), below_max).astype(self.dtype)
        return np.spacing(size).astype(np.float64)

    def excess(self, got: np.ndarray) -> np.ndarray:
        """Error beyond the allowance in ulp (<= 0 is right); inf where no allowance can help, such as NaN."""
        info = np.finfo(self.dtype)
        most, tiny = float(info.max), float(info.tiny)
        got = np.asarray(got).astype(np.float64)
        ulp, infinite = self.ulp, np.isinf(self.head)
        with np.errstate(invalid="ignore", over="ignore"):
            error = (got - self.head) - self.tail
            allowed = ULPS * ulp + np.where(error < 0, self.below, self.above)
            beyond = (np.abs(error) - allowed) / ulp
            at_edge = np.isinf(got) & (np.sign(got) == np.sign(self.head))
            reach = np.where(self.head > 0, self.above, self.below)
            at_edge &= np.abs(self.head) + ULPS * ulp + reach > most
            flushed = (got == 0) & (np.abs(self.head) - ULPS * ulp - np.maximum(self.below, self.above) < tiny)
            near = (np.sign(got) == np.sign(self.head)) & (np.abs(got) >= self.least)
            beyond = np.where(at_edge | flushed, 0.0, beyond)
            beyond = np.where(infinite, np.where((got == self.head) | near, 0.0, np.inf), beyond)
            return np.where(np.isnan(got) | np.isnan(beyond), np.inf, beyond)


class _Collector:
    """Turns high-precision numbers and allowances into a Reference, one point at a time."""

    def __init__(self, dtype: np.dtype, size: int) -> None:
        self.dtype = np.dtype(dtype)
        self.most = mpfr(float(np.finfo(dtype).max))
        self.roundoff = mpfr(float(np.finfo(dtype).eps) / 2)
        self.edge = 1 + self.roundoff  # max (1 + u) rounds to infinity
        self.columns = np.zeros((5, size))
        self.smooth = np.ones(size, bool)

    def add(self, i: int, value: mpfr, below: mpfr, above: mpfr) -> None:
        columns = self.columns
        if abs(value) > self.most * self.edge:
            inward = below if value > 0 else above
            least = abs(value) - inward - ULPS * self.roundoff * abs(value) if gmpy2.is_finite(value) else _INF
            columns[0, i] = float(gmpy2.sign(value)) * np.inf
            columns[4, i] = float(gmpy2.mpfr(least))
            if least > self.most:
                columns[4, i] = np.inf
            return
        head = float(value)
        if abs(head) == np.inf:  # between the largest double and the point that rounds to infinity
            head = float(np.copysign(np.finfo(np.float64).max, head))
        columns[0, i] = head
        columns[1, i] = float(value - head)
        columns[2, i], columns[3, i] = float(below), float(above)

    def add_limit(self, i: int, value: mpfr, least: mpfr = _INF) -> None:
        self.columns[0, i] = float(value)
        self.columns[4, i] = float(least)
        self.smooth[i] = False

    def reference(self) -> Reference:
        return Reference(self.dtype, *self.columns, self.smooth)


def _saturation(x: dict[str, mpfr], roundoff: mpfr) -> tuple[mpfr, mpfr, mpfr] | None:
    """For time_to_target in decline: a = rate ln2 S > -inf, how far input roundoff moves it, and rate ln2."""
    if x["doubling_rate"] >= 0 or _limit(x, no_compute=_ZERO) is not None:
        return None
    s = _years_needed(x, False)
    per_year = x["doubling_rate"] * gmpy2.const_log2()
    moved = abs(s.value) + sum(abs(x[name] * d) for name, d in s.grad.items())
    return per_year * s.value, roundoff * abs(per_year) * moved, per_year


def _columns(arguments: Sequence[np.ndarray]) -> list[list[float]]:
    arrays = np.broadcast_arrays(*[np.asarray(a, np.float64) for a in arguments])
    return [a.ravel().tolist() for a in arrays]


def values(name: str, arguments: Sequence[np.ndarray], dtype: np.dtype) -> Reference:
    """Evaluate a function at points given parameter by parameter (PARAMETERS order), flattened.

    Near the target that a declining effort just reaches, where input roundoff decides between a finite time and
    none, the allowance is the range of times that roundoff spans: the first-order sum means nothing there.
    """
    names, function = PARAMETERS[name], _JETS[name]
    columns = _columns(arguments)
    with high_precision():
        out = _Collector(dtype, len(columns[0]))
        for i, point in enumerate(zip(*columns, strict=True)):
            x = dict(zip(names, map(mpfr, point), strict=True))
            f = function(x, False)
            edge = _saturation(x, out.roundoff) if name == "time_to_target" else None
            if not isinstance(f, Jet):
                least = _INF
                if edge is not None and edge[0] + edge[1] > -1:
                    least = gmpy2.log1p(edge[0] + edge[1]) / edge[2]
                out.add_limit(i, f, least)
                continue
            slack = mpfr(0)
            for key, d in f.grad.items():
                slack += abs(x[key] * d)
            below = above = out.roundoff * slack
            if edge is not None and edge[1] * 1000 > 1 + edge[0]:
                high = edge[0] - edge[1]
                longest = gmpy2.log1p(high) / edge[2] if high > -1 else _INF
                above = max(above, longest - f.value)
            out.add(i, f.value, below, above)
        return out.reference()


def gradients(name: str, arguments: Sequence[np.ndarray], dtype: np.dtype) -> dict[str, Reference]:
    """Evaluate every first derivative, by parameter; `smooth` is False where none is compared."""
    names, function = PARAMETERS[name], _JETS[name]
    columns = _columns(arguments)
    with high_precision():
        outs = {key: _Collector(dtype, len(columns[0])) for key in names}
        roundoff = next(iter(outs.values())).roundoff
        for i, point in enumerate(zip(*columns, strict=True)):
            x = dict(zip(names, map(mpfr, point), strict=True))
            f = function(x, True)
            edge = _saturation(x, roundoff) if name == "time_to_target" else None
            if not isinstance(f, Jet) or (edge is not None and edge[1] * 1000 > 1 + edge[0]):
                for out in outs.values():
                    out.add_limit(i, _ZERO)
                continue
            slack = dict.fromkeys(names, mpfr(0))
            for (a, b), d in f.hess.items():
                slack[a] += abs(x[b] * d)
                if a != b:
                    slack[b] += abs(x[a] * d)
            for key, out in outs.items():
                miss = roundoff * slack[key]
                out.add(i, f.grad[key], miss, miss)
        return {key: out.reference() for key, out in outs.items()}


def slopes(name: str, arguments: Sequence[np.ndarray], parameter: str) -> np.ndarray:
    """Evaluate one first derivative in float64."""
    names, function = PARAMETERS[name], _JETS[name]
    with high_precision():
        points = (dict(zip(names, map(mpfr, point), strict=True)) for point in zip(*_columns(arguments), strict=True))
        return np.array([float(function(x, False).grad[parameter]) for x in points])


def hessian(name: str, point: Sequence[float], dtype: np.dtype) -> dict[tuple[str, str], tuple[float, float]] | None:
    """Evaluate every second derivative at one point with its allowance, or None where the function has none.

    The conditioning is a central difference of relative step 2**-60, good to about 36 digits at this precision; to it
    comes u |f_a f_b / f|, the size of the terms that cancel where a second derivative vanishes.
    """
    here = jet(name, point, second=True)
    if not isinstance(here, Jet):
        return None
    roundoff, step = mpfr(float(np.finfo(dtype).eps) / 2), mpfr(2) ** -60
    x = dict(zip(PARAMETERS[name], map(mpfr, point), strict=True))
    slack = dict.fromkeys(here.hess, mpfr(0))
    for key in x:
        up = _JETS[name]({**x, key: x[key] * (1 + step)}, True)
        down = _JETS[name]({**x, key: x[key] * (1 - step)}, True)
        for pair in slack:
            slack[pair] += abs(up.hess[pair] - down.hess[pair]) / (2 * step)
    out = {}
    for pair in _pairs(name):
        value = here.hess.get(pair, mpfr(0))
        ulp = float(np.spacing(np.maximum(np.abs(dtype(value)), np.finfo(dtype).tiny)))
        miss = slack.get(pair, mpfr(0))
        if here.value:
            miss += abs(here.grad[pair[0]] * here.grad[pair[1]] / here.value)
        out[pair] = (float(value), float(roundoff * miss) + ULPS * ulp)
    return out


def _pairs(name: str) -> list[tuple[str, str]]:
    return sorted({_pair(a, b) for a in PARAMETERS[name] for b in PARAMETERS[name]})
