"""Orders know their address and their provider.

Columns are added and dropped in place, never by copying a table: callbacks, events and orders may be large.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "addresses",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("chain", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=True),
        sa.Column("owner", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("role IN ('deposit', 'collection', 'external')", name=op.f("ck_addresses_role")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_addresses")),
        sa.UniqueConstraint("chain", "address", name=op.f("uq_addresses_chain_address")),
    )
    op.create_index("ix_addresses_owner", "addresses", ["owner", "id"], unique=False)

    op.create_table(
        "creations",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("orderid", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("call", sa.String(), nullable=False),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('waiting', 'sent', 'done', 'refused', 'unknown')", name=op.f("ck_creations_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_creations")),
        sa.UniqueConstraint("namespace", "orderid", name=op.f("uq_creations_namespace_orderid")),
    )
    op.create_index(
        "ix_creations_due",
        "creations",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('waiting', 'sent', 'unknown')"),
        sqlite_where=sa.text("state IN ('waiting', 'sent', 'unknown')"),
    )

    op.create_table(
        "paces",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_paces")),
    )
    op.create_table(
        "polls",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("orderid", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("source", "orderid", name=op.f("pk_polls")),
    )
    op.create_index("ix_polls_due", "polls", ["due_at"], unique=False)

    op.create_table(
        "provider_facts",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("orderid", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("via", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=True),
        sa.Column("raw_status", sa.String(), nullable=False),
        sa.Column("amount_micros", sa.BigInteger(), nullable=True),
        sa.Column("amount_raw", sa.String(), nullable=True),
        sa.Column("unit_micros", sa.BigInteger(), nullable=False),
        sa.Column("provider_order_id", sa.String(), nullable=True),
        sa.Column("tx_hash", sa.String(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("via IN ('query', 'statement')", name=op.f("ck_provider_facts_via")),
        sa.PrimaryKeyConstraint("source", "orderid", name=op.f("pk_provider_facts")),
    )
    op.create_index("ix_provider_facts_order", "provider_facts", ["namespace", "orderid"], unique=False)

    op.create_table(
        "statements",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("total_micros", sa.BigInteger(), nullable=False),
        sa.Column("imported_by", sa.String(), nullable=False),
        sa.Column("imported_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_statements")),
        sa.UniqueConstraint("source", "sha256", name=op.f("uq_statements_source_sha256")),
    )
    op.add_column("callbacks", sa.Column("part", sa.String(), server_default="", nullable=False))
    op.drop_index("uq_callbacks_identity", table_name="callbacks", sqlite_where=sa.text("verdict = 'accepted'"))
    op.create_index(
        "uq_callbacks_identity",
        "callbacks",
        ["namespace", "orderid", "status", "part"],
        unique=True,
        postgresql_where=sa.text("verdict = 'accepted'"),
        sqlite_where=sa.text("verdict = 'accepted'"),
    )

    op.add_column("endpoints", sa.Column("kind", sa.String(), server_default="fixed", nullable=False))
    op.add_column("endpoints", sa.Column("signing", sa.String(), server_default="source", nullable=False))

    op.add_column("events", sa.Column("generation", sa.Integer(), nullable=True))
    op.add_column("events", sa.Column("notify_url", sa.String(), nullable=True))
    op.create_index(
        "uq_events_one_turn",
        "events",
        ["namespace", "orderid", "type", "generation"],
        unique=True,
        postgresql_where=sa.text("type IN ('recharge.reversed', 'recharge.reinstated')"),
        sqlite_where=sa.text("type IN ('recharge.reversed', 'recharge.reinstated')"),
    )

    op.add_column("orders", sa.Column("chain", sa.String(), nullable=True))
    op.add_column("orders", sa.Column("address", sa.String(), nullable=True))
    op.add_column("orders", sa.Column("notify_url", sa.String(), nullable=True))
    op.add_column("orders", sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_orders_address",
        "orders",
        ["address", "id"],
        unique=False,
        postgresql_where=sa.text("address IS NOT NULL"),
        sqlite_where=sa.text("address IS NOT NULL"),
    )
    op.create_index(
        "ix_orders_confirming",
        "orders",
        ["updated_at"],
        unique=False,
        postgresql_where=sa.text("state = 'confirming'"),
        sqlite_where=sa.text("state = 'confirming'"),
    )
    op.create_index(
        "ix_orders_expires",
        "orders",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("expires_at IS NOT NULL AND state IN ('created', 'pending')"),
        sqlite_where=sa.text("expires_at IS NOT NULL AND state IN ('created', 'pending')"),
    )


def downgrade() -> None:
    op.drop_index(
        table_name="orders",
        index_name="ix_orders_expires",
        postgresql_where=sa.text("expires_at IS NOT NULL AND state IN ('created', 'pending')"),
        sqlite_where=sa.text("expires_at IS NOT NULL AND state IN ('created', 'pending')"),
    )
    op.drop_index(
        table_name="orders",
        index_name="ix_orders_confirming",
        postgresql_where=sa.text("state = 'confirming'"),
        sqlite_where=sa.text("state = 'confirming'"),
    )
    op.drop_index(
        table_name="orders",
        index_name="ix_orders_address",
        postgresql_where=sa.text("address IS NOT NULL"),
        sqlite_where=sa.text("address IS NOT NULL"),
    )
    op.drop_column("orders", "expires_at")
    op.drop_column("orders", "notify_url")
    op.drop_column("orders", "address")
    op.drop_column("orders", "chain")

    op.drop_index(
        table_name="events",
        index_name="uq_events_one_turn",
        postgresql_where=sa.text("type IN ('recharge.reversed', 'recharge.reinstated')"),
        sqlite_where=sa.text("type IN ('recharge.reversed', 'recharge.reinstated')"),
    )
    op.drop_column("events", "notify_url")
    op.drop_column("events", "generation")

    op.drop_column("endpoints", "signing")
    op.drop_column("endpoints", "kind")

    op.drop_index(
        table_name="callbacks",
        index_name="uq_callbacks_identity",
        postgresql_where=sa.text("verdict = 'accepted'"),
        sqlite_where=sa.text("verdict = 'accepted'"),
    )
    op.create_index(
        "uq_callbacks_identity",
        "callbacks",
        ["namespace", "orderid", "status"],
        unique=True,
        postgresql_where=sa.text("verdict = 'accepted'"),
        sqlite_where=sa.text("verdict = 'accepted'"),
    )
    op.drop_column("callbacks", "part")

    op.drop_table("statements")
    op.drop_index("ix_provider_facts_order", table_name="provider_facts")

    op.drop_table("provider_facts")
    op.drop_index("ix_polls_due", table_name="polls")

    op.drop_table("polls")
    op.drop_table("paces")
    op.drop_index(
        table_name="creations",
        index_name="ix_creations_due",
        postgresql_where=sa.text("state IN ('waiting', 'sent', 'unknown')"),
        sqlite_where=sa.text("state IN ('waiting', 'sent', 'unknown')"),
    )

    op.drop_table("creations")
    op.drop_index("ix_addresses_owner", table_name="addresses")

    op.drop_table("addresses")
