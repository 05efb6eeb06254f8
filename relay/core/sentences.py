"""Own the format `text`: an operational event as one sentence and a link, for the incoming webhooks of chat tools.

Slack, Mattermost and Rocket.Chat take `{"text": …}`; Discord does at a webhook's `/slack` address.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

# Of a type: its sentence, and the page where one goes on from there. What a type has not said is a question mark.
_SAID: Mapping[str, tuple[str, str]] = {
    "delivery.exhausted": (
        "Delivery {delivery_id} ({exhausted_event_type}, order {orderid}) to {endpoint_id} is dead: {last_status} {last_error}.",
        "/console/deliveries/{delivery_id}",
    ),
    "endpoint.failing": (
        "Endpoint {endpoint_id} has done nothing but fail since {failing_since}: {last_status} {last_error}.",
        "/console/endpoints/{endpoint_id}",
    ),
    "endpoint.recovered": (
        "Endpoint {endpoint_id} accepts again and is sent what waited.",
        "/console/endpoints/{endpoint_id}",
    ),
    "endpoint.disabled": (
        "Endpoint {endpoint_id} is disabled: {reason}. What happens meanwhile waits.",
        "/console/endpoints/{endpoint_id}",
    ),
    "reconciliation.break.opened": (
        "Break of severity {severity}: {class}, order {orderid} of {namespace}.",
        "/finance/breaks/{break_id}",
    ),
    "reconciliation.break.resolved": (
        "Resolved by {resolved_by}: {class}, order {orderid} of {namespace}. {reason}",
        "/finance/breaks/{break_id}",
    ),
    "reconciliation.run.incomplete": ("A reconciliation run could not see everything: {reason}.", "/finance"),
    "reconciliation.report.ready": ("Day {day} was approved and sealed (version {version}).", "/finance/{day}"),
    "relay.test": ("This is a test of endpoint {endpoint_id}.", "/console/endpoints/{endpoint_id}"),
}
# A break that is about no order.
_OF_CHAIN = ("Break of severity {severity}: {class}, {subject} on {chain}.", "/finance/breaks/{break_id}")
# The end of one that is about no order: its event names neither, and where it was is on its page.
_OVER = ("Resolved by {resolved_by}: {class}, about no order. {reason}", "/finance/breaks/{break_id}")
# The words of an alert follow from its reason.
_ALERTS: Mapping[str, tuple[str, str]] = {
    "brake_pulled": (
        "The brake of {source} is pulled: {count} lost payments of {amount} USDT together wait for a person.",
        "/finance/breaks",
    ),
    "many_breaks": (
        "{not_told} more breaks opened or were resolved at once than are told one by one.",
        "/finance/breaks",
    ),
    "source_stale": ("The provider of {source} has given no usable answer since {since}.", "/finance"),
    "bad_signatures": (
        "{count} requests to {source} had signatures that do not verify, since {since}: a forger, or a changed secret.",
        "/console",
    ),
}
_LONGEST = 200
# With these, chat tools mention people, make links, or set type.
_TOOLS = frozenset("<>&@[]()*`|~\\")
_IDENTITY = ("event_id", "sequence")


def text_body(body: str, public_url: str) -> bytes:
    """Return the bytes of an event in the format `text`; they follow from its stored body and the public URL alone."""
    event = json.loads(body)
    sentence, path = _said(event["type"], event["data"])
    return json.dumps({"text": f"{sentence} {public_url}{path}"}).encode()


def _said(event_type: str, data: Mapping[str, Any]) -> tuple[str, str]:
    known = _ALERTS.get(str(data.get("reason"))) if event_type == "relay.alert" else _SAID.get(event_type)
    known = _OF_CHAIN if "subject" in data else known
    known = _OVER if event_type == "reconciliation.break.resolved" and data.get("orderid") is None else known
    sentence, path = known or (_listing(event_type, data), _page_of(event_type, data))
    # What later facts have resolved has no reason of a person's.
    sentence = sentence if data.get("reason") else sentence.removesuffix(" {reason}")
    words = {name: _plain(value) for name, value in data.items()}
    linked = {name: quote(str(value), safe="") for name, value in data.items()}
    return sentence.format_map(_Asked(words)), path.format_map(_Asked(linked))


def _listing(event_type: str, data: Mapping[str, Any]) -> str:
    """A type without a sentence of its own tells what it holds."""
    told = [name for name, value in data.items() if isinstance(value, str | int) and name not in _IDENTITY]
    return f"{event_type}: {', '.join(f'{name} {{{name}}}' for name in told)}."


def _page_of(event_type: str, data: Mapping[str, Any]) -> str:
    if "break_id" in data:
        return "/finance/breaks/{break_id}"
    return "/finance" if event_type.startswith("reconciliation.") else "/console"


def _plain(value: Any) -> str:
    """A stranger's words: on one line, not for ever, and without what a chat tool acts on."""
    text = "-" if value is None else str(value)
    plain = "".join(c if c.isprintable() and c not in _TOOLS else "?" for c in text)
    return plain if len(plain) <= _LONGEST else f"{plain[:_LONGEST]}…"


class _Asked(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return "?"
