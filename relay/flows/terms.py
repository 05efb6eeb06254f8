"""Own how what is configured becomes the terms that an order is judged by."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from relay.core.chains import Chain
from relay.core.sources import Source
from relay.core.triage import FINALITY_S, Terms
from relay.store import chain as store


class Configured:
    """The terms of a moment; of all orders of a source and a chain they are the same."""

    def __init__(self, connection: Connection, sources: Mapping[str, Source], chains: Mapping[str, Chain]) -> None:
        self._sources, self._chains = sources, chains
        self._periods = store.periods(connection)
        self._known: dict[tuple[str, str | None], Terms] = {}

    def of(self, source: str, chain: str | None) -> Terms:
        """Return what the configuration of an order's source says; of one that is configured no longer nothing is recovered."""
        known = self._known.get((source, chain))
        if known is None:
            found = self._sources.get(source)
            known = self._known[source, chain] = Terms() if found is None else self._terms(found, chain)
        return known

    def _terms(self, source: Source, chain: str | None) -> Terms:
        """How far each chain was read counts for the order's own, or for any of the source where the order names none."""
        mine = source.chains if chain is None else (chain,)
        read = [self._chains[name] for name in mine if name in self._chains and self._chains[name].is_on]
        known = [self._periods[one.name] for one in read if one.name in self._periods]
        return Terms(
            grace_s=source.grace_s,
            deliver_within_s=source.deliver_within_s,
            recover=source.recover,
            credits=source.credits,
            live_from=source.live_from,
            tolerance_micros=source.tolerance_micros,
            unit_micros=source.adapter.unit_micros,
            owns_addresses=source.address_kind == "dedicated",
            reads_chain=bool(read) and len(known) == len(read),
            reading_since=max((one.since for one in known if one.since is not None), default=None),
            read_until=min((one.until for one in known), default=None),
            finality_s=min(FINALITY_S, max((one.window_s for one in read), default=FINALITY_S)),
        )
