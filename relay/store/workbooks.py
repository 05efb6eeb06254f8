"""Own the workbooks that are made by a job and kept for a day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from relay.store import file_parts
from relay.store.rows import workbook_parts, workbooks


def ask(connection: Connection, export_id: str, day: str, *, by: str, now: datetime) -> None:
    """Store that somebody asks for the workbook of a day."""
    connection.execute(insert(workbooks), {"id": export_id, "day": day, "asked_by": by, "asked_at": now})


def find(connection: Connection, export_id: str) -> RowMapping | None:
    """Return what was asked for; `made_at` once its bytes are there."""
    columns = [column for column in workbooks.c if column.name != "content"]
    return connection.execute(select(*columns).where(workbooks.c.id == export_id)).mappings().first()


def keep(connection: Connection, export_id: str, path: Path, *, now: datetime) -> None:
    """Keep a workbook, unless it is there already, or is not asked for any more."""
    is_small = file_parts.is_small(path)
    made = {"content": path.read_bytes() if is_small else None, "made_at": now}
    awaited = (workbooks.c.id == export_id) & workbooks.c.made_at.is_(None)
    is_kept = connection.execute(update(workbooks).where(awaited).values(**made)).rowcount
    if is_kept and not is_small:
        file_parts.keep(connection, workbook_parts, {"workbook_id": export_id}, file_parts.parts_of(path))


def pieces(connection: Connection, export_id: str) -> Iterator[bytes]:
    """Yield the bytes of a workbook that was made, some megabytes at a time."""
    whole = connection.scalar(select(workbooks.c.content).where(workbooks.c.id == export_id))
    if whole is not None:
        yield bytes(whole)
    else:
        yield from file_parts.read(connection, workbook_parts, {"workbook_id": export_id})


def prune(connection: Connection, *, before: datetime) -> int:
    """Forget what was asked for before a moment, and the parts of what is forgotten; return how many."""
    forgotten = connection.execute(delete(workbooks).where(workbooks.c.asked_at < before)).rowcount
    connection.execute(delete(workbook_parts).where(workbook_parts.c.workbook_id.not_in(select(workbooks.c.id))))
    return forgotten
