"""Own `relay chains`."""

from __future__ import annotations

from dataclasses import asdict

import click

from relay.bootstrap import now
from relay.cli.output import NUMBER, as_json, or_json, say, show
from relay.cli.shell import Shell, pass_shell
from relay.flows import chains as flow

COLUMNS = ("name", "state", "trouble", "nodes", "first_block", "final_number", "head_number", "scanned_at")


@click.group()
def chains() -> None:
    """The chains that are read."""


@chains.command(name="list")
@as_json
@pass_shell
def list_chains(shell: Shell, *, as_json: bool) -> None:
    """List chains: which are on, how far each was read, and what is wrong."""
    found = flow.overview(shell.runtime.engine, shell.runtime.settings.chains)
    show(map(asdict, found), COLUMNS, as_json=as_json)


@chains.command()
@click.argument("name")
@click.option("--block", type=NUMBER, help="The last block that is on the true chain, as several explorers show it.")
@click.option("--hash", "block_hash", help="The hash of that block.")
@or_json
@pass_shell
def resume(shell: Shell, name: str, block: int | None, block_hash: str | None) -> None:
    """Let a chain be read again that a deep reorg stopped.

    Without --block the nodes were wrong and have been replaced: what was read
    stands. With it, everything above that block is given up and read again.
    """
    if (block is None) != (block_hash is None):
        raise click.UsageError("--block and --hash belong together")
    known = None if block is None or block_hash is None else flow.Block(number=block, hash=block_hash)
    lost = flow.resume(shell.runtime.engine, name, known, actor=shell.person, now=now())
    say(f"{name} is read again by the next scan; {lost} transfers and events were given up", chain=name, lost=lost)
