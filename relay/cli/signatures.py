"""Own `relay signatures`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import BinaryIO

import click

from relay.bootstrap import now, presets
from relay.cli.failures import FAILED
from relay.cli.output import as_json, show_one
from relay.core.adapters import Adapter
from relay.core.captures import read_capture
from relay.core.probing import Match, Report, probe
from relay.core.schemes import declared
from relay.core.traces import described


@click.group()
def signatures() -> None:
    """How providers sign."""


@signatures.command(name="probe")
@click.argument("capture", type=click.File("rb"), default="-")
@click.option("--key-file", type=click.File("rb"), help="A file with the signing key alone.")
@click.option("--key-env", metavar="NAME", help="The environment variable that has the signing key.")
@click.option("--url", default="", help="Where the provider called, for those who sign that.")
@as_json
def probe_signature(
    capture: BinaryIO, key_file: BinaryIO | None, key_env: str | None, url: str, *, as_json: bool
) -> None:
    """Find out how a captured callback was signed, by trying everything.

    CAPTURE is a raw HTTP request, a HAR file, or the bare form, JSON or
    query; - reads it from standard input. The key is asked for unless an
    option names it: on the command line others could see it.
    """
    key = _key(key_file, key_env)
    found = probe(read_capture(capture.read()), key, presets(), now=now(), url=url)
    if as_json:
        show_one(_plain(found), as_json=True)
    else:
        _tell(found, presets())
    if not (found.presets or found.matches):
        raise SystemExit(FAILED)


def _key(key_file: BinaryIO | None, key_env: str | None) -> str:
    if key_file is not None:
        key = key_file.read().decode(errors="replace").rstrip("\r\n")
    elif key_env is not None:
        key = os.environ.get(key_env, "")
    elif sys.stdin.isatty():
        key = click.prompt("Signing key", hide_input=True)
    else:
        raise click.UsageError("name the key by --key-file or --key-env: there is no terminal to ask at")
    if not key:
        raise click.UsageError("the key is empty")
    return str(key)


def _tell(found: Report, presets: Mapping[str, Adapter]) -> None:
    for trace in found.traces:
        click.echo(f"seen: {described(trace)}")
    fitting = [preset.name for preset in found.presets if not preset.reason]
    if len(fitting) > 1:
        click.echo(f"{len(fitting)} presets match, and this request cannot tell them apart: {', '.join(fitting)}")
    for preset in found.presets:
        click.echo(
            f"\nmatches: {preset.name}" if not preset.reason else f"\nsigned as {preset.name}, but {preset.reason}"
        )
        if not preset.reason:
            click.echo(f'\nadapter = "{preset.name}"')
    if not fitting:
        for match in found.matches:
            _tell_match(match)
    if not (found.presets or found.matches):
        click.echo("nothing matches")
        for hint in found.hints:
            click.echo(f"- {hint}")


def _tell_match(match: Match) -> None:
    click.echo(f"\nmatches: no preset with these fields; nearest is {match.nearest}")
    if match.undecided:
        click.echo(f"another {' or '.join(match.undecided)} would sign this request alike; a second capture may tell")
    click.echo("\n# In the section of the source; docs/adapters.md tells of body, amount and fields.")
    if match.numbers != "raw":
        click.echo(f'numbers = "{match.numbers}"')
    click.echo("[sources.NAME.signature]")
    for name, value in declared(match.scheme).items():
        # JSON's texts and lists are TOML's too.
        click.echo(f"{name} = {json.dumps(value)}")


def _plain(found: Report) -> dict[str, object]:
    return {
        "presets": [{"name": preset.name, "reason": preset.reason} for preset in found.presets],
        "matches": [
            {
                "signature": declared(match.scheme),
                "numbers": match.numbers,
                "undecided": list(match.undecided),
                "nearest": match.nearest,
            }
            for match in found.matches
        ],
        "hints": list(found.hints),
    }
