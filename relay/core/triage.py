"""Own how the three witnesses of an order are judged together: its verdict, its breaks, and whether it is recovered.

Pure; the same story, terms and moment always give the same judgement.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from relay.core.amounts import format_micros
from relay.core.claims import Claim, claim_of, trouble
from relay.core.events import rfc3339
from relay.core.witnesses import Absence

# Grows when the same facts would be judged otherwise; each run names it.
RULES = 4
# Both witnesses agree: a callback that is under way is left this long, and the promise of two minutes holds.
LONGEST_WAIT_S = 45
# The longest that a chain we read takes to call a block final, doubled.
FINALITY_S = 1800
# What a finding waits for besides time, and how soon it is looked at again where a chain has to be read.
READING, NODES = "reading", "nodes"
UNREAD = timedelta(minutes=1)
# A source's clock may be ahead of ours by so much.
AHEAD = timedelta(minutes=10)
LATE_STATES = frozenset({"creating", "created", "pending", "expired", "failed"})
_ENDED = frozenset({"failed", "expired"})
# What may still turn into a break when all is right with the order's money.
_AFTER_MONEY = frozenset({"delivery_gap"})


# Not frozen: a run makes thousands, and of so many fields a frozen one takes five times as long to make.
@dataclass(slots=True, kw_only=True)
class Story:
    """What is known of one order; amounts in micro-USDT, None where a witness is silent.

    `told_*` are the callbacks that say paid, `provider_*` the provider's
    answers, `final_*` the matched transfers in final blocks, `open_count`
    those whose block is not final yet. `refused` counts requests that were
    refused and named the order, `dead` deliveries that were given up; since `untold_since` a service has not acknowledged one.
    `claim` is the transaction that witnesses name where nothing of it has come to the order, `word_of` the credit without an
    order that it may be the late word of, `absence` what nodes confirm of an order that was credited without a transfer.
    """

    namespace: str
    orderid: str
    source: str
    state: str
    credited_micros: int = 0
    amount_micros: int | None = None
    flags: str = ""
    registered: bool = False
    chain: str | None = None
    address: str | None = None
    created_at: datetime
    expires_at: datetime | None = None
    told_micros: int | None = None
    told_at: datetime | None = None
    told_tx: str | None = None
    told_occurred: datetime | None = None
    refused: int = 0
    refused_reason: str | None = None
    provider_status: str | None = None
    provider_micros: int | None = None
    provider_unit: int = 1
    provider_tx: str | None = None
    provider_occurred: datetime | None = None
    provider_at: datetime | None = None
    asked_at: datetime | None = None
    final_micros: int = 0
    final_count: int = 0
    open_count: int = 0
    first_tx: str | None = None
    last_tx: str | None = None
    paid_at: datetime | None = None
    settled_at: datetime | None = None
    dead: int = 0
    untold_since: datetime | None = None
    claim: Claim | None = None
    word_of: str | None = None
    absence: Absence | None = None

    @property
    def key(self) -> tuple[str, str]:
        """The identity of the order."""
        return (self.namespace, self.orderid)

    @property
    def said_at(self) -> datetime:
        """When somebody said first that it is paid."""
        return self.told_at or self.provider_at or self.created_at

    @property
    def is_provider_paid(self) -> bool:
        """The provider says paid, and how much."""
        return self.provider_status == "succeeded" and self.provider_micros is not None

    @property
    def named_tx(self) -> str | None:
        """The transaction that a witness names and nothing of which has come to the order, in the witness's spelling."""
        return None if self.final_count or self.open_count else self.told_tx or self.provider_tx

    @property
    def words(self) -> frozenset[str]:
        """The order's flags."""
        return frozenset(self.flags.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a source's configuration says of its orders.

    `reads_chain`: an order's chain is read, since `reading_since` (None: as
    long as anybody knows), and final after `finality_s`. `read_until` is the
    time of the last final block that was read: in an outage it stands still.
    """

    grace_s: int = 300
    deliver_within_s: int = 900
    recover: str = "off"
    credits: bool = True
    live_from: datetime | None = None
    tolerance_micros: int = 0
    unit_micros: int = 1
    owns_addresses: bool = True
    reads_chain: bool = False
    reading_since: datetime | None = None
    read_until: datetime | None = None
    finality_s: int = FINALITY_S


@dataclass(frozen=True, slots=True)
class Found:
    """A disagreement that is a break from `due_at` on, and pending before, or while it `waits_for` the reading of a chain or for nodes."""

    kind: str
    due_at: datetime
    micros: int | None
    evidence: Mapping[str, str]
    waits_for: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A payment to be credited though its callback never came; `micros` in whole units of the source."""

    micros: int
    tx_hash: str | None
    occurred_at: datetime | None
    evidence: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """How an order stands; `due_at` is when time alone will change that, `doubts` are what nodes have to confirm first."""

    verdict: str
    breaks: tuple[Found, ...] = ()
    doubts: tuple[Found, ...] = ()
    flags: frozenset[str] = frozenset()
    drift_micros: int | None = None
    due_at: datetime | None = None
    wish: Wish | None = field(default=None)


def judge(story: Story, terms: Terms, now: datetime) -> Judged:
    """Judge one order with the facts of now."""
    if not terms.credits or "observed" in story.words or _is_before_us(story, terms):
        return Judged(verdict="observed", flags=_flags(story, terms), drift_micros=_drift(story))
    found = [one for rules in _RULES for one in rules(story, terms)]
    ripe = [one for one in found if one.due_at <= now]
    due = tuple(one for one in ripe if not one.waits_for)
    doubts = tuple(one for one in ripe if one.waits_for == NODES)
    waiting = [one for one in found if one.due_at > now]
    unread = [one for one in ripe if one.waits_for == READING]
    is_waiting = bool(unread or doubts) or any(one.kind not in _AFTER_MONEY for one in waiting)
    wish = _wish(story, terms) if any(one.kind == "missing_callback" for one in due) else None
    return Judged(
        verdict=_verdict(story, is_broken=bool(due), is_waiting=is_waiting),
        breaks=due,
        doubts=doubts,
        flags=_flags(story, terms),
        drift_micros=_drift(story),
        due_at=min([one.due_at for one in waiting] + [now + UNREAD for _ in unread], default=None),
        wish=wish,
    )


def _is_before_us(story: Story, terms: Terms) -> bool:
    """Whoever ran before us credited what is older than `live_from`; it is reported, and never recovered."""
    moment = story.provider_occurred or story.paid_at or story.created_at
    return terms.live_from is not None and moment < terms.live_from and story.credited_micros == 0


def _verdict(story: Story, *, is_broken: bool, is_waiting: bool) -> str:
    if is_broken:
        return "break"
    if is_waiting or story.open_count or story.state in ("confirming", "held"):
        return "pending"
    if story.credited_micros or story.told_micros is not None or story.is_provider_paid or story.final_count:
        return "matched"
    return "unpaid"


def _flags(story: Story, terms: Terms) -> frozenset[str]:
    """What goes by itself beside the verdict; sums that differ by less than a unit are the same."""
    paid, unit = _said(story), max(terms.unit_micros, story.provider_unit)
    more = story.final_micros - paid if story.final_count and paid is not None else 0
    computed = {
        "late": story.expires_at is not None and story.paid_at is not None and story.paid_at > story.expires_at,
        "partial": more <= -unit,
        "over": more >= unit,
        "split": story.final_count > 1,
    }
    return story.words & {"late", "partial", "conflict", "recovered", "clock"} | {
        name for name, is_so in computed.items() if is_so
    }


def _said(story: Story) -> int | None:
    return story.provider_micros if story.is_provider_paid else story.told_micros


def _drift(story: Story) -> int | None:
    """Credited less what backs it; None where no other witness speaks."""
    if story.final_count:
        return story.credited_micros - story.final_micros
    if story.is_provider_paid:
        return story.credited_micros - (story.provider_micros or 0)
    return None


def _owed(story: Story, terms: Terms) -> Iterator[Found]:
    if story.told_micros is not None or story.credited_micros or story.state not in LATE_STATES:
        return
    if story.is_provider_paid or (terms.recover == "chain" and story.registered and story.final_count):
        can = _wish(story, terms) is not None
        wait = min(terms.grace_s, LONGEST_WAIT_S) if can else terms.grace_s
        yield _found(
            "missing_callback", _agreed_at(story), wait, _said(story) or story.final_micros, _three_sides(story)
        )
    elif story.final_count:
        since = story.settled_at or story.created_at
        yield _found("paid_unannounced", since, terms.grace_s, story.final_micros, _three_sides(story))
    if story.is_provider_paid and story.refused:
        told = _three_sides(story) | {"refused": str(story.refused), "reason": story.refused_reason or ""}
        yield _found("rejected_callback_paid", _agreed_at(story), terms.grace_s, story.provider_micros, told)
    if (
        story.final_count
        and story.expires_at is not None
        and story.paid_at is not None
        and story.paid_at > story.expires_at
    ):
        told = {"expires_at": rfc3339(story.expires_at), "paid_at": rfc3339(story.paid_at)}
        yield _found("late_payment", story.paid_at, 0, story.final_micros, told)


def _unbacked(story: Story, terms: Terms) -> Iterator[Found]:
    if story.told_at is not None and story.provider_status is not None and story.asked_at is not None:
        is_silent = story.provider_status not in ("succeeded", *_ENDED, "refunded")
        if is_silent and story.asked_at > story.told_at:
            yield _found("callback_unconfirmed", story.told_at, terms.grace_s, story.told_micros, _three_sides(story))
    if story.credited_micros and story.provider_status in (*_ENDED, "refunded"):
        since = story.provider_at or story.created_at
        yield _found("status_conflict", since, 0, story.credited_micros, _three_sides(story))
    if (
        story.address
        and story.chain
        and _would_be_seen(story, terms)
        and story.credited_micros
        and not (story.final_count + story.open_count)
    ):
        yield _phantom(story, terms)
    if story.credited_micros and story.open_count and not story.final_count and story.paid_at is not None:
        told = {"paid_at": rfc3339(story.paid_at), "transfers": str(story.open_count)}
        yield _found("unfinal_credit", story.paid_at, terms.finality_s + terms.grace_s, story.credited_micros, told)


def _claimed(story: Story, terms: Terms) -> Iterator[Found]:
    if story.word_of is not None and story.state == "held":
        yield _found("double_claim", story.said_at, 0, _said(story), claim_of(story.word_of))
    is_believed = story.credited_micros or _said(story) is not None
    found = trouble(story.claim, story.chain) if is_believed and story.claim is not None else None
    if found is not None:
        kind, evidence = found
        # What is held for it is told of at once: no scan that is under way could change that.
        yield _found(kind, story.said_at, 0 if story.state == "held" else terms.grace_s, _said(story), evidence)


def _phantom(story: Story, terms: Terms) -> Found:
    """What is not there is not missing before the chain was read past the time at which it should be there, and nodes say so."""
    told = {"address": story.address or "", "credited": format_micros(story.credited_micros), "chain": "no transfer"}
    if story.absence is not None:
        blocks = f"{story.absence.first_block}-{story.absence.last_block}"
        told |= {"witnesses": story.absence.witnesses, "blocks": blocks}
    found = _found("phantom_credit", story.said_at, FINALITY_S + terms.grace_s, story.credited_micros, told)
    needed = story.said_at + timedelta(seconds=terms.grace_s)
    if terms.read_until is not None and terms.read_until < needed:
        return replace(found, waits_for=READING)
    return found if story.absence is not None else replace(found, waits_for=NODES)


def _would_be_seen(story: Story, terms: Terms) -> bool:
    """The chain is read, and was when the order came: earlier history is not claimed."""
    if not terms.reads_chain or terms.reading_since is None:
        return terms.reads_chain
    return story.created_at - timedelta(seconds=terms.finality_s) >= terms.reading_since


def _differing(story: Story, terms: Terms) -> Iterator[Found]:
    unit = max(terms.unit_micros, story.provider_unit)
    if story.told_micros is not None and story.is_provider_paid and story.told_at is not None:
        apart = story.told_micros - (story.provider_micros or 0)
        if abs(apart) >= unit:
            since = max(story.told_at, story.provider_at or story.told_at)
            yield _found("amount_mismatch", since, 0, abs(apart), _three_sides(story))
    said = _said(story)
    if said is not None and story.final_count and story.settled_at is not None:
        less = said - story.final_micros
        if less >= max(unit, terms.tolerance_micros + 1):
            yield _found("underpaid", story.settled_at, terms.grace_s, less, _three_sides(story))
        if -less >= unit:
            yield _found("overpaid", story.settled_at, 0, -less, _three_sides(story))
    if story.provider_tx and story.first_tx and story.last_tx and story.settled_at is not None:
        named, ours = _plain(story.provider_tx), {_plain(story.first_tx), _plain(story.last_tx)}
        if named not in ours and story.final_count <= len(ours):  # of three or more the named one may be one between
            told = {"provider": story.provider_tx, "chain": story.first_tx}
            yield _found("tx_mismatch", story.settled_at, terms.grace_s, None, told)


def _beside(story: Story, terms: Terms) -> Iterator[Found]:
    """What is wrong around an order, and not with its money."""
    if story.dead or story.untold_since is not None:
        waits = "none" if story.untold_since is None else rfc3339(story.untold_since)
        told = {"given_up": str(story.dead), "waits_since": waits}
        wait_s = 0 if story.dead else terms.deliver_within_s
        since = story.created_at if story.dead else story.untold_since or story.created_at
        yield _found("delivery_gap", since, wait_s, story.credited_micros or None, told)
    if story.told_at is not None and story.told_occurred is not None and story.told_occurred - story.told_at > AHEAD:
        told = {"told": rfc3339(story.told_occurred), "arrived": rfc3339(story.told_at)}
        yield _found("clock_anomaly", story.told_at, 0, story.told_micros, told)


_RULES = (_owed, _unbacked, _claimed, _differing, _beside)


def _agreed_at(story: Story) -> datetime:
    moments = [one for one in (story.provider_at, story.settled_at) if one is not None]
    return max(moments, default=story.created_at)


def _wish(story: Story, terms: Terms) -> Wish | None:
    """What would be recovered, where the witnesses that `recover` names agree; an expired order waits for a person."""
    micros = _agreed_micros(story, terms)
    if micros is None:
        return None
    floored = micros - micros % terms.unit_micros
    if floored <= 0:
        return None
    return Wish(
        micros=floored,
        tx_hash=story.first_tx if story.final_count == 1 else story.provider_tx,
        occurred_at=story.provider_occurred or story.paid_at,
        evidence=_three_sides(story),
    )


def _agreed_micros(story: Story, terms: Terms) -> int | None:
    said = story.provider_micros if story.is_provider_paid else None
    unit = max(terms.unit_micros, story.provider_unit)
    match terms.recover:
        case "provider":
            return said
        case "provider+chain" if said is not None and story.final_count and abs(said - story.final_micros) < unit:
            return said
        case "chain" if story.final_count and story.registered and terms.owns_addresses:
            in_time = story.expires_at is None or (story.paid_at is not None and story.paid_at <= story.expires_at)
            return story.final_micros if in_time else None
        case _:
            return None


def _three_sides(story: Story) -> dict[str, str]:
    told = "no callback" if story.told_micros is None else f"{format_micros(story.told_micros)}"
    provider = story.provider_status or "silent"
    if story.provider_micros is not None:
        provider = f"{provider} {format_micros(story.provider_micros)}"
    chain = f"{format_micros(story.final_micros)} in {story.final_count}" if story.final_count else "no final transfer"
    sides = {"callback": told, "provider": provider, "chain": chain, "credited": format_micros(story.credited_micros)}
    return sides | ({"tx_hash": story.first_tx} if story.first_tx else {})


def _found(kind: str, since: datetime, wait_s: int, micros: int | None, evidence: Mapping[str, str]) -> Found:
    return Found(kind, since + timedelta(seconds=wait_s), micros, evidence)


def _plain(tx_hash: str) -> str:
    return tx_hash.lower().removeprefix("0x")
