"""Programs that are compiled quickly answer as those that are compiled thoroughly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kernels import compilation
from kernels.compilation import at_steps, compiled_two_ways


def squares(x, *, times):
    return sum(x * x for _ in range(times))


def test_both_ways_answer_and_static_arguments_are_told_apart():
    run = compiled_two_ways(static_argnames="times")(squares)
    for quick in (True, False):
        for times in (1, 3):
            np.testing.assert_array_equal(run(jnp.arange(5.0), times=times, quick=quick), times * np.arange(5.0) ** 2)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="other devices compile thoroughly all the same")
def test_quick_programs_are_compiled_without_optimisation(monkeypatch):
    asked = []
    original = jax.jit

    def seen(function, **options):
        asked.append(options["compiler_options"])
        return original(function, **options)

    monkeypatch.setattr(jax, "jit", seen)
    run = compiled_two_ways(static_argnames="times")(squares)
    run(jnp.arange(3.0), times=1, quick=True)
    run(jnp.arange(3.0), times=1, quick=False)
    assert [options for options in asked if options != compilation.QUICKLY] == [None]
    assert asked.count(compilation.QUICKLY) >= 1


def test_options_that_this_version_of_xla_does_not_know_are_left_out(monkeypatch):
    monkeypatch.setattr(compilation, "QUICKLY", {"xla_no_such_option": True})
    compilation._quickly.cache_clear()
    try:
        run = compiled_two_ways(static_argnames="times")(squares)
        np.testing.assert_array_equal(run(jnp.arange(3.0), times=2, quick=True), [0.0, 2.0, 8.0])
    finally:
        compilation._quickly.cache_clear()


@pytest.mark.parametrize("turns", [1, 400], ids=["short", "long"])
def test_steps_are_those_of_the_function_whether_written_out_or_looped(turns):
    def function(step):
        x = jnp.asarray(step, np.float32)
        for _ in range(turns):
            x = x * np.float32(0.5) + np.float32(1.0)
        return {"x": x, "step": step}

    def run(first):
        return at_steps(function, first, 5)

    program = jax.make_jaxpr(run)(jnp.asarray(3))
    assert (str(program).count("scan") > 0) == (turns > 1)
    want = [function(jnp.asarray(3 + i)) for i in range(5)]
    for got, expected in zip(jax.jit(run)(jnp.asarray(3)), want, strict=True):
        assert int(got["step"]) == int(expected["step"])
        np.testing.assert_allclose(got["x"], expected["x"], rtol=1e-6)
