"""The sample subscribers run, and credit once whatever comes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from relay.core.webhooks import key_of, new_secret, signed_headers
from tests.system import eventually, free_port

CONSUMERS = Path(__file__).parents[2] / "docs" / "consumers"
SECRET = new_secret(b"k" * 32)
RUNTIMES: dict[str, Callable[[int], list[str]]] = {
    "consumer.py": lambda _: [sys.executable, "consumer.py"],
    "consumer.mjs": lambda _: ["node", "consumer.mjs"],
    "consumer.php": lambda port: ["php", "-S", f"127.0.0.1:{port}", "consumer.php"],
}
# PHP comes with or without its driver for SQLite, in which the sample keeps its credits.
NEEDS = {"consumer.php": ["php", "-r", "exit(extension_loaded('pdo_sqlite') ? 0 : 1);"]}
INSTALLED = [
    name
    for name in RUNTIMES
    if shutil.which(RUNTIMES[name](0)[0])
    and (name not in NEEDS or subprocess.run(NEEDS[name], check=False, capture_output=True).returncode == 0)
]


class Consumer:
    """A running sample, spoken to as we speak to subscribers."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/"

    def tell(self, number: int, *, version: int, micros: int, orderid: str = "sh-1", **changes: Any) -> int:
        """Send an event as a delivery; return the status."""
        data = {"namespace": "crossing", "orderid": orderid, "user_ref": "1", "order_version": version}
        event = {"type": "recharge.succeeded", "data": data | {"credited_micros": micros}, **changes}
        return self.post(json.dumps(event).encode(), f"evt_{number}")

    def post(self, body: bytes, event_id: str, *, secret: str = SECRET, age_s: int = 0) -> int:
        headers = signed_headers(event_id, body, [key_of(secret), b"old"], timestamp=int(time.time()) - age_s)
        try:
            with urllib.request.urlopen(urllib.request.Request(self._url, body, headers), timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            return refused.code

    def credits(self) -> dict[str, int]:
        with urllib.request.urlopen(self._url, timeout=10) as answer:
            found: dict[str, int] = json.load(answer)
            return found

    def is_up(self) -> bool:
        try:
            return self.credits() == self.credits()
        except OSError:
            return False


@contextmanager
def running(name: str, directory: Path) -> Iterator[Consumer]:
    """Start a sample on a database of its own."""
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "SECRET": SECRET,
        "PORT": str(port),
        "DATABASE": str(directory / "credits"),
    }
    with (directory / "log").open("ab") as log:
        process = subprocess.Popen(RUNTIMES[name](port), cwd=CONSUMERS, env=environment, stdout=log, stderr=log)
    try:
        consumer = Consumer(port)
        eventually(consumer.is_up, within_s=60, what=f"{name} is up")
        yield consumer
    finally:
        process.kill()
        process.wait(timeout=10)


@pytest.mark.parametrize("name", INSTALLED)
def test_a_sample_credits_once(name: str, tmp_path: Path) -> None:
    """Under duplicates, reorder, a restart and a replay; and what is not ours is refused."""
    with running(name, tmp_path) as consumer:
        assert [consumer.tell(1, version=1, micros=3_000_000) for _ in range(3)] == [204] * 3
        assert consumer.credits() == {"sh-1": 3_000_000}
        consumer.tell(3, version=3, micros=0, type="recharge.reversed")
        consumer.tell(2, version=2, micros=5_000_000, type="recharge.adjusted")
        assert consumer.credits() == {"sh-1": 0}, "the later version stands, whatever came last"
        assert consumer.post(b'{"type": "relay.test", "data": {}}', "evt_4") == 204
        consumer.tell(5, version=1, micros=1_500_000, orderid="sh-2")
        assert consumer.post(b"{}", "evt_6", secret=new_secret(b"x" * 32)) == 401
        assert consumer.post(b"{}", "evt_7", age_s=301) == 401
    with running(name, tmp_path) as consumer:
        assert [consumer.tell(number, version=1, micros=3_000_000) for number in (1, 1)] == [204, 204]
        assert consumer.credits() == {"sh-1": 0, "sh-2": 1_500_000}
