"""Own how nodes are reached over HTTP: bounded answers, paced questions, and failures in a word that tells no key."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import requests
from requests.exceptions import ConnectTimeout, ReadTimeout, RequestException
from urllib3.exceptions import HTTPError, ReadTimeoutError

from relay import __version__
from relay.core.chains import NodeURL
from relay.edge.in_time import InTime

TIMEOUT_S = 20.0
# Forty answers of the most logs that a node gives are far below; a node that sends more would fill the memory.
MOST_BYTES = 64 * 1024 * 1024
SLOW_DOWN, TOO_LARGE = 429, 413
_PIECE = 65_536


class TooLarge(RequestException):
    """The answer is longer than is read."""


class Bounded(requests.Session):
    """A session that reads so many bytes of an answer at most."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__()
        self._most = most_bytes

    def send(self, request: requests.PreparedRequest, **given: Any) -> requests.Response:
        """Send, and read the whole answer within the bounds. Raises TooLarge or ReadTimeout."""
        response = super().send(request, **given | {"stream": True})
        body = bytearray()
        with response:
            for piece in _pieces(response):
                body += piece
                if len(body) > self._most:
                    raise TooLarge
        response._content = bytes(body)  # noqa: SLF001  # where the library keeps what it has read
        return response


def _pieces(response: requests.Response) -> Iterator[bytes]:
    """Yield what has arrived, however little: to wait for a whole piece of an answer that drips would outlast any deadline."""
    try:
        while piece := response.raw.read1(_PIECE, decode_content=True):
            yield piece
    except ReadTimeoutError:
        raise ReadTimeout from None
    except HTTPError as error:
        raise RequestException from error


class Pace:
    """Keeps questions to one node so far apart that there are no more than `rate` a second."""

    def __init__(
        self,
        rate: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._apart_s, self._next_at = 1 / rate, 0.0
        self._clock, self._sleep = clock, sleep

    def wait(self) -> None:
        """Wait for the turn of the next question."""
        wait = self._next_at - self._clock()
        if wait > 0:
            self._sleep(wait)
        self._next_at = max(self._clock(), self._next_at) + self._apart_s


def session_for(most_bytes: int) -> requests.Session:
    """Return a session. Proxies of the environment are ignored and redirects are failures: both would carry keys away."""
    session = Bounded(most_bytes)
    for scheme in ("http://", "https://"):
        session.mount(scheme, InTime())
    session.trust_env = False
    session.max_redirects = 0
    return session


def headers_for(where: NodeURL) -> dict[str, str]:
    """Return the headers of each question, with those that open the node."""
    return {"Content-Type": "application/json", "User-Agent": f"Recharge-Relay/{__version__}", **where.headers}


def word_of(error: Exception) -> str:
    """Return what failed in a word: the error's own text holds the URL, and that may hold a key."""
    if isinstance(error, ConnectTimeout | ReadTimeout):
        return "timeout"
    if isinstance(error, TooLarge):
        return "too_large"
    if isinstance(error, requests.exceptions.JSONDecodeError):
        return "protocol"
    return "refused" if isinstance(error, RequestException) else "protocol"
