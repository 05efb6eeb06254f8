"""Own one transaction over a batch of arrivals: read what is known, judge in order of arrival, write in bulk."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from relay.core.callbacks import Callback
from relay.core.orders import Verdict
from relay.core.rules import rule
from relay.core.sources import Source
from relay.errors import RelayError, Unavailable
from relay.flows.ledger import Ledger
from relay.flows.surroundings import Surroundings
from relay.store import intake as store
from relay.store.engine import writing
from relay.store.rows import callback_values

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
        self.outcomes: list[Outcome] = []

    def write(self, engine: Engine) -> None:
        """Commit the batch, or raise and leave nothing."""
        arrived = [arrival.callback for arrival in self._batch if arrival.callback is not None]
        if not arrived:
            self._keep_rejected(engine)
            return
        with writing(engine) as connection:
            known, feed = store.open_feed(connection, arrived, now=self._now)
            ledger = Ledger(known, feed, now=self._now, new_id=self._new_id)
            surroundings = Surroundings(connection, self._sources(), feed, now=self._now)
            surroundings.read_facts(
                (one.callback.key, one.source, (one.callback, *known.callbacks.get(one.callback.key, ())))
                for one in self._batch
                if one.callback and one.source
            )
            self.outcomes = [self._judge(arrival, ledger, surroundings) for arrival in self._batch]
            ledger.write(connection)

    def _sources(self) -> dict[str, Source]:
        return {arrival.source.name: arrival.source for arrival in self._batch if arrival.source is not None}

    def _keep_rejected(self, engine: Engine) -> None:
        """Rejected requests announce nothing, so they need no place in the feed and no lock."""
        with writing(engine) as connection:
            store.keep_rejected(connection, [_row(arrival, "rejected") for arrival in self._batch])
        self.outcomes = [Outcome() for _ in self._batch]

    def _judge(self, arrival: Arrival, ledger: Ledger, surroundings: Surroundings) -> Outcome:
        callback, source = arrival.callback, arrival.source
        if callback is None or source is None:
            ledger.rows.callbacks.append(_row(arrival, "rejected"))
            return Outcome()
        known = ledger.known
        order = known.orders.get(callback.key)
        at = surroundings.moment(source, callback.key)
        ruling = rule(callback, source, order=order, known=known.about(callback), at=at)
        if ruling.verdict is Verdict.FORGERY:
            ledger.rows.callbacks.append(_row(arrival, "rejected") | {"reason": "forgery", "signature": None})
        elif ruling.verdict is not Verdict.DUPLICATE:
            if ruling.verdict is Verdict.CONFLICT:
                # What is disputed never adds up with what is not.
                callback = arrival.callback = replace(callback, flags=callback.flags | {"conflict"})
            ledger.rows.callbacks.append(_row(arrival, ruling.verdict.value))
            known.keep(callback)
            ledger.follow(ruling, callback, transfers=surroundings.transfers(callback.key))
            surroundings.note(ruling)
        return Outcome(verdict=ruling.verdict, announced=ruling.announce is not None or ruling.finding is not None)


def tell(arrival: Arrival) -> None:
    """Log what became of an arrival; its caller does not wait for that."""
    if arrival.verdict is not None:
        log.info("callback_settled", extra=ids_of(arrival) | {"verdict": arrival.verdict.value})
    elif arrival.error is None:
        log.warning("callback_rejected", extra=ids_of(arrival))


# What an arrival leaves out is NULL, but for these.
_EMPTY = {"part": "", "origin": "callback", "flags": "", "headers": "{}"}


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
