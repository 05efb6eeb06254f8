"""Own `relay migrate`: the release step."""

from __future__ import annotations

import click

from relay.bootstrap import now
from relay.cli.common import open_runtime
from relay.flows import sources
from relay.store.migrate import upgrade


@click.command()
def migrate() -> None:
    """Bring the database to this release, and record the sources; a newer database is left as it is."""
    runtime = open_runtime()
    upgrade(runtime.engine)
    sources.record(runtime.engine, runtime.sources, now=now())
    click.echo("the database is ready")
