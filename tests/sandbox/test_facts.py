from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine

from relay.errors import Unavailable
from relay.sandbox.facts import gather, read_children
from relay.sandbox.loopback import serve
from relay.sandbox.plan import SUBSCRIBERS, Plan
from relay.sandbox.subscribers import Ledger, Subscriber, routes
from relay.store.engine import make_engine
from tests.sandbox.built import NOW
from tests.sandbox.served import serving

# Nobody listens on these ports.
PLAN = Plan("A", "s", "k", "a", provider_port=1, subscribers_port=2, endpoint_secrets={})


def test_what_does_not_answer_is_none_and_the_rest_is_shown(engine: Engine, tmp_path: Path) -> None:
    """Provider, subscribers and supervisor are away; the relay's own rows are still read."""
    facts = gather(engine, PLAN, children=tmp_path / "none.json", now=NOW)
    assert (facts.book, facts.ledgers, facts.orders, facts.children) == (None, None, {}, ())


def test_the_ledgers_are_summed(engine: Engine, tmp_path: Path) -> None:
    """One order that was asked to be credited twice at one service is seen in the total."""
    subscribers = {name: Subscriber(name, "whsec_AAAA") for name in SUBSCRIBERS}
    subscribers["ledger"].ledger = Ledger(credited={"sh-1": 3_000_000}, twice=1)
    server = serve(routes(subscribers), port=0)
    plan = Plan("A", "s", "k", "a", provider_port=1, subscribers_port=server.server_address[1], endpoint_secrets={})
    with serving(server):
        facts = gather(engine, plan, children=tmp_path / "none.json", now=NOW)
    assert facts.ledgers is not None
    assert (facts.ledgers.twice, facts.ledgers.credited["ledger"]) == (1, {"sh-1": 3_000_000})


def test_a_database_that_is_away_is_unavailable(tmp_path: Path) -> None:
    """The caller decides what to show."""
    with pytest.raises(Unavailable):
        gather(make_engine(f"sqlite:///{tmp_path}"), PLAN, children=tmp_path / "none.json", now=NOW)


def test_the_supervisors_list_is_read(tmp_path: Path) -> None:
    """A child that is down has no pid."""
    listed = {
        "web": {"pid": 1, "starts": 2, "since_s": NOW.timestamp()},
        "redis": {"pid": None, "starts": 1, "since_s": 0},
    }
    path = tmp_path / "children.json"
    path.write_text(json.dumps(listed))
    web, redis = read_children(path)
    assert (web.name, web.pid, web.starts, web.since) == ("web", 1, 2, NOW)
    assert redis.pid is None
