"""Own the recovery of payments whose callback never came: through the one door, below the brake, or by a person's release."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping

from relay.core.actors import Actor
from relay.core.amounts import format_micros
from relay.core.callbacks import Callback, Origin, Status
from relay.core.sources import Source
from relay.errors import RelayError, Unprocessable
from relay.flows.intake import Intake
from relay.flows.ledger import Ledger
from relay.flows.reconcile import Bench, stale_chains
from relay.store import asked_acts, audit, intake, recoveries
from relay.store.engine import reading, writing

log = logging.getLogger(__name__)

LARGEST = 10
Key = tuple[str, str]


def recover(bench: Bench, door: Intake, *, now: datetime) -> int:
    """Credit what the last run found, source by source; return how many payments were recovered.

    Nothing is recovered for a source whose chain is not read, and nothing of
    what would pass its brake over the rolling window: that waits for a person.
    """
    with reading(bench.engine) as connection:
        due = recoveries.waiting(connection, "due")
        stale = stale_chains(connection, bench.chains, now) if due else {}
    recovered = 0
    for name in sorted({row["source"] for row in due}):
        source = bench.sources.get(name)
        mine = [row for row in due if row["source"] == name]
        if source is None or source.recover == "off" or set(source.chains) & stale.keys():
            continue
        if _brake(bench, source, mine, now):
            continue
        recovered += sum(_apply(bench, door, source, row, since="due", now=now) for row in mine)
    return recovered


def decide(
    bench: Bench,
    door: Intake,
    orderids: Collection[str],
    *,
    release: bool,
    source: str,
    actor: Actor,
    now: datetime,
    reason: str = "",
    asked_by: str | None = None,
) -> int:
    """Release or refuse what a source's brake has stopped: these orders, or all when none is named; return how many.

    Unprocessable for an order that no brake has stopped.
    """
    configured = bench.sources.get(source)
    if configured is None:
        raise Unprocessable("no such source", pointer="/source")
    with writing(bench.engine) as connection:
        stopped = {row["orderid"]: row for row in recoveries.waiting(connection, "stopped", source)}
        unknown = sorted(set(orderids) - stopped.keys())
        if unknown:
            raise Unprocessable(f"no brake has stopped {unknown[0]}", pointer="/orderids")
        chosen = [stopped[one] for one in (orderids or sorted(stopped))]
        usdt = format_micros(sum(row["amount_micros"] for row in chosen))
        detail = {"orders": len(chosen), "usdt": usdt, "reason": reason, "asked_by": asked_by}
        act = "recovery.release" if release else "recovery.refuse"
        if asked_by is None:
            asked_acts.overtake(connection, f"brake:{source}", by=actor.id, now=now)
        # Written first: the door commits each payment by itself, and none is credited without its act.
        audit.append(connection, actor=actor.id, act=act, subject=source, now=now, detail=detail)
        if not release:
            keys = {(row["namespace"], row["orderid"]) for row in chosen}
            return recoveries.move(connection, keys, "refused", since="stopped", decided_by=actor.id) if keys else 0
    return sum(_apply(bench, door, configured, row, since="stopped", now=now, by=actor.id) for row in chosen)


def _brake(bench: Bench, source: Source, due: list[RowMapping], now: datetime) -> bool:
    """Stop everything that waits when it would pass the brake; tell whether it was pulled."""
    brake = source.brake
    with writing(bench.engine) as connection:
        since = now - timedelta(seconds=brake.window_s)
        count, micros = recoveries.applied_since(connection, source.name, since)
        total = sum(row["amount_micros"] for row in due)
        if count + len(due) <= brake.count and micros + total <= brake.micros:
            return False
        recoveries.move(connection, {(row["namespace"], row["orderid"]) for row in due}, "stopped", since="due")
        known, feed = intake.open_orders(connection, [], now=now)
        ledger = Ledger(known, feed, now=now, new_id=bench.new_id)
        ledger.announce_operation("relay.alert", _pulled(source, due, total))
        ledger.write(connection)
    log.error("brake_pulled", extra={"source": source.name, "count": len(due), "micros": total})
    return True


def _pulled(source: Source, due: list[RowMapping], total: int) -> dict[str, Any]:
    largest = [
        {
            "orderid": row["orderid"],
            "amount": format_micros(row["amount_micros"]),
            "evidence": json.loads(row["evidence"]),
        }
        for row in due[:LARGEST]
    ]
    return {
        "reason": "brake_pulled",
        "source": source.name,
        "count": len(due),
        "amount": format_micros(total),
        "largest": largest,
    }


def _apply(
    bench: Bench,
    door: Intake,
    source: Source,
    row: RowMapping,
    *,
    since: str,
    now: datetime,
    by: str | None = None,
) -> bool:
    """Say it at the door; a process that dies before the note says it again, and is told that it is a duplicate."""
    # The list may be long: what somebody has refused since it was read, or a witness has taken back, is not credited.
    with reading(bench.engine) as connection:
        standing = recoveries.find(connection, (row["namespace"], row["orderid"]), since)
    if standing is None:
        return False
    try:
        verdict = door.accept(_callback(source, standing), source)
    except RelayError as error:
        log.exception("recovery_failed", extra={"orderid": row["orderid"], "error": error.code})
        return False
    with writing(bench.engine) as connection:
        recoveries.move(
            connection,
            {(row["namespace"], row["orderid"])},
            "applied",
            since=since,
            applied_at=now,
            decided_by=by,
        )
    log.warning("payment_recovered", extra={"source": source.name, "orderid": row["orderid"], "verdict": verdict.value})
    return True


def _callback(source: Source, row: RowMapping) -> Callback:
    micros, unit = row["amount_micros"], source.adapter.unit_micros
    raw = str(micros // unit) if source.adapter.amount_form == "integer" else format_micros(micros)
    return Callback(
        source=source.name,
        namespace=row["namespace"],
        orderid=row["orderid"],
        status=Status.SUCCEEDED,
        amount_micros=micros,
        amount_raw=raw,
        unit_micros=unit,
        appid=source.appid,
        tx_hash=row["tx_hash"],
        occurred_at=row["occurred_at"],
        origin=Origin.RECONCILER,
    )
