"""``sweep explore``: a page of a config whose numbers are computed as they are looked at."""

import webbrowser
from pathlib import Path

import click

from sweep.cli.compiled import NO_CACHE
from sweep.cli.signals import stop
from sweep.cli.terminal import CONFIG


@click.command()
@CONFIG
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port of this machine; by default one that is free."
)
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@NO_CACHE
def explore(config: Path, port: int, no_browser: bool) -> None:
    """Open a page of CONFIG on which its fixed values and distributions can be changed; Ctrl-C ends it.

    It is the page of `sweep report`, with fewer values an axis and 1,024 draws at most, computed anew whenever a fixed
    value or a number of a distribution is changed. "Save as a config" gives what is chosen, for `sweep run`. Only this
    machine can open it.

    Example: sweep explore configs/doubling_rates.toml
    """
    from sweep.report.page.live import Live
    from sweep.report.page.server import Explorer

    live = Live.read(config)
    with Explorer(live, port) as explorer, stop().looked_at() as look:
        click.echo(f"{explorer.address}   Ctrl-C ends it")
        if not no_browser:
            webbrowser.open(explorer.address)
        explorer.serve(look)
