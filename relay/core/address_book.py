"""Own the rules of the address book: what an entry says, and that two of them may not say different things."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from relay.core.chain_addresses import family_of, parse_address
from relay.core.sources import Source

# A provider's address is watched like our own, since orders may be paid there; what is on it is not our money.
ROLES = ("deposit", "collection", "provider", "external")
FIELDS = ("chain", "address", "role", "owner", "source")
LONGEST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An address in its machine spelling, what it is for, and, of a deposit address, whose it is.

    `owner` is a user of `namespace`; None is not known yet.
    """

    chain: str
    address: str
    role: str
    namespace: str | None = None
    owner: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """The identity of an address."""
        return (self.chain, self.address)


def read_entry(fields: Mapping[str, str], sources: Mapping[str, Source]) -> Entry:
    """Return the entry that named texts spell; ValueError says what is wrong with it. `sources` are those in reach."""
    unknown = sorted(fields.keys() - set(FIELDS))
    if unknown:
        raise ValueError(f"{unknown[0]!a} is not known; there are {', '.join(FIELDS)}")
    for name in ("chain", "address", "role"):
        if name not in fields:
            raise ValueError(f"{name} is missing")
    if fields["role"] not in ROLES:
        raise ValueError(f"role must be one of {', '.join(ROLES)}")
    for name in ("chain", "owner"):
        if len(fields.get(name, "")) > LONGEST:
            raise ValueError(f"{name} is longer than {LONGEST} characters")
    return Entry(
        chain=fields["chain"],
        address=read_address(fields["address"], fields["chain"]),
        role=fields["role"],
        namespace=_namespace(fields.get("source"), sources),
        owner=fields.get("owner"),
    )


def read_address(text: str, chain: str) -> str:
    """Return the machine spelling of an address on a chain; ValueError names the field and the fault."""
    try:
        return parse_address(text, family_of(chain))
    except ValueError as error:
        raise ValueError(f"address {error}") from None


def _namespace(name: str | None, sources: Mapping[str, Source]) -> str | None:
    if name is None:
        return None
    if name not in sources:
        raise ValueError("source: no such source")
    return sources[name].namespace


def entered(wanted: Entry, before: Entry | None) -> Entry:
    """Return an entry with what `wanted` adds to it; ValueError where it contradicts what is known.

    An address of one user's own must never become another's: money that is sent there would be credited twice.
    """
    if before is None:
        return wanted
    if wanted.role != before.role:
        raise ValueError(f"address is known as a {before.role} address")
    if before.owner is not None and (wanted.owner or before.owner) != before.owner:
        raise ValueError("address belongs to another user")
    if before.namespace is not None and (wanted.namespace or before.namespace) != before.namespace:
        raise ValueError("address belongs to another namespace")
    return replace(before, owner=before.owner or wanted.owner, namespace=before.namespace or wanted.namespace)
