"""Findings are confirmed by nodes: what they say of each is kept, and who disagrees makes a run incomplete."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_testimonies_look": ("look_at", sa.text("look_at IS NOT NULL")),
    "ix_testimonies_doubted": ("chain", sa.text("state IN ('contradicted', 'unanswered')")),
}


def upgrade() -> None:
    op.create_table(
        "testimonies",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("orderid", sa.String(), nullable=False),
        sa.Column("chain", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("from_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("until_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_block", sa.BigInteger(), nullable=True),
        sa.Column("last_block", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("agree", sa.Integer(), nullable=False),
        sa.Column("look_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('phantom_credit', 'reorged_out')", name=op.f("ck_testimonies_kind")),
        sa.CheckConstraint(
            "state IN ('asked', 'confirmed', 'contradicted', 'unanswered')", name=op.f("ck_testimonies_state")
        ),
        sa.PrimaryKeyConstraint("kind", "namespace", "orderid", name=op.f("pk_testimonies")),
    )
    for name, (column, where) in INDEXES.items():
        op.create_index(name, "testimonies", [column], postgresql_where=where, sqlite_where=where)


def downgrade() -> None:
    op.drop_table("testimonies")
