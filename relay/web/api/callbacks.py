"""Own how operators look at the requests of providers, and send one through the door again."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, computed_field

from relay.bootstrap import now
from relay.errors import NotFound
from relay.flows import reprocess
from relay.store import callbacks
from relay.store.engine import reading
from relay.web.api.common import (
    ByNumber,
    Flags,
    Listed,
    ListQuery,
    Moment,
    Number,
    OptionalBody,
    Shape,
    Words,
    listed,
    part,
    shown,
    usdt,
)
from relay.web.auth import role
from relay.web.context import actor, runtime

routes = part("callbacks", "What came to the callback door, accepted or not.")


class CallbackQuery(ListQuery):
    """Which requests; `reason` names why one was rejected."""

    verdict: Literal["accepted", "conflict", "rejected"] | None = None
    reason: Words | None = None
    source: Words | None = None


class CallbackShape(Shape):
    """A request at the door and what was read from it; a rejected one was not believed, so nothing of it was read."""

    id: int
    source: str
    verdict: str
    reason: str | None
    namespace: str | None
    orderid: str | None
    status: str | None
    appid: str | None
    user_ref: str | None
    amount_micros: int | None
    amount_raw: str | None
    provider_order_id: str | None
    tx_hash: str | None
    occurred_at: Moment | None
    secret_id: str | None
    origin: str
    flags: Flags
    address: str | None
    request_id: str | None
    received_at: Moment

    @computed_field
    def amount(self) -> str | None:
        """The amount in USDT."""
        return usdt(self.amount_micros)


def _readable(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode("utf-8", "backslashreplace")


class WholeCallback(CallbackShape):
    """The request as it came; bytes that are no UTF-8 stand as escapes."""

    content_type: str | None
    query: str | None
    headers: Annotated[dict[str, str], BeforeValidator(json.loads)]
    body: Annotated[str | None, BeforeValidator(_readable)]


class Again(OptionalBody):
    """`dry_run` tells what would happen and changes nothing."""

    dry_run: bool = False


class ManyAgain(Again):
    """Which rejected requests, oldest first; `after` is the `next` of the answer before."""

    source: Words | None = None
    reason: Words | None = None
    limit: int = Field(50, ge=1, le=250)
    after: Number | None = None


class OutcomeShape(Shape):
    """What became of a request: accepted, duplicate, conflict, rejected again, or `passes` in a dry run."""

    id: int
    result: str
    reason: str | None


@routes.get("/callbacks", responses={200: Listed[CallbackShape]})
@role("operator")
def list_callbacks(query: CallbackQuery) -> dict[str, Any]:
    """List requests, newest first."""
    with reading(runtime().engine) as connection:
        page = callbacks.page(connection, **query.model_dump())
    return listed(CallbackShape, page.rows, page.next)


@routes.get("/callbacks/<int:id>", responses={200: WholeCallback})
@role("operator")
def show_callback(path: ByNumber) -> dict[str, Any]:
    """Show a request with its bytes."""
    with reading(runtime().engine) as connection:
        row = callbacks.find(connection, path.id)
    if row is None:
        raise NotFound("no such callback")
    return shown(WholeCallback, row)


@routes.post("/callbacks/<int:id>/reprocess", responses={200: OutcomeShape})
@role("operator")
def reprocess_callback(path: ByNumber, body: Again) -> dict[str, Any]:
    """Send a stored request through the door again, with today's configuration."""
    engine, door = runtime().engine, runtime().forwarder
    found = reprocess.one(engine, door, path.id, dry_run=body.dry_run, actor=actor(), now=now())
    return shown(OutcomeShape, asdict(found))


@routes.post("/callbacks/reprocess", responses={200: Listed[OutcomeShape]})
@role("operator")
def reprocess_callbacks(body: ManyAgain) -> dict[str, Any]:
    """Send a page of rejected requests through the door again."""
    engine, door = runtime().engine, runtime().forwarder
    found, following = reprocess.rejected(engine, door, **body.model_dump(), actor=actor(), now=now())
    return listed(OutcomeShape, map(asdict, found), following)
