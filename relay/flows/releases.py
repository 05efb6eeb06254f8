"""Own how a named person ends a hold, and two correct a credit: one transaction for the order, its event, its stopped deliveries and the audit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, RowMapping

from relay.core.actors import Actor
from relay.core.breaks import OF_SERVICES
from relay.core.evidence import NOTHING
from relay.core.orders import Order, State
from relay.core.releases import Act, Release
from relay.core.releases import release as judge
from relay.core.sources import Source
from relay.errors import NotFound
from relay.flows.ledger import Ledger
from relay.flows.timeline import Key, namespace_of, namespaces_in_scope
from relay.store import asked_acts, audit, break_list, evidence, orders, unordered
from relay.store import intake as store
from relay.store import releases as statements
from relay.store.engine import reading, writing


@dataclass(frozen=True, slots=True)
class By:
    """Who releases, and who asked for it where that was somebody else."""

    actor: Actor
    asked_by: str | None = None


def release(
    engine: Engine,
    sources: Mapping[str, Source],
    source: str,
    orderid: str,
    wish: Release,
    *,
    actor: Actor,
    now: datetime,
    new_id: Callable[[datetime], str],
) -> RowMapping:
    """Release a held order that any source of its namespace finds; return its row.

    Raises NotFound where the actor has no access, Conflict and Unprocessable
    as `relay.core.releases` says; nothing is changed then. The one credit is
    a constraint here as everywhere.
    """
    key = (namespace_of(sources, source), orderid)
    with writing(engine) as connection:
        within(connection, sources, key, wish, by=By(actor), now=now, new_id=new_id)
    with reading(engine) as connection:
        row = orders.find(connection, *key)
    if row is None:
        raise NotFound("no such order")
    return row


def within(
    connection: Connection,
    sources: Mapping[str, Source],
    key: Key,
    wish: Release,
    *,
    by: By,
    now: datetime,
    new_id: Callable[[datetime], str],
) -> None:
    """Release it in the caller's transaction, as `release` says; what one has asked for and another does may be a correction."""
    scope = namespaces_in_scope(sources, by.actor)
    if scope is not None and key[0] not in scope:
        raise NotFound("no such order")
    known, feed = store.open_orders(connection, [key], now=now)
    order = known.orders.get(key)
    if order is None:
        raise NotFound("no such order")
    announced = statements.announced(connection, *key)
    ruling = judge(order, wish, announced, by_two=by.asked_by is not None)
    ledger = Ledger(known, feed, now=now, new_id=new_id)
    facts = evidence.facts_of(connection, [order.key])
    ledger.follow(ruling, transfers=facts.get(order.key, NOTHING).transfers)
    # It was money of its own: the credit without an order that it was taken for awaits its own word again.
    if wish.act is Act.CREDIT:
        unordered.forget(connection, key)
    for row in _settle(connection, order, wish, by=by, now=now):
        ledger.announce_resolved(row)
    ledger.write(connection)


def _settle(connection: Connection, order: Order, wish: Release, *, by: By, now: datetime) -> list[RowMapping]:
    """What was announced arrives again, for every release speaks of it; what somebody asked for has ended; and the act has its row.

    Return the breaks that are over by it.
    """
    actor, subject = by.actor, f"{order.namespace}/{order.orderid}"
    let_go = statements.let_go(connection, *order.key, now=now)
    # Whether a service was told is no question of money: that break ends when it is.
    closed = break_list.close(connection, key=order.key, but=OF_SERVICES, by=actor.id, note=wish.reason, now=now)
    detail: dict[str, object] = {
        "act": wish.act.value,
        "micros": wish.micros,
        "reason": wish.reason,
        "held_reason": order.held_reason,
        "version": order.version,
        "deliveries": let_go,
        "breaks": len(closed),
    }
    if by.asked_by is None:
        asked_acts.overtake(connection, subject, by=actor.id, now=now)
    else:
        detail["asked_by"] = by.asked_by
    act = "order.release" if order.state == State.HELD else "order.correct"
    audit.append(connection, actor=actor.id, act=act, subject=subject, now=now, detail=detail)
    return closed
