"""Every device of the machine: eight CPU devices, forced in a process of its own, give the bits of one."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import xarray as xr

import sweep

ROOT = Path(__file__).parents[2]
DEVICES = 8
NARROWED = (50, 20, 15)  # points that are held together for quantiles, of a part and of a piece
BUDGET = 8 * 70_000_000  # for grids: each device has its share, so that there are many blocks
AXES = {
    "scaling_exponent": sweep.Axis(values=(0.057, 0.052, 0.048)),
    "doubling_rate": sweep.Axis(start=0.0, stop=3.0, num=23),
    "fleet_size": sweep.Axis(start=1e3, stop=1e8, num=41, spacing="log"),
    "time": sweep.Axis(start=0.0, stop=20.0, num=75),
}
FIXED = {"reference_fleet": 16384.0, "reference_years": 0.2443}
GRID = ("relative_loss", "log_relative_excess_loss", "effective_years", "total_cost")
UNCERTAIN = ("doubling_rate", "scaling_exponent")
STATISTICS = {
    "mean": {"statistic": "mean", "output": "relative_loss", "over": UNCERTAIN},
    "std": {"statistic": "std", "output": "log_relative_excess_loss", "over": ("fleet_size",)},
    "cheapest": {"statistic": "argmin", "output": "total_cost", "over": ("fleet_size", "time")},
    "chance": {"statistic": "share", "where": "relative_loss < 0.6 and total_cost < 1e10", "over": UNCERTAIN},
    "band": {"statistic": "quantiles", "output": "relative_loss", "probabilities": (0.1, 0.9), "over": UNCERTAIN},
    "all": {"statistic": "variance", "output": "relative_loss", "over": tuple(AXES)},
}


def specs() -> dict[str, sweep.SweepSpec]:
    """Each sweep of these tests by name; the process with many devices makes them again."""
    found = {}
    for dtype in ("float32", "float64"):
        common = {"loss": "total", "axes": AXES, "fixed": FIXED, "dtype": dtype}
        found[f"grid_{dtype}"] = sweep.SweepSpec(outputs=GRID, **common)
        statistics = {name: sweep.Statistic(**given) for name, given in STATISTICS.items()}
        found[f"statistics_{dtype}"] = sweep.SweepSpec(statistics=statistics, **common)
    for dtype in ("float32", "float64"):
        axes = AXES | {
            name: sweep.Axis(values=AXES[name].coordinates()[::9].tolist()) for name in ("fleet_size", "time")
        }
        band = {"band": sweep.Statistic(**STATISTICS["band"])}
        found[f"narrowed_{dtype}"] = sweep.SweepSpec(statistics=band, loss="total", axes=axes, fixed=FIXED, dtype=dtype)
    return found


NAMES = [f"{what}_{dtype}" for what in ("grid", "statistics", "narrowed") for dtype in ("float32", "float64")]

CHILD = """
import sys
from pathlib import Path
import jax
import sweep
from sweep.plan import passes
from tests.engine import test_devices as t

assert jax.local_device_count() == t.DEVICES
out = Path(sys.argv[1])
for name, spec in t.specs().items():
    memory = None if spec.statistics else t.BUDGET
    if name.startswith("narrowed"):
        passes.ROW_POINTS, passes.PART_POINTS, passes.PIECE_POINTS = t.NARROWED
    sweep.run(spec, memory=memory).to_netcdf(out / f"{name}.nc", engine="h5netcdf")
    steps = []
    def stop(step):
        steps.append(step)
        if step.blocks == 2 and step.new_points:
            raise KeyboardInterrupt
    try:
        sweep.run(spec, store=out / f"{name}.zarr", memory=memory, progress=stop)
    except KeyboardInterrupt:
        pass
    sweep.run(spec, store=out / f"{name}.zarr", memory=memory)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of what eight devices made of every sweep."""
    folder = tmp_path_factory.mktemp("devices")
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={DEVICES}"
    environment = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", CHILD, folder], env=environment, cwd=ROOT, check=True)
    return folder


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the bits of a CPU are compared with those of a CPU")
@pytest.mark.parametrize("name", NAMES)
def test_run_on_eight_devices_has_the_bits_of_one(name: str, made: Path) -> None:
    one = sweep.run(specs()[name])
    with xr.open_dataset(made / f"{name}.nc", engine="h5netcdf") as eight:
        for variable in one.data_vars:
            np.testing.assert_array_equal(one[variable].values, eight[variable].values, err_msg=variable)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the bits of a CPU are compared with those of a CPU")
@pytest.mark.parametrize("name", NAMES)
def test_store_of_eight_devices_goes_on_on_one(name: str, made: Path, tmp_path: Path) -> None:
    spec, store = specs()[name], made / f"{name}.zarr"
    first = (*spec.statistics, *spec.outputs)[0]
    shard = next(path for path in sorted((store / first / "c").rglob("*")) if path.is_file())
    kept = shard.read_bytes()
    shard.unlink()
    sweep.run(spec, store=store)
    assert shard.read_bytes() == kept
    one = sweep.run(spec)
    stored = xr.open_zarr(store, chunks=None)
    for variable in one.data_vars:
        np.testing.assert_array_equal(one[variable].values, stored[variable].values, err_msg=variable)


def test_eight_devices_share_many_blocks() -> None:
    from sweep.models.problem import Problem
    from sweep.plan.jobs import make_jobs

    (job,) = make_jobs(Problem.of(specs()["grid_float32"]), BUDGET, devices=DEVICES)
    assert len(job.plan) > DEVICES and len(job.plan) % DEVICES
