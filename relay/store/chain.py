"""Own how far each chain was read: its state, its ranges, and the blocks that are not final yet.

All that writes here is called by the holder of the chain's lease; ranges are extended only from the end that the caller read on from.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from relay.core.chains import Chain, Period
from relay.core.logs import Header
from relay.core.ranges import Range
from relay.errors import InvariantBroken
from relay.store.rows import (
    address_scans,
    balances,
    chain_blocks,
    chain_cuts,
    chains,
    matches,
    scan_ranges,
    token_events,
    transfers,
)


def states(connection: Connection) -> dict[str, RowMapping]:
    """Return what is known of every chain that was ever read, by name."""
    return {row["name"]: row for row in connection.execute(select(chains).order_by(chains.c.name)).mappings()}


def periods(connection: Connection) -> dict[str, Period]:
    """Return from when to when each chain was read that has a final block."""
    query = select(chains.c.name, chains.c.reading_since, chains.c.final_time).where(chains.c.final_time.is_not(None))
    return {row.name: Period(row.reading_since, row.final_time) for row in connection.execute(query)}


def state_of(connection: Connection, chain: Chain) -> RowMapping:
    """Return what is known of a chain; its row is made when it is asked for first."""
    query = select(chains).where(chains.c.name == chain.name)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        connection.execute(insert(chains).values(name=chain.name, chain_id=chain.chain_id, span=16))
        row = connection.execute(query).mappings().one()
    return row


def note(connection: Connection, chain: str, **values: Any) -> None:
    """Write columns of a chain's state."""
    connection.execute(update(chains).where(chains.c.name == chain).values(**values))


def ranges_of(connection: Connection, chain: str) -> list[Range]:
    """Return what was read, the lowest first."""
    query = select(scan_ranges).where(scan_ranges.c.chain == chain).order_by(scan_ranges.c.first_block)
    return [
        Range(row["first_block"], row["last_block"], row["last_hash"]) for row in connection.execute(query).mappings()
    ]


def extend(connection: Connection, chain: str, new: Range, *, start: int, after: Range | None, now: datetime) -> Range:
    """Write that `new` was read right behind `after` (None at the start): in place, joined with what follows it.

    Returns the range as it stands then. Raises InvariantBroken for a range that leaves a hole, or when the end moved meanwhile.
    """
    if new.first != (start if after is None else after.last + 1):
        raise InvariantBroken(f"{chain}: blocks {new.first} to {new.last} would leave a hole")
    follows = (scan_ranges.c.chain == chain, scan_ranges.c.first_block.between(new.first, new.last + 1))
    later = select(scan_ranges).where(*follows).order_by(scan_ranges.c.last_block.desc()).limit(1)
    joined = connection.execute(later).mappings().one_or_none()
    whole = Range(start if after is None else after.first, new.last, new.last_hash)
    if joined is not None and joined["last_block"] > new.last:
        whole = Range(whole.first, joined["last_block"], joined["last_hash"])
    end = {"last_block": whole.last, "last_hash": whole.last_hash, "scanned_at": now}
    connection.execute(delete(scan_ranges).where(*follows))
    if after is None:
        connection.execute(insert(scan_ranges).values(chain=chain, first_block=new.first, **end))
        return whole
    # By its hash as well: the same height may belong to another branch by now.
    mine = (
        scan_ranges.c.chain == chain,
        scan_ranges.c.last_block == after.last,
        scan_ranges.c.last_hash == after.last_hash,
    )
    if connection.execute(update(scan_ranges).where(*mine).values(**end)).rowcount != 1:
        raise InvariantBroken(f"{chain}: its end moved while it was read")
    return whole


def unfinal_blocks(connection: Connection, chain: str) -> dict[int, Header]:
    """Return the blocks that were read and are not final, by number, the lowest first."""
    query = select(chain_blocks).where(chain_blocks.c.chain == chain).order_by(chain_blocks.c.number)
    return {
        row["number"]: Header(
            number=row["number"], hash=row["hash"], parent_hash=row["parent_hash"], time=row["block_time"]
        )
        for row in connection.execute(query).mappings()
    }


def keep_blocks(connection: Connection, chain: str, headers: Iterable[Header]) -> None:
    """Keep the hashes of blocks that are not final."""
    rows = [
        {"chain": chain, "number": one.number, "hash": one.hash, "parent_hash": one.parent_hash, "block_time": one.time}
        for one in headers
    ]
    if rows:
        connection.execute(insert(chain_blocks), rows)


def take_back(connection: Connection, chain: str, ancestor: Range, *, now: datetime) -> int:
    """Give up everything above the last common block (`ancestor.last`); return how many transfers lost their block."""
    above = ancestor.last
    lost = 0
    for table in (transfers, token_events):
        standing = (table.c.chain == chain, table.c.block_number > above, table.c.orphaned_at.is_(None))
        if connection.scalar(select(table.c.tx_hash).where(*standing, table.c.is_final).limit(1)) is not None:
            raise InvariantBroken(f"{chain}: a final block would be taken back")
        lost += connection.execute(update(table).where(*standing).values(orphaned_at=now)).rowcount
    connection.execute(delete(chain_blocks).where(chain_blocks.c.chain == chain, chain_blocks.c.number > above))
    connection.execute(delete(scan_ranges).where(scan_ranges.c.chain == chain, scan_ranges.c.first_block > above))
    cut = (scan_ranges.c.chain == chain, scan_ranges.c.last_block > above)
    connection.execute(update(scan_ranges).where(*cut).values(last_block=above, last_hash=ancestor.last_hash))
    # What is above is read again by ordinary scans, which ask for these addresses by now.
    late = (address_scans.c.chain == chain, address_scans.c.until_block > above)
    connection.execute(update(address_scans).where(*late).values(until_block=above))
    return lost


def make_final(connection: Connection, chain: str, block: Header) -> None:
    """Mark everything up to a block as final; its hash is the anchor that no reorg may pass."""
    for table in (transfers, token_events):
        ripe = (
            table.c.chain == chain,
            table.c.block_number <= block.number,
            table.c.orphaned_at.is_(None),
            ~table.c.is_final,
        )
        connection.execute(update(table).where(*ripe).values(is_final=True))
    connection.execute(delete(chain_blocks).where(chain_blocks.c.chain == chain, chain_blocks.c.number <= block.number))
    note(connection, chain, final_number=block.number, final_hash=block.hash, final_time=block.time)


def resume(connection: Connection, chain: str, known_good: Range | None, *, now: datetime) -> int:
    """Let a stopped chain be read again; return how many transfers were given up.

    With `known_good`, a range that ends with the last block that a person
    found on the true chain, everything above it is given up, final or not:
    it is read and measured again, and what was credited by it is judged anew.
    """
    lost = 0
    if known_good is not None:
        _give_up_finality(connection, chain, known_good.last)
        lost = take_back(connection, chain, known_good, now=now)
        _give_up_measured(connection, chain, known_good)
        note(connection, chain, final_number=known_good.last, final_hash=known_good.last_hash, lookback_next=None)
    note(connection, chain, stopped=None, stopped_at=None, trouble=None)
    return lost


def _give_up_finality(connection: Connection, chain: str, above: int) -> None:
    for table in (transfers, token_events):
        standing = (table.c.chain == chain, table.c.block_number > above, table.c.is_final)
        connection.execute(update(table).where(*standing).values(is_final=False))
    mine = (
        matches.c.chain == chain,
        matches.c.tx_hash == transfers.c.tx_hash,
        matches.c.log_index == transfers.c.log_index,
    )
    gone = select(transfers.c.tx_hash).where(*mine, transfers.c.chain == chain, transfers.c.block_number > above)
    # Their orders are judged anew once the transfers are final again, or gone.
    connection.execute(update(matches).where(matches.c.chain == chain, gone.exists()).values(final_at=None))


def _give_up_measured(connection: Connection, chain: str, known_good: Range) -> None:
    """Forget balances of blocks above, and the cuts that may lie in other blocks now: the next measurements find them again."""
    above, last_hash = known_good.last, known_good.last_hash
    connection.execute(delete(balances).where(balances.c.chain == chain, balances.c.first_block > above))
    reaching = (balances.c.chain == chain, balances.c.last_block > above)
    connection.execute(update(balances).where(*reaching).values(last_block=above, last_hash=last_hash))
    # Whether the block itself is still the last before a cut-off depends on the one after it.
    connection.execute(delete(chain_cuts).where(chain_cuts.c.chain == chain, chain_cuts.c.number >= above))
