"""Orders are found by amount: what was paid, and what was asked for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_COLUMNS = {"ix_orders_amount": "amount_micros", "ix_orders_expected": "expected_micros"}


def upgrade() -> None:
    for name, column in _COLUMNS.items():
        named = sa.text(f"{column} IS NOT NULL")
        op.create_index(name, "orders", [column, "id"], postgresql_where=named, sqlite_where=named)


def downgrade() -> None:
    for name in reversed(_COLUMNS):
        op.drop_index(name, table_name="orders")
