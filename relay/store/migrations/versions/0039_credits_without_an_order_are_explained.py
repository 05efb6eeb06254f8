"""Credits without an order are kept until a callback explains them, so that none is credited beside them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_unordered_credits_open": (["credited_at"], "claimed_by IS NULL"),
    "ix_unordered_credits_claimed": (["namespace", "claimed_by"], "claimed_by IS NOT NULL"),
}


def upgrade() -> None:
    op.create_table(
        "unordered_credits",
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("orderid", sa.String(), nullable=False),
        sa.Column("user_ref", sa.String(), nullable=False),
        sa.Column("amount_micros", sa.BigInteger(), nullable=False),
        sa.Column("credited_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_by", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("namespace", "orderid", name=op.f("pk_unordered_credits")),
    )
    for name, (columns, where) in INDEXES.items():
        op.create_index(
            name, "unordered_credits", columns, postgresql_where=sa.text(where), sqlite_where=sa.text(where)
        )
    op.execute(
        "INSERT INTO unordered_credits (namespace, orderid, user_ref, amount_micros, credited_at) "
        "SELECT namespace, orderid, user_ref, credited_micros, created_at FROM orders "
        "WHERE flags = 'unordered' AND user_ref IS NOT NULL"
    )


def downgrade() -> None:
    op.drop_table("unordered_credits")
