"""Own every answer of providers about an order: a row for each that says something else than the one before, and how often it was heard."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, delete, insert, select, update

from relay.store.rows import provider_answers, spelled

Key = tuple[str, str]
# Of each order the newest so many; one that has more goes to and fro, and what counts is kept as the provider's word.
MOST = 50


def heard(
    connection: Connection, source: str, key: Key, said: str, content: Mapping[str, Any], *, now: datetime
) -> None:
    """Note an answer; one that says the same as the one before is counted with it."""
    told = spelled(content)
    last = connection.execute(_of(key).where(provider_answers.c.source == source).limit(1)).mappings().first()
    if last is not None and (last["said"], last["content"]) == (said, told):
        again = {"times": last["times"] + 1, "last_at": now}
        connection.execute(update(provider_answers).where(provider_answers.c.id == last["id"]).values(again))
        return
    namespace, orderid = key
    row = {"source": source, "namespace": namespace, "orderid": orderid, "said": said, "content": told}
    connection.execute(insert(provider_answers), row | {"times": 1, "first_at": now, "last_at": now})
    oldest = connection.execute(_of(key).offset(MOST).limit(1)).mappings().first()
    if oldest is not None:
        connection.execute(delete(provider_answers).where(*_mine(key), provider_answers.c.id <= oldest["id"]))


def of_order(connection: Connection, namespace: str, orderid: str) -> list[RowMapping]:
    """Return the answers about an order, the oldest first."""
    return list(reversed(connection.execute(_of((namespace, orderid))).mappings().all()))


def _of(key: Key) -> Select[Any]:
    return select(provider_answers).where(*_mine(key)).order_by(provider_answers.c.id.desc())


def _mine(key: Key) -> tuple[ColumnElement[bool], ...]:
    return provider_answers.c.namespace == key[0], provider_answers.c.orderid == key[1]
