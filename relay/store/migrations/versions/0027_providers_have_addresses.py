"""Providers have addresses of their own in the book: orders are paid there, and what is on them is not our money."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from relay.store.tables import triggers

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

BEFORE = ("deposit", "collection", "external")
ROLES = ("deposit", "collection", "provider", "external")


def upgrade() -> None:
    _allow(ROLES)


def downgrade() -> None:
    # To the older release a provider's address was a stranger's: known, and not watched.
    op.execute("UPDATE addresses SET role = 'external' WHERE role = 'provider'")
    _allow(BEFORE)


def _allow(roles: tuple[str, ...]) -> None:
    # SQLite makes the table anew, and with the old one its triggers would be gone.
    triggers.drop_strays(op.get_bind())
    listed = ", ".join(f"'{role}'" for role in roles)
    with op.batch_alter_table("addresses") as table:
        table.drop_constraint(op.f("ck_addresses_role"), type_="check")
        table.create_check_constraint(op.f("ck_addresses_role"), sa.text(f"role IN ({listed})"))
    triggers.create_strays(op.get_bind())
