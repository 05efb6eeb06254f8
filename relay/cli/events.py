"""Own `relay events`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import click
from sqlalchemy import Engine

from relay.cli.output import NUMBER, PAGE, as_json, at_most, pages, show, tell
from relay.cli.shell import Shell, pass_shell
from relay.errors import NotFound
from relay.store import events as store
from relay.store.engine import reading
from relay.store.paging import Cursor

COLUMNS = ("sequence", "created_at", "type", "source", "orderid", "id")
POLL_S = 0.5

of_type = click.option("--type", "event_type", help="Only of this type.")


@click.group()
def events() -> None:
    """What subscribers are told, in the order of commit."""


@events.command(name="list")
@of_type
@click.option("--source", help="Only of this source.")
@click.option("--order", "orderid", help="Only of this order.")
@click.option("--after", type=NUMBER, help="Only behind this sequence.")
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
    limit: int,
    as_json: bool,
) -> None:
    """List events, oldest first."""
    wanted: dict[str, Any] = {"type": event_type, "source": source, "orderid": orderid}
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


@events.command()
@of_type
@click.option(
    "--limit", type=click.IntRange(min=0), default=10, show_default=True, help="How many of the newest to begin with."
)
@click.option("--follow", is_flag=True, help="Go on with what is committed, until Ctrl-C.")
@as_json
@pass_shell
def tail(shell: Shell, event_type: str | None, limit: int, *, follow: bool, as_json: bool) -> None:
    """Print the newest events, oldest first, an event a line."""
    engine = shell.runtime.engine
    with reading(engine) as connection:
        # Sequences have no gaps, so this is where the last so many begin.
        after = max(0, store.newest(connection) - limit)
    if follow:
        click.echo("following; Ctrl-C ends it", err=True)
    try:
        for event in _behind(engine, after, event_type, follow=follow):
            tell(event, COLUMNS, as_json=as_json)
    except KeyboardInterrupt:
        click.echo("", err=True)


def _behind(engine: Engine, after: Cursor, event_type: str | None, *, follow: bool) -> Iterator[dict[str, Any]]:
    """Yield the events behind a cursor; with `follow` wait for more when there are none."""
    while True:
        with reading(engine) as connection:
            page = store.page(connection, scope=None, after=after, limit=PAGE, type=event_type)
        yield from map(_told, page.rows)
        after = page.rows[-1]["sequence"] if page.rows else after
        if page.next is None:
            if not follow:
                return
            time.sleep(POLL_S)


def _told(row: Mapping[Any, Any]) -> dict[str, Any]:
    """The row with its body as JSON in place of its text."""
    return {**row, "body": json.loads(row["body"])}
