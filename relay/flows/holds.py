"""Own who looks after a held order, and why it is still held: what a close asks of each item that it carries on."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine

from relay.core.actors import Actor
from relay.errors import Conflict, NotFound
from relay.flows.breaks import checked_owner, said_of
from relay.store import audit, holds, orders
from relay.store.engine import AUDIT_LOCK, writing


def take(engine: Engine, namespace: str, orderid: str, owner: str, note: str, *, actor: Actor, now: datetime) -> None:
    """Give a held order to a person, with the reason why it is held on; an act of the audit.

    Conflict for an order that is not held, Unprocessable for a person who may not sign in, or no reason.
    """
    said = said_of(note, "/note")
    with writing(engine, lock=AUDIT_LOCK) as connection:
        name = checked_owner(connection, owner)
        order = orders.find(connection, namespace, orderid)
        if order is None:
            raise NotFound("no such order")
        if order["state"] != "held":
            raise Conflict("this order is not held")
        holds.keep(connection, namespace, orderid, owner=name, note=said, now=now)
        detail = {"owner": name, "note": said, "held": order["held_reason"]}
        subject = f"{namespace}/{orderid}"
        audit.append(connection, actor=actor.id, act="order.take", subject=subject, now=now, detail=detail)
