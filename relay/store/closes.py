"""Own the stored closes: versions of days, their files, and the keys that seal."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    RowMapping,
    bindparam,
    delete,
    insert,
    select,
    text,
    update,
)

from relay.core.days import Day
from relay.store import file_parts
from relay.store.rows import (
    audit,
    breaks,
    callbacks,
    day_closes,
    day_file_parts,
    day_files,
    month_closes,
    seal_keys,
    transfers,
)

_TIME = day_closes.c.starts_at.type


def current(connection: Connection, day: str) -> RowMapping | None:
    """Return the version of a day that counts: prepared or sealed."""
    query = select(day_closes).where(day_closes.c.day == day, day_closes.c.state != "reopened")
    return connection.execute(query).mappings().first()


def versions(connection: Connection, day: str) -> list[RowMapping]:
    """Return every version of a day, the newest first; those that were reopened stay readable."""
    query = select(day_closes).where(day_closes.c.day == day).order_by(day_closes.c.version.desc())
    return list(connection.execute(query).mappings())


def version_of(connection: Connection, day: str, version: int) -> RowMapping | None:
    """Return one version of a day."""
    query = select(day_closes).where(day_closes.c.day == day, day_closes.c.version == version)
    return connection.execute(query).mappings().first()


def sealed_days(connection: Connection) -> dict[str, str]:
    """Return the days that are sealed, each with the hash of its manifest."""
    query = select(day_closes.c.day, day_closes.c.manifest_hash).where(day_closes.c.state == "sealed")
    return {row.day: row.manifest_hash for row in connection.execute(query)}


def first_sealed(connection: Connection) -> str | None:
    """Return the first day that was ever sealed, one that is open again included: the books begin with it."""
    query = select(day_closes.c.day).where(day_closes.c.state != "prepared").order_by(day_closes.c.day)
    return connection.execute(query.limit(1)).scalar()


def between(connection: Connection, first: str, end: str) -> list[RowMapping]:
    """Return the current versions of the days from `first` on, before `end`."""
    named = (day_closes.c.day >= first, day_closes.c.day < end, day_closes.c.state != "reopened")
    return list(connection.execute(select(day_closes).where(*named).order_by(day_closes.c.day)).mappings())


def prepare(connection: Connection, row: Mapping[str, object], files: Mapping[str, tuple[str, Path]]) -> None:
    """Store a prepared version with its files, each with its SHA-256, in place of one that was prepared before."""
    key = {name: row[name] for name in ("day", "version")}
    for table in (day_closes, day_files, day_file_parts):
        connection.execute(delete(table).where(*(table.c[name] == value for name, value in key.items())))
    connection.execute(insert(day_closes), dict(row))
    for name, (sha256, path) in files.items():
        _keep(connection, {**key, "name": name}, sha256, path)


def _keep(connection: Connection, key: Mapping[str, object], sha256: str, path: Path) -> None:
    """Store a file, compressed: a small one whole, a large one in parts."""
    is_small = file_parts.is_small(path)
    content = zlib.compress(path.read_bytes()) if is_small else b""
    connection.execute(insert(day_files), {**key, "sha256": sha256, "content": content})
    if not is_small:
        file_parts.keep(connection, day_file_parts, key, map(zlib.compress, file_parts.parts_of(path)))


def change(connection: Connection, day: str, *, was: str, **columns: object) -> bool:
    """Change the current version of a day while it is in a state; False when it is no longer."""
    still = (day_closes.c.day == day) & (day_closes.c.state == was)
    return bool(connection.execute(update(day_closes).where(still).values(**columns)).rowcount)


def files(connection: Connection, day: str, version: int) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Yield the files of a version, one at a time, each as the pieces of its content."""
    mine = (day_files.c.day == day, day_files.c.version == version)
    for name in list(connection.execute(select(day_files.c.name).where(*mine).order_by(day_files.c.name)).scalars()):
        yield name, pieces(connection, day, version, name)


def has_file(connection: Connection, day: str, version: int, name: str) -> bool:
    """Tell whether a version has kept a file."""
    return connection.execute(select(day_files.c.name).where(*_file(day, version, name))).first() is not None


def pieces(connection: Connection, day: str, version: int, name: str) -> Iterator[bytes]:
    """Yield the content of a file, some megabytes at a time."""
    whole = connection.scalar(select(day_files.c.content).where(*_file(day, version, name)))
    if whole:
        yield zlib.decompress(whole)
    else:
        key = {"day": day, "version": version, "name": name}
        yield from map(zlib.decompress, file_parts.read(connection, day_file_parts, key))


def _file(day: str, version: int, name: str) -> tuple[ColumnElement[bool], ...]:
    return day_files.c.day == day, day_files.c.version == version, day_files.c.name == name


def breaks_of(connection: Connection, day: Day) -> Iterator[RowMapping]:
    """Yield the breaks of a day: those open that were first seen before its end, and those resolved on it."""
    return _streamed(connection, select(breaks).where(_belongs_to(day)).order_by(breaks.c.id))


def items_of(connection: Connection, day: Day) -> list[RowMapping]:
    """Return the same breaks in short: what is disputed about how much, and who says what of it."""
    return list(connection.execute(select(*_IN_SHORT).where(_belongs_to(day)).order_by(breaks.c.id)).mappings())


def _belongs_to(day: Day) -> ColumnElement[bool]:
    is_open = (breaks.c.state == "open") & (breaks.c.first_seen < day.end)
    return is_open | ((breaks.c.resolved_at >= day.start) & (breaks.c.resolved_at < day.end))


def lacking(connection: Connection, day: Day, *, limit: int) -> list[RowMapping]:
    """Return open breaks of a day that a person still has to say something of, the worst first."""
    silent = breaks.c.owner.is_(None) | breaks.c.note.is_(None) | breaks.c.amount_micros.is_(None)
    query = select(*_IN_SHORT).where(breaks.c.state == "open", breaks.c.first_seen < day.end, silent)
    return list(connection.execute(query.order_by(breaks.c.severity, breaks.c.first_seen).limit(limit)).mappings())


def transfers_of(connection: Connection, day: Day) -> Iterator[RowMapping]:
    """Yield the final transfers of a day, each with the order it paid."""
    return _streamed(connection, _TRANSFERS, {"start": day.start, "end": day.end})


def callbacks_of(connection: Connection, first_id: int, last_id: int, day: Day) -> Iterator[RowMapping]:
    """Yield the callbacks that came on a day and were kept, with their bytes."""
    came = (callbacks.c.received_at >= day.start, callbacks.c.received_at < day.end, callbacks.c.verdict != "rejected")
    query = select(callbacks).where(callbacks.c.id >= first_id, callbacks.c.id < last_id, *came)
    return _streamed(connection, query.order_by(callbacks.c.id))


def acts_between(connection: Connection, start: datetime, end: datetime) -> Iterator[RowMapping]:
    """Yield the acts of a span of time, in their order."""
    query = select(audit).where(audit.c.at >= start, audit.c.at < end).order_by(audit.c.sequence)
    return _streamed(connection, query)


def _streamed(
    connection: Connection, query: Executable, given: Mapping[str, object] | None = None
) -> Iterator[RowMapping]:
    with connection.execute(query, given or {}, execution_options={"yield_per": 500}) as rows:
        yield from rows.mappings()


def month_approval(connection: Connection, month: str) -> RowMapping | None:
    """Return the newest approval of a month."""
    query = select(month_closes).where(month_closes.c.month == month).order_by(month_closes.c.version.desc())
    return connection.execute(query.limit(1)).mappings().first()


def approve_month(connection: Connection, row: Mapping[str, object]) -> None:
    """Store the approval of a month."""
    connection.execute(insert(month_closes).values(row))


def keys(connection: Connection) -> list[RowMapping]:
    """Return the seal keys, the newest first."""
    return list(connection.execute(select(seal_keys).order_by(seal_keys.c.created_at.desc())).mappings())


def add_key(connection: Connection, key_id: str, public: str, private: str | None, *, now: datetime) -> None:
    """Store a seal key."""
    connection.execute(insert(seal_keys), {"id": key_id, "public": public, "private": private, "created_at": now})


# What a manifest names an open item by.
_IN_SHORT = [
    breaks.c[name]
    for name in ("id", "kind", "severity", "state", "namespace", "orderid", "amount_micros", "owner", "note")
]
_TRANSFERS = (
    text(
        """
        SELECT t.chain, t.tx_hash, t.log_index, t.block_number, t.block_hash, t.block_time, t.contract, t.sender,
            t.recipient, t.amount_micros, t.rest, m.namespace, m.orderid
        FROM transfers t LEFT JOIN matches m ON m.chain = t.chain AND m.tx_hash = t.tx_hash
            AND m.log_index = t.log_index AND m.reversed_at IS NULL
        WHERE t.block_time >= :start AND t.block_time < :end AND t.is_final AND t.orphaned_at IS NULL
        ORDER BY t.chain, t.block_number, t.tx_hash, t.log_index
        """
    )
    .bindparams(bindparam("start", type_=_TIME), bindparam("end", type_=_TIME))
    .columns(block_time=transfers.c.block_time.type)
)
