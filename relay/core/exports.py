"""Own how a day is written for spreadsheets and auditors: columns with stable names, text that no spreadsheet runs, control totals.

CSV after RFC 4180. Amounts are plain decimals with six places, times ISO 8601
with offset; ids are quoted text, and what a spreadsheet would take for a
formula is defused (OWASP, CSV Injection). Names of columns only ever grow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
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
    """A sheet of a workbook: its columns and rows; with `totals` a last row sums the columns of money. Local times are those of `zone`."""

    name: str
    columns: Sequence[Column]
    rows: Iterable[Mapping[Any, Any]]
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
    Column("amount", "amount_micros", "money"),
    Column("owner", "owner"),
    Column("note", "note"),
    Column("evidence", "evidence"),
    Column("first_seen_utc", "first_seen", "time"),
    Column("last_seen_utc", "last_seen", "time"),
    Column("resolved_utc", "resolved_at", "time"),
    Column("resolved_by", "resolved_by"),
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


@dataclass(slots=True)
class Control:
    """What a written file must come to: its rows, the sum of each column of money, its bytes and their SHA-256."""

    rows: int = 0
    micros: dict[str, int] = field(default_factory=dict)
    size: int = 0
    _hash: Any = field(default_factory=sha256)

    def add_row(self, columns: Sequence[Column], row: Mapping[Any, Any]) -> None:
        """Count a row."""
        self.rows += 1
        for column in columns:
            if column.kind == "money":
                self.micros[column.name] = self.micros.get(column.name, 0) + (row[column.field] or 0)

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
    """Yield the lines of a CSV file, the header first; `fixed` are fields that all rows share."""
    yield control.add_bytes(_line(f'"{column.name}"' for column in columns))
    for row in rows:
        whole = {**row, **fixed}
        control.add_row(columns, whole)
        yield control.add_bytes(_line(_cell(column, whole.get(column.field), zone) for column in columns))


def spelled(column: Column, value: Any, zone: str) -> str:
    """Spell a value as a file does: six places, an offset, nothing for what is absent."""
    match column.kind:
        case _ if value is None:
            return ""
        case "money":
            return format_micros(value)
        case "time":
            return str(value.isoformat(timespec="milliseconds"))
        case "local":
            return _local(value, zone)
        case _:
            return str(value)


def defused(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula; a NUL, which no file may hold, is left out."""
    clean = text.replace("\0", "")
    return f"'{clean}" if clean.lstrip(" ").startswith(_ACTIVE) else clean


def _cell(column: Column, value: Any, zone: str) -> str:
    text = spelled(column, value, zone)
    if column.kind in ("money", "exact", "number"):
        return text
    quoted = defused(text).replace('"', '""')
    return f'"{quoted}"'


def _line(cells: Iterable[str]) -> bytes:
    return (",".join(cells) + "\r\n").encode("utf-8", "replace")


def _local(value: datetime, zone: str) -> str:
    return value.astimezone(ZoneInfo(zone)).isoformat(timespec="milliseconds")
