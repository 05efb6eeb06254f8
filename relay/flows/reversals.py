"""Own what a reorg means for credits that were announced: taken back once it is sure, given again when the money is back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine

from relay.core import reversals as rules
from relay.core.chain_addresses import family_of
from relay.core.chains import Chain
from relay.core.finality import announcement
from relay.core.hashes import show_hash
from relay.core.orders import Finding, Order, Ruling
from relay.flows.ledger import Ledger
from relay.flows.witnesses import ask_whether_gone
from relay.ports import Node
from relay.store import break_list, intake, testimonies
from relay.store import reversals as store
from relay.store.engine import reading, writing
from relay.store.releases import announced
from relay.store.reversals import Key, Suspect, TransferKey

log = logging.getLogger(__name__)

REVERSED, REINSTATED = "recharge.reversed", "recharge.reinstated"
MINED_AGAIN = "the transfer was mined again"
# Losses of one run, for each costs every node an exchange; the next run goes on.
MOST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Court:
    """What a verdict on lost transfers needs: the chains by name, and a way to their nodes, made when it is asked for."""

    engine: Engine
    chains: Mapping[str, Chain]
    nodes_of: Callable[[Chain], Sequence[Node]]
    new_id: Callable[[datetime], str]


def judge_reorgs(court: Court, *, now: datetime) -> int:
    """Announce the reversals and reinstatements that are due; return how many orders changed.

    A loss is stated when the branch that replaced the block is final, the
    chain's grace is over, and a second node says so where there is one.
    """
    with reading(court.engine) as connection:
        found, doubted = store.suspects(connection), testimonies.doubted_reorgs(connection)
    if not found and not doubted:
        return 0
    lost = [one for one in found if _due(court, one, now) == REVERSED]
    # Who was not asked about for the longest comes first: losses that nodes go on doubting would fill each run.
    lost.sort(key=lambda one: doubted.get(one.key, testimonies.NEVER))
    back = [one for one in found if _due(court, one, now) == REINSTATED][:MOST]
    asked = lost[: MOST - len(back)]
    # Nodes are asked before the feed is locked: an answer may take seconds, and callbacks would wait for it.
    settled = doubted.keys() - {one.key for one in lost}
    words = _testimonies(court, asked, settled, now)
    changed = sum(_judge(court, key, words, now) for key in sorted({one.key for one in (*back, *asked)}))
    with writing(court.engine) as connection:
        store.forget_moved(connection, now=now)
    return changed


def _due(court: Court, one: Suspect, now: datetime) -> str | None:
    chain = court.chains.get(one.moved.chain)
    return None if chain is None else announcement(one.lost, chain, final=one.final, now=now)


def _testimonies(
    court: Court, lost: Sequence[Suspect], settled: Collection[Key], now: datetime
) -> dict[TransferKey, str]:
    """Return how each loss is stated; one that may not be stated yet is left out, and makes the runs incomplete.

    What was doubted of the `settled` orders is forgotten.
    """
    words, doubted = {}, {}
    for one in lost:
        chain = court.chains[one.moved.chain]
        said = ask_whether_gone(
            court.nodes_of(chain), chain, one.moved.tx_hash, final=one.final or one.moved.block_number
        )
        if said.is_enough:
            words[one.moved.key] = said.words
            continue
        doubted[one.key] = {"chain": chain.name, "state": said.state, "agree": said.agree}
        told = {"chain": chain.name, "tx_hash": one.moved.tx_hash, "gone": said.agree, "nodes": said.asked}
        log.warning("loss_unconfirmed", extra=told)
    with writing(court.engine) as connection:
        confirmed = {one.key for one in lost} - doubted.keys()
        testimonies.note_reorgs(connection, doubted, settled={*settled, *confirmed}, now=now)
    return words


def _judge(court: Court, key: Key, words: Mapping[TransferKey, str], now: datetime) -> bool:
    """Judge one order with what holds under the feed lock; whoever was faster leaves nothing to do."""
    with writing(court.engine) as connection:
        known, feed = intake.open_orders(connection, [key], now=now)
        order = known.orders.get(key)
        mine = store.suspects_of(connection, key)
        lost = [one for one in mine if one.moved.key in words and _due(court, one, now) == REVERSED]
        back = [one for one in mine if _due(court, one, now) == REINSTATED]
        if order is None or not (lost or back):
            return False
        ledger = Ledger(known, feed, now=now, new_id=court.new_id)
        ruling = (
            _reinstate(ledger, connection, order, back, now) if back else _reverse(connection, order, lost, words, now)
        )
        ledger.follow(ruling, transfers=[one.moved for one in back or lost])
        ledger.write(connection)
    if ruling.announce is not None:
        log.error("credit_turned", extra={"event_type": ruling.announce, "namespace": key[0], "orderid": key[1]})
    return ruling.order is not None


def _reverse(
    connection: Connection, order: Order, lost: Sequence[Suspect], words: Mapping[TransferKey, str], now: datetime
) -> Ruling:
    told = announced(connection, *order.key)
    first = lost[0].moved
    ruling = rules.reverse(
        order,
        standing_micros=store.standing_micros(connection, order.key),
        generation=told.reversals + 1,
        evidence={
            "chain": first.chain,
            "tx_hash": show_hash(first.tx_hash, family_of(first.chain)),
            "block": f"{first.block_number} {first.block_hash}",
            "witnesses": words[first.key],
        },
    )
    taken = -ruling.change.delta_micros if ruling.change is not None else 0
    store.note_reversed(connection, [one.moved.key for one in lost], micros=taken, now=now)
    return ruling


def _reinstate(ledger: Ledger, connection: Connection, order: Order, back: Sequence[Suspect], now: datetime) -> Ruling:
    store.note_reinstated(connection, [one.moved.key for one in back], now=now)
    micros = sum(one.reversed_micros for one in back)
    if not micros:
        return Ruling()
    cause = Finding(kind=rules.KIND, severity=1, source=order.source, key=order.key, amount_micros=None, evidence={})
    for row in break_list.close(connection, break_id=cause.id, by="reconciler", note=MINED_AGAIN, now=now):
        ledger.announce_resolved(row)
    return rules.reinstate(order, micros=micros, generation=announced(connection, *order.key).reinstatements + 1)
