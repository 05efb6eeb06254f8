"""Own the one thread of a web process that writes callbacks: what queued while the last commit ran is the next batch.

No artificial delay: an idle process commits a lone callback at once, a busy
one shares a commit among many. The constraint in SQL decides; Redis only
saves the write of a callback that it has seen before.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from queue import Empty, SimpleQueue
from typing import Any

from sqlalchemy import Engine, insert
from sqlalchemy.exc import DBAPIError

from relay.core.callbacks import Callback, agree
from relay.core.events import operation_body, recharge_body
from relay.core.orders import Finding, Ruling, Verdict, rule
from relay.core.sources import Source
from relay.errors import InvariantBroken, RelayError, Unavailable
from relay.ports import Memory
from relay.store import intake as store
from relay.store.engine import FEED_LOCK, reading, writing
from relay.store.rows import callback_values, callbacks

log = logging.getLogger(__name__)

MOST_IN_A_BATCH = 500
# A batch that takes longer than this is stuck, not slow: the platform should replace the process.
STUCK_AFTER_S = 60.0
REJECTED_OF_A_KIND = 1_000
REJECTED_IN_ALL = 20_000


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


class Committer:
    """Owns the queue and the thread. The thread starts with the first arrival, which is after any fork."""

    def __init__(
        self, engine: Engine, memory: Memory, *, clock: Callable[[], datetime], new_id: Callable[[datetime], str]
    ) -> None:
        self._engine = engine
        self._memory = memory
        self._clock = clock
        self._new_id = new_id
        self._queue: SimpleQueue[Arrival] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._busy_since: float | None = None
        self._rejected = 0

    @property
    def alive(self) -> bool:
        """False when the thread has died or hangs in one batch: the process should be replaced."""
        if self._thread is None:
            return True
        busy_since = self._busy_since
        stuck = busy_since is not None and time.monotonic() - busy_since > STUCK_AFTER_S
        return self._thread.is_alive() and not stuck

    def submit(self, arrival: Arrival, *, timeout_s: float) -> Verdict | None:
        """Hand an arrival over and wait until it is committed; Unavailable when that takes too long."""
        if self._thread is None:
            self._start()
        self._queue.put(arrival)
        return arrival.wait(timeout_s)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            batch = self._next_batch()
            self._busy_since = time.monotonic()
            self.commit(batch)
            self._busy_since = None

    def _next_batch(self) -> list[Arrival]:
        batch = [self._queue.get()]
        try:
            while len(batch) < MOST_IN_A_BATCH:
                batch.append(self._queue.get_nowait())
        except Empty:
            pass
        return batch

    def commit(self, batch: Sequence[Arrival]) -> None:
        """Settle every arrival of a batch, whatever happens; no caller is left waiting and no error escapes."""
        try:
            self._settle(batch)
        except Exception as error:
            log.exception("batch_failed", extra={"size": len(batch)})
            for arrival in batch:
                arrival.settle(
                    None,
                    error if isinstance(error, RelayError) else InvariantBroken("the callback could not be stored"),
                )

    def _settle(self, batch: Sequence[Arrival]) -> None:
        repeats = self._repeats(batch)
        fresh = [arrival for arrival in batch if id(arrival) not in repeats]
        outcomes = self._write_or_split(fresh) if fresh else []
        for arrival in batch:
            if id(arrival) in repeats:
                arrival.settle(Verdict.DUPLICATE)
        announced = False
        for arrival, outcome in zip(fresh, outcomes, strict=True):
            arrival.settle(outcome.verdict, outcome.error)
            announced = announced or outcome.announced
        self._remember(batch, ring=announced)

    def _repeats(self, batch: Sequence[Arrival]) -> set[int]:
        """Return the arrivals that the fast memory knows and SQL confirms: they need no write, but never go unlooked."""
        named = [arrival for arrival in batch if arrival.callback is not None]
        seen = (
            self._memory.seen([_memory_key(arrival.callback) for arrival in named if arrival.callback])
            if named
            else set()
        )
        likely = [arrival for arrival in named if arrival.callback and _memory_key(arrival.callback) in seen]
        if not likely:
            return set()
        with reading(self._engine) as connection:
            known = store.known_callbacks(connection, [arrival.callback for arrival in likely if arrival.callback])
        return {
            id(arrival)
            for arrival in likely
            if arrival.callback and _is_repeat(arrival.callback, known.about(arrival.callback))
        }

    def _write_or_split(self, batch: Sequence[Arrival]) -> list[Outcome]:
        """Write a batch; when its data is refused, row by row, so that one bad row fails alone."""
        try:
            return self._write_twice_if_unknown(batch)
        except DBAPIError as error:
            if len(batch) == 1:
                log.exception("callback_refused_by_database", extra=_ids(batch[0]))
                return [Outcome(error=InvariantBroken(f"the database refused the callback: {type(error).__name__}"))]
            return [outcome for arrival in batch for outcome in self._write_or_split([arrival])]

    def _write_twice_if_unknown(self, batch: Sequence[Arrival]) -> list[Outcome]:
        """Write a batch; when the connection breaks at the commit, read back by trying again.

        If the commit had gone through, the second try meets its own rows and
        calls them duplicates, which are acked all the same.
        """
        plan = _Plan(batch, now=self._clock(), new_id=self._new_id)
        try:
            plan.write(self._engine)
        except Unavailable:
            if not plan.reached_commit:
                raise
            log.warning("commit_unknown", extra={"size": len(batch)})
            plan = _Plan(batch, now=self._clock(), new_id=self._new_id)
            plan.write(self._engine)
        plan.tell()
        return plan.outcomes

    def _remember(self, batch: Sequence[Arrival], *, ring: bool) -> None:
        new = [
            _memory_key(one.callback)
            for one in batch
            if one.callback and one.verdict in (Verdict.ACCEPTED, Verdict.CONFLICT)
        ]
        repeated = [_memory_key(one.callback) for one in batch if one.callback and one.verdict is Verdict.DUPLICATE]
        if new or repeated or ring:
            self._memory.remember(new, repeated, ring=ring)
        self._make_room(sum(1 for one in batch if one.callback is None))

    def _make_room(self, rejected: int) -> None:
        """A flood of rejected requests pushes itself out as it goes, not at the next round of retention."""
        self._rejected += rejected
        if self._rejected < REJECTED_OF_A_KIND:
            return
        self._rejected = 0
        with writing(self._engine) as connection:
            store.evict_rejected(connection, most_of_a_kind=REJECTED_OF_A_KIND, most=REJECTED_IN_ALL)


@dataclass(slots=True)
class Outcome:
    """What one arrival's caller is told, and whether anyone else has to be."""

    verdict: Verdict | None = None
    error: RelayError | None = None
    announced: bool = False


class _Plan:
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
        self.reached_commit = False

    def write(self, engine: Engine) -> None:
        """Commit the batch, or raise and leave nothing."""
        arrived = [arrival.callback for arrival in self._batch if arrival.callback is not None]
        if not arrived:
            self._keep_rejected(engine)
            return
        with writing(engine, lock=FEED_LOCK) as connection:
            self._known = store.known_of(connection, arrived)
            self._paused = store.paused_sources(connection)
            self._sequence = store.last_sequence(connection)
            self.outcomes = [self._judge(arrival) for arrival in self._batch]
            for finding in self._findings:
                if store.open_break(connection, finding, now=self._now):
                    self._announce_break(finding)
            store.write(connection, self._rows, now=self._now)
            self.reached_commit = True

    def _keep_rejected(self, engine: Engine) -> None:
        """Rejected requests announce nothing, so they need no place in the feed and no lock."""
        with writing(engine) as connection:
            connection.execute(insert(callbacks), [_row(arrival, "rejected") for arrival in self._batch])
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
            "amount_micros": None,
            "flags": "",
            "body": "",
            "created_at": self._now,
        }

    def tell(self) -> None:
        """Log what the commit made true."""
        for arrival, outcome in zip(self._batch, self.outcomes, strict=True):
            if outcome.verdict is not None:
                log.info("callback_settled", extra=_ids(arrival) | {"verdict": outcome.verdict.value})
            else:
                log.warning("callback_rejected", extra=_ids(arrival))


def _is_repeat(callback: Callback, known: Sequence[Callback]) -> bool:
    """A repeat agrees with what was kept, and its signature was never seen over other fields."""
    same_signature = [
        other for other in known if callback.signature is not None and other.signature == callback.signature
    ]
    return any(agree(callback, other) for other in known) and all(agree(callback, other) for other in same_signature)


def _memory_key(callback: Callback) -> str:
    return f"{callback.namespace}:{callback.status}:{callback.orderid}"


# Every insert of a batch names the same columns, whichever of them an arrival fills.
_COLUMNS = [column.name for column in callbacks.columns if column.name != "id"]
_EMPTY = dict.fromkeys(_COLUMNS) | {"origin": "callback", "flags": "", "headers": "{}"}


def _row(arrival: Arrival, verdict: str) -> dict[str, Any]:
    described = callback_values(arrival.callback) if arrival.callback is not None else {}
    return _EMPTY | arrival.raw | described | {"verdict": verdict}


def _ids(arrival: Arrival) -> dict[str, Any]:
    raw, callback = arrival.raw, arrival.callback
    ids = {"source": raw.get("source"), "request_id": raw.get("request_id")}
    if callback is None:
        return ids | {"reason": raw.get("reason"), "address": raw.get("address")}
    return ids | {"orderid": callback.orderid, "status": callback.status.value, "amount_micros": callback.amount_micros}
