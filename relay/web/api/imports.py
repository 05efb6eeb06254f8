"""Own how orders and addresses that were made elsewhere come in over HTTP: one, or a file of them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, cast

from flask import request
from pydantic import Field
from werkzeug.exceptions import UnsupportedMediaType

from relay.bootstrap import now
from relay.core.address_book import FIELDS as ADDRESS_FIELDS
from relay.core.registrations import FIELDS as ORDER_FIELDS
from relay.flows.addresses import import_addresses
from relay.flows.lines import Line, read_lines, read_object
from relay.flows.register import Registry, Result, register_orders
from relay.web.api.common import Input, Shape, Words, part, shown
from relay.web.auth import role
from relay.web.context import actor, runtime

routes = part("imports", "Orders and addresses that were made elsewhere; a repeated import changes nothing.")

# About 200,000 orders as CSV; what is larger is for the command line.
MOST_BYTES = 16 * 1024 * 1024
MOST_REFUSALS = 1_000
FORMS = {"application/x-ndjson": "jsonl", "application/jsonl": "jsonl", "text/csv": "csv", "application/json": "one"}


class ImportQuery(Input):
    """`source` is meant by lines that name none."""

    source: Words | None = None


class Refusal(Shape):
    """A line that was refused; `name` is its orderid or address."""

    line: int
    name: str
    reason: str


class Imported(Shape):
    """What became of the lines; of the refusals the first thousand are listed."""

    lines: int
    accepted: int
    unchanged: int
    refused: int
    refusals: list[Refusal] = Field(max_length=MOST_REFUSALS)


@routes.post("/orders/import", responses={200: Imported})
@role("service")
def import_orders_file(query: ImportQuery) -> dict[str, Any]:
    """Register orders: a JSON object, or JSON Lines (application/x-ndjson), or CSV (text/csv).

    Fields, all texts: source, orderid, user_ref, amount, chain, address,
    expires_at, notify_url, state (created, or credited: its credit is used up without an event).
    """
    return _imported(ORDER_FIELDS, query, register_orders)


@routes.post("/addresses/import", responses={200: Imported})
@role("service")
def import_addresses_file(query: ImportQuery) -> dict[str, Any]:
    """Enter addresses into the book: a JSON object, or JSON Lines (application/x-ndjson), or CSV (text/csv).

    Fields, all texts: chain, address, role (deposit, collection, provider, external), owner, source.
    """
    return _imported(ADDRESS_FIELDS, query, import_addresses)


def _imported(
    names: Sequence[str], query: ImportQuery, enter: Callable[[Registry, Iterable[Line]], Iterator[Result]]
) -> dict[str, Any]:
    registry = Registry(
        engine=runtime().engine,
        sources=runtime().sources,
        allow_cidrs=runtime().settings.endpoint_allow_cidrs,
        actor=actor(),
        clock=now,
        source=query.source,
    )
    return _summed(enter(registry, _lines(names)))


def _lines(names: Sequence[str]) -> Iterable[Line]:
    form = FORMS.get(request.mimetype)
    if form is None:
        raise UnsupportedMediaType(f"send one of {', '.join(FORMS)}")
    if form == "one":
        # Bytes that are no UTF-8 become halves of characters, which are refused as those of a line are.
        return [read_object(1, request.get_data().decode("utf-8", "surrogateescape"))]
    # Only a file, which is read line by line; one object stays below what every route takes.
    request.max_content_length = MOST_BYTES
    # Unbuffered, each line would be read a byte at a time.
    stream = io.BufferedReader(cast("io.RawIOBase", request.stream))
    return read_lines(stream, form, names=names)


def _summed(results: Iterator[Result]) -> dict[str, Any]:
    counts = {"accepted": 0, "unchanged": 0, "refused": 0}
    refusals: list[dict[str, Any]] = []
    for one in results:
        counts[one.outcome] += 1
        if one.outcome == "refused" and len(refusals) < MOST_REFUSALS:
            refusals.append({"line": one.line, "name": one.name, "reason": one.reason})
    return shown(Imported, {"lines": sum(counts.values()), **counts, "refusals": refusals})
