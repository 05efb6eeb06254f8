"""Own one transaction over a batch of arrivals: read what is known, judge in order of arrival, write in bulk."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from relay.core.callbacks import Callback
from relay.core.events import operation_body, recharge_body
from relay.core.orders import Finding, Ruling, Verdict, rule
from relay.core.sources import Source
from relay.errors import RelayError, Unavailable
from relay.store import intake as store
from relay.store.engine import writing
from relay.store.rows import callback_values, callbacks

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Arrival:
    """One request at the door and the place where its caller waits.

    `raw` holds the columns of the request itself; `callback` is None for a
    rejected one, whose `raw` then names the reason.
    """

    raw: dict[str, Any]
    callback: Callback | None = None
    source: Source | None = None
    verdict: Verdict | None = None
    error: RelayError | None = None
    _done: Any = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        # A bare lock, taken once and released by the committer, is the cheapest way to wait for another thread.
        self._done.acquire()

    def settle(self, verdict: Verdict | None, error: RelayError | None = None) -> None:
        """Let the caller go on."""
        self.verdict, self.error = verdict, error
        self._done.release()

    def wait(self, timeout_s: float) -> Verdict | None:
        """Return the verdict (None for a rejected one), or raise what stopped it."""
        if not self._done.acquire(timeout=timeout_s):
            raise Unavailable("the commit takes too long")
        if self.error is not None:
            raise self.error
        return self.verdict


@dataclass(slots=True)
class Outcome:
    """What one arrival's caller is told, and whether anyone else has to be."""

    verdict: Verdict | None = None
    error: RelayError | None = None
    announced: bool = False


class Judgement:
    """One transaction over a batch: read what is known, judge in order of arrival, write in bulk."""

    def __init__(self, batch: Sequence[Arrival], *, now: datetime, new_id: Callable[[datetime], str]) -> None:
        self._batch = batch
        self._now = now
        self._new_id = new_id
        self._rows = store.Batch()
        self._known = store.Known()
        self._paused: set[str] = set()
        self._findings: list[Finding] = []
        self._sequence = 0
        self.outcomes: list[Outcome] = []

    def write(self, engine: Engine) -> None:
        """Commit the batch, or raise and leave nothing."""
        arrived = [arrival.callback for arrival in self._batch if arrival.callback is not None]
        if not arrived:
            self._keep_rejected(engine)
            return
        with writing(engine) as connection:
            self._known, feed = store.open_feed(connection, arrived)
            self._sequence, self._paused = feed.sequence, feed.paused
            self.outcomes = [self._judge(arrival) for arrival in self._batch]
            for finding in self._findings:
                if store.open_break(connection, finding, now=self._now):
                    self._announce_break(finding)
            store.write(connection, self._rows, now=self._now)

    def _keep_rejected(self, engine: Engine) -> None:
        """Rejected requests announce nothing, so they need no place in the feed and no lock."""
        with writing(engine) as connection:
            store.keep_rejected(connection, [_row(arrival, "rejected") for arrival in self._batch])
        self.outcomes = [Outcome() for _ in self._batch]

    def _judge(self, arrival: Arrival) -> Outcome:
        callback, source = arrival.callback, arrival.source
        if callback is None or source is None:
            self._rows.callbacks.append(_row(arrival, "rejected"))
            return Outcome()
        order = self._known.orders.get(callback.key)
        ruling = rule(
            callback,
            source,
            order=order,
            known=self._known.about(callback),
            paused=source.name in self._paused,
            now=self._now,
        )
        if ruling.verdict is Verdict.FORGERY:
            self._rows.callbacks.append(_row(arrival, "rejected") | {"reason": "forgery", "signature": None})
        elif ruling.verdict is not Verdict.DUPLICATE:
            self._rows.callbacks.append(_row(arrival, ruling.verdict.value))
            self._known.keep(callback)
            self._follow(ruling, callback)
        return Outcome(verdict=ruling.verdict, announced=ruling.announce is not None or ruling.finding is not None)

    def _follow(self, ruling: Ruling, callback: Callback) -> None:
        if ruling.finding is not None:
            self._findings.append(ruling.finding)
        if ruling.stops_deliveries:
            self._rows.stopped.append(callback.key)
        if ruling.order is None:
            return
        is_new = callback.key not in self._known.orders or callback.key in self._rows.born
        (self._rows.born if is_new else self._rows.changed)[callback.key] = ruling.order
        self._known.orders[callback.key] = ruling.order
        if ruling.announce is not None:
            self._announce(ruling, callback)

    def _announce(self, ruling: Ruling, callback: Callback) -> None:
        order = ruling.order
        if order is None or ruling.announce is None:
            return
        row = self._event(ruling.announce)
        row["body"] = recharge_body(
            order, callback, event_type=ruling.announce, event_id=row["id"], sequence=row["sequence"], now=self._now
        )
        row |= {
            "source": order.source,
            "namespace": order.namespace,
            "orderid": order.orderid,
            "order_version": order.version,
            "amount_micros": order.amount_micros,
            "flags": " ".join(sorted(order.flags)),
        }
        self._rows.events.append(row)

    def _announce_break(self, finding: Finding) -> None:
        row = self._event("reconciliation.break.opened")
        namespace, orderid = finding.callback.key
        data = {
            "break_id": finding.id,
            "class": finding.kind,
            "severity": finding.severity,
            "namespace": namespace,
            "orderid": orderid,
            "evidence": finding.evidence,
        }
        row["body"] = operation_body(
            row["type"], event_id=row["id"], sequence=row["sequence"], now=self._now, data=data
        )
        row |= {"source": finding.callback.source, "namespace": namespace, "orderid": orderid}
        self._rows.events.append(row)

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
            "order_version": None,
            "generation": None,
            "notify_url": None,
            "amount_micros": None,
            "flags": "",
            "body": "",
            "created_at": self._now,
        }


def tell(arrival: Arrival) -> None:
    """Log what became of an arrival; its caller does not wait for that."""
    if arrival.verdict is not None:
        log.info("callback_settled", extra=ids_of(arrival) | {"verdict": arrival.verdict.value})
    elif arrival.error is None:
        log.warning("callback_rejected", extra=ids_of(arrival))


# Every insert of a batch names the same columns, whichever of them an arrival fills.
_COLUMNS = [column.name for column in callbacks.columns if column.name != "id"]
_EMPTY = dict.fromkeys(_COLUMNS) | {"part": "", "origin": "callback", "flags": "", "headers": "{}"}


def _row(arrival: Arrival, verdict: str) -> dict[str, Any]:
    described = callback_values(arrival.callback) if arrival.callback is not None else {}
    return _EMPTY | arrival.raw | described | {"verdict": verdict}


def ids_of(arrival: Arrival) -> dict[str, Any]:
    """Return what a log line says of an arrival: ids and amounts, never the request itself."""
    raw, callback = arrival.raw, arrival.callback
    ids = {"source": raw.get("source"), "request_id": raw.get("request_id")}
    if callback is None:
        return ids | {"reason": raw.get("reason"), "address": raw.get("address")}
    return ids | {"orderid": callback.orderid, "status": callback.status.value, "amount_micros": callback.amount_micros}
