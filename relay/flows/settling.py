"""Own how breaks follow what was found: one that is new opens, one that differs is noted, one whose cause is gone clears."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from relay.core.breaks import CLASSES, HOLDING
from relay.core.orders import Finding
from relay.store import reconciling as store
from relay.store.rows import break_values, spelled

Row = Mapping[str, Any]
# Under this name the evidence of a break says what we credited.
OURS = "credited"


@dataclass(frozen=True, slots=True)
class Settled:
    """What changed: findings that people have not been told of, and the rows of breaks that cleared."""

    fresh: Sequence[Finding] = ()
    cleared: Sequence[Row] = ()


def settle(
    connection: Connection,
    found: Sequence[Finding],
    known: Mapping[str, Row],
    *,
    derived: Collection[str],
    now: datetime,
) -> Settled:
    """Open, change and clear what differs from what is kept (`known`, by id); nothing is written when nothing does.

    Only breaks of the `derived` classes clear by not being found.
    """
    changed = [one for one in found if not _stands(known.get(one.id), one)]
    fresh = [one for one in changed if _is_closed(known.get(one.id))]
    early = _too_early(fresh)
    if early:
        changed, fresh = ([one for one in some if one not in early] for some in (changed, fresh))
        store.mark(connection, {_key(one) for one in early})
    wanted = {one.id for one in found}
    cleared = [
        row for row in known.values() if row["kind"] in derived and row["state"] == "open" and row["id"] not in wanted
    ]
    store.open_breaks(connection, [break_values(one, now) for one in changed])
    store.clear_breaks(connection, [row["id"] for row in cleared], now=now)
    _stop_and_let_go(connection, fresh, cleared, now)
    return Settled(fresh, cleared)


def finding(kind: str, **about: Any) -> Finding:
    """Return a finding of a class, as bad as its class says."""
    return Finding(kind=kind, severity=CLASSES[kind].severity, **about)


def _is_closed(before: Row | None) -> bool:
    return before is None or before["state"] != "open"


def _stands(before: Row | None, found: Finding) -> bool:
    """What a person has resolved stays so until a witness says otherwise."""
    if before is None or (before["state"] == "resolved" and before["resolved_by"] == "reconciler"):
        return False
    if before["state"] == "resolved" and OURS in found.evidence:
        return _witnessed(json.loads(before["evidence"])) == _witnessed(found.evidence)
    return bool(before["evidence"] == spelled(found.evidence) and before["amount_micros"] == found.amount_micros)


def _witnessed(evidence: Mapping[str, str]) -> dict[str, str]:
    """Without what we credited: whoever corrects that would else have the break again."""
    return {name: said for name, said in evidence.items() if name != OURS}


def _too_early(fresh: Sequence[Finding]) -> list[Finding]:
    """What this very run holds is nobody's delay; whether something else is late the next run sees."""
    doubted = _doubted(fresh)
    return [one for one in fresh if one.kind == "delivery_gap" and _key(one) in doubted]


def _doubted(fresh: Sequence[Finding]) -> set[store.Key]:
    return {_key(one) for one in fresh if one.kind in HOLDING}


def _key(one: Finding) -> store.Key:
    return (one.key[0] or "", one.key[1] or "")


def _stop_and_let_go(connection: Connection, fresh: Sequence[Finding], cleared: Sequence[Row], now: datetime) -> None:
    """What no subscriber was sent yet waits while a class that holds is open; agreement lets it go."""
    doubted = _doubted(fresh)
    if doubted:
        store.stop(connection, doubted)
    agreed = {(row["namespace"], row["orderid"]) for row in cleared if row["kind"] in HOLDING}
    if agreed:
        store.let_go(connection, agreed, now=now)
