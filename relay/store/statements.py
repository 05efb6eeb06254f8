"""Own which statements of providers were imported."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, RowMapping, insert, select

from relay.store.rows import statements


def find(connection: Connection, source: str, sha256: str) -> RowMapping | None:
    """Return the import of a file, by what is in it."""
    query = select(statements).where(statements.c.source == source, statements.c.sha256 == sha256)
    return connection.execute(query).mappings().first()


def add(
    connection: Connection, *, source: str, sha256: str, rows: int, total_micros: int, imported_by: str, now: datetime
) -> None:
    """Note that a file was imported."""
    values = {"source": source, "sha256": sha256, "rows": rows, "total_micros": total_micros}
    connection.execute(insert(statements).values(**values, imported_by=imported_by, imported_at=now))
