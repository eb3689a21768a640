"""The command line, one module a command: parse, call one function, print.

Libraries are imported inside the command that needs them, so that ``--help``, ``describe`` and ``status`` start
without JAX and xarray.
"""

import click

from sweep.cli.bench import bench
from sweep.cli.describe import describe
from sweep.cli.discover import discover
from sweep.cli.explore import explore
from sweep.cli.frontier import frontier
from sweep.cli.optimise import optimise
from sweep.cli.plot import plot
from sweep.cli.report import report
from sweep.cli.run import run
from sweep.cli.sensitivity import sensitivity
from sweep.cli.status import status
from sweep.cli.terminal import Commands, print_version


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=print_version, help="Version.")
def main() -> None:
    """Sweep the relative-loss equation over fleets, times and rates of efficiency progress.

    \b
    sweep describe configs/baseline.toml                   what it would compute
    sweep run configs/baseline.toml --store out.zarr       compute it; again to go on
    sweep optimise configs/front_loading.toml              split a budget: GPUs now, later, or efficiency
    sweep optimise configs/cheapest_run.toml ...           the best decision of any other model
    sweep status out.zarr                                  how far it is
    sweep plot out.zarr -o loss.png                        draw it
    sweep frontier configs/frontier.toml ...               what no other point beats
    sweep sensitivity configs/sensitivity.toml             what drives the answer
    sweep discover configs/sensitivity.toml ...            which uncertain values lead to an outcome
    sweep report configs/baseline.toml -o page.html        one page that answers, to open or to send
    sweep explore configs/doubling_rates.toml              the same, computed as you look
    sweep bench                                            how fast this device is, and how near its limits
    """  # noqa: D301 (\b is click's mark for lines that are not to be wrapped)


for command in (describe, run, status, plot, bench, optimise, sensitivity, frontier, discover, report, explore):
    main.add_command(command)
