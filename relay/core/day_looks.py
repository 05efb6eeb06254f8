"""Own which days are looked at once more, and how two tellings of a day are compared whatever the order of their orders."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from hashlib import sha256

from relay.core.days import ONE, Calendar, Day

# A day's providers are asked again the day after, and a week after.
AGAIN_AFTER = (1, 7)
# Who was down for a while catches up with what became due meanwhile.
CATCH_UP = 3
# What was on its way when a day ended has arrived by then.
SETTLED_AFTER = timedelta(hours=1)
_MODULUS = 2**64


def asked_again(calendar: Calendar, now: datetime) -> Iterator[tuple[Day, int]]:
    """Yield the days whose providers are to be asked again, each with its age in days."""
    today = calendar.day_at(now - SETTLED_AFTER).date
    for age in AGAIN_AFTER:
        for late in range(CATCH_UP):
            yield calendar.day(today - ONE * (age + late)), age


def proven(calendar: Calendar, now: datetime) -> Iterator[Day]:
    """Yield the seven days of the last week that is over, from Monday on."""
    today = calendar.day_at(now - SETTLED_AFTER).date
    monday = today - ONE * (today.weekday() + 7)
    for number in range(7):
        yield calendar.day(monday + ONE * number)


def place_of(*words: object) -> int:
    """Return the number by which one order counts in a sum that does not depend on their order."""
    return int.from_bytes(sha256("\x1f".join(map(str, words)).encode()).digest()[:8])


def together(total: int, one: int) -> int:
    """Add to such a sum."""
    return (total + one) % _MODULUS
