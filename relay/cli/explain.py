"""Own `relay explain`."""

from __future__ import annotations

import time

import click

from relay.bootstrap import inquirer_of, now
from relay.cli.failures import FAILED
from relay.cli.output import as_json, show_one
from relay.cli.shell import Shell, pass_shell
from relay.core.explaining import facts_of
from relay.flows.explaining import look_up, machine_hash

EVERY_S = 1.0


@click.command()
@click.argument("tx")
@click.option(
    "--wait", type=click.IntRange(0, 600), default=30, show_default=True, help="How many seconds to wait for the nodes."
)
@as_json
@click.pass_context
@pass_shell
def explain(shell: Shell, context: click.Context, tx: str, wait: int, *, as_json: bool) -> None:
    """Explain the transaction TX, a hash with or without 0x: what became of it, and what to do next."""
    inquirer, tx_hash = inquirer_of(shell.runtime, None), machine_hash(tx)
    end = time.monotonic() + wait
    while (found := look_up(inquirer, tx_hash, now=now())) is None:
        if time.monotonic() >= end:
            click.echo("Error: the nodes were not asked yet; is a worker running? Ask again in a moment.", err=True)
            context.exit(FAILED)
        time.sleep(EVERY_S)
    show_one(facts_of(found, tx_hash), as_json=as_json)
