"""Own how programs read what the brakes have stopped, and how an approver lets it go."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from relay.bootstrap import bench_of, now
from relay.core.actors import FINANCE
from relay.flows import recovery
from relay.store import recoveries
from relay.store.engine import reading
from relay.web.api.common import Body, Input, Listed, Moment, Shape, Whole, Words, listed, part, shown, usdt
from relay.web.api.sources import SourcePath
from relay.web.auth import role
from relay.web.context import actor, runtime

routes = part("brakes", "Lost payments that a brake has stopped, until a person decides.")


class StoppedShape(Shape):
    """A payment without a callback that a brake has stopped, with what speaks for it; `amount` in USDT."""

    source: str
    namespace: str
    orderid: str
    amount: str
    tx_hash: str | None
    found_at: Moment
    evidence: Annotated[dict[str, Any], BeforeValidator(json.loads)]


class StoppedQuery(Input):
    """How the list is read. `after` is the `next` of the page before."""

    limit: Whole = Field(50, ge=1, le=250)
    after: Words | None = None


class Decision(Body):
    """Which orders (all that are stopped when none is named), and why."""

    orderids: list[Words] = Field([], max_length=1_000)
    reason: Words


class DecidedShape(Shape):
    """How many payments were credited, or refused."""

    count: int


@routes.get("/reconciliation/brakes", responses={200: Listed[StoppedShape]})
@role(*FINANCE)
def list_stopped(query: StoppedQuery) -> dict[str, Any]:
    """List what brakes have stopped, the largest first."""
    with reading(runtime().engine) as connection:
        page = recoveries.stopped_page(connection, after=query.after, limit=query.limit)
    return listed(StoppedShape, [{**row, "amount": usdt(row["amount_micros"])} for row in page.rows], page.next)


@routes.post("/reconciliation/brakes/<source>/release", responses={200: DecidedShape})
@role("approver")
def release_stopped(path: SourcePath, body: Decision) -> dict[str, Any]:
    """Credit what a source's brake has stopped: some, or all."""
    return _decided(path.source, body, release=True)


@routes.post("/reconciliation/brakes/<source>/refuse", responses={200: DecidedShape})
@role("approver")
def refuse_stopped(path: SourcePath, body: Decision) -> dict[str, Any]:
    """Credit none of it; its breaks stay open."""
    return _decided(path.source, body, release=False)


def _decided(source: str, body: Decision, *, release: bool) -> dict[str, Any]:
    count = recovery.decide(
        bench_of(runtime(), actor().id),
        runtime().intake,
        body.orderids,
        release=release,
        source=source,
        reason=body.reason,
        actor=actor(),
        now=now(),
    )
    runtime().memory.ring()
    return shown(DecidedShape, {"count": count})
