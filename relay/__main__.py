"""Own `python -m relay`: the command line, noun before verb."""

from __future__ import annotations

import importlib

import click

from relay.cli.failures import Commands

# What each noun is about, as its own help begins. The module of a noun bears its name, and is loaded when it is meant:
# most of them bring the database, which takes a second to load.
NOUNS = {
    "addresses": "The address book: where users pay to, where money is collected, and strangers'.",
    "audit": "Who did what.",
    "callbacks": "What came to the callback door.",
    "chains": "The chains that are read.",
    "close": "The close of a day, by two persons, and of a month.",
    "deliveries": "Events on their way to endpoints.",
    "doctor": "Look at configuration, database, Redis, processes and sources; exit 1 for a fault, 2 for a bad configuration.",
    "endpoints": "Where subscribers are told.",
    "events": "What subscribers are told, in the order of commit.",
    "explain": "Explain the transaction TX, a hash with or without 0x: what became of it, and what to do next.",
    "keys": "Who may call the API.",
    "migrate": "Bring the database to this release; a newer one is left as it is.",
    "orders": "What we believe of each order.",
    "reconcile": "The join of callbacks, providers and chains.",
    "report": "The orders of days, for programs and spreadsheets.",
    "run": "Start web, worker and clock, with an embedded Redis where none is configured; Ctrl-C ends them.",
    "sandbox": "Order, make trouble, and run commands, while `run --sandbox` runs.",
    "secrets": "What is stored wrapped by SECRET_KEY.",
    "signatures": "How providers sign.",
    "sources": "The configured providers.",
    "statement": "What a provider lists in its back office.",
    "users": "Who may sign in to the pages.",
}


class Nouns(Commands):
    """The commands by noun, of which a call loads the one that it names."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the nouns."""
        return sorted(NOUNS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load what a noun means."""
        if cmd_name not in NOUNS:
            return None
        command: click.Command = getattr(importlib.import_module(f"relay.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the nouns without loading one."""
        with formatter.section("Commands"):
            formatter.write_dl([(noun, NOUNS[noun]) for noun in self.list_commands(ctx)])


@click.group(cls=Nouns)
def main() -> None:
    """Relay and reconcile deposit callbacks."""


if __name__ == "__main__":
    main(prog_name="python -m relay")
