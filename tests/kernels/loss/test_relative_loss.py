"""The relative-loss equation: `kernels` against the high-precision oracle, the limits, and JAX's transformations."""

import cases
import gmpy2
import jax
import mpmath
import numpy as np
import pytest
import reference

import kernels

each_dtype = pytest.mark.parametrize("dtype", cases.DTYPES)


# ---- effective_years ------------------------------------------------------------------------------------------------


@each_dtype
def test_effective_years_agrees_with_the_oracle(dtype):
    cases.check_values("effective_years", dtype)


@each_dtype
def test_effective_years_is_right_at_the_limits(dtype):
    cases.check_limits("effective_years", dtype)


@each_dtype
def test_effective_years_gradient_agrees_with_the_oracle(dtype):
    cases.check_gradients("effective_years", dtype)


@each_dtype
def test_effective_years_gradient_is_never_nan(dtype):
    cases.check_gradients_not_nan("effective_years", dtype)


@each_dtype
def test_effective_years_second_derivatives_are_right(dtype):
    cases.check_second_derivatives("effective_years", dtype)


@each_dtype
def test_effective_years_is_the_same_under_jit(dtype):
    cases.check_jit("effective_years", dtype)


@each_dtype
def test_effective_years_is_the_same_under_vmap(dtype):
    cases.check_vmap("effective_years", dtype)


@each_dtype
def test_effective_years_accepts_scalars_and_mixed_ranks(dtype):
    cases.check_inputs("effective_years", dtype)


@pytest.mark.gpu
@each_dtype
def test_effective_years_on_gpu_agrees_with_the_oracle(dtype):
    cases.check_on_gpu("effective_years", dtype)


# ---- compute_ratio --------------------------------------------------------------------------------------------------


@each_dtype
def test_compute_ratio_agrees_with_the_oracle(dtype):
    cases.check_values("compute_ratio", dtype)


@each_dtype
def test_compute_ratio_is_right_at_the_limits(dtype):
    cases.check_limits("compute_ratio", dtype)


@each_dtype
def test_compute_ratio_gradient_agrees_with_the_oracle(dtype):
    cases.check_gradients("compute_ratio", dtype)


@each_dtype
def test_compute_ratio_gradient_is_never_nan(dtype):
    cases.check_gradients_not_nan("compute_ratio", dtype)


@each_dtype
def test_compute_ratio_second_derivatives_are_right(dtype):
    cases.check_second_derivatives("compute_ratio", dtype)


@each_dtype
def test_compute_ratio_is_the_same_under_jit(dtype):
    cases.check_jit("compute_ratio", dtype)


@each_dtype
def test_compute_ratio_is_the_same_under_vmap(dtype):
    cases.check_vmap("compute_ratio", dtype)


@each_dtype
def test_compute_ratio_accepts_scalars_and_mixed_ranks(dtype):
    cases.check_inputs("compute_ratio", dtype)


@pytest.mark.gpu
@each_dtype
def test_compute_ratio_on_gpu_agrees_with_the_oracle(dtype):
    cases.check_on_gpu("compute_ratio", dtype)


# ---- log_relative_excess_loss ---------------------------------------------------------------------------------------


@each_dtype
def test_log_relative_excess_loss_agrees_with_the_oracle(dtype):
    cases.check_values("log_relative_excess_loss", dtype)


@each_dtype
def test_log_relative_excess_loss_is_right_at_the_limits(dtype):
    cases.check_limits("log_relative_excess_loss", dtype)


@each_dtype
def test_log_relative_excess_loss_gradient_agrees_with_the_oracle(dtype):
    cases.check_gradients("log_relative_excess_loss", dtype)


@each_dtype
def test_log_relative_excess_loss_gradient_is_never_nan(dtype):
    cases.check_gradients_not_nan("log_relative_excess_loss", dtype)


@each_dtype
def test_log_relative_excess_loss_second_derivatives_are_right(dtype):
    cases.check_second_derivatives("log_relative_excess_loss", dtype)


@each_dtype
def test_log_relative_excess_loss_is_the_same_under_jit(dtype):
    cases.check_jit("log_relative_excess_loss", dtype)


@each_dtype
def test_log_relative_excess_loss_is_the_same_under_vmap(dtype):
    cases.check_vmap("log_relative_excess_loss", dtype)


@each_dtype
def test_log_relative_excess_loss_accepts_scalars_and_mixed_ranks(dtype):
    cases.check_inputs("log_relative_excess_loss", dtype)


@pytest.mark.gpu
@each_dtype
def test_log_relative_excess_loss_on_gpu_agrees_with_the_oracle(dtype):
    cases.check_on_gpu("log_relative_excess_loss", dtype)


# ---- relative_excess_loss -------------------------------------------------------------------------------------------


@each_dtype
def test_relative_excess_loss_agrees_with_the_oracle(dtype):
    cases.check_values("relative_excess_loss", dtype)


@each_dtype
def test_relative_excess_loss_is_right_at_the_limits(dtype):
    cases.check_limits("relative_excess_loss", dtype)


@each_dtype
def test_relative_excess_loss_gradient_agrees_with_the_oracle(dtype):
    cases.check_gradients("relative_excess_loss", dtype)


@each_dtype
def test_relative_excess_loss_gradient_is_never_nan(dtype):
    cases.check_gradients_not_nan("relative_excess_loss", dtype)


@each_dtype
def test_relative_excess_loss_second_derivatives_are_right(dtype):
    cases.check_second_derivatives("relative_excess_loss", dtype)


@each_dtype
def test_relative_excess_loss_is_the_same_under_jit(dtype):
    cases.check_jit("relative_excess_loss", dtype)


@each_dtype
def test_relative_excess_loss_is_the_same_under_vmap(dtype):
    cases.check_vmap("relative_excess_loss", dtype)


@each_dtype
def test_relative_excess_loss_accepts_scalars_and_mixed_ranks(dtype):
    cases.check_inputs("relative_excess_loss", dtype)


@pytest.mark.gpu
@each_dtype
def test_relative_excess_loss_on_gpu_agrees_with_the_oracle(dtype):
    cases.check_on_gpu("relative_excess_loss", dtype)


# ---- relative_loss --------------------------------------------------------------------------------------------------


@each_dtype
def test_relative_loss_agrees_with_the_oracle(dtype):
    cases.check_values("relative_loss", dtype)


@each_dtype
def test_relative_loss_is_right_at_the_limits(dtype):
    cases.check_limits("relative_loss", dtype)


@each_dtype
def test_relative_loss_gradient_agrees_with_the_oracle(dtype):
    cases.check_gradients("relative_loss", dtype)


@each_dtype
def test_relative_loss_gradient_is_never_nan(dtype):
    cases.check_gradients_not_nan("relative_loss", dtype)


@each_dtype
def test_relative_loss_second_derivatives_are_right(dtype):
    cases.check_second_derivatives("relative_loss", dtype)


@each_dtype
def test_relative_loss_is_the_same_under_jit(dtype):
    cases.check_jit("relative_loss", dtype)


@each_dtype
def test_relative_loss_is_the_same_under_vmap(dtype):
    cases.check_vmap("relative_loss", dtype)


@each_dtype
def test_relative_loss_accepts_scalars_and_mixed_ranks(dtype):
    cases.check_inputs("relative_loss", dtype)


@pytest.mark.gpu
@each_dtype
def test_relative_loss_on_gpu_agrees_with_the_oracle(dtype):
    cases.check_on_gpu("relative_loss", dtype)


# ---- the oracle itself ----------------------------------------------------------------------------------------------


def test_reference_agrees_with_quadrature():
    names = reference.PARAMETERS["relative_loss"]
    points = np.array(cases.sample("relative_loss", np.float64, 200, purpose="quadrature")).T
    with mpmath.workprec(120):
        for point in points:
            x = dict(zip(names, map(mpmath.mpf, map(float, point)), strict=True))
            end, rate = x["time"], x["doubling_rate"]
            doublings = max(1, abs(rate * end))
            # 2**(rate s) is smooth over one stretch of 16 doublings; what lies 240 below the largest adds nothing
            width = min(end, 240 / abs(rate)) if doublings > 240 else end
            start = end - width if rate > 0 else mpmath.mpf(0)
            stretches = int(min(doublings, 240) / 16) + 1
            edges = [start + width * i / stretches for i in range(stretches + 1)]
            years = mpmath.quad(lambda s: mpmath.mpf(2) ** (rate * s), edges) if end else end  # noqa: B023
            ratio = 1 + x["fleet_size"] / x["reference_fleet"] * years / x["reference_years"]
            excess = ratio ** -x["scaling_exponent"]
            want = {
                "effective_years": years,
                "compute_ratio": ratio,
                "log_relative_excess_loss": mpmath.log(excess),
                "relative_excess_loss": excess,
                "relative_loss": x["irreducible_share"] + (1 - x["irreducible_share"]) * excess,
            }
            for function, value in want.items():
                with reference.high_precision():
                    jet = reference.jet(function, [float(x[name]) for name in reference.PARAMETERS[function]])
                    got = mpmath.mpf(str(jet.value))
                assert abs(got - value) <= mpmath.mpf(10) ** -25 * max(abs(value), mpmath.mpf(10) ** -8), (function, x)


@pytest.mark.parametrize("function", reference.PARAMETERS)
def test_reference_derivatives_agree_with_differences(function):
    names = reference.PARAMETERS[function]
    points = np.array(cases.sample(function, np.float64, 100, purpose="differences")).T.tolist()
    with gmpy2.context(precision=600):
        step = reference.mpfr(2) ** -150
        compared = 0
        for point in points:
            here = reference.jet(function, point, second=True)
            if not isinstance(here, reference.Jet):
                continue
            x = dict(zip(names, map(reference.mpfr, point), strict=True))
            for a in names:
                width = step * (abs(x[a]) if x[a] else 1)
                up = reference.at(function, {**x, a: x[a] + width}, second=True)
                down = reference.at(function, {**x, a: x[a] - width}, second=True)
                if not (isinstance(up, reference.Jet) and isinstance(down, reference.Jet)):
                    continue
                pairs = [(here.grad[a], up.value - down.value, here.value)]
                pairs += [
                    (here.hess.get(tuple(sorted((a, b))), 0), up.grad[b] - down.grad[b], here.grad[b]) for b in names
                ]
                for got, difference, value in pairs:
                    slope = difference / (2 * width)
                    # the square of the step is out of sight; the rounding of the values, divided by it, may not be
                    floor = abs(value) / width * reference.mpfr(2) ** -350
                    floor += 0 if x[a] else step
                    assert abs(got - slope) <= reference.mpfr(2) ** -100 * abs(slope) + floor, (function, a, point)
                    compared += 1
        assert compared > 500


@each_dtype
def test_compute_ratio_is_right_in_any_units(dtype):
    cases.check_any_units("compute_ratio", dtype)


@each_dtype
def test_log_relative_excess_loss_is_right_in_any_units(dtype):
    cases.check_any_units("log_relative_excess_loss", dtype)


@each_dtype
def test_relative_excess_loss_is_right_in_any_units(dtype):
    cases.check_any_units("relative_excess_loss", dtype)


@each_dtype
def test_relative_loss_is_right_in_any_units(dtype):
    cases.check_any_units("relative_loss", dtype)


@pytest.mark.parametrize("order", [(jax.grad, jax.grad), (jax.jacfwd, jax.grad), (jax.grad, jax.jacfwd)])
@pytest.mark.parametrize("point", [0.0, 1e-3, 2.0], ids=["none", "little", "some"])
def test_log_relative_excess_loss_second_derivative_is_right_in_every_order(point, order):
    outer, inner = order
    years = 5.27572549099639  # G(3, 1/2) = (2^1.5 - 1) / (ln 2 / 2)
    got = outer(inner(lambda n: kernels.log_relative_excess_loss(n, 3.0, 0.5, scaling_exponent=0.05)))(point)
    assert got == pytest.approx(0.05 * years**2 / (1 + point * years) ** 2, rel=1e-5)


@pytest.mark.parametrize("value", ["1", 1j, np.complex64(1)], ids=["text", "complex", "complex64"])
def test_relative_loss_refuses_what_is_not_a_real_number(value):
    with pytest.raises(TypeError, match="real numbers"):
        kernels.relative_loss(value, 10.0, 1.0, scaling_exponent=0.05)
