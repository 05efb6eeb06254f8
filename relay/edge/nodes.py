"""Own the way to a chain's nodes: JSON-RPC batches over HTTP, paced. The only module that knows web3."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import requests
from requests.exceptions import ConnectTimeout, HTTPError, ReadTimeout, RequestException
from web3.exceptions import Web3Exception
from web3.providers.rpc import HTTPProvider
from web3.types import RPCEndpoint

from relay import __version__
from relay.core.chains import Chain, NodeURL
from relay.core.ranges import is_limit
from relay.errors import NodeFault
from relay.ports import NodeError

# A library that web3 may load raises the limit so far that a deep answer of a node would end the process instead of failing.
sys.setrecursionlimit(1_000)

TIMEOUT_S = 20.0
# Forty answers of the most logs that a node gives are far below; a node that sends more would fill the memory.
MOST_BYTES = 64 * 1024 * 1024
_SLOW_DOWN, _TOO_LARGE = 429, 413
_PIECE = 65_536


class TooLarge(RequestException):
    """The answer is longer than is read."""


class Bounded(requests.Session):
    """A session that reads so many bytes of an answer, and so long, at most."""

    def __init__(self, most_bytes: int, deadline_s: float) -> None:
        super().__init__()
        self._most, self._deadline_s = most_bytes, deadline_s

    def send(self, request: requests.PreparedRequest, **given: Any) -> requests.Response:
        """Send, and read the whole answer within the bounds. Raises TooLarge or ReadTimeout."""
        until = time.monotonic() + self._deadline_s
        response = super().send(request, **given | {"stream": True})
        body = bytearray()
        with response:
            for piece in response.iter_content(_PIECE):
                body += piece
                if len(body) > self._most:
                    raise TooLarge
                if time.monotonic() > until:
                    raise ReadTimeout
        response._content = bytes(body)  # noqa: SLF001  # where the library keeps what it has read
        return response


class HTTPNode:
    """Fills ports.Node. Proxies of the environment are ignored and redirects are failures: both would carry keys away."""

    def __init__(
        self,
        where: NodeURL,
        *,
        rate: int,
        timeout_s: float = TIMEOUT_S,
        most_bytes: int = MOST_BYTES,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = where.name
        self._clock, self._sleep = clock, sleep
        self._apart_s = 1 / rate
        self._next_at = 0.0
        session = Bounded(most_bytes, 2 * timeout_s)
        session.trust_env = False
        session.max_redirects = 0
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"Recharge-Relay/{__version__}",
            **where.headers,
        }
        self._provider = HTTPProvider(
            where.url,
            request_kwargs={"timeout": timeout_s, "headers": headers},
            session=session,
            exception_retry_configuration=None,
        )

    def ask(self, calls: Sequence[tuple[str, Sequence[object]]]) -> list[object]:
        """Send calls in one exchange; return a result or a NodeError for each."""
        self._pace()
        try:
            told = self._provider.make_batch_request([(RPCEndpoint(method), list(given)) for method, given in calls])
        except HTTPError as error:
            raise _http_fault(error.response, self.name) from None
        except (
            RequestException,
            Web3Exception,
            RecursionError,
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
        ) as error:
            # Its text holds the URL, and that may hold a key: only the kind is told on.
            raise NodeFault(f"{self.name}: {_word(error)}", code=_word(error)) from None
        return _results(told, len(calls), self.name)

    def _pace(self) -> None:
        wait = self._next_at - self._clock()
        if wait > 0:
            self._sleep(wait)
        self._next_at = max(self._clock(), self._next_at) + self._apart_s


def nodes_of(chain: Chain) -> list[HTTPNode]:
    """Return the nodes of a chain, the preferred first."""
    return [HTTPNode(where, rate=chain.rate) for where in chain.nodes]


def _results(told: Any, count: int, name: str) -> list[object]:
    if isinstance(told, Mapping):
        raise _refusal(_error(told.get("error")), name)
    told = told if isinstance(told, list) else []
    # Answers were put in the order of their ids; one that is missing, doubled or made up would shift all others.
    ids = [one["id"] for one in told if isinstance(one, Mapping) and isinstance(one.get("id"), int)]
    if len(told) != count or len(ids) != count or ids != list(range(ids[0], ids[0] + count)):
        raise NodeFault(f"{name}: answers do not fit the questions", code="protocol")
    return [_error(one["error"]) if one.get("error") else one.get("result") for one in told]


def _http_fault(response: requests.Response | None, name: str) -> NodeFault:
    """Return what a status that is no success means: a fault of the way, or the node's own words about the question."""
    if response is None:
        return NodeFault(f"{name}: http_error", code="http_error")
    if response.status_code in (_SLOW_DOWN, _TOO_LARGE):
        code = "rate_limited" if response.status_code == _SLOW_DOWN else "too_large"
        return NodeFault(f"{name}: {code}", code=code)
    try:
        told = response.json()
    except (ValueError, RecursionError):
        told = None
    error = next((one.get("error") for one in _listed(told) if isinstance(one, Mapping)), None)
    return NodeFault(f"{name}: http_error", code="http_error") if error is None else _refusal(_error(error), name)


def _listed(told: object) -> list[object]:
    return told if isinstance(told, list) else [told]


def _refusal(error: NodeError, name: str) -> NodeFault:
    code = "limit" if is_limit(error.code, error.message) else "refused"
    return NodeFault(f"{name}: {error.message}", code=code)


def _error(given: object) -> NodeError:
    if not isinstance(given, Mapping):
        return NodeError(0, "an error without words")
    code = given.get("code")
    data = given.get("data")
    words = f"{given.get('message', '')} {data if isinstance(data, str) else ''}".strip()
    return NodeError(code if isinstance(code, int) else 0, words[:500])


def _word(error: Exception) -> str:
    if isinstance(error, ConnectTimeout | ReadTimeout):
        return "timeout"
    if isinstance(error, TooLarge):
        return "too_large"
    if isinstance(error, requests.exceptions.JSONDecodeError):
        return "protocol"
    return "refused" if isinstance(error, RequestException) else "protocol"
