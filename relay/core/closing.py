"""Own the close of a day: what stands in its way, what its manifest says, and what the seal signs.

A manifest is canonical JSON: sorted names, no spaces, UTF-8. It holds nothing
of when or by whom it was made, so that the same facts give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from relay.core.amounts import format_micros
from relay.core.balances import Total, spell_usdt
from relay.core.events import rfc3339
from relay.core.statement import Bridge, Statement, Sum, Summary

FORMAT, SEAL_FORMAT = "relay-day/1", "relay-seal/1"
CLOCK = "clock"
# Of the items that stand in the way of a close so many are named.
MOST_NAMED = 10
# The columns of the proof of cash, in the order in which they add up.
CASH = ("opening", "received", "sent", "closing", "measured", "difference")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenItem:
    """A break or a held order that is open at the close, as the manifest names it."""

    id: str
    kind: str
    severity: int
    order: str
    micros: int | None
    owner: str | None
    note: str | None

    @property
    def lacks(self) -> list[str]:
        """What a person still has to say of it."""
        said = (("an owner", self.owner), ("a reason", self.note), ("an amount", self.micros is not None))
        return [name for name, there in said if not there]


def obstacles(statement: Statement, items: Sequence[OpenItem], now: datetime, *, around: str = "") -> list[str]:
    """Say what stands in the way of preparing a day, a sentence each; nothing when it may be prepared.

    With a reason (`around`) a day is closed around a witness that was not read.
    """
    found = [] if now >= statement.day.end else ["the day is not over"]
    if not around:
        found += [f"it is incomplete: {fault}" for fault in statement.faults]
    if statement.bridge.residual:
        found.append(f"{format_micros(statement.bridge.residual)} USDT are unexplained")
    lacking = [item for item in items if item.lacks]
    for item in lacking[:MOST_NAMED]:
        found.append(f"{item.kind.replace('_', ' ')} of {item.order or item.id} needs {', '.join(item.lacks)}")
    if lacking[MOST_NAMED:]:
        found.append("more items need the same")
    return found


def is_clean(statement: Statement, items: Sequence[OpenItem]) -> bool:
    """Tell whether a day is one that the clock may prepare: no dispute, nothing open, nothing held."""
    open_questions = (statement.needs.count, statement.bridge.disputed.count, statement.chain_alone.count)
    return not (items or any(open_questions) or statement.all_cash.gap)


def manifest_of(
    statement: Statement,
    items: Sequence[OpenItem],
    *,
    version: int,
    files: Mapping[str, Mapping[str, Any]],
    previous: str | None,
    decisions: Sequence[Mapping[str, Any]],
    around: str = "",
) -> str:
    """Return the manifest of a day; `previous` is the SHA-256 of the sealed manifest before it, `around` why it is closed though incomplete."""
    day = statement.day
    return canonical(
        {
            "format": FORMAT,
            "day": day.name,
            "version": version,
            "zone": day.zone,
            "start": rfc3339(day.start),
            "end": rfc3339(day.end),
            "bridge": _bridge(statement.bridge),
            "sources": {name: _bridge(bridge) for name, bridge in statement.bridges.items()},
            "accounts": {
                name: {"paid": sum_told(paid), "credited": sum_told(credited)}
                for name, (paid, credited) in statement.accounts.items()
            },
            "chains": [_chain(chain) for chain in statement.chains],
            "cash": [cash_row(total) for total in statement.cash],
            "cash_total": cash_row(statement.all_cash),
            "open": [_item(item) for item in items],
            "pending": {state: sum_told(one) for state, one in statement.pending.items()},
            "needs": sum_told(statement.needs),
            "breaks": {f"P{number}": sum_told(one) for number, one in sorted(statement.open_breaks.items())},
            "summary": _summary(statement.summary),
            "late": sum_told(statement.late),
            "chain_alone": sum_told(statement.chain_alone),
            "not_looked_at": list(statement.gaps),
            "incomplete": list(statement.faults),
            "closed_around": around,
            "decisions": list(decisions),
            "files": dict(files),
            "previous": previous,
        }
    )


def seal_of(
    manifest: str, *, day: str, version: int, prepared: Sequence[str], approved: Sequence[str], accepted: Sequence[str]
) -> str:
    """Return the text that is signed: which manifest, who prepared and approved it and when, and which P1 were carried on.

    What the day is closed around, and why, stands in the seal itself.
    """
    told = json.loads(manifest)
    around = {"incomplete": told["incomplete"], "because": told["closed_around"]} if told.get("closed_around") else None
    return canonical(
        {
            "format": SEAL_FORMAT,
            **({"closed_around": around} if around else {}),
            "day": day,
            "version": version,
            "manifest_sha256": digest(manifest),
            "prepared": list(prepared),
            "approved": list(approved),
            "accepted": sorted(accepted),
        }
    )


def changes(before: str, after: str) -> list[str]:
    """Say what differs between two manifests of a day, a line each: what an approver has to know.

    One that an older release wrote may lack what later ones say: that is no difference.
    """
    old, new = json.loads(before), json.loads(after)
    found = [
        f"{witness}: {old['bridge'][witness]['amount']} became {new['bridge'][witness]['amount']}"
        for witness in ("provider", "relay")
        if old["bridge"][witness] != new["bridge"][witness]
    ]
    were, are = ({item["id"] for item in one["open"]} for one in (old, new))
    found += [_told(len(are - were), "opened")] if are - were else []
    found += [_told(len(were - are), "resolved")] if were - are else []
    if not found and digest(before) != digest(after):
        names = sorted(name for name in new.keys() & old.keys() if new[name] != old[name])
        found += [f"other figures: {', '.join(names).replace('_', ' ')}"] if names else []
    return found


def _told(count: int, done: str) -> str:
    return f"1 item was {done}" if count == 1 else f"{count} items were {done}"


def canonical(value: Mapping[str, Any]) -> str:
    """Spell JSON in the one way that is hashed and signed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(text: str) -> str:
    """Return the SHA-256 of a text's UTF-8, in hex."""
    return sha256(text.encode()).hexdigest()


def cash_row(total: Total) -> dict[str, Any]:
    """Return a line of the proof of cash as every export writes it: decimals with six places or more, then addresses counted."""
    sums = {name: spell_usdt(getattr(total, name), total.decimals) for name in CASH}
    counts = {name: getattr(total, name) for name in ("proved", "explained", "gap", "unprovable")}
    return {"chain": total.chain, "contract": total.contract, **sums, **counts, "lacking": dict(total.whys)}


def _bridge(bridge: Bridge) -> dict[str, Any]:
    return {
        "provider": sum_told(bridge.provider),
        "relay": sum_told(bridge.relay),
        "difference": format_micros(bridge.difference),
        "gross": format_micros(bridge.gross),
        "unexplained": format_micros(bridge.residual),
        "lines": {line.reason: sum_told(line.sum) for line in bridge.by_reason},
    }


def _summary(summary: Summary) -> dict[str, Any]:
    names = ("whole", "agreeing", "recovered", "open_breaks", "orphaned", "held")
    shares = ("matched_by_count", "matched_by_value", "callback_loss")
    oldest = None if summary.oldest is None else rfc3339(summary.oldest)
    told = {name: getattr(summary, name) for name in shares} | {"seconds_to_recover": summary.wait_s, "oldest": oldest}
    return {**{name: sum_told(getattr(summary, name)) for name in names}, **told}


def _chain(chain: Any) -> dict[str, Any]:
    sums = {kind: sum_told(getattr(chain, kind)) for kind in ("received", "collected", "matched", "unfinal")}
    return {"chain": chain.chain, "on": chain.is_on, "block": chain.block, "block_hash": chain.block_hash, **sums}


def _item(item: OpenItem) -> dict[str, Any]:
    amount = None if item.micros is None else format_micros(item.micros)
    return {
        "id": item.id,
        "class": item.kind,
        "severity": item.severity,
        "order": item.order,
        "amount": amount,
        "owner": item.owner,
        "reason": item.note,
    }


def sum_told(one: Sum) -> dict[str, Any]:
    """Return a number and its money, as every export writes them."""
    return {"count": one.count, "amount": format_micros(one.micros)}
