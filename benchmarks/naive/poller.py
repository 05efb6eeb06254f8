"""Own the loop that a hand-written poller has: one order after the other, a query for each witness, a commit for each order.

It is given the orders that changed, which such a poller has no way to know.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import Engine
from sqlmodel import Session, select

from relay.store.tables.callbacks import CallbackRow
from relay.store.tables.chain import Match, Transfer
from relay.store.tables.orders import Order, ProviderFact
from relay.store.tables.reconciliation import MatchState


def reconcile(engine: Engine, keys: Iterable[tuple[str, str]]) -> None:
    """Compare what callback, provider and chain say of each order, and write how it stands."""
    for namespace, orderid in keys:
        with Session(engine) as session:
            named = select(Order).where(Order.namespace == namespace, Order.orderid == orderid)
            order = session.exec(named).one()
            session.merge(_judged(session, order))
            session.commit()


def _judged(session: Session, order: Order) -> MatchState:
    mine = (order.namespace, order.orderid)
    told = session.exec(
        select(CallbackRow).where(
            CallbackRow.namespace == mine[0], CallbackRow.orderid == mine[1], CallbackRow.verdict == "accepted"
        )
    ).all()
    fact = session.exec(
        select(ProviderFact).where(ProviderFact.namespace == mine[0], ProviderFact.orderid == mine[1])
    ).first()
    moved = [
        transfer
        for match in session.exec(select(Match).where(Match.namespace == mine[0], Match.orderid == mine[1])).all()
        if (transfer := session.get(Transfer, (match.chain, match.tx_hash, match.log_index))) is not None
    ]
    callback = sum(row.amount_micros or 0 for row in told)
    provider = fact.amount_micros if fact is not None and fact.status == "succeeded" else 0
    chain = sum(transfer.amount_micros for transfer in moved if transfer.is_final)
    agrees = callback == provider == chain == order.credited_micros
    return MatchState(
        namespace=mine[0],
        orderid=mine[1],
        verdict="matched" if agrees else "break",
        kinds="" if agrees else "missing_callback",
        drift_micros=order.credited_micros - chain,
        changed_at=datetime.now(UTC),
    )
