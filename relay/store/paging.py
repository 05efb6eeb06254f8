"""Own how long lists are read: a page at a time by a key that only grows, so that no row is skipped and none comes twice."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select

from relay.errors import Unprocessable

Cursor = int | str
# SQLite takes no larger number, not even to compare with.
_BEYOND = 2**63


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


def spell_cursor(values: Sequence[Any]) -> str:
    """Spell the key of the last row that was seen, where it has several columns."""
    plain = [value.isoformat() if isinstance(value, datetime) else value for value in values]
    return urlsafe_b64encode(json.dumps(plain).encode()).decode().rstrip("=")


def read_cursor(given: str, *kinds: type) -> list[Any]:
    """Return the values of a cursor, each of its kind; Unprocessable for what is none."""
    try:
        told = json.loads(urlsafe_b64decode(given + "=" * (-len(given) % 4)))
        return [_read(value, kind) for value, kind in zip(told, kinds, strict=True)]
    except (ValueError, TypeError, LookupError, RecursionError):
        raise Unprocessable("this is no page of the list", pointer="/after") from None


def _read(value: Any, kind: type) -> Any:
    read = datetime.fromisoformat(value) if kind is datetime else value
    if type(read) is not kind or not _is_storable(read):
        raise ValueError(f"this is no {kind.__name__}")
    return read


def _is_storable(read: Any) -> bool:
    """Tell whether both databases take it as a value to compare with."""
    if isinstance(read, datetime):
        return read.tzinfo is not None
    if isinstance(read, int):
        return -_BEYOND <= read < _BEYOND
    # JSON can spell half a character, which no UTF-8 has.
    return "\0" not in read and read.encode(errors="ignore").decode() == read
