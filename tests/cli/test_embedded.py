from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest
import redis

from relay.cli.embedded import EmbeddedRedis


def test_the_embedded_redis_is_real_private_and_keeps_what_it_was_given(tmp_path: Path) -> None:
    """It serves whoever has the URL, nobody else, and its data survives an orderly end."""
    for expected in (None, b"kept"):
        server = EmbeddedRedis(tmp_path / "redis")
        process = subprocess.Popen(server.command, stdout=subprocess.DEVNULL, env=dict(os.environ))
        try:
            assert server.await_ready()
            with redis.Redis.from_url(server.url) as client:
                assert client.get("a") == expected
                client.set("a", "kept")
            stranger = redis.Redis.from_url("redis://" + server.url.split("@")[1])
            with stranger, pytest.raises(redis.AuthenticationError):
                stranger.get("a")
        finally:
            process.terminate()
            process.wait(timeout=10)
        assert stat.S_IMODE((tmp_path / "redis" / "server.conf").stat().st_mode) == 0o600
