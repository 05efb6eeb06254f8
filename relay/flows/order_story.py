"""Own one order as finance looks at it: three witnesses and the relay beside each other, its breaks, and its whole story."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, RowMapping

from relay.core.actors import Actor
from relay.core.advice import why
from relay.core.chain_addresses import family_of, show_address
from relay.core.hashes import show_hash
from relay.core.sides import Line, Side, compared, difference, next_step
from relay.core.sources import Source
from relay.flows.timeline import MOST, Key, Step, namespace_of, timeline_of
from relay.store import callbacks, deliveries, matching, orders, provider_facts
from relay.store.engine import reading


@dataclass(frozen=True, slots=True)
class Story:
    """An order, what each witness says, where they differ, what to do, what is disputed, who was told, and what happened."""

    order: RowMapping
    sides: list[Side]
    lines: list[Line]
    difference: str
    next_step: str
    breaks: list[dict[str, Any]]
    deliveries: list[RowMapping]
    steps: list[Step]


def story(engine: Engine, sources: Mapping[str, Source], source: str, orderid: str, *, actor: Actor) -> Story:
    """Return the story of an order that any source of its namespace finds; NotFound where the actor has no access."""
    return story_of(engine, sources, (namespace_of(sources, source), orderid), actor=actor)


def story_of(engine: Engine, sources: Mapping[str, Source], key: Key, *, actor: Actor) -> Story:
    """Return the story of an order by its key; NotFound where the actor has no access."""
    order, steps = timeline_of(engine, sources, key, actor=actor)
    with reading(engine) as connection:
        heard = callbacks.of_order(connection, *key, most=MOST)
        facts = provider_facts.of_order(connection, *key)
        moved = matching.of_order(connection, *key)
        disputed = orders.breaks_of(connection, *key, most=MOST)
        sent = deliveries.of_order(connection, *key, owner=None, most=MOST)
    configured = sources.get(order["source"])
    sides = [_callback(heard), _provider(facts, configured), _chain(moved, configured)]
    return Story(
        order=order,
        sides=[*sides, _relay(order)],
        lines=compared([*sides, _relay(order)]),
        difference=difference(sides, order["credited_micros"]),
        next_step=next_step(order["state"], order["held_reason"], _open_classes(disputed)),
        breaks=[{**row, "why": why(row["kind"], json.loads(row["evidence"] or "{}"))} for row in disputed],
        deliveries=sent,
        steps=steps,
    )


def _open_classes(disputed: Sequence[Mapping[Any, Any]]) -> list[str]:
    standing = [row for row in disputed if row["state"] == "open"]
    return [row["kind"] for row in sorted(standing, key=lambda row: row["severity"])]


def _callback(heard: Sequence[Mapping[Any, Any]]) -> Side:
    """The callback that counts: the last one that was accepted, and of those the last that says paid."""
    kept = [row for row in heard if row["verdict"] == "accepted"]
    if not kept:
        return Side(name="Callback", missing="none that verified has come")
    row = next((row for row in reversed(kept) if row["status"] == "succeeded"), kept[-1])
    return Side(
        name="Callback",
        status=row["status"],
        micros=row["amount_micros"],
        tx_hash=row["tx_hash"],
        number=row["provider_order_id"],
        user=row["user_ref"],
        at=row["received_at"],
    )


def _provider(facts: Sequence[Mapping[Any, Any]], source: Source | None) -> Side:
    if not facts:
        can_ask = source is not None and source.adapter.query is not None
        return Side(name="Provider", missing="not asked yet" if can_ask else "cannot be asked, and no statement has it")
    row = facts[-1]
    return Side(
        name="Provider",
        status=row["status"] or row["raw_status"],
        micros=row["amount_micros"],
        tx_hash=row["tx_hash"],
        number=row["provider_order_id"],
        at=row["occurred_at"] or row["changed_at"],
    )


def _chain(moved: Sequence[Mapping[Any, Any]], source: Source | None) -> Side:
    standing = [row for row in moved if row["orphaned_at"] is None and row["reversed_at"] is None]
    if not standing:
        watched = source is not None and source.chains
        return Side(name="Chain", missing="no transfer is matched" if watched else "this source names no chain")
    last = standing[-1]
    return Side(
        name="Chain",
        status="final" if all(row["is_final"] for row in standing) else "not final yet",
        micros=sum(row["amount_micros"] for row in standing),
        tx_hash=show_hash(last["tx_hash"], family_of(last["chain"])),
        address=show_address(last["recipient"], family_of(last["chain"])),
        at=last["block_time"],
        chain=last["chain"],
    )


def _relay(order: RowMapping) -> Side:
    return Side(
        name="Relay, credited",
        status=order["state"],
        micros=order["credited_micros"],
        number=order["provider_order_id"],
        user=order["user_ref"],
        address=order["address"] and show_address(order["address"], family_of(order["chain"] or "")),
        at=order["updated_at"],
        chain=order["chain"],
    )
