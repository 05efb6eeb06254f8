"""Own the end of an order's time: unpaid ones expire, those paid in part are held."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Engine

from relay.core import rules
from relay.core.callbacks import Callback
from relay.core.orders import Order, Ruling
from relay.core.rules import Moment
from relay.core.sources import Source
from relay.flows.again import PAGE, judge_again
from relay.store import evidence

log = logging.getLogger(__name__)


def expire(engine: Engine, sources: Mapping[str, Source], *, now: datetime, new_id: Callable[[datetime], str]) -> int:
    """Expire or hold the unpaid orders whose time is over, page by page; return how many."""
    expired = 0
    while keys := evidence.overdue(engine, now=now, limit=PAGE):
        changed = judge_again(engine, sources, keys, _expire, now=now, new_id=new_id)
        expired += changed
        # A page of which nothing changes would be read again for ever.
        if len(keys) < PAGE or not changed:
            break
    if expired:
        log.info("orders_expired", extra={"count": expired})
    return expired


def _expire(order: Order, source: Source | None, known: Sequence[Callback], at: Moment) -> Ruling:
    return rules.expire(order, at.now)
