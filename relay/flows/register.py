"""Own how orders that were made elsewhere are registered, one or a file of them, each line by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine

from relay.core.actors import Actor
from relay.core.addresses import Network, networks
from relay.core.notify_urls import check_notify_url
from relay.core.registrations import Registration, read_registration
from relay.core.sources import Source
from relay.errors import Unprocessable
from relay.flows.lines import Line
from relay.store import audit, endpoints, orders
from relay.store.engine import FEED_LOCK, reading, writing

# Large enough that a commit is shared by many, small enough that no callback waits long for the feed.
BATCH = 250


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a line: accepted, unchanged (all of it was known), or refused, and why."""

    line: int
    name: str
    outcome: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """What registrations work with. `source` is meant by lines that name none."""

    engine: Engine
    sources: Mapping[str, Source]
    allow_cidrs: tuple[str, ...]
    actor: Actor
    clock: Callable[[], datetime]
    source: str | None = None

    @property
    def reach(self) -> dict[str, Source]:
        """The sources that the actor may speak of."""
        return {name: source for name, source in self.sources.items() if self.actor.reaches(name)}

    def completed(self, fields: dict[str, str]) -> dict[str, str]:
        """Return what a line says, with the source that is meant."""
        return fields if self.source is None else {"source": self.source, **fields}


def register_orders(registry: Registry, lines: Iterable[Line]) -> Iterator[Result]:
    """Register orders batch by batch; each result is yielded when its batch is committed.

    May be repeated: what is known already is `unchanged`.
    """
    if registry.source is not None and registry.source not in registry.reach:
        raise Unprocessable("no such source", pointer="/source")
    for batch in batches(lines):
        yield from _register(registry, batch)


def batches(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Yield lines by the batch."""
    batch: list[Line] = []
    for line in lines:
        batch.append(line)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _register(registry: Registry, batch: Sequence[Line]) -> list[Result]:
    """Most of the work is done, and repeated lines are known, before the feed is locked."""
    with reading(registry.engine) as connection:
        read = _read(registry, batch, endpoints.prefixes(connection))
        wanted = [one for one in read if isinstance(one, Registration)]
        entered = orders.judge(connection, wanted) if wanted else []
    if any(one.outcome == "accepted" for one in entered):
        with writing(registry.engine, lock=FEED_LOCK) as connection:
            now = registry.clock()
            entered = orders.register(connection, wanted, now=now)
            _audit(connection, registry, batch, entered, now)
    told = iter(entered)
    return [_result(line, one, told) for line, one in zip(batch, read, strict=True)]


def _read(registry: Registry, batch: Sequence[Line], prefixes: Sequence[endpoints.Prefix]) -> list[Registration | str]:
    """Return the registration of each line, or what is wrong with it."""
    reach, allow = registry.reach, networks(registry.allow_cidrs)
    return [_registration(registry.completed(line.fields), line.fault, reach, prefixes, allow) for line in batch]


def _registration(
    fields: dict[str, str],
    fault: str,
    reach: Mapping[str, Source],
    prefixes: Sequence[endpoints.Prefix],
    allow: Sequence[Network],
) -> Registration | str:
    def check_url(url: str) -> str:
        return checked_notify_url(url, fields["source"], prefixes, allow)

    if fault:
        return fault
    try:
        return read_registration(fields, reach, check_url=check_url)
    except ValueError as error:
        return str(error)


def checked_notify_url(url: str, source: str, prefixes: Iterable[endpoints.Prefix], allow: Sequence[Network]) -> str:
    """Return an order's URL in canonical form; ValueError where no endpoint of kind per_order would be told there."""
    fitting = [one.url for one in prefixes if one.sources is None or source in one.sources]
    try:
        return check_notify_url(url, fitting, allow=allow)
    except Unprocessable as error:
        raise ValueError(f"notify_url: {error.detail}") from None


def _audit(
    connection: Connection, registry: Registry, batch: Sequence[Line], entered: Sequence[orders.Entered], now: datetime
) -> None:
    accepted = sum(one.outcome == "accepted" for one in entered)
    detail = {"first_line": batch[0].number, "last_line": batch[-1].number, "accepted": accepted}
    audit.append(connection, actor=registry.actor.id, act="order.import", subject="orders", now=now, detail=detail)


def _result(line: Line, read: Registration | str, entered: Iterator[orders.Entered]) -> Result:
    name = line.fields.get("orderid", "")
    if isinstance(read, str):
        return Result(line.number, name, "refused", read)
    became = next(entered)
    return Result(line.number, name, became.outcome, became.reason)
