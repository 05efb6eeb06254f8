"""GET /v1/explain/<tx>: one sentence, or the promise of one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from config.settings import load
from relay.bootstrap import Runtime, build
from relay.flows.explaining import ask_nodes
from relay.store.rows import chains
from tests.builders import NOON
from tests.nodes.tron import TronNode
from tests.rows import a_stored_transfer, add, an_address
from tests.web.conftest import ENVIRONMENT, Caller

HERE = "0x" + "a" * 40


@pytest.fixture
def runtime(database_url: str, redis_url: str, tron_url: str) -> Iterator[Runtime]:
    """A web process with one chain switched on."""
    places = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "CHAIN_TRON_RPC_URLS": tron_url}
    built = build(load(ENVIRONMENT | places))
    yield built
    built.engine.dispose()


def test_what_is_known_is_told_in_either_spelling(runtime: Runtime, admin: Caller) -> None:
    """TRON's explorers write no 0x, and so do we for TRON."""
    add(runtime.engine, chains, name="tron", chain_id=1, span=16, head_number=12)
    an_address(runtime.engine, HERE, chain="tron")
    known = a_stored_transfer(runtime.engine, 5, HERE, chain="tron", unmatched="nobody")
    for spelled in (known, known[2:].upper()):
        found = admin.get(f"/v1/explain/{spelled}")
        assert (found["case"], found["tx_hash"], found["confirmations"]) == ("unmatched", known[2:], 8)
        assert found["order"] is None


def test_what_is_not_known_is_asked_and_the_client_comes_again(runtime: Runtime, admin: Caller) -> None:
    """202 with Retry-After until a job has answered; this process asks no node."""
    path = f"/v1/explain/{7:064x}"
    asked = admin("GET", path)
    assert (asked.status_code, asked.headers["Retry-After"]) == (202, "2")
    assert asked.get_json() == {"tx_hash": f"0x{7:064x}", "state": "asking"}
    ask_nodes(runtime.engine, runtime.settings.chains, lambda _: [], f"0x{7:064x}", now=NOON.replace(year=2100))
    assert admin.get(path)["case"] == "nodes_silent"


@pytest.mark.parametrize("tx", ["12", "0x" + "g" * 64, "ab" * 33])
def test_what_is_no_hash_is_refused(admin: Caller, tron_node: TronNode, tx: str) -> None:
    """Nobody is asked."""
    found = admin("GET", f"/v1/explain/{tx}")
    assert (found.status_code, found.get_json()["errors"][0]["pointer"]) == (422, "/tx")
