"""Own what is asked of nodes when an order is credited without a transfer: two say that nothing came, or nothing is stated."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, RowMapping

from relay.core.chains import Chain
from relay.core.sources import Source
from relay.core.triage import Judged, Story
from relay.errors import NodeFault
from relay.flows.chain_reading import Reader
from relay.flows.cuts import last_before
from relay.flows.witnesses import Testimony, confirm_absence
from relay.ports import Node
from relay.store import chain as chain_store
from relay.store import reconciling
from relay.store import testimonies as store
from relay.store.engine import reading, writing

log = logging.getLogger(__name__)

# Of one round: each costs every node the questions about a day's blocks at most.
MOST = 5
AGAIN = timedelta(minutes=5)
# An address may be paid a little before we are told of its order, and not long before somebody says that it was.
EARLIER, LONGEST = timedelta(minutes=15), timedelta(days=1)

Key = tuple[str, str]


def follow(
    connection: Connection,
    judged: Sequence[tuple[Story, Judged]],
    asked: Collection[Key],
    sources: Mapping[str, Source],
    *,
    now: datetime,
) -> None:
    """Have nodes asked about credits that are doubted, and forget what was `asked` about those that are not."""
    doubted = [story for story, one in judged if one.doubts and story.key not in asked]
    store.ask(connection, [_question(story, sources.get(story.source), now) for story in doubted])
    settled = [story.key for story, one in judged if story.key in asked and not _concerns(one)]
    store.forget(connection, settled)


def ask_nodes(
    engine: Engine, chains: Mapping[str, Chain], nodes_of: Callable[[Chain], Sequence[Node]], *, now: datetime
) -> int:
    """Ask nodes about the doubted credits that are due; return how many. An order whose doubt is confirmed is judged again."""
    with reading(engine) as connection:
        due = store.due(connection, now=now, limit=MOST)
        states = chain_store.states(connection) if due else {}
    for row in due:
        chain, state = chains.get(row["chain"]), states.get(row["chain"])
        if chain is None or not chain.is_on or state is None:
            # Left as it is it would be due before all others for ever, and a handful would fill each round.
            with writing(engine) as connection:
                store.note(connection, (row["namespace"], row["orderid"]), look_at=now + AGAIN)
            continue
        nodes = nodes_of(chain)
        blocks = _blocks(nodes, chain, row, state)
        said = Testimony(0, len(nodes), False) if blocks is None else _ask(engine, nodes, chain, row, blocks)
        with writing(engine) as connection:
            _note(connection, row, said, blocks, now)
    return len(due)


def _question(story: Story, source: Source | None, now: datetime) -> dict[str, object]:
    grace = timedelta(seconds=0 if source is None else source.grace_s)
    return {
        "namespace": story.namespace,
        "orderid": story.orderid,
        "chain": story.chain,
        "address": story.address,
        "from_at": max(story.created_at, story.said_at - LONGEST) - EARLIER,
        "until_at": story.said_at + grace,
        "look_at": now,
    }


def _concerns(one: Judged) -> bool:
    return any(found.kind == store.PHANTOM for found in (*one.breaks, *one.doubts))


def _blocks(nodes: Iterable[Node], chain: Chain, row: RowMapping, state: RowMapping) -> tuple[int, int] | None:
    """Return the blocks of the time that is asked about, which must be read: by the first node that has our last final block."""
    for node in nodes:
        reader = Reader(chain, node)
        try:
            low, high = reader.headers([state["first_block"], state["final_number"]])
            # A chain that was resumed from an earlier block has not read that time yet, though it had when this was asked.
            if high.hash != state["final_hash"] or row["until_at"] > high.time:
                continue
            first = last_before(reader, row["from_at"], low, high) if low.time < row["from_at"] else low
            last = last_before(reader, row["until_at"], low, high) if low.time < row["until_at"] else low
        except NodeFault as error:
            log.warning("node_silent", extra={"chain": chain.name, "node": node.name, "error": error.code})
            continue
        return first.number, max(first.number, last.number)
    return None


def _ask(engine: Engine, nodes: Sequence[Node], chain: Chain, row: RowMapping, blocks: tuple[int, int]) -> Testimony:
    with reading(engine) as connection:
        known = store.received(connection, chain.name, row["address"], blocks)
    return confirm_absence(nodes, chain, row["address"], blocks, known)


def _note(
    connection: Connection, row: RowMapping, said: Testimony, blocks: tuple[int, int] | None, now: datetime
) -> None:
    key, first_last = (row["namespace"], row["orderid"]), blocks or (None, None)
    told = {"state": said.state, "agree": said.agree, "first_block": first_last[0], "last_block": first_last[1]}
    store.note(connection, key, look_at=None if said.is_enough else now + AGAIN, **told)
    if said.is_enough:
        reconciling.mark(connection, [key])
    else:
        log.warning(
            "absence_unconfirmed", extra={"chain": row["chain"], "orderid": row["orderid"], "state": said.state}
        )
