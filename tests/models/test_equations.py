"""Loading a config: the precision asked for counts before anything is checked."""

import pytest

import sweep
from sweep.errors import SpecError

CONFIG = """
loss = "total"
outputs = ["effective_years"]
axes.time = {start = 0, stop = 20, num = 5}
fixed = {doubling_rate = 1e-50, scaling_exponent = 0.05}
"""


@pytest.fixture
def path(tmp_path):
    """Write a config with a value that only float64 holds."""
    (tmp_path / "tiny.toml").write_text(CONFIG)
    return tmp_path / "tiny.toml"


def test_load_refuses_a_value_that_does_not_fit_the_precision_of_the_config(path):
    with pytest.raises(SpecError, match=r"tiny\.toml: fixed\.doubling_rate: 1e-50 does not fit float32"):
        sweep.load(path)


def test_load_accepts_a_value_that_fits_the_precision_asked_for(path):
    assert sweep.load(path, dtype="float64").spec.fixed["doubling_rate"].value == 1e-50


def test_load_refuses_a_value_that_does_not_fit_the_precision_asked_for(path):
    path.write_text('dtype = "float64"' + CONFIG)
    with pytest.raises(SpecError, match="does not fit float32"):
        sweep.load(path, dtype="float32")


def test_load_differs_from_the_config_in_the_precision_alone(path):
    path.write_text('dtype = "float64"' + CONFIG)
    asked = sweep.load(path).spec
    path.write_text(CONFIG)
    found = sweep.load(path, dtype="float64").spec
    assert (found, found.fingerprint(), found.path) == (asked, asked.fingerprint(), str(path))


@pytest.mark.parametrize("dtype", ["float16", "double", ""])
def test_load_refuses_a_precision_that_does_not_exist(path, dtype):
    with pytest.raises(SpecError, match=rf'tiny\.toml: dtype: must be "float32" or "float64", got "{dtype}"$'):
        sweep.load(path, dtype=dtype)
