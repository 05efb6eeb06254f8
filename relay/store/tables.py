"""Own the tables: every constraint that keeps a promise is written here, not hoped for in code.

Amounts are BIGINT micro-USDT. Times are aware and stored in UTC. Rows that
bear a key (callbacks, orders, events) are never deleted.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, LargeBinary, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

metadata = SQLModel.metadata
metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

# SQLite only numbers rows by itself when the key's type is exactly INTEGER.
RowId = BigInteger().with_variant(Integer(), "sqlite")


def _partial(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, postgresql_where=text(where), sqlite_where=text(where))


def _row_id() -> Column[int]:
    return Column(RowId, primary_key=True, autoincrement=True)


class Order(SQLModel, table=True):
    """What we believe of one order; `version` counts its changes of state."""

    __tablename__ = "orders"
    __table_args__ = (
        UniqueConstraint("namespace", "orderid"),
        Index("ix_orders_listing", "state", "id"),
        Index("ix_orders_user_ref", "user_ref", "id"),
        CheckConstraint("credited_micros >= 0", name="credit_not_negative"),
    )

    id: int | None = Field(default=None, sa_column=_row_id())
    namespace: str
    orderid: str
    source: str
    appid: str | None = None
    user_ref: str | None = None
    provider_order_id: str | None = None
    state: str
    version: int = 1
    amount_micros: int | None = Field(default=None, sa_type=BigInteger)
    amount_raw: str | None = None
    expected_micros: int | None = Field(default=None, sa_type=BigInteger)
    credited_micros: int = Field(default=0, sa_type=BigInteger)
    registered: bool = False
    flags: str = ""
    held_reason: str | None = None
    created_at: datetime
    updated_at: datetime


class CallbackRow(SQLModel, table=True):
    """A request at the callback door: accepted, in conflict with an earlier one, or rejected.

    The first two bear keys and stay for ever; a rejected one is kept for
    review and makes room when its own kind floods.
    """

    __tablename__ = "callbacks"
    __table_args__ = (
        _partial("uq_callbacks_identity", "namespace", "orderid", "status", where="verdict = 'accepted'", unique=True),
        _partial("uq_callbacks_signature", "source", "signature", where="verdict <> 'rejected'", unique=True),
        _partial("ix_callbacks_rejected", "source", "reason", "address_group", "id", where="verdict = 'rejected'"),
        Index("ix_callbacks_order", "namespace", "orderid"),
        CheckConstraint("verdict IN ('accepted', 'conflict', 'rejected')", name="verdict"),
    )

    id: int | None = Field(default=None, sa_column=_row_id())
    source: str
    verdict: str
    reason: str | None = None
    namespace: str | None = None
    orderid: str | None = None
    status: str | None = None
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


class Event(SQLModel, table=True):
    """A fact we announce. `sequence` is the order of commit, `body` the bytes every attempt sends."""

    __tablename__ = "events"
    __table_args__ = (
        UniqueConstraint("id"),
        _partial("uq_events_one_credit", "namespace", "orderid", where="type = 'recharge.succeeded'", unique=True),
        Index("ix_events_order", "namespace", "orderid", "sequence"),
        Index("ix_events_type", "type", "sequence"),
    )

    sequence: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    id: str
    type: str
    source: str | None = None
    namespace: str | None = None
    orderid: str | None = None
    order_version: int | None = None
    amount_micros: int | None = Field(default=None, sa_type=BigInteger)
    flags: str = ""
    body: str = Field(sa_type=Text)
    created_at: datetime


class Endpoint(SQLModel, table=True):
    """A subscriber's URL. `state` is a person's word; `not_before` is what its own answers asked for."""

    __tablename__ = "endpoints"
    __table_args__ = (
        CheckConstraint("state IN ('enabled', 'paused', 'disabled')", name="state"),
        CheckConstraint("concurrency > 0", name="concurrency_positive"),
    )

    id: str = Field(primary_key=True)
    url: str
    description: str = ""
    format: str = "standard"
    event_types: str | None = None
    sources: str | None = None
    state: str = "enabled"
    state_reason: str | None = None
    concurrency: int = 32
    secrets: str = Field(sa_type=Text)
    owner_key_id: str | None = None
    not_before: datetime | None = None
    gone_at: datetime | None = None
    created_at: datetime
    deleted_at: datetime | None = None


class Delivery(SQLModel, table=True):
    """One event for one endpoint: this table is the outbox.

    `attempts` counts what was opened, `failures` the steps taken on the
    schedule, `unknowns` the attempts in a row that ended without an outcome.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        UniqueConstraint("event_sequence", "endpoint_id"),
        _partial("ix_deliveries_due", "endpoint_id", "due_at", "id", where="state = 'pending'"),
        _partial("ix_deliveries_sending", "endpoint_id", "lease_until", where="state = 'sending'"),
        Index("ix_deliveries_state", "state", "id"),
        Index("ix_deliveries_endpoint", "endpoint_id", "id"),
        CheckConstraint("state IN ('pending', 'sending', 'delivered', 'dead', 'paused', 'held')", name="state"),
    )

    id: int | None = Field(default=None, sa_column=_row_id())
    event_sequence: int = Field(sa_type=BigInteger)
    endpoint_id: str
    state: str = "pending"
    attempts: int = 0
    failures: int = 0
    unknowns: int = 0
    due_at: datetime
    lease_until: datetime | None = None
    lease_owner: str | None = None
    last_status: int | None = None
    last_error: str | None = None
    created_at: datetime
    finished_at: datetime | None = None


class Attempt(SQLModel, table=True):
    """One HTTP exchange; the row exists before the network is touched."""

    __tablename__ = "attempts"

    delivery_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    number: int = Field(primary_key=True)
    started_at: datetime
    finished_at: datetime | None = None
    outcome: str | None = None
    status: int | None = None
    latency_ms: int | None = None
    error: str | None = None
    answer: str | None = Field(default=None, sa_type=Text)


class Break(SQLModel, table=True):
    """A disagreement a person or a later fact has to clear; its id follows from its key."""

    __tablename__ = "breaks"
    __table_args__ = (
        _partial("ix_breaks_open", "severity", "first_seen", where="state = 'open'"),
        Index("ix_breaks_order", "namespace", "orderid"),
        CheckConstraint("state IN ('open', 'resolved')", name="state"),
    )

    id: str = Field(primary_key=True)
    kind: str
    severity: int
    state: str = "open"
    namespace: str | None = None
    orderid: str | None = None
    amount_micros: int | None = Field(default=None, sa_type=BigInteger)
    evidence: str = Field(default="{}", sa_type=Text)
    owner: str | None = None
    note: str | None = None
    first_seen: datetime
    last_seen: datetime
    resolved_at: datetime | None = None
    resolved_by: str | None = None


class AuditEntry(SQLModel, table=True):
    """A privileged act; each row hashes the one before it."""

    __tablename__ = "audit"

    sequence: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    at: datetime
    actor: str
    act: str
    subject: str
    detail: str = Field(default="{}", sa_type=Text)
    previous_hash: str
    hash: str = Field(unique=True)


class APIKey(SQLModel, table=True):
    """A caller's key, stored as SHA-256 of its 256 random bits."""

    __tablename__ = "api_keys"

    id: str = Field(primary_key=True)
    name: str
    hash: str = Field(unique=True)
    roles: str
    sources: str | None = None
    created_at: datetime
    revoked_at: datetime | None = None


class SourceState(SQLModel, table=True):
    """What we must remember of a source between starts: its namespace, and whether a person paused it."""

    __tablename__ = "source_states"

    name: str = Field(primary_key=True)
    namespace: str
    paused_at: datetime | None = None
    paused_by: str | None = None
    created_at: datetime


class Lease(SQLModel, table=True):
    """Who may do a thing now; `fence` grows with each new holder."""

    __tablename__ = "leases"

    name: str = Field(primary_key=True)
    owner: str
    fence: int = Field(sa_type=BigInteger)
    expires_at: datetime


class Heartbeat(SQLModel, table=True):
    """A process that was alive at `seen_at`."""

    __tablename__ = "heartbeats"

    id: str = Field(primary_key=True)
    kind: str
    host: str
    pid: int
    version: str
    started_at: datetime
    seen_at: datetime


class Firing(SQLModel, table=True):
    """A clock job that was rung for a moment; the key keeps two clocks from ringing it twice."""

    __tablename__ = "firings"

    job: str = Field(primary_key=True)
    scheduled_for: datetime = Field(primary_key=True)
    fence: int = Field(sa_type=BigInteger)
    fired_at: datetime
