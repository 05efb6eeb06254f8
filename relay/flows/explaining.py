"""Own the answer to "what became of this transaction?": from SQL what is known, from the nodes, by a job, what is not."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping

from relay.core.chains import Chain
from relay.core.explaining import Belonging, Explanation, Move, Sighting, explain
from relay.core.finality import final_block, tag_of
from relay.core.hashes import parse_hash
from relay.core.logs import parse_header, quantity
from relay.core.receipts import read_receipt
from relay.errors import NodeFault, TooMany, Unprocessable
from relay.ports import Node, NodeError, Queue
from relay.store import addresses, inquiries
from relay.store.engine import reading, writing

log = logging.getLogger(__name__)

JOB = "jobs.explain.run"
# How long an answer of the nodes is good for, and how long one is waited for before the question is put again.
FRESH, PATIENCE = timedelta(seconds=20), timedelta(seconds=30)
# Each open question costs every node an exchange.
MOST_OPEN = 50
MOST_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquirer:
    """What explaining needs. `scope` are the namespaces whose orders may be shown, None for all."""

    engine: Engine
    chains: Mapping[str, Chain]
    queue: Queue
    scope: Collection[str] | None


def machine_hash(text: str) -> str:
    """Return the machine spelling of a hash that a person typed; Unprocessable for anything else."""
    try:
        return parse_hash(text)
    except ValueError as error:
        raise Unprocessable(f"a hash {error}", pointer="/tx") from None


def look_up(inquirer: Inquirer, tx_hash: str, *, now: datetime) -> Explanation | None:
    """Explain a transaction (machine spelling), or have the nodes asked and return None: ask again in a moment.

    Raises TooMany while too many questions are open, Unavailable when the job cannot be put.
    """
    asked = sorted(chain.name for chain in inquirer.chains.values() if chain.is_on)
    with reading(inquirer.engine) as connection:
        named = [_belonging(inquirer, row) for row in inquiries.named_by(connection, tx_hash, most=MOST_NAMED)]
        rows = inquiries.moves_of(connection, tx_hash)
        if rows or not asked:
            return explain(_read_sightings(inquirer, rows), asked=asked, silent=(), named_by=named)
        row = inquiries.find(connection, tx_hash)
        if row is not None and row["answer"] is not None and row["answered_at"] > now - FRESH:
            told = json.loads(row["answer"])
            sightings = _told_sightings(connection, inquirer.chains, told["seen"])
            return explain(sightings, asked=asked, silent=told["silent"], named_by=named)
        _refuse_a_flood(connection, row, now)
    if row is None or row["asked_at"] <= now - PATIENCE or _is_answered(row):
        # The queue first: were it away, a question that is written already would keep everybody from asking again.
        inquirer.queue.enqueue(JOB, tx_hash)
        with writing(inquirer.engine) as connection:
            inquiries.ask(connection, tx_hash, now=now)
    return None


def ask_nodes(
    engine: Engine,
    chains: Mapping[str, Chain],
    nodes_of: Callable[[Chain], Sequence[Node]],
    tx_hash: str,
    *,
    now: datetime,
) -> None:
    """Ask each chain's nodes about a transaction until one answers, and keep what was said."""
    seen, silent = told_by_nodes(chains, nodes_of, tx_hash)
    with writing(engine) as connection:
        inquiries.answer(connection, tx_hash, json.dumps({"seen": seen, "silent": silent}), now=now)
    log.info("transaction_asked", extra={"tx_hash": tx_hash, "count": len(seen), "silent": silent})


def told_by_nodes(
    chains: Mapping[str, Chain], nodes_of: Callable[[Chain], Sequence[Node]], tx_hash: str
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return what the nodes of the chains say that have a transaction, and the chains of which no node answers."""
    seen: list[dict[str, Any]] = []
    silent = []
    for chain in (one for one in chains.values() if one.is_on):
        told = _first_answer(chain, nodes_of(chain), tx_hash)
        if told is None:
            silent.append(chain.name)
        elif told["state"] != "absent":
            seen.append(told)
    return seen, silent


def _is_answered(row: RowMapping) -> bool:
    return row["answered_at"] is not None and row["answered_at"] >= row["asked_at"]


def _refuse_a_flood(connection: Connection, row: RowMapping | None, now: datetime) -> None:
    if row is None and inquiries.count_open(connection, since=now - PATIENCE) >= MOST_OPEN:
        raise TooMany("too many transactions are being asked about", retry_after_s=int(PATIENCE.total_seconds()))


def _belonging(inquirer: Inquirer, row: Mapping[Any, Any]) -> Belonging:
    names = ("namespace", "orderid", "source", "state", "held_reason", "credited_micros")
    is_hidden = inquirer.scope is not None and row["namespace"] not in inquirer.scope
    return Belonging(**{name: row[name] for name in names}, is_hidden=is_hidden)


def _read_sightings(inquirer: Inquirer, rows: Sequence[RowMapping]) -> list[Sighting]:
    """What scans found; a transfer that stands counts before one of the same transaction that was orphaned."""
    found = []
    for chain, group in groupby(rows, key=lambda row: row["chain"]):
        mine = list(group)
        standing = [row for row in mine if row["orphaned_at"] is None] or mine
        number, head = standing[0]["block_number"], standing[0]["head_number"]
        found.append(
            Sighting(
                chain=chain,
                block_number=number,
                confirmations=0 if head is None or standing[0]["orphaned_at"] else max(0, head - number + 1),
                is_final=standing[0]["is_final"],
                moves=[_read_move(inquirer, row) for row in standing],
            )
        )
    return found


def _read_move(inquirer: Inquirer, row: RowMapping) -> Move:
    return Move(
        amount_micros=row["amount_micros"],
        rest=row["rest"],
        role=row["role"],
        sender_role=row["sender_role"],
        is_orphaned=row["orphaned_at"] is not None,
        order=None if row["namespace"] is None else _belonging(inquirer, row),
        unmatched=row["unmatched"],
    )


def _told_sightings(
    connection: Connection, chains: Mapping[str, Chain], seen: Sequence[Mapping[str, Any]]
) -> list[Sighting]:
    """What nodes said, by the address book of now; a chain that is gone since then is left out."""
    found = []
    for told in seen:
        chain = chains.get(told["chain"])
        if chain is None:
            continue
        sides = {(chain.name, move[side]) for move in told["moves"] for side in ("sender", "recipient")}
        roles = {key: entry.role for key, entry in addresses.known(connection, sides).items()}
        found.append(
            Sighting(
                chain=chain.name,
                state=told["state"],
                block_number=told["block_number"],
                confirmations=told["confirmations"],
                is_final=told["is_final"],
                moves=[_told_move(chain, move, roles) for move in told["moves"]],
            )
        )
    return found


def _told_move(chain: Chain, move: Mapping[str, Any], roles: Mapping[tuple[str, str], str]) -> Move:
    token = chain.token(move["contract"])
    micros, rest = (0, 0) if token is None else token.split(int(move["units"]))
    return Move(
        is_usdt=token is not None,
        amount_micros=micros,
        rest=rest,
        role=roles.get((chain.name, move["recipient"])),
        sender_role=roles.get((chain.name, move["sender"])),
        is_read=False,
    )


def _first_answer(chain: Chain, nodes: Sequence[Node], tx_hash: str) -> dict[str, Any] | None:
    for node in nodes:
        try:
            return _answer(chain, node, tx_hash)
        except (NodeFault, ValueError) as error:
            # A node of another chain, or one that answers in another shape, knows nothing.
            log.warning("node_failed", extra={"chain": chain.name, "node": node.name, "error": str(error)[:200]})
    return None


def _answer(chain: Chain, node: Node, tx_hash: str) -> dict[str, Any]:
    tag = tag_of(chain)
    blocks = [("eth_getBlockByNumber", [which, False]) for which in ("latest", tag) if which is not None]
    ids = [("eth_getTransactionReceipt", [tx_hash]), ("eth_getTransactionByHash", [tx_hash])]
    told = node.ask([("eth_chainId", []), *ids, *blocks])
    if any(isinstance(one, NodeError) for one in told):
        raise ValueError("refuses a question")
    if quantity(told[0]) != chain.chain_id:
        raise ValueError("is on another chain")
    receipt, head = read_receipt(told[1], told[2]), parse_header(told[3]).number
    tagged = parse_header(told[4]).number if tag is not None and told[4] is not None else None
    final, number = final_block(chain, head=head, tagged=tagged, before=None), receipt.block_number
    return {
        "chain": chain.name,
        "state": receipt.state,
        "block_number": number,
        "confirmations": 0 if number is None else max(0, head - number + 1),
        "is_final": number is not None and final is not None and number <= final,
        # Units may be larger than what some readers of JSON take for a number.
        "moves": [asdict(move) | {"units": str(move.units)} for move in receipt.moves],
    }
