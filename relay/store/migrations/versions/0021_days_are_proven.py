"""Days are proven: what their proofs come to, and the addresses whose money does not add up."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "day_proofs",
        sa.Column("chain", sa.String(), nullable=False),
        sa.Column("contract", sa.String(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decimals", sa.Integer(), nullable=False),
        sa.Column("proved", sa.Integer(), nullable=False),
        sa.Column("explained", sa.Integer(), nullable=False),
        sa.Column("gap", sa.Integer(), nullable=False),
        sa.Column("opening", sa.String(), nullable=False),
        sa.Column("received", sa.String(), nullable=False),
        sa.Column("sent", sa.String(), nullable=False),
        sa.Column("measured", sa.String(), nullable=False),
        sa.Column("whys", sa.Text(), nullable=False),
        sa.Column("proven_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("chain", "contract", "starts_at", "ends_at", name=op.f("pk_day_proofs")),
    )
    op.create_table(
        "day_gaps",
        sa.Column("chain", sa.String(), nullable=False),
        sa.Column("contract", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("first_block", sa.BigInteger(), nullable=False),
        sa.Column("last_block", sa.BigInteger(), nullable=False),
        sa.Column("opening", sa.String(), nullable=False),
        sa.Column("received", sa.String(), nullable=False),
        sa.Column("sent", sa.String(), nullable=False),
        sa.Column("measured", sa.String(), nullable=False),
        sa.Column("events", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("chain", "contract", "address", "starts_at", "ends_at", name=op.f("pk_day_gaps")),
    )
    op.create_index("ix_day_gaps_day", "day_gaps", ["starts_at", "ends_at"])


def downgrade() -> None:
    op.drop_table("day_gaps")
    op.drop_table("day_proofs")
