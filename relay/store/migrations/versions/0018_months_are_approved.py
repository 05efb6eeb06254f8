"""Months are approved, and the trend of days is kept."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "month_closes",
        sa.Column("month", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("approved_by", sa.String(), nullable=False),
        sa.Column("approved_at", TIME, nullable=False),
        sa.Column("manifest", sa.Text(), nullable=False),
        sa.Column("manifest_hash", sa.String(), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("seal", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("month", "version", name=op.f("pk_month_closes")),
    )
    op.create_table(
        "day_trends",
        sa.Column("day", sa.String(), nullable=False),
        sa.Column("paid_count", sa.Integer(), nullable=False),
        sa.Column("paid_micros", sa.BigInteger(), nullable=False),
        sa.Column("credited_count", sa.Integer(), nullable=False),
        sa.Column("credited_micros", sa.BigInteger(), nullable=False),
        sa.Column("recovered_count", sa.Integer(), nullable=False),
        sa.Column("recovered_micros", sa.BigInteger(), nullable=False),
        sa.Column("wait_s", sa.Integer(), nullable=True),
        sa.Column("computed_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_day_trends")),
    )


def downgrade() -> None:
    op.drop_table("day_trends")
    op.drop_table("month_closes")
