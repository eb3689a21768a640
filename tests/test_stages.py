"""The two-stage form on grids: the accuracy contract, and bits that do not depend on how a grid is cut."""

from functools import cache

import cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

import sweep.equations
from kernels import stages

POINTS = 30_000
OPTIONS = {"xla_cpu_prefer_vector_width": 512} if jax.default_backend() == "cpu" else None
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
ARGUMENTS = {
    "effective_years": (),
    "compute_ratio": ("fleet",),
    "log_relative_excess_loss": ("fleet", "nats"),
    "relative_excess_loss": ("fleet", "scaling_exponent"),
    "relative_loss": ("fleet", "scaling_exponent", "irreducible_share"),
}


@cache
def _jitted(function):
    def evaluate(inputs):
        inputs = dict(inputs)
        share = inputs.pop("irreducible_share", None)
        excess = getattr(stages, "relative_excess_loss" if function == "relative_loss" else function)(**inputs)
        return stages.relative_loss(excess, share) if function == "relative_loss" else excess

    return jax.jit(evaluate, compiler_options=OPTIONS)


def stage_two(function, dtype, x, wide=None):
    """Evaluate one output from tables of float64 arguments, in the dtype."""
    years, exponent = stages.growth_table(x["time"], x["doubling_rate"])
    beyond = exponent.any() if wide is None else wide
    tables = {"years": years, "exponent": exponent if beyond else None}
    if "fleet" in ARGUMENTS[function]:
        tables["fleet"] = stages.fleet_table(x["fleet_size"], x["reference_fleet"], x["reference_years"])
    if "nats" in ARGUMENTS[function]:
        tables["nats"] = stages.nats_table(x["scaling_exponent"])
    tables |= {name: x[name] for name in ARGUMENTS[function] if name in x}

    with cases.precision(dtype):
        inputs = {name: None if v is None else jnp.asarray(v, dtype) for name, v in tables.items()}
        return np.asarray(_jitted(function)(inputs))


@DTYPES
@pytest.mark.parametrize("function", ARGUMENTS)
def test_stage_two_agrees_with_the_oracle(function, dtype):
    point = cases.sample(function, dtype, POINTS, purpose="stages")
    names = cases.PARAMETERS[function]
    x = {name: column.astype(np.float64) for name, column in zip(names, point, strict=True)}
    if "fleet_size" in x:  # a sweep has no fleet of 0
        x["fleet_size"] = np.maximum(x["fleet_size"], 1e-9)
        point = [x[name].astype(dtype) for name in names]
        x = {name: column.astype(np.float64) for name, column in zip(names, point, strict=True)}
    got = stage_two(function, dtype, x)
    cases.assert_within(f"stage two of {function}", names, point, got, reference.values(function, point, dtype))


def test_equations_leave_exponents_out_only_where_the_table_has_none():
    assert sweep.equations.MODERATE_DOUBLINGS == stages.DIRECT


def _grid(rates):
    rng = np.random.default_rng(20250102)
    return {
        "fleet_size": np.geomspace(1e3, 1e8, 37).reshape(-1, 1, 1, 1),
        "time": np.linspace(0, 20, 83).reshape(1, -1, 1, 1),
        "doubling_rate": np.sort(rng.uniform(0, rates, 131)).reshape(1, 1, -1, 1),
        "scaling_exponent": np.array([0.048, 0.05, 0.154, 0.178]).reshape(1, 1, 1, -1),
        "reference_fleet": np.float64(16384.0),
        "reference_years": np.float64(0.2443),
        "irreducible_share": np.float64(0.93),
    }


def _pieces(shape):
    """Odd pieces with ragged ends, and every axis once of length 1."""
    for size, every in (((1, 83, 131, 4), 9), ((37, 1, 131, 4), 20), ((37, 83, 1, 4), 30), ((37, 83, 131, 1), 1)):
        for number, corner in enumerate(np.ndindex(*(-(-n // s) for n, s in zip(shape, size, strict=True)))):
            if number % every == 0:
                yield tuple(slice(c * s, min(c * s + s, n)) for c, s, n in zip(corner, size, shape, strict=True))
    yield from ((slice(a, a + 10), slice(60, 83), slice(99, 131), slice(0, 3)) for a in (0, 10, 20))


@DTYPES
@pytest.mark.parametrize("rates", [1.5, 15.0], ids=["moderate", "beyond 2^32"])
@pytest.mark.parametrize("function", ["relative_loss", "log_relative_excess_loss"])
def test_stage_two_bits_do_not_depend_on_the_pieces(function, rates, dtype):
    x = _grid(rates)
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
def test_stage_two_bits_do_not_depend_on_pointwise_evaluation(dtype):
    x = _grid(15.0)
    whole = stage_two("relative_loss", dtype, x, True)
    index = np.random.default_rng(7).integers(0, whole.shape, (50_000, 4)).T
    part = {
        name: v[tuple(i if n > 1 else 0 for i, n in zip(index, v.shape, strict=True))] if v.ndim else v
        for name, v in x.items()
    }
    np.testing.assert_array_equal(stage_two("relative_loss", dtype, part, True), whole[tuple(index)])
