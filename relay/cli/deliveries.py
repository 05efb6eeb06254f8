"""Own `relay deliveries`."""

from __future__ import annotations

from typing import Any

import click

from relay.bootstrap import now
from relay.cli.output import NUMBER, as_json, at_most, or_json, pages, say, show
from relay.cli.shell import Shell, pass_shell
from relay.flows import deliveries as flow
from relay.store import deliveries as store
from relay.store.engine import reading

COLUMNS = ("id", "state", "event_type", "orderid", "endpoint_id", "attempts", "last_status", "last_error", "due_at")


@click.group()
def deliveries() -> None:
    """Events on their way to endpoints."""


@deliveries.command(name="list")
@click.option("--state", type=click.Choice(store.STATES), help="Only in this state.")
@click.option("--endpoint", help="Only to this endpoint.")
@click.option("--order", "orderid", help="Only of this order.")
@click.option("--undelivered", is_flag=True, help="Only what has not arrived, in whatever state.")
@at_most
@as_json
@pass_shell
def list_deliveries(shell: Shell, /, *, limit: int, as_json: bool, **wanted: Any) -> None:
    """List deliveries, newest first."""
    with reading(shell.runtime.engine) as connection:
        found = pages(lambda after, most: store.page(connection, owner=None, after=after, limit=most, **wanted), limit)
        show(found, COLUMNS, as_json=as_json)


@deliveries.command()
@click.argument("delivery_id", type=NUMBER)
@or_json
@pass_shell
def retry(shell: Shell, delivery_id: int) -> None:
    """Send a pending or dead delivery now, with its whole schedule before it."""
    flow.retry(shell.runtime.engine, delivery_id, actor=shell.person, now=now())
    shell.runtime.memory.ring()
    say(f"delivery {delivery_id} is due", id=delivery_id)
