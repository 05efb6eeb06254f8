"""Own the page of a month: its closed days as they were sealed, chained each to the one before, and what they come to."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, RowMapping

from relay.core.days import ONE, Calendar, Day, read_day
from relay.core.statement import NOTHING, Sum
from relay.store import closes

_MONTH = re.compile(r"2[0-9]{3}-(0[1-9]|1[0-2])", re.ASCII)


@dataclass(frozen=True, slots=True)
class Cash:
    """What stood on our own addresses, in USDT; over several days what joined or left the proof is the difference."""

    opening: Decimal
    received: Decimal
    sent: Decimal
    closing: Decimal

    @property
    def difference(self) -> Decimal:
        """What the closing has beyond opening and what moved."""
        return self.closing - (self.opening + self.received - self.sent)


@dataclass(frozen=True, slots=True, kw_only=True)
class DayLine:
    """A day of a month; without figures while it is open. `follows` tells whether it names the day before as it was sealed."""

    name: str
    state: str
    provider: Sum = NOTHING
    relay: Sum = NOTHING
    gross_micros: int = 0
    open_items: int = 0
    manifest: str = ""
    follows: bool = True
    cash: Cash | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """The days of a month that have begun, and the sums of those that are closed."""

    name: str
    days: Sequence[DayLine]
    before: str | None
    after: str | None

    @property
    def sealed(self) -> int:
        """How many days are sealed."""
        return sum(day.state == "sealed" for day in self.days)

    @property
    def provider(self) -> Sum:
        """What providers said was paid, on closed days."""
        return sum((day.provider for day in self.days), NOTHING)

    @property
    def relay(self) -> Sum:
        """What the relay credited, on closed days."""
        return sum((day.relay for day in self.days), NOTHING)

    @property
    def cash(self) -> Cash | None:
        """From the opening of the first closed day to the closing of the last; None where a day of them has no proof."""
        told = [day.cash for day in self.days if day.manifest]
        proven = [one for one in told if one is not None]
        if not told or len(proven) < len(told):
            return None
        received, sent = (sum((getattr(one, name) for one in proven), Decimal()) for name in ("received", "sent"))
        return Cash(proven[0].opening, received, sent, proven[-1].closing)

    @property
    def is_chained(self) -> bool:
        """Whether each sealed day names the one before it."""
        return all(day.follows for day in self.days)


def is_month(text: str) -> bool:
    """Tell whether a path names a month."""
    return _MONTH.fullmatch(text) is not None


def month_of(connection: Connection, name: str, calendar: Calendar, first: Day, now: datetime) -> Month:
    """Return a month from the manifests of its closed days: what was sealed, not what it would be now."""
    start, today = read_day(f"{name}-01"), calendar.day_at(now).date
    end = _next_month(start)
    rows = {row["day"]: row for row in closes.between(connection, (start - ONE).isoformat(), end.isoformat())}
    days, of = [], max(start, first.date)
    while of < end and of <= today:
        days.append(_line(of.isoformat(), rows.get(of.isoformat()), rows.get((of - ONE).isoformat())))
        of += ONE
    return Month(
        name=name,
        days=days,
        before=f"{start - ONE:%Y-%m}" if first.date < start else None,
        after=f"{end:%Y-%m}" if end <= today else None,
    )


def chart(days: Sequence[DayLine], *, width: int = 900, height: int = 160) -> list[dict[str, Any]]:
    """Return the bars of a month: of each day what agrees and, on top, what differs; whole pixels of a picture."""
    highest = max((day.relay.micros + day.gross_micros for day in days), default=0) or 1
    # As wide in a month that has begun as in a whole one.
    step = width // 31
    bars = []
    for place, day in enumerate(days):
        agrees, differs = (value * height // highest for value in (max(day.relay.micros, 0), day.gross_micros))
        bar = {"x": place * step + 2, "width": max(step - 4, 2), "day": day}
        bars.append(
            bar | {"agrees": agrees, "y": height - agrees, "differs": differs, "top": height - agrees - differs}
        )
    return bars


def _line(name: str, row: RowMapping | None, before: RowMapping | None) -> DayLine:
    if row is None:
        return DayLine(name=name, state="open")
    manifest = json.loads(row["manifest"])
    is_sealed_before = before is not None and before["state"] == "sealed"
    expected = before["manifest_hash"] if before is not None and is_sealed_before else None
    return DayLine(
        name=name,
        state=row["state"],
        provider=_sum(manifest["bridge"]["provider"]),
        relay=_sum(manifest["bridge"]["relay"]),
        gross_micros=_micros(manifest["bridge"]["gross"]),
        open_items=len(manifest["open"]),
        manifest=row["manifest_hash"],
        follows=row["state"] != "sealed" or manifest["previous"] == expected,
        cash=_cash(manifest.get("cash_total")),
    )


def _cash(told: dict[str, Any] | None) -> Cash | None:
    """Read the proof of cash of a manifest; one of an older release has none, and one that speaks of no address says nothing."""
    if told is None or not (told["proved"] or told["explained"] or told["gap"]):
        return None
    return Cash(*(Decimal(told[name]) for name in ("opening", "received", "sent", "closing")))


def _sum(told: dict[str, Any]) -> Sum:
    return Sum(told["count"], _micros(told["amount"]))


def _micros(text: str) -> int:
    """Read what a manifest spells: always six places."""
    return int(text.replace(".", ""))


def _next_month(start: date) -> date:
    return date(start.year + start.month // 12, start.month % 12 + 1, 1)
