"""Own the way to a chain's nodes: JSON-RPC batches over HTTP, paced. The only module that knows web3."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import requests
from requests.exceptions import HTTPError, RequestException
from web3.exceptions import Web3Exception
from web3.providers.rpc import HTTPProvider
from web3.types import RPCEndpoint

from relay.core.chains import Chain, NodeURL
from relay.core.ranges import is_limit
from relay.edge.node_http import MOST_BYTES, SLOW_DOWN, TIMEOUT_S, TOO_LARGE, Pace, headers_for, session_for, word_of
from relay.errors import NodeFault
from relay.ports import NodeError

# A library that web3 may load raises the limit so far that a deep answer of a node would end the process instead of failing.
sys.setrecursionlimit(1_000)


class HTTPNode:
    """Fills ports.Node."""

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
        self._pace = Pace(rate, clock=clock, sleep=sleep)
        self._provider = HTTPProvider(
            where.url,
            request_kwargs={"timeout": timeout_s, "headers": headers_for(where)},
            session=session_for(most_bytes),
            # A node that fails is left alone and the next one asked: to try this one again is not for the library to decide.
            exception_retry_configuration=None,
        )

    def ask(self, calls: Sequence[tuple[str, Sequence[object]]]) -> list[object]:
        """Send calls in one exchange; return a result or a NodeError for each."""
        self._pace.wait()
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
            raise NodeFault(f"{self.name}: {word_of(error)}", code=word_of(error)) from None
        return _results(told, len(calls), self.name)


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
    if response.status_code in (SLOW_DOWN, TOO_LARGE):
        code = "rate_limited" if response.status_code == SLOW_DOWN else "too_large"
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
