"""Own the sandbox's web process: the production application with the live board at `/`.

Production never imports this; gunicorn is told to, by `relay run --sandbox`,
with the plan's path and the supervisor's list of children.
"""

from __future__ import annotations

import os
from pathlib import Path

from flask import Flask

from config import logs, settings
from relay.bootstrap import build
from relay.sandbox.board import blueprint
from relay.sandbox.plan import Plan
from relay.web import create_app


def make_app(plan: str, children: str) -> Flask:
    """Return the application of one process."""
    loaded = settings.load(os.environ)
    logs.configure(loaded)
    runtime = build(loaded)
    app = create_app(runtime)
    app.register_blueprint(blueprint(runtime, Plan.read(Path(plan)), children=Path(children)))
    return app
