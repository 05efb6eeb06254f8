"""Events on an engineer's laptop: read from a relay far away with a key, posted signed to a service at hand."""

from __future__ import annotations

import base64
import json
import signal
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine
from werkzeug.serving import make_server

from config.settings import load
from relay.__main__ import main
from relay.bootstrap import build
from relay.core.webhooks import key_of
from relay.edge.handler import HTTPHandler
from relay.flows.tailing import DistantFeed, Hand, OwnFeed, tailed
from relay.store.engine import make_engine
from relay.web import create_app
from tests.rows import a_key, an_event
from tests.system import Subscribers, free_port, running
from tests.web.conftest import ENVIRONMENT

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()


@pytest.fixture
def engine(sqlite_url: str) -> Iterator[Engine]:
    """The database of the relay far away."""
    engine = make_engine(sqlite_url)
    yield engine
    engine.dispose()


@pytest.fixture
def far_away(sqlite_url: str, redis_url: str) -> Iterator[str]:
    """The URL of a relay that listens."""
    runtime = build(load(ENVIRONMENT | {"DATABASE_URL": sqlite_url, "REDIS_URL": redis_url}))
    server = make_server("127.0.0.1", 0, create_app(runtime), threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
    runtime.engine.dispose()


@pytest.fixture
def laptop() -> Iterator[Subscribers]:
    """A service that verifies with a library we did not write."""
    subscribers = Subscribers()
    subscribers.secrets["hook"] = SECRET
    yield subscribers
    subscribers.close()


def body_of(sequence: int) -> str:
    """As the relay writes bodies: no spaces, nothing escaped, no order of the alphabet."""
    data = {"sequence": sequence, "orderid": "订单", "amount": "3.000000"}
    body = {"type": "recharge.succeeded", "timestamp": "2026-11-23T12:00:00.000Z", "data": data}
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False)


def test_events_reach_a_laptop_signed_and_byte_for_byte(
    engine: Engine, far_away: str, laptop: Subscribers, tmp_path: Path
) -> None:
    """The command alone, without a database, a setting or a tunnel; Ctrl-C is no failure."""
    an_event(engine, 1, body=body_of(1))
    (tmp_path / "key").write_text(a_key(engine, "service") + "\n")
    (tmp_path / "secret").write_text(SECRET)
    options = ("--from", far_away, "--key-file", str(tmp_path / "key"), "--secret-file", str(tmp_path / "secret"))
    command = [sys.executable, "-u", "-m", "relay", "events", "tail", *options, "--forward-to"]
    with running([*command, f"http://127.0.0.1:{laptop.port}/hook"], environment={}) as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        assert "following" in tail.stderr.readline()
        first, second = an_event(engine, 2, body=body_of(2)), an_event(engine, 3, body=body_of(3))
        told = [tail.stdout.readline().split() for _ in range(2)]
        tail.send_signal(signal.SIGINT)
        assert tail.wait(30) == 0
    assert [(line[0], line[-1]) for line in told] == [("2", "204"), ("3", "204")]
    assert laptop.records["hook"] == [(first, body_of(2).encode()), (second, body_of(3).encode())]


def test_a_feed_far_away_is_read_as_far_as_its_key_reaches(engine: Engine, far_away: str) -> None:
    """The newest so many, in order, of the type that was asked for."""
    for sequence in range(1, 6):
        an_event(engine, sequence, body=body_of(sequence), source="crossing" if sequence != 4 else "other")
    key = a_key(engine, "service", sources={"crossing"})
    feed = DistantFeed(HTTPHandler(()), far_away, key, "recharge.succeeded")
    found = tailed(feed, begin=3, ready=None, waiting=pytest.fail)
    assert [(one.sequence, one.body) for one in found] == [(n, body_of(n)) for n in (2, 3, 5)]
    assert [one.sequence for one in feed.behind(3, 250)] == [5]


def test_an_event_of_our_own_is_handed_on_as_well(engine: Engine) -> None:
    """And when nobody listens that is said, so that whoever asks may ask again."""
    hand = Hand(HTTPHandler(()), f"http://127.0.0.1:{free_port()}/", key_of(SECRET), clock=lambda: datetime.now(UTC))
    an_event(engine, 1, body=body_of(1))
    (event,) = tailed(OwnFeed(engine, None), begin=1, ready=None, waiting=pytest.fail)
    assert hand.on(event).error == "refused"


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--from", "ftp://relay.example"), 2, "must begin with https://"),
        (("--from", "https://key@relay.example"), 2, "holds a user name or password"),
        (("--from", "http://127.0.0.1:1"), 1, "nobody listens there"),
        (("--from", "{far_away}", "--forward-to", "localhost:3000"), 2, "names no host"),
        (("--from", "{far_away}"), 1, "refuses the key: this key is unknown"),
        (("--key-file", "-"), 2, "--key-file is for --from"),
    ],
)
def test_what_cannot_be_is_said_at_once(
    options: tuple[str, ...], code: int, said: str, far_away: str, tmp_path: Path
) -> None:
    """Before anything is read, with the reason."""
    filled = [one.format(far_away=far_away) for one in options]
    done = CliRunner().invoke(main, ["events", "tail", *filled], env=ENVIRONMENT, input="rly_nonsense\n")
    assert said in done.output
    assert done.exit_code == code
