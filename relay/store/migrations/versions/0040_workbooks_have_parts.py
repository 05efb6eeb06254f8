"""Workbooks have parts: a large one is kept and handed out a few megabytes at a time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "workbook_parts",
        sa.Column("workbook_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("workbook_id", "number", name=op.f("pk_workbook_parts")),
    )


def downgrade() -> None:
    op.drop_table("workbook_parts")
