"""Questions about money that is there come before those about orders that nobody has paid yet."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    where = sa.text("reason <> 'unpaid'")
    op.create_index("ix_polls_urgent", "polls", ["source", "due_at"], postgresql_where=where, sqlite_where=where)


def downgrade() -> None:
    op.drop_index("ix_polls_urgent", table_name="polls")
