"""Own the way from any known state of the database to the tables of this code."""

from __future__ import annotations

import logging

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text

from relay.store.engine import is_sqlite, writing
from relay.store.revisions import VERSIONS, known, revision_of, state_of

log = logging.getLogger(__name__)

MIGRATION_LOCK = 7_201_000


def upgrade(engine: Engine) -> None:
    """Bring the database to the revision of this code, in one transaction; repeat it freely.

    A second caller waits for the first. A database that is newer than this
    code is left as it is: after a rollback the old code works on the new tables.
    Raises Unavailable when the database does not answer or the lock is not had in time.
    """
    with writing(engine, lock=MIGRATION_LOCK) as connection:
        state = state_of(connection)
        if state in ("empty", "behind"):
            _give_time(connection)
            command.upgrade(configuration(connection), "head")
            log.info("database_migrated", extra={"was": state, "revision": known()[-1]})
        else:
            log.info("database_unchanged", extra={"is": state, "revision": revision_of(connection)})


def downgrade(engine: Engine, target: str) -> None:
    """Take the database back to a revision of this code, or to `base`: nothing at all."""
    with writing(engine, lock=MIGRATION_LOCK) as connection:
        _give_time(connection)
        command.downgrade(configuration(connection), target)


def configuration(connection: Connection | None = None) -> Config:
    """Return Alembic's settings; what runs a migration needs the connection."""
    config = Config()
    # Alembic expands percent signs in its options.
    config.set_main_option("script_location", str(VERSIONS.parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _give_time(connection: Connection) -> None:
    # A long table may take its time, but waiting for a lock would make every request queue up behind us.
    if not is_sqlite(connection):
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SET LOCAL lock_timeout = '5s'"))
