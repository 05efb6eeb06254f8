"""Own the tables of running the house: breaks, audit, keys, leases, heartbeats, alarms."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Text
from sqlmodel import Field, SQLModel

from relay.store.tables.base import partial


class Break(SQLModel, table=True):
    """A disagreement a person or a later fact has to clear; its id follows from its key.

    One that is about no order names its `subject`, the key of a transfer, a
    balance or an address on a `chain`, and what finds it there.
    """

    __tablename__ = "breaks"
    __table_args__ = (
        partial("ix_breaks_open", "severity", "first_seen", where="state = 'open'"),
        Index("ix_breaks_order", "namespace", "orderid"),
        Index("ix_breaks_seen", "first_seen", "id"),
        partial("ix_breaks_chain", "chain", "kind", where="state = 'open' AND chain IS NOT NULL"),
        partial("ix_breaks_tx_hash", "tx_hash", where="tx_hash IS NOT NULL"),
        partial("ix_breaks_address", "address", where="address IS NOT NULL"),
        CheckConstraint("state IN ('open', 'resolved')", name="state"),
    )

    id: str = Field(primary_key=True)
    kind: str
    severity: int
    state: str = "open"
    namespace: str | None = None
    orderid: str | None = None
    chain: str | None = None
    subject: str | None = None
    address: str | None = None
    tx_hash: str | None = None
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
    __table_args__ = (Index("ix_audit_subject", "subject", "sequence"),)

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
    """What we must remember of a source between starts: its namespace, and whether a person paused it.

    `unclear_since` is when its provider, asked, began to give no usable answer.
    """

    __tablename__ = "source_states"

    name: str = Field(primary_key=True)
    namespace: str
    paused_at: datetime | None = None
    paused_by: str | None = None
    unclear_since: datetime | None = None
    created_at: datetime


class Alarm(SQLModel, table=True):
    """A trouble that was told and is not over."""

    __tablename__ = "alarms"

    key: str = Field(primary_key=True)
    since: datetime


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


class IdempotencyKey(SQLModel, table=True):
    """A request that its sender may repeat: `answer` is what it was answered with, wrapped; null while it runs."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("ix_idempotency_keys_expiry", "expires_at"),)

    owner: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    fingerprint: str
    answer: str | None = Field(default=None, sa_type=Text)
    started_at: datetime
    expires_at: datetime


class Mark(SQLModel, table=True):
    """How far something has come that goes through all rows once, by its name."""

    __tablename__ = "marks"

    name: str = Field(primary_key=True)
    reached: int = Field(sa_type=BigInteger)
