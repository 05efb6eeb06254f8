"""The sums of large days are kept, and so is who looks after a hold."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "day_sums",
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("figures", sa.Text(), nullable=False),
        sa.Column("computed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("starts_at", "ends_at", name=op.f("pk_day_sums")),
    )
    op.create_table(
        "hold_notes",
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("orderid", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("noted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "orderid", name=op.f("pk_hold_notes")),
    )


def downgrade() -> None:
    op.drop_table("hold_notes")
    op.drop_table("day_sums")
