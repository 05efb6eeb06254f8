"""Late answers are found: what providers said since a moment, whenever it happened."""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_provider_facts_changed", "provider_facts", ["changed_at"])


def downgrade() -> None:
    op.drop_index("ix_provider_facts_changed", table_name="provider_facts")
