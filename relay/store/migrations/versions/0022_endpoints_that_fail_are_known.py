"""Endpoints that fail are known."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

MOMENTS = ("failing_since", "failed_at", "failing_told_at")


def upgrade() -> None:
    op.add_column("endpoints", sa.Column("failures_in_row", sa.Integer(), server_default="0", nullable=False))
    for name in MOMENTS:
        op.add_column("endpoints", sa.Column(name, sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    for name in (*MOMENTS[::-1], "failures_in_row"):
        op.drop_column("endpoints", name)
