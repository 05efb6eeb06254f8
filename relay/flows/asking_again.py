"""Own the second and the third question: the day after and a week after, providers are asked about what they have not confirmed.

Count and sum of a day are compared first. Where each order is paid as it was
credited nobody is asked anything; else the orders that do not agree are, one
by one, in whatever turns of the account the due questions have left.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from relay.core.amounts import format_micros
from relay.core.day_looks import asked_again
from relay.core.days import Calendar
from relay.core.sources import Source
from relay.flows.day_runs import finish
from relay.flows.polling import Poller, ask, wait_turn
from relay.store import day_looks as store
from relay.store.engine import reading, snapshot, writing

KIND = "daily"


def begin(engine: Engine, sources: Mapping[str, Source], calendar: Calendar, *, now: datetime) -> list[str]:
    """Note the days that are due, for each source that can be asked; return the new ones."""
    looks = [
        {
            "kind": KIND,
            "subject": f"{day.name}+{age} {name}",
            "source": name,
            "starts_at": day.start,
            "ends_at": day.end,
        }
        for day, age in asked_again(calendar, now)
        for name, source in sorted(sources.items())
        if source.adapter.query and source.base_url
    ]
    with writing(engine) as connection:
        return store.begin(connection, looks, now=now)


def ask_again(poller: Poller, *, for_s: float) -> int:
    """Go on with what was begun, of each source the oldest day first, for `for_s` seconds at most; return how many orders changed.

    Each provider is asked in a thread of its own, as by `polling.poll`: one that answers slowly keeps no other's days waiting.
    """
    creator = poller.creator
    end = creator.clock() + timedelta(seconds=for_s)
    of_source: dict[str, list[Mapping[Any, Any]]] = defaultdict(list)
    with reading(creator.engine) as connection:
        for look in store.open_ones(connection, KIND):
            of_source[look["source"]].append(look)
    with ThreadPoolExecutor(max(1, len(of_source))) as threads:
        return sum(threads.map(lambda looks: _ask_source(poller, looks, end), of_source.values()))


def _ask_source(poller: Poller, looks: Sequence[Mapping[Any, Any]], end: datetime) -> int:
    changed = 0
    for look in looks:
        going: Mapping[Any, Any] | None = look
        while going is not None and poller.creator.clock() < end:
            going, gained = _step(poller, going)
            changed += gained
    return changed


def _step(poller: Poller, look: Mapping[Any, Any]) -> tuple[Mapping[Any, Any] | None, int]:
    """Ask about the next order of a day; return the look as it stands then, None when it has ended or cannot go on now."""
    creator = poller.creator
    source = creator.sources.get(look["source"])
    with reading(creator.engine) as connection:
        row = store.next_disagreeing(connection, look)
    if row is None or source is None:
        _end(poller, look, is_left=source is None)
        return None, 0
    if not wait_turn(creator, source):
        return None, 0
    tally = Counter(json.loads(look["tally"]))
    tally["asked"] += 1
    # The order is taken before it is asked about: two processes never ask twice, and one that dies is seen in the sum.
    if not _moved(creator.engine, look, row["id"], tally):
        return None, 0
    answer = ask(poller, source, (row["namespace"], row["orderid"]))
    tally["answered"] += answer.is_clear
    tally["changed"] += answer.changed
    taken = {**look, "cursor": row["id"]}
    is_ours = _moved(creator.engine, taken, row["id"], tally)
    return ({**taken, "tally": json.dumps(tally)} if is_ours else None), answer.changed


def _moved(engine: Engine, look: Mapping[Any, Any], cursor: int, tally: Mapping[str, int]) -> bool:
    with writing(engine) as connection:
        return store.move(connection, look, cursor=cursor, tally=tally)


def _end(poller: Poller, look: Mapping[Any, Any], *, is_left: bool) -> None:
    creator, tally = poller.creator, Counter(json.loads(look["tally"]))
    with snapshot(creator.engine) as connection:
        sums = store.totals(connection, look)
    told: dict[str, Any] = {name: sums[name] for name in ("orders", "credited", "paid", "disagreeing")}
    told |= {"credited_usdt": format_micros(sums["credited_micros"]), "paid_usdt": format_micros(sums["paid_micros"])}
    told |= {name: tally[name] for name in ("asked", "answered", "changed")}
    silent = tally["asked"] - tally["answered"]
    reason = f"{look['subject']}: {silent} of {tally['asked']} questions had no usable answer" if silent else ""
    reason = f"{look['subject']}: the source is configured no longer" if is_left else reason
    with writing(creator.engine) as connection:
        finish(connection, look, told, reason=reason, now=creator.clock(), new_id=poller.new_id)
