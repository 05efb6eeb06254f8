"""Own the sums of a day that are computed from each of its orders; of a day of many orders they are kept, and a page reads a row.

Only pages and programs read what is kept, and say how old it is; a close computes anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine

from relay.core.days import Day
from relay.core.statement import Bridge, Line, Sum
from relay.store import day_facts, day_figures
from relay.store import day_sums as store
from relay.store.engine import writing

# Fewer orders are summed at once whenever they are looked at.
MANY = 5_000
# The older a day, the seldomer it changes: what is known of it holds a part of its age, and so long at least.
PARTS, AT_LEAST = 24, timedelta(minutes=15)
SHOWN = 25
_STRADDLING = frozenset({"credited_other_day", "paid_other_day"})
_TIMES = ("paid_at", "credited_at", "provider_at", "occurred_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class DaySums:
    """What the orders of a day come to; `straddlers` and `late_items` are the SHOWN largest. `computed_at` is None for what is as it is now."""

    bridges: Mapping[str, Bridge]
    answered: Sum
    chain_alone: Sum
    whole: Sum
    agreeing: Sum
    late: Sum
    moved: Mapping[str, Mapping[str, Any]]
    accounts: Mapping[str, tuple[Sum, Sum]]
    straddlers: Sequence[Mapping[str, Any]]
    late_items: Sequence[Mapping[str, Any]]
    computed_at: datetime | None = None

    @property
    def orders(self) -> int:
        """How many orders were paid or credited, whichever is more."""
        return sum(max(one.provider.count, one.relay.count) for one in self.bridges.values())


_KEPT = {one.name for one in fields(DaySums)} - {"computed_at"}


def computed(connection: Connection, day: Day, *, lists: bool = False) -> DaySums:
    """Compute the sums of a day as the connection's transaction sees it; with `lists` also what only its page shows."""
    found = day_facts.bridged(connection, day)
    late = day_facts.late(connection, day)
    met = {line.reason for bridge in found.bridges.values() for line in bridge.lines}
    straddle, is_late = lists and met & _STRADDLING, lists and late.count
    return DaySums(
        bridges=found.bridges,
        answered=found.answered,
        chain_alone=found.alone,
        whole=found.whole,
        agreeing=found.agreeing,
        late=late,
        moved=day_figures.moved(connection, day),
        accounts=found.accounts,
        straddlers=_plain(day_facts.straddlers(connection, day, limit=SHOWN)) if straddle else [],
        late_items=_plain(day_facts.late_items(connection, day, limit=SHOWN)) if is_late else [],
    )


def known(connection: Connection, day: Day, *, now: datetime) -> DaySums:
    """Return the sums of a day as they were kept, while they hold; else as they are now."""
    row = store.find(connection, day)
    lasts = max((now - day.end) / PARTS, AT_LEAST)
    figures = json.loads(row["figures"]) if row is not None and now - row["computed_at"] < lasts else {}
    # What an older release has kept lacks what is summed since.
    if row is not None and figures.keys() >= _KEPT:
        return _read(figures, row["computed_at"])
    return computed(connection, day, lists=True)


def keep(engine: Engine, day: Day, sums: DaySums, *, now: datetime) -> None:
    """Keep what was just computed, if there was much to sum."""
    if sums.computed_at is None and sums.orders > MANY:
        figures = {name: value for name, value in asdict(sums).items() if name != "computed_at"}
        with writing(engine) as connection:
            store.keep(connection, day, json.dumps(figures, default=_spelled), now=now)


def _plain(rows: Sequence[Mapping[Any, Any]]) -> list[dict[str, Any]]:
    return [dict(row) for row in rows]


def _spelled(value: Any) -> str:
    return str(value.isoformat())


def _read(figures: Mapping[str, Any], computed_at: datetime) -> DaySums:
    return DaySums(
        bridges={name: _bridge(one) for name, one in figures["bridges"].items()},
        answered=Sum(**figures["answered"]),
        chain_alone=Sum(**figures["chain_alone"]),
        whole=Sum(**figures["whole"]),
        agreeing=Sum(**figures["agreeing"]),
        late=Sum(**figures["late"]),
        moved={chain: {name: _moved(value) for name, value in one.items()} for chain, one in figures["moved"].items()},
        accounts={name: (Sum(**paid), Sum(**credited)) for name, (paid, credited) in figures["accounts"].items()},
        straddlers=[_timed(row) for row in figures["straddlers"]],
        late_items=[_timed(row) for row in figures["late_items"]],
        computed_at=computed_at,
    )


def _bridge(told: Mapping[str, Any]) -> Bridge:
    lines = (Line(one["namespace"], one["reason"], Sum(**one["sum"]), one["gross_micros"]) for one in told["lines"])
    return Bridge(Sum(**told["provider"]), Sum(**told["relay"]), tuple(lines))


def _moved(value: Any) -> Any:
    return Sum(**value) if isinstance(value, dict) else value


def _timed(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: datetime.fromisoformat(value) if name in _TIMES and value is not None else value
        for name, value in row.items()
    }
