"""Own the tables of the chain reader: how far each chain was read, what was found, and which order it belongs to.

A transfer is never deleted: one whose block was replaced is marked.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Index, Text
from sqlmodel import Field, SQLModel

from relay.store.tables.base import partial


class ChainState(SQLModel, table=True):
    """How far a chain was read, and since when. `stopped` says why a person has to look; `trouble` what is wrong by itself for now."""

    __tablename__ = "chains"

    name: str = Field(primary_key=True)
    chain_id: int = Field(sa_type=BigInteger)
    first_block: int | None = Field(default=None, sa_type=BigInteger)
    reading_since: datetime | None = None
    head_number: int | None = Field(default=None, sa_type=BigInteger)
    head_time: datetime | None = None
    final_number: int | None = Field(default=None, sa_type=BigInteger)
    final_hash: str | None = None
    final_time: datetime | None = None
    span: int = 16
    stopped: str | None = None
    stopped_at: datetime | None = None
    trouble: str | None = None
    identified_at: datetime | None = None
    scanned_at: datetime | None = None
    looked_back_at: datetime | None = None
    lookback_next: int | None = Field(default=None, sa_type=BigInteger)


class ScanRange(SQLModel, table=True):
    """Blocks that were read without a hole, and the hash of the last: of which branch."""

    __tablename__ = "scan_ranges"
    __table_args__ = (CheckConstraint("last_block >= first_block", name="not_empty"),)

    chain: str = Field(primary_key=True)
    first_block: int = Field(primary_key=True, sa_type=BigInteger)
    last_block: int = Field(sa_type=BigInteger)
    last_hash: str
    scanned_at: datetime


class ChainBlock(SQLModel, table=True):
    """A block that was read and is not final yet."""

    __tablename__ = "chain_blocks"

    chain: str = Field(primary_key=True)
    number: int = Field(primary_key=True, sa_type=BigInteger)
    hash: str
    parent_hash: str
    block_time: datetime


class ChainNode(SQLModel, table=True):
    """How a node of a chain behaved; after failures it is left alone until `closed_until`."""

    __tablename__ = "chain_nodes"

    chain: str = Field(primary_key=True)
    node: str = Field(primary_key=True)
    failures: int = 0
    closed_until: datetime | None = None
    error: str | None = None
    head_number: int | None = Field(default=None, sa_type=BigInteger)
    seen_at: datetime


class Transfer(SQLModel, table=True):
    """A movement of money to or from a watched address.

    `look_at` is when its order is looked for next, None once it has one or
    never will; `unmatched` says why it had none when it was looked for last.
    """

    __tablename__ = "transfers"
    __table_args__ = (
        Index("ix_transfers_recipient", "chain", "recipient", "block_number"),
        Index("ix_transfers_sender", "chain", "sender", "block_number"),
        Index("ix_transfers_block", "chain", "block_number"),
        Index("ix_transfers_time", "chain", "block_time"),
        partial("ix_transfers_orphaned", "chain", "block_number", where="orphaned_at IS NOT NULL"),
        partial("ix_transfers_look", "look_at", where="look_at IS NOT NULL AND orphaned_at IS NULL"),
        partial("ix_transfers_open", "recipient", "amount_micros", where="look_at IS NOT NULL AND orphaned_at IS NULL"),
        CheckConstraint("amount_micros >= 0 AND rest >= 0 AND amount_micros + rest > 0", name="moves_money"),
        CheckConstraint("NOT (is_final AND orphaned_at IS NOT NULL)", name="final_or_orphaned"),
    )

    chain: str = Field(primary_key=True)
    tx_hash: str = Field(primary_key=True)
    log_index: int = Field(primary_key=True)
    block_number: int = Field(sa_type=BigInteger)
    block_hash: str
    block_time: datetime
    contract: str
    sender: str
    recipient: str
    amount_micros: int = Field(sa_type=BigInteger)
    rest: int = Field(default=0, sa_type=BigInteger)
    is_final: bool = False
    orphaned_at: datetime | None = None
    seen_at: datetime
    look_at: datetime | None = None
    unmatched: str | None = None


class TokenEvent(SQLModel, table=True):
    """An event of a token that explains a gap or announces trouble."""

    __tablename__ = "token_events"
    __table_args__ = (Index("ix_token_events_block", "chain", "block_number"),)

    chain: str = Field(primary_key=True)
    tx_hash: str = Field(primary_key=True)
    log_index: int = Field(primary_key=True)
    block_number: int = Field(sa_type=BigInteger)
    block_hash: str
    contract: str
    kind: str
    account: str | None = None
    data: str = Field(default="", sa_type=Text)
    is_final: bool = False
    orphaned_at: datetime | None = None
    seen_at: datetime


class Balance(SQLModel, table=True):
    """A measured balance in base units, extended in place while it stays the same."""

    __tablename__ = "balances"
    __table_args__ = (CheckConstraint("last_block >= first_block", name="not_empty"),)

    chain: str = Field(primary_key=True)
    contract: str = Field(primary_key=True)
    address: str = Field(primary_key=True)
    first_block: int = Field(primary_key=True, sa_type=BigInteger)
    last_block: int = Field(sa_type=BigInteger)
    last_hash: str
    # As text: of a token with 18 places 64 bits hold no ten.
    units: str
    checked_at: datetime


class BalanceReading(SQLModel, table=True):
    """A balance that a node told of a block that is not final yet: it counts for nothing before."""

    __tablename__ = "balance_readings"

    chain: str = Field(primary_key=True)
    contract: str = Field(primary_key=True)
    address: str = Field(primary_key=True)
    block_number: int = Field(sa_type=BigInteger)
    block_hash: str
    units: str
    read_at: datetime


class ChainCut(SQLModel, table=True):
    """The last block of a chain before a day's cut-off."""

    __tablename__ = "chain_cuts"

    chain: str = Field(primary_key=True)
    cut_at: datetime = Field(primary_key=True)
    number: int = Field(sa_type=BigInteger)
    hash: str
    block_time: datetime


class DayProof(SQLModel, table=True):
    """The proofs of a token over a day, added up: base units as text, and `whys` as JSON what the others lack, counted."""

    __tablename__ = "day_proofs"

    chain: str = Field(primary_key=True)
    contract: str = Field(primary_key=True)
    starts_at: datetime = Field(primary_key=True)
    ends_at: datetime = Field(primary_key=True)
    decimals: int
    proved: int
    explained: int
    gap: int
    opening: str
    received: str
    sent: str
    measured: str
    whys: str = Field(sa_type=Text)
    proven_at: datetime


class DayGap(SQLModel, table=True):
    """An address whose money does not add up on a day; `events` are those of its token that may be why, as JSON."""

    __tablename__ = "day_gaps"
    __table_args__ = (Index("ix_day_gaps_day", "starts_at", "ends_at"),)

    chain: str = Field(primary_key=True)
    contract: str = Field(primary_key=True)
    address: str = Field(primary_key=True)
    starts_at: datetime = Field(primary_key=True)
    ends_at: datetime = Field(primary_key=True)
    role: str
    first_block: int = Field(sa_type=BigInteger)
    last_block: int = Field(sa_type=BigInteger)
    opening: str
    received: str
    sent: str
    measured: str
    events: str = Field(default="[]", sa_type=Text)


class Match(SQLModel, table=True):
    """A transfer that belongs to an order; its key lets no two orders claim it.

    `final_at` is when its order was judged by it as final, `reversed_at` when
    the loss of the transfer was announced, and `reversed_micros` what was
    taken back then.
    """

    __tablename__ = "matches"
    __table_args__ = (
        Index("ix_matches_order", "namespace", "orderid"),
        partial("ix_matches_open", "matched_at", where="final_at IS NULL"),
        partial("ix_matches_reversed", "chain", where="reversed_at IS NOT NULL"),
    )

    chain: str = Field(primary_key=True)
    tx_hash: str = Field(primary_key=True)
    log_index: int = Field(primary_key=True)
    namespace: str
    orderid: str
    rule: str
    flags: str = Field(default="", sa_column_kwargs={"server_default": ""})
    matched_at: datetime
    final_at: datetime | None = None
    reversed_at: datetime | None = None
    reversed_micros: int | None = Field(default=None, sa_type=BigInteger)


class AddressScan(SQLModel, table=True):
    """From which block on an address was read; the blocks `next_block` to `until_block` are still to be read for it."""

    __tablename__ = "address_scans"
    __table_args__ = (partial("ix_address_scans_open", "chain", "next_block", where="next_block <= until_block"),)

    chain: str = Field(primary_key=True)
    address: str = Field(primary_key=True)
    first_block: int = Field(sa_type=BigInteger)
    next_block: int = Field(sa_type=BigInteger)
    until_block: int = Field(sa_type=BigInteger)


class NamedTransaction(SQLModel, table=True):
    """A transaction that an order's witness named and no scan has read: what nodes say of it, and when they are asked next.

    `said` is reverted, foreign (it moved to us only tokens that do not count), or empty while nothing is settled.
    """

    __tablename__ = "named_transactions"
    __table_args__ = (
        partial("ix_named_transactions_look", "look_at", where="look_at IS NOT NULL"),
        CheckConstraint("said IN ('', 'reverted', 'foreign')", name="said"),
    )

    tx_hash: str = Field(primary_key=True)
    look_at: datetime | None = None
    tries: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    said: str = Field(default="", sa_column_kwargs={"server_default": ""})
    contract: str = Field(default="", sa_column_kwargs={"server_default": ""})


class Testimony(SQLModel, table=True):
    """What nodes say of a finding about an order that two of them have to confirm before it is stated.

    A credit without a transfer is confirmed for the blocks of a time; `look_at` is when nodes are asked next.
    Of a loss `from_at` is when they were asked last.
    """

    __tablename__ = "testimonies"
    __table_args__ = (
        partial("ix_testimonies_look", "look_at", where="look_at IS NOT NULL"),
        partial("ix_testimonies_doubted", "chain", where="state IN ('contradicted', 'unanswered')"),
        CheckConstraint("kind IN ('phantom_credit', 'reorged_out')", name="kind"),
        CheckConstraint("state IN ('asked', 'confirmed', 'contradicted', 'unanswered')", name="state"),
    )

    kind: str = Field(primary_key=True)
    namespace: str = Field(primary_key=True)
    orderid: str = Field(primary_key=True)
    chain: str
    address: str = ""
    from_at: datetime | None = None
    until_at: datetime | None = None
    first_block: int | None = Field(default=None, sa_type=BigInteger)
    last_block: int | None = Field(default=None, sa_type=BigInteger)
    state: str
    agree: int = 0
    look_at: datetime | None = None


class Inquiry(SQLModel, table=True):
    """A transaction that somebody asked about and no scan has read: what the nodes said of it, as JSON."""

    __tablename__ = "inquiries"
    __table_args__ = (Index("ix_inquiries_asked", "asked_at"),)

    tx_hash: str = Field(primary_key=True)
    asked_at: datetime
    answered_at: datetime | None = None
    answer: str | None = Field(default=None, sa_type=Text)
