"""Addresses know whether they are watched: a scan finds the new ones without reading the book."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

UNWATCHED = sa.text("NOT is_watched AND role <> 'external'")


def upgrade() -> None:
    op.add_column("addresses", sa.Column("is_watched", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.execute(
        """
        UPDATE addresses SET is_watched = true WHERE EXISTS (
            SELECT 1 FROM address_scans s WHERE s.chain = addresses.chain AND s.address = addresses.address)
        """
    )
    op.create_index(
        "ix_addresses_unwatched",
        "addresses",
        ["chain", "address"],
        postgresql_where=UNWATCHED,
        sqlite_where=UNWATCHED,
    )


def downgrade() -> None:
    op.drop_index("ix_addresses_unwatched", "addresses")
    # In place: a copy of the table would lose its triggers on SQLite.
    op.execute("ALTER TABLE addresses DROP COLUMN is_watched")
