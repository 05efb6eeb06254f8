"""Own who acts: a key or a person with roles, what they may reach, and how a key is spelled and remembered."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

ROLES = ("admin", "service", "operator", "preparer", "approver", "auditor", "finance-read")
FINANCE = ("preparer", "approver", "finance-read")


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Whoever asks. `id` is stored with what it owns and in the audit; `sources` None means every source."""

    id: str
    name: str
    roles: frozenset[str]
    sources: frozenset[str] | None = None

    @property
    def sees_all(self) -> bool:
        """Whether what others own is visible too."""
        return bool(self.roles & {"admin", "auditor"}) or self._operates

    @property
    def changes_all(self) -> bool:
        """Whether what others own may be changed too."""
        return "admin" in self.roles or self._operates

    @property
    def _operates(self) -> bool:
        """Operators look after what others own, but one who is bound to sources stays there."""
        return "operator" in self.roles and self.sources is None

    def may(self, needed: Iterable[str], *, reads: bool) -> bool:
        """Tell whether one of the needed roles is held; an admin may do anything, an auditor may read anything."""
        enough = {*needed, "admin", "auditor"} if reads else {*needed, "admin"}
        return bool(self.roles & enough)

    def reaches(self, source: str | None) -> bool:
        """Tell whether a source lies in this actor's scope; a scoped one reaches nothing that has no source."""
        return self.sources is None or source in self.sources


def new_key(random: bytes) -> str:
    """Spell 32 random bytes as a key."""
    return "rly_" + base64.urlsafe_b64encode(random).rstrip(b"=").decode()


def hash_of(key: str) -> str:
    """Return what is stored of a key. A plain hash is enough: 256 random bits leave nothing to guess."""
    return sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
