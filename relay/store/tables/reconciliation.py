"""Own the tables of the reconciler: which orders changed, how each stands, what was recovered, and the runs that looked."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Index, Text
from sqlmodel import Field, SQLModel

from relay.store.tables.base import partial, row_id


class Dirty(SQLModel, table=True):
    """An order of which a fact changed; appended by the triggers of `relay.store.tables.triggers`, taken by a run."""

    __tablename__ = "dirty"

    id: int | None = Field(default=None, sa_column=row_id())
    namespace: str
    orderid: str


class DirtyWork(SQLModel, table=True):
    """An order that a run has taken and not judged yet; what a dead run leaves, the next one does."""

    __tablename__ = "dirty_work"

    namespace: str = Field(primary_key=True)
    orderid: str = Field(primary_key=True)


class DirtyStray(SQLModel, table=True):
    """A transfer that belongs to no order, a balance, or an address whose role says where money may go, of which something changed.

    Appended by triggers, and by a run for what time alone will turn into a
    break (`due_at`); taken by a run. `key` is `tx_hash/log_index`,
    `contract/address/first_block`, or the address.
    """

    __tablename__ = "dirty_strays"
    __table_args__ = (CheckConstraint("kind IN ('transfer', 'balance', 'address')", name="kind"),)

    id: int | None = Field(default=None, sa_column=row_id())
    kind: str
    chain: str
    key: str
    due_at: datetime | None = None


class MatchState(SQLModel, table=True):
    """How the witnesses of an order stood to each other when it was looked at last.

    `kinds` are its derived breaks, `due_at` when time alone changes its
    verdict, `drift_micros` what is credited beyond what backs it.
    """

    __tablename__ = "match_states"
    __table_args__ = (
        partial("ix_match_states_due", "due_at", where="due_at IS NOT NULL"),
        CheckConstraint("verdict IN ('unpaid', 'pending', 'matched', 'observed', 'break')", name="verdict"),
    )

    namespace: str = Field(primary_key=True)
    orderid: str = Field(primary_key=True)
    verdict: str
    kinds: str = ""
    flags: str = ""
    drift_micros: int | None = Field(default=None, sa_type=BigInteger)
    due_at: datetime | None = None
    changed_at: datetime


class Run(SQLModel, table=True):
    """A run that ended; one that died left none. A run that found nothing new only moves `last_checked` of the one before."""

    __tablename__ = "runs"
    __table_args__ = (
        Index("ix_runs_finished", "finished_at"),
        CheckConstraint("state IN ('complete', 'incomplete')", name="state"),
        CheckConstraint("kind IN ('incremental', 'daily', 'weekly')", name="kind"),
    )

    id: int | None = Field(default=None, sa_column=row_id())
    kind: str
    state: str
    reason: str = ""
    manifest: str = Field(sa_type=Text)
    manifest_hash: str
    fence: int = Field(sa_type=BigInteger)
    finished_at: datetime
    last_checked: datetime


class DayLook(SQLModel, table=True):
    """A day that is looked at once more: `daily` its provider is asked again, `weekly` its verdicts are proven.

    `cursor` is the number of the last order that was looked at, `tally` what
    was counted so far. With its end a run is written.
    """

    __tablename__ = "day_looks"
    __table_args__ = (CheckConstraint("kind IN ('daily', 'weekly')", name="kind"),)

    kind: str = Field(primary_key=True)
    subject: str = Field(primary_key=True)
    source: str | None = None
    starts_at: datetime
    ends_at: datetime
    cursor: int = Field(default=0, sa_type=BigInteger)
    tally: str = Field(default="{}", sa_type=Text)
    begun_at: datetime
    ended_at: datetime | None = None


class Recovery(SQLModel, table=True):
    """A payment whose callback never came: found, and then credited, stopped by the brake, or refused by a person."""

    __tablename__ = "recoveries"
    __table_args__ = (
        partial("ix_recoveries_open", "source", where="state IN ('due', 'stopped')"),
        Index("ix_recoveries_applied", "source", "applied_at"),
        CheckConstraint("state IN ('due', 'stopped', 'applied', 'refused')", name="state"),
        CheckConstraint("amount_micros > 0", name="moves_money"),
    )

    namespace: str = Field(primary_key=True)
    orderid: str = Field(primary_key=True)
    source: str
    state: str = "due"
    amount_micros: int = Field(sa_type=BigInteger)
    occurred_at: datetime | None = None
    tx_hash: str | None = None
    evidence: str = Field(sa_type=Text)
    found_at: datetime
    applied_at: datetime | None = None
    decided_by: str | None = None
