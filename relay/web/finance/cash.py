"""Own the page of a day's proof of cash, address by address."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from relay.bootstrap import now
from relay.core.balances import Proof
from relay.core.chain_addresses import parse_address
from relay.errors import Unprocessable
from relay.flows.balances import proofs_of
from relay.store.engine import reading
from relay.web.auth import person
from relay.web.console.frame import READERS, framed, number_of
from relay.web.context import runtime
from relay.web.finance.days import day_of

routes = Blueprint("cash", __name__)

PER_PAGE = 50


@routes.get("/finance/<day>/cash")
@person(*READERS)
def by_address(day: str) -> Response:
    """List what each of our addresses held at the day's bounds, what moved, and whether it adds up."""
    asked, text = day_of(day), request.args.get("address", "").strip()
    chains = runtime().settings.chains
    with reading(runtime().engine) as connection:
        proofs, following = proofs_of(
            connection,
            chains,
            asked,
            now=now(),
            after=number_of(request.args.get("after", "")) or 0,
            limit=PER_PAGE,
            address=_address(text),
        )
    rows = [_shown(proof) for proof in proofs]
    return framed("cash.html", "statement", day=asked, rows=rows, text=text, next=following)


def _address(text: str) -> str | None:
    """Return the machine spelling of an address that a person typed, in whichever spelling."""
    try:
        return parse_address(text, "tron") if text else None
    except ValueError as error:
        raise Unprocessable(f"an address {error}", pointer="/address") from None


def _shown(proof: Proof) -> dict[str, Any]:
    token = runtime().settings.chains[proof.chain].token(proof.contract)
    return {"proof": proof, "decimals": token.decimals if token else 0}
