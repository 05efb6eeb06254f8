"""Own what every page for people has in common: how it is rendered, and what its browser may do with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from flask import Response, render_template

from relay.core.advice import SEVERITIES, decided, heading, next_step, rule, why_held
from relay.core.amounts import grouped
from relay.core.balances import spell_usdt
from relay.core.chain_addresses import family_of, show_address
from relay.core.events import rfc3339
from relay.web.context import runtime

# Pages load one style sheet and pictures of ours, and post to us; there is no script to allow.
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    # Without any referrer a browser also hides the origin of our own forms, by which we tell them from others'.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def page(template: str, /, status: int = 200, **context: object) -> Response:
    """Return a rendered template with the headers of a page."""
    return Response(render_template(template, **context), status, HEADERS, content_type="text/html; charset=utf-8")


def money(micros: int | None) -> str:
    """Spell an amount for a report: grouped, six places, negative in parentheses, zero as a dash, absent as "none"."""
    if micros is None:
        return "none"
    if not micros:
        return "-"
    spelled = grouped(abs(micros))
    return f"({spelled})" if micros < 0 else spelled


def exact(micros: int) -> str:
    """Spell an amount as `money` does, but zero in full: a witness that says nothing came has said so."""
    return money(micros) if micros else "0.000000"


def usdt(told: Decimal | str | None) -> str:
    """Spell an amount that a manifest has as text, with as many places: zero in full, absent as "none"."""
    if told is None:
        return "none"
    amount = Decimal(told)
    return f"({-amount:,f})" if amount < 0 else f"{abs(amount):,f}"


def units(held: int, decimals: int) -> str:
    """Spell base units of a token as `money` does; with more than six places only where something stands below a micro."""
    return exact_units(held, decimals) if held else "-"


def exact_units(held: int, decimals: int) -> str:
    """Spell base units as `units` does, but zero in full."""
    whole, _, places = spell_usdt(abs(held), decimals).partition(".")
    spelled = f"{int(whole):,}.{places}"
    return f"({spelled})" if held < 0 else spelled


def moment(at: datetime | None) -> str:
    """Spell a moment in UTC, to the second."""
    return "never" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def iso(at: datetime) -> str:
    """Spell a moment for machines."""
    return rfc3339(at)


def local(at: datetime) -> str:
    """Spell a moment in the zone of the business day, with the date where it is another than in UTC; "" where that is UTC."""
    zone = runtime().settings.business_timezone
    there = at.astimezone(ZoneInfo(zone))
    date = "" if there.date() == at.astimezone(UTC).date() else f"{there:%Y-%m-%d} "
    return "" if zone == "UTC" else f"{date}{there:%H:%M:%S %Z}"


def age(since: datetime, until: datetime) -> str:
    """Say how old a thing is, in the two largest units that are not nothing."""
    seconds = max(int((until - since).total_seconds()), 0)
    days, hours, minutes = seconds // 86_400, seconds // 3_600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h" if hours and days < 8 else f"{days} d"
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{minutes} min" if minutes else f"{seconds} s"


def words(name: str) -> str:
    """Spell the name of a class or of a field as words."""
    return name.replace("_", " ")


def plain(value: object) -> str:
    """Spell any value of a fact; what was stored as a list or a map stays readable."""
    if isinstance(value, datetime):
        return moment(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def short(text: str) -> str:
    """Cut a text that somebody may have made long on purpose."""
    return text if len(text) <= 48 else f"{text[:32]}…{text[-8:]}"


def address(machine: str, chain: str) -> str:
    """Spell an address as the people of its chain know it."""
    return show_address(machine, family_of(chain))


def tx_url(shown: str, chain: str | None) -> str:
    """Return where a person looks a transaction up that stands on a chain; "" where nobody has said."""
    return _looked_up(shown, chain, "explorer_tx")


def address_url(shown: str, chain: str | None) -> str:
    """Return where a person looks an address up."""
    return _looked_up(shown, chain, "explorer_address")


def _looked_up(shown: str, chain: str | None, where: str) -> str:
    known = runtime().settings.chains.get(chain or "")
    return "" if known is None else str(getattr(known, where)).replace("{}", quote(shown, safe=""))


def changed(query: Mapping[str, str], **changes: str | None) -> str:
    """Return the query of a link: this one with some names changed, and without those that are None or empty."""
    return urlencode({name: value for name, value in {**query, **changes}.items() if value})


def path_of(namespace: str, orderid: str) -> str:
    """Return the path of an order's page."""
    # Slashes stay in an order's number, since its route takes the rest of the path; a namespace is one part of it.
    return f"/finance/orders/{quote(namespace, safe='')}/{quote(orderid)}"


_SPELLINGS = (
    money,
    exact,
    usdt,
    units,
    exact_units,
    moment,
    iso,
    local,
    age,
    words,
    plain,
    short,
    address,
    tx_url,
    address_url,
    changed,
)
_ADVICE = (decided, heading, next_step, rule, why_held)
FILTERS: dict[str, Callable[..., Any]] = {
    **{one.__name__: one for one in (*_SPELLINGS, *_ADVICE)},
    "badness": SEVERITIES.__getitem__,
    "fromjson": json.loads,
    "instant": datetime.fromisoformat,
}
