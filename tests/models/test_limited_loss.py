"""The equation with its limits as a model: what it says where none is on, and one by one against numbers by hand."""

import math

import numpy as np
import pytest
import xarray as xr

import sweep
from sweep.config.toml import as_toml
from sweep.errors import SpecError
from sweep.models.limits.parameters import OFF
from sweep.models.registry import LIMITED_LOSS, RELATIVE_LOSS

LAW = {"doubling_rate": 0.85, "scaling_exponent": 0.17829, "irreducible_share": 0.9}
ALL = {
    **LAW,
    "fleet_growth": 1.0,
    "efficiency_headroom": 50.0,
    "power_capacity": 2.5,
    "power_growth": 0.2,
    "chip_stock": 2.2e6,
    "utilisation_exponent": 0.1,
    "accelerator_mtbf": 50_677.0,
    "data_limit_ratio": 77.7,
}


def spec(outputs, model="limited_loss", *, fixed=LAW, dtype="float64", time=(0.0, 5.0, 10.0, 20.0), **rest):
    axes = {"time": {"values": list(time)}, "fleet_size": {"values": [1e3, 1e5, 1e7]}}
    kept = {"outputs": list(outputs)} if outputs else {}
    return sweep.SweepSpec(
        **{"model": model, "loss": "excess", "dtype": dtype, "axes": axes, "fixed": fixed, **kept},
        **({} if "reference_fleet" in fixed else {"reference": "llama-3.1-405b"}),
        **rest,
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_without_limits_all_is_that_of_relative_loss_to_the_bit(dtype):
    shared = [o.name for o in RELATIVE_LOSS.outputs if o.name in {mine.name for mine in LIMITED_LOSS.outputs}]
    assert len(shared) == 9
    mine, plain = (sweep.run(spec(shared, model, dtype=dtype)) for model in ("limited_loss", "relative_loss"))
    for name in shared:
        one, other = xr.broadcast(mine[name], plain[name])
        np.testing.assert_array_equal(one.values, other.transpose(*one.dims).values, name)


def test_limits_written_as_infinite_are_those_that_are_off():
    endless = {**LAW, **{name: value for name, value in OFF.items() if math.isinf(value)}}
    written, silent = (sweep.run(spec(["relative_loss"], fixed=fixed)) for fixed in (endless, LAW))
    np.testing.assert_array_equal(written.relative_loss.values, silent.relative_loss.values)


def test_data_limit_gives_the_losses_worked_out_beforehand():
    one = {"reference_fleet": 1.0, "reference_years": 1.0, "fleet_size": 1.0}
    found = {}
    for rate, times in ((0.85, [10.0, 20.0]), (2.35, [10.0])):
        asked = sweep.SweepSpec(
            model="limited_loss",
            loss="excess",
            outputs=["relative_excess_loss", "data_limited"],
            axes={"time": {"values": [0.1, *times]}},
            fixed={**one, "scaling_exponent": 0.17829, "doubling_rate": rate, "data_limit_ratio": 77.7},
        )
        result = sweep.run(asked)
        assert result.data_limited.values.tolist() == [0.0] + [1.0] * len(times)
        found |= {(rate, t): float(result.relative_excess_loss.sel(time=t)) for t in times}
    assert found == pytest.approx({(0.85, 10.0): 0.3393, (0.85, 20.0): 0.2391, (2.35, 10.0): 0.2287}, abs=6e-5)


def test_data_that_software_stretches_limit_later():
    kept, wanted = {**LAW, "data_limit_ratio": 77.7}, ["log_data_limit", "relative_loss"]
    short, stretched = (
        sweep.run(spec(wanted, fixed={**kept, "data_efficiency_share": share})).log_data_limit.values
        for share in (0.0, 0.5)
    )
    years = np.asarray([0.0, 5.0, 10.0, 20.0])
    assert stretched - short == pytest.approx(0.5 * 1.5 * years / 0.48739 * math.log(2.0), rel=1e-6)


@pytest.fixture(scope="module")
def everything():
    less = {"relative_loss", "relative_excess_loss", "log_relative_excess_loss", "log_compute_ratio", "total_cost"}
    return sweep.run(spec([o.name for o in LIMITED_LOSS.outputs if o.name not in less], fixed=ALL, dtype="float32"))


def test_fleet_caps_and_costs_are_as_worked_out_by_hand(everything):
    at = everything.sel(time=10.0, fleet_size=1e7)
    watts, share, grown = 1704.0 * 1.28**-10, 0.26, math.log2(1.7 * 1.44)
    power = share * 2.5e9 * 2.0 ** (0.2 * 10) / watts
    chips = share * (2.2e6 + 1.85e6 * (2.0 ** (grown * 10) - 1) / (grown * math.log(2)))
    assert float(at.fleet_cap_power) == pytest.approx(power, rel=1e-5)
    assert float(at.fleet_cap_chips) == pytest.approx(chips, rel=1e-5)
    assert float(at.fleet) == pytest.approx(power, rel=1e-5)
    assert (float(at.wanted_fleet), float(at.binding_limit)) == (pytest.approx(1e7 * 1024.0), 0.0)
    assert float(at.limit_slack) == pytest.approx(power / 1e7 / 1024.0, rel=1e-5)
    assert float(at.power_draw) == pytest.approx(share * 2500.0 * 4.0, rel=1e-5)
    assert float(at.binding_share_power + at.binding_share_chips) == pytest.approx(1.0, rel=1e-6)
    assert float(at.capital_cost) == pytest.approx(float(at.fleet) * 68_434.57, rel=1e-5)
    # The cap is above what is wanted nowhere: all its fleet runs, growing by 2^0.556 a year from the first on.
    rate = 0.2 + math.log2(1.28)
    years = power * (1 - 2.0 ** (-rate * 10)) / (rate * math.log(2))
    assert float(at.accelerator_years) == pytest.approx(years, rel=1e-4)
    assert float(at.energy) == pytest.approx(years * 0.9555 * 1.1 * 8.766, rel=1e-4)


def test_fleet_beyond_its_peak_is_idle_and_trains_no_more(everything):
    at = everything.sel(time=20.0, fleet_size=1e7)
    assert float(at.idle_fleet) == pytest.approx(float(at.fleet - at.peak_fleet), rel=1e-6)
    assert float(at.effective_fleet) == pytest.approx(float(everything.effective_fleet.max()), rel=1e-6)


def test_growing_limited_fleet_has_the_bits_of_a_run_in_every_selection(everything):
    outputs = ["compute_ratio"]
    lazy = xr.open_dataset(spec(outputs, fixed=ALL, dtype="float32"), engine="sweep")
    for choice in ({"time": 2, "fleet_size": 1}, {"time": slice(1, 4, 2)}):
        for name in outputs:
            np.testing.assert_array_equal(lazy[name].isel(choice).values, everything[name].isel(choice).values, name)


def test_chance_that_a_limit_binds_is_the_share_of_draws_in_which_it_does():
    statistics = {
        "power_binds": {
            "statistic": "share",
            "where": "binding_limit > -0.5 and binding_limit < 0.5",
            "over": ["draw"],
        },
        "chips_bind": {"statistic": "share", "where": "binding_limit > 0.5", "over": ["draw"]},
        "none_binds": {"statistic": "share", "where": "binding_limit < -0.5", "over": ["draw"]},
    }
    uncertain = {"power_capacity": {"distribution": "lognormal", "low": 0.5, "high": 50.0}}
    kept = {name: value for name, value in ALL.items() if name != "power_capacity"}
    drawn = {"fixed": kept, "distributions": uncertain, "draws": {"number": 256}, "dtype": "float32"}
    chances = sweep.run(spec(None, statistics=statistics, **drawn))
    values = sweep.run(spec(["binding_limit"], **drawn)).binding_limit
    for name, code in (("power_binds", 0.0), ("chips_bind", 1.0), ("none_binds", -1.0)):
        np.testing.assert_array_equal(
            chances[name].values, (values == code).mean("draw").transpose(*chances[name].dims)
        )
    assert float(chances.chips_bind.max()) > 0.0 and float(chances.power_binds.max()) > 0.0


def test_total_loss_is_refused():
    asked = spec(["relative_loss"]).model_copy(update={"loss": "total"})
    with pytest.raises(SpecError, match=r'^loss: must be "excess" for "limited_loss"'):
        sweep.run(asked)


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("fleet_growth", math.inf, "fixed.fleet_growth: must be any finite number 1/year, got inf"),
        ("efficiency_headroom", 0.5, r"fixed.efficiency_headroom: must be >= 1 \(inf is none\), got 0.5"),
        ("power_capacity", -math.inf, r"fixed.power_capacity: must be > 0 \(inf is none\) GW, got -inf"),
        ("data_exponent_share", 1.0, r"fixed.data_exponent_share: must be in \(0, 1\), got 1"),
    ],
)
def test_values_that_a_limit_cannot_have_are_refused(name, value, line):
    with pytest.raises(SpecError, match=f"^{line}"):
        sweep.run(spec(["relative_loss"], fixed={**LAW, name: value}))


def test_infinite_limit_is_written_as_toml_reads_it(tmp_path):
    asked = spec(["relative_loss"], fixed={**LAW, "power_capacity": math.inf})
    path = tmp_path / "endless.toml"
    path.write_text(as_toml(asked), encoding="utf-8")
    assert sweep.load(path).spec.fixed["power_capacity"].value == math.inf


def test_hardware_that_caps_count_already_is_pointed_out():
    with pytest.warns(UserWarning, match="power_capacity with a doubling_rate up to 2.35 1/year: caps count H100"):
        sweep.run(spec(["fleet"], fixed={**LAW, "doubling_rate": 2.35, "power_capacity": 2.5}))
