"""Own how an approver ends a hold."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from relay.bootstrap import new_event_id, now
from relay.core.releases import Act, wish_of
from relay.flows import releases as flow
from relay.web.api.common import Body, Words, part, shown
from relay.web.api.orders import OrderPath, OrderShape
from relay.web.auth import role
from relay.web.context import actor, runtime

routes = part("releases", "How a named person ends the hold of an order.")


class Wish(Body):
    """What becomes of a held order, and why.

    `credit` takes the `amount` in USDT, or credits what was received;
    `adjust` takes the signed difference, such as "-1.5"; `reverse` takes
    everything back; `discard` throws away what was held, and what was credited before stands.
    """

    act: Annotated[Act, Field(strict=False)]
    reason: Words
    amount: Words | None = None


@routes.post("/orders/<source>/<path:orderid>/release", responses={200: OrderShape})
@role("approver")
def release_order(path: OrderPath, body: Wish) -> dict[str, Any]:
    """End the hold of an order; what subscribers are told follows from the act."""
    row = flow.release(
        runtime().engine,
        runtime().sources,
        path.source,
        path.orderid,
        wish_of(body.act, body.reason, body.amount),
        actor=actor(),
        now=now(),
        new_id=new_event_id,
    )
    runtime().memory.ring()
    return shown(OrderShape, row)
