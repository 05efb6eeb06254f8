"""Own the tables of orders: what we believe of each, how it was made at the provider, and whose address it pays to."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Index, Text, UniqueConstraint, false
from sqlmodel import Field, SQLModel

from relay.store.tables.base import partial, row_id


class Order(SQLModel, table=True):
    """What we believe of one order; `version` counts its changes of state."""

    __tablename__ = "orders"
    __table_args__ = (
        UniqueConstraint("namespace", "orderid"),
        Index("ix_orders_listing", "state", "id"),
        Index("ix_orders_user_ref", "user_ref", "id"),
        partial("ix_orders_amount", "amount_micros", "id", where="amount_micros IS NOT NULL"),
        partial("ix_orders_expected", "expected_micros", "id", where="expected_micros IS NOT NULL"),
        partial("ix_orders_address", "address", "id", where="address IS NOT NULL"),
        partial("ix_orders_asked", "address", "expected_micros", "id", where="address IS NOT NULL"),
        partial("ix_orders_expires", "expires_at", where="expires_at IS NOT NULL AND state IN ('created', 'pending')"),
        partial("ix_orders_confirming", "updated_at", where="state = 'confirming'"),
        CheckConstraint("credited_micros >= 0", name="credit_not_negative"),
    )

    id: int | None = Field(default=None, sa_column=row_id())
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
    chain: str | None = None
    address: str | None = None
    notify_url: str | None = None
    expires_at: datetime | None = None
    created_at: datetime
    updated_at: datetime


class Creation(SQLModel, table=True):
    """An order that the provider was, or will be, asked to make.

    `sent` is committed before the request leaves, so that no request leaves
    twice; one whose answer never came is `unknown` until a query settles it.
    """

    __tablename__ = "creations"
    __table_args__ = (
        UniqueConstraint("namespace", "orderid"),
        partial("ix_creations_due", "due_at", where="state IN ('waiting', 'sent', 'unknown')"),
        CheckConstraint("state IN ('waiting', 'sent', 'done', 'refused', 'unknown')", name="state"),
    )

    id: int | None = Field(default=None, sa_column=row_id())
    namespace: str
    orderid: str
    source: str
    call: str
    fields: str = Field(sa_type=Text)
    state: str = "waiting"
    due_at: datetime
    tries: int = 0
    error: str | None = None
    answer: str | None = Field(default=None, sa_type=Text)
    created_at: datetime
    sent_at: datetime | None = None
    answered_at: datetime | None = None


class UnorderedCredit(SQLModel, table=True):
    """Money that was credited to its owner without an order; `claimed_by` is the order that may be the word of it that came later."""

    __tablename__ = "unordered_credits"
    __table_args__ = (
        partial("ix_unordered_credits_open", "credited_at", where="claimed_by IS NULL"),
        partial("ix_unordered_credits_claimed", "namespace", "claimed_by", where="claimed_by IS NOT NULL"),
    )

    namespace: str = Field(primary_key=True)
    orderid: str = Field(primary_key=True)
    user_ref: str
    amount_micros: int = Field(sa_type=BigInteger)
    credited_at: datetime
    claimed_by: str | None = None


# What no scan watches yet, of what scans watch: all but strangers' addresses.
UNWATCHED = "NOT is_watched AND role <> 'external'"


class Address(SQLModel, table=True):
    """An address we know: where users pay to, where money is collected, a provider's, or a stranger's."""

    __tablename__ = "addresses"
    __table_args__ = (
        UniqueConstraint("chain", "address"),
        Index("ix_addresses_owner", "owner", "id"),
        partial("ix_addresses_unwatched", "chain", "address", where=UNWATCHED),
        CheckConstraint("role IN ('deposit', 'collection', 'provider', 'external')", name="role"),
    )

    id: int | None = Field(default=None, sa_column=row_id())
    chain: str
    address: str
    role: str
    namespace: str | None = None
    owner: str | None = None
    created_at: datetime
    is_watched: bool = Field(default=False, sa_column_kwargs={"server_default": false()})


class ProviderAnswer(SQLModel, table=True):
    """An answer of a provider about an order that said something else than the one before; `times` it was heard until `last_at`."""

    __tablename__ = "provider_answers"
    __table_args__ = (
        Index("ix_provider_answers_order", "namespace", "orderid", "id"),
        CheckConstraint("said IN ('answer', 'absent', 'unclear', 'busy')", name="said"),
    )

    id: int | None = Field(default=None, sa_column=row_id())
    source: str
    namespace: str
    orderid: str
    said: str
    content: str = Field(sa_type=Text)
    times: int
    first_at: datetime
    last_at: datetime


class ProviderFact(SQLModel, table=True):
    """What a provider says of an order when it is asked, or in its statement; `changed_at` moves only with the content."""

    __tablename__ = "provider_facts"
    __table_args__ = (
        Index("ix_provider_facts_order", "namespace", "orderid"),
        partial("ix_provider_facts_tx_hash", "tx_hash", where="tx_hash IS NOT NULL"),
        Index("ix_provider_facts_occurred", "occurred_at"),
        Index("ix_provider_facts_changed", "changed_at"),
        CheckConstraint("via IN ('query', 'statement')", name="via"),
    )

    source: str = Field(primary_key=True)
    orderid: str = Field(primary_key=True)
    namespace: str
    via: str
    status: str | None = None
    raw_status: str = ""
    amount_micros: int | None = Field(default=None, sa_type=BigInteger)
    amount_raw: str | None = None
    unit_micros: int = Field(default=1, sa_type=BigInteger)
    provider_order_id: str | None = None
    tx_hash: str | None = None
    occurred_at: datetime | None = None
    changed_at: datetime
    checked_at: datetime


class Poll(SQLModel, table=True):
    """An order whose provider will be asked about it, and when."""

    __tablename__ = "polls"
    __table_args__ = (
        Index("ix_polls_due", "due_at"),
        partial("ix_polls_urgent", "source", "due_at", where="reason <> 'unpaid'"),
    )

    source: str = Field(primary_key=True)
    orderid: str = Field(primary_key=True)
    namespace: str
    reason: str
    tries: int = 0
    due_at: datetime
    created_at: datetime


class Statement(SQLModel, table=True):
    """A provider's statement that was imported; the same file twice is one."""

    __tablename__ = "statements"
    __table_args__ = (UniqueConstraint("source", "sha256"),)

    id: int | None = Field(default=None, sa_column=row_id())
    source: str
    sha256: str
    rows: int
    total_micros: int = Field(sa_type=BigInteger)
    imported_by: str
    imported_at: datetime


class Pace(SQLModel, table=True):
    """When a provider's account may be called next, whichever process calls it."""

    __tablename__ = "paces"

    name: str = Field(primary_key=True)
    next_at: datetime
