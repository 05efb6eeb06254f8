"""Own the web application: what every request passes on its way to a route, and which routes there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask_openapi3 import Info, OpenAPI
from werkzeug.middleware.proxy_fix import ProxyFix

import relay
from config.logs import bind
from relay.web import catalogue, docs, health, reverse_check
from relay.web.api import BLUEPRINTS
from relay.web.auth import guard, public
from relay.web.callbacks import Door
from relay.web.console import BLUEPRINTS as CONSOLE
from relay.web.console.home import front
from relay.web.context import EXTENSION
from relay.web.finance import BLUEPRINTS as FINANCE
from relay.web.idempotency import answer_once
from relay.web.limits import limit
from relay.web.metrics import measure
from relay.web.pages import FILTERS
from relay.web.problems import handle_errors, invalid_input
from relay.web.requests import surround
from relay.web.strict import be_strict

if TYPE_CHECKING:
    from relay.bootstrap import Runtime

# Callbacks have a door and a limit of their own.
MOST_BYTES = 1024 * 1024
BEARER: dict[str, Any] = {"key": {"type": "http", "scheme": "bearer", "description": "an API key, `rly_…`"}}


def create_app(runtime: Runtime) -> OpenAPI:
    """Return the application; nothing is connected to, so it may be created before a fork."""
    app = OpenAPI(
        "relay.web",
        info=Info(title="Recharge Relay", version=relay.__version__),
        security_schemes=BEARER,
        validation_error_callback=invalid_input,
        doc_ui=False,
    )
    app.extensions[EXTENSION] = runtime
    app.config["MAX_CONTENT_LENGTH"] = MOST_BYTES
    # Flask asks them in this order, and the first that answers is the last: an id before what may be logged, the guard before whatever reads a body.
    surround(app, bind)
    guard(app)
    limit(app)
    be_strict(app)
    answer_once(app)
    handle_errors(app)
    measure(app, runtime)
    public("style sheets and pictures")(app.view_functions["static"])
    app.register_blueprint(health.routes)
    app.register_blueprint(reverse_check.routes)
    app.register_blueprint(docs.routes)
    app.register_blueprint(catalogue.routes)
    for api in BLUEPRINTS:
        app.register_api(api)
    for pages in (*CONSOLE, *FINANCE):
        app.register_blueprint(pages)
    app.jinja_env.filters.update(FILTERS)
    if not runtime.settings.sandbox:
        app.add_url_rule("/", view_func=front)
    if runtime.settings.trusted_proxy_hops:
        # Only the scheme: the address is counted by our own rule, and a host is never taken from a header.
        hops = runtime.settings.trusted_proxy_hops
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=0, x_proto=hops, x_host=0)  # type: ignore[method-assign]  # Flask's own way to wrap
    app.wsgi_app = Door(app.wsgi_app, runtime)  # type: ignore[method-assign]  # as above
    return app
