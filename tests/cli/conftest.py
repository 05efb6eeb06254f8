"""Own the command line as tests call it: in this process, on a real database and a real Redis."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine

from relay.__main__ import main
from relay.store.engine import make_engine
from tests.web.conftest import ENVIRONMENT


class CommandLine:
    """Runs commands with a complete environment."""

    def __init__(self, database_url: str, redis_url: str) -> None:
        self.environment = ENVIRONMENT | {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "LOG_FORMAT": "text"}

    def __call__(self, *arguments: str, code: int = 0) -> Result:
        """Run a command that must end with this code."""
        done = CliRunner().invoke(main, arguments, env=self.environment)
        assert done.exit_code == code, (done.output, done.exception)
        return done

    def json(self, *arguments: str) -> list[Any]:
        """Return the lines of JSON that a command prints."""
        return [json.loads(line) for line in self(*arguments).stdout.splitlines()]


@pytest.fixture
def relay(database_url: str, redis_url: str) -> CommandLine:
    """The command line."""
    return CommandLine(database_url, redis_url)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on the same database."""
    engine = make_engine(database_url)
    yield engine
    engine.dispose()
