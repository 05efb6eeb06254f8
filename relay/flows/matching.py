"""Own the meeting of orders and transfers: each transfer finds its order, and an order that awaited it is judged again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine

from relay.core.facts import Transfer
from relay.core.matching import Claim, Decision, Scene, decide, next_look
from relay.core.sources import Source
from relay.flows.confirmation import reconsider
from relay.store import matching as store
from relay.store.engine import MATCH_LOCK, reading, writing
from relay.store.rows import join_flags

log = logging.getLogger(__name__)

# Transfers of one transaction, and how many of those one run does: the next one goes on.
PAGE, PAGES = 200, 20


def match(engine: Engine, sources: Mapping[str, Source], *, now: datetime, new_id: Callable[[datetime], str]) -> int:
    """Look for the orders of transfers that are due, then judge the orders whose transfers became final.

    Returns how many orders changed; the caller rings for the deliveries then.
    Costs what is new, what is due, and what orders wait for.
    """
    _wake(engine, sources, now)
    matched = 0
    for _ in range(PAGES):
        looked_at, found = _match_page(engine, sources, now)
        matched += found
        if looked_at < PAGE:
            break
    if matched:
        log.info("transfers_matched", extra={"count": matched})
    return _confirm(engine, sources, now, new_id)


def _wake(engine: Engine, sources: Mapping[str, Source], now: datetime) -> None:
    """A transfer that had no order rests for a while, unless an order waits for one like it."""
    asking = [source.name for source in sources.values() if "chain" in source.evidence]
    if asking:
        with writing(engine) as connection:
            store.wake(connection, asking, now=now, limit=PAGE)


def _match_page(engine: Engine, sources: Mapping[str, Source], now: datetime) -> tuple[int, int]:
    """Return how many transfers were looked at, and how many have an order now."""
    # Most rounds find nothing: they take no lock for that.
    with reading(engine) as connection:
        if not store.due(connection, now=now, limit=1):
            return 0, 0
    with writing(engine, lock=MATCH_LOCK) as connection:
        moved = store.due(connection, now=now, limit=PAGE)
        decided = _decide(connection, moved, sources) if moved else []
        store.join(connection, [_match(one, decision, now) for one, decision in decided if decision.key])
        if decided:
            store.looked(connection, [_look(one, decision, now) for one, decision in decided])
    return len(moved), sum(decision.key is not None for _, decision in decided)


def _decide(
    connection: Connection, moved: list[Transfer], sources: Mapping[str, Source]
) -> list[tuple[Transfer, Decision]]:
    """Decide on each transfer as if the others of its page were decided after it: an amount may fit only one of them."""
    found, orders = store.around(connection, moved)
    decided = []
    paid: set[tuple[str, str]] = set()
    for one in found:
        claims = (_claim(orders[number], one, sources, paid) for number in sorted(one.named | one.near))
        decision = decide(_scene(one, claims))
        if decision.key is not None:
            paid.add(decision.key)
        decided.append((one.transfer, decision))
    return decided


def _scene(found: store.Found, claims: Iterable[Claim]) -> Scene:
    return Scene(
        transfer=found.transfer,
        role=found.role,
        namespace=found.namespace,
        owner=found.owner,
        claims=tuple(claims),
        siblings=found.siblings,
        rivals=found.rivals,
    )


def _claim(
    order: Mapping[str, Any], found: store.Found, sources: Mapping[str, Source], paid: set[tuple[str, str]]
) -> Claim:
    source = sources.get(order["source"])
    key = (order["namespace"], order["orderid"])
    return Claim(
        key=key,
        names_tx=order["id"] in found.named,
        owns_address=source is not None and source.address_kind == "dedicated",
        unit_micros=1 if source is None else source.adapter.unit_micros,
        is_paid=bool(order["is_paid"]) or key in paid,
        **{
            name: order[name]
            for name in (
                "chain",
                "address",
                "user_ref",
                "expected_micros",
                "amount_micros",
                "created_at",
                "expires_at",
            )
        },
    )


def _match(moved: Transfer, decision: Decision, now: datetime) -> dict[str, Any]:
    namespace, orderid = decision.key or ("", "")
    return _named(moved) | {
        "namespace": namespace,
        "orderid": orderid,
        "rule": decision.rule,
        "flags": join_flags(decision.flags),
        "matched_at": now,
    }


def _look(moved: Transfer, decision: Decision, now: datetime) -> dict[str, Any]:
    return _named(moved) | {"look_at": next_look(decision, moved, now), "unmatched": decision.reason or None}


def _named(moved: Transfer) -> dict[str, Any]:
    return {"chain": moved.chain, "tx_hash": moved.tx_hash, "log_index": moved.log_index}


def _confirm(engine: Engine, sources: Mapping[str, Source], now: datetime, new_id: Callable[[datetime], str]) -> int:
    """What is judged is noted afterwards: a process that dies in between leaves it to the next."""
    changed = 0
    for _ in range(PAGES):
        with reading(engine) as connection:
            rows = store.newly_final(connection, limit=PAGE)
        if not rows:
            break
        keys = {(row["namespace"], row["orderid"]) for row in rows}
        changed += reconsider(engine, sources, keys, now=now, new_id=new_id)
        with writing(engine) as connection:
            store.note_final(connection, rows, now=now)
        if len(rows) < PAGE:
            break
    return changed
