"""Own how a day is written for spreadsheets and auditors: columns with stable names, text that no spreadsheet runs, control totals.

CSV after RFC 4180. Amounts are plain decimals with six places, times ISO 8601
with offset; ids are quoted text, and what a spreadsheet would take for a
formula is defused (OWASP, CSV Injection). Names of columns only ever grow.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from relay.core.amounts import format_micros

VERSION = "1"


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, the field of a row it shows, and of what kind: text, money (micros), exact (a decimal as text), number, time, local."""

    name: str
    field: str
    kind: str = "text"


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet of a workbook: its columns and rows, and the fields that all rows share.

    With `totals` a last row sums the columns of money. Local times are those of `zone`.
    """

    name: str
    columns: Sequence[Column]
    rows: Iterable[Mapping[Any, Any]]
    fixed: Mapping[str, str] = field(default_factory=dict)
    totals: bool = True
    zone: str = "UTC"


ITEMS = (
    Column("business_day", "business_day"),
    Column("namespace", "namespace"),
    Column("orderid", "orderid"),
    Column("source", "source"),
    Column("appid", "appid"),
    Column("user_ref", "user_ref"),
    Column("provider_order_id", "provider_order_id"),
    Column("reason", "reason"),
    Column("state", "state"),
    Column("held_reason", "held_reason"),
    Column("flags", "flags"),
    Column("provider_amount", "provider_micros", "money"),
    Column("provider_word", "by_word"),
    Column("relay_amount", "relay_micros", "money"),
    Column("chain_amount", "chain_micros", "money"),
    Column("difference", "difference_micros", "money"),
    Column("chain", "chain"),
    Column("transfers", "transfers", "number"),
    Column("tx_hash", "tx_hash"),
    Column("block_number", "block_number", "number"),
    Column("block_hash", "block_hash"),
    Column("provider_time_utc", "provider_at", "time"),
    Column("relay_time_utc", "relay_at", "time"),
    Column("chain_time_utc", "chain_at", "time"),
    Column("relay_time_local", "relay_at", "local"),
)
BREAKS = (
    Column("business_day", "business_day"),
    Column("break_id", "id"),
    Column("class", "kind"),
    Column("severity", "severity", "number"),
    Column("state", "state"),
    Column("namespace", "namespace"),
    Column("orderid", "orderid"),
    Column("chain", "chain"),
    Column("subject", "subject"),
    Column("address", "address"),
    Column("tx_hash", "tx_hash"),
    Column("amount", "amount_micros", "money"),
    Column("owner", "owner"),
    Column("note", "note"),
    Column("evidence", "evidence"),
    Column("first_seen_utc", "first_seen", "time"),
    Column("last_seen_utc", "last_seen", "time"),
    Column("resolved_utc", "resolved_at", "time"),
    Column("resolved_by", "resolved_by"),
)
PENDING = (
    Column("business_day", "business_day"),
    Column("namespace", "namespace"),
    Column("orderid", "orderid"),
    Column("source", "source"),
    Column("state", "state"),
    Column("amount", "amount_micros", "money"),
    Column("since_utc", "updated_at", "time"),
    Column("becomes_break_utc", "due_at", "time"),
)
FIGURES = (
    Column("business_day", "business_day"),
    Column("section", "section"),
    Column("what", "what"),
    Column("count", "count", "number"),
    Column("usdt", "micros", "money"),
    Column("value", "value"),
)
TRANSFERS = (
    Column("chain", "chain"),
    Column("tx_hash", "tx_hash"),
    Column("log_index", "log_index", "number"),
    Column("block_number", "block_number", "number"),
    Column("block_hash", "block_hash"),
    Column("block_time_utc", "block_time", "time"),
    Column("contract", "contract"),
    Column("sender", "sender"),
    Column("recipient", "recipient"),
    Column("amount", "amount_micros", "money"),
    Column("rest", "rest", "number"),
    Column("namespace", "namespace"),
    Column("orderid", "orderid"),
)
CASH = (
    Column("business_day", "business_day"),
    Column("chain", "chain"),
    Column("contract", "contract"),
    *(Column(name, name, "exact") for name in ("opening", "received", "sent", "closing", "measured", "difference")),
    *(Column(f"{name}_addresses", name, "number") for name in ("proved", "explained", "gap", "unprovable")),
    Column("lacking", "lacking"),
)
# What a spreadsheet takes for the beginning of a formula.
_ACTIVE = ("=", "+", "-", "@", "\t", "\r", "\n")
# Where a cell begins for a spreadsheet that separates by semicolons or tabs, as in half of Europe: our quotes mean nothing to it there.
_INNER = re.compile(r'([;\t\r\n][ "]*)(?=[=+\-@])')


# So many rows are spelled at a time, column by column: calls are dear, and nobody needs a line before the others.
AT_ONCE = 1_000


@dataclass(slots=True)
class Control:
    """What a written file must come to: its rows, the sum of each column of money, its bytes and their SHA-256."""

    rows: int = 0
    micros: dict[str, int] = field(default_factory=dict)
    size: int = 0
    _hash: Any = field(default_factory=sha256)

    def add_rows(self, columns: Sequence[Column], values: Sequence[Sequence[Any]]) -> None:
        """Count rows, whose values are given column by column."""
        self.rows += len(values[0])
        for column, these in zip(columns, values, strict=True):
            if column.kind == "money":
                self.micros[column.name] = self.micros.get(column.name, 0) + sum(filter(None, these))

    def add_bytes(self, data: bytes) -> bytes:
        """Count bytes, and return them."""
        self.size += len(data)
        self._hash.update(data)
        return data

    def told(self) -> dict[str, Any]:
        """Return it as a manifest tells it; amounts as text, and exactly as the column adds up."""
        totals = {name: format_micros(micros) for name, micros in sorted(self.micros.items())}
        return {"rows": self.rows, "totals": totals, "bytes": self.size, "sha256": self._hash.hexdigest()}


def csv_of(
    columns: Sequence[Column], rows: Iterable[Mapping[Any, Any]], *, zone: str, control: Control, **fixed: str
) -> Iterator[bytes]:
    """Yield a CSV file in pieces of many lines, the header first; `fixed` are fields that all rows share."""
    yield control.add_bytes(_lines([f'"{column.name}"'] for column in columns))
    waiting, place = iter(rows), ZoneInfo(zone)
    while piece := list(islice(waiting, AT_ONCE)):
        values = [values_of(column, piece, fixed) for column in columns]
        control.add_rows(columns, values)
        cells = (_cells(column, these, place) for column, these in zip(columns, values, strict=True))
        yield control.add_bytes(_lines(cells))


def values_of(column: Column, rows: Sequence[Mapping[Any, Any]], fixed: Mapping[str, str]) -> list[Any]:
    """Return what a column says, row after row; `fixed` are fields that all rows share."""
    if column.field in fixed:
        return [fixed[column.field]] * len(rows)
    return [row[column.field] for row in rows]


def spelled(column: Column, value: Any, zone: str) -> str:
    """Spell a value as a file does: six places, an offset, nothing for what is absent."""
    return "" if value is None else _SPELLINGS.get(column.kind, _plain)(value, ZoneInfo(zone))


def defused(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula; a NUL, which no file may hold, is left out."""
    clean = _INNER.sub(r"\1'", text.replace("\0", ""))
    return f"'{clean}" if clean.lstrip(" ").startswith(_ACTIVE) else clean


def _cells(column: Column, values: Sequence[Any], place: ZoneInfo) -> list[str]:
    spell = _SPELLINGS.get(column.kind, _plain)
    if column.kind in ("time", "local"):
        return ['""' if value is None else f'"{spell(value, place)}"' for value in values]
    # Most columns say a few things over and over: each is spelled once.
    quote = str if column.kind in ("money", "exact", "number") else _quoted
    told = {value: quote("" if value is None else spell(value, place)) for value in set(values)}
    return [told[value] for value in values]


def _quoted(text: str) -> str:
    # Letters and digits alone are no formula, and hold no quote.
    return f'"{text}"' if text.isalnum() else '"{}"'.format(defused(text).replace('"', '""'))


def _lines(cells: Iterable[Sequence[str]]) -> bytes:
    """Return lines of which the cells are given column by column."""
    lines = map(",".join, zip(*cells, strict=True))
    return "\r\n".join([*lines, ""]).encode("utf-8", "replace")


def _plain(value: Any, _: ZoneInfo) -> str:
    return str(value)


def _money(value: int, _: ZoneInfo) -> str:
    return format_micros(value)


def _time(value: datetime, _: ZoneInfo) -> str:
    return value.isoformat(timespec="milliseconds")


def _local(value: datetime, place: ZoneInfo) -> str:
    return value.astimezone(place).isoformat(timespec="milliseconds")


_SPELLINGS: Mapping[str, Callable[[Any, ZoneInfo], str]] = {"money": _money, "time": _time, "local": _local}
