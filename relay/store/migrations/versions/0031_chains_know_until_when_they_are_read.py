"""Chains know until when they are read: what an outage hides is not missing yet."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("chains") as batch:
        batch.add_column(sa.Column("final_time", sa.DateTime(timezone=True), nullable=True))
    # Until the next final block: the time of the head, which is some minutes younger.
    op.execute("UPDATE chains SET final_time = head_time WHERE final_number IS NOT NULL")


def downgrade() -> None:
    with op.batch_alter_table("chains") as batch:
        batch.drop_column("final_time")
