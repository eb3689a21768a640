"""The two-stage form on grids: the accuracy contract, and bits that do not depend on how a grid is cut."""

import decimal
from functools import cache

import cases
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
import reference

import sweep.models.tables
from kernels.loss import stages

POINTS = 20_000
OPTIONS = {"xla_cpu_prefer_vector_width": 512} if jax.default_backend() == "cpu" else None
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
ARGUMENTS = {
    "effective_years": (),
    "compute_ratio": ("fleet",),
    "log_relative_excess_loss": ("fleet", "nats"),
    "relative_excess_loss": ("fleet", "scaling_exponent"),
    "relative_loss": ("fleet", "scaling_exponent", "irreducible_share"),
}
LAW = ("target", "scaling_exponent", "irreducible_share")
INVERSES = ("time_to_target", "fleet_for_target")


@cache
def _jitted(function):
    def evaluate(inputs):
        inputs = dict(inputs)
        share = inputs.pop("irreducible_share", None)
        excess = getattr(stages, "relative_excess_loss" if function == "relative_loss" else function)(**inputs)
        return stages.relative_loss(excess, share) if function == "relative_loss" else excess

    return jax.jit(evaluate, compiler_options=OPTIONS)


def _forward_tables(function, x, wide):
    years, exponent = stages.growth_table(x["time"], x["doubling_rate"])
    tables = {"years": years, "exponent": exponent if wide or exponent.any() else None}
    if "fleet" in ARGUMENTS[function]:
        tables["fleet"] = stages.fleet_table(x["fleet_size"], x["reference_fleet"], x["reference_years"])
    if "nats" in ARGUMENTS[function]:
        tables["nats"] = stages.nats_table(x["scaling_exponent"])
    return tables | {name: x[name] for name in ARGUMENTS[function] if name in x}


def _inverse_tables(function, x, wide):
    need, exponent = stages.need_table(x["target"], x["scaling_exponent"], x["irreducible_share"])
    tables = {"need": need, "exponent": exponent if wide or exponent.any() else None}
    if function == "time_to_target":
        tables["fleet_years"] = stages.fleet_years_table(x["fleet_size"], x["reference_fleet"], x["reference_years"])
        return tables | dict(zip(("pace", "years_per_doubling"), stages.pace_table(x["doubling_rate"]), strict=True))
    years, exponent = stages.growth_table(x["time"], x["doubling_rate"])
    tables |= {"years": years, "growth_exponent": exponent if wide or exponent.any() else None}
    return tables | {"reference": x["reference_fleet"] * x["reference_years"]}


def stage_two(function, dtype, x, wide=False):
    """Evaluate one output from tables of float64 arguments, in the dtype; `wide` with powers of two in any case.

    A power whose exponent is a scalar has the terms of its own table.
    """
    tables = (_inverse_tables if function in INVERSES else _forward_tables)(function, x, wide)
    if "scaling_exponent" in tables and not x["scaling_exponent"].ndim:
        tables["terms"] = list(stages.power_table(float(x["scaling_exponent"]), stages.TERMS[np.dtype(dtype).name]))
    with cases.precision(dtype):
        return np.asarray(_jitted(function)(jax.tree.map(lambda v: jnp.asarray(v, dtype), tables)))


def _check(function, dtype, point, wide=False):
    """Hold stage 2 against the oracle; a sweep has no fleet of 0."""
    names = cases.PARAMETERS[function]
    least = {"fleet_size": dtype(1e-9)}
    point = [np.maximum(c, least[name]) if name in least else c for name, c in zip(names, point, strict=True)]
    x = {name: column.astype(np.float64) for name, column in zip(names, point, strict=True)}
    got = stage_two(function, dtype, x, wide)
    cases.assert_within(f"stage two of {function}", names, point, got, reference.values(function, point, dtype))


@DTYPES
@pytest.mark.parametrize("function", (*ARGUMENTS, *INVERSES))
def test_stage_two_agrees_with_the_oracle(function, dtype):
    _check(function, dtype, cases.sample(function, dtype, POINTS, purpose="stages"))


@DTYPES
@pytest.mark.parametrize("exponent", [1e-3, 0.05, stages.SMALL_EXPONENT])
def test_stage_two_of_one_exponent_agrees_with_the_oracle(exponent, dtype):
    function = "relative_loss"
    names = cases.PARAMETERS[function]
    x = dict(zip(names, cases.sample(function, dtype, POINTS, purpose="one exponent"), strict=True))
    x["fleet_size"] = np.maximum(x["fleet_size"], dtype(1e-9))
    x["scaling_exponent"] = np.full_like(x["time"], exponent)
    given = {name: column.astype(np.float64) for name, column in x.items()}
    got = stage_two(function, dtype, given | {"scaling_exponent": np.float64(dtype(exponent))})
    point = list(x.values())
    cases.assert_within(f"stage two of {function}", names, point, got, reference.values(function, point, dtype))


EXPONENTS = [1e-6, 1e-3, 0.05, 0.154, 0.178, 0.2, stages.SMALL_EXPONENT]


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("dtype", stages.TERMS)
def test_power_table_is_rounded_correctly(dtype, exponent):
    """So no processor, library or thread has a say in its bits."""
    terms = stages.TERMS[dtype]
    with mpmath.workprec(400):
        low, high = mpmath.sqrt(0.5) - 1, mpmath.sqrt(2) - 1
        cosines = [mpmath.nint(mpmath.cos((i + 0.5) * mpmath.pi / terms) * 2**20) / 2**20 for i in range(terms)]
        nodes = [(low + high) / 2 + (high - low) / 2 * cosine for cosine in cosines]
        powers = mpmath.matrix([[r**j for j in range(terms)] for r in nodes])
        values = mpmath.matrix([(mpmath.power(1 + r, -mpmath.mpf(exponent)) - 1) / r for r in nodes])
        exact = [float(x) for x in mpmath.lu_solve(powers, values)]
    with decimal.localcontext(prec=5, rounding=decimal.ROUND_UP):
        assert stages.power_table(exponent, terms).tolist() == exact


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize(("dtype", "bound"), [("float32", 3e-8), ("float64", 7e-17)])
def test_power_table_is_as_good_as_it_says(dtype, bound, exponent):
    terms = [mpmath.mpf(term) for term in stages.power_table(exponent, stages.TERMS[dtype])]
    with mpmath.workprec(200):
        for r in np.linspace(np.sqrt(0.5) - 1.0, np.sqrt(2.0) - 1.0, 401).tolist():
            exact = (1 + mpmath.mpf(r)) ** -mpmath.mpf(exponent)
            assert abs((1 + sum(term * mpmath.mpf(r) ** (i + 1) for i, term in enumerate(terms))) / exact - 1) < bound


@DTYPES
@pytest.mark.parametrize("function", INVERSES)
def test_stage_two_of_an_inverse_without_powers_of_two_agrees_with_the_oracle(function, dtype):
    x = dict(zip(cases.PARAMETERS[function], cases.sample(function, dtype, POINTS, purpose="moderate"), strict=True))
    few = stages.need_table(*(x[name].astype(np.float64) for name in LAW))[1] == 0.0
    assert POINTS / 4 < few.sum() < POINTS
    _check(function, dtype, [column[few] for column in x.values()])


@DTYPES
@pytest.mark.parametrize("wide", [False, True], ids=["", "powers of two"])
@pytest.mark.parametrize("function", INVERSES)
def test_stage_two_of_an_inverse_is_right_at_the_limits(function, wide, dtype):
    names = cases.PARAMETERS[function]
    share = names.index("irreducible_share")
    positive = [
        names.index(k)
        for k in ("fleet_size", "scaling_exponent", "reference_fleet", "reference_years", "time")
        if k in names
    ]
    found = [c.point for c in cases.limits(function) if np.isfinite(c.point).all()]
    # A sweep has neither fleets nor times without end, nor what is outside a domain.
    found = [p for p in found if all(p[i] > 0 for i in positive) and 0 <= p[share] < 1]
    assert len(found) > 12
    for point in found if not wide else [found]:
        columns = np.array(point, dtype).reshape(-1, len(names)).T
        _check(function, dtype, list(columns), wide)


def test_stage_two_of_fleet_for_target_takes_no_time_for_no_fleet_at_all():
    x = {"target": np.array([0.5, 1.0]), "time": np.array([0.0, 0.0]), "doubling_rate": np.array([1.0, 1.0])}
    x |= {k: np.array([0.5, 0.5]) for k in ("scaling_exponent", "reference_fleet", "reference_years")}
    got = stage_two("fleet_for_target", np.float64, x | {"irreducible_share": np.zeros(2)})
    np.testing.assert_array_equal(got, [np.inf, 0.0])


def test_need_table_is_condition_limited():
    x = dict(zip(cases.PARAMETERS["time_to_target"], cases.sample("time_to_target", np.float64, 3000), strict=True))
    target, kappa, share = (x[name] for name in LAW)
    need, exponent = stages.need_table(target, kappa, share)
    worst = 0.0
    with mpmath.workprec(300):
        for r, k, e, q, power in zip(target, kappa, share, need, exponent, strict=True):
            if r >= 1.0 or r <= e:
                assert (q, power) == ((0.0 if r >= 1.0 else np.inf), 0.0)
                continue
            r, k, e = map(mpmath.mpf, (r, k, e))
            log_x = mpmath.log((r - e) / (1 - e))
            exact = mpmath.expm1(-log_x / k)
            steep = (1 + 1 / exact) / k * (r / (r - e) + abs(log_x) + e * (1 - r) / ((1 - e) * (r - e)))
            error = abs(mpmath.ldexp(mpmath.mpf(q), int(power)) / exact - 1) * mpmath.mpf(2) ** 53
            worst = max(worst, float(error / (2 + steep)))
    assert worst < 1.0


def test_equations_leave_exponents_out_only_where_the_tables_have_none():
    assert sweep.models.tables.MODERATE_DOUBLINGS == stages.DIRECT
    assert sweep.models.tables.MODERATE_NEED == stages.MODERATE_NEED


def test_equations_have_the_terms_that_a_power_takes():
    assert (sweep.models.tables.TERMS, sweep.models.tables.SMALL_EXPONENT) == (stages.TERMS, stages.SMALL_EXPONENT)


@pytest.mark.parametrize(
    "extreme",
    [
        {"reference_fleet": 1e-20},
        {"reference_years": 1e20},
        {"scaling_exponent": 1e-7},
        {"doubling_rate": 1e5, "reference_fleet": 1e15},
    ],
    ids=lambda extreme: next(iter(extreme)),
)
@pytest.mark.filterwarnings("ignore:(fleet_size|doubling_rate|reference_fleet) of")
def test_equations_leave_extreme_inverses_to_the_public_kernels(extreme):
    fixed = {"reference_fleet": 1.0, "reference_years": 1.0, "scaling_exponent": 0.1, "doubling_rate": 1.0} | extreme
    axes = {"target": {"values": (0.3, 0.999)}}
    if "reference_fleet" in extreme or "reference_years" in extreme:
        fixed["fleet_size"] = fixed["reference_fleet"] * fixed["reference_years"]
    spec = sweep.SweepSpec(
        loss="total", outputs=("time_to_target",), axes=axes, fixed={"fleet_size": 1.0} | fixed, dtype="float64"
    )
    found = sweep.run(spec).time_to_target.values
    x = {"target": np.array((0.3, 0.999)), "irreducible_share": 0.0, "fleet_size": 1.0} | fixed
    names = cases.PARAMETERS["time_to_target"]
    point = [np.broadcast_to(np.asarray(x[name], float), 2).copy() for name in names]
    cases.assert_within("extreme", names, point, found, reference.values("time_to_target", point, np.float64))


def _grid(rates, share=0.93):
    rng = np.random.default_rng(20250102)
    return {
        "fleet_size": np.geomspace(1e3, 1e8, 37).reshape(-1, 1, 1, 1),
        "time": np.linspace(0, 20, 83).reshape(1, -1, 1, 1),
        "doubling_rate": np.sort(rng.uniform(0, rates, 131)).reshape(1, 1, -1, 1),
        "scaling_exponent": np.array([0.048, 0.05, 0.154, 0.178]).reshape(1, 1, 1, -1),
        "reference_fleet": np.float64(16384.0),
        "reference_years": np.float64(0.2443),
        "irreducible_share": np.float64(share),
    }


def _grid_of(function, rates):
    """An output and its grid: an inverse has targets, some of them met, in the place of what it finds."""
    if function == "one exponent":
        shares = np.linspace(0.0, 0.93, 4).reshape(1, 1, 1, -1)
        return "relative_loss", _grid(rates) | {"scaling_exponent": np.float64(0.154), "irreducible_share": shares}
    if function not in INVERSES:
        return function, _grid(rates)
    x = _grid(rates, 0.19 if rates > 2 else 0.0)
    place = "time" if function == "time_to_target" else "fleet_size"
    targets = np.linspace(0.25, 1.1, x[place].size).reshape(x[place].shape)
    return function, {name: v for name, v in x.items() if name != place} | {"target": targets}


def _pieces(shape):
    """Odd pieces with ragged ends, and every axis once of length 1."""
    for size, every in (((1, 83, 131, 4), 9), ((37, 1, 131, 4), 20), ((37, 83, 1, 4), 30), ((37, 83, 131, 1), 1)):
        for number, corner in enumerate(np.ndindex(*(-(-n // s) for n, s in zip(shape, size, strict=True)))):
            if number % every == 0:
                yield tuple(slice(c * s, min(c * s + s, n)) for c, s, n in zip(corner, size, shape, strict=True))
    yield from ((slice(a, a + 10), slice(60, 83), slice(99, 131), slice(0, 3)) for a in (0, 10, 20))


@DTYPES
@pytest.mark.parametrize("rates", [1.5, 15.0], ids=["moderate", "beyond 2^32"])
@pytest.mark.parametrize("function", ["relative_loss", "one exponent", "log_relative_excess_loss", *INVERSES])
def test_stage_two_bits_do_not_depend_on_the_pieces(function, rates, dtype):
    function, x = _grid_of(function, rates)
    wide = rates > 2
    whole = stage_two(function, dtype, x, wide)
    compared = 0
    for piece in _pieces(whole.shape):
        part = {
            name: v[tuple(s if n > 1 else slice(None) for s, n in zip(piece, v.shape, strict=True))] if v.ndim else v
            for name, v in x.items()
        }
        got = stage_two(function, dtype, part, wide)
        np.testing.assert_array_equal(got, whole[piece])
        compared += got.size
    assert compared > 1_000_000


@DTYPES
@pytest.mark.parametrize("function", ["relative_loss", "one exponent", *INVERSES])
def test_stage_two_bits_do_not_depend_on_pointwise_evaluation(function, dtype):
    function, x = _grid_of(function, 15.0)
    whole = stage_two(function, dtype, x, True)
    index = np.random.default_rng(7).integers(0, whole.shape, (50_000, 4)).T
    part = {
        name: v[tuple(i if n > 1 else 0 for i, n in zip(index, v.shape, strict=True))] if v.ndim else v
        for name, v in x.items()
    }
    np.testing.assert_array_equal(stage_two(function, dtype, part, True), whole[tuple(index)])
