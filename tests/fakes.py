"""Fakes for the ports, held honest by the contract tests that run on the real thing too."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import Engine, event

from relay.core.calls import Outgoing
from relay.ports import NOTHING, Answer, Notes, Reply


class FakeMemory:
    """A memory in a set; `lie` makes it wrong on purpose."""

    def __init__(self, *, lie: str = "") -> None:
        self.keys: set[str] = set()
        self.repeated: list[str] = []
        self.rings = 0
        self.exchanges = 0
        self._lie = lie

    def seen(self, keys: Sequence[str], *, after: Notes = NOTHING) -> set[str]:
        self.exchanges += 1
        self.keys.update(after.new)
        self.repeated.extend(after.repeated)
        self.rings += after.ring
        if self._lie == "has seen everything":
            return set(keys)
        return set() if self._lie else self.keys & set(keys)

    def remember(self, notes: Notes) -> None:
        self.seen((), after=notes)

    def ring(self) -> None:
        self.rings += 1


class FakeOutbound:
    """Answers what a test says, and keeps what was sent."""

    def __init__(self, answer: Callable[[str, dict[str, str], bytes], Answer]) -> None:
        self._answer = answer
        self.sent: list[tuple[str, dict[str, str], bytes]] = []

    async def post(self, url: str, *, headers: dict[str, str], body: bytes) -> Answer:
        self.sent.append((url, headers, body))
        return self._answer(url, headers, body)


class FakeHandler:
    """An old handler that answers what a test says, after what a test does, and keeps what it was told."""

    def __init__(self, reply: Reply, *, before: Callable[[], None] = lambda: None) -> None:
        self.reply = reply
        self.before = before
        self.told: list[Outgoing] = []

    def forward(self, request: Outgoing, *, deadline_s: float) -> Reply:
        assert deadline_s > 0
        self.told.append(request)
        self.before()
        return self.reply


def numbered_ids(prefix: str = "") -> Callable[[datetime], str]:
    """Count ids that a test can name, from evt_1 on."""
    numbers = itertools.count(1)
    return lambda _: f"evt_{prefix}{next(numbers)}"


@contextmanager
def round_trips_of(engine: Engine) -> Iterator[list[str]]:
    """Collect what is sent to the database while the block runs, one entry an exchange, transactions' own words left out."""
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if not statement.startswith(("BEGIN", "PRAGMA")):
            sent.append(statement.split(maxsplit=1)[0])

    class Note(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() == "statements_sent":
                sent.append(f"{record.__dict__['count']} together")

    log, handler = logging.getLogger("relay.store.engine"), Note()
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    event.listen(engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine, "before_cursor_execute", note)
    log.removeHandler(handler)
    log.setLevel(before)
