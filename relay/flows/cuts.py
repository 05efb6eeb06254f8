"""Own the search for the last block before a moment: a few exchanges, however many blocks there are."""

from __future__ import annotations

from datetime import datetime

from relay.core.logs import Header
from relay.errors import NodeFault
from relay.flows.chain_reading import BATCH, Reader


def last_before(reader: Reader, moment: datetime, low: Header, high: Header) -> Header:
    """Return the last block before a moment, `low` being before it and `high` not.

    Raises NodeFault when what the node tells is no chain with times that grow.
    """
    while high.number - low.number > 1:
        for one in reader.headers(_between(low.number, high.number)):
            if not low.time <= one.time <= high.time:
                raise NodeFault(f"block {one.number} has a time of another place", code="protocol")
            if one.time >= moment:
                high = one
                break
            low = one
    if high.parent_hash != low.hash:
        raise NodeFault(f"block {high.number} is not the child of the one before it", code="protocol")
    return low


def _between(low: int, high: int) -> list[int]:
    """As many numbers as one exchange takes, evenly apart, with neither end."""
    step = max(1, -(-(high - low) // (BATCH + 1)))
    return list(range(low + step, high, step))[:BATCH]
