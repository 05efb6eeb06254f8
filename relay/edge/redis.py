"""Own Redis: the fast memory of callbacks, and the doorbell that wakes the deliverers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from relay.ports import NOTHING, Notes

log = logging.getLogger(__name__)

BELL = "relay:bell"
SEEN = "relay:seen:"
CALLS = "relay:calls:"
REPEATS = "relay:repeats"
# As RQ names them; it alone writes there.
QUEUES = {name: f"rq:queue:{name}" for name in ("deliver", "work")}
SEEN_TTL_S = 7 * 24 * 3600
# Rings beyond these add nothing: whoever is woken once looks at everything that is due.
RINGS_KEPT = 16
# Of a queue's jobs the first 64 are asked for their time; what is put at the front is younger than what waits behind it.
_LAST_LOOKED_AT = "63"
TIMEOUT_S = 0.15
# After a failure or a late answer we stay away this long, so that a sick Redis costs one timeout each time.
AWAY_S = 2.0


def connect(
    url: str, *, tls_verify: bool, timeout_s: float | None = TIMEOUT_S, max_connections: int = 3
) -> redis.Redis:
    """Return a client that opens its first connection on first use, so it may exist before a fork.

    `rediss://` is checked against the system's authorities unless `tls_verify`
    is off, as it must be where the platform signs its own certificates.
    Every failure is raised at once: who calls knows what to do without Redis.
    """
    pool = redis.BlockingConnectionPool.from_url(
        url,
        **_tls(url, tls_verify=tls_verify),
        max_connections=max_connections,
        timeout=1.0 if timeout_s is None else timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=5.0 if timeout_s is None else timeout_s,
        socket_keepalive=True,
        health_check_interval=30,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )
    return redis.Redis.from_pool(pool)


def _tls(url: str, *, tls_verify: bool) -> dict[str, Any]:
    if tls_verify or not url.startswith("rediss://"):
        # The client refuses these settings beside a plain `redis://` URL.
        return {}
    return {"ssl_cert_reqs": "none", "ssl_check_hostname": False}


def eviction_policy(client: redis.Redis) -> str | None:
    """Return what a full Redis does (`noeviction` is right for a queue); None when it does not say.

    Read from INFO: managed ones refuse CONFIG.
    """
    try:
        answer = client.info("memory")
    except redis.RedisError:
        return None
    policy = answer.get("maxmemory_policy") if isinstance(answer, dict) else None
    return policy if isinstance(policy, str) else None


@dataclass(frozen=True, slots=True)
class Figures:
    """How often a callback came that was known, since Redis remembers, and how many jobs wait in each queue."""

    repeats: int
    depths: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many jobs wait in a queue, and since when the oldest of the first of them does."""

    depth: int
    since: datetime | None


class RedisMemory:
    """Fills ports.Memory and ports.Doorbell.

    A key's value counts how often its callback came, as far as Redis
    remembers. Nothing here raises; what Redis answers is a hint, never a proof.
    """

    def __init__(self, client: redis.Redis, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._pool = client.connection_pool
        self._monotonic = monotonic
        self._away_until = 0.0
        self._is_down = False
        self._is_refusing = False

    def seen(self, keys: Sequence[str], *, after: Notes = NOTHING) -> set[str]:
        """Take the notes of the batch before and return the keys it remembers; the empty set when it cannot tell."""
        return set(self.repeats(keys, after=after))

    def repeats(self, keys: Sequence[str], *, after: Notes = NOTHING) -> dict[str, int]:
        """Return how often each callback came, for the keys it remembers."""
        told = _told(after)
        asked = [_command("MGET", *(SEEN + key for key in keys))] if keys else []
        if not told and not asked:
            return {}
        answers = self._exchange([*told, *asked])
        if told:
            self._note_refusals(answers[: len(told)])
        values = answers[-1] if asked and answers else None
        if not isinstance(values, list) or len(values) != len(keys):
            return {}
        return {key: int(value) for key, value in zip(keys, values, strict=True) if _is_count(value)}

    def remember(self, notes: Notes) -> None:
        """Remember committed keys for a week, count repeats, and ring for the deliverers, in one exchange."""
        self.seen((), after=notes)

    def ring(self) -> None:
        """Ring once."""
        self._note_refusals(self._exchange(_RING))

    def count(self, name: str, *, ttl_s: int) -> int | None:
        """Count one more of a name that is forgotten after `ttl_s` seconds; None when nobody counts."""
        key = CALLS + name
        answers = self._exchange([_command("INCR", key), _command("EXPIRE", key, str(ttl_s))])
        return answers[0] if answers and isinstance(answers[0], int) else None

    def figures(self) -> Figures | None:
        """Return what is watched here, in one exchange; None when it does not answer."""
        asked = [_command("GET", REPEATS), *(_command("LLEN", key) for key in QUEUES.values())]
        repeats, *depths = self._exchange(asked) or [None]
        if len(depths) < len(QUEUES) or not all(isinstance(depth, int) for depth in depths):
            return None
        return Figures(int(repeats) if _is_count(repeats) else 0, dict(zip(QUEUES, depths, strict=True)))

    def waiting(self) -> dict[str, Waiting] | None:
        """Return what waits in each queue, in two exchanges; None when it does not answer."""
        asked = [
            _command(word, *rest)
            for key in QUEUES.values()
            for word, *rest in (("LLEN", key), ("LRANGE", key, "0", _LAST_LOOKED_AT))
        ]
        answers = self._exchange(asked)
        depths, listed = answers[::2], answers[1::2]
        if len(listed) < len(QUEUES) or not all(isinstance(ids, list) for ids in listed):
            return None
        return {
            name: Waiting(depth, self._oldest(ids))
            for name, depth, ids in zip(QUEUES, depths, listed, strict=True)
            if isinstance(depth, int)
        }

    def _oldest(self, ids: Sequence[bytes]) -> datetime | None:
        """Since when the oldest of these jobs waits, None where none says so."""
        jobs = [id_.decode("ascii", "replace") for id_ in ids if isinstance(id_, bytes)]
        moments = self._exchange([_command("HGET", f"rq:job:{job}", "enqueued_at") for job in jobs]) if jobs else []
        return min(filter(None, map(_moment, moments)), default=None)

    def answers(self) -> bool:
        """Tell whether Redis answers now."""
        return self._exchange([_command("PING")]) == [b"PONG"]

    def _exchange(self, commands: Sequence[bytes]) -> list[Any]:
        """Send packed commands at once and return their answers; none when Redis is away or fails."""
        started = self._monotonic()
        if started < self._away_until:
            return []
        if self._is_down:
            # Of several threads only one tries again.
            self._away_until = started + AWAY_S
        try:
            answers = self._converse(b"".join(commands), len(commands))
        except Exception as error:  # noqa: BLE001  # a server that answers garbage makes the parser raise anything
            self._stay_away(type(error).__name__)
            return []
        self._come_back()
        return answers

    def _converse(self, packed: bytes, count: int) -> list[Any]:
        connection: Any = self._pool.get_connection()
        deadline = self._monotonic() + TIMEOUT_S
        try:
            connection.send_packed_command([packed])
            return [self._answer(connection, deadline) for _ in range(count)]
        except BaseException:
            # Answers that were not read would be taken for those of the next exchange.
            connection.disconnect()
            raise
        finally:
            self._pool.release(connection)

    def _answer(self, connection: Any, deadline: float) -> Any:
        if self._monotonic() > deadline:
            # Each answer in time and all together late costs a caller as much as silence.
            raise redis.TimeoutError
        try:
            return connection.read_response()
        except redis.ResponseError as error:
            return error

    def _stay_away(self, reason: str) -> None:
        self._away_until = self._monotonic() + AWAY_S
        if not self._is_down:
            log.warning("memory_unavailable", extra={"reason": reason})
        self._is_down = True

    def _come_back(self) -> None:
        if self._is_down:
            log.info("memory_returned")
        self._is_down = False
        self._away_until = 0.0

    def _note_refusals(self, answers: Sequence[Any]) -> None:
        """A full Redis refuses writes but still reads, so it is used on; the log says so once."""
        refusal = next((answer for answer in answers if isinstance(answer, redis.ResponseError)), None)
        if refusal is not None and not self._is_refusing:
            log.warning("memory_refused", extra={"reason": type(refusal).__name__})
        if answers:
            self._is_refusing = refusal is not None


def _moment(said: object) -> datetime | None:
    """The time that a job's hash bears; whoever can write to Redis may have put anything there."""
    try:
        moment = datetime.fromisoformat(said.decode("ascii")) if isinstance(said, bytes) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None


def _told(notes: Notes) -> list[bytes]:
    """Return the commands that take notes."""
    commands = [_SET + _bulk(SEEN + key) + _FOR_A_WEEK for key in notes.new]
    # INCR makes a key that was evicted meanwhile anew, and without an end.
    for key in notes.repeated:
        commands += [_command("INCR", SEEN + key), _command("EXPIRE", SEEN + key, str(SEEN_TTL_S))]
    if notes.repeated:
        commands.append(_command("INCRBY", REPEATS, str(len(notes.repeated))))
    return commands + _RING if notes.ring else commands


def _command(*parts: str) -> bytes:
    """Pack one command (RESP array of bulk strings); the client's own packing costs three times as much."""
    return b"*%d\r\n" % len(parts) + b"".join(map(_bulk, parts))


def _bulk(part: str) -> bytes:
    raw = part.encode()
    return b"$%d\r\n%b\r\n" % (len(raw), raw)


# The command that every new callback costs, but for its key.
_SET, _FOR_A_WEEK = b"*5\r\n" + _bulk("SET"), b"".join(map(_bulk, ("1", "EX", str(SEEN_TTL_S))))
_RING = [_command("LPUSH", BELL, "1"), _command("LTRIM", BELL, "0", str(RINGS_KEPT - 1))]


def _is_count(value: object) -> bool:
    # A count of more digits is a lie, and would cost time to read.
    return isinstance(value, bytes) and len(value) < 20 and value.isdigit()


class AsyncBell:
    """Waits for the doorbell inside an event loop; a dead Redis turns the waiting into polling."""

    def __init__(self, url: str, *, tls_verify: bool) -> None:
        self._client: Any = redis.asyncio.Redis.from_url(
            url,
            **_tls(url, tls_verify=tls_verify),
            socket_connect_timeout=1.0,
            retry=AsyncRetry(NoBackoff(), 0),
            protocol=2,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def wait(self, timeout_s: float) -> bool:
        """Return True when it rang, False after about `timeout_s` seconds; never raises."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + timeout_s
        try:
            # A server that is well ends the wait itself; one that has fallen silent never would.
            async with asyncio.timeout(timeout_s + 0.5):
                # Redis before 6 takes whole seconds only, so 1.0 is spelt 1.
                return await self._client.execute_command("BLPOP", BELL, f"{timeout_s:g}") is not None
        except Exception as error:  # noqa: BLE001  # as in the memory: whatever goes wrong, polling goes on
            log.debug("bell_unavailable", extra={"reason": type(error).__name__})
        await asyncio.sleep(max(0.0, ends_at - loop.time()))
        return False
