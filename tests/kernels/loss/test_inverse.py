"""The inverses of the relative-loss equation: `kernels` against the oracle, the limits, and the way back."""

import cases
import mpmath
import numpy as np
import pytest
import reference

each_dtype = pytest.mark.parametrize("dtype", cases.DTYPES)


# ---- time_to_target -------------------------------------------------------------------------------------------------


@each_dtype
def test_time_to_target_agrees_with_the_oracle(dtype):
    cases.check_values("time_to_target", dtype)


@each_dtype
def test_time_to_target_is_right_at_the_limits(dtype):
    cases.check_limits("time_to_target", dtype)


@each_dtype
def test_time_to_target_gradient_agrees_with_the_oracle(dtype):
    cases.check_gradients("time_to_target", dtype)


@each_dtype
def test_time_to_target_gradient_agrees_with_the_oracle_past_overflow(dtype):
    cases.check_gradients("time_to_target", dtype, overflowed=True)


@each_dtype
def test_time_to_target_gradient_is_never_nan(dtype):
    cases.check_gradients_not_nan("time_to_target", dtype)


@each_dtype
def test_time_to_target_second_derivatives_are_right(dtype):
    cases.check_second_derivatives("time_to_target", dtype)


@each_dtype
def test_time_to_target_is_the_same_under_jit(dtype):
    cases.check_jit("time_to_target", dtype)


@each_dtype
def test_time_to_target_is_the_same_under_vmap(dtype):
    cases.check_vmap("time_to_target", dtype)


@each_dtype
def test_time_to_target_accepts_scalars_and_mixed_ranks(dtype):
    cases.check_inputs("time_to_target", dtype)


@each_dtype
def test_time_to_target_is_undone_by_relative_loss(dtype):
    cases.check_round_trip("time_to_target", dtype)


@pytest.mark.gpu
@each_dtype
def test_time_to_target_on_gpu_agrees_with_the_oracle(dtype):
    cases.check_on_gpu("time_to_target", dtype)


# ---- fleet_for_target -----------------------------------------------------------------------------------------------


@each_dtype
def test_fleet_for_target_agrees_with_the_oracle(dtype):
    cases.check_values("fleet_for_target", dtype)


@each_dtype
def test_fleet_for_target_is_right_at_the_limits(dtype):
    cases.check_limits("fleet_for_target", dtype)


@each_dtype
def test_fleet_for_target_gradient_agrees_with_the_oracle(dtype):
    cases.check_gradients("fleet_for_target", dtype)


@each_dtype
def test_fleet_for_target_gradient_agrees_with_the_oracle_past_overflow(dtype):
    cases.check_gradients("fleet_for_target", dtype, overflowed=True)


@each_dtype
def test_fleet_for_target_gradient_is_never_nan(dtype):
    cases.check_gradients_not_nan("fleet_for_target", dtype)


@each_dtype
def test_fleet_for_target_second_derivatives_are_right(dtype):
    cases.check_second_derivatives("fleet_for_target", dtype)


@each_dtype
def test_fleet_for_target_is_the_same_under_jit(dtype):
    cases.check_jit("fleet_for_target", dtype)


@each_dtype
def test_fleet_for_target_is_the_same_under_vmap(dtype):
    cases.check_vmap("fleet_for_target", dtype)


@each_dtype
def test_fleet_for_target_accepts_scalars_and_mixed_ranks(dtype):
    cases.check_inputs("fleet_for_target", dtype)


@each_dtype
def test_fleet_for_target_is_undone_by_relative_loss(dtype):
    cases.check_round_trip("fleet_for_target", dtype)


@pytest.mark.gpu
@each_dtype
def test_fleet_for_target_on_gpu_agrees_with_the_oracle(dtype):
    cases.check_on_gpu("fleet_for_target", dtype)


# ---- rate_for_target ------------------------------------------------------------------------------------------------


@each_dtype
def test_rate_for_target_agrees_with_the_oracle(dtype):
    cases.check_values("rate_for_target", dtype)


@each_dtype
def test_rate_for_target_is_right_at_the_limits(dtype):
    cases.check_limits("rate_for_target", dtype)


@each_dtype
def test_rate_for_target_gradient_agrees_with_the_oracle(dtype):
    cases.check_gradients("rate_for_target", dtype)


@each_dtype
def test_rate_for_target_gradient_agrees_with_the_oracle_past_overflow(dtype):
    cases.check_gradients("rate_for_target", dtype, overflowed=True)


@each_dtype
def test_rate_for_target_gradient_is_never_nan(dtype):
    cases.check_gradients_not_nan("rate_for_target", dtype)


@each_dtype
def test_rate_for_target_second_derivatives_are_right(dtype):
    cases.check_second_derivatives("rate_for_target", dtype)


@each_dtype
def test_rate_for_target_is_the_same_under_jit(dtype):
    cases.check_jit("rate_for_target", dtype)


@each_dtype
def test_rate_for_target_is_the_same_under_vmap(dtype):
    cases.check_vmap("rate_for_target", dtype)


@each_dtype
def test_rate_for_target_accepts_scalars_and_mixed_ranks(dtype):
    cases.check_inputs("rate_for_target", dtype)


@each_dtype
def test_rate_for_target_is_undone_by_relative_loss(dtype):
    cases.check_round_trip("rate_for_target", dtype)


@pytest.mark.gpu
@each_dtype
def test_rate_for_target_on_gpu_agrees_with_the_oracle(dtype):
    cases.check_on_gpu("rate_for_target", dtype)


# ---- the oracle itself ----------------------------------------------------------------------------------------------


def _years(time, rate):
    return time * mpmath.expm1(time * rate * mpmath.ln2) / (time * rate * mpmath.ln2) if rate * time else time


@pytest.mark.parametrize("function", reference.INVERSE)
def test_reference_solves_its_equation(function):
    answer = {"time_to_target": "time", "fleet_for_target": "fleet_size", "rate_for_target": "doubling_rate"}[function]
    names = reference.PARAMETERS[function]
    points = np.array(cases.sample(function, np.float64, 400, purpose="equation")).T.tolist()
    solved = 0
    with mpmath.workprec(600), reference.high_precision():
        for point in points:
            x = dict(zip(names, map(mpmath.mpf, point), strict=True))
            got = reference.jet(function, point)
            if not isinstance(got, reference.Jet):
                if function == "time_to_target" and x["target"] > x["irreducible_share"] and x["fleet_size"] > 0:
                    ever = 1 / (-x["doubling_rate"] * mpmath.ln2) if x["target"] < 1 else mpmath.inf
                    ratio = 1 + x["fleet_size"] / x["reference_fleet"] * ever / x["reference_years"]
                    loss = ratio ** -x["scaling_exponent"]
                    loss = x["irreducible_share"] + (1 - x["irreducible_share"]) * loss
                    assert (loss >= x["target"]) if x["target"] < 1 else got == 0
                continue
            x[answer] = mpmath.mpf(str(got.value))
            needed = ((x["target"] - x["irreducible_share"]) / (1 - x["irreducible_share"])) ** (
                -1 / x["scaling_exponent"]
            ) - 1
            years = _years(x["time"], x["doubling_rate"])
            added = x["fleet_size"] / x["reference_fleet"] * years / x["reference_years"]
            steep = 1 + abs(mpmath.log(needed)) + abs(x["time"] * x["doubling_rate"])
            assert abs(added / needed - 1) <= mpmath.mpf(2) ** -150 * steep, (function, point)
            solved += 1
    assert solved > 200


def test_reference_rate_agrees_with_lambert_w():
    names = reference.PARAMETERS["rate_for_target"]
    points = np.array(cases.sample("rate_for_target", np.float64, 300, purpose="lambert")).T.tolist()
    solved = 0
    with mpmath.workprec(300), reference.high_precision():
        for point in points:
            got = reference.jet("rate_for_target", point)
            if not isinstance(got, reference.Jet):
                continue
            x = dict(zip(names, map(mpmath.mpf, point), strict=True))
            gap = (x["target"] - x["irreducible_share"]) / (1 - x["irreducible_share"])
            needed = gap ** (-1 / x["scaling_exponent"]) - 1
            ratio = needed * x["reference_years"] * x["reference_fleet"] / (x["fleet_size"] * x["time"])
            # e^z - 1 = y z has z = -1/y - W(-exp(-1/y)/y), on the branch that is not z = 0
            branch = 0 if ratio < 1 else -1
            z = -1 / ratio - mpmath.lambertw(-mpmath.exp(-1 / ratio) / ratio, branch).real
            want = z / (x["time"] * mpmath.ln2)
            assert abs(mpmath.mpf(str(got.value)) - want) <= mpmath.mpf(10) ** -30 * abs(want), point
            solved += 1
    assert solved > 150


@each_dtype
def test_time_to_target_is_right_in_any_units(dtype):
    cases.check_any_units("time_to_target", dtype)


@each_dtype
def test_fleet_for_target_is_right_in_any_units(dtype):
    cases.check_any_units("fleet_for_target", dtype)


@each_dtype
def test_rate_for_target_is_right_in_any_units(dtype):
    cases.check_any_units("rate_for_target", dtype)
