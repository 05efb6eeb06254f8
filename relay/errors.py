"""Own the exception tree: the branch an error hangs on is the policy for it.

RelayError
├── ConfigError         refuse to start; carries every fault found
├── RequestRejected     the caller's fault: 4xx, nothing changed
│   ├── CallbackRejected  a callback refused at the door, kept for review
│   ├── NotFound, Conflict, Unprocessable
│   └── Unauthorized, Forbidden, TooMany
├── Unavailable         the world's fault: 503 and Retry-After, nothing lost
└── InvariantBroken     ours, or tampering: stop and page
"""

from __future__ import annotations

from collections.abc import Sequence


class RelayError(Exception):
    """Every error we raise on purpose; `code` is stable and public, `http_status` is what a caller sees."""

    code = "internal_error"
    http_status = 500

    def __init__(self, detail: str = "", *, code: str | None = None) -> None:
        super().__init__(detail or self.code)
        self.detail = detail
        if code is not None:
            self.code = code


class ConfigError(RelayError):
    """The configuration cannot be used; `faults` lists everything wrong with it, by name."""

    code = "bad_configuration"

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


class RequestRejected(RelayError):
    """The caller must change the request before it can work."""

    code = "bad_request"
    http_status = 400


class CallbackRejected(RequestRejected):
    """A callback refused at the door; `code` names the reason and is stored with the raw request."""

    code = "malformed"

    def __init__(self, detail: str, *, code: str = "malformed", http_status: int = 400) -> None:
        super().__init__(detail, code=code)
        self.http_status = http_status


class Unauthorized(RequestRejected):
    """No key, or not one of ours."""

    code = "unauthorized"
    http_status = 401


class Forbidden(RequestRejected):
    """A key of ours that lacks the route's role."""

    code = "forbidden"
    http_status = 403


class TooMany(RequestRejected):
    """Too often; the caller may come again after `retry_after_s`."""

    code = "too_many"
    http_status = 429

    def __init__(self, detail: str, *, retry_after_s: int) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class NotFound(RequestRejected):
    """Nothing by that name, or nothing this key may see."""

    code = "not_found"
    http_status = 404


class Conflict(RequestRejected):
    """The thing is in a state that forbids the act."""

    code = "conflict"
    http_status = 409


class Unprocessable(RequestRejected):
    """Well-formed, but a field holds what it must not; `pointer` is its JSON pointer."""

    code = "invalid_field"
    http_status = 422

    def __init__(self, detail: str, *, pointer: str = "", code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.pointer = pointer


class Unavailable(RelayError):
    """Something we depend on does not answer; the caller repeats after `retry_after_s`."""

    code = "unavailable"
    http_status = 503
    retry_after_s = 5


class NodeFault(Unavailable):
    """A node of a chain did not answer, or not as a node may; `code` is a short stable word for how."""

    code = "node_fault"


class InvariantBroken(RelayError):
    """A fact that must hold does not; a person has to look."""

    code = "invariant_broken"
