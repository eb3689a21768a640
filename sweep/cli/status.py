"""``sweep status``: how far a store is, and whether all that it holds is whole."""

from pathlib import Path

import click

from sweep.cli.signals import stop
from sweep.cli.terminal import DAMAGED, echo


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Read all of it, name what is missing or damaged, and exit with 1 for any.")
def status(store: Path, check: bool) -> None:
    """Say how far STORE is, and what it holds.

    Example: sweep status out.zarr --check
    """
    from sweep.report.describe import describe_faults, describe_store
    from sweep.results import manifest

    attributes, plans = manifest.attributes(store), manifest.plans_of(store)
    missing = [manifest.pending(store, plan) for plan in plans]
    echo(describe_store(attributes, plans, missing, manifest.partials(store), manifest.bytes_on_disk(store)))
    if not check:
        return
    from sweep.results.faults import faults

    with stop().looked_at() as look:
        faulty = list(faults(store, look))
    echo(describe_faults(store, faulty, bool(attributes.get(manifest.CHECKSUMS))))
    if faulty:
        raise click.exceptions.Exit(DAMAGED)
