"""The revisions lead from nothing to the tables and back, on both kinds of database."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, event, inspect, text
from sqlalchemy.exc import DBAPIError

from relay.errors import Unavailable
from relay.store.engine import make_engine, reading, writing
from relay.store.migrate import MIGRATION_LOCK, configuration, downgrade, upgrade
from relay.store.revisions import known, revision_state
from relay.store.tables import metadata

DEFINITIONS = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL",
    "postgresql": """
        SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
        UNION ALL SELECT conrelid::regclass || '.' || conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace
        UNION ALL SELECT table_name || '.' || column_name, concat_ws(' ', data_type, is_nullable, column_default)
        FROM information_schema.columns WHERE table_schema = 'public'""",
}


def test_the_way_up_down_and_up_again(empty_engine: Engine) -> None:
    """Each revision can be taken back, and leaves nothing behind."""
    assert revision_state(empty_engine) == "empty"
    upgrade(empty_engine)
    assert revision_state(empty_engine) == "current"
    downgrade(empty_engine, "base")
    assert revision_state(empty_engine) == "empty"
    with reading(empty_engine) as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]
    upgrade(empty_engine)
    assert revision_state(empty_engine) == "current"


def test_a_file_is_named_for_its_revision() -> None:
    """Which revisions this code knows is read from the names alone."""
    line = [(one.down_revision, one.revision) for one in ScriptDirectory.from_config(configuration()).walk_revisions()]
    assert line == list(zip((None, *known()), known(), strict=False))[::-1]


def test_migrating_twice_changes_nothing(engine: Engine) -> None:
    """A release runs on every change of configuration, so the second time must be free."""
    before = _definitions(engine)
    upgrade(engine)
    assert _definitions(engine) == before


def test_revisions_and_tables_name_the_same_things(engine: Engine) -> None:
    """Tables, columns, types and indexes of tables.py are all in the revisions, and no others."""
    with reading(engine) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_revisions_and_tables_define_the_same_things(engine: Engine) -> None:
    """Conditions of partial indexes, checks, nullability and defaults too: the databases' own words are equal."""
    migrated = _definitions(engine)
    downgrade(engine, "base")
    with writing(engine) as connection:
        connection.execute(text("DROP TABLE alembic_version"))
        metadata.create_all(connection)
    assert _definitions(engine) == migrated


def test_a_database_newer_than_the_code_is_left_alone(engine: Engine) -> None:
    """After a rollback the old code starts on the new tables."""
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    before = _definitions(engine)
    assert revision_state(engine) == "newer"
    upgrade(engine)
    assert revision_state(engine) == "newer"
    assert _definitions(engine) == before


def test_many_migrators_at_once_do_it_once(empty_engine: Engine) -> None:
    """Several processes that start together all find the tables, and none fails."""
    engines = [make_engine(empty_engine.url.render_as_string(hide_password=False)) for _ in range(4)]
    with ThreadPoolExecutor(len(engines)) as pool:
        list(pool.map(upgrade, engines))
    assert {revision_state(engine) for engine in engines} == {"current"}
    for engine in engines:
        engine.dispose()


def test_a_failed_migration_leaves_nothing(empty_engine: Engine) -> None:
    """A revision that fails half way is wholly undone, tables included."""
    with writing(empty_engine) as connection:
        connection.execute(text("CREATE TABLE source_states (mine INTEGER)"))
    with pytest.raises((DBAPIError, Unavailable)):
        upgrade(empty_engine)
    with reading(empty_engine) as connection:
        assert inspect(connection).get_table_names() == ["source_states"]


def test_a_migrator_does_not_wait_for_ever(postgres_url: str) -> None:
    """A migration that hangs elsewhere fails the release, it does not hang it."""
    engine = make_engine(postgres_url)
    event.listen(engine, "connect", lambda connection, _: _be_impatient(connection))
    with engine.connect() as holder, holder.begin():
        holder.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        with pytest.raises(Unavailable):
            upgrade(engine)
    engine.dispose()


def _be_impatient(connection: psycopg.Connection) -> None:
    connection.execute("SET lock_timeout = 50")
    connection.commit()


def _definitions(engine: Engine) -> dict[str, Any]:
    """Return what the database says of its tables, by name; the order of a table's columns and constraints is free."""
    with reading(engine) as connection:
        rows = connection.execute(text(DEFINITIONS[connection.dialect.name])).all()
    rows = [row for row in rows if not row[0].startswith("alembic_version")]
    return {name: _parts(definition) for name, definition in rows}


def _parts(definition: str) -> list[str]:
    # SQLite keeps the text of a table: columns that were added stand behind the constraints, all on one line.
    # One that was made anew under another name, and renamed, has its name in quotes.
    inside = re.sub(r'^CREATE TABLE "(\w+)"', r"CREATE TABLE \1", definition.strip()).removesuffix(")").strip()
    return sorted(" ".join(part.split()).strip("(), ") for part in re.split(r",\s+(?![^()]*\))|\n", inside))
