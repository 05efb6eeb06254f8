"""Own `relay orders release`."""

from __future__ import annotations

import click

from relay.bootstrap import new_event_id, now
from relay.cli.output import or_json, say
from relay.cli.shell import Shell, pass_shell
from relay.core.amounts import format_micros
from relay.core.releases import Act, wish_of
from relay.flows import releases as flow


@click.command()
@click.argument("source")
@click.argument("orderid")
@click.argument("act", type=click.Choice([str(act) for act in Act]))
@click.option("--reason", required=True, help="Why; the audit and subscribers are told.")
@click.option("--amount", help='USDT: of "credit" the sum, of "adjust" the signed difference, such as --amount=-1.5.')
@or_json
@pass_shell
def release(shell: Shell, source: str, orderid: str, act: str, *, reason: str, amount: str | None) -> None:
    """End the hold of an order: credit, adjust, reverse or discard."""
    runtime = shell.runtime
    wish = wish_of(act, reason, amount)
    row = flow.release(
        runtime.engine,
        runtime.sources,
        source,
        orderid,
        wish,
        actor=shell.person,
        now=now(),
        new_id=new_event_id,
    )
    runtime.memory.ring()
    credited = format_micros(row["credited_micros"])
    said = f"{orderid} is {row['state']}, credited with {credited} USDT"
    say(said, orderid=orderid, state=row["state"], credited=credited)
