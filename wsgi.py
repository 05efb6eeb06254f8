"""Own the web process: `gunicorn wsgi:app`."""

from __future__ import annotations

import os

from config import logs, settings
from relay.bootstrap import build
from relay.web import create_app

loaded = settings.load(os.environ)
logs.configure(loaded)
app = create_app(build(loaded))
