"""Own `relay events replay`."""

from __future__ import annotations

import os
from typing import Any

import click

from relay.bootstrap import now
from relay.cli.output import as_json, read_moment, show_one
from relay.cli.shell import Shell, pass_shell
from relay.flows import replays as flow

WHICH = ("failed", "missing", "all")


@click.command()
@click.argument("event_id", required=False)
@click.option("--endpoint", "endpoint_id", help="Only to this endpoint.")
@click.option("--type", help="Only of this type.")
@click.option("--order", "orderid", help="Only of this order.")
@click.option("--source", help="Only of this source.")
@click.option("--since", callback=read_moment, help="Only what happened since.")
@click.option("--until", callback=read_moment, help="Only what happened before.")
@click.option(
    "--only", "which", type=click.Choice(WHICH), default=WHICH[0], show_default=True, help="Which deliveries."
)
@click.option(
    "--rate", type=click.IntRange(1, 1_000), default=100, show_default=True, help="How many events a second at most."
)
@click.option("--dry-run", is_flag=True, help="Only count them.")
@as_json
@pass_shell
def replay(shell: Shell, /, event_id: str | None, *, dry_run: bool, as_json: bool, **wanted: Any) -> None:
    """Send an event, or all that the options meet, again: under their first ids, with their first bytes."""
    runtime, moment = shell.runtime, now()
    wishes = {"event": event_id, **wanted}
    row = flow.plan(runtime.engine, wishes, actor=shell.person, random=os.urandom(8), now=moment)
    if dry_run:
        show_one({"id": None, "state": "counted", "sent": flow.count(runtime.engine, row)}, as_json=as_json)
        return
    started = flow.start(runtime.engine, row, actor=shell.person, now=moment)
    runtime.memory.ring()
    show_one({name: started[name] for name in ("id", "state", "sent")}, as_json=as_json)
