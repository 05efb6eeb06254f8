"""Own `python -m relay`: the command line, noun before verb."""

from __future__ import annotations

import click

from relay.cli.migrate import migrate
from relay.cli.run import run
from relay.cli.shell import Commands

COMMANDS: tuple[click.Command, ...] = (run, migrate)


@click.group(cls=Commands)
def main() -> None:
    """Relay and reconcile deposit callbacks."""


for command in COMMANDS:
    main.add_command(command)

if __name__ == "__main__":
    main(prog_name="python -m relay")
