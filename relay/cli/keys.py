"""Own `relay keys`: who may call the API."""

from __future__ import annotations

import os

import click

from relay.bootstrap import now
from relay.cli.output import as_json, at_most, names, or_json, pages, say, show, show_one
from relay.cli.shell import Shell, pass_shell
from relay.core.actors import ROLES
from relay.flows import keys as flow
from relay.store import keys as store
from relay.store.engine import reading

COLUMNS = ("id", "name", "roles", "sources", "created_at", "revoked_at")


@click.group()
def keys() -> None:
    """Who may call the API."""


@keys.command()
@click.argument("name")
@click.option(
    "--roles", callback=names, default="service", show_default=True, help=f"Comma-separated: {', '.join(ROLES)}."
)
@click.option("--sources", callback=names, help="Bind a service key to these sources, comma-separated.")
@as_json
@pass_shell
def create(shell: Shell, *, name: str, roles: list[str], sources: list[str] | None, as_json: bool) -> None:
    """Make a key; it is shown this once."""
    runtime = shell.runtime
    holder, key = flow.create(
        runtime.engine,
        name,
        roles,
        sources,
        known=runtime.sources,
        random=os.urandom(flow.RANDOM_BYTES),
        actor=shell.person,
        now=now(),
    )
    scope = None if holder.sources is None else sorted(holder.sources)
    made = {"id": holder.id, "name": name, "roles": sorted(holder.roles), "sources": scope, "key": key}
    show_one(made, as_json=as_json, note="Keep the key: it is not shown again.")


@keys.command(name="list")
@at_most
@as_json
@pass_shell
def list_keys(shell: Shell, limit: int, *, as_json: bool) -> None:
    """List keys, newest first, the revoked ones too."""
    with reading(shell.runtime.engine) as connection:
        found = pages(lambda after, most: store.page(connection, after=after, limit=most), limit)
        show(found, COLUMNS, as_json=as_json)


@keys.command()
@click.argument("key_id")
@or_json
@pass_shell
def revoke(shell: Shell, key_id: str) -> None:
    """End a key at once."""
    flow.revoke(shell.runtime.engine, key_id, actor=shell.person, now=now())
    say(f"{key_id} is revoked", id=key_id)
