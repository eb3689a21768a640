"""What `kernels` is tested on: named limit cases, seeded samples of the domain, and the checks that compare.

A `Case` names a limit and its closed-form value. `sample` draws points of a function's whole domain, half of them
where the result is neither 0, 1 nor infinite for a trivial reason. The `check_*` functions hold one claim each.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from math import inf, log, nan
from zlib import crc32

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from reference import KEYWORDS, PARAMETERS, POSITIONAL, Reference

import kernels

LN2 = log(2.0)
DTYPES = [pytest.param(np.float32, id="float32"), pytest.param(np.float64, id="float64")]
VALUE_POINTS = 100_000
GRADIENT_POINTS = 10_000
SMALL_POINTS = 2_000


# ---- limit cases ----------------------------------------------------------------------------------------------------


DEFAULTS = {
    "fleet_size": 2.0,
    "time": 3.0,
    "doubling_rate": 0.5,
    "scaling_exponent": 0.125,
    "reference_fleet": 1.0,
    "reference_years": 1.0,
    "irreducible_share": 0.0,
    "target": 0.75,
}


@dataclass(frozen=True)
class Case:
    """A limit: the arguments that differ from DEFAULTS and the value; None where only the oracle has one."""

    function: str
    label: str
    value: float | None
    arguments: dict[str, float] = field(default_factory=dict)

    @property
    def point(self) -> list[float]:
        """All arguments in the order of PARAMETERS."""
        return [self.arguments.get(name, DEFAULTS[name]) for name in PARAMETERS[self.function]]


def _case(function: str, label: str, value: float | None, **arguments: float) -> Case:
    unknown = set(arguments) - set(PARAMETERS[function])
    assert not unknown, (function, label, unknown)
    return Case(function, label, value, arguments)


def _effective_years_cases() -> Iterator[Case]:
    for rate in (1.0, 0.0, -1.0, 100.0, -5.0, 1e-12, -1e-12):
        yield _case("effective_years", f"no time at rate {rate}", 0.0, time=0.0, doubling_rate=rate)
        forever = inf if rate >= 0 else 1 / (-rate * LN2)
        yield _case("effective_years", f"for ever at rate {rate}", forever, time=inf, doubling_rate=rate)
    yield _case("effective_years", "negative zero time", 0.0, time=-0.0)
    yield _case("effective_years", "no progress", 5.0, time=5.0, doubling_rate=0.0)
    yield _case("effective_years", "negative zero rate", 5.0, time=5.0, doubling_rate=-0.0)
    yield _case("effective_years", "hardly any progress", 5.0 + 12.5e-12 * LN2, time=5.0, doubling_rate=1e-12)
    yield _case("effective_years", "hardly any decline", 5.0 - 12.5e-12 * LN2, time=5.0, doubling_rate=-1e-12)
    yield _case("effective_years", "one doubling", 1 / LN2, time=1.0, doubling_rate=1.0)
    yield _case("effective_years", "steep decline", 0.2 / LN2, time=1e4, doubling_rate=-5.0)
    yield _case("effective_years", "steepest progress", inf, time=1e4, doubling_rate=100.0)


def _forward_cases(function: str, of_ratio: Callable[[float], float]) -> Iterator[Case]:
    """Limits of the compute ratio c, whatever is made of it by `of_ratio`."""
    one, unbounded = of_ratio(1.0), of_ratio(inf)
    for rate in (2.0, 0.0, -2.0):
        yield _case(function, f"no time at rate {rate}", one, time=0.0, doubling_rate=rate)
        yield _case(function, f"no fleet at rate {rate}", one, fleet_size=0.0, doubling_rate=rate)
        yield _case(function, f"no fleet for ever at rate {rate}", one, fleet_size=0.0, time=inf, doubling_rate=rate)
        yield _case(
            function, f"endless fleet, no time at rate {rate}", one, fleet_size=inf, time=0.0, doubling_rate=rate
        )
        yield _case(function, f"endless fleet at rate {rate}", unbounded, fleet_size=inf, doubling_rate=rate)
        yield _case(
            function, f"endless fleet for ever at {rate}", unbounded, fleet_size=inf, time=inf, doubling_rate=rate
        )
        forever = unbounded if rate >= 0 else of_ratio(1 + 2 / (-rate * LN2))
        yield _case(function, f"for ever at rate {rate}", forever, time=inf, doubling_rate=rate)
    yield _case(function, "no fleet, most progress", one, fleet_size=0.0, time=1e4, doubling_rate=100.0)
    yield _case(function, "no progress", of_ratio(7.0), doubling_rate=0.0)
    yield _case(function, "hardly any progress", None, doubling_rate=1e-12)
    yield _case(function, "hardly any decline", None, doubling_rate=-1e-12)
    yield _case(
        function, "smallest of everything", None, fleet_size=1e-9, time=1e-9, reference_fleet=1e6, reference_years=1e3
    )
    yield _case(
        function, "largest of everything", None, fleet_size=1e12, time=1e4, doubling_rate=100.0, reference_fleet=1e-3
    )
    yield _case(function, "smallest fleet, most progress", None, fleet_size=1e-9, time=1e4, doubling_rate=100.0)
    yield _case(function, "largest fleet, steepest decline", None, fleet_size=1e12, time=1e4, doubling_rate=-5.0)


def _doublings_cases(function: str) -> Iterator[Case]:
    """Doublings just about what 2**x can hold."""
    for doublings in (124, 126, 127, 127.5, 128, 128.5, 130, 150, 1020, 1022, 1023.5, 1024, 1024.5, 1030, 1074):
        yield _case(function, f"{doublings} doublings", None, time=doublings, doubling_rate=1.0)
        yield _case(function, f"{doublings} halvings", None, time=doublings / 4, doubling_rate=-4.0)
        if function != "effective_years":
            small = {"fleet_size": 1e-9, "reference_fleet": 1e6}
            yield _case(
                function, f"{doublings} doublings, small share", None, time=doublings, doubling_rate=1.0, **small
            )


def _target_cases(function: str, met: float) -> Iterator[Case]:
    """Limits that all inverses share; `met` is the value for a target that needs no compute."""
    yield _case(function, "target already met", met, target=1.0)
    yield _case(function, "target above the start", met, target=1.5)
    yield _case(function, "target already met with a floor", met, target=1.0, irreducible_share=0.5)
    yield _case(function, "target on the floor", inf, target=0.5, irreducible_share=0.5)
    yield _case(function, "target below the floor", inf, target=0.25, irreducible_share=0.5)
    yield _case(function, "no loss at all", inf, target=0.0)
    yield _case(function, "next to the floor", None, target=0.5 + 2.0**-20, irreducible_share=0.5)
    yield _case(function, "next to the start", None, target=1 - 2.0**-20)
    yield _case(function, "smallest target, smallest exponent", None, target=1e-30, scaling_exponent=1e-3)
    yield _case(function, "smallest target, largest exponent", None, target=1e-30, scaling_exponent=1.0)
    for label, name in (("fleet", "fleet_size"), ("time", "time")):
        if name in PARAMETERS[function]:
            yield _case(function, f"no {label}", inf, **{name: 0.0})
            yield _case(function, f"no {label}, target met", met, **{name: 0.0, "target": 1.0})
            yield _case(function, f"endless {label}, target met", met, **{name: inf, "target": 1.0})
            yield _case(function, f"endless {label}, target on the floor", inf, **{name: inf, "target": 0.0})


def _inverse_cases() -> Iterator[Case]:
    yield from _target_cases("time_to_target", 0.0)
    yield from _target_cases("fleet_for_target", 0.0)
    yield from _target_cases("rate_for_target", -inf)
    half = {"target": 0.5, "scaling_exponent": 1.0}  # q = 1
    time, fleet, rate = "time_to_target", "fleet_for_target", "rate_for_target"
    yield _case(time, "endless fleet", 0.0, fleet_size=inf)
    yield _case(time, "no progress", 0.5, doubling_rate=0.0, **half)
    yield _case(
        time, "no progress, double reference", 4.0, doubling_rate=0.0, reference_fleet=4.0, reference_years=2.0, **half
    )
    yield _case(time, "hardly any progress", None, doubling_rate=1e-12, **half)
    yield _case(time, "hardly any decline", None, doubling_rate=-1e-12, **half)
    yield _case(time, "decline too steep", inf, doubling_rate=-3.0, **half)
    yield _case(time, "decline just too steep", inf, doubling_rate=-2.886, **half)
    yield _case(time, "decline just not too steep", None, doubling_rate=-2.875, **half)
    yield _case(time, "one year of doubling", log(1 + LN2 / 2) / LN2, doubling_rate=1.0, **half)
    tiny = {"target": 1e-30, "scaling_exponent": 1e-3}
    yield _case(time, "smallest target in decline", inf, doubling_rate=-1e-12, **tiny)
    yield _case(time, "smallest target, no progress", inf, doubling_rate=0.0, **tiny)
    yield _case(time, "smallest target, most progress", None, doubling_rate=100.0, **tiny)
    yield _case(fleet, "for ever with progress", 0.0, time=inf, doubling_rate=1.0)
    yield _case(fleet, "for ever without progress", 0.0, time=inf, doubling_rate=0.0)
    yield _case(fleet, "for ever in decline", 2 * LN2, time=inf, doubling_rate=-2.0, **half)
    yield _case(fleet, "no progress", 0.25, time=4.0, doubling_rate=0.0, **half)
    yield _case(fleet, "hardly any progress", None, doubling_rate=1e-12, **half)
    yield _case(fleet, "smallest target, most progress", None, time=1e4, doubling_rate=100.0, **tiny)
    yield _case(
        fleet, "hard target, most progress", None, time=1e4, doubling_rate=10.0, target=1e-30, scaling_exponent=1e-3
    )
    yield _case(rate, "endless fleet", -inf, fleet_size=inf)
    yield _case(rate, "for ever", -2 / LN2, time=inf, **half)
    yield _case(rate, "endless fleet for ever", -inf, fleet_size=inf, time=inf)
    yield _case(rate, "no progress needed", 0.0, time=0.5, **half)
    yield _case(rate, "hardly any progress needed", None, time=0.5 - 2.0**-22, **half)
    yield _case(rate, "hardly any decline allowed", None, time=0.5 + 2.0**-22, **half)
    yield _case(rate, "one doubling needed", 1.0, fleet_size=1.0, time=1.0, reference_fleet=1 / LN2, **half)
    yield _case(rate, "steep decline allowed", None, fleet_size=1e12, time=1e4, **half)
    yield _case(rate, "smallest target", None, fleet_size=1e-9, time=1e-9, **tiny)


def _invalid_cases(function: str) -> Iterator[Case]:
    """Arguments that make no sense, one at a time, and NaN."""
    wrong = {
        "fleet_size": (-1.0, -1e-9),
        "time": (-1.0, -1e-9),
        "scaling_exponent": (0.0, -0.1),
        "reference_fleet": (0.0, -1.0),
        "reference_years": (0.0, -1.0),
        "irreducible_share": (-0.1, 1.0, 1.5),
    }
    for name in PARAMETERS[function]:
        for value in wrong.get(name, ()):
            yield _case(function, f"{name} {value}", nan, **{name: value})
        yield _case(function, f"{name} missing", nan, **{name: nan})
    if "time" in PARAMETERS[function]:
        others = [name for name in PARAMETERS[function] if name != "time"]
        for name in others:
            yield _case(function, f"{name} missing at no time", nan, **{name: nan, "time": 0.0})
    if "fleet_size" in PARAMETERS[function]:
        others = [name for name in PARAMETERS[function] if name != "fleet_size"]
        for name in others:
            yield _case(function, f"{name} missing without a fleet", nan, **{name: nan, "fleet_size": 0.0})


def _all_cases() -> Iterator[Case]:
    k = DEFAULTS["scaling_exponent"]
    yield from _effective_years_cases()
    ratio_cases = {
        "compute_ratio": float,
        "log_relative_excess_loss": lambda c: -k * np.log(c),
        "relative_excess_loss": lambda c: c**-k,
        "relative_loss": lambda c: c**-k,
    }
    for function, of_ratio in ratio_cases.items():
        yield from _forward_cases(function, of_ratio)
    for function in reference.FORWARD:
        yield from _doublings_cases(function)
    floor = {"irreducible_share": 0.5}
    yield _case("relative_loss", "endless fleet with a floor", 0.5, fleet_size=inf, **floor)
    yield _case("relative_loss", "for ever with a floor", 0.5, time=inf, **floor)
    yield _case("relative_loss", "no time with a floor", 1.0, time=0.0, **floor)
    yield _case("relative_loss", "no fleet for ever with a floor", 1.0, fleet_size=0.0, time=inf, **floor)
    yield from _inverse_cases()
    for function in PARAMETERS:
        yield from _invalid_cases(function)


def limits(function: str) -> list[Case]:
    """All limit cases of one function."""
    return [case for case in _all_cases() if case.function == function]


# ---- samples --------------------------------------------------------------------------------------------------------


DOMAIN = {
    "fleet_size": (1e-9, 1e12),
    "time": (1e-9, 1e4),
    "scaling_exponent": (1e-3, 1.0),
    "reference_fleet": (1e-3, 1e6),
    "reference_years": (1e-3, 1e3),
    "target": (1e-30, 1.0),
}
RATE = (-5.0, 100.0)
EDGES = {
    "fleet_size": (0.0, 1e-9, 1e12, 1.0),
    "time": (0.0, 1e-9, 1e4, 1.0),
    "doubling_rate": (0.0, 1e-12, -1e-12, -5.0, 100.0, 1.0),
    "scaling_exponent": (1e-3, 1.0),
    "reference_fleet": (1.0, 1e-3, 1e6),
    "reference_years": (1.0, 1e-3, 1e3),
    "irreducible_share": (0.0, 0.99),
    "target": (1.0, 1e-30, 0.5),
}


def _log_uniform(rng: np.random.Generator, low: float, high: float, size: int) -> np.ndarray:
    return np.exp(rng.uniform(np.log(low), np.log(high), size))


def _rates(rng: np.random.Generator, size: int) -> np.ndarray:
    up, down = _log_uniform(rng, 1e-12, RATE[1], size), -_log_uniform(rng, 1e-12, -RATE[0], size)
    wide = rng.uniform(*RATE, size)
    return np.choose(rng.integers(0, 3, size), [up, down, wide])


def _efforts(rng: np.random.Generator, dtype: np.dtype, size: int) -> dict[str, np.ndarray]:
    """Points of the forward functions: half over the whole domain, half where 1 < c < inf and 2**(rate t) matters."""
    x = {name: _log_uniform(rng, *DOMAIN[name], size) for name in DOMAIN if name != "target"}
    x["doubling_rate"] = _rates(rng, size)
    for name in ("reference_fleet", "reference_years"):
        x[name] = np.where(rng.random(size) < 0.3, 1.0, x[name])
    share = np.choose(
        rng.integers(0, 4, size),
        [np.zeros(size), np.zeros(size), rng.uniform(1e-3, 0.99, size), _log_uniform(rng, 1e-12, 0.99, size)],
    )
    x["irreducible_share"] = share

    shaped = rng.random(size) < 0.5
    most = 1.2 * np.finfo(dtype).maxexp
    doublings = np.choose(
        rng.integers(0, 5, size),
        [
            _log_uniform(rng, 1e-12, 1, size),
            -_log_uniform(rng, 1e-12, 1, size),
            rng.uniform(-40, 0, size),
            rng.uniform(0, 40, size),
            rng.uniform(0, most, size),
        ],
    )
    rate = np.clip(doublings / x["time"], *RATE)
    x["doubling_rate"] = np.where(shaped, rate, x["doubling_rate"])
    z = x["doubling_rate"] * x["time"] * LN2
    with np.errstate(over="ignore", invalid="ignore"):
        years = np.where(np.abs(z) < 1e-12, x["time"], x["time"] * np.expm1(z) / z)
        added = _log_uniform(rng, 1e-10, 1e10, size)
        fleet = added * x["reference_fleet"] * x["reference_years"] / years
    x["fleet_size"] = np.where(shaped, np.clip(fleet, *DOMAIN["fleet_size"]), x["fleet_size"])
    return x


def _put_edges(rng: np.random.Generator, x: dict[str, np.ndarray], names: Sequence[str]) -> None:
    """Move one or two arguments of every tenth point onto an edge of the domain or a special value."""
    size = x[names[0]].size
    for share in (0.1, 0.03):
        chosen = rng.random(size) < share
        which = rng.integers(0, len(names), size)
        for i, name in enumerate(names):
            x[name] = np.where(chosen & (which == i), rng.choice(EDGES[name], size), x[name])


def _targets(rng: np.random.Generator, dtype: np.dtype, x: dict[str, np.ndarray]) -> np.ndarray:
    """Targets: half what the effort of the point reaches, the rest over the whole domain, next to 1 and next to e."""
    size = x["time"].size
    e = x["irreducible_share"].astype(dtype).astype(np.float64)
    z = x["doubling_rate"] * x["time"] * LN2
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        log_years = np.where(np.abs(z) < 1e-12, 0.0, np.where(z > 30, z - np.log(np.abs(z)), np.log(np.expm1(z) / z)))
        log_added = np.log(x["fleet_size"] * x["time"] / (x["reference_fleet"] * x["reference_years"])) + log_years
        log_ratio = np.logaddexp(0.0, log_added)
    reached = e + (1 - e) * np.exp(-x["scaling_exponent"] * log_ratio)
    closest = np.finfo(dtype).eps
    spread = np.choose(
        rng.integers(0, 4, size),
        [
            _log_uniform(rng, *DOMAIN["target"], size),
            e + (1 - e) * rng.random(size),
            e + (1 - e) * _log_uniform(rng, 1e-8, 1, size),
            1 - _log_uniform(rng, closest, 1, size),
        ],
    )
    rounded = reached.astype(dtype)
    useful = (rounded > e) & (rounded < 1) & (rounded >= DOMAIN["target"][0])
    return np.where((rng.random(size) < 0.7) & useful, reached, np.maximum(spread, DOMAIN["target"][0]))


def sample(function: str, dtype: np.dtype, size: int, *, purpose: str = "values") -> list[np.ndarray]:
    """Draw points of a function's domain in the dtype, parameter by parameter; the same every time."""
    rng = np.random.default_rng(crc32(f"{function} {np.dtype(dtype).name} {purpose}".encode()))
    x = _efforts(rng, dtype, size)
    if "target" in PARAMETERS[function]:
        x["target"] = _targets(rng, dtype, x)
    _put_edges(rng, x, PARAMETERS[function])
    return [x[name].astype(dtype) for name in PARAMETERS[function]]


# ---- checks ---------------------------------------------------------------------------------------------------------


@contextmanager
def precision(dtype: np.dtype) -> Iterator[None]:
    """64-bit mode for float64."""
    with jax.enable_x64(np.dtype(dtype) == np.float64):
        yield


def bind(function: str) -> Callable[..., jax.Array]:
    """Bind a kernel to positional arguments in the order of PARAMETERS."""
    kernel, split = getattr(kernels, function), len(POSITIONAL[function])

    def call(*arguments: jax.typing.ArrayLike) -> jax.Array:
        return kernel(*arguments[:split], **dict(zip(KEYWORDS[function], arguments[split:], strict=True)))

    return call


def assert_within(
    label: str, names: Sequence[str], point: Sequence[np.ndarray], got: np.ndarray, ref: Reference, mask=None
) -> None:
    """Fail with the worst point if any result is further from its reference than allowed."""
    got = np.asarray(got)
    assert got.dtype == ref.dtype, f"{label}: got {got.dtype}, want {ref.dtype}"
    assert got.shape == ref.head.shape, f"{label}: got shape {got.shape}, want {ref.head.shape}"
    excess = ref.excess(got)
    if mask is not None:
        excess = np.where(mask, excess, 0.0)
    if (excess > 0).any():
        i = int(np.argmax(excess))
        lines = [f"  {name} = {float(column[i])!r}" for name, column in zip(names, point, strict=True)]
        allowed = reference.ULPS + max(ref.below[i], ref.above[i]) / ref.ulp[i]
        raise AssertionError(
            "\n".join(
                [
                    f"{label} in {ref.dtype}: {int((excess > 0).sum())} of {excess.size} points beyond the allowance,"
                    f" the worst by {excess[i]:.4g} ulp (allowed there {allowed:.4g} ulp)",
                    *lines,
                    f"  got       {float(got[i])!r}",
                    f"  reference {ref.head[i]!r}",
                ]
            )
        )


def check_values(function: str, dtype: np.dtype, size: int = VALUE_POINTS) -> None:
    """Values over the domain meet the accuracy contract."""
    point = sample(function, dtype, size)
    ref = reference.values(function, point, dtype)
    with precision(dtype):
        got = np.asarray(bind(function)(*point))
    assert_within(function, PARAMETERS[function], point, got, ref)


def check_limits(function: str, dtype: np.dtype) -> None:
    """Every named limit case has its value; all wrong ones are listed."""
    cases = limits(function)
    point = [np.array(column, dtype) for column in zip(*(case.point for case in cases), strict=True)]
    with precision(dtype):
        got = np.asarray(bind(function)(*point))
    assert got.dtype == dtype
    wrong = []
    for i, case in enumerate(cases):
        if case.value is not None and not np.isfinite(case.value):
            right = np.array_equal(got[i], case.value, equal_nan=True)
            want = case.value
        elif np.isfinite(case.point).all():
            ref = reference.values(function, [column[i : i + 1] for column in point], dtype)
            right, want = ref.excess(got[i : i + 1])[0] <= 0, ref.head[0]
        else:
            want = dtype(case.value)
            right = abs(got[i] - want) <= (reference.ULPS + len(point)) * np.spacing(np.abs(want)) * (
                want not in (0, 1)
            )
        if not right:
            arguments = {name: float(column[i]) for name, column in zip(PARAMETERS[function], point, strict=True)}
            wrong.append(f"  {case.label}: got {got[i]!r}, want {want!r} at {arguments}")
    assert not wrong, f"{len(wrong)} of {len(cases)} limits of {function} are wrong\n" + "\n".join(wrong)


def _gradient(function: str) -> Callable[..., tuple[jax.Array, ...]]:
    return jax.jit(jax.vmap(jax.grad(bind(function), argnums=tuple(range(len(PARAMETERS[function]))))))


@cache
def _gradients(function: str, dtype: np.dtype) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Points, and the kernel's gradients there."""
    point = sample(function, dtype, GRADIENT_POINTS * 5 // 4, purpose="gradients")
    with precision(dtype):
        return point, [np.asarray(g) for g in _gradient(function)(*point)]


@cache
def _right_gradients(function: str, dtype: np.dtype) -> tuple[dict[str, Reference], np.ndarray]:
    """The oracle's gradients at the same points, and where an inverse is infinite in the dtype."""
    point, _ = _gradients(function, dtype)
    infinite = np.zeros(point[0].size, bool)
    if function in reference.INVERSE:
        infinite = np.isinf(reference.values(function, point, dtype).head)
    return reference.gradients(function, point, dtype), infinite


def check_gradients(function: str, dtype: np.dtype, *, overflowed: bool = False) -> None:
    """Gradients with respect to every parameter meet the accuracy contract.

    Those of an inverse are compared where its value is finite in the dtype, or, if `overflowed`, where only the
    size of the dtype's largest number makes it infinite.
    """
    point, got = _gradients(function, dtype)
    refs, infinite = _right_gradients(function, dtype)
    chosen = infinite == overflowed
    failures = []
    for name, g in zip(PARAMETERS[function], got, strict=True):
        mask = refs[name].smooth & chosen
        assert overflowed or mask.sum() >= GRADIENT_POINTS // 2, f"too few points for {function}: {mask.sum()}"
        try:
            assert_within(f"d {function} / d {name}", PARAMETERS[function], point, g, refs[name], mask)
        except AssertionError as failure:
            failures.append(str(failure))
    assert not failures, "\n".join(failures)


def check_gradients_not_nan(function: str, dtype: np.dtype) -> None:
    """No gradient is NaN anywhere in the domain, limits included."""
    point, got = _gradients(function, dtype)
    for name, g in zip(PARAMETERS[function], got, strict=True):
        bad = np.flatnonzero(np.isnan(g))
        if bad.size:
            arguments = {key: float(column[bad[0]]) for key, column in zip(PARAMETERS[function], point, strict=True)}
            raise AssertionError(f"d {function} / d {name} is NaN at {bad.size} points, first {arguments}")


def check_jit(function: str, dtype: np.dtype) -> None:
    """Compiled and eager results are each right and within the allowance of each other."""
    point = sample(function, dtype, SMALL_POINTS, purpose="jit")
    ref = reference.values(function, point, dtype)
    with precision(dtype):
        eager, compiled = np.asarray(bind(function)(*point)), np.asarray(jax.jit(bind(function))(*point))
    _assert_same(f"jit of {function}", function, point, eager, compiled, ref)


def check_vmap(function: str, dtype: np.dtype) -> None:
    """Map over scalars and get what the broadcast arrays give."""
    point = sample(function, dtype, SMALL_POINTS, purpose="vmap")
    ref = reference.values(function, point, dtype)
    with precision(dtype):
        broadcast, mapped = np.asarray(bind(function)(*point)), np.asarray(jax.vmap(bind(function))(*point))
    _assert_same(f"vmap of {function}", function, point, broadcast, mapped, ref)


def _assert_same(label, function, point, one, other, ref) -> None:
    assert_within(f"{label} (plain)", PARAMETERS[function], point, one, ref)
    assert_within(f"{label} (transformed)", PARAMETERS[function], point, other, ref)
    with np.errstate(invalid="ignore"):
        gap = np.where(one == other, 0.0, np.abs(one.astype(np.float64) - other.astype(np.float64)))
    far = gap > reference.ULPS * ref.ulp + np.minimum(ref.below, ref.above)
    far &= np.isfinite(ref.above) & np.isfinite(one) & np.isfinite(other)
    assert not far.any(), f"{label}: {far.sum()} points differ, first at {[float(c[np.argmax(far)]) for c in point]}"


def check_inputs(function: str, dtype: np.dtype) -> None:
    """Python scalars, ints, NumPy arrays and mixed ranks are accepted; the result has the default float dtype."""
    base = {**DEFAULTS, "doubling_rate": 1, "scaling_exponent": 0.125}
    scalars = [base[name] for name in PARAMETERS[function]]
    first, second, *rest = scalars
    ones, row = np.ones((4, 1)), np.ones(3)
    forms = {
        "Python scalars": scalars,
        "a Python int": [first, 2, *rest],
        "NumPy float64 scalars": [np.float64(s) for s in scalars],
        "NumPy float64 arrays": [np.full(3, s) for s in scalars],
        "NumPy ints": [first, np.arange(1, 4), *rest],
        "mixed ranks": [first * ones, second * row, *rest],
        "keywords of another shape": [first * row, second, *[s * ones for s in rest]],
        "JAX arrays": None,
    }
    with precision(dtype):
        call = bind(function)
        for label, arguments in forms.items():
            if arguments is None:
                arguments = [jnp.full(3, s, dtype) for s in scalars]
            shape = np.broadcast_shapes(*map(np.shape, arguments))
            got = call(*arguments)
            assert isinstance(got, jax.Array), f"{function} of {label} is a {type(got)}"
            assert got.dtype == dtype, f"{function} of {label} is {got.dtype}, want {np.dtype(dtype)}"
            assert got.shape == shape, f"{function} of {label} has shape {got.shape}, want {shape}"
            assert np.isfinite(got).all(), f"{function} of {label}: {got}"


SECOND_POINTS = (
    {},
    {"doubling_rate": 0.0},
    {"doubling_rate": 1e-12},
    {"doubling_rate": -1e-12},
    {"time": 20.0, "doubling_rate": 3.0, "irreducible_share": 0.25, "target": 0.5},
    {"fleet_size": 1e-3, "time": 1e-2, "doubling_rate": -2.0, "target": 0.9999, "irreducible_share": 0.5},
    {"fleet_size": 1e6, "reference_fleet": 10.0, "reference_years": 4.0, "doubling_rate": -0.25, "target": 0.3},
    {"time": 0.0},
    {"fleet_size": 0.0},
    {"time": 0.0, "doubling_rate": 0.0},
)


def check_second_derivatives(function: str, dtype: np.dtype, times: float = 64.0) -> None:
    """Hessians are finite and right, to `times` the allowance of a value, at points that include the limits."""
    names = PARAMETERS[function]
    points = [[float(dtype({**DEFAULTS, **extra}[name])) for name in names] for extra in SECOND_POINTS]
    with precision(dtype):
        hessian = jax.jit(jax.hessian(lambda x: bind(function)(*x)))
        for point in points:
            with reference.high_precision():
                want = reference.hessian(function, point, dtype)
            if want is None:
                continue
            got = np.asarray(hessian(np.array(point, dtype)))
            for i, a in enumerate(names):
                for j, b in enumerate(names):
                    value, allowed = want[min(a, b), max(a, b)]
                    error = abs(float(got[i, j]) - value)
                    assert error <= times * allowed, (
                        f"d2 {function} / d {a} d {b} in {np.dtype(dtype)}: got {float(got[i, j])!r}, want {value!r},"
                        f" {error / allowed:.4g} allowances off, at {dict(zip(names, point, strict=True))}"
                    )


def check_round_trip(function: str, dtype: np.dtype) -> None:
    """Relative loss at the answer is the target, to within the allowances of the answer and of the loss."""
    answer = {"time_to_target": "time", "fleet_for_target": "fleet_size", "rate_for_target": "doubling_rate"}[function]
    point = sample(function, dtype, 5 * SMALL_POINTS, purpose="round trip")
    ref = reference.values(function, point, dtype)
    with precision(dtype):
        found = np.asarray(bind(function)(*point))
    info = np.finfo(dtype)
    low, high = RATE if answer == "doubling_rate" else DOMAIN[answer]
    keep = ref.smooth & (low <= found) & (found <= high) & np.isfinite(ref.above)
    x = {name: column[keep] for name, column in zip(PARAMETERS[function], point, strict=True)}
    target = x.pop("target")
    x[answer] = found[keep]
    forward = [x[name] for name in PARAMETERS["relative_loss"]]
    loss = reference.values("relative_loss", forward, dtype)
    slope = np.abs(reference.slopes("relative_loss", forward, answer))
    reach = (reference.ULPS * ref.ulp + np.maximum(ref.below, ref.above))[keep]
    with precision(dtype):
        got = np.asarray(bind("relative_loss")(*forward))
    assert keep.sum() >= SMALL_POINTS
    allowed = reference.ULPS * loss.ulp + np.maximum(loss.below, loss.above) + 1.01 * slope * reach
    allowed = np.where(target < 2 * info.tiny, allowed + info.tiny, allowed)
    beyond = (np.abs(got.astype(np.float64) - target.astype(np.float64)) - allowed) / loss.ulp
    i = int(np.argmax(beyond))
    arguments = {name: float(column[i]) for name, column in x.items()}
    assert beyond[i] <= 0, (
        f"relative_loss at {function}: {int((beyond > 0).sum())} of {beyond.size} points off, the worst by"
        f" {beyond[i]:.4g} ulp beyond {allowed[i] / loss.ulp[i]:.4g}: target {float(target[i])!r},"
        f" got {float(got[i])!r} at {arguments}"
    )


def check_on_gpu(function: str, dtype: np.dtype) -> None:
    """Values on the GPU meet the accuracy contract."""
    point = sample(function, dtype, VALUE_POINTS // 10, purpose="gpu")
    ref = reference.values(function, point, dtype)
    with precision(dtype), jax.default_device(jax.devices("gpu")[0]):
        got = np.asarray(bind(function)(*point))
    assert_within(f"{function} on the GPU", PARAMETERS[function], point, got, ref)


def check_any_units(function: str, dtype: np.dtype, size: int = 5000) -> None:
    """Values meet the contract far beyond the domain, as in other units of fleets and years."""
    rng = np.random.default_rng(crc32(f"{function} units".encode()))
    x = {
        "fleet_size": _log_uniform(rng, 1e-30, 1e30, size),
        "reference_fleet": _log_uniform(rng, 1e-30, 1e30, size),
        "reference_years": _log_uniform(rng, 1e-12, 1e12, size),
        "time": _log_uniform(rng, 1e-12, 1e12, size),
        "scaling_exponent": _log_uniform(rng, 1e-3, 1, size),
        "irreducible_share": np.where(rng.random(size) < 0.5, 0.0, rng.uniform(0, 0.99, size)),
        "target": rng.uniform(0.01, 1, size),
    }
    x["doubling_rate"] = rng.choice([-1.0, 1.0], size) * _log_uniform(rng, 1e-35, 1e3, size)
    # The oracle's powers end at 2^(2^30).
    x["time"] = np.minimum(x["time"], 1e8 / np.abs(x["doubling_rate"]))
    x["target"] = np.maximum(x["target"], np.minimum(x["irreducible_share"] + 1e-3, 1.0))
    point = [x[name].astype(dtype) for name in PARAMETERS[function]]
    ref = reference.values(function, point, dtype)
    with precision(dtype):
        got = np.asarray(bind(function)(*point))
    assert_within(f"{function} in any units", PARAMETERS[function], point, got, ref)
