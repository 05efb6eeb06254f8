"""Own how the address book is looked at."""

from __future__ import annotations

from typing import Any, Literal

from relay.core.actors import FINANCE
from relay.flows.timeline import namespaces_in_scope
from relay.store import addresses
from relay.store.engine import reading
from relay.web.api.common import (
    ChainAddress,
    GivenAddress,
    Listed,
    ListQuery,
    Moment,
    Shape,
    Words,
    listed,
    part,
)
from relay.web.auth import role
from relay.web.context import actor, runtime

routes = part("addresses", "Where users pay to, where money is collected, providers' addresses and strangers'.")

Role = Literal["deposit", "collection", "provider", "external"]


class AddressQuery(ListQuery):
    """Which addresses; `address` in any spelling."""

    chain: Words | None = None
    address: GivenAddress | None = None
    role: Role | None = None
    owner: Words | None = None


class AddressShape(Shape):
    """An address; `owner` is a user of the namespace, of a deposit address that is theirs alone."""

    id: int
    chain: str
    address: ChainAddress
    role: Role
    namespace: str | None
    owner: str | None
    created_at: Moment


@routes.get("/addresses", responses={200: Listed[AddressShape]})
@role("service", *FINANCE)
def list_addresses(query: AddressQuery) -> dict[str, Any]:
    """List addresses, newest first."""
    scope = namespaces_in_scope(runtime().sources, actor())
    with reading(runtime().engine) as connection:
        page = addresses.page(connection, scope=scope, **query.model_dump())
    return listed(AddressShape, page.rows, page.next)
