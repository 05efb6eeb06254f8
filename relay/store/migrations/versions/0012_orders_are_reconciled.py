"""Orders are reconciled: which changed, how each stands, what was recovered, and the runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from relay.store.tables import triggers

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "dirty",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("orderid", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dirty")),
    )
    op.create_table(
        "dirty_work",
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("orderid", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("namespace", "orderid", name=op.f("pk_dirty_work")),
    )
    op.create_table(
        "match_states",
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("orderid", sa.String(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("kinds", sa.String(), nullable=False),
        sa.Column("flags", sa.String(), nullable=False),
        sa.Column("drift_micros", sa.BigInteger(), nullable=True),
        sa.Column("due_at", TIME, nullable=True),
        sa.Column("changed_at", TIME, nullable=False),
        sa.CheckConstraint(
            "verdict IN ('unpaid', 'pending', 'matched', 'observed', 'break')", name=op.f("ck_match_states_verdict")
        ),
        sa.PrimaryKeyConstraint("namespace", "orderid", name=op.f("pk_match_states")),
    )
    _partial("ix_match_states_due", "match_states", "due_at", "due_at IS NOT NULL")
    op.create_table(
        "runs",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("manifest", sa.Text(), nullable=False),
        sa.Column("manifest_hash", sa.String(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", TIME, nullable=False),
        sa.Column("last_checked", TIME, nullable=False),
        sa.CheckConstraint("state IN ('complete', 'incomplete')", name=op.f("ck_runs_state")),
        sa.CheckConstraint("kind IN ('incremental', 'daily', 'weekly')", name=op.f("ck_runs_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    op.create_table(
        "recoveries",
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("orderid", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("amount_micros", sa.BigInteger(), nullable=False),
        sa.Column("occurred_at", TIME, nullable=True),
        sa.Column("tx_hash", sa.String(), nullable=True),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("found_at", TIME, nullable=False),
        sa.Column("applied_at", TIME, nullable=True),
        sa.Column("decided_by", sa.String(), nullable=True),
        sa.CheckConstraint("state IN ('due', 'stopped', 'applied', 'refused')", name=op.f("ck_recoveries_state")),
        sa.CheckConstraint("amount_micros > 0", name=op.f("ck_recoveries_moves_money")),
        sa.PrimaryKeyConstraint("namespace", "orderid", name=op.f("pk_recoveries")),
    )
    _partial("ix_recoveries_open", "recoveries", "source", "state IN ('due', 'stopped')")
    op.create_index("ix_recoveries_applied", "recoveries", ["source", "applied_at"])
    triggers.create(op.get_bind())
    triggers.create_deliveries(op.get_bind(), by_time=False)


def downgrade() -> None:
    triggers.drop_deliveries(op.get_bind())
    triggers.drop(op.get_bind())
    for table in ("recoveries", "runs", "match_states", "dirty_work", "dirty"):
        op.drop_table(table)


def _partial(name: str, table: str, column: str, where: str) -> None:
    op.create_index(name, table, [column], postgresql_where=sa.text(where), sqlite_where=sa.text(where))
