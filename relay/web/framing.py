"""Own the reading of a body that comes in chunks: what cannot be taken apart is its sender's fault, and none of ours."""

from __future__ import annotations

from typing import Any, Protocol


class Input(Protocol):
    """What a server hands a body over as."""

    def read(self, size: int, /) -> bytes:
        """Return so many bytes, less at the end."""


class NotFramed(OSError):
    """The chunks of a body are none, or ended early; an OSError, which frameworks take for a sender who went away."""


class Framed:
    """A body in chunks. Each server has errors of its own for what is no chunk: here they are one."""

    def __init__(self, source: Input) -> None:
        self._source = source

    def read(self, size: int) -> bytes:
        """Return so many bytes, less at the end; NotFramed where the sender did not keep to HTTP."""
        try:
            return self._source.read(size)
        except BlockingIOError:
            # Who only was too slow may try again.
            raise
        except Exception as error:
            raise NotFramed("the body is not framed as HTTP has it") from error


def is_in_chunks(environ: dict[str, Any]) -> bool:
    """Tell whether a request has a body whose length nobody has announced, and which the server ends."""
    return not environ.get("CONTENT_LENGTH") and bool(environ.get("wsgi.input_terminated"))
