"""Own the tables of what providers say: each request at the door."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Index, LargeBinary, Text
from sqlmodel import Field, SQLModel

from relay.store.tables.base import partial, row_id


class CallbackRow(SQLModel, table=True):
    """A request at the callback door: accepted, in conflict with an earlier one, or rejected.

    The first two bear keys and stay for ever; a rejected one is kept for
    review and makes room when its own kind floods. `part` tells the payments of
    one order apart where its source may report several, else it is empty.
    """

    __tablename__ = "callbacks"
    __table_args__ = (
        partial(
            "uq_callbacks_identity", "namespace", "orderid", "status", "part", where="verdict = 'accepted'", unique=True
        ),
        partial("uq_callbacks_signature", "source", "signature", where="verdict <> 'rejected'", unique=True),
        partial("ix_callbacks_rejected", "source", "reason", "address_group", "id", where="verdict = 'rejected'"),
        partial("ix_callbacks_not_accepted", "verdict", "id", where="verdict <> 'accepted'"),
        Index("ix_callbacks_order", "namespace", "orderid"),
        partial("ix_callbacks_tx_hash", "tx_hash", where="tx_hash IS NOT NULL AND verdict <> 'rejected'"),
        CheckConstraint("verdict IN ('accepted', 'conflict', 'rejected')", name="verdict"),
    )

    id: int | None = Field(default=None, sa_column=row_id())
    source: str
    verdict: str
    reason: str | None = None
    namespace: str | None = None
    orderid: str | None = None
    status: str | None = None
    part: str = Field(default="", sa_column_kwargs={"server_default": ""})
    appid: str | None = None
    user_ref: str | None = None
    amount_micros: int | None = Field(default=None, sa_type=BigInteger)
    amount_raw: str | None = None
    unit_micros: int | None = Field(default=None, sa_type=BigInteger)
    provider_order_id: str | None = None
    tx_hash: str | None = None
    occurred_at: datetime | None = None
    signature: str | None = None
    secret_id: str | None = None
    origin: str = "callback"
    flags: str = ""
    address: str | None = None
    address_group: str | None = None
    request_id: str | None = None
    content_type: str | None = None
    query: str | None = None
    headers: str = Field(default="{}", sa_type=Text)
    body: bytes | None = Field(default=None, sa_type=LargeBinary)
    received_at: datetime
