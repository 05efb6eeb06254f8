"""TRON's solidity service tells confirmed balances; whatever else it says is a fault in a word."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any

import pytest
from sqlalchemy import Engine, select

from relay.core.chains import Chain, NodeURL, Token
from relay.core.days import Calendar
from relay.core.multicall import AGGREGATE
from relay.edge.nodes import HTTPNode
from relay.edge.solidity import SolidityService, services_of
from relay.errors import NodeFault
from relay.flows.balance_reading import read_solid
from relay.flows.balances import measure
from relay.flows.chain_reading import Reader
from relay.flows.scan import scan
from relay.store.engine import reading
from relay.store.rows import addresses, balances
from tests.builders import NOON
from tests.edge.conftest import Server
from tests.nodes.multicall import MULTICALL
from tests.nodes.scripted import a_chain
from tests.nodes.tron import CHAIN_ID, TOKEN, TronNode
from tests.rows import add

MINE, STRANGER = "0x" + "11" * 20, "0x" + "22" * 20
WANTED = [(TOKEN, MINE)]


def tron(**changes: Any) -> Chain:
    """The chain of the TRON-like node."""
    usual: dict[str, Any] = {"finality": "solidified", "multicall": MULTICALL, "window": 60, "span": 5_000}
    tokens = (Token(contract=TOKEN, decimals=6),)
    return a_chain(name="tron", chain_id=CHAIN_ID, tokens=tokens, **usual | changes)


def a_node(url: str) -> HTTPNode:
    """The node's JSON-RPC, asked without pause."""
    return HTTPNode(NodeURL(name="1:test", url=url), rate=1_000, timeout_s=2)


def a_service(url: str, **headers: str) -> SolidityService:
    """Its solidity service."""
    return SolidityService(NodeURL(name="1:solid", url=url, headers=headers), rate=1_000, timeout_s=0.5)


def test_confirmed_balances_are_told_with_their_block(tron_node: TronNode, tron_url: str) -> None:
    """Of the last solidified block, whatever has happened since."""
    tron_node.transfer(STRANGER, MINE, 5)
    tron_node.mine(30)
    tron_node.transfer(STRANGER, MINE, 70)
    reader = Reader(tron(), a_node(tron_url))
    (told,) = read_solid(reader, [a_service(tron_url)], tron(), WANTED)
    assert (told.block.number, told.units) == (tron_node.solid, {(TOKEN, MINE): 5})


def test_what_the_service_tells_counts_once_our_own_final_block_has_its_hash(
    engine: Engine, tron_node: TronNode, tron_url: str
) -> None:
    """The node's own head is never asked for balances then."""
    chain = tron(solidity=(NodeURL(name="1:solid", url=tron_url),))
    add(engine, addresses, chain="tron", address=MINE, role="deposit", created_at=NOON)
    node, services = a_node(tron_url), services_of(chain)
    hours = count(step=3)
    for units in (5, 7, 1, 1):
        now = NOON + timedelta(hours=next(hours))
        tron_node.transfer(STRANGER, MINE, units)
        tron_node.mine(40)
        given: dict[str, Any] = {"owner": "test"}
        assert scan(engine, chain, [node], clock=partial(min, now, now), jitter=lambda: 0.0, **given) == "scanned"
        measured = measure(engine, chain, [node], Calendar(), now=now, services=services, **given)
        assert measured == "measured"
    query = select(balances.c.first_block, balances.c.units).order_by(balances.c.first_block)
    with reading(engine) as connection:
        points = [tuple(row) for row in connection.execute(query)]
    assert points == [(22, "5"), (104, "13")]


def test_a_service_on_another_chain_tells_nothing(tron_node: TronNode, tron_url: str) -> None:
    """The node does not know its block behind that parent."""
    tron_node.mine(60)

    class Elsewhere:
        name = "1:elsewhere"

        def call(self, *asked: str) -> str:
            told = a_service(tron_url).call(*asked)
            return told.replace("7c" * 24, "8d" * 24)

    with pytest.raises(NodeFault):
        list(read_solid(Reader(tron(), a_node(tron_url)), [Elsewhere()], tron(), WANTED))


def test_the_next_service_is_asked_when_one_fails(tron_node: TronNode, tron_url: str) -> None:
    """None of them: nothing is told."""
    tron_node.mine(60)
    reader, away = Reader(tron(), a_node(tron_url)), a_service("http://127.0.0.1:9")
    (told,) = read_solid(reader, [away, a_service(tron_url)], tron(), WANTED)
    assert told.block.number == tron_node.solid
    with pytest.raises(NodeFault):
        list(read_solid(reader, [away], tron(), WANTED))
    with pytest.raises(NodeFault):
        list(read_solid(reader, [a_service(tron_url)], tron(multicall=None), WANTED))


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (200, b"<html>busy</html>", "protocol"),
        (200, b'{"result": {"code": "OTHER_ERROR", "message": "4b4559"}}', "refused"),
        (200, b'{"result": {"result": true}, "constant_result": []}', "protocol"),
        (200, b"[]", "protocol"),
        (403, b"{}", "rate_limited"),
        (429, b"{}", "rate_limited"),
        (500, b"{}", "http_error"),
        (302, b"", "refused"),
    ],
)
def test_what_is_no_answer_is_a_fault_in_a_word(server: Server, status: int, body: bytes, code: str) -> None:
    """Without the URL, which may hold a key."""
    server.respond = lambda _: (status, body)
    with pytest.raises(NodeFault) as caught:
        a_service(server.url).call(MULTICALL, AGGREGATE, "")
    assert caught.value.code == code
    assert "KEY" not in str(caught.value)


def test_the_service_is_opened_by_the_header_of_its_entry(server: Server) -> None:
    """As a node is."""
    server.respond = lambda _: (200, json.dumps({"result": {"result": True}, "constant_result": ["00"]}).encode())
    assert a_service(server.url, **{"TRON-PRO-API-KEY": "secret"}).call(MULTICALL, AGGREGATE, "") == "0x00"
    assert server.headers[0]["TRON-PRO-API-KEY"] == "secret"
