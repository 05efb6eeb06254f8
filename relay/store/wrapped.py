"""Own where wrapped values are stored, so that all of them can be wrapped anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, RowMapping, Table, select, tuple_, update

from relay.store.rows import endpoints, idempotency_keys, seal_keys

Renew = Callable[[str], str]


def _each_secret(stored: str, renew: Renew) -> str:
    return json.dumps([entry | {"secret": renew(entry["secret"])} for entry in json.loads(stored)])


def _each_header(stored: str, renew: Renew) -> str:
    return json.dumps({name: renew(value) for name, value in json.loads(stored).items()})


def _whole(stored: str, renew: Renew) -> str:
    return renew(stored)


@dataclass(frozen=True, slots=True)
class Place:
    """A column that holds wrapped values: alone, or within JSON. `renewed` returns its text with each of them passed through a function."""

    name: str
    table: Table
    column: Column[Any]
    renewed: Callable[[str, Renew], str] = _whole

    @property
    def key(self) -> tuple[Column[Any], ...]:
        """The columns that name a row."""
        return tuple(self.table.primary_key)


PLACES = (
    Place("endpoint secrets", endpoints, endpoints.c.secrets, _each_secret),
    Place("endpoint headers", endpoints, endpoints.c.headers, _each_header),
    Place("seal keys", seal_keys, seal_keys.c.private),
    Place("answers of repeatable requests", idempotency_keys, idempotency_keys.c.answer),
)


def page(connection: Connection, place: Place, *, after: tuple[Any, ...], limit: int) -> list[RowMapping]:
    """Return rows of a place with their key and `value`, in the order of their keys, behind the key `after` where it is not empty."""
    query = select(*place.key, place.column.label("value")).where(place.column.is_not(None))
    if after:
        query = query.where(tuple_(*place.key) > after)
    return list(connection.execute(query.order_by(*place.key).limit(limit)).mappings())


def key_of(place: Place, row: RowMapping) -> tuple[Any, ...]:
    """Return the key of a row that `page` read."""
    return tuple(row[column.name] for column in place.key)


def replace(connection: Connection, place: Place, row: RowMapping, value: str) -> bool:
    """Write a value in the place of the one that was read; False when somebody has changed it meanwhile."""
    mine = [column == row[column.name] for column in place.key]
    changed = update(place.table).where(*mine, place.column == row["value"]).values({place.column.name: value})
    return bool(connection.execute(changed).rowcount)
