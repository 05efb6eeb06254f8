"""Own the close of a day: prepared by one, approved by another, sealed at once; and how it is opened again.

What is prepared keeps its files: a seal speaks of bytes, and later facts must
not change them. The database refuses one person in both places.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping

from relay.core.actors import Actor
from relay.core.chains import Chain
from relay.core.closing import CLOCK, MOST_NAMED, OpenItem, changes, digest, is_clean, manifest_of, obstacles, seal_of
from relay.core.days import ONE, Calendar, Day, read_day
from relay.core.events import rfc3339
from relay.core.sources import Source
from relay.core.statement import Statement
from relay.errors import Conflict, Unprocessable
from relay.flows import day_files
from relay.flows.days import day_named, first_day, statement_of
from relay.flows.outcomes import announce_all
from relay.store import audit, closes, holds
from relay.store.engine import AUDIT_LOCK, FEED_LOCK, reading, snapshot, take_lock, writing

log = logging.getLogger(__name__)

# What was on its way when the day ended has arrived by then.
SETTLED_AFTER = timedelta(minutes=10)
AT_A_TIME = 5
# As bad as a held order is listed on the page of its day.
HELD_SEVERITY = 2
# Who begins to close days on an old database begins with these.
BOOKS_BEGIN = 31 * ONE


@dataclass(frozen=True, slots=True)
class Desk:
    """What a close works with: the facts' database and configuration, and who signs."""

    engine: Engine
    sources: Mapping[str, Source]
    chains: Mapping[str, Chain]
    calendar: Calendar
    new_id: Callable[[datetime], str]


@dataclass(frozen=True, slots=True)
class Draft:
    """What a close would say now."""

    statement: Statement
    items: Sequence[OpenItem]
    obstacles: Sequence[str]
    decisions: Sequence[Mapping[str, Any]]
    manifest: str
    files: Mapping[str, tuple[str, Path]]


def prepare(desk: Desk, day: Day, *, actor: Actor | None, now: datetime, around: str = "") -> None:
    """Prepare a day, or prepare it anew; with no actor it is the clock that does.

    With a reason (`around`) it is closed although a witness was not read; the seal speaks of it.
    Raises Conflict, naming all that stands in the way, or when it is sealed.
    """
    version, previous = place_of(desk, day)
    with TemporaryDirectory() as place:
        made = draft(desk, day, version=version, previous=previous, now=now, around=around.strip(), folder=Path(place))
        if made.obstacles:
            raise Conflict("; ".join(made.obstacles))
        _keep(desk, day, made, version, who=CLOCK if actor is None else actor.id, now=now)


def _keep(desk: Desk, day: Day, made: Draft, version: int, *, who: str, now: datetime) -> None:
    row = {
        "day": day.name,
        "version": version,
        "state": "prepared",
        "zone": day.zone,
        "starts_at": day.start,
        "ends_at": day.end,
        "prepared_by": who,
        "prepared_at": now,
        "manifest": made.manifest,
        "manifest_hash": digest(made.manifest),
    }
    with writing(desk.engine, lock=AUDIT_LOCK) as connection:
        # Looked at again under the lock: the files took long to write, and the day may be sealed by now.
        current = closes.current(connection, day.name)
        if current is not None and (current["state"] == "sealed" or current["version"] != version):
            raise Conflict("this day is sealed")
        closes.prepare(connection, row, made.files)
        _audit(connection, "close.prepare", day, who, now, version=version, manifest=row["manifest_hash"])


def approve(
    desk: Desk,
    day: Day,
    *,
    manifest_hash: str,
    accepted: Collection[str],
    sign: Callable[[str], str],
    key_id: str,
    actor: Actor,
    now: datetime,
) -> None:
    """Approve what was prepared, and seal it.

    `manifest_hash` is that of what the approver has read; `accepted` names each
    open P1 that is carried on. Raises Conflict when it is not prepared, was
    prepared anew since, was prepared by the same person, follows a day that is
    not sealed, or carries a P1 that was not accepted.
    """
    with writing(desk.engine, lock=FEED_LOCK) as connection:
        # Who prepares or opens again holds the second one. The feed's comes first, as in every act that is announced and audited.
        take_lock(connection, AUDIT_LOCK)
        row = closes.current(connection, day.name)
        if row is None or row["state"] != "prepared":
            raise Conflict("this day is not prepared")
        _check_approval(connection, row, manifest_hash, accepted=set(accepted), actor=actor)
        sealed = seal_of(
            row["manifest"],
            day=day.name,
            version=row["version"],
            prepared=(row["prepared_by"], rfc3339(row["prepared_at"])),
            approved=(actor.id, rfc3339(now)),
            accepted=sorted(accepted),
        )
        done = {"approved_by": actor.id, "approved_at": now, "sealed": sealed, "seal": sign(sealed), "key_id": key_id}
        closes.change(connection, day.name, was="prepared", state="sealed", **done)
        data = {"day": day.name, "version": row["version"], "manifest_sha256": manifest_hash, "state": "sealed"}
        announce_all(connection, [("reconciliation.report.ready", data)], now=now, new_id=desk.new_id)
        _audit(connection, "close.approve", day, actor.id, now, manifest=manifest_hash, accepted=sorted(accepted))


def ask_to_reopen(desk: Desk, day: Day, reason: str, *, actor: Actor, now: datetime) -> None:
    """Ask for a sealed day to be opened again, with a reason; another person has to agree."""
    said = reason.strip()
    if not 3 <= len(said) <= 2_000:
        raise Unprocessable("say why in 3 to 2000 characters", pointer="/reason")
    with writing(desk.engine, lock=AUDIT_LOCK) as connection:
        asked = {"reopen_asked_by": actor.id, "reopen_reason": said}
        if not closes.change(connection, day.name, was="sealed", **asked):
            raise Conflict("only a sealed day can be opened again")
        _audit(connection, "close.ask_reopen", day, actor.id, now, reason=said)


def reopen(desk: Desk, day: Day, *, actor: Actor, now: datetime) -> None:
    """Open a sealed day again, as somebody else has asked; the sealed version stays readable."""
    with writing(desk.engine, lock=AUDIT_LOCK) as connection:
        row = closes.current(connection, day.name)
        if row is None or row["state"] != "sealed" or row["reopen_asked_by"] is None:
            raise Conflict("nobody has asked for this day to be opened again")
        if row["reopen_asked_by"] == actor.id:
            raise Conflict("whoever asked cannot agree; it takes a second person")
        closes.change(connection, day.name, was="sealed", state="reopened", reopened_by=actor.id, reopened_at=now)
        _audit(connection, "close.reopen", day, actor.id, now, version=row["version"], reason=row["reopen_reason"])


def by_clock(desk: Desk, *, now: datetime) -> list[str]:
    """Prepare the days that are over and clean, the oldest first, up to the first that needs a person; return which."""
    done: list[str] = []
    with reading(desk.engine) as connection:
        of, sealed = oldest_open(connection, desk.calendar, now).date, closes.sealed_days(connection)
    while len(done) < AT_A_TIME:
        with reading(desk.engine) as connection:
            day, known = day_named(connection, desk.calendar, of), closes.current(connection, of.isoformat())
        if day.end + SETTLED_AFTER > now:
            break
        if known is None or _is_outrun(known, sealed):
            version, previous = place_of(desk, day)
            made = draft(desk, day, version=version, previous=previous, now=now)
            # A day on which somebody moved money waits for a person, though nothing of it is open.
            if made.obstacles or made.decisions or not is_clean(made.statement, made.items):
                break
            prepare(desk, day, actor=None, now=now)
            done.append(day.name)
        of += ONE
    log.info("days_prepared", extra={"days": len(done)})
    return done


def _is_outrun(row: RowMapping, sealed: Mapping[str, str]) -> bool:
    """Tell whether the clock prepared a day before the one before it was sealed: nobody could approve it any more."""
    before = sealed.get((read_day(row["day"]) - ONE).isoformat())
    is_the_clocks = row["state"] == "prepared" and row["prepared_by"] == CLOCK
    return is_the_clocks and bool(json.loads(row["manifest"])["previous"] != before)


def oldest_open(connection: Connection, calendar: Calendar, now: datetime) -> Day:
    """Return the oldest day that is not sealed; today when all before it are.

    The books begin with the first day that was ever sealed; before that, with
    the first day on which anything happened, a month ago at most.
    """
    sealed, books, today = closes.sealed_days(connection), closes.first_sealed(connection), calendar.day_at(now).date
    of = read_day(books) if books else max(first_day(connection, calendar, now).date, today - BOOKS_BEGIN)
    while of.isoformat() in sealed and of < today:
        of += ONE
    return day_named(connection, calendar, of)


def draft(
    desk: Desk,
    day: Day,
    *,
    version: int,
    previous: str | None,
    now: datetime,
    around: str = "",
    folder: Path | None = None,
) -> Draft:
    """Return what a close would say now, from one snapshot; its files are written to a folder where one is given."""
    with snapshot(desk.engine) as connection:
        statement = statement_of(connection, day, desk.sources, desk.chains, now=now)
        found = closes.items_of(connection, day)
        decisions = day_files.decisions(connection, day, found)
        controls, files = day_files.written(connection, day, folder)
        items = open_items(connection, day, found)
    manifest = manifest_of(
        statement,
        items,
        version=version,
        files=controls,
        previous=previous,
        decisions=decisions,
        around=around if statement.faults else "",
    )
    return Draft(statement, items, obstacles(statement, items, now, around=around), decisions, manifest, files)


def since_prepared(connection: Connection, day: Day, row: RowMapping, statement: Statement) -> list[str]:
    """Say what has changed since a version was prepared; its files are not written again for that."""
    kept = json.loads(row["manifest"])
    items = open_items(connection, day, closes.items_of(connection, day))
    present = manifest_of(
        statement,
        items,
        version=row["version"],
        files=kept["files"],
        previous=kept["previous"],
        decisions=kept["decisions"],
        around=kept.get("closed_around", ""),
    )
    return changes(row["manifest"], present)


def open_items(connection: Connection, day: Day, found: Sequence[RowMapping]) -> list[OpenItem]:
    """Return what is open at the end of a day: the open ones of its breaks, and the held orders that none of them speaks of."""
    of_breaks = [_item(row["id"], row, row["kind"], row["severity"]) for row in found if row["state"] == "open"]
    held = holds.without_break(connection, day)
    return of_breaks + [_item(f"held:{row['namespace']}/{row['orderid']}", row, "held", HELD_SEVERITY) for row in held]


def in_the_way(connection: Connection, day: Day, statement: Statement, now: datetime) -> list[str]:
    """Say what stands in the way of preparing a day, without looking at all that is open."""
    items = open_items(connection, day, closes.lacking(connection, day, limit=MOST_NAMED + 1))
    return obstacles(statement, items, now)


def _item(item_id: str, row: RowMapping, kind: str, severity: int) -> OpenItem:
    return OpenItem(
        id=item_id,
        kind=kind,
        severity=severity,
        order=f"{row['namespace']}/{row['orderid']}" if row["orderid"] else "",
        micros=row["amount_micros"],
        owner=row["owner"],
        note=row["note"],
    )


def place_of(desk: Desk, day: Day) -> tuple[int, str | None]:
    """Return which version comes now, and the hash of the sealed manifest of the day before. Raises Conflict for a sealed day."""
    with reading(desk.engine) as connection:
        known = closes.versions(connection, day.name)
        previous = closes.sealed_days(connection).get((day.date - ONE).isoformat())
    if known and known[0]["state"] == "sealed":
        raise Conflict("this day is sealed")
    return (known[0]["version"] + (known[0]["state"] == "reopened") if known else 1), previous


def _check_approval(
    connection: Connection, row: RowMapping, manifest_hash: str, *, accepted: set[str], actor: Actor
) -> None:
    manifest: dict[str, Any] = json.loads(row["manifest"])
    before = (read_day(row["day"]) - ONE).isoformat()
    books = closes.first_sealed(connection)
    previous = closes.sealed_days(connection).get(before)
    urgent = {item["id"] for item in manifest["open"] if item["severity"] == 1}
    if row["manifest_hash"] != manifest_hash:
        raise Conflict("it was prepared anew since you read it; read it again")
    if row["prepared_by"] == actor.id:
        raise Conflict("whoever prepared a day cannot approve it; it takes a second person")
    if books is not None and row["day"] < books:
        raise Conflict(f"the books begin with {books}")
    # The first day of the books follows no other, also when it is sealed anew.
    if books is not None and row["day"] != books and previous is None:
        raise Conflict(f"the day before, {before}, is not sealed")
    if manifest["previous"] != previous:
        raise Conflict("the day before was sealed since; prepare this one anew")
    if urgent != accepted:
        raise Conflict(f"accept each open P1 by name: {', '.join(sorted(urgent)) or 'there is none'}")


def _audit(connection: Connection, act: str, day: Day, who: str, now: datetime, **detail: object) -> None:
    audit.append(connection, actor=who, act=act, subject=f"day:{day.name}", now=now, detail=detail)
