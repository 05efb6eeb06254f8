"""Every story of trouble is played between a real EVM, the provider, and a relay that makes what it is asked for."""

from __future__ import annotations

import csv
import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from relay.core.breaks import CLASSES
from relay.core.callbacks import Status
from relay.sandbox import make
from relay.sandbox.book import Entry
from relay.sandbox.chain import FINE
from relay.sandbox.chain.driver import SandboxChain
from relay.sandbox.chain.evm import EVM
from relay.sandbox.chain.rpc import routes as chain_routes
from relay.sandbox.loopback import Call, Reply, serve
from relay.sandbox.make import STORIES
from relay.sandbox.numbers import Numbers
from relay.sandbox.plan import ABROAD, CAREFUL, FOREIGN, TILL, Plan, prepare
from relay.sandbox.provider import ANOTHER_TX, Provider
from relay.sandbox.shop import Shop
from relay.sandbox.stage import NotMade, Stage, commands_of
from relay.sandbox.watch import Watcher, server
from tests.sandbox.door import Door
from tests.sandbox.served import serving

USDT = 1_000_000


class Scene:
    """All parts of a sandbox but its relay, which is a door and places orders at the provider."""

    def __init__(self, plan: Plan, folder: Path, *, open_until: ExitStack) -> None:
        self.door = Door(plan)
        self.told: dict[str, dict[str, Any]] = {}
        self.provider = Provider(plan.account, relay_url="http://relay", post=self.door)
        self._evm = EVM()
        open_until.enter_context(
            serving(serve(chain_routes(self._evm), port=plan.chain_port, open_paths=frozenset({"/"})))
        )
        open_until.enter_context(serving(server(self.provider, port=plan.provider_port)))
        self.measured = ""
        paths = frozenset({"/v1/orders", "/v1/orders/import", "/v1/addresses/import"})
        served = {f"POST {path}": self._take for path in paths} | {"GET /v1/balances": self._balances}
        self.days = {"state": "open"}
        self.ignored: list[Any] = []
        served["GET /v1/reconciliation/days/*"] = lambda _: Reply(200, self.days)
        subscribers = serve({"POST /ignore": self._ignore}, port=plan.subscribers_port)
        open_until.enter_context(serving(subscribers))
        relay = serve(served, port=0, open_paths=paths)
        relay_url = open_until.enter_context(serving(relay))
        self.chain = SandboxChain(plan.chain_url)
        shop = Shop(
            replace(plan, relay_url=relay_url), key="k", numbers=Numbers(folder / "orders"), dice=random.Random(7)
        )
        self.commands: list[tuple[Sequence[str], str]] = []
        self.stage = Stage(shop, self.chain, plan, lambda words, given: self.commands.append((words, given)))
        self._watcher = Watcher(self.provider, self.chain, lambda act, orderid: act(orderid))

    def live(self, ended: threading.Event) -> None:
        """Mine, and let the provider look, twenty times a second."""
        while not ended.wait(0.05):
            self._evm.mine()
            self._watcher.look()

    def paid_to(self, address: str) -> int:
        """What the chain shows at an address, in micro-USDT."""
        logs = self.chain.transfers(0, self.chain.head)
        return sum(int(log["data"], 16) for log in logs if log["topics"][2][26:] == address[2:])

    def accepted(self, orderid: str) -> list[int]:
        """The amounts of an order's callbacks, as the relay read them."""
        return [one.amount_micros for one in self.door.accepted if one.orderid == orderid]

    def _balances(self, _: Call) -> Reply:
        lines = [{"address": self.measured, "verdict": "unprovable", "measured": "30.000000"}] if self.measured else []
        unproven = {"address": "0x0", "verdict": "unprovable", "measured": None}
        return Reply(200, {"data": [unproven, *lines], "next": None})

    def _ignore(self, call: Call) -> Reply:
        self.ignored.append(call.value())
        return Reply(200, {"ok": True})

    def _take(self, call: Call) -> Reply:
        told = call.value()
        self.told[told["orderid"] if "orderid" in told else told["address"]] = told
        if call.path == "/v1/orders":
            units = int(float(told["amount"]) * 10_000)
            order = Entry(told["orderid"], told["user_ref"], units, dialect=told["source"], address=told["address"])
            self.provider.place(order)
        return Reply(201, {})


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One scene for all stories; its chain and its provider live while they are played."""
    folder, ended = tmp_path_factory.mktemp("make"), threading.Event()
    with ExitStack() as stack:
        found = Scene(prepare(folder / "plan.json"), folder, open_until=stack)
        life = threading.Thread(target=found.live, args=(ended,))
        life.start()
        yield found
        ended.set()
        life.join()


# What each story ends in: the answers to the callbacks, their amounts and what the chain shows, in USDT, and the provider's word.
ENDS: dict[str, tuple[list[int | None], list[int], int, str]] = {
    "missing_callback": ([], [], 30, "paid"),
    "paid_unannounced": ([], [], 30, "waits"),
    "tx_mismatch": ([200], [30], 30, "paid"),
    "callback_unconfirmed": ([200], [30], 30, "waits"),
    "status_conflict": ([200], [30], 30, "failed"),
    "rejected_callback_paid": ([401], [], 30, "paid"),
    "duplicate_conflict": ([200, 200], [30, 60], 30, "paid"),
    "amount_mismatch": ([200], [300], 30, "paid"),
    "phantom_credit": ([200], [30], 0, "paid"),
    "underpaid": ([200], [30], 15, "paid"),
    "overpaid": ([200], [30], 40, "paid"),
    "late_payment": ([200], [30], 30, "paid"),
    "reorged_out": ([200], [30], 0, "paid"),
    "clock_anomaly": ([200], [30], 30, "paid"),
    "unfinal_credit": ([200], [30], 30, "paid"),
    "second_payment": ([200, 200], [30, 30], 30, "paid"),
    "status_regression": ([200, 200], [30, 30], 30, "paid"),
    "unknown_status": ([200, 200], [30, 30], 30, "paid"),
    "refund_amount": ([200, 200], [30, 15], 0, "paid"),
    "evidence_missing": ([200], [30], 0, "paid"),
    "evidence_conflict": ([200], [30], 60, "paid"),
    "delivery_gap": ([200], [30], 30, "paid"),
}


# The last word, where it is another than that it was paid.
AFTERWARDS = {
    "status_regression": Status.FAILED,
    "unknown_status": Status.UNKNOWN,
    "refund_amount": Status.REFUNDED,
}


@pytest.mark.parametrize(("story", "end"), ENDS.items(), ids=ENDS)
def test_a_story_of_one_order_ends_as_its_class_says(
    scene: Scene, story: str, end: tuple[list[int | None], list[int], int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the relay was told, what the chain shows, and what the provider answers to who asks."""
    monkeypatch.setattr(make, "EXPIRES_IN_S", 0.0)
    monkeypatch.setattr(make, "STILL_S", 1.0)
    orderid = STORIES[story](scene.stage)
    statuses, amounts, paid, word = end

    def is_over() -> bool:
        order = scene.provider.find(orderid)
        return order is not None and (len(order.sent) == len(statuses) if statuses else order.lost)

    scene.stage.until(is_over, what="end")
    order = scene.provider.find(orderid)
    assert order is not None
    assert [sent.status for sent in order.sent] == statuses
    assert scene.accepted(orderid) == [amount * USDT for amount in amounts]
    assert scene.paid_to(order.address) == paid * USDT
    assert (order.payment is not None and order.payment.tx_hash == ANOTHER_TX) == (story == "tx_mismatch")
    assert ("failed" if order.denied else "paid" if order.paid else "waits") == word
    if story == "late_payment":
        assert datetime.fromisoformat(scene.told[orderid]["expires_at"]) < datetime.now(UTC)
    ahead = [
        one.occurred_at - datetime.now(UTC) for one in scene.door.accepted if one.orderid == orderid and one.occurred_at
    ]
    assert any(one > timedelta(minutes=50) for one in ahead) == (story == "clock_anomaly")
    last = AFTERWARDS.get(story, Status.SUCCEEDED)
    accepted = [one for one in scene.door.accepted if one.orderid == orderid]
    assert [one.status for one in accepted][-1:] == [last] * bool(amounts)
    assert {one.source for one in accepted} == (
        {CAREFUL} if story.startswith("evidence") else {one.source for one in accepted}
    )
    assert [one["orderid"] for one in scene.ignored] == ([orderid] if story == "delivery_gap" else [])
    scene.ignored.clear()


def test_a_statement_tells_of_a_sealed_day(scene: Scene) -> None:
    """Once somebody has closed one."""
    with pytest.raises(NotMade, match="no day is sealed"):
        STORIES["prior_period_change"](scene.stage)
    scene.days = {"state": "sealed"}
    orderid = STORIES["prior_period_change"](scene.stage)
    ((words, given),) = scene.commands
    assert words == ("statement", "import", "-", "--source", TILL)
    (row,) = csv.DictReader(given.splitlines())
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    assert row == {"Order": orderid, "Amount": "7", "Paid at": f"{yesterday}T12:00:00Z"}


def test_every_class_has_its_story() -> None:
    """But for those that need an input which nobody gives yet."""
    assert set(STORIES) == {name for name, one in CLASSES.items() if one.by != "needs"}


def test_money_of_nobody_arrives_at_an_address_of_the_book(scene: Scene) -> None:
    """Which the relay was told to watch, and of which no order knows."""
    tx_hash = STORIES["orphan_transfer"](scene.stage)
    assert scene.chain.block_of(tx_hash) is not None
    (log,) = scene.chain.rpc("eth_getTransactionReceipt", tx_hash)["logs"]
    address = f"0x{log['topics'][2][26:]}"
    assert (scene.told[address]["role"], scene.paid_to(address)) == ("deposit", 30 * USDT)


def test_a_payment_fits_two_orders_at_one_address(scene: Scene) -> None:
    """Of the same sum, and the provider tells of neither."""
    tx_hash = STORIES["ambiguous_match"](scene.stage)
    (log,) = scene.chain.rpc("eth_getTransactionReceipt", tx_hash)["logs"]
    address = f"0x{log['topics'][2][26:]}"
    orders = [told for told in scene.told.values() if told.get("address") == address]
    assert [float(told["amount"]) for told in orders] == [30.0, 30.0]
    assert not any(map(scene.accepted, (told["orderid"] for told in orders)))


def test_a_payment_on_this_network_is_taken_for_an_order_of_another(scene: Scene) -> None:
    """The callback names it, at the source whose orders are paid elsewhere."""
    orderid = STORIES["asset_or_network_mismatch"](scene.stage)
    (told,) = [one for one in scene.door.accepted if one.orderid == orderid]
    assert (told.source, scene.told[orderid]["chain"]) == (ABROAD, FOREIGN)
    assert scene.chain.block_of(told.tx_hash or "") is not None


def test_dust_is_less_than_a_micro_of_a_token_that_counts(scene: Scene) -> None:
    """It has eighteen places, as the relay's own settings say, and the chain confirms."""
    tx_hash = STORIES["dust_or_poison"](scene.stage)
    (log,) = scene.chain.rpc("eth_getTransactionReceipt", tx_hash)["logs"]
    assert (log["address"], int(log["data"], 16)) == (FINE, 1)
    assert int(scene.chain.rpc("eth_call", {"to": FINE, "data": "0x313ce567"}), 16) == 18
    assert f"0x{log['topics'][2][26:]}" in scene.told


@pytest.mark.parametrize(("story", "kinds", "left"), [("balance_gap", 1, 30), ("non_transfer_move", 2, 1)])
def test_money_goes_without_a_transfer(scene: Scene, story: str, kinds: int, left: int) -> None:
    """From an address that was measured, and that a payment has measured again; only the issuer says so."""
    order = scene.stage.order()
    scene.stage.pay(order)
    scene.measured = order.address
    first = scene.chain.head
    assert STORIES[story](scene.stage) == order.address
    balance = scene.chain.rpc("eth_call", {"to": scene.chain.token, "data": f"0x70a08231{int(order.address, 16):064x}"})
    assert int(balance, 16) == left * USDT
    wanted = {"fromBlock": hex(first), "address": scene.chain.token}
    seen = [log for log in scene.chain.rpc("eth_getLogs", wanted) if order.address[2:] in str(log)]
    assert len({log["topics"][0] for log in seen}) == kinds


def test_no_balance_is_taken_that_was_not_measured(scene: Scene) -> None:
    """Who asks too early is told to wait."""
    scene.measured = ""
    with pytest.raises(NotMade, match="five minutes"):
        STORIES["balance_gap"](scene.stage)


def test_a_provider_believes_a_transaction_that_failed(scene: Scene) -> None:
    """It calls back with its hash, and the chain says that nothing moved."""
    orderid = STORIES["reverted_tx"](scene.stage)
    scene.stage.until(lambda: bool(scene.accepted(orderid)), what="a callback")
    told = next(one for one in scene.door.accepted if one.orderid == orderid)
    receipt = scene.chain.rpc("eth_getTransactionReceipt", told.tx_hash)
    assert (receipt["status"], receipt["logs"]) == ("0x0", [])


def test_a_provider_takes_a_look_alike_for_the_token(scene: Scene) -> None:
    """The order's address holds something, and none of what counts."""
    orderid = STORIES["wrong_token"](scene.stage)
    scene.stage.until(lambda: bool(scene.accepted(orderid)), what="a callback")
    told = next(one for one in scene.door.accepted if one.orderid == orderid)
    [log] = scene.chain.rpc("eth_getTransactionReceipt", told.tx_hash)["logs"]
    assert log["address"] != scene.chain.token
    assert scene.paid_to(f"0x{log['topics'][2][26:]}") == 0


def test_money_leaves_an_address_where_it_is_collected(scene: Scene) -> None:
    """For one that nobody knows."""
    tx_hash = STORIES["unexplained_outflow"](scene.stage)
    [log] = scene.chain.rpc("eth_getTransactionReceipt", tx_hash)["logs"]
    sender, recipient = (f"0x{topic[26:]}" for topic in log["topics"][1:])
    assert scene.told[sender]["role"] == "collection"
    assert recipient not in scene.told


def test_one_payment_is_claimed_for_two_orders(scene: Scene) -> None:
    """Both callbacks name its transaction."""
    orders = STORIES["double_claim"](scene.stage).split(" and ")
    scene.stage.until(lambda: all(map(scene.accepted, orders)), what="two callbacks")
    hashes = [one.tx_hash for one in scene.door.accepted if one.orderid in orders]
    assert len(hashes) == 2
    assert len(set(hashes)) == 1


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    """A story is played wholly or not at all."""
    plan = prepare(tmp_path / "plan.json")
    elsewhere = prepare(tmp_path / "other.json")
    with ExitStack() as stack:
        scene = Scene(plan, tmp_path, open_until=stack)
        with pytest.raises(NotMade, match="does not arm"):
            Stage(scene.stage.shop, scene.chain, elsewhere, commands_of(tmp_path / "plan.json")).order("lose")
