"""Own `relay events replay`."""

from __future__ import annotations

import os
from datetime import datetime

import click

from relay.bootstrap import now
from relay.cli.output import as_json, show_one
from relay.cli.shell import Shell, pass_shell
from relay.flows import replays as flow

WHICH = ("failed", "missing", "all")


@click.command()
@click.argument("event_id", required=False)
@click.option("--endpoint", "endpoint_id", help="Only to this endpoint.")
@click.option("--type", "event_type", help="Only of this type.")
@click.option("--order", "orderid", help="Only of this order.")
@click.option(
    "--since", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]), help="Only what happened since, in UTC."
)
@click.option(
    "--only", "which", type=click.Choice(WHICH), default=WHICH[0], show_default=True, help="Which deliveries."
)
@click.option("--dry-run", is_flag=True, help="Only count them.")
@as_json
@pass_shell
def replay(
    shell: Shell,
    event_id: str | None,
    *,
    endpoint_id: str | None,
    event_type: str | None,
    orderid: str | None,
    since: datetime | None,
    which: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Send an event, or all that the options meet, again: under their first ids, with their first bytes."""
    runtime, moment = shell.runtime, now()
    wishes: dict[str, object] = {
        "event": event_id,
        "endpoint_id": endpoint_id,
        "type": event_type,
        "orderid": orderid,
        "which": which,
    }
    wishes["since"] = None if since is None else since.replace(tzinfo=moment.tzinfo)
    row = flow.plan(runtime.engine, wishes, actor=shell.person, random=os.urandom(8), now=moment)
    if dry_run:
        show_one({"id": None, "state": "counted", "sent": flow.count(runtime.engine, row)}, as_json=as_json)
        return
    started = flow.start(runtime.engine, row, actor=shell.person, now=moment)
    runtime.memory.ring()
    show_one({name: started[name] for name in ("id", "state", "sent")}, as_json=as_json)
