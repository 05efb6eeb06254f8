"""Own when which job is rung."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from apscheduler.triggers.cron import CronTrigger


@dataclass(frozen=True, slots=True)
class Entry:
    """A job and its moments (cron, in UTC); `longest` is the most time between two of them."""

    job: str
    moments: CronTrigger
    longest: timedelta


TIMETABLE = (
    Entry("jobs.requeue.run", CronTrigger(second="*/10", timezone=UTC), timedelta(seconds=10)),
    Entry("jobs.replay.run", CronTrigger(second="3-59/5", timezone=UTC), timedelta(seconds=5)),
    Entry("jobs.waiting.run", CronTrigger(second="4-59/10", timezone=UTC), timedelta(seconds=10)),
    Entry("jobs.create.run", CronTrigger(second="*/5", timezone=UTC), timedelta(seconds=5)),
    Entry("jobs.poll.run", CronTrigger(second="7-59/10", timezone=UTC), timedelta(seconds=10)),
    Entry("jobs.scan.run", CronTrigger(second="1-59/10", timezone=UTC), timedelta(seconds=10)),
    Entry("jobs.reconcile.run", CronTrigger(second="3-59/20", timezone=UTC), timedelta(seconds=20)),
    Entry("jobs.close.run", CronTrigger(minute="*/10", second=30, timezone=UTC), timedelta(minutes=10)),
    Entry("jobs.balance.run", CronTrigger(minute="*/5", second=25, timezone=UTC), timedelta(minutes=5)),
    Entry("jobs.prove.run", CronTrigger(minute="*/2", second=48, timezone=UTC), timedelta(minutes=2)),
    Entry("jobs.retention.run", CronTrigger(minute=7, timezone=UTC), timedelta(hours=1)),
)


def last_moment(entry: Entry, at: datetime) -> datetime:
    """Return the last moment of a job at or before `at`."""
    coming: datetime = entry.moments.get_next_fire_time(None, at - entry.longest)
    while (after := entry.moments.get_next_fire_time(coming, coming + timedelta(microseconds=1))) <= at:
        coming = after
    return coming
