"""Own the clock (`python -m jobs.clock`): it only rings, and any number of clocks ring each moment once."""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

from config import logs
from config.settings import load
from jobs.pulse import Pulse
from jobs.stopping import STOP
from jobs.timetable import TIMETABLE, Entry, last_moment
from relay.edge.redis import connect
from relay.edge.rq import job_queue
from relay.errors import ConfigError, Unavailable
from relay.flows.ring import Ringer
from relay.store.engine import make_engine

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.2
# A firing that comes late is made all the same: it rings for the last moment, whichever that is by then.
LATE_S = 3600
# So little is put right by waiting.
SET_BACK = timedelta(seconds=5)
# What nobody rang, since Redis, the database or all clocks were away, is looked for this often, and at the start.
CATCH_UP = CronTrigger(second="5-59/15", timezone=UTC)


def main() -> int:
    """Ring until asked to stop; return the exit status."""
    STOP.install()
    try:
        settings = load(os.environ)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    logs.configure(settings)
    queue = job_queue(settings.secret_keys, "work", connect(settings.redis_url, tls_verify=settings.redis_tls_verify))
    engine = make_engine(settings.database_url)
    ringer = Ringer(engine, queue.ensure, f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}")
    _or_later(lambda: ringer.set_right(now=datetime.now(UTC)))
    scheduler = scheduler_of(ringer)
    scheduler.start()
    pulse = Pulse(engine, "clock", is_well=lambda: scheduler.running)
    looked_at = datetime.now(UTC)
    while not STOP.asked:
        time.sleep(LOOK_EVERY_S)
        looked_at = keep_in_step(scheduler, ringer, looked_at, datetime.now(UTC))
    # The firing that is being made ends first.
    scheduler.shutdown(wait=True)
    _or_later(lambda: ringer.leave(now=datetime.now(UTC)))
    pulse.end()
    log.info("clock_stopped")
    STOP.deafen()
    return 0


def scheduler_of(ringer: Ringer) -> BackgroundScheduler:
    """Return a scheduler that rings by the timetable, one thing at a time.

    It has a thread of its own, so that the main thread hears signals, which
    must not reach into a scheduler at work.
    """
    scheduler = BackgroundScheduler(
        timezone=UTC,
        executors={"default": {"type": "threadpool", "max_workers": 1}},
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": LATE_S},
    )
    for entry in TIMETABLE:
        scheduler.add_job(_ring, entry.moments, args=[ringer, entry], id=entry.job)
    scheduler.add_job(_catch_up, CATCH_UP, args=[ringer], id="catch_up", next_run_time=datetime.now(UTC))
    return scheduler


def keep_in_step(scheduler: BackgroundScheduler, ringer: Ringer, before: datetime, at: datetime) -> datetime:
    """Plan anew when the machine's clock was set back, or nothing would be rung until it is as late again; return `at`."""
    if at < before - SET_BACK:
        log.warning("clock_set_back", extra={"seconds": (before - at).total_seconds()})
        _or_later(lambda: ringer.set_right(now=at))
        for job in scheduler.get_jobs():
            job.reschedule(job.trigger)
    return at


def _ring(ringer: Ringer, entry: Entry) -> None:
    at = datetime.now(UTC)
    _or_later(lambda: ringer.ring(entry.job, last_moment(entry, at), now=at))


def _catch_up(ringer: Ringer) -> None:
    for entry in TIMETABLE:
        _ring(ringer, entry)


def _or_later(act: Callable[[], object]) -> None:
    """What cannot be done now is caught up."""
    try:
        act()
    except Unavailable as error:
        log.warning("clock_waits", extra={"reason": error.detail})


if __name__ == "__main__":
    sys.exit(main())
