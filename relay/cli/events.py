"""Own `relay events`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from relay.cli.output import NUMBER, as_json, at_most, pages, show
from relay.cli.replays import replay
from relay.cli.shell import Shell, pass_shell
from relay.cli.tail import COLUMNS, tail
from relay.errors import NotFound
from relay.store import events as store
from relay.store.engine import reading

of_type = click.option("--type", "event_type", help="Only of this type.")


@click.group()
def events() -> None:
    """What subscribers are told, in the order of commit."""


@events.command(name="list")
@of_type
@click.option("--source", help="Only of this source.")
@click.option("--order", "orderid", help="Only of this order.")
@click.option("--after", type=NUMBER, help="Only behind this sequence.")
@click.option("--unsent", is_flag=True, help="Only what no endpoint was to be told.")
@at_most
@as_json
@pass_shell
def list_events(
    shell: Shell,
    *,
    event_type: str | None,
    source: str | None,
    orderid: str | None,
    after: int | None,
    unsent: bool,
    limit: int,
    as_json: bool,
) -> None:
    """List events, oldest first."""
    wanted: dict[str, Any] = {"type": event_type, "source": source, "orderid": orderid, "unsent": unsent}
    with reading(shell.runtime.engine) as connection:
        found = pages(
            lambda cursor, most: store.page(connection, scope=None, after=cursor or after, limit=most, **wanted), limit
        )
        show(map(_told, found), COLUMNS, as_json=as_json)


@events.command(name="show")
@click.argument("event_id")
@as_json
@pass_shell
def show_event(shell: Shell, event_id: str, *, as_json: bool) -> None:
    """Print the body that every delivery sends; with --json its very bytes."""
    with reading(shell.runtime.engine) as connection:
        row = store.find(connection, event_id)
    if row is None:
        raise NotFound("no such event")
    click.echo(row["body"] if as_json else json.dumps(json.loads(row["body"]), indent=2))


def _told(row: Mapping[Any, Any]) -> dict[str, Any]:
    """The row with its body as JSON in place of its text."""
    return {**row, "body": json.loads(row["body"])}


events.add_command(replay)
events.add_command(tail)
