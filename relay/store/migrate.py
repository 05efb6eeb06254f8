"""Own the way from any known state of the database to the tables of this code."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, text

from relay.store.engine import is_sqlite, reading, writing

log = logging.getLogger(__name__)

State = Literal["current", "behind", "newer", "empty"]

MIGRATION_LOCK = 7_201_000


def upgrade(engine: Engine) -> None:
    """Bring the database to the revision of this code, in one transaction; repeat it freely.

    A second caller waits for the first. A database that is newer than this
    code is left as it is: after a rollback the old code works on the new tables.
    Raises Unavailable when the database does not answer or the lock is not had in time.
    """
    with writing(engine, lock=MIGRATION_LOCK) as connection:
        state = _state(connection)
        if state in ("empty", "behind"):
            _give_time(connection)
            command.upgrade(configuration(connection), "head")
            log.info("database_migrated", extra={"was": state, "revision": _head()})
        else:
            log.info("database_unchanged", extra={"is": state, "revision": _revision(connection)})


def downgrade(engine: Engine, target: str) -> None:
    """Take the database back to a revision of this code, or to `base`: nothing at all."""
    with writing(engine, lock=MIGRATION_LOCK) as connection:
        _give_time(connection)
        command.downgrade(configuration(connection), target)


def revision_state(engine: Engine) -> State:
    """Compare the database's revision with this code's; `newer` is one this code does not know.

    Raises Unavailable when the database does not answer.
    """
    with reading(engine) as connection:
        return _state(connection)


def configuration(connection: Connection | None = None) -> Config:
    """Return Alembic's settings; what runs a migration needs the connection."""
    config = Config()
    # Alembic expands percent signs in its options.
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _state(connection: Connection) -> State:
    revision = _revision(connection)
    if revision is None:
        return "empty"
    if revision == _head():
        return "current"
    return "behind" if _is_known(revision) else "newer"


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _head() -> str | None:
    return ScriptDirectory.from_config(configuration()).get_current_head()


def _is_known(revision: str) -> bool:
    try:
        ScriptDirectory.from_config(configuration()).get_revision(revision)
    except CommandError:
        return False
    return True


def _give_time(connection: Connection) -> None:
    # A long table may take its time, but waiting for a lock would make every request queue up behind us.
    if not is_sqlite(connection):
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SET LOCAL lock_timeout = '5s'"))
