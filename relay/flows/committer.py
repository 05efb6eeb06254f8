"""Own the one thread of a web process that writes callbacks: what queued while the last commit ran is the next batch.

An idle process commits a lone callback at once, a busy one shares a commit
among many (see `gathering`). The constraint in SQL decides; Redis only saves
the write of a callback that it has seen before.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, IntegrityError

from relay.core.callbacks import Callback
from relay.core.orders import Verdict
from relay.core.repeats import is_repeat
from relay.errors import InvariantBroken, RelayError, Unavailable
from relay.flows.gathering import Gathering
from relay.flows.judgement import Arrival, Judgement, Outcome, ids_of, tell
from relay.ports import Memory, Notes
from relay.store import intake as store
from relay.store.engine import reading, writing

log = logging.getLogger(__name__)

# A batch that takes longer than this is stuck, not slow: the platform should replace the process.
STUCK_AFTER_S = 60.0
# Notes for the fast memory wait no longer for a next batch to go with.
NOTES_WAIT_S = 0.02
REJECTED_OF_A_KIND = 1_000
REJECTED_IN_ALL = 20_000
# What a database objects to, and what its driver objects to before the database sees it.
DATA_ERRORS = (DBAPIError, OverflowError, ValueError, TypeError)


class Committer:
    """Owns the queue and the thread. The thread starts with the first arrival, which is after any fork."""

    def __init__(
        self, engine: Engine, memory: Memory, *, clock: Callable[[], datetime], new_id: Callable[[datetime], str]
    ) -> None:
        self._engine = engine
        self._memory = memory
        self._clock = clock
        self._new_id = new_id
        self._queue: Gathering[Arrival] = Gathering()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._busy_since: float | None = None
        self._rejected = 0
        self._notes = Notes()

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
                thread = threading.Thread(target=self._run, name="committer", daemon=True)
                thread.start()
                # Known only now: a thread that is not started yet would be taken for a dead one.
                self._thread = thread

    def _run(self) -> None:
        while True:
            batch = self._queue.next_batch(within_s=NOTES_WAIT_S if self._notes else None)
            if batch:
                self._busy_since = time.monotonic()
                self._commit(batch)
            # Where more is about to come, the exchange that asks about it brings these notes along.
            if not (batch and self._queue.busy):
                self._tell_memory()
            self._report(batch)
            self._busy_since = None

    def commit(self, batch: Sequence[Arrival]) -> None:
        """Settle every arrival of a batch, whatever happens; no caller is left waiting and no error escapes."""
        self._commit(batch)
        self._tell_memory()
        self._report(batch)

    def _commit(self, batch: Sequence[Arrival]) -> None:
        try:
            announced = self._settle(batch)
        except Exception as error:
            log.exception("batch_failed", extra={"size": len(batch)})
            known = error if isinstance(error, RelayError) else InvariantBroken("the callback could not be stored")
            for arrival in batch:
                arrival.settle(None, known)
            return
        self._notes = _notes(batch, ring=announced)

    def _tell_memory(self) -> None:
        notes, self._notes = self._notes, Notes()
        try:
            if notes:
                self._memory.remember(notes)
        except Exception:
            # The callers have their answer and the rows are committed: what is lost here costs speed, not facts.
            log.exception("batch_not_remembered")

    def _report(self, batch: Sequence[Arrival]) -> None:
        """Log what became of a batch, and make room for the next; nobody waits for either."""
        for arrival in batch:
            tell(arrival)
        self._make_room(sum(1 for one in batch if one.callback is None))

    def _settle(self, batch: Sequence[Arrival]) -> bool:
        """Commit a batch and let its callers go, all or none of them; tell whether something was announced."""
        repeats = self._repeats(batch)
        fresh = [arrival for arrival in batch if id(arrival) not in repeats]
        outcomes = self._write_or_split(fresh) if fresh else []
        # Nothing may fail from here on: who is let go a second time ends the thread.
        for arrival in batch:
            if id(arrival) in repeats:
                arrival.settle(Verdict.DUPLICATE)
        for arrival, outcome in zip(fresh, outcomes, strict=True):
            arrival.settle(outcome.verdict, outcome.error)
        return any(outcome.announced for outcome in outcomes)

    def _repeats(self, batch: Sequence[Arrival]) -> set[int]:
        """Return the arrivals that the fast memory knows and SQL confirms: they need no write, but never go unlooked."""
        keys = {id(arrival): _memory_key(arrival.callback) for arrival in batch if arrival.callback is not None}
        notes, self._notes = self._notes, Notes()
        seen = self._memory.seen(list(keys.values()), after=notes) if keys or notes else set()
        likely = [arrival for arrival in batch if keys.get(id(arrival)) in seen]
        if not likely:
            return set()
        known = self._known([arrival.callback for arrival in likely if arrival.callback])
        return {
            id(arrival)
            for arrival in likely
            if arrival.callback and is_repeat(arrival.callback, known.about(arrival.callback))
        }

    def _known(self, callbacks: Sequence[Callback]) -> store.Known:
        """Read what SQL has of callbacks; when the connection is lost, once more, as the write would."""
        try:
            return self._look(callbacks)
        except Unavailable:
            return self._look(callbacks)

    def _look(self, callbacks: Sequence[Callback]) -> store.Known:
        with reading(self._engine) as connection:
            return store.known_callbacks(connection, callbacks)

    def _write_or_split(self, batch: Sequence[Arrival]) -> list[Outcome]:
        """Write a batch; when its data is refused, row by row, so that one bad row fails alone."""
        try:
            return self._write_twice_if_lost(batch)
        except DATA_ERRORS as error:
            if len(batch) == 1:
                log.exception("callback_refused_by_database", extra=ids_of(batch[0]))
                return [Outcome(error=InvariantBroken(f"the database refused the callback: {type(error).__name__}"))]
            return [outcome for arrival in batch for outcome in self._write_or_split([arrival])]

    def _write_twice_if_lost(self, batch: Sequence[Arrival]) -> list[Outcome]:
        """Write a batch; when the connection is lost, or somebody was quicker, try once more.

        If it was lost at the commit and the commit had gone through, the
        second try meets its own rows and calls them duplicates, which are
        acked all the same. Whoever took a transfer between our look and our
        commit is met by a constraint, and seen at the second look.
        """
        try:
            return self._write(batch)
        except (Unavailable, IntegrityError):
            log.warning("batch_retried", extra={"size": len(batch)})
            return self._write(batch)

    def _write(self, batch: Sequence[Arrival]) -> list[Outcome]:
        judgement = Judgement(batch, now=self._clock(), new_id=self._new_id)
        judgement.write(self._engine)
        return judgement.outcomes

    def _make_room(self, rejected: int) -> None:
        """A flood of rejected requests pushes itself out as it goes, not at the next round of retention."""
        self._rejected += rejected
        if self._rejected < REJECTED_OF_A_KIND:
            return
        self._rejected = 0
        try:
            with writing(self._engine) as connection:
                store.evict_rejected(connection, most_of_a_kind=REJECTED_OF_A_KIND, most=REJECTED_IN_ALL)
        except Exception:
            # Retention makes room all the same, later.
            log.exception("rejected_not_evicted")


def _notes(batch: Sequence[Arrival], *, ring: bool) -> Notes:
    kept = (Verdict.ACCEPTED, Verdict.CONFLICT)
    return Notes(
        [_memory_key(one.callback) for one in batch if one.callback and one.verdict in kept],
        [_memory_key(one.callback) for one in batch if one.callback and one.verdict is Verdict.DUPLICATE],
        ring=ring,
    )


def _memory_key(callback: Callback) -> str:
    return f"{callback.namespace}:{callback.status}:{callback.orderid}"
