"""Own the triggers that append an order's key to `dirty` with each change of a fact, in the writer's own transaction.

The database writes the log, so that no writer forgets it: neither one of ours,
nor a process of the release before that still runs, nor a person's statement.
On Postgres they fire once a statement where rows come in batches.
A table that is made anew by a migration loses its triggers, and has to be given them again.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, event

from relay.store.tables.base import metadata

_ORDER_CHANGES = (
    "version",
    "state",
    "credited_micros",
    "amount_micros",
    "expected_micros",
    "flags",
    "address",
    "expires_at",
)
_MATCH_CHANGES = ("namespace", "orderid", "final_at", "reversed_at")
_MOVED = "SELECT m.namespace, m.orderid FROM matches m WHERE m.chain = {0}chain AND m.tx_hash = {0}tx_hash AND m.log_index = {0}log_index"
_TOLD = "SELECT e.namespace, e.orderid FROM events e WHERE e.sequence = NEW.event_sequence AND e.orderid IS NOT NULL"
# An endpoint that is deleted is owed nothing any more.
_NO_LONGER = (
    "SELECT e.namespace, e.orderid FROM deliveries d JOIN events e ON e.sequence = d.event_sequence"
    " WHERE d.endpoint_id = NEW.id AND d.state NOT IN ('delivered', 'held') AND e.orderid IS NOT NULL"
)
# A request that was refused may name no order; nothing that the log wants may keep a callback from being stored.
_OF_ORDER = "{0}namespace IS NOT NULL AND {0}orderid IS NOT NULL AND {0}verdict <> 'rejected'"
_NEW = "VALUES (NEW.namespace, NEW.orderid)"


def _differs(names: tuple[str, ...], word: str, old: str = "OLD", new: str = "NEW") -> str:
    return " OR ".join(f"{old}.{name} {word} {new}.{name}" for name in names)


def _sqlite(name: str, on: str, values: str, when: str = "") -> str:
    condition = f" WHEN {when}" if when else ""
    return f"CREATE TRIGGER {name} AFTER {on} FOR EACH ROW{condition} BEGIN INSERT INTO dirty (namespace, orderid) {values}; END"


# A delivery was given up, held, let go, or is sent again; or it was acknowledged late enough to have been a break before. What a
# source may call late begins at 60 s; clocks of two machines may differ by the rest.
_GIVEN_UP = "OLD.state <> NEW.state AND 'dead' IN (OLD.state, NEW.state)"
_AT_LAST = (
    "OLD.state <> NEW.state AND (OLD.state IN ('dead', 'held', 'delivered') OR NEW.state IN ('dead', 'held')"
    " OR NEW.state = 'delivered' AND {0})"
)
_LATE_SQLITE = "julianday(NEW.finished_at) - julianday(coalesce(NEW.owed_since, NEW.created_at)) > 45 / 86400.0"
_LATE_POSTGRES = "NEW.finished_at - coalesce(NEW.owed_since, NEW.created_at) > interval '45 seconds'"
SQLITE = (
    _sqlite("dirty_orders_new", "INSERT ON orders", _NEW),
    _sqlite("dirty_orders", "UPDATE ON orders", _NEW, _differs(_ORDER_CHANGES, "IS NOT")),
    _sqlite("dirty_callbacks", "INSERT ON callbacks", _NEW, _OF_ORDER.format("NEW.")),
    _sqlite("dirty_facts_new", "INSERT ON provider_facts", _NEW),
    _sqlite("dirty_facts", "UPDATE ON provider_facts", _NEW, "OLD.changed_at IS NOT NEW.changed_at"),
    _sqlite("dirty_matches_new", "INSERT ON matches", _NEW),
    _sqlite("dirty_matches", "UPDATE ON matches", _NEW, _differs(_MATCH_CHANGES, "IS NOT")),
    _sqlite(
        "dirty_transfers",
        "UPDATE ON transfers",
        _MOVED.format("NEW."),
        "OLD.is_final <> NEW.is_final OR OLD.orphaned_at IS NOT NEW.orphaned_at",
    ),
)


def _function(name: str, values: str) -> str:
    return (
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"INSERT INTO dirty (namespace, orderid) {values}; RETURN NULL; END $$"
    )


def _batch(name: str, table: str, values: str) -> tuple[str, str]:
    """What an INSERT of many rows appends."""
    fired = f"CREATE TRIGGER {name} AFTER INSERT ON {table} REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
    return _function(name, values), fired


def _each(name: str, table: str, values: str, when: str) -> tuple[str, str]:
    """What an UPDATE appends for each row that changed."""
    return (
        _function(name, values),
        f"CREATE TRIGGER {name} AFTER UPDATE ON {table} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION {name}()",
    )


_FRESH = "SELECT namespace, orderid FROM fresh"
_DISTINCT = "IS DISTINCT FROM"
POSTGRES = (
    *_batch("dirty_orders_new", "orders", _FRESH),
    *_each("dirty_orders", "orders", _NEW, _differs(_ORDER_CHANGES, _DISTINCT)),
    *_batch("dirty_callbacks", "callbacks", f"{_FRESH} WHERE {_OF_ORDER.format('')}"),
    *_batch("dirty_facts_new", "provider_facts", _FRESH),
    *_each("dirty_facts", "provider_facts", _NEW, _differs(("changed_at",), _DISTINCT)),
    *_batch("dirty_matches_new", "matches", _FRESH),
    *_each("dirty_matches", "matches", _NEW, _differs(_MATCH_CHANGES, _DISTINCT)),
    *_each("dirty_transfers", "transfers", _MOVED.format("NEW."), _differs(("is_final", "orphaned_at"), _DISTINCT)),
)
_TABLES = {
    "orders_new": "orders",
    "orders": "orders",
    "callbacks": "callbacks",
    "facts_new": "provider_facts",
    "facts": "provider_facts",
    "matches_new": "matches",
    "matches": "matches",
    "transfers": "transfers",
}


# What changes about a transfer while it belongs to no order; one that finds its order at once never shows here.
_STRAYED = """{0} OR (NEW.unmatched IS NOT NULL AND (OLD.is_final <> NEW.is_final OR {1}))"""
_MOVE = "VALUES ('transfer', NEW.chain, NEW.tx_hash || '/' || NEW.log_index)"
_POINT = "VALUES ('balance', NEW.chain, NEW.contract || '/' || NEW.address || '/' || NEW.first_block)"
_PLACE = "VALUES ('address', NEW.chain, NEW.address)"
# Name, table and act; the condition in the words of SQLite and of Postgres; what is appended.
_STRAYS = (
    (
        "strays_moved",
        "UPDATE ON transfers",
        _STRAYED.format(*(_differs((one,), "IS NOT") for one in ("unmatched", "orphaned_at"))),
        _STRAYED.format(*(_differs((one,), _DISTINCT) for one in ("unmatched", "orphaned_at"))),
        _MOVE,
    ),
    ("strays_measured", "INSERT ON balances", "1 = 1", "true", _POINT),
    ("strays_booked", "INSERT ON addresses", "NEW.role <> 'deposit'", "NEW.role <> 'deposit'", _PLACE),
    ("strays_rebooked", "UPDATE ON addresses", "OLD.role <> NEW.role", "OLD.role <> NEW.role", _PLACE),
)


def create(connection: Connection) -> None:
    """Make the triggers that log orders, but for that of deliveries; the tables are there."""
    for statement in SQLITE if connection.dialect.name == "sqlite" else POSTGRES:
        connection.exec_driver_sql(statement)


def create_deliveries(connection: Connection, *, by_time: bool = True) -> None:
    """Make the triggers of deliveries; not `by_time` it is one, knows only of those that are given up, and needs no `owed_since`."""
    is_sqlite = connection.dialect.name == "sqlite"
    late = _AT_LAST.format(_LATE_SQLITE if is_sqlite else _LATE_POSTGRES) if by_time else _GIVEN_UP
    deleted = f"OLD.deleted_at {'IS NOT' if is_sqlite else _DISTINCT} NEW.deleted_at"
    wanted = [("deliveries", _TOLD, late)] + ([("endpoints", _NO_LONGER, deleted)] if by_time else [])
    for table, values, when in wanted:
        name = f"dirty_{table}"
        made = [_sqlite(name, f"UPDATE ON {table}", values, when)] if is_sqlite else _each(name, table, values, when)
        for statement in made:
            connection.exec_driver_sql(statement)


def drop_deliveries(connection: Connection) -> None:
    """Take those triggers away."""
    _drop(connection, "deliveries", "deliveries")
    _drop(connection, "endpoints", "endpoints")


def create_strays(connection: Connection) -> None:
    """Make the triggers that log what is no order's; the tables are there."""
    for name, on, in_sqlite, in_postgres, values in _STRAYS:
        put = f"INSERT INTO dirty_strays (kind, chain, key) {values}"
        if connection.dialect.name == "sqlite":
            fired = f"CREATE TRIGGER {name} AFTER {on} FOR EACH ROW WHEN {in_sqlite} BEGIN {put}; END"
            connection.exec_driver_sql(fired)
        else:
            body = f"LANGUAGE plpgsql AS $$ BEGIN {put}; RETURN NULL; END $$"
            connection.exec_driver_sql(f"CREATE FUNCTION {name}() RETURNS trigger {body}")
            fired = f"CREATE TRIGGER {name} AFTER {on} FOR EACH ROW WHEN ({in_postgres}) EXECUTE FUNCTION {name}()"
            connection.exec_driver_sql(fired)


def drop_strays(connection: Connection) -> None:
    """Take those triggers away."""
    for name, on, *_ in _STRAYS:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        else:
            connection.exec_driver_sql(f"DROP TRIGGER {name} ON {on.split()[-1]}")
            connection.exec_driver_sql(f"DROP FUNCTION {name}()")


def drop(connection: Connection) -> None:
    """Take those of orders away."""
    for name, table in _TABLES.items():
        _drop(connection, name, table)


def _drop(connection: Connection, name: str, table: str) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS dirty_{name}")
    else:
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS dirty_{name} ON {table}")
        connection.exec_driver_sql(f"DROP FUNCTION IF EXISTS dirty_{name}()")


@event.listens_for(metadata, "after_create")
def _after_create(_: Any, connection: Connection, **__: Any) -> None:
    create(connection)
    create_deliveries(connection)
    create_strays(connection)
