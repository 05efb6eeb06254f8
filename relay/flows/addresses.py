"""Own how the address book is filled from outside, one entry or a file of them, each line by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import Connection

from relay.core.address_book import Entry, entered, read_entry
from relay.errors import Unprocessable
from relay.flows.lines import Line
from relay.flows.register import Registry, Result, batches
from relay.store import addresses, audit
from relay.store.engine import FEED_LOCK, reading, writing


def import_addresses(registry: Registry, lines: Iterable[Line]) -> Iterator[Result]:
    """Enter addresses batch by batch; each result is yielded when its batch is committed.

    May be repeated: what is known already is `unchanged`.
    """
    if registry.source is not None and registry.source not in registry.reach:
        raise Unprocessable("no such source", pointer="/source")
    for batch in batches(lines):
        yield from _import(registry, batch)


def _import(registry: Registry, batch: Sequence[Line]) -> list[Result]:
    read = [_read(registry, line) for line in batch]
    with reading(registry.engine) as connection:
        results, changed = _judge(connection, batch, read)
    if not changed:
        return results
    # Orders bring addresses too, under this lock: nobody enters another owner between our reading and our writing.
    with writing(registry.engine, lock=FEED_LOCK) as connection:
        results, changed = _judge(connection, batch, read)
        now = registry.clock()
        addresses.enter(connection, changed, now=now)
        detail = {"first_line": batch[0].number, "last_line": batch[-1].number, "accepted": len(changed)}
        audit.append(
            connection, actor=registry.actor.id, act="address.import", subject="addresses", now=now, detail=detail
        )
    return results


def _read(registry: Registry, line: Line) -> Entry | str:
    """Return the entry of a line, or what is wrong with it."""
    fields = registry.completed(line.fields)
    if line.fault:
        return line.fault
    if registry.actor.sources is not None and "source" not in fields:
        return "source is missing: this key is bound to some"
    try:
        return read_entry(fields, registry.reach)
    except ValueError as error:
        return str(error)


def _judge(
    connection: Connection, batch: Sequence[Line], read: Sequence[Entry | str]
) -> tuple[list[Result], dict[addresses.Key, Entry]]:
    """Return what becomes of each line, and the entries that change; a line meets what the lines before it said."""
    book = addresses.known(connection, (one.key for one in read if isinstance(one, Entry)))
    changed: dict[addresses.Key, Entry] = {}
    results = []
    for line, one in zip(batch, read, strict=True):
        outcome, reason = _enter(one, book, changed)
        results.append(Result(line.number, line.fields.get("address", ""), outcome, reason))
    return results, changed


def _enter(
    wanted: Entry | str, book: dict[addresses.Key, Entry], changed: dict[addresses.Key, Entry]
) -> tuple[str, str]:
    if isinstance(wanted, str):
        return "refused", wanted
    before = book.get(wanted.key)
    try:
        after = entered(wanted, before)
    except ValueError as error:
        return "refused", str(error)
    if after == before:
        return "unchanged", ""
    book[wanted.key] = changed[wanted.key] = after
    return "accepted", ""
