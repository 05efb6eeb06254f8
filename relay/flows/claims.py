"""Own what is made of transactions that an order's witnesses name and that have brought it nothing: scans are looked at, then nodes asked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine

from relay.core.chains import Chain
from relay.core.claims import FOREIGN, REVERTED, Claim
from relay.core.hashes import parse_hash
from relay.core.triage import Story
from relay.flows.explaining import told_by_nodes
from relay.ports import Node
from relay.store import addresses, reconciling
from relay.store import claims as store
from relay.store.engine import reading, writing

log = logging.getLogger(__name__)

# A scan has usually read a transaction by then; nodes are asked about the others, and again later and later.
SOON, AGAIN, LATEST = timedelta(seconds=60), timedelta(minutes=10), timedelta(hours=6)
TRIES = 12
# Of one round: each costs an exchange with every chain.
MOST = 5


def attach(connection: Connection, stories: list[Story], chains: Mapping[str, Chain], *, now: datetime) -> list[Story]:
    """Return the stories, each with what is known of the transaction that it names and did not get; nodes are asked about the unknown."""
    asked = _named(stories) if any(chain.is_on for chain in chains.values()) else {}
    if not asked:
        return stories
    hashes = set(asked.values())
    found = store.found_at(connection, hashes)
    answers = store.answers(connection, hashes)
    rivals = store.named_by(connection, found) if found else {}
    store.ask(connection, hashes - found.keys() - answers.keys(), look_at=now + SOON)
    claims = {one: _claim(one, found.get(one, ()), answers.get(one)) for one in hashes}
    return [
        replace(story, claim=_beside(claims[asked[story.key]], story, rivals)) if story.key in asked else story
        for story in stories
    ]


def ask_nodes(
    engine: Engine, chains: Mapping[str, Chain], nodes_of: Callable[[Chain], Sequence[Node]], *, now: datetime
) -> int:
    """Ask nodes about the named transactions that are due; return how many. What is news has its orders judged again."""
    with reading(engine) as connection:
        due = store.due(connection, now=now, limit=MOST)
        found = store.found_at(connection, [row["tx_hash"] for row in due]) if due else {}
    for row in due:
        tx_hash = row["tx_hash"]
        seen = [] if tx_hash in found else told_by_nodes(chains, nodes_of, tx_hash)[0]
        with writing(engine) as connection:
            said = _said(connection, chains, seen)
            is_over = bool(said["said"]) or tx_hash in found or row["tries"] + 1 >= TRIES
            wait = min(AGAIN * (row["tries"] + 1), LATEST)
            store.note(connection, tx_hash, tries=row["tries"] + 1, look_at=None if is_over else now + wait, **said)
            if said["said"] or tx_hash in found:
                reconciling.mark(connection, store.named_by(connection, [tx_hash])[tx_hash])
    return len(due)


def _named(stories: Sequence[Story]) -> dict[tuple[str, str], str]:
    """The transactions, in machine spelling, by the orders that name them; what is no hash nobody could find."""
    found = {}
    for story in stories:
        try:
            if story.named_tx is not None:
                found[story.key] = parse_hash(story.named_tx)
        except ValueError:
            continue
    return found


def _claim(tx_hash: str, found: Sequence[tuple[str, str | None]], answer: Mapping[Any, Any] | None) -> Claim:
    chains = tuple(dict.fromkeys(chain for chain, _ in found))
    paid = tuple(dict.fromkeys(orderid for _, orderid in found if orderid is not None))
    said = {} if answer is None or found else {"said": answer["said"], "contract": answer["contract"]}
    return Claim(tx_hash=tx_hash, chains=chains, orders=paid, **said)


def _beside(claim: Claim, story: Story, rivals: Mapping[str, set[tuple[str, str]]]) -> Claim:
    """A transaction that other orders name as well, and that was matched with none, is claimed twice too."""
    others = {orderid for namespace, orderid in rivals.get(claim.tx_hash, ()) if (namespace, orderid) != story.key}
    return replace(claim, orders=tuple(sorted({*claim.orders, *others})))


def _said(connection: Connection, chains: Mapping[str, Chain], seen: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What settles the question: it failed, or it moved to us only tokens that do not count."""
    if any(told["state"] == "reverted" for told in seen):
        return {"said": REVERTED, "contract": ""}
    moves = [(chains[told["chain"]], move) for told in seen for move in told["moves"]]
    ours = addresses.known(connection, {(chain.name, move["recipient"]) for chain, move in moves})
    to_us = [(chain, move) for chain, move in moves if (chain.name, move["recipient"]) in ours]
    if to_us and all(chain.token(move["contract"]) is None for chain, move in to_us):
        return {"said": FOREIGN, "contract": to_us[0][1]["contract"]}
    return {"said": "", "contract": ""}
