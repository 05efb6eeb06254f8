"""Chains are read: how far, what was found, and which order it belongs to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "address_scans",
        sa.Column("chain", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("first_block", sa.BigInteger(), nullable=False),
        sa.Column("next_block", sa.BigInteger(), nullable=False),
        sa.Column("until_block", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("chain", "address", name=op.f("pk_address_scans")),
    )
    op.create_index(
        "ix_address_scans_open",
        "address_scans",
        ["chain", "next_block"],
        unique=False,
        postgresql_where=sa.text("next_block <= until_block"),
        sqlite_where=sa.text("next_block <= until_block"),
    )

    op.create_table(
        "balances",
        sa.Column("chain", sa.String(), nullable=False),
        sa.Column("contract", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("first_block", sa.BigInteger(), nullable=False),
        sa.Column("last_block", sa.BigInteger(), nullable=False),
        sa.Column("last_hash", sa.String(), nullable=False),
        sa.Column("units", sa.String(), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("last_block >= first_block", name=op.f("ck_balances_not_empty")),
        sa.PrimaryKeyConstraint("chain", "contract", "address", "first_block", name=op.f("pk_balances")),
    )
    op.create_table(
        "chain_blocks",
        sa.Column("chain", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("parent_hash", sa.String(), nullable=False),
        sa.Column("block_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("chain", "number", name=op.f("pk_chain_blocks")),
    )
    op.create_table(
        "chain_nodes",
        sa.Column("chain", sa.String(), nullable=False),
        sa.Column("node", sa.String(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("closed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("head_number", sa.BigInteger(), nullable=True),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("chain", "node", name=op.f("pk_chain_nodes")),
    )
    op.create_table(
        "chains",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("first_block", sa.BigInteger(), nullable=True),
        sa.Column("head_number", sa.BigInteger(), nullable=True),
        sa.Column("head_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("final_number", sa.BigInteger(), nullable=True),
        sa.Column("final_hash", sa.String(), nullable=True),
        sa.Column("span", sa.Integer(), nullable=False),
        sa.Column("stopped", sa.String(), nullable=True),
        sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("trouble", sa.String(), nullable=True),
        sa.Column("identified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("scanned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("looked_back_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lookback_next", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_chains")),
    )
    op.create_table(
        "matches",
        sa.Column("chain", sa.String(), nullable=False),
        sa.Column("tx_hash", sa.String(), nullable=False),
        sa.Column("log_index", sa.Integer(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("orderid", sa.String(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("matched_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reversed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("chain", "tx_hash", "log_index", name=op.f("pk_matches")),
    )
    op.create_index("ix_matches_order", "matches", ["namespace", "orderid"], unique=False)

    op.create_table(
        "scan_ranges",
        sa.Column("chain", sa.String(), nullable=False),
        sa.Column("first_block", sa.BigInteger(), nullable=False),
        sa.Column("last_block", sa.BigInteger(), nullable=False),
        sa.Column("last_hash", sa.String(), nullable=False),
        sa.Column("scanned_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("last_block >= first_block", name=op.f("ck_scan_ranges_not_empty")),
        sa.PrimaryKeyConstraint("chain", "first_block", name=op.f("pk_scan_ranges")),
    )
    op.create_table(
        "token_events",
        sa.Column("chain", sa.String(), nullable=False),
        sa.Column("tx_hash", sa.String(), nullable=False),
        sa.Column("log_index", sa.Integer(), nullable=False),
        sa.Column("block_number", sa.BigInteger(), nullable=False),
        sa.Column("block_hash", sa.String(), nullable=False),
        sa.Column("contract", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=True),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("is_final", sa.Boolean(), nullable=False),
        sa.Column("orphaned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("chain", "tx_hash", "log_index", name=op.f("pk_token_events")),
    )
    op.create_index("ix_token_events_block", "token_events", ["chain", "block_number"], unique=False)

    op.create_table(
        "transfers",
        sa.Column("chain", sa.String(), nullable=False),
        sa.Column("tx_hash", sa.String(), nullable=False),
        sa.Column("log_index", sa.Integer(), nullable=False),
        sa.Column("block_number", sa.BigInteger(), nullable=False),
        sa.Column("block_hash", sa.String(), nullable=False),
        sa.Column("block_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("contract", sa.String(), nullable=False),
        sa.Column("sender", sa.String(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("amount_micros", sa.BigInteger(), nullable=False),
        sa.Column("rest", sa.BigInteger(), nullable=False),
        sa.Column("is_final", sa.Boolean(), nullable=False),
        sa.Column("orphaned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("NOT (is_final AND orphaned_at IS NOT NULL)", name=op.f("ck_transfers_final_or_orphaned")),
        sa.CheckConstraint(
            "amount_micros >= 0 AND rest >= 0 AND amount_micros + rest > 0", name=op.f("ck_transfers_moves_money")
        ),
        sa.PrimaryKeyConstraint("chain", "tx_hash", "log_index", name=op.f("pk_transfers")),
    )
    op.create_index("ix_transfers_block", "transfers", ["chain", "block_number"], unique=False)
    op.create_index(
        "ix_transfers_orphaned",
        "transfers",
        ["chain", "block_number"],
        unique=False,
        postgresql_where=sa.text("orphaned_at IS NOT NULL"),
        sqlite_where=sa.text("orphaned_at IS NOT NULL"),
    )
    op.create_index("ix_transfers_recipient", "transfers", ["chain", "recipient", "block_number"], unique=False)
    op.create_index("ix_transfers_sender", "transfers", ["chain", "sender", "block_number"], unique=False)


def downgrade() -> None:
    op.drop_table("transfers")
    op.drop_table("token_events")
    op.drop_table("scan_ranges")
    op.drop_table("matches")
    op.drop_table("chains")
    op.drop_table("chain_nodes")
    op.drop_table("chain_blocks")
    op.drop_table("balances")
    op.drop_table("address_scans")
