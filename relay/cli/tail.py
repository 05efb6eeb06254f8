"""Own `relay events tail`: the feed as it grows, of this relay or of one far away, and on to a service at this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TextIO

import click

from relay.bootstrap import now
from relay.cli.output import as_json, tell
from relay.cli.shell import Shell, pass_shell
from relay.core.webhooks import key_of, new_secret
from relay.edge.handler import HTTPHandler
from relay.errors import Unprocessable
from relay.flows.tailing import DistantFeed, Feed, Hand, OwnFeed, Tailed, tailed, unreachable

COLUMNS = ("sequence", "created_at", "type", "source", "orderid", "id")
# A page of the feed; what an endpoint answers is cut long before.
_ANSWER_CAP = 8 * 1024 * 1024
_AGAIN_S = 1.0


@click.command()
@click.option("--type", "event_type", help="Only of this type.")
@click.option(
    "--limit",
    type=click.IntRange(0, 250),
    help="How many of the newest to begin with: 10, and none with --forward-to, unless it is said.",
)
@click.option("--follow", is_flag=True, help="Go on with what is committed, until Ctrl-C.")
@click.option("--from", "relay_url", metavar="URL", help="Read the feed of the relay at this URL, with a key.")
@click.option(
    "--key-file", type=click.File(), help="A file with that key (rly_…), - for standard input; else it is asked for."
)
@click.option("--forward-to", metavar="URL", help="Follow, and post each event, signed, to a service at this machine.")
@click.option(
    "--secret-file", type=click.File(), help="A file with the secret (whsec_…) that signs; else one is made and shown."
)
@as_json
@pass_shell
def tail(
    shell: Shell,
    *,
    event_type: str | None,
    limit: int | None,
    follow: bool,
    relay_url: str | None,
    key_file: TextIO | None,
    forward_to: str | None,
    secret_file: TextIO | None,
    as_json: bool,
) -> None:
    """Print the newest events, oldest first, an event a line; with --forward-to hand them on."""
    http = HTTPHandler((), answer_cap=_ANSWER_CAP)
    hand = None if forward_to is None else Hand(http, forward_to, _signing(secret_file), clock=now)
    feed = _feed(shell, http, relay_url, key_file, event_type)
    begin = (0 if hand else 10) if limit is None else limit
    try:
        for event in tailed(feed, begin=begin, ready=_ready(hand) if follow or hand else None, waiting=_warn()):
            told = event.told if hand is None else {**event.told, "answer": _handed_on(hand, event)}
            tell(told, COLUMNS if hand is None else (*COLUMNS, "answer"), as_json=as_json)
    except KeyboardInterrupt:
        click.echo("", err=True)


def _feed(shell: Shell, http: HTTPHandler, url: str | None, key_file: TextIO | None, event_type: str | None) -> Feed:
    """Who reads from afar needs neither a database nor settings here."""
    if url is None:
        if key_file is not None:
            raise click.UsageError("--key-file is for --from")
        return OwnFeed(shell.runtime.engine, event_type)
    key = key_file.read() if key_file else click.prompt("Key", hide_input=True, err=True)
    return DistantFeed(http, url, key.strip(), event_type)


def _signing(given: TextIO | None) -> bytes:
    if given is None:
        secret = new_secret(os.urandom(32))
        click.echo(f"signed with {secret}", err=True)
        return key_of(secret)
    try:
        return key_of(given.read().strip())
    except ValueError:
        raise Unprocessable("the secret is not one: write whsec_ and base64", pointer="/secret") from None


def _ready(hand: Hand | None) -> Callable[[], None]:
    where = "" if hand is None else f", and posting to {hand.url}"
    return lambda: click.echo(f"following{where}; Ctrl-C ends it", err=True)


def _handed_on(hand: Hand, event: Tailed) -> str:
    """Post an event and return what was answered; while nobody listens there it waits, for services are restarted."""
    warn = _warn()
    while (reply := hand.on(event)).error == "refused":
        warn(unreachable(hand.url, reply))
        time.sleep(_AGAIN_S)
    return str(reply.status) if reply.error is None else str(reply.error)


def _warn() -> Callable[[str], None]:
    """Say the same only once."""
    said: set[str] = set()

    def warn(words: str) -> None:
        if words not in said:
            said.add(words)
            click.echo(f"{words}; waiting", err=True)

    return warn
