"""Own the way to TRON's solidity service: what a contract answers in the last solidified block.

Source: java-tron, `walletsolidity/triggerconstantcontract`. Beside the service a full node's JSON-RPC tells state of its head alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from requests.exceptions import HTTPError, RequestException

from relay.core.chains import Chain, NodeURL
from relay.edge.node_http import MOST_BYTES, SLOW_DOWN, TIMEOUT_S, Pace, headers_for, session_for, word_of
from relay.errors import NodeFault

# A constant call costs nobody anything, so nobody makes it.
_NOBODY = "41" + "0" * 40
# TronGrid answers so, beside 429, who comes without a key or too often.
_FORBIDDEN = 403


class SolidityService:
    """Fills ports.SolidState."""

    def __init__(self, where: NodeURL, *, rate: int, timeout_s: float = TIMEOUT_S) -> None:
        self.name = where.name
        self._url = f"{where.url.rstrip('/')}/walletsolidity/triggerconstantcontract"
        self._timeout_s = timeout_s
        self._session = session_for(MOST_BYTES)
        self._headers = headers_for(where)
        self._pace = Pace(rate)

    def call(self, contract: str, declared: str, parameter: str) -> str:
        """Return what a function of a contract (machine spelling) answers; raises NodeFault."""
        asked = {
            "owner_address": _NOBODY,
            # In TRON's own form an address begins with 41.
            "contract_address": "41" + contract[2:],
            "function_selector": declared,
            "parameter": parameter,
        }
        self._pace.wait()
        try:
            response = self._session.post(self._url, json=asked, headers=self._headers, timeout=self._timeout_s)
            response.raise_for_status()
            return _result(response.json(), self.name)
        except HTTPError as error:
            slowed = error.response is not None and error.response.status_code in (SLOW_DOWN, _FORBIDDEN)
            code = "rate_limited" if slowed else "http_error"
            raise NodeFault(f"{self.name}: {code}", code=code) from None
        except (RequestException, RecursionError, ValueError) as error:
            raise NodeFault(f"{self.name}: {word_of(error)}", code=word_of(error)) from None


def services_of(chain: Chain) -> list[SolidityService]:
    """Return the solidity services of a chain, the preferred first."""
    return [SolidityService(where, rate=chain.rate) for where in chain.solidity]


def _result(told: object, name: str) -> str:
    outcome = told.get("result") if isinstance(told, Mapping) else None
    if not isinstance(told, Mapping) or not isinstance(outcome, Mapping):
        raise NodeFault(f"{name}: protocol", code="protocol")
    answers = told.get("constant_result")
    if outcome.get("result") is not True:
        raise NodeFault(f"{name}: refused", code="refused")
    if not isinstance(answers, list) or not answers or not isinstance(answers[0], str):
        raise NodeFault(f"{name}: protocol", code="protocol")
    return f"0x{answers[0]}"
