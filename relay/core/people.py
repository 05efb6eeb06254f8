"""Own what is true of people who sign in: their names, roles and passwords, how long a session lasts, how guessing is slowed."""

from __future__ import annotations

import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from datetime import timedelta
from hashlib import scrypt

from relay.errors import Unprocessable

ROLES = ("preparer", "approver", "auditor", "operator", "admin")
SHORTEST, LONGEST = 12, 200
SALT_BYTES, TOKEN_BYTES = 16, 32

# A session ends when nobody used it for an hour, and after a working day whatever happened.
IDLE, WHOLE = timedelta(hours=1), timedelta(hours=12)
# How often a session's last use is written down.
NOTED_EVERY = timedelta(minutes=1)
# Failures older than this are forgotten.
FORGOTTEN_AFTER = timedelta(hours=1)

# 32 MiB and about a tenth of a second a guess (RFC 7914; OWASP's first choice for scrypt is within a factor of four).
_COST, _BLOCK, _LANES = 2**15, 8, 1
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,38}[a-z0-9])?")


def checked_name(given: str) -> str:
    """Return a name as it is stored; Unprocessable for one that could be confused with another."""
    name = given.strip().lower()
    if not _NAME.fullmatch(name):
        raise Unprocessable("a name has 1 to 40 of a-z, 0-9, dot, dash and underscore", pointer="/name")
    return name


def checked_roles(roles: Sequence[str]) -> tuple[str, ...]:
    """Return roles in their usual order; Unprocessable for none, or for one that people do not have."""
    unknown = sorted(set(roles) - set(ROLES))
    if unknown or not roles:
        what = f"no such role for a person: {', '.join(unknown)}" if unknown else "a person needs a role"
        raise Unprocessable(f"{what}; there are {', '.join(ROLES)}", pointer="/roles")
    return tuple(role for role in ROLES if role in roles)


def check_password(password: str, name: str) -> None:
    """Refuse what is guessed first: the short, the name itself, one letter again and again (NIST SP 800-63B, 5.1.1.2)."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise Unprocessable(f"a password has {SHORTEST} to {LONGEST} characters", pointer="/password")
    rest = password.lower().replace(name, "")
    if len(set(password)) < 5 or len(rest) < min(len(password), 8):
        raise Unprocessable("this password is too easy to guess", pointer="/password")


def hashed(password: str, salt: bytes) -> str:
    """Return what is stored of a password: the cost it was made with, the salt, the hash."""
    digest = _digest(password, salt, _COST, _BLOCK, _LANES)
    return f"scrypt:{_COST}:{_BLOCK}:{_LANES}:{b64encode(salt).decode()}:{b64encode(digest).decode()}"


def verifies(password: str, stored: str) -> bool:
    """Tell whether a password is the one that was stored, at the cost it was stored with."""
    _, cost, block, lanes, salt, digest = stored.split(":")
    found = _digest(password, b64decode(salt), int(cost), int(block), int(lanes))
    return hmac.compare_digest(found, b64decode(digest))


# What a name that nobody has is compared with, so that it takes as long as any other.
NOBODY = "scrypt:32768:8:1:AAAAAAAAAAAAAAAAAAAAAA==:" + b64encode(bytes(32)).decode()


def wait_after(failures: int, *, free: int, longest: timedelta) -> timedelta:
    """Return how long the next guess has to wait: not at all for the first ones, then twice as long each time."""
    if failures < free:
        return timedelta()
    return min(timedelta(seconds=2 ** min(failures - free, 20)), longest)


def _digest(password: str, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    # A character that no encoding has (a lone surrogate) is only a wrong password.
    given = password.encode("utf-8", "surrogatepass")
    # What the table of RFC 7914 takes, and a little for everything around it.
    return scrypt(given, salt=salt, n=cost, r=block, p=lanes, maxmem=128 * cost * block + 2**20, dklen=32)
