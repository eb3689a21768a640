"""The kernels that are benchmarked, one entry a kernel: what it is given, what it must move, what it must be.

`KERNELS` is the whole list; a kernel more is an entry more, made by a function ``(points, dtype) -> Work``. Arguments
are numbers that float32 holds exactly, so that an error is the kernel's own.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import jax
import numpy as np
import xarray as xr

from kernels import statistics
from kernels.pareto import nondominated
from kernels.split.solver import CONVERGED, Split, optimal_split
from sweep.bench import oracle
from sweep.bench.workload import Facts, Kernel, Work, compiled_ahead, error_of, operations_of
from sweep.config.axis import Axis
from sweep.config.distribution import Distribution
from sweep.config.spec import DType, Fixed, SweepSpec
from sweep.config.statistic import Statistic
from sweep.engine.evaluate import compiled, device_count, stage, together, zeros
from sweep.engine.inputs import Inputs
from sweep.engine.loop import run
from sweep.models.problem import Problem
from sweep.plan.blocks import Plan
from sweep.questions.sensitivity.sensitivity import sensitivity

LAW = {"scaling_exponent": 0.0625, "reference_fleet": 16384.0, "reference_years": 0.25}
RANGES = {"fleet_size": (1e3, 1e8), "time": (0.25, 20.0), "doubling_rate": (0.0, 1.6), "target": (0.3, 0.95)}
RUN = ("fleet_size", "time", "doubling_rate")
UNCERTAIN = {"fleet_size": (1e3, 1e6), "time": (0.25, 10.0), "doubling_rate": (0.5, 3.0)}
UNCERTAIN |= {"scaling_exponent": (0.04, 0.06)}
NODES = 16  # of the quadrature that gives the exact indices, in each parameter
SAMPLE = 20_000  # values whose error is measured
ROW = 4096  # values of which quantiles are taken
DATES = 8


def sides_of(points: int, devices: int = 1) -> tuple[int, int, int]:
    """Sides of a grid of about that many points, the last the longest; the first is the same on each device."""
    last = min(512, max(1, math.isqrt(points)))
    middle = min(512, max(1, math.isqrt(points // last)))
    return devices * -(-max(1, points // (last * middle)) // devices), middle, last


def make_problem(axes: Mapping[str, int], output: str, dtype: DType) -> Problem:
    """Problem of a grid over some of `RANGES`, with coordinates that float32 holds."""
    swept = {}
    for name, size in axes.items():
        space = np.geomspace if name == "fleet_size" else np.linspace
        swept[name] = Axis(values=tuple(space(*RANGES[name], size).astype(np.float32).astype(float)))
    spec = SweepSpec(loss="total", outputs=(output,), axes=swept, fixed=_fixed(LAW), dtype=dtype)
    return Problem.of(spec)


def _fixed(values: Mapping[str, float]) -> dict[str, Fixed]:
    return {name: Fixed(value=value) for name, value in values.items()}


def _grid(names: tuple[str, str, str], output: str, points: int, dtype: DType) -> Work:
    """Stage 2 of one block on each device, into a buffer that is used again."""
    devices = device_count()
    shape = sides_of(points, devices)
    problem = make_problem(dict(zip(names, shape, strict=True)), output, dtype)
    block = (shape[0] // devices, *shape[1:])
    plan = Plan(problem.spec.shape, block, block, problem.variables, np.dtype(dtype).itemsize)
    places = zip(jax.local_devices(), plan.blocks(), strict=True)
    inputs = together([Inputs(problem, plan, device)(block) for device, block in places])
    buffers = [(zeros(block, dtype, devices),)]
    static = {"finish": problem.stages.finish, "names": (output,), "model": problem.model.name}
    function = compiled(stage, tuple(static), jax.default_backend(), devices)
    program, seconds = compiled_ahead(function.lower(buffers[0], inputs, **static))
    counted = operations_of(program)  # of one device

    def call() -> jax.Array:
        buffers.append(jax.block_until_ready(program(buffers.pop(), inputs)))
        return buffers[0][0]

    return Work(
        shape=" x ".join(map(str, shape)),
        points=math.prod(shape),
        moved=plan.nbytes,
        call=call,
        judge=lambda result: _grid_error(np.asarray(result).reshape(shape), problem.spec, getattr(oracle, output)),
        operations=None if counted is None else counted * devices,
        powers=math.prod(shape) if output == "relative_loss" else 0,
        compile_seconds=seconds,
        writes_only=True,
        devices=devices,
    )


def _grid_error(values: np.ndarray, spec: SweepSpec, exact: Callable[[oracle.Point], np.ndarray]) -> Facts:
    index = [np.random.default_rng(1).integers(0, n, SAMPLE) for n in values.shape]
    for place, n in zip(index, values.shape, strict=True):
        place[:2] = 0, n - 1
    wide = oracle.wider(spec.dtype)
    if wide is None:
        return {"error_unknown": "this machine has no wider type"}
    axes = zip(spec.axes.items(), index, strict=True)
    point = {name: axis.coordinates()[place].astype(wide) for (name, axis), place in axes}
    point |= {name: np.asarray(value, wide) for name, value in LAW.items()}
    ours, true = values[tuple(index)], exact(point)
    facts = error_of(ours, true, wide)
    if "wrong" not in facts:
        beyond = oracle.error_in_ulp(ours, true, but=oracle.unavoidable(exact, point, spec.dtype))
        facts["error_beyond_ulp"] = float(f"{beyond:.3g}")
    return facts


def _mean(points: int, dtype: DType) -> Work:
    """Mean over the fleets, from a spec to a dataset."""
    last, middle, first = sides_of(points)
    shape = (first, middle, last)
    axes = dict(zip(RUN, shape, strict=True))
    wanted = Statistic(statistic="mean", output="relative_loss", over=("fleet_size",))
    spec = make_problem(axes, "relative_loss", dtype).derived(statistics={"mean": wanted}).spec
    small = _grid(RUN, "relative_loss", 2**12, dtype)
    total = math.prod(shape)

    def judge(result: np.ndarray) -> Facts:
        wide = oracle.wider(dtype)
        if wide is None:
            return {"error_unknown": "this machine has no wider type"}
        places = np.random.default_rng(1).integers(0, result.shape, (16, 2)).T
        times, rates = (spec.axes[k].coordinates()[i] for k, i in zip(("time", "doubling_rate"), places, strict=True))
        point = {"fleet_size": spec.axes["fleet_size"].coordinates(), "time": times[:, None]}
        point = {k: np.asarray(v, wide) for k, v in {**point, "doubling_rate": rates[:, None], **LAW}.items()}
        return error_of(result[tuple(places)], oracle.relative_loss(point).mean(axis=1), wide)

    return Work(
        shape=" x ".join(map(str, shape)) + ", over the first axis",
        points=total,
        moved=total // first * np.dtype(dtype).itemsize,
        call=lambda: run(spec)["mean"].values,
        judge=judge,
        # Those of stage 2 and one addition a point.
        operations=None if small.operations is None else total * (small.operations / small.points + 1.0),
        powers=total,
        writes_only=True,
        devices=device_count(),
    )


def _quantiles(points: int, dtype: DType) -> Work:
    """Three exact quantiles of each row, by selection."""
    rows = max(1, points // ROW)
    values = np.random.default_rng(1).random((rows, min(points, ROW)), np.dtype(dtype))
    copied, probabilities = values.copy(), (0.05, 0.5, 0.95)

    def judge(result: np.ndarray) -> Facts:
        wide = oracle.wider(dtype)
        if wide is None:
            return {"error_unknown": "this machine has no wider type"}
        some = values[:64].astype(wide)
        return error_of(result[:64], np.quantile(some, np.asarray(probabilities, wide), axis=1).T, wide)

    return Work(
        shape=f"{rows} x {values.shape[1]}",
        points=values.size,
        moved=values.nbytes + 3 * rows * values.itemsize,
        call=lambda: statistics.row_quantiles(copied, probabilities),
        judge=judge,
        before=lambda: np.copyto(copied, values),
    )


def _filter(points: int, dtype: DType) -> Work:
    """Points above the concave side of a sphere, 3 objectives: a front of thousands."""
    rng = np.random.default_rng(0)
    directions = np.abs(rng.standard_normal((points, 3)))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    values = np.ascontiguousarray(1.2 - directions + rng.exponential(0.2, (points, 1)), dtype)
    on_device = values if jax.default_backend() == "cpu" else jax.device_put(values)

    def judge(result: Any) -> Facts:
        front = np.asarray(result)
        return {"front": int(front.sum()), "misjudged": oracle.misjudged(values, front)}

    return Work(
        shape=f"{points} x 3 objectives",
        points=points,
        moved=values.nbytes + points,
        call=lambda: jax.block_until_ready(nondominated.is_nondominated(on_device)),
        judge=judge,
    )


def scenarios(count: int) -> dict[str, np.ndarray]:
    """Random scenarios of the front-loading problem over wide ranges, float64."""
    random = np.random.default_rng(0)
    return {
        "budget": 10.0 ** random.uniform(-2, 3, count),
        "horizon": 10.0 ** random.uniform(-0.6, 1.3, count),
        "hardware_rate": random.uniform(0, 2, count),
        "software_rate": random.uniform(-0.5, 2, count),
        "research_gain": random.uniform(0, 2, count),
        "research_scale": 10.0 ** random.uniform(-2, 4, count),
        "depreciation": random.uniform(0, 1, count),
        "installed_fleet": random.uniform(0, 5, count),
        "discount_rate": random.uniform(0, 0.5, count),
        "scaling_exponent": 10.0 ** random.uniform(-1.5, -0.3, count),
        "reference_years": 10.0 ** random.uniform(-1, 1, count),
    }


def solve(count: int, dates: int) -> Work:
    """Optimal splits of budgets: that many scenarios, with purchases at that many dates."""
    given = {name: jax.numpy.asarray(value) for name, value in scenarios(count).items()}
    numbers = len(given) + dates + 7  # of each scenario and of its answer, whose two whole numbers are half as long

    def judge(split: Split) -> Facts:
        good = np.flatnonzero(np.asarray(split.status) == CONVERGED)[:20]
        exact = np.array([_exact_loss(split, given, int(i)) for i in good], np.longdouble)
        facts = error_of(np.asarray(split.objective)[good], exact, exact.dtype)
        return {**facts, "certified": float(np.mean(np.asarray(split.status) == CONVERGED))}

    return Work(
        shape=f"{count} scenarios, {dates} dates",
        points=count,
        moved=8 * count * numbers,
        call=lambda: jax.block_until_ready(optimal_split(given, dates=dates, quick=False)),
        judge=judge,
    )


def _exact_loss(split: Split, known: Mapping[str, jax.Array], i: int) -> np.longdouble:
    scenario = {name: float(value[i]) for name, value in known.items()}
    return oracle.mean_loss(np.asarray(split.shares)[:, i], float(split.research_share[i]), scenario)


def _sobol(points: int, dtype: DType) -> Work:
    """Sobol' indices of the loss by four parameters, from a spec to a dataset: draws, evaluation, sums, intervals."""
    size = 1 << max(6, points.bit_length() - 1)
    uncertain = {name: Distribution(distribution="uniform", low=a, high=b) for name, (a, b) in UNCERTAIN.items()}
    fixed = _fixed({name: value for name, value in LAW.items() if name not in UNCERTAIN})
    outputs = ("relative_loss",)
    spec = SweepSpec(loss="total", outputs=outputs, fixed=fixed, distributions=uncertain, dtype=dtype)
    total = size * (len(UNCERTAIN) + 2)

    def judge(result: xr.Dataset) -> Facts:
        exact = _indices()
        estimated = np.stack([result.relative_loss_first_order.values, result.relative_loss_total.values])
        return {"max_error": float(f"{np.abs(estimated - exact).max():.3g}"), "error_against": "quadrature"}

    return Work(
        shape=f"{size} x {len(UNCERTAIN) + 2} evaluations",
        points=total,
        moved=8 * 2 * len(UNCERTAIN),
        call=lambda: sensitivity(spec, number=size),
        judge=judge,
        powers=total,
        devices=device_count(),
    )


def _indices() -> np.ndarray:
    """First-order and total indices of the loss by `UNCERTAIN`, by quadrature; shape (2, parameters)."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    sides = [(low + high) / 2.0 + (high - low) / 2.0 * nodes for low, high in UNCERTAIN.values()]
    grid = dict(zip(UNCERTAIN, np.meshgrid(*sides, indexing="ij"), strict=True))
    values = oracle.relative_loss({**{name: np.asarray(value) for name, value in LAW.items()}, **grid})
    axes, weights = range(len(sides)), weights / 2.0

    def mean(values: np.ndarray, over: Iterable[int]) -> np.ndarray:
        for axis in sorted(over, reverse=True):
            values = np.tensordot(values, weights, (axis, 0))
        return values

    middle = mean(values, axes)
    variance = mean((values - middle) ** 2, axes)
    alone = [mean((mean(values, set(axes) - {i}) - middle) ** 2, (0,)) for i in axes]
    others = [mean((mean(values, (i,)) - middle) ** 2, range(len(sides) - 1)) for i in axes]
    return np.stack([np.array(alone), variance - np.array(others)]) / variance


KERNELS = {
    kernel.name: kernel
    for kernel in (
        Kernel("full-grid", partial(_grid, RUN, "relative_loss"), 2**25, 2**12, more=32),
        Kernel("fused-mean", _mean, 2**28, 2**12, more=64),
        Kernel("quantiles", _quantiles, 2**23, 2**13, on_host=True),
        *(
            Kernel(name.replace("_", "-"), partial(_grid, ("target", *of), name), 2**22, 2**12, more=128)
            for name, of in (
                ("time_to_target", ("fleet_size", "doubling_rate")),
                ("fleet_for_target", ("time", "doubling_rate")),
                ("rate_for_target", ("fleet_size", "time")),
            )
        ),
        Kernel("front-loading", lambda points, _: solve(points, DATES), 2**11, 2**4, more=16, dtypes=("float64",)),
        Kernel("nondominated", _filter, 10**6, 10**3),
        Kernel("sobol", _sobol, 2**18, 2**8, more=64),
    )
}
