"""Own files that are too large for one row: parts of some megabytes, written and read one at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import count
from pathlib import Path

from sqlalchemy import Connection, Table, and_, insert, select

# So many bytes of a file are written and read at a time.
PART = 4 * 1024 * 1024

Key = Mapping[str, object]


def is_small(path: Path) -> bool:
    """Tell whether a file is one part: such a one is kept whole, as an older release reads it."""
    return path.stat().st_size <= PART


def parts_of(path: Path) -> Iterator[bytes]:
    """Yield a file, a part at a time."""
    with path.open("rb") as file:
        yield from iter(partial(file.read, PART), b"")


def keep(connection: Connection, table: Table, key: Key, parts: Iterable[bytes]) -> None:
    """Store the parts of a file, which `key` names in a table of (key, number, content)."""
    for number, part in enumerate(parts):
        connection.execute(insert(table), {**key, "number": number, "content": part})


def read(connection: Connection, table: Table, key: Key) -> Iterator[bytes]:
    """Yield the parts of a file in their order."""
    named = and_(*(table.c[name] == value for name, value in key.items()))
    # Each is asked for by itself: Postgres's driver fetches all that one question finds before it gives the first.
    for number in count():
        part = connection.scalar(select(table.c.content).where(named, table.c.number == number))
        if part is None:
            return
        yield bytes(part)
