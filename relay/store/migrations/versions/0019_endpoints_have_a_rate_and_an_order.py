"""Endpoints have a rate, and may be told of an order's events one after the other."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # In words that both databases take: neither copies the table for them.
    op.execute("ALTER TABLE endpoints ADD COLUMN rate INTEGER CONSTRAINT ck_endpoints_rate_positive CHECK (rate > 0)")
    op.add_column("endpoints", sa.Column("ordered", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_table(
        "endpoint_paces",
        sa.Column("endpoint_id", sa.String(), nullable=False),
        sa.Column("until_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("endpoint_id", name=op.f("pk_endpoint_paces")),
    )


def downgrade() -> None:
    op.drop_table("endpoint_paces")
    op.drop_column("endpoints", "ordered")
    op.drop_column("endpoints", "rate")
