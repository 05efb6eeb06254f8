"""Endpoints filter their events by application, user, amount and flags; events say what they are filtered by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_FILTERS = {
    "appid": sa.String(),
    "user_prefix": sa.String(),
    "amount_min_micros": sa.BigInteger(),
    "amount_max_micros": sa.BigInteger(),
    "any_flags": sa.String(),
}
_READ = {
    "sqlite": "json_extract(body, '$.data.{0}')",
    "postgresql": "CAST(body AS json) -> 'data' ->> '{0}'",
}


def upgrade() -> None:
    for name, kind in _FILTERS.items():
        op.add_column("endpoints", sa.Column(name, kind, nullable=True))
    op.add_column("events", sa.Column("appid", sa.String(), nullable=True))
    op.add_column("events", sa.Column("user_ref", sa.String(), nullable=True))
    # What was written before says so in its body, which is fixed.
    read = _READ[op.get_bind().dialect.name]
    op.execute(
        f"UPDATE events SET appid = {read.format('appid')}, user_ref = {read.format('user_ref')} "
        "WHERE type LIKE 'recharge.%' AND body LIKE '{%'"
    )


def downgrade() -> None:
    op.drop_column("events", "user_ref")
    op.drop_column("events", "appid")
    for name in reversed(_FILTERS):
        op.drop_column("endpoints", name)
