"""Own the log: one event a line, nothing secret in it, and nothing in it that could pass for another line."""

from __future__ import annotations

import functools
import json
import logging
import re
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TextIO

from config.settings import Settings

# Longer lines are cut in two by log routers, and neither half can be read.
MOST_BYTES = 10_000
HIDDEN = "[hidden]"

# Loggers of libraries that bring handlers of their own or do not pass their records on.
ADOPTED = ("gunicorn.error", "gunicorn.access", "rq.worker", "rq.job", "rq.queue", "rq.registry", "rq.scheduler")
# Their everyday news: a line for each tick of the clock, a job's arguments, a look at the revision.
QUIET = ("alembic", "apscheduler", "rq", "werkzeug")
# When they debug they tell whole URLs, and nodes of chains have their key in the path.
INDISCREET = ("web3", "urllib3", "requests", "aiohttp")

_SECRET_WORDS = frozenset(
    {"secret", "secrets", "key", "keys", "authorization", "cookie", "signature", "password", "token", "tokens"}
)
_HARMLESS_ENDINGS = frozenset({"id", "ids", "count", "name"})
_ORDINARY = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}

_bound: ContextVar[Mapping[str, str]] = ContextVar("bound", default=MappingProxyType({}))


def configure(settings: Settings, *, stream: TextIO | None = None) -> None:
    """Set up the log of this process as the settings say."""
    setup(settings.log_level, settings.log_format, stream=stream)


def setup(level: str, log_format: str, *, stream: TextIO | None = None) -> None:
    """Send every logger's events to `stream` (standard output), as "json" or "text"; "auto" is text on a terminal."""
    stream = stream or sys.stdout
    as_text = log_format == "text" or (log_format == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextLines() if as_text else JSONLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # No line says from where or by which thread it was logged, so nobody looks that up: a fifth of a line's cost.
    logging._srcfile = None  # noqa: SLF001  # the way that the manual of logging names
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root.setLevel(level)
    for name in ADOPTED:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.NOTSET)
    for name in QUIET:
        logging.getLogger(name).setLevel(
            root.level if root.level <= logging.DEBUG else max(root.level, logging.WARNING)
        )
    for name in INDISCREET:
        logging.getLogger(name).setLevel(max(root.level, logging.INFO))


def bind(**ids: str) -> None:
    """Put these ids on every event of this thread or task from now on, in place of those bound before."""
    _bound.set(ids)


class JSONLines(logging.Formatter):
    """One event as one line of JSON in ASCII, at most MOST_BYTES long: at, level, event, logger, bound ids, the rest."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; what does not fit is shortened, the longest values hardest."""
        event = _event(record)
        line = _dumped(event)
        for most in (2000, 400, 80):
            if len(line) > MOST_BYTES:
                line = _dumped({name: _shortened(value, most) for name, value in event.items()} | {"shortened": True})
        if len(line) > MOST_BYTES:
            first = {name: _shortened(event[name], 80) for name in ("at", "level", "event", "logger")}
            line = _dumped(first | {"shortened": True})
        return line


class TextLines(logging.Formatter):
    """One event as one line for a person; only a traceback continues below, indented."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        event = _event(record)
        moment, level, what = event.pop("at")[11:23], event.pop("level"), event.pop("event")
        event.pop("logger")
        exception = event.pop("exception", "")
        fields = (f"{name}={value if isinstance(value, str) else _dumped(value)}" for name, value in event.items())
        line = _printable(" ".join([moment, f"{level:<7}", what, *fields]))[:MOST_BYTES]
        return "\n".join([line, *(f"    | {_printable(part)}" for part in exception.splitlines())])


def _event(record: logging.LogRecord) -> dict[str, Any]:
    moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    event: dict[str, Any] = {
        "at": moment.replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "event": _cleaned(record.getMessage()),
        "logger": record.name,
        **_bound.get(),
    }
    for name, value in record.__dict__.items():
        if name not in _ORDINARY:
            # The line's own words win: a field that is called as one of them must not stand in its place.
            event.setdefault(name, _shown(name, value))
    if record.exc_info:
        event["exception"] = _cleaned(logging.Formatter().formatException(record.exc_info))
    return event


def _shown(name: str, value: Any) -> Any:
    """Return a value fit for a log: hidden when its name says it is a secret, without passwords in URLs otherwise."""
    if _names_a_secret(name):
        return HIDDEN
    match value:
        case str():
            return _cleaned(value)
        case None | bool() | int():
            return value
        case bytes():
            return f"{len(value)} bytes"
        case Mapping():
            return {str(key): _shown(str(key), item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_shown("", item) for item in value]
        case _:
            return _cleaned(str(value))


# The names are those of our own fields, but headers that are shown bring names of strangers.
@functools.lru_cache(maxsize=512)
def _names_a_secret(name: str) -> bool:
    words = name.lower().replace("-", "_").split("_")
    return bool(_SECRET_WORDS & set(words)) and words[-1] not in _HARMLESS_ENDINGS


def _cleaned(text: str) -> str:
    # Most texts are ids, and looking for four patterns in each would be a third of a log line's cost: none matches without one of these.
    if not ("://" in text or "rly_" in text or "whsec_" in text or "Bearer " in text):
        return text
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


# What is a secret by its looks: a URL's user and query, a key or secret of ours, what follows "Bearer".
_SECRETS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"(?<=://)[^\s/]*@"), ""),
    # A URL without a query matches too, or each "://" within it would be looked through to its end.
    (re.compile(r"(?<=://)([^\s?\"']*)(\?[^\s\"']*)?"), lambda url: f"{url[1]}?…" if url[2] else url[1]),
    (re.compile(r"\b(rly_|whsec_)[\w+/=-]+"), HIDDEN),
    (re.compile(r"(?<=Bearer )\S+"), HIDDEN),
)


def _shortened(value: Any, most: int) -> Any:
    text = value if isinstance(value, str) else _dumped(value)
    # The end of a traceback says more than its beginning.
    return value if len(text) <= most else f"{text[: most // 4]}…{text[-most * 3 // 4 :]}"


def _dumped(value: Any) -> str:
    return _ENCODER.encode(value)


# Made once: json.dumps would make one for each line.
_ENCODER = json.JSONEncoder(separators=(",", ":"), default=str)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
