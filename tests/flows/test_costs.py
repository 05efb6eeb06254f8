"""What a callback and a delivery cost in commits, round trips and Redis commands: figures that no busy machine can move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import pytest
from redis import Redis
from sqlalchemy import Engine, event

from relay.core.retries import Step
from relay.edge.redis import AsyncBell, RedisMemory, connect
from relay.flows.committer import Committer
from relay.store import outbox
from relay.store.engine import writing
from tests.builders import NOON, a_callback
from tests.fakes import FakeOutbound, numbered_ids, round_trips_of
from tests.flows.test_committer import arrival, subscribe
from tests.flows.test_delivery import announce, claim, now, run, said, settled
from tests.flows.test_delivery import subscribe as subscribe_by_name

BATCH = 20


@contextmanager
def commits_of(engine: Engine) -> Iterator[list[str]]:
    """Collect the commits of an engine while the block runs."""
    done: list[str] = []

    def note(_: object) -> None:
        done.append("COMMIT")

    event.listen(engine, "commit", note)
    yield done
    event.remove(engine, "commit", note)


@contextmanager
def commands_of(redis_url: str) -> Iterator[Counter[str]]:
    """Count what the server is asked while the block runs, without what a client says when it connects."""
    used: Counter[str] = Counter()
    with Redis.from_url(redis_url) as client:
        client.config_resetstat()
        yield used
        stats = client.info("commandstats")
    used.update({name.removeprefix("cmdstat_"): one["calls"] for name, one in stats.items()})
    for name in [name for name in used if name.startswith(("client", "info", "config", "hello", "ping"))]:
        del used[name]


def test_a_batch_is_one_commit_and_two_exchanges_whatever_its_size(engine: Engine, redis_url: str) -> None:
    """Redis is asked once about all of it and told once of each callback."""
    subscribe(engine)
    memory = RedisMemory(connect(redis_url, tls_verify=True, timeout_s=5.0))
    committer = Committer(engine, memory, clock=lambda: NOON, new_id=numbered_ids())
    for size in (1, BATCH):
        batch = [arrival(a_callback(orderid=f"{size}-{n}", signature=f"{size}-{n}")) for n in range(size)]
        with commits_of(engine) as commits, round_trips_of(engine) as sent, commands_of(redis_url) as commands:
            committer.commit(batch)
        assert len(commits) == 1
        assert len(sent) == (2 if engine.dialect.name == "postgresql" else 7)
        assert commands == {"mget": 1, "set": size, "lpush": 1, "ltrim": 1}


def test_redis_is_spoken_to_once_for_each_batch_that_follows_another(engine: Engine, redis_url: str) -> None:
    """What a batch leaves to note travels with the question of the next."""
    exchanges: list[int] = []

    class Counted(RedisMemory):
        def _exchange(self, commands: list[bytes]) -> list[object]:  # type: ignore[override]  # a list is what it gets
            exchanges.append(len(commands))
            return super()._exchange(commands)

    memory = Counted(connect(redis_url, tls_verify=True, timeout_s=5.0))
    committer = Committer(engine, memory, clock=lambda: NOON, new_id=numbered_ids())
    first, second = (arrival(a_callback(orderid=name, signature=name)) for name in ("one", "two"))
    committer._commit([first])
    committer._commit([second])
    assert len(exchanges) == 2


@pytest.mark.parametrize("count", [1, BATCH])
def test_deliveries_are_claimed_and_settled_together(engine: Engine, count: int) -> None:
    """Two commits for all of them: one before the network is touched, one behind it."""
    subscribe_by_name(engine, "wallet", concurrency=BATCH)
    announce(engine, count)
    with commits_of(engine) as commits, round_trips_of(engine) as sent:
        claimed = claim(engine)
        with writing(engine) as connection:
            outbox.settle(connection, [settlement(one, now()) for one in claimed])
    assert len(claimed) == count
    assert len(commits) == 2
    # On Postgres the lock, what is due, the claim, the outcomes.
    assert len(sent) == (4 if engine.dialect.name == "postgresql" else 7)


def test_redis_hears_of_no_delivery(engine: Engine, redis_url: str) -> None:
    """The drainer waits for the bell, and for nothing else."""
    subscribe_by_name(engine, "wallet", concurrency=BATCH)
    announce(engine, BATCH)
    outbound = FakeOutbound(lambda *_: said())
    with commands_of(redis_url) as commands:
        run(engine, outbound, until=settled(engine), bell=AsyncBell(redis_url, tls_verify=True))
    assert len(outbound.sent) == BATCH
    assert set(commands) <= {"blpop"}
    assert commands["blpop"] < BATCH


def settlement(claimed: outbox.Claim, at: datetime) -> outbox.Settlement:
    """A claim that was answered well."""
    done = Step(outcome="delivered", state="delivered", failures=0)
    return outbox.Settlement(claim=claimed, step=done, finished_at=at, status=200)
