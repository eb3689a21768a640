"""Selections and statistics have the bits of a run: every output of every shipped model that is evaluated."""

import numpy as np
import pytest
import xarray as xr

import sweep
from sweep.models.registry import MODELS

# Ranges in which the outputs are numbers of all sizes, some of them infinite or NaN.
RANGES = {
    "fleet_size": (1e-2, 1e3),
    "time": (0.1, 12.0),
    "doubling_rate": (-0.5, 3.0),
    "scaling_exponent": (0.04, 0.6),
    "irreducible_share": (0.0, 0.5),
    "reference_fleet": (0.3, 3.0),
    "reference_years": (0.2, 2.0),
    "target": (0.4, 1.02),
    "unit_price": (1e3, 1e5),
    "power": (0.3, 2.0),
    "pue": (1.0, 1.6),
    "electricity_price": (0.02, 0.2),
    "front_load_share": (0.0, 1.0),
    "research_share": (0.0, 0.4),
    "later_date": (0.0, 8.0),
    "horizon": (0.5, 10.0),
    "budget": (0.1, 100.0),
    "hardware_rate": (-0.2, 1.0),
    "software_rate": (0.0, 2.0),
    "research_gain": (0.0, 2.0),
    "research_scale": (0.1, 10.0),
    "depreciation": (0.0, 0.5),
    "installed_fleet": (0.5, 5.0),
    "start_date": (0.0, 8.0),
    "duration": (0.1, 5.0),
    "price_decline_rate": (-0.2, 0.6),
}
DECISIONS = {
    "relative_loss": ("fleet_size", "time", "doubling_rate", "scaling_exponent", "target", "unit_price"),
    "strategies": ("front_load_share", "research_share", "later_date", "horizon", "scaling_exponent", "target"),
    "delayed_start": ("fleet_size", "start_date", "duration", "doubling_rate", "scaling_exponent", "unit_price"),
}


def random_spec(model, dtype, seed, lengths):
    """All outputs over axes of odd lengths; what is no axis is fixed at random too."""
    rng = np.random.default_rng(seed)
    axes = rng.permutation(DECISIONS[model])[: len(lengths)].tolist()
    drawn = {p.name: rng.uniform(*RANGES[p.name], 9) for p in MODELS[model].parameters}
    return sweep.SweepSpec(
        model=model,
        loss="excess",
        dtype=dtype,
        outputs=[o.name for o in MODELS[model].outputs if set(o.parameters) & set(axes)],
        axes={k: {"values": sorted(drawn[k][:n].tolist())} for k, n in zip(axes, lengths, strict=True)},
        fixed={k: values[0] for k, values in drawn.items() if k not in axes},
    )


def with_statistics(spec, statistics):
    axes = {name: {"values": list(axis.values)} for name, axis in spec.axes.items()}
    fixed = {name: fixed.value for name, fixed in spec.fixed.items()}
    kept = {"model": spec.model, "loss": spec.loss, "dtype": spec.dtype}
    return sweep.SweepSpec(**kept, axes=axes, fixed=fixed, statistics=statistics)


MODEL = pytest.mark.parametrize("model", DECISIONS)
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@DTYPES
@MODEL
def test_selections_have_the_bits_of_a_run(model, dtype):
    # Few points at a time, of which requests of all shapes share one compilation for each output.
    spec = random_spec(model, dtype, 3, (3, 5, 7))
    whole, lazy = sweep.run(spec), xr.open_dataset(spec, engine="sweep")
    rng = np.random.default_rng(4)
    for name in spec.outputs:
        sizes = whole[name].sizes
        choices = (
            {dim: int(rng.integers(n)) for dim, n in sizes.items()},
            {dim: rng.integers(n, size=2) for dim, n in sizes.items()},
            {dim: slice(int(rng.integers(n)), None, 3) for dim, n in sizes.items()},
            *({dim: ("point", rng.integers(n, size=16)) for dim, n in sizes.items()} for _ in range(8)),
        )
        for choice in choices:
            np.testing.assert_array_equal(lazy[name].isel(choice).values, whole[name].isel(choice).values, name)


def _over(model, output, dtype, lengths):
    """One output over even grids of those axes; what else it needs is fixed at random."""
    drawn = np.random.default_rng(8)
    axes = {dim: {"values": np.linspace(*RANGES[dim], n).tolist()} for dim, n in lengths.items()}
    needs = MODELS[model].output(output).parameters
    fixed = {name: drawn.uniform(*RANGES[name]) for name in needs if name not in axes}
    return sweep.SweepSpec(model=model, loss="excess", dtype=dtype, outputs=[output], axes=axes, fixed=fixed)


@DTYPES
def test_large_selections_have_the_bits_of_a_run(dtype):
    spec = _over("delayed_start", "total_cost", dtype, {"fleet_size": 31, "start_date": 27, "duration": 33})
    whole, lazy = sweep.run(spec).total_cost, xr.open_dataset(spec, engine="sweep").total_cost
    assert whole.size > 2**14  # more than goes into a row of points
    np.testing.assert_array_equal(lazy.values, whole.values)


@DTYPES
def test_least_rate_for_target_has_the_bits_of_a_run(dtype):
    spec = _over("relative_loss", "rate_for_target", dtype, {"fleet_size": 101, "time": 5, "target": 3})
    whole = sweep.run(spec).rate_for_target
    statistics = {"least": {"statistic": "min", "output": "rate_for_target", "over": ["target"]}}
    np.testing.assert_array_equal(sweep.run(with_statistics(spec, statistics)).least.values, whole.min("target").values)


@DTYPES
@MODEL
def test_least_and_largest_have_the_bits_of_a_run(model, dtype):
    spec = random_spec(model, dtype, 5, (3, 5, 7))
    whole = sweep.run(spec)
    statistics = {
        f"{name}_{kind}": {
            "statistic": kind,
            "output": name,
            "over": list(whole[name].dims[-2:]),
        }
        for name in spec.outputs
        for kind in ("min", "max")
    }
    reduced = sweep.run(with_statistics(spec, statistics))
    for key, statistic in statistics.items():
        values = whole[statistic["output"]]
        expected = getattr(values, statistic["statistic"])(statistic["over"], skipna=False)
        np.testing.assert_array_equal(reduced[key].values, expected.values, key)
