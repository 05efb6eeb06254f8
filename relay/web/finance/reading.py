"""Own how the query of a page is read: everything is in the URL, so that a view can be sent to a colleague."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from relay.core.amounts import parse_usdt
from relay.core.days import Calendar, Day, read_day
from relay.core.statement import AGES
from relay.errors import Unprocessable
from relay.store.break_list import Filters

STATES = ("open", "resolved", "all")
_INSTANT = timedelta(microseconds=1)


def filters_of(query: Mapping[str, str], calendar: Calendar, now: datetime) -> Filters:
    """Return the filters that a query names, days being business days; Unprocessable for one that cannot be read."""
    state = query.get("state") or "open"
    if state not in STATES:
        raise Unprocessable(f"state is one of {', '.join(STATES)}", pointer="/state")
    first, last = day_in(query, "from", calendar), day_in(query, "to", calendar)
    youngest, oldest = _age(query.get("age", ""), now)
    return Filters(
        state=state,
        severity=_severity(query.get("severity", "")),
        kind=query.get("class") or None,
        owner=query.get("owner") or None,
        namespace=query.get("source") or None,
        chain=query.get("chain") or None,
        since=max((one for one in (oldest, first and first.start) if one), default=None),
        until=min((one for one in (youngest, last and last.end) if one), default=None),
        least_micros=_micros(query, "least"),
        most_micros=_micros(query, "most"),
    )


def day_in(query: Mapping[str, str], name: str, calendar: Calendar) -> Day | None:
    """Return the business day that a query names, None where it names none; Unprocessable for what is no day."""
    text = query.get(name, "")
    try:
        return calendar.day(read_day(text)) if text else None
    except ValueError:
        raise Unprocessable(f"{name} is a day, such as 2026-11-23", pointer=f"/{name}") from None


def _age(text: str, now: datetime) -> tuple[datetime | None, datetime | None]:
    """Return before when, and since when, a break of that age was first seen; the bounds are those of the statement's ages."""
    if not text:
        return None, None
    names = [name for name, _ in AGES]
    if text not in names:
        raise Unprocessable(f"age is one of {', '.join(names)}", pointer="/age")
    place = names.index(text)
    # The statement's bucket includes its younger bound; a break first seen at that very moment is a microsecond before the next.
    youngest = now - AGES[place][1] + _INSTANT if place else None
    return youngest, now - AGES[place + 1][1] + _INSTANT if place + 1 < len(AGES) else None


def _severity(text: str) -> int | None:
    if text and text not in ("1", "2", "3", "4"):
        raise Unprocessable("severity is 1, 2, 3 or 4", pointer="/severity")
    return int(text) if text else None


def _micros(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "").replace(",", "")
    try:
        return parse_usdt(text) if text else None
    except ValueError as error:
        raise Unprocessable(f"{name}: an amount {error}", pointer=f"/{name}") from None
