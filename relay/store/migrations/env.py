"""Own how Alembic runs a migration here: on the connection, and inside the transaction, it was handed."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from sqlalchemy import types

from relay.store.tables import metadata


def _plain(kind: str, item: Any, _: Any) -> str | Literal[False]:
    # A revision names plain types, so that it reads the same when the library of our tables has moved on.
    if kind == "type" and isinstance(item, types.TypeDecorator):
        return f"sa.{item.impl_instance!r}"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_item=_plain,
    compare_type=True,
    # SQLite cannot alter a constraint in place: Alembic then copies the table.
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
