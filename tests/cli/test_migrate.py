"""What a release runs: from an empty database to ours, and never back."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine, inspect, select, text

from relay.__main__ import main
from relay.store.engine import reading, writing
from relay.store.revisions import revision_state
from relay.store.rows import source_states
from tests.rows import a_stored_order
from tests.web.conftest import ENVIRONMENT

SOURCES = """
[sources.{name}]
adapter = "crossingpay-v1"
appid = "{appid}"
secrets = ["uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu"]
"""


def migrate(engine: Engine, sources: str = "") -> Result:
    """Run it with complete settings and no Redis."""
    return CliRunner().invoke(main, ("migrate",), env=settings(engine) | {"RELAY_SOURCES": sources})


def settings(engine: Engine) -> dict[str, str]:
    return ENVIRONMENT | {"DATABASE_URL": engine.url.render_as_string(hide_password=False)}


def released(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run it as the platform does: a process of its own, with nothing but this environment."""
    command, given = [sys.executable, "-m", "relay", "migrate"], {"PATH": os.environ["PATH"], **environment}
    return subprocess.run(command, env=given, capture_output=True, text=True, timeout=60, check=False)


def a_source(name: str = "crossing", appid: str = "VunT0000h1l8", **more: str) -> str:
    return SOURCES.format(name=name, appid=appid) + "".join(f'{key} = "{value}"\n' for key, value in more.items())


def recorded(engine: Engine) -> dict[str, str]:
    with reading(engine) as connection:
        rows = connection.execute(select(source_states.c.name, source_states.c.namespace))
        return {row.name: row.namespace for row in rows}


def everything(engine: Engine) -> dict[str, Any]:
    """Every table and its rows."""
    with reading(engine) as connection:
        tables = inspect(connection).get_table_names()
        return {table: connection.execute(text(f"SELECT * FROM {table}")).all() for table in tables}


def test_an_empty_database_becomes_ours_and_stays(empty_engine: Engine) -> None:
    """The first start records the namespaces; the second changes nothing."""
    first = released(settings(empty_engine))
    assert (first.returncode, first.stderr) == (0, "")
    assert revision_state(empty_engine) == "current"
    assert recorded(empty_engine) == {"crossing": "crossing"}
    before = everything(empty_engine)
    assert migrate(empty_engine).exit_code == 0
    assert everything(empty_engine) == before


def test_a_database_newer_than_the_code_is_left_alone(engine: Engine) -> None:
    """After a rollback: not even a namespace is recorded."""
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    before = everything(engine)
    done = migrate(engine)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "newer" in done.stdout
    assert everything(engine) == before


def test_a_configuration_that_cannot_be_used_stops_the_release(empty_engine: Engine) -> None:
    """With every fault on a line of its own, and nothing migrated."""
    done = migrate(empty_engine, "[sources.a]\nadapter = 'none'\n[sources.b]\nadapter = 'none'\n")
    assert done.exit_code == 2
    assert all(line.startswith("Error: ") for line in done.stderr.splitlines())
    assert {"sources.a", "sources.b"} <= {line.split()[1].rsplit(".", 1)[0] for line in done.stderr.splitlines()}
    assert revision_state(empty_engine) == "empty"


def test_a_database_that_does_not_answer_is_one_line() -> None:
    """Exit code 1, no traceback."""
    done = released(ENVIRONMENT | {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"})
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1


def test_a_namespace_that_moved_stops_the_release(engine: Engine) -> None:
    """Under another one old orders could be credited again; the way back is named, and nothing is recorded."""
    assert migrate(engine, a_source()).exit_code == 0
    done = migrate(engine, a_source(namespace="elsewhere") + a_source("second", "other"))
    assert done.exit_code == 2
    assert 'set namespace = "crossing"' in done.stderr
    assert recorded(engine) == {"crossing": "crossing"}
    assert migrate(engine, a_source() + a_source("second", "other")).exit_code == 0


@pytest.mark.parametrize(
    ("renamed", "code"),
    [
        (a_source("new"), 2),
        (a_source("new", namespace="crossing"), 0),
        (a_source("new", "another-appid"), 0),
        (a_source("new") + a_source(), 0),
    ],
)
def test_a_source_with_orders_is_renamed_only_with_its_namespace(engine: Engine, renamed: str, code: int) -> None:
    """It is known by the appid of its orders; another source may come at the same time, and one beside it."""
    assert migrate(engine, a_source()).exit_code == 0
    a_stored_order(engine, "sh-1", appid="VunT0000h1l8")
    done = migrate(engine, renamed)
    assert done.exit_code == code, done.stderr
    assert ('set namespace = "crossing"' in done.stderr) is bool(code)


def test_a_source_without_orders_may_be_renamed(engine: Engine) -> None:
    """It has nothing to lose."""
    assert migrate(engine, a_source()).exit_code == 0
    assert migrate(engine, a_source("new")).exit_code == 0
    assert recorded(engine) == {"crossing": "crossing", "new": "new"}
