"""Own how a command answers: JSON, one thing a line, for programs; an aligned table for people."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from sqlalchemy import RowMapping

from relay.core.amounts import format_micros
from relay.core.events import rfc3339
from relay.store.paging import Cursor, Page

PAGE = 250

# A row's number; beyond the largest BIGINT a driver would object.
NUMBER = click.IntRange(0, 2**63 - 1)
as_json = click.option("--json", "as_json", is_flag=True, help="Answer in JSON, one thing a line.")


def _remember(context: click.Context, _: click.Parameter, is_asked: bool) -> None:  # noqa: FBT001  # as click calls it
    context.meta[_ASKED] = is_asked


_ASKED = "relay.json"
# For a command that says in a sentence what it has done; see `say`.
or_json = click.option(
    "--json", is_flag=True, expose_value=False, callback=_remember, help="Answer in JSON, one thing a line."
)
at_most = click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many to show at most."
)


def names(context: click.Context, option: click.Parameter, given: str | None) -> list[str] | None:
    """Read a comma-separated option; None when it was not given."""
    if given is None:
        return None
    found = [name.strip() for name in given.split(",") if name.strip()]
    if not found:
        raise click.BadParameter("names nothing")
    return found


def read_moment(context: click.Context, option: click.Parameter, given: str | None) -> datetime | None:
    """Read a time in RFC 3339, or a day, which begins at midnight UTC."""
    if given is None:
        return None
    try:
        moment = datetime.fromisoformat(f"{given}T00:00Z" if len(given) == len("2026-11-23") else given)
        found = None if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        found = None
    if found is None:
        raise click.BadParameter("write 2026-11-23, or 2026-11-23T12:00:00Z")
    return found


def pages(read: Callable[[Cursor | None, int], Page], limit: int) -> Iterator[RowMapping]:
    """Yield up to `limit` rows; `read` is given a cursor and how many rows to return."""
    after: Cursor | None = None
    while limit > 0:
        page = read(after, min(limit, PAGE))
        yield from page.rows
        limit -= len(page.rows)
        after = page.next
        if after is None:
            return


def show(things: Iterable[Mapping[Any, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    """Print things: whole as JSON, each as soon as it is there; as a table only these columns."""
    if as_json:
        for thing in things:
            # In ASCII, so that nothing in it can upset a terminal.
            click.echo(json.dumps(_plain(thing)))
        return
    table = [list(columns), *([_cell(plain[name]) for name in columns] for plain in map(_plain, things))]
    widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
    for line in table:
        click.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def tell(thing: Mapping[Any, Any], columns: Sequence[str], *, as_json: bool) -> None:
    """Print one line of a list that has no end: whole as JSON, for a person these columns."""
    plain = _plain(thing)
    click.echo(json.dumps(plain) if as_json else "  ".join(_cell(plain[name]) for name in columns))


def say(sentence: str, **facts: Any) -> None:
    """Tell what was done: a person a sentence; a program, which asked by `or_json`, the facts and the sentence as `said`."""
    is_asked = click.get_current_context().meta.get(_ASKED)
    click.echo(json.dumps(_plain(facts | {"said": sentence})) if is_asked else sentence)


def show_one(thing: Mapping[Any, Any], *, as_json: bool, note: str = "") -> None:
    """Print one thing; for a person a field a line, and a note below."""
    plain = _plain(thing)
    if as_json:
        click.echo(json.dumps(plain))
        return
    width = max(map(len, plain))
    for name, value in plain.items():
        click.echo(f"{name:<{width}}  {_cell(value)}".rstrip())
    if note:
        click.echo(f"\n{note}")


def _plain(thing: Mapping[Any, Any]) -> dict[str, Any]:
    """Spell a row as the API does: lists as lists, moments in RFC 3339, an amount in USDT beside its micros."""
    plain = {str(name): _spelled(str(name), value) for name, value in thing.items()}
    if isinstance(plain.get("amount_micros"), int):
        plain["amount"] = format_micros(plain["amount_micros"])
    return plain


def _spelled(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, str):
        match name:
            case "event_types" | "roles" | "sources":
                return value.strip(",").split(",")
            case "flags":
                return value.split()
            case "detail" if value.startswith("{"):
                return json.loads(value)
    return value


def _cell(value: Any) -> str:
    """Spell a value for a person; what a stranger sent must not move the cursor."""
    if value is None or value in ("", [], {}):
        return "-"
    if isinstance(value, list):
        value = ",".join(map(str, value))
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else "?" for c in text)
