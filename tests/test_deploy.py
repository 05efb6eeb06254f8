"""What platforms read: the same processes, names that exist, and no key that their formats do not know."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from inspect import signature
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from relay.edge.redis import connect
from relay.store.engine import make_engine

ROOT = Path(__file__).parent.parent
PROCFILE = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
APP_JSON_SCHEMA = json.loads((ROOT / "tests/schemas/heroku-app.json").read_text())
# https://render.com/docs/blueprint-spec. Its schema (https://render.com/schema/render.yaml.json) bears no licence, so no copy is
# kept here; `render blueprints validate deploy/render.yaml` asks Render itself.
RENDER_KEYS = {
    "keyvalue": {"type", "name", "plan", "maxmemoryPolicy", "ipAllowList", "region", "previewPlan"},
    "web": {
        *("type", "name", "runtime", "plan", "buildCommand", "preDeployCommand", "startCommand", "healthCheckPath"),
        *("maxShutdownDelaySeconds", "envVars", "region", "numInstances", "autoDeploy", "domains", "buildFilter"),
    },
}
RENDER_KEYS["worker"] = RENDER_KEYS["web"] - {"healthCheckPath", "domains", "preDeployCommand"}


def app_json() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((ROOT / "app.json").read_text())
    return read


def blueprint() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((ROOT / "deploy/render.yaml").read_text())
    return read


def settings_of_the_readme() -> set[str]:
    table = (ROOT / "README.md").read_text().partition("## Settings")[2].partition("## Deploy")[0]
    return {*re.findall(r"`([A-Z][A-Z_]{3,})`", table)}


def test_a_button_makes_every_process_and_asks_for_settings_that_exist() -> None:
    """A key that the platform's format does not know stops the button."""
    app = app_json()
    assert [str(fault) for fault in jsonschema_rs.validator_for(APP_JSON_SCHEMA).iter_errors(app)] == []
    assert app["formation"].keys() == PROCFILE.keys() - {"release"}
    assert app["env"].keys() <= settings_of_the_readme()
    assert all(size["size"] != "eco" for size in app["formation"].values()), "eco sleeps, and callbacks with it"
    assert app["success_url"] == "/setup", "whoever pressed the button signs in next"


def test_the_keys_of_dokku_are_in_a_file_of_their_own() -> None:
    """The other platform refuses them."""
    dokku = json.loads((ROOT / "deploy/dokku.json").read_text())
    assert dokku.keys() == {"healthchecks", "formation"}
    assert dokku["formation"].keys() == PROCFILE.keys() - {"release"}
    assert {check["path"] for check in dokku["healthchecks"]["web"]} == {"/readyz"}


def test_the_blueprint_runs_the_procfile() -> None:
    """The same commands; web alone migrates."""
    services = {one["name"]: one for one in blueprint()["services"]}
    commands = {name: one["startCommand"] for name, one in services.items() if "startCommand" in one}
    assert commands == {f"relay-{name}": line for name, line in PROCFILE.items() if name != "release"}
    migrating = {name: one["preDeployCommand"] for name, one in services.items() if "preDeployCommand" in one}
    assert migrating == {"relay-web": PROCFILE["release"]}
    assert services["relay-redis"]["maxmemoryPolicy"] == "noeviction"


def test_the_blueprint_has_no_key_that_its_format_does_not_know() -> None:
    """And every name that it refers to is in it."""
    read = blueprint()
    assert read.keys() == {"envVarGroups", "databases", "services"}
    names = {one["name"] for part in read.values() for one in part}
    for service in read["services"]:
        assert service.keys() <= RENDER_KEYS[service["type"]], service["name"]
        for variable in service.get("envVars", ()):
            refers = variable.get("fromGroup") or next(v["name"] for v in variable.values() if isinstance(v, dict))
            assert refers in names
    known = settings_of_the_readme() | {"PYTHON_VERSION"}
    assert {one["key"] for group in read["envVarGroups"] for one in group["envVars"]} <= known


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool comes with Prometheus: apt-get install prometheus"
)
def test_the_alert_rules_are_rules() -> None:
    """Every expression parses, and every template is one."""
    checked = subprocess.run(
        ["promtool", "check", "rules", "deploy/alerts.yml"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_docs_say_the_same_things_of_every_platform() -> None:
    """How it is provided for, configured, migrated, reached, watched, mended and taken back; the untried ones too."""
    docs = (ROOT / "docs/deploy.md").read_text()
    asked = ("provision", "environment", "migrate", "a command", "are all alive?", "a worker is silent", "roll back")
    for platforms in (("Heroku", "Dokku", "Render", "Docker"), ("Fly", "Railway", "CapRover")):
        table = docs.partition(f"| | {' | '.join(platforms)} |")[2].partition("\n\n")[0]
        told = {cells[1].strip(): cells[2:-1] for cells in (line.split("|") for line in table.splitlines()[2:])}
        assert [row for row in asked if not all(cell.strip() for cell in told.get(row, [""]))] == []
        assert {len(cells) for cells in told.values()} == {len(platforms)}


def test_the_docs_count_connections_as_pools_do() -> None:
    """No process opens more than its pools hold; the sums are those of the table."""
    docs = (ROOT / "docs/deploy.md").read_text().partition("## Connections")[2].partition("\n\nThe smallest")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in docs.splitlines() if line.startswith("| ")]
    counted = {name: [sum(map(int, cell.split("+"))) for cell in cells] for name, *cells in rows[1:]}
    in_sql, in_redis = (
        signature(make_engine).parameters["pool_size"].default,
        signature(connect).parameters["max_connections"].default,
    )
    assert counted["a web process"] == counted["a clock"] == [in_sql, in_redis]
    worker = counted["a worker: its heartbeat, two deliverers, one job at a time"]
    for webs, row in (
        (2, "two web processes, a worker, a clock"),
        (1, "one web process (`WEB_CONCURRENCY=1`), a worker, a clock"),
    ):
        assert counted[row] == [
            (webs + 1) * own + of_worker for own, of_worker in zip((in_sql, in_redis), worker, strict=True)
        ]


def test_no_secret_is_written_in_what_platforms_read() -> None:
    """Secrets are made by the platform or typed by a person."""
    for variable in blueprint()["envVarGroups"][0]["envVars"]:
        if re.search("SECRET|KEY", variable["key"]):
            assert "value" not in variable
    assert all("value" not in one for name, one in app_json()["env"].items() if re.search("SECRET|_KEY", name))


@pytest.mark.parametrize("ignored", ["tests", "docs", "benchmarks", ".git", "var"])
def test_the_image_has_what_runs_and_nothing_else(ignored: str) -> None:
    """Each path that is copied exists and is let through; nobody's database is."""
    lines = (ROOT / "deploy/Dockerfile").read_text().splitlines()
    let_through = (ROOT / "deploy/Dockerfile.dockerignore").read_text().splitlines()
    copied = {line.split()[1] for line in lines if line.startswith("COPY ")}
    assert let_through[1] == "*"
    assert {f"!{path}" for path in copied} == {line for line in let_through if line.startswith("!")}
    assert all((ROOT / path).exists() for path in copied)
    assert ignored not in copied


def test_the_image_runs_web_as_nobody_special() -> None:
    """The user is set before anything runs, and the command is the Procfile's."""
    text = (ROOT / "deploy/Dockerfile").read_text()
    command = json.loads(re.findall(r"^CMD (.*)$", text, re.MULTILINE)[-1])
    assert command == PROCFILE["web"].split()
    assert text.index("\nUSER relay") < text.index("\nCMD")
    assert "--require-hashes" in text
