"""An observed source with its old handler behind us: the handler's word is the answer, and only what it took is observed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, RowMapping, select

from config.sources import parse_sources
from relay.core.actors import Actor
from relay.core.parsing import RawRequest
from relay.core.sources import Source
from relay.errors import CallbackRejected, Unavailable
from relay.flows import reprocess
from relay.flows.committer import Committer
from relay.flows.forwarding import Forwarder
from relay.flows.intake import Intake, Request
from relay.ports import Reply
from relay.store.engine import make_engine, reading
from relay.store.rows import callbacks, events, orders
from tests.builders import NOON
from tests.fakes import FakeHandler, FakeMemory, numbered_ids
from tests.system import SOURCES, a_body, free_port

LIVE = SOURCES
OBSERVED = SOURCES + 'mode = "observe"\nupstream_handler = "https://shop.example/pay"\n'
TAKEN = Reply(status=200, body=b"success", content_type="text/html")
SILENT = Reply(status=None, error="timeout")
OPERATOR = Actor(id="key_1", name="an operator", roles=frozenset({"operator"}))
AT = int(NOON.timestamp())


def the_sources(text: str) -> dict[str, Source]:
    """A configuration as it is read."""
    faults: list[str] = []
    found = parse_sources(text, str, faults)
    assert faults == []
    return found


def an_intake(engine: Engine, text: str) -> Intake:
    """The door of a deploy with this configuration."""
    committer = Committer(engine, FakeMemory(), clock=lambda: NOON, new_id=numbered_ids())
    return Intake(the_sources(text), committer, clock=lambda: NOON)


def a_forwarder(engine: Engine, handler: FakeHandler, text: str = OBSERVED, **options: Any) -> Forwarder:
    """The same with a handler behind it."""
    return Forwarder(an_intake(engine, text), handler, the_sources(text), **options)


def a_request(body: bytes = b"") -> Request:
    """A paid callback, as the provider sends and re-sends it."""
    form = "application/x-www-form-urlencoded"
    raw = RawRequest(body=body or a_body("sh-1", at=AT), content_type=form, query="", headers={"x-note": "n"})
    return Request(source="crossing", raw=raw, address="203.0.113.7", request_id="r1")


def rows(engine: Engine, table: Any) -> list[RowMapping]:
    """What is stored."""
    with reading(engine) as connection:
        return list(connection.execute(select(table)).mappings())


def kept(engine: Engine) -> list[tuple[str, str | None]]:
    """Verdict and reason of each request."""
    return [(row["verdict"], row["reason"]) for row in rows(engine, callbacks)]


def test_the_handler_is_told_and_its_answer_returned(engine: Engine) -> None:
    """The order is observed: the handler has credited it, and we tell nobody."""
    handler = FakeHandler(TAKEN)
    assert a_forwarder(engine, handler).receive(a_request()) == (200, b"success", "text/html")
    (told,) = handler.told
    assert (told.url, told.body) == ("https://shop.example/pay", a_request().raw.body)
    assert (told.headers["x-note"], told.headers["X-Forwarded-For"]) == ("n", "203.0.113.7")
    assert kept(engine) == [("accepted", None)]
    assert [(order["state"], order["flags"]) for order in rows(engine, orders)] == [("succeeded", "observed")]
    assert rows(engine, events) == []


def test_a_repeat_is_told_again(engine: Engine) -> None:
    """Whether the handler takes a repeat is the handler's to say, also when we know it."""
    handler = FakeHandler(TAKEN)
    forwarder = a_forwarder(engine, handler)
    handler_says = [forwarder.receive(a_request())[1] for _ in range(3)]
    assert (handler_says, len(handler.told), kept(engine)) == ([b"success"] * 3, 3, [("accepted", None)])


NOT_TAKEN = {
    "fail": (Reply(status=200, body=b"fail"), "handler_refused"),
    "an error": (Reply(status=500, body=b"success"), "handler_refused"),
    "silence": (SILENT, "handler_silent"),
    "not there": (Reply(status=None, error="refused", left=False), "handler_silent"),
}


@pytest.mark.parametrize("case", NOT_TAKEN)
def test_what_the_handler_did_not_take_is_kept_but_not_observed(engine: Engine, case: str) -> None:
    """Sent again after the switch it is credited by us: had it counted as observed, nobody would have credited it."""
    reply, reason = NOT_TAKEN[case]
    forwarder = a_forwarder(engine, FakeHandler(reply))
    if reply.status is None:
        with pytest.raises(Unavailable):
            forwarder.receive(a_request())
    else:
        assert forwarder.receive(a_request())[:2] == (reply.status, reply.body)
    assert kept(engine) == [("rejected", reason)]
    assert rows(engine, orders) == []
    an_intake(engine, LIVE).receive(a_request())
    assert [event["type"] for event in rows(engine, events)] == ["recharge.succeeded"]


def test_what_the_handler_took_is_never_credited_by_us(engine: Engine) -> None:
    """Sent again after the switch, by hand and with a new time too."""
    a_forwarder(engine, FakeHandler(TAKEN)).receive(a_request())
    live = an_intake(engine, LIVE)
    live.receive(a_request())
    live.receive(a_request(a_body("sh-1", at=AT + 60)))
    assert rows(engine, events) == []


def test_our_objections_change_nothing_of_the_answer(engine: Engine) -> None:
    """A wrong secret of ours is seen in the list, not by the provider."""
    wrong = OBSERVED.replace("relay-test-secret", "another")
    forwarder = a_forwarder(engine, FakeHandler(TAKEN), wrong + 'allow_ips = ["203.0.113.0/24"]\n')
    assert forwarder.receive(a_request())[0] == 200
    assert forwarder.receive(replace(a_request(), address="198.51.100.1"))[0] == 200
    assert kept(engine) == [("rejected", "bad_signature"), ("rejected", "address_not_allowed")]


def test_a_request_that_is_not_whole_is_not_told(engine: Engine) -> None:
    """Nobody may act on part of a body."""
    handler = FakeHandler(TAKEN)
    cut = replace(a_request(), refused=CallbackRejected("the body ended early"))
    with pytest.raises(CallbackRejected):
        a_forwarder(engine, handler).receive(cut)
    assert (handler.told, kept(engine)) == ([], [("rejected", "malformed")])


@pytest.mark.parametrize(
    "url",
    [f"postgresql://postgres@127.0.0.1:{free_port()}/none", "sqlite:////nowhere/relay.db"],
    ids=["postgres", "sqlite"],
)
def test_without_our_database_the_handler_is_told_all_the_same(url: str) -> None:
    """What we could not store is our loss, not the provider's."""
    engine, started = make_engine(url), time.monotonic()
    assert a_forwarder(engine, FakeHandler(TAKEN)).receive(a_request()) == (200, b"success", "text/html")
    assert time.monotonic() - started < 4
    engine.dispose()


def wait_for(holds: Callable[[], bool]) -> Callable[[], None]:
    def wait() -> None:
        deadline = time.monotonic() + 10
        while not holds():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    return wait


@pytest.mark.parametrize(
    ("reply", "after"), [(TAKEN, [("rejected", "handler_silent"), ("accepted", None)]), (SILENT, None)]
)
def test_a_slow_handler_does_not_keep_us_from_storing(engine: Engine, reply: Reply, after: Any) -> None:
    """While it is silent the request is kept already; what it says at last still counts, and nothing is kept twice."""
    early = [("rejected", "handler_silent")]
    handler = FakeHandler(reply, before=wait_for(lambda: kept(engine) == early))
    forwarder = a_forwarder(engine, handler, kept_after_s=0.05)
    if reply is SILENT:
        with pytest.raises(Unavailable):
            forwarder.receive(a_request())
    else:
        assert forwarder.receive(a_request())[0] == 200
    assert kept(engine) == (after or early)


def test_a_handler_that_hangs_takes_so_many_threads_and_no_more(engine: Engine) -> None:
    """Whoever finds no place is told to come again, and is kept."""
    handler = FakeHandler(TAKEN)
    with pytest.raises(Unavailable, match="busy"):
        a_forwarder(engine, handler, places=0).receive(a_request())
    assert (handler.told, kept(engine)) == ([], [("rejected", "handler_silent")])


def again(engine: Engine, door: Forwarder, *, dry_run: bool = False) -> list[tuple[str, str | None]]:
    """Reprocess all that was rejected."""
    found = reprocess.all_rejected(
        engine, door, source=None, reason=None, limit=None, dry_run=dry_run, actor=OPERATOR, clock=lambda: NOON
    )
    return [(one.result, one.reason) for one in found]


def test_reprocessing_goes_past_the_handler(engine: Engine) -> None:
    """What it still does not take stays refused; what it takes now is observed; a dry run tells it nothing."""
    handler = FakeHandler(SILENT)
    forwarder = a_forwarder(engine, handler)
    with pytest.raises(Unavailable):
        forwarder.receive(a_request())
    assert again(engine, forwarder) == [("rejected", "handler_silent")]
    handler.reply = Reply(status=200, body=b"fail")
    assert again(engine, forwarder) == [("rejected", "handler_refused")]
    handler.reply = TAKEN
    assert again(engine, forwarder, dry_run=True) == [("passes", None)]
    assert (len(handler.told), rows(engine, orders)) == (3, [])
    assert again(engine, forwarder) == [("accepted", None)]
    assert handler.told[0] == handler.told[-1]
    assert [(order["flags"], order["credited_micros"]) for order in rows(engine, orders)] == [("observed", 0)]
