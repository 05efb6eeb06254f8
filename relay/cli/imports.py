"""Own how a command takes a file: its form, its progress on a terminal, each refused line as it comes, and the sum."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import IO

import click

from relay.bootstrap import now
from relay.cli.failures import FAILED
from relay.cli.shell import Shell
from relay.flows.lines import FORMATS, Line, read_lines
from relay.flows.register import Registry, Result

a_file = click.argument("file", type=click.File("rb"))
of_form = click.option(
    "--format", "form", type=click.Choice(FORMATS), help="JSON Lines or CSV; by the name of the file when left out."
)
meant_source = click.option("--source", help="The source of lines that name none.")


def registry_of(shell: Shell, source: str | None) -> Registry:
    """Return what whoever sits at this shell registers with."""
    runtime = shell.runtime
    return Registry(
        engine=runtime.engine,
        sources=runtime.sources,
        allow_cidrs=runtime.settings.endpoint_allow_cidrs,
        actor=shell.person,
        clock=now,
        source=source,
    )


def take(
    file: IO[bytes],
    form: str | None,
    names: Sequence[str],
    enter: Callable[[Iterable[Line]], Iterator[Result]],
    *,
    as_json: bool,
) -> None:
    """Enter the lines of a file; print those that were refused, then the sum. Exits with 1 when any was refused."""
    form = form or ("csv" if str(file.name).lower().endswith(".csv") else "jsonl")
    size = os.fstat(file.fileno()).st_size if file.seekable() else 0
    counts: Counter[str] = Counter()
    with click.progressbar(
        length=size, label="importing", file=sys.stderr, hidden=not (size and sys.stderr.isatty())
    ) as bar:
        lines = _counted(read_lines(file, form, names=names), file, bar.update)
        for result in enter(lines):
            counts[result.outcome] += 1
            if result.outcome == "refused":
                click.echo(_told(result, as_json=as_json))
    _sum(counts, as_json=as_json)
    if counts["refused"]:
        raise SystemExit(FAILED)


def _counted(lines: Iterable[Line], file: IO[bytes], advance: Callable[[int], None]) -> Iterator[Line]:
    """Pass lines on, and tell every so many how much of the file was read."""
    told = 0
    for number, line in enumerate(lines):
        yield line
        if file.seekable() and number % 1_000 == 999:
            place = file.tell()
            advance(place - told)
            told = place


def _told(result: Result, *, as_json: bool) -> str:
    if as_json:
        return json.dumps(asdict(result))
    name = "".join(c if c.isprintable() else "?" for c in result.name[:100])
    return f"line {result.line}: {name or '-'}: {result.reason}"


def _sum(counts: Counter[str], *, as_json: bool) -> None:
    whole = {"lines": counts.total(), **{name: counts[name] for name in ("accepted", "unchanged", "refused")}}
    if as_json:
        click.echo(json.dumps(whole))
    else:
        told = ", ".join(f"{whole[name]} {name}" for name in ("accepted", "unchanged", "refused"))
        click.echo(f"{whole['lines']} lines: {told}")
