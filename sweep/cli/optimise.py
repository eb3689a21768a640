"""``sweep optimise``: the best split of a budget, or the best decision of any other model."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

import sweep
from sweep.cli.compiled import NO_CACHE
from sweep.cli.signals import stop
from sweep.cli.terminal import CONFIG, MEMORY, NETCDF, OVERWRITE, check_outputs, deliver, load

if TYPE_CHECKING:
    import xarray as xr

OPTIMISERS = ("newton", "lbfgs", "adam", "sgd")  # as in kernels/split/descent.py, which is slow to import


@click.command()
@CONFIG
@click.option("--minimise", metavar="NAME", help="Output to minimise, of any model but front_loading.")
@click.option("--maximise", metavar="NAME", help="Output to maximise instead.")
@click.option(
    "--over",
    metavar="AXIS",
    multiple=True,
    help="Axis that is decided: any value between its ends; may be repeated. The others are scenarios.",
)
@click.option(
    "--subject-to",
    metavar="TEXT",
    multiple=True,
    help='Conditions such as "total_cost <= 5e8 and time <= 5"; may be repeated.',
)
@click.option("--starts", type=int, help="Points of the grid from which the best is looked for.  [default: 8]")
@click.option(
    "--optimiser",
    type=click.Choice(OPTIMISERS),
    default="newton",
    show_default=True,
    help="What descends the mean loss. The certificate does not depend on it, and says where a weak one stalled.",
)
@click.option(
    "--robust",
    type=click.Choice(("mean", "cvar", "worst")),
    help="One plan for all draws of the config's distributions: of least mean regret, mean of the worst, or largest.",
)
@click.option("--level", type=float, help="Part of the draws that does not count among the worst.  [default: 0.9]")
@NETCDF
@MEMORY
@OVERWRITE
@NO_CACHE
def optimise(
    config: Path,
    minimise: str | None,
    maximise: str | None,
    over: tuple[str, ...],
    subject_to: tuple[str, ...],
    starts: int | None,
    optimiser: str,
    robust: str | None,
    level: float | None,
    file: Path | None,
    memory: int | None,
    overwrite: bool,
) -> None:
    """Find the best split of a budget, or the best decision of any other model, for every scenario of CONFIG.

    The model "front_loading" is about a budget: how much to spend on accelerators now, on accelerators later and on
    efficiency research. A few scenarios are told one by one, with how far the rates may be from what they are, each
    alone, before a share moves by more than 5 % of the budget; more are told as ranges. With --robust, or robust in the
    config, every scenario gets one plan for all draws of what is uncertain, beside what else could be done and what it
    would be worth to know more.

    Of any other model, --minimise or --maximise an output --over axes, under the conditions of --subject-to: a local
    optimum, the best of several starts, which is never worse than the best point of the grid.

    Example: sweep optimise configs/front_loading.toml

    Example: sweep optimise configs/cheapest_run.toml --minimise total_cost --over fleet_size --over start_date --over
    duration --subject-to "relative_loss <= 0.7 and finish_date <= 5"
    """
    problem = load(config)
    spec = problem.spec
    one_plan = robust is not None or (spec.allocation is not None and spec.allocation.robust is not None)
    scenarios = math.prod(size for name, size in spec.shape.items() if not (one_plan and name == "draw"))
    few = problem.source.is_solved and scenarios <= 8
    is_mean = spec.allocation is None or spec.allocation.objective == "mean"
    sensitivities, ranges = few and is_mean and file is not None and not one_plan, few and not one_plan
    result = 0
    if file is not None and problem.source.is_solved:
        from sweep.questions.split.footprint import result_bytes

        result = result_bytes(spec, sensitivities=sensitivities, ranges=ranges)
    check_outputs(None, file, memory, overwrite, result)
    with stop().looked_at() as look:
        dataset = sweep.optimise(
            problem,
            minimise=minimise,
            maximise=maximise,
            over=over,
            subject_to=subject_to,
            starts=starts,
            optimiser=optimiser,
            robust=robust,
            level=level,
            worth=few and one_plan,
            sensitivities=sensitivities,
            ranges=ranges,
            both=ranges,
            memory=memory,
            progress=look,
        )
    deliver(dataset, _described(dataset), None, file)


def _described(dataset: "xr.Dataset") -> Iterator[str]:
    from sweep.report.describe_questions import describe_decisions
    from sweep.report.splits.plans import describe_plans
    from sweep.report.splits.splits import describe_splits

    if dataset.attrs["kind"] == "decision":
        return describe_decisions(dataset)
    return describe_plans(dataset) if "plan" in dataset.dims else describe_splits(dataset)
