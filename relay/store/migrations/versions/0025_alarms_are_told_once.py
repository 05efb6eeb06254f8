"""Alarms are told once: what was told and is not over, and since when a source's provider has said nothing usable."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alarms",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_alarms")),
    )
    op.add_column("source_states", sa.Column("unclear_since", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("source_states", "unclear_since")
    op.drop_table("alarms")
