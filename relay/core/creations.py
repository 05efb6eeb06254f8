"""Own how an order is made at its provider: what is asked for, what is sent of it, and what its answer does to the order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self

from relay.core.amounts import parse_usdt
from relay.core.calls import KINDS, Call, Outgoing, build, spell_amount
from relay.core.chain_addresses import family_of, parse_address
from relay.core.orders import Order, State
from relay.core.sources import Source
from relay.errors import Conflict, Unprocessable

# One request a second for each account. Source: the provider's page on its order call, which threatens to close accounts that ask more often.
# A tenth more, since what is sent a second apart arrives up to some hundredths closer.
APART = timedelta(seconds=1.1)
_LONGEST_WAIT_S = 300


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants made: the kind of call, and what they said of the order, as they spelled it."""

    kind: str
    fields: Mapping[str, str]

    @classmethod
    def stored(cls, kind: str, text: str) -> Self:
        """Read a wish as it was stored."""
        return cls(kind, json.loads(text))

    @property
    def text(self) -> str:
        """Spell it so that equal wishes are equal texts."""
        return json.dumps(self.fields, sort_keys=True, ensure_ascii=False)


def kind_of(source: Source, kind: str | None) -> str:
    """Return the kind that is meant: the source's only one, when nothing is said."""
    return kind or next(iter(source.adapter.creates if len(source.adapter.creates) == 1 else ("",)))


def call_of(source: Source, kind: str) -> Call:
    """Return the call that makes such an order; a source that cannot is a Conflict, or Unprocessable where the kind is wrong."""
    call = source.adapter.creates.get(kind)
    if call is None:
        choices = [one for one in KINDS if one in source.adapter.creates]
        if not choices:
            raise Conflict(
                f"{source.name} has no call that makes orders: register what was made elsewhere", code="cannot_create"
            )
        raise Unprocessable(f"{source.name} makes orders of kind {', '.join(choices)}", pointer="/kind")
    lacking = [f"sources.{source.name}.{word}" for word in call.missing(source.own_words)]
    if not source.base_url:
        lacking.insert(0, f"sources.{source.name}.base_url")
    if lacking:
        raise Conflict(f"not configured: {', '.join(lacking)}", code="cannot_create")
    return call


def outgoing(source: Source, wish: Wish, *, callback_url: str, now: datetime) -> Outgoing:
    """Return the request that makes an order; Unprocessable names what it lacks, or what the provider cannot be told."""
    call = call_of(source, wish.kind)
    words = {**wish.fields, **source.own_words, "callback_url": callback_url, "now": str(int(now.timestamp()))}
    if "amount" in wish.fields:
        try:
            words["amount"] = spell_amount(call, parse_usdt(wish.fields["amount"]))
        except ValueError as error:
            raise Unprocessable(f"amount {error}", pointer="/amount") from None
    if "expires_at" in wish.fields:
        words["expires_at"] = str(int(datetime.fromisoformat(wish.fields["expires_at"]).timestamp()))
    try:
        return build(call, source.adapter.scheme, source.base_url, words)
    except ValueError as error:
        raise Unprocessable(f"{error}: {source.name} needs it", pointer=f"/{str(error).split()[0]}") from None


def made(order: Order, told: Mapping[str, str], source: Source) -> Order:
    """Return an order that its provider has made; one that a callback has moved on stays where it is.

    What we know already is not replaced: an address that the provider spells
    in another way, or that cannot be read, is only in the stored answer.
    """
    chain, address = _address(order, told, source)
    known = replace(
        order,
        provider_order_id=order.provider_order_id or told.get("provider_order_id"),
        chain=order.chain or chain,
        address=order.address or address,
    )
    if order.state != State.CREATING:
        return known
    return replace(known, state=State.CREATED, version=order.version + 1)


def refused(order: Order) -> Order:
    """Return an order that its provider did not make; nobody was told of it, so nobody is told that it failed."""
    if order.state != State.CREATING:
        return order
    return replace(order, state=State.FAILED, version=order.version + 1)


def wait_s(tries: int) -> int:
    """Return how long a request that never left waits to leave again, by how often it was tried."""
    return min(_LONGEST_WAIT_S, 5 << min(tries, 10))


def pace_name(source: Source) -> str:
    """Return what sources that call one account have in common."""
    return f"{source.base_url} {source.appid or source.name}"


def _address(order: Order, told: Mapping[str, str], source: Source) -> tuple[str | None, str | None]:
    chain = order.chain or (source.chains[0] if len(source.chains) == 1 else None)
    if chain is None or "address" not in told:
        return None, None
    try:
        return chain, parse_address(told["address"], family_of(chain))
    except ValueError:
        return None, None
