"""What the log says, and what it never says."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from rq.logutils import setup_loghandlers

from config.logs import ADOPTED, INDISCREET, MOST_BYTES, QUIET, bind, setup

CANARY = "canary-7f3a"


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    """A logger; the loggers of the process are put back as they were."""
    loggers = [logging.getLogger(name) for name in (None, *ADOPTED, *QUIET, *INDISCREET)]
    # A request that another test made in this process may still be bound.
    bind()
    before = [(logger, logger.handlers[:], logger.propagate, logger.level) for logger in loggers]
    yield logging.getLogger("relay.somewhere")
    for logger, handlers, propagate, level in before:
        logger.handlers[:] = handlers
        logger.propagate = propagate
        logger.setLevel(level)
    bind()


def output(log_format: str = "json", level: str = "INFO") -> io.StringIO:
    stream = io.StringIO()
    setup(level, log_format, stream=stream)
    return stream


def only(stream: io.StringIO) -> dict[str, Any]:
    (line,) = stream.getvalue().splitlines()
    event: dict[str, Any] = json.loads(line)
    return event


def raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as caught:
        return caught


def test_an_event_is_one_line_of_json(log: logging.Logger) -> None:
    """Time in UTC to the millisecond, level, event, logger, then the ids as they were given."""
    stream = output()
    log.info("delivery_failed", extra={"delivery_id": 7, "http_status": 503})
    event = only(stream)
    assert datetime.fromisoformat(event["at"]).utcoffset() is not None
    assert event["at"][-5] == "."
    assert event["at"][-1] == "Z"
    del event["at"]
    assert list(event.items()) == [
        ("level", "info"),
        ("event", "delivery_failed"),
        ("logger", "relay.somewhere"),
        ("delivery_id", 7),
        ("http_status", 503),
    ]


def test_bound_ids_are_on_every_event(log: logging.Logger) -> None:
    """The request id is bound once, at the edge; the next request's takes its place."""
    stream = output()
    bind(request_id="r-1", source="crossing")
    log.info("callback_accepted")
    bind(request_id="r-2")
    log.info("callback_accepted")
    bind()
    log.info("callback_accepted")
    first, second, third = map(json.loads, stream.getvalue().splitlines())
    assert (first["request_id"], first["source"]) == ("r-1", "crossing")
    assert second["request_id"] == "r-2"
    assert "source" not in second
    assert "request_id" not in third


def test_an_exception_is_one_field(log: logging.Logger) -> None:
    """A traceback stays with its event."""
    stream = output()
    log.error("run_failed", exc_info=raised(ValueError("first\nsecond")))
    exception = only(stream)["exception"]
    assert exception.startswith("Traceback")
    assert exception.endswith("ValueError: first\nsecond")


@pytest.mark.parametrize("log_format", ["json", "text"])
@pytest.mark.parametrize("char", ["\n", "\r", "\x1b[2J", "\x00", "\x85", "\u2028", "\u202e", "\x9b", "\udc80"])
def test_no_character_breaks_a_line_or_a_terminal(log: logging.Logger, log_format: str, char: str) -> None:
    """What a sender wrote into a field, an event or an error can neither start a line nor move a cursor."""
    stream = output(log_format)
    log.info("odd%s", char, extra={"orderid": f"a{char}b", "fields": {f"x{char}": [char]}})
    (line,) = stream.getvalue()[:-1].split("\n")
    assert line.isprintable()


@pytest.mark.parametrize(
    "extra",
    [
        {"secret": CANARY},
        {"secrets": [CANARY]},
        {"api_key": CANARY},
        {"Authorization": CANARY},
        {"headers": {"X-Api-Key": CANARY, "Set-Cookie": CANARY}},
        {"provider_signature": CANARY},
        {"password": {"old": CANARY}},
        {"tokens": (CANARY,)},
        {"body": CANARY.encode()},
        {"url": f"redis://user:{CANARY}@host:6379/0"},
        {"url": f"https://host/path?sign={CANARY}"},
        {"urls": [f"postgresql://u:a@{CANARY}@host/db"]},
        {"detail": f"GET https://host/p?key={CANARY} failed"},
        {"detail": f"Bearer {CANARY}"},
        {"detail": f"the key rly_{CANARY} and whsec_{CANARY}+/="},
    ],
)
@pytest.mark.parametrize("log_format", ["json", "text"])
def test_no_secret_is_logged(log: logging.Logger, log_format: str, extra: dict[str, Any]) -> None:
    """A name that speaks of a secret hides its value; a URL loses its user and its query."""
    stream = output(log_format)
    log.info("something_happened", extra=extra)
    assert "something_happened" in stream.getvalue()
    assert CANARY not in stream.getvalue()


def test_no_secret_is_logged_in_a_text_or_an_error(log: logging.Logger) -> None:
    """Texts of libraries are looked through too."""
    stream = output()
    lost = raised(OSError(f"cannot reach redis://:{CANARY}@host"))
    log.error("lost https://u:%s@host/?a=%s", CANARY, CANARY, exc_info=lost)
    assert CANARY not in stream.getvalue()


def test_a_text_full_of_addresses_is_looked_through_once(log: logging.Logger) -> None:
    """What a provider answers is told in the log, and each of its addresses was looked through to the end of all."""
    stream = output()
    log.info("odd", extra={"reason": "://" * 300_000 + "?" + CANARY})
    assert CANARY not in stream.getvalue()


def test_ids_of_secrets_are_shown(log: logging.Logger) -> None:
    """Which secret verified a callback is a fact worth reading."""
    stream = output()
    log.info("callback_accepted", extra={"secret_id": "a1b2", "key_id": "k1", "orderid": "sh-1"})
    event = only(stream)
    assert (event["secret_id"], event["key_id"], event["orderid"]) == ("a1b2", "k1", "sh-1")


@pytest.mark.parametrize(
    "extra",
    [
        {"detail": "x" * 50_000},
        {"detail": "😀" * 20_000},
        {f"field_{number}": "y" * 100 for number in range(1000)},
        {"many": list(range(20_000))},
        {"n" * 20_000: 1},
    ],
)
def test_a_line_has_a_longest_length(log: logging.Logger, extra: dict[str, Any]) -> None:
    """Whatever is logged, the line is whole, and short enough for any log router."""
    stream = output()
    log.info("too_much", extra=extra)
    assert len(stream.getvalue().encode()) <= MOST_BYTES
    event = only(stream)
    assert (event["event"], event["shortened"]) == ("too_much", True)


def test_text_is_for_a_person(log: logging.Logger) -> None:
    """One line, and a traceback indented so that it cannot pass for an event."""
    stream = output("text")
    odd = raised(ValueError("odd\n12:00:00.000 info forged"))
    log.error("run_failed", extra={"run_id": 3}, exc_info=odd)
    first, *others = stream.getvalue().splitlines()
    assert first[12:] == " error   run_failed run_id=3"
    assert all(line.startswith("    | ") for line in others)


@pytest.mark.parametrize("name", [*ADOPTED, "werkzeug", "apscheduler.scheduler", "alembic.runtime.migration"])
def test_loggers_of_libraries_speak_our_way(log: logging.Logger, name: str) -> None:
    """Their handlers are gone, their warnings are ours, their everyday news is left out but for gunicorn's."""
    if name in ADOPTED:
        setup_loghandlers("INFO", name=name)
    stream = output()
    logging.getLogger(name).info("news")
    logging.getLogger(name).warning("trouble")
    events = [json.loads(line)["event"] for line in stream.getvalue().splitlines()]
    assert events == (["news", "trouble"] if name.startswith("gunicorn") else ["trouble"])


def test_debug_opens_every_logger_but_those_that_tell_whole_urls(log: logging.Logger) -> None:
    """Who asks for everything gets it; a node's key is in its URL."""
    stream = output(level="DEBUG")
    logging.getLogger("web3.providers.HTTPProvider").debug("https://node.example/v3/key")
    logging.getLogger("rq.worker").debug("news")
    assert only(stream)["event"] == "news"
