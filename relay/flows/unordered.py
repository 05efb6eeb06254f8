"""Own how money that came without an order becomes its owner's credit: judged when it is proposed, and again when it is done."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, RowMapping

from relay.core.actors import Actor
from relay.core.amounts import format_micros
from relay.core.evidence import NOTHING
from relay.core.facts import TransferKey
from relay.core.orders import Order, Ruling, Spot
from relay.core.unordered import PROPOSABLE, credit
from relay.errors import Conflict, NotFound
from relay.flows.ledger import Ledger
from relay.flows.reconcile import Bench
from relay.flows.settling import finding
from relay.store import audit, break_list, claims, evidence, intake, matching, strays, unordered


def proposal(connection: Connection, bench: Bench, key: TransferKey) -> Order:
    """Return the order that would be made for a transfer; Conflict when it cannot be."""
    found = _judged(connection, bench, key).order
    assert found is not None  # noqa: S101  # a credit always has its order
    return found


def transfer_of(connection: Connection, break_id: str) -> TransferKey:
    """Return the transfer that an open break is about. NotFound, and Conflict for a break about something else."""
    row = break_list.find(connection, break_id)
    if row is None:
        raise NotFound("no such break")
    if row["state"] != "open" or row["kind"] not in PROPOSABLE:
        raise Conflict("this is no open break about money that came without an order")
    return strays.move_key(row["chain"], row["subject"])


def credit_within(
    connection: Connection, bench: Bench, key: TransferKey, wish: RowMapping, *, actor: Actor, now: datetime
) -> None:
    """Credit a transfer to its owner as another person has asked (`wish`), in the caller's transaction under the feed lock.

    That a transfer belongs to one order, and an order has one credit, are
    constraints: of two who do it at once one meets them. Raises Conflict.
    """
    ruling = _judged(connection, bench, key)
    order = ruling.order
    assert order is not None  # noqa: S101  # as above
    known, feed = intake.open_orders(connection, [order.key], now=now)
    if order.key in known.orders or not matching.claim(connection, key, order.key, now=now):
        raise Conflict("this money has an order meanwhile")
    if credited := claims.credited_by_name(connection, key[1]):
        raise Conflict(f"{', '.join(credited)}: credited already, and names this transaction")
    if credited := unordered.credited_unbacked(connection, key, order, around=ruling.occurred_at or now):
        raise Conflict(f"{', '.join(credited)}: credited already to this user, and this may be its money")
    unordered.add(connection, order, now=now)
    ledger = Ledger(known, feed, now=now, new_id=bench.new_id)
    ledger.follow(ruling, transfers=evidence.facts_of(connection, [order.key]).get(order.key, NOTHING).transfers)
    closed = {"state": "resolved", "resolved_at": now, "resolved_by": actor.id, "note": wish["reason"]}
    spot = Spot(key[0], f"{key[1]}/{key[2]}", "")
    for kind in PROPOSABLE:
        about = finding(kind, source=None, key=(None, None), amount_micros=None, evidence={}, spot=spot)
        break_list.change(connection, about.id, **closed)
    detail: dict[str, object] = {
        "orderid": order.orderid,
        "owner": order.user_ref,
        "usdt": format_micros(order.credited_micros),
        "reason": wish["reason"],
        "asked_by": wish["asked_by"],
    }
    audit.append(connection, actor=actor.id, act="transfer.credit", subject=wish["subject"], now=now, detail=detail)
    ledger.write(connection)


def _judged(connection: Connection, bench: Bench, key: TransferKey) -> Ruling:
    found = strays.strays(connection, [key])
    if not found:
        raise NotFound("no such transfer")
    [stray] = found
    return credit(stray, [one for one in bench.sources.values() if one.namespace == stray.namespace])
