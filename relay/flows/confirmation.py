"""Own the second look at orders that await evidence: new facts may credit them, and the end of grace holds them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Engine

from relay.core import rules
from relay.core.callbacks import Callback
from relay.core.orders import Order, Ruling
from relay.core.rules import Moment
from relay.core.sources import Source
from relay.flows.again import PAGE, Key, judge_again
from relay.store import evidence

log = logging.getLogger(__name__)

# For an order whose source is configured no longer.
USUAL_GRACE = timedelta(seconds=300)


def reconsider(
    engine: Engine,
    sources: Mapping[str, Source],
    keys: Collection[Key],
    *,
    now: datetime,
    new_id: Callable[[datetime], str],
) -> int:
    """Judge the confirming orders among `keys` (namespace, orderid) again; return how many changed.

    Whoever wrote a fact of an order calls this after its own commit, and
    rings for the deliveries when something changed; this opens transactions
    of its own under the feed lock.
    """
    ordered = sorted(set(keys))
    pages = (ordered[start : start + PAGE] for start in range(0, len(ordered), PAGE))
    changed = sum(judge_again(engine, sources, page, _reconsider, now=now, new_id=new_id) for page in pages)
    if changed:
        log.info("orders_confirmed", extra={"count": changed})
    return changed


def end_grace(
    engine: Engine, sources: Mapping[str, Source], *, now: datetime, new_id: Callable[[datetime], str]
) -> int:
    """Judge the orders that have awaited evidence for their source's grace a last time; return how many changed.

    Those that wait longest come first; the next round takes the next page.
    """
    due = {source.name: now - timedelta(seconds=source.grace_s) for source in sources.values()}
    keys = evidence.confirming(engine, due, otherwise=now - USUAL_GRACE, limit=PAGE)
    changed = judge_again(engine, sources, keys, _end_grace, now=now, new_id=new_id)
    if changed:
        log.warning("graces_ended", extra={"count": changed})
    return changed


def _reconsider(order: Order, source: Source | None, known: Sequence[Callback], at: Moment) -> Ruling:
    return Ruling() if source is None else rules.reconsider(order, source, known=known, at=at)


def _end_grace(order: Order, source: Source | None, known: Sequence[Callback], at: Moment) -> Ruling:
    return rules.end_grace(order, source, known=known, at=at)
