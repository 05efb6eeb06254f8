"""Own the import of a provider's statement: read twice, once to judge the whole, once to keep what it says."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b, sha256
from typing import IO

from sqlalchemy import Engine

from relay.core.actors import Actor
from relay.core.facts import ProviderFact
from relay.core.sources import Source
from relay.core.statements import StatementMap, Totals, disagreements, missing_columns, read_row
from relay.errors import Unprocessable
from relay.flows.confirmation import reconsider
from relay.store import audit, provider_facts, statements
from relay.store.engine import reading, writing

BATCH = 500
MOST_FAULTS = 100


class StatementRefused(Unprocessable):
    """A statement of which nothing was kept; `faults` says what is wrong, by line."""

    code = "statement_refused"

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults[:3]))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import came to: orders in the statement, of how many something new was said, how many changed by it."""

    rows: int
    total_micros: int
    new: int
    changed: int
    repeated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Importer:
    """What an import works with. `tell` is given how many bytes were done since it was last called, twice the file in all."""

    engine: Engine
    sources: Mapping[str, Source]
    actor: Actor
    clock: Callable[[], datetime]
    new_id: Callable[[datetime], str]
    tell: Callable[[int], None] = field(default=lambda _: None)


def import_statement(
    importer: Importer, stream: IO[bytes], name: str, *, rows: int | None, micros: int | None
) -> Imported:
    """Import a CSV file from a stream that can be read again and does not change; memory is a few bytes an order.

    `rows` and `micros` are what a person says that it comes to. Raises
    StatementRefused for a statement with a bad row or other totals, of which
    nothing is kept. The same file again changes nothing.
    """
    source = importer.sources.get(name)
    if source is None:
        raise Unprocessable("no such source")
    if source.statement is None:
        raise Unprocessable(f"write [sources.{name}.statement] first: it says which column is which")
    digest = _digest(importer, stream)
    with reading(importer.engine) as connection:
        before = statements.find(connection, name, digest)
    if before is not None:
        return Imported(before["rows"], before["total_micros"], 0, 0, repeated=True)
    totals = _judged(source, source.statement, stream, rows, micros)
    new, changed = _keep(importer, source, source.statement, stream)
    # Last, so that an import that was cut short is not taken for one that was done.
    _note(importer, name, digest, totals)
    return Imported(totals.rows, totals.micros, new, changed)


def _digest(importer: Importer, stream: IO[bytes]) -> str:
    digest = sha256()
    stream.seek(0)
    while piece := stream.read(1 << 16):
        digest.update(piece)
        importer.tell(len(piece))
    return digest.hexdigest()


def _judged(source: Source, found: StatementMap, stream: IO[bytes], rows: int | None, micros: int | None) -> Totals:
    totals, faults, seen = Totals(), [], set()
    for line, titles, cells in _rows(found, stream):
        try:
            fact = read_row(found, _named(titles, cells), totals, source=source.name, namespace=source.namespace)
        except ValueError as error:
            faults.append(f"line {line}: {error}")
        else:
            # Eight bytes stand for an order: a file of any size that fits a disk collides never.
            mark = b"" if fact is None else blake2b(fact.orderid.encode(), digest_size=8).digest()
            if mark in seen and fact is not None:
                faults.append(f"line {line}: the order {fact.orderid!a} was there before")
            seen.add(mark)
        if len(faults) == MOST_FAULTS:
            raise StatementRefused([*faults, "and perhaps more"])
    faults += [] if faults else disagreements(totals, rows=rows, micros=micros)
    if faults or not totals.rows:
        raise StatementRefused(faults or ["it has no orders"])
    return totals


def _keep(importer: Importer, source: Source, found: StatementMap, stream: IO[bytes]) -> tuple[int, int]:
    """Keep the facts batch by batch. An import that is cut short is repeated: it then keeps the rest."""
    new = changed = told = 0
    for facts in _batches(source, found, stream):
        now = importer.clock()
        with writing(importer.engine) as connection:
            keys = provider_facts.record(connection, facts, now=now)
        new += len(keys)
        changed += reconsider(importer.engine, importer.sources, keys, now=now, new_id=importer.new_id)
        importer.tell(stream.tell() - told)
        told = stream.tell()
    return new, changed


def _batches(source: Source, found: StatementMap, stream: IO[bytes]) -> Iterator[list[ProviderFact]]:
    facts: list[ProviderFact] = []
    for _, titles, cells in _rows(found, stream):
        fact = read_row(found, _named(titles, cells), Totals(), source=source.name, namespace=source.namespace)
        if fact is not None:
            facts.append(fact)
        if len(facts) == BATCH:
            yield facts
            facts = []
    if facts:
        yield facts


def _note(importer: Importer, name: str, digest: str, totals: Totals) -> None:
    now = importer.clock()
    detail = {"sha256": digest, "rows": totals.rows, "total_micros": totals.micros}
    with writing(importer.engine) as connection:
        statements.add(
            connection,
            source=name,
            sha256=digest,
            rows=totals.rows,
            total_micros=totals.micros,
            imported_by=importer.actor.id,
            now=now,
        )
        audit.append(
            connection,
            actor=importer.actor.id,
            act="statement.import",
            subject=f"source:{name}",
            now=now,
            detail=detail,
        )


def _named(titles: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    """Return the text of every title; ValueError for a row that says more than there are titles."""
    # An amount whose comma nobody has quoted is two cells, and the first of them looks like an amount.
    if any(cells[len(titles) :]):
        raise ValueError(f"has {len(cells)} cells where the first line has {len(titles)} titles")
    return dict(zip(titles, [*cells, *[""] * len(titles)], strict=False))


def _rows(found: StatementMap, stream: IO[bytes]) -> Iterator[tuple[int, list[str], list[str]]]:
    """Yield each row by the number of its last line, the titles and its cells; StatementRefused for what is no such CSV."""
    stream.seek(0)
    # utf-8-sig, since spreadsheets begin their files with a mark of its order.
    encoding = "utf-8-sig" if found.encoding == "utf-8" else found.encoding
    text = io.TextIOWrapper(stream, encoding=encoding, newline="")
    reader = csv.reader(text, delimiter=found.delimiter, strict=True)
    try:
        titles = [title.strip() for title in next(reader, [])]
        _check_titles(found, titles)
        for cells in reader:
            if any(cells):
                yield reader.line_num, titles, cells
    except UnicodeDecodeError:
        raise StatementRefused([f"line {reader.line_num + 1} or later: is not {found.encoding}"]) from None
    except csv.Error as error:
        raise StatementRefused([f"line {reader.line_num}: {error}"]) from None
    finally:
        # The stream is read again, and is its owner's to close.
        text.detach()


def _check_titles(found: StatementMap, titles: list[str]) -> None:
    missing = missing_columns(found, titles)
    if missing:
        raise StatementRefused([f"line 1: has no column {', '.join(map(ascii, missing))}"])
    if len(set(titles)) != len(titles):
        raise StatementRefused(["line 1: has two columns of one title"])
