"""Own `relay audit`."""

from __future__ import annotations

import click

from relay.cli.failures import FAILED
from relay.cli.output import as_json, at_most, or_json, pages, say, show
from relay.cli.shell import Shell, pass_shell
from relay.store import audit as store
from relay.store.engine import reading


@click.group()
def audit() -> None:
    """Who did what."""


@audit.command(name="list")
@click.option("--actor", help="Only by this actor.")
@click.option("--subject", help="Only upon this.")
@at_most
@as_json
@pass_shell
def list_acts(shell: Shell, actor: str | None, subject: str | None, limit: int, *, as_json: bool) -> None:
    """List acts, newest first."""
    wanted = {"actor": actor, "subject": subject}
    with reading(shell.runtime.engine) as connection:
        found = pages(lambda after, most: store.page(connection, after=after, limit=most, **wanted), limit)
        show(found, ("sequence", "at", "actor", "act", "subject", "detail"), as_json=as_json)


@audit.command()
@click.option("--head", help="A hash that was once logged or written down, and must still be part of the chain.")
@or_json
@click.pass_context
@pass_shell
def verify(shell: Shell, context: click.Context, head: str | None) -> None:
    """Walk the chain; exit 1 when an act was changed, removed or cut off."""
    with reading(shell.runtime.engine) as connection:
        first_bad = store.verify(connection)
        newest = store.head(connection)
        is_cut = head is not None and not store.holds(connection, head)
    if first_bad is not None:
        click.echo(f"the chain breaks at {first_bad}", err=True)
    if is_cut:
        click.echo("the chain does not hold that head: its end was cut off", err=True)
    if first_bad is not None or is_cut:
        context.exit(FAILED)
    say(f"{newest.sequence} acts, whole; head {newest.hash}", acts=newest.sequence, head=newest.hash)
