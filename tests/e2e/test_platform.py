"""The Procfile under a process manager, with environment variables alone: start, a second release over the first, a rollback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.system import ROOT, Subscribers, System, a_body, eventually, free_port

# Left to itself it kills after 5 s what platforms give 30.
HONCHO = "from honcho import command, manager; manager.KILL_WAIT = 30; command.main()"


class Platform(System):
    """Web, worker and clock as one group under honcho, which is told to end as a dyno manager tells it."""

    def __init__(self, database_url: str, directory: Path, **environment: str) -> None:
        super().__init__(database_url, directory, **environment)
        # The Procfile says `python` and `gunicorn`, and finds them as on a platform: on the path.
        self.environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{self.environment['PATH']}"
        self.commands["web"] = self._honcho("web", "worker", "clock")

    def _honcho(self, *names: str) -> list[str]:
        # --no-prefix leaves a line of log as it was; -e names no file, so nothing but the environment counts.
        return [sys.executable, "-c", HONCHO, "--env", os.devnull, "start", "--no-prefix", *names]

    def release(self) -> int:
        """Run the release phase; return how it ended."""
        return subprocess.run(
            self._honcho("release"), cwd=ROOT, env=self.environment, check=False, timeout=60, capture_output=True
        ).returncode

    def ends(self) -> bool:
        """Tell the whole group to end, as a platform does; return whether all of it drained by itself."""
        self.kill("web", signal.SIGTERM)
        self.processes["web"].wait(timeout=60)
        return "sending SIGTERM to worker" in self.log("web") and "sending SIGKILL" not in self.log("web")


@pytest.fixture
def first(postgres_url: str, tmp_path: Path) -> Iterator[tuple[Platform, Subscribers]]:
    """A release that runs, and one subscriber."""
    subscribers, platform = Subscribers(), Platform(postgres_url, tmp_path, WEB_CONCURRENCY="1")
    try:
        platform.start("redis")
        assert platform.release() == 0
        platform.start("web")
        platform.subscribe(subscribers, "wallet")
        yield platform, subscribers
    finally:
        platform.stop()
        subscribers.close()


def test_a_second_release_over_the_first_and_a_rollback_lose_and_double_nothing(
    first: tuple[Platform, Subscribers], tmp_path: Path
) -> None:
    """Both run at once for a while, as at every deploy; what the one left in the database is newer than what the other knows."""
    old, subscribers = first
    (tmp_path / "second").mkdir()
    shared = {"REDIS_URL": old.environment["REDIS_URL"], "WEB_CONCURRENCY": "1", "PORT": str(free_port())}
    new = Platform(old.environment["DATABASE_URL"], tmp_path / "second", **shared)
    new.port = int(shared["PORT"])
    try:
        assert old.call_back(a_body("27-before")) == (200, b"success")
        _the_database_is_newer(old.environment["DATABASE_URL"])
        assert new.release() == 0, "a database that is newer than the code is left alone"
        new.start("web")
        both = [
            old.call_back(a_body("27-during", at=1_700_000_000)),
            new.call_back(a_body("27-during", at=1_700_000_000)),
        ]
        assert both == [(200, b"success")] * 2
        assert old.ends(), old.log("web")[-2_000:]
        assert new.call_back(a_body("27-after")) == (200, b"success")
        wanted = {"27-before", "27-during", "27-after"}
        eventually(lambda: wanted <= subscribers.orders_of("wallet").keys(), within_s=30, what="all are told")
        assert {order: len(told) for order, told in subscribers.orders_of("wallet").items()} == dict.fromkeys(wanted, 1)
        ready = json.loads(new.request("GET", "/readyz")[1])
        assert ready["status"] == "ready", ready
        assert new.ends(), new.log("web")[-2_000:]
    finally:
        new.stop()


def _the_database_is_newer(url: str) -> None:
    """As a later release that was rolled back leaves it."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
