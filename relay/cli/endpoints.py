"""Own `relay endpoints`: where subscribers are told."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from relay.bootstrap import now, office_of
from relay.cli.output import as_json, at_most, names, or_json, pages, read_moment, say, show, show_one
from relay.cli.shell import Shell, pass_shell
from relay.core.events import rfc3339
from relay.core.filters import FILTERS, filters_of
from relay.errors import NotFound
from relay.flows import endpoints as flow
from relay.store import endpoints as store
from relay.store.engine import reading

COLUMNS = ("id", "state", "failing_since", "kind", "format", "event_types", "description", "url")
_MANY = {"source": "sources", "flag": "flags"}
KEEP_IT = "Keep the secret: it is not shown again."


def read_filters(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> dict[str, Any]:
    """Read `NAME=VALUE`, as often as given; `source` and `flag` may come more than once."""
    filters: dict[str, Any] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if name in _MANY and equals:
            filters.setdefault(_MANY[name], []).append(value)
        elif name in FILTERS and name not in _MANY.values() and name not in filters and equals:
            filters[name] = value
        else:
            raise click.BadParameter(f"{one}: source=, appid=, user_prefix=, amount_min=, amount_max= or flag=")
    return filters


def read_headers(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """Read `Name: value`, as often as given."""
    pairs = [one.partition(":") for one in given]
    headers = {name: value.strip() for name, _, value in pairs}
    if len(headers) < len(given):
        raise click.BadParameter("names a header twice")
    return headers


@click.group()
def endpoints() -> None:
    """Where subscribers are told."""


@endpoints.command()
@click.argument("url")
@click.option("--types", callback=names, help="Event types, comma-separated; every recharge type when left out.")
@click.option(
    "--filter",
    "filters",
    multiple=True,
    callback=read_filters,
    metavar="NAME=VALUE",
    help="Only what fits: source, appid, user_prefix, amount_min, amount_max, flag; source and flag more than once.",
)
@click.option("--description", default="", help="What it is for.")
@click.option(
    "--kind",
    type=click.Choice(("fixed", "per_order")),
    default="fixed",
    help="per_order: URL is the prefix of the URLs that orders bring along.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(("standard", "provider", "text")),
    default="standard",
    help="provider: the provider's own body, for a handler that reads it already; text: a sentence, for a chat tool.",
)
@click.option(
    "--signing",
    type=click.Choice(("source", "own")),
    default="source",
    help="Whose secret signs the format provider: the source's, or the endpoint's own.",
)
@click.option(
    "--header",
    "headers",
    multiple=True,
    callback=read_headers,
    metavar="NAME:VALUE",
    help="A header to send along, kept encrypted and never shown again; may come more than once.",
)
@click.option("--concurrency", type=click.IntRange(1, 256), default=32, show_default=True, help="Exchanges at once.")
@click.option("--rate", type=click.IntRange(1, 1_000), help="Deliveries a second at most; left out, as many as come.")
@click.option(
    "--ordered", is_flag=True, help="An order's later event waits until the earlier ones are delivered or dead."
)
@click.option(
    "--backfill-from", callback=read_moment, help="Send what happened since too: a time in RFC 3339, or a day."
)
@as_json
@pass_shell
def create(
    shell: Shell,
    url: str,
    *,
    types: list[str] | None,
    filters: dict[str, Any],
    description: str,
    kind: str,
    form: str,
    signing: str,
    headers: dict[str, str],
    concurrency: int,
    rate: int | None,
    ordered: bool,
    backfill_from: datetime | None,
    as_json: bool,
) -> None:
    """Register an endpoint; its secret is shown this once."""
    wishes: dict[str, Any] = {"url": url, "event_types": types, "description": description, "kind": kind}
    wishes |= {"format": form, "signing": signing, "filters": filters}
    wishes |= {
        "headers": headers,
        "concurrency": concurrency,
        "rate": rate,
        "ordered": ordered,
        "backfill_from": backfill_from,
    }
    row, secret = flow.create(office_of(shell.runtime), wishes, actor=shell.person, now=now())
    made = {"id": row["id"], "secret": secret, **_shown(row)}
    show_one(made, as_json=as_json, note=KEEP_IT)


@endpoints.command(name="list")
@at_most
@as_json
@pass_shell
def list_endpoints(shell: Shell, limit: int, *, as_json: bool) -> None:
    """List endpoints, newest first."""
    with reading(shell.runtime.engine) as connection:
        found = pages(lambda after, most: store.page(connection, owner=None, after=after, limit=most), limit)
        show(map(_shown, found), COLUMNS, as_json=as_json)


@endpoints.command(name="show")
@click.argument("endpoint_id")
@as_json
@pass_shell
def show_endpoint(shell: Shell, endpoint_id: str, *, as_json: bool) -> None:
    """Show one endpoint; its secret and the values of its headers are never shown."""
    with reading(shell.runtime.engine) as connection:
        row = store.find(connection, endpoint_id)
    if row is None:
        raise NotFound("no such endpoint")
    show_one(_shown(row), as_json=as_json)


@endpoints.command()
@click.argument("endpoint_id")
@click.option("--url", help="Another URL; deliveries that wait go there, too.")
@click.option(
    "--types", "event_types", callback=names, help="Event types, comma-separated, in place of the present ones."
)
@click.option(
    "--filter", "filters", multiple=True, callback=read_filters, metavar="NAME=VALUE", help="In place of all."
)
@click.option("--description", help="What it is for.")
@click.option(
    "--header", "headers", multiple=True, callback=read_headers, metavar="NAME:VALUE", help="In place of all."
)
@click.option("--concurrency", type=click.IntRange(1, 256), help="Exchanges at once.")
@click.option("--rate", type=click.IntRange(1, 1_000), help="Deliveries a second at most.")
@click.option("--ordered/--unordered", default=None, help="Whether an order's later event waits for the earlier ones.")
@as_json
@pass_shell
def change(shell: Shell, /, endpoint_id: str, *, as_json: bool, **given: Any) -> None:
    """Change what is named, and nothing else."""
    wishes = {name: value for name, value in given.items() if value not in (None, {})}
    if not wishes:
        raise click.UsageError("names nothing to change")
    row = flow.change(office_of(shell.runtime), endpoint_id, wishes, actor=shell.person, now=now())
    show_one(_shown(row), as_json=as_json)


@endpoints.command()
@click.argument("endpoint_id")
@click.confirmation_option(prompt="What waits for it is given up. Delete it?")
@or_json
@pass_shell
def delete(shell: Shell, endpoint_id: str) -> None:
    """Take an endpoint out of use for good; asks first, unless --yes."""
    flow.delete(office_of(shell.runtime), endpoint_id, actor=shell.person, now=now())
    say(f"{endpoint_id} is deleted", id=endpoint_id)


@endpoints.command()
@click.argument("endpoint_id")
@or_json
@pass_shell
def test(shell: Shell, endpoint_id: str) -> None:
    """Send a `relay.test` event to this endpoint alone."""
    delivery = flow.test(office_of(shell.runtime), endpoint_id, actor=shell.person, now=now())
    shell.runtime.memory.ring()
    say(f"delivery {delivery} is on its way; see: deliveries list --endpoint {endpoint_id}", delivery_id=delivery)


@endpoints.command(name="rotate-secret")
@click.argument("endpoint_id")
@click.option(
    "--overlap-hours",
    type=click.IntRange(0, flow.LONGEST_OVERLAP_H),
    default=flow.OVERLAP_H,
    show_default=True,
    help="For how long the present secrets sign too; 0 ends them at once.",
)
@as_json
@pass_shell
def rotate_secret(shell: Shell, endpoint_id: str, *, overlap_hours: int, as_json: bool) -> None:
    """Make a new secret, shown this once; for a while the ones before it sign too."""
    secret, until = flow.rotate_secret(
        office_of(shell.runtime), endpoint_id, overlap_h=overlap_hours, actor=shell.person, now=now()
    )
    show_one({"id": endpoint_id, "secret": secret, "previous_until": until}, as_json=as_json, note=KEEP_IT)


@endpoints.command()
@click.argument("endpoint_id")
@click.option("--skip", is_flag=True, help="Give up what waited instead of sending it.")
@or_json
@pass_shell
def enable(shell: Shell, endpoint_id: str, *, skip: bool) -> None:
    """Send what waited, oldest first, and everything from now on."""
    enabled = flow.enable(office_of(shell.runtime), endpoint_id, skip=skip, actor=shell.person, now=now())
    shell.runtime.memory.ring()
    since = f", the oldest since {rfc3339(enabled.oldest)}" if enabled.oldest else ""
    said = f"{endpoint_id} is enabled; {enabled.waited} waited{since}{' and were given up' if skip else ''}"
    say(said, id=endpoint_id, waited=enabled.waited, oldest=enabled.oldest)


@endpoints.command()
@click.argument("endpoint_id")
@or_json
@pass_shell
def pause(shell: Shell, endpoint_id: str) -> None:
    """Send nothing for a while; what happens meanwhile waits."""
    flow.stop(office_of(shell.runtime), endpoint_id, "paused", actor=shell.person, now=now())
    say(f"{endpoint_id} is paused; what happens meanwhile waits", id=endpoint_id)


@endpoints.command()
@click.argument("endpoint_id")
@or_json
@pass_shell
def disable(shell: Shell, endpoint_id: str) -> None:
    """Send nothing more; what happens meanwhile waits."""
    flow.stop(office_of(shell.runtime), endpoint_id, "disabled", actor=shell.person, now=now())
    say(f"{endpoint_id} is disabled; what happens meanwhile waits", id=endpoint_id)


_HIDDEN = {"secrets", "headers", "deleted_at", "gone_at", "failed_at", "failing_told_at"}
_FILTERED = {"sources", "appid", "user_prefix", "amount_min_micros", "amount_max_micros", "any_flags"}


def _shown(row: Mapping[Any, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in row.items() if name not in _HIDDEN | _FILTERED}
    return {**shown, "filters": filters_of(row), "header_names": flow.header_names(row)}
