"""Own the last block of each chain before each day's cut-off."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, RowMapping, insert, select

from relay.core.logs import Header
from relay.store.rows import chain_cuts


def known(connection: Connection, chain: str, moments: Collection[datetime]) -> dict[datetime, int]:
    """Return the numbers of the cut blocks that are known for some moments."""
    query = select(chain_cuts).where(chain_cuts.c.chain == chain, chain_cuts.c.cut_at.in_(moments))
    return {row["cut_at"]: row["number"] for row in connection.execute(query).mappings()}


def is_after_one(connection: Connection, chain: str, moment: datetime) -> bool:
    """Tell whether an earlier cut block is known: the chain was read before that moment already."""
    query = select(chain_cuts.c.number).where(chain_cuts.c.chain == chain, chain_cuts.c.cut_at < moment)
    return connection.execute(query.limit(1)).first() is not None


def newest(connection: Connection, chain: str) -> int | None:
    """Return the number of the last cut block that is known."""
    query = select(chain_cuts.c.number).where(chain_cuts.c.chain == chain).order_by(chain_cuts.c.cut_at.desc())
    return connection.scalar(query.limit(1))


def at(connection: Connection, moment: datetime) -> dict[str, RowMapping]:
    """Return the cut blocks of a moment by chain, with `number`, `hash` and `block_time`."""
    query = select(chain_cuts).where(chain_cuts.c.cut_at == moment)
    return {row["chain"]: row for row in connection.execute(query).mappings()}


def keep(connection: Connection, chain: str, moment: datetime, block: Header) -> None:
    """Write which block was the last before a moment."""
    connection.execute(
        insert(chain_cuts).values(
            chain=chain, cut_at=moment, number=block.number, hash=block.hash, block_time=block.time
        )
    )
