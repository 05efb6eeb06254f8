"""Own how the query of a page is read: everything is in the URL, so that a view can be sent to a colleague."""

from __future__ import annotations

from collections.abc import Mapping

from relay.core.amounts import parse_usdt
from relay.core.days import Calendar, Day, read_day
from relay.errors import Unprocessable
from relay.store.break_list import Filters

STATES = ("open", "resolved", "all")


def filters_of(query: Mapping[str, str], calendar: Calendar) -> Filters:
    """Return the filters that a query names, days being business days; Unprocessable for one that cannot be read."""
    state = query.get("state") or "open"
    if state not in STATES:
        raise Unprocessable(f"state is one of {', '.join(STATES)}", pointer="/state")
    first, last = _day(query, "from", calendar), _day(query, "to", calendar)
    return Filters(
        state=state,
        severity=_severity(query.get("severity", "")),
        kind=query.get("class") or None,
        owner=query.get("owner") or None,
        namespace=query.get("source") or None,
        since=None if first is None else first.start,
        until=None if last is None else last.end,
        least_micros=_micros(query, "least"),
        most_micros=_micros(query, "most"),
    )


def _severity(text: str) -> int | None:
    if text and text not in ("1", "2", "3", "4"):
        raise Unprocessable("severity is 1, 2, 3 or 4", pointer="/severity")
    return int(text) if text else None


def _day(query: Mapping[str, str], name: str, calendar: Calendar) -> Day | None:
    text = query.get(name, "")
    try:
        return calendar.day(read_day(text)) if text else None
    except ValueError:
        raise Unprocessable(f"{name} is a day, such as 2026-11-23", pointer=f"/{name}") from None


def _micros(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "").replace(",", "")
    try:
        return parse_usdt(text) if text else None
    except ValueError as error:
        raise Unprocessable(f"{name}: an amount {error}", pointer=f"/{name}") from None
