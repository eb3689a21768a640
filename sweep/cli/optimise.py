"""``sweep optimise``: the best split of a budget."""

import math
from pathlib import Path

import click

import sweep
from sweep.cli.compiled import NO_CACHE
from sweep.cli.signals import stop
from sweep.cli.terminal import CONFIG, MEMORY, NETCDF, OVERWRITE, check_outputs, echo, load

OPTIMISERS = ("newton", "lbfgs", "adam", "sgd")  # as in kernels/split/descent.py, which is slow to import


@click.command()
@CONFIG
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
    optimiser: str,
    robust: str | None,
    level: float | None,
    file: Path | None,
    memory: int | None,
    overwrite: bool,
) -> None:
    """Find the best split of a budget for every scenario of CONFIG.

    How much to spend on accelerators now, on accelerators later and on efficiency research. A few scenarios are told
    one by one, with how far the rates may be from what they are, each alone, before a share moves by more than 5 % of
    the budget; more are told as ranges.

    With --robust, or robust in the config, every scenario gets one plan for all draws of what is uncertain, beside what
    else could be done and what it would be worth to know more.

    Example: sweep optimise configs/front_loading.toml
    """
    from sweep.report.splits.plans import describe_plans
    from sweep.report.splits.splits import describe_splits

    problem = load(config)
    spec = problem.spec
    one_plan = robust or (spec.allocation is not None and spec.allocation.robust)
    few = math.prod(size for name, size in spec.shape.items() if not (one_plan and name == "draw")) <= 8
    is_mean = spec.allocation is None or spec.allocation.objective == "mean"
    more = {"sensitivities": few and is_mean and file is not None and not one_plan, "ranges": few and not one_plan}
    if file is not None:
        from sweep.questions.split.footprint import result_bytes

        check_outputs(None, file, memory, overwrite, result_bytes(spec, **more))
    with stop().looked_at() as look:
        dataset = sweep.optimise(
            problem,
            optimiser=optimiser,
            robust=robust,
            level=level,
            worth=bool(few and one_plan),
            sensitivities=more["sensitivities"],
            ranges=more["ranges"],
            both=more["ranges"],
            memory=memory,
            progress=look,
        )
    if file is not None:
        from sweep.results import netcdf

        netcdf.write(dataset, file)
    echo(describe_plans(dataset) if one_plan else describe_splits(dataset))
    if file is not None:
        click.echo(f"written to {file}")
