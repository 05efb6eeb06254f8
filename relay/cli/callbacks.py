"""Own `relay callbacks`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict

import click

from relay.bootstrap import now
from relay.cli.output import NUMBER, PAGE, as_json, at_most, pages, show
from relay.cli.shell import Shell, pass_shell
from relay.flows import reprocess as flow
from relay.store import callbacks as store
from relay.store.engine import reading

COLUMNS = ("id", "received_at", "source", "verdict", "reason", "orderid", "status", "amount_raw", "address")

of_source = click.option("--source", help="Only of this source.")
of_reason = click.option("--reason", help="Only rejected for this reason.")


@click.group()
def callbacks() -> None:
    """What came to the callback door."""


@callbacks.command(name="list")
@click.option("--verdict", type=click.Choice(("accepted", "conflict", "rejected")), help="Only with this verdict.")
@of_source
@of_reason
@at_most
@as_json
@pass_shell
def list_callbacks(
    shell: Shell, verdict: str | None, source: str | None, reason: str | None, limit: int, *, as_json: bool
) -> None:
    """List requests, newest first."""
    wanted = {"verdict": verdict, "source": source, "reason": reason}
    with reading(shell.runtime.engine) as connection:
        found = pages(lambda after, most: store.page(connection, after=after, limit=most, **wanted), limit)
        show(found, COLUMNS, as_json=as_json)


@callbacks.command()
@click.argument("callback_id", type=NUMBER, required=False)
@of_source
@of_reason
@click.option("--limit", type=click.IntRange(min=1), help="How many at most, oldest first; all when left out.")
@click.option("--dry-run", is_flag=True, help="Tell what would happen, and change nothing.")
@as_json
@pass_shell
def reprocess(
    shell: Shell,
    callback_id: int | None,
    source: str | None,
    reason: str | None,
    limit: int | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Send one stored request, or all rejected ones, through the door again."""
    runtime, actor = shell.runtime, shell.person
    if callback_id is not None:
        found: Iterable[flow.Outcome] = [
            flow.one(runtime.engine, runtime.forwarder, callback_id, dry_run=dry_run, actor=actor, now=now())
        ]
    else:
        wanted = {"source": source, "reason": reason}
        found = _counted(
            flow.all_rejected(
                runtime.engine, runtime.forwarder, limit=limit, dry_run=dry_run, actor=actor, clock=now, **wanted
            ),
            limit,
        )
    show(map(asdict, found), ("id", "result", "reason"), as_json=as_json)
    # The committer rings behind our back, but this process may end before it does.
    runtime.memory.ring()


def _counted(found: Iterable[flow.Outcome], limit: int | None) -> Iterator[flow.Outcome]:
    """Pass outcomes on; tell beside the answer how far we are, and at the end what became of how many."""
    counts: Counter[str] = Counter()
    for one in found:
        counts[one.result] += 1
        if sys.stderr.isatty() and counts.total() % PAGE == 0:
            click.echo(f"\r{counts.total()} looked at", err=True, nl=False)
        yield one
    told = ", ".join(f"{count} {result}" for result, count in sorted(counts.items()))
    click.echo(f"{counts.total()} looked at{': ' if told else ''}{told}", err=True)
    if counts.total() == limit:
        click.echo(f"stopped at --limit {limit}; there may be more", err=True)
