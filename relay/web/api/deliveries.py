"""Own how deliveries are looked at and retried."""

from __future__ import annotations

from typing import Any

from relay.bootstrap import now
from relay.errors import NotFound
from relay.flows.deliveries import retry
from relay.store import deliveries
from relay.store.engine import reading
from relay.web.api.common import ByNumber, Listed, ListQuery, Moment, Shape, Switch, Words, listed, part, shown
from relay.web.auth import role
from relay.web.context import actor, runtime

routes = part("deliveries", "One event on its way to one endpoint.")


class DeliveryQuery(ListQuery):
    """Which deliveries; `endpoint` and `event` are ids, `undelivered` leaves out what has arrived."""

    state: deliveries.State | None = None
    endpoint: Words | None = None
    event: Words | None = None
    orderid: Words | None = None
    undelivered: Switch = False


class DeliveryShape(Shape):
    """A delivery; `attempts` counts the exchanges, `failures` the steps taken on the schedule."""

    id: int
    event_id: str
    event_sequence: int
    event_type: str
    namespace: str | None
    orderid: str | None
    endpoint_id: str
    endpoint_url: str
    state: str
    attempts: int
    failures: int
    due_at: Moment
    last_status: int | None
    last_error: str | None
    created_at: Moment
    finished_at: Moment | None


class AttemptShape(Shape):
    """One exchange; `answer` is the first bytes of what the endpoint said."""

    number: int
    started_at: Moment
    finished_at: Moment | None
    outcome: str | None
    status: int | None
    latency_ms: int | None
    error: str | None
    answer: str | None


class DeliveryWithAttempts(DeliveryShape):
    """A delivery and its exchanges, oldest first."""

    history: list[AttemptShape]


@routes.get("/deliveries", responses={200: Listed[DeliveryShape]})
@role("service")
def list_deliveries(query: DeliveryQuery) -> dict[str, Any]:
    """List deliveries, newest first."""
    with reading(runtime().engine) as connection:
        page = deliveries.page(connection, owner=_owner(), **query.model_dump())
    return listed(DeliveryShape, page.rows, page.next)


@routes.get("/deliveries/<int:id>", responses={200: DeliveryWithAttempts})
@role("service")
def show_delivery(path: ByNumber) -> dict[str, Any]:
    """Show a delivery with its attempts."""
    with reading(runtime().engine) as connection:
        row = deliveries.find(connection, path.id, owner=_owner())
        history = deliveries.attempts_of(connection, path.id)
    if row is None:
        raise NotFound("no such delivery")
    return shown(DeliveryWithAttempts, row, history=[dict(attempt) for attempt in history])


@routes.post("/deliveries/<int:id>/retry", responses={200: DeliveryShape})
@role("service")
def retry_delivery(path: ByNumber) -> dict[str, Any]:
    """Send a pending or dead delivery now, with its whole schedule before it."""
    row = retry(runtime().engine, path.id, actor=actor(), now=now())
    # Behind the commit: who hears the bell looks at once.
    runtime().memory.ring()
    return shown(DeliveryShape, row)


def _owner() -> str | None:
    return None if actor().sees_all else actor().id
