"""A node over HTTP is asked in one exchange, and whatever it does is an answer or a NodeFault."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any

import pytest

from relay.core.chains import NodeURL, Token
from relay.edge.nodes import HTTPNode
from relay.errors import NodeFault
from relay.flows.balance_reading import NoState, read_latest, read_pinned
from relay.flows.chain_reading import Reader
from relay.ports import NodeError
from tests.edge.conftest import Respond, Server, good
from tests.edge.listening import listening
from tests.nodes.multicall import MULTICALL
from tests.nodes.scripted import a_chain
from tests.nodes.tron import CHAIN_ID, TOKEN, TronNode

CALLS: list[tuple[str, list[object]]] = [("eth_chainId", []), ("eth_blockNumber", [])]


def a_node(url: str, **headers: str) -> HTTPNode:
    """A node that is asked without pause."""
    return HTTPNode(NodeURL(name="1:test", url=url, headers=headers), rate=1_000, timeout_s=0.5)


def test_calls_travel_in_one_exchange_with_the_nodes_header(server: Server) -> None:
    """Answers come back in the order of the calls, however the node orders them."""
    server.respond = lambda asked: (200, json.dumps(good(asked)[::-1]).encode())
    assert a_node(server.url, **{"TRON-PRO-API-KEY": "secret"}).ask(CALLS) == ["eth_chainId", "eth_blockNumber"]
    assert [sent["TRON-PRO-API-KEY"] for sent in server.headers] == ["secret"]


def test_an_error_of_one_call_is_its_answer(server: Server) -> None:
    """The others stand."""

    def respond(asked: list[dict[str, Any]]) -> tuple[int, bytes]:
        told = good(asked)
        told[1] = {"jsonrpc": "2.0", "id": asked[1]["id"], "error": {"code": -32005, "message": "limit", "data": "x"}}
        return 200, json.dumps(told).encode()

    server.respond = respond
    assert a_node(server.url).ask(CALLS) == ["eth_chainId", NodeError(-32005, "limit x")]


@pytest.mark.parametrize(
    ("respond", "code"),
    [
        (lambda _: (200, b"<html>busy</html>"), "protocol"),
        (lambda _: (200, b""), "protocol"),
        (lambda _: (200, b"[]"), "protocol"),
        (lambda _: (200, b"null"), "protocol"),
        (lambda _: (200, b"[1, 2]"), "protocol"),
        (lambda _: (200, b'{"error": {"code": -1, "message": "no batches"}}'), "refused"),
        (lambda asked: (200, json.dumps(good(asked)[:1]).encode()), "protocol"),
        (lambda asked: (200, json.dumps([good(asked)[0]] * 2).encode()), "protocol"),
        (lambda _: (429, b"slow down"), "rate_limited"),
        (lambda _: (503, b"<html>"), "http_error"),
        (lambda _: (413, b""), "too_large"),
        (lambda _: (400, b'{"error": {"code": -32602, "message": "block range is too wide"}}'), "limit"),
        (
            lambda _: (400, b'[{"error": {"code": -32005, "message": "query returned more than 10000 results"}}]'),
            "limit",
        ),
        (lambda _: (401, b'{"error": {"code": -1, "message": "no such project"}}'), "refused"),
        (lambda _: (307, b""), "refused"),
        (lambda _: (200, b"[" * 50_000), "protocol"),
    ],
    ids=[
        "html",
        "nothing",
        "empty",
        "null",
        "numbers",
        "one error",
        "one less",
        "doubled",
        "429",
        "503",
        "413",
        "400 about a range",
        "400 about results",
        "401 with words",
        "redirect",
        "deep",
    ],
)
def test_what_is_no_answer_is_a_fault(server: Server, respond: Respond, code: str) -> None:
    """Its text does not hold the URL, which may hold a key."""
    server.respond = respond
    with pytest.raises(NodeFault) as caught:
        a_node(server.url).ask(CALLS)
    assert caught.value.code == code
    assert "KEY" not in str(caught.value)


def test_a_node_that_does_not_answer_in_time_is_a_fault(server: Server) -> None:
    """So is one that is not there."""
    ended = threading.Event()

    def respond(asked: list[dict[str, Any]]) -> tuple[int, bytes]:
        ended.wait(2)
        return 200, json.dumps(good(asked)).encode()

    server.respond = respond
    with pytest.raises(NodeFault) as caught:
        a_node(server.url).ask(CALLS)
    ended.set()
    assert caught.value.code == "timeout"
    with pytest.raises(NodeFault) as caught:
        a_node("http://127.0.0.1:1/").ask(CALLS)
    assert caught.value.code == "refused"


def test_an_answer_without_end_is_not_read_to_its_end(server: Server) -> None:
    """Neither in bytes nor, drop by drop, in time."""
    server.respond = lambda asked: (200, json.dumps(good(asked)).encode().ljust(200_000))
    node = HTTPNode(NodeURL(name="1:test", url=server.url), rate=1_000, most_bytes=100_000)
    with pytest.raises(NodeFault) as caught:
        node.ask(CALLS)
    assert caught.value.code == "too_large"
    server.respond = lambda asked: (200, json.dumps(good(asked)).encode())
    assert node.ask(CALLS) == ["eth_chainId", "eth_blockNumber"]
    with pytest.raises(NodeFault) as caught:
        HTTPNode(NodeURL(name="1:test", url=server.url), rate=1_000, timeout_s=1e-9).ask(CALLS)
    assert caught.value.code in {"timeout", "refused"}


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nX: ",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;",
    ],
    ids=["at its first line", "in its head", "in its body", "in what leads to a piece"],
)
def test_an_answer_that_drips_is_ended(begun: bytes) -> None:
    """Each byte comes in time, and all of them never would: another node is asked instead."""
    left = threading.Event()

    def talk(connection: socket.socket) -> None:
        connection.sendall(begun)
        while not left.wait(0.02):
            connection.sendall(b" ")

    with listening(talk) as url, pytest.raises(NodeFault) as caught:
        HTTPNode(NodeURL(name="1:test", url=url), rate=1_000, timeout_s=0.1).ask(CALLS)
    left.set()
    assert caught.value.code == "timeout"


def test_requests_keep_their_distance(server: Server) -> None:
    """The rate is the node's, whatever the number of calls in a request."""
    waits: list[float] = []
    node = HTTPNode(NodeURL(name="1:test", url=server.url), rate=4, clock=lambda: 100.0, sleep=waits.append)
    for _ in range(3):
        node.ask(CALLS)
    assert waits == [0.25, 0.5]


def test_a_tron_node_with_its_limits_is_read(tron_node: TronNode, tron_url: str) -> None:
    """State at `latest` only, and its own name for what is solidified."""
    mine = "0x" + "11" * 20
    tron_node.mine(3)
    tron_node.transfer("0x" + "22" * 20, mine, 5)
    tron_node.mine(30)
    tokens = (Token(contract=TOKEN, decimals=6),)
    chain = a_chain(name="tron", chain_id=CHAIN_ID, finality="solidified", tokens=tokens)
    reader = Reader(chain, a_node(tron_url))
    tips, fault = reader.tips({4})
    assert fault is None
    assert tips.final is not None
    assert (tips.head.number, tips.final.number) == (34, 15)
    assert [one.amount_micros for one in reader.read_range(0, 15, frozenset({mine})).transfers] == [5]
    assert [one.amount_micros for one in reader.read_blocks([tips.asked[4]], frozenset({mine})).transfers] == [5]


def test_a_tron_node_tells_balances_of_its_head_alone(tron_node: TronNode, tron_url: str) -> None:
    """By a Multicall3, whose own block is the head's; a past block is refused, not guessed."""
    mine = "0x" + "11" * 20
    tron_node.mine(40)
    tron_node.transfer("0x" + "22" * 20, mine, 5)
    tokens = (Token(contract=TOKEN, decimals=6),)
    chain = a_chain(name="tron", chain_id=CHAIN_ID, finality="solidified", tokens=tokens, multicall=MULTICALL)
    reader = Reader(chain, a_node(tron_url))
    (told,) = read_latest(reader, chain, [(TOKEN, mine)])
    assert (told.block.number, told.units) == (41, {(TOKEN, mine): 5})
    final = reader.headers([22])[0]
    with pytest.raises(NoState):
        read_pinned(reader, chain, (22, final.hash), [(TOKEN, mine)])
