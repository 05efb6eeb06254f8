"""Own the workbooks that are made by a job and kept for a day."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from relay.store.rows import workbooks


def ask(connection: Connection, export_id: str, day: str, *, by: str, now: datetime) -> None:
    """Store that somebody asks for the workbook of a day."""
    connection.execute(insert(workbooks), {"id": export_id, "day": day, "asked_by": by, "asked_at": now})


def find(connection: Connection, export_id: str) -> RowMapping | None:
    """Return what was asked for, with its bytes once they are there."""
    return connection.execute(select(workbooks).where(workbooks.c.id == export_id)).mappings().first()


def content(row: RowMapping) -> bytes:
    """Return the bytes of a workbook that was made."""
    return bytes(row["content"])


def keep(connection: Connection, export_id: str, data: bytes, *, now: datetime) -> None:
    """Keep the bytes of a workbook."""
    made = {"content": data, "made_at": now}
    connection.execute(update(workbooks).where(workbooks.c.id == export_id).values(**made))


def prune(connection: Connection, *, before: datetime) -> int:
    """Forget what was asked for before a moment; return how many."""
    return connection.execute(delete(workbooks).where(workbooks.c.asked_at < before)).rowcount
