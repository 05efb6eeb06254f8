"""Own the environment: the only reader of it, and the one list of everything that is wrong with it."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from config.chains import parse_chains
from config.sources import parse_sources
from relay.core.addresses import networks
from relay.core.chains import Chain
from relay.core.platforms import platform_of
from relay.core.sources import Source
from relay.errors import ConfigError

DEFAULT_SOURCES = Path(__file__).parent / "sources.toml"
DEFAULT_CHAINS = Path(__file__).parent / "chains.toml"
MAKE_ONE = 'python -c "import secrets; print(secrets.token_urlsafe(48))"'
MAKE_SEAL_KEY = 'python -c "import base64, secrets; print(base64.b64encode(secrets.token_bytes(32)).decode())"'
# 32 characters of what `secrets` makes are beyond guessing; shorter ones tend to be words.
SHORTEST = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the environment says, checked; what could be a secret is left out of `repr`.

    `embedded_redis` tells that no Redis was named, so that `relay run` brings
    its own; `redis_url` is then where one usually listens. `log_format`
    "auto" is text on a terminal and JSON elsewhere.
    """

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    redis_tls_verify: bool
    embedded_redis: bool
    secret_keys: tuple[str, ...] = field(repr=False)
    admin_key: str | None = field(repr=False)
    sources: dict[str, Source]
    chains: dict[str, Chain]
    public_url: str
    port: int
    web_concurrency: int
    deliverers: int
    trusted_proxy_hops: int
    endpoint_allow_cidrs: tuple[str, ...]
    provider_proxy_url: str = field(repr=False)
    heartbeat_url: str = field(repr=False)
    seal_key: bytes | None = field(repr=False)
    business_timezone: str
    business_cutoff: time
    log_level: str
    log_format: str
    sandbox: bool
    platform: str


def load(environ: Mapping[str, str]) -> Settings:
    """Read the settings; every `<NAME>` may also come as `<NAME>_FILE`, and an empty value is no value.

    Raises ConfigError with all faults of the environment and of the sources,
    each under the name of its variable or its place in the TOML.
    """
    faults: list[str] = []
    read = _Environment(environ, faults)
    database_url = read.url(
        "DATABASE_URL", ("sqlite", "postgres", "postgresql", "postgresql+psycopg"), "sqlite:///var/relay.db"
    )
    redis_url = read.url("REDIS_TLS_URL", ("rediss",)) or read.url("REDIS_URL", ("redis", "rediss", "unix"))
    port = read.whole("PORT", 8000, least=1, most=65535)
    settings = Settings(
        database_url=database_url,
        redis_url=redis_url or "redis://127.0.0.1:6379/0",
        redis_tls_verify=read.flag("REDIS_TLS_VERIFY", default=True),
        embedded_redis=not redis_url,
        secret_keys=_secret_keys(read),
        admin_key=_admin_key(read),
        public_url=read.url("PUBLIC_URL", ("http", "https"), f"http://127.0.0.1:{port}").rstrip("/"),
        port=port,
        web_concurrency=read.whole("WEB_CONCURRENCY", 2, least=1, most=64),
        deliverers=read.whole("RELAY_DELIVERERS", 2, least=1, most=16),
        trusted_proxy_hops=read.whole("TRUSTED_PROXY_HOPS", 0, least=0, most=10),
        endpoint_allow_cidrs=_cidrs(read),
        provider_proxy_url=read.url("PROVIDER_PROXY_URL", ("http",)),
        heartbeat_url=read.url("RELAY_HEARTBEAT_URL", ("http", "https")),
        seal_key=_seal_key(read),
        business_timezone=_zone(read),
        business_cutoff=_cutoff(read),
        log_level=read.choice("LOG_LEVEL", ("DEBUG", "INFO", "WARNING", "ERROR"), "INFO"),
        log_format=read.choice("LOG_FORMAT", ("auto", "json", "text"), "auto"),
        sandbox=read.flag("RELAY_SANDBOX", default=False),
        platform=platform_of(environ),
        sources=_sources(read),
        chains=_chains(read),
    )
    if faults:
        raise ConfigError(faults)
    return settings


class _Environment:
    """The variables, each read with its check; a wrong one adds a fault and reads as its default."""

    def __init__(self, environ: Mapping[str, str], faults: list[str]) -> None:
        self._environ = environ
        self.faults = faults

    def fault(self, name: str, what: str) -> None:
        self.faults.append(f"{name}: {what}")

    def text(self, name: str) -> str:
        """Return the value, from the variable or from the file that `<NAME>_FILE` names; "" when there is none."""
        value, file = self._environ.get(name, "").strip(), self._environ.get(f"{name}_FILE", "").strip()
        if not file:
            return value
        if value:
            self.fault(name, f"is set, and so is {name}_FILE; keep one")
        try:
            return Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            self.fault(f"{name}_FILE", f"cannot be read: {_why(error)}")
            return ""

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the parts of a comma-separated value."""
        return tuple(filter(None, map(str.strip, self.text(name).split(","))))

    def whole(self, name: str, default: int, *, least: int, most: int) -> int:
        text = self.text(name)
        # Nine digits before int(), which would otherwise accept other scripts and underscores.
        if text and not (text.isascii() and text.isdigit() and len(text) <= 9 and least <= int(text) <= most):
            self.fault(name, f"must be a whole number from {least} to {most}")
            return default
        return int(text) if text else default

    def flag(self, name: str, *, default: bool) -> bool:
        text = self.text(name).lower()
        if text in ("1", "true", "yes", "on"):
            return True
        if text not in ("", "0", "false", "no", "off"):
            self.fault(name, "must be 1 or 0")
        return default if not text else False

    def choice(self, name: str, choices: tuple[str, ...], default: str) -> str:
        text = self.text(name)
        found = {choice.lower(): choice for choice in choices}.get(text.lower())
        if text and found is None:
            self.fault(name, f"must be one of {', '.join(choices)}")
        return found or default

    def url(self, name: str, schemes: tuple[str, ...], default: str = "") -> str:
        """Return a URL of one of the schemes; its text is not repeated in a fault, it may hold a password."""
        text = self.text(name)
        if not text:
            return default
        try:
            parts = urlsplit(text)
            usable = parts.scheme in schemes and bool(parts.netloc or parts.scheme in ("sqlite", "unix"))
        except ValueError:
            usable = False
        if not usable:
            self.fault(name, f"must be a URL that begins with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return text if usable else default


def _secret_keys(read: _Environment) -> tuple[str, ...]:
    keys = read.texts("SECRET_KEY")
    if not keys:
        read.fault("SECRET_KEY", f"is not set; make one with: {MAKE_ONE}")
    if any(len(key) < SHORTEST for key in keys):
        read.fault("SECRET_KEY", f"each key needs {SHORTEST} characters or more; make one with: {MAKE_ONE}")
    return keys


def _admin_key(read: _Environment) -> str | None:
    key = read.text("RELAY_ADMIN_KEY")
    if key and len(key) < SHORTEST:
        read.fault("RELAY_ADMIN_KEY", f"needs {SHORTEST} characters or more; make one with: {MAKE_ONE}")
    return key or None


def _cidrs(read: _Environment) -> tuple[str, ...]:
    cidrs = read.texts("RELAY_ENDPOINT_ALLOW_CIDRS")
    for cidr in cidrs:
        try:
            networks([cidr])
        except ValueError as error:
            read.fault("RELAY_ENDPOINT_ALLOW_CIDRS", str(error))
    return cidrs


def _sources(read: _Environment) -> dict[str, Source]:
    text = _toml(read, read.text("RELAY_SOURCES"), "RELAY_SOURCES", DEFAULT_SOURCES)
    return {} if text is None else parse_sources(text, read.text, read.faults)


def _chains(read: _Environment) -> dict[str, Chain]:
    text = _toml(read, read.text("RELAY_CHAINS"), "RELAY_CHAINS", DEFAULT_CHAINS)
    return {} if text is None else parse_chains(text, read.text, read.faults)


def _seal_key(read: _Environment) -> bytes | None:
    text = read.text("SEAL_KEY")
    try:
        seed = b64decode(text, validate=True)
    except ValueError:
        seed = b"?"
    if text and len(seed) != 32:
        read.fault("SEAL_KEY", f"must be 32 bytes in base64; make one with: {MAKE_SEAL_KEY}")
        return None
    return seed or None


def _zone(read: _Environment) -> str:
    name = read.text("BUSINESS_TIMEZONE") or "UTC"
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        read.fault("BUSINESS_TIMEZONE", "must be a name of the IANA time zone database, such as Asia/Hong_Kong")
        return "UTC"


def _cutoff(read: _Environment) -> time:
    text = read.text("BUSINESS_CUTOFF") or "00:00"
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", text, re.ASCII):
        read.fault("BUSINESS_CUTOFF", "must be a time of day, such as 17:00")
        return time()
    return time.fromisoformat(text)


def _toml(read: _Environment, given: str, name: str, default: Path) -> str | None:
    """Return the TOML that a variable holds, or that of the file it names; None when that cannot be read."""
    if "\n" in given or given.startswith("["):
        return given
    path = Path(given) if given else default
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        read.fault(name, f"{path} cannot be read: {_why(error)}")
        return None


def _why(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else "not UTF-8"
