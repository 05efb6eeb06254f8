"""Own the one approval of a month: its sealed days, chained, from the opening of the first to the closing of the last."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, RowMapping

from relay.core.actors import Actor
from relay.core.amounts import format_micros
from relay.core.closing import canonical, digest
from relay.core.days import ONE, read_day
from relay.core.events import rfc3339
from relay.errors import Conflict
from relay.flows.close import Desk
from relay.flows.days import first_day
from relay.flows.months import Month, month_of
from relay.store import audit, closes
from relay.store.engine import AUDIT_LOCK, writing

FORMAT, SEAL_FORMAT = "relay-month/1", "relay-month-seal/1"


@dataclass(frozen=True, slots=True)
class MonthDraft:
    """What an approval of a month would say now; amounts in micro-USDT, provider less relay.

    `approval` is the newest one, `is_approved` whether it speaks of these very days.
    """

    opening: int
    closing: int
    obstacles: tuple[str, ...]
    manifest: str
    approval: RowMapping | None

    @property
    def hash(self) -> str:
        """The SHA-256 of the manifest."""
        return digest(self.manifest)

    @property
    def is_approved(self) -> bool:
        """Whether the newest approval speaks of the days as they are sealed now."""
        return self.approval is not None and self.approval["manifest_hash"] == self.hash


def draft(connection: Connection, month: Month, today: date) -> MonthDraft:
    """Return how a month stands: what stands in the way of its approval, and what that would say."""
    before = closes.month_approval(connection, (read_day(f"{month.name}-01") - ONE).isoformat()[:7])
    opening = 0 if before is None else _micros(json.loads(before["manifest"])["closing"])
    closing = opening + month.provider.micros - month.relay.micros
    manifest = {
        "format": FORMAT,
        "month": month.name,
        "days": [{"day": day.name, "manifest_sha256": day.manifest} for day in month.days if day.state == "sealed"],
        "opening": format_micros(opening),
        "provider": {"count": month.provider.count, "amount": format_micros(month.provider.micros)},
        "relay": {"count": month.relay.count, "amount": format_micros(month.relay.micros)},
        "closing": format_micros(closing),
        "open_items": month.days[-1].open_items if month.days else 0,
        "previous": None if before is None else before["manifest_hash"],
    }
    found = tuple(_obstacles(connection, month, before, today))
    return MonthDraft(opening, closing, found, canonical(manifest), closes.month_approval(connection, month.name))


def approve(
    desk: Desk, name: str, *, manifest_hash: str, sign: Callable[[str], str], key_id: str, actor: Actor, now: datetime
) -> None:
    """Approve a month as it was read, and seal it; approved anew after a day of it was reopened, it is version n+1.

    Raises Conflict, naming what stands in the way, or when it is no longer what was read.
    """
    with writing(desk.engine, lock=AUDIT_LOCK) as connection:
        first, today = first_day(connection, desk.calendar, now), desk.calendar.day_at(now).date
        made = draft(connection, month_of(connection, name, desk.calendar, first, now), today)
        if made.obstacles:
            raise Conflict("; ".join(made.obstacles))
        if made.is_approved:
            raise Conflict("this month is approved")
        if made.hash != manifest_hash:
            raise Conflict("its days were sealed anew since you read it; read it again")
        version = 1 if made.approval is None else made.approval["version"] + 1
        row = {"month": name, "version": version, "approved_by": actor.id, "approved_at": now, "key_id": key_id}
        sealed = canonical(_seal(row, made.hash))
        signed = {"manifest": made.manifest, "manifest_hash": made.hash, "sealed": sealed, "seal": sign(sealed)}
        closes.approve_month(connection, {**row, **signed})
        detail = {"version": version, "manifest": made.hash}
        audit.append(connection, actor=actor.id, act="month.approve", subject=f"month:{name}", now=now, detail=detail)


def _seal(row: dict[str, Any], manifest_hash: str) -> dict[str, Any]:
    approved = [row["approved_by"], rfc3339(row["approved_at"])]
    told = {"format": SEAL_FORMAT, "month": row["month"], "version": row["version"], "approved": approved}
    return {**told, "manifest_sha256": manifest_hash}


def _obstacles(connection: Connection, month: Month, before: RowMapping | None, today: date) -> list[str]:
    start = read_day(f"{month.name}-01")
    books = closes.first_sealed(connection)
    open_days = [day.name for day in month.days if day.state != "sealed" and (books is None or day.name >= books)]
    found = [] if today.isoformat()[:7] > month.name else ["the month is not over"]
    if not month.sealed:
        return [*found, "none of its days is sealed"]
    if open_days:
        more = f" and {len(open_days) - 1} more" if len(open_days) > 1 else ""
        found.append(f"{open_days[0]}{more} {'are' if more else 'is'} not sealed")
    if not month.is_chained:
        found.append("a day does not follow the one before it")
    if before is None and books is not None and books < start.isoformat():
        found.append("the month before is not approved")
    if before is not None and not _speaks_of_now(connection, before, start):
        found.append("a day of the month before was opened again since that was approved; approve it anew")
    return found


def _speaks_of_now(connection: Connection, approval: RowMapping, end: date) -> bool:
    """Tell whether an approval names the days of its month as they are sealed now: else its closing is no opening."""
    now = {
        row["day"]: row["manifest_hash"]
        for row in closes.between(connection, f"{approval['month']}-01", end.isoformat())
        if row["state"] == "sealed"
    }
    told = json.loads(approval["manifest"])["days"]
    return now == {one["day"]: one["manifest_sha256"] for one in told}


def _micros(text: str) -> int:
    return int(text.replace(".", ""))
