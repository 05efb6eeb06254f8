"""Own a run: what changed is judged by all witnesses together, breaks open and clear, and the run says what it saw."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, Engine

from relay.core.breaks import DERIVED
from relay.core.chains import Chain
from relay.core.orders import Finding
from relay.core.sources import Source
from relay.core.statement import Sum
from relay.core.triage import LATE_STATES, Judged, Story, Terms, judge
from relay.errors import RelayError
from relay.flows import absences, claims, strays
from relay.flows.alarms import STALE_AFTER as SILENT_AFTER
from relay.flows.break_news import MOST_TOLD, tell
from relay.flows.outcomes import announce_all
from relay.flows.settling import Settled, finding, settle
from relay.flows.tally import Tally
from relay.flows.terms import Configured
from relay.store import agreement, leases, polls, recoveries, runs, testimonies
from relay.store import chain as chain_states
from relay.store import reconciling as store
from relay.store import sources as source_states
from relay.store.engine import FEED_LOCK, reading, take_lock, writing
from relay.store.rows import spelled

log = logging.getLogger(__name__)

LEASE, LEASE_S = "reconcile", 60
# Orders of one transaction, and how many one run takes from the log; the next one goes on.
PAGE, MOST = 500, 20_000
# Of those that are only struck off more fit into the same time.
AGREED_PAGE = 2_000
# A chain that nobody has read for so long says nothing about what is missing.
STALE_AFTER = timedelta(minutes=5)


class LeaseLost(RelayError):
    """Another process has taken over; what was not committed is its to do."""

    code = "lease_lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What a run works with."""

    engine: Engine
    sources: Mapping[str, Source]
    chains: Mapping[str, Chain]
    new_id: Callable[[datetime], str]
    owner: str


def reconcile(bench: Bench, *, now: datetime) -> str:
    """Judge what changed and what is due; return `complete`, `incomplete`, or `busy` while another process runs.

    A process that dies in between leaves its orders in the work of the next,
    and no run that counts. Raises LeaseLost when it was overtaken.
    """
    with writing(bench.engine) as connection:
        fence = leases.take(connection, LEASE, owner=bench.owner, now=now, ttl_s=LEASE_S)
        if fence is None:
            return "busy"
        is_work = store.take(connection, now=now, most=MOST)
    # Facts are read after that commit only: whatever changes from here on is in the log for the next run.
    tally = Tally()
    try:
        if is_work:
            _judge_all(bench, fence, tally, now)
        while _stray_page(bench, fence, tally, now):
            pass
        return _finish(bench, fence, tally, now)
    finally:
        with writing(bench.engine) as connection:
            leases.release(connection, LEASE, owner=bench.owner, now=now)


def stale_chains(connection: Connection, chains: Mapping[str, Chain], now: datetime) -> dict[str, str]:
    """Return the chains that are on and cannot be believed, each with the reason: not read, or its nodes are not at one."""
    known = chain_states.states(connection)
    reasons = {name: why for name, why in testimonies.doubts(connection, "contradicted").items() if name in chains}
    for name, chain in sorted(chains.items()):
        row = known.get(name)
        if not chain.is_on:
            continue
        if row is None or row["scanned_at"] is None:
            reasons[name] = "not read yet"
        elif row["stopped"] is not None:
            reasons[name] = f"stopped: {row['stopped']}"
        elif now - row["scanned_at"] > STALE_AFTER:
            reasons[name] = "not read for five minutes"
    return reasons


def _silent_providers(connection: Connection, sources: Mapping[str, Source], now: datetime) -> dict[str, str]:
    """Return the sources whose providers are asked and have given no usable answer for long, each with the reason."""
    silent = source_states.unclear(connection, before=now - SILENT_AFTER)
    asked = sorted(
        name for name in silent if name in sources and sources[name].adapter.query and sources[name].base_url
    )
    return {f"provider of {name}": "gives no usable answer" for name in asked}


def _judge_all(bench: Bench, fence: int, tally: Tally, now: datetime) -> None:
    """Most orders agree in all that is said of them, and are only struck off; the others are judged one by one."""
    # A cursor, since what does not agree stays in the work, and would fill the next page again.
    after: store.Key | None = ("", "")
    while after is not None:
        after = _agreed_page(bench, fence, tally, after, now)
    while _page(bench, fence, tally, now):
        pass


def _agreed_page(bench: Bench, fence: int, tally: Tally, after: store.Key, now: datetime) -> store.Key | None:
    """Strike off the orders of a page that agree, in one transaction; return the last of the page, None for the last page."""
    with writing(bench.engine) as connection:
        _still_ours(connection, bench, fence, now)
        keys = store.work(connection, limit=AGREED_PAGE, after=after)
        if not keys:
            return None
        found = agreement.agreed(connection, keys)
        terms = Configured(connection, bench.sources, bench.chains)
        agreed = [one for one in found if _may_agree(one, terms.of(one.source, one.chain))]
        store.write_states(connection, [_matched_row(one, now) for one in agreed if not one.stood])
        store.done(connection, [(one.namespace, one.orderid) for one in agreed])
        tally.count_agreed(agreed)
    return keys[-1] if len(keys) == AGREED_PAGE else None


def _may_agree(one: agreement.Agreed, terms: Terms) -> bool:
    """Where an address is watched, money without a transfer is no agreement."""
    return terms.credits and (one.has_moved or not one.has_address or not terms.reads_chain)


def _matched_row(one: agreement.Agreed, now: datetime) -> dict[str, Any]:
    drift = 0 if one.has_moved or one.has_provider else None
    return {
        "namespace": one.namespace,
        "orderid": one.orderid,
        "verdict": "matched",
        "kinds": "",
        "flags": "",
        "drift_micros": drift,
        "due_at": None,
        "changed_at": now,
    }


def _page(bench: Bench, fence: int, tally: Tally, now: datetime) -> int:
    """Judge a page of orders in one transaction; return how many there were."""
    with writing(bench.engine) as connection:
        _still_ours(connection, bench, fence, now)
        keys = store.work(connection, limit=PAGE)
        if not keys:
            return 0
        found, kept = store.stories(connection, keys)
        found = claims.attach(connection, found, bench.chains, now=now)
        terms = Configured(connection, bench.sources, bench.chains)
        judged = [(one, judge(one, terms.of(one.source, one.chain), now)) for one in found]
        store.write_states(connection, store.changed((state_row(*one, now) for one in judged), kept))
        absences.follow(connection, judged, kept.asked, bench.sources, now=now)
        recoveries.propose(connection, [_recovery(*one, now) for one in judged if one[1].wish is not None])
        recoveries.withdraw(connection, [story.key for story, one in judged if one.wish is None])
        _ask(connection, bench, judged, now)
        settled = settle(connection, _findings(judged), kept.breaks, derived=DERIVED, now=now)
        store.done(connection, keys)
        for one in judged:
            tally.count_judged(*one)
        # Last of all: telling takes the feed's lock until the commit, and callbacks wait for it.
        _tell(connection, bench, settled, tally, now)
    return len(keys)


def _stray_page(bench: Bench, fence: int, tally: Tally, now: datetime) -> int:
    """Judge a page of money that is no order's in one transaction; return how much there was to look at."""
    with writing(bench.engine) as connection:
        _still_ours(connection, bench, fence, now)
        looked_at, settled = strays.judge_page(connection, bench.sources, bench.chains, now=now)
        tally.looked_at += looked_at
        _tell(connection, bench, settled, tally, now)
    return looked_at


def _still_ours(connection: Connection, bench: Bench, fence: int, now: datetime) -> None:
    if leases.take(connection, LEASE, owner=bench.owner, now=now, ttl_s=LEASE_S) != fence:
        raise LeaseLost("another process reconciles now")


def state_row(story: Story, judged: Judged, now: datetime) -> dict[str, Any]:
    """Return how an order stands, as it is kept."""
    return {
        "namespace": story.namespace,
        "orderid": story.orderid,
        "verdict": judged.verdict,
        "kinds": " ".join(sorted(one.kind for one in judged.breaks)),
        "flags": " ".join(sorted(judged.flags)),
        "drift_micros": judged.drift_micros,
        "due_at": judged.due_at,
        "changed_at": now,
    }


def _recovery(story: Story, judged: Judged, now: datetime) -> dict[str, Any]:
    wish = judged.wish
    assert wish is not None  # noqa: S101  # the caller chose those that have one
    return {
        "namespace": story.namespace,
        "orderid": story.orderid,
        "source": story.source,
        "state": "due",
        "amount_micros": wish.micros,
        "occurred_at": wish.occurred_at,
        "tx_hash": wish.tx_hash,
        "evidence": spelled(wish.evidence),
        "found_at": now,
        "applied_at": None,
        "decided_by": None,
    }


def _ask(connection: Connection, bench: Bench, judged: Sequence[tuple[Story, Judged]], now: datetime) -> None:
    """Money is there and nobody has said so: the provider is asked `late_after_s` after it was final, not in its turn.

    Also where that is a break already, such as money that came too late: the provider may count it yet.
    """
    for story, one in judged:
        source = bench.sources.get(story.source)
        if _awaits_word(story, one) and source is not None and source.adapter.query and source.base_url:
            late = (story.settled_at or now) + timedelta(seconds=source.late_after_s)
            polls.request_poll(connection, source, story.orderid, reason="transfer", due_at=late, now=now)


def _awaits_word(story: Story, judged: Judged) -> bool:
    """Final money is there, and neither a callback nor the provider speaks of it."""
    is_open = story.state in LATE_STATES and not story.credited_micros and judged.verdict != "observed"
    return bool(story.final_count) and is_open and story.told_micros is None and not story.is_provider_paid


def _findings(judged: Sequence[tuple[Story, Judged]]) -> list[Finding]:
    return [
        finding(one.kind, source=story.source, key=story.key, amount_micros=one.micros, evidence=one.evidence)
        for story, stands in judged
        for one in stands.breaks
    ]


def _tell(connection: Connection, bench: Bench, settled: Settled, tally: Tally, now: datetime) -> None:
    tally.opened += len(settled.fresh)
    tally.cleared += len(settled.cleared)
    room = MOST_TOLD - tally.told
    tally.told += tell(connection, settled, room=room, now=now, new_id=bench.new_id)


def _finish(bench: Bench, fence: int, tally: Tally, now: datetime) -> str:
    """Write the run, its manifest last; a look that found nothing new is only noted."""
    with writing(bench.engine) as connection:
        _still_ours(connection, bench, fence, now)
        stale = stale_chains(connection, bench.chains, now) | _silent_providers(connection, bench.sources, now)
        # A finding that waits for a second node keeps nothing from being recovered, and is not hidden by a run that is whole.
        for name, why in testimonies.doubts(connection, "unanswered").items():
            stale[name] = f"{stale[name]}, {why}" if name in stale else why
        state = "incomplete" if stale else "complete"
        reason = "; ".join(f"{name} {why}" for name, why in stale.items())
        before = runs.last(connection)
        is_news = before is None or (before["state"], before["reason"]) != (state, reason)
        if before is not None and not (tally.verdicts or tally.looked_at) and not is_news:
            runs.touch(connection, before["id"], now=now)
            return state
        still_open = runs.open_by_kind(connection)
        manifest = tally.manifest(state, reason, cut=runs.cut(connection), still_open=still_open)
        digest = sha256(manifest.encode()).hexdigest()
        if stale and is_news:
            log.error("run_incomplete", extra={"reason": reason})
            _announce(connection, bench, "reconciliation.run.incomplete", {"reason": reason}, now)
        if (untold := tally.opened + tally.cleared - tally.told) > 0:
            alert = {"reason": "many_breaks", "not_told": untold}
            _announce(connection, bench, "relay.alert", alert, now)
        columns = {"kind": "incremental", "state": state, "reason": reason, "fence": fence, "finished_at": now}
        runs.add(connection, **columns, last_checked=now, manifest=manifest, manifest_hash=digest)
    told = {"state": state, "judged": tally.verdicts.total(), "opened": tally.opened, "cleared": tally.cleared}
    log.info("run_finished", extra=told)
    return state


def _announce(connection: Connection, bench: Bench, event_type: str, data: dict[str, Any], now: datetime) -> None:
    take_lock(connection, FEED_LOCK)
    announce_all(connection, [(event_type, data)], now=now, new_id=bench.new_id)


def status(engine: Engine) -> dict[str, Any]:
    """Return the newest run, what is open, and what a brake has stopped."""
    with reading(engine) as connection:
        row = runs.last(connection)
        stopped = sum(recoveries.stopped(connection).values(), Sum())
        return {
            "run": None if row is None else dict(row),
            "open": runs.open_by_kind(connection),
            "stopped": {"count": stopped.count, "micros": stopped.micros},
        }
