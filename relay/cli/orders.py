"""Own `relay orders`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import IO, Any

import click

from relay.cli.imports import a_file, meant_source, of_form, registry_of, take
from relay.cli.output import as_json, at_most, pages, show, show_one
from relay.cli.releases import release
from relay.cli.shell import Shell, pass_shell
from relay.core.amounts import format_micros
from relay.core.chain_addresses import family_of, parse_address, show_address
from relay.core.orders import State
from relay.core.registrations import FIELDS
from relay.flows.register import register_orders
from relay.flows.timeline import order_with_timeline
from relay.store import orders as store
from relay.store.engine import reading

COLUMNS = ("updated_at", "source", "orderid", "state", "amount", "expected_amount", "user_ref", "flags", "held_reason")
STEPS = ("at", "what", "id", "facts")


@click.group()
def orders() -> None:
    """What we believe of each order."""


@orders.command(name="import")
@a_file
@of_form
@meant_source
@as_json
@pass_shell
def import_orders(shell: Shell, file: IO[bytes], form: str | None, source: str | None, *, as_json: bool) -> None:
    """Register the orders of FILE (- is standard input); may be repeated.

    Fields: source, orderid, user_ref, amount, chain, address, expires_at,
    notify_url, state (created, or credited for what was credited elsewhere).
    """
    registry = registry_of(shell, source)
    take(file, form, FIELDS, lambda lines: register_orders(registry, lines), as_json=as_json)


@orders.command(name="list")
@click.option("--state", type=click.Choice([str(state) for state in State]), help="Only in this state.")
@click.option("--user", help="Only of this user.")
@click.option("--address", help="Only paid to this address.")
@at_most
@as_json
@pass_shell
def list_orders(
    shell: Shell, state: str | None, user: str | None, address: str | None, limit: int, *, as_json: bool
) -> None:
    """List orders, newest first."""
    wanted: dict[str, Any] = {"state": state, "user": user, "address": _machine(address)}
    with reading(shell.runtime.engine) as connection:
        found = pages(lambda after, most: store.page(connection, scope=None, after=after, limit=most, **wanted), limit)
        show(map(_readable, found), COLUMNS, as_json=as_json)


@orders.command(name="show")
@click.argument("source")
@click.argument("orderid")
@as_json
@pass_shell
def show_order(shell: Shell, source: str, orderid: str, *, as_json: bool) -> None:
    """Show an order, by any source of its namespace, and everything that happened to it."""
    runtime = shell.runtime
    order, steps = order_with_timeline(runtime.engine, runtime.sources, source, orderid, actor=shell.person)
    show_one(_readable(order), as_json=as_json)
    show(map(asdict, steps), STEPS, as_json=as_json)


def _machine(address: str | None) -> str | None:
    """The reader of TRON's addresses takes those of the other chains as well."""
    if address is None:
        return None
    try:
        return parse_address(address, "tron")
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--address") from None


def _readable(row: Mapping[Any, Any]) -> dict[str, Any]:
    expected = row["expected_micros"]
    told = {"amount": None, **row, "expected_amount": None if expected is None else format_micros(expected)}
    if row["address"] is not None:
        told["address"] = show_address(row["address"], family_of(row["chain"]))
    return told


orders.add_command(release)
