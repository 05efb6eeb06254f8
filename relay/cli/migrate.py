"""Own `relay migrate`: what a release runs before its processes start."""

from __future__ import annotations

import click

from relay.bootstrap import now
from relay.cli.output import or_json, say
from relay.cli.shell import Shell, pass_shell
from relay.flows.namespaces import record_namespaces
from relay.store.migrate import upgrade
from relay.store.revisions import revision_state


@click.command()
@or_json
@pass_shell
def migrate(shell: Shell) -> None:
    """Bring the database to this release; a newer one is left as it is."""
    engine = shell.unchecked.engine
    if revision_state(engine) == "newer":
        # After a rollback the newer code's tables serve this one too; nothing of them may change.
        say("the database is newer than this release; nothing was changed")
        return
    upgrade(engine)
    record_namespaces(engine, shell.settings.sources, now=now())
    say("the database is up to date")
