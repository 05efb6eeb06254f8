"""Own what the flows need from outside, as shapes; the edges fill them, tests fake them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from relay.core.calls import Outgoing


@dataclass(frozen=True, slots=True)
class Notes:
    """What the memory is told of a committed batch: keys that are new, keys that came again, whether to ring for the deliverers."""

    new: Sequence[str] = ()
    repeated: Sequence[str] = ()
    ring: bool = False

    def __bool__(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.new or self.repeated or self.ring)


NOTHING = Notes()


class Memory(Protocol):
    """The fast memory in front of SQL. It may forget, lie, hang or be gone; nothing depends on it but speed."""

    def seen(self, keys: Sequence[str], *, after: Notes = NOTHING) -> set[str]:
        """Take the notes of the batch before and return the keys it remembers, in one exchange; the empty set when it cannot tell."""

    def remember(self, notes: Notes) -> None:
        """Take the notes of a batch, in one exchange. Never raises."""


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
    """How a call to a provider, or to an old handler, ended.

    Exactly one of `status` and `error` is set. `error` is a short stable word
    (timeout, refused, dns, tls, too_large, protocol, not_encrypted, busy). `left` is False when
    nothing can have reached the other side, so that asking again is safe.
    """

    status: int | None
    body: bytes = b""
    error: str | None = None
    left: bool = True
    content_type: str = ""


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


class SolidState(Protocol):
    """Tells what contracts of TRON answer in the last solidified block."""

    name: str

    def call(self, contract: str, declared: str, parameter: str) -> str:
        """Return the answer of a declared function, as 0x and hex digits; raises NodeFault."""


class Provider(Protocol):
    """Sends one request to a provider within a deadline over the whole exchange."""

    def exchange(self, request: Outgoing, *, deadline_s: float) -> Reply:
        """Exchange; every failure is a Reply, never an exception."""


class OldHandler(Protocol):
    """Hands a request on to whom an operator names: the handler that was there before us, a service at a laptop."""

    def forward(self, request: Outgoing, *, deadline_s: float) -> Reply:
        """Forward within a deadline over the whole exchange; every failure is a Reply, never an exception."""
