"""Deliveries are late by time: each knows since when it is owed, and one that is acknowledged late has its order judged again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from relay.store.tables import triggers

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("deliveries", sa.Column("owed_since", sa.DateTime(timezone=True), nullable=True))
    triggers.drop_deliveries(op.get_bind())
    triggers.create_deliveries(op.get_bind())
    # Until now nobody asked how long a service was waited for: orders that it has not heard of yet are looked at once.
    op.execute(
        "INSERT INTO dirty (namespace, orderid) SELECT DISTINCT e.namespace, e.orderid FROM deliveries d "
        "JOIN events e ON e.sequence = d.event_sequence AND e.orderid IS NOT NULL "
        "WHERE d.state IN ('pending', 'sending', 'paused')"
    )


def downgrade() -> None:
    triggers.drop_deliveries(op.get_bind())
    triggers.create_deliveries(op.get_bind(), by_time=False)
    op.drop_column("deliveries", "owed_since")
