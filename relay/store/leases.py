"""Own leases: who may do a thing now, and a number that tells holders apart."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, case, or_, text, update

from relay.store.rows import leases


def take(connection: Connection, name: str, *, owner: str, now: datetime, ttl_s: float) -> int | None:
    """Take or renew a lease; return its fence, or None while somebody else holds it.

    The fence grows with each change of holder. The row stays locked until the
    transaction ends, so what is done within it is done by the only holder.
    """
    until = now + timedelta(seconds=ttl_s)
    mine = leases.c.owner == owner
    renewed: int | None = connection.scalar(
        update(leases)
        .where(leases.c.name == name, or_(mine, leases.c.expires_at <= now))
        .values(owner=owner, expires_at=until, fence=leases.c.fence + case((mine, 0), else_=1))
        .returning(leases.c.fence)
    )
    if renewed is not None:
        return renewed
    first: int | None = connection.scalar(_FIRST, {"name": name, "owner": owner, "until": until})
    return first


def release(connection: Connection, name: str, *, owner: str, now: datetime) -> None:
    """Let go of a lease, so that the next holder need not wait for its end."""
    held = (leases.c.name == name, leases.c.owner == owner, leases.c.expires_at > now)
    connection.execute(update(leases).where(*held).values(expires_at=now))


# Of two who come first, the later one waits until the other has committed, and then gets nothing.
_FIRST = text(
    """
    INSERT INTO leases (name, owner, fence, expires_at) VALUES (:name, :owner, 1, :until)
    ON CONFLICT DO NOTHING RETURNING fence
    """
).bindparams(bindparam("until", type_=leases.c.expires_at.type))
