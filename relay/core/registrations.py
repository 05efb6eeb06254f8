"""Own the rules by which an order is registered: what one may say of it, and that it never contradicts what is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from relay.core.address_book import LONGEST, Entry, read_address
from relay.core.amounts import format_micros, parse_usdt
from relay.core.orders import Order, State
from relay.core.sources import Source

FIELDS = ("source", "orderid", "user_ref", "amount", "chain", "address", "expires_at", "notify_url", "state")
# What a registration may fill in, and what it must agree with where it is known already.
_FILLED = ("user_ref", "expected_micros", "chain", "address", "expires_at", "notify_url", "appid", "provider_order_id")
_AGREED = ("user_ref", "expected_micros", "chain", "address", "expires_at", "notify_url")
_CALLED = {"expected_micros": "amount"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What is said of one order by whoever made it. `state` is creating, created, or credited.

    `credited` says that its one credit was given elsewhere, with `expected_micros`.
    The address is in machine spelling; `owns_address` tells that it is its
    user's alone, so that it goes into the address book.
    """

    source: str
    namespace: str
    orderid: str
    appid: str | None = None
    user_ref: str | None = None
    provider_order_id: str | None = None
    expected_micros: int | None = None
    chain: str | None = None
    address: str | None = None
    owns_address: bool = False
    expires_at: datetime | None = None
    notify_url: str | None = None
    state: str = "created"

    @property
    def key(self) -> tuple[str, str]:
        """The identity of the order."""
        return (self.namespace, self.orderid)

    @property
    def entry(self) -> Entry | None:
        """The line of the address book that it brings."""
        if not self.owns_address or self.chain is None or self.address is None:
            return None
        return Entry(
            chain=self.chain, address=self.address, role="deposit", namespace=self.namespace, owner=self.user_ref
        )


def read_registration(
    fields: Mapping[str, str], sources: Mapping[str, Source], *, check_url: Callable[[str], str]
) -> Registration:
    """Return the registration that named texts spell; ValueError says what is wrong with it.

    `sources` are those in reach; `check_url` returns an order's `notify_url` in canonical form or raises ValueError.
    """
    source = _source(fields, sources)
    micros = _amount(fields)
    state = fields.get("state", "created")
    if state not in ("created", "credited"):
        raise ValueError("state must be created or credited")
    if state == "credited" and not micros:
        raise ValueError("amount must say what was credited")
    chain, address = _address(fields, source)
    return Registration(
        source=source.name,
        namespace=source.namespace,
        orderid=_named(fields, "orderid", source),
        appid=source.appid,
        user_ref=_named(fields, "user_ref", source) if "user_ref" in fields else None,
        expected_micros=micros,
        chain=chain,
        address=address,
        owns_address=address is not None and source.address_kind == "dedicated",
        expires_at=_moment(fields["expires_at"]) if "expires_at" in fields else None,
        notify_url=check_url(fields["notify_url"]) if "notify_url" in fields else None,
        state=state,
    )


def _source(fields: Mapping[str, str], sources: Mapping[str, Source]) -> Source:
    unknown = sorted(fields.keys() - set(FIELDS))
    if unknown:
        raise ValueError(f"{unknown[0]!a} is not known; there are {', '.join(FIELDS)}")
    for name in ("source", "orderid"):
        if name not in fields:
            raise ValueError(f"{name} is missing")
    if fields["source"] not in sources:
        raise ValueError("source: no such source")
    return sources[fields["source"]]


def _amount(fields: Mapping[str, str]) -> int | None:
    if "amount" not in fields:
        return None
    try:
        return parse_usdt(fields["amount"])
    except ValueError as error:
        raise ValueError(f"amount {error}") from None


def _named(fields: Mapping[str, str], word: str, source: Source) -> str:
    """An order that no callback of its source could name would wait for ever."""
    value = fields[word]
    pattern = source.adapter.patterns.get(source.adapter.names.get(word, ""))
    if len(value) > LONGEST or (pattern is not None and not pattern.fullmatch(value)):
        raise ValueError(f"{word} is not of the form that {source.name} calls back with")
    return value


def _address(fields: Mapping[str, str], source: Source) -> tuple[str | None, str | None]:
    chain = fields.get("chain")
    if chain is None and "address" in fields:
        if len(source.chains) != 1:
            raise ValueError("chain is missing: an address is read by the rules of its chain")
        chain = source.chains[0]
    if chain is not None and source.chains and chain not in source.chains:
        raise ValueError(f"chain: {source.name} pays on {', '.join(source.chains)}")
    if chain is not None and len(chain) > LONGEST:
        raise ValueError(f"chain is longer than {LONGEST} characters")
    return chain, read_address(fields["address"], chain or "") if "address" in fields else None


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError("expires_at must be a time with its offset, as 2026-11-23T12:00:00Z")


def registered(wanted: Registration, before: Order | None) -> Order:
    """Return an order with what a registration says of it; the same order where that was known.

    ValueError where the registration contradicts what is known.
    """
    if before is None:
        return _credited(wanted, _born(wanted)) if wanted.state == "credited" else _born(wanted)
    for name in _AGREED:
        said, known = getattr(wanted, name), getattr(before, name)
        if None not in (said, known) and said != known:
            raise ValueError(f"{_CALLED.get(name, name)} contradicts what is known of the order")
    missing = {name: getattr(wanted, name) for name in _FILLED if getattr(before, name) is None}
    filled = replace(before, registered=True, **missing)
    return _credited(wanted, filled) if wanted.state == "credited" else filled


def _born(wanted: Registration) -> Order:
    return Order(
        namespace=wanted.namespace,
        orderid=wanted.orderid,
        source=wanted.source,
        state=State.CREATING if wanted.state == "creating" else State.CREATED,
        registered=True,
        **{name: getattr(wanted, name) for name in _FILLED},
    )


def _credited(wanted: Registration, order: Order) -> Order:
    """Use up the one credit: whoever ran before us gave it, so nobody is told."""
    micros = wanted.expected_micros or 0
    if order.credited_micros:
        if order.credited_micros != micros:
            raise ValueError(f"it was credited with {format_micros(order.credited_micros)} USDT already")
        return order
    if order.state in (State.HELD, State.REFUNDED, State.REVERSED):
        raise ValueError(f"the order is {order.state}; a person has to decide on it first")
    if order.amount_micros not in (None, micros):
        raise ValueError("amount contradicts what was called back")
    return replace(
        order,
        state=State.SUCCEEDED,
        version=order.version + (order.state != State.SUCCEEDED),
        amount_micros=micros,
        credited_micros=micros,
        flags=order.flags | {"imported"},
    )
