"""Settings: what the environment may say, and every fault of it in one list."""

from __future__ import annotations

from datetime import time
from pathlib import Path

import pytest

from config.settings import load
from relay.errors import ConfigError

KEY = "k" * 40
GOOD = {"SECRET_KEY": KEY, "UPSTREAM_APPID": "VunT0000h1l8", "UPSTREAM_SECRET": "upstream-secret"}


def faults(environ: dict[str, str]) -> tuple[str, ...]:
    """What a start with these variables is refused for."""
    with pytest.raises(ConfigError) as refused:
        load(environ)
    return refused.value.faults


def test_three_variables_are_enough():
    """The shipped sources need an account; all else has a default."""
    settings = load(GOOD)
    assert (settings.database_url, settings.deliverers) == ("sqlite:///var/relay.db", 2)
    assert (settings.redis_url, settings.embedded_redis, settings.redis_tls_verify) == (
        "redis://127.0.0.1:6379/0",
        True,
        True,
    )
    assert (settings.secret_keys, settings.admin_key) == ((KEY,), None)
    assert (settings.public_url, settings.port, settings.web_concurrency) == ("http://127.0.0.1:8000", 8000, 2)
    assert (settings.trusted_proxy_hops, settings.endpoint_allow_cidrs, settings.sandbox) == (0, (), False)
    assert (settings.log_level, settings.log_format) == ("INFO", "auto")
    assert list(settings.sources) == ["crossing"]
    assert settings.sources["crossing"].adapter.name == "crossingpay-v1"


def test_every_variable_is_read():
    """One value other than the default for each."""
    settings = load(
        {
            **GOOD,
            "DATABASE_URL": "postgres://u:p%40ss@db/relay",
            "REDIS_URL": "redis://plain",
            "REDIS_TLS_URL": "rediss://tls",
            "REDIS_TLS_VERIFY": "0",
            "SECRET_KEY": f"{KEY}, {'o' * 32} ,",
            "RELAY_ADMIN_KEY": "rly_" + KEY,
            "PUBLIC_URL": "https://pay.example/relay/",
            "PORT": "5000",
            "WEB_CONCURRENCY": "4",
            "RELAY_DELIVERERS": "3",
            "TRUSTED_PROXY_HOPS": "1",
            "RELAY_ENDPOINT_ALLOW_CIDRS": "10.0.0.0/8, 192.168.1.7",
            "LOG_LEVEL": "debug",
            "LOG_FORMAT": "json",
            "RELAY_SANDBOX": "1",
            "SEAL_KEY": "c2VhbHNlYWxzZWFsc2VhbHNlYWxzZWFsc2VhbHNlYWw=",
            "BUSINESS_TIMEZONE": "Asia/Hong_Kong",
            "BUSINESS_CUTOFF": "17:00",
            "RELAY_HEARTBEAT_URL": "https://watch.example/ping",
        }
    )
    assert settings.seal_key == b"seal" * 8
    assert settings.heartbeat_url == "https://watch.example/ping"
    assert (settings.business_timezone, settings.business_cutoff) == ("Asia/Hong_Kong", time(17))
    assert settings.database_url == "postgres://u:p%40ss@db/relay"
    assert (settings.redis_url, settings.embedded_redis, settings.redis_tls_verify) == ("rediss://tls", False, False)
    assert settings.secret_keys == (KEY, "o" * 32)
    assert settings.admin_key == "rly_" + KEY
    assert (settings.public_url, settings.port, settings.web_concurrency) == ("https://pay.example/relay", 5000, 4)
    assert settings.deliverers == 3
    assert (settings.trusted_proxy_hops, settings.endpoint_allow_cidrs) == (1, ("10.0.0.0/8", "192.168.1.7"))
    assert (settings.log_level, settings.log_format, settings.sandbox) == ("DEBUG", "json", True)


def test_any_variable_may_come_from_a_file(tmp_path: Path):
    """Also those that the sources refer to; the line end of the file is not part of the value."""
    (tmp_path / "key").write_text(KEY + "\n")
    (tmp_path / "upstream").write_text("from-a-file\n")
    rest = {
        "UPSTREAM_APPID": "VunT0000h1l8",
        "SECRET_KEY_FILE": str(tmp_path / "key"),
        "UPSTREAM_SECRET_FILE": str(tmp_path / "upstream"),
    }
    settings = load(rest)
    assert settings.secret_keys == (KEY,)
    assert [secret.value for secret in settings.sources["crossing"].secrets] == ["from-a-file"]


def test_a_file_that_is_missing_or_doubles_a_value_is_a_fault(tmp_path: Path):
    """Neither is guessed away."""
    (tmp_path / "key").write_text(KEY)
    assert "SECRET_KEY_FILE: cannot be read: No such file or directory" in faults(
        {**GOOD, "SECRET_KEY": "", "SECRET_KEY_FILE": "/no/such"}
    )
    assert faults({**GOOD, "SECRET_KEY_FILE": str(tmp_path / "key")}) == (
        "SECRET_KEY: is set, and so is SECRET_KEY_FILE; keep one",
    )


CASES = {
    "DATABASE_URL": (
        "mysql://u:hunter2@db/x",
        "must be a URL that begins with sqlite:// or postgres:// or postgresql:// or postgresql+psycopg://",
    ),
    "REDIS_URL": ("localhost:6379", "must be a URL that begins with redis:// or rediss:// or unix://"),
    "REDIS_TLS_URL": ("redis://plain", "must be a URL that begins with rediss://"),
    "REDIS_TLS_VERIFY": ("maybe", "must be 1 or 0"),
    "RELAY_SANDBOX": ("2", "must be 1 or 0"),
    "SECRET_KEY": (f"{KEY},short", "each key needs 32 characters or more; make one with: "),
    "RELAY_ADMIN_KEY": ("hunter2", "needs 32 characters or more; make one with: "),
    "PUBLIC_URL": ("pay.example", "must be a URL that begins with http:// or https://"),
    "PORT": ("65536", "must be a whole number from 1 to 65535"),
    "WEB_CONCURRENCY": ("\uff12", "must be a whole number from 1 to 64"),
    "RELAY_DELIVERERS": ("0", "must be a whole number from 1 to 16"),
    "TRUSTED_PROXY_HOPS": ("1_0", "must be a whole number from 0 to 10"),
    "RELAY_ENDPOINT_ALLOW_CIDRS": ("10.0.0.1/8", "10.0.0.1/8 has host bits set"),
    "LOG_LEVEL": ("loud", "must be one of DEBUG, INFO, WARNING, ERROR"),
    "LOG_FORMAT": ("xml", "must be one of auto, json, text"),
    "RELAY_SOURCES": ("/no/such.toml", "/no/such.toml cannot be read: No such file or directory"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_value_is_a_fault_under_its_name(name: str):
    """The fault says what would be right, and never repeats a value that may be a secret."""
    value, what = CASES[name]
    [fault] = faults({**GOOD, name: value})
    assert fault.startswith(f"{name}: {what}")
    assert "hunter2" not in fault


def test_all_faults_are_told_together():
    """Every wrong variable and the sources' own, in one refusal."""
    told = faults({name: value for name, (value, _) in CASES.items() if name != "RELAY_SOURCES"})
    assert {fault.partition(":")[0] for fault in told} == set(CASES) - {"RELAY_SOURCES"} | {
        "sources.crossing.appid",
        "sources.crossing.secrets",
    }


def test_a_missing_key_names_the_command_that_makes_one():
    """The first start must not end in a search."""
    [fault] = faults({**GOOD, "SECRET_KEY": " "})
    assert (
        fault == 'SECRET_KEY: is not set; make one with: python -c "import secrets; print(secrets.token_urlsafe(48))"'
    )


def test_repr_shows_no_secret():
    """Settings end up in tracebacks and debuggers."""
    canary = "canary" * 8
    settings = load(
        {
            **GOOD,
            "DATABASE_URL": f"postgres://u:{canary}@db/relay",
            "REDIS_URL": f"redis://:{canary}@redis",
            "SECRET_KEY": canary,
            "RELAY_ADMIN_KEY": canary,
            "UPSTREAM_SECRET": canary,
        }
    )
    assert "canary" not in repr(settings)
    assert "canary" not in str(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SEAL_KEY", "c2hvcnQ="),
        ("SEAL_KEY", "not base64"),
        ("BUSINESS_TIMEZONE", "Mars/Olympus"),
        ("BUSINESS_TIMEZONE", "../../etc/passwd"),
        ("BUSINESS_CUTOFF", "24:00"),
        ("BUSINESS_CUTOFF", "5pm"),
    ],
)
def test_the_settings_of_finance_are_checked(name: str, value: str):
    """By name, before anything starts; what could be a secret is not repeated."""
    (fault,) = faults({**GOOD, name: value})
    assert fault.startswith(f"{name}: must be ")
    assert value not in fault
