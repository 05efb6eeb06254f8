"""Days are closed: versions, their files, and the keys that seal them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "day_closes",
        sa.Column("day", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("zone", sa.String(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("prepared_by", sa.String(), nullable=False),
        sa.Column("prepared_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("manifest", sa.Text(), nullable=False),
        sa.Column("manifest_hash", sa.String(), nullable=False),
        sa.Column("approved_by", sa.String(), nullable=True),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sealed", sa.Text(), nullable=True),
        sa.Column("seal", sa.String(), nullable=True),
        sa.Column("key_id", sa.String(), nullable=True),
        sa.Column("reopen_asked_by", sa.String(), nullable=True),
        sa.Column("reopen_reason", sa.String(), nullable=True),
        sa.Column("reopened_by", sa.String(), nullable=True),
        sa.Column("reopened_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('prepared', 'sealed', 'reopened')", name=op.f("ck_day_closes_state")),
        sa.CheckConstraint("approved_by IS NULL OR approved_by <> prepared_by", name=op.f("ck_day_closes_two_persons")),
        sa.CheckConstraint(
            "reopened_by IS NULL OR reopened_by <> reopen_asked_by", name=op.f("ck_day_closes_two_persons_reopen")
        ),
        sa.CheckConstraint(
            "state = 'prepared' OR (approved_by IS NOT NULL AND seal IS NOT NULL)",
            name=op.f("ck_day_closes_sealed_by_someone"),
        ),
        sa.CheckConstraint(
            "state <> 'reopened' OR reopened_by IS NOT NULL", name=op.f("ck_day_closes_reopened_by_someone")
        ),
        sa.PrimaryKeyConstraint("day", "version", name=op.f("pk_day_closes")),
    )
    op.create_index(
        "uq_day_closes_current",
        "day_closes",
        ["day"],
        unique=True,
        postgresql_where=sa.text("state <> 'reopened'"),
        sqlite_where=sa.text("state <> 'reopened'"),
    )
    op.create_table(
        "day_files",
        sa.Column("day", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("day", "version", "name", name=op.f("pk_day_files")),
    )
    op.create_table(
        "seal_keys",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("public", sa.String(), nullable=False),
        sa.Column("private", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_seal_keys")),
    )


def downgrade() -> None:
    op.drop_table("seal_keys")
    op.drop_table("day_files")
    op.drop_table("day_closes")
