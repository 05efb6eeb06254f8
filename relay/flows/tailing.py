"""Own how the feed is followed: in our database, or from afar with a key; and how an event is handed on by whoever follows.

An engineer's laptop gets the events of a relay that cannot reach it: it reads
them there and posts them to itself, signed as a delivery is.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import urlencode

from sqlalchemy import Engine

from relay.core.addresses import check_endpoint_url, networks
from relay.core.calls import Outgoing
from relay.core.webhooks import signed_headers
from relay.errors import Forbidden, TooMany, Unavailable, Unprocessable
from relay.ports import OldHandler, Reply
from relay.store import events
from relay.store.engine import reading

PAGE = 250
DEADLINE_S = 15.0
_POLL_S = 0.5
# Between two looks at a relay that is far away, is busy, or does not answer.
_AGAIN_S = 1.0
_ANYWHERE = networks(("0.0.0.0/0", "::/0"))
_WORDS = {
    "refused": "nobody listens there",
    "dns": "there is no such host",
    "tls": "its certificate is not to be trusted",
    "not_encrypted": "http is for this machine only; write https://",
    "timeout": "no answer in time",
}


@dataclass(frozen=True, slots=True)
class Tailed:
    """An event: what is told of it, and the body that every delivery sends."""

    sequence: int
    id: str
    told: Mapping[str, Any]
    body: str


class Feed(Protocol):
    """The feed of a relay, in the order of commit."""

    def newest(self, most: int) -> list[Tailed]:
        """Return the newest so many, oldest first."""

    def behind(self, sequence: int, most: int) -> list[Tailed]:
        """Return the first so many behind a sequence."""


class OwnFeed:
    """The feed in our own database; `event_type` narrows it."""

    def __init__(self, engine: Engine, event_type: str | None) -> None:
        self._engine = engine
        self._wanted: dict[str, Any] = {"type": event_type}

    def newest(self, most: int) -> list[Tailed]:
        """Return the newest so many, oldest first."""
        with reading(self._engine) as connection:
            return [_of_row(row) for row in events.last(connection, scope=None, most=most, **self._wanted)]

    def behind(self, sequence: int, most: int) -> list[Tailed]:
        """Return the first so many behind a sequence."""
        with reading(self._engine) as connection:
            page = events.page(connection, scope=None, after=sequence, limit=most, **self._wanted)
        return [_of_row(row) for row in page.rows]


class DistantFeed:
    """The feed of the relay at `url`, as the holder of `key` sees it.

    Raises Unavailable when it does not answer, Forbidden when it refuses the
    key, Unprocessable when what answers is no relay.
    """

    def __init__(self, http: OldHandler, url: str, key: str, event_type: str | None) -> None:
        self._http = http
        self._url = check_target(url, pointer="/from").rstrip("/")
        if not key.isascii() or not key.isprintable() or not key:
            raise Unprocessable("the key is not one: write rly_…", pointer="/key")
        self._headers = {"Authorization": f"Bearer {key}", "Accept": "application/json"}
        self._wanted = {} if event_type is None else {"type": event_type}

    def newest(self, most: int) -> list[Tailed]:
        """Return the newest so many, oldest first."""
        return self._read(last=most)

    def behind(self, sequence: int, most: int) -> list[Tailed]:
        """Return the first so many behind a sequence."""
        return self._read(after=sequence, limit=most)

    def _read(self, **asked: Any) -> list[Tailed]:
        url = f"{self._url}/v1/events?{urlencode(self._wanted | asked)}"
        reply = self._http.forward(
            Outgoing(method="GET", url=url, headers=self._headers, body=b""), deadline_s=DEADLINE_S
        )
        if reply.status != 200:
            raise _refusal(self._url, reply)
        try:
            return [_of_json(one) for one in json.loads(reply.body)["data"]]
        except (ValueError, KeyError, TypeError):
            raise Unprocessable(f"{self._url} answers, but not as a relay does", pointer="/from") from None


class Hand:
    """Posts events to `url`, one after the other, signed by `key`."""

    def __init__(self, http: OldHandler, url: str, key: bytes, *, clock: Callable[[], datetime]) -> None:
        self._http = http
        self.url = check_target(url, pointer="/forward-to")
        self._key = key
        self._clock = clock

    def on(self, event: Tailed) -> Reply:
        """Post once; what was refused is for the reader to see, and is not repeated."""
        body = event.body.encode()
        headers = signed_headers(event.id, body, [self._key], timestamp=int(self._clock().timestamp()))
        return self._http.forward(
            Outgoing(method="POST", url=self.url, headers=headers, body=body), deadline_s=DEADLINE_S
        )


def check_target(url: str, *, pointer: str) -> str:
    """Return a URL that whoever sits at this machine may name: anywhere, but one that says what it means."""
    return check_endpoint_url(url, allow=_ANYWHERE, pointer=pointer)


def tailed(
    feed: Feed, *, begin: int, ready: Callable[[], None] | None, waiting: Callable[[str], None]
) -> Iterator[Tailed]:
    """Yield the newest `begin` events; with `ready`, which is called once nothing can be missed any more, go on for ever.

    What the relay cannot answer while it is followed is told to `waiting`, and asked again.
    """
    # One is asked for in any case: its number is where following begins.
    first = feed.newest(max(begin, 1))
    cursor = first[-1].sequence if first else 0
    if ready is not None:
        ready()
    yield from first if begin else ()
    while ready is not None:
        try:
            page = feed.behind(cursor, PAGE)
        except (Unavailable, TooMany) as error:
            waiting(error.detail)
            time.sleep(_AGAIN_S)
            continue
        yield from page
        cursor = page[-1].sequence if page else cursor
        if len(page) < PAGE:
            time.sleep(_POLL_S)


def _refusal(url: str, reply: Reply) -> Exception:
    if reply.status is None:
        return Unavailable(f"{url}: {_WORDS.get(str(reply.error), reply.error)}")
    if reply.status == 429:
        return TooMany(f"{url} asks to slow down", retry_after_s=1)
    if reply.status >= 500:
        return Unavailable(f"{url} answers {reply.status}")
    if reply.status in (401, 403):
        return Forbidden(f"{url} refuses the key: {_detail(reply)}")
    return Unprocessable(f"{url} answers {reply.status}: {_detail(reply)}", pointer="/from")


def _detail(reply: Reply) -> str:
    """The words of a problem, or as much of another answer as fits a line."""
    try:
        said = str(json.loads(reply.body)["detail"])
    except (ValueError, KeyError, TypeError):
        said = reply.body[:100].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else " " for c in said)


def _of_row(row: Mapping[Any, Any]) -> Tailed:
    return Tailed(row["sequence"], row["id"], {**row, "body": json.loads(row["body"])}, row["body"])


def _of_json(one: Mapping[str, Any]) -> Tailed:
    body = {name: one[name] for name in ("type", "timestamp", "data")}
    told = {"sequence": one["sequence"], "id": one["id"], "type": one["type"], "created_at": one["timestamp"]}
    told |= {"source": one["data"].get("source"), "orderid": one["data"].get("orderid"), "body": body}
    # As the body was written, so that these are its very bytes.
    return Tailed(one["sequence"], one["id"], told, json.dumps(body, separators=(",", ":"), ensure_ascii=False))


def unreachable(url: str, reply: Reply) -> str:
    """Say why a post has had no answer."""
    return f"{url}: {_WORDS.get(str(reply.error), reply.error)}"
