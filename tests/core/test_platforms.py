"""A platform gives itself away by the names it sets, and each starts a process in its own way."""

from __future__ import annotations

import pytest

from relay.core.platforms import platform_of, start_command


@pytest.mark.parametrize(
    ("names", "platform", "command"),
    [
        (["PATH", "DYNO"], "heroku", "heroku ps:scale worker=1"),
        (["DYNO", "DOKKU_APP_TYPE"], "dokku", "dokku ps:scale <app> worker=1"),
        (["RENDER", "RENDER_SERVICE_NAME"], "render", "resume relay-worker on the dashboard"),
        (["PATH", "HOME"], "", "python -m jobs.worker"),
        (["RENDERER", "DYNOMITE_HOST"], "", "python -m jobs.worker"),
    ],
)
def test_each_platform_has_its_command(names: list[str], platform: str, command: str) -> None:
    """Elsewhere it is the Procfile's."""
    assert platform_of(names) == platform
    assert start_command(platform, "worker") == command
