"""What is held, or was to be told to an endpoint that is deleted, is not late: such orders are judged again."""

from __future__ import annotations

from alembic import op

from relay.store.tables import triggers

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None


def upgrade() -> None:
    triggers.drop_deliveries(op.get_bind())
    triggers.create_deliveries(op.get_bind())


def downgrade() -> None:
    pass
