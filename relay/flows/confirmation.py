"""Own the second look at orders that await evidence: new facts may credit them, and grace may end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime

from sqlalchemy import Engine

from relay.core.sources import Source

Key = tuple[str, str]


def reconsider(
    engine: Engine,
    sources: Mapping[str, Source],
    keys: Collection[Key],
    *,
    now: datetime,
    new_id: Callable[[datetime], str],
) -> int:
    """Judge the confirming orders among `keys` (namespace, orderid) again; return how many changed.

    Whoever wrote a fact of an order calls this after its own commit; it
    opens a transaction of its own under the feed lock.
    """
    raise NotImplementedError
