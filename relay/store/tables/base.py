"""Own what all tables share: names of constraints, the type of row ids, partial indexes."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, text
from sqlmodel import SQLModel

metadata = SQLModel.metadata
# What has no name of its own gets one by rule: a later revision can drop only what it can name, on both databases.
metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

# SQLite only numbers rows by itself when the key's type is exactly INTEGER.
RowId = BigInteger().with_variant(Integer(), "sqlite")


def partial(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """Return an index over the rows that `where` describes."""
    return Index(name, *columns, unique=unique, postgresql_where=text(where), sqlite_where=text(where))


def row_id() -> Column[int]:
    """Return the column of an id that the database counts."""
    return Column(RowId, primary_key=True, autoincrement=True)
