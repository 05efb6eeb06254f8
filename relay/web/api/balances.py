"""Own how programs read what the merchant's addresses hold, and whether it is proven."""

from __future__ import annotations

from typing import Any, Literal

from relay.bootstrap import now
from relay.core.actors import FINANCE
from relay.core.balances import Proof, spell_units
from relay.core.chain_addresses import family_of, show_address
from relay.core.chains import Chain
from relay.core.days import Calendar, Day, read_day
from relay.errors import Unprocessable
from relay.flows.balances import proofs_of
from relay.store.engine import reading
from relay.web.api.common import GivenAddress, Listed, ListQuery, Shape, Words, listed, part
from relay.web.auth import role
from relay.web.context import runtime

routes = part(
    "balances", "What your addresses hold: opening and what came in, less what went out, beside what the chain says."
)


class BalanceQuery(ListQuery):
    """Of which business day (the present one when none is named), chain and address, in any spelling."""

    day: Words | None = None
    chain: Words | None = None
    address: GivenAddress | None = None


class ExplainingEvent(Shape):
    """An event of the token that may be why an address holds more or less."""

    kind: str
    tx_hash: str
    block_number: int


class BalanceShape(Shape):
    """An address and a token from the end of `first_block` to the end of `last_block`; amounts with all the token's places.

    `closing` is what must be there, `measured` what the chain says, null
    where nobody measured; `why` names what is missing for a proof.
    """

    chain: str
    contract: str
    address: str
    role: str
    verdict: Literal["proved", "gap", "explained", "unprovable"]
    why: str
    first_block: int | None
    last_block: int | None
    opening: str | None
    received: str
    sent: str
    closing: str | None
    measured: str | None
    difference: str | None
    events: list[ExplainingEvent]


@routes.get("/balances", responses={200: Listed[BalanceShape]})
@role(*FINANCE)
def list_balances(query: BalanceQuery) -> dict[str, Any]:
    """List a day's proofs, a line for each of your addresses and token; `limit` counts addresses."""
    moment = now()
    chains = {name: one for name, one in runtime().settings.chains.items() if query.chain in (None, name)}
    with reading(runtime().engine) as connection:
        proofs, following = proofs_of(
            connection,
            chains,
            _day(query.day),
            now=moment,
            after=query.after or 0,
            limit=query.limit,
            address=query.address,
        )
    return listed(BalanceShape, [_row(one, chains[one.chain]) for one in proofs], following)


def _day(name: str | None) -> Day:
    settings = runtime().settings
    calendar = Calendar(settings.business_timezone, settings.business_cutoff)
    if name is None:
        return calendar.day_at(now())
    try:
        return calendar.day(read_day(name))
    except ValueError as error:
        raise Unprocessable(str(error), pointer="/day") from None


def _row(proof: Proof, chain: Chain) -> dict[str, Any]:
    token = chain.token(proof.contract)
    decimals = token.decimals if token else 0
    sums = ("opening", "received", "sent", "closing", "measured", "difference")
    told = {name: getattr(proof, name) for name in sums}
    family = family_of(chain.name)
    return {name: None if units is None else spell_units(units, decimals) for name, units in told.items()} | {
        "chain": proof.chain,
        "contract": show_address(proof.contract, family),
        "address": show_address(proof.address, family),
        "role": proof.role,
        "verdict": proof.verdict,
        "why": proof.why,
        "first_block": proof.first_block,
        "last_block": proof.last_block,
        "events": [
            {"kind": one.kind, "tx_hash": one.tx_hash, "block_number": one.block_number} for one in proof.events
        ],
    }
