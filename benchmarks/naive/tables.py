"""Own the naive build's tables and engine."""

from __future__ import annotations

import os
import uuid
from datetime import UTC, datetime

from sqlalchemy import Engine, MetaData, event
from sqlmodel import Field, SQLModel, UniqueConstraint, create_engine


def now() -> datetime:
    """Return the moment, aware."""
    return datetime.now(UTC)


class Naive(SQLModel):
    """The base of the tables here; their own metadata keeps them out of the product's."""

    metadata = MetaData()


class Callback(Naive, table=True):
    """What the provider sent."""

    __tablename__ = "callbacks"

    id: int | None = Field(default=None, primary_key=True)
    orderid: str = Field(unique=True)
    appid: str
    user_ref: str
    amount: int
    raw: str
    received_at: datetime = Field(default_factory=now)


class Event(Naive, table=True):
    """What is told to subscribers; the uuid is the webhook-id."""

    __tablename__ = "events"

    id: int | None = Field(default=None, primary_key=True)
    uuid: str = Field(default_factory=lambda: f"evt_{uuid.uuid4().hex}", unique=True)
    callback_id: int = Field(foreign_key="callbacks.id")
    type: str = "recharge.succeeded"
    body: str
    created_at: datetime = Field(default_factory=now)


class Subscriber(Naive, table=True):
    """Who is told."""

    __tablename__ = "subscribers"

    id: int | None = Field(default=None, primary_key=True)
    url: str
    secret: str
    enabled: bool = True


class Delivery(Naive, table=True):
    """One event for one subscriber."""

    __tablename__ = "deliveries"
    __table_args__ = (UniqueConstraint("event_id", "subscriber_id"),)

    id: int | None = Field(default=None, primary_key=True)
    event_id: int = Field(foreign_key="events.id")
    subscriber_id: int = Field(foreign_key="subscribers.id")
    state: str = "pending"
    attempts: int = 0
    finished_at: datetime | None = None
    created_at: datetime = Field(default_factory=now)


class Attempt(Naive, table=True):
    """One POST and how it ended."""

    __tablename__ = "attempts"

    id: int | None = Field(default=None, primary_key=True)
    delivery_id: int = Field(foreign_key="deliveries.id", index=True)
    started_at: datetime
    finished_at: datetime
    status: int | None = None
    error: str | None = None


def make_engine(url: str) -> Engine:
    """Connect; SQLite gets the same durable settings as the product has."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1), pool_size=8, max_overflow=8)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _durable_sqlite)
    return engine


def _durable_sqlite(connection: object, _: object) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
        connection.execute(f"PRAGMA {pragma}")  # type: ignore[attr-defined]  # the driver's connection, which SQLAlchemy types as object


def main() -> None:
    """Create the tables in DATABASE_URL."""
    Naive.metadata.create_all(make_engine(os.environ["DATABASE_URL"]))


if __name__ == "__main__":
    main()
