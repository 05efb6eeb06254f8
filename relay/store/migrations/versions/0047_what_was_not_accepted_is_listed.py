"""Requests that were refused, or that contradict, are listed without going through all that were accepted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0047"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    where = sa.text("verdict <> 'accepted'")
    op.create_index(
        "ix_callbacks_not_accepted", "callbacks", ["verdict", "id"], postgresql_where=where, sqlite_where=where
    )


def downgrade() -> None:
    op.drop_index("ix_callbacks_not_accepted", table_name="callbacks")
