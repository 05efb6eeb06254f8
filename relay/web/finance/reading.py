"""Own how the query of a page is read: everything is in the URL, so that a view can be sent to a colleague."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

from relay.core.amounts import parse_usdt
from relay.errors import Unprocessable
from relay.store.break_list import Filters

STATES = ("open", "resolved", "all")


def filters_of(query: Mapping[str, str]) -> Filters:
    """Return the filters that a query names; Unprocessable for one that cannot be read."""
    state = query.get("state") or "open"
    if state not in STATES:
        raise Unprocessable(f"state is one of {', '.join(STATES)}", pointer="/state")
    since, until = _day(query, "from"), _day(query, "to")
    return Filters(
        state=state,
        severity=_severity(query.get("severity", "")),
        kind=query.get("class") or None,
        owner=query.get("owner") or None,
        namespace=query.get("source") or None,
        since=since,
        until=None if until is None else until + timedelta(days=1),
        least_micros=_micros(query, "least"),
        most_micros=_micros(query, "most"),
    )


def _severity(text: str) -> int | None:
    if text and text not in ("1", "2", "3", "4"):
        raise Unprocessable("severity is 1, 2, 3 or 4", pointer="/severity")
    return int(text) if text else None


def _day(query: Mapping[str, str], name: str) -> datetime | None:
    text = query.get(name, "")
    try:
        found = date.fromisoformat(text) if text else None
    except ValueError:
        raise Unprocessable(f"{name} is a day, such as 2026-11-23", pointer=f"/{name}") from None
    return None if found is None else datetime(found.year, found.month, found.day, tzinfo=UTC)


def _micros(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "").replace(",", "")
    try:
        return parse_usdt(text) if text else None
    except ValueError as error:
        raise Unprocessable(f"{name}: an amount {error}", pointer=f"/{name}") from None
