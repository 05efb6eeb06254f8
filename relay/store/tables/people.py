"""Own the tables of people: who may sign in, who has, and who was refused."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Index
from sqlmodel import Field, SQLModel


class User(SQLModel, table=True):
    """A person who may sign in. The name is for ever: the audit speaks of it; one that was revoked stays."""

    __tablename__ = "users"
    __table_args__ = (CheckConstraint("name = lower(name)", name="name_lower"),)

    name: str = Field(primary_key=True)
    roles: str
    password: str
    created_at: datetime
    changed_at: datetime
    revoked_at: datetime | None = None


class Session(SQLModel, table=True):
    """A browser in which a person has signed in; `hash` is SHA-256 of the 256 random bits in its cookie."""

    __tablename__ = "sessions"
    __table_args__ = (Index("ix_sessions_user", "user_name"), Index("ix_sessions_created", "created_at"))

    hash: str = Field(primary_key=True)
    user_name: str
    created_at: datetime
    seen_at: datetime


class SignInFailure(SQLModel, table=True):
    """How often a name, or an address, failed to sign in lately, and until when it has to wait."""

    __tablename__ = "sign_in_failures"

    key: str = Field(primary_key=True)
    failures: int
    until: datetime
    last_at: datetime
