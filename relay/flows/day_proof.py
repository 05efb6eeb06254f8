"""Own the weekly proof: each order of a day is judged anew from its facts, and must stand as it is kept to stand.

Count, sum and a hash that does not depend on the order of orders say it for
the day; where they differ, the orders are named and given to the next run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from relay.core.amounts import format_micros
from relay.core.day_looks import place_of, proven, together
from relay.core.days import Calendar
from relay.core.triage import judge
from relay.flows import claims
from relay.flows.day_runs import finish
from relay.flows.reconcile import PAGE, Bench, state_row
from relay.flows.terms import Configured
from relay.store import day_looks as store
from relay.store import reconciling
from relay.store.engine import reading, writing

KIND = "weekly"
# Orders that a run names; all of them are looked at again.
MOST_NAMED = 10
_TOLD = ("verdict", "kinds", "flags", "drift_micros")


def begin(bench: Bench, calendar: Calendar, *, now: datetime) -> list[str]:
    """Note the days of the last week; return the new ones."""
    looks = [
        {"kind": KIND, "subject": day.name, "source": None, "starts_at": day.start, "ends_at": day.end}
        for day in proven(calendar, now)
    ]
    with writing(bench.engine) as connection:
        return store.begin(connection, looks, now=now)


def prove(bench: Bench, *, now: datetime, pages: int) -> int:
    """Go on with what was begun, at most so many pages; return how many orders stood otherwise than their facts say."""
    with reading(bench.engine) as connection:
        looks = store.open_ones(connection, KIND)
    found = 0
    for look in looks:
        going: Mapping[Any, Any] | None = look
        while going is not None and pages > 0:
            pages -= 1
            with writing(bench.engine) as connection:
                going, differing = _page(connection, bench, going, now)
            found += differing
    return found


def _page(
    connection: Connection, bench: Bench, look: Mapping[Any, Any], now: datetime
) -> tuple[Mapping[Any, Any] | None, int]:
    """Prove a page of a day; return the look as it stands then, None when it has ended or another process goes on with it."""
    tally: dict[str, Any] = {
        "orders": 0,
        "waiting": 0,
        "micros": 0,
        "kept": 0,
        "judged": 0,
        "differing": 0,
        "named": [],
    }
    tally |= json.loads(look["tally"])
    rows = store.page(connection, look, limit=PAGE)
    if not rows:
        _end(connection, bench, look, tally, now)
        return None, 0
    # What a run has still to look at may stand otherwise for a moment.
    settled = [row for row in rows if not row["is_waiting"]]
    differing = _compare(connection, bench, settled, tally, now)
    tally["orders"] += len(rows)
    tally["waiting"] += len(rows) - len(settled)
    tally["micros"] += sum(row["credited_micros"] for row in rows)
    tally["differing"] += len(differing)
    tally["named"] = (tally["named"] + ["/".join(key) for key in differing])[:MOST_NAMED]
    if not store.move(connection, look, cursor=rows[-1]["id"], tally=tally):
        return None, 0
    if differing:
        reconciling.mark(connection, differing)
    return {**look, "cursor": rows[-1]["id"], "tally": json.dumps(tally)}, len(differing)


def _compare(
    connection: Connection, bench: Bench, rows: Sequence[Mapping[Any, Any]], tally: dict[str, Any], now: datetime
) -> list[tuple[str, str]]:
    """Add how orders stand, as it is kept and as it is judged now, to both sums; return those that differ."""
    stories, kept = reconciling.stories(connection, [(row["namespace"], row["orderid"]) for row in rows])
    stories = claims.attach(connection, stories, bench.chains, now=now)
    terms = Configured(connection, bench.sources, bench.chains)
    differing: list[tuple[str, str]] = []
    for story in stories:
        judged = judge(story, terms.of(story.source, story.chain), now)
        before = kept.states.get(story.key, {})
        # Its time came after the last run looked at it: that is no difference of facts, and the next run sees it.
        if before.get("due_at") is not None and before["due_at"] <= now:
            tally["waiting"] += 1
            continue
        after = state_row(story, judged, now)
        places = [place_of(*story.key, *(one.get(name) for name in _TOLD)) for one in (before, after)]
        tally["kept"], tally["judged"] = together(tally["kept"], places[0]), together(tally["judged"], places[1])
        if places[0] != places[1]:
            differing.append(story.key)
    return differing


def _end(
    connection: Connection, bench: Bench, look: Mapping[Any, Any], tally: Mapping[str, Any], now: datetime
) -> None:
    told = {
        "orders": tally["orders"],
        "waiting": tally["waiting"],
        "credited_usdt": format_micros(tally["micros"]),
        "kept": f"{tally['kept']:016x}",
        "judged": f"{tally['judged']:016x}",
        "differing": tally["differing"],
        "named": tally["named"],
    }
    count = tally["differing"]
    named = ", ".join(tally["named"]) + (", …" if count > len(tally["named"]) else "")
    reason = f"{look['subject']}: {count} orders stood otherwise than their facts say: {named}" if count else ""
    finish(connection, look, told, reason=reason, now=now, new_id=bench.new_id)
