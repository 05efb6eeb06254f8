"""Days are read: events say by how much a credit changed, and facts are found by their time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

INDEXES = (
    ("ix_audit_subject", "audit", ["subject", "sequence"]),
    ("ix_breaks_seen", "breaks", ["first_seen", "id"]),
    ("ix_provider_facts_occurred", "provider_facts", ["occurred_at"]),
    ("ix_transfers_time", "transfers", ["chain", "block_time"]),
)
# What the bodies say already: the first credit whole, later changes by their difference.
FILL = """
    UPDATE events SET delta_micros = CASE WHEN type = 'recharge.succeeded' THEN {credited} ELSE {delta} END
    WHERE type IN ('recharge.succeeded', 'recharge.adjusted', 'recharge.reversed', 'recharge.reinstated')
"""
SQLITE = "json_extract(body, '$.data.{}')"
POSTGRES = "(body::json->'data'->>'{}')::bigint"


def upgrade() -> None:
    op.add_column("events", sa.Column("delta_micros", sa.BigInteger(), nullable=True))
    spelled = SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRES
    op.execute(FILL.format(credited=spelled.format("credited_micros"), delta=spelled.format("delta_micros")))
    for name, table, columns in INDEXES:
        op.create_index(name, table, columns, unique=False)


def downgrade() -> None:
    for name, table, _ in INDEXES:
        op.drop_index(name, table_name=table)
    op.drop_column("events", "delta_micros")
