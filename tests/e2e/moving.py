"""Play the two sides between which the relay moves in: a provider that never gives up, and an old handler in its own process."""

from __future__ import annotations

import http.client
import itertools
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.system import a_body, eventually, free_port

FORM = "application/x-www-form-urlencoded"
Answer = tuple[int, bytes]
Url = Callable[[bytes], Answer]


def post(port: int, path: str, body: bytes) -> Answer:
    """Post a form to this machine; whoever is not there is status 0."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("POST", path, body, {"Content-Type": FORM})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


@dataclass(frozen=True)
class Credit:
    """One row of the old handler."""

    orderid: str
    amount: int
    user: str
    at: float


class LegacyHandler:
    """The old handler; killed and started again it is the same."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._database = directory / "legacy.db"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        script = str(Path(__file__).with_name("legacy_handler.py"))
        self._process = subprocess.Popen([sys.executable, script, str(self.port), str(self._database)])
        eventually(lambda: self(b"x=1") == (200, b"fail"), within_s=20, what="the old handler answers")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def __call__(self, body: bytes) -> Answer:
        """Call back at it directly."""
        return post(self.port, "/pay", body)

    def credits(self) -> dict[str, Credit]:
        """What it has credited, by order."""
        with sqlite3.connect(self._database, timeout=10) as connection:
            rows = connection.execute("SELECT orderid, amount, user, at FROM credits").fetchall()
        return {row[0]: Credit(*row) for row in rows}

    def exported(self, path: Path) -> Path:
        """Write what it has credited as a file that `orders import` reads."""
        lines = [f"{one.orderid},{one.amount / 10_000:.4f},{one.user},credited" for one in self.credits().values()]
        path.write_text("\n".join(["orderid,amount,user_ref,state", *lines]) + "\n")
        return path


class Provider:
    """Orders are paid on and on; each is called back at where it was told to, until that says success.

    `panel` is where orders are called back that were not told otherwise;
    every `share`th is told `own` when it is made.
    """

    def __init__(self, panel: Url, *, callers: int = 3) -> None:
        self.panel = panel
        self.own: Url | None = None
        self.share = 0
        self.paid: dict[str, bytes] = {}
        self.acked: set[str] = set()
        self.told_own: set[str] = set()
        self._numbers = itertools.count(1)
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._pay, daemon=True) for _ in range(callers)]
        for thread in self._threads:
            thread.start()

    def pay(self, *, own: bool = False) -> str:
        """Have one order paid and called back for as long as it takes; return its number."""
        number = next(self._numbers)
        orderid = f"sh-{number:05d}"
        body = self.paid[orderid] = a_body(orderid, amount=str(10_000 + number), at=int(time.time()))
        chosen = self.own if own or (self.share and number % self.share == 0) else None
        if chosen is not None:
            self.told_own.add(orderid)
        while not self._stopped.is_set():
            if (chosen or self.panel)(body) == (200, b"success"):
                self.acked.add(orderid)
                break
            self._stopped.wait(0.3)
        return orderid

    def _pay(self) -> None:
        while not self._stopped.is_set():
            self.pay()
            self._stopped.wait(0.05)

    def grow(self, count: int, *, within_s: float = 60.0) -> None:
        """Wait until so many more orders were acknowledged: money flows again."""
        wanted = len(self.acked) + count
        eventually(lambda: len(self.acked) >= wanted, within_s=within_s, what=f"{count} more acks")

    def stop(self) -> None:
        """Let everything be acknowledged that was paid, then pay no more."""
        eventually(lambda: len(self.paid) - len(self.acked) <= len(self._threads), within_s=60, what="hardly any left")
        self._stopped.set()
        for thread in self._threads:
            thread.join(30)
        self._stopped.clear()
        for orderid in self.paid.keys() - self.acked:
            assert self.panel(self.paid[orderid]) == (200, b"success")
            self.acked.add(orderid)
