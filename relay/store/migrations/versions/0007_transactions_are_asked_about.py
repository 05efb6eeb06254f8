"""Transactions are asked about."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "inquiries",
        sa.Column("tx_hash", sa.String(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("tx_hash", name=op.f("pk_inquiries")),
    )
    op.create_index("ix_inquiries_asked", "inquiries", ["asked_at"], unique=False)


def downgrade() -> None:
    op.drop_table("inquiries")
