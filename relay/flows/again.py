"""Own the judging of orders without a callback: one transaction under the feed lock over a page of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, Engine

from relay.core.callbacks import Callback
from relay.core.orders import Order, Ruling, State
from relay.core.rules import Moment
from relay.core.sources import Source
from relay.flows.ledger import Ledger
from relay.flows.surroundings import Surroundings
from relay.store import asked_acts, unordered
from relay.store import intake as store
from relay.store.engine import writing

Key = tuple[str, str]
# Who ends what people asked for where the witnesses have come to agree.
RECONCILER = "reconciler"
Rule = Callable[[Order, Source | None, Sequence[Callback], Moment], Ruling]

# As many as a batch of callbacks: who waits for the feed waits no longer for this.
PAGE = 500


def judge_again(
    engine: Engine,
    sources: Mapping[str, Source],
    keys: Sequence[Key],
    rule: Rule,
    *,
    now: datetime,
    new_id: Callable[[datetime], str],
) -> int:
    """Apply a rule to orders as they stand under the lock, at most PAGE of them; return how many changed."""
    if not keys:
        return 0
    with writing(engine) as connection:
        known, feed = store.open_orders(connection, keys, now=now)
        ledger = Ledger(known, feed, now=now, new_id=new_id)
        found = [(known.orders[key], sources.get(known.orders[key].source)) for key in keys if key in known.orders]
        concerned = {source.name: source for _, source in found if source is not None}
        surroundings = Surroundings(connection, concerned, feed, now=now)
        surroundings.read_facts(
            (order.key, source, known.callbacks.get(order.key, ())) for order, source in found if source is not None
        )
        changed = 0
        for order, source in found:
            ruling = rule(order, source, known.callbacks.get(order.key, []), surroundings.moment(source, order.key))
            if ruling.order is not None and order.state == State.HELD:
                _settle_hold(connection, order, now)
            ledger.follow(ruling, transfers=surroundings.transfers(order.key))
            surroundings.note(ruling)
            changed += ruling.order is not None
        ledger.write(connection)
    return changed


def _settle_hold(connection: Connection, order: Order, now: datetime) -> None:
    """A hold that ends by agreement ends what people asked for; what the order was taken for awaits its own word again."""
    asked_acts.overtake(connection, f"{order.namespace}/{order.orderid}", by=RECONCILER, now=now)
    unordered.forget(connection, order.key)
