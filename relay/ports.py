"""Own what the flows need from outside, as shapes; the edges fill them, tests fake them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from relay.core.calls import Outgoing


class Memory(Protocol):
    """The fast memory in front of SQL. It may forget, lie, hang or be gone; nothing depends on it but speed."""

    def seen(self, keys: Sequence[str]) -> set[str]:
        """Return the keys it remembers; the empty set when it cannot tell."""

    def remember(self, new: Sequence[str], repeated: Sequence[str], *, ring: bool) -> None:
        """Remember committed keys, count repeats, and ring for the deliverers, in one exchange. Never raises."""


class Doorbell(Protocol):
    """Wakes the deliverers."""

    def ring(self) -> None:
        """Ring once. Never raises."""


class Queue(Protocol):
    """Puts jobs on a queue by dotted name; arguments are ids."""

    def enqueue(self, job: str, *args: str | int) -> None:
        """Enqueue, or raise Unavailable."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How an exchange with an endpoint ended.

    One of `status` and `error` is set; both where a success does not say what
    it must. `error` is a short stable word (timeout, refused, dns, tls,
    blocked_address, protocol, not_acknowledged); `body` the first bytes of the answer.
    """

    status: int | None
    error: str | None
    latency_ms: int
    retry_after_s: int | None = None
    body: str = ""


class Outbound(Protocol):
    """Sends one POST to an endpoint within a deadline over the whole exchange."""

    async def post(self, url: str, *, headers: dict[str, str], body: bytes) -> Answer:
        """Post; every failure is an Answer, never an exception."""


@dataclass(frozen=True, slots=True)
class Reply:
    """How a call to a provider ended.

    Exactly one of `status` and `error` is set. `error` is a short stable word
    (timeout, refused, dns, tls, too_large, protocol, not_encrypted). `left` is False when
    nothing can have reached the provider, so that asking again is safe.
    """

    status: int | None
    body: bytes = b""
    error: str | None = None
    left: bool = True


@dataclass(frozen=True, slots=True)
class NodeError:
    """What a node says instead of a result; JSON-RPC's code and the node's own words."""

    code: int
    message: str


class Node(Protocol):
    """Asks one node of a chain by JSON-RPC."""

    name: str

    def ask(self, calls: Sequence[tuple[str, Sequence[object]]]) -> list[object]:
        """Send calls (method, parameters) in one exchange; return a result or a NodeError for each.

        Raises NodeFault when there is no answer to all of them.
        """


class Provider(Protocol):
    """Sends one request to a provider within a deadline over the whole exchange."""

    def exchange(self, request: Outgoing, *, deadline_s: float) -> Reply:
        """Exchange; every failure is a Reply, never an exception."""
