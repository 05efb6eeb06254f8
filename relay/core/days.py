"""Own the business day: from one cut-off to the next in a zone of its own, half-open, 23 or 25 hours long where clocks change."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

ONE = timedelta(days=1)
_DAY = re.compile(r"2[0-9]{3}-[0-9]{2}-[0-9]{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Day:
    """A business day: `start` belongs to it, `end` to the next. Both are in UTC."""

    date: date
    start: datetime
    end: datetime
    zone: str

    @property
    def name(self) -> str:
        """How URLs, files and rows call it."""
        return self.date.isoformat()

    def has(self, moment: datetime) -> bool:
        """Tell whether a moment lies in it."""
        return self.start <= moment < self.end


@dataclass(frozen=True, slots=True)
class Calendar:
    """Which day a moment belongs to: a zone of the IANA database, and the local time at which its day begins."""

    zone: str = "UTC"
    cutoff: time = time()

    def day(self, of: date) -> Day:
        """Return a day by its date. Where the cut-off falls into the hour that a clock skips, the day begins after it."""
        return Day(of, self._start(of), self._start(of + ONE), self.zone)

    def day_at(self, moment: datetime) -> Day:
        """Return the day that a moment belongs to."""
        local = moment.astimezone(ZoneInfo(self.zone))
        found = self.day(local.date())
        while moment < found.start:
            found = self.day(found.date - ONE)
        while moment >= found.end:
            found = self.day(found.date + ONE)
        return found

    def _start(self, of: date) -> datetime:
        return datetime.combine(of, self.cutoff, ZoneInfo(self.zone)).astimezone(UTC)


def read_day(text: str) -> date:
    """Return the date that a URL or a person names; ValueError for anything but YYYY-MM-DD between 2000 and 2999."""
    if not _DAY.fullmatch(text):
        raise ValueError("must be a day such as 2026-11-23")
    return date.fromisoformat(text)


def spoken(of: date, today: date) -> str:
    """Return how a person calls a day."""
    if of == today:
        return "Today"
    if of == today - ONE:
        return "Yesterday"
    return f"{of.day} {of:%B}" + ("" if of.year == today.year else f" {of.year}")
