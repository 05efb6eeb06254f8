"""Own what one transaction under the feed lock writes of orders: their states, the events of their changes, the breaks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from relay.core.callbacks import Callback
from relay.core.events import operation_body, recharge_body
from relay.core.evidence import most_telling
from relay.core.facts import Transfer
from relay.core.orders import Finding, Order, Ruling
from relay.store import intake as store

log = logging.getLogger(__name__)


def resolution(row: Mapping[Any, Any]) -> tuple[str, dict[str, Any]]:
    """Return the event that tells of a break's end, its type and data."""
    names = ("namespace", "orderid", "severity", "resolved_by")
    data = {"break_id": row["id"], "class": row["kind"], "reason": row["note"]} | {name: row[name] for name in names}
    return "reconciliation.break.resolved", data


class Ledger:
    """Follows rulings in their order and writes what they say, all at once.

    `known` and `feed` were read by the transaction that holds the feed lock,
    so that nobody else numbers events or changes orders until it ends.
    """

    def __init__(
        self, known: store.Known, feed: store.Feed, *, now: datetime, new_id: Callable[[datetime], str]
    ) -> None:
        self.known = known
        self.rows = store.Batch()
        self._sequence = feed.sequence
        self._now = now
        self._new_id = new_id
        self._findings: list[Finding] = []

    def follow(self, ruling: Ruling, callback: Callback | None = None, *, transfers: Sequence[Transfer] = ()) -> None:
        """Note what a ruling wants written; `callback` is what was judged, if it was one, `transfers` what the chain shows."""
        if ruling.finding is not None:
            self._findings.append(ruling.finding)
        order = ruling.order
        if order is None:
            return
        if ruling.stops_deliveries:
            self.rows.stopped.append(order.key)
        before = self.known.orders.get(order.key)
        is_new = before is None or order.key in self.rows.born
        (self.rows.born if is_new else self.rows.changed)[order.key] = order
        self.known.orders[order.key] = order
        if ruling.word_of is not None:
            self.rows.claimed.append((order.key, ruling.word_of))
        self.rows.taken += [(transfer, order.key) for transfer in ruling.takes]
        if ruling.announce is not None:
            delta = order.credited_micros - (0 if before is None else before.credited_micros)
            told = most_telling(transfers)
            self._announce(
                ruling.announce, ruling, order, callback or ruling, transfer=told, delta_micros=delta or None
            )

    def write(self, connection: Connection) -> None:
        """Write everything, as the last words of the transaction."""
        for finding in self._findings:
            if store.open_break(connection, finding, now=self._now):
                self.announce_break(finding)
        store.write(connection, self.rows, now=self._now)

    def _announce(
        self,
        event_type: str,
        ruling: Ruling,
        order: Order,
        cause: Callback | Ruling,
        *,
        transfer: Transfer | None,
        delta_micros: int | None,
    ) -> None:
        row = self._event(event_type)
        row["body"] = recharge_body(
            order,
            cause,
            transfer=transfer,
            change=ruling.change,
            event_type=event_type,
            event_id=row["id"],
            sequence=row["sequence"],
            now=self._now,
        )
        row |= {
            "source": order.source,
            "namespace": order.namespace,
            "orderid": order.orderid,
            "appid": order.appid,
            "user_ref": order.user_ref,
            "order_version": order.version,
            "generation": None if ruling.change is None else ruling.change.generation,
            "notify_url": order.notify_url,
            "amount_micros": order.amount_micros,
            "delta_micros": delta_micros,
            "flags": " ".join(sorted(order.flags)),
        }
        self.rows.events.append(row)

    def announce_break(self, finding: Finding) -> None:
        """Note that a break has opened, for those who subscribe to that."""
        namespace, orderid = finding.key
        data = {
            "break_id": finding.id,
            "class": finding.kind,
            "severity": finding.severity,
            "namespace": namespace,
            "orderid": orderid,
            "evidence": dict(finding.evidence),
        }
        if finding.spot is not None:
            data |= {"chain": finding.spot.chain, "subject": finding.spot.name}
        self.announce_operation("reconciliation.break.opened", data)
        self.rows.events[-1] |= {"source": finding.source, "namespace": namespace, "orderid": orderid}
        told = {"break_id": finding.id, "kind": finding.kind, "severity": finding.severity, "orderid": orderid}
        log.warning("break_opened", extra=told)

    def announce_resolved(self, row: Mapping[Any, Any]) -> None:
        """Note that a break is over; `row` is the break as it was left."""
        self.announce_operation(*resolution(row))
        self.rows.events[-1] |= {"namespace": row["namespace"], "orderid": row["orderid"]}

    def announce_operation(self, event_type: str, data: Mapping[str, Any]) -> None:
        """Note an operational event."""
        row = self._event(event_type)
        row["body"] = operation_body(event_type, event_id=row["id"], sequence=row["sequence"], now=self._now, data=data)
        self.rows.events.append(row)

    def _event(self, event_type: str) -> dict[str, Any]:
        """Every column of an event, numbered: sequence order is commit order because the feed lock is held."""
        self._sequence += 1
        return {
            "sequence": self._sequence,
            "id": self._new_id(self._now),
            "type": event_type,
            "source": None,
            "namespace": None,
            "orderid": None,
            "appid": None,
            "user_ref": None,
            "order_version": None,
            "generation": None,
            "notify_url": None,
            "amount_micros": None,
            "delta_micros": None,
            "flags": "",
            "body": "",
            "created_at": self._now,
        }
