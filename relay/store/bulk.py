"""Own how many rows become one parameter: a JSON list, spread into a table by the database itself.

One statement whose text never changes beats one bind a value: it is built
once and sent in one round trip.
"""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    DateTime,
    Executable,
    Integer,
    LargeBinary,
    Table,
    bindparam,
    text,
)
from sqlalchemy.types import TypeEngine, UserDefinedType

from relay.store.engine import Asked, is_sqlite
from relay.store.rows import deliveries

_TIME = deliveries.c.due_at.type


# What JSON has no form for travels as text. Times are spelled in UTC, whatever the session's zone.
_POSTGRES_CASTS = {"bytea": "decode({0}, 'base64')", "timestamptz": "({0} || '+00')::timestamptz"}


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that differs between the databases only in how a JSON list becomes rows."""

    sqlite: Executable
    postgres: Executable

    def on(self, connection: Connection) -> Executable:
        """Return the text for this connection."""
        return self.sqlite if is_sqlite(connection) else self.postgres

    def asked(self, connection: Connection, rows: Sequence[Any]) -> Asked:
        """Return what to ask of a connection for these rows."""
        return self.on(connection), given(rows)


def with_rows(template: str, types: Mapping[str, str], **answers: TypeEngine[Any]) -> Statement:
    """Fill `{rows}` with the parameter `rows` as a table of the named columns; types are Postgres's names.

    `answers` names the types of columns that SQLite would answer as plain text or numbers.
    """
    extracted = ", ".join(f"json_extract(value, '$.{name}') AS {name}" for name in types)
    return _statement(
        template,
        answers,
        sqlite=f"(SELECT {extracted} FROM json_each(:rows) LIMIT :count)",
        postgres=_postgres_rows(types),
    )


def _postgres_rows(types: Mapping[str, str]) -> str:
    spread = ", ".join(f"{name} {'text' if kind in _POSTGRES_CASTS else kind}" for name, kind in types.items())
    cast = ", ".join(_POSTGRES_CASTS.get(kind, "{0}").format(name) + f" AS {name}" for name, kind in types.items())
    return f"(SELECT {cast} FROM json_to_recordset(CAST(:rows AS json)) AS r({spread}) LIMIT :count)"


def with_ids(template: str, **answers: TypeEngine[Any]) -> Statement:
    """Fill `{rows}` with the parameter `rows`, a list of ids, as a table with the one column `id`."""
    return _statement(
        template,
        answers,
        sqlite="(SELECT value AS id FROM json_each(:rows) LIMIT :count)",
        postgres="(SELECT value::bigint AS id FROM json_array_elements_text(CAST(:rows AS json)) LIMIT :count)",
    )


@dataclass(frozen=True, slots=True)
class Insertion:
    """New rows of one table.

    SQLite takes them one by one: it has no round trips to save, and finding a
    wide row's columns in JSON cost it twice what the row did (a callback: 58
    us with its encoding, 25 us without).
    """

    sqlite: str
    postgres: Executable
    names: tuple[str, ...]

    def asked(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> Asked:
        """Return what to ask for these rows; a column that a row leaves out is NULL."""
        if not is_sqlite(connection):
            return self.postgres, given(rows)
        return self.sqlite, [tuple(_sqlite_form(row.get(name)) for name in self.names) for row in rows]


def insert_rows(table: Table, *columns: str) -> Insertion:
    """Return the insertion into these columns (all but `id` when none are named)."""
    names = columns or tuple(column.name for column in table.columns if column.autoincrement is not True)
    into = f"INSERT INTO {table.name} ({', '.join(names)})"
    listed = text(f"{into} SELECT {', '.join(names)} FROM {_postgres_rows(types_of(table, names))} AS g")
    return Insertion(f"{into} VALUES ({', '.join('?' * len(names))})", listed, names)


def types_of(table: Table, names: Iterable[str]) -> dict[str, str]:
    """Return Postgres's names of the types of columns."""
    return {name: _type_name(table.c[name].type) for name in names}


def given(rows: Sequence[Any], **others: Any) -> dict[str, Any]:
    """Return the parameters of a statement over rows (mappings, or bare ids).

    Their count limits nothing: it tells the planner, which would guess a
    hundred and scan a table of some thousands for the sake of one.
    """
    return {"rows": _ENCODER.encode(rows), "count": len(rows), **others}


# The rows of a batch bear the same few times.
@functools.lru_cache(maxsize=64)
def spell(moment: datetime) -> str:
    """Return the text that SQLite stores for an aware time."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", timespec="microseconds")


def _sqlite_form(value: Any) -> Any:
    return spell(value) if isinstance(value, datetime) else value


def _encode_value(value: Any) -> str:
    if isinstance(value, datetime):
        return spell(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"no column holds a {type(value).__name__}")


# Made once: json.dumps would make one for each statement.
_ENCODER = json.JSONEncoder(separators=(",", ":"), default=_encode_value)


class _SpelledTime(UserDefinedType[datetime]):
    """A time as SQLite answers it: what `spell` wrote is read back in a tenth of the time that the column's type takes."""

    cache_ok = True

    def result_processor(self, _dialect: Any, _coltype: Any) -> Any:
        return _read_time


def _read_time(spelled: str | None) -> datetime | None:
    return None if spelled is None else datetime.fromisoformat(spelled + "+00:00")


def _statement(template: str, answers: Mapping[str, TypeEngine[Any]], *, sqlite: str, postgres: str) -> Statement:
    quick = {name: _SpelledTime() if _type_name(kind) == "timestamptz" else kind for name, kind in answers.items()}
    return Statement(_text(template.format(rows=sqlite), quick), _text(template.format(rows=postgres), answers))


def _text(spelled: str, answers: Mapping[str, TypeEngine[Any]]) -> Executable:
    times = [bindparam(name, type_=_TIME) for name in ("now", "until") if f":{name}" in spelled]
    statement = text(spelled).bindparams(*times)
    return statement.columns(**answers) if answers else statement


def _type_name(kind: TypeEngine[Any]) -> str:
    """Spell a column's type as Postgres does."""
    inner = getattr(kind, "impl", kind)
    names = {
        BigInteger: "bigint",
        Integer: "integer",
        Boolean: "boolean",
        DateTime: "timestamptz",
        LargeBinary: "bytea",
    }
    return next((name for base, name in names.items() if isinstance(inner, base)), "text")
