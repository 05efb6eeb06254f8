"""Own the proofs of days as they were computed last: the total of each token, and each address whose money does not add up."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, Table, delete, func, insert, select

from relay.core.balances import Proof, Total
from relay.core.days import Day
from relay.core.logs import TokenEvent
from relay.store.rows import day_gaps, day_proofs, transfers

_SUMS = ("opening", "received", "sent", "measured")
_COUNTS = ("proved", "explained", "gap")


def keep(
    connection: Connection, chain: str, day: Day, totals: Iterable[Total], gaps: Iterable[Proof], *, now: datetime
) -> None:
    """Write what a day of a chain comes to, in place of what was known of it."""
    for table in (day_proofs, day_gaps):
        connection.execute(delete(table).where(table.c.chain == chain, *_on(table, day)))
    key = {"starts_at": day.start, "ends_at": day.end}
    if rows := [key | _total_row(one) | {"proven_at": now} for one in totals]:
        connection.execute(insert(day_proofs), rows)
    if rows := [key | _gap_row(one) for one in gaps]:
        connection.execute(insert(day_gaps), rows)


def totals(connection: Connection, day: Day) -> list[tuple[Total, datetime]]:
    """Return what each token came to on a day, by chain, and when that was computed."""
    query = select(day_proofs).where(*_on(day_proofs, day)).order_by(day_proofs.c.chain, day_proofs.c.contract)
    return [(_total(row), row["proven_at"]) for row in connection.execute(query).mappings()]


def gaps(connection: Connection, day: Day) -> list[Proof]:
    """Return the lines of a day that do not add up, by chain and address."""
    query = select(day_gaps).where(*_on(day_gaps, day)).order_by(day_gaps.c.chain, day_gaps.c.address)
    return [_gap(row) for row in connection.execute(query).mappings()]


def last_seen(connection: Connection, chain: str, day: Day) -> datetime | None:
    """Return when a transfer of a day was read last."""
    mine = (
        transfers.c.chain == chain,
        transfers.c.block_time >= day.start,
        transfers.c.block_time < day.end,
    )
    seen: datetime | None = connection.scalar(select(func.max(transfers.c.seen_at)).where(*mine))
    return seen


def _on(table: Table, day: Day) -> tuple[Any, ...]:
    return table.c.starts_at == day.start, table.c.ends_at == day.end


def _total_row(one: Total) -> dict[str, object]:
    kept = {name: getattr(one, name) for name in ("chain", "contract", "decimals", *_COUNTS)}
    return kept | {name: str(getattr(one, name)) for name in _SUMS} | {"whys": json.dumps(one.whys)}


def _total(row: RowMapping) -> Total:
    kept = {name: row[name] for name in ("chain", "contract", "decimals", *_COUNTS)}
    return Total(**kept, **_units(row), whys=json.loads(row["whys"]))


def _gap_row(one: Proof) -> dict[str, object]:
    kept = {name: getattr(one, name) for name in _LINE}
    units = {name: str(getattr(one, name)) for name in _SUMS}
    return kept | units | {"events": json.dumps([asdict(event) for event in one.events])}


def _gap(row: RowMapping) -> Proof:
    events: Sequence[Mapping[str, Any]] = json.loads(row["events"])
    kept = {name: row[name] for name in _LINE}
    return Proof(**kept, **_units(row), events=tuple(TokenEvent(**one) for one in events))


_LINE = ("chain", "contract", "address", "role", "first_block", "last_block")


def _units(row: RowMapping) -> dict[str, Any]:
    return {name: int(row[name]) for name in _SUMS}
