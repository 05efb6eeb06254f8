"""Own how the audit is read."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BeforeValidator

from relay.store import audit
from relay.store.engine import reading
from relay.web.api.common import Listed, ListQuery, Moment, Shape, Words, listed, part
from relay.web.auth import role
from relay.web.context import runtime

routes = part("audit", "Who did what; each entry hashes the one before it.")


class AuditQuery(ListQuery):
    """Whose acts, or upon what."""

    actor: Words | None = None
    subject: Words | None = None


class ActShape(Shape):
    """One privileged act."""

    sequence: int
    at: Moment
    actor: str
    act: str
    subject: str
    detail: Annotated[dict[str, Any], BeforeValidator(json.loads)]
    previous_hash: str
    hash: str


@routes.get("/audit", responses={200: Listed[ActShape]})
@role("auditor")
def list_acts(query: AuditQuery) -> dict[str, Any]:
    """List acts, newest first."""
    with reading(runtime().engine) as connection:
        page = audit.page(connection, **query.model_dump())
    return listed(ActShape, page.rows, page.next)
