"""Own what a rule is told beside the order: the time, who is paused, what witnesses say, what was credited lately.

Facts and sums are read only for sources whose rules ask for them; the
common callback costs no statement more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from relay.core.callbacks import Callback
from relay.core.evidence import NOTHING, Facts
from relay.core.facts import Transfer, TransferKey
from relay.core.hashes import hashes
from relay.core.orders import Ruling
from relay.core.rules import Moment
from relay.core.sources import Source
from relay.store import evidence as store
from relay.store.intake import Feed

Key = tuple[str, str]
HOUR = timedelta(hours=1)


class Surroundings:
    """What holds while one transaction under the feed lock judges."""

    def __init__(self, connection: Connection, sources: Mapping[str, Source], feed: Feed, *, now: datetime) -> None:
        self._connection = connection
        self._now = now
        self._paused = feed.paused
        self._unordered = feed.unordered
        limited = sorted(name for name, one in sources.items() if one.hold_above_hourly_micros is not None)
        self._credited = store.credited_since(connection, limited, now - HOUR) if limited else {}
        self._facts: Mapping[Key, Facts] = {}
        self._taken: dict[TransferKey, str] = {}
        self._plain = {one: Moment(now=now, paused=one) for one in (False, True)}

    def read_facts(self, asked: Iterable[tuple[Key, Source, Iterable[Callback]]]) -> None:
        """Read what witnesses say of the orders whose sources ask for more than a signature, or whose money a chain shows.

        With each order come the callbacks that may name its transaction.
        """
        told: dict[Key, set[str]] = {}
        for key, source, callbacks in asked:
            if source.needs_evidence or source.chains or source.is_beside_chains:
                told.setdefault(key, set()).update(hashes(one.tx_hash for one in callbacks))
        if told:
            self._facts = store.facts_of(self._connection, sorted(told), told)

    def moment(self, source: Source | None, key: Key) -> Moment:
        """Return what is known beside an order; of a source that is configured no longer, nothing."""
        if source is None:
            return self._plain[False]
        is_paused = source.name in self._paused
        facts = self._less_taken(self._facts.get(key, NOTHING))
        if facts is NOTHING and source.name not in self._credited and not self._unordered:
            return self._plain[is_paused]
        return Moment(
            now=self._now,
            paused=is_paused,
            facts=facts,
            credited_micros=self._credited.get(source.name, 0),
            unordered=self._unordered,
        )

    def transfers(self, key: Key) -> tuple[Transfer, ...]:
        """Return the transfers that belong to an order, as far as they were read."""
        return self._facts.get(key, NOTHING).transfers

    def _less_taken(self, facts: Facts) -> Facts:
        """What an earlier order of this very transaction took is no longer free."""
        if not self._taken or not facts.named:
            return facts
        named = (replace(one, taken_by=self._taken.get(one.transfer.key, one.taken_by)) for one in facts.named)
        return replace(facts, named=tuple(named))

    def note(self, ruling: Ruling) -> None:
        """Count a credit of this very transaction, what it takes, and what it may be the word of."""
        order = ruling.order
        if ruling.word_of is not None:
            self._unordered = tuple(one for one in self._unordered if one.orderid != ruling.word_of)
        if order is not None:
            self._taken.update(dict.fromkeys(ruling.takes, order.orderid))
        if ruling.announce == "recharge.succeeded" and order is not None and order.source in self._credited:
            self._credited[order.source] += order.credited_micros
