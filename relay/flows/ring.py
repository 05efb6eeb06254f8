"""Own the ringing of the clock: a job is put on its queue once for each of its moments, however many clocks there are."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine

from relay.store import firings, leases
from relay.store.engine import reading, writing

log = logging.getLogger(__name__)

LEASE = "clock"
# A clock that dies without letting go keeps the others silent this long; what they miss is caught up.
LEASE_S = 30.0


@dataclass(frozen=True, slots=True)
class Ringer:
    """One clock. `put` enqueues a job, or raises Unavailable; `owner` tells clocks apart."""

    engine: Engine
    put: Callable[[str], None]
    owner: str

    def ring(self, job: str, moment: datetime, *, now: datetime) -> bool:
        """Ring a job for a moment; False when it was rung before, or when another clock is the one to ring.

        The job is put on its queue before the firing is committed: where
        Redis does not take it nothing is recorded, and the moment is caught
        up. A crash in between rings twice, which jobs bear.

        Raises:
            Unavailable: the database or the queue does not answer.
        """
        if self._is_rung(job, moment):
            return False
        with writing(self.engine) as connection:
            fence = leases.take(connection, LEASE, owner=self.owner, now=now, ttl_s=LEASE_S)
            if fence is None or not firings.record(connection, job, moment, fence=fence, now=now):
                return False
            self.put(job)
        log.info("job_rung", extra={"job": job, "scheduled_for": moment.isoformat(), "fence": fence})
        return True

    def set_right(self, *, now: datetime) -> None:
        """Let the moments that lie ahead be rung when they come, whoever rang for them by a clock that was wrong."""
        with writing(self.engine) as connection:
            forgotten = firings.forget_ahead(connection, now=now)
        if forgotten:
            log.warning("moments_forgotten", extra={"count": forgotten})

    def leave(self, *, now: datetime) -> None:
        """Let another clock ring without waiting for the end of the lease."""
        with writing(self.engine) as connection:
            leases.release(connection, LEASE, owner=self.owner, now=now)

    def _is_rung(self, job: str, moment: datetime) -> bool:
        """A look that writes nothing: most of the time there is nothing to catch up."""
        with reading(self.engine) as connection:
            return firings.is_rung(connection, job, moment)
