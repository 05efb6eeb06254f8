"""GET /v1/balances: a line for each address, and what is missing for its proof."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from config.settings import load
from relay.bootstrap import Runtime, build, now
from relay.store.rows import address_scans, balances
from tests.rows import a_stored_transfer, add, an_address
from tests.web.conftest import ENVIRONMENT, Caller

HERE = "0x" + "a" * 40
USDT = "0xa614f803b6fd780986a42c78ec9c7f77e6ded13c"


@pytest.fixture
def runtime(database_url: str, redis_url: str) -> Iterator[Runtime]:
    """A web process with the chains of the file."""
    built = build(load(ENVIRONMENT | {"DATABASE_URL": database_url, "REDIS_URL": redis_url}))
    yield built
    built.engine.dispose()


def measured(runtime: Runtime, block: int, units: int) -> None:
    """Store what the address held at the end of a block."""
    row = {"chain": "tron", "contract": USDT, "address": HERE, "units": str(units), "last_hash": f"0x{block:064x}"}
    add(runtime.engine, balances, first_block=block, last_block=block, checked_at=now(), **row)


def test_a_running_day_is_proven_as_far_as_was_measured(runtime: Runtime, admin: Caller) -> None:
    """In the token's places, and in the spelling of the chain's people."""
    an_address(runtime.engine, HERE, chain="tron")
    add(runtime.engine, address_scans, chain="tron", address=HERE, first_block=1, next_block=1, until_block=0)
    measured(runtime, 3, 1_500_000)
    (line,) = admin.get("/v1/balances")["data"]
    assert (line["verdict"], line["why"], line["opening"]) == ("unprovable", "measured_once", "1.500000")
    a_stored_transfer(runtime.engine, 5, HERE, chain="tron", contract=USDT, is_final=True)
    measured(runtime, 9, 4_500_001)
    (line,) = admin.get("/v1/balances", chain="tron", address=HERE)["data"]
    assert (line["received"], line["sent"], line["closing"], line["measured"]) == (
        "3.000000",
        "0.000000",
        "4.500000",
        "4.500001",
    )
    assert (line["verdict"], line["difference"], line["events"]) == ("gap", "0.000001", [])
    assert (line["address"][0], line["contract"]) == ("T", "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t")


def test_a_day_whose_last_block_is_not_known_proves_nothing(runtime: Runtime, admin: Caller) -> None:
    """It is said, and an address of another chain is not asked for."""
    an_address(runtime.engine, HERE, chain="tron")
    (line,) = admin.get("/v1/balances", day="2026-01-01")["data"]
    assert (line["verdict"], line["why"], line["measured"]) == ("unprovable", "cut_not_found_yet", None)
    assert admin.get("/v1/balances", chain="bsc")["data"] == []
    refused = admin("GET", "/v1/balances", query_string={"day": "2026-13-01"})
    assert (refused.status_code, refused.get_json()["errors"][0]["pointer"]) == (422, "/day")
