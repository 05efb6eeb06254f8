"""Answers of providers are kept: each that said something else than the one before, and how often it was heard."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "provider_answers",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("orderid", sa.String(), nullable=False),
        sa.Column("said", sa.String(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("said IN ('answer', 'absent', 'unclear', 'busy')", name=op.f("ck_provider_answers_said")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provider_answers")),
    )
    op.create_index("ix_provider_answers_order", "provider_answers", ["namespace", "orderid", "id"])


def downgrade() -> None:
    op.drop_table("provider_answers")
