"""Own at which revision the database is, beside those that this code knows.

Every web process and every command asks, so this is done without Alembic,
which takes half a second to load.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection, Engine, inspect, text

from relay.store.engine import reading

State = Literal["current", "behind", "newer", "empty"]

VERSIONS = Path(__file__).parent / "migrations" / "versions"


def revision_state(engine: Engine) -> State:
    """Compare the database's revision with this code's; `newer` is one this code does not know.

    Raises Unavailable when the database does not answer.
    """
    with reading(engine) as connection:
        return state_of(connection)


def state_of(connection: Connection) -> State:
    """Compare the revision that a connection sees with this code's."""
    revision = revision_of(connection)
    if revision is None:
        return "empty"
    if revision == known()[-1]:
        return "current"
    return "behind" if revision in known() else "newer"


def revision_of(connection: Connection) -> str | None:
    """Return the revision that Alembic left in the database, None in one that was never migrated."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision


@cache
def known() -> tuple[str, ...]:
    """Return the revisions of this code in their order: each file's name begins with its own."""
    return tuple(sorted(path.name.partition("_")[0] for path in VERSIONS.glob("[0-9]*_*.py")))
