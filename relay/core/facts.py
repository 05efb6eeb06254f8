"""Own the facts that other witnesses bring beside a callback: what the provider answers, and what the chain shows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from relay.core.callbacks import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderFact:
    """What a provider says of an order when it is asked (`via` "query") or in its statement ("statement").

    `status` is None for a status the adapter does not map; `raw_status` keeps the provider's own word.
    Amounts are micro-USDT; `unit_micros` is the smallest difference the source can express.
    """

    source: str
    namespace: str
    orderid: str
    via: str
    raw_status: str
    status: Status | None = None
    amount_micros: int | None = None
    amount_raw: str | None = None
    unit_micros: int = 1
    provider_order_id: str | None = None
    tx_hash: str | None = None
    occurred_at: datetime | None = None

    @property
    def key(self) -> tuple[str, str]:
        """The identity of the order it is about."""
        return (self.namespace, self.orderid)


def merged(before: ProviderFact | None, heard: ProviderFact) -> ProviderFact:
    """Return what is known of an order when this was heard of it; `before` itself when nothing is new.

    What the newer word leaves out stays known; an amount only while the status
    is the same, for what is awaited need not be what was paid, nor what is paid
    too much what was paid. A statement is older than an answer: that money was
    still awaited then takes nothing back.
    """
    if before is None:
        return heard
    if heard.via == "statement" and before.via == "query" and heard.status in (None, Status.PENDING):
        return before
    # A statement has words of its own for the same status; one witness that changes its word means something by it.
    is_same = heard.status is before.status and (heard.via != before.via or heard.raw_status == before.raw_status)
    sum_of = before if heard.amount_micros is None and is_same else heard
    kept = replace(
        heard,
        amount_micros=sum_of.amount_micros,
        amount_raw=sum_of.amount_raw,
        unit_micros=sum_of.unit_micros,
        provider_order_id=heard.provider_order_id or before.provider_order_id,
        tx_hash=heard.tx_hash or before.tx_hash,
        occurred_at=heard.occurred_at or before.occurred_at,
    )
    return before if replace(kept, via=before.via) == before else kept


TransferKey = tuple[str, str, int]  # chain, transaction, log


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One Transfer log of a token that we count as USDT, on the chain that `chain` names.

    Addresses and hashes are in the chain's machine spelling: 0x and lower-case
    hex. The value is `amount_micros` and, of a token with more than six
    places, `rest` base units below a micro. `is_final`: the chain calls its
    block final, and the block was read as canonical. `confirmations` counts
    from its own block on, 0 where nobody has counted.
    """

    chain: str
    tx_hash: str
    log_index: int
    block_number: int
    block_hash: str
    block_time: datetime
    contract: str
    sender: str
    recipient: str
    amount_micros: int
    rest: int = 0
    is_final: bool = False
    confirmations: int = 0

    @property
    def key(self) -> TransferKey:
        """The identity of a movement of money: no two orders may claim it."""
        return (self.chain, self.tx_hash, self.log_index)


@dataclass(frozen=True, slots=True)
class Named:
    """A standing transfer of a transaction that an order's witnesses name, to an address where users pay to.

    `owner` is whose address it is, `taken_by` the other order that it belongs to, both None where there is none.
    """

    transfer: Transfer
    owner: str | None = None
    taken_by: str | None = None
