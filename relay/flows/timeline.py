"""Own the story of one order: everything that came, was announced, was sent and was disputed, in order of time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Engine, RowMapping

from relay.core.actors import Actor
from relay.core.chain_addresses import family_of, show_address
from relay.core.hashes import show_hash
from relay.core.sources import Source
from relay.errors import NotFound
from relay.store import (
    audit,
    callbacks,
    creations,
    deliveries,
    events,
    matching,
    orders,
    provider_answers,
    provider_facts,
)
from relay.store.engine import reading

What = Literal[
    "created",
    "creation",
    "callback",
    "poll",
    "provider",
    "transfer",
    "event",
    "delivery",
    "acknowledged",
    "break",
    "act",
]
# Of each kind; an order that has more is under attack, and its list of callbacks shows the rest.
MOST = 500
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened to an order; `id` names what it happened by."""

    at: datetime
    what: What
    id: str
    facts: dict[str, Any]


def namespaces_in_scope(sources: Mapping[str, Source], actor: Actor) -> frozenset[str] | None:
    """Return the namespaces whose orders an actor may see; None means all."""
    if actor.sources is None:
        return None
    return frozenset(namespace_of(sources, name) for name in actor.sources)


def namespace_of(sources: Mapping[str, Source], name: str) -> str:
    """Return where a source's orders are; one that is configured no longer may have had a namespace of its own name."""
    return sources[name].namespace if name in sources else name


def order_with_timeline(
    engine: Engine, sources: Mapping[str, Source], source: str, orderid: str, *, actor: Actor
) -> tuple[RowMapping, list[Step]]:
    """Return an order that any source of its namespace finds, and its story; NotFound where the actor has no access."""
    return timeline_of(engine, sources, (namespace_of(sources, source), orderid), actor=actor)


def timeline_of(
    engine: Engine, sources: Mapping[str, Source], key: Key, *, actor: Actor
) -> tuple[RowMapping, list[Step]]:
    """Return an order by its key, and its story; NotFound where the actor has no access."""
    (namespace, orderid), scope = key, namespaces_in_scope(sources, actor)
    with reading(engine) as connection:
        order = orders.find(connection, namespace, orderid) if scope is None or namespace in scope else None
        if order is None:
            raise NotFound("no such order")
        owner = actor.id if actor.roles == {"service"} else None
        sent = deliveries.of_order(connection, *key, owner=owner, most=MOST)
        made = creations.find(connection, key)
        steps = [_created(order) if made is None else _creation(made)]
        steps += [_callback(row) for row in callbacks.of_order(connection, *key, most=MOST)]
        steps += [_event(row) for row in events.of_order(connection, *key, most=MOST)]
        steps += [_delivery(row) for row in sent]
        steps += [_acknowledged(row) for row in sent if row["state"] == "delivered"]
        steps += [_provider(row) for row in provider_facts.of_order(connection, *key)]
        steps += [_poll(row) for row in provider_answers.of_order(connection, *key)]
        steps += [_transfer(row) for row in matching.of_order(connection, *key)]
        steps += [_break(row) for row in orders.breaks_of(connection, *key, most=MOST)]
        if owner is None:
            steps += [_act(row) for row in audit.of_subject(connection, f"{namespace}/{orderid}", most=MOST)]
    return order, sorted(steps, key=lambda step: step.at)


def _created(order: RowMapping) -> Step:
    """When we first knew of it: it was registered, or somebody called back."""
    names = ("source", "user_ref", "expected_micros", "expires_at")
    told = _step(order["created_at"], "created", order, *names)
    return Step(told.at, told.what, order["orderid"], {"registered": order["registered"], **told.facts})


def _acknowledged(row: RowMapping) -> Step:
    return _step(
        row["finished_at"], "acknowledged", row, "event_type", "endpoint_id", "endpoint_url", "attempts", "last_status"
    )


def _callback(row: RowMapping) -> Step:
    return _step(
        row["received_at"], "callback", row, "source", "status", "verdict", "reason", "amount_micros", "origin"
    )


def _creation(row: RowMapping) -> Step:
    return _step(row["created_at"], "creation", row, "call", "state", "error", "tries", "sent_at", "answered_at")


def _provider(row: RowMapping) -> Step:
    names = ("source", "via", "status", "raw_status", "amount_micros", "tx_hash", "occurred_at", "checked_at")
    return _step(row["changed_at"], "provider", row, *names)


def _poll(row: RowMapping) -> Step:
    """The provider was asked; what it said, how often in a row, and until when."""
    told = _step(row["first_at"], "poll", row, "source", "said", "times", "last_at")
    return Step(told.at, told.what, told.id, {**told.facts, **json.loads(row["content"])})


def _act(row: RowMapping) -> Step:
    return Step(
        row["at"], "act", str(row["sequence"]), {"done": row["act"], "actor": row["actor"], **json.loads(row["detail"])}
    )


def _event(row: RowMapping) -> Step:
    return _step(row["created_at"], "event", row, "type", "sequence", "order_version", "amount_micros")


def _delivery(row: RowMapping) -> Step:
    names = (
        "event_id",
        "event_type",
        "endpoint_id",
        "endpoint_url",
        "state",
        "attempts",
        "last_status",
        "last_error",
        "finished_at",
    )
    return _step(row["created_at"], "delivery", row, *names)


def _transfer(row: RowMapping) -> Step:
    """Hash and addresses as their chain's people know them; the block's time is when the money moved."""
    family = family_of(row["chain"])
    standing = "final" if row["is_final"] else "seen"
    tx_hash = show_hash(row["tx_hash"], family)
    facts = {
        "chain": row["chain"],
        "tx_hash": tx_hash,
        "block_number": row["block_number"],
        "block_hash": row["block_hash"],
        "log_index": row["log_index"],
        "state": standing if row["orphaned_at"] is None else "reversed" if row["reversed_at"] else "orphaned",
        "confirmations": _confirmations(row),
        "sender": show_address(row["sender"], family),
        "recipient": show_address(row["recipient"], family),
        "amount_micros": row["amount_micros"],
        "rest": row["rest"],
        "rule": row["rule"],
        "flags": row["flags"].split(),
    }
    return Step(row["block_time"], "transfer", tx_hash, facts)


def _confirmations(row: RowMapping) -> int:
    if row["orphaned_at"] is not None or row["head_number"] is None:
        return 0
    return max(0, int(row["head_number"]) - int(row["block_number"]) + 1)


def _break(row: RowMapping) -> Step:
    return _step(row["first_seen"], "break", row, "kind", "severity", "state", "owner", "note", "resolved_at")


def _step(at: datetime, what: What, row: RowMapping, *names: str) -> Step:
    return Step(at, what, str(row["id"]), {name: row[name] for name in names if row[name] is not None})
