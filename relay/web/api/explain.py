"""Own how a transaction is explained."""

from __future__ import annotations

from typing import Any, Literal

from relay.bootstrap import inquirer_of, now
from relay.core.actors import FINANCE
from relay.core.explaining import Case, facts_of
from relay.flows.explaining import look_up, machine_hash
from relay.flows.timeline import namespaces_in_scope
from relay.web.api.common import Input, Shape, Words, part, shown
from relay.web.auth import role
from relay.web.context import actor, runtime

routes = part("explain", "What became of a transaction.")

RETRY_AFTER_S = 2


class TransactionPath(Input):
    """A transaction by its hash, with or without 0x."""

    tx: Words


class ExplainedOrder(Shape):
    """The order that a transaction belongs to."""

    namespace: str
    orderid: str
    source: str
    state: str


class ExplanationShape(Shape):
    """One sentence about a transaction and what to do next; `case` names which of the cases it is."""

    tx_hash: str
    case: Case
    sentence: str
    action: str
    chain: str | None
    block_number: int | None
    confirmations: int
    order: ExplainedOrder | None


class Asking(Shape):
    """The nodes are being asked; come back after `Retry-After` seconds."""

    tx_hash: str
    state: Literal["asking"]


@routes.get("/explain/<tx>", responses={200: ExplanationShape, 202: Asking})
@role("service", "operator", *FINANCE)
def explain_transaction(path: TransactionPath) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Explain a transaction: 200 with what is known, 202 while the nodes are asked about one that no scan has read."""
    tx_hash = machine_hash(path.tx)
    scope = namespaces_in_scope(runtime().sources, actor())
    found = look_up(inquirer_of(runtime(), scope), tx_hash, now=now())
    if found is None:
        return shown(Asking, {"tx_hash": tx_hash, "state": "asking"}), 202, {"Retry-After": str(RETRY_AFTER_S)}
    return shown(ExplanationShape, facts_of(found, tx_hash)), 200, {}
