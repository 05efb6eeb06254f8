"""Own the tables of what takes two persons: closed days with their files and the keys that seal, and acts on money that are asked for."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, LargeBinary, Text
from sqlmodel import Field, SQLModel

from relay.store.tables.base import partial


class DayClose(SQLModel, table=True):
    """One version of a day's close. Two persons: the database refuses one who approves what they prepared."""

    __tablename__ = "day_closes"
    __table_args__ = (
        CheckConstraint("state IN ('prepared', 'sealed', 'reopened')", name="state"),
        CheckConstraint("approved_by IS NULL OR approved_by <> prepared_by", name="two_persons"),
        CheckConstraint("reopened_by IS NULL OR reopened_by <> reopen_asked_by", name="two_persons_reopen"),
        CheckConstraint(
            "state = 'prepared' OR (approved_by IS NOT NULL AND seal IS NOT NULL)", name="sealed_by_someone"
        ),
        CheckConstraint("state <> 'reopened' OR reopened_by IS NOT NULL", name="reopened_by_someone"),
        partial("uq_day_closes_current", "day", where="state <> 'reopened'", unique=True),
    )

    day: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    state: str
    zone: str
    starts_at: datetime
    ends_at: datetime
    prepared_by: str
    prepared_at: datetime
    manifest: str = Field(sa_type=Text)
    manifest_hash: str
    approved_by: str | None = None
    approved_at: datetime | None = None
    sealed: str | None = Field(default=None, sa_type=Text)
    seal: str | None = None
    key_id: str | None = None
    reopen_asked_by: str | None = None
    reopen_reason: str | None = None
    reopened_by: str | None = None
    reopened_at: datetime | None = None


class DayFile(SQLModel, table=True):
    """A file of a version of a day, compressed (zlib); what a seal speaks of must not change with later facts."""

    __tablename__ = "day_files"

    day: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    name: str = Field(primary_key=True)
    sha256: str
    content: bytes = Field(sa_type=LargeBinary)


class DayFilePart(SQLModel, table=True):
    """A part of a file that is too large for one row, compressed by itself; the row of the file has no content then."""

    __tablename__ = "day_file_parts"

    day: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    name: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    content: bytes = Field(sa_type=LargeBinary)


class SealKey(SQLModel, table=True):
    """A key that seals days, Ed25519; `private` is wrapped, and absent where the environment holds it. Public keys stay for ever."""

    __tablename__ = "seal_keys"

    id: str = Field(primary_key=True)
    public: str
    private: str | None = None
    created_at: datetime


class Workbook(SQLModel, table=True):
    """A workbook that somebody asked for, made by a job and kept for a day."""

    __tablename__ = "workbooks"

    id: str = Field(primary_key=True)
    day: str
    asked_by: str
    asked_at: datetime
    made_at: datetime | None = None
    content: bytes | None = Field(default=None, sa_type=LargeBinary)


class WorkbookPart(SQLModel, table=True):
    """A part of a workbook that is too large for one row; the row of the workbook has no content then."""

    __tablename__ = "workbook_parts"

    workbook_id: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    content: bytes = Field(sa_type=LargeBinary)


class AskedAct(SQLModel, table=True):
    """An act on money that one person asks for and another does: the end of a hold, or of what a brake has stopped.

    `subject` is `namespace/orderid` or `brake:source`; `orders` are the orders of a brake, as JSON. The database
    refuses one who does what they asked for, and a second wish about the same thing while one is open.
    """

    __tablename__ = "asked_acts"
    __table_args__ = (
        partial("uq_asked_acts_open", "subject", where="state = 'asked'", unique=True),
        CheckConstraint("state IN ('asked', 'done', 'declined', 'withdrawn')", name="state"),
        CheckConstraint("act IN ('credit', 'adjust', 'reverse', 'discard', 'release', 'refuse')", name="act"),
        CheckConstraint("state = 'asked' OR decided_by IS NOT NULL", name="decided_by_someone"),
        CheckConstraint("state <> 'done' OR decided_by <> asked_by", name="two_persons"),
    )

    id: str = Field(primary_key=True)
    subject: str
    source: str
    orderid: str | None = None
    act: str
    micros: int | None = Field(default=None, sa_type=BigInteger)
    orders: str = Field(default="[]", sa_type=Text)
    reason: str = Field(sa_type=Text)
    state: str = "asked"
    asked_by: str
    asked_at: datetime
    decided_by: str | None = None
    decided_at: datetime | None = None


class MonthClose(SQLModel, table=True):
    """One approval of a month; a later version speaks of days that were sealed anew."""

    __tablename__ = "month_closes"

    month: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    approved_by: str
    approved_at: datetime
    manifest: str = Field(sa_type=Text)
    manifest_hash: str
    sealed: str = Field(sa_type=Text)
    seal: str
    key_id: str


class HoldNote(SQLModel, table=True):
    """Who looks after a held order that no break speaks of, and why it is held on."""

    __tablename__ = "hold_notes"

    namespace: str = Field(primary_key=True)
    orderid: str = Field(primary_key=True)
    owner: str | None = None
    note: str = Field(sa_type=Text)
    noted_at: datetime


class DaySum(SQLModel, table=True):
    """What the orders of a day of many orders come to, as JSON; see `relay.flows.day_sums`."""

    __tablename__ = "day_sums"

    starts_at: datetime = Field(primary_key=True)
    ends_at: datetime = Field(primary_key=True)
    figures: str = Field(sa_type=Text)
    computed_at: datetime


class DayTrend(SQLModel, table=True):
    """The few figures of a day that the trend shows; `wait_s` is the median from payment to recovered credit."""

    __tablename__ = "day_trends"

    day: str = Field(primary_key=True)
    paid_count: int
    paid_micros: int = Field(sa_type=BigInteger)
    credited_count: int
    credited_micros: int = Field(sa_type=BigInteger)
    recovered_count: int
    recovered_micros: int = Field(sa_type=BigInteger)
    wait_s: int | None = None
    computed_at: datetime
