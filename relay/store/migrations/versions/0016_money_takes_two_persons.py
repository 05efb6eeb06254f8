"""Money takes two persons: what one asks for another does."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
OPEN = sa.text("state = 'asked'")


def upgrade() -> None:
    op.create_table(
        "asked_acts",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("orderid", sa.String(), nullable=True),
        sa.Column("act", sa.String(), nullable=False),
        sa.Column("micros", sa.BigInteger(), nullable=True),
        sa.Column("orders", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("asked_by", sa.String(), nullable=False),
        sa.Column("asked_at", TIME, nullable=False),
        sa.Column("decided_by", sa.String(), nullable=True),
        sa.Column("decided_at", TIME, nullable=True),
        sa.CheckConstraint("state IN ('asked', 'done', 'declined', 'withdrawn')", name=op.f("ck_asked_acts_state")),
        sa.CheckConstraint(
            "act IN ('credit', 'adjust', 'reverse', 'discard', 'release', 'refuse')", name=op.f("ck_asked_acts_act")
        ),
        sa.CheckConstraint("state = 'asked' OR decided_by IS NOT NULL", name=op.f("ck_asked_acts_decided_by_someone")),
        sa.CheckConstraint("state <> 'done' OR decided_by <> asked_by", name=op.f("ck_asked_acts_two_persons")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_asked_acts")),
    )
    op.create_index(
        "uq_asked_acts_open", "asked_acts", ["subject"], unique=True, postgresql_where=OPEN, sqlite_where=OPEN
    )


def downgrade() -> None:
    op.drop_table("asked_acts")
