"""Own what may be done to a subscriber's endpoint, by whoever owns it or an admin; every act is audited with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection, Engine, RowMapping

from relay.core.actors import Actor
from relay.core.addresses import check_endpoint_url, networks
from relay.core.events import EVENT_TYPES, OPERATION_TYPES, RECHARGE_TYPES, operation_body, rfc3339
from relay.core.filters import filter_columns, listed
from relay.core.ids import time_ordered_id
from relay.core.notify_urls import check_prefix, covers
from relay.core.own_headers import check_headers
from relay.core.webhooks import new_secret
from relay.errors import Conflict, Forbidden, NotFound, Unprocessable
from relay.flows import replays
from relay.store import audit, deliveries
from relay.store import endpoints as store
from relay.store.engine import FEED_LOCK, writing
from relay.store.health import HEALTHY
from relay.store.intake import last_sequence

# Receivers have this long to learn a new secret; until then both sign.
OVERLAP_H, LONGEST_OVERLAP_H = 24, 168
# What an endpoint is for good; the first of each is meant where nothing is said.
_CHOICES = {"kind": ("fixed", "per_order"), "format": ("standard", "provider", "text"), "signing": ("source", "own")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """What the acts work with: `wrap` encrypts a secret for storage, `random` gives that many bytes."""

    engine: Engine
    wrap: Callable[[str], str]
    random: Callable[[int], bytes]
    new_event_id: Callable[[datetime], str]
    allow_cidrs: tuple[str, ...]
    sources: frozenset[str]


def create(office: Office, wishes: Mapping[str, Any], *, actor: Actor, now: datetime) -> tuple[RowMapping, str]:
    """Store an endpoint; return it and its secret, which is never shown again.

    `wishes` holds url, and may hold description, event_types, filters,
    concurrency, rate, ordered, headers, for good kind, format and signing, and
    backfill_from: then what happened since is sent too, by a replay. Raises
    Unprocessable for a URL we may not call, an unknown type or source, Forbidden for what
    lies outside the actor's scope, Conflict for a prefix that another has.
    """
    secret = new_secret(office.random(32))
    since = wishes.get("backfill_from")
    wishes = {name: value for name, value in wishes.items() if name != "backfill_from"}
    row = _checked(office, _for_good(_within(wishes, actor)), actor) | {
        "id": time_ordered_id("ep", now, office.random(8)),
        "secrets": json.dumps([_entry(office, secret)]),
        "owner_key_id": actor.id,
        "created_at": now,
    }
    # The feed lock, which orders are registered under: prefixes are read and made one after the other.
    with writing(office.engine, lock=FEED_LOCK) as connection:
        if row["kind"] == "per_order":
            _refuse_overlap(connection, row["url"])
        store.add(connection, row)
        _audit(connection, actor, "endpoint.create", row["id"], now=now, detail={"url": row["url"]})
        if since is not None:
            replays.fill(connection, row["id"], since, actor=actor, random=office.random(8), now=now)
        return _mine(connection, row["id"], actor), secret


def change(office: Office, endpoint_id: str, wishes: Mapping[str, Any], *, actor: Actor, now: datetime) -> RowMapping:
    """Change what `wishes` names; deliveries that exist already keep their endpoint and follow its URL."""
    with writing(office.engine) as connection:
        columns = _checked(office, wishes, actor, before=_mine(connection, endpoint_id, actor))
        if columns:
            # Another URL is judged by its own answers.
            store.change(connection, endpoint_id, columns | (HEALTHY if "url" in columns else {}))
            told = {**columns, "headers": header_names(columns)} if "headers" in columns else columns
            _audit(connection, actor, "endpoint.change", endpoint_id, now=now, detail=told)
        return _mine(connection, endpoint_id, actor)


def delete(office: Office, endpoint_id: str, *, actor: Actor, now: datetime) -> None:
    """Take an endpoint out of use for good; what still waited for it is given up."""
    with writing(office.engine, lock=FEED_LOCK) as connection:
        _mine(connection, endpoint_id, actor)
        store.give_up(connection, endpoint_id, why="endpoint_deleted", now=now)
        store.change(connection, endpoint_id, {"deleted_at": now, "state": "disabled"})
        _audit(connection, actor, "endpoint.delete", endpoint_id, now=now)


def stop(office: Office, endpoint_id: str, state: str, *, actor: Actor, now: datetime) -> RowMapping:
    """Pause or disable an endpoint; it misses nothing, its deliveries wait.

    The feed lock lets no batch of events be written meanwhile that has read the old state.
    """
    with writing(office.engine, lock=FEED_LOCK) as connection:
        if _mine(connection, endpoint_id, actor)["state"] != state:
            store.change(connection, endpoint_id, {"state": state, "state_reason": f"by {actor.name}"})
            store.set_aside(connection, endpoint_id)
            _audit(connection, actor, f"endpoint.{'pause' if state == 'paused' else 'disable'}", endpoint_id, now=now)
        return _mine(connection, endpoint_id, actor)


@dataclass(frozen=True, slots=True)
class Enabled:
    """An endpoint that was enabled: how many deliveries waited for it, and since when the oldest did."""

    endpoint: RowMapping
    waited: int
    oldest: datetime | None


def enable(office: Office, endpoint_id: str, *, skip: bool, actor: Actor, now: datetime) -> Enabled:
    """Let deliveries flow again; what waited is sent now, or given up with `skip`. The caller rings afterwards."""
    # A batch of events that has read the old state must be through, or its deliveries would wait for ever.
    with writing(office.engine, lock=FEED_LOCK) as connection:
        before = _mine(connection, endpoint_id, actor)
        was_stopped = before["state"] != "enabled"
        waited, oldest = store.waiting(connection, endpoint_id) if was_stopped else (0, None)
        if waited and skip:
            store.give_up(connection, endpoint_id, why="skipped", now=now)
        store.send_on(connection, endpoint_id, was_stopped=was_stopped, now=now)
        store.change(connection, endpoint_id, {"state": "enabled", "state_reason": None, **HEALTHY})
        _audit(connection, actor, "endpoint.enable", endpoint_id, now=now, detail={"waited": waited, "skip": skip})
        return Enabled(_mine(connection, endpoint_id, actor), waited, oldest)


def rotate_secret(
    office: Office, endpoint_id: str, *, overlap_h: int = OVERLAP_H, actor: Actor, now: datetime
) -> tuple[str, datetime]:
    """Give an endpoint a new secret; return it and when the present ones cease to sign beside it, after so many hours."""
    secret, until = new_secret(office.random(32)), now + timedelta(hours=overlap_h)
    with writing(office.engine) as connection:
        row = _mine(connection, endpoint_id, actor)
        entries = [
            _entry(office, secret),
            *_retiring(json.loads(row["secrets"]), now=rfc3339(now), until=rfc3339(until)),
        ]
        store.change(connection, endpoint_id, {"secrets": json.dumps(entries)})
        _audit(connection, actor, "endpoint.rotate-secret", endpoint_id, now=now)
    return secret, until


def test(office: Office, endpoint_id: str, *, actor: Actor, now: datetime) -> int:
    """Write a `relay.test` event for this endpoint alone; return its delivery's id. The caller rings afterwards."""
    event_id = office.new_event_id(now)
    with writing(office.engine, lock=FEED_LOCK) as connection:
        row = _mine(connection, endpoint_id, actor)
        if row["state"] != "enabled":
            raise Conflict("the endpoint is not enabled")
        if row["format"] == "provider":
            raise Conflict("an endpoint of format provider is told of recharge.succeeded only")
        sequence = last_sequence(connection) + 1
        data = {"endpoint_id": endpoint_id}
        body = operation_body("relay.test", event_id=event_id, sequence=sequence, now=now, data=data)
        event = {
            "sequence": sequence,
            "id": event_id,
            "type": "relay.test",
            "flags": "",
            "body": body,
            "created_at": now,
        }
        _audit(connection, actor, "endpoint.test", endpoint_id, now=now)
        return deliveries.add_with_event(connection, event, endpoint_id, now=now)


def header_names(row: Mapping[Any, Any]) -> list[str]:
    """Return the names of an endpoint's own headers; their values are never shown."""
    return sorted(json.loads(row["headers"])) if row["headers"] else []


def _mine(connection: Connection, endpoint_id: str, actor: Actor) -> RowMapping:
    owner = None if actor.changes_all else actor.id
    row = store.find(connection, endpoint_id, owner=owner, lock=True)
    if row is None:
        raise NotFound("no such endpoint")
    return row


def _audit(
    connection: Connection,
    actor: Actor,
    act: str,
    subject: str,
    *,
    now: datetime,
    detail: Mapping[str, Any] | None = None,
) -> None:
    audit.append(connection, actor=actor.id, act=act, subject=subject, now=now, detail=detail)


def _within(wishes: Mapping[str, Any], actor: Actor) -> Mapping[str, Any]:
    """A key that is bound to sources, and names none, means those."""
    filters = wishes.get("filters") or {}
    if actor.sources is None or filters.get("sources"):
        return wishes
    return {**wishes, "filters": {**filters, "sources": sorted(actor.sources)}}


def _for_good(wishes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the wishes with what an endpoint is from its first day to its last."""
    chosen = {name: wishes.get(name) or choices[0] for name, choices in _CHOICES.items()}
    for name, choice in chosen.items():
        if choice not in _CHOICES[name]:
            raise Unprocessable(f"must be one of {', '.join(_CHOICES[name])}", pointer=f"/{name}")
    if chosen["signing"] != "source" and chosen["format"] != "provider":
        raise Unprocessable("is for the format provider; others are signed with the endpoint's key", pointer="/signing")
    if chosen["kind"] == "per_order" and chosen["format"] == "text":
        raise Unprocessable("orders are not told in the format text", pointer="/format")
    # Named, so that an endpoint of another format that names no types is checked too.
    return {"event_types": None, **wishes, **chosen}


def _refuse_overlap(connection: Connection, prefix: str) -> None:
    """An order's URL says which endpoint it means: no two of them may claim it."""
    taken = store.prefixes(connection, only_enabled=False)
    if any(covers(one.url, prefix) or covers(prefix, one.url) for one in taken):
        raise Conflict("the prefix overlaps that of another endpoint of kind per_order")


def _checked(
    office: Office, wishes: Mapping[str, Any], actor: Actor, *, before: Mapping[Any, Any] | None = None
) -> dict[str, Any]:
    """Return the columns for what was asked, each checked; `before` is the endpoint that is to be changed."""
    columns, is_one = dict(wishes), before or wishes
    if "url" in columns:
        columns["url"] = _url(office, columns["url"], is_one["kind"], is_new=before is None)
    if "event_types" in columns:
        columns["event_types"] = _types(_carried(columns["event_types"], is_one["format"]), actor)
    if "filters" in columns:
        columns |= _filters(columns.pop("filters") or {}, office.sources, actor)
    if "headers" not in columns and before is not None and before["headers"]:
        _stay(before["url"], columns.get("url", before["url"]))
    if "headers" in columns:
        columns["headers"] = _wrapped(office, check_headers(columns["headers"] or {}))
    return columns


def _url(office: Office, url: str, kind: str, *, is_new: bool) -> str:
    allow = networks(office.allow_cidrs)
    if kind == "fixed":
        return check_endpoint_url(url, allow=allow)
    if not is_new:
        raise Unprocessable("orders were registered under this prefix; create another endpoint", pointer="/url")
    return check_prefix(url, allow=allow)


def _stay(before: str, url: str) -> None:
    """Who may change an endpoint may not learn by that what its headers hold."""
    if urlsplit(before)[:2] != urlsplit(url)[:2]:
        raise Unprocessable("its headers were given for another host; name them again, or null", pointer="/url")


def _carried(wanted: Sequence[str] | None, form: str) -> Sequence[str] | None:
    """A provider's own body can only say that an order was paid, a chat tool is told what people have to know."""
    if form == "text":
        return _operational(wanted)
    if form != "provider":
        return wanted
    if wanted and list(wanted) != ["recharge.succeeded"]:
        raise Unprocessable("the format provider carries recharge.succeeded only", pointer="/event_types")
    return ["recharge.succeeded"]


def _operational(wanted: Sequence[str] | None) -> Sequence[str]:
    if not wanted:
        raise Unprocessable(f"the format text carries {', '.join(OPERATION_TYPES)}; name some", pointer="/event_types")
    for place, name in enumerate(wanted):
        if name in RECHARGE_TYPES:
            raise Unprocessable("the format text carries operational types only", pointer=f"/event_types/{place}")
    return wanted


def _types(wanted: Sequence[str] | None, actor: Actor) -> str | None:
    for place, name in enumerate(wanted or ()):
        if name not in EVENT_TYPES:
            raise Unprocessable(f"no such type; there are {', '.join(EVENT_TYPES)}", pointer=f"/event_types/{place}")
        if name in OPERATION_TYPES and name != "relay.test" and actor.sources is not None:
            raise Forbidden(f"{name} tells of every source; this key is bound to {', '.join(sorted(actor.sources))}")
    return listed(wanted)


def _filters(wanted: Mapping[str, Any], known: frozenset[str], actor: Actor) -> dict[str, Any]:
    if not wanted.get("sources") and actor.sources is not None:
        raise Forbidden(f"this key is bound to {', '.join(sorted(actor.sources))}")
    return filter_columns(wanted, [name for name in known if actor.reaches(name)])


def _wrapped(office: Office, headers: Mapping[str, str]) -> str | None:
    return json.dumps({name: office.wrap(value) for name, value in headers.items()}) if headers else None


def _entry(office: Office, secret: str) -> dict[str, str | None]:
    return {"secret": office.wrap(secret), "expires_at": None}


def _retiring(entries: Sequence[Mapping[str, str | None]], *, now: str, until: str) -> list[dict[str, str | None]]:
    """Let each present secret end at `until`, or earlier where it was ending already; drop those that have ended."""
    ends = [(entry, min(entry["expires_at"] or until, until)) for entry in entries]
    return [{**entry, "expires_at": end} for entry, end in ends if end > now]
