"""Own how orders are looked at."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Response
from pydantic import computed_field

from relay.core.actors import FINANCE
from relay.core.orders import State
from relay.flows.timeline import What, namespaces_in_scope, order_with_timeline
from relay.store import orders
from relay.store.engine import reading
from relay.web.api.common import (
    Flags,
    GivenAddress,
    GivenMoment,
    Input,
    Listed,
    ListQuery,
    Moment,
    OptionalChainAddress,
    Shape,
    Words,
    listed,
    part,
    shown,
    tagged,
    usdt,
)
from relay.web.auth import role
from relay.web.context import actor, runtime

routes = part("orders", "What we believe of each order.")


class OrderQuery(ListQuery):
    """Which orders; `since` is compared with the last change, `user` with the user's reference, `address` in any spelling."""

    state: State | None = None
    user: Words | None = None
    address: GivenAddress | None = None
    since: GivenMoment | None = None


class OrderPath(Input):
    """An order by any source of its namespace."""

    source: Words
    orderid: Words


class OrderShape(Shape):
    """An order; `credited` is the net of what was announced, `version` counts its changes of state."""

    namespace: str
    orderid: str
    source: str
    appid: str | None
    user_ref: str | None
    provider_order_id: str | None
    state: str
    version: int
    amount_micros: int | None
    amount_raw: str | None
    expected_micros: int | None
    credited_micros: int
    registered: bool
    flags: Flags
    held_reason: str | None
    chain: str | None
    address: OptionalChainAddress
    notify_url: str | None
    expires_at: Moment | None
    created_at: Moment
    updated_at: Moment

    @computed_field
    def amount(self) -> str | None:
        """What was paid, in USDT."""
        return usdt(self.amount_micros)

    @computed_field
    def expected_amount(self) -> str | None:
        """What was asked for, in USDT."""
        return usdt(self.expected_micros)

    @computed_field
    def credited(self) -> str | None:
        """What subscribers were told to credit, in USDT."""
        return usdt(self.credited_micros)


class StepShape(Shape):
    """One thing that happened to an order."""

    at: Moment
    what: What
    id: str
    facts: dict[str, Any]


class OrderWithTimeline(OrderShape):
    """An order and its story, in order of time."""

    timeline: list[StepShape]


@routes.get("/orders", responses={200: Listed[OrderShape]})
@role("service", *FINANCE)
def list_orders(query: OrderQuery) -> dict[str, Any]:
    """List orders, newest first."""
    scope = namespaces_in_scope(runtime().sources, actor())
    with reading(runtime().engine) as connection:
        page = orders.page(connection, scope=scope, **query.model_dump())
    return listed(OrderShape, page.rows, page.next)


@routes.get("/orders/<source>/<path:orderid>", responses={200: OrderWithTimeline})
@role("service", *FINANCE)
def show_order(path: OrderPath) -> Response:
    """Show an order with everything that came, was announced, was sent and was disputed, with an ETag."""
    order, steps = order_with_timeline(runtime().engine, runtime().sources, path.source, path.orderid, actor=actor())
    return tagged(shown(OrderWithTimeline, order, timeline=[asdict(step) for step in steps]))
