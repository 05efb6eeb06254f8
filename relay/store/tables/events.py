"""Own the tables of the way out: events, endpoints, deliveries and their attempts."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, Text, UniqueConstraint, false
from sqlmodel import Field, SQLModel

from relay.store.tables.base import partial, row_id


class Event(SQLModel, table=True):
    """A fact we announce. `sequence` is the order of commit, `body` the bytes every attempt sends.

    The columns repeat what endpoints filter by. `generation` counts an order's reversals; `notify_url` is the order's own, for endpoints of kind per_order;
    `delta_micros` tells by how much its credit changed, None where it did not.
    """

    __tablename__ = "events"
    __table_args__ = (
        UniqueConstraint("id"),
        partial("uq_events_one_credit", "namespace", "orderid", where="type = 'recharge.succeeded'", unique=True),
        partial(
            "uq_events_one_turn",
            "namespace",
            "orderid",
            "type",
            "generation",
            where="type IN ('recharge.reversed', 'recharge.reinstated')",
            unique=True,
        ),
        Index("ix_events_order", "namespace", "orderid", "sequence"),
        Index("ix_events_type", "type", "sequence"),
    )

    # Counted under the feed lock: numbers that a database gives have holes, and become visible in another order.
    sequence: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    id: str
    type: str
    source: str | None = None
    namespace: str | None = None
    orderid: str | None = None
    appid: str | None = None
    user_ref: str | None = None
    order_version: int | None = None
    generation: int | None = None
    notify_url: str | None = None
    amount_micros: int | None = Field(default=None, sa_type=BigInteger)
    delta_micros: int | None = Field(default=None, sa_type=BigInteger)
    flags: str = ""
    body: str = Field(sa_type=Text)
    created_at: datetime


def _rate() -> Column[int]:
    return Column(Integer, CheckConstraint("rate > 0", name="rate_positive"))


class Endpoint(SQLModel, table=True):
    """A subscriber's URL. `state` is a person's word, or that of failure for days; `not_before` is what its own answers asked for.

    Of kind `per_order` it is a prefix: each order of its own `notify_url` is
    told there. `signing` says whose key signs the bodies of format `provider`.
    `headers` are JSON, by name, each value wrapped as the secrets are. `rate`
    is in deliveries a second; where it is `ordered`, an order's later event waits for the earlier ones.
    `failures_in_row` counts its failures since the last success, the first of them at `failing_since`, the last at `failed_at`;
    `failing_told_at` is set while `endpoint.failing` was announced and `endpoint.recovered` was not.
    """

    __tablename__ = "endpoints"
    __table_args__ = (
        CheckConstraint("state IN ('enabled', 'paused', 'disabled')", name="state"),
        CheckConstraint("concurrency > 0", name="concurrency_positive"),
    )

    id: str = Field(primary_key=True)
    url: str
    description: str = ""
    kind: str = Field(default="fixed", sa_column_kwargs={"server_default": "fixed"})
    format: str = "standard"
    signing: str = Field(default="source", sa_column_kwargs={"server_default": "source"})
    event_types: str | None = None
    sources: str | None = None
    appid: str | None = None
    user_prefix: str | None = None
    amount_min_micros: int | None = Field(default=None, sa_type=BigInteger)
    amount_max_micros: int | None = Field(default=None, sa_type=BigInteger)
    any_flags: str | None = None
    state: str = "enabled"
    state_reason: str | None = None
    concurrency: int = 32
    rate: int | None = Field(default=None, sa_column=_rate())
    ordered: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    headers: str | None = Field(default=None, sa_type=Text)
    secrets: str = Field(sa_type=Text)
    owner_key_id: str | None = None
    not_before: datetime | None = None
    gone_at: datetime | None = None
    failures_in_row: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    failing_since: datetime | None = None
    failed_at: datetime | None = None
    failing_told_at: datetime | None = None
    created_at: datetime
    deleted_at: datetime | None = None


class EndpointPace(SQLModel, table=True):
    """Up to which moment (microseconds since 1970) the rate of an endpoint is used up."""

    __tablename__ = "endpoint_paces"

    endpoint_id: str = Field(primary_key=True)
    until_us: int = Field(sa_type=BigInteger)


class Delivery(SQLModel, table=True):
    """One event for one endpoint: this table is the outbox.

    `attempts` counts what was opened, `failures` the steps taken on the
    schedule, `unknowns` the attempts in a row that ended without an outcome.
    `owed_since`: since when it is to be sent, where that is not its creation.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        UniqueConstraint("event_sequence", "endpoint_id"),
        partial("ix_deliveries_due", "endpoint_id", "due_at", "id", where="state = 'pending'"),
        partial("ix_deliveries_sending", "endpoint_id", "lease_until", where="state = 'sending'"),
        Index("ix_deliveries_state", "state", "id"),
        Index("ix_deliveries_endpoint", "endpoint_id", "id"),
        CheckConstraint("state IN ('pending', 'sending', 'delivered', 'dead', 'paused', 'held')", name="state"),
    )

    id: int | None = Field(default=None, sa_column=row_id())
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
    owed_since: datetime | None = None


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


class Replay(SQLModel, table=True):
    """A wish to send events again: which, to whom, and how far it has come.

    `cursor` is the sequence of the last event that was gone through, `last` that of the last to go through.
    """

    __tablename__ = "replays"
    __table_args__ = (
        partial("ix_replays_running", "id", where="state = 'running'"),
        CheckConstraint("state IN ('running', 'done', 'cancelled')", name="state"),
        CheckConstraint("which IN ('failed', 'missing', 'all')", name="which"),
    )

    id: str = Field(primary_key=True)
    created_by: str
    owner: str | None = None
    scope: str | None = None
    endpoint_id: str | None = None
    type: str | None = None
    source: str | None = None
    orderid: str | None = None
    since: datetime
    until: datetime
    which: str
    rate: int
    state: str = "running"
    cursor: int = Field(sa_type=BigInteger)
    last: int = Field(sa_type=BigInteger)
    sent: int = 0
    created_at: datetime
    moved_at: datetime
    finished_at: datetime | None = None
