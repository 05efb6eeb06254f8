"""Own what is the matter with a transaction that an order's witnesses name, where nothing of it has come to the order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# What nodes said of a transaction that no scan has read, where it settles the question.
REVERTED, FOREIGN = "reverted", "foreign"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A named transaction.

    `chains` are those on which it moved counted money to addresses of ours,
    `orders` the other orders that name it or were paid by it. `said` is what
    nodes say of one that no scan has read: reverted, foreign (it moved only
    tokens that do not count, `contract`, to us), or "".
    """

    tx_hash: str
    chains: tuple[str, ...] = ()
    orders: tuple[str, ...] = ()
    said: str = ""
    contract: str = ""


def claim_of(orderid: str) -> Mapping[str, str]:
    """Return the evidence against an order whose money may be what was credited before as another: nobody named a transaction."""
    return {"credited_before": orderid, "names": "no transaction"}


def trouble(claim: Claim, order_chain: str | None) -> tuple[str, Mapping[str, str]] | None:
    """Return the class of the break and its evidence; None while nothing is known against the claim."""
    told = {"tx_hash": claim.tx_hash}
    if claim.said == REVERTED:
        return "reverted_tx", told | {"receipt": "reverted"}
    if claim.said == FOREIGN:
        return "wrong_token", told | {"contract": claim.contract}
    if claim.chains and order_chain is not None and order_chain not in claim.chains:
        return "asset_or_network_mismatch", told | {"order": order_chain, "paid_on": ", ".join(claim.chains)}
    if claim.chains and claim.orders:
        return "double_claim", told | {"orders": ", ".join(claim.orders)}
    return None
