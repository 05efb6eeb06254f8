"""Own the answer to a provider that asks whether an order is ours: yes or no, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Engine

from relay.core.parsing import RawRequest
from relay.core.reverse_check import asked_order
from relay.core.sources import Source
from relay.errors import CallbackRejected
from relay.flows.intake import admits
from relay.store import orders
from relay.store.engine import reading


def is_ours(engine: Engine, sources: Mapping[str, Source], name: str, request: RawRequest, *, address: str) -> bool:
    """Tell whether an order was registered with us; one that only a callback told us about was not.

    Raises CallbackRejected for an unknown source, and for who may not ask.
    """
    source = sources.get(name)
    if source is None:
        raise CallbackRejected("no such source", code="unknown_source", http_status=404)
    is_trusted = bool(source.allow_ips) and admits(source, address)
    orderid = asked_order(source, request, is_trusted=is_trusted)
    # Postgres holds no NUL in a text: the question would end as a failure of ours.
    if "\0" in orderid:
        return False
    with reading(engine) as connection:
        row = orders.find(connection, source.namespace, orderid)
    return row is not None and bool(row["registered"])
