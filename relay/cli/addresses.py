"""Own `relay addresses`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

import click

from relay.cli.imports import a_file, meant_source, of_form, registry_of, take
from relay.cli.output import as_json, at_most, pages, show
from relay.cli.shell import Shell, pass_shell
from relay.core.address_book import FIELDS, ROLES
from relay.core.chain_addresses import family_of, show_address
from relay.flows import addresses as flow
from relay.store import addresses as store
from relay.store.engine import reading

COLUMNS = ("chain", "address", "role", "namespace", "owner", "created_at")


@click.group()
def addresses() -> None:
    """The address book: where users pay to, where money is collected, and strangers'."""


@addresses.command(name="import")
@a_file
@of_form
@meant_source
@as_json
@pass_shell
def import_addresses(shell: Shell, file: IO[bytes], form: str | None, source: str | None, *, as_json: bool) -> None:
    """Enter the addresses of FILE (- is standard input); may be repeated.

    Fields: chain, address, role (deposit, collection, provider, external), owner, source.
    """
    registry = registry_of(shell, source)
    take(file, form, FIELDS, lambda lines: flow.import_addresses(registry, lines), as_json=as_json)


@addresses.command(name="list")
@click.option("--chain", help="Only on this chain.")
@click.option("--role", type=click.Choice(ROLES), help="Only of this role.")
@click.option("--owner", help="Only of this user.")
@at_most
@as_json
@pass_shell
def list_addresses(
    shell: Shell, chain: str | None, role: str | None, owner: str | None, limit: int, *, as_json: bool
) -> None:
    """List addresses, newest first."""
    wanted = {"chain": chain, "role": role, "owner": owner}
    with reading(shell.runtime.engine) as connection:
        found = pages(lambda after, most: store.page(connection, scope=None, after=after, limit=most, **wanted), limit)
        show(map(_readable, found), COLUMNS, as_json=as_json)


def _readable(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {**row, "address": show_address(row["address"], family_of(row["chain"]))}
