"""Transfers meet their orders.

Columns are added and dropped in place, never by copying a table: callbacks, orders and transfers may be large.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# Of a table: the name of an index, its columns, and the rows it holds.
_INDEXES = {
    "callbacks": [("ix_callbacks_tx_hash", ["tx_hash"], "tx_hash IS NOT NULL AND verdict <> 'rejected'")],
    "matches": [
        ("ix_matches_open", ["matched_at"], "final_at IS NULL"),
        ("ix_matches_reversed", ["chain"], "reversed_at IS NOT NULL"),
    ],
    "orders": [("ix_orders_asked", ["address", "expected_micros", "id"], "address IS NOT NULL")],
    "provider_facts": [("ix_provider_facts_tx_hash", ["tx_hash"], "tx_hash IS NOT NULL")],
    "transfers": [
        ("ix_transfers_look", ["look_at"], "look_at IS NOT NULL AND orphaned_at IS NULL"),
        ("ix_transfers_open", ["recipient", "amount_micros"], "look_at IS NOT NULL AND orphaned_at IS NULL"),
    ],
}


def upgrade() -> None:
    op.add_column("matches", sa.Column("flags", sa.String(), server_default="", nullable=False))
    op.add_column("matches", sa.Column("final_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("matches", sa.Column("reversed_micros", sa.BigInteger(), nullable=True))
    op.add_column("transfers", sa.Column("look_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("transfers", sa.Column("unmatched", sa.String(), nullable=True))
    # What was found before looks for its order now.
    op.execute("UPDATE transfers SET look_at = seen_at")
    for table, indexes in _INDEXES.items():
        for name, columns, where in indexes:
            rows = sa.text(where)
            op.create_index(name, table, columns, unique=False, postgresql_where=rows, sqlite_where=rows)


def downgrade() -> None:
    for table, indexes in _INDEXES.items():
        for name, *_ in indexes:
            op.drop_index(name, table_name=table)
    op.drop_column("transfers", "unmatched")
    op.drop_column("transfers", "look_at")
    op.drop_column("matches", "reversed_micros")
    op.drop_column("matches", "final_at")
    op.drop_column("matches", "flags")
