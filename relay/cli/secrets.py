"""Own `relay secrets`: what a change of SECRET_KEY needs."""

from __future__ import annotations

import click

from relay.bootstrap import now
from relay.cli.failures import FAILED
from relay.cli.output import as_json, show_one
from relay.cli.shell import Shell, pass_shell
from relay.flows.rewrap import rewrap as flow


@click.group()
def secrets() -> None:
    """What is stored wrapped by SECRET_KEY."""


@secrets.command()
@as_json
@click.pass_context
@pass_shell
def rewrap(shell: Shell, context: click.Context, *, as_json: bool) -> None:
    """Wrap every stored secret by the first of SECRET_KEY's keys, so that the later ones can be dropped; exit 1 when one cannot be read.

    Do it when every process runs with the new key in front of the old.
    """
    done = flow(shell.runtime.engine, shell.runtime.vault.renew, actor=shell.person, now=now())
    told = {"seen": done.seen, "renewed": done.renewed, "unreadable": done.unreadable}
    note = (
        "The later keys of SECRET_KEY can be dropped."
        if not done.unreadable
        else "No key of SECRET_KEY opens these; keep looking for theirs."
    )
    show_one(told, as_json=as_json, note=note)
    if done.unreadable:
        context.exit(FAILED)
