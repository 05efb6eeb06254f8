"""Money without an order is judged: transfers, balances and named transactions have breaks of their own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from relay.store.tables import triggers

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)
INDEXES = {
    "ix_breaks_chain": (["chain", "kind"], "state = 'open' AND chain IS NOT NULL"),
    "ix_breaks_tx_hash": (["tx_hash"], "tx_hash IS NOT NULL"),
    "ix_breaks_address": (["address"], "address IS NOT NULL"),
}


def upgrade() -> None:
    for name in ("chain", "subject", "address", "tx_hash"):
        op.add_column("breaks", sa.Column(name, sa.String(), nullable=True))
    for name, (columns, where) in INDEXES.items():
        _partial(name, "breaks", columns, where)
    op.create_table(
        "dirty_strays",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("chain", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("due_at", TIME, nullable=True),
        sa.CheckConstraint("kind IN ('transfer', 'balance', 'address')", name=op.f("ck_dirty_strays_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dirty_strays")),
    )
    op.create_table(
        "named_transactions",
        sa.Column("tx_hash", sa.String(), nullable=False),
        sa.Column("look_at", TIME, nullable=True),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("said", sa.String(), server_default="", nullable=False),
        sa.Column("contract", sa.String(), server_default="", nullable=False),
        sa.CheckConstraint("said IN ('', 'reverted', 'foreign')", name=op.f("ck_named_transactions_said")),
        sa.PrimaryKeyConstraint("tx_hash", name=op.f("pk_named_transactions")),
    )
    _partial("ix_named_transactions_look", "named_transactions", ["look_at"], "look_at IS NOT NULL")
    triggers.create_strays(op.get_bind())
    # What was found before this release is looked at once.
    op.execute(
        "INSERT INTO dirty_strays (kind, chain, key) "
        "SELECT 'transfer', chain, tx_hash || '/' || log_index FROM transfers "
        "WHERE unmatched IS NOT NULL AND is_final AND orphaned_at IS NULL"
    )
    op.execute(
        "INSERT INTO dirty_strays (kind, chain, key) "
        "SELECT 'balance', chain, contract || '/' || address || '/' || first_block FROM balances"
    )


def downgrade() -> None:
    triggers.drop_strays(op.get_bind())
    op.drop_table("named_transactions")
    op.drop_table("dirty_strays")
    for name in INDEXES:
        op.drop_index(name, table_name="breaks")
    for name in ("tx_hash", "address", "subject", "chain"):
        op.drop_column("breaks", name)


def _partial(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, postgresql_where=sa.text(where), sqlite_where=sa.text(where))
