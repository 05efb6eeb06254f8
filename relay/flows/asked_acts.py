"""Own how two persons move money: one asks, another does it; the database refuses one who is both."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping

from relay.core.actors import Actor
from relay.core.amounts import format_micros
from relay.core.releases import Act, Release
from relay.core.releases import release as judge
from relay.core.sources import Source
from relay.core.unordered import PREFIX, PROPOSABLE, key_of, subject_of
from relay.errors import Conflict, NotFound, Unprocessable
from relay.flows import recovery, releases, unordered
from relay.flows.intake import Intake
from relay.flows.reconcile import Bench
from relay.flows.timeline import namespace_of
from relay.store import asked_acts as store
from relay.store import audit, intake, recoveries
from relay.store import releases as statements
from relay.store.engine import FEED_LOCK, reading, writing

LONGEST = 2_000


@dataclass(frozen=True, slots=True)
class Till:
    """What an act on money works with: the reconciler's bench and the one door."""

    bench: Bench
    door: Intake


def ask_release(
    engine: Engine,
    sources: Mapping[str, Source],
    source: str,
    orderid: str,
    wish: Release,
    *,
    actor: Actor,
    now: datetime,
    act_id: str,
) -> None:
    """Ask for the end of a hold, or the correction of a credit. Refused at once when it could not be done now, or when somebody has asked already."""
    namespace = namespace_of(sources, source)
    with writing(engine, lock=FEED_LOCK) as connection:
        known, _ = intake.open_orders(connection, [(namespace, orderid)], now=now)
        order = known.orders.get((namespace, orderid))
        if order is None:
            raise NotFound("no such order")
        judge(order, wish, statements.announced(connection, namespace, orderid), by_two=True)
        row = {"source": source, "orderid": orderid, "act": wish.act.value, "micros": wish.micros, "orders": "[]"}
        _ask(connection, f"{namespace}/{orderid}", row, wish.reason, actor=actor, now=now, act_id=act_id)


def ask_brake(
    till: Till,
    source: str,
    orderids: Collection[str],
    reason: str,
    *,
    release: bool,
    actor: Actor,
    now: datetime,
    act_id: str,
) -> None:
    """Ask to credit, or to refuse, what a source's brake has stopped: these orders, or all that are stopped now when none is named."""
    if source not in till.bench.sources:
        raise NotFound("no such source")
    with writing(till.bench.engine, lock=FEED_LOCK) as connection:
        stopped = {row["orderid"]: row["amount_micros"] for row in recoveries.waiting(connection, "stopped", source)}
        unknown = sorted(set(orderids) - stopped.keys())
        if unknown or not stopped:
            raise Unprocessable(f"no brake has stopped {unknown[0] if unknown else 'anything'}", pointer="/orderids")
        chosen = sorted(orderids or stopped)
        micros = sum(stopped[one] for one in chosen)
        act = "release" if release else "refuse"
        row = {"source": source, "orderid": None, "act": act, "micros": micros, "orders": json.dumps(chosen)}
        _ask(connection, f"brake:{source}", row, reason, actor=actor, now=now, act_id=act_id)


def ask_credit(till: Till, break_id: str, reason: str, *, actor: Actor, now: datetime, act_id: str) -> None:
    """Propose money that came without an order, the subject of a break, as the credit of its address's owner."""
    with writing(till.bench.engine, lock=FEED_LOCK) as connection:
        key = unordered.transfer_of(connection, break_id)
        order = unordered.proposal(connection, till.bench, key)
        about = {"source": order.source, "orderid": order.orderid, "micros": order.credited_micros}
        row = {**about, "act": "credit", "orders": "[]"}
        _ask(connection, subject_of(key), row, reason, actor=actor, now=now, act_id=act_id)


def about(connection: Connection, row: Mapping[Any, Any]) -> RowMapping | None:
    """Return the wish that waits about the money of a break without an order, if there is one."""
    if row["kind"] not in PROPOSABLE or row["subject"] is None:
        return None
    return store.open_one(connection, f"{PREFIX}{row['chain']}/{row['subject']}")


def asked_of(connection: Connection, break_id: str) -> RowMapping:
    """Return the wish that waits about the money of a break; Conflict while nobody has proposed it."""
    wish = store.open_one(connection, subject_of(unordered.transfer_of(connection, break_id)))
    if wish is None:
        raise Conflict("nobody has proposed it yet: a preparer proposes, another person credits")
    return wish


def agree(till: Till, act_id: str, *, actor: Actor, now: datetime) -> RowMapping:
    """Do what another has asked for; return the wish. Conflict for whoever asked, when it has ended, or cannot be done any more."""
    bench = till.bench
    with writing(bench.engine, lock=FEED_LOCK) as connection:
        row = _open(connection, act_id)
        if row["asked_by"] == actor.id:
            raise Conflict("whoever asked for it cannot do it; it takes a second person")
        transfer = key_of(row["subject"])
        if transfer is not None:
            unordered.credit_within(connection, bench, transfer, row, actor=actor, now=now)
        elif row["orderid"] is not None:
            wish = Release(act=Act(row["act"]), reason=row["reason"], micros=row["micros"])
            key = (namespace_of(bench.sources, row["source"]), row["orderid"])
            by = releases.By(actor, asked_by=row["asked_by"])
            releases.within(connection, bench.sources, key, wish, by=by, now=now, new_id=bench.new_id)
        _decide(connection, act_id, "done", actor=actor, now=now)
    # After the commit: the door's own thread waits for the lock that is held until then.
    if row["orderid"] is None:
        _end_brake(till, row, actor=actor, now=now)
    return row


def decline(engine: Engine, act_id: str, *, actor: Actor, now: datetime) -> RowMapping:
    """Let a wish go, and return it: whoever asked withdraws it, anybody else refuses it; nothing of the money changes."""
    # The lock under which it would be agreed to: money that has moved is no wish that was withdrawn.
    with writing(engine, lock=FEED_LOCK) as connection:
        row = _open(connection, act_id)
        state = "withdrawn" if row["asked_by"] == actor.id else "declined"
        _decide(connection, act_id, state, actor=actor, now=now)
        detail = {"act": row["act"], "asked_by": row["asked_by"]}
        audit.append(connection, actor=actor.id, act=f"money.{state}", subject=row["subject"], now=now, detail=detail)
    return row


def _ask(
    connection: Connection,
    subject: str,
    row: Mapping[str, Any],
    reason: str,
    *,
    actor: Actor,
    now: datetime,
    act_id: str,
) -> None:
    """Write a wish; the caller holds the feed lock, so that of two who ask at once the second is told of the first."""
    said = reason.replace("\0", "").strip()
    if not 3 <= len(said) <= LONGEST:
        raise Unprocessable(f"say why in 3 to {LONGEST} characters", pointer="/reason")
    before = store.open_one(connection, subject)
    if before is not None:
        raise Conflict(f"{before['asked_by']} has asked for something already; decide that first")
    wish = {**row, "id": act_id, "subject": subject, "reason": said}
    store.ask(connection, {**wish, "state": "asked", "asked_by": actor.id, "asked_at": now})
    detail = {"act": row["act"], "usdt": row["micros"] and format_micros(row["micros"]), "reason": said}
    audit.append(connection, actor=actor.id, act="money.ask", subject=subject, now=now, detail=detail)


def _open(connection: Connection, act_id: str) -> RowMapping:
    row = store.find(connection, act_id)
    if row is None:
        raise NotFound("nobody has asked for that")
    if row["state"] != "asked":
        raise Conflict(f"this has ended: it is {row['state']}")
    return row


def _decide(connection: Connection, act_id: str, state: str, *, actor: Actor, now: datetime) -> None:
    """End a wish; Conflict, and with it nothing of this transaction, where it has ended meanwhile."""
    if not store.decide(connection, act_id, state, by=actor.id, now=now):
        raise Conflict("somebody else has just ended this; look again")


def _end_brake(till: Till, row: RowMapping, *, actor: Actor, now: datetime) -> None:
    """Do it for those that are still stopped: a witness may have taken some back since."""
    with reading(till.bench.engine) as connection:
        stopped = {one["orderid"] for one in recoveries.waiting(connection, "stopped", row["source"])}
    chosen = [one for one in json.loads(row["orders"]) if one in stopped]
    if not chosen:
        raise Conflict("none of them is stopped any more")
    recovery.decide(
        till.bench,
        till.door,
        chosen,
        release=row["act"] == "release",
        source=row["source"],
        reason=row["reason"],
        asked_by=row["asked_by"],
        actor=actor,
        now=now,
    )
