"""Own how orders are made at their providers."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import RowMapping

from relay.flows.creation import create
from relay.web.api.common import URL, Body, Moment, Shape, Words, part, shown
from relay.web.api.orders import OrderShape
from relay.web.auth import role
from relay.web.context import actor, runtime

routes = part("creation", "Orders that are made at their provider.")


class NewOrder(Body):
    """What an order is made from. What its kind does not need may be left out; `amount` is USDT as a text.

    `notify_url` is where our events of this order go; the provider is told our own callback URL.
    """

    source: Words
    orderid: Words
    kind: Words | None = None
    user_ref: Words | None = None
    amount: Words | None = None
    chain: Words | None = None
    address: Words | None = None
    expires_at: Words | None = None
    notify_url: URL | None = None


class CreationShape(Shape):
    """The request for an order.

    `state`: waiting (not sent yet), sent, done, or unknown (nobody can tell
    whether the provider made it; it is asked where that is possible, and the
    request is never sent twice). `answer` is what the provider told, `error`
    why it is not done.
    """

    kind: str
    state: str
    error: str | None
    answer: dict[str, str] | None
    tries: int
    created_at: Moment
    sent_at: Moment | None
    answered_at: Moment | None


class MadeOrder(OrderShape):
    """An order and the request for it."""

    creation: CreationShape


@routes.post("/orders", responses={201: MadeOrder, 202: MadeOrder})
@role("service")
def create_order(body: NewOrder) -> tuple[dict[str, Any], int]:
    """Make an order at its provider and register it: 201 when it is made, 202 while that is not known.

    Waits up to eight seconds. The same order with the same fields may be
    asked for again, and is answered with how it stands; with other fields it
    is a conflict. What the provider refuses is 422 `provider_refused`, in its own words.
    """
    fields = body.model_dump(exclude_none=True, exclude={"kind"})
    order, request = create(runtime().creator, fields, kind=body.kind, actor=actor())
    status = 201 if request["state"] == "done" else 202
    return shown(MadeOrder, order, creation=_shown(request)), status


def _shown(request: RowMapping) -> dict[str, Any]:
    answer = request["answer"]
    return {**request, "kind": request["call"], "answer": json.loads(answer) if answer else None}
