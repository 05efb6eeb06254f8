"""Own the making of trouble on request: each story is an order, or money, that ends in one class of break.

While `make run` runs: `python -m relay sandbox make missing_callback`.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from relay.sandbox.book import UNIT_MICROS, V2
from relay.sandbox.chain import FINE, LAG, MAKER
from relay.sandbox.chain.driver import ChainAway, SandboxChain
from relay.sandbox.dialects import REFUNDING, address_for
from relay.sandbox.loopback import ask
from relay.sandbox.plan import ABROAD, CAREFUL, CHAIN, FOREIGN, TILL, Plan
from relay.sandbox.shop import shop_of
from relay.sandbox.stage import AMOUNT, WITHIN_S, NotMade, Stage, commands_of

# A USDT, in base units.
USDT = 1_000_000
# More base units than any account of the chain holds.
TOO_MUCH = 10**18
EXPIRES_IN_S = 3.0
# A dialect whose orders are made elsewhere.
OTHER = "epusdt"
# More blocks than the chain will have, and longer than its finality may take: window and grace.
STILL, STILL_S = 10**9, 120.0


def _paid_with(*tricks: str) -> Callable[[Stage], str]:
    """The story of an order that is paid, and that the provider then plays tricks with."""

    def play(stage: Stage) -> str:
        order = stage.order(*tricks)
        stage.pay(order)
        return order.orderid

    return play


def _phantom_credit(stage: Stage) -> str:
    order = stage.order()
    stage.control("confirm", {"orderid": order.orderid, "tx_hash": _nothing()})
    return order.orderid


def _underpaid(stage: Stage) -> str:
    order = stage.order("claim")
    stage.pay(order, units=AMOUNT // 2)
    return order.orderid


def _overpaid(stage: Stage) -> str:
    order = stage.order()
    stage.pay(order)
    stage.pay(order, units=AMOUNT // 3)
    return order.orderid


def _late_payment(stage: Stage) -> str:
    moment = datetime.now(UTC) + timedelta(seconds=EXPIRES_IN_S)
    order = stage.order(expires_at=moment.isoformat(timespec="seconds"))
    stage.until(lambda: datetime.now(UTC) > moment + timedelta(seconds=1), what="expiry")
    stage.pay(order)
    return order.orderid


def _reverted_tx(stage: Stage) -> str:
    """The provider believes a transaction that failed: more was sent than the account has."""
    order = stage.order(dialect=V2)
    tx_hash = stage.send(order.address, TOO_MUCH)
    stage.control("confirm", {"orderid": order.orderid, "tx_hash": tx_hash})
    return order.orderid


def _wrong_token(stage: Stage) -> str:
    """The provider takes a look-alike for the token."""
    order = stage.order(dialect=V2)
    made = stage.mined(stage.chain.counterfeit(stage.actor))
    contract = str(stage.chain.rpc("eth_getTransactionReceipt", made)["contractAddress"])
    paid = stage.mined(stage.chain.transfer(stage.actor, order.address, AMOUNT * UNIT_MICROS, token=contract))
    stage.control("confirm", {"orderid": order.orderid, "tx_hash": paid})
    return order.orderid


def _unexplained_outflow(stage: Stage) -> str:
    """An account of the chain becomes an address where we collect, and then spends."""
    thief = stage.book(stage.chain.accounts[-2], "collection")
    return stage.mined(stage.chain.transfer(thief, address_for(stage.plan.appid, "a stranger's"), AMOUNT * UNIT_MICROS))


def _orphan_transfer(stage: Stage) -> str:
    return stage.send(stage.nobodys(), AMOUNT * UNIT_MICROS)


def _ambiguous_match(stage: Stage) -> str:
    """Two orders of the same sum wait at one address, and nobody says which of them was paid."""
    order = stage.order("lose", "hide")
    other = {
        "source": OTHER,
        "orderid": f"{order.orderid}-too",
        "chain": CHAIN,
        "address": order.address,
        "amount": "30",
    }
    if not stage.shop.tell("/v1/orders/import", other):
        raise NotMade("the second order was not registered")
    return stage.pay(order)


def _asset_or_network_mismatch(stage: Stage) -> str:
    """An order is to be paid on another network; its provider takes a payment on this one for it."""
    tx_hash = stage.send(stage.nobodys(), AMOUNT * UNIT_MICROS)
    orderid = f"abroad-{tx_hash[2:12]}"
    stage.elsewhere(ABROAD, orderid, dialect=V2, chain=FOREIGN)
    stage.control("confirm", {"orderid": orderid, "tx_hash": tx_hash})
    return orderid


def _unfinal_credit(stage: Stage) -> str:
    """The chain's finality stands still for a while; what is credited meanwhile waits for it."""
    stage.chain.set_lag(STILL)
    try:
        order = stage.order()
        stage.pay(order)
        time.sleep(STILL_S)
    finally:
        stage.chain.set_lag(LAG)
    return order.orderid


def _dust_or_poison(stage: Stage) -> str:
    return stage.mined(stage.chain.transfer(MAKER, stage.nobodys(), 1, token=FINE))


def _balance_gap(stage: Stage) -> str:
    """Part of what an address holds is gone without an event; a payment to it has it measured again."""
    address = stage.measured()
    stage.mined(stage.chain.vanish(stage.actor, address, USDT))
    stage.send(address, USDT)
    return address


def _non_transfer_move(stage: Stage) -> str:
    """The issuer destroys what an address holds, and says so by an event of its own."""
    address = stage.measured()
    stage.mined(stage.chain.destroy(stage.actor, address))
    stage.send(address, USDT)
    return address


def _double_claim(stage: Stage) -> str:
    """V2 names transactions in its callbacks."""
    order, other = stage.order(dialect=V2), stage.order(dialect=V2)
    tx_hash = stage.pay(order)
    stage.control("confirm", {"orderid": other.orderid, "tx_hash": tx_hash})
    return f"{order.orderid} and {other.orderid}"


def _reorged_out(stage: Stage) -> str:
    """At the last moment, when the relay has credited the payment and read its block."""
    order = stage.order()
    tx_hash = stage.pay(order)
    block = stage.chain.block_of(tx_hash) or 0
    stage.until(lambda: stage.chain.head - block + 1 >= LAG - 1, what="blocks enough")
    stage.chain.reorg(stage.chain.head - block + 1, drop=tx_hash)
    return order.orderid


def _second_payment(stage: Stage) -> str:
    """BTCPay counts each payment by itself; the second one comes when the order is credited."""
    order = stage.order("again", dialect="btcpay")
    stage.pay(order)
    return order.orderid


def _told_later(trick: str) -> Callable[[Stage], str]:
    """The story of an order of V2 that is told something else once it was paid: V2 names statuses."""

    def play(stage: Stage) -> str:
        order = stage.order(trick, dialect=V2)
        stage.pay(order)
        return order.orderid

    return play


def _refund_amount(stage: Stage) -> str:
    """Of the provider's dialects only this one tells refunds."""
    orderid = f"refunded-{time.time():.0f}"
    stage.elsewhere(REFUNDING, orderid, dialect=REFUNDING, tricks=["refund"])
    stage.control("confirm", {"orderid": orderid, "tx_hash": _nothing()})
    return orderid


def _evidence_missing(stage: Stage) -> str:
    """A source that believes a callback only when the chain shows its money, and none comes."""
    orderid = f"unseen-{time.time():.0f}"
    stage.elsewhere(CAREFUL, orderid, dialect=V2, chain=CHAIN, address=address_for(stage.plan.appid, orderid))
    stage.control("confirm", {"orderid": orderid, "tx_hash": _nothing()})
    return orderid


def _evidence_conflict(stage: Stage) -> str:
    """There the chain shows more than the callback tells."""
    orderid = f"contradicted-{time.time():.0f}"
    address = address_for(stage.plan.appid, orderid)
    stage.elsewhere(CAREFUL, orderid, dialect=V2, tricks=["claim"], chain=CHAIN, address=address)
    stage.send(address, 2 * AMOUNT * UNIT_MICROS)
    return orderid


def _nothing() -> str:
    """The hash of a transaction that no chain has."""
    return f"0x{int(time.time()):064x}"


def _delivery_gap(stage: Stage) -> str:
    """A service acknowledges the credit with its third attempt only, five minutes later."""
    order = stage.order()
    told = {"name": "ledger", "orderid": order.orderid, "attempts": 2}
    if ask(f"{stage.plan.subscribers_url}/ignore", told, timeout_s=WITHIN_S) is None:
        raise NotMade("the subscribers do not answer")
    stage.pay(order)
    return order.orderid


def _prior_period_change(stage: Stage) -> str:
    """A statement tells of a payment on a day that was sealed."""
    today = datetime.now(UTC).date()
    days = ((today - timedelta(days=back)).isoformat() for back in range(1, 10))
    sealed = next(
        (day for day in days if stage.shop.get(f"/v1/reconciliation/days/{day}").get("state") == "sealed"), None
    )
    if sealed is None:
        raise NotMade("no day is sealed yet; close the first of the last three under /finance")
    orderid = f"late-{time.time():.0f}"
    stage.command(
        ("statement", "import", "-", "--source", TILL), f"Order,Amount,Paid at\n{orderid},7,{sealed}T12:00:00Z\n"
    )
    return orderid


STORIES: dict[str, Callable[[Stage], str]] = {
    "missing_callback": _paid_with("lose"),
    "paid_unannounced": _paid_with("lose", "hide"),
    "callback_unconfirmed": _paid_with("hide"),
    "status_conflict": _paid_with("deny"),
    "rejected_callback_paid": _paid_with("garble"),
    "duplicate_conflict": _paid_with("contradict"),
    "amount_mismatch": _paid_with("scale"),
    "phantom_credit": _phantom_credit,
    "underpaid": _underpaid,
    "overpaid": _overpaid,
    "late_payment": _late_payment,
    "reverted_tx": _reverted_tx,
    "wrong_token": _wrong_token,
    "unexplained_outflow": _unexplained_outflow,
    "orphan_transfer": _orphan_transfer,
    "ambiguous_match": _ambiguous_match,
    "asset_or_network_mismatch": _asset_or_network_mismatch,
    "unfinal_credit": _unfinal_credit,
    "tx_mismatch": _paid_with("misname"),
    "clock_anomaly": _paid_with("hurry"),
    "dust_or_poison": _dust_or_poison,
    "balance_gap": _balance_gap,
    "non_transfer_move": _non_transfer_move,
    "double_claim": _double_claim,
    "second_payment": _second_payment,
    "status_regression": _told_later("regress"),
    "unknown_status": _told_later("puzzle"),
    "refund_amount": _refund_amount,
    "evidence_missing": _evidence_missing,
    "evidence_conflict": _evidence_conflict,
    "delivery_gap": _delivery_gap,
    "prior_period_change": _prior_period_change,
    "reorged_out": _reorged_out,
}


def main() -> None:
    """Play one story in the running sandbox; print the order or transaction to look at."""
    parser = argparse.ArgumentParser(description="Make one class of break in the running sandbox.")
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("story", choices=STORIES)
    given = parser.parse_args()
    plan = Plan.read(given.plan)
    try:
        stage = Stage(shop_of(given.plan, os.environ), SandboxChain(plan.chain_url), plan, commands_of(given.plan))
        made = STORIES[given.story](stage)
    except (NotMade, ChainAway) as error:
        raise SystemExit(f"not made: {error}; is the sandbox running there?") from error
    sys.stdout.write(f"{given.story}: {made}\n")


if __name__ == "__main__":
    main()
