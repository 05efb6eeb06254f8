"""Own `python -m relay`: the command line, noun before verb."""

from __future__ import annotations

import click

from relay.cli.addresses import addresses
from relay.cli.audit import audit
from relay.cli.callbacks import callbacks
from relay.cli.chains import chains
from relay.cli.close import close
from relay.cli.deliveries import deliveries
from relay.cli.doctor import doctor
from relay.cli.endpoints import endpoints
from relay.cli.events import events
from relay.cli.explain import explain
from relay.cli.keys import keys
from relay.cli.migrate import migrate
from relay.cli.orders import orders
from relay.cli.reconcile import reconcile
from relay.cli.releases import release
from relay.cli.replays import replay
from relay.cli.report import report
from relay.cli.run import run
from relay.cli.sandbox import sandbox
from relay.cli.secrets import secrets
from relay.cli.shell import Commands
from relay.cli.signatures import signatures
from relay.cli.sources import sources
from relay.cli.statement import statement
from relay.cli.users import users

COMMANDS: tuple[click.Command, ...] = (
    run,
    sandbox,
    migrate,
    doctor,
    keys,
    users,
    endpoints,
    orders,
    addresses,
    events,
    deliveries,
    callbacks,
    sources,
    chains,
    signatures,
    statement,
    reconcile,
    report,
    close,
    explain,
    audit,
    secrets,
)


@click.group(cls=Commands)
def main() -> None:
    """Relay and reconcile deposit callbacks."""


orders.add_command(release)
events.add_command(replay)
for command in COMMANDS:
    main.add_command(command)

if __name__ == "__main__":
    main(prog_name="python -m relay")
