"""Own how long lists are read: a page at a time by a key that only grows, so that no row is skipped and none comes twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select

Cursor = int | str


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, and the cursor of the next ones; None when these were the last."""

    rows: list[RowMapping]
    next: Cursor | None


def read_page(
    connection: Connection,
    query: Select[Any],
    key: ColumnElement[Any],
    *,
    after: Cursor | None,
    limit: int,
    newest_first: bool = True,
) -> Page:
    """Read the rows behind the cursor `after`, the key of the last row that was seen."""
    if after is not None:
        query = query.where(key < after if newest_first else key > after)
    ordered = query.order_by(key.desc() if newest_first else key).limit(limit + 1)
    rows = list(connection.execute(ordered).mappings())
    more = len(rows) > limit
    return Page(rows[:limit], rows[limit - 1][key] if more else None)
